/// Weak memory against C11. Litmus programs are explored exhaustively, every schedule and
/// every readable store, and the set of their outcomes is compared with what is stated:
/// `shown` is exactly what appears; `beyond` is what C11 allows besides and memory.c, being
/// stronger there, doesn't show. Anything else is forbidden.
#include "memory_fixture.h"

#define OUTCOMES 10000u /* four decimal digits */

static bool seen[OUTCOMES];

static void note(void *ctx)
{
	unsigned o = (*(unsigned (**)(void))ctx)();

	assert_true(o < OUTCOMES);
	seen[o] = true;
}

static void see_all(bool weak, unsigned (*outcome)(void))
{
	memset(seen, 0, sizeof(seen));
	explore(weak, note, &outcome);
}

/// Is it in a list of numbers separated by blanks?
static bool among(const char *list, unsigned outcome)
{
	while (*list) {
		char *end;

		if (strtoul(list, &end, 10) == outcome)
			return true;
		list = *end ? end + 1 : end;
	}
	return false;
}

static void expect(const char *shown, const char *beyond)
{
	for (unsigned o = 0; o < OUTCOMES; o++) {
		if (seen[o] && among(beyond, o))
			fail_msg("outcome %u is said not to be shown: update the limits", o);
		if (seen[o] && !among(shown, o))
			fail_msg("outcome %u is forbidden, but appeared", o);
		if (!seen[o] && among(shown, o))
			fail_msg("outcome %u never appeared", o);
	}
}

static unsigned r01(void)
{
	return (unsigned)(L.r[0] * 10 + L.r[1]);
}

static unsigned r0123(void)
{
	return (unsigned)(L.r[0] * 1000 + L.r[1] * 100 + L.r[2] * 10 + L.r[3]);
}

static unsigned xy(void)
{
	return (unsigned)(L.x * 10 + L.y);
}

static unsigned r0x(void)
{
	return (unsigned)(L.r[0] * 10 + L.x);
}

static unsigned yr0(void)
{
	return (unsigned)(L.y * 10 + L.r[0]);
}

static unsigned r01x(void)
{
	return (unsigned)(L.r[0] * 100 + L.r[1] * 10 + L.x);
}

static void litmus(unsigned (*outcome)(void), const char *shown, const char *beyond,
		   void (*t0)(void), void (*t1)(void), void (*t2)(void), void (*t3)(void))
{
	L.thread[0] = t0;
	L.thread[1] = t1;
	L.thread[2] = t2;
	L.thread[3] = t3;
	see_all(true, outcome);
	expect(shown, beyond);
}

#define THREAD(name, body)        \
	static void name(void)    \
	{                         \
		body;             \
	}

/* ---- message passing: r0 = the flag, r1 = the message ---- */

THREAD(mp_write_rlx, store(&L.x, 1, RLX); store(&L.y, 1, RLX))
THREAD(mp_write_rel, store(&L.x, 1, RLX); store(&L.y, 1, REL))
THREAD(mp_write_fence, store(&L.x, 1, RLX); fence(); store(&L.y, 1, RLX))
THREAD(mp_write_rmw, store(&L.x, 1, RLX); update(&L.y, MEMORY_ADD, 1, REL))
THREAD(mp_read_rlx, L.r[0] = load(&L.y, RLX); L.r[1] = load(&L.x, RLX))
THREAD(mp_read_acq, L.r[0] = load(&L.y, ACQ); L.r[1] = load(&L.x, RLX))
THREAD(mp_read_fence, L.r[0] = load(&L.y, RLX); fence(); L.r[1] = load(&L.x, RLX))
THREAD(mp_read_rmw, L.r[0] = update(&L.y, MEMORY_OR, 4, ACQ); L.r[1] = load(&L.x, RLX))
THREAD(mp_read_rmw_rlx, L.r[0] = update(&L.y, MEMORY_OR, 4, RLX); L.r[1] = load(&L.x, RLX))

THREAD(mp_write_cas, store(&L.x, 1, RLX); cas(&L.y, 0, 1))
THREAD(mp_read_cas, L.r[0] = cas(&L.y, 1, 2); L.r[1] = load(&L.x, RLX))
THREAD(mp_read_failing_cas, L.r[0] = !cas(&L.y, 0, 0); L.r[1] = load(&L.x, RLX))

static void memory_message_without_order_may_be_missed(void **state)
{
	(void)state;
	litmus(r01, "00 01 10 11", "", mp_write_rlx, mp_read_rlx, NULL, NULL);
	litmus(r01, "00 01 10 11", "", mp_write_rlx, mp_read_acq, NULL, NULL);
	litmus(r01, "00 01 10 11", "", mp_write_rel, mp_read_rlx, NULL, NULL);
	litmus(r01, "00 01 10 11", "", mp_write_fence, mp_read_rlx, NULL, NULL);
	litmus(r01, "00 01 10 11", "", mp_write_rlx, mp_read_fence, NULL, NULL);
	litmus(r01, "00 01 10 11", "", mp_write_rel, mp_read_rmw_rlx, NULL, NULL);
}

static void memory_message_with_release_and_acquire_arrives(void **state)
{
	(void)state;
	litmus(r01, "00 01 11", "", mp_write_rel, mp_read_acq, NULL, NULL);
	litmus(r01, "00 01 11", "", mp_write_fence, mp_read_acq, NULL, NULL);
	litmus(r01, "00 01 11", "", mp_write_rel, mp_read_fence, NULL, NULL);
	litmus(r01, "00 01 11", "", mp_write_fence, mp_read_fence, NULL, NULL);
	litmus(r01, "00 01 11", "", mp_write_rmw, mp_read_acq, NULL, NULL);
	litmus(r01, "00 01 11", "", mp_write_rel, mp_read_rmw, NULL, NULL);
	litmus(r01, "00 01 11", "", mp_write_cas, mp_read_acq, NULL, NULL);
	litmus(r01, "00 01 11", "", mp_write_rel, mp_read_cas, NULL, NULL);
	litmus(r01, "00 01 11", "", mp_write_rel, mp_read_failing_cas, NULL, NULL);
}

THREAD(isa2_pass, L.r[0] = load(&L.y, ACQ); store(&L.z, 1, REL))
THREAD(isa2_pass_rlx, L.r[0] = load(&L.y, ACQ); store(&L.z, 1, RLX))
THREAD(isa2_read, L.r[1] = load(&L.z, ACQ); L.r[2] = load(&L.x, RLX))

static unsigned r012(void)
{
	return (unsigned)(L.r[0] * 100 + L.r[1] * 10 + L.r[2]);
}

static void memory_message_passed_on_arrives(void **state)
{
	(void)state;
	litmus(r012, "000 001 010 011 100 101 111", "", mp_write_rel, isa2_pass, isa2_read, NULL);
	litmus(r012, "000 001 010 011 100 101 110 111", "", mp_write_rel, isa2_pass_rlx,
	       isa2_read, NULL);
}

/* ---- store buffering, load buffering and other cycles ---- */

THREAD(sb_0, store(&L.x, 1, RLX); L.r[0] = load(&L.y, RLX))
THREAD(sb_1, store(&L.y, 1, RLX); L.r[1] = load(&L.x, RLX))
THREAD(sb_0_rel, store(&L.x, 1, REL); L.r[0] = load(&L.y, ACQ))
THREAD(sb_1_rel, store(&L.y, 1, REL); L.r[1] = load(&L.x, ACQ))
THREAD(sb_0_fence, store(&L.x, 1, RLX); fence(); L.r[0] = load(&L.y, RLX))
THREAD(sb_1_fence, store(&L.y, 1, RLX); fence(); L.r[1] = load(&L.x, RLX))
THREAD(sb_0_acq_rel, update(&L.x, MEMORY_ADD, 1, ACQ_REL); L.r[0] = load(&L.y, ACQ))
THREAD(sb_1_acq_rel, update(&L.y, MEMORY_ADD, 1, ACQ_REL); L.r[1] = load(&L.x, ACQ))
THREAD(sb_0_sc, update(&L.x, MEMORY_ADD, 1, SC); L.r[0] = load(&L.y, RLX))
THREAD(sb_1_sc, update(&L.y, MEMORY_ADD, 1, SC); L.r[1] = load(&L.x, RLX))
THREAD(sb_0_all_sc, store(&L.x, 1, SC); L.r[0] = load(&L.y, SC))
THREAD(sb_1_all_sc, store(&L.y, 1, SC); L.r[1] = load(&L.x, SC))

static void memory_store_buffering_needs_two_fences(void **state)
{
	(void)state;
	litmus(r01, "00 01 10 11", "", sb_0, sb_1, NULL, NULL);
	litmus(r01, "00 01 10 11", "", sb_0_rel, sb_1_rel, NULL, NULL);
	litmus(r01, "00 01 10 11", "", sb_0_acq_rel, sb_1_acq_rel, NULL, NULL);
	litmus(r01, "00 01 10 11", "", sb_0_fence, sb_1, NULL, NULL);
	litmus(r01, "01 10 11", "", sb_0_fence, sb_1_fence, NULL, NULL);
	litmus(r01, "01 10 11", "", sb_0_all_sc, sb_1_all_sc, NULL, NULL);
	/* the loads are relaxed: C11 asks for more, locked instructions don't */
	litmus(r01, "01 10 11", "00", sb_0_sc, sb_1_sc, NULL, NULL);
	litmus(r01, "01 10 11", "00", sb_0_sc, sb_1_fence, NULL, NULL);
}

THREAD(lb_0, L.r[0] = load(&L.x, RLX); store(&L.y, 1, RLX))
THREAD(lb_1, L.r[1] = load(&L.y, RLX); store(&L.x, 1, RLX))
THREAD(ww_0, store(&L.x, 1, RLX); store(&L.y, 2, RLX))
THREAD(ww_1, store(&L.y, 1, RLX); store(&L.x, 2, RLX))
THREAD(s_0, store(&L.x, 2, RLX); store(&L.y, 1, RLX))
THREAD(s_1, L.r[0] = load(&L.y, RLX); store(&L.x, 1, RLX))
THREAD(s_0_rel, store(&L.x, 2, RLX); store(&L.y, 1, REL))
THREAD(s_1_acq, L.r[0] = load(&L.y, ACQ); store(&L.x, 1, RLX))
THREAD(r_0, store(&L.x, 1, RLX); store(&L.y, 1, RLX))
THREAD(r_1, store(&L.y, 2, RLX); L.r[0] = load(&L.x, RLX))
THREAD(r_0_fence, store(&L.x, 1, RLX); fence(); store(&L.y, 1, RLX))
THREAD(r_1_fence, store(&L.y, 2, RLX); fence(); L.r[0] = load(&L.x, RLX))

static void memory_cycles_of_execution_are_never_shown(void **state)
{
	(void)state;
	litmus(r01, "00 01 10", "11", lb_0, lb_1, NULL, NULL);
	litmus(xy, "12 21 22", "11", ww_0, ww_1, NULL, NULL);
	litmus(r0x, "01 02 11", "12", s_0, s_1, NULL, NULL);
	litmus(r0x, "01 02 11", "", s_0_rel, s_1_acq, NULL, NULL);
}

static void memory_store_then_load_of_another_needs_two_fences(void **state)
{
	(void)state;
	litmus(yr0, "10 11 20 21", "", r_0, r_1, NULL, NULL);
	litmus(yr0, "10 11 20 21", "", r_0, r_1_fence, NULL, NULL);
	litmus(yr0, "10 11 21", "", r_0_fence, r_1_fence, NULL, NULL);
}

/* ---- independent reads of independent writes ---- */

THREAD(write_x, store(&L.x, 1, REL))
THREAD(write_y, store(&L.y, 1, REL))
THREAD(iriw_xy, L.r[0] = load(&L.x, ACQ); L.r[1] = load(&L.y, ACQ))
THREAD(iriw_yx, L.r[2] = load(&L.y, ACQ); L.r[3] = load(&L.x, ACQ))
THREAD(iriw_xy_fence, L.r[0] = load(&L.x, RLX); fence(); L.r[1] = load(&L.y, RLX))
THREAD(iriw_yx_fence, L.r[2] = load(&L.y, RLX); fence(); L.r[3] = load(&L.x, RLX))

static void memory_readers_disagree_on_order_without_fences(void **state)
{
	(void)state;
	litmus(r0123,
	       "0000 0001 0010 0011 0100 0101 0110 0111 "
	       "1000 1001 1010 1011 1100 1101 1110 1111",
	       "", write_x, write_y, iriw_xy, iriw_yx);
	/* 1010: allowed by C11's text, forbidden since RC11 and C++20 */
	litmus(r0123,
	       "0000 0001 0010 0011 0100 0101 0110 0111 "
	       "1000 1001 1011 1100 1101 1110 1111",
	       "1010", write_x, write_y, iriw_xy_fence, iriw_yx_fence);
}

/* ---- coherence ---- */

THREAD(one, store(&L.x, 1, RLX))
THREAD(two, store(&L.x, 2, RLX))
THREAD(one_two, store(&L.x, 1, RLX); store(&L.x, 2, RLX))
THREAD(read_twice, L.r[0] = load(&L.x, RLX); L.r[1] = load(&L.x, RLX))
THREAD(read_twice_more, L.r[2] = load(&L.x, RLX); L.r[3] = load(&L.x, RLX))
THREAD(write_read, store(&L.x, 1, RLX); L.r[0] = load(&L.x, RLX))
THREAD(read_write, L.r[0] = load(&L.x, RLX); store(&L.x, 1, RLX))

static void memory_reads_of_one_place_never_go_back(void **state)
{
	(void)state;
	litmus(r01, "00 01 11", "", one, read_twice, NULL, NULL);
	litmus(r01, "00 01 02 11 12 22", "", one_two, read_twice, NULL, NULL);
}

static void memory_readers_agree_on_the_order_of_one_place(void **state)
{
	static const uint64_t rank[2][3] = { { 0, 1, 2 }, { 0, 2, 1 } };

	(void)state;
	L.thread[0] = one;
	L.thread[1] = two;
	L.thread[2] = read_twice;
	L.thread[3] = read_twice_more;
	see_all(true, r0123);
	for (unsigned o = 0; o < 3333; o++) {
		unsigned r[4] = { o / 1000, o / 100 % 10, o / 10 % 10, o % 10 };
		bool allowed = false;

		for (unsigned way = 0; way < 2; way++)
			allowed |= r[0] < 3 && r[1] < 3 && r[2] < 3 && r[3] < 3 &&
				   rank[way][r[0]] <= rank[way][r[1]] &&
				   rank[way][r[2]] <= rank[way][r[3]];
		if (seen[o] != allowed)
			fail_msg("outcome %04u: allowed %d, appeared %d", o, allowed, seen[o]);
	}
}

static void memory_own_stores_are_read_or_later_ones(void **state)
{
	(void)state;
	litmus(r0x, "11 12 22", "", write_read, two, NULL, NULL);
	litmus(r0x, "01 02 21", "", read_write, two, NULL, NULL);
}

THREAD(corr_pass, L.r[0] = load(&L.x, RLX); store(&L.y, 1, REL))
THREAD(corr_read, L.r[1] = load(&L.y, ACQ); L.r[2] = load(&L.x, RLX))
THREAD(corr_read_rlx, L.r[1] = load(&L.y, RLX); L.r[2] = load(&L.x, RLX))

static void memory_what_was_read_binds_those_who_synchronise(void **state)
{
	(void)state;
	litmus(r012, "000 001 010 011 100 101 111", "", one, corr_pass, corr_read, NULL);
	litmus(r012, "000 001 010 011 100 101 110 111", "", one, corr_pass, corr_read_rlx, NULL);
}

/* ---- read-modify-writes ---- */

THREAD(add_0, L.r[0] = update(&L.x, MEMORY_ADD, 1, RLX))
THREAD(add_1, L.r[1] = update(&L.x, MEMORY_ADD, 1, RLX))
THREAD(cas_0, L.r[0] = cas(&L.x, 0, 1))
THREAD(cas_1, L.r[1] = cas(&L.x, 0, 2))
THREAD(seq_add, update(&L.y, MEMORY_ADD, 2, RLX))
THREAD(seq_store, store(&L.y, 2, RLX))
THREAD(seq_own, store(&L.x, 1, RLX); store(&L.y, 1, REL); store(&L.y, 2, RLX))

static void memory_updates_lose_nothing(void **state)
{
	(void)state;
	litmus(r01x, "012 102", "", add_0, add_1, NULL, NULL);
	litmus(r01x, "101 012", "", cas_0, cas_1, NULL, NULL);
}

static void memory_release_sequence_goes_on_through_updates(void **state)
{
	(void)state;
	litmus(r01, "00 01 11 20 21 31", "", mp_write_rel, seq_add, mp_read_acq, NULL);
	litmus(r01, "00 01 11 20 21 31", "", mp_write_fence, seq_add, mp_read_fence, NULL);
}

static void memory_release_sequence_ends_with_anothers_store(void **state)
{
	(void)state;
	litmus(r01, "00 01 11 20 21", "", mp_write_rel, seq_store, mp_read_acq, NULL);
	/* but not with one's own; C++20 adds 20 */
	litmus(r01, "00 01 11 21", "", seq_own, mp_read_acq, NULL, NULL);
}

/* ---- a page-table entry and the mask of CPUs to tell ---- */

THREAD(entry_mask, store(&L.x, 1, REL); L.r[0] = load(&L.y, RLX))
THREAD(entry_fence_mask, store(&L.x, 1, REL); fence(); L.r[0] = load(&L.y, RLX))
THREAD(entry_swapped_mask, update(&L.x, MEMORY_EXCHANGE, 1, SC); L.r[0] = load(&L.y, RLX))
THREAD(mask_then_entry, L.r[0] = load(&L.y, RLX); store(&L.x, 1, REL); fence())
THREAD(join_walk, update(&L.y, MEMORY_OR, 1, SC); L.r[1] = walk(&L.x))
THREAD(join_acq_rel_walk, update(&L.y, MEMORY_OR, 1, ACQ_REL); L.r[1] = walk(&L.x))
THREAD(join_store_fence_walk, store(&L.y, 1, RLX); fence(); L.r[1] = walk(&L.x))

static void memory_walker_uses_the_old_entry_if_the_mask_is_read_too_soon(void **state)
{
	(void)state;
	/* 00: neither is told by the other */
	litmus(r01, "00 01 10 11", "", entry_mask, join_walk, NULL, NULL);
	litmus(r01, "00 01 10 11", "", mask_then_entry, join_walk, NULL, NULL);
	litmus(r01, "00 01 10 11", "", entry_fence_mask, join_acq_rel_walk, NULL, NULL);
	litmus(r01, "01 10 11", "", entry_fence_mask, join_store_fence_walk, NULL, NULL);
	/* an update orders like a fence: true of machines, more than C11 says */
	litmus(r01, "01 10 11", "00", entry_fence_mask, join_walk, NULL, NULL);
	litmus(r01, "01 10 11", "00", entry_swapped_mask, join_walk, NULL, NULL);
}

THREAD(walk_twice, L.r[0] = walk(&L.x); L.r[1] = walk(&L.x))
THREAD(walk_own, store(&L.x, 1, RLX); L.r[0] = walk(&L.x))
THREAD(walk_read, L.r[0] = load(&L.x, RLX); L.r[1] = walk(&L.x))

static void memory_walker_remembers_nothing_but_misses_nothing_known(void **state)
{
	(void)state;
	litmus(r01, "00 01 10 11", "", one, walk_twice, NULL, NULL);
	litmus(r0x, "11 12 22", "", walk_own, two, NULL, NULL);
	litmus(r01, "00 01 11", "", one, walk_read, NULL, NULL);
}

static void memory_that_isnt_weak_is_sequentially_consistent(void **state)
{
	(void)state;
	L.thread[0] = sb_0;
	L.thread[1] = sb_1;
	L.thread[2] = NULL;
	see_all(false, r01);
	expect("01 10 11", "");
	L.thread[0] = mp_write_rlx;
	L.thread[1] = mp_read_rlx;
	see_all(false, r01);
	expect("00 01 11", "");
	L.thread[1] = walk_read;
	see_all(false, r01);
	expect("00 01 11", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_message_without_order_may_be_missed),
		cmocka_unit_test(memory_message_with_release_and_acquire_arrives),
		cmocka_unit_test(memory_message_passed_on_arrives),
		cmocka_unit_test(memory_store_buffering_needs_two_fences),
		cmocka_unit_test(memory_cycles_of_execution_are_never_shown),
		cmocka_unit_test(memory_store_then_load_of_another_needs_two_fences),
		cmocka_unit_test(memory_readers_disagree_on_order_without_fences),
		cmocka_unit_test(memory_reads_of_one_place_never_go_back),
		cmocka_unit_test(memory_readers_agree_on_the_order_of_one_place),
		cmocka_unit_test(memory_own_stores_are_read_or_later_ones),
		cmocka_unit_test(memory_what_was_read_binds_those_who_synchronise),
		cmocka_unit_test(memory_updates_lose_nothing),
		cmocka_unit_test(memory_release_sequence_goes_on_through_updates),
		cmocka_unit_test(memory_release_sequence_ends_with_anothers_store),
		cmocka_unit_test(memory_walker_uses_the_old_entry_if_the_mask_is_read_too_soon),
		cmocka_unit_test(memory_walker_remembers_nothing_but_misses_nothing_known),
		cmocka_unit_test(memory_that_isnt_weak_is_sequentially_consistent),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, free_all);
}
