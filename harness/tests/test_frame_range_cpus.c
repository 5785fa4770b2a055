/// Ranges, isolation and unplugging while other CPUs are at work.
#include "zone_fixture.h"

#define BASE 0x1003u
#define FRAMES 6000u

static const struct zone_setup flat = {
	.cpus_n = 3, .range = { { BASE, FRAMES, KMM_MEM_USABLE } }, .reserve_n = 0, .cache_n = -1,
};

struct racer {
	struct zone_machine *z;
	unsigned cpu;
	uint64_t got;
};

static uint64_t *word(struct kmm *k, uint64_t pfn)
{
	return kmm_frame_virt(k, (struct kmm_pfn){ pfn });
}

/// Ranges and isolation at once; what one owns, nobody else writes to.
static void *race(void *arg)
{
	struct racer *r = arg;
	struct kmm *k = r->z->m.kmm;
	struct { struct kmm_pfn pfn; uint64_t n; } held[8];
	uint64_t seed = 7 + r->cpu;
	unsigned n = 0;

	threads_enter(&r->z->m, r->cpu);
	for (unsigned step = 0; step < 1500; step++) {
		struct kmm_frame_request q = { .n = 1 + zone_draw(&seed) % 90 };

		if (zone_draw(&seed) % 2)
			q.lo = frame_pa(BASE + 1000 * (zone_draw(&seed) % 3));
		if (n < 8 && zone_draw(&seed) % 2 &&
		    kmm_frame_alloc_range(k, &q, &held[n].pfn) == KMM_OK) {
			for (uint64_t i = 0; i < q.n; i++)
				*word(k, held[n].pfn.n + i) = (uint64_t)r->cpu << 32 | held[n].pfn.n;
			held[n++].n = q.n;
			r->got++;
		} else if (n != 0) {
			n--;
			for (uint64_t i = 0; i < held[n].n; i++)
				if (*word(k, held[n].pfn.n + i) !=
				    ((uint64_t)r->cpu << 32 | held[n].pfn.n))
					abort();
			if (kmm_frame_free_range(k, held[n].pfn, held[n].n) != KMM_OK)
				abort();
		}
	}
	while (n-- != 0)
		if (kmm_frame_free_range(k, held[n].pfn, held[n].n) != KMM_OK)
			abort();
	threads_leave(&r->z->m, r->cpu);
	return NULL;
}

static void ranges_of_several_cpus_never_overlap(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &flat);
		struct zone_books before = zone_books(k);
		struct racer r[3] = { { &z, 1, 0 }, { &z, 2, 0 } };
		pthread_t thread[2];
		uint64_t busy;

		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&thread[i], NULL, race, &r[i]), 0);
		for (unsigned i = 0; i < 200; i++) {
			struct kmm_pfn at = { BASE + 29 * i };

			assert_int_equal(kmm_frame_isolate(k, at, 100, &busy), KMM_OK);
			assert_true(busy <= 100);
			assert_int_equal(kmm_frame_unisolate(k, at, 100), KMM_OK);
		}
		/* Who waits is no CPU that answers: it leaves. */
		threads_leave(&z.m, 0);
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(pthread_join(thread[i], NULL), 0);
		threads_enter(&z.m, 0);
		assert_true(r[0].got + r[1].got > 500);
		assert_books(k, before);
		zone_stop(&z);
	}
}

struct other {
	struct zone_machine *z;
	struct kmm_pfn pfn;
	uint32_t ready, stop; /* atomic */
};

/// CPU 1: caches a frame, and answers until it is told to stop.
static void *answer(void *arg)
{
	struct other *o = arg;
	struct kmm *k = o->z->m.kmm;

	threads_enter(&o->z->m, 1);
	if (kmm_frame_alloc(k, 0, 0, &o->pfn) != KMM_OK || kmm_frame_free(k, o->pfn, 0) != KMM_OK)
		abort();
	__atomic_store_n(&o->ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&o->stop, __ATOMIC_SEQ_CST))
		kmm_port_irq_restore(k, kmm_port_irq_save(k));
	threads_leave(&o->z->m, 1);
	return NULL;
}

static void unplug_empties_caches_of_others(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &flat);
		struct other o = { .z = &z };
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, answer, &o), 0);
		while (!__atomic_load_n(&o.ready, __ATOMIC_SEQ_CST))
			kmm_port_relax(k);
		assert_int_equal(kmm_frame_unplug(k, o.pfn, 1), KMM_OK);
		__atomic_store_n(&o.stop, 1, __ATOMIC_SEQ_CST);
		assert_int_equal(pthread_join(thread, NULL), 0);
		zone_stop(&z);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_of_several_cpus_never_overlap),
		cmocka_unit_test(unplug_empties_caches_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
