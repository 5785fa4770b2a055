/// The operation language: table, names, digest, text form.
#include "play_fixture.h"

#include "ops/scene.h"
#include "ops/text.h"

static void assert_op_equal(const struct op *a, const struct op *b)
{
	assert_memory_equal(a, b, sizeof(*a));
}

static void ops_normalise_any_bytes_are_language(void **state)
{
	struct ops_rng rng = { 7 };

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t words[2] = { ops_rng_next(&rng), ops_rng_next(&rng) };
		struct op raw, op, again;

		memcpy(&raw, words, sizeof(raw));
		op = ops_normalise(raw);
		assert_null(ops_fault(&op));
		again = ops_normalise(op);
		assert_op_equal(&op, &again);
	}
}

static void ops_fault_broken_operation_is_named(void **state)
{
	struct op ok = parse_op("map s1 w2 p60 +4 rw"), op;

	(void)state;
	assert_null(ops_fault(&ok));
	op = ok;
	op.code = OP_N;
	assert_string_equal(ops_fault(&op), "unknown operation");
	op = ok;
	op.pad = 1;
	assert_non_null(ops_fault(&op));
	op = ok;
	op.arg[0] = OPS_SPACES;
	assert_non_null(ops_fault(&op));
	op = ok;
	op.arg[3] = 5;
	assert_string_equal(ops_fault(&op), "a range leaves its window");
	op = ok;
	op.arg[3] = 0;
	assert_string_equal(ops_fault(&op), "a count is zero");
	op = parse_op("exit s3");
	op.arg[4] = 1;
	assert_non_null(ops_fault(&op));
}

static void ops_text_every_operation_comes_back(void **state)
{
	struct ops_rng rng = { 3 };
	char line[OPS_LINE_BYTES];

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct op op = ops_random((enum op_code)(i % OP_N), &rng), back;

		ops_print(line, &op);
		back = parse_op(line);
		assert_op_equal(&op, &back);
	}
}

static void ops_text_known_lines_mean_what_they_say(void **state)
{
	static const struct {
		const char *line;
		struct op op;
	} rows[] = {
		{ "map s0 w3 p12 +8 rw", { OP_MAP, 0, { 0, 3, 12, 8, 3 } } },
		{ "place s1 w9 +4 -", { OP_PLACE, 0, { 1, 1, 4, 0, 0 } } },
		{ "unmap s2 w11 p0 +64", { OP_UNMAP, 0, { 2, 11, 0, 64, 0 } } },
		{ "frame-alloc @63 o9", { OP_FRAME_ALLOC, 0, { 63, 9, 0, 0, 0 } } },
		{ "object-alloc @1 b20000", { OP_OBJECT_ALLOC, 0, { 1, 20000, 0, 0, 0 } } },
		{ "brk s0 =64", { OP_BREAK, 0, { 0, 64, 0, 0, 0 } } },
		{ "fail table k3", { OP_FAIL, 0, { 1, 3, 0, 0, 0 } } },
		{ "write s0 w8 p1 +1 v255", { OP_WRITE, 0, { 0, 8, 1, 1, 255 } } },
		{ "checkpoint", { OP_CHECKPOINT, 0, { 0, 0, 0, 0, 0 } } },
		{ "together pct2 x65534", { OP_TOGETHER, 0, { 3, 65534, 0, 0, 0 } } },
		{ "together rows x0", { OP_TOGETHER, 0, { 0, 0, 0, 0, 0 } } },
		{ "switch k17 c3", { OP_SWITCH, 0, { 17, 3, 0, 0, 0 } } },
		{ "defer k65534", { OP_DEFER, 0, { 65534, 0, 0, 0, 0 } } },
		{ "stale k4 ~7", { OP_STALE, 0, { 4, 7, 0, 0, 0 } } },
		{ "walk k4 c1 t63", { OP_WALK, 0, { 4, 1, 63, 0, 0 } } },
		{ "interrupt", { OP_INTERRUPT, 0, { 0, 0, 0, 0, 0 } } },
		{ "drain", { OP_DRAIN, 0, { 0, 0, 0, 0, 0 } } },
	};
	char line[OPS_LINE_BYTES];

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct op op = parse_op(rows[i].line);

		assert_op_equal(&op, &rows[i].op);
		ops_print(line, &op);
		assert_string_equal(line, rows[i].line);
	}
	assert_op_equal(&rows[0].op, &(struct op){ OP_MAP, 0, { 0, 3, 12, 8, 3 } });
	assert_int_equal(parse_op("  cpu\tc5   # a comment").arg[0], 5);
}

static void ops_text_bad_line_says_what(void **state)
{
	static const char *const rows[][2] = {
		{ "mop s0", "unknown operation 'mop'" },
		{ "map s0 w3 p12 +8", "map: operand 5 is missing: a protection (letters r, w, x, or -)" },
		{ "map s0 w8 p12 +8 rw", "map: operand 2 is 'w8', not w0 to w7" },
		{ "map s0 p3 w12 +8 rw", "map: operand 2 is 'p3', not w0 to w7" },
		{ "map s16 w3 p12 +8 rw", "map: operand 1 is 's16', not s0 to s15" },
		{ "place s0 w7 +1 r", "place: operand 2 is 'w7', not w8 to w10" },
		{ "map s0 w3 p12 +60 rw", "map: a range leaves its window" },
		{ "map s0 w3 p12 +0 rw", "map: a count is zero" },
		{ "map s0 w3 p12 +8 rr", "map: operand 5 is 'rr', not a protection (letters r, w, x, or -)" },
		{ "cpu c1 c2", "cpu: 'c2' is one operand too many" },
		{ "cpu c99999999999999999999", "cpu: operand 1 is 'c99999999999999999999', not c0 to c7" },
		{ "cpu c", "cpu: operand 1 is 'c', not c0 to c7" },
		{ "fail disk k1", "fail: operand 1 is 'disk', not frame, table or object" },
		{ "together often x1", "together: operand 1 is 'often', not rows, random, or pct1 to pct4" },
		{ "switch k0 c1", "switch: a count is zero" },
		{ "stale k3 ~0", "stale: a count is zero" },
		{ "walk k3 c1 t64", "walk: operand 3 is 't64', not t0 to t63" },
		{ "", "no operation" },
	};
	char buf[160];
	struct op op;

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *fault = ops_parse(rows[i][0], &op, buf, sizeof(buf));

		assert_non_null(fault);
		assert_string_equal(fault, rows[i][1]);
	}
}

static void ops_window_bases_straddle_their_lines(void **state)
{
	const uint64_t half = OPS_WINDOW_PAGES / 2 * 4096ull, mib2 = 2ull << 20, gib = 1ull << 30;

	(void)state;
	for (unsigned w = 0; w < OPS_FIXED_WINDOWS; w++) {
		uint64_t base = ops_window_base(w), line = base + half;

		assert_int_equal(line % mib2, 0);
		assert_int_equal(line % gib == 0, w % 2);
		assert_true(base >= 0x1000000000ull - half && line + half <= 0x4000000000ull);
		if (w)
			assert_true(base - ops_window_base(w - 1) > 16 * gib);
	}
	for (unsigned w = OPS_FIXED_WINDOWS; w < OPS_HEAP_WINDOW; w++)
		assert_int_equal(ops_window_base(w), 0);
	assert_int_equal(ops_window_base(OPS_HEAP_WINDOW), 0x5000000000ull);
}

static bool skips(const struct ops_names *n, const char *line)
{
	struct op op = parse_op(line);

	return ops_names_skip(n, &op);
}

static void follow(struct ops_names *n, const char *line)
{
	struct op op = parse_op(line);

	assert_false(ops_names_skip(n, &op));
	ops_names_follow(n, &op, RESULT_OK);
}

static void names_slots_are_taken_and_emptied(void **state)
{
	struct ops_names n;

	(void)state;
	ops_names_start(&n);
	assert_true(skips(&n, "frame-free @5"));
	assert_true(skips(&n, "object-free @5"));
	follow(&n, "frame-alloc @5 o3");
	assert_true(skips(&n, "frame-alloc @5 o0"));
	assert_false(skips(&n, "object-alloc @5 b8"));
	assert_int_equal(n.frame_order[5], 3);
	follow(&n, "object-alloc @5 b777");
	assert_int_equal(n.object_bytes[5], 777);
	follow(&n, "frame-free @5");
	assert_true(skips(&n, "frame-free @5"));
	follow(&n, "object-free @5");
	assert_int_equal(n.frame_slots | n.object_slots, 0);
}

static void names_failed_operation_changes_nothing(void **state)
{
	struct op alloc = parse_op("frame-alloc @5 o3"), fork = parse_op("fork s0 s1");
	struct ops_names n, before;

	(void)state;
	ops_names_start(&n);
	before = n;
	ops_names_follow(&n, &alloc, RESULT_NOMEM);
	ops_names_follow(&n, &fork, RESULT_LIMIT);
	assert_memory_equal(&n, &before, sizeof(n));
}

static void names_spaces_live_and_die(void **state)
{
	struct ops_names n;

	(void)state;
	ops_names_start(&n);
	assert_true(skips(&n, "exit s0"));
	assert_true(skips(&n, "exit s4"));
	assert_true(skips(&n, "fork s4 s5"));
	assert_true(skips(&n, "fork s0 s0"));
	follow(&n, "fork s0 s4");
	assert_true(skips(&n, "fork s0 s4"));
	assert_false(skips(&n, "map s4 w0 p0 +1 rw"));
	follow(&n, "exit s4");
	assert_true(skips(&n, "map s4 w0 p0 +1 rw"));
	assert_false(skips(&n, "cpu c3"));
	assert_false(skips(&n, "drain"));
}

static void names_placed_window_shrinks_and_unbinds(void **state)
{
	struct op op = parse_op("unmap s0 w9 p3 +1");
	struct ops_names n;

	(void)state;
	ops_names_start(&n);
	assert_true(skips(&n, "read s0 w9 p0 +1"));
	assert_int_equal(ops_window_pages(&n, 0, 9), 0);
	follow(&n, "place s0 w9 +6 rw");
	assert_true(skips(&n, "place s0 w9 +1 r"));
	assert_false(skips(&n, "read s0 w9 p5 +1"));
	assert_true(skips(&n, "read s0 w9 p6 +1"));
	follow(&n, "fork s0 s1");
	assert_int_equal(ops_range_pages(&n, &op), 3); /* to the window's end */
	follow(&n, "unmap s0 w9 p3 +1");
	assert_int_equal(ops_window_pages(&n, 0, 9), 3);
	assert_int_equal(ops_window_pages(&n, 1, 9), 6);
	op = parse_op("read s0 w9 p1 +9");
	assert_int_equal(ops_range_pages(&n, &op), 2);
	follow(&n, "unmap s0 w9 p0 +1");
	assert_true(skips(&n, "read s0 w9 p0 +1"));
	assert_false(skips(&n, "place s0 w9 +1 r"));
	follow(&n, "exit s1");
	assert_int_equal(n.placed[1], 0);
}

static void digest_any_changed_bit_changes_it(void **state)
{
	struct op op = parse_op("read s0 w3 p1 +2");
	struct op_outcome out = { RESULT_OK, 0x123456789abcdefull };
	uint64_t d = ops_fold_outcome(OPS_DIGEST_START, 9, &op, &out);

	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		struct op_outcome other = out;

		assert_true(ops_fold(OPS_DIGEST_START, 0) !=
			    ops_fold(OPS_DIGEST_START, 1ull << bit));
		other.value ^= 1ull << bit;
		assert_true(ops_fold_outcome(OPS_DIGEST_START, 9, &op, &other) != d);
	}
	for (unsigned i = 0; i < OPS_ARGS; i++) {
		struct op other = op;

		other.arg[i] ^= 1;
		assert_true(ops_fold_outcome(OPS_DIGEST_START, 9, &other, &out) != d);
	}
	out.result = RESULT_SKIP;
	assert_true(ops_fold_outcome(OPS_DIGEST_START, 9, &op, &out) != d);
	assert_true(ops_fold(ops_fold(1, 2), 3) != ops_fold(ops_fold(1, 3), 2));
}

static void digest_known_values_stay(void **state)
{
	/* These are in files and in kernels: a change is a new version. */
	(void)state;
	assert_int_equal(ops_fold(OPS_DIGEST_START, 1), 0xaf63bc4c29620a60ull);
	assert_int_equal(ops_stamp(0, 0, 0, 0) & 1, 1);
	assert_true(ops_stamp(1, 2, 3, 0) != ops_stamp(1, 2, 3, 1));
	assert_true(ops_stamp(1, 2, 3, 0) != ops_stamp(1, 3, 2, 0));
}

static void page_stamps_are_what_a_read_folds(void **state)
{
	static uint64_t page[512];
	uint64_t want = OPS_DIGEST_START, zero;

	(void)state;
	zero = ops_page_fold(OPS_DIGEST_START, page);
	ops_page_fill(page, 200, 11, 63);
	for (unsigned i = 0; i < OPS_STAMPS; i++) {
		assert_int_equal(page[ops_stamp_offset[i] / 8], ops_stamp(200, 11, 63, i));
		want = ops_fold(want, ops_stamp(200, 11, 63, i));
	}
	assert_int_equal(ops_page_fold(OPS_DIGEST_START, page), want);
	assert_true(want != zero);
	assert_int_equal(ops_refused_read(0x1234, 63), 0x123f);
}

static void block_damage_is_seen(void **state)
{
	static _Alignas(8) unsigned char block[8192];

	(void)state;
	for (unsigned bytes = 1; bytes <= 4096; bytes += bytes < 64 ? 1 : 321) {
		block[bytes] = 0xa5;
		ops_block_fill(block, bytes, 77);
		assert_int_equal(block[bytes], 0xa5);
		assert_true(ops_block_intact(block, bytes, 77));
		assert_false(bytes > 8 && ops_block_intact(block, bytes, 78));
		block[bytes - 1] ^= 0x10;
		assert_false(ops_block_intact(block, bytes, 77));
		block[bytes - 1] ^= 0x10;
		block[0] ^= 1;
		assert_int_equal(ops_block_intact(block, bytes, 77), bytes > 24 && bytes < 32);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ops_normalise_any_bytes_are_language),
		cmocka_unit_test(ops_fault_broken_operation_is_named),
		cmocka_unit_test(ops_text_every_operation_comes_back),
		cmocka_unit_test(ops_text_known_lines_mean_what_they_say),
		cmocka_unit_test(ops_text_bad_line_says_what),
		cmocka_unit_test(ops_window_bases_straddle_their_lines),
		cmocka_unit_test(names_slots_are_taken_and_emptied),
		cmocka_unit_test(names_failed_operation_changes_nothing),
		cmocka_unit_test(names_spaces_live_and_die),
		cmocka_unit_test(names_placed_window_shrinks_and_unbinds),
		cmocka_unit_test(digest_any_changed_bit_changes_it),
		cmocka_unit_test(digest_known_values_stay),
		cmocka_unit_test(page_stamps_are_what_a_read_folds),
		cmocka_unit_test(block_damage_is_seen),
	};

	return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
