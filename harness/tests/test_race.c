/// The race detector: what it takes for a race and what it doesn't, by accesses that the
/// test makes itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/atomics.h"
#include "sched/race.h"

#define PAGE 4096u

/* ---- by hand ---- */

static struct hand {
	struct sched sched;
	struct memory memory;
	struct race race;
	unsigned told; /* calls of on_race */
	_Alignas(PAGE) unsigned char bytes[4 * PAGE];
	uint32_t flag;
} h;

static void on_race(void *ctx, const struct race_report *r)
{
	(void)r;
	++*(unsigned *)ctx;
}

static void run_begins(void)
{
	memory_begin(&h.memory, 3, false);
	race_begin(&h.race);
	h.told = 0;
	h.sched.cpus_n = 3;
}

static int setup(void **state)
{
	(void)state;
	memset(&h, 0, sizeof(h));
	h.race.memory = &h.memory;
	h.race.on_race = on_race;
	h.race.ctx = &h.told;
	if (!race_watch(&h.race, 1, h.bytes, sizeof(h.bytes)))
		return 1;
	race_on = &h.race;
	sched_on = &h.sched;
	run_begins();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sched_on = NULL;
	race_on = NULL;
	race_free(&h.race);
	memory_free(&h.memory);
	return 0;
}

static const void *here(void)
{
	return __builtin_return_address(0);
}

enum how { PLAIN, ATOMIC };

static void access(unsigned cpu, enum how how, bool write, unsigned at, unsigned bytes)
{
	h.sched.now = cpu;
	if (how == PLAIN)
		race_plain(&h.race, h.bytes + at, bytes, write, here());
	else
		race_atomic(&h.race, h.bytes + at, bytes, write, here());
}

static void writes(unsigned cpu, unsigned at, unsigned bytes)
{
	access(cpu, PLAIN, true, at, bytes);
}

static void reads(unsigned cpu, unsigned at, unsigned bytes)
{
	access(cpu, PLAIN, false, at, bytes);
}

static void releases(unsigned cpu)
{
	memory_store(&h.memory, cpu, &h.flag, 4, 1, __ATOMIC_RELEASE);
}

static void acquires(unsigned cpu)
{
	assert_int_equal(memory_load(&h.memory, cpu, &h.flag, 4, __ATOMIC_ACQUIRE), 1);
}

static void race_write_write_is_found(void **state)
{
	(void)state;
	h.sched.cpu[0].op = 7;
	h.sched.cpu[1].op = 9;
	writes(0, 16, 8);
	assert_false(h.race.found);
	writes(1, 16, 8);
	assert_true(h.race.found);
	assert_int_equal(h.told, 1);
	assert_ptr_equal(h.race.report.at, h.bytes + 16);
	assert_int_equal(h.race.report.region, 1);
	assert_int_equal(h.race.report.offset, 16);
	assert_int_equal(h.race.report.first.cpu, 0);
	assert_int_equal(h.race.report.first.op, 7);
	assert_true(h.race.report.first.write);
	assert_int_equal(h.race.report.first.stack.n, 1);
	assert_int_equal(h.race.report.second.cpu, 1);
	assert_int_equal(h.race.report.second.op, 9);
}

static void race_read_write_is_found_either_way(void **state)
{
	(void)state;
	reads(0, 0, 4);
	writes(2, 0, 4);
	assert_true(h.race.found);
	assert_false(h.race.report.first.write);
	run_begins();
	writes(2, 0, 4);
	reads(0, 0, 4);
	assert_true(h.race.found);
	assert_true(h.race.report.first.write);
	assert_false(h.race.report.second.write);
}

static void race_reads_are_none(void **state)
{
	(void)state;
	for (unsigned cpu = 0; cpu < 3; cpu++)
		reads(cpu, 0, 8);
	assert_false(h.race.found);
}

static void race_third_cpu_is_judged_too(void **state)
{
	(void)state;
	reads(0, 0, 8);
	reads(1, 0, 8);
	releases(1);
	acquires(2);
	writes(2, 0, 8); /* after CPU 1's read, but not after CPU 0's */
	assert_true(h.race.found);
	assert_int_equal(h.race.report.first.cpu, 0);
}

static void race_release_and_acquire_order(void **state)
{
	(void)state;
	writes(0, 0, 8);
	releases(0);
	acquires(1);
	writes(1, 0, 8);
	assert_false(h.race.found);
	/* what comes after a release isn't ordered by it */
	writes(0, 8, 8);
	acquires(1);
	reads(1, 8, 8);
	assert_true(h.race.found);
}

static void race_relaxed_orders_nothing(void **state)
{
	(void)state;
	writes(0, 0, 8);
	memory_store(&h.memory, 0, &h.flag, 4, 1, __ATOMIC_RELAXED);
	memory_load(&h.memory, 1, &h.flag, 4, __ATOMIC_RELAXED);
	reads(1, 0, 8);
	assert_true(h.race.found);
}

static void race_fences_order(void **state)
{
	(void)state;
	writes(0, 0, 8);
	memory_fence(&h.memory, 0);
	memory_store(&h.memory, 0, &h.flag, 4, 1, __ATOMIC_RELAXED);
	memory_load(&h.memory, 1, &h.flag, 4, __ATOMIC_RELAXED);
	memory_fence(&h.memory, 1);
	reads(1, 0, 8);
	assert_false(h.race.found);
}

static void race_interrupt_orders(void **state)
{
	(void)state;
	writes(0, 0, 8);
	memory_send(&h.memory, 0, 1);
	memory_receive(&h.memory, 1);
	writes(1, 0, 8);
	assert_false(h.race.found);
	memory_receive(&h.memory, 2); /* it wasn't sent one */
	reads(2, 0, 8);
	assert_true(h.race.found);
}

static void race_earlier_run_is_ordered(void **state)
{
	(void)state;
	writes(0, 0, 8);
	writes(1, PAGE, PAGE);
	run_begins();
	writes(1, 0, 8);
	writes(2, PAGE + 8, 8);
	assert_false(h.race.found);
}

static void race_memory_that_starts_over_is_fresh(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++)
		releases(0);
	writes(0, 0, 8);
	memory_free(&h.memory);
	memset(&h.memory, 0, sizeof(h.memory)); /* epochs begin at 1 again */
	run_begins();
	reads(1, 0, 8);
	assert_false(h.race.found);
	writes(0, 0, 8);
	assert_true(h.race.found);
}

static void race_other_bytes_are_none(void **state)
{
	(void)state;
	writes(0, 0, 4);
	writes(1, 4, 4);
	writes(2, 8, 1);
	writes(0, 9, 7);
	assert_false(h.race.found);
	reads(1, 3, 1);
	assert_true(h.race.found);
	assert_int_equal(h.race.report.offset, 3);
}

static void race_epochs_of_other_bytes_are_apart(void **state)
{
	(void)state;
	writes(0, 0, 4);
	releases(0);
	acquires(1);
	writes(0, 4, 4); /* the same 8 bytes, after the release */
	reads(1, 0, 4);
	assert_false(h.race.found);
	reads(1, 4, 4);
	assert_true(h.race.found);
}

static void race_unaligned_and_long_reach_each_byte(void **state)
{
	(void)state;
	writes(0, 6, 8); /* 6 … 13 */
	reads(1, 0, 6);
	reads(1, 14, 2);
	assert_false(h.race.found);
	reads(1, 12, 4);
	assert_true(h.race.found);
	run_begins();
	writes(0, 100, 300);
	reads(1, 96, 4);
	reads(1, 400, 8);
	assert_false(h.race.found);
	reads(1, 399, 1);
	assert_true(h.race.found);
}

static void race_pages_are_exact(void **state)
{
	(void)state;
	writes(0, PAGE, PAGE);
	reads(1, PAGE - 8, 8);
	reads(1, 2 * PAGE, 8);
	assert_false(h.race.found);
	access(1, ATOMIC, false, PAGE + 808, 8);
	assert_true(h.race.found);
	assert_int_equal(h.race.report.offset, PAGE + 808);
	run_begins();
	reads(0, PAGE + 4088, 1);
	writes(1, PAGE, PAGE);
	assert_true(h.race.found);
	assert_int_equal(h.race.report.offset, PAGE + 4088);
	run_begins();
	reads(0, PAGE, PAGE);
	reads(1, PAGE, PAGE);
	assert_false(h.race.found);
	writes(1, PAGE, PAGE);
	assert_true(h.race.found);
}

static void race_atomics_are_none(void **state)
{
	(void)state;
	access(0, ATOMIC, true, 0, 8);
	access(1, ATOMIC, true, 0, 8);
	access(2, ATOMIC, false, 0, 8);
	assert_false(h.race.found);
}

static void race_atomic_and_plain_is_found(void **state)
{
	(void)state;
	access(0, ATOMIC, true, 0, 4);
	reads(1, 0, 4);
	assert_true(h.race.found);
	assert_true(h.race.report.first.atomic);
	run_begins();
	access(0, ATOMIC, false, 0, 4);
	reads(1, 0, 4);
	assert_false(h.race.found);
	writes(1, 0, 4);
	assert_true(h.race.found);
	run_begins();
	reads(0, 0, 4);
	access(1, ATOMIC, true, 0, 4);
	assert_true(h.race.found);
	assert_true(h.race.report.second.atomic);
}

static void race_atomic_does_not_hide_plain(void **state)
{
	(void)state;
	writes(0, 0, 4);
	access(0, ATOMIC, true, 0, 4);
	releases(0); /* to nobody */
	access(0, ATOMIC, true, 0, 4);
	access(1, ATOMIC, false, 0, 4);
	assert_true(h.race.found);
	assert_false(h.race.report.first.atomic);
}

static void race_own_accesses_do_not_hide_others(void **state)
{
	(void)state;
	writes(0, 0, 4);
	writes(0, 4, 4); /* the same epoch, the same 8 bytes */
	reads(0, 0, 8);
	reads(1, 0, 1);
	assert_true(h.race.found);
}

static void race_forgotten_is_none(void **state)
{
	(void)state;
	writes(0, 0, 8);
	writes(0, PAGE, PAGE);
	writes(0, 2 * PAGE, PAGE);
	race_forget(&h.race, h.bytes, 2 * PAGE);
	race_forget(&h.race, h.bytes + 2 * PAGE, 64);
	writes(1, 0, 8);
	writes(1, PAGE + 80, 8);
	writes(1, 2 * PAGE + 56, 8);
	assert_false(h.race.found);
	reads(1, 2 * PAGE + 64, 8);
	assert_true(h.race.found);
	run_begins();
	race_forget(&h.race, h.bytes, PAGE);
	writes(0, 0, 8);
	writes(1, 0, 8);
	assert_true(h.race.found);
}

static void race_forgotten_stays_so(void **state)
{
	(void)state;
	writes(0, 0, 8);
	writes(0, PAGE, PAGE);
	race_forget(&h.race, h.bytes, 2 * PAGE);
	writes(0, 64, 8); /* others on the same pages */
	writes(0, PAGE + 64, 8);
	writes(1, 0, 8);
	writes(1, PAGE, 8);
	assert_false(h.race.found);
	writes(1, PAGE + 64, 8);
	assert_true(h.race.found);
}

static void race_forgotten_in_part_counts_on(void **state)
{
	(void)state;
	writes(0, 0, 16);
	race_forget(&h.race, h.bytes + 4, 12);
	writes(1, 8, 8);
	assert_false(h.race.found);
	writes(1, 0, 4);
	assert_true(h.race.found);
}

static void race_outside_or_looking_on_is_none(void **state)
{
	struct sched_look l;

	(void)state;
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		h.sched.now = cpu;
		race_plain(&h.race, &h.flag, 4, true, here());
	}
	assert_false(h.race.found);
	l = sched_look_begin();
	writes(0, 0, 8);
	sched_look_end(l);
	writes(1, 0, 8);
	assert_false(h.race.found);
}

static void race_beyond_the_end_is_cut(void **state)
{
	(void)state;
	writes(0, 4 * PAGE - 4, 8);
	for (unsigned at = 8; at < PAGE; at += 8)
		reads(1, at, 8);
	for (unsigned at = 0; at < 4 * PAGE - 8; at += 8)
		writes(2, at, 8);
	assert_true(h.race.found);
	assert_int_equal(h.race.report.first.cpu, 1);
	assert_int_equal(h.race.report.offset, 8); /* the first that CPU 1 read */
}

static void race_first_is_kept(void **state)
{
	(void)state;
	writes(0, 0, 8);
	writes(1, 0, 8);
	writes(2, 0, 8);
	writes(0, 32, 8);
	writes(1, 32, 8);
	assert_int_equal(h.told, 1);
	assert_int_equal(h.race.report.offset, 0);
}

static void race_watch_moves_and_shrinks(void **state)
{
	(void)state;
	writes(0, 0, 8);
	assert_true(race_watch(&h.race, 1, h.bytes, PAGE));
	writes(0, 2 * PAGE, 8); /* no longer watched */
	writes(1, 2 * PAGE, 8);
	assert_false(h.race.found);
	writes(1, 0, 8); /* its shadow was kept */
	assert_true(h.race.found);
	run_begins();
	assert_true(race_watch(&h.race, 1, h.bytes + 100, 8));
	writes(0, 96, 16);
	writes(1, 96, 8);
	writes(0, 104, 1);
	writes(1, 104, 1);
	assert_true(h.race.found);
	assert_int_equal(h.race.report.offset, 4);
}

/// Against a table of all accesses and clocks, which knows no shadow.
static void race_random_agrees_with_a_list(void **state)
{
	enum { LIST = 400 };
	struct entry {
		struct clock hb;
		unsigned cpu, at, bytes;
		bool write, atomic;
	} *list = calloc(LIST, sizeof(*list));
	uint64_t r = 11;
	unsigned found = 0;

	(void)state;
	for (unsigned round = 0; round < 600; round++) {
		bool expected = false;
		unsigned n = 0;

		run_begins();
		while (n < LIST && !expected) {
			struct entry *e = &list[n];

			r = r * 6364136223846793005ull + 1442695040888963407ull;
			e->cpu = (unsigned)(r >> 60) % 3u;
			h.sched.now = e->cpu;
			if ((r >> 50 & 3u) == 0)
				releases(e->cpu);
			else if ((r >> 50 & 3u) == 1 && h.flag)
				acquires(e->cpu);
			e->bytes = 1u << (r >> 40 & 3u);
			/* each 8 bytes are accessed with one size: nothing is overwritten */
			e->at = (unsigned)(r >> 33 & 15u) * 32u + 8u * (unsigned)(r >> 40 & 3u);
			e->write = (r >> 30 & 7u) == 0;
			e->atomic = (r >> 27 & 1u);
			e->hb = h.memory.cpu[e->cpu].hb;
			for (unsigned i = 0; i < n; i++)
				expected |= list[i].at == e->at && list[i].cpu != e->cpu &&
					    (list[i].write || e->write) &&
					    !(list[i].atomic && e->atomic) &&
					    list[i].hb.of[list[i].cpu] > e->hb.of[list[i].cpu];
			access(e->cpu, e->atomic ? ATOMIC : PLAIN, e->write, e->at, e->bytes);
			assert_int_equal(h.race.found, expected);
			n++;
		}
		found += expected;
	}
	assert_true(found > 50);
	free(list);
}

#define BY_HAND(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BY_HAND(race_write_write_is_found),
		BY_HAND(race_read_write_is_found_either_way),
		BY_HAND(race_reads_are_none),
		BY_HAND(race_third_cpu_is_judged_too),
		BY_HAND(race_release_and_acquire_order),
		BY_HAND(race_relaxed_orders_nothing),
		BY_HAND(race_fences_order),
		BY_HAND(race_interrupt_orders),
		BY_HAND(race_earlier_run_is_ordered),
		BY_HAND(race_memory_that_starts_over_is_fresh),
		BY_HAND(race_other_bytes_are_none),
		BY_HAND(race_epochs_of_other_bytes_are_apart),
		BY_HAND(race_unaligned_and_long_reach_each_byte),
		BY_HAND(race_pages_are_exact),
		BY_HAND(race_atomics_are_none),
		BY_HAND(race_atomic_and_plain_is_found),
		BY_HAND(race_atomic_does_not_hide_plain),
		BY_HAND(race_own_accesses_do_not_hide_others),
		BY_HAND(race_forgotten_is_none),
		BY_HAND(race_forgotten_stays_so),
		BY_HAND(race_forgotten_in_part_counts_on),
		BY_HAND(race_outside_or_looking_on_is_none),
		BY_HAND(race_beyond_the_end_is_cut),
		BY_HAND(race_first_is_kept),
		BY_HAND(race_watch_moves_and_shrinks),
		BY_HAND(race_random_agrees_with_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
