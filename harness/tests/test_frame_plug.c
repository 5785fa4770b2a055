/// Memory that comes and goes, through the public API: what can be plugged and unplugged,
/// what is refused, and that a refusal changes nothing.
#include "zone_fixture.h"

#define START 0x1000u
#define HOLE 0x1400u
#define PLUG 0x2000u
#define CUT 0x2400u /* where one zone ends and the next begins */
#define END 0x2800u
#define PLUG_N (END - PLUG)
#define BOOT_N (PLUG - START - 16u)

static const struct zone_setup pluggable = {
	.cpus_n = 2,
	.range = { { START, PLUG - START, KMM_MEM_USABLE }, { HOLE, 16, KMM_MEM_RESERVED },
		   { PLUG, END - PLUG, KMM_MEM_PLUGGABLE } },
	.dma_end = 0x10, .dma32_end = CUT, .reserve_n = 0, .cache_n = -1,
};

static struct kmm_pfn at(uint64_t n)
{
	return (struct kmm_pfn){ n };
}

/// A multiple of 64 from which n frames of boot memory are free once caches are empty.
static struct kmm_pfn free_place(struct kmm *k, uint64_t n)
{
	kmm_frame_drain(k);
	for (uint64_t pfn = START; pfn + n <= PLUG; pfn += 64) {
		uint64_t i = 0;

		while (i < n && (pfn + i < HOLE || pfn + i >= HOLE + 16) &&
		       !kmm_frame_is_allocated(k, at(pfn + i)))
			i++;
		if (i == n)
			return at(pfn);
	}
	fail_msg("no %ju frames are free", (uintmax_t)n);
	return at(0);
}

static bool holds(const struct zone_held *h, uint64_t from, uint64_t to)
{
	for (uint64_t i = 0; i < h->n; i++)
		if (h->block[i].pfn.n >= from && h->block[i].pfn.n < to)
			return true;
	return false;
}

static void nothing_is_plugged_at_first(void **state)
{
	struct zone_machine z;
	uint64_t free_n;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &pluggable);

		assert_int_equal(kmm_zones_n(k), 2);
		assert_int_equal(zone_info(k, 0).end.n, CUT);
		assert_int_equal(zone_info(k, 0).managed_n, BOOT_N);
		assert_int_equal(zone_info(k, 1).managed_n, 0);
		held.n = 0;
		free_n = zone_stats(k).free_n;
		assert_int_equal(zone_take_all(k, &held, 0, 0), free_n);
		assert_false(holds(&held, PLUG, END));
		assert_int_equal(kmm_frame_free(k, at(PLUG), 0), KMM_EDOUBLEFREE);
		assert_false(kmm_frame_is_allocated(k, at(PLUG)));
		zone_give_all(k, &held);
		zone_stop(&z);
	}
}

static void plugged_frames_are_used(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &pluggable);
		struct zone_books before = zone_books(k);

		/* Parts, one of them in both zones. */
		assert_int_equal(kmm_frame_plug(k, at(PLUG + 0x100), 0x201), KMM_OK);
		assert_int_equal(kmm_frame_plug(k, at(PLUG + 0x301), 0x1ff), KMM_OK);
		assert_int_equal(kmm_frame_plug(k, at(PLUG), 0x100), KMM_OK);
		assert_int_equal(zone_stats(k).managed_n, BOOT_N + 0x500);
		assert_int_equal(zone_info(k, 0).managed_n, BOOT_N + CUT - PLUG);
		assert_int_equal(zone_info(k, 1).managed_n, 0x100);
		assert_int_equal(zone_stats(k).free_n, before.free_n + 0x500);
		zone_check(k);
		held.n = 0;
		assert_int_equal(zone_take_all(k, &held, 0, 0), before.free_n + 0x500);
		assert_true(holds(&held, CUT, END));
		assert_true(holds(&held, PLUG, CUT));
		for (uint64_t i = 0; i < held.n; i++)
			memset(kmm_frame_virt(k, held.block[i].pfn), 1, KMM_PAGE_BYTES);
		zone_give_all(k, &held);
		assert_int_equal(kmm_frame_unplug(k, at(PLUG), 0x500), KMM_OK);
		assert_books(k, before);
		zone_stop(&z);
	}
}

static void plug_refuses(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &pluggable);
		struct zone_books before;

		assert_int_equal(kmm_frame_plug(k, at(PLUG + 8), 8), KMM_OK);
		before = zone_books(k);
		assert_int_equal(kmm_frame_plug(k, at(PLUG), 0), KMM_EINVAL);
		assert_int_equal(kmm_frame_plug(k, at(END), 1), KMM_EINVAL);
		assert_int_equal(kmm_frame_plug(k, at(END - 1), 2), KMM_EINVAL);
		assert_int_equal(kmm_frame_plug(k, at(START - 1), 1), KMM_EINVAL);
		assert_int_equal(kmm_frame_plug(k, at(PLUG), ~0ull), KMM_EINVAL);
		assert_int_equal(kmm_frame_plug(k, at(HOLE), 1), KMM_EINVAL);
		assert_int_equal(kmm_frame_plug(k, at(HOLE - 1), 2), KMM_EINVAL);
		assert_int_equal(kmm_frame_plug(k, at(PLUG + 15), 2), KMM_EBUSY);
		assert_int_equal(kmm_frame_plug(k, at(PLUG), 9), KMM_EBUSY);
		assert_int_equal(kmm_frame_plug(k, at(START), 1), KMM_EBUSY);
		assert_int_equal(kmm_frame_plug(k, at(PLUG - 1), 2), KMM_EBUSY);
		assert_books(k, before);
		zone_stop(&z);
	}
}

static void boot_memory_comes_and_goes_too(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &pluggable);
		struct zone_books before = zone_books(k);
		struct kmm_pfn place = free_place(k, 0x181);

		for (unsigned round = 0; round < 3; round++) {
			assert_int_equal(kmm_frame_unplug(k, place, 0x181), KMM_OK);
			assert_int_equal(zone_stats(k).managed_n, before.managed_n - 0x181);
			assert_int_equal(zone_stats(k).free_n, before.free_n - 0x181);
			zone_check(k);
			held.n = 0;
			zone_take_all(k, &held, 0, 0);
			assert_false(holds(&held, place.n, place.n + 0x181));
			zone_give_all(k, &held);
			assert_int_equal(kmm_frame_unplug(k, at(place.n + 0x180), 1), KMM_EINVAL);
			assert_int_equal(kmm_frame_plug(k, at(place.n + 0x100), 0x81), KMM_OK);
			assert_int_equal(kmm_frame_plug(k, place, 0x100), KMM_OK);
			assert_books(k, before);
		}
		zone_stop(&z);
	}
}

static void unplug_refuses(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &pluggable);
		struct kmm_pfn place, used;
		struct zone_books before;

		assert_int_equal(kmm_frame_unplug(k, at(PLUG), 0), KMM_EINVAL);
		assert_int_equal(kmm_frame_unplug(k, at(PLUG), 1), KMM_EINVAL);
		assert_int_equal(kmm_frame_unplug(k, at(END), 1), KMM_EINVAL);
		assert_int_equal(kmm_frame_unplug(k, at(START), ~0ull), KMM_EINVAL);
		assert_int_equal(kmm_frame_unplug(k, at(HOLE - 2), 4), KMM_EINVAL);
		used = zone_get(k, 2, 0);
		place = at(used.n & ~7ull);
		before = zone_books(k);
		assert_int_equal(kmm_frame_unplug(k, place, 8), KMM_EBUSY);
		assert_int_equal(kmm_frame_unplug(k, used, 1), KMM_EBUSY);
		assert_int_equal(kmm_frame_unplug(k, at(used.n + 3), 1), KMM_EBUSY);
		assert_books(k, before);
		zone_put(k, used, 2);
		zone_stop(&z);
	}
}

/// In both zones, one frame in use in either: refused, unchanged, until both are free.
static void unplug_across_zones_is_all_or_nothing(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &pluggable);
		struct kmm_frame_request r = { .n = 1, .lo = { (CUT + 100) << 12 },
					       .flags = KMM_FRAME_ZONE(KMM_ZONE_NORMAL) };
		struct kmm_pfn high, low;
		struct zone_books before;
		uint64_t busy;

		assert_int_equal(kmm_frame_plug(k, at(PLUG), END - PLUG), KMM_OK);
		assert_int_equal(kmm_frame_alloc_range(k, &r, &high), KMM_OK);
		r.lo = frame_pa(PLUG + 77);
		r.hi = frame_pa(PLUG + 78);
		assert_int_equal(kmm_frame_alloc_range(k, &r, &low), KMM_OK);
		before = zone_books(k);
		assert_int_equal(kmm_frame_unplug(k, at(PLUG), END - PLUG), KMM_EBUSY);
		assert_books(k, before);
		assert_int_equal(kmm_frame_isolate(k, at(PLUG), END - PLUG, &busy), KMM_OK);
		assert_int_equal(busy, 2);
		assert_int_equal(kmm_frame_unplug(k, at(PLUG), END - PLUG), KMM_EBUSY);
		assert_int_equal(kmm_frame_free_range(k, high, 1), KMM_OK);
		assert_int_equal(kmm_frame_unplug(k, at(PLUG), END - PLUG), KMM_EBUSY);
		assert_int_equal(kmm_frame_free_range(k, low, 1), KMM_OK);
		assert_int_equal(kmm_frame_unplug(k, at(PLUG), END - PLUG), KMM_OK);
		zone_check(k);
		assert_int_equal(zone_info(k, 1).managed_n, 0);
		assert_int_equal(zone_info(k, 1).free_n, 0);
		zone_stop(&z);
	}
}

static void isolated_frames_are_nobodys(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &pluggable);
		struct zone_books before = zone_books(k), isolated;
		struct kmm_pfn place = free_place(k, 128);
		uint64_t busy = 99, taken;

		assert_int_equal(kmm_frame_isolate(k, place, 128, &busy), KMM_OK);
		assert_int_equal(busy, 0);
		assert_int_equal(zone_stats(k).free_n, before.free_n - 128);
		assert_int_equal(zone_stats(k).managed_n, before.managed_n);
		isolated = zone_books(k);
		/* Once more is the same; one frame of it is as good as all. */
		assert_int_equal(kmm_frame_isolate(k, place, 128, &busy), KMM_OK);
		assert_int_equal(busy, 0);
		assert_books(k, isolated);
		assert_int_equal(kmm_frame_free(k, place, 0), KMM_EDOUBLEFREE);
		held.n = 0;
		taken = zone_take_all(k, &held, 0, 0);
		assert_int_equal(taken, before.free_n - 128);
		assert_false(holds(&held, place.n, place.n + 128));
		assert_int_equal(kmm_frame_unisolate(k, at(place.n + 3), 1), KMM_OK);
		assert_int_equal(zone_take_all(k, &held, 0, 0), 1);
		assert_int_equal(held.block[held.n - 1].pfn.n, place.n + 3);
		zone_give_all(k, &held);
		assert_int_equal(kmm_frame_unisolate(k, place, 128), KMM_OK);
		assert_books(k, before);
		zone_stop(&z);
	}
}

static void isolation_counts_what_is_in_use(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &pluggable);
		struct zone_books before = zone_books(k);
		uint64_t busy = 99, used_n = before.managed_n - before.free_n;
		struct kmm_pfn block = zone_get(k, 3, 0);

		/* All there is, holes and absent frames not counted: init's, and ours. */
		assert_int_equal(kmm_frame_isolate(k, at(START), END - START, &busy), KMM_OK);
		assert_int_equal(busy, used_n + 8);
		assert_int_equal(zone_stats(k).free_n, 0);
		zone_put(k, block, 3);
		assert_int_equal(zone_stats(k).free_n, 8);
		assert_int_equal(kmm_frame_isolate(k, at(START), END - START, &busy), KMM_OK);
		assert_int_equal(busy, used_n);
		assert_int_equal(kmm_frame_isolate(k, at(START), 0, &busy), KMM_EINVAL);
		assert_int_equal(kmm_frame_isolate(k, at(END), 1, &busy), KMM_EINVAL);
		assert_int_equal(kmm_frame_isolate(k, at(START), END, &busy), KMM_EINVAL);
		assert_int_equal(kmm_frame_unisolate(k, at(START), 0), KMM_EINVAL);
		assert_int_equal(kmm_frame_unisolate(k, at(END), 1), KMM_EINVAL);
		assert_int_equal(kmm_frame_unisolate(k, at(START), END - START), KMM_OK);
		assert_books(k, before);
		/* Nothing to give back is no error. */
		assert_int_equal(kmm_frame_unisolate(k, at(START), END - START), KMM_OK);
		assert_books(k, before);
		zone_stop(&z);
	}
}

/// A refused unplug leaves isolated what was isolated, and free what was free.
static void isolated_frames_survive_a_refusal(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &pluggable);
		struct kmm_frame_request r = { .n = 1 };
		struct kmm_pfn place = free_place(k, 64), used;
		struct zone_books before;
		uint64_t busy;

		r.lo = frame_pa(place.n + 40);
		r.hi = frame_pa(place.n + 41);
		assert_int_equal(kmm_frame_alloc_range(k, &r, &used), KMM_OK);
		assert_int_equal(kmm_frame_isolate(k, at(place.n + 8), 8, &busy), KMM_OK);
		before = zone_books(k);
		assert_int_equal(kmm_frame_unplug(k, place, 64), KMM_EBUSY);
		assert_books(k, before);
		assert_int_equal(kmm_frame_plug(k, at(place.n + 8), 8), KMM_EBUSY);
		assert_int_equal(kmm_frame_free_range(k, used, 1), KMM_OK);
		assert_int_equal(kmm_frame_unplug(k, place, 64), KMM_OK);
		assert_int_equal(zone_stats(k).managed_n, before.managed_n - 64);
		assert_int_equal(kmm_frame_unisolate(k, place, 64), KMM_OK);
		assert_int_equal(zone_stats(k).managed_n, before.managed_n - 64);
		assert_int_equal(kmm_frame_plug(k, place, 64), KMM_OK);
		zone_check(k);
		zone_stop(&z);
	}
}

/// Frames in this CPU's caches are called back where that may be waited for; those of a
/// CPU that is off are not, until it is retired.
static void unplug_empties_caches(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &pluggable);
		struct kmm_pfn pfn;
		unsigned long was;

		kmm_frame_drain(k);
		pfn = zone_get(k, 0, 0);
		zone_put(k, pfn, 0);
		was = kmm_port_irq_save(k);
		assert_int_equal(kmm_frame_unplug(k, pfn, 1), KMM_EBUSY);
		kmm_port_irq_restore(k, was);
		assert_int_equal(kmm_frame_unplug(k, pfn, 1), KMM_OK);
		assert_int_equal(kmm_frame_plug(k, pfn, 1), KMM_OK);
		zone_cpu(&z, 1);
		pfn = zone_get(k, 0, 0);
		zone_put(k, pfn, 0);
		zone_cpu(&z, 0);
		assert_int_equal(kmm_frame_unplug(k, pfn, 1), KMM_EBUSY);
		kmm_frame_retire_cpu(k, 1);
		assert_int_equal(kmm_frame_unplug(k, pfn, 1), KMM_OK);
		zone_stop(&z);
	}
}

static void marks_follow_the_size(void **state)
{
	struct zone_machine z;
	struct kmm *k = zone_start(&z, "pagemill", &pluggable);

	(void)state;
	assert_int_equal(zone_info(k, 1).mark[KMM_LEVEL_LOW], 0);
	assert_int_equal(kmm_frame_plug(k, at(CUT), END - CUT), KMM_OK);
	assert_int_equal(zone_info(k, 1).mark[KMM_LEVEL_LOW], (END - CUT) / 64);
	assert_int_equal(zone_info(k, 1).mark[KMM_LEVEL_CRITICAL], (END - CUT) / 256);
	assert_int_equal(kmm_zone_set_marks(k, 1, 50, 40, 30), KMM_OK);
	assert_int_equal(kmm_frame_unplug(k, at(CUT), 512), KMM_OK);
	assert_int_equal(zone_info(k, 1).mark[KMM_LEVEL_LOW], 50);
	assert_int_equal(zone_info(k, 1).level, KMM_LEVEL_OK);
	assert_int_equal(kmm_zone_set_marks(k, 1, 500, 40, 30), KMM_OK);
	assert_int_equal(kmm_frame_unplug(k, at(CUT + 512), 100), KMM_OK);
	assert_int_equal(zone_info(k, 1).level, KMM_LEVEL_LOW);
	assert_int_equal(kmm_frame_plug(k, at(CUT), 512), KMM_OK);
	assert_int_equal(zone_info(k, 1).level, KMM_LEVEL_OK);
	zone_stop(&z);
}

/// Ranges come, go, and are used, at random; what is there is known frame by frame.
static void plugging_at_random(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		static bool there[END - PLUG];
		struct kmm *k = zone_start(&z, zone_presets[p], &pluggable);
		struct zone_books before = zone_books(k);
		uint64_t seed = 31 + p, done_n = 0;

		held.n = 0;
		memset(there, 0, sizeof(there));
		for (unsigned step = 0; step < 2000; step++) {
			uint64_t n = 1 + zone_draw(&seed) % 300, i = zone_draw(&seed) % PLUG_N;
			struct kmm_pfn pfn;
			uint64_t in = 0;

			n = n < PLUG_N - i ? n : PLUG_N - i;
			for (uint64_t j = i; j < i + n; j++)
				in += there[j];
			switch (zone_draw(&seed) % 5) {
			case 0:
				assert_int_equal(kmm_frame_plug(k, at(PLUG + i), n),
						 in == 0 ? KMM_OK : KMM_EBUSY);
				for (uint64_t j = i; j < i + n && in == 0; j++)
					there[j] = true;
				break;
			case 1:
				if (kmm_frame_unplug(k, at(PLUG + i), n) == KMM_OK) {
					assert_int_equal(in, n);
					done_n++;
					memset(there + i, 0, n);
				}
				break;
			case 2:
				if (kmm_frame_alloc(k, n % 4, 0, &pfn) == KMM_OK) {
					held.block[held.n].pfn = pfn;
					held.block[held.n++].order = n % 4;
					assert_true(pfn.n < PLUG || there[pfn.n - PLUG]);
				}
				break;
			default:
				if (held.n != 0) {
					i = zone_draw(&seed) % held.n;
					zone_put(k, held.block[i].pfn, held.block[i].order);
					held.block[i] = held.block[--held.n];
				}
			}
			if (step % 200 == 0)
				zone_check(k);
		}
		assert_true(done_n > 5);
		zone_give_all(k, &held);
		for (uint64_t i = 0; i < END - PLUG; i++)
			if (there[i])
				assert_int_equal(kmm_frame_unplug(k, at(PLUG + i), 1), KMM_OK);
		assert_books(k, before);
		zone_stop(&z);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_plugged_at_first),
		cmocka_unit_test(plugged_frames_are_used),
		cmocka_unit_test(plug_refuses),
		cmocka_unit_test(boot_memory_comes_and_goes_too),
		cmocka_unit_test(unplug_refuses),
		cmocka_unit_test(unplug_across_zones_is_all_or_nothing),
		cmocka_unit_test(isolated_frames_are_nobodys),
		cmocka_unit_test(isolation_counts_what_is_in_use),
		cmocka_unit_test(isolated_frames_survive_a_refusal),
		cmocka_unit_test(unplug_empties_caches),
		cmocka_unit_test(marks_follow_the_size),
		cmocka_unit_test(plugging_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
