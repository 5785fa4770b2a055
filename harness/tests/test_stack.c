/// What the race detector is told by the compiler, and the call stacks that it keeps: functions
/// that are compiled as mm/ is (race_client.c), on CPUs of the scheduler.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "sched/atomics.h"
#include "sched/race.h"
#include "sched/stack.h"
#include "tests/race_client.h"

static struct play {
	struct sched sched;
	struct sched_random strategy;
	struct memory memory;
	struct race race;
	struct race_client client;
	void (*run[2])(struct race_client *c);
	char text[240], stack[600];
} play;

static void play_cpu(void *ctx, unsigned cpu)
{
	(void)ctx;
	sched_op(sched_on, (uint16_t)(cpu + 1u));
	play.run[cpu](&play.client);
}

static bool play_interruptible(void *ctx, unsigned cpu)
{
	(void)ctx;
	(void)cpu;
	return false;
}

static void play_interrupt(void *ctx, unsigned cpu)
{
	(void)ctx;
	(void)cpu;
}

static bool play_settle(void *ctx)
{
	(void)ctx;
	return memory_settle(&play.memory);
}

static void play_stop(void *ctx, const struct race_report *r)
{
	(void)ctx;
	(void)r;
	sched_stop(sched_on);
}

/// Runs two functions on two CPUs, by `seeds` schedules. Returns how many had a race;
/// the last of them is in play.race.
static unsigned races(void (*first)(struct race_client *c), void (*second)(struct race_client *c),
		      unsigned seeds)
{
	static const struct sched_client client = {
		.run = play_cpu, .interruptible = play_interruptible, .interrupt = play_interrupt,
		.settle = play_settle,
	};
	unsigned n = 0;

	play.run[0] = first;
	play.run[1] = second;
	for (unsigned seed = 1; seed <= seeds; seed++) {
		enum sched_end end;

		memset(&play.client, 0, sizeof(play.client));
		sched_random_init(&play.strategy, seed);
		memory_begin(&play.memory, 2, true);
		race_begin(&play.race);
		end = sched_run(&play.sched, 2, 3, &client, &play.strategy.strategy);
		memory_end(&play.memory);
		assert_int_equal(end, play.race.found ? SCHED_STOPPED : SCHED_DONE);
		if (!play.race.found)
			continue;
		n++;
		race_print(play.text, sizeof(play.text), &play.race.report);
		race_stack_print(play.stack, sizeof(play.stack), &play.race.report.first.stack);
	}
	return n;
}

static int play_setup(void **state)
{
	(void)state;
	memset(&play, 0, sizeof(play));
	play.race.memory = &play.memory;
	play.race.on_race = play_stop;
	memory_on = &play.memory;
	race_on = &play.race;
	return race_watch(&play.race, 0, &play.client, sizeof(play.client)) ? 0 : 1;
}

static int play_teardown(void **state)
{
	(void)state;
	race_on = NULL;
	memory_on = NULL;
	race_free(&play.race);
	memory_free(&play.memory);
	return 0;
}

static void guarded(struct race_client *c)
{
	race_client_add_guarded(c, 0);
}

static void unguarded(struct race_client *c)
{
	race_client_add_guarded(c, 1);
}

static void publishes(struct race_client *c)
{
	race_client_publish(c, 1);
}

static void publishes_relaxed(struct race_client *c)
{
	race_client_publish(c, 0);
}

static void receives(struct race_client *c)
{
	race_client_receive(c);
}

static void first_byte(struct race_client *c)
{
	race_client_byte(c, 0);
}

static void second_byte(struct race_client *c)
{
	race_client_byte(c, 1);
}

static bool says(const char *text, const char *what)
{
	if (strstr(text, what))
		return true;
	print_error("\"%s\" isn't in \"%s\"\n", what, text);
	return false;
}

static void stack_compiled_code_is_told_and_named(void **state)
{
	(void)state;
	assert_int_equal(races(race_client_add, race_client_add, 3), 3);
	assert_true(says(play.text, "data race on 0:+0x"));
	assert_true(says(play.text, "by CPU 0 in add_one (tests/race_client.c:"));
	assert_true(says(play.text, "by CPU 1 in add_one (tests/race_client.c:"));
	assert_true(says(play.text, " < race_client_add"));
	assert_true(says(play.stack, "add_one (tests/race_client.c:"));
	assert_true(says(play.stack, " < race_client_add (tests/race_client.c:"));
	assert_int_equal(play.race.report.first.stack.n, 3); /* the third is of the harness */
	assert_null(strchr(play.text, '\n'));
	race_print(play.stack, 100, &play.race.report); /* both sides have room in little */
	assert_true(says(play.stack, "by CPU 0 in"));
	assert_true(says(play.stack, "by CPU 1 in"));
	assert_int_equal(play.race.report.first.op + play.race.report.second.op, 3);
}

static void stack_lock_orders_in_every_schedule(void **state)
{
	(void)state;
	assert_int_equal(races(guarded, guarded, 300), 0);
	assert_true(races(guarded, unguarded, 20) == 20);
}

static void stack_message_needs_release(void **state)
{
	(void)state;
	assert_int_equal(races(publishes, receives, 300), 0);
	assert_int_equal(races(publishes_relaxed, receives, 20), 20);
	assert_true(says(play.text, "race_client_receive (tests/race_client.c:"));
	assert_true(says(play.text, "race_client_publish (tests/race_client.c:"));
}

static void stack_compiled_bytes_are_apart(void **state)
{
	(void)state;
	assert_int_equal(races(first_byte, second_byte, 3), 0);
	assert_int_equal(races(first_byte, first_byte, 3), 3);
}

static void stack_assignment_of_a_struct_is_told(void **state)
{
	(void)state;
	assert_int_equal(races(race_client_assign, race_client_assign, 3), 3);
	assert_true(says(play.text, "race_client_assign (tests/race_client.c:"));
}

static void stack_without_debug_information_gives_offsets(void **state)
{
	struct race_stack s = { .n = 1, .pc = { (const void *)16 } }; /* of no code */
	char text[64], small[8];

	(void)state;
	race_stack_print(text, sizeof(text), &s);
	assert_true(says(text, "+0x"));
	s.n = 0;
	race_stack_print(text, sizeof(text), &s);
	assert_string_equal(text, "an unknown place");
	race_stack_print(small, sizeof(small), &s);
	assert_string_equal(small, "an unkn");
}

/* ---- stacks, told by hand ---- */

static const void *pc(unsigned n)
{
	return (const void *)(uintptr_t)(0x1000u + n);
}

static int hand_setup(void **state)
{
	if (play_setup(state))
		return 1;
	memory_begin(&play.memory, 2, false);
	race_begin(&play.race);
	play.race.on_race = NULL;
	play.sched.cpus_n = 2;
	sched_on = &play.sched;
	return 0;
}

static int hand_teardown(void **state)
{
	sched_on = NULL;
	return play_teardown(state);
}

static uint32_t id_here(unsigned inner)
{
	struct sched *s = sched_on;

	return calls_id(play.race.calls, s->now, s->cpu[s->now].op, pc(inner));
}

static void is_stack(uint32_t id, uint16_t op, unsigned n, const unsigned *want)
{
	struct race_stack s;
	uint16_t got;

	calls_stack(play.race.calls, id, &s, &got);
	assert_int_equal(got, op);
	assert_int_equal(s.n, n);
	for (unsigned i = 0; i < n; i++)
		assert_ptr_equal(s.pc[i], pc(want[i]));
}

static void stack_ids_name_calls_and_operation(void **state)
{
	uint32_t outer, inner, other;

	(void)state;
	play.sched.cpu[0].op = 5;
	calls_enter(pc(1), 900);
	outer = id_here(50);
	calls_enter(pc(2), 800);
	inner = id_here(50);
	play.sched.cpu[0].op = 6; /* with calls under way */
	other = id_here(50);
	assert_int_not_equal(other, inner);
	is_stack(outer, 5, 2, (const unsigned[]){ 50, 1 });
	is_stack(inner, 5, 3, (const unsigned[]){ 50, 2, 1 });
	is_stack(other, 6, 3, (const unsigned[]){ 50, 2, 1 });
	calls_leave();
	is_stack(id_here(51), 6, 2, (const unsigned[]){ 51, 1 });
	calls_leave();
	is_stack(id_here(52), 6, 1, (const unsigned[]){ 52 });
	play.sched.now = 1; /* each CPU has its own */
	is_stack(id_here(53), 0, 1, (const unsigned[]){ 53 });
}

static void stack_same_is_kept_once(void **state)
{
	uint32_t n, id;

	(void)state;
	calls_enter(pc(1), 900);
	id = id_here(50);
	n = play.race.calls->n;
	for (unsigned i = 0; i < 1000; i++) {
		calls_leave();
		calls_enter(pc(1), 900);
		assert_int_equal(id_here(50), id);
	}
	race_begin(&play.race); /* the next run has it too */
	assert_int_equal(play.race.calls->n, n);
	calls_enter(pc(1), 900);
	assert_int_equal(id_here(50), id);
	assert_int_equal(play.race.calls->n, n);
}

static void stack_left_by_longjmp_heals(void **state)
{
	(void)state;
	calls_enter(pc(1), 900);
	calls_enter(pc(2), 800);
	calls_enter(pc(3), 700);
	calls_enter(pc(4), 800); /* where 2 was: 2 and 3 are gone */
	is_stack(id_here(50), 0, 3, (const unsigned[]){ 50, 4, 1 });
	race_begin(&play.race); /* a run that was stopped leaves everything */
	is_stack(id_here(50), 0, 1, (const unsigned[]){ 50 });
}

static void stack_deep_keeps_the_outer_and_returns(void **state)
{
	struct race_stack s;
	uint16_t op;

	(void)state;
	for (unsigned i = 0; i < CALLS_DEPTH + 20u; i++)
		calls_enter(pc(i), 100000u - i);
	calls_stack(play.race.calls, id_here(999), &s, &op);
	assert_int_equal(s.n, RACE_STACK_MAX);
	assert_ptr_equal(s.pc[0], pc(999));
	assert_ptr_equal(s.pc[1], pc(CALLS_DEPTH - 1u));
	race_stack_here(&s, pc(999));
	assert_int_equal(s.n, RACE_STACK_MAX);
	assert_ptr_equal(s.pc[1], pc(CALLS_DEPTH - 1u));
	for (unsigned i = 0; i < CALLS_DEPTH + 19u; i++)
		calls_leave();
	is_stack(id_here(50), 0, 2, (const unsigned[]){ 50, 0 });
	for (unsigned i = 0; i < 5; i++)
		calls_leave(); /* more than there are */
	is_stack(id_here(50), 0, 1, (const unsigned[]){ 50 });
}

static void stack_many_fit_and_go_with_the_run(void **state)
{
	enum { MANY = 100000 };
	uint32_t *id = calloc(MANY, sizeof(*id));

	(void)state;
	for (unsigned i = 0; i < MANY; i++)
		id[i] = id_here(i);
	for (unsigned i = 0; i < MANY; i += 997) {
		assert_int_equal(id_here(i), id[i]);
		is_stack(id[i], 0, 1, &i);
	}
	free(id);
	race_begin(&play.race);
	assert_int_equal(play.race.calls->n, 1);
	is_stack(id_here(7), 0, 1, (const unsigned[]){ 7 });
	for (unsigned i = 0; i < 1100000 && id_here(i); i++)
		;
	assert_int_equal(id_here(2000000), 0); /* full, and says so */
	is_stack(0, 0, 0, NULL);
}

/* ---- cost ---- */

static double nanoseconds_each(uint64_t n)
{
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	race_client_many(&play.client, n);
	clock_gettime(CLOCK_MONOTONIC, &to);
	return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
	       (double)n;
}

static void stack_cost_is_printed(void **state)
{
	struct sched_look l;
	double on, off;

	(void)state;
	on = nanoseconds_each(2000000);
	l = sched_look_begin();
	off = nanoseconds_each(2000000);
	sched_look_end(l);
	print_message("a plain access: %.1f ns while a run is on, %.1f ns otherwise\n", on, off);
	assert_false(play.race.found);
	play.sched.now = 1;
	race_plain(&play.race, &play.client.from, 8, true, pc(0));
	assert_true(play.race.found); /* so the accesses were told */
}

#define PLAYED(test) cmocka_unit_test_setup_teardown(test, play_setup, play_teardown)
#define BY_HAND(test) cmocka_unit_test_setup_teardown(test, hand_setup, hand_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAYED(stack_compiled_code_is_told_and_named),
		PLAYED(stack_lock_orders_in_every_schedule),
		PLAYED(stack_message_needs_release),
		PLAYED(stack_compiled_bytes_are_apart),
		PLAYED(stack_assignment_of_a_struct_is_told),
		PLAYED(stack_without_debug_information_gives_offsets),
		BY_HAND(stack_ids_name_calls_and_operation),
		BY_HAND(stack_same_is_kept_once),
		BY_HAND(stack_left_by_longjmp_heals),
		BY_HAND(stack_deep_keeps_the_outer_and_returns),
		BY_HAND(stack_many_fit_and_go_with_the_run),
		BY_HAND(stack_cost_is_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
