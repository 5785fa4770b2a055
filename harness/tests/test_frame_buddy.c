/// What is special about the two buddy policies: lock holds, groups, the remark beside a
/// tag, joining when halves are freed on several CPUs at once. What every policy must do is
/// in conformance_frame_policy*.c.
#include "policy_fixture.h"

#include "frame/buddy.h"

#define BASE 0x40000ull /* a multiple of 2^18 */

static const struct policy_case buddy = { &frame_policy_buddy, KMM_ORDER_MAX, .locks = true };
static const struct policy_case scan = { &frame_policy_buddy_scan, 9, .locks = true };

/// A world whose frames are all free.
static void start(struct world *w, struct policy_host *h, const struct policy_case *c, uint64_t n)
{
	world_alone(w, h, c, BASE, n);
	world_add(w, 0, n);
}

static uint64_t locks(const struct world *w)
{
	return w->policy->lock_n(w->state);
}

static unsigned tag_at(const struct world *w, uint64_t at)
{
	return frame_tag(w->k, (struct kmm_pfn){ BASE + at });
}

/// The list that a free block stands in.
static unsigned list_at(struct world *w, uint64_t pfn)
{
	return frame_entry(w->k, (struct kmm_pfn){ pfn })->flags;
}

/// Straight to the policy: what the map can't say, as frames change hands unseen.
static unsigned claim(struct world *w, unsigned order, enum frame_group group, unsigned n,
		      struct kmm_pfn *out)
{
	return w->policy->claim(w->k, w->state, order, group, n, out);
}

static void release(struct world *w, unsigned order, unsigned n, const struct kmm_pfn *in)
{
	w->policy->release(w->k, w->state, order, n, in);
}

/// Frames at, at + step, ... of the world.
static const struct kmm_pfn *frames(struct kmm_pfn *f, uint64_t at, uint64_t step, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		f[i].n = BASE + at + i * step;
	return f;
}

static uint64_t check(struct world *w)
{
	uint64_t free_n = ~0ull;

	assert_int_equal(w->policy->check(w->k, w->state, &free_n), KMM_OK);
	return free_n;
}

static void expect_broken(struct world *w)
{
	uint64_t free_n;

	assert_int_equal(w->policy->check(w->k, w->state, &free_n), KMM_ECORRUPT);
}

static void buddy_batch_takes_few_locks(void **state)
{
	struct kmm_pfn f[64];
	struct policy_host h;
	struct world w;
	uint64_t before;

	(void)state;
	start(&w, &h, &buddy, 512);
	before = locks(&w);
	assert_int_equal(claim(&w, 0, FRAME_GROUP_PINNED, 64, f), 64);
	assert_int_equal(locks(&w) - before, 4); /* order 9; 64, 128 and 256 go back */
	before = locks(&w);
	release(&w, 0, 64, f);
	assert_int_equal(locks(&w) - before, 4); /* joined to order 6 before any; 6 to 9 */
	assert_int_equal(tag_at(&w, 0), FRAME_FREE + 9);
	assert_int_equal(claim(&w, 9, FRAME_GROUP_PINNED, 1, f), 1);
	before = locks(&w);
	release(&w, 0, 64, frames(f, 0, 8, 64)); /* no two of them neighbours */
	assert_int_equal(locks(&w) - before, 1);
	before = locks(&w);
	assert_int_equal(claim(&w, 0, FRAME_GROUP_PINNED, 64, f), 64);
	assert_int_equal(locks(&w) - before, 1);
	assert_int_equal(check(&w), 0);
	world_alone_stop(&w);
}

static void buddy_smallest_block_is_taken(void **state)
{
	struct kmm_pfn f[512];
	struct policy_host h;
	struct world w;

	(void)state;
	start(&w, &h, &buddy, 1024);
	assert_int_equal(claim(&w, 0, FRAME_GROUP_PINNED, 512, f), 512);
	frames(f, 3, 0, 1);
	release(&w, 0, 1, f);
	frames(f, 8, 0, 1);
	release(&w, 2, 1, f);
	assert_int_equal(claim(&w, 1, FRAME_GROUP_PINNED, 1, f), 1);
	assert_int_equal(f[0].n, BASE + 8); /* half of the four, not of the 512 */
	assert_int_equal(claim(&w, 0, FRAME_GROUP_PINNED, 3, f), 3);
	assert_int_equal(f[0].n, BASE + 3);
	assert_int_equal(f[1].n, BASE + 10);
	assert_int_equal(f[2].n, BASE + 11);
	assert_int_equal(w.policy->whole_n(w.state), 1);
	assert_int_equal(check(&w), 512);
	world_alone_stop(&w);
}

static void buddy_groups_have_blocks_of_their_own(void **state)
{
	struct kmm_pfn pinned[64], movable[64];
	struct policy_host h;
	struct world w;

	(void)state;
	start(&w, &h, &buddy, 4096);
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal(claim(&w, i % 3u, FRAME_GROUP_PINNED, 1, pinned + i), 1);
		assert_int_equal(claim(&w, i % 3u, FRAME_GROUP_MOVABLE, 1, movable + i), 1);
	}
	for (unsigned i = 1; i < 64; i++) {
		assert_int_equal(pinned[i].n >> 9, pinned[0].n >> 9);
		assert_int_equal(movable[i].n >> 9, movable[0].n >> 9);
	}
	assert_int_not_equal(pinned[0].n >> 9, movable[0].n >> 9);
	assert_int_equal(w.policy->whole_n(w.state), 6);
	check(&w);
	world_alone_stop(&w);
}

/// Pinned frames that must be taken among movable ones stay together there.
static void buddy_pinned_takes_a_block_over(void **state)
{
	struct kmm_pfn f[1024], one;
	struct policy_host h;
	struct world w;

	(void)state;
	start(&w, &h, &buddy, 1024);
	assert_int_equal(claim(&w, 0, FRAME_GROUP_MOVABLE, 1024, f), 1024);
	release(&w, 0, 64, frames(f, 0, 8, 64));     /* every 8th of the first 2 MiB */
	release(&w, 0, 64, frames(f, 512, 8, 64));   /* and of the second */
	assert_int_equal(claim(&w, 0, FRAME_GROUP_PINNED, 1, &one), 1);
	for (unsigned i = 1; i < 64; i++) {
		assert_int_equal(claim(&w, 0, FRAME_GROUP_PINNED, 1, f), 1);
		assert_int_equal(f[0].n >> 9, one.n >> 9);
	}
	/* What is freed there now is for pinned ones too. */
	f[0].n = (one.n & ~511ull) + 4;
	release(&w, 0, 1, f);
	assert_int_equal(claim(&w, 0, FRAME_GROUP_MOVABLE, 1, f), 1);
	assert_int_not_equal(f[0].n >> 9, one.n >> 9);
	assert_int_equal(claim(&w, 0, FRAME_GROUP_PINNED, 1, f), 1);
	assert_int_equal(f[0].n, (one.n & ~511ull) + 4);
	check(&w);
	world_alone_stop(&w);
}

/// Movable frames leave a pinned 2 MiB block what it is, unless half of it is free.
static void buddy_movable_takes_a_free_half_over(void **state)
{
	struct kmm_pfn f[512];
	struct policy_host h;
	struct world w;

	(void)state;
	start(&w, &h, &buddy, 512);
	assert_int_equal(claim(&w, 0, FRAME_GROUP_PINNED, 512, f), 512);
	release(&w, 7, 1, frames(f, 128, 0, 1));
	assert_int_equal(claim(&w, 0, FRAME_GROUP_MOVABLE, 1, f), 1);
	assert_int_equal(list_at(&w, f[0].n ^ 1u), FRAME_GROUP_PINNED);
	release(&w, 0, 1, f);
	release(&w, 8, 1, frames(f, 256, 0, 1));
	assert_int_equal(claim(&w, 0, FRAME_GROUP_MOVABLE, 1, f), 1);
	assert_int_equal(list_at(&w, f[0].n ^ 1u), FRAME_GROUP_MOVABLE);
	assert_int_equal(list_at(&w, BASE + 128), FRAME_GROUP_MOVABLE);
	assert_int_equal(check(&w), 383);
	world_alone_stop(&w);
}

static void buddy_remark_survives_joining_and_cutting(void **state)
{
	struct kmm_pfn f[16];
	struct policy_host h;
	struct world w;

	(void)state;
	start(&w, &h, &buddy, 512);
	assert_int_equal(claim(&w, 4, FRAME_GROUP_PINNED, 1, f), 1);
	for (unsigned i = 0; i < 16; i += 3)
		frame_tag_set(w.k, (struct kmm_pfn){ BASE + i }, FRAME_NONE | FRAME_ZEROED);
	for (unsigned i = 0; i < 16; i++)
		release(&w, 0, 1, frames(f, i * 5u % 16u, 0, 1));
	assert_int_equal(tag_at(&w, 0), (FRAME_FREE + 9) | FRAME_ZEROED);
	assert_int_equal(claim(&w, 0, FRAME_GROUP_PINNED, 16, f), 16);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(tag_at(&w, i), i % 3u == 0 ? FRAME_ZEROED : FRAME_NONE);
	world_alone_stop(&w);
}

static void buddy_whole_blocks_are_counted(void **state)
{
	struct kmm_pfn f[8];
	struct policy_host h;
	struct world w;

	(void)state;
	world_alone(&w, &h, &buddy, BASE - 5, 8192 + 12);
	world_add(&w, 0, 8192 + 12);
	assert_int_equal(w.policy->whole_n(w.state), 16);
	assert_int_equal(claim(&w, 0, FRAME_GROUP_PINNED, 5, f), 5);
	assert_int_equal(w.policy->whole_n(w.state), 16); /* from the edges */
	assert_int_equal(claim(&w, 3, FRAME_GROUP_MOVABLE, 1, f), 1);
	assert_int_equal(w.policy->whole_n(w.state), 15);
	assert_int_equal(claim(&w, 10, FRAME_GROUP_MOVABLE, 3, f + 1), 3);
	assert_int_equal(w.policy->whole_n(w.state), 9);
	release(&w, 10, 3, f + 1);
	release(&w, 3, 1, f);
	assert_int_equal(w.policy->whole_n(w.state), 16);
	assert_int_equal(w.policy->claim_range(w.k, w.state, (struct kmm_pfn){ BASE + 511 }, 2), 2);
	assert_int_equal(w.policy->whole_n(w.state), 14);
	check(&w);
	world_alone_stop(&w);
}

static void buddy_check_finds_planted_damage(void **state)
{
	struct kmm_pfn f[1];
	struct policy_host h;
	struct buddy *b;
	struct world w;

	(void)state;
	start(&w, &h, &buddy, 1024);
	b = w.state;
	assert_int_equal(claim(&w, 0, FRAME_GROUP_PINNED, 1, f), 1);
	assert_int_equal(check(&w), 1023);
	b->has[4] ^= 1u;
	expect_broken(&w);
	b->has[4] ^= 3u; /* the other group's */
	expect_broken(&w);
	b->has[4] ^= 2u;
	b->whole[0]++;
	expect_broken(&w);
	b->whole[0]--;
	frame_entry(w.k, (struct kmm_pfn){ BASE + 8 })->flags = FRAME_GROUP_MOVABLE;
	expect_broken(&w);
	frame_entry(w.k, (struct kmm_pfn){ BASE + 8 })->flags = FRAME_GROUP_PINNED;
	/* A whole block in a group's list. */
	b->order[9].head[1] = b->order[9].head[0];
	b->order[9].head[0] = 0;
	b->has[9] = 2;
	expect_broken(&w);
	b->order[9].head[0] = b->order[9].head[1];
	b->order[9].head[1] = 0;
	b->has[9] = 1;
	assert_int_equal(check(&w), 1023);
	/* Two buddies that stand in one list. */
	b->order[0].head[0] = 1;
	*frame_entry(w.k, (struct kmm_pfn){ BASE }) = (struct frame_entry){ .prev = 0, .next = 2 };
	frame_entry(w.k, (struct kmm_pfn){ BASE + 1 })->prev = 1;
	frame_tag_set(w.k, (struct kmm_pfn){ BASE }, FRAME_FREE);
	expect_broken(&w);
	world_alone_stop(&w);
}

static void scan_frees_frame_by_frame(void **state)
{
	struct kmm_pfn f[4];
	struct policy_host h;
	struct world w;
	uint64_t before;

	(void)state;
	start(&w, &h, &scan, 2048);
	before = locks(&w);
	assert_int_equal(claim(&w, 3, FRAME_GROUP_PINNED, 4, f), 4);
	assert_int_equal(locks(&w) - before, 1);
	before = locks(&w);
	release(&w, 3, 4, f);
	assert_int_equal(locks(&w) - before, 32);
	assert_int_equal(tag_at(&w, 0), FRAME_FREE + 9);
	assert_int_equal(check(&w), 2048);
	world_alone_stop(&w);
}

static void scan_has_no_block_above_two_mib(void **state)
{
	struct kmm_pfn f[4];
	struct policy_host h;
	struct world w;

	(void)state;
	start(&w, &h, &scan, 2048);
	for (unsigned order = 10; order <= KMM_ORDER_MAX; order++)
		assert_int_equal(claim(&w, order, FRAME_GROUP_PINNED, 1, f), 0);
	assert_int_equal(claim(&w, 9, FRAME_GROUP_PINNED, 4, f), 4);
	/* Parts of several may come back as one all the same. */
	release(&w, 11, 1, frames(f, 0, 0, 1));
	assert_int_equal(claim(&w, 9, FRAME_GROUP_PINNED, 4, f), 4);
	assert_int_equal(check(&w), 0);
	world_alone_stop(&w);
}

#define CPUS_N 4u
#define ROUNDS 40u
#define SHARED_N 4096u

struct crew {
	struct policy_host h;
	const struct frame_policy *policy;
	void *state;
	pthread_barrier_t barrier;
	uint64_t free_n; /* after a round */
	bool joined;
	uint32_t owner[SHARED_N]; /* atomic; 0 = free */
	uint32_t twice_n;         /* atomic */
};

struct worker {
	struct crew *crew;
	pthread_t thread;
	unsigned id;
	uint64_t seed;
};

static uint64_t roll(struct worker *x)
{
	x->seed ^= x->seed << 13;
	x->seed ^= x->seed >> 7;
	x->seed ^= x->seed << 17;
	return x->seed >> 11;
}

/// All CPUs, each with its thread, in `body`.
static void crew_run(struct crew *c, const struct frame_policy *p, void *(*body)(void *))
{
	struct worker w[CPUS_N];
	void *meta;

	memset(c, 0, sizeof(*c));
	host_start(&c->h, BASE, SHARED_N, BASE + SHARED_N / 2u, CPUS_N);
	c->policy = p;
	c->joined = true;
	meta = zeroed_lines(p->meta_bytes(SHARED_N, CPUS_N));
	c->state = p->init(&c->h.k, meta, BASE, SHARED_N);
	p->add_range(&c->h.k, c->state, (struct kmm_pfn){ BASE }, SHARED_N);
	pthread_barrier_init(&c->barrier, NULL, CPUS_N);
	for (unsigned i = 0; i < CPUS_N; i++)
		w[i] = (struct worker){ c, 0, i, 0x9e3779b97f4a7c15ull * (i + 1u) };
	for (unsigned i = 1; i < CPUS_N; i++)
		assert_int_equal(pthread_create(&w[i].thread, NULL, body, &w[i]), 0);
	body(&w[0]);
	for (unsigned i = 1; i < CPUS_N; i++)
		pthread_join(w[i].thread, NULL);
	pthread_barrier_destroy(&c->barrier);
	assert_int_equal(p->check(&c->h.k, c->state, &c->free_n), KMM_OK);
	assert_int_equal(c->free_n, SHARED_N);
	host_stop(&c->h);
	free(meta);
}

static void enter(const struct worker *x)
{
	if (x->id != 0)
		threads_enter(&x->crew->h.m, x->id);
	threads_self.irq_off = true;
}

static void leave(const struct worker *x)
{
	if (x->id != 0)
		threads_leave(&x->crew->h.m, x->id);
}

/// CPU 0 claims all; each CPU frees the frames whose number ends in its own. Whichever
/// buddy comes second must find the first.
static void *free_one_in_four(void *ctx)
{
	struct worker *x = ctx;
	struct crew *c = x->crew;
	struct kmm_pfn f[CLAIM_MAX];

	enter(x);
	for (unsigned r = 0; r < ROUNDS; r++) {
		unsigned n = 0, got = 0;

		while (x->id == 0 && got < SHARED_N)
			got += c->policy->claim(&c->h.k, c->state, 0, FRAME_GROUP_PINNED, 64, f);
		pthread_barrier_wait(&c->barrier);
		for (uint64_t i = x->id; i < SHARED_N; i += CPUS_N) {
			f[n++].n = BASE + i;
			if (n == 1u + r % CLAIM_MAX || i + CPUS_N >= SHARED_N) {
				c->policy->release(&c->h.k, c->state, 0, n, f);
				n = 0;
			}
		}
		pthread_barrier_wait(&c->barrier);
		if (x->id == 0 && (c->policy->check(&c->h.k, c->state, &c->free_n) != KMM_OK ||
				   c->free_n != SHARED_N))
			c->joined = false;
	}
	leave(x);
	return NULL;
}

static void buddies_freed_at_once_join(void **state)
{
	struct crew *c = malloc(sizeof(*c));

	(void)state;
	crew_run(c, &frame_policy_buddy, free_one_in_four);
	assert_true(c->joined);
	crew_run(c, &frame_policy_buddy_scan, free_one_in_four);
	assert_true(c->joined);
	free(c);
}

/// Batches of all orders to 9; each frame's owner is noted and must have been nobody.
static void *hammer(void *ctx)
{
	struct worker *x = ctx;
	struct crew *c = x->crew;
	struct kmm_pfn f[16];

	enter(x);
	for (unsigned r = 0; r < 4000; r++) {
		unsigned order = bits_lowest(roll(x) | 1u << 9), n;
		enum frame_group group = (enum frame_group)(roll(x) % FRAME_GROUPS_N);

		n = c->policy->claim(&c->h.k, c->state, order, group,
				     1u + (unsigned)roll(x) % (order < 5 ? 16u : 2u), f);
		for (uint64_t i = 0; i < (uint64_t)n << order; i++) {
			uint64_t at = f[i >> order].n - BASE + (i & ((1u << order) - 1u));

			if (__atomic_exchange_n(&c->owner[at], x->id + 1u, __ATOMIC_RELAXED) != 0)
				__atomic_fetch_add(&c->twice_n, 1u, __ATOMIC_RELAXED);
		}
		for (uint64_t i = 0; i < (uint64_t)n << order; i++) {
			uint64_t at = f[i >> order].n - BASE + (i & ((1u << order) - 1u));

			if (__atomic_exchange_n(&c->owner[at], 0u, __ATOMIC_RELAXED) != x->id + 1u)
				__atomic_fetch_add(&c->twice_n, 1u, __ATOMIC_RELAXED);
		}
		if (n != 0)
			c->policy->release(&c->h.k, c->state, order, n, f);
	}
	leave(x);
	return NULL;
}

static void buddy_hammered_hands_nothing_out_twice(void **state)
{
	struct crew *c = malloc(sizeof(*c));

	(void)state;
	crew_run(c, &frame_policy_buddy, hammer);
	assert_int_equal(c->twice_n, 0);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buddy_batch_takes_few_locks),
		cmocka_unit_test(buddy_smallest_block_is_taken),
		cmocka_unit_test(buddy_groups_have_blocks_of_their_own),
		cmocka_unit_test(buddy_pinned_takes_a_block_over),
		cmocka_unit_test(buddy_movable_takes_a_free_half_over),
		cmocka_unit_test(buddy_remark_survives_joining_and_cutting),
		cmocka_unit_test(buddy_whole_blocks_are_counted),
		cmocka_unit_test(buddy_check_finds_planted_damage),
		cmocka_unit_test(scan_frees_frame_by_frame),
		cmocka_unit_test(scan_has_no_block_above_two_mib),
		cmocka_unit_test(buddies_freed_at_once_join),
		cmocka_unit_test(buddy_hammered_hands_nothing_out_twice),
	};

	return cmocka_run_group_tests_name("test_frame_buddy", tests, NULL, NULL);
}
