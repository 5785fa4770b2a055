/// Concurrent sections in the player and the minimiser: a body whose CPUs are real
/// fibers, but whose operations are the model's, each done at once between two points.
/// What is wrong with it on purpose shows under some schedules only.
#include "together_fixture.h"

#include <signal.h>
#include <unistd.h>

#include "run/minimise.h"
#include "run/timeline.h"

enum fault {
	SOUND,
	TORN,    /* a drain in the midst of another CPU's frame-alloc: its own check fails */
	DIES,    /* the same, and the process crashes */
	LIES,    /* then the drain makes the next protect fail */
	FORGETS, /* tells nothing of what was done */
	SPILLS,  /* the same, and says that the history was too long */
};

static enum fault planted;
static char told[64]; /* a letter for each operation performed outside of sections */

static void tell(char c)
{
	size_t n = strlen(told);

	if (n + 1 < sizeof(told)) {
		told[n] = c;
		told[n + 1] = 0;
	}
}

static const char *fake_start_untold(struct body **out, const struct body_options *o)
{
	told[0] = 0;
	return fake_start(out, o);
}

static void fake_perform(struct body *b, const struct op *op, const struct ops_names *n,
			 struct op_outcome *out)
{
	*out = (struct op_outcome){ RESULT_OK, 0 };
	if (op->code == OP_CPU)
		tell((char)('0' + op->arg[0]));
	if (op->code == OP_FAIL)
		tell('f');
	if (ops_table[op->code].side != OP_PLAYER)
		tell(ops_table[op->code].text[0]);
	if (ops_table[op->code].side != OP_PLAYER || op->code == OP_CHECKPOINT)
		body_model.perform(b->inner, op, n, out);
}

/* Torn: it began while another CPU was between the two points of its frame-alloc. */
static void tear(struct body *b, const struct op *op, struct op_outcome *out)
{
	b->torn_n += op->code == OP_DRAIN && b->allocating;
	if (b->torn_n && planted == DIES) {
		signal(SIGSEGV, SIG_DFL); /* the test library catches it */
		kill(getpid(), SIGSEGV);
	}
	if (b->torn_n && planted == LIES && op->code == OP_PROTECT)
		*out = (struct op_outcome){ RESULT_NOMEM, 0 };
}

static void fake_one(struct body *b, unsigned i)
{
	const struct section_op *so = &b->section->op[i];
	struct history_event *e;

	sched_op(sched_on, (uint16_t)i);
	sched_point(sched_on, "begin", NULL, 0, true, NULL);
	if (so->skip || ops_names_skip(b->names, &so->op))
		return;
	e = &b->history->event[b->history->n];
	*e = (struct history_event){ .begin = b->time++, .kind = HISTORY_OP, .cpu = so->cpu,
				     .op = (uint16_t)i };
	body_model.perform(b->inner, &so->op, b->names, &e->out);
	tear(b, &so->op, &e->out);
	ops_names_follow(b->names, &so->op, (enum op_result)e->out.result);
	e->end = b->time++;
	b->history->n += planted < FORGETS;
	b->history->overflow = planted == SPILLS;
	if (so->op.code == OP_FRAME_ALLOC)
		b->allocating |= 1u << so->cpu;
	sched_point(sched_on, "end", NULL, 0, true, NULL);
	b->allocating &= ~(1u << so->cpu);
}

static void fake_verify(struct body *b, bool thorough, bool failed, struct finding *f)
{
	(void)thorough;
	(void)failed;
	f->oracle = b->torn_n && planted == TORN ? ORACLE_INVARIANT : ORACLE_NONE;
	snprintf(f->text, sizeof(f->text), "drained in the midst");
}

static const struct body_class body_fake = {
	.name = "fake", .start = fake_start_untold, .perform = fake_perform, .verify = fake_verify,
	.together = fake_together, .injected = fake_injected, .finish = fake_finish,
};

/* The same, one after the other. */
static const struct body_class body_in_order = {
	.name = "in order", .start = fake_start_untold, .perform = fake_perform, .verify = fake_verify,
	.injected = fake_injected, .finish = fake_finish,
};

static struct player_result play_on(const struct body_class *class, enum fault fault,
				    const char *text, bool isolated)
{
	struct player_options o = { .body = class, .start.cpus_n = 3,
				    .start.frames_n = 1u << 20 };
	struct ops_trace t = parse_trace(text);
	struct player_result r;

	planted = fault;
	if (isolated)
		assert_true(player_run_isolated(t.ops, t.ops_n, &o, 5, &r));
	else
		player_run(t.ops, t.ops_n, &o, &r);
	free(t.ops);
	return r;
}

/* ---- playing ---- */

struct outcomes {
	struct op_outcome out[32];
	unsigned n;
};

static void keep_outcome(void *ctx, const struct player_event *e)
{
	struct outcomes *o = ctx;

	assert_int_equal(e->index, o->n);
	o->out[o->n++] = e->body;
}

/* Operations that commute have the same outcomes under every schedule, and in order. */
static void player_section_transcript_is_in_trace_order(void **state)
{
	static const char *const strategies[] = { "rows", "random", "pct1", "pct2", "pct4" };
	static const char body[] =
		"; map s0 w0 p0 +4 rw; cpu c1; fork s0 s1; switch k1 c2; frame-alloc @1 o1\n"
		"cpu c2; map s0 w1 p0 +4 rw; checkpoint; cpu c1; frame-free @1; cpu c0\n"
		"protect s0 w0 p0 +8 r; frame-alloc @1 o0; cpu c7; join; read s0 w0 p0 +1";
	struct outcomes want = { 0 };
	uint32_t switches = 0;

	(void)state;
	planted = SOUND;
	for (unsigned i = 0; i <= 100; i++) {
		struct outcomes got = { 0 };
		struct player_options o = { .body = i ? &body_fake : &body_in_order,
					    .start.cpus_n = 3, .on_op = keep_outcome, .ctx = &got };
		struct player_result r;
		struct ops_trace t;
		char text[512];

		snprintf(text, sizeof(text), "map s0 w0 p0 +4 rw; together %s x%u%s",
			 strategies[i % 5], i, body);
		t = parse_trace(text);
		player_run(t.ops, t.ops_n, &o, &r);
		free(t.ops);
		assert_string_equal(r.finding.text, "");
		assert_int_equal(r.ops_done, 18);
		assert_int_equal(got.n, 18);
		assert_int_equal(r.skipped_n, 2); /* the checkpoint, and another's slot */
		switches += r.choices_n;
		if (i == 0) {
			want = got;
			continue;
		}
		assert_memory_equal(&got, &want, sizeof(want));
		assert_int_equal(r.sections_n, 1);
		assert_int_equal(r.section_at, 1);
		assert_true(r.points_n >= 13 && r.points_max == r.points_n);
		assert_string_equal(told, "m7r"); /* afterwards on the CPU named last */
	}
	assert_true(switches > 100);
}

static void player_section_digest_is_the_in_order_one(void **state)
{
	static const char text[] =
		"map s0 w0 p0 +4 rw; together random x3; map s0 w0 p0 +4 rw; cpu c1\n"
		"frame-alloc @1 o1; cpu c2; map s0 w1 p0 +4 rw; frame-free @1; join; checkpoint";
	struct player_result a = play_on(&body_fake, SOUND, text, false);
	struct player_result b = play_on(&body_in_order, SOUND, text, false);
	struct player_result m = play_on(&body_model, SOUND, text, false);

	(void)state;
	assert_string_equal(a.finding.text, "");
	assert_string_equal(b.finding.text, "");
	assert_int_equal(a.digest, b.digest);
	assert_int_equal(a.digest, m.digest);
	assert_int_equal(b.sections_n, 0);
	assert_int_equal(b.skipped_n, 1);
}

static void player_section_in_order_takes_failures_along(void **state)
{
	struct player_result r;

	(void)state;
	/* The failure is of CPU 0's next operation, not of the next in the trace. */
	r = play_on(&body_in_order, SOUND, "together rows x0; fail frame k1; cpu c1\n"
		    "map s0 w0 p0 +1 rw; switch k1 c1; interrupt; checkpoint; cpu c0; drain; join\n"
		    "fail frame k1; map s0 w1 p0 +1 rw", false);
	assert_string_equal(r.finding.text, "");
	assert_string_equal(told, "1m0fdfm");
	r = play_on(&body_in_order, SOUND, "join; switch k1 c1; interrupt; stale k1 ~1; drain",
		    false);
	assert_string_equal(told, "d");
	assert_int_equal(r.ops_done, 5);
}

struct listener {
	uint32_t next, results[RESULT_N], steps;
};

static void on_op(void *ctx, const struct player_event *e)
{
	struct listener *l = ctx;

	assert_int_equal(e->index, l->next++);
	l->results[e->body.result]++;
	assert_int_equal(e->skipped, e->body.result == RESULT_SKIP);
}

static void on_step(void *ctx, const struct sched_event *e)
{
	struct listener *l = ctx;

	assert_non_null(e->what);
	l->steps++;
}

static void player_section_rows_are_all_told(void **state)
{
	struct ops_trace t = parse_trace(
		"drain; together random x1; protect s0 w0 p0 +1 r; cpu c1; frame-free @1; drain\n"
		"join");
	struct listener l = { 0 };
	struct player_options o = { .body = &body_fake, .on_op = on_op, .on_step = on_step,
				    .ctx = &l };
	struct player_result r;

	(void)state;
	planted = SOUND;
	player_run(t.ops, t.ops_n, &o, &r);
	assert_int_equal(l.next, 7);
	assert_int_equal(l.results[RESULT_SKIP], 1);
	assert_int_equal(l.results[RESULT_NOMEM], 1); /* a hole */
	assert_true(l.steps >= r.points_n && r.points_n >= 5);
	free(t.ops);
}

static void player_section_a_strategy_of_the_caller_is_asked_instead(void **state)
{
	struct ops_trace t = parse_trace("together random x1; drain; cpu c1; drain; drain; join");
	static const struct sched_choice choice = { { 0, SCHED_SWITCH, 0, 1 }, 1 };
	struct player_options o = { .body = &body_fake };
	static struct sched_rows rows;
	struct player_result r;

	(void)state;
	planted = SOUND;
	sched_rows_init(&rows, &choice, 1);
	o.strategy = &rows.strategy;
	player_run(t.ops, t.ops_n, &o, &r);
	assert_int_equal(r.choices_n, 1);
	assert_memory_equal(&r.choice[0], &choice, sizeof(choice));
	free(t.ops);
}

static void player_section_own_finding_is_of_its_last_row(void **state)
{
	struct player_result r = play_on(&body_fake, TORN, "map s0 w0 p0 +1 rw\n"
		"together rows x0; switch k2 c1; frame-alloc @1 o0; cpu c1; drain; join\n"
		"drain", false);

	(void)state;
	assert_int_equal(r.finding.oracle, ORACLE_INVARIANT);
	assert_int_equal(r.finding.op_index, 6);
	assert_int_equal(r.ops_done, 6);
	assert_string_equal(told, "m");
}

static void player_section_impossible_outcome_is_linear(void **state)
{
	static const char text[] = "map s0 w0 p0 +1 rw; together rows x0; switch k2 c1\n"
		"frame-alloc @1 o0; cpu c1; drain; protect s0 w0 p0 +1 r; join; drain";
	struct player_result r = play_on(&body_fake, LIES, text, false);

	(void)state;
	assert_int_equal(r.finding.oracle, ORACLE_LINEAR);
	assert_int_equal(r.finding.op_index, 7);
	assert_int_not_equal(strlen(r.finding.text), 0);
	r = play_on(&body_fake, SOUND, text, false);
	assert_string_equal(r.finding.text, "");
}

static void player_section_crash_keeps_its_choices(void **state)
{
	struct player_result r = play_on(&body_fake, DIES,
		"together rows x0; switch k2 c1; frame-alloc @1 o0; cpu c1; drain; join\n"
		"drain", true);

	(void)state;
	assert_int_equal(r.finding.oracle, ORACLE_SANITIZER);
	assert_int_equal(r.finding.op_index, 5);
	assert_int_equal(r.sections_n, 1);
	assert_int_equal(r.choices_n, 1);
	assert_int_equal(r.choice[0].key.point, 2);
}

static void player_section_too_long_a_history_ends_the_run(void **state)
{
	static const char text[] = "drain; together rows x0; map s0 w0 p0 +1 rw; cpu c1; drain\n"
				   "join; write s0 w0 p0 +1 v1; drain";
	struct player_result r = play_on(&body_fake, FORGETS, text, false);

	(void)state;
	assert_int_equal(r.finding.oracle, ORACLE_LINEAR); /* nobody told of the map */
	r = play_on(&body_fake, SPILLS, text, false);
	assert_string_equal(r.finding.text, "");
	assert_int_equal(r.ops_done, 6);
	assert_string_equal(told, "d1"); /* on the CPU named last, and no further */
}

/* ---- what is told ---- */

static char *timeline_of(enum fault fault, const char *text, struct player_result *r)
{
	struct ops_trace t = parse_trace(text);
	struct timeline *line = timeline_make(t.ops, t.ops_n, 2);
	struct player_options o = { .body = &body_fake, .on_op = timeline_op,
				    .on_step = timeline_step, .ctx = line, .quiet = true };
	char *out = NULL;
	size_t bytes;
	FILE *f = open_memstream(&out, &bytes);

	assert_non_null(line);
	assert_non_null(f);
	planted = fault;
	assert_true(player_run_isolated(t.ops, t.ops_n, &o, 5, r));
	timeline_print(line, f, false, &r->finding);
	fclose(f);
	timeline_free(line);
	free(t.ops);
	return out;
}

static void assert_lines(const char *out, const char *const lines[])
{
	for (unsigned i = 0; lines[i]; i++) {
		const char *at = strstr(out, lines[i]);

		if (!at)
			fail_msg("'%s' isn't in what follows\n%s", lines[i], out);
		out = at + strlen(lines[i]);
	}
}

static const char torn_trace[] = "map s0 w0 p0 +1 rw; together rows x0; switch k2 c1\n"
	"frame-alloc @1 o0; cpu c1; drain; join; drain";

static void timeline_tells_who_did_what_and_the_finding(void **state)
{
	static const char *const lines[] = {
		"0  map s0 w0 p0 +1 rw ", "1  together rows x0", "point  0 1",
		"o |  3: frame-alloc @1 o0\n", "         1  * |  begin", "         2  * |  end",
		"> |  CPU 1 goes on\n", "| o  5: drain\n", "         1  | *  begin",
		"6  join ", "invariant: drained in the midst\n",
		"CPU 0 went last, after point 2 of 3: frame-alloc @1 o0", NULL,
	};
	struct player_result r;
	char *out = timeline_of(TORN, torn_trace, &r);

	(void)state;
	assert_int_equal(r.finding.oracle, ORACLE_INVARIANT);
	assert_lines(out, lines);
	assert_non_null(strstr(out, "o |  3: frame-alloc @1 o0: ok"));
	assert_non_null(strstr(out, "| o  5: drain: ok"));
	free(out);
}

static void timeline_of_a_crash_is_told_all_the_same(void **state)
{
	static const char *const lines[] = {
		"1  together rows x0", "> |  CPU 1 goes on\n", "| o  5: drain\n",
		"         1  | *  begin",
		"CPU 0 stood after point 2 of 3: frame-alloc @1 o0", "sanitizer: ",
		"CPU 1 went last, after point 1 of 5: drain", NULL,
	};
	struct player_result r;
	char *out = timeline_of(DIES, torn_trace, &r);

	(void)state;
	assert_int_equal(r.finding.oracle, ORACLE_SANITIZER);
	assert_lines(out, lines);
	assert_null(strstr(out, "6  join"));
	free(out);
}

static void timeline_folds_what_nobody_disturbs(void **state)
{
	struct player_result r;
	char text[512] = "together rows x0", *out;

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		strcat(text, "; drain");
	strcat(text, "; join; read s0 w0 p0 +1");
	out = timeline_of(SOUND, text, &r);
	assert_null(strstr(out, " points …")); /* each operation is short */
	assert_non_null(strstr(out, "22  read s0 w0 p0 +1"));
	free(out);
}

/* ---- schedules in rows, and minimising ---- */

/* A trace in which the fault shows under some seeds only: r is of the first such. */
static struct ops_trace find_seed(enum fault fault, bool isolated, struct player_result *r)
{
	unsigned sound = 0;

	for (unsigned seed = 0; seed < 2000; seed++) {
		char text[640];

		snprintf(text, sizeof(text),
			 "map s0 w0 p0 +4 rw; frame-alloc @9 o1; together random x5; drain\n"
			 "cpu c1; map s0 w1 p0 +1 rw; join; cpu c0; checkpoint\n"
			 "together random x%u; map s0 w2 p0 +4 rw; frame-alloc @3 o2\n"
			 "protect s0 w0 p0 +2 r; cpu c1; unmap s0 w2 p0 +1; drain; frame-free @9\n"
			 "cpu c2; fork s0 s3; map s3 w0 p0 +1 rw; join; checkpoint; drain", seed);
		*r = play_on(&body_fake, fault, text, isolated);
		if (r->finding.oracle != ORACLE_NONE) {
			assert_true(sound > 0);
			return parse_trace(text);
		}
		sound++;
	}
	fail_msg("no schedule shows it");
	return (struct ops_trace){ 0 };
}

static void section_fixed_schedule_is_the_same_run(void **state)
{
	struct player_options o = { .body = &body_fake, .start.cpus_n = 3 };
	struct player_result r, again;
	static struct op ops[200];
	static struct section s;
	struct ops_trace t = find_seed(TORN, false, &r);
	struct ops_names names;
	uint32_t n;

	(void)state;
	ops_names_start(&names);
	memcpy(ops, t.ops, t.ops_n * sizeof(*ops));
	section_read(&s, ops, t.ops_n, r.section_at, &names, 3);
	n = section_fix(&s, r.choice, r.choices_n, ops, t.ops_n, 200);
	assert_true(n > t.ops_n);
	planted = TORN;
	player_run(ops, n, &o, &again);
	assert_int_equal(again.finding.oracle, r.finding.oracle);
	assert_string_equal(again.finding.text, r.finding.text);
	assert_int_equal(again.choices_n, r.choices_n);
	assert_memory_equal(again.choice, r.choice, r.choices_n * sizeof(*r.choice));
	free(t.ops);
}

static void assert_minimal(enum fault fault, bool isolated, enum oracle oracle)
{
	struct minimise_options o = { .play.body = &body_fake, .play.start.cpus_n = 3,
				      .isolated = isolated, .timeout_s = 5, .room = 400,
				      .play.quiet = true };
	struct player_result r, again;
	struct minimise_result m;
	static struct op ops[400];
	struct ops_trace t = find_seed(fault, isolated, &r), want;
	uint32_t n;

	memcpy(ops, t.ops, t.ops_n * sizeof(*ops));
	n = minimise(ops, t.ops_n, &o, &m);
	assert_true(m.whole);
	assert_true(m.fixed_n >= 1);
	assert_int_equal(m.last.finding.oracle, oracle);
	/* One switch, in the midst of the allocation. */
	want = parse_trace("together rows x0; switch k2 c1; frame-alloc @0 o0; cpu c1; drain");
	assert_int_equal(n, want.ops_n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(ops[i].code, want.ops[i].code);
	assert_memory_equal(ops, want.ops, 2 * sizeof(*ops));
	player_run_isolated(ops, n, &o.play, 5, &again);
	assert_int_equal(again.finding.oracle, oracle);
	assert_int_equal(again.digest, m.last.digest);
	free(want.ops);
	free(t.ops);
}

static void minimise_section_leaves_one_switch(void **state)
{
	(void)state;
	assert_minimal(TORN, false, ORACLE_INVARIANT);
}

static void minimise_section_crash_is_fixed_too(void **state)
{
	(void)state;
	assert_minimal(DIES, true, ORACLE_SANITIZER);
}

static void minimise_section_without_need_is_unwrapped(void **state)
{
	struct minimise_options o = { .play.body = &body_fake };
	struct ops_trace t = parse_trace("together random x7; map s0 w0 p0 +1 rw; cpu c1; drain\n"
					 "switch k1 c0; frame-alloc @1 o0; join\n"
					 "protect s0 w0 p0 +1 -; checkpoint");
	struct minimise_result m;

	(void)state;
	planted = FORGETS; /* the model doesn't learn of the map */
	t.ops_n = minimise(t.ops, t.ops_n, &o, &m);
	assert_int_equal(m.first.finding.oracle, m.last.finding.oracle);
	assert_true(m.whole);
	assert_true(t.ops_n <= 4);
	free(t.ops);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(player_section_transcript_is_in_trace_order),
		cmocka_unit_test(player_section_digest_is_the_in_order_one),
		cmocka_unit_test(player_section_in_order_takes_failures_along),
		cmocka_unit_test(player_section_rows_are_all_told),
		cmocka_unit_test(player_section_a_strategy_of_the_caller_is_asked_instead),
		cmocka_unit_test(player_section_own_finding_is_of_its_last_row),
		cmocka_unit_test(player_section_impossible_outcome_is_linear),
		cmocka_unit_test(player_section_crash_keeps_its_choices),
		cmocka_unit_test(player_section_too_long_a_history_ends_the_run),
		cmocka_unit_test(timeline_tells_who_did_what_and_the_finding),
		cmocka_unit_test(timeline_of_a_crash_is_told_all_the_same),
		cmocka_unit_test(timeline_folds_what_nobody_disturbs),
		cmocka_unit_test(section_fixed_schedule_is_the_same_run),
		cmocka_unit_test(minimise_section_leaves_one_switch),
		cmocka_unit_test(minimise_section_crash_is_fixed_too),
		cmocka_unit_test(minimise_section_without_need_is_unwrapped),
	};

	return cmocka_run_group_tests_name("player with sections", tests, NULL, NULL);
}
