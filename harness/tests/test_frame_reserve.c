/// The emergency reserve through the public API: who gets it, and when it is filled.
#include "zone_fixture.h"

#define START 0x1000u
#define FRAMES 8192u
#define WANT 32u /* FRAMES / 256 */

static const struct zone_setup plain = {
	.range = { { START, FRAMES, KMM_MEM_USABLE } }, .reserve_n = 64, .cache_n = -1,
};

static void reserve_is_a_small_share(void **state)
{
	struct zone_setup s = plain;
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &s);

		assert_int_equal(zone_stats(k).reserve_n, WANT);
		assert_true(zone_stats(k).free_n <= FRAMES - WANT);
		zone_stop(&z);
	}
	s.reserve_n = 7;
	assert_int_equal(zone_stats(zone_start(&z, "pagemill", &s)).reserve_n, 7);
	zone_stop(&z);
	s.range[0].n = 255;
	assert_int_equal(zone_stats(zone_start(&z, "pagemill", &s)).reserve_n, 0);
	zone_stop(&z);
}

/// Allocations of every other kind end where the reserve begins.
static void only_those_that_may_not_fail_get_it(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &plain);
		struct kmm_frame_request r = { .n = 1, .flags = KMM_FRAME_RESERVE };
		struct zone_books before = zone_books(k);
		struct kmm_pfn pfn;

		held.n = 0;
		assert_int_equal(zone_take_all(k, &held, 0, 0), before.free_n);
		assert_int_equal(zone_stats(k).free_n, 0);
		assert_int_equal(zone_stats(k).reserve_n, WANT);
		assert_int_equal(kmm_frame_alloc(k, 0, KMM_FRAME_MOVABLE, &pfn), KMM_ENOMEM);
		assert_int_equal(kmm_frame_alloc(k, 0, KMM_FRAME_NOWAIT, &pfn), KMM_ENOMEM);
		assert_int_equal(kmm_frame_alloc(k, 1, KMM_FRAME_RESERVE, &pfn), KMM_ENOMEM);
		assert_int_equal(kmm_frame_alloc_batch(k, 0, 0, 1, &pfn), 0);
		assert_int_equal(kmm_frame_alloc_range(k, &r, &pfn), KMM_ENOMEM);
		zone_check(k);
		assert_int_equal(zone_take_all(k, &held, 0, KMM_FRAME_RESERVE | KMM_FRAME_NOWAIT),
				 WANT);
		assert_int_equal(zone_stats(k).reserve_n, 0);
		zone_check(k);
		zone_give_all(k, &held);
		zone_check(k);
		kmm_frame_drain(k);
		assert_int_equal(zone_stats(k).reserve_n, WANT);
		assert_books(k, before);
		zone_stop(&z);
	}
}

static void entitled_batches_get_the_rest(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &plain);
		struct kmm_pfn pfn[3 * WANT];
		struct zone_books before = zone_books(k);
		unsigned done;

		held.n = 0;
		zone_take_all(k, &held, 0, 0);
		for (unsigned i = 0; i < WANT; i++)
			zone_put(k, held.block[--held.n].pfn, 0);
		assert_int_equal(kmm_frame_alloc_batch(k, 0, KMM_FRAME_RESERVE, 3 * WANT, pfn),
				 2 * WANT);
		assert_int_equal(zone_stats(k).reserve_n, 0);
		/* A batch that comes back fills it first. */
		assert_int_equal(kmm_frame_free_batch(k, 0, 2 * WANT, pfn, &done), KMM_OK);
		assert_int_equal(zone_stats(k).reserve_n, WANT);
		assert_int_equal(zone_stats(k).free_n, WANT);
		zone_give_all(k, &held);
		assert_books(k, before);
		zone_stop(&z);
	}
}

/// Where nothing caches, the very next frames that are freed go there.
static void frees_fill_it_first(void **state)
{
	struct zone_setup s = plain;
	struct zone_machine z;

	(void)state;
	s.cache_n = 0;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &s);
		struct kmm_frame_request r = { .n = 10 };
		struct kmm_pfn range, pair;

		assert_int_equal(kmm_frame_alloc_range(k, &r, &range), KMM_OK);
		pair = zone_get(k, 1, 0);
		held.n = 0;
		zone_take_all(k, &held, 0, KMM_FRAME_RESERVE);
		assert_int_equal(zone_stats(k).reserve_n, 0);
		/* Larger blocks aren't cut up for it; of a range it takes what it lacks. */
		zone_put(k, pair, 1);
		assert_int_equal(zone_stats(k).reserve_n, 0);
		assert_int_equal(zone_stats(k).free_n, 2);
		assert_int_equal(kmm_frame_free_range(k, range, 10), KMM_OK);
		assert_int_equal(zone_stats(k).reserve_n, 10);
		for (unsigned i = 10; i < WANT; i++) {
			zone_put(k, held.block[--held.n].pfn, 0);
			assert_int_equal(zone_stats(k).reserve_n, i + 1);
			assert_int_equal(zone_stats(k).free_n, 2);
		}
		zone_check(k);
		zone_put(k, held.block[--held.n].pfn, 0);
		assert_int_equal(zone_stats(k).free_n, 3);
		zone_give_all(k, &held);
		zone_stop(&z);
	}
}

/// It has no more say in zones and nodes than the allocation that asks.
static void reserve_respects_zones_and_nodes(void **state)
{
	static const struct kmm_topology two = {
		.nodes_n = 2, .ranges_n = 1,
		.range = { { { (uint64_t)(START + FRAMES - 1024) << 12 },
			     { (uint64_t)(START + FRAMES) << 12 }, 1 } },
	};
	struct zone_setup s = plain;
	struct zone_machine z;

	(void)state;
	s.dma_end = START + 256;
	s.dma32_end = START + 512;
	s.high_start = START + FRAMES - 2048;
	s.topology = &two;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &s);
		struct kmm_node_policy bind = { KMM_NODES_BIND, 2, 0 };
		const unsigned only = KMM_FRAME_RESERVE | KMM_FRAME_ONLY;
		struct kmm_pfn pfn;
		uint64_t reserve_n = zone_stats(k).reserve_n;

		/* The reserve is the normal zone's of node 0, filled at init. */
		assert_int_equal(reserve_n, WANT);
		held.n = 0;
		zone_take_all(k, &held, 0, KMM_FRAME_ZONE(KMM_ZONE_HIGH));
		assert_int_equal(zone_stats(k).free_n, 0);
		assert_int_equal(kmm_frame_alloc(k, 0, only | KMM_FRAME_ZONE(KMM_ZONE_DMA), &pfn),
				 KMM_ENOMEM);
		assert_int_equal(kmm_frame_alloc(k, 0, KMM_FRAME_RESERVE |
						 KMM_FRAME_ZONE(KMM_ZONE_DMA32), &pfn), KMM_ENOMEM);
		assert_int_equal(kmm_frame_alloc(k, 0, only | KMM_FRAME_ZONE(KMM_ZONE_HIGH), &pfn),
				 KMM_ENOMEM);
		assert_int_equal(kmm_frame_alloc_on(k, 0, KMM_FRAME_RESERVE, &bind, &pfn),
				 KMM_ENOMEM);
		assert_int_equal(zone_stats(k).reserve_n, reserve_n);
		bind.set = 1;
		assert_int_equal(kmm_frame_alloc_on(k, 0, KMM_FRAME_RESERVE, &bind, &pfn), KMM_OK);
		held.block[held.n].pfn = pfn;
		held.block[held.n++].order = 0;
		zone_take_all(k, &held, 0, only | KMM_FRAME_ZONE(KMM_ZONE_NORMAL));
		assert_int_equal(zone_stats(k).reserve_n, 0);
		/* Frames that not everybody could use don't go there. */
		for (uint64_t i = 0; i < held.n; i++) {
			if (zone_info(k, zone_at(k, held.block[i].pfn.n)).kind != KMM_ZONE_HIGH)
				continue;
			zone_put(k, held.block[i].pfn, 0);
			held.block[i--] = held.block[--held.n];
		}
		assert_int_equal(zone_stats(k).reserve_n, 0);
		zone_give_all(k, &held);
		zone_stop(&z);
	}
}

/// Frames of the reserve are in use for those who unplug, and a failed allocation by
/// injection doesn't touch it.
static void reserve_stays_where_it_is(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &plain);
		struct kmm_pfn pfn, all = { START };
		struct zone_books before = zone_books(k);
		uint64_t busy;

		assert_int_equal(kmm_fail_arm(k, KMM_FAIL_FRAME, 1), KMM_OK);
		assert_int_equal(kmm_frame_alloc(k, 0, KMM_FRAME_RESERVE, &pfn), KMM_ENOMEM);
		assert_true(kmm_fail_disarm(k));
		assert_books(k, before);
		assert_int_equal(kmm_frame_isolate(k, all, FRAMES, &busy), KMM_OK);
		assert_int_equal(busy, FRAMES - before.free_n);
		assert_int_equal(kmm_frame_alloc(k, 0, KMM_FRAME_RESERVE, &pfn), KMM_OK);
		/* Past the caches. */
		assert_int_equal(kmm_frame_free_batch(k, 0, 1, &pfn, NULL), KMM_OK);
		assert_int_equal(zone_stats(k).reserve_n, WANT);
		assert_int_equal(kmm_frame_unplug(k, all, FRAMES), KMM_EBUSY);
		assert_int_equal(kmm_frame_unisolate(k, all, FRAMES), KMM_OK);
		assert_books(k, before);
		zone_stop(&z);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reserve_is_a_small_share),
		cmocka_unit_test(only_those_that_may_not_fail_get_it),
		cmocka_unit_test(entitled_batches_get_the_rest),
		cmocka_unit_test(frees_fill_it_first),
		cmocka_unit_test(reserve_respects_zones_and_nodes),
		cmocka_unit_test(reserve_stays_where_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
