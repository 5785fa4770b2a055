/// Ranked locks on host threads: a wait is counted by the CPU that waits and for the rank it
/// waits for, a try that gives up too; a lock that is free counts nothing.
#include "frame_fixture.h"

#include <time.h>
#include <unistd.h>

#include "base/lock.h"

#define FRAMES 1024u
#define ALL_CPUS (~(kmm_cpumask)0)
#define TIMES 20000u

static const struct fixture_range one[] = { { 0x1003, FRAMES, KMM_MEM_USABLE } };

static struct kmm_lock_stats stats(struct kmm *k, enum lock_rank rank, kmm_cpumask cpus)
{
	struct kmm_lock_stats s;

	assert_int_equal(kmm_lock_stats(k, rank, cpus, &s), KMM_OK);
	return s;
}

/// A thread that is CPU 1 and does one thing.
struct other {
	struct threads_machine *m;
	struct lock *lock;
	void (*work)(struct other *o);
	uint64_t shared; /* lock */
	uint64_t free_n; /* lock; times it was had without being taken */
	bool got;
	pthread_t thread;
};

static void *enter_and_work(void *arg)
{
	struct other *o = arg;

	threads_enter(o->m, 1);
	o->work(o);
	threads_leave(o->m, 1);
	return NULL;
}

static void other_start(struct other *o)
{
	assert_int_equal(pthread_create(&o->thread, NULL, enter_and_work, o), 0);
}

static void other_join(struct other *o)
{
	assert_int_equal(pthread_join(o->thread, NULL), 0);
}

static void acquire_once(struct other *o)
{
	unsigned long was = lock_acquire(o->m->kmm, o->lock);

	o->shared++;
	o->free_n += atomic_load_relaxed(&o->lock->taken) == 0;
	lock_release(o->m->kmm, o->lock, was);
}

static void try_once(struct other *o)
{
	unsigned long was = 0;

	o->got = lock_try_acquire(o->m->kmm, o->lock, &was);
	if (o->got)
		lock_release(o->m->kmm, o->lock, was);
}

/// The other CPU found the lock taken and waits.
static void await_rounds(struct kmm *k, enum lock_rank rank, uint64_t rounds_n)
{
	while (stats(k, rank, 1u << 1).waited_n < rounds_n)
		usleep(100);
}

/// Nothing was counted but these, on these CPUs.
static void expect_only(struct kmm *k, enum lock_rank rank, kmm_cpumask cpus, uint64_t contended_n)
{
	for (unsigned i = 0; i < kmm_lock_ranks_n(); i++) {
		bool here = i == rank;

		assert_int_equal(stats(k, i, ALL_CPUS).contended_n, here ? contended_n : 0);
		assert_int_equal(stats(k, i, cpus).contended_n, here ? contended_n : 0);
		assert_int_equal(stats(k, i, ~cpus).contended_n, 0);
		assert_int_equal(stats(k, i, ~cpus).waited_n, 0);
		assert_true(here || stats(k, i, ALL_CPUS).waited_n == 0);
	}
}

static void lock_waits_are_the_waiters_and_the_ranks(void **state)
{
	static const enum lock_rank ranks[] = { LOCK_DRAIN, LOCK_SHOOTDOWN, LOCK_ZONE };

	(void)state;
	for (unsigned i = 0; i < sizeof(ranks) / sizeof(ranks[0]); i++) {
		struct threads_machine m;
		struct kmm *k = fixture_start(&m, "pagemill", 2, one, 1);
		struct lock lock;
		struct other o = { .m = &m, .lock = &lock, .work = acquire_once };
		unsigned long was;
		uint64_t rounds_n;

		lock_init(&lock, ranks[i]);
		was = lock_acquire(k, &lock);
		other_start(&o);
		await_rounds(k, ranks[i], 3);
		assert_int_equal(o.shared, 0);
		expect_only(k, ranks[i], 1u << 1, 1);
		lock_release(k, &lock, was);
		other_join(&o);
		assert_int_equal(o.shared, 1);
		assert_int_equal(o.free_n, 0);
		expect_only(k, ranks[i], 1u << 1, 1); /* one wait, however long */
		rounds_n = stats(k, ranks[i], ALL_CPUS).waited_n;
		acquire_once(&o); /* nobody holds it */
		assert_int_equal(stats(k, ranks[i], ALL_CPUS).waited_n, rounds_n);
		expect_only(k, ranks[i], 1u << 1, 1);
		assert_int_equal(threads_stop(&m), 0);
	}
}

static void lock_tries_that_give_up_are_counted(void **state)
{
	struct threads_machine m;
	struct kmm *k = fixture_start(&m, "pagemill", 2, one, 1);
	struct lock lock;
	struct other o = { .m = &m, .lock = &lock, .work = try_once };
	unsigned long was;

	(void)state;
	lock_init(&lock, LOCK_PLUG);
	try_once(&o);
	assert_true(o.got);
	expect_only(k, LOCK_PLUG, 1u << 1, 0);
	was = lock_acquire(k, &lock);
	for (unsigned n = 1; n <= 3; n++) {
		other_start(&o);
		other_join(&o);
		assert_false(o.got);
		expect_only(k, LOCK_PLUG, 1u << 1, n);
	}
	assert_int_equal(stats(k, LOCK_PLUG, ALL_CPUS).waited_n, 0);
	lock_release(k, &lock, was);
	assert_int_equal(threads_stop(&m), 0);
}

static unsigned answered_n; /* __atomic access */

static void answer(struct kmm *k)
{
	(void)k;
	__atomic_fetch_add(&answered_n, 1, __ATOMIC_SEQ_CST);
}

static void lock_waiters_answer_the_holder(void **state)
{
	struct threads_machine m;
	struct kmm *k = fixture_start(&m, "pagemill", 2, one, 1);
	struct lock lock;
	struct other o = { .m = &m, .lock = &lock, .work = acquire_once };
	unsigned long was;

	(void)state;
	k->call[CALL_SHOOTDOWN] = answer;
	lock_init(&lock, LOCK_SPACE);
	was = lock_acquire(k, &lock);
	other_start(&o);
	await_rounds(k, LOCK_SPACE, 1);
	__atomic_store_n(&answered_n, 0, __ATOMIC_SEQ_CST);
	assert_int_equal(call_cpus(k, 1u << 1, CALL_SHOOTDOWN), 1);
	assert_int_equal(__atomic_load_n(&answered_n, __ATOMIC_SEQ_CST), 1);
	lock_release(k, &lock, was);
	other_join(&o);
	expect_only(k, LOCK_SPACE, 1u << 1, 1);
	assert_int_equal(threads_stop(&m), 0);
}

static void acquire_often(struct other *o)
{
	for (unsigned i = 0; i < TIMES; i++)
		acquire_once(o);
}

/// What is done under the lock is whole, whoever had to wait; both CPUs' waits add up.
static void lock_excludes_while_both_want_it(void **state)
{
	struct threads_machine m;
	struct kmm *k = fixture_start(&m, "pagemill", 2, one, 1);
	struct kmm_lock_stats sum, each[2];
	struct lock lock;
	struct other o = { .m = &m, .lock = &lock, .work = acquire_often };

	(void)state;
	lock_init(&lock, LOCK_ZONE);
	other_start(&o);
	acquire_often(&o);
	other_join(&o);
	assert_int_equal(o.shared, 2 * TIMES);
	assert_int_equal(o.free_n, 0);
	sum = stats(k, LOCK_ZONE, ALL_CPUS);
	for (unsigned i = 0; i < 2; i++) {
		each[i] = stats(k, LOCK_ZONE, 1u << i);
		assert_true(each[i].contended_n <= TIMES);
	}
	assert_int_equal(sum.contended_n, each[0].contended_n + each[1].contended_n);
	assert_int_equal(sum.waited_n, each[0].waited_n + each[1].waited_n);
	assert_int_equal(threads_stop(&m), 0);
}

static void lock_alone_nobody_waits(void **state)
{
	static const char *const presets[] = { "pagemill", "pagemill+buddy", "veridian",
					       "viperdos" };

	(void)state;
	for (unsigned p = 0; p < sizeof(presets) / sizeof(presets[0]); p++) {
		struct threads_machine m;
		struct kmm *k = fixture_start(&m, presets[p], 1, one, 1);
		static struct kmm_pfn pfn[FRAMES];
		unsigned n = 0;

		while (n < FRAMES && kmm_frame_alloc(k, 0, 0, &pfn[n]) == KMM_OK)
			n++;
		while (n > 0)
			assert_int_equal(kmm_frame_free(k, pfn[--n], 0), KMM_OK);
		kmm_frame_drain(k);
		expect_only(k, LOCK_ZONE, ALL_CPUS, 0);
		assert_int_equal(threads_stop(&m), 0);
	}
}

static void lock_stats_know_the_ranks_before_there_are_cpus(void **state)
{
	struct kmm_lock_stats s = { .contended_n = 7 };
	static struct kmm begun;

	(void)state;
	begun.cpus_n = 2; /* as kmm_init leaves it for a moment */
	assert_int_equal(kmm_lock_ranks_n(), LOCK_RANK_N);
	assert_int_equal(kmm_lock_stats(&begun, LOCK_RANK_N, ALL_CPUS, &s), KMM_EINVAL);
	assert_int_equal(s.contended_n, 7);
	for (unsigned i = 0; i < LOCK_RANK_N; i++) {
		s = stats(&begun, i, ALL_CPUS);
		assert_int_equal(strncmp(s.name, "LOCK_", 5), 0);
		assert_true(s.guards[0] != '\0');
		assert_int_equal(s.contended_n, 0);
		assert_int_equal(s.waited_n, 0);
	}
	assert_string_equal(stats(&begun, LOCK_DRAIN, ALL_CPUS).name, "LOCK_DRAIN");
	assert_string_equal(stats(&begun, LOCK_ZONE, ALL_CPUS).name, "LOCK_ZONE");
	assert_string_equal(stats(&begun, LOCK_ZONE, ALL_CPUS).guards, "frame: one policy's state");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lock_waits_are_the_waiters_and_the_ranks),
		cmocka_unit_test(lock_tries_that_give_up_are_counted),
		cmocka_unit_test(lock_waiters_answer_the_holder),
		cmocka_unit_test(lock_excludes_while_both_want_it),
		cmocka_unit_test(lock_alone_nobody_waits),
		cmocka_unit_test(lock_stats_know_the_ranks_before_there_are_cpus),
	};

	alarm(120); /* a wait in vain ends here */
	return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
