/// Exploring a trace's schedules: a body whose CPUs are real fibers with two points an
/// operation, so that it is known how many schedules there are and which of them are wrong.
#include "together_fixture.h"

#include "run/explorer.h"

/* ---- the body ---- */

static void fake_perform(struct body *b, const struct op *op, const struct ops_names *n,
			 struct op_outcome *out)
{
	*out = (struct op_outcome){ RESULT_OK, 0 };
	if (ops_table[op->code].side != OP_PLAYER || op->code == OP_CHECKPOINT)
		body_model.perform(b->inner, op, n, out);
}

static void fake_one(struct body *b, unsigned i)
{
	const struct section_op *so = &b->section->op[i];
	struct history_event *e = &b->history->event[b->history->n++];

	sched_op(sched_on, (uint16_t)i);
	sched_point(sched_on, "begin", NULL, 0, true, NULL);
	*e = (struct history_event){ .begin = b->time++, .kind = HISTORY_OP, .cpu = so->cpu,
				     .op = (uint16_t)i };
	body_model.perform(b->inner, &so->op, b->names, &e->out);
	ops_names_follow(b->names, &so->op, (enum op_result)e->out.result);
	e->end = b->time++;
	if (so->op.code == OP_DRAIN && b->allocating)
		b->torn_n++;
	if (so->op.code == OP_FRAME_ALLOC)
		b->allocating |= 1u << so->cpu;
	sched_point(sched_on, "end", NULL, 0, true, NULL);
	b->allocating &= ~(1u << so->cpu);
}

static unsigned torn_limit; /* so many torn ones aren't noticed */

static void fake_verify(struct body *b, bool thorough, bool failed, struct finding *f)
{
	(void)thorough;
	(void)failed;
	f->oracle = b->torn_n > torn_limit ? ORACLE_INVARIANT : ORACLE_NONE;
	snprintf(f->text, sizeof(f->text), "drained in the midst");
}

static const struct body_class body_fake = {
	.name = "fake", .start = fake_start, .perform = fake_perform, .verify = fake_verify,
	.together = fake_together, .injected = fake_injected, .finish = fake_finish,
};

/* ---- exploring ---- */

#define ONE "together rows x0; frame-alloc @1 o1; cpu c1; drain; join; cpu c0\n"
#define ANOTHER "together rows x0; frame-alloc @2 o0; cpu c1; drain; join; cpu c0\n"
#define THIRD "together rows x0; drain; cpu c1; frame-alloc @3 o0; join; cpu c0\n"
#define NEVER 100u

static struct explorer *explored(const char *text, enum explorer_kind kind, unsigned preemptions,
				 uint64_t seed, uint64_t runs_max)
{
	struct explorer_options o = { .play = { .body = &body_fake, .start.cpus_n = 2,
						.start.frames_n = 1u << 20 },
				      .kind = kind, .depth = 2, .preemptions = preemptions,
				      .seed = seed, .runs_max = runs_max };
	struct ops_trace t = parse_trace(text);
	struct explorer *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	explorer_run(t.ops, t.ops_n, &o, x);
	free(t.ops);
	assert_string_equal(x->refused, "");
	assert_int_equal(x->ended, 1);
	return x;
}

static void explorer_all_counts_every_schedule(void **state)
{
	static const struct {
		const char *text;
		unsigned preemptions, schedules;
	} want[] = {
		{ ONE, 0, 1 }, { ONE, ~0u, 10 }, /* 5 over 2 */
		{ "frame-alloc @7 o0\n" ONE "frame-free @7; checkpoint", ~0u, 10 },
		{ ONE ANOTHER, 0, 1 }, { ONE ANOTHER, ~0u, 100 },
	};

	(void)state;
	torn_limit = NEVER;
	for (unsigned i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct explorer *x = explored(want[i].text, EXPLORER_ALL, want[i].preemptions, 0,
					      0);

		assert_int_equal(x->finding.oracle, ORACLE_NONE);
		assert_int_equal(x->runs_n, want[i].schedules);
		assert_true(x->complete);
		assert_int_equal(x->points_max, 4);
		free(x);
	}
}

/* With one preemption at most, it comes in one section or in the other, or not at all. */
static void explorer_bounds_hold_for_all_sections_together(void **state)
{
	struct explorer *one, *both;

	(void)state;
	torn_limit = NEVER;
	one = explored(ONE, EXPLORER_ALL, 1, 0, 0);
	both = explored(ONE ANOTHER, EXPLORER_ALL, 1, 0, 0);
	assert_true(one->complete && both->complete);
	assert_true(one->runs_n > 1);
	assert_int_equal(both->runs_n, 2 * one->runs_n - 1);
	free(one);
	free(both);
}

static void explorer_budget_is_kept(void **state)
{
	(void)state;
	torn_limit = NEVER;
	for (unsigned kind = 0; kind < EXPLORER_KIND_N; kind++) {
		struct explorer *x = explored(ONE, (enum explorer_kind)kind, ~0u, 1, 7);

		assert_int_equal(x->runs_n, 7);
		assert_false(x->complete);
		free(x);
	}
}

static void explorer_every_strategy_finds_it(void **state)
{
	(void)state;
	torn_limit = 0;
	for (unsigned kind = 0; kind < EXPLORER_KIND_N; kind++) {
		struct explorer *x = explored(ONE, (enum explorer_kind)kind, ~0u, 1, 500);

		assert_int_equal(x->finding.oracle, ORACLE_INVARIANT);
		assert_true(x->runs_n > 1 && x->runs_n <= 500);
		assert_false(x->complete);
		free(x);
	}
}

static void explorer_without_a_section_ends_at_once(void **state)
{
	struct explorer *x = explored("frame-alloc @1 o1; drain", EXPLORER_RANDOM, 0, 1, 50);

	(void)state;
	assert_int_equal(x->begun_n, 0);
	assert_int_equal(x->runs_n, 1);
	free(x);
}

static void explorer_run_is_its_seed_and_number(void **state)
{
	(void)state;
	torn_limit = 1; /* both sections must be torn in one run */
	for (uint64_t seed = 0; seed < 5; seed++) {
		struct explorer *a = explored(ONE ANOTHER, EXPLORER_RANDOM, 0, seed, 5000);
		struct explorer *b;

		assert_int_equal(a->finding.oracle, ORACLE_INVARIANT);
		assert_true(a->runs_n > 2);
		/* the second run of a search that begins so late */
		b = explored(ONE ANOTHER, EXPLORER_RANDOM, 0, seed + a->runs_n - 2, 2);
		assert_int_equal(b->runs_n, 2);
		assert_int_equal(b->finding.oracle, ORACLE_INVARIANT);
		assert_int_equal(b->choices_n, a->choices_n);
		assert_memory_equal(b->choice, a->choice, a->choices_n * sizeof(*a->choice));
		free(a);
		free(b);
	}
}

/* ---- as rows ---- */

static void play(const struct op *ops, uint32_t ops_n, struct player_result *r)
{
	struct player_options o = { .body = &body_fake, .start.cpus_n = 2,
				    .start.frames_n = 1u << 20 };

	player_run(ops, ops_n, &o, r);
}

static void explorer_fixed_sections_fail_again(void **state)
{
	static const char text[] = "frame-alloc @9 o0; together pct2 x3; join\n"
				   ONE "cpu c1\n" ANOTHER "frame-free @9\n" THIRD;
	struct op ops[200];
	struct player_result r;

	(void)state;
	torn_limit = 1;
	for (uint64_t seed = 0; seed < 10; seed++) {
		struct explorer *x = explored(text, EXPLORER_RANDOM, 0, seed, 5000);
		struct ops_trace t = parse_trace(text);
		uint32_t n;

		assert_int_equal(x->finding.oracle, ORACLE_INVARIANT);
		memcpy(ops, t.ops, t.ops_n * sizeof(*ops));
		play(ops, t.ops_n, &r);
		assert_int_equal(r.finding.oracle, ORACLE_NONE);
		n = explorer_fix(x, 2, ops, t.ops_n, 200);
		assert_true(n > t.ops_n);
		play(ops, n, &r);
		assert_int_equal(r.finding.oracle, ORACLE_INVARIANT);
		assert_string_equal(r.finding.text, x->finding.text);
		assert_int_equal(r.sections_n, x->begun_n);
		for (uint32_t i = 0, k = 0; i < x->choices_n; i++) {
			if (x->choice[i].section + 1 != x->begun_n)
				continue;
			assert_memory_equal(&r.choice[k], &x->choice[i].choice,
					    sizeof(*r.choice));
			k++;
		}
		/* no room */
		memcpy(ops, t.ops, t.ops_n * sizeof(*ops));
		assert_int_equal(explorer_fix(x, 2, ops, t.ops_n, n - 1), 0);
		free(t.ops);
		free(x);
	}
}

/* ---- bounds ---- */

static double naive(double p, unsigned runs_n)
{
	double miss = 1;

	while (runs_n--)
		miss *= 1 - p;
	return 1 - miss;
}

static bool near(double a, double b)
{
	return a - b < 1e-9 && b - a < 1e-9;
}

static void explorer_confidence_is_the_chance_of_one_hit(void **state)
{
	static const double p[] = { 0, 1e-5, 0.003, 0.25, 0.5, 1 };

	(void)state;
	for (unsigned i = 0; i < sizeof(p) / sizeof(*p); i++)
		for (unsigned n = 0; n < 3000; n = 2 * n + 1)
			assert_true(near(explorer_confidence(p[i], n), naive(p[i], n)));
	/* where 1 - p is 1 to a double */
	assert_true(near(explorer_confidence(1e-17, 1000000000000000ull) * 100, 0.995016625));
	assert_true(near(sched_pct_bound(2, 10, 3), 0.0025));
	assert_true(near(sched_pct_bound(4, 100, 1), 0.125));
}

static void explorer_runs_needed_is_the_least_number(void **state)
{
	static const double p[] = { 1e-12, 1e-6, 0.001, 0.0301, 0.4, 0.98, 0.99, 1 };

	(void)state;
	for (unsigned i = 0; i < sizeof(p) / sizeof(*p); i++) {
		uint64_t n = explorer_runs_needed(p[i], 0.99);

		assert_true(explorer_confidence(p[i], n) >= 0.99 - 1e-12);
		assert_true(n == 1 || explorer_confidence(p[i], n - 1) < 0.99);
	}
	assert_int_equal(explorer_runs_needed(0.001, 0.99), 4603);
	assert_int_equal(explorer_runs_needed(0.5, 0.99), 7);
	assert_true(explorer_runs_needed(0, 0.99) == UINT64_MAX);
	assert_true(explorer_runs_needed(1e-30, 0.99) == UINT64_MAX);
}

/* Runs are counted only for a k that none of them exceeded. */
static void explorer_pct_counts_runs_within_k(void **state)
{
	struct explorer *x;

	(void)state;
	torn_limit = NEVER;
	x = explored(ONE, EXPLORER_PCT, 0, 1, 50);
	assert_int_equal(x->points_max, 4);
	assert_int_equal(x->points, 5);
	assert_int_equal(x->runs_at_k, 49); /* the first goes by the defaults */
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(explorer_all_counts_every_schedule),
		cmocka_unit_test(explorer_bounds_hold_for_all_sections_together),
		cmocka_unit_test(explorer_budget_is_kept),
		cmocka_unit_test(explorer_every_strategy_finds_it),
		cmocka_unit_test(explorer_without_a_section_ends_at_once),
		cmocka_unit_test(explorer_run_is_its_seed_and_number),
		cmocka_unit_test(explorer_fixed_sections_fail_again),
		cmocka_unit_test(explorer_confidence_is_the_chance_of_one_hit),
		cmocka_unit_test(explorer_runs_needed_is_the_least_number),
		cmocka_unit_test(explorer_pct_counts_runs_within_k),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
