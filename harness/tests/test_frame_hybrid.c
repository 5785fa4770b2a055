/// What is special about the policies made of two: which part serves what, that nothing is
/// stuck in the part that can't use it, and what happens at a boundary. What every policy
/// must do is in conformance_frame_policy*.c.
#include "policy_fixture.h"

#define BASE 0x40000ull /* a multiple of 2^18 */

/// A policy on a host's frames. Where the buddy is a part, and no other part has a lock,
/// lock_n tells whether it was asked.
struct one {
	struct policy_host h;
	const struct frame_policy *p;
	void *state, *meta;
};

static void begin(struct one *x, const struct frame_policy *p, uint64_t base, uint64_t n,
		  uint32_t hybrid_n, uint64_t cut)
{
	host_start(&x->h, base, n, cut, 1);
	x->h.preset.frame_hybrid_n = hybrid_n;
	x->p = p;
	x->meta = zeroed_lines(p->meta_bytes(n, 1));
	x->state = p->init(&x->h.k, x->meta, base, n);
	if (n != 0)
		p->add_range(&x->h.k, x->state, (struct kmm_pfn){ base }, n);
}

static void end(struct one *x)
{
	host_stop(&x->h);
	free(x->meta);
}

static unsigned claim(struct one *x, unsigned order, unsigned n, struct kmm_pfn *out)
{
	return x->p->claim(&x->h.k, x->state, order, FRAME_GROUP_PINNED, n, out);
}

static void release(struct one *x, unsigned order, unsigned n, const struct kmm_pfn *in)
{
	x->p->release(&x->h.k, x->state, order, n, in);
}

/// One block, given back.
static void give(struct one *x, unsigned order, uint64_t pfn)
{
	struct kmm_pfn f = { pfn };

	release(x, order, 1, &f);
}

static uint64_t locks(const struct one *x)
{
	return x->p->lock_n(x->state);
}

static uint64_t check(struct one *x)
{
	uint64_t free_n = ~0ull;

	assert_int_equal(x->p->check(&x->h.k, x->state, &free_n), KMM_OK);
	return free_n;
}

/// Claims all there is of an order into f[]. Returns: blocks
static unsigned claim_all(struct one *x, unsigned order, struct kmm_pfn *f)
{
	unsigned n = 0, got;

	while ((got = claim(x, order, 64, f + n)) != 0)
		n += got;
	return n;
}

static void hybrid_small_claims_share_a_chunk(void **state)
{
	struct kmm_pfn f[512];
	uint64_t before;
	struct one x;

	(void)state;
	begin(&x, &frame_policy_hybrid, BASE, 2048, 0, 0);
	assert_int_equal(claim(&x, 0, 1, f), 1);
	before = locks(&x);
	for (unsigned i = 1; i < 256; i++) {
		assert_int_equal(claim(&x, 0, 1, f + i), 1);
		assert_int_equal(f[i].n >> 9, f[0].n >> 9);
	}
	release(&x, 0, 256, f);
	assert_int_equal(claim(&x, 3, 32, f), 32);
	release(&x, 3, 32, f);
	assert_int_equal(locks(&x), before); /* the bitmap has none */
	assert_int_equal(claim(&x, 9, 3, f), 3); /* the other chunks */
	assert_true(locks(&x) > before);
	assert_int_equal(check(&x), 512);
	end(&x);
}

static void hybrid_threshold_is_the_presets(void **state)
{
	struct kmm_pfn f[64];
	struct one x;

	(void)state;
	for (unsigned order = 0; order <= 11; order++) {
		uint64_t before;

		begin(&x, &frame_policy_hybrid, BASE, 4096, 64, 0);
		assert_int_equal(claim(&x, order, 1, f), 1);
		before = locks(&x);
		release(&x, order, 1, f);
		assert_true((locks(&x) == before) == (order < 6));
		assert_int_equal(check(&x), 4096);
		end(&x);
	}
	begin(&x, &frame_policy_hybrid, BASE, 4096, 4096, 0); /* chunks larger than 2 MiB */
	assert_int_equal(claim(&x, 11, 2, f), 2);
	release(&x, 11, 2, f);
	assert_int_equal(claim(&x, 12, 1, f), 1);
	assert_int_equal(check(&x), 0);
	end(&x);
}

static void hybrid_free_chunks_serve_large_claims(void **state)
{
	struct kmm_pfn *f = malloc(2048 * sizeof(*f));
	struct one x;

	(void)state;
	begin(&x, &frame_policy_hybrid, BASE, 2048, 0, 0);
	assert_int_equal(claim_all(&x, 0, f), 2048);
	assert_int_equal(claim(&x, 9, 1, f), 0);
	for (unsigned i = 0; i < 2048; i++)
		give(&x, 0, BASE + (i * 1021u) % 2048u);
	assert_int_equal(claim(&x, 9, 4, f), 4); /* out of the bitmap */
	for (unsigned i = 0; i < 4; i++)
		give(&x, 9, f[i].n);
	assert_int_equal(claim(&x, 11, 1, f), 1); /* joined in the buddy */
	give(&x, 11, f[0].n);
	assert_int_equal(claim_all(&x, 0, f), 2048);
	for (unsigned i = 0; i < 2048; i++)
		give(&x, 0, BASE + i);
	assert_int_equal(claim(&x, 11, 1, f), 1); /* four chunks of the bitmap's */
	assert_int_equal(check(&x), 0);
	end(&x);
	free(f);
}

/// A block half of which is free in one part and half in the other is found, and the
/// remarks beside its frames' tags are those that were left there.
static void hybrid_mixed_blocks_are_found(void **state)
{
	struct kmm_pfn f[2048];
	struct one x;

	(void)state;
	begin(&x, &frame_policy_hybrid, BASE, 2048, 0, 0);
	assert_int_equal(claim_all(&x, 9, f), 4);
	give(&x, 9, BASE);                     /* large: to the buddy */
	for (unsigned i = 512; i < 1024; i++) {
		frame_tag_set(&x.h.k, (struct kmm_pfn){ BASE + i }, i % 5u ? 0 : FRAME_ZEROED);
		give(&x, 0, BASE + i);         /* small: to the bitmap */
	}
	assert_int_equal(check(&x), 1024);
	assert_int_equal(claim(&x, 10, 1, f), 1);
	assert_int_equal(f[0].n, BASE);
	for (unsigned i = 512; i < 1024; i++)
		assert_int_equal(frame_tag(&x.h.k, (struct kmm_pfn){ BASE + i }),
				 i % 5u ? FRAME_NONE : FRAME_ZEROED);
	assert_int_equal(check(&x), 0);
	/* Again, as one that nearly is. */
	give(&x, 9, BASE);
	for (unsigned i = 512; i < 1023; i++)
		give(&x, 0, BASE + i);
	assert_int_equal(claim(&x, 10, 1, f), 0);
	give(&x, 0, BASE + 1023);
	assert_int_equal(claim(&x, 10, 1, f), 1);
	end(&x);
}

/// The same below 2 MiB: the buddy's part of a chunk, from a span's edge.
static void hybrid_mixed_runs_at_the_edge_are_found(void **state)
{
	struct kmm_pfn f[64], one[64];
	struct one x;
	unsigned n;

	(void)state;
	begin(&x, &frame_policy_hybrid, BASE + 512 - 32, 32, 0, 0); /* no chunk at all */
	assert_int_equal(claim(&x, 3, 1, f), 1);
	give(&x, 3, f[0].n);
	assert_int_equal(claim(&x, 5, 1, f), 1);
	give(&x, 5, f[0].n);
	n = claim_all(&x, 0, one);
	assert_int_equal(n, 32);
	assert_int_equal(claim(&x, 0, 1, f), 0);
	for (unsigned i = 0; i < 32; i++)
		give(&x, 0, one[i * 7u % 32u].n);
	assert_int_equal(claim(&x, 5, 1, f), 1);
	assert_int_equal(check(&x), 0);
	end(&x);
}

static void hybrid_check_finds_a_frame_in_both(void **state)
{
	struct kmm_pfn f[1];
	uint64_t free_n;
	struct one x;

	(void)state;
	begin(&x, &frame_policy_hybrid, BASE, 2048, 0, 0);
	assert_int_equal(claim(&x, 0, 1, f), 1);
	assert_int_equal(check(&x), 2047);
	give(&x, 0, BASE + 2047); /* free in the buddy, inside a large block */
	assert_int_equal(x.p->check(&x.h.k, x.state, &free_n), KMM_ECORRUPT);
	end(&x);
}

static void split_asks_above_first(void **state)
{
	static const struct frame_policy *const split[] = { &frame_policy_split,
							    &frame_policy_split_slow };
	struct kmm_pfn f[2048];
	struct one x;

	(void)state;
	for (unsigned s = 0; s < 2; s++) {
		begin(&x, split[s], BASE, 2048, 0, BASE + 512);
		assert_int_equal(claim(&x, 0, 64, f), 64);
		for (unsigned i = 0; i < 64; i++)
			assert_true(f[i].n >= BASE + 512);
		assert_int_equal(claim(&x, 9, 2, f), 2);
		assert_int_equal(claim(&x, 9, 64, f), 1); /* only below is there one left */
		assert_int_equal(f[0].n, BASE);
		assert_int_equal(claim(&x, 0, 64, f), 64);
		assert_int_equal(claim_all(&x, 0, f), 512 - 128);
		assert_int_equal(check(&x), 0);
		end(&x);
	}
}

/// Where the spans of the parts meet: the lowest frame whose taking takes a lock.
static uint64_t boundary_of(uint64_t base, uint64_t n, uint64_t cut)
{
	struct kmm_pfn f[4096];
	uint64_t lowest = base + n;
	struct one x;

	assert_true(n <= 4096);
	begin(&x, &frame_policy_split, base, n, 0, cut);
	assert_int_equal(claim_all(&x, 0, f), n);
	for (unsigned i = 0; i < n; i++)
		give(&x, 0, base + i);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t before = locks(&x);
		struct kmm_pfn one = { base + i };

		assert_int_equal(x.p->claim_range(&x.h.k, x.state, one, 1), 1);
		if (locks(&x) != before && one.n < lowest)
			lowest = one.n;
	}
	end(&x);
	return lowest;
}

static void split_boundary_is_the_presets_or_the_middle(void **state)
{
	(void)state;
	assert_int_equal(boundary_of(BASE, 2048, BASE + 100), BASE + 100);
	assert_int_equal(boundary_of(BASE, 2048, BASE + 1), BASE + 1);
	assert_int_equal(boundary_of(BASE, 2048, BASE + 2047), BASE + 2047);
	/* Outside: the middle, whole 2 MiB if there are any. */
	assert_int_equal(boundary_of(BASE, 2048, 0), BASE + 1024);
	assert_int_equal(boundary_of(BASE, 2048, BASE), BASE + 1024);
	assert_int_equal(boundary_of(BASE, 2048, BASE + 2048), BASE + 1024);
	assert_int_equal(boundary_of(BASE + 100, 2048, 0), BASE + 1024);
	assert_int_equal(boundary_of(BASE + 1, 1000, 0), BASE + 512);
	assert_int_equal(boundary_of(BASE + 500, 400, 0), BASE + 512);
	assert_int_equal(boundary_of(BASE + 10, 300, 0), BASE + 160);
	assert_int_equal(boundary_of(BASE, 1, 0), BASE);
	assert_int_equal(boundary_of(BASE + 3, 2, 0), BASE + 4);
}

/// Frames of both sides may come back as one block, which the parts get in pieces.
static void split_release_is_cut_at_the_boundary(void **state)
{
	static const struct frame_policy *const split[] = { &frame_policy_split,
							    &frame_policy_split_slow };
	struct kmm_pfn f[2048];
	struct one x;

	(void)state;
	for (unsigned s = 0; s < 2; s++)
		for (unsigned cut = 1; cut < 128; cut++) {
			struct frame_run run;

			begin(&x, split[s], BASE, 256, 0, BASE + cut);
			assert_int_equal(claim_all(&x, 0, f), 256);
			f[0].n = BASE + 128;
			f[1].n = BASE;
			release(&x, 7, 2, f);
			assert_int_equal(check(&x), 256);
			/* A run goes on across the boundary. */
			assert_true(x.p->next_run(&x.h.k, x.state, BASE, BASE + 256, &run));
			assert_int_equal(run.pfn, BASE);
			assert_int_equal(run.n, 256);
			assert_int_equal(x.p->claim_range(&x.h.k, x.state,
							  (struct kmm_pfn){ BASE + 1 }, 254), 254);
			assert_int_equal(check(&x), 2);
			end(&x);
		}
}

#define CPUS_N 4u
#define SHARED_N 4096u
#define HELD_MAX 64u

struct crew {
	struct one x;
	uint32_t owner[SHARED_N]; /* atomic; 0 = free */
	uint32_t faults_n;        /* atomic */
};

struct worker {
	struct crew *crew;
	pthread_t thread;
	unsigned id, held_n;
	uint64_t seed;
	uint64_t held[HELD_MAX]; /* pfn << 8 | order */
};

static uint64_t roll(struct worker *w, uint64_t n)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return (w->seed >> 11) % n;
}

/// Each frame of a block changes from one owner to another.
static void own(struct worker *w, uint64_t pfn, unsigned order, uint32_t from, uint32_t to)
{
	for (uint64_t i = pfn - BASE; i < pfn - BASE + (1ull << order); i++)
		if (__atomic_exchange_n(&w->crew->owner[i], to, __ATOMIC_RELAXED) != from)
			__atomic_fetch_add(&w->crew->faults_n, 1u, __ATOMIC_RELAXED);
}

static void give_last(struct worker *w, bool in_halves)
{
	uint64_t held = w->held[--w->held_n];
	unsigned order = held & 0xffu;

	own(w, held >> 8, order, w->id + 1u, 0);
	if (in_halves && order != 0) {
		give(&w->crew->x, order - 1u, (held >> 8) + (1ull << (order - 1u)));
		give(&w->crew->x, order - 1u, held >> 8);
	} else {
		give(&w->crew->x, order, held >> 8);
	}
}

/// Orders on both sides of the threshold, and blocks that come back in halves, so that
/// frames wander between the parts and mixed blocks are there to be gathered.
static void *hammer(void *ctx)
{
	struct worker *w = ctx;
	struct kmm_pfn f[8];

	if (w->id != 0)
		threads_enter(&w->crew->x.h.m, w->id);
	threads_self.irq_off = true;
	for (unsigned r = 0; r < 6000; r++) {
		unsigned order = roll(w, 4) == 0 ? (unsigned)roll(w, 11) : (unsigned)roll(w, 4), n;

		if (w->held_n + 8u > HELD_MAX || (w->held_n != 0 && roll(w, 2) == 0)) {
			unsigned i = (unsigned)roll(w, w->held_n);
			uint64_t held = w->held[i];

			w->held[i] = w->held[w->held_n - 1u];
			w->held[w->held_n - 1u] = held;
			give_last(w, roll(w, 4) == 0);
			continue;
		}
		n = claim(&w->crew->x, order, 1u + (unsigned)roll(w, order < 4 ? 8 : 1), f);
		for (unsigned i = 0; i < n; i++) {
			own(w, f[i].n, order, 0, w->id + 1u);
			w->held[w->held_n++] = f[i].n << 8 | order;
		}
	}
	while (w->held_n != 0)
		give_last(w, false);
	if (w->id != 0)
		threads_leave(&w->crew->x.h.m, w->id);
	return NULL;
}

static void crew_run(const struct frame_policy *p, uint32_t hybrid_n)
{
	struct crew *c = calloc(1, sizeof(*c));
	struct worker *w = calloc(CPUS_N, sizeof(*w));
	struct kmm_pfn f[80];

	host_start(&c->x.h, BASE, SHARED_N, BASE + 1024, CPUS_N);
	c->x.h.preset.frame_hybrid_n = hybrid_n;
	c->x.p = p;
	c->x.meta = zeroed_lines(p->meta_bytes(SHARED_N, CPUS_N));
	c->x.state = p->init(&c->x.h.k, c->x.meta, BASE, SHARED_N);
	p->add_range(&c->x.h.k, c->x.state, (struct kmm_pfn){ BASE }, SHARED_N);
	for (unsigned i = 0; i < CPUS_N; i++) {
		w[i].crew = c;
		w[i].id = i;
		w[i].seed = 0x9e3779b97f4a7c15ull * (i + 1u);
		if (i != 0)
			assert_int_equal(pthread_create(&w[i].thread, NULL, hammer, &w[i]), 0);
	}
	hammer(&w[0]);
	for (unsigned i = 1; i < CPUS_N; i++)
		pthread_join(w[i].thread, NULL);
	assert_int_equal(c->faults_n, 0);
	assert_int_equal(check(&c->x), SHARED_N);
	/* Nothing is stuck anywhere. */
	assert_int_equal(claim_all(&c->x, 9, f), 8);
	end(&c->x);
	free(c);
	free(w);
}

static void parts_hammered_lose_nothing(void **state)
{
	(void)state;
	crew_run(&frame_policy_hybrid, 0);
	crew_run(&frame_policy_hybrid, 4);
	crew_run(&frame_policy_split, 0);
	crew_run(&frame_policy_split_slow, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hybrid_small_claims_share_a_chunk),
		cmocka_unit_test(hybrid_threshold_is_the_presets),
		cmocka_unit_test(hybrid_free_chunks_serve_large_claims),
		cmocka_unit_test(hybrid_mixed_blocks_are_found),
		cmocka_unit_test(hybrid_mixed_runs_at_the_edge_are_found),
		cmocka_unit_test(hybrid_check_finds_a_frame_in_both),
		cmocka_unit_test(split_asks_above_first),
		cmocka_unit_test(split_boundary_is_the_presets_or_the_middle),
		cmocka_unit_test(split_release_is_cut_at_the_boundary),
		cmocka_unit_test(parts_hammered_lose_nothing),
	};

	return cmocka_run_group_tests_name("test_frame_hybrid", tests, NULL, NULL);
}
