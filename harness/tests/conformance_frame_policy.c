/// One suite that every frame policy runs through frame/policy.h, against a map
/// that says of each frame who owns it, and every preset through the public API.
///
/// A policy under test works on a frame table of its own inside a copy of a real
/// instance, so that locks, CPUs and logging are there.
#include "frame_fixture.h"

#include "frame/policy.h"

#define HOLE 0u
#define FREE 1u
#define FIRST_OWNER 2u
#define BLOCKS_MAX 4096u

struct block {
	uint64_t pfn;
	unsigned order;
};

struct world {
	struct threads_machine m; /* identity: CPU, port, log */
	struct kmm k;             /* the copy with a table of its own */
	const struct frame_policy *policy;
	void *state;
	void *meta;
	uint64_t base, n;
	uint32_t *owner;          /* [n] */
	uint32_t owners_n;
	struct block block[BLOCKS_MAX];
	unsigned blocks_n;
	uint64_t free_n, seed;
};

static const struct frame_policy *const policies[] = {
	&frame_policy_buddy,
	&frame_policy_bitmap,
	&frame_policy_bitmap_first_fit,
};

static const char *const presets[] = { "viperdos", "veridian", "neo", "pagemill" };

static uint64_t draw(struct world *w)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed;
}

static void *policy_start(struct world *w, const struct frame_policy *p, uint64_t base, uint64_t n)
{
	/* Exactly what it asked for, so that AddressSanitizer sees one byte more. */
	assert_int_equal(posix_memalign(&w->meta, 64, p->meta_bytes(n)), 0);
	memset(w->meta, 0, p->meta_bytes(n));
	return p->init(&w->k, w->meta, base, n);
}

static void world_start(struct world *w, const struct frame_policy *p, uint64_t base, uint64_t n)
{
	static const struct fixture_range own = { 0x100, 64, KMM_MEM_USABLE };

	memset(w, 0, sizeof(*w));
	w->k = *fixture_start(&w->m, "neo", 1, &own, 1);
	w->seed = 0x9e3779b97f4a7c15ull ^ base << 20 ^ n;
	w->policy = p;
	w->base = base;
	w->n = n;
	w->owners_n = FIRST_OWNER;
	w->owner = calloc(n, sizeof(*w->owner));
	w->k.entry = calloc(n, sizeof(*w->k.entry));
	w->k.entry_base = base;
	w->k.entry_end = base + n;
	w->state = policy_start(w, p, base, n);
}

static void world_stop(struct world *w)
{
	free(w->meta);
	free(w->owner);
	free(w->k.entry);
	threads_stop(&w->m);
}

static void add(struct world *w, uint64_t at, uint64_t n)
{
	struct kmm_pfn pfn = { w->base + at };

	w->policy->add_range(&w->k, w->state, pfn, n);
	for (uint64_t i = 0; i < n; i++)
		w->owner[at + i] = FREE;
	w->free_n += n;
}

/// Brute force: is there an aligned run of free frames?
static bool map_has(const struct world *w, unsigned order)
{
	uint64_t size = 1ull << order;
	uint64_t first = bits_align_up(w->base, size) - w->base;

	for (uint64_t at = first; at + size <= w->n; at += size) {
		uint64_t i = 0;

		while (i < size && w->owner[at + i] == FREE)
			i++;
		if (i == size)
			return true;
	}
	return false;
}

static unsigned map_largest(const struct world *w)
{
	unsigned best = 0;

	for (unsigned order = 0; order <= KMM_ORDER_MAX; order++)
		if (map_has(w, order))
			best = order + 1;
	return best;
}

static void mark(struct world *w, uint64_t pfn, unsigned order, uint32_t from, uint32_t to)
{
	for (uint64_t i = 0; i < 1ull << order; i++) {
		assert_in_range(pfn + i, w->base, w->base + w->n - 1);
		assert_int_equal(w->owner[pfn + i - w->base], from);
		w->owner[pfn + i - w->base] = to;
	}
}

/// The caller's half of the contract: an owned head is marked.
static void head(struct world *w, uint64_t pfn, unsigned order, bool owned)
{
	struct frame_entry *e = &w->k.entry[pfn - w->base];

	assert_true(frame_kind_get(e) == (owned ? FRAME_NONE : FRAME_USED));
	e->order = (uint8_t)(owned ? order : 0);
	frame_kind_set(e, owned ? FRAME_USED : FRAME_NONE);
}

static unsigned claim(struct world *w, unsigned order, unsigned n)
{
	struct kmm_pfn out[64];
	unsigned got;

	if (n > BLOCKS_MAX - w->blocks_n)
		n = BLOCKS_MAX - w->blocks_n;
	got = w->policy->claim(&w->k, w->state, order, n, out);
	assert_true(got <= n);
	for (unsigned i = 0; i < got; i++) {
		assert_true(bits_aligned(out[i].n, 1ull << order));
		mark(w, out[i].n, order, FREE, w->owners_n++);
		head(w, out[i].n, order, true);
		w->block[w->blocks_n++] = (struct block){ out[i].n, order };
	}
	w->free_n -= (uint64_t)got << order;
	if (got < n)
		assert_false(map_has(w, order)); /* it fails only where it must */
	return got;
}

static void release_one(struct world *w, unsigned i)
{
	struct block b = w->block[i];
	struct kmm_pfn pfn = { b.pfn };

	w->block[i] = w->block[--w->blocks_n];
	head(w, b.pfn, b.order, false);
	mark(w, b.pfn, b.order, w->owner[b.pfn - w->base], FREE);
	w->policy->release(&w->k, w->state, b.order, 1, &pfn);
	w->free_n += 1ull << b.order;
}

static void release_all(struct world *w)
{
	while (w->blocks_n != 0)
		release_one(w, (unsigned)(draw(w) % w->blocks_n));
}

static void compare(struct world *w)
{
	assert_int_equal(w->policy->free_n(w->state), w->free_n);
	assert_int_equal(w->policy->largest_order(w->state), map_largest(w));
	assert_int_equal(w->policy->check(&w->k, w->state), KMM_OK);
}

static void random_steps(struct world *w, unsigned steps, unsigned order_max)
{
	for (unsigned i = 0; i < steps; i++) {
		if (draw(w) % 100 < 52 || w->blocks_n == 0)
			claim(w, (unsigned)(draw(w) % (order_max + 1)), 1 + (unsigned)(draw(w) % 9));
		else
			release_one(w, (unsigned)(draw(w) % w->blocks_n));
		if (i % 16 == 0)
			compare(w);
	}
	compare(w);
}

#define EACH_POLICY(p) for (unsigned p = 0; p < sizeof(policies) / sizeof(policies[0]); p++)

static void policy_random_orders_match_owner_map(void **state)
{
	struct world w;

	(void)state;
	EACH_POLICY(p) {
		world_start(&w, policies[p], 1ull << 20, 1024);
		add(&w, 0, 1024);
		random_steps(&w, 1500, 10);
		release_all(&w);
		compare(&w);
		assert_int_equal(w.policy->largest_order(w.state), 11);
		world_stop(&w);
	}
}

static void policy_unaligned_bases_stay_aligned(void **state)
{
	static const uint64_t base[] = { 1, 3, 63, 65, 100, 0x7ffff, 0xfffff, 0x100001 };
	static const uint64_t n[] = { 1, 63, 64, 65, 200, 777 };
	struct world w;

	(void)state;
	EACH_POLICY(p)
		for (unsigned b = 0; b < sizeof(base) / sizeof(base[0]); b++)
			for (unsigned i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
				world_start(&w, policies[p], base[b], n[i]);
				add(&w, 0, n[i]);
				compare(&w);
				random_steps(&w, 120, 8);
				release_all(&w);
				compare(&w);
				world_stop(&w);
			}
}

static void policy_holes_are_never_handed_out(void **state)
{
	struct world w;

	(void)state;
	EACH_POLICY(p) {
		world_start(&w, policies[p], 0x1234, 900);
		add(&w, 0, 100);
		add(&w, 101, 27); /* one frame of hole */
		add(&w, 300, 1);
		add(&w, 400, 400);
		add(&w, 800, 99); /* touches its neighbour; the last frame is a hole */
		compare(&w);
		random_steps(&w, 1500, 9);
		while (claim(&w, 0, 64) != 0)
			;
		assert_int_equal(w.policy->free_n(w.state), 0);
		for (uint64_t i = 0; i < w.n; i++)
			assert_true(w.owner[i] != FREE);
		assert_int_equal(w.owner[100], HOLE);
		assert_int_equal(w.owner[899], HOLE);
		release_all(&w);
		compare(&w);
		world_stop(&w);
	}
}

static void policy_full_memory_every_order_fills_it(void **state)
{
	struct world w;

	(void)state;
	EACH_POLICY(p) {
		for (unsigned order = 0; order <= 11; order++) {
			unsigned got = 0, more;

			world_start(&w, policies[p], 0x40000, 2048);
			add(&w, 0, 2048);
			while ((more = claim(&w, order, 64)) != 0)
				got += more;
			assert_int_equal(got, 2048u >> order); /* the last block too */
			assert_int_equal(claim(&w, 0, 1), 0);
			compare(&w);
			release_all(&w);
			compare(&w);
			assert_int_equal(w.policy->largest_order(w.state), 12);
			world_stop(&w);
		}
	}
}

static void policy_largest_order_is_reached(void **state)
{
	struct kmm_pfn out[4];
	struct world w;

	(void)state;
	EACH_POLICY(p) {
		/* Two blocks of 2^20 frames between unaligned edges. */
		world_start(&w, policies[p], (1ull << 20) - 5, (2ull << 20) + 12);
		w.policy->add_range(&w.k, w.state, (struct kmm_pfn){ w.base }, w.n);
		assert_int_equal(w.policy->largest_order(w.state), KMM_ORDER_MAX + 1);
		assert_int_equal(w.policy->claim(&w.k, w.state, KMM_ORDER_MAX, 4, out), 2);
		assert_int_equal(out[0].n ^ out[1].n, (1ull << 20) ^ (2ull << 20));
		assert_int_equal(w.policy->free_n(w.state), 12);
		assert_int_equal(w.policy->claim(&w.k, w.state, 3, 1, out + 2), 0);
		/* One comes back whole, the other in halves that must join again. */
		w.policy->release(&w.k, w.state, KMM_ORDER_MAX, 1, out);
		out[2].n = out[1].n + (1ull << (KMM_ORDER_MAX - 1));
		w.policy->release(&w.k, w.state, KMM_ORDER_MAX - 1, 2, out + 1);
		assert_int_equal(w.policy->claim(&w.k, w.state, KMM_ORDER_MAX, 4, out), 2);
		w.policy->release(&w.k, w.state, KMM_ORDER_MAX, 2, out);
		assert_int_equal(w.policy->free_n(w.state), w.n);
		assert_int_equal(w.policy->check(&w.k, w.state), KMM_OK);
		world_stop(&w);
	}
}

static void policy_block_returns_in_parts(void **state)
{
	struct kmm_pfn out, part[8];
	struct world w;

	(void)state;
	EACH_POLICY(p) {
		world_start(&w, policies[p], 0x1000, 256);
		add(&w, 0, 256);
		assert_int_equal(w.policy->claim(&w.k, w.state, 7, 1, &out), 1);
		for (unsigned i = 0; i < 8; i++)
			part[i].n = out.n + 16u * (i * 5u % 8u);
		w.policy->release(&w.k, w.state, 4, 8, part);
		compare(&w);
		world_stop(&w);
	}
}

static void policy_freed_block_below_full_memory_is_found(void **state)
{
	struct world w;

	(void)state;
	EACH_POLICY(p)
		for (unsigned order = 0; order <= 8; order++) {
			world_start(&w, policies[p], 0x1000, 512);
			add(&w, 0, 512);
			assert_int_equal(claim(&w, order, 1), 1);
			while (claim(&w, 0, 64) != 0)
				;
			release_one(&w, 0);
			compare(&w);
			assert_int_equal(claim(&w, 0, 1), 1);
			compare(&w);
			world_stop(&w);
		}
}

static void policy_two_instances_stay_apart(void **state)
{
	struct world w;

	(void)state;
	EACH_POLICY(p)
		EACH_POLICY(q) {
			struct kmm_pfn a[256], b[256];
			unsigned a_n, b_n;
			void *first_meta, *other;

			/* 128 is where a buddy of order 7 would join them. */
			world_start(&w, policies[p], 0x1000, 256);
			free(w.meta);
			w.state = policy_start(&w, policies[p], 0x1000, 128);
			first_meta = w.meta;
			other = policy_start(&w, policies[q], 0x1080, 128);
			policies[p]->add_range(&w.k, w.state, (struct kmm_pfn){ 0x1000 }, 128);
			policies[q]->add_range(&w.k, other, (struct kmm_pfn){ 0x1080 }, 128);
			assert_int_equal(policies[p]->claim(&w.k, w.state, 8, 1, a), 0);
			a_n = policies[p]->claim(&w.k, w.state, 0, 256, a);
			b_n = policies[q]->claim(&w.k, other, 0, 256, b);
			assert_int_equal(a_n, 128);
			assert_int_equal(b_n, 128);
			for (unsigned i = 0; i < 128; i++) {
				assert_in_range(a[i].n, 0x1000, 0x107f);
				assert_in_range(b[i].n, 0x1080, 0x10ff);
			}
			policies[q]->release(&w.k, other, 0, b_n, b);
			policies[p]->release(&w.k, w.state, 0, a_n, a);
			assert_int_equal(policies[p]->largest_order(w.state), 8);
			assert_int_equal(policies[q]->largest_order(other), 8);
			assert_int_equal(policies[p]->check(&w.k, w.state), KMM_OK);
			assert_int_equal(policies[q]->check(&w.k, other), KMM_OK);
			free(first_meta);
			world_stop(&w);
		}
}

static void policy_check_finds_planted_damage(void **state)
{
	struct world w;

	(void)state;
	EACH_POLICY(p) {
		struct frame_entry *e;

		world_start(&w, policies[p], 0x1000, 512);
		w.m.quiet = true;
		add(&w, 0, 512);
		claim(&w, 3, 4);
		compare(&w);
		/* A free frame that claims to be in use, and to be a block. */
		for (uint64_t i = 0; i < 512; i++) {
			if (w.owner[i] != FREE)
				continue;
			e = &w.k.entry[i];
			if (frame_kind_get(e) != FRAME_NONE)
				continue;
			frame_kind_set(e, FRAME_USED);
			assert_int_equal(w.policy->check(&w.k, w.state), KMM_ECORRUPT);
			frame_kind_set(e, FRAME_NONE);
			e->order = 2;
			assert_int_equal(w.policy->check(&w.k, w.state), KMM_ECORRUPT);
			e->order = 0;
		}
		compare(&w);
		world_stop(&w);
	}
}

static void buddy_check_finds_stale_head(void **state)
{
	struct frame_entry *e;
	struct world w;

	(void)state;
	world_start(&w, &frame_policy_buddy, 0x1000, 512);
	add(&w, 0, 512);
	claim(&w, 0, 1);
	e = &w.k.entry[w.block[0].pfn - w.base + 1]; /* heads the block beside it */
	assert_int_equal(frame_kind_get(e), FRAME_FREE);
	e->order++;
	assert_int_equal(w.policy->check(&w.k, w.state), KMM_ECORRUPT);
	e->order--;
	e->prev = 1;
	assert_int_equal(w.policy->check(&w.k, w.state), KMM_ECORRUPT);
	e->prev = 0;
	frame_kind_set(&w.k.entry[w.block[0].pfn - w.base], FRAME_FREE);
	assert_int_equal(w.policy->check(&w.k, w.state), KMM_ECORRUPT);
	world_stop(&w);
}

/// Every preset: what a caller does wrong is refused and changes nothing.
static void preset_wrong_frees_are_refused(void **state)
{
	static const struct fixture_range r[] = {
		{ 0x1003, 700, KMM_MEM_USABLE },
		{ 0x1100, 9, KMM_MEM_RESERVED },
	};
	struct kmm_frame_stats before, after;
	struct threads_machine m;

	(void)state;
	for (unsigned p = 0; p < 4; p++) {
		struct kmm *k = fixture_start(&m, presets[p], 2, r, 2);

		for (unsigned order = 0; order <= 7; order++) {
			struct kmm_pfn f, tail, out = { 0x1002 }, hole = { 0x1104 };

			assert_int_equal(kmm_frame_alloc(k, order, 0, &f), KMM_OK);
			kmm_frame_stats(k, &before);
			for (unsigned wrong = 0; wrong <= KMM_ORDER_MAX; wrong++)
				if (wrong != order)
					assert_int_equal(kmm_frame_free(k, f, wrong),
							 KMM_EWRONGORDER);
			for (tail.n = f.n + 1; tail.n < f.n + (1u << order); tail.n++)
				assert_int_equal(kmm_frame_free(k, tail, 0), KMM_EDOUBLEFREE);
			assert_int_equal(kmm_frame_free(k, f, KMM_ORDER_MAX + 1), KMM_EINVAL);
			assert_int_equal(kmm_frame_free(k, out, 0), KMM_EINVAL);
			out.n = 0x1003 + 700;
			assert_int_equal(kmm_frame_free(k, out, 0), KMM_EINVAL);
			assert_int_equal(kmm_frame_free(k, hole, 0), KMM_EDOUBLEFREE);
			kmm_frame_stats(k, &after);
			assert_memory_equal(&before, &after, sizeof(before));
			assert_int_equal(kmm_frame_free(k, f, order), KMM_OK);
			assert_int_equal(kmm_frame_free(k, f, order), KMM_EDOUBLEFREE);
			kmm_frame_drain(k);
			assert_int_equal(kmm_frame_free(k, f, order), KMM_EDOUBLEFREE);
			assert_int_equal(kmm_frame_check(k), KMM_OK);
		}
		assert_int_equal(threads_stop(&m), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policy_random_orders_match_owner_map),
		cmocka_unit_test(policy_unaligned_bases_stay_aligned),
		cmocka_unit_test(policy_holes_are_never_handed_out),
		cmocka_unit_test(policy_full_memory_every_order_fills_it),
		cmocka_unit_test(policy_largest_order_is_reached),
		cmocka_unit_test(policy_block_returns_in_parts),
		cmocka_unit_test(policy_freed_block_below_full_memory_is_found),
		cmocka_unit_test(policy_two_instances_stay_apart),
		cmocka_unit_test(policy_check_finds_planted_damage),
		cmocka_unit_test(buddy_check_finds_stale_head),
		cmocka_unit_test(preset_wrong_frees_are_refused),
	};

	return cmocka_run_group_tests_name("conformance_frame_policy", tests, NULL, NULL);
}
