/// The operation language: table, names, digest, text form, generator, edits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ops/edit.h"
#include "ops/generate.h"
#include "ops/scene.h"
#include "ops/text.h"

static struct op parse(const char *line)
{
	char buf[160];
	struct op op;
	const char *fault = ops_parse(line, &op, buf, sizeof(buf));

	if (fault)
		fail_msg("%s: %s", line, fault);
	return op;
}

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
	struct op ok = parse("map s1 w2 p60 +4 rw"), op;

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
	op = parse("exit s3");
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
		back = parse(line);
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
		struct op op = parse(rows[i].line);

		assert_op_equal(&op, &rows[i].op);
		ops_print(line, &op);
		assert_string_equal(line, rows[i].line);
	}
	assert_op_equal(&rows[0].op, &(struct op){ OP_MAP, 0, { 0, 3, 12, 8, 3 } });
	assert_int_equal(parse("  cpu\tc5   # a comment").arg[0], 5);
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
	struct op op = parse(line);

	return ops_names_skip(n, &op);
}

static void follow(struct ops_names *n, const char *line)
{
	struct op op = parse(line);

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
	struct op alloc = parse("frame-alloc @5 o3"), fork = parse("fork s0 s1");
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
	struct op op = parse("unmap s0 w9 p3 +1");
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
	op = parse("read s0 w9 p1 +9");
	assert_int_equal(ops_range_pages(&n, &op), 2);
	follow(&n, "unmap s0 w9 p0 +1");
	assert_true(skips(&n, "read s0 w9 p0 +1"));
	assert_false(skips(&n, "place s0 w9 +1 r"));
	follow(&n, "exit s1");
	assert_int_equal(n.placed[1], 0);
}

static void digest_any_changed_bit_changes_it(void **state)
{
	struct op op = parse("read s0 w3 p1 +2");
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

static bool in_language(const struct op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ops_fault(&ops[i]))
			return false;
	return true;
}

static void generate_same_seed_gives_same_trace(void **state)
{
	static struct op a[500], b[500];
	struct generate_options o = { .seed = 5, .ops_n = 500 };

	(void)state;
	ops_generate(a, &o);
	ops_generate(b, &o);
	assert_memory_equal(a, b, sizeof(a));
	o.seed = 6;
	ops_generate(b, &o);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void generate_budget_holds_and_the_mix_is_there(void **state)
{
	static struct op ops[2000];

	(void)state;
	for (unsigned seed = 0; seed < 40; seed++) {
		struct generate_options o = { .seed = seed, .ops_n = 2000, .fails = seed % 4 == 3 };
		unsigned count[OP_N] = { 0 }, skipped = 0;
		struct ops_scene s;

		ops_generate(ops, &o);
		assert_true(in_language(ops, 2000));
		ops_scene_start(&s);
		for (unsigned i = 0; i < 2000; i++) {
			count[ops[i].code]++;
			skipped += ops_names_skip(&s.names, &ops[i]);
			ops_scene_follow(&s, &ops[i]);
			assert_true(ops_scene_frames(&s) <= 2048);
			if (!o.fails && i >= 50 && ops[i].code == OP_FRAME_ALLOC)
				assert_true(ops[i].arg[1] <= 4);
		}
		assert_int_equal(count[OP_FAIL] > 0, o.fails);
		assert_true(count[OP_FORK] >= 10 && count[OP_UNMAP] >= 20);
		assert_true(count[OP_CPU] >= 20 && count[OP_CHECKPOINT] >= 20);
		assert_int_equal(ops[1999].code, OP_CHECKPOINT);
		assert_true(skipped < 400);
	}
}

/* A digest that files and reports rely on: a seed means the same for ever. */
static void generate_without_sections_is_as_it_ever_was(void **state)
{
	static struct op ops[3000];
	struct op_outcome none = { 0 };
	uint64_t d = OPS_DIGEST_START;

	(void)state;
	for (unsigned seed = 0; seed < 50; seed++) {
		struct generate_options o = { .seed = seed, .ops_n = 3000, .fails = seed % 3 == 2 };

		ops_generate(ops, &o);
		for (unsigned i = 0; i < 3000; i++)
			d = ops_fold_outcome(d, i, &ops[i], &none);
	}
	assert_int_equal(d, 0x1cf4d733bd70454eull);
}

/* Returns: how many sections the trace has; each must be whole. */
static unsigned whole_sections(const struct op *ops, size_t n, unsigned *most)
{
	unsigned sections = 0, held = 0;
	bool within = false;

	for (size_t i = 0; i < n; i++) {
		if (ops[i].code == OP_TOGETHER) {
			assert_false(within);
			within = true;
			held = 0;
			sections++;
		} else if (ops[i].code == OP_JOIN) {
			assert_true(within);
			within = false;
		} else if (ops[i].code > OP_TOGETHER && ops[i].code <= OP_INTERRUPT) {
			assert_true(within);
		}
		held += within && ops_table[ops[i].code].side != OP_PLAYER;
		if (held > *most)
			*most = held;
	}
	return sections;
}

static void generate_sections_are_whole_and_small(void **state)
{
	static struct op ops[1000];
	unsigned sections = 0, most = 0;

	(void)state;
	for (unsigned seed = 0; seed < 40; seed++) {
		struct generate_options o = { .seed = seed, .ops_n = 1000, .fails = seed % 2,
					      .together_percent = 5 };

		ops_generate(ops, &o);
		assert_true(in_language(ops, 1000));
		sections += whole_sections(ops, 1000, &most);
		assert_int_equal(ops[999].code, OP_CHECKPOINT);
	}
	assert_true(sections > 40 * 10);
	assert_int_equal(most, 8);
}

static void edit_stacks_stay_in_the_language(void **state)
{
	static struct op ops[300];
	struct ops_rng rng = { 11 };
	unsigned most = 0;
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		if (i % 500 == 0)
			n = 0;
		n = ops_edit(ops, n, 300, &rng);
		assert_true(n >= 1 && n <= 300);
		if (i % 16 == 0)
			assert_true(in_language(ops, n));
		if (i % 16 == 0 && n < 300)
			whole_sections(ops, n, &most);
	}
	assert_true(most <= OPS_TOGETHER_MAX);
}

static void edit_sections_soon_appear(void **state)
{
	static struct op ops[300];
	struct ops_rng rng = { 15 };
	unsigned with = 0, most = 0;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		size_t n = 0;

		for (unsigned k = 0; k < 8; k++)
			n = ops_edit(ops, n, 300, &rng);
		with += whole_sections(ops, n, &most) > 0;
	}
	assert_true(with > 150);
}

static void edit_mend_makes_sections_whole(void **state)
{
	static const char *const lines[] = {
		"join", "switch k1 c1", "together random x1", "exit s1", "together pct1 x2",
		"cpu c1", "stale k1 ~1", "exit s2", "join", "interrupt", "walk k1 c1 t2",
		"together rows x0", "defer k9",
	};
	static const char *const want[] = {
		"together random x1", "exit s1", "join", "together pct1 x2", "cpu c1",
		"stale k1 ~1", "exit s2", "join", "together rows x0", "defer k9", "join",
	};
	struct op ops[64];
	size_t n = sizeof(lines) / sizeof(*lines);

	(void)state;
	for (size_t i = 0; i < n; i++)
		ops[i] = parse(lines[i]);
	assert_int_equal(ops_mend(ops, n, 64), sizeof(want) / sizeof(*want));
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct op op = parse(want[i]);

		assert_op_equal(&ops[i], &op);
	}
}

static void edit_mend_bounds_a_sections_operations(void **state)
{
	struct op ops[64];
	unsigned most = 0;
	size_t n = 0;

	(void)state;
	ops[n++] = parse("together random x1");
	while (n < 60)
		ops[n++] = parse("drain");
	n = ops_mend(ops, n, 64);
	assert_int_equal(n, 61);
	assert_int_equal(whole_sections(ops, n, &most), 1);
	assert_int_equal(most, OPS_TOGETHER_MAX);
	n = ops_mend(ops, n, 64);
	assert_int_equal(n, 61);
}

static void edit_each_kind_changes_something(void **state)
{
	static struct op start[60], ops[120];
	struct generate_options o = { .seed = 2, .ops_n = 60, .fails = true,
				      .together_percent = 12 };
	struct ops_rng rng = { 12 };

	(void)state;
	ops_generate(start, &o);
	for (unsigned kind = 0; kind < ops_edit_kinds(); kind++) {
		unsigned changed = 0;

		for (unsigned i = 0; i < 300; i++) {
			size_t n;

			memcpy(ops, start, sizeof(start));
			n = ops_edit_one(ops, 60, 120, kind, &rng);
			assert_true(in_language(ops, n));
			changed += n != 60 || memcmp(ops, start, sizeof(start)) != 0;
		}
		if (changed < 20)
			fail_msg("edit '%s' changed only %u of 300", ops_edit_name(kind), changed);
	}
}

static void edit_full_trace_never_overflows(void **state)
{
	struct op ops[9], other[8]; /* one more than max: the sanitizer watches it */
	struct ops_rng rng = { 13 };
	size_t n = 0;

	(void)state;
	memset(&ops[8], 0x5a, sizeof(ops[8]));
	for (unsigned i = 0; i < 20000; i++) {
		n = ops_edit(ops, n, 8, &rng);
		memcpy(other, ops, sizeof(other));
		n = ops_splice(ops, n, 8, other, n, &rng);
		assert_true(n >= 1 && n <= 8);
		assert_int_equal(ops[8].code, 0x5a);
	}
}

static void motif_sequences_are_mostly_performed(void **state)
{
	struct op out[OPS_MOTIF_MAX];
	struct ops_rng rng = { 14 };
	unsigned all = 0, skipped = 0;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		struct ops_scene s;
		size_t n;

		ops_scene_start(&s);
		n = ops_motif(out, &s, &rng);
		assert_true(n > 0 && n <= OPS_MOTIF_MAX && in_language(out, n));
		for (size_t j = 0; j < n; j++, all++) {
			skipped += ops_names_skip(&s.names, &out[j]);
			ops_scene_follow(&s, &out[j]);
		}
	}
	assert_true(skipped * 20 < all);
}

static void motif_together_holds_one_whole_section(void **state)
{
	struct op out[OPS_MOTIF_MAX];
	struct ops_rng rng = { 16 };
	unsigned all = 0, skipped = 0, busy = 0;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		uint32_t cpus = 0;
		unsigned most = 0;
		bool within = false;
		struct ops_scene s;
		size_t n;

		ops_scene_start(&s);
		n = ops_motif_together(out, &s, &rng);
		assert_true(n > 0 && n <= OPS_MOTIF_MAX && in_language(out, n));
		assert_int_equal(whole_sections(out, n, &most), 1);
		assert_true(most >= 2 && most <= OPS_TOGETHER_MAX);
		for (size_t j = 0; j < n; j++, all++) {
			within = out[j].code == OP_TOGETHER || (within && out[j].code != OP_JOIN);
			skipped += ops_names_skip(&s.names, &out[j]);
			ops_scene_follow(&s, &out[j]);
			if (within && ops_table[out[j].code].side != OP_PLAYER)
				cpus |= 1u << s.names.cpu % 2;
			if (out[j].code == OP_JOIN)
				assert_int_not_equal(out[j - 1].code, OP_TOGETHER);
		}
		busy += cpus == 3;
	}
	assert_true(skipped * 20 < all);
	assert_int_equal(busy, 2000);
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
		cmocka_unit_test(generate_same_seed_gives_same_trace),
		cmocka_unit_test(generate_budget_holds_and_the_mix_is_there),
		cmocka_unit_test(generate_without_sections_is_as_it_ever_was),
		cmocka_unit_test(generate_sections_are_whole_and_small),
		cmocka_unit_test(edit_stacks_stay_in_the_language),
		cmocka_unit_test(edit_each_kind_changes_something),
		cmocka_unit_test(edit_sections_soon_appear),
		cmocka_unit_test(edit_mend_makes_sections_whole),
		cmocka_unit_test(edit_mend_bounds_a_sections_operations),
		cmocka_unit_test(edit_full_trace_never_overflows),
		cmocka_unit_test(motif_sequences_are_mostly_performed),
		cmocka_unit_test(motif_together_holds_one_whole_section),
	};

	return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
