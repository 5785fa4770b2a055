/// Fits and their verdicts: slopes, intervals over rounds, what counts as flat.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "growth.h"
#include "host/fit.h"
#include "host/workload.h"

enum { ROUNDS = 9, POINTS = 8 };

/// What the bench ends with; here nothing calls it.
_Noreturn void work_failed(const char *what)
{
	(void)what;
	abort();
}

static void near(double got, double want)
{
	assert_true(got - want < 1e-9 && want - got < 1e-9);
}

static void logarithms_and_the_spans_of_the_axes(void **state)
{
	(void)state;
	near(fit_ln(1), 0);
	near(fit_ln(0.5), -0.6931471805599453);
	near(fit_ln(GROWTH_FLAT), GROWTH_FLAT_LN);
	near(fit_ln(1 << 14), growth_axis_find("memory")->span_ln);
	near(fit_ln(1000), growth_axis_find("fill")->span_ln);
	near(fit_ln(2), growth_axis_find("threads")->span_ln);
	assert_null(growth_axis_find("moon"));
}

static void one_wild_point_does_not_move_a_slope(void **state)
{
	double x[POINTS], y[POINTS];

	(void)state;
	for (unsigned i = 0; i < POINTS; i++) {
		x[i] = i;
		y[i] = 3 - 0.25 * i;
	}
	near(fit_slope(x, y, POINTS), -0.25);
	y[5] = 1000;
	near(fit_slope(x, y, POINTS), -0.25);
	near(fit_slope(x, y, 2), -0.25);
}

static void ranks_are_those_of_the_sign_test(void **state)
{
	/* n, ranks, and 1 - 2 P(fewer heads), from the binomial coefficients. */
	static const struct {
		unsigned n, low, high;
		double confidence;
	} row[] = { { 6, 0, 5, 1 - 2.0 / 64 },
		    { 8, 0, 7, 1 - 2.0 / 256 },
		    { 9, 1, 7, 1 - 2.0 * (1 + 9) / 512 },
		    { 20, 5, 14, 1 - 2.0 * (1 + 20 + 190 + 1140 + 4845 + 15504) / 1048576 } };
	unsigned low, high;

	(void)state;
	assert_false(fit_ranks(5, &low, &high));
	near(fit_confidence(5), 0);
	for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_true(fit_ranks(row[i].n, &low, &high));
		assert_int_equal(low, row[i].low);
		assert_int_equal(high, row[i].high);
		near(fit_confidence(row[i].n), row[i].confidence);
	}
}

static void few_rounds_have_a_median_and_no_interval(void **state)
{
	double value[] = { 5, 1, 2, 9 };
	struct fit_median m;

	(void)state;
	fit_median(value, 4, &m);
	near(m.value, 3.5);
	assert_false(m.has_interval);
}

/// Uniform in -1..1.
static double noise(uint64_t *seed)
{
	return (double)random_below(seed, 2000001) / 1e6 - 1;
}

/// As often as stated and not always, also where noise is one-sided.
static void intervals_hold_the_median_as_often_as_they_say(void **state)
{
	enum { TRIALS = 4000 };
	uint64_t seed = 12345;
	unsigned held = 0;

	(void)state;
	for (unsigned trial = 0; trial < TRIALS; trial++) {
		double value[ROUNDS];
		struct fit_median m;

		for (unsigned i = 0; i < ROUNDS; i++) {
			double e = noise(&seed); /* median 0, mean far above */

			value[i] = e < 0 ? e : 50 * e;
		}
		fit_median(value, ROUNDS, &m);
		held += m.low <= 0 && m.high >= 0;
	}
	assert_in_range(held, TRIALS * 95 / 100, TRIALS * 97 / 100);
}

/// Judges rounds whose points follow x^slope, each shifted by `each` of noise and all of a
/// round by drift.
static enum growth_verdict judge_made(double slope, double each, uint64_t seed)
{
	const struct growth_axis *axis = growth_axis_find("memory");
	double x[POINTS], y[POINTS], slopes[ROUNDS], ends[ROUNDS];
	struct growth_interval s, e;
	struct fit_median m;

	for (unsigned round = 0; round < ROUNDS; round++) {
		double drift = 0.5 * noise(&seed);

		for (unsigned i = 0; i < POINTS; i++) {
			x[i] = axis->span_ln * i / (POINTS - 1);
			y[i] = slope * x[i] + drift + each * noise(&seed);
		}
		slopes[round] = fit_slope(x, y, POINTS);
		ends[round] = 1 + y[POINTS - 1] - y[0]; /* near 1 as good as the ratio */
	}
	fit_median(slopes, ROUNDS, &m);
	s = (struct growth_interval){ m.low, m.high };
	fit_median(ends, ROUNDS, &m);
	e = (struct growth_interval){ m.low, m.high };
	return growth_judge(axis->span_ln, &s, &e);
}

static void verdicts_see_growth_and_no_drift(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 200; seed += 2) {
		assert_int_equal(judge_made(0, 0.02, seed), GROWTH_IS_FLAT);
		assert_int_equal(judge_made(0.03, 0.02, seed), GROWTH_NOT_FLAT);
		assert_int_equal(judge_made(-0.03, 0.02, seed), GROWTH_NOT_FLAT);
		assert_int_not_equal(judge_made(0, 0.6, seed), GROWTH_IS_FLAT);
	}
}

static void either_the_slope_or_the_ends_may_tell(void **state)
{
	double span = growth_axis_find("fill")->span_ln;
	struct growth_interval level = { -0.001, 0.001 }, even = { 0.99, 1.01 };
	struct growth_interval up = { 0.02, 0.03 }, wide = { -0.05, 0.05 };
	struct growth_interval more = { 1.2, 1.3 }, less = { 0.7, 0.8 }, about = { 0.8, 1.2 };

	(void)state;
	assert_int_equal(growth_judge(span, &level, &even), GROWTH_IS_FLAT);
	assert_int_equal(growth_judge(span, &up, &even), GROWTH_NOT_FLAT);
	assert_int_equal(growth_judge(span, &level, &more), GROWTH_NOT_FLAT);
	assert_int_equal(growth_judge(span, &level, &less), GROWTH_NOT_FLAT);
	assert_int_equal(growth_judge(span, &wide, &even), GROWTH_CANT_TELL);
	assert_int_equal(growth_judge(span, &level, &about), GROWTH_CANT_TELL);
	assert_int_equal(growth_judge(2, &up, &even), GROWTH_IS_FLAT); /* over so short a way */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logarithms_and_the_spans_of_the_axes),
		cmocka_unit_test(one_wild_point_does_not_move_a_slope),
		cmocka_unit_test(ranks_are_those_of_the_sign_test),
		cmocka_unit_test(few_rounds_have_a_median_and_no_interval),
		cmocka_unit_test(intervals_hold_the_median_as_often_as_they_say),
		cmocka_unit_test(verdicts_see_growth_and_no_drift),
		cmocka_unit_test(either_the_slope_or_the_ends_may_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
