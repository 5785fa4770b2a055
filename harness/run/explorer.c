/* Exploring the schedules of a trace.
 *
 * What it is. A player plays the trace from its start for each schedule; a strategy of
 * this file's stands between the sections and the one that chooses, and keeps what it
 * chose. Random and PCT begin anew in each section; for the exhaustive one, all sections of
 * a run are one path, so that it goes through their schedules together.
 *
 * I1  explorer.choice holds, in order, what the run under way has chosen against the
 *     default, also if it never ends.
 * I2  Run number r of random and PCT depends on the trace, the seed plus r, and for PCT on
 *     k, alone.
 *
 * k. PCT's bound needs an upper bound of the points in a section's run. It isn't known
 * beforehand: k is a quarter above the most that was seen. A run that exceeds it raises
 * it, and the runs for which the bound is claimed are counted from zero again.
 *
 * Rows of the trace that choose are not played: they say one schedule, and this looks for
 * others. What the sections' operations are, and their marks, stays.
 */
#include "run/explorer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "run/section.h"

const char *const explorer_kind_text[EXPLORER_KIND_N] = { "random", "pct", "all" };

/* A strategy, and what it chose. */
struct chooser {
	struct sched_strategy strategy, *inner;
	bool once; /* inner begins with the first section only */
	struct explorer *x;
};

struct explorer_work {
	const struct explorer_options *o;
	struct explorer *x;
	struct chooser chooser;
	struct sched_rows rows;
	struct sched_random random;
	struct sched_pct pct;
	struct sched_all all;
	struct player_options play;
	struct player_result result;
	double deadline; /* 0: none */
};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- choosing ---- */

static void chooser_begin(struct sched_strategy *self, unsigned cpus_n)
{
	struct chooser *c = (struct chooser *)(void *)self;

	if (c->x->begun_n++ == 0 || !c->once)
		c->inner->begin(c->inner, cpus_n);
}

static unsigned chooser_choose(struct sched_strategy *self, const struct sched *s,
			       const struct sched_key *key, enum sched_why why,
			       const uint16_t *option, unsigned n)
{
	struct chooser *c = (struct chooser *)(void *)self;
	unsigned i = c->inner->choose(c->inner, s, key, why, option, n);
	struct explorer *x = c->x;

	if (i == 0 || i >= n)
		return 0;
	if (x->choices_n < EXPLORER_CHOICES_MAX)
		x->choice[x->choices_n++] = (struct explorer_choice){
			x->begun_n - 1u, { *key, option[i] }
		};
	else
		x->choices_lost = true;
	return i;
}

static struct sched_strategy *strategy_of(struct explorer_work *w)
{
	uint64_t seed = w->o->seed + w->x->runs_n;

	if (w->o->kind == EXPLORER_ALL)
		return &w->all.strategy;
	if (w->x->runs_n == 0) {
		sched_rows_init(&w->rows, NULL, 0);
		return &w->rows.strategy;
	}
	if (w->o->kind == EXPLORER_RANDOM) {
		sched_random_init(&w->random, seed);
		return &w->random.strategy;
	}
	sched_pct_init(&w->pct, seed, w->o->depth, w->x->points);
	return &w->pct.strategy;
}

/* ---- runs ---- */

/* A run that went by the defaults is no draw. */
static void count_points(struct explorer_work *w, bool drawn)
{
	struct explorer *x = w->x;

	if (w->result.points_max > x->points_max)
		x->points_max = w->result.points_max;
	if (w->result.sections_n > x->sections_n)
		x->sections_n = w->result.sections_n;
	if (x->points_max > x->points) {
		x->points = x->points_max + x->points_max / 4u;
		x->runs_at_k = 0;
	} else if (drawn) {
		x->runs_at_k++;
	}
}

/* Returns whether there is any sense in another. */
static bool one_run(struct explorer_work *w, const struct op *ops, uint32_t ops_n)
{
	struct explorer *x = w->x;

	x->begun_n = x->choices_n = 0;
	x->choices_lost = false;
	w->chooser.inner = strategy_of(w);
	player_run(ops, ops_n, &w->play, &w->result);
	x->finding = w->result.finding;
	x->ops_done = w->result.ops_done;
	memcpy(x->refused, w->result.refused, sizeof(x->refused));
	if (x->refused[0])
		return false;
	count_points(w, x->runs_n != 0);
	x->runs_n++;
	if (x->finding.oracle != ORACLE_NONE || x->begun_n == 0)
		return false;
	if (w->o->kind == EXPLORER_ALL && !sched_all_next(&w->all)) {
		x->complete = !w->all.truncated;
		return false;
	}
	return true;
}

static bool budget_left(const struct explorer_work *w)
{
	return !w->x->stop && (!w->o->runs_max || w->x->runs_n < w->o->runs_max) &&
	       (w->deadline == 0 || now_s() < w->deadline);
}

void explorer_run(const struct op *ops, uint32_t ops_n, const struct explorer_options *o,
		  struct explorer *x)
{
	struct explorer_work *w = calloc(1, sizeof(*w));

	if (!w) {
		snprintf(x->refused, sizeof(x->refused), "out of memory");
		return;
	}
	w->o = o;
	w->x = x;
	w->chooser = (struct chooser){ .strategy = { chooser_begin, chooser_choose },
				       .once = o->kind == EXPLORER_ALL, .x = x };
	w->play = o->play;
	w->play.strategy = &w->chooser.strategy;
	w->deadline = o->seconds_max ? now_s() + (double)o->seconds_max : 0;
	sched_all_init(&w->all, o->preemptions, o->stale);
	w->all.defers_max = o->defers;
	w->all.walks_max = o->walks;
	while (one_run(w, ops, ops_n) && budget_left(w))
		continue;
	sched_all_free(&w->all);
	free(w);
	x->ended = 1;
}

/* ---- the schedule as rows ---- */

struct place {
	uint32_t at; /* a section's first row */
	uint8_t cpu; /* the one named before it */
};

/* Sections with operations, which are those that are played at once. */
static uint32_t find_sections(const struct op *ops, uint32_t ops_n, unsigned cpus_n,
			      struct section *s, struct place *out)
{
	struct ops_names names;
	uint32_t n = 0, i = 0;

	ops_names_start(&names);
	while (i < ops_n) {
		if (ops[i].code == OP_CPU)
			names.cpu = (uint8_t)ops[i].arg[0];
		if (ops[i].code != OP_TOGETHER) {
			i++;
			continue;
		}
		section_read(s, ops, ops_n, i, &names, cpus_n);
		if (s->n)
			out[n++] = (struct place){ i, names.cpu };
		names.cpu = s->cpu_last;
		i = s->first + s->trace_n;
	}
	return n;
}

static uint32_t fix_one(const struct explorer *x, uint32_t index, const struct place *p,
			unsigned cpus_n, struct section *s, struct sched_choice *choice,
			struct op *ops, uint32_t ops_n, uint32_t room)
{
	struct ops_names names;
	uint32_t n = 0;

	for (uint32_t i = 0; i < x->choices_n; i++)
		if (x->choice[i].section == index)
			choice[n++] = x->choice[i].choice;
	ops_names_start(&names);
	names.cpu = p->cpu;
	section_read(s, ops, ops_n, p->at, &names, cpus_n);
	return section_fix(s, choice, n, ops, ops_n, room);
}

uint32_t explorer_fix(const struct explorer *x, unsigned cpus_n, struct op *ops,
		      uint32_t ops_n, uint32_t room)
{
	struct place *place = calloc(ops_n + 1u, sizeof(*place));
	struct sched_choice *choice = calloc(x->choices_n + 1u, sizeof(*choice));
	struct section *s = calloc(1, sizeof(*s));
	uint32_t n = 0;

	if (!place || !choice || !s || x->choices_lost)
		ops_n = 0;
	if (ops_n)
		n = find_sections(ops, ops_n, cpus_n, s, place);
	/* From the last, so that those before it stay where they are. */
	while (n-- > 0 && ops_n)
		if (n < x->begun_n)
			ops_n = fix_one(x, n, &place[n], cpus_n, s, choice, ops, ops_n, room);
	free(place);
	free(choice);
	free(s);
	return ops_n;
}

/* ---- what it is worth ---- */

/* In terms of what is found: 1 - (1 - p)^n loses all digits where p is small. */
static double either(double a, double b)
{
	return a + b - a * b;
}

double explorer_confidence(double p, uint64_t runs_n)
{
	double c = 0;

	for (; runs_n; runs_n >>= 1, p = either(p, p))
		if (runs_n & 1u)
			c = either(c, p);
	return c;
}

uint64_t explorer_runs_needed(double p, double confidence)
{
	double of[64], c = 0;
	uint64_t n = 0;
	int i = 0;

	if (p <= 0)
		return UINT64_MAX;
	for (of[0] = p; i < 63 && of[i] < confidence; i++)
		of[i + 1] = either(of[i], of[i]);
	if (of[i] < confidence)
		return UINT64_MAX;
	for (; i >= 0; i--)
		if (either(c, of[i]) < confidence) {
			c = either(c, of[i]);
			n |= 1ull << i;
		}
	return n + 1u;
}
