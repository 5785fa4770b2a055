/// Pressure through the public API: marks, levels told in both directions, and what is
/// asked for before an allocation fails.
#include "zone_fixture.h"

#define START 0x1000u
#define FRAMES 2048u

static const struct zone_setup plain = {
	.cpus_n = 2, .range = { { START, FRAMES, KMM_MEM_USABLE } }, .reserve_n = 0, .cache_n = -1,
};

/// A listener that writes down what it heard, and can free what it holds.
struct ear {
	struct kmm_pressure p;
	unsigned heard_n;
	enum kmm_level heard[64];
	uint64_t free_n[64]; /* of the zone, at that time */
	unsigned reclaims_n, order;
	struct kmm_pfn spare[256];
	unsigned spare_n, at_once; /* frames to be had; freed a call */
	bool allocates;            /* inside the level callback */
};

static void ear_level(struct kmm *k, void *ctx, unsigned zone, enum kmm_level level)
{
	struct ear *e = ctx;
	struct kmm_pfn pfn;

	assert_true(e->heard_n < 64);
	assert_int_equal(zone, 0);
	e->free_n[e->heard_n] = zone_info(k, zone).free_n;
	e->heard[e->heard_n++] = level;
	if (e->allocates && kmm_frame_alloc(k, 0, KMM_FRAME_NOWAIT, &pfn) == KMM_OK)
		zone_put(k, pfn, 0);
}

static uint64_t ear_reclaim(struct kmm *k, void *ctx, unsigned order)
{
	struct ear *e = ctx;
	unsigned n = 0;

	e->reclaims_n++;
	e->order = order;
	while (n < e->at_once && e->spare_n != 0) {
		zone_put(k, e->spare[--e->spare_n], 0);
		n++;
	}
	return n;
}

static void ear_begin(struct kmm *k, struct ear *e)
{
	memset(e, 0, sizeof(*e));
	e->p = (struct kmm_pressure){ e, ear_level, ear_reclaim };
	kmm_pressure_listen(k, &e->p);
}

static void marks_are_kept_in_order(void **state)
{
	struct zone_machine z;
	struct kmm *k = zone_start(&z, "pagemill", &plain);
	struct kmm_zone_info before = zone_info(k, 0), now;

	(void)state;
	assert_int_equal(kmm_zone_set_marks(k, 1, 3, 2, 1), KMM_EINVAL);
	assert_int_equal(kmm_zone_set_marks(k, 0, 1, 2, 1), KMM_EINVAL);
	assert_int_equal(kmm_zone_set_marks(k, 0, 2, 2, 3), KMM_EINVAL);
	now = zone_info(k, 0);
	assert_memory_equal(now.mark, before.mark, sizeof(now.mark));
	assert_int_equal(kmm_zone_set_marks(k, 0, 30, 30, 0), KMM_OK);
	now = zone_info(k, 0);
	assert_int_equal(now.mark[KMM_LEVEL_LOW], 30);
	assert_int_equal(now.mark[KMM_LEVEL_MIN], 30);
	assert_int_equal(now.mark[KMM_LEVEL_CRITICAL], 0);
	zone_stop(&z);
}

/// Without caches, each level is told at the very frame, downwards and upwards.
static void levels_are_told_in_both_directions(void **state)
{
	struct zone_setup s = plain;
	struct zone_machine z;

	(void)state;
	s.cache_n = 0;
	EACH_PRESET(p) {
		static const enum kmm_level want[] = { KMM_LEVEL_LOW, KMM_LEVEL_MIN,
						       KMM_LEVEL_CRITICAL, KMM_LEVEL_MIN, KMM_LEVEL_LOW, KMM_LEVEL_OK };
		static const uint64_t free_n[] = { 99, 49, 19, 20, 50, 100 };
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &s);
		struct ear e;

		ear_begin(k, &e);
		assert_int_equal(kmm_zone_set_marks(k, 0, 100, 50, 20), KMM_OK);
		held.n = 0;
		zone_take_all(k, &held, 0, KMM_FRAME_NOWAIT);
		assert_int_equal(zone_info(k, 0).level, KMM_LEVEL_CRITICAL);
		zone_give_all(k, &held);
		assert_int_equal(e.heard_n, 6);
		assert_memory_equal(e.heard, want, sizeof(want));
		assert_memory_equal(e.free_n, free_n, sizeof(free_n));
		assert_int_equal(e.reclaims_n, 0);
		kmm_pressure_listen(k, NULL);
		zone_stop(&z);
	}
}

/// With caches they come in batches, and are told all the same; a listener may allocate.
static void levels_are_told_past_caches(void **state)
{
	struct zone_machine z;

	(void)state;
	for (unsigned batch = 0; batch < 2; batch++) {
		EACH_PRESET(p) {
			static struct zone_held held;
			static struct kmm_pfn pfn[FRAMES];
			struct kmm *k = zone_start(&z, zone_presets[p], &plain);
			struct ear e;
			unsigned n = 0;

			ear_begin(k, &e);
			e.allocates = true;
			assert_int_equal(kmm_zone_set_marks(k, 0, 600, 300, 100), KMM_OK);
			held.n = 0;
			if (batch)
				n = kmm_frame_alloc_batch(k, 0, 0, FRAMES, pfn);
			else
				zone_take_all(k, &held, 0, 0);
			assert_int_equal(zone_info(k, 0).level, KMM_LEVEL_CRITICAL);
			assert_int_equal(e.heard[e.heard_n - 1], KMM_LEVEL_CRITICAL);
			assert_int_equal(kmm_frame_free_batch(k, 0, n, pfn, NULL), KMM_OK);
			zone_give_all(k, &held);
			kmm_frame_drain(k);
			assert_int_equal(zone_info(k, 0).level, KMM_LEVEL_OK);
			assert_int_equal(e.heard[e.heard_n - 1], KMM_LEVEL_OK);
			assert_int_equal(e.heard[0], KMM_LEVEL_LOW);
			kmm_pressure_listen(k, NULL);
			zone_stop(&z);
		}
	}
}

static void new_marks_mean_a_new_level(void **state)
{
	struct zone_machine z;
	struct kmm *k = zone_start(&z, "pagemill", &plain);
	struct ear e;

	(void)state;
	ear_begin(k, &e);
	assert_int_equal(kmm_zone_set_marks(k, 0, 3 * FRAMES, 2 * FRAMES, 0), KMM_OK);
	assert_int_equal(e.heard_n, 1);
	assert_int_equal(e.heard[0], KMM_LEVEL_MIN);
	assert_int_equal(kmm_zone_set_marks(k, 0, 3 * FRAMES, 2 * FRAMES, 1), KMM_OK);
	assert_int_equal(e.heard_n, 1);
	assert_int_equal(kmm_zone_set_marks(k, 0, 0, 0, 0), KMM_OK);
	assert_int_equal(e.heard_n, 2);
	assert_int_equal(e.heard[1], KMM_LEVEL_OK);
	/* Nobody listens: the level is kept all the same. */
	kmm_pressure_listen(k, NULL);
	assert_int_equal(kmm_zone_set_marks(k, 0, 3 * FRAMES, 0, 0), KMM_OK);
	assert_int_equal(zone_info(k, 0).level, KMM_LEVEL_LOW);
	assert_int_equal(e.heard_n, 2);
	zone_stop(&z);
}

/// What the listener has, taken out of a memory that is then full.
static void fill_up(struct kmm *k, struct ear *e, struct zone_held *held)
{
	held->n = 0;
	zone_take_all(k, held, 0, KMM_FRAME_NOWAIT);
	while (e->spare_n < 256)
		e->spare[e->spare_n++] = held->block[--held->n].pfn;
}

static void listener_is_asked_before_failing(void **state)
{
	struct zone_machine z;
	struct kmm_pfn pfn[3], more[44];

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &plain);
		unsigned more_n = 40;
		struct ear e;
		uint64_t fail_n;

		ear_begin(k, &e);
		fill_up(k, &e, &held);
		fail_n = zone_stats(k).fail_n;
		e.at_once = 1;
		pfn[0] = zone_get(k, 0, 0);
		assert_int_equal(e.reclaims_n, 1);
		assert_int_equal(e.order, 0);
		assert_int_equal(e.spare_n, 255);
		pfn[1] = zone_get(k, 0, KMM_FRAME_MOVABLE);
		assert_int_equal(e.reclaims_n, 2);
		/* A batch goes on asking until it has all. */
		e.at_once = 7;
		assert_int_equal(kmm_frame_alloc_batch(k, 0, 0, 40, more), 40);
		assert_int_equal(e.reclaims_n, 2 + 6);
		assert_int_equal(zone_stats(k).fail_n, fail_n);
		/* Two were too many: they go first, with nothing given back for them. */
		for (e.at_once = 0; kmm_frame_alloc(k, 0, KMM_FRAME_NOWAIT, &more[more_n]) == KMM_OK;)
			assert_in_range(++more_n, 41, 43);
		/* A pair may need all the rest; it is found, or they are gone. */
		e.at_once = 16;
		if (kmm_frame_alloc(k, 1, 0, &pfn[2]) == KMM_OK)
			zone_put(k, pfn[2], 1);
		assert_true(e.reclaims_n > 8);
		assert_int_equal(e.order, 1);
		zone_put(k, pfn[0], 0);
		zone_put(k, pfn[1], 0);
		assert_int_equal(kmm_frame_free_batch(k, 0, more_n, more, NULL), KMM_OK);
		while (e.spare_n != 0)
			zone_put(k, e.spare[--e.spare_n], 0);
		zone_give_all(k, &held);
		zone_stop(&z);
	}
}

static void listener_is_left_alone(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &plain);
		struct kmm_frame_request r = { .n = 3, .flags = KMM_FRAME_NOWAIT };
		struct kmm_pfn pfn;
		unsigned long was;
		struct ear e;

		ear_begin(k, &e);
		e.at_once = 4;
		pfn = zone_get(k, 0, 0);
		zone_put(k, pfn, 0);
		fill_up(k, &e, &held);
		assert_int_equal(kmm_frame_alloc(k, 0, KMM_FRAME_NOWAIT, &pfn), KMM_ENOMEM);
		assert_int_equal(kmm_frame_alloc_range(k, &r, &pfn), KMM_ENOMEM);
		was = kmm_port_irq_save(k);
		assert_int_equal(kmm_frame_alloc(k, 0, 0, &pfn), KMM_ENOMEM);
		r.flags = 0;
		assert_int_equal(kmm_frame_alloc_range(k, &r, &pfn), KMM_ENOMEM);
		kmm_port_irq_restore(k, was);
		assert_int_equal(e.reclaims_n, 0);
		/* It is asked once, and has nothing. */
		e.at_once = 0;
		assert_int_equal(kmm_frame_alloc(k, 0, 0, &pfn), KMM_ENOMEM);
		assert_int_equal(e.reclaims_n, 1);
		kmm_pressure_listen(k, NULL);
		assert_int_equal(kmm_frame_alloc(k, 0, 0, &pfn), KMM_ENOMEM);
		while (e.spare_n != 0)
			zone_put(k, e.spare[--e.spare_n], 0);
		zone_give_all(k, &held);
		zone_stop(&z);
	}
}

static void ranges_ask_the_listener_too(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &plain);
		struct kmm_frame_request r = { .n = 5 };
		struct kmm_pfn pfn;
		struct ear e;

		ear_begin(k, &e);
		fill_up(k, &e, &held);
		e.at_once = 256;
		/* 256 neighbours or not: the last ones that were left mostly are. */
		if (kmm_frame_alloc_range(k, &r, &pfn) == KMM_OK)
			assert_int_equal(kmm_frame_free_range(k, pfn, 5), KMM_OK);
		assert_true(e.reclaims_n >= 1);
		assert_int_equal(e.order, 3);
		assert_int_equal(e.spare_n, 0);
		zone_give_all(k, &held);
		zone_stop(&z);
	}
}

/// An injected failure asks nobody, and changes nothing.
static void injected_failures_ask_nobody(void **state)
{
	struct zone_machine z;
	struct kmm *k = zone_start(&z, "pagemill", &plain);
	struct kmm_pfn pfn;
	struct zone_books before;
	struct ear e;

	(void)state;
	ear_begin(k, &e);
	before = zone_books(k);
	assert_int_equal(kmm_fail_arm(k, KMM_FAIL_FRAME, 1), KMM_OK);
	assert_int_equal(kmm_frame_alloc(k, 0, 0, &pfn), KMM_ENOMEM);
	assert_true(kmm_fail_disarm(k));
	assert_int_equal(e.reclaims_n, 0);
	assert_books(k, before);
	zone_stop(&z);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_are_kept_in_order),
		cmocka_unit_test(levels_are_told_in_both_directions),
		cmocka_unit_test(levels_are_told_past_caches),
		cmocka_unit_test(new_marks_mean_a_new_level),
		cmocka_unit_test(listener_is_asked_before_failing),
		cmocka_unit_test(listener_is_left_alone),
		cmocka_unit_test(ranges_ask_the_listener_too),
		cmocka_unit_test(injected_failures_ask_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
