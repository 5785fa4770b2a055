/// Frames on two CPUs: caches called back from a running CPU, drains that meet,
/// and frames that travel between threads.
#include "frame_fixture.h"

#include "base/lock.h"
#include "frame/cache.h"

#define FRAMES 1024u
#define STEPS 60000u
#define SLOTS 256u

static const struct fixture_range one[] = { { 0x1003, FRAMES, KMM_MEM_USABLE } };

/// A thread that is CPU 1: it fills its cache, then only answers interrupts.
struct holder {
	struct threads_machine *m;
	pthread_t thread;
	bool ready, leave; /* __atomic access */
};

static void *hold(void *arg)
{
	struct holder *h = arg;
	struct kmm *k = h->m->kmm;
	struct kmm_pfn pfn;

	threads_enter(h->m, 1);
	if (kmm_frame_alloc(k, 0, 0, &pfn) == KMM_OK && kmm_frame_free(k, pfn, 0) == KMM_OK)
		__atomic_store_n(&h->ready, true, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&h->leave, __ATOMIC_SEQ_CST))
		kmm_port_irq_restore(k, kmm_port_irq_save(k));
	threads_leave(h->m, 1);
	return NULL;
}

static void holder_start(struct holder *h, struct threads_machine *m)
{
	*h = (struct holder){ .m = m };
	assert_int_equal(pthread_create(&h->thread, NULL, hold, h), 0);
	while (!__atomic_load_n(&h->ready, __ATOMIC_SEQ_CST))
		kmm_port_irq_restore(m->kmm, kmm_port_irq_save(m->kmm));
}

static void holder_stop(struct holder *h)
{
	__atomic_store_n(&h->leave, true, __ATOMIC_SEQ_CST);
	pthread_join(h->thread, NULL);
}

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
		assert_int_equal(kmm_frame_free(k, pfn[i], 0), KMM_OK);
}

static void cpus_exhausted_calls_back_other_caches(void **state)
{
	static struct kmm_pfn pfn[FRAMES];
	struct kmm_frame_stats s;
	struct threads_machine m;
	struct kmm *k = fixture_start(&m, "pagemill", 2, one, 1);
	struct holder h;
	unsigned n;

	(void)state;
	holder_start(&h, &m);
	kmm_frame_stats(k, &s);
	assert_true(s.cached_n != 0);
	n = get_all(k, pfn);
	assert_int_equal(n, s.free_n);
	put_all(k, pfn, n);
	holder_stop(&h);
	assert_int_equal(kmm_frame_check(k), KMM_OK);
	assert_int_equal(threads_stop(&m), 0);
}

static void cpus_exhausted_without_interrupts_fails(void **state)
{
	static struct kmm_pfn pfn[FRAMES];
	struct kmm_frame_stats s;
	struct threads_machine m;
	struct kmm *k = fixture_start(&m, "pagemill", 2, one, 1);
	struct holder h;
	unsigned long was;
	unsigned n, other;

	(void)state;
	holder_start(&h, &m);
	other = cache_cpu_frames_n(kmm_cpu_at(k, 1)->frame);
	assert_true(other != 0);
	kmm_frame_stats(k, &s);
	was = kmm_port_irq_save(k);
	n = get_all(k, pfn); /* waits for nobody */
	kmm_port_irq_restore(k, was);
	assert_int_equal(n, s.free_n - other);
	kmm_frame_drain(k);
	n += kmm_frame_alloc_batch(k, 0, 0, FRAMES - n, pfn + n);
	assert_int_equal(n, s.free_n);
	put_all(k, pfn, n);
	holder_stop(&h);
	assert_int_equal(kmm_frame_check(k), KMM_OK);
	assert_int_equal(threads_stop(&m), 0);
}

/// Both CPUs at once. A frame in hand carries its owner's stamp.
struct worker {
	struct threads_machine *m;
	unsigned cpu;
	bool drains;
	uint64_t seed;
	unsigned wrong;
	struct {
		struct kmm_pfn pfn;
		unsigned order;
		bool full;
	} slot[SLOTS];
};

static uint64_t *stamp_at(struct kmm *k, struct kmm_pfn pfn)
{
	return kmm_frame_virt(k, pfn);
}

static void worker_step(struct worker *w)
{
	struct kmm *k = w->m->kmm;
	unsigned i = (unsigned)(w->seed >> 8) % SLOTS;

	if (!w->slot[i].full) {
		unsigned order = w->seed % 16 < 12 ? 0 : (unsigned)(w->seed >> 40) % 4;

		w->slot[i].order = order;
		if (kmm_frame_alloc(k, order, 0, &w->slot[i].pfn) == KMM_OK) {
			w->slot[i].full = true;
			*stamp_at(k, w->slot[i].pfn) = (uint64_t)w->cpu << 32 | i;
		}
		return;
	}
	w->wrong += *stamp_at(k, w->slot[i].pfn) != ((uint64_t)w->cpu << 32 | i);
	w->wrong += kmm_frame_free(k, w->slot[i].pfn, w->slot[i].order) != KMM_OK;
	w->slot[i].full = false;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct kmm *k = w->m->kmm;

	threads_enter(w->m, w->cpu);
	for (unsigned step = 0; step < STEPS; step++) {
		w->seed ^= w->seed << 13;
		w->seed ^= w->seed >> 7;
		w->seed ^= w->seed << 17;
		if (w->drains && step % 64 == 0)
			kmm_frame_drain(k);
		worker_step(w);
	}
	for (unsigned i = 0; i < SLOTS; i++)
		if (w->slot[i].full)
			w->wrong += kmm_frame_free(k, w->slot[i].pfn, w->slot[i].order) != KMM_OK;
	threads_leave(w->m, w->cpu);
	return NULL;
}

static void run_pair(const char *preset, bool drains)
{
	static struct worker w[2];
	struct kmm_frame_stats before, after;
	struct threads_machine m;
	struct kmm *k = fixture_start(&m, preset, 2, one, 1);
	pthread_t thread[2];

	kmm_frame_stats(k, &before);
	threads_leave(&m, 0);
	for (unsigned i = 0; i < 2; i++) {
		w[i] = (struct worker){ .m = &m, .cpu = i, .drains = drains,
					.seed = 0x9e3779b97f4a7c15ull + i };
		assert_int_equal(pthread_create(&thread[i], NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	threads_enter(&m, 0);
	assert_int_equal(w[0].wrong + w[1].wrong, 0);
	kmm_frame_stats(k, &after);
	assert_int_equal(after.free_n, before.free_n);
	assert_int_equal(after.alloc_n - before.alloc_n, after.free_calls_n - before.free_calls_n);
	assert_int_equal(kmm_frame_check(k), KMM_OK);
	assert_int_equal(threads_stop(&m), 0);
}

static void cpus_random_work_loses_nothing(void **state)
{
	(void)state;
	run_pair("viperdos", false);
	run_pair("veridian", false);
	run_pair("neo", false);
	run_pair("pagemill", false);
	run_pair("pagemill+buddy", false);
	run_pair("pagemill+buddy-scan", false);
	run_pair("pagemill+bitmap", false);
	run_pair("pagemill+hybrid", false);
	run_pair("pagemill+split", false);
}

static void cpus_drains_meet_without_deadlock(void **state)
{
	(void)state;
	run_pair("veridian", true);
	run_pair("pagemill", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpus_exhausted_calls_back_other_caches),
		cmocka_unit_test(cpus_exhausted_without_interrupts_fails),
		cmocka_unit_test(cpus_random_work_loses_nothing),
		cmocka_unit_test(cpus_drains_meet_without_deadlock),
	};

	return cmocka_run_group_tests_name("frame_cpus", tests, NULL, NULL);
}
