/// The judge of concurrent sections: words, ranges and forks.
#include "linear_fixture.h"

/* ---- words ---- */

static void linear_read_after_a_completed_write_sees_it(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	wrote(&t, 0, 1, 2, "write s0 w1 p3 +1 v7", RESULT_OK);
	read1(&t, 1, 3, 4, "read s0 w1 p3 +1", 7);
	look(&t, 0, 1, 3, 7);
	want_explained(&t);
	assert_int_equal(page_of(&t, 0, 1, 3)->content[2], 8);
	end(&t);
}

static void linear_stale_read_after_a_completed_write_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	wrote(&t, 0, 1, 2, "write s0 w1 p3 +1 v7", RESULT_OK);
	read4(&t, 1, 3, 4, "read s0 w1 p3 +1", 7, 7, 1, 7);
	look(&t, 0, 1, 3, 7);
	want_refused(&t, "page p3 of w1 in s0, stamp 2: no order explains: op 0 on CPU 0 wrote "
			 "v7; op 1 on CPU 1 read v1; at the end s0 holds v7");
	end(&t);
}

static void linear_overlapping_read_may_see_either(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	wrote(&t, 0, 1, 5, "write s0 w1 p3 +1 v7", RESULT_OK);
	read4(&t, 1, 2, 3, "read s0 w1 p3 +1", 7, 1, 1, 7);
	look(&t, 0, 1, 3, 7);
	want_explained(&t);
	end(&t);
}

static void linear_two_reads_see_one_write_in_one_order(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	wrote(&t, 0, 1, 9, "write s0 w1 p3 +1 v7", RESULT_OK);
	read1(&t, 1, 2, 3, "read s0 w1 p3 +1", 7);
	read4(&t, 2, 5, 6, "read s0 w1 p3 +1", 7, 7, 7, 1);
	look(&t, 0, 1, 3, 7);
	want_refused(&t, "stamp 3");
	end(&t);
}

static void linear_two_writes_leave_either(void **state)
{
	for (int last = 7; last <= 8; last++) {
		struct trial t = begin(NULL, 0, ONE_PAGE);

		(void)state;
		wrote(&t, 0, 1, 5, "write s0 w1 p3 +1 v7", RESULT_OK);
		wrote(&t, 1, 2, 6, "write s0 w1 p3 +1 v8", RESULT_OK);
		read1(&t, 2, 3, 4, "read s0 w1 p3 +1", 15 - last);
		look(&t, 0, 1, 3, last);
		want_explained(&t);
		assert_int_equal(page_of(&t, 0, 1, 3)->content[0], 1 + last);
		end(&t);
	}
}

static void linear_lost_write_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	wrote(&t, 0, 1, 2, "write s0 w1 p3 +1 v7", RESULT_OK);
	wrote(&t, 1, 3, 4, "write s0 w1 p3 +1 v8", RESULT_OK);
	look(&t, 0, 1, 3, 7);
	want_refused(&t, "at the end s0 holds v7");
	end(&t);
}

static void linear_write_seen_then_lost_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	wrote(&t, 0, 1, 9, "write s0 w1 p3 +1 v7", RESULT_OK);
	read1(&t, 1, 2, 3, "read s0 w1 p3 +1", 7);
	look(&t, 0, 1, 3, 1);
	want_refused(&t, "no order explains");
	end(&t);
}

static void linear_mixed_stamps_stay_mixed(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);
	struct op op = parse_op("read s0 w1 p3 +1");
	struct op_outcome out;
	uint64_t d = OPS_DIGEST_START;

	(void)state;
	wrote(&t, 0, 1, 5, "write s0 w1 p3 +1 v7", RESULT_OK);
	wrote(&t, 1, 2, 6, "write s0 w1 p3 +1 v8", RESULT_OK);
	look4(&t, 0, 1, 3, 7, 8, 8, 7);
	want_explained(&t);
	model_expect(t.m, &op, &t.names, &out);
	for (unsigned i = 0; i < OPS_STAMPS; i++)
		d = ops_fold(d, ops_stamp(i == 0 || i == 3 ? 7 : 8, 1, 3, i));
	assert_int_equal(out.value, d);
	end(&t);
}

static void linear_value_nobody_wrote_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	wrote(&t, 0, 1, 5, "write s0 w1 p3 +1 v7", RESULT_OK);
	look4(&t, 0, 1, 3, 7, 7, 7, 9);
	want_refused(&t, "stamp 3: no order explains: op 0 on CPU 0 wrote v7; at the end s0 "
			 "holds v9");
	end(&t);
}

static void linear_untouched_page_must_hold_what_it_did(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 0, 1, 5, "map s0 w2 p3 +1 rw", RESULT_OK);
	look(&t, 0, 1, 3, ZERO);
	want_refused(&t, "page p3 of w1 in s0");
	end(&t);
}

/* ---- ranges and words ---- */

static void linear_unmap_beside_a_write_explains_both(void **state)
{
	for (unsigned segv = 0; segv < 2; segv++) {
		struct trial t = begin(NULL, 0, ONE_PAGE);

		(void)state;
		did(&t, 0, 1, 5, "unmap s0 w1 p3 +1", RESULT_OK);
		if (segv)
			refused(&t, 1, 2, 4, "write s0 w1 p3 +1 v7");
		else
			wrote(&t, 1, 2, 4, "write s0 w1 p3 +1 v7", RESULT_OK);
		listed(&t, 0, 1, 3, UNMAPPED);
		want_explained(&t);
		assert_false(page_of(&t, 0, 1, 3)->mapped);
		end(&t);
	}
}

static void linear_write_after_the_unmap_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 0, 1, 2, "unmap s0 w1 p3 +1", RESULT_OK);
	wrote(&t, 1, 3, 4, "write s0 w1 p3 +1 v7", RESULT_OK);
	listed(&t, 0, 1, 3, UNMAPPED);
	want_refused(&t, "op 0 on CPU 0 unmap; op 1 on CPU 1 wrote v7");
	end(&t);
}

static void linear_refusal_before_the_unmap_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	refused(&t, 1, 1, 2, "write s0 w1 p3 +1 v7");
	did(&t, 0, 3, 4, "unmap s0 w1 p3 +1", RESULT_OK);
	listed(&t, 0, 1, 3, UNMAPPED);
	want_refused(&t, "op 0 on CPU 1 wrote segv");
	end(&t);
}

static void linear_range_reaches_words_at_moments_of_their_own(void **state)
{
	struct trial t = begin(NULL, 0, "map s0 w1 p0 +2 rw");

	(void)state;
	did(&t, 0, 1, 9, "protect s0 w1 p0 +2 r", RESULT_OK);
	refused(&t, 1, 2, 3, "write s0 w1 p1 +1 v7");
	wrote(&t, 1, 4, 5, "write s0 w1 p0 +1 v7", RESULT_OK);
	listed(&t, 0, 1, 0, 1);
	listed(&t, 0, 1, 1, 1);
	look(&t, 0, 1, 0, 7);
	look(&t, 0, 1, 1, ZERO);
	want_explained(&t);
	end(&t);
}

static void linear_protect_beside_a_write_explains_both(void **state)
{
	for (unsigned segv = 0; segv < 2; segv++) {
		struct trial t = begin(NULL, 0, ONE_PAGE);

		(void)state;
		did(&t, 0, 1, 5, "protect s0 w1 p3 +1 r", RESULT_OK);
		if (segv)
			refused(&t, 1, 2, 4, "write s0 w1 p3 +1 v7");
		else
			wrote(&t, 1, 2, 4, "write s0 w1 p3 +1 v7", RESULT_OK);
		listed(&t, 0, 1, 3, 1);
		look(&t, 0, 1, 3, segv ? 1 : 7);
		want_explained(&t);
		end(&t);
	}
}

static void linear_write_after_the_protect_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 0, 1, 2, "protect s0 w1 p3 +1 r", RESULT_OK);
	wrote(&t, 1, 3, 4, "write s0 w1 p3 +1 v7", RESULT_OK);
	look(&t, 0, 1, 3, 7);
	want_refused(&t, "protect; op 1 on CPU 1 wrote v7");
	end(&t);
}

static void linear_rights_don_t_come_back_within_a_protect(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 0, 1, 9, "protect s0 w1 p3 +1 r", RESULT_OK);
	refused(&t, 1, 2, 3, "write s0 w1 p3 +1 v7");
	wrote(&t, 2, 5, 6, "write s0 w1 p3 +1 v8", RESULT_OK);
	want_refused(&t, "op 1 on CPU 1 wrote segv; op 2 on CPU 2 wrote v8");
	end(&t);
}

static void linear_page_protected_after_it_was_gone_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 0, 1, 9, "unmap s0 w1 p3 +1", RESULT_OK);
	refused(&t, 1, 2, 3, "read s0 w1 p3 +1");
	did(&t, 2, 5, 6, "protect s0 w1 p3 +1 r", RESULT_OK);
	listed(&t, 0, 1, 3, UNMAPPED);
	want_refused(&t, "op 1 on CPU 1 read segv; op 2 on CPU 2 protect; op 0 on CPU 0 unmap");
	end(&t);
}

static void linear_refusal_of_a_page_that_stays_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 0, 1, 5, "unmap s0 w1 p3 +1", RESULT_OK);
	did(&t, 1, 2, 6, "map s0 w1 p3 +1 rw", RESULT_OK);
	refused(&t, 2, 7, 8, "read s0 w1 p3 +1");
	listed(&t, 0, 1, 3, 3);
	want_refused(&t, "op 2 on CPU 2 read segv");
	end(&t);
}

/* Without what the search keeps, its budget would end it, unjudged. */
static void linear_many_overlapping_writes_are_judged(void **state)
{
	for (unsigned k = 0; k < 2; k++) {
		struct trial t = begin(NULL, 0, ONE_PAGE);

		(void)state;
		for (unsigned cpu = 0; cpu < 3; cpu++)
			for (unsigned i = 0; i < 6; i++) {
				char line[40];

				snprintf(line, sizeof(line), "write s0 w1 p3 +1 v%u", 10 * cpu + i);
				wrote(&t, cpu, 1 + 10 * i + 3 * cpu, 10 + 10 * i + 3 * cpu, line,
				      RESULT_OK);
			}
		look(&t, 0, 1, 3, k ? 4 : 5);
		if (k)
			want_refused(&t, "no order explains");
		else
			want_explained(&t);
		end(&t);
	}
}

static void linear_map_over_a_map_zeroes_once(void **state)
{
	for (int last = ZERO; last <= 7; last += 8) {
		struct trial t = begin(NULL, 0, ONE_PAGE);

		(void)state;
		did(&t, 0, 1, 5, "map s0 w1 p3 +1 rw", RESULT_OK);
		did(&t, 1, 2, 6, "map s0 w1 p3 +1 r", RESULT_OK);
		wrote(&t, 2, 3, 4, "write s0 w1 p3 +1 v7", RESULT_OK);
		listed(&t, 0, 1, 3, 3);
		look(&t, 0, 1, 3, last);
		want_explained(&t);
		assert_int_equal(page_of(&t, 0, 1, 3)->prot, 3);
		end(&t);
	}
}

static void linear_map_that_keeps_old_contents_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 0, 1, 5, "map s0 w1 p3 +1 rw", RESULT_OK);
	did(&t, 1, 2, 6, "map s0 w1 p3 +1 r", RESULT_OK);
	look(&t, 0, 1, 3, 1);
	want_refused(&t, "at the end s0 holds v1");
	end(&t);
}

static void linear_heap_moves_page_by_page(void **state)
{
	struct trial t = begin(NULL, 0, "brk s0 =2; write s0 w11 p1 +1 v1");

	(void)state;
	did(&t, 0, 1, 5, "brk s0 =1", RESULT_OK);
	did(&t, 1, 2, 6, "brk s0 =4", RESULT_OK);
	wrote(&t, 2, 3, 4, "write s0 w11 p3 +1 v7", RESULT_OK);
	listed(&t, 0, 11, 1, 3);
	listed(&t, 0, 11, 3, 3);
	look(&t, 0, 11, 1, 1); /* either order takes it away */
	look(&t, 0, 11, 3, 7);
	want_refused(&t, "page p1 of w11");
	end(&t);
	t = begin(NULL, 0, "brk s0 =2; write s0 w11 p1 +1 v1");
	did(&t, 0, 1, 5, "brk s0 =1", RESULT_OK);
	did(&t, 1, 2, 6, "brk s0 =4", RESULT_OK);
	wrote(&t, 2, 3, 4, "write s0 w11 p3 +1 v7", RESULT_OK);
	listed(&t, 0, 11, 1, 3);
	listed(&t, 0, 11, 3, 3);
	look(&t, 0, 11, 1, ZERO);
	look(&t, 0, 11, 3, 7);
	want_explained(&t);
	assert_int_equal(t.m->space[0]->break_pages, 4);
	end(&t);
}

/* ---- fork ---- */

static void fork_trial(struct trial *t, int child, int parent)
{
	*t = begin(NULL, 0, ONE_PAGE);
	did(t, 0, 1, 5, "fork s0 s4", RESULT_OK);
	wrote(t, 1, 2, 4, "write s0 w1 p3 +1 v7", RESULT_OK);
	read1(t, 0, 6, 7, "read s4 w1 p3 +1", child);
	listed(t, 4, 1, 3, 3);
	look(t, 0, 1, 3, parent);
	look(t, 4, 1, 3, child);
}

static void linear_child_has_the_word_before_or_after(void **state)
{
	struct trial t;

	(void)state;
	fork_trial(&t, 1, 7);
	want_explained(&t);
	assert_int_equal(page_of(&t, 4, 1, 3)->content[1], 2);
	assert_int_equal(page_of(&t, 0, 1, 3)->content[1], 8);
	end(&t);
	fork_trial(&t, 7, 7);
	want_explained(&t);
	end(&t);
}

static void linear_child_s_write_in_the_parent_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 0, 1, 2, "fork s0 s4", RESULT_OK);
	wrote(&t, 0, 3, 6, "write s4 w1 p3 +1 v7", RESULT_OK);
	read1(&t, 1, 4, 7, "read s0 w1 p3 +1", 7);
	want_refused(&t, "page p3 of w1 in s0, stamp 0");
	end(&t);
}

static void linear_parent_s_later_write_in_the_child_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 0, 1, 2, "fork s0 s4", RESULT_OK);
	wrote(&t, 1, 3, 4, "write s0 w1 p3 +1 v7", RESULT_OK);
	look(&t, 0, 1, 3, 7);
	look(&t, 4, 1, 3, 7);
	want_refused(&t, "fork; op 1 on CPU 1 wrote v7");
	end(&t);
}

static void linear_fork_has_the_regions_of_one_moment(void **state)
{
	for (unsigned torn = 0; torn < 2; torn++) {
		struct trial t = begin(NULL, 0, "map s0 w1 p0 +2 rw");

		(void)state;
		did(&t, 0, 1, 9, "fork s0 s4", RESULT_OK);
		did(&t, 1, 2, 3, "unmap s0 w1 p0 +1", RESULT_OK);
		did(&t, 1, 4, 5, "unmap s0 w1 p1 +1", RESULT_OK);
		listed(&t, 0, 1, 0, UNMAPPED);
		listed(&t, 0, 1, 1, UNMAPPED);
		listed(&t, 4, 1, 0, torn ? 3 : UNMAPPED);
		listed(&t, 4, 1, 1, torn ? UNMAPPED : 3);
		if (torn) {
			want_refused(&t, "no order of ops 0 1 2 explains: page p");
		} else {
			want_explained(&t);
			assert_true(page_of(&t, 4, 1, 1)->mapped);
			assert_false(page_of(&t, 4, 1, 0)->mapped);
		}
		end(&t);
	}
}

static void linear_number_of_a_space_passes_on(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE "; fork s0 s4; write s4 w1 p3 +1 v2");

	(void)state;
	did(&t, 0, 1, 2, "exit s4", RESULT_OK);
	did(&t, 0, 3, 6, "fork s0 s4", RESULT_OK);
	wrote(&t, 1, 4, 5, "write s0 w1 p3 +1 v7", RESULT_OK);
	look(&t, 4, 1, 3, 1);
	look(&t, 0, 1, 3, 7);
	want_explained(&t);
	assert_int_equal(page_of(&t, 4, 1, 3)->content[0], 2);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linear_read_after_a_completed_write_sees_it),
		cmocka_unit_test(linear_stale_read_after_a_completed_write_is_refused),
		cmocka_unit_test(linear_overlapping_read_may_see_either),
		cmocka_unit_test(linear_two_reads_see_one_write_in_one_order),
		cmocka_unit_test(linear_two_writes_leave_either),
		cmocka_unit_test(linear_lost_write_is_refused),
		cmocka_unit_test(linear_write_seen_then_lost_is_refused),
		cmocka_unit_test(linear_mixed_stamps_stay_mixed),
		cmocka_unit_test(linear_value_nobody_wrote_is_refused),
		cmocka_unit_test(linear_untouched_page_must_hold_what_it_did),
		cmocka_unit_test(linear_unmap_beside_a_write_explains_both),
		cmocka_unit_test(linear_write_after_the_unmap_is_refused),
		cmocka_unit_test(linear_refusal_before_the_unmap_is_refused),
		cmocka_unit_test(linear_range_reaches_words_at_moments_of_their_own),
		cmocka_unit_test(linear_protect_beside_a_write_explains_both),
		cmocka_unit_test(linear_write_after_the_protect_is_refused),
		cmocka_unit_test(linear_rights_don_t_come_back_within_a_protect),
		cmocka_unit_test(linear_page_protected_after_it_was_gone_is_refused),
		cmocka_unit_test(linear_refusal_of_a_page_that_stays_is_refused),
		cmocka_unit_test(linear_many_overlapping_writes_are_judged),
		cmocka_unit_test(linear_map_over_a_map_zeroes_once),
		cmocka_unit_test(linear_map_that_keeps_old_contents_is_refused),
		cmocka_unit_test(linear_heap_moves_page_by_page),
		cmocka_unit_test(linear_child_has_the_word_before_or_after),
		cmocka_unit_test(linear_child_s_write_in_the_parent_is_refused),
		cmocka_unit_test(linear_parent_s_later_write_in_the_child_is_refused),
		cmocka_unit_test(linear_fork_has_the_regions_of_one_moment),
		cmocka_unit_test(linear_number_of_a_space_passes_on),
	};

	return cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}
