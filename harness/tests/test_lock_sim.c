/* Waits for locks on the simulated machine: counted as on any other, and the same schedule
 * gives the same counts. */
#include "sim_fixture.h"

#include "base/lock.h"
#include "machine/crew.h"

static struct sched run;

struct held {
	struct sim s;
	struct lock lock;
	uint32_t step;
};

static void wait_for(struct held *h, uint32_t step)
{
	while (atomic_load_acquire(&h->step) != step)
		kmm_port_relax(h->s.m->kmm);
}

/* CPU 0 holds the lock while CPU 1 tries in vain and, at last, waits. */
static void work(void *ctx, unsigned cpu)
{
	struct held *h = ctx;
	struct kmm *k = h->s.m->kmm;
	unsigned long was;

	if (cpu == 0) {
		was = lock_acquire(k, &h->lock);
		atomic_store_release(&h->step, 1u);
		wait_for(h, 2);
	} else {
		wait_for(h, 1);
		assert_false(lock_try_acquire(k, &h->lock, &was));
		assert_false(lock_try_acquire(k, &h->lock, &was));
		atomic_store_release(&h->step, 2u);
		was = lock_acquire(k, &h->lock);
	}
	lock_release(k, &h->lock, was);
}

static bool no_interrupts(void *ctx, unsigned cpu)
{
	(void)ctx;
	(void)cpu;
	return false;
}

static void run_guarded(void *ctx)
{
	const struct crew_work crew = { ctx, work, no_interrupts, NULL };
	struct held *h = ctx;
	struct sched_rows rows;

	sched_rows_init(&rows, NULL, 0); /* CPU 0 first, switched where one waits only */
	crew_run(h->s.m, &run, 3, &rows.strategy, &crew);
}

static struct kmm_lock_stats stats(struct held *h, unsigned rank, kmm_cpumask cpus)
{
	struct kmm_lock_stats s;

	assert_int_equal(kmm_lock_stats(h->s.m->kmm, rank, cpus, &s), KMM_OK);
	return s;
}

static void lock_sim_waits_are_counted_and_repeat(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct held h = { .s = sim_open("x86_64") };

		lock_init(&h.lock, LOCK_CACHE);
		(void)machine_guard(h.s.m, run_guarded, &h);
		sim_expect_clean(&h.s);
		for (unsigned rank = 0; rank < kmm_lock_ranks_n(); rank++) {
			bool here = rank == LOCK_CACHE;

			assert_int_equal(stats(&h, rank, 1u << 0).contended_n, 0);
			assert_int_equal(stats(&h, rank, 1u << 0).waited_n, 0);
			assert_int_equal(stats(&h, rank, 1u << 1).contended_n, here ? 3 : 0);
			assert_int_equal(stats(&h, rank, 1u << 1).waited_n, here ? 1 : 0);
		}
		sim_close_clean(&h.s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lock_sim_waits_are_counted_and_repeat),
	};

	return cmocka_run_group_tests_name("lock_sim", tests, NULL, NULL);
}
