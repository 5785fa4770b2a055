/// The reference model, against outcomes computed by hand.
#include "play_fixture.h"

#include <stdio.h>

#include "model/state.h"

struct world {
	struct body *m;
	struct ops_names names;
};

static struct world begin(const char *preset, uint64_t frames_n)
{
	struct body_options o = { .preset = preset, .frames_n = frames_n };
	struct world w;

	assert_null(body_model.start(&w.m, &o));
	ops_names_start(&w.names);
	return w;
}

static void end(struct world *w)
{
	struct finding f;

	body_model.finish(w->m, &f);
}

static struct op_outcome act(struct world *w, const char *line)
{
	struct op op = parse_op(line);
	struct op_outcome out = { .result = RESULT_SKIP };

	if (ops_names_skip(&w->names, &op))
		return out;
	body_model.perform(w->m, &op, &w->names, &out);
	ops_names_follow(&w->names, &op, (enum op_result)out.result);
	return out;
}

static void want(struct world *w, const char *line, enum op_result result)
{
	struct op_outcome out = act(w, line);

	if (out.result != result)
		fail_msg("%s: %s, not %s", line, ops_result_text[out.result],
			 ops_result_text[result]);
}

static uint64_t stamped(uint64_t d, unsigned pattern, unsigned window, unsigned page)
{
	for (unsigned i = 0; i < OPS_STAMPS; i++)
		d = ops_fold(d, ops_stamp(pattern, window, page, i));
	return d;
}

static uint64_t zeros(uint64_t d)
{
	for (unsigned i = 0; i < OPS_STAMPS; i++)
		d = ops_fold(d, 0);
	return d;
}

static void want_value(struct world *w, const char *line, enum op_result result, uint64_t value)
{
	struct op_outcome out = act(w, line);

	assert_int_equal(out.result, result);
	assert_int_equal(out.value, value);
}

static void model_read_sees_what_was_written(void **state)
{
	struct world w = begin(NULL, 0);
	uint64_t d = OPS_DIGEST_START;

	(void)state;
	want(&w, "map s0 w2 p10 +4 rw", RESULT_OK);
	want_value(&w, "write s0 w2 p11 +2 v7", RESULT_OK, 0);
	d = zeros(stamped(stamped(zeros(d), 7, 2, 11), 7, 2, 12));
	want_value(&w, "read s0 w2 p10 +4", RESULT_OK, d);
	end(&w);
}

static void model_refused_access_names_its_page(void **state)
{
	struct world w = begin(NULL, 0);
	uint64_t d;

	(void)state;
	want(&w, "map s0 w2 p10 +4 rw", RESULT_OK);
	want(&w, "protect s0 w2 p12 +1 -", RESULT_OK);
	want(&w, "protect s0 w2 p11 +1 r", RESULT_OK);
	want_value(&w, "write s0 w2 p10 +4 v9", RESULT_SEGV, 11);
	d = zeros(stamped(OPS_DIGEST_START, 9, 2, 10));
	want_value(&w, "read s0 w2 p10 +4", RESULT_SEGV, (d & ~0xffull) | 12);
	want_value(&w, "read s0 w2 p9 +4", RESULT_SEGV, (OPS_DIGEST_START & ~0xffull) | 9);
	end(&w);
}

static void model_protections_imply_read_but_not_both(void **state)
{
	struct world w = begin(NULL, 0);

	(void)state;
	want(&w, "map s0 w0 p0 +1 w", RESULT_OK);
	want(&w, "map s0 w0 p1 +1 x", RESULT_OK);
	want(&w, "read s0 w0 p0 +2", RESULT_OK);
	want(&w, "write s0 w0 p1 +1 v1", RESULT_SEGV);
	want(&w, "map s0 w0 p0 +1 wx", RESULT_ACCES);
	want(&w, "place s0 w8 +1 rwx", RESULT_ACCES);
	want(&w, "protect s0 w0 p0 +1 rwx", RESULT_ACCES);
	want(&w, "protect s0 w0 p9 +1 wx", RESULT_ACCES); /* before the hole is seen */
	want(&w, "write s0 w0 p0 +1 v1", RESULT_OK);
	end(&w);
}

static void model_protect_over_a_hole_changes_nothing(void **state)
{
	struct world w = begin(NULL, 0);

	(void)state;
	want(&w, "map s0 w0 p0 +2 rw", RESULT_OK);
	want(&w, "map s0 w0 p3 +1 rw", RESULT_OK);
	want(&w, "protect s0 w0 p0 +4 r", RESULT_NOMEM);
	want(&w, "write s0 w0 p0 +2 v1", RESULT_OK);
	want(&w, "unmap s0 w0 p0 +64", RESULT_OK);
	want(&w, "unmap s0 w0 p0 +64", RESULT_OK); /* holes are no error */
	end(&w);
}

static void model_fork_copies_then_parts(void **state)
{
	struct world w = begin(NULL, 0);

	(void)state;
	want(&w, "map s0 w4 p0 +1 rw", RESULT_OK);
	want(&w, "write s0 w4 p0 +1 v1", RESULT_OK);
	want(&w, "place s0 w8 +2 rw", RESULT_OK);
	want(&w, "write s0 w8 p1 +1 v4", RESULT_OK);
	want(&w, "brk s0 =2", RESULT_OK);
	want(&w, "fork s0 s3", RESULT_OK);
	want(&w, "write s0 w4 p0 +1 v2", RESULT_OK);
	want_value(&w, "read s3 w4 p0 +1", RESULT_OK, stamped(OPS_DIGEST_START, 1, 4, 0));
	want_value(&w, "read s3 w8 p1 +1", RESULT_OK, stamped(OPS_DIGEST_START, 4, 8, 1));
	want(&w, "write s3 w4 p0 +1 v3", RESULT_OK);
	want(&w, "exit s3", RESULT_OK);
	want_value(&w, "read s0 w4 p0 +1", RESULT_OK, stamped(OPS_DIGEST_START, 2, 4, 0));
	want(&w, "brk s0 =0", RESULT_OK);
	want(&w, "read s0 w11 p0 +1", RESULT_SEGV);
	end(&w);
}

static void model_remapped_memory_is_zero_again(void **state)
{
	struct world w = begin(NULL, 0);

	(void)state;
	want(&w, "map s0 w4 p0 +3 rw", RESULT_OK);
	want(&w, "write s0 w4 p0 +3 v1", RESULT_OK);
	want(&w, "map s0 w4 p1 +1 rw", RESULT_OK);
	want_value(&w, "read s0 w4 p1 +1", RESULT_OK, zeros(OPS_DIGEST_START));
	want_value(&w, "read s0 w4 p2 +1", RESULT_OK, stamped(OPS_DIGEST_START, 1, 4, 2));
	want(&w, "brk s0 =3", RESULT_OK);
	want(&w, "write s0 w11 p0 +3 v1", RESULT_OK);
	want(&w, "brk s0 =1", RESULT_OK);
	want(&w, "brk s0 =3", RESULT_OK);
	want_value(&w, "read s0 w11 p1 +1", RESULT_OK, zeros(OPS_DIGEST_START));
	end(&w);
}

static void model_region_limit_is_exact(void **state)
{
	struct world w = begin("viperdos", 0); /* 64 regions, never merged */
	char line[64];

	(void)state;
	for (unsigned i = 0; i < 63; i++) {
		snprintf(line, sizeof(line), "map s0 w0 p%u +1 rw", i);
		want(&w, line, RESULT_OK);
	}
	want(&w, "map s0 w1 p0 +3 rw", RESULT_OK);
	want(&w, "map s0 w2 p0 +1 rw", RESULT_LIMIT);
	want(&w, "place s0 w8 +1 rw", RESULT_LIMIT);
	want(&w, "brk s0 =1", RESULT_LIMIT);
	want(&w, "unmap s0 w1 p1 +1", RESULT_LIMIT);
	want(&w, "protect s0 w1 p1 +1 r", RESULT_LIMIT);
	want(&w, "protect s0 w1 p1 +1 rw", RESULT_OK); /* nothing to cut */
	want(&w, "protect s0 w1 p0 +3 r", RESULT_OK);
	want(&w, "unmap s0 w1 p2 +1", RESULT_OK);
	want(&w, "map s0 w1 p0 +2 rw", RESULT_OK); /* replaces one */
	want(&w, "fork s0 s1", RESULT_OK);
	want(&w, "unmap s0 w0 p5 +1", RESULT_OK);
	want(&w, "brk s0 =1", RESULT_OK);
	want(&w, "brk s0 =2", RESULT_OK); /* the heap's pieces join */
	want(&w, "brk s1 =1", RESULT_LIMIT);
	end(&w);
}

static void model_without_a_limit_has_none(void **state)
{
	struct world w = begin(NULL, 0);
	char line[64];

	(void)state;
	for (unsigned i = 0; i < 64; i += 2)
		for (unsigned window = 0; window < 8; window++) {
			snprintf(line, sizeof(line), "map s0 w%u p%u +1 r", window, i);
			want(&w, line, RESULT_OK);
		}
	end(&w);
}

static void model_kernel_only_preset_refuses_users(void **state)
{
	struct world w = begin("neo", 0);
	uint64_t d = OPS_DIGEST_START, s = OPS_DIGEST_START;

	(void)state;
	want(&w, "map s0 w0 p0 +1 rw", RESULT_UNSUPPORTED);
	want(&w, "fork s0 s1", RESULT_UNSUPPORTED);
	want(&w, "frame-alloc @0 o2", RESULT_OK);
	for (unsigned i = 0; i < 9 * OPS_WINDOW_PAGES; i++)
		s = ops_fold(s, OPS_UNREADABLE);
	d = ops_fold(ops_fold(d, 0), s);
	want_value(&w, "checkpoint", RESULT_OK, d);
	end(&w);
}

static void model_checkpoint_is_what_the_rules_say(void **state)
{
	struct world w = begin(NULL, 0);
	uint64_t s[2] = { OPS_DIGEST_START, OPS_DIGEST_START }, d = OPS_DIGEST_START;

	(void)state;
	want(&w, "place s0 w9 +2 rw", RESULT_OK);
	want(&w, "write s0 w9 p1 +1 v5", RESULT_OK);
	want(&w, "fork s0 s2", RESULT_OK);
	want(&w, "unmap s2 w9 p1 +1", RESULT_OK);
	for (unsigned k = 0; k < 2; k++) {
		for (unsigned i = 0; i < 8 * OPS_WINDOW_PAGES; i++)
			s[k] = ops_fold(s[k], 0xdead);
		s[k] = zeros(s[k]);
		if (k == 0)
			s[k] = stamped(s[k], 5, 9, 1);
		for (unsigned i = 0; i < OPS_WINDOW_PAGES; i++)
			s[k] = ops_fold(s[k], 0xdead);
	}
	d = ops_fold(ops_fold(d, 0), s[0]);
	d = ops_fold(ops_fold(d, 2), s[1]);
	want_value(&w, "checkpoint", RESULT_OK, d);
	end(&w);
}

static bool allows(struct world *w, const char *line, enum op_result result, uint64_t value,
		   bool injected)
{
	struct op_outcome got = { result, value };
	struct op op = parse_op(line);
	char why[160];

	return model_allows(w->m, &op, &w->names, &got, injected, why, sizeof(why));
}

static void model_nomem_needs_a_reason(void **state)
{
	struct world w = begin(NULL, 4096), small = begin(NULL, 64);

	(void)state;
	assert_false(allows(&w, "frame-alloc @0 o0", RESULT_NOMEM, 0, false));
	assert_true(allows(&w, "frame-alloc @0 o0", RESULT_NOMEM, 0, true));
	assert_false(allows(&w, "map s0 w0 p0 +1 rw", RESULT_NOMEM, 0, false));
	assert_true(allows(&w, "map s0 w0 p0 +1 rw", RESULT_NOMEM, 0, true));
	assert_false(allows(&w, "map s0 w0 p0 +1 wx", RESULT_NOMEM, 0, true));
	assert_false(allows(&w, "exit s0", RESULT_NOMEM, 0, true));
	assert_true(allows(&small, "frame-alloc @0 o0", RESULT_NOMEM, 0, false));
	want(&w, "frame-alloc @0 o9", RESULT_OK);
	assert_false(allows(&w, "frame-free @0", RESULT_NOMEM, 0, true));
	end(&w);
	end(&small);
}

static void model_memory_fills_up(void **state)
{
	struct world w = begin(NULL, 4096);
	char line[64];

	(void)state;
	for (unsigned i = 0; i < 7; i++) {
		assert_int_equal(model_frames_bound(w.m) >= 4096 - 512, i == 7);
		snprintf(line, sizeof(line), "frame-alloc @%u o9", i);
		want(&w, line, RESULT_OK);
	}
	assert_true(allows(&w, "frame-alloc @9 o9", RESULT_NOMEM, 0, false));
	assert_true(allows(&w, "frame-alloc @9 o4", RESULT_NOMEM, 0, false));
	assert_false(allows(&w, "frame-alloc @9 o0", RESULT_NOMEM, 0, false));
	end(&w);
}

static void model_partial_write_is_followed(void **state)
{
	struct world w = begin(NULL, 0);
	struct op op = parse_op("write s0 w0 p4 +4 v6");
	struct op_outcome got = { RESULT_NOMEM, 6 };
	uint64_t d = OPS_DIGEST_START;

	(void)state;
	want(&w, "map s0 w0 p4 +4 rw", RESULT_OK);
	assert_false(allows(&w, "write s0 w0 p4 +4 v6", RESULT_NOMEM, 6, false));
	assert_false(allows(&w, "write s0 w0 p4 +4 v6", RESULT_NOMEM, 8, true));
	assert_false(allows(&w, "write s0 w0 p4 +4 v6", RESULT_NOMEM, 3, true));
	assert_true(allows(&w, "write s0 w0 p4 +4 v6", RESULT_NOMEM, 6, true));
	model_follow(w.m, &op, &w.names, &got);
	d = zeros(zeros(stamped(stamped(d, 6, 0, 4), 6, 0, 5)));
	want_value(&w, "read s0 w0 p4 +4", RESULT_OK, d);
	end(&w);
}

static void model_partial_read_is_judged(void **state)
{
	struct world w = begin(NULL, 0);
	uint64_t d = stamped(OPS_DIGEST_START, 6, 0, 4);

	(void)state;
	want(&w, "map s0 w0 p4 +4 rw", RESULT_OK);
	want(&w, "write s0 w0 p4 +1 v6", RESULT_OK);
	assert_true(allows(&w, "read s0 w0 p4 +4", RESULT_NOMEM, ops_refused_read(d, 5), true));
	assert_false(allows(&w, "read s0 w0 p4 +4", RESULT_NOMEM, ops_refused_read(d, 6), true));
	assert_false(allows(&w, "read s0 w0 p4 +4", RESULT_SEGV, ops_refused_read(d, 5), true));
	want(&w, "protect s0 w0 p4 +1 -", RESULT_OK);
	assert_false(allows(&w, "read s0 w0 p4 +4", RESULT_NOMEM, ops_refused_read(d, 5), true));
	end(&w);
}

static void model_flipped_page_shows(void **state)
{
	struct world w = begin(NULL, 0);
	uint64_t before;

	(void)state;
	assert_false(body_model.flip(w.m, FLIP_CONTENTS, 3));
	want(&w, "map s0 w0 p4 +4 rw", RESULT_OK);
	before = act(&w, "checkpoint").value;
	assert_true(body_model.flip(w.m, FLIP_CONTENTS, 3));
	assert_true(act(&w, "checkpoint").value != before);
	assert_false(body_model.flip(w.m, FLIP_TABLE, 3));
	end(&w);
}

static void model_stamps_of_two_writes_fold_apart(void **state)
{
	struct world w = begin(NULL, 0);
	uint64_t d = OPS_DIGEST_START;

	(void)state;
	want(&w, "map s0 w2 p5 +1 rw", RESULT_OK);
	want(&w, "write s0 w2 p5 +1 v7", RESULT_OK);
	w.m->space[0]->window[2].page[5].content[2] = 1 + 9;
	for (unsigned i = 0; i < OPS_STAMPS; i++)
		d = ops_fold(d, ops_stamp(i == 2 ? 9 : 7, 2, 5, i));
	want_value(&w, "read s0 w2 p5 +1", RESULT_OK, d);
	end(&w);
}

static void model_unsure_stamp_allows_any_value_until_written(void **state)
{
	struct world w = begin(NULL, 0);
	uint64_t wrong = 0x4711;

	(void)state;
	want(&w, "map s0 w2 p5 +2 rw", RESULT_OK);
	assert_false(allows(&w, "read s0 w2 p5 +2", RESULT_OK, wrong, false));
	w.m->space[0]->window[2].page[6].content[1] = MODEL_UNSURE;
	assert_true(allows(&w, "read s0 w2 p5 +2", RESULT_OK, wrong, false));
	assert_false(allows(&w, "read s0 w2 p5 +1", RESULT_OK, wrong, false));
	assert_true(allows(&w, "checkpoint", RESULT_OK, wrong, false));
	assert_false(allows(&w, "write s0 w2 p5 +2 v1", RESULT_OK, wrong, false));
	/* refused beyond it: the page is known */
	assert_true(allows(&w, "read s0 w2 p5 +9", RESULT_SEGV, ops_refused_read(wrong, 7), false));
	assert_false(allows(&w, "read s0 w2 p5 +9", RESULT_SEGV, ops_refused_read(wrong, 8),
			    false));
	want(&w, "protect s0 w2 p6 +1 -", RESULT_OK);
	assert_false(allows(&w, "checkpoint", RESULT_OK, wrong, false));
	want(&w, "protect s0 w2 p6 +1 rw", RESULT_OK);
	want(&w, "write s0 w2 p6 +1 v3", RESULT_OK);
	assert_false(allows(&w, "checkpoint", RESULT_OK, wrong, false));
	assert_false(allows(&w, "read s0 w2 p5 +2", RESULT_OK, wrong, false));
	end(&w);
}

static void model_lack_counts_what_others_may_hold(void **state)
{
	struct world w = begin(NULL, 4096);
	struct op alloc = parse_op("frame-alloc @0 o0"), big = parse_op("frame-alloc @1 o9");
	uint64_t bound = model_frames_bound(w.m);

	(void)state;
	assert_false(model_may_lack(w.m, &alloc, &w.names, 4095 - bound));
	assert_true(model_may_lack(w.m, &alloc, &w.names, 4096 - bound));
	assert_int_equal(model_demand(NULL, &big), 512);
	end(&w);
}

static void model_unknown_preset_is_refused(void **state)
{
	struct body_options o = { .preset = "atlantis" };
	struct body *m;

	(void)state;
	assert_string_equal(body_model.start(&m, &o), "model: unknown preset");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model_read_sees_what_was_written),
		cmocka_unit_test(model_refused_access_names_its_page),
		cmocka_unit_test(model_protections_imply_read_but_not_both),
		cmocka_unit_test(model_protect_over_a_hole_changes_nothing),
		cmocka_unit_test(model_fork_copies_then_parts),
		cmocka_unit_test(model_remapped_memory_is_zero_again),
		cmocka_unit_test(model_region_limit_is_exact),
		cmocka_unit_test(model_without_a_limit_has_none),
		cmocka_unit_test(model_kernel_only_preset_refuses_users),
		cmocka_unit_test(model_checkpoint_is_what_the_rules_say),
		cmocka_unit_test(model_nomem_needs_a_reason),
		cmocka_unit_test(model_memory_fills_up),
		cmocka_unit_test(model_partial_write_is_followed),
		cmocka_unit_test(model_partial_read_is_judged),
		cmocka_unit_test(model_flipped_page_shows),
		cmocka_unit_test(model_stamps_of_two_writes_fold_apart),
		cmocka_unit_test(model_unsure_stamp_allows_any_value_until_written),
		cmocka_unit_test(model_lack_counts_what_others_may_hold),
		cmocka_unit_test(model_unknown_preset_is_refused),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
