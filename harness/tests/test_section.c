/// Concurrent sections: what their rows mean, who owns which names, and schedules that
/// are said in rows.
#include "play_fixture.h"

#include <stdio.h>

#include "ops/rng.h"
#include "run/section.h"

static struct section section;

/* Reads the first section of a trace, with space 0 alive and everything before it done. */
static struct ops_trace read_section(const char *text, unsigned cpus_n)
{
	struct ops_trace t = parse_trace(text);
	struct ops_names names;
	uint32_t at = 0;

	ops_names_start(&names);
	while (t.ops[at].code != OP_TOGETHER) {
		if (!ops_names_skip(&names, &t.ops[at]))
			ops_names_follow(&names, &t.ops[at], RESULT_OK);
		at++;
	}
	section_read(&section, t.ops, t.ops_n, at, &names, cpus_n);
	return t;
}

static void read_and_forget(const char *text, unsigned cpus_n)
{
	free(read_section(text, cpus_n).ops);
}

static void assert_row(unsigned i, enum sched_kind kind, unsigned cpu, unsigned op,
		       unsigned point, unsigned value)
{
	const struct sched_choice *c = &section.row[i];

	assert_true(i < section.rows_n);
	if (c->key.kind != kind || c->key.cpu != cpu || c->key.op != op ||
	    c->key.point != point || c->value != value)
		fail_msg("row %u is kind %u, CPU %u, operation %u, point %u, value %u", i,
			 c->key.kind, c->key.cpu, c->key.op, c->key.point, c->value);
}

static void section_operations_fall_to_the_cpu_named_last(void **state)
{
	(void)state;
	read_and_forget("cpu c1; drain; together pct3 x77; drain; cpu c2; map s0 w0 p0 +1 rw\n"
			"cpu c5; drain; join; drain", 4);
	assert_int_equal(section.first, 2);
	assert_int_equal(section.trace_n, 7);
	assert_int_equal(section.strategy, SECTION_PCT3);
	assert_int_equal(section.seed, 77);
	assert_int_equal(section.n, 3);
	assert_int_equal(section.busy, 6);
	assert_int_equal(section.cpu_last, 5);
	assert_int_equal(section.op[0].cpu, 1);
	assert_int_equal(section.op[1].cpu, 2);
	assert_int_equal(section.op[1].index, 5);
	assert_int_equal(section.op[1].op.code, OP_MAP);
	assert_int_equal(section.op[2].cpu, 1); /* 5 modulo 4 */
	assert_int_equal(section.rows_n, 0);
}

static void section_rows_hold_for_the_next_operation_of_their_cpu(void **state)
{
	(void)state;
	read_and_forget("together rows x0; switch k5 c1; cpu c1; defer k2; cpu c0; stale k3 ~2\n"
			"drain; cpu c1; drain; walk k9 c0 t17; cpu c0; switch k1 c6; join", 2);
	assert_int_equal(section.rows_n, 5);
	assert_row(0, SCHED_SWITCH, 0, 0, 5, 1);
	assert_row(1, SCHED_DEFER, 1, 1, 2, 1);
	assert_row(2, SCHED_STALE, 0, 0, 3, 2);
	assert_row(3, SCHED_WALK, 1, SECTION_IDLE, 9, section_walk(0, 17));
	assert_row(4, SCHED_SWITCH, 0, SECTION_IDLE, 1, 0); /* c6 of two CPUs */
	assert_int_equal(section_walk_cpu(section_walk(7, 63)), 7);
	assert_int_equal(section_walk_target(section_walk(7, 63)), 63);
	assert_int_not_equal(section_walk(0, 0), 0);
}

static void section_failures_and_interrupts_mark_one_operation(void **state)
{
	(void)state;
	read_and_forget("together random x1; fail table k3; cpu c1; interrupt; object-alloc @1 b8\n"
			"drain; cpu c0; exit s1; map s0 w0 p0 +1 rw; interrupt; drain\n"
			"interrupt; read s0 w0 p0 +1; join", 2);
	assert_int_equal(section.n, 6);
	assert_true(section.op[0].interrupt && !section.op[0].fails);
	assert_false(section.op[1].interrupt);
	assert_true(section.op[2].fails);
	assert_int_equal(section.op[2].fail_class, 1);
	assert_int_equal(section.op[2].fail_kth, 3);
	assert_false(section.op[3].fails);
	/* Neither waits for other CPUs nor runs users: no handler does. */
	assert_false(section.op[4].interrupt);
	assert_false(section.op[5].interrupt);
}

static void section_without_join_ends_with_the_trace(void **state)
{
	(void)state;
	read_and_forget("drain; together rows x0; drain; checkpoint; together random x9; drain", 2);
	assert_int_equal(section.trace_n, 5);
	assert_int_equal(section.n, 2);
	assert_int_equal(section.strategy, SECTION_ROWS);
}

static void section_operations_beyond_the_limit_are_left_out(void **state)
{
	char text[2048] = "together rows x0";

	(void)state;
	for (unsigned i = 0; i < SECTION_OPS_MAX; i++)
		strcat(text, ";drain");
	strcat(text, "; switch k1 c1; drain; join; drain");
	read_and_forget(text, 2);
	assert_int_equal(section.n, SECTION_OPS_MAX);
	assert_int_equal(section.trace_n, SECTION_OPS_MAX + 4);
	assert_int_equal(section.rows_n, 1); /* for no operation that is performed, and not idle */
	assert_int_not_equal(section.row[0].key.op, SECTION_IDLE);
	assert_true(section.row[0].key.op >= section.n);
}

/* Which operations are skipped: a letter each, x or a dot. */
static void assert_skips(const char *text, const char *want)
{
	char got[SECTION_OPS_MAX + 1];

	read_and_forget(text, 4);
	for (unsigned i = 0; i < section.n; i++)
		got[i] = section.op[i].skip ? 'x' : '.';
	got[section.n] = 0;
	assert_string_equal(got, want);
}

static void section_names_belong_to_who_names_them_first(void **state)
{
	(void)state;
	/* slots, of frames and of objects apart */
	assert_skips("together rows x0; frame-alloc @1 o0; frame-free @1; cpu c1; frame-free @1\n"
		     "object-alloc @1 b8; cpu c0; object-free @1; frame-alloc @2 o0; join",
		     "..x.x.");
	/* a handler may come in between: it is somebody else */
	assert_skips("frame-alloc @1 o0; together rows x0; frame-free @1; interrupt\n"
		     "frame-free @1; interrupt; object-alloc @1 b8; object-free @1; interrupt\n"
		     "object-free @1; join",
		     ".x.x.");
	/* placed windows; fixed ones are shared */
	assert_skips("together rows x0; place s0 w8 +4 rw; cpu c1; read s0 w8 p0 +1\n"
		     "place s0 w9 +4 rw; write s0 w3 p0 +1 v1; cpu c0; unmap s0 w3 p0 +1\n"
		     "unmap s0 w9 p0 +1; join", ".x...x");
	/* a space that is forked to */
	assert_skips("together rows x0; fork s0 s1; read s1 w0 p0 +1; cpu c1; read s1 w0 p0 +1\n"
		     "read s0 w0 p0 +1; fork s0 s1; fork s1 s2; join", "..x.xx");
	/* one that is alive before, and isn't forked to, is shared */
	assert_skips("fork s0 s1; together rows x0; read s1 w0 p0 +1; cpu c1; read s1 w0 p0 +1\n"
		     "fork s0 s1; join", "...");
	assert_skips("fork s0 s1; together rows x0; exit s1; fork s0 s1; cpu c1; fork s0 s1; join",
		     "x.x");
}

static void section_exit_of_anothers_space_is_skipped(void **state)
{
	(void)state;
	assert_skips("fork s0 s1; fork s0 s2; together rows x0; exit s1; exit s2; cpu c1\n"
		     "read s1 w0 p0 +1; join", "x..");
	assert_skips("fork s0 s1; together rows x0; exit s1; cpu c1; fork s1 s2; join", "x.");
	assert_skips("fork s0 s1; together rows x0; exit s1; exit s1; join", "..");
}

static void section_fork_and_binding_keep_to_one_cpu(void **state)
{
	(void)state;
	assert_skips("together rows x0; fork s0 s1; cpu c1; place s0 w8 +1 rw; place s1 w8 +1 rw\n"
		     "unmap s0 w3 p0 +1; cpu c0; place s0 w9 +1 rw; join", ".xx..");
	assert_skips("place s0 w8 +4 rw; together rows x0; unmap s0 w8 p1 +1; cpu c1; fork s0 s1\n"
		     "read s0 w0 p0 +1; join", ".x.");
	assert_skips("place s0 w8 +4 rw; together rows x0; read s0 w8 p1 +1; cpu c1; fork s0 s1\n"
		     "join",
		     "..");
}

/* ---- fixing ---- */

#define ROOM 400u

/* Fixes the section that was just read; returns the new trace, parsed from text. */
static uint32_t fix(struct ops_trace *t, const struct sched_choice *c, uint32_t n)
{
	t->ops = realloc(t->ops, ROOM * sizeof(*t->ops));
	assert_non_null(t->ops);
	return section_fix(&section, c, n, t->ops, t->ops_n, ROOM);
}

static void assert_trace(const struct ops_trace *t, const char *want)
{
	struct ops_trace w = parse_trace(want);

	assert_int_equal(t->ops_n, w.ops_n);
	for (uint32_t i = 0; i < w.ops_n; i++) {
		char line[OPS_LINE_BYTES], other[OPS_LINE_BYTES];

		ops_print(line, &t->ops[i]);
		ops_print(other, &w.ops[i]);
		assert_string_equal(line, other);
	}
	free(w.ops);
}

static void section_fix_writes_rows_before_their_operation(void **state)
{
	static const struct sched_choice choices[] = {
		{ { 2, SCHED_SWITCH, 1, 7 }, 0 },
		{ { 0, SCHED_STALE, 0, 3 }, 2 },
		{ { 0, SCHED_DEFER, SECTION_IDLE, 4 }, 1 },
		{ { 2, SCHED_WALK, 1, 9 }, 1 + 64 + 5 },
		{ { 1, SCHED_SWITCH, SECTION_IDLE, 1 }, 2 },
	};
	struct ops_trace t = read_section(
		"fork s0 s1; together pct2 x5; switch k1 c1; fail table k2; drain; cpu c2\n"
		"interrupt; object-alloc @1 b8; checkpoint; stale k1 ~1; join; checkpoint", 3);

	(void)state;
	t.ops_n = fix(&t, choices, 5);
	assert_trace(&t, "fork s0 s1; together rows x0; fail table k2; stale k3 ~2; drain; cpu c2\n"
		     "interrupt; switch k7 c0; walk k9 c1 t5; object-alloc @1 b8; checkpoint\n"
		     "cpu c0; defer k4; cpu c1; switch k1 c2; cpu c2; join; checkpoint");
	free(t.ops);
}

/* What is fixed and read again is the same section, played by those choices. */
static void section_fix_reads_back_as_the_same_choices(void **state)
{
	struct sched_choice choices[40];
	struct ops_rng rng = { 21 };

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct ops_trace t = read_section(
			"cpu c6; together random x3; drain; cpu c1; fork s0 s3; defer k8; drain\n"
			"cpu c2; read s3 w0 p0 +1; frame-alloc @3 o1; cpu c4; frame-free @3\n"
			"stale k3 ~2; join; checkpoint", 3);
		struct section was = section;
		struct ops_names names;
		uint32_t n = 0;

		for (unsigned k = 0; k < 40; k++) {
			unsigned op = ops_rng_below(&rng, section.n + 1);
			struct sched_choice c = {
				.key = { .kind = (uint8_t)ops_rng_below(&rng, SCHED_KIND_N),
					 .point = (uint16_t)(k + 1) },
			};

			c.key.op = op < section.n ? (uint16_t)op : SECTION_IDLE;
			c.key.cpu = op < section.n ? section.op[op].cpu :
						     (uint8_t)ops_rng_below(&rng, 3);
			c.value = c.key.kind == SCHED_DEFER ? 1 :
				  c.key.kind == SCHED_WALK ? section_walk(k % 3, k) :
							     (uint16_t)(1 + k % 2);
			choices[n++] = c;
		}
		t.ops_n = fix(&t, choices, n);
		assert_int_not_equal(t.ops_n, 0);
		ops_names_start(&names);
		ops_names_follow(&names, &t.ops[0], RESULT_OK);
		section_read(&section, t.ops, t.ops_n, 1, &names, 3);
		assert_int_equal(section.rows_n, n);
		assert_int_equal(section.cpu_last, was.cpu_last);
		assert_int_equal(section.n, was.n);
		assert_int_equal(t.ops[section.trace_n + 1].code, OP_CHECKPOINT);
		for (unsigned i = 0; i < was.n; i++) {
			assert_int_equal(section.op[i].cpu, was.op[i].cpu);
			assert_int_equal(section.op[i].skip, was.op[i].skip);
			assert_memory_equal(&section.op[i].op, &was.op[i].op, sizeof(struct op));
		}
		for (uint32_t i = 0; i < n; i++) {
			unsigned hits = 0;

			for (uint32_t k = 0; k < n; k++)
				hits += !memcmp(&section.row[k], &choices[i], sizeof(choices[i]));
			assert_int_equal(hits, 1);
		}
		free(t.ops);
	}
}

static void section_fix_refuses_what_rows_cannot_say(void **state)
{
	static const struct sched_choice bad[] = {
		{ { 0, SCHED_STALE, 0, 3 }, 8 },       /* too old */
		{ { 1, SCHED_SWITCH, 0, 3 }, 0 },      /* the operation is another CPU's */
		{ { 0, SCHED_SWITCH, 5, 3 }, 1 },      /* there is no such operation */
		{ { 0, SCHED_SWITCH, 0, 0 }, 1 },      /* points count from 1 */
		{ { 0, SCHED_SWITCH, 0, 65535 }, 1 },  /* beyond the operand */
	};
	struct ops_trace t = read_section("together random x3; drain; cpu c1; drain; join", 2);
	struct ops_trace before = parse_trace("together random x3; drain; cpu c1; drain; join");
	static const struct sched_choice good = { { 0, SCHED_SWITCH, 0, 3 }, 1 };

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(fix(&t, &bad[i], 1), 0);
		assert_memory_equal(t.ops, before.ops, before.ops_n * sizeof(*t.ops));
	}
	assert_int_equal(section_fix(&section, &good, 1, t.ops, t.ops_n, t.ops_n), 0);
	assert_int_equal(section_fix(&section, &good, 1, t.ops, t.ops_n, t.ops_n + 1), 6);
	free(t.ops);
	free(before.ops);
}

/* ---- choosing ---- */

/* What a strategy answers at points 1 … n of CPU 0's first operation, a letter each. */
static void answers(struct sched_strategy *s, unsigned n, char *out)
{
	static const uint16_t option[] = { 0, 1, 2 };
	static struct sched run;

	memset(&run, 0, sizeof(run));
	run.cpus_n = 3;
	for (unsigned i = 0; i < 3; i++)
		run.cpu[i].state = SCHED_READY;
	s->begin(s, 3);
	for (unsigned i = 0; i < n; i++) {
		struct sched_key key = { .kind = SCHED_SWITCH, .point = (uint16_t)(i + 1) };

		run.steps = i;
		out[i] = (char)('a' + s->choose(s, &run, &key, SCHED_AT_POINT, option, 3));
	}
	out[n] = 0;
}

static void ask(const char *text, char *out)
{
	static struct section_chooser chooser;

	read_and_forget(text, 3);
	answers(section_strategy(&chooser, &section), 120, out);
}

static void section_strategy_rows_alone_choose_nothing_else(void **state)
{
	char got[128];

	(void)state;
	ask("together rows x0; switch k3 c1; switch k5 c2; drain; join", got);
	for (unsigned i = 0; i < 120; i++)
		assert_int_equal(got[i], i == 2 ? 'b' : i == 4 ? 'c' : 'a');
}

static void section_strategy_seed_decides_and_rows_are_forced(void **state)
{
	char one[128], again[128], other[128], forced[128];

	(void)state;
	ask("together random x1; drain; join", one);
	ask("together random x1; drain; join", again);
	ask("together random x2; drain; join", other);
	assert_string_equal(one, again);
	assert_string_not_equal(one, other);
	assert_non_null(strchr(one, 'b'));
	for (unsigned i = 0; i < 3; i++) {
		char text[80];

		snprintf(text, sizeof(text), "together random x1; switch k9 c%u; drain; join", i);
		ask(text, forced);
		assert_int_equal(forced[8], 'a' + (char)i);
		forced[8] = one[8];
		assert_string_equal(forced, one);
	}
}

static void section_strategy_pct_depends_on_depth_and_seed(void **state)
{
	char got[4][128];
	unsigned differ = 0;

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		char text[80];

		for (unsigned d = 0; d < 4; d++) {
			snprintf(text, sizeof(text), "together pct%u x%u; drain; join", d + 1, i);
			ask(text, got[d]);
		}
		differ += strcmp(got[0], got[3]) != 0;
	}
	assert_true(differ > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(section_operations_fall_to_the_cpu_named_last),
		cmocka_unit_test(section_rows_hold_for_the_next_operation_of_their_cpu),
		cmocka_unit_test(section_failures_and_interrupts_mark_one_operation),
		cmocka_unit_test(section_without_join_ends_with_the_trace),
		cmocka_unit_test(section_operations_beyond_the_limit_are_left_out),
		cmocka_unit_test(section_names_belong_to_who_names_them_first),
		cmocka_unit_test(section_exit_of_anothers_space_is_skipped),
		cmocka_unit_test(section_fork_and_binding_keep_to_one_cpu),
		cmocka_unit_test(section_fix_writes_rows_before_their_operation),
		cmocka_unit_test(section_fix_reads_back_as_the_same_choices),
		cmocka_unit_test(section_fix_refuses_what_rows_cannot_say),
		cmocka_unit_test(section_strategy_rows_alone_choose_nothing_else),
		cmocka_unit_test(section_strategy_seed_decides_and_rows_are_forced),
		cmocka_unit_test(section_strategy_pct_depends_on_depth_and_seed),
	};

	return cmocka_run_group_tests_name("section", tests, NULL, NULL);
}
