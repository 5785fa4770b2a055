/// The judge of concurrent sections: answers of operations, the regions they leave, and
/// what nobody could see.
#include "linear_fixture.h"

/* ---- answers ---- */

static void linear_answers_protect_needs_a_moment_with_its_pages(void **state)
{
	for (unsigned apart = 0; apart < 2; apart++) {
		struct trial t = begin(NULL, 0, "map s0 w1 p0 +1 rw");

		(void)state;
		did(&t, 0, 1, 9, "protect s0 w1 p0 +2 r", RESULT_OK);
		did(&t, 1, 2, 3, apart ? "unmap s0 w1 p0 +1" : "map s0 w1 p1 +1 rw", RESULT_OK);
		did(&t, 1, 4, 5, apart ? "map s0 w1 p1 +1 rw" : "unmap s0 w1 p0 +1", RESULT_OK);
		if (apart)
			want_refused(&t, "op 0 on CPU 0 (protect s0 w1 p0 +2 r) is ok, but the "
					 "model says nomem");
		else
			want_explained(&t);
		end(&t);
	}
}

static void linear_answers_hole_seen_by_a_protect_may_be_closed_later(void **state)
{
	struct trial t = begin(NULL, 0, "map s0 w1 p0 +1 rw");

	(void)state;
	did(&t, 0, 1, 9, "protect s0 w1 p0 +2 r", RESULT_NOMEM);
	did(&t, 1, 2, 3, "map s0 w1 p1 +1 rw", RESULT_OK);
	listed(&t, 0, 1, 0, 3);
	listed(&t, 0, 1, 1, 3);
	want_explained(&t);
	end(&t);
}

static void linear_answers_final_pages_pick_the_order(void **state)
{
	for (unsigned k = 0; k < 3; k++) {
		struct trial t = begin(NULL, 0, "map s0 w1 p0 +1 rw");

		(void)state;
		did(&t, 0, 1, 5, "unmap s0 w1 p0 +2", RESULT_OK);
		did(&t, 1, 2, 6, "map s0 w1 p0 +2 r", RESULT_OK);
		listed(&t, 0, 1, 0, k == 1 ? UNMAPPED : 1);
		listed(&t, 0, 1, 1, k == 0 ? 1 : UNMAPPED);
		if (k == 2)
			want_refused(&t, "no order of ops 0 1 explains: page p");
		else
			want_explained(&t);
		if (k < 2)
			assert_int_equal(page_of(&t, 0, 1, 1)->mapped, k == 0);
		end(&t);
	}
}

static void linear_answers_change_by_nobody_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, "map s0 w1 p0 +1 rw");

	(void)state;
	did(&t, 0, 1, 2, "frame-alloc @1 o0", RESULT_OK);
	listed(&t, 0, 1, 0, 1);
	want_refused(&t, "page p0 of w1 in s0 is r, not rw");
	end(&t);
}

static void linear_answers_refused_protection_is_never_ok(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 0, 1, 2, "map s0 w1 p0 +1 wx", RESULT_ACCES);
	want_explained(&t);
	did(&t, 1, 1, 2, "map s0 w1 p0 +1 wx", RESULT_OK);
	want_refused(&t, "is ok, but the model says acces");
	end(&t);
}

static void linear_answers_nomem_needs_a_reason(void **state)
{
	struct trial t = begin(NULL, 65536, ONE_PAGE);

	(void)state;
	did(&t, 0, 1, 2, "map s0 w2 p0 +1 rw", RESULT_NOMEM);
	want_refused(&t, "is nomem, but the model says ok");
	t.h->event[0].injected = true;
	want_explained(&t);
	assert_false(page_of(&t, 0, 2, 0)->mapped);
	did(&t, 1, 1, 2, "frame-alloc @1 o0", RESULT_NOMEM);
	want_refused(&t, "op 1 on CPU 1 (frame-alloc @1 o0): nomem, though at most");
	t.h->event[1].injected = true;
	want_explained(&t);
	end(&t);
}

static void linear_answers_nomem_is_allowed_while_others_hold_frames(void **state)
{
	struct trial t = begin(NULL, 4096,
			       "frame-alloc @0 o9; frame-alloc @1 o9; frame-alloc @2 o9");

	(void)state;
	did(&t, 0, 1, 5, "frame-alloc @3 o8", RESULT_NOMEM);
	want_explained(&t); /* 1536 frames in use could lie in every block of 256 */
	t.s.n = t.h->n = 0;
	did(&t, 0, 1, 5, "frame-alloc @3 o0", RESULT_NOMEM);
	want_refused(&t, "nomem, though");
	for (unsigned i = 0; i < 4; i++) {
		char line[40];

		snprintf(line, sizeof(line), "frame-alloc @%u o9", 10 + i);
		did(&t, 1, 1 + 3 * i, 3 + 3 * i, line, RESULT_NOMEM);
	}
	want_explained(&t);
	end(&t);
}

static void linear_answers_access_without_memory_changes_nothing(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	touched(&t, 0, 1, 3, "write s0 w1 p3 +1 v7", RESULT_NOMEM, NULL);
	look(&t, 0, 1, 3, 1);
	want_refused(&t, "nomem, though");
	t.h->event[0].injected = true;
	want_explained(&t);
	assert_int_equal(page_of(&t, 0, 1, 3)->content[0], 2);
	end(&t);
}

static void linear_answers_limit_needs_a_moment_at_it(void **state)
{
	for (unsigned k = 0; k < 2; k++) {
		struct trial t = begin("viperdos", 0, ""); /* 64 regions, never merged */

		(void)state;
		for (unsigned i = 0; i < 63; i++) {
			struct op op = { OP_MAP, 0, { 0, 0, (uint16_t)i, 1, 3 } };
			struct op_outcome out;

			body_model.perform(t.m, &op, &t.names, &out);
			assert_int_equal(out.result, RESULT_OK);
		}
		did(&t, 0, 1, 5, "map s0 w1 p0 +1 rw", RESULT_OK);
		did(&t, 1, 2, 6, "map s0 w1 p2 +1 rw", k ? RESULT_OK : RESULT_LIMIT);
		if (k)
			want_refused(&t, "the model says limit");
		else
			want_explained(&t);
		end(&t);
	}
}

static void linear_answers_heads_tell_orders_apart(void **state)
{
	for (unsigned whole = 0; whole < 2; whole++) {
		struct trial t = begin("viperdos", 0, "");

		(void)state;
		did(&t, 0, 1, 5, "map s0 w1 p0 +3 rw", RESULT_OK);
		did(&t, 1, 2, 6, "map s0 w1 p1 +1 rw", RESULT_OK);
		t.h->heads = true;
		for (unsigned p = 0; p < 3; p++) {
			listed(&t, 0, 1, p, 3);
			t.h->page[p].head = p == 0 || !whole;
		}
		want_explained(&t);
		assert_int_equal(model_space_regions(t.m->space[0]), whole ? 1 : 3);
		end(&t);
	}
}

static void linear_answers_kernel_operations_keep_the_counts(void **state)
{
	struct trial t = begin(NULL, 0, "frame-alloc @0 o2");

	(void)state;
	did(&t, 0, 1, 4, "frame-alloc @1 o3", RESULT_OK);
	did(&t, 1, 2, 3, "frame-free @0", RESULT_OK);
	did(&t, 2, 1, 2, "object-alloc @1 b5000", RESULT_OK);
	did(&t, 2, 3, 4, "object-free @1", RESULT_OK);
	did(&t, 3, 1, 4, "drain", RESULT_OK);
	want_explained(&t);
	assert_int_equal(t.m->slot_frames, 8);
	assert_int_equal(t.m->object_now, 0);
	assert_int_equal(t.m->object_frames, 3);
	t.h->event[4].out.result = RESULT_NOMEM;
	t.h->event[4].injected = true;
	want_refused(&t, "op 4 on CPU 3 (drain): nomem, the model says ok");
	end(&t);
}

static void linear_answers_objects_may_have_overlapped(void **state)
{
	struct trial t = begin(NULL, 0, "object-alloc @0 b5000");

	(void)state;
	did(&t, 0, 1, 3, "object-free @0", RESULT_OK);
	did(&t, 1, 2, 4, "object-alloc @1 b5000", RESULT_OK);
	want_explained(&t);
	assert_int_equal(t.m->object_now, 3);
	assert_int_equal(t.m->object_frames, 6);
	end(&t);
}

static void linear_answers_corrupt_block_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, "frame-alloc @0 o2");

	(void)state;
	did(&t, 1, 2, 3, "frame-free @0", RESULT_CORRUPT);
	want_refused(&t, "corrupt, the model says ok");
	end(&t);
}

static void linear_answers_skipped_operation_is_nothing(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 1, 2, 3, "exit s7", RESULT_SKIP);
	did(&t, 1, 4, 5, "unmap s0 w1 p3 +1", RESULT_SKIP);
	listed(&t, 0, 1, 3, 3);
	look(&t, 0, 1, 3, 1);
	want_explained(&t);
	t.h->event[0].out.result = RESULT_OK;
	want_refused(&t, "its names mean nothing");
	end(&t);
}

static void linear_answers_operation_without_an_end_is_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 1, 2, 3, "unmap s0 w1 p3 +1", RESULT_OK);
	t.h->n = 0;
	want_refused(&t, "doesn't say how it ended");
	end(&t);
}

static void linear_answers_words_missing_from_a_read_are_refused(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	read1(&t, 1, 2, 3, "read s0 w1 p3 +1", 1);
	t.h->n--;
	want_refused(&t, "of its 4 words 3 are told");
	end(&t);
}

static void linear_answers_kernel_only_preset_refuses_users(void **state)
{
	struct trial t = begin("neo", 0, "");

	(void)state;
	did(&t, 0, 1, 3, "map s0 w0 p0 +1 rw", RESULT_UNSUPPORTED);
	did(&t, 1, 2, 4, "frame-alloc @1 o0", RESULT_OK);
	want_explained(&t);
	t.h->event[0].out.result = RESULT_OK;
	want_refused(&t, "ok, the model says unsupported");
	end(&t);
}

/* ---- what nobody could see ---- */

static void linear_answers_hidden_page_of_two_writes_is_unsure(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);
	struct op open = parse_op("protect s0 w1 p3 +1 r"), rd = parse_op("read s0 w1 p3 +1");
	struct op_outcome out = { .result = RESULT_OK };
	char why[160];

	(void)state;
	wrote(&t, 0, 1, 5, "write s0 w1 p3 +1 v7", RESULT_OK);
	wrote(&t, 1, 2, 6, "write s0 w1 p3 +1 v8", RESULT_OK);
	did(&t, 2, 7, 8, "protect s0 w1 p3 +1 -", RESULT_OK);
	listed(&t, 0, 1, 3, 0);
	want_explained(&t);
	for (unsigned i = 0; i < OPS_STAMPS; i++)
		assert_int_equal(page_of(&t, 0, 1, 3)->content[i], MODEL_UNSURE);
	model_follow(t.m, &open, &t.names, &out);
	out.value = 0x1234;
	assert_true(model_allows(t.m, &rd, &t.names, &out, false, why, sizeof(why)));
	out.result = RESULT_SEGV;
	assert_false(model_allows(t.m, &rd, &t.names, &out, false, why, sizeof(why)));
	/* The next section looks. */
	t.s.n = t.h->n = t.h->pages_n = 0;
	read1(&t, 0, 1, 2, "read s0 w1 p3 +1", 8);
	look(&t, 0, 1, 3, 8);
	want_explained(&t);
	assert_int_equal(page_of(&t, 0, 1, 3)->content[2], 9);
	end(&t);
}

static void linear_answers_unseen_copy_of_a_changed_page_is_unsure(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	did(&t, 0, 1, 5, "fork s0 s4", RESULT_OK);
	did(&t, 1, 2, 6, "map s0 w1 p3 +1 rw", RESULT_OK);
	listed(&t, 4, 1, 3, 3);
	want_explained(&t);
	assert_int_equal(page_of(&t, 4, 1, 3)->content[0], MODEL_UNSURE);
	assert_int_equal(page_of(&t, 0, 1, 3)->content[0], MODEL_ZERO);
	end(&t);
}

/* Without what the search keeps, its budget would end it, unjudged. */
static void linear_answers_many_overlapping_maps_are_judged(void **state)
{
	struct trial t = begin(NULL, 0, "");

	(void)state;
	for (unsigned cpu = 0; cpu < 3; cpu++)
		for (unsigned i = 0; i < 6; i++) {
			char line[40];

			snprintf(line, sizeof(line), "map s0 w%u p%u +2 %s", cpu, 2 * (i % 2),
				 i % 2 ? "r" : "rw");
			did(&t, cpu, 1 + 10 * i + 3 * cpu, 10 + 10 * i + 3 * cpu, line, RESULT_OK);
		}
	listed(&t, 0, 1, 1, 1);
	want_refused(&t, "page p1 of w1 in s0 is r, not rw");
	end(&t);
}

static void linear_answers_look_beneath_a_protection_pins(void **state)
{
	struct trial t = begin(NULL, 0, ONE_PAGE);

	(void)state;
	wrote(&t, 0, 1, 5, "write s0 w1 p3 +1 v7", RESULT_OK);
	wrote(&t, 1, 2, 6, "write s0 w1 p3 +1 v8", RESULT_OK);
	did(&t, 2, 7, 8, "protect s0 w1 p3 +1 -", RESULT_OK);
	look4(&t, 0, 1, 3, 7, 8, 7, 8);
	want_explained(&t);
	assert_int_equal(page_of(&t, 0, 1, 3)->content[1], 9);
	end(&t);
}

static void linear_answers_overflow_follows_the_looks(void **state)
{
	for (unsigned k = 0; k < 3; k++) {
		struct trial t = begin(NULL, 0, ONE_PAGE);

		(void)state;
		did(&t, 0, 1, 5, "write s0 w1 p3 +1 v7", RESULT_OK);
		did(&t, 1, 2, 6, "unmap s0 w1 p9 +1", RESULT_OK);
		t.h->overflow = true;
		if (k < 2)
			look(&t, 0, 1, 3, k ? 300 : 7);
		if (k == 0)
			want_explained(&t);
		else
			want_refused(&t, k == 1 ? "which nobody wrote" : "nobody looked");
		if (k == 0)
			assert_int_equal(page_of(&t, 0, 1, 3)->content[3], 8);
		end(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linear_answers_protect_needs_a_moment_with_its_pages),
		cmocka_unit_test(linear_answers_hole_seen_by_a_protect_may_be_closed_later),
		cmocka_unit_test(linear_answers_final_pages_pick_the_order),
		cmocka_unit_test(linear_answers_change_by_nobody_is_refused),
		cmocka_unit_test(linear_answers_refused_protection_is_never_ok),
		cmocka_unit_test(linear_answers_nomem_needs_a_reason),
		cmocka_unit_test(linear_answers_nomem_is_allowed_while_others_hold_frames),
		cmocka_unit_test(linear_answers_access_without_memory_changes_nothing),
		cmocka_unit_test(linear_answers_limit_needs_a_moment_at_it),
		cmocka_unit_test(linear_answers_heads_tell_orders_apart),
		cmocka_unit_test(linear_answers_kernel_operations_keep_the_counts),
		cmocka_unit_test(linear_answers_objects_may_have_overlapped),
		cmocka_unit_test(linear_answers_corrupt_block_is_refused),
		cmocka_unit_test(linear_answers_skipped_operation_is_nothing),
		cmocka_unit_test(linear_answers_operation_without_an_end_is_refused),
		cmocka_unit_test(linear_answers_words_missing_from_a_read_are_refused),
		cmocka_unit_test(linear_answers_kernel_only_preset_refuses_users),
		cmocka_unit_test(linear_answers_hidden_page_of_two_writes_is_unsure),
		cmocka_unit_test(linear_answers_unseen_copy_of_a_changed_page_is_unsure),
		cmocka_unit_test(linear_answers_many_overlapping_maps_are_judged),
		cmocka_unit_test(linear_answers_look_beneath_a_protection_pins),
		cmocka_unit_test(linear_answers_overflow_follows_the_looks),
	};

	return cmocka_run_group_tests_name("linear_answers", tests, NULL, NULL);
}
