/// The scheduler on clients of a few lines: how runs end, interrupts, what a run leaves
/// behind. The strategies have test_strategy.c.
#include "sched_fixture.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sched/fiber.h"

/* ---- ends ---- */

static void sched_all_wait_is_deadlock(void **state)
{
	char text[400], want[64];

	(void)state;
	assert_int_equal(play_default(3, 3, CODE(LIST({ WAIT, 0, 1 }), LIST({ WAIT, 1, 1 })), NULL),
			 SCHED_DEADLOCK);
	sched_describe(&s, text, sizeof(text));
	snprintf(want, sizeof(want), "CPU 0 spins at load of %p", (void *)&w.word[0]);
	assert_non_null(strstr(text, want));
	snprintf(want, sizeof(want), "CPU 1 spins at load of %p", (void *)&w.word[1]);
	assert_non_null(strstr(text, want));
	assert_non_null(strstr(text, "CPU 2 idle"));
	sched_describe(&s, text, 10);
	assert_string_equal(text, "CPU 0 spi");
}

static void sched_describe_knows_what_was_interrupted(void **state)
{
	/* Point 1 is the store, 2 the handler's, 3 the store again, to switch at. */
	const struct sched_choice away = { { 0, SCHED_SWITCH, 10, 3 }, 1 };
	static struct sched_rows rows;
	char text[400], want[64];

	(void)state;
	sched_rows_init(&rows, &away, 1);
	assert_int_equal(play(2, 3,
			      CODE(LIST({ SEND, 0, 0 }, { STORE, 3, 1 }), LIST({ STOP, 0, 0 })),
			      LIST({ STORE, 5, 1 }), &rows.strategy),
			 SCHED_STOPPED);
	assert_int_equal(w.word[5], 1);
	assert_int_equal(w.word[3], 0);
	sched_describe(&s, text, sizeof(text));
	snprintf(want, sizeof(want), "CPU 0 waits at store of %p", (void *)&w.word[3]);
	assert_non_null(strstr(text, want));
}

static void sched_endless_change_is_livelock(void **state)
{
	const struct step *ever = LIST({ EVER, 0, 1 });

	(void)state;
	assert_int_equal(play_default(2, 3, CODE(ever, ever), NULL), SCHED_LIVELOCK);
	assert_int_equal(s.steps, SCHED_POINTS_MAX);
	assert_int_equal(play_default(1, 1, CODE(ever), NULL), SCHED_DEADLOCK);
}

static void sched_lost_wakeup_is_found(void **state)
{
	/* Words: 0 the condition, 1 somebody sleeps, 2 the kick. */
	const struct step *waker = LIST({ STORE, 0, 1 }, { LOAD, 1, 0 }, { SKIP, 0, 0 },
					{ STORE, 2, 1 });
	const struct step *looks_then_tells = LIST({ LOAD, 0, 0 }, { SKIP, 0, 1 },
						   { STORE, 1, 1 }, { WAIT, 2, 1 });
	const struct step *tells_then_looks = LIST({ STORE, 1, 1 }, { LOAD, 0, 0 },
						   { SKIP, 0, 1 }, { WAIT, 2, 1 });

	(void)state;
	assert_int_equal(play_default(2, 3, CODE(looks_then_tells, waker), NULL), SCHED_DONE);
	assert_int_equal(ends_of_all(2, CODE(looks_then_tells, waker), NULL),
			 1u << SCHED_DONE | 1u << SCHED_DEADLOCK);
	assert_int_equal(ends_of_all(2, CODE(tells_then_looks, waker), NULL), 1u << SCHED_DONE);
}

static void sched_change_between_two_loads_wakes(void **state)
{
	(void)state;
	assert_int_equal(ends_of_all(2, CODE(LIST({ WAIT2, 0, 1 }), LIST({ STORE, 0, 1 })), NULL),
			 1u << SCHED_DONE);
	assert_int_equal(ends_of_all(2, CODE(LIST({ WAIT2, 0, 1 }), LIST({ STORE, 1, 1 })), NULL),
			 1u << SCHED_DONE);
}

static void sched_spinner_sleeps_until_something_is_new(void **state)
{
	/* What changed before its operation is no news: CPU 2 can't switch to it. */
	const struct sched_choice back = { { 2, SCHED_SWITCH, 12, 1 }, 1 };
	static struct sched_rows rows;

	(void)state;
	sched_rows_init(&rows, &back, 1);
	assert_int_equal(play(3, 7,
			      CODE(LIST({ STORE, 7, 1 }), LIST({ WAIT, 0, 1 }),
				   LIST({ LOAD, 7, 0 }, { STORE, 0, 1 })),
			      NULL, &rows.strategy),
			 SCHED_DONE);
	assert_int_equal(w.access_n, 5);
	assert_memory_equal(w.access, ((uint8_t[]){ 0, 1, 2, 2, 1 }), 5);
}

static void sched_handler_ends_the_spin_it_interrupts(void **state)
{
	/* The handler may run between the two loads of a turn. */
	const struct step *handler = LIST({ STORE, 0, 1 });

	(void)state;
	assert_int_equal(ends_of_all(2, CODE(LIST({ WAIT2, 0, 1 }), LIST({ SEND, 0, 0 })), handler),
			 1u << SCHED_DONE);
	assert_int_equal(ends_of_all(1, CODE(LIST({ SEND, 0, 0 }, { WAIT2, 0, 1 })), handler),
			 1u << SCHED_DONE);
}

static unsigned settles_n;
static bool settle(void *ctx)
{
	(void)ctx;
	return settles_n++ == 0 && (w.word[0] = 1) != 0;
}

static void sched_settle_is_the_last_resort(void **state)
{
	struct sched_client c = client;
	static struct sched_rows r;

	(void)state;
	c.settle = settle;
	sched_rows_init(&r, NULL, 0);
	for (uint32_t value = 1; value <= 2; value++) {
		const struct step *waits = LIST({ WAIT, 0, value });

		w = (struct world){ .code = { waits, waits } };
		assert_int_equal(sched_run(&s, 2, 3, &c, &r.strategy),
				 value == 1 ? SCHED_DONE : SCHED_DEADLOCK);
		assert_int_equal(settles_n, value);
		settles_n = 0;
	}
}

/* ---- interrupts ---- */

static void sched_interrupt_comes_at_every_enabled_point(void **state)
{
	const struct step *code = LIST({ SEND, 0, 0 }, { MANY, 0, 2 }, { OFF, 0, 0 },
				       { MANY, 0, 2 }, { ON, 0, 0 }, { LOAD, 0, 0 });
	unsigned seen = 0;
	struct sched_all a;

	(void)state;
	sched_all_init(&a, 0, 0);
	do {
		assert_int_equal(play(1, 1, CODE(code), NULL, &a.strategy), SCHED_DONE);
		assert_int_equal(w.taken_n[0], 1);
		assert_false(w.taken_off);
		assert_false(seen & 1u << w.taken_at[0]);
		seen |= 1u << w.taken_at[0];
	} while (sched_all_next(&a));
	sched_all_free(&a);
	/* Points 1, 2, not 3 and 4, 5 where they come on, 6, and 7 after the end. */
	assert_int_equal(seen, 1u << 1 | 1u << 2 | 1u << 5 | 1u << 6 | 1u << 7);
}

static void sched_idle_cpu_wakes_for_an_interrupt(void **state)
{
	const struct step *handler = LIST({ STORE, 0, 1 });
	const struct step *code = LIST({ SEND, 1, 0 }, { WAIT, 0, 1 }, { STORE, 0, 0 },
				       { SEND, 1, 0 }, { WAIT, 0, 1 }, { SEND, 1, 0 });

	(void)state;
	assert_int_equal(play_default(2, 1, CODE(code), handler), SCHED_DONE);
	assert_int_equal(w.taken_n[1], 3);
	assert_int_equal(s.cpu[1].state, SCHED_IDLE);
	assert_int_equal(s.cpu[0].state, SCHED_ENDED);
	assert_false(w.taken_off);
}

static void sched_two_interrupts_pending_are_one(void **state)
{
	(void)state;
	assert_int_equal(play_default(2, 1, CODE(LIST({ SEND, 1, 0 }, { SEND, 1, 0 })), NULL),
			 SCHED_DONE);
	assert_int_equal(w.taken_n[1], 1);
}

static void sched_spinner_takes_interrupts_if_enabled(void **state)
{
	const struct step *handler = LIST({ STORE, 0, 1 });
	const struct step *sender = LIST({ SEND, 0, 0 });

	(void)state;
	assert_int_equal(ends_of_all(2, CODE(LIST({ WAIT, 0, 1 }), sender), handler),
			 1u << SCHED_DONE);
	assert_int_equal(ends_of_all(2, CODE(LIST({ OFF, 0, 0 }, { WAIT, 0, 1 }), sender), handler),
			 1u << SCHED_DEADLOCK);
}

static void sched_spinner_takes_interrupts_before_others_go_on(void **state)
{
	const struct sched_choice defer = { { 0, SCHED_DEFER, 10, 1 }, 1 };
	static struct sched_rows rows;

	(void)state;
	sched_rows_init(&rows, &defer, 1);
	assert_int_equal(play(2, 3,
			      CODE(LIST({ SEND, 0, 0 }, { WAIT, 0, 1 }), LIST({ STORE, 1, 1 })),
			      LIST({ STORE, 0, 1 }), &rows.strategy),
			 SCHED_DONE);
	assert_int_equal(w.access_n, 4);
	assert_memory_equal(w.access, ((uint8_t[]){ 0, 0, 0, 1 }), 4);
}

static void sched_interrupt_ends_a_spin_that_polls_for_it(void **state)
{
	(void)state;
	assert_int_equal(ends_of_all(2, CODE(LIST({ OFF, 0, 0 }, { POLL, 0, 0 }, { ON, 0, 0 }),
					     LIST({ LOAD, 0, 0 }, { LOAD, 0, 0 }, { SEND, 0, 0 })),
				     NULL),
			 1u << SCHED_DONE);
}

static void sched_stop_in_a_handler_ends_all(void **state)
{
	const struct step *handler = LIST({ STORE, 1, 1 }, { STOP, 0, 0 });
	const struct step *waits = LIST({ STORE, 2, 1 }, { WAIT, 0, 1 }, { STORE, 3, 1 });

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(play_default(3, 3, CODE(waits, LIST({ SEND, 2, 0 })), handler),
				 SCHED_STOPPED);
		assert_int_equal(w.word[1], 1);
		assert_int_equal(w.word[3], 0);
		assert_true(s.stopping);
		assert_null(sched_on);
	}
	assert_int_equal(play_default(1, 1, CODE(LIST({ STORE, 3, 1 })), NULL), SCHED_DONE);
	assert_int_equal(w.word[3], 1);
}

/* ---- memory, fibers ---- */

static long pages_mapped(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld", &pages), 1);
	fclose(f);
	return pages;
}

static void sched_many_runs_need_no_more_memory(void **state)
{
	const struct step *stops = LIST({ LOAD, 0, 0 }, { STOP, 0, 0 });
	struct sched_random r;
	long pages = 0;

	(void)state;
	sched_random_init(&r, 1);
	for (unsigned i = 0; i < 100000; i++) {
		if (i == 100)
			pages = pages_mapped();
		play(3, 7,
		     CODE(LIST({ LOAD, 0, 0 }, { WAIT, 1, 1 }), LIST({ STORE, 1, 1 }), stops), NULL,
		     &r.strategy);
	}
	pages = pages_mapped() - pages;
#if __has_feature(thread_sanitizer)
	pages = 0; /* it maps memory of its own */
#endif
	assert_true(pages < 64); /* one stack is as much */
}

static struct fiber *home, *other;

#if defined(__x86_64__)
#define CONTROL_GET() __builtin_ia32_stmxcsr()
#define CONTROL_SET(v) __builtin_ia32_ldmxcsr(v)
#else
#define CONTROL_GET() 0u
#define CONTROL_SET(v) ((void)(v))
#endif

static void adds_one(void *ctx)
{
	volatile double *x = ctx;
	double sum = 0.5; /* lives across the switch, as does the rounding mode */

	CONTROL_SET(CONTROL_GET() | 0x6000u);
	for (;;) {
		sum += *x;
		*x = fiber_here() == other ? sum : -1;
		fiber_switch(other, home);
	}
}

static void fiber_switch_keeps_what_the_convention_keeps(void **state)
{
	volatile double x = 1;
	unsigned control = CONTROL_GET();
	uint64_t mine = (uint64_t)getpid();

	(void)state;
	home = fiber_here();
	other = fiber_make(adds_one, (void *)(uintptr_t)&x);
	assert_non_null(other);
	for (unsigned i = 0; i < 3; i++) {
		fiber_switch(home, other);
		assert_int_equal(mine, getpid());
		assert_int_equal(CONTROL_GET(), control);
	}
	assert_true(x == 6.0);
	fiber_free(other);
	assert_ptr_equal(fiber_here(), home);
	assert_ptr_equal(fiber_make(adds_one, NULL), other); /* its stack is used again */
	fiber_free(other);
}

static unsigned deeper(unsigned n)
{
	char frame[1024];
	unsigned below;

	__asm__ volatile("" : : "r"(frame) : "memory"); /* it must exist */
	below = n == 0 ? 0 : deeper(n - 1u);
	__asm__ volatile("" : : "r"(frame) : "memory");
	return below + 1u;
}

static void overflows(void *ctx)
{
	_exit(deeper(*(unsigned *)ctx) > FIBER_STACK_BYTES); /* no */
}

/// Goes so many frames of 1 KiB deep in a fiber of a child. Returns: as waitpid says
static int child_goes(unsigned deep)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		if (!freopen("/dev/null", "w", stderr))
			_exit(2);
		fiber_switch(fiber_here(), fiber_make(overflows, &deep));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void fiber_stack_overflow_faults(void **state)
{
	(void)state;
	assert_int_equal(child_goes(FIBER_STACK_BYTES / 4096u), 0);
	assert_int_not_equal(child_goes(FIBER_STACK_BYTES / 1024u), 0);
}

#if __has_feature(thread_sanitizer)
static void fiber_cpus_are_unordered_but_for_atomics(void **state)
{
	const struct step *publishes = LIST({ PLAIN, 0, 0 }, { PUBLISH, 1, 0 });
	const struct step *consumes = LIST({ CONSUME, 1, 0 }, { PLAIN, 0, 0 });

	(void)state;
	assert_int_equal(reports_n, 0);
	assert_int_equal(play_default(2, 3, CODE(publishes, consumes), NULL), SCHED_DONE);
	assert_int_equal(reports_n, 0);
	consumes = LIST({ PLAIN, 0, 0 });
	assert_int_equal(play_default(2, 3, CODE(publishes, consumes), NULL), SCHED_DONE);
	assert_int_equal(reports_n, 1);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sched_all_wait_is_deadlock),
		cmocka_unit_test(sched_describe_knows_what_was_interrupted),
		cmocka_unit_test(sched_endless_change_is_livelock),
		cmocka_unit_test(sched_lost_wakeup_is_found),
		cmocka_unit_test(sched_change_between_two_loads_wakes),
		cmocka_unit_test(sched_spinner_sleeps_until_something_is_new),
		cmocka_unit_test(sched_handler_ends_the_spin_it_interrupts),
		cmocka_unit_test(sched_settle_is_the_last_resort),
		cmocka_unit_test(sched_interrupt_comes_at_every_enabled_point),
		cmocka_unit_test(sched_idle_cpu_wakes_for_an_interrupt),
		cmocka_unit_test(sched_two_interrupts_pending_are_one),
		cmocka_unit_test(sched_spinner_takes_interrupts_if_enabled),
		cmocka_unit_test(sched_spinner_takes_interrupts_before_others_go_on),
		cmocka_unit_test(sched_interrupt_ends_a_spin_that_polls_for_it),
		cmocka_unit_test(sched_stop_in_a_handler_ends_all),
		cmocka_unit_test(sched_many_runs_need_no_more_memory),
		cmocka_unit_test(fiber_switch_keeps_what_the_convention_keeps),
		cmocka_unit_test(fiber_stack_overflow_faults),
#if __has_feature(thread_sanitizer)
		cmocka_unit_test(fiber_cpus_are_unordered_but_for_atomics),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
#if __has_feature(thread_sanitizer)
#pragma clang attribute pop
#endif
