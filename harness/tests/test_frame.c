/// Frames through the public API: caches, statistics, errors, exhaustion,
/// injected failures, two CPUs.
#include "frame_fixture.h"

#include "frame/cache.h"

#define FRAMES 1024u

static const struct fixture_range one[] = { { 0x1003, FRAMES, KMM_MEM_USABLE } };
static const struct fixture_range holed[] = {
	{ 0x1003, FRAMES, KMM_MEM_USABLE },
	{ 0x1080, 16, KMM_MEM_RESERVED },
	{ 0x1200, 1, KMM_MEM_KERNEL },
};

static const char *const presets[] = {
	"viperdos", "veridian", "neo", "pagemill", "pagemill+buddy", "pagemill+buddy-scan",
	"pagemill+bitmap", "pagemill+hybrid", "pagemill+split",
};

#define EACH_PRESET(p) for (unsigned p = 0; p < sizeof(presets) / sizeof(presets[0]); p++)

static struct kmm *start(struct threads_machine *m, const char *preset)
{
	return fixture_start(m, preset, 2, one, 1);
}

static struct kmm_preset preset_of(const char *name)
{
	struct kmm_preset p;

	assert_true(kmm_preset_parse(name, &p));
	return p;
}

static struct magazine *magazine(struct kmm *k, unsigned i)
{
	return &kmm_cpu_at(k, 0)->frame->magazine[i];
}

static struct kmm_pfn get(struct kmm *k, unsigned order)
{
	struct kmm_pfn pfn = { 0 };

	assert_int_equal(kmm_frame_alloc(k, order, 0, &pfn), KMM_OK);
	return pfn;
}

static void put(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	assert_int_equal(kmm_frame_free(k, pfn, order), KMM_OK);
}

/// Allocates single frames until there are none. Returns: how many
static unsigned get_all(struct kmm *k, struct kmm_pfn out[FRAMES])
{
	unsigned n = 0;

	while (n < FRAMES && kmm_frame_alloc(k, 0, 0, &out[n]) == KMM_OK)
		n++;
	return n;
}

static void put_all(struct kmm *k, const struct kmm_pfn *pfn, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put(k, pfn[i], 0);
}

static void frame_init_manages_usable_frames_only(void **state)
{
	static const struct frame_entry zero;
	struct threads_machine m;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = fixture_start(&m, presets[p], 2, holed, 3);

		assert_int_equal(fixture_stats(k).managed_n, FRAMES - 17);
		assert_int_equal(k->entry_base, 0x1003);
		assert_int_equal(k->entry_end, 0x1003 + FRAMES);
		assert_true(fixture_stats(k).meta_bytes >= FRAMES * sizeof(zero));
		for (struct kmm_pfn at = { 0x1080 }; at.n < 0x1090; at.n++) {
			assert_memory_equal(frame_entry(k, at), &zero, sizeof(zero));
			assert_int_equal(frame_tag(k, at), 0);
		}
		fixture_stop(&m);
	}
}

static void frame_exhausted_gives_every_frame_once(void **state)
{
	static struct kmm_pfn pfn[FRAMES];
	struct threads_machine m;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = fixture_start(&m, presets[p], 2, holed, 3);
		uint64_t before = fixture_stats(k).free_n;
		struct kmm_pfn untouched = { 77 };
		bool seen[FRAMES] = { false };
		unsigned n = get_all(k, pfn);

		assert_int_equal(n, before);
		assert_int_equal(fixture_stats(k).free_n, 0);
		assert_int_equal(kmm_frame_largest_order(k), 0);
		for (unsigned i = 0; i < n; i++) {
			uint64_t at = pfn[i].n - 0x1003;

			assert_true(at < FRAMES && !seen[at]);
			assert_false(pfn[i].n >= 0x1080 && pfn[i].n < 0x1090);
			assert_false(pfn[i].n == 0x1200);
			seen[at] = true;
		}
		for (unsigned order = 0; order <= KMM_ORDER_MAX; order++)
			assert_int_equal(kmm_frame_alloc(k, order, 0, &untouched), KMM_ENOMEM);
		assert_int_equal(untouched.n, 77);
		assert_int_equal(kmm_frame_check(k), KMM_OK);
		put_all(k, pfn, n);
		assert_int_equal(fixture_stats(k).free_n, before);
		fixture_stop(&m);
	}
}

static void frame_alloc_bad_arguments_are_invalid(void **state)
{
	struct threads_machine m;
	struct kmm *k = start(&m, "pagemill");
	struct kmm_pfn out = { 5 };

	(void)state;
	assert_int_equal(kmm_frame_alloc(k, KMM_ORDER_MAX + 1, 0, &out), KMM_EINVAL);
	assert_int_equal(kmm_frame_alloc(k, 0, KMM_FRAME_ONLY, &out), KMM_EINVAL);
	assert_int_equal(kmm_frame_alloc_batch(k, KMM_ORDER_MAX + 1, 0, 1, &out), 0);
	assert_int_equal(kmm_frame_alloc_batch(k, 0, 0x20, 1, &out), 0);
	assert_int_equal(out.n, 5);
	fixture_stop(&m);
}

static void frame_zero_flag_clears_reused_block(void **state)
{
	struct threads_machine m;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = start(&m, presets[p]);

		for (unsigned order = 0; order <= 4; order++) {
			struct kmm_pfn pfn = get(k, order);
			size_t bytes = (size_t)KMM_PAGE_BYTES << order;
			const unsigned char *at;

			memset(kmm_frame_virt(k, pfn), 0xa5, bytes);
			put(k, pfn, order);
			assert_int_equal(kmm_frame_alloc(k, order, KMM_FRAME_ZERO, &pfn), KMM_OK);
			at = kmm_frame_virt(k, pfn);
			for (size_t i = 0; i < bytes; i++)
				assert_int_equal(at[i], 0);
			put(k, pfn, order);
		}
		fixture_stop(&m);
	}
}

static void frame_free_cached_is_double_free(void **state)
{
	struct threads_machine m;
	struct kmm *k = start(&m, "pagemill");
	struct kmm_pfn pfn = get(k, 0);

	(void)state;
	put(k, pfn, 0);
	assert_int_equal(frame_tag(k, pfn), FRAME_NONE);
	assert_int_equal(kmm_frame_free(k, pfn, 0), KMM_EDOUBLEFREE);
	assert_int_equal(kmm_frame_free(k, pfn, 1), KMM_EDOUBLEFREE);
	assert_int_equal(get(k, 0).n, pfn.n); /* the youngest comes first */
	put(k, pfn, 0);
	fixture_stop(&m);
}

static void frame_free_of_owned_block_is_busy(void **state)
{
	static const enum frame_tag kinds[] = { FRAME_TABLE, FRAME_ANON, FRAME_SLAB, FRAME_LARGE };
	struct threads_machine m;
	struct kmm *k = start(&m, "veridian");

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct kmm_pfn pfn;

		assert_int_equal(frame_alloc_kind(k, i, 0, kinds[i], &pfn), KMM_OK);
		assert_int_equal(kmm_frame_free(k, pfn, i), KMM_EBUSY);
		assert_int_equal(kmm_frame_free(k, pfn, i + 1), KMM_EWRONGORDER);
		assert_true(kmm_frame_is_allocated(k, pfn));
		frame_free_own(k, pfn, i);
		assert_false(kmm_frame_is_allocated(k, pfn));
	}
	fixture_stop(&m);
}

static void frame_free_of_referenced_block_is_busy(void **state)
{
	struct threads_machine m;
	struct kmm *k = start(&m, "pagemill");
	struct kmm_pfn pfn;

	(void)state;
	assert_int_equal(frame_alloc_kind(k, 0, 0, FRAME_ANON, &pfn), KMM_OK);
	frame_ref_get(k, pfn);
	assert_int_equal(kmm_frame_free(k, pfn, 0), KMM_EBUSY);
	frame_ref_put(k, pfn);
	assert_int_equal(kmm_frame_free(k, pfn, 0), KMM_EBUSY); /* another unit's still */
	frame_ref_put(k, pfn);
	assert_int_equal(kmm_frame_free(k, pfn, 0), KMM_EDOUBLEFREE);
	fixture_stop(&m);
}

static void frame_ref_put_last_one_frees(void **state)
{
	struct threads_machine m;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = start(&m, presets[p]);
		uint64_t before = fixture_stats(k).free_n;
		struct kmm_pfn pfn, other = get(k, 0), outside = { 1 };

		assert_int_equal(frame_alloc_kind(k, 0, 0, FRAME_ANON, &pfn), KMM_OK);
		assert_int_equal(frame_ref_count(k, pfn), 1);
		frame_ref_get(k, pfn);
		frame_ref_get(k, pfn);
		frame_entry(k, pfn)->index = 9; /* the owner's use leaves no trace */
		frame_entry(k, pfn)->flags = 9;
		frame_entry(k, pfn)->owner = 9;
		frame_ref_put(k, pfn);
		frame_ref_put(k, pfn);
		assert_int_equal(frame_ref_count(k, pfn), 1);
		assert_true(kmm_frame_is_allocated(k, pfn));
		frame_ref_put(k, pfn);
		assert_false(kmm_frame_is_allocated(k, pfn));
		frame_ref_put(k, other); /* not anonymous, not in the table: left alone */
		frame_ref_put(k, outside);
		assert_true(kmm_frame_is_allocated(k, other));
		assert_int_equal(frame_alloc_kind(k, 0, 0, FRAME_ANON, &pfn), KMM_OK);
		assert_int_equal(frame_entry(k, pfn)->index, 0);
		assert_int_equal(frame_entry(k, pfn)->owner, 0);
		assert_int_equal(kmm_frame_check(k), KMM_OK);
		frame_ref_put(k, pfn);
		put(k, other, 0);
		assert_int_equal(fixture_stats(k).free_n, before);
		fixture_stop(&m);
	}
}

static void frame_is_allocated_knows_heads_and_tails(void **state)
{
	static struct kmm_pfn pfn[FRAMES];
	struct threads_machine m;
	unsigned n;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = start(&m, presets[p]);
		struct kmm_pfn a = get(k, 5), at = { 0x1002 };

		for (at.n = a.n; at.n < a.n + 32; at.n++)
			assert_true(kmm_frame_is_allocated(k, at));
		put(k, a, 5);
		for (at.n = a.n; at.n < a.n + 32; at.n++)
			assert_false(kmm_frame_is_allocated(k, at));
		n = get_all(k, pfn); /* an allocated neighbour doesn't make one allocated */
		for (unsigned i = 0; i < n; i++)
			if (pfn[i].n % 2 != 0)
				put(k, pfn[i], 0);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(kmm_frame_is_allocated(k, pfn[i]), pfn[i].n % 2 == 0);
		for (unsigned i = 0; i < n; i++)
			if (pfn[i].n % 2 == 0)
				put(k, pfn[i], 0);
		at.n = 0x1002;
		assert_false(kmm_frame_is_allocated(k, at));
		at.n = 0x1003 + FRAMES;
		assert_false(kmm_frame_is_allocated(k, at));
		fixture_stop(&m);
	}
}

static void frame_stats_count_events(void **state)
{
	struct threads_machine m;
	struct kmm *k = start(&m, "pagemill+buddy");
	struct kmm_frame_stats s, t;
	struct kmm_pfn a, b;
	uint32_t batch;
	unsigned largest;

	(void)state;
	kmm_frame_drain(k);
	s = fixture_stats(k);
	largest = kmm_frame_largest_order(k);
	batch = magazine(k, MAGAZINE_PINNED)->batch;
	assert_int_equal(s.cached_n, 0);
	a = get(k, 0);
	b = get(k, 4);
	t = fixture_stats(k);
	assert_int_equal(t.alloc_n - s.alloc_n, 2);
	assert_int_equal(t.refill_n - s.refill_n, 1);
	assert_true(t.lock_n - s.lock_n >= 2);
	assert_int_equal(t.cached_n, batch - 1);
	assert_int_equal(s.free_n - t.free_n, 17);
	put(k, a, 0);
	assert_int_equal(fixture_stats(k).lock_n, t.lock_n); /* a cached one takes none */
	put(k, b, 4);
	assert_true(fixture_stats(k).lock_n > t.lock_n);
	kmm_frame_drain(k);
	t = fixture_stats(k);
	assert_int_equal(t.free_calls_n - s.free_calls_n, 2);
	assert_int_equal(t.drain_n - s.drain_n, 1);
	assert_int_equal(t.free_n, s.free_n);
	assert_int_equal(kmm_frame_largest_order(k), largest);
	fixture_stop(&m);
}

static void frame_cached_hit_takes_no_lock(void **state)
{
	struct threads_machine m;
	struct kmm *k = start(&m, "pagemill+buddy");
	uint64_t locks;

	(void)state;
	for (unsigned order = 0; order <= 3; order++) {
		put(k, get(k, order), order);
		locks = fixture_stats(k).lock_n;
		for (unsigned i = 0; i < 1000; i++)
			put(k, get(k, order), order);
		assert_int_equal(fixture_stats(k).lock_n, locks);
	}
	fixture_stop(&m);
}

static void frame_cache_spills_at_capacity(void **state)
{
	static struct kmm_pfn pfn[FRAMES];
	struct threads_machine m;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = start(&m, presets[p]);
		uint32_t capacity = magazine(k, MAGAZINE_PINNED)->max;
		unsigned n = get_all(k, pfn);

		for (unsigned i = 0; i < n; i++) {
			put(k, pfn[i], 0);
			assert_true(magazine(k, MAGAZINE_PINNED)->n <= capacity);
			assert_int_equal(fixture_stats(k).free_n, i + 1);
		}
		assert_int_equal(kmm_frame_check(k), KMM_OK);
		if (capacity != 0)
			assert_true(fixture_stats(k).cached_n > 0);
		fixture_stop(&m);
	}
}

static void frame_drain_empties_only_where_it_may(void **state)
{
	struct threads_machine m;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = start(&m, presets[p]);
		bool drains = preset_of(presets[p]).frame_cache_drains;
		uint64_t cached;

		put(k, get(k, 0), 0);
		cached = fixture_stats(k).cached_n;
		kmm_frame_drain(k);
		assert_int_equal(fixture_stats(k).cached_n, drains ? 0 : cached);
		fixture_stop(&m);
	}
}

static void frame_large_block_calls_back_own_cache(void **state)
{
	static const struct fixture_range block[] = { { 0x1000, FRAMES, KMM_MEM_USABLE } };
	static struct kmm_pfn pfn[FRAMES];
	struct threads_machine m;
	struct kmm *k;

	(void)state;
	EACH_PRESET(p) {
		const struct kmm_preset preset = preset_of(presets[p]);

		unsigned order, n;

		k = fixture_start(&m, presets[p], 1, block, 1);
		order = kmm_frame_largest_order(k) - 1u;
		assert_true(order >= 8); /* others hold frames from the start */
		n = get_all(k, pfn);
		put_all(k, pfn, n);
		if (preset.frame_cache_drains || preset.frame_cache_n == 0)
			put(k, get(k, order), order);
		fixture_stop(&m);
	}
}

static void frame_injected_failure_hits_the_kth(void **state)
{
	struct threads_machine m;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = start(&m, presets[p]);
		struct kmm_pfn pfn[8], out = { 3 };
		struct kmm_frame_stats s;

		for (uint32_t nth = 1; nth <= 4; nth++) {
			assert_int_equal(kmm_fail_arm(k, KMM_FAIL_FRAME, nth), KMM_OK);
			for (uint32_t i = 1; i < nth; i++)
				pfn[i] = get(k, i % 2);
			s = fixture_stats(k);
			assert_int_equal(kmm_frame_alloc(k, nth % 2, 0, &out), KMM_ENOMEM);
			assert_int_equal(out.n, 3);
			assert_int_equal(fixture_stats(k).free_n, s.free_n);
			assert_int_equal(fixture_stats(k).fail_n, s.fail_n + 1);
			put(k, get(k, 0), 0); /* once only */
			for (uint32_t i = 1; i < nth; i++)
				put(k, pfn[i], i % 2);
			assert_true(kmm_fail_disarm(k));
			assert_false(kmm_fail_disarm(k));
		}
		assert_int_equal(kmm_fail_arm(k, KMM_FAIL_FRAME, 1), KMM_OK);
		assert_int_equal(kmm_frame_alloc_batch(k, 0, 0, 8, pfn), 0);
		assert_true(kmm_fail_disarm(k));
		fixture_stop(&m);
	}
}

static void frame_check_finds_planted_tags(void **state)
{
	struct threads_machine m;
	struct kmm *k = start(&m, "pagemill");
	struct kmm_pfn a = get(k, 2), inside = { a.n + 1 }, own;

	(void)state;
	frame_tag_set(k, inside, FRAME_TAIL); /* of itself, that is of nothing */
	frame_entry(k, inside)->index = 0x7fffffff;
	assert_int_equal(kmm_frame_check(k), KMM_ECORRUPT);
	frame_tag_set(k, inside, FRAME_USED);
	assert_int_equal(kmm_frame_check(k), KMM_ECORRUPT);
	frame_tag_set(k, inside, FRAME_NONE);
	frame_tag_set(k, a, FRAME_USED + 1); /* half of it lost */
	assert_int_equal(kmm_frame_check(k), KMM_ECORRUPT);
	frame_tag_set(k, a, FRAME_NONE); /* leaked */
	assert_int_equal(kmm_frame_check(k), KMM_ECORRUPT);
	frame_tag_set(k, a, FRAME_USED + KMM_ORDER_MAX + 1); /* no such order */
	assert_int_equal(kmm_frame_check(k), KMM_ECORRUPT);
	frame_tag_set(k, a, FRAME_USED + 2);
	assert_int_equal(kmm_frame_check(k), KMM_OK);
	assert_int_equal(frame_alloc_kind(k, 0, 0, FRAME_ANON, &own), KMM_OK);
	frame_entry(k, own)->refs = 0;
	assert_int_equal(kmm_frame_check(k), KMM_ECORRUPT);
	frame_entry(k, own)->refs = 1;
	assert_int_equal(kmm_frame_check(k), KMM_OK);
	frame_ref_put(k, own);
	put(k, a, 2);
	fixture_stop(&m);
}

static void frame_check_finds_planted_caches(void **state)
{
	struct threads_machine m;
	struct kmm *k = start(&m, "pagemill");
	struct magazine *c = magazine(k, MAGAZINE_PINNED);
	struct kmm_pfn b = get(k, 0), keep;

	(void)state;
	assert_true(c->n >= 2);
	keep = c->slot[0];
	c->slot[0] = c->slot[1]; /* one frame twice, one lost */
	assert_int_equal(kmm_frame_check(k), KMM_ECORRUPT);
	c->slot[0] = b; /* a frame in use */
	assert_int_equal(kmm_frame_check(k), KMM_ECORRUPT);
	c->slot[0] = keep;
	c->n--;
	assert_int_equal(kmm_frame_check(k), KMM_ECORRUPT);
	c->n++;
	assert_int_equal(kmm_frame_check(k), KMM_OK);
	put(k, b, 0);
	fixture_stop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frame_init_manages_usable_frames_only),
		cmocka_unit_test(frame_exhausted_gives_every_frame_once),
		cmocka_unit_test(frame_alloc_bad_arguments_are_invalid),
		cmocka_unit_test(frame_zero_flag_clears_reused_block),
		cmocka_unit_test(frame_free_cached_is_double_free),
		cmocka_unit_test(frame_free_of_owned_block_is_busy),
		cmocka_unit_test(frame_free_of_referenced_block_is_busy),
		cmocka_unit_test(frame_ref_put_last_one_frees),
		cmocka_unit_test(frame_is_allocated_knows_heads_and_tails),
		cmocka_unit_test(frame_stats_count_events),
		cmocka_unit_test(frame_cached_hit_takes_no_lock),
		cmocka_unit_test(frame_cache_spills_at_capacity),
		cmocka_unit_test(frame_drain_empties_only_where_it_may),
		cmocka_unit_test(frame_large_block_calls_back_own_cache),
		cmocka_unit_test(frame_injected_failure_hits_the_kth),
		cmocka_unit_test(frame_check_finds_planted_tags),
		cmocka_unit_test(frame_check_finds_planted_caches),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
