/// Zones through the public API: how memory is cut, who is asked in which order, what
/// caches do at the borders, and how scattered free memory is said to be.
#include "zone_fixture.h"

#define DMA 0x103u
#define DMA32 0x400u
#define NORMAL 0x800u
#define HIGH 0x1000u
#define DEVICE 0x1400u
#define END 0x1600u

static const struct zone_setup five = {
	.range = { { DMA, DEVICE - DMA, KMM_MEM_USABLE },
		   { DEVICE, END - DEVICE, KMM_MEM_DEVICE } },
	.dma_end = DMA32, .dma32_end = NORMAL, .high_start = HIGH, .reserve_n = 0, .cache_n = -1,
};

static enum kmm_zone_kind kind_of(struct kmm *k, struct kmm_pfn pfn)
{
	return zone_info(k, zone_at(k, pfn.n)).kind;
}

static void zones_are_cut_by_limits(void **state)
{
	static const uint64_t border[] = { DMA, DMA32, NORMAL, HIGH, DEVICE, END };
	static const char *const name[] = { "dma", "dma32", "normal", "high", "device" };
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &five);
		struct kmm_zone_info info;

		assert_int_equal(kmm_zones_n(k), 5);
		for (unsigned i = 0; i < 5; i++) {
			info = zone_info(k, i);
			assert_int_equal(info.kind, i);
			assert_string_equal(info.name, name[i]);
			assert_string_equal(kmm_zone_kind_name(info.kind), name[i]);
			assert_string_equal(info.policy, kmm_frame_policy_name(k));
			assert_int_equal(info.base.n, border[i]);
			assert_int_equal(info.end.n, border[i + 1]);
			assert_int_equal(info.managed_n, border[i + 1] - border[i]);
			assert_int_equal(info.node, 0);
			assert_int_equal(info.mark[KMM_LEVEL_LOW], info.managed_n / 64);
			assert_int_equal(info.mark[KMM_LEVEL_CRITICAL], info.managed_n / 256);
			assert_int_equal(info.level, KMM_LEVEL_OK);
		}
		assert_int_equal(kmm_zone_info(k, 5, &info), KMM_EINVAL);
		assert_int_equal(zone_stats(k).managed_n, END - DMA);
		zone_stop(&z);
	}
	assert_string_equal(kmm_zone_kind_name(KMM_ZONE_KINDS_N), "none");
}

/// Holes don't cut; presets without zones have one; the usual limits are far above.
static void zones_are_no_more_than_needed(void **state)
{
	struct zone_setup s = { .range = { { 0x1000, 0x1000, KMM_MEM_USABLE },
					   { 0x1800, 0x100, KMM_MEM_RESERVED } },
				.reserve_n = -1, .cache_n = -1 };
	struct zone_machine z;
	struct kmm *k = zone_start(&z, "pagemill", &s);

	(void)state;
	assert_int_equal(kmm_zones_n(k), 1);
	assert_int_equal(zone_info(k, 0).kind, KMM_ZONE_DMA32);
	assert_int_equal(zone_info(k, 0).managed_n, 0xf00);
	zone_stop(&z);
	k = zone_start(&z, "neo", &five);
	assert_int_equal(kmm_zones_n(k), 2);
	assert_int_equal(zone_info(k, 0).kind, KMM_ZONE_NORMAL);
	assert_int_equal(zone_info(k, 0).end.n, DEVICE);
	assert_int_equal(zone_info(k, 1).kind, KMM_ZONE_DEVICE);
	zone_stop(&z);
}

static bool of_this_kind(struct kmm *k, const struct zone_held *h, enum kmm_zone_kind kind)
{
	for (uint64_t i = 0; i < h->n; i++)
		if (kind_of(k, h->block[i].pfn) == kind)
			return true;
	return false;
}

/// All of memory, frame by frame: which kinds come, in which order.
static void kinds_follow(struct kmm *k, unsigned flags, const enum kmm_zone_kind *kind, unsigned n)
{
	static struct zone_held held;
	struct zone_books before = zone_books(k);
	uint64_t want_n = 0, had_n = 0;
	unsigned at = 0;

	for (unsigned i = 0; i < n; i++)
		want_n += zone_info(k, kind[i]).managed_n;
	for (uint64_t i = DMA; i < END; i++)
		for (unsigned j = 0; j < n; j++)
			had_n += kind_of(k, (struct kmm_pfn){ i }) == kind[j] &&
				 kmm_frame_is_allocated(k, (struct kmm_pfn){ i });
	/* What other caches of this CPU hold would come at the very end. */
	kmm_frame_drain(k);
	held.n = 0;
	assert_int_equal(zone_take_all(k, &held, 0, flags), want_n - had_n);
	for (uint64_t i = 0; i < held.n; i++) {
		while (at < n && kind_of(k, held.block[i].pfn) != kind[at])
			at++;
		assert_true(at < n);
	}
	for (unsigned i = 0; i < n; i++)
		assert_true(of_this_kind(k, &held, kind[i]));
	zone_give_all(k, &held);
	assert_books(k, before);
}

static void follow_from_each(struct kmm *k, unsigned flags)
{
	static const enum kmm_zone_kind from_high[] = { KMM_ZONE_HIGH, KMM_ZONE_NORMAL,
							KMM_ZONE_DMA32, KMM_ZONE_DMA };
	static const enum kmm_zone_kind device[] = { KMM_ZONE_DEVICE };

	kinds_follow(k, flags, from_high + 1, 3);
	kinds_follow(k, flags | KMM_FRAME_ZONE(KMM_ZONE_NORMAL), from_high + 1, 3);
	kinds_follow(k, flags | KMM_FRAME_ZONE(KMM_ZONE_HIGH), from_high, 4);
	kinds_follow(k, flags | KMM_FRAME_ZONE(KMM_ZONE_DMA32), from_high + 2, 2);
	kinds_follow(k, flags | KMM_FRAME_ZONE(KMM_ZONE_DMA), from_high + 3, 1);
	kinds_follow(k, flags | KMM_FRAME_ZONE(KMM_ZONE_DEVICE), device, 1);
}

static void zones_are_asked_from_the_kind_downwards(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		for (int cached = -1; cached <= 0; cached++) {
			struct zone_setup s = five;
			struct kmm *k;

			s.cache_n = cached;
			k = zone_start(&z, zone_presets[p], &s);
			follow_from_each(k, 0);
			follow_from_each(k, KMM_FRAME_MOVABLE);
			zone_stop(&z);
		}
	}
}

static void zone_asked_alone_gives_alone(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &five);

		for (enum kmm_zone_kind kind = KMM_ZONE_DMA; kind < KMM_ZONE_KINDS_N; kind++)
			kinds_follow(k, KMM_FRAME_ONLY | KMM_FRAME_ZONE(kind), &kind, 1);
		zone_stop(&z);
	}
}

static void zone_flags_that_make_no_sense(void **state)
{
	static const unsigned bad[] = { KMM_FRAME_ONLY, KMM_FRAME_ZONE(5), KMM_FRAME_ZONE(6),
					0x20, 0x80, 0x800, 1u << 31 };
	struct zone_machine z;
	struct kmm *k = zone_start(&z, "pagemill", &five);
	struct zone_books before = zone_books(k);
	struct kmm_pfn pfn = { 5 };

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(kmm_frame_alloc(k, 0, bad[i], &pfn), KMM_EINVAL);
		assert_int_equal(kmm_frame_alloc_on(k, 0, bad[i], NULL, &pfn), KMM_EINVAL);
		assert_int_equal(kmm_frame_alloc_batch(k, 0, bad[i], 1, &pfn), 0);
	}
	assert_int_equal(pfn.n, 5);
	assert_books(k, before);
	zone_stop(&z);
}

/// A kind that no zone has, and one whose zone has no frames.
static void zones_without_frames_give_none(void **state)
{
	static const unsigned none[] = { KMM_FRAME_ONLY | KMM_FRAME_ZONE(KMM_ZONE_NORMAL),
					 KMM_FRAME_ZONE(KMM_ZONE_DMA),
					 KMM_FRAME_ZONE(KMM_ZONE_DEVICE) };
	struct zone_setup s = { .range = { { 0x100, 0x400, KMM_MEM_USABLE },
					   { 0x800, 0x400, KMM_MEM_PLUGGABLE } },
				.dma_end = 0x80, .dma32_end = 0x700, .reserve_n = -1,
				.cache_n = -1 };
	struct zone_machine z;
	struct kmm_pfn pfn;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &s);
		struct kmm_fragmentation f;

		assert_int_equal(kmm_zones_n(k), 2);
		assert_int_equal(zone_info(k, 1).kind, KMM_ZONE_NORMAL);
		assert_int_equal(zone_info(k, 1).managed_n, 0);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(kmm_frame_alloc(k, 0, none[i], &pfn), KMM_ENOMEM);
		assert_int_equal(kmm_zone_fragmentation(k, 1, &f), KMM_OK);
		assert_int_equal(f.runs_n, 0);
		pfn = zone_get(k, 0, 0);
		assert_int_equal(kind_of(k, pfn), KMM_ZONE_DMA32);
		zone_put(k, pfn, 0);
		zone_stop(&z);
	}
}

/// A cache holds frames of one zone: others go home, and it changes over when it is empty.
static void caches_hold_one_zone_at_a_time(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &five);
		struct kmm_pfn old = zone_get(k, 0, KMM_FRAME_ZONE(KMM_ZONE_DMA)), pfn;
		uint64_t free_n;

		/* The cache is of the normal zone now. */
		pfn = zone_get(k, 0, 0);
		assert_int_equal(kind_of(k, pfn), KMM_ZONE_NORMAL);
		free_n = zone_info(k, 0).free_n;
		zone_put(k, old, 0);
		assert_int_equal(zone_info(k, 0).free_n, free_n + 1);
		zone_put(k, pfn, 0);
		/* And now it is of the one below. */
		held.n = 0;
		do {
			pfn = zone_get(k, 0, 0);
			held.block[held.n].pfn = pfn;
			held.block[held.n++].order = 0;
		} while (kind_of(k, pfn) == KMM_ZONE_NORMAL);
		assert_true(zone_stats(k).cached_n != 0);
		free_n = zone_info(k, 2).free_n;
		for (unsigned i = 0; i < 5; i++)
			zone_put(k, held.block[--held.n - 1].pfn, 0);
		held.block[held.n - 1].pfn = pfn;
		assert_int_equal(zone_info(k, 2).free_n, free_n + 5);
		while (zone_info(k, 2).free_n == free_n + 5) {
			pfn = zone_get(k, 0, 0);
			held.block[held.n].pfn = pfn;
			held.block[held.n++].order = 0;
			assert_true(kind_of(k, pfn) == KMM_ZONE_DMA32 ||
				    zone_info(k, 2).free_n < free_n + 5);
		}
		assert_int_equal(kind_of(k, pfn), KMM_ZONE_NORMAL);
		zone_give_all(k, &held);
		zone_stop(&z);
	}
}

static void claims_are_counted_where_they_happen(void **state)
{
	struct zone_setup s = five;
	struct zone_machine z;

	(void)state;
	s.cache_n = 0;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &s);
		struct kmm_zone_info was = zone_info(k, 1), now;
		struct kmm_pfn pfn = zone_get(k, 2, KMM_FRAME_ZONE(KMM_ZONE_DMA32));

		now = zone_info(k, 1);
		assert_int_equal(now.claim_n, was.claim_n + 1);
		assert_int_equal(now.free_n, was.free_n - 4);
		zone_put(k, pfn, 2);
		now = zone_info(k, 1);
		assert_int_equal(now.release_n, was.release_n + 1);
		assert_int_equal(now.free_n, was.free_n);
		zone_stop(&z);
	}
}

/// What brute force says of a zone, frame by frame: with neither caches nor reserve, all
/// that isn't allocated is free in the policy.
static struct kmm_fragmentation brute_force(struct kmm *k, const struct kmm_zone_info *info)
{
	struct kmm_fragmentation f;
	uint64_t at = info->base.n, lost = 0;

	memset(&f, 0, sizeof(f));
	while (at < info->end.n) {
		uint64_t start = at;

		while (at < info->end.n && !kmm_frame_is_allocated(k, (struct kmm_pfn){ at }))
			at++;
		f.free_n += at - start;
		f.runs_n += at != start;
		f.largest_run_n = at - start > f.largest_run_n ? at - start : f.largest_run_n;
		while (start < at) {
			unsigned order = 0;

			while (order < KMM_ORDER_MAX && start % (2ull << order) == 0 &&
			       start + (2ull << order) <= at)
				order++;
			f.blocks_n[order]++;
			start += 1ull << order;
		}
		at++;
	}
	for (at = (info->base.n + 511) / 512 * 512; at + 512 <= info->end.n; at += 512) {
		uint64_t i = 0;

		while (i < 512 && !kmm_frame_is_allocated(k, (struct kmm_pfn){ at + i }))
			i++;
		f.whole_n += i == 512;
	}
	for (unsigned order = 0; order <= KMM_ORDER_MAX && f.free_n != 0; order++) {
		f.unusable[order] = (uint16_t)(lost * 1000 / f.free_n);
		lost += f.blocks_n[order] << order;
	}
	return f;
}

static void fragmentation_compare(struct kmm *k)
{
	unsigned largest = 0;

	for (unsigned i = 0; i < kmm_zones_n(k); i++) {
		struct kmm_zone_info info = zone_info(k, i);
		struct kmm_fragmentation want = brute_force(k, &info), f;

		assert_int_equal(kmm_zone_fragmentation(k, i, &f), KMM_OK);
		assert_int_equal(f.free_n, info.free_n);
		assert_int_equal(f.free_n, want.free_n);
		assert_int_equal(f.runs_n, want.runs_n);
		assert_int_equal(f.largest_run_n, want.largest_run_n);
		assert_int_equal(f.whole_n, want.whole_n);
		assert_memory_equal(f.blocks_n, want.blocks_n, sizeof(f.blocks_n));
		assert_memory_equal(f.unusable, want.unusable, sizeof(f.unusable));
		for (unsigned order = 0; order <= KMM_ORDER_MAX; order++)
			if (f.blocks_n[order] != 0 && order + 1 > largest)
				largest = order + 1;
	}
	assert_int_equal(kmm_frame_largest_order(k), largest);
}

static void fragmentation_is_what_brute_force_says(void **state)
{
	struct zone_setup s = five;
	struct zone_machine z;

	(void)state;
	s.cache_n = 0;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &s);
		struct kmm_fragmentation f;
		uint64_t seed = 5;

		assert_int_equal(kmm_zone_fragmentation(k, 5, &f), KMM_EINVAL);
		fragmentation_compare(k);
		held.n = 0;
		for (unsigned step = 0; step < 3000; step++) {
			struct kmm_pfn pfn;
			unsigned order = (unsigned)(zone_draw(&seed) % 6);
			unsigned flags = zone_draw(&seed) % 2 ? KMM_FRAME_MOVABLE : 0;

			if (zone_draw(&seed) % 5 < 3 &&
			    kmm_frame_alloc(k, order, flags | KMM_FRAME_ZONE(zone_draw(&seed) % 5),
					    &pfn) == KMM_OK) {
				held.block[held.n].pfn = pfn;
				held.block[held.n++].order = order;
			} else if (held.n != 0) {
				uint64_t i = zone_draw(&seed) % held.n;

				zone_put(k, held.block[i].pfn, held.block[i].order);
				held.block[i] = held.block[--held.n];
			}
			if (step % 500 == 0)
				fragmentation_compare(k);
		}
		zone_take_all(k, &held, 0, KMM_FRAME_ZONE(KMM_ZONE_HIGH));
		fragmentation_compare(k);
		zone_give_all(k, &held);
		fragmentation_compare(k);
		zone_stop(&z);
	}
}

/// Every form of allocation, the nth attempt failing.
static unsigned allocate_some(struct kmm *k, struct kmm_pfn *pfn)
{
	struct kmm_node_policy interleave = { KMM_NODES_INTERLEAVE, 1, 0 };
	const unsigned high = KMM_FRAME_ZONE(KMM_ZONE_HIGH) | KMM_FRAME_MOVABLE;

	if (kmm_frame_alloc(k, 0, 0, &pfn[0]) != KMM_OK)
		return 0;
	if (kmm_frame_alloc(k, 0, high, &pfn[1]) != KMM_OK)
		return 1;
	if (kmm_frame_alloc(k, 0, KMM_FRAME_ONLY | KMM_FRAME_ZONE(KMM_ZONE_DMA), &pfn[2]) != KMM_OK)
		return 2;
	if (kmm_frame_alloc_on(k, 0, KMM_FRAME_RESERVE, &interleave, &pfn[3]) != KMM_OK)
		return 3;
	return 4 + kmm_frame_alloc_batch(k, 0, KMM_FRAME_NOWAIT, 130, pfn + 4);
}

static void zone_injected_failures_change_nothing(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &five);
		struct kmm_pfn pfn[134];
		unsigned got = 0;

		for (unsigned nth = 1; got < 134; nth++) {
			struct zone_books before = zone_books(k);

			assert_int_equal(kmm_fail_arm(k, KMM_FAIL_FRAME, nth), KMM_OK);
			got = allocate_some(k, pfn);
			assert_int_equal(kmm_fail_disarm(k), got < 134);
			assert_true(got == 134 || got + 1 == nth || got == 4 + 64 * (nth - 5));
			for (unsigned i = 0; i < got; i++)
				zone_put(k, pfn[i], 0);
			assert_books(k, before);
		}
		zone_stop(&z);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zones_are_cut_by_limits),
		cmocka_unit_test(zones_are_no_more_than_needed),
		cmocka_unit_test(zones_are_asked_from_the_kind_downwards),
		cmocka_unit_test(zone_asked_alone_gives_alone),
		cmocka_unit_test(zone_flags_that_make_no_sense),
		cmocka_unit_test(zones_without_frames_give_none),
		cmocka_unit_test(caches_hold_one_zone_at_a_time),
		cmocka_unit_test(claims_are_counted_where_they_happen),
		cmocka_unit_test(fragmentation_is_what_brute_force_says),
		cmocka_unit_test(zone_injected_failures_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
