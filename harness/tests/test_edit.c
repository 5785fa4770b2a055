/// What makes traces: the generator, the edits, the motifs.
#include "play_fixture.h"

#include "ops/edit.h"
#include "ops/generate.h"
#include "ops/scene.h"
#include "ops/text.h"

static void assert_op_equal(const struct op *a, const struct op *b)
{
	assert_memory_equal(a, b, sizeof(*a));
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
		ops[i] = parse_op(lines[i]);
	assert_int_equal(ops_mend(ops, n, 64), sizeof(want) / sizeof(*want));
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct op op = parse_op(want[i]);

		assert_op_equal(&ops[i], &op);
	}
}

static void edit_mend_bounds_a_sections_operations(void **state)
{
	struct op ops[64];
	unsigned most = 0;
	size_t n = 0;

	(void)state;
	ops[n++] = parse_op("together random x1");
	while (n < 60)
		ops[n++] = parse_op("drain");
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

	return cmocka_run_group_tests_name("edit", tests, NULL, NULL);
}
