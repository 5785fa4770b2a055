/// Ranges through the public API: where they lie, what is refused, and that nothing else
/// changes.
#include "zone_fixture.h"

#define BASE 0x1003u
#define FRAMES 6000u
#define RANGES_MAX 400u

static const struct zone_setup flat = {
	.range = { { BASE, FRAMES, KMM_MEM_USABLE } }, .reserve_n = -1, .cache_n = -1,
};

/// [BASE, 0x1800) for old devices, then up to 0x2000, then the rest; a hole in the middle.
static const struct zone_setup zoned = {
	.range = { { BASE, FRAMES, KMM_MEM_USABLE }, { 0x1c00, 16, KMM_MEM_RESERVED } },
	.dma_end = 0x1800, .dma32_end = 0x2000, .reserve_n = -1, .cache_n = -1,
};

static enum kmm_error get(struct kmm *k, uint64_t n, uint64_t align, struct kmm_pfn *out)
{
	struct kmm_frame_request r = { .n = n, .align_n = align };

	return kmm_frame_alloc_range(k, &r, out);
}

static void put(struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	assert_int_equal(kmm_frame_free_range(k, pfn, n), KMM_OK);
}

static void range_of_any_count_is_aligned(void **state)
{
	static const uint64_t count[] = { 1, 2, 3, 5, 8, 63, 64, 65, 511, 513, 1000, 1537 };
	struct zone_machine z;
	struct kmm_pfn pfn;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &flat);
		struct zone_books before = zone_books(k);

		for (unsigned i = 0; i < sizeof(count) / sizeof(count[0]); i++) {
			for (uint64_t align = 0; align <= 1024; align = align ? align * 4 : 1) {
				assert_int_equal(get(k, count[i], align, &pfn), KMM_OK);
				assert_int_equal(pfn.n & (align ? align - 1 : 0), 0);
				assert_true(pfn.n >= BASE && pfn.n + count[i] <= BASE + FRAMES);
				for (uint64_t j = 0; j < count[i]; j++)
					assert_true(kmm_frame_is_allocated(
						k, (struct kmm_pfn){ pfn.n + j }));
				assert_int_equal(zone_stats(k).free_n, before.free_n - count[i]);
				zone_check(k);
				put(k, pfn, count[i]);
			}
		}
		assert_books(k, before);
		zone_stop(&z);
	}
}

static void range_refuses_what_makes_no_sense(void **state)
{
	static const struct kmm_frame_request bad[] = {
		{ .n = 0 },
		{ .n = 4, .align_n = 3 },
		{ .n = 4, .flags = 0x20 },
		{ .n = 4, .flags = KMM_FRAME_ONLY },
		{ .n = 4, .flags = KMM_FRAME_ZONE(7) },
		{ .n = 4, .lo = { 0x2000000 }, .hi = { 0x2000000 } },
		{ .n = 4, .lo = { 0x2000001 }, .hi = { 0x2004000 } },
		{ .n = 4, .lo = { 0x2000000 }, .hi = { 0x2003fff } },
	};
	static const struct kmm_frame_request large[] = {
		{ .n = FRAMES + 1 }, { .n = ~0ull }, { .n = 1ull << 40 },
		{ .n = 1, .align_n = 1ull << 63 }, { .n = 1, .align_n = 1u << 20 },
		{ .n = 4, .lo = { 0x10000000 } }, { .n = 4, .lo = { ~0ull } },
		{ .n = 4, .hi = { 0x1000000 } },
	};
	struct zone_machine z;
	struct kmm *k = zone_start(&z, "pagemill", &flat);
	struct zone_books before = zone_books(k);
	struct kmm_pfn pfn = { 77 };

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(kmm_frame_alloc_range(k, &bad[i], &pfn), KMM_EINVAL);
	assert_int_equal(zone_stats(k).fail_n, 0);
	for (unsigned i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
		assert_int_equal(kmm_frame_alloc_range(k, &large[i], &pfn), KMM_ENOMEM);
		assert_int_equal(zone_stats(k).fail_n, i + 1);
	}
	assert_int_equal(pfn.n, 77);
	assert_books(k, before);
	zone_stop(&z);
}

static void range_keeps_within_limits(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &zoned);
		struct zone_books before = zone_books(k);
		struct kmm_frame_request r = { .n = 100, .lo = { 0x1a00001 }, .hi = { 0x1b00fff } };
		struct kmm_pfn pfn[3], none;

		/* 0x1a01 to 0x1b00: two of them fit. */
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(kmm_frame_alloc_range(k, &r, &pfn[i]), KMM_OK);
			assert_true(pfn[i].n >= 0x1a01 && pfn[i].n + 100 <= 0x1b00);
		}
		assert_int_equal(kmm_frame_alloc_range(k, &r, &none), KMM_ENOMEM);
		r = (struct kmm_frame_request){ .n = 64, .align_n = 64, .hi = { 0x1100000 } };
		assert_int_equal(kmm_frame_alloc_range(k, &r, &pfn[2]), KMM_OK);
		assert_true(pfn[2].n % 64 == 0 && pfn[2].n + 64 <= 0x1100);
		put(k, pfn[2], 64);
		put(k, pfn[0], 100);
		put(k, pfn[1], 100);
		assert_books(k, before);
		zone_stop(&z);
	}
}

static void range_follows_zone_flags(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &zoned);
		struct kmm_frame_request dma = { .n = 300, .flags = KMM_FRAME_ZONE(KMM_ZONE_DMA) };
		struct kmm_frame_request any = { .n = 700 };
		struct kmm_frame_request only = { .n = 1100, .flags = KMM_FRAME_ONLY |
							    KMM_FRAME_ZONE(KMM_ZONE_DMA32) };
		struct kmm_pfn a, b, c;

		assert_int_equal(kmm_frame_alloc_range(k, &dma, &a), KMM_OK);
		assert_int_equal(zone_info(k, zone_at(k, a.n)).kind, KMM_ZONE_DMA);
		assert_int_equal(kmm_frame_alloc_range(k, &any, &b), KMM_OK);
		assert_int_equal(zone_info(k, zone_at(k, b.n)).kind, KMM_ZONE_NORMAL);
		/* 0x1800 to 0x1c00, hole, to 0x2000: too little in one piece. */
		assert_int_equal(kmm_frame_alloc_range(k, &only, &c), KMM_ENOMEM);
		only.n = 1000;
		assert_int_equal(kmm_frame_alloc_range(k, &only, &c), KMM_OK);
		assert_int_equal(zone_info(k, zone_at(k, c.n)).kind, KMM_ZONE_DMA32);
		put(k, a, 300);
		put(k, b, 700);
		put(k, c, 1000);
		zone_stop(&z);
	}
}

static void range_wrong_frees_are_told(void **state)
{
	struct zone_machine z;
	struct kmm_pfn out_of = { BASE - 1 }, end = { BASE + FRAMES };

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &zoned);
		struct kmm_pfn pfn, block = zone_get(k, 3, 0), inside, hole = { 0x1c00 };
		struct zone_books before;

		assert_int_equal(get(k, 37, 1, &pfn), KMM_OK);
		inside.n = pfn.n + 1;
		before = zone_books(k);
		assert_int_equal(kmm_frame_free_range(k, pfn, 36), KMM_EWRONGORDER);
		assert_int_equal(kmm_frame_free_range(k, pfn, 38), KMM_EWRONGORDER);
		assert_int_equal(kmm_frame_free_range(k, inside, 36), KMM_EDOUBLEFREE);
		assert_int_equal(kmm_frame_free_range(k, hole, 16), KMM_EDOUBLEFREE);
		assert_int_equal(kmm_frame_free_range(k, pfn, 0), KMM_EINVAL);
		assert_int_equal(kmm_frame_free_range(k, pfn, FRAMES), KMM_EINVAL);
		assert_int_equal(kmm_frame_free_range(k, pfn, ~0ull), KMM_EINVAL);
		assert_int_equal(kmm_frame_free_range(k, out_of, 1), KMM_EINVAL);
		assert_int_equal(kmm_frame_free_range(k, end, 1), KMM_EINVAL);
		assert_int_equal(kmm_frame_free_range(k, block, 8), KMM_EWRONGORDER);
		for (unsigned order = 0; order <= KMM_ORDER_MAX; order++) {
			assert_int_equal(kmm_frame_free(k, pfn, order), KMM_EWRONGORDER);
			assert_int_equal(kmm_frame_free(k, inside, order), KMM_EDOUBLEFREE);
		}
		assert_books(k, before);
		put(k, pfn, 37);
		assert_int_equal(kmm_frame_free_range(k, pfn, 37), KMM_EDOUBLEFREE);
		zone_put(k, block, 3);
		zone_stop(&z);
	}
}

static void range_of_another_unit_is_busy(void **state)
{
	struct zone_machine z;
	struct kmm *k = zone_start(&z, "pagemill", &flat);
	void *p = kmm_alloc(k, 32);
	struct kmm_pfn pfn;

	(void)state;
	assert_non_null(p);
	pfn = kmm_pa_to_pfn(kmm_port_phys(k, p));
	assert_int_equal(kmm_frame_free_range(k, pfn, 1), KMM_EBUSY);
	assert_int_equal(kmm_free(k, p), KMM_OK);
	zone_stop(&z);
}

/// Every other run of 24 frames is in use: ranges up to 24 are there, not more.
static void range_found_between_blocks(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct kmm_pfn pfn[FRAMES / 24];
		struct kmm *k = zone_start(&z, zone_presets[p], &flat);
		struct zone_books before = zone_books(k);
		unsigned n = 0, kept = 0;
		struct kmm_pfn found;

		while (get(k, 24, 1, &pfn[n]) == KMM_OK)
			n++;
		assert_true(n >= 180);
		for (unsigned i = 0; i < n; i++) {
			if (pfn[i].n / 24 % 2 == 0)
				put(k, pfn[i], 24);
			else
				pfn[kept++] = pfn[i];
		}
		zone_check(k);
		assert_int_equal(get(k, 23, 1, &found), KMM_OK);
		put(k, found, 23);
		for (unsigned i = 0; i < kept; i++)
			put(k, pfn[i], 24);
		assert_books(k, before);
		zone_stop(&z);
	}
}

/// Holes of 37 frames at multiples of 64, made by hand: what fits is found, at every
/// alignment, and what doesn't fails and changes nothing.
static void range_search_is_exact(void **state)
{
	struct zone_machine z;
	struct kmm_pfn found;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &flat);
		struct zone_books before = zone_books(k), full;
		unsigned holes = 0;

		held.n = 0;
		zone_take_all(k, &held, 0, 0);
		for (uint64_t i = 0; i < held.n;) {
			if (held.block[i].pfn.n % 64 >= 11 && held.block[i].pfn.n % 64 < 48) {
				holes += held.block[i].pfn.n % 64 == 11;
				zone_put(k, held.block[i].pfn, 0);
				held.block[i] = held.block[--held.n];
			} else {
				i++;
			}
		}
		assert_true(holes > 80);
		full = zone_books(k);
		assert_int_equal(get(k, 38, 1, &found), KMM_ENOMEM);
		assert_int_equal(get(k, 33, 16, &found), KMM_ENOMEM);
		assert_int_equal(get(k, 17, 32, &found), KMM_ENOMEM);
		assert_int_equal(get(k, 1, 64, &found), KMM_ENOMEM);
		assert_books(k, full);
		for (unsigned i = 0; i + 4 < holes; i++) {
			assert_int_equal(get(k, 32, 16, &found), KMM_OK);
			assert_int_equal(found.n % 64, 16);
			assert_true(i % 8 != 0 || kmm_frame_check(k) == KMM_OK);
			held.block[held.n].pfn = found;
			held.block[held.n++].order = 99;
		}
		while (held.n != 0 && held.block[held.n - 1].order == 99)
			put(k, held.block[--held.n].pfn, 32);
		assert_books(k, full);
		zone_give_all(k, &held);
		assert_books(k, before);
		zone_stop(&z);
	}
}

static void range_exhausts_and_comes_back(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct { struct kmm_pfn pfn; uint64_t n; } range[RANGES_MAX];
		struct kmm *k = zone_start(&z, zone_presets[p], &zoned);
		struct zone_books before = zone_books(k);
		uint64_t seed = 99 + p;
		unsigned held = 0;

		for (unsigned step = 0; step < 3000; step++) {
			uint64_t n = 1 + zone_draw(&seed) % (step % 7 ? 40 : 600);

			if (held < RANGES_MAX && zone_draw(&seed) % 8 < 5) {
				range[held].n = n;
				held += get(k, n, 1ull << zone_draw(&seed) % 5,
					    &range[held].pfn) == KMM_OK;
			} else if (held != 0) {
				unsigned i = (unsigned)(zone_draw(&seed) % held);

				put(k, range[i].pfn, range[i].n);
				range[i] = range[--held];
			}
			if (step % 300 == 0)
				zone_check(k);
		}
		zone_check(k);
		while (held-- != 0)
			put(k, range[held].pfn, range[held].n);
		assert_books(k, before);
		zone_stop(&z);
	}
}

static void range_takes_the_longest_run(void **state)
{
	struct zone_machine z;
	const struct zone_setup bare = { .range = { { BASE, FRAMES, KMM_MEM_USABLE } },
					 .reserve_n = 0, .cache_n = -1 };

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &bare);
		struct zone_books before = zone_books(k);
		struct kmm_fragmentation f;
		struct kmm_pfn pfn, none, cached;

		/* The longest run there is, once this CPU's cache is empty, which the
		 * allocation sees to itself. */
		kmm_frame_drain(k);
		assert_int_equal(kmm_zone_fragmentation(k, 0, &f), KMM_OK);
		assert_true(f.largest_run_n > FRAMES / 4);
		cached = zone_get(k, 0, 0);
		zone_put(k, cached, 0);
		assert_int_equal(get(k, f.largest_run_n + 1, 1, &none), KMM_ENOMEM);
		cached = zone_get(k, 0, 0);
		zone_put(k, cached, 0);
		assert_int_equal(get(k, f.largest_run_n, 1, &pfn), KMM_OK);
		assert_int_equal(zone_stats(k).free_n, before.free_n - f.largest_run_n);
		assert_int_equal(get(k, f.largest_run_n, 1, &none), KMM_ENOMEM);
		put(k, pfn, f.largest_run_n);
		assert_books(k, before);
		zone_stop(&z);
	}
}

/// More than the largest block: 5 GiB of frames that nobody touches.
static void range_exceeds_largest_block(void **state)
{
	const uint64_t n = 5ull << 18;
	const struct zone_setup large = { .range = { { 0x100001, 2 * n + 3, KMM_MEM_USABLE } },
					  .reserve_n = 0, .cache_n = -1 };
	struct zone_machine z;
	struct kmm_pfn pfn;

	(void)state;
	for (unsigned p = 0; p < 2; p++) {
		struct kmm *k = zone_start(&z, zone_presets[p], &large);
		struct zone_books before = zone_books(k);

		assert_int_equal(get(k, n, 1, &pfn), KMM_OK);
		assert_int_equal(kmm_frame_free_range(k, pfn, n - 1), KMM_EWRONGORDER);
		put(k, pfn, n);
		assert_books(k, before);
		zone_stop(&z);
	}
}

static void range_is_zeroed(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &flat);

		for (unsigned limited = 0; limited < 2; limited++) {
			struct kmm_frame_request r = { .n = 21, .flags = KMM_FRAME_ZERO,
						       .lo = { limited ? 0x1200000 : 0 } };
			struct kmm_pfn pfn;
			const unsigned char *at;

			zone_take_all(k, &held, 0, 0);
			for (uint64_t i = 0; i < held.n; i++)
				memset(kmm_frame_virt(k, held.block[i].pfn), 0xab, KMM_PAGE_BYTES);
			zone_give_all(k, &held);
			assert_int_equal(kmm_frame_alloc_range(k, &r, &pfn), KMM_OK);
			at = kmm_frame_virt(k, pfn);
			for (unsigned i = 0; i < 21 * KMM_PAGE_BYTES; i++)
				assert_true(at[i] == 0);
			put(k, pfn, 21);
		}
		zone_stop(&z);
	}
}

static void range_injected_failure_changes_nothing(void **state)
{
	struct zone_machine z;
	struct kmm_frame_request limited = { .n = 9, .hi = { 0x2000000 } };

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &zoned);
		struct kmm_pfn pfn[3];

		for (unsigned nth = 1;; nth++) {
			struct zone_books before = zone_books(k);
			unsigned got = 0;

			assert_int_equal(kmm_fail_arm(k, KMM_FAIL_FRAME, nth), KMM_OK);
			got += get(k, 33, 4, &pfn[0]) == KMM_OK;
			if (got == 1)
				got += kmm_frame_alloc_range(k, &limited, &pfn[1]) == KMM_OK;
			if (got == 2)
				got += kmm_frame_alloc(k, 2, 0, &pfn[2]) == KMM_OK;
			assert_int_equal(kmm_fail_disarm(k), got != 3);
			assert_int_equal(got, nth < 4 ? nth - 1 : 3);
			if (got > 2)
				zone_put(k, pfn[2], 2);
			if (got > 1)
				put(k, pfn[1], 9);
			if (got > 0)
				put(k, pfn[0], 33);
			assert_books(k, before);
			if (got == 3)
				break;
		}
		zone_stop(&z);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(range_of_any_count_is_aligned),
		cmocka_unit_test(range_refuses_what_makes_no_sense),
		cmocka_unit_test(range_keeps_within_limits),
		cmocka_unit_test(range_follows_zone_flags),
		cmocka_unit_test(range_wrong_frees_are_told),
		cmocka_unit_test(range_of_another_unit_is_busy),
		cmocka_unit_test(range_found_between_blocks),
		cmocka_unit_test(range_search_is_exact),
		cmocka_unit_test(range_exhausts_and_comes_back),
		cmocka_unit_test(range_takes_the_longest_run),
		cmocka_unit_test(range_exceeds_largest_block),
		cmocka_unit_test(range_is_zeroed),
		cmocka_unit_test(range_injected_failure_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
