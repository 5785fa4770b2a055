/* pagemill litmus: does the scheduler find what it must, and nothing else? */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "litmus/litmus.h"
#include "run/cli.h"

#define COLUMN 26

struct wish {
	enum litmus_strategy strategy;
	bool list, explain, rates;
	int names_n;
	char **names;
	bool *met; /* of the names */
};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void full_name(char out[64], const struct litmus *l, bool good)
{
	snprintf(out, 64, "%s_%s", good ? "good" : "bad", l->name);
}

/* A name is meant whole, or without good_ or bad_: both. */
static bool wanted(struct wish *w, const struct litmus *l, bool good)
{
	char name[64];
	bool yes = w->names_n == 0;

	full_name(name, l, good);
	for (int i = 0; i < w->names_n; i++) {
		if (strcmp(w->names[i], name) && strcmp(w->names[i], l->name))
			continue;
		yes = w->met[i] = true;
	}
	return yes;
}

/* ---- the failing interleaving ---- */

/* Lines appear when what they say is done, which is when its CPU goes on from the point: until
 * then they wait, those of an interrupted CPU below the handler's. */
#define NESTED 4u

struct listing {
	const struct litmus *l;
	const struct litmus_result *r;
	struct listing_cpu {
		unsigned depth;
		char text[NESTED][96]; /* empty: nothing waits */
	} cpu[SCHED_CPUS_MAX];
	unsigned now, lines_n;
};

static void line(struct listing *x, unsigned cpu, const char *text)
{
	printf("  %4u  %*s%s\n", ++x->lines_n, (int)cpu * COLUMN, "", text);
}

static void flush(struct listing *x, unsigned cpu)
{
	struct listing_cpu *c = &x->cpu[cpu];

	if (c->text[c->depth][0])
		line(x, cpu, c->text[c->depth]);
	c->text[c->depth][0] = 0;
}

/* What was chosen at the point against the default, but for who goes on. */
static const char *chosen(const struct litmus_result *r, const struct sched_key *key)
{
	for (uint32_t i = 0; i < r->choices_n; i++) {
		const struct sched_key *k = &r->choice[i].key;

		if (k->cpu != key->cpu || k->op != key->op || k->point != key->point)
			continue;
		if (k->kind == SCHED_STALE)
			return " (an older one)";
		if (k->kind == SCHED_DEFER)
			return " (interrupt later)";
	}
	return "";
}

static void event_text(char *out, size_t bytes, const struct listing *x,
		       const struct sched_event *e, const struct litmus_env *env)
{
	size_t offset = (size_t)((uintptr_t)e->at - (uintptr_t)env->state);
	bool reads = !strcmp(e->what, "load") || !strcmp(e->what, "relax");
	char name[48] = "", value[24] = "";

	if (offset < LITMUS_STATE_BYTES)
		litmus_word(name, sizeof(name), x->l, offset);
	if (!strcmp(e->what, "and"))
		snprintf(value, sizeof(value), " ~%u", ~(unsigned)e->value);
	else if (!strcmp(e->what, "ipi"))
		snprintf(value, sizeof(value), "to CPU %" PRIu64, e->value);
	else if (!strcmp(e->what, "settle"))
		snprintf(value, sizeof(value), "(all stores arrive)");
	else if (!reads && name[0])
		snprintf(value, sizeof(value), " %" PRIu64, e->value);
	snprintf(out, bytes, "%s %s%s%s", reads && e->what[0] == 'r' ? "spins at" : e->what, name,
		 value, chosen(x->r, &e->key));
}

static void list_event(void *ctx, const struct sched_event *e, const struct litmus_env *env)
{
	struct listing *x = ctx;
	struct listing_cpu *c = &x->cpu[e->key.cpu];

	x->now = e->key.cpu;
	if (!strcmp(e->what, "switch")) {
		if (sched_on->cpu[e->key.cpu].state != SCHED_READY)
			flush(x, e->key.cpu);
		x->now = (unsigned)e->value;
	} else if (!strcmp(e->what, "interrupt")) {
		if (sched_on->cpu[e->key.cpu].state != SCHED_READY)
			flush(x, e->key.cpu);
		line(x, e->key.cpu, "-- interrupt");
		c->depth += c->depth + 1 < NESTED;
	} else {
		flush(x, e->key.cpu);
		event_text(c->text[c->depth], sizeof(c->text[0]), x, e, env);
	}
}

static void list_return(void *ctx, unsigned cpu)
{
	struct listing *x = ctx;

	flush(x, cpu);
	line(x, cpu, "-- returns");
	x->cpu[cpu].depth -= x->cpu[cpu].depth != 0;
}

static void explain(const struct litmus *l, bool good, const struct litmus_result *r)
{
	struct listing x = { .l = l, .r = r };
	struct litmus_listener listener = { list_event, list_return, &x };
	struct litmus_result again;

	printf("  %s\n  %s: %s\n", good ? l->good : l->bad, litmus_end_text[r->end], r->why);
	if (r->choices_lost) {
		printf("  (too many choices to list)\n");
		return;
	}
	printf("  %4s  ", "");
	for (unsigned c = 0; c < l->cpus_n; c++)
		printf("CPU %-*u", COLUMN - 4, c);
	printf("\n");
	if (!litmus_replay(l, good, r->choice, r->choices_n, &listener, &again))
		return;
	flush(&x, x.now);
	if (again.events != r->events)
		printf("  (this is another run than the one that failed)\n");
}

/* ---- the table ---- */

static void bound_text(char out[64], const struct litmus_budget *b, bool good)
{
	char preemptions[24] = "", stale[24] = "";

	if (b->strategy == LITMUS_BY_ALL && b->preemptions != LITMUS_ALL)
		snprintf(preemptions, sizeof(preemptions), ", p<=%u", b->preemptions);
	if (b->strategy == LITMUS_BY_ALL && b->stale != LITMUS_ALL)
		snprintf(stale, sizeof(stale), ", s<=%u", b->stale);
	if (good && b->strategy == LITMUS_BY_ALL)
		snprintf(out, 64, "all%s%s", preemptions, stale);
	else
		snprintf(out, 64, "%" PRIu64 "%s%s", b->runs_max, preemptions, stale);
}

static int one(const struct wish *w, const struct litmus *l, bool good)
{
	struct litmus_result r;
	struct litmus_budget b;
	const char *fault;
	char name[64], bound[64];
	double t = now_s();

	litmus_bound(l, good, w->strategy, &b);
	if (!litmus_explore(l, good, &b, &r))
		return cli_fail(EXIT_TOOL, "litmus: out of memory");
	fault = litmus_judge(l, good, &b, &r);
	full_name(name, l, good);
	bound_text(bound, &b, good);
	printf("%-24s %-10s %9" PRIu64 "  %-18s %8.3f s%s%s\n", name, litmus_end_text[r.end],
	       r.runs_n, bound, now_s() - t, fault ? "  WRONG: " : "", fault ? fault : "");
	if (w->explain && r.end != LITMUS_SURVIVES)
		explain(l, good, &r);
	fflush(stdout);
	return fault ? EXIT_FINDING : EXIT_AGREE;
}

static void list_one(const struct litmus *l, bool good)
{
	char name[64];

	full_name(name, l, good);
	printf("%-24s %u CPUs  %-10s %s\n", name, l->cpus_n,
	       litmus_end_text[good ? LITMUS_SURVIVES : l->fails], good ? l->good : l->bad);
}

static int all(struct wish *w)
{
	const struct litmus *l;
	int code = EXIT_AGREE;

	if (!w->list)
		printf("%-24s %-10s %9s  %-18s %8s\n", "client", "verdict", "schedules", "bound",
		       "time");
	for (unsigned i = 0; (l = litmus_nth(i)); i++)
		for (int good = 1; good >= 0; good--) {
			if (!wanted(w, l, good))
				continue;
			if (w->list)
				list_one(l, good);
			else
				code = cli_worse(code, one(w, l, good));
		}
	for (int i = 0; i < w->names_n; i++)
		if (!w->met[i])
			code = cli_worse(code, cli_fail(EXIT_USAGE, "litmus: no client '%s' "
							"(--list names them)", w->names[i]));
	return code;
}

/* ---- what PCT promises ---- */

#define RATE_RUNS 20000u

/* Its bound is about the order of CPUs alone. */
static bool has_depth(const struct litmus *l)
{
	return l->needs_stale == 0 && !l->interrupt;
}

static int rate(const struct litmus *l)
{
	struct litmus_rate r;
	bool kept;

	if (!litmus_rate(l, l->depth, RATE_RUNS, &r))
		return cli_fail(EXIT_TOOL, "litmus: out of memory");
	kept = (double)r.failed_n >= r.bound * (double)r.runs_n;
	printf("bad_%-20s %5u %4u %6u %8.4f %8.4f  %s\n", l->name, r.depth, l->cpus_n, r.points,
	       r.bound, (double)r.failed_n / (double)r.runs_n, kept ? "kept" : "BROKEN");
	return kept ? EXIT_AGREE :
		      cli_fail(EXIT_FINDING, "litmus: bad_%s is found in %" PRIu64 " of %u runs, "
			       "fewer than PCT's bound", l->name, r.failed_n, RATE_RUNS);
}

static int rates(struct wish *w)
{
	const struct litmus *l;
	int code = EXIT_AGREE;

	printf("%-24s depth CPUs points    bound    found  of %u runs by PCT\n", "client",
	       RATE_RUNS);
	for (unsigned i = 0; (l = litmus_nth(i)); i++)
		if (has_depth(l) && wanted(w, l, false))
			code = cli_worse(code, rate(l));
	return code;
}

static bool strategy_named(const char *name, enum litmus_strategy *out)
{
	for (unsigned i = 0; i < LITMUS_STRATEGY_N; i++) {
		if (strcmp(name, litmus_strategy_text[i]))
			continue;
		*out = (enum litmus_strategy)i;
		return true;
	}
	return false;
}

int cmd_litmus(const struct command *self, int argc, char **argv)
{
	struct cli_args a = { .argc = argc, .at = 1, .argv = argv };
	struct wish w = { .strategy = LITMUS_BY_ALL, .names = argv };
	const char *arg, *strategy = "all";
	bool met[argc];

	memset(met, 0, sizeof(met));
	w.met = met;
	while ((arg = cli_next(&a))) {
		if (cli_flag(arg, "--list", &w.list) || cli_flag(arg, "--explain", &w.explain) ||
		    cli_flag(arg, "--rates", &w.rates) ||
		    cli_word(&a, arg, "--strategy", &strategy)) {
			if (a.fault)
				return cli_fail(EXIT_USAGE, "litmus: bad value for %s", a.fault);
			continue;
		}
		if (arg[0] == '-')
			return cli_usage(self);
		argv[w.names_n++] = argv[a.at - 1];
	}
	if (!strategy_named(strategy, &w.strategy))
		return cli_fail(EXIT_USAGE, "litmus: --strategy is all, random or pct");
	return w.rates ? rates(&w) : all(&w);
}
