/// Litmus clients: the scheduler, the weak memory and the race detector find each bad one
/// within its stated bound, in every strategy, and nothing in the good ones.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "litmus/litmus.h"

#define PAIRS_MAX 64u

static struct litmus_result explored(const struct litmus *l, bool good,
				     const struct litmus_budget *b)
{
	struct litmus_result r;

	assert_true(litmus_explore(l, good, b, &r));
	return r;
}

static void expect(const struct litmus *l, bool good, const struct litmus_budget *b,
		   const struct litmus_result *r)
{
	const char *fault = litmus_judge(l, good, b, r);

	if (fault)
		fail_msg("%s_%s, %s: %s: %s after %llu schedules: %s", good ? "good" : "bad",
			 l->name, litmus_strategy_text[b->strategy], fault,
			 litmus_end_text[r->end], (unsigned long long)r->runs_n, r->why);
}

/* ---- a case for each ---- */

static void survives(void **state)
{
	const struct litmus *l = *state;

	for (unsigned s = 0; s < LITMUS_STRATEGY_N; s++) {
		struct litmus_budget b;
		struct litmus_result r;

		litmus_bound(l, true, (enum litmus_strategy)s, &b);
		r = explored(l, true, &b);
		expect(l, true, &b, &r);
		assert_true(r.runs_n > 0);
	}
}

/* What was found must be found again by its choices alone, event by event. */
static void found(void **state)
{
	const struct litmus *l = *state;

	for (unsigned s = 0; s < LITMUS_STRATEGY_N; s++) {
		struct litmus_result r, again;
		struct litmus_budget b;

		litmus_bound(l, false, (enum litmus_strategy)s, &b);
		r = explored(l, false, &b);
		expect(l, false, &b, &r);
		assert_true(r.runs_n <= b.runs_max);
		assert_false(r.choices_lost);
		assert_true(litmus_replay(l, false, r.choice, r.choices_n, NULL, &again));
		assert_int_equal(again.end, r.end);
		assert_true(again.events == r.events);
		assert_int_equal(again.choices_n, r.choices_n);
		assert_memory_equal(again.choice, r.choice, r.choices_n * sizeof(*r.choice));
		assert_string_equal(again.why, r.why);
	}
}

/* ---- all of them ---- */

static bool all_survive(const struct litmus *l, unsigned preemptions, unsigned stale)
{
	struct litmus_budget b = { .strategy = LITMUS_BY_ALL, .runs_max = UINT64_MAX,
				   .preemptions = preemptions, .stale = stale };
	struct litmus_result r = explored(l, false, &b);

	return r.end == LITMUS_SURVIVES && r.complete;
}

/* With one preemption or one older store less than stated there is nothing to find: the
 * bounds are no larger than what the fault takes. */
static void litmus_bounds_are_what_the_fault_takes(void **state)
{
	const struct litmus *l;
	unsigned tight_n = 0, loose_n = 0;

	(void)state;
	for (unsigned i = 0; (l = litmus_nth(i)); i++) {
		unsigned p = l->needs_preemptions, s = l->needs_stale;
		bool p_loose = p && !all_survive(l, p - 1, s);
		bool s_loose = s && !all_survive(l, p, s - 1);

		if (p_loose)
			print_error("bad_%s needs fewer than %u preemptions\n", l->name, p);
		if (s_loose)
			print_error("bad_%s needs fewer than %u older stores\n", l->name, s);
		loose_n += p_loose + s_loose;
		tight_n += (p && !p_loose) + (s && !s_loose);
	}
	assert_int_equal(loose_n, 0);
	assert_true(tight_n >= 20);
}

static void litmus_names_differ(void **state)
{
	const struct litmus *a, *b;
	unsigned n = 0;

	(void)state;
	for (; (a = litmus_nth(n)); n++)
		for (unsigned j = 0; j < n && (b = litmus_nth(j)); j++)
			assert_string_not_equal(a->name, b->name);
	assert_true(n >= 20 && n <= PAIRS_MAX);
}

/* The judge itself: each way to be wrong is told. */
static void litmus_wrong_results_are_told(void **state)
{
	const struct litmus *l = litmus_nth(0);
	struct litmus_budget b;
	struct litmus_result r;

	(void)state;
	litmus_bound(l, true, LITMUS_BY_ALL, &b);
	r = explored(l, false, &b);
	assert_null(litmus_judge(l, false, &b, &r));
	assert_non_null(litmus_judge(l, true, &b, &r));
	r.end = LITMUS_RACE;
	assert_non_null(litmus_judge(l, false, &b, &r));
	b.runs_max = 1;
	r = explored(l, true, &b);
	assert_false(r.complete);
	assert_non_null(litmus_judge(l, true, &b, &r));
	assert_non_null(litmus_judge(l, false, &b, &r));
}

/* Another run than the one that failed gives another digest. */
static void litmus_other_choices_are_other_events(void **state)
{
	const struct litmus *l = litmus_nth(0);
	struct litmus_result r, again;
	struct litmus_budget b;

	(void)state;
	litmus_bound(l, false, LITMUS_BY_ALL, &b);
	r = explored(l, false, &b);
	assert_true(r.choices_n > 0);
	assert_true(litmus_replay(l, false, r.choice, 0, NULL, &again));
	assert_int_equal(again.end, LITMUS_SURVIVES);
	assert_int_equal(again.choices_n, 0);
	assert_true(again.events != r.events);
}

/* Two CPUs with n points each have (2n + 1 over n) schedules, where no load has a choice. */
static void litmus_count_of_schedules_is_the_binomial(void **state)
{
	static const struct {
		const char *name;
		unsigned schedules;
	} want[] = { { "bits_plain", 3 }, { "put_order", 3 }, { NULL, 0 } };

	(void)state;
	for (unsigned k = 0; want[k].name; k++) {
		const struct litmus *l;
		struct litmus_budget b;
		unsigned i = 0;

		while ((l = litmus_nth(i)) && strcmp(l->name, want[k].name))
			i++;
		assert_non_null(l);
		litmus_bound(l, true, LITMUS_BY_ALL, &b);
		assert_int_equal(explored(l, true, &b).runs_n, want[k].schedules);
	}
}

static void litmus_seed_gives_the_same_again(void **state)
{
	const struct litmus *l;

	(void)state;
	for (unsigned i = 0; (l = litmus_nth(i)); i++) {
		struct litmus_result a, b;
		struct litmus_budget budget;

		litmus_bound(l, false, LITMUS_BY_RANDOM, &budget);
		a = explored(l, false, &budget);
		b = explored(l, false, &budget);
		assert_int_equal(a.runs_n, b.runs_n);
		assert_true(a.events == b.events);
	}
}

int main(void)
{
	static const struct CMUnitTest rest[] = {
		cmocka_unit_test(litmus_bounds_are_what_the_fault_takes),
		cmocka_unit_test(litmus_names_differ),
		cmocka_unit_test(litmus_wrong_results_are_told),
		cmocka_unit_test(litmus_other_choices_are_other_events),
		cmocka_unit_test(litmus_count_of_schedules_is_the_binomial),
		cmocka_unit_test(litmus_seed_gives_the_same_again),
	};
	static struct CMUnitTest tests[2 * PAIRS_MAX + sizeof(rest) / sizeof(*rest)];
	static char name[2 * PAIRS_MAX][64];
	const struct litmus *l;
	unsigned n = 0;

	for (unsigned i = 0; (l = litmus_nth(i)) && n + 1 < 2 * PAIRS_MAX; i++)
		for (int good = 0; good < 2; good++, n++) {
			snprintf(name[n], sizeof(name[n]), "litmus_%s_%s", l->name,
				 good ? "survives" : "is_found");
			tests[n] = (struct CMUnitTest){ name[n], good ? survives : found, NULL,
							NULL, (void *)(uintptr_t)l };
		}
	memcpy(tests + n, rest, sizeof(rest));
	n += sizeof(rest) / sizeof(*rest);
	return _cmocka_run_group_tests("litmus", tests, n, NULL, NULL);
}
