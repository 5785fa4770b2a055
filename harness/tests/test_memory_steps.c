/// Memory step by step: one fiber acts for all CPUs, and loads read the oldest store that
/// they may.
#include "memory_fixture.h"

/// What a script found wrong first. It runs on a fiber, from which cmocka can't jump.
static struct {
	int line;
	unsigned long long is, wanted;
} wrong;

static void compare(int line, unsigned long long is, unsigned long long wanted)
{
	if (is == wanted || wrong.line)
		return;
	wrong.line = line;
	wrong.is = is;
	wrong.wanted = wanted;
}

#define is(value, wanted) compare(__LINE__, (value), (wanted))
#define that(condition) compare(__LINE__, (condition), true)

struct oldest {
	struct sched_strategy strategy;
	unsigned offered; /* stores in the last choice */
};

static void oldest_begin(struct sched_strategy *self, unsigned cpus_n)
{
	(void)self;
	(void)cpus_n;
}

static unsigned oldest_choose(struct sched_strategy *self, const struct sched *s,
			      const struct sched_key *key, enum sched_why why,
			      const uint16_t *option, unsigned n)
{
	(void)s;
	(void)why;
	if (key->kind != SCHED_STALE)
		return 0;
	for (unsigned i = 0; i < n; i++)
		is(option[i], i);
	((struct oldest *)self)->offered = n;
	return n - 1u;
}

static struct oldest oldest = { { oldest_begin, oldest_choose }, 0 };

static void scripted(void (*script)(void), bool weak)
{
	memset(L.thread, 0, sizeof(L.thread));
	L.thread[0] = script;
	L.x = L.y = L.z = 0;
	memory_begin(&L.m, 4, weak);
	assert_int_equal(sched_run(&S, 1, 1, &client, &oldest.strategy), SCHED_DONE);
	memory_end(&L.m);
	if (wrong.line) {
		int line = wrong.line;

		wrong.line = 0;
		fail_msg("line %d: %#llx, wanted %#llx", line, wrong.is, wrong.wanted);
	}
}

static uint64_t load_by(unsigned cpu, const void *at, unsigned bytes, int order)
{
	step("load", false);
	oldest.offered = 1;
	return memory_load(&L.m, cpu, at, bytes, order);
}

static void store_by(unsigned cpu, void *at, unsigned bytes, uint64_t value, int order)
{
	memory_store(&L.m, cpu, at, bytes, value, order);
}

static void history_is_bounded(void)
{
	for (uint64_t v = 1; v <= 100; v++) {
		store_by(0, &L.x, 8, v, RLX);
		is(L.x, v);
		is(load_by(0, &L.x, 8, RLX), v);
		is(oldest.offered, 1);
	}
	is(load_by(1, &L.x, 8, RLX), 100 - PLACE_STORES + 1);
	is(oldest.offered, PLACE_STORES);
	is(memory_walk(&L.m, 2, &L.x, true), 100);
}

static void cas_tells_what_was_there(void)
{
	uint64_t expected = 0x100000005;

	store_by(0, &L.x, 4, 5, RLX);
	that(memory_cas(&L.m, 1, &L.x, 4, &expected, 6)); /* four bytes are compared */
	is(L.x, 6);
	expected = 5;
	that(!memory_cas(&L.m, 1, &L.x, 4, &expected, 7));
	is(expected, 6);
	is(L.x, 6);
}

static void memory_cas_that_fails_tells_what_was_there(void **state)
{
	(void)state;
	scripted(cas_tells_what_was_there, true);
}

static void memory_older_stores_are_bounded(void **state)
{
	(void)state;
	scripted(history_is_bounded, true);
}

static void released_often(void)
{
	for (uint64_t v = 1; v <= 2 * PLACE_STORES; v++)
		store_by(0, &L.x, 8, v, REL);
}

static void first_value_carries_nothing(void)
{
	store_by(0, &L.x, 8, 1, REL);
	is(load_by(1, &L.x, 8, ACQ), 0);
	store_by(0, &L.y, 8, 1, RLX);
	is(load_by(1, &L.y, 8, RLX), 0);
}

static void memory_earlier_runs_leave_nothing_behind(void **state)
{
	(void)state;
	scripted(released_often, true);
	scripted(first_value_carries_nothing, true);
}

static void interrupt_orders(void)
{
	uint32_t epoch = L.m.cpu[0].hb.of[0];

	store_by(0, &L.x, 8, 1, RLX);
	memory_send(&L.m, 0, 1);
	that(L.m.cpu[0].hb.of[0] > epoch);
	store_by(0, &L.x, 8, 2, RLX);
	is(load_by(1, &L.x, 8, RLX), 0);
	that(L.m.cpu[1].hb.of[0] < epoch);
	memory_receive(&L.m, 1);
	is(L.m.cpu[1].hb.of[0], epoch);
	is(load_by(1, &L.x, 8, RLX), 1);
	memory_receive(&L.m, 2);
	is(load_by(2, &L.x, 8, RLX), 0);
}

static void memory_interrupt_brings_its_senders_past(void **state)
{
	(void)state;
	scripted(interrupt_orders, true);
}

static void epochs_follow_releases(void)
{
	uint32_t first = L.m.cpu[0].hb.of[0], second;

	store_by(0, &L.x, 8, 1, RLX);
	is(L.m.cpu[0].hb.of[0], first);
	store_by(0, &L.y, 8, 1, REL);
	second = L.m.cpu[0].hb.of[0];
	that(second > first);
	is(load_by(1, &L.y, 8, RLX), 1);
	that(L.m.cpu[1].hb.of[0] < first);
	memory_fence(&L.m, 1);
	is(L.m.cpu[1].hb.of[0], first);
	memory_fence(&L.m, 0);
	memory_fence(&L.m, 1);
	is(L.m.cpu[1].hb.of[0], first); /* fences order no plain accesses */
	is(load_by(2, &L.y, 8, ACQ), 1);
	is(L.m.cpu[2].hb.of[0], first);
	is(memory_update(&L.m, 3, &L.y, 8, MEMORY_ADD, 1, ACQ), 1);
	is(L.m.cpu[3].hb.of[0], first);
}

static void fence_releases_what_precedes_it(void)
{
	uint32_t epoch = L.m.cpu[0].hb.of[0];

	memory_fence(&L.m, 0);
	is(L.m.cpu[0].hb.of[0], epoch + 1);
	store_by(0, &L.x, 8, 1, RLX);
	is(L.m.cpu[0].hb.of[0], epoch + 1);
	is(load_by(1, &L.x, 8, ACQ), 1);
	is(L.m.cpu[1].hb.of[0], epoch);
}

static void sequence_of_two_heads(void)
{
	uint32_t of_0 = L.m.cpu[0].hb.of[0], of_1 = L.m.cpu[1].hb.of[1];

	store_by(0, &L.x, 8, 1, REL);
	is(memory_update(&L.m, 2, &L.x, 8, MEMORY_ADD, 1, RLX), 1);
	store_by(0, &L.x, 8, 3, RLX); /* goes on with its own */
	is(load_by(3, &L.x, 8, ACQ), 3);
	is(L.m.cpu[3].hb.of[0], of_0);
	store_by(0, &L.y, 8, 1, REL);
	is(memory_update(&L.m, 1, &L.y, 8, MEMORY_ADD, 1, REL), 1);
	store_by(0, &L.y, 8, 3, RLX);
	store_by(1, &L.y, 8, 4, RLX); /* its own was ended by the store before */
	is(load_by(2, &L.y, 8, ACQ), 4);
	that(L.m.cpu[2].hb.of[1] < of_1);
}

static void memory_happens_before_follows_releases_that_are_read(void **state)
{
	(void)state;
	scripted(epochs_follow_releases, false);
	scripted(fence_releases_what_precedes_it, false);
	scripted(sequence_of_two_heads, false);
}

static void memory_runs_happen_one_before_the_other(void **state)
{
	struct clock last;

	(void)state;
	for (unsigned run = 0; run < 3; run++) {
		for (unsigned i = 0; i < SCHED_CPUS_MAX; i++)
			last.of[i] = L.m.cpu[i].hb.of[i];
		scripted(run & 1u ? interrupt_orders : history_is_bounded, true);
		for (unsigned i = 0; i < SCHED_CPUS_MAX; i++)
			for (unsigned j = 0; j < SCHED_CPUS_MAX; j++)
				assert_true(i == j ? L.m.cpu[i].hb.of[j] > last.of[j] :
						     L.m.cpu[i].hb.of[j] >= last.of[j]);
	}
	L.m.cpu[3].hb.of[3] = 1u << 31;
	last.of[0] = L.m.lives;
	memory_begin(&L.m, 2, true);
	assert_int_equal(L.m.lives, last.of[0] + 1u);
	assert_int_equal(L.m.cpu[3].hb.of[3], 1);
	assert_int_equal(L.m.cpu[2].hb.of[3], 0);
}

static void settled(void)
{
	static const struct memory_view none;

	that(!L.m.lost);
	that(memcmp(&L.m.lost_view, &none, sizeof(none)) == 0);
	store_by(0, &L.x, 8, 1, RLX);
	store_by(1, &L.y, 8, 1, RLX);
	is(load_by(2, &L.x, 8, RLX), 0);
	that(memory_settle(&L.m));
	for (unsigned cpu = 0; cpu < 4; cpu++) {
		is(load_by(cpu, &L.x, 8, RLX), 1);
		is(load_by(cpu, &L.y, 8, RLX), 1);
	}
	that(!memory_settle(&L.m));
	store_by(0, &L.x, 8, 2, RLX);
	is(load_by(3, &L.x, 8, RLX), 1);
	that(L.m.cpu[3].hb.of[0] < L.m.cpu[0].hb.of[0]);
}

static void memory_settling_shows_all_to_all_once(void **state)
{
	(void)state;
	scripted(settled, true);
}

static void forgotten(void)
{
	static uint64_t range[1024];

	for (unsigned i = 0; i < 1024; i++)
		store_by(0, &range[i], 8, 1, RLX);
	memory_forget(&L.m, &range[100], 0);
	memory_forget(&L.m, &range[100], 200 * 8);
	memory_forget(&L.m, (char *)&range[500] + 7, 1);
	memory_forget(&L.m, &range[501], 1);
	for (unsigned i = 0; i < 1024; i++) {
		bool gone = (i >= 100 && i < 300) || i == 500 || i == 501;

		is(load_by(1, &range[i], 8, RLX), gone);
	}
	memory_forget(&L.m, NULL, UINT64_MAX); /* more words than slots */
	for (unsigned i = 0; i < 1024; i++)
		is(load_by(2, &range[i], 8, RLX), 1);
	for (unsigned i = 0; i < 100000; i++) { /* dropped slots are used again */
		store_by(0, &range[i & 1023u], 8, i, RLX);
		memory_forget(&L.m, &range[i & 1023u], 8);
	}
	that(L.m.places.room <= 2048);
	memset(range, 0, sizeof(range));
}

static void forgotten_part(void)
{
	uint32_t epoch = L.m.cpu[0].hb.of[0];

	store_by(0, (char *)&L.x + 4, 4, 1, REL);
	memory_forget(&L.m, (char *)&L.x + 4, 4);
	is(load_by(1, &L.x, 8, ACQ), 1ull << 32);
	that(L.m.cpu[1].hb.of[0] < epoch);
}

static void memory_forgotten_range_has_no_older_stores(void **state)
{
	(void)state;
	scripted(forgotten, true);
	scripted(forgotten_part, true);
}

static void written_around(void)
{
	store_by(0, &L.x, 8, 1, RLX);
	store_by(0, &L.x, 8, 2, RLX);
	L.x = 5;
	is(load_by(1, &L.x, 8, RLX), 5);
	is(oldest.offered, 1);
	store_by(0, &L.x, 8, 6, RLX);
	L.y = 5;
	store_by(0, &L.y, 8, 6, RLX);
	is(load_by(2, &L.x, 8, RLX), 5);
	is(load_by(2, &L.y, 8, RLX), 5);
	is(oldest.offered, 2);
}

static void memory_plain_write_becomes_the_newest(void **state)
{
	(void)state;
	scripted(written_around, true);
}

static void mixed(void)
{
	uint8_t *byte = (uint8_t *)&L.x;
	uint32_t epoch = L.m.cpu[0].hb.of[0];

	store_by(0, &byte[0], 1, 0x101, RLX); /* a byte of it */
	store_by(0, &byte[1], 1, 2, REL);
	store_by(0, &byte[4], 4, 3, RLX);
	is(L.x, 0x300000201);
	is(load_by(1, &byte[0], 1, RLX), 0);
	is(load_by(1, &byte[4], 4, RLX), 0);
	is(load_by(2, &L.x, 8, ACQ), 0x300000201); /* newest, and acquired */
	is(L.m.cpu[2].hb.of[0], epoch);
	is(load_by(2, &byte[0], 1, RLX), 1);
	store_by(3, &byte[0], 2, 0x207, RLX); /* carries on what the second byte released */
	is(load_by(4, &byte[1], 1, RLX), 2); /* the same value, but no older one */
	is(oldest.offered, 1);
	is(load_by(1, &byte[4], 4, RLX), 0);
	is(load_by(3, &byte[0], 2, ACQ), 0x207);
	is(L.m.cpu[3].hb.of[0], epoch);
	store_by(5, &byte[0], 1, 7, REL);
	is(load_by(6, &byte[0], 2, ACQ), 0x207);
	is(L.m.cpu[6].hb.of[0], epoch);
	is(memory_update(&L.m, 3, &byte[4], 4, MEMORY_SUB, 4, RLX), 3);
	is(L.x, 0xffffffff00000207);
}

static void memory_other_sizes_read_the_newest_and_acquire_it(void **state)
{
	(void)state;
	scripted(mixed, true);
}

static uint64_t many[PLACES_MAX + 1000u];

static void too_many(void)
{
	uint32_t epoch = L.m.cpu[0].hb.of[0];

	for (unsigned i = 0; i < PLACES_MAX + 1000u; i++)
		store_by(0, &many[i], 8, 1, i == PLACES_MAX + 500u ? REL : RLX);
	is(load_by(1, &many[0], 8, RLX), 0);
	is(load_by(1, &many[PLACES_MAX + 999u], 8, RLX), 1);
	memory_fence(&L.m, 1);
	is(L.m.cpu[1].hb.of[0], epoch); /* by whichever was released */
	is(load_by(2, &many[PLACES_MAX + 999u], 8, ACQ), 1);
	is(L.m.cpu[2].hb.of[0], epoch);
	is(memory_update(&L.m, 3, &many[PLACES_MAX + 1u], 8, MEMORY_AND, 3, ACQ), 1);
	is(L.m.cpu[3].hb.of[0], epoch);
}

static void memory_without_room_reads_the_newest_and_acquires_it(void **state)
{
	(void)state;
	scripted(too_many, true);
	scripted(settled, true);
	memory_free(&L.m);
	scripted(settled, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_cas_that_fails_tells_what_was_there),
		cmocka_unit_test(memory_older_stores_are_bounded),
		cmocka_unit_test(memory_earlier_runs_leave_nothing_behind),
		cmocka_unit_test(memory_interrupt_brings_its_senders_past),
		cmocka_unit_test(memory_happens_before_follows_releases_that_are_read),
		cmocka_unit_test(memory_runs_happen_one_before_the_other),
		cmocka_unit_test(memory_settling_shows_all_to_all_once),
		cmocka_unit_test(memory_forgotten_range_has_no_older_stores),
		cmocka_unit_test(memory_plain_write_becomes_the_newest),
		cmocka_unit_test(memory_other_sizes_read_the_newest_and_acquire_it),
		cmocka_unit_test(memory_without_room_reads_the_newest_and_acquires_it),
	};

	return cmocka_run_group_tests_name("memory_steps", tests, NULL, free_all);
}
