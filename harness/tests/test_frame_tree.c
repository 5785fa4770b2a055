/// The tree policy beyond what every policy must do (conformance_frame_policy*.c): its
/// shelves, its size, what it makes of fragmented memory, and that nothing is lost where
/// CPUs meet in one block.
#include "policy_fixture.h"

#include "frame/tree.h"

static const struct policy_case tree_case = { &frame_policy_tree, KMM_ORDER_MAX, .groups = true };

/* ---- shelves ---- */

static uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/// A set of n numbers against a map of them, with long stretches that are empty.
static void shelf_against_map(uint64_t n)
{
	uint64_t seed = 0x9e3779b97f4a7c15ull ^ n, in_n = 0, from;
	uint8_t *in = calloc(n, 1);
	struct shelf_shape sh;
	uint64_t *shelf;

	shelf_shape_make(&sh, n);
	shelf = zeroed_lines(sh.bytes);
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t x = random_next(&seed), b = x % n;

		from = (x >> 32) % n;
		if (x >> 62 != 0 && i % 4000 < 2000) {
			b = (x >> 20) % 4 == 0 ? b : b % (n < 700 ? n : 700);
			in_n += !in[b];
			in[b] = 1;
			shelf_add(&sh, shelf, b);
		} else if (x >> 62 == 1) {
			assert_int_equal(shelf_remove(shelf, b), in[b]);
			in_n -= in[b];
			in[b] = 0;
		} else {
			b = shelf_take(&sh, shelf, from);
			assert_true((b == SHELF_NONE) == (in_n == 0));
			if (b != SHELF_NONE) {
				assert_true(b < n && in[b]);
				in[b] = 0;
				in_n--;
			}
		}
		if (i % 500 == 0)
			assert_int_equal(shelf_check(&sh, shelf), SHELF_NONE);
	}
	while (shelf_take(&sh, shelf, 0) != SHELF_NONE)
		in_n--;
	assert_int_equal(in_n, 0);
	assert_true(shelf_empty(&sh, shelf)); /* what was found empty is told so */
	free(shelf);
	free(in);
}

static void shelf_holds_what_was_added(void **state)
{
	(void)state;
	shelf_against_map(1);
	shelf_against_map(64);
	shelf_against_map(65);
	shelf_against_map(4096);
	shelf_against_map(300001);
}

/* ---- size ---- */

static void tree_metadata_is_bounded(void **state)
{
	(void)state;
	for (unsigned lg2 = 20; lg2 <= 32; lg2++) /* 4 GiB to 16 TiB */
		for (unsigned cpus_n = 1; cpus_n <= KMM_CPUS_MAX; cpus_n += 63)
			assert_true(frame_policy_tree.meta_bytes(1ull << lg2, cpus_n) * 1000u <=
				    142ull << lg2);
}

/* ---- fragmented memory ---- */

#define BLOCKS_N 256u
#define FRAMES_N (BLOCKS_N << 9)
#define BATCH 64u

struct fragmented {
	struct policy_host h;
	void *state, *meta;
	uint64_t seed;
	unsigned n;                    /* allocated */
	struct kmm_pfn frame[FRAMES_N]; /* these, in random order */
};

static void fragmented_start(struct fragmented *f, unsigned left)
{
	const struct frame_policy *p = &frame_policy_tree;
	unsigned got;

	f->seed = 0x9e3779b97f4a7c15ull;
	host_start(&f->h, 0, FRAMES_N, 0, 1);
	f->meta = zeroed_lines(p->meta_bytes(FRAMES_N, 1));
	f->state = p->init(&f->h.k, f->meta, 0, FRAMES_N);
	p->add_range(&f->h.k, f->state, (struct kmm_pfn){ 0 }, FRAMES_N);
	for (f->n = 0; f->n < FRAMES_N; f->n += got) {
		got = p->claim(&f->h.k, f->state, 0, FRAME_GROUP_MOVABLE, BATCH, f->frame + f->n);
		assert_int_not_equal(got, 0);
	}
	for (unsigned i = f->n - 1u; i != 0; i--) {
		unsigned j = (unsigned)(random_next(&f->seed) % (i + 1u));
		struct kmm_pfn swap = f->frame[i];

		f->frame[i] = f->frame[j];
		f->frame[j] = swap;
	}
	f->n = left;
	for (unsigned i = left; i < FRAMES_N; i += BATCH)
		p->release(&f->h.k, f->state, 0, FRAMES_N - i < BATCH ? FRAMES_N - i : BATCH,
			   f->frame + i);
}

/// Replaces frames at random, in batches, each on average `times` times.
static void churn(struct fragmented *f, unsigned times)
{
	const struct frame_policy *p = &frame_policy_tree;
	struct kmm_pfn out[BATCH], in[BATCH];

	for (unsigned done = 0; done < times * f->n; done += BATCH) {
		unsigned at[BATCH];

		assert_int_equal(p->claim(&f->h.k, f->state, 0, FRAME_GROUP_MOVABLE, BATCH, in),
				 BATCH);
		for (unsigned i = 0; i < BATCH; i++) {
			at[i] = (unsigned)(random_next(&f->seed) % f->n);
			out[i] = f->frame[at[i]];
			f->frame[at[i]] = in[i];
		}
		p->release(&f->h.k, f->state, 0, BATCH, out);
	}
}

static unsigned whole_blocks(struct fragmented *f)
{
	struct kmm_pfn out[BLOCKS_N];
	uint64_t free_n = 0;
	unsigned got;

	assert_int_equal(frame_policy_tree.check(&f->h.k, f->state, &free_n), KMM_OK);
	assert_int_equal(free_n, FRAMES_N - f->n);
	got = frame_policy_tree.claim(&f->h.k, f->state, 9, FRAME_GROUP_MOVABLE, BLOCKS_N, out);
	frame_policy_tree.release(&f->h.k, f->state, 9, got, out);
	return got;
}

static unsigned whole_after_churn(unsigned left)
{
	struct fragmented *f = calloc(1, sizeof(*f));
	unsigned whole;

	fragmented_start(f, left);
	assert_true(whole_blocks(f) == 0);
	churn(f, 14);
	whole = whole_blocks(f);
	host_stop(&f->h);
	free(f->meta);
	free(f);
	return whole;
}

/// Half of all frames are free, at random: nearly all of that becomes whole blocks, of
/// which there could be 128.
static void tree_half_empty_memory_becomes_whole(void **state)
{
	(void)state;
	assert_in_range(whole_after_churn(FRAMES_N / 2u), 124, 128);
}

/// The same with one frame in ten free, which is 25.6 blocks.
static void tree_random_holes_become_whole(void **state)
{
	(void)state;
	assert_in_range(whole_after_churn(FRAMES_N / 10u * 9u), 22, 25);
}

/* ---- where CPUs meet ---- */

#define CPUS_N 4u
#define SMALL_N (4u << 9) /* frames; blocks are opened and closed all the time */
#define ROUNDS 3000u

struct meeting {
	struct policy_host h;
	void *state;
	pthread_barrier_t start;
	uint32_t owner[SMALL_N]; /* atomic; CPU + 1, 0 = free */
};

struct meeting_cpu {
	struct meeting *x;
	pthread_t thread;
	unsigned id, twice_n;
};

static void own(struct meeting_cpu *cpu, struct kmm_pfn pfn, unsigned order, uint32_t from,
		uint32_t to)
{
	for (uint64_t i = 0; i < 1ull << order; i++)
		if (__atomic_exchange_n(&cpu->x->owner[pfn.n + i], to, __ATOMIC_RELAXED) != from)
			cpu->twice_n++;
}

/// Takes as much as there is of one order, and gives it back from end to end or mixed.
static void meet(struct meeting_cpu *cpu, unsigned order, uint64_t x)
{
	const struct frame_policy *p = &frame_policy_tree;
	struct kmm_pfn got[CLAIM_MAX * 8u];
	unsigned most = order >= 9 ? 2u : (CLAIM_MAX * 8u) >> order, n;

	n = p->claim(&cpu->x->h.k, cpu->x->state, order, (enum frame_group)(x & 1u),
		     1u + (unsigned)(x >> 8) % most, got);
	for (unsigned i = 0; i < n; i++)
		own(cpu, got[i], order, 0, cpu->id + 1u);
	for (unsigned i = n; i-- != 0;) {
		unsigned j = x & 2u ? i : (unsigned)(x >> 20) % (i + 1u);

		own(cpu, got[j], order, cpu->id + 1u, 0);
		p->release(&cpu->x->h.k, cpu->x->state, order, 1, &got[j]);
		got[j] = got[i];
	}
}

static void *meeting_thread(void *ctx)
{
	static const unsigned order[] = { 0, 0, 0, 3, 6, 7, 8, 9, 10 };
	struct meeting_cpu *cpu = ctx;
	uint64_t seed = 0x9e3779b97f4a7c15ull * (cpu->id + 1u);

	if (cpu->id != 0)
		threads_enter(&cpu->x->h.m, cpu->id);
	threads_self.irq_off = true;
	pthread_barrier_wait(&cpu->x->start);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t x = random_next(&seed);

		meet(cpu, order[(x >> 40) % (sizeof(order) / sizeof(order[0]))], x);
	}
	if (cpu->id != 0)
		threads_leave(&cpu->x->h.m, cpu->id);
	return NULL;
}

/// All comes back each time: in the end every block is whole again, and was nobody's twice.
static void tree_blocks_close_under_four_cpus(void **state)
{
	const struct frame_policy *p = &frame_policy_tree;
	struct meeting *x = calloc(1, sizeof(*x));
	struct meeting_cpu cpu[CPUS_N];
	struct kmm_pfn all;
	uint64_t free_n = 0;
	void *meta;

	(void)state;
	host_start(&x->h, 0, SMALL_N, 0, CPUS_N);
	meta = zeroed_lines(p->meta_bytes(SMALL_N, CPUS_N));
	x->state = p->init(&x->h.k, meta, 0, SMALL_N);
	p->add_range(&x->h.k, x->state, (struct kmm_pfn){ 0 }, SMALL_N);
	pthread_barrier_init(&x->start, NULL, CPUS_N);
	for (unsigned i = 0; i < CPUS_N; i++)
		cpu[i] = (struct meeting_cpu){ .x = x, .id = i };
	for (unsigned i = 1; i < CPUS_N; i++)
		assert_int_equal(pthread_create(&cpu[i].thread, NULL, meeting_thread, &cpu[i]), 0);
	meeting_thread(&cpu[0]);
	for (unsigned i = 1; i < CPUS_N; i++)
		pthread_join(cpu[i].thread, NULL);
	for (unsigned i = 0; i < CPUS_N; i++)
		assert_int_equal(cpu[i].twice_n, 0);
	assert_int_equal(p->check(&x->h.k, x->state, &free_n), KMM_OK);
	assert_int_equal(free_n, SMALL_N);
	assert_int_equal(p->claim(&x->h.k, x->state, 11, FRAME_GROUP_PINNED, 1, &all), 1);
	pthread_barrier_destroy(&x->start);
	host_stop(&x->h);
	free(meta);
	free(x);
}

/// What other CPUs hold is found by one that has nothing.
static void tree_held_blocks_are_shared(void **state)
{
	struct policy_host h;
	struct world w;

	(void)state;
	host_start(&h, 0x1ffff, 512 + 2, 0, 2);
	world_start(&w, &h, &tree_case, 0x1ffff, 512 + 2);
	world_add(&w, 0, w.n);
	world_claim(&w, 0, FRAME_GROUP_MOVABLE, 1);
	world_claim(&w, 5, FRAME_GROUP_PINNED, 1);
	threads_leave(&h.m, 0);
	threads_enter(&h.m, 1);
	threads_self.irq_off = true;
	world_claim(&w, 5, FRAME_GROUP_MOVABLE, 3);
	for (unsigned i = 0; i < 9; i++)
		world_claim(&w, 0, FRAME_GROUP_PINNED, CLAIM_MAX);
	assert_int_equal(w.free_n, 0);
	world_compare(&w);
	world_release_all(&w);
	assert_int_equal(world_claim(&w, 9, FRAME_GROUP_PINNED, 2), 1);
	world_compare(&w);
	world_stop(&w);
	threads_leave(&h.m, 1);
	threads_enter(&h.m, 0);
	host_stop(&h);
}

/* ---- what check sees ---- */

static void tree_check_sees_damage(void **state)
{
	struct policy_host h;
	struct frame_tree *t;
	uint64_t free_n, word;
	struct world w;

	(void)state;
	world_alone(&w, &h, &tree_case, 0x8000 - 100, 4096);
	world_add(&w, 0, w.n);
	world_compare(&w);
	t = w.state;
#define SEES(change, back)                                                        \
	do {                                                                      \
		change;                                                           \
		assert_int_equal(w.policy->check(w.k, t, &free_n), KMM_ECORRUPT); \
		back;                                                             \
		world_compare(&w);                                                \
	} while (0)
	SEES(t->block[1].word[3] = 1, t->block[1].word[3] = 0);               /* I2 */
	SEES(t->block[0].word[0] = 1, t->block[0].word[0] = 0);               /* I1 */
	word = t->dirty[t->lead >> 6];
	SEES(t->dirty[t->lead >> 6] = 0, t->dirty[t->lead >> 6] = word);      /* I4 */
	word = t->whole[t->shape.top];
	SEES(t->whole[t->shape.top] = 0, t->whole[t->shape.top] = word);      /* I5 */
	SEES(t->dirty[0] |= 1, t->dirty[0] &= ~1ull);                         /* I5 */
#undef SEES
	world_alone_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shelf_holds_what_was_added),
		cmocka_unit_test(tree_metadata_is_bounded),
		cmocka_unit_test(tree_half_empty_memory_becomes_whole),
		cmocka_unit_test(tree_random_holes_become_whole),
		cmocka_unit_test(tree_blocks_close_under_four_cpus),
		cmocka_unit_test(tree_held_blocks_are_shared),
		cmocka_unit_test(tree_check_sees_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
