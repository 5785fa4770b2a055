/* Exploring litmus clients.
 *
 * What it is. A pair is one program in two forms that differ by one decision. In the good
 * form no schedule, no older store that a load may read, and no moment of an interrupt
 * does harm; in the bad form some do. So the pairs test the testers: a good client that
 * fails is a false alarm of the scheduler, the weak memory or the race detector, and a bad
 * one that survives is a hole in them. And since each is some dance of kmm in small, a
 * pair tells what the same mistake in kmm would look like.
 *
 * A run. The state is zeroed and set up with nothing listening; then each CPU's part runs
 * on a fiber. It ends by an assertion, by a race (both end it at once), in a deadlock or
 * livelock that the scheduler sees, or whole: then the client's check looks at the state.
 *
 * Strategies. All: depth first, within bounds on preemptions and on older stores read;
 * a good client has no other schedules (`complete`). Random and PCT: each run from a seed
 * of its own, the first seed plus the run's number, so that any run can be had alone. PCT's
 * bound speaks of the order of CPUs only: which store a load reads and when an interrupt
 * is taken it draws by chance, so a client that needs those states a number of runs that
 * is seen to suffice, not one that follows from the bound.
 *
 * I1  A run depends on the client and the choices alone: not on addresses, time, or runs
 *     before it. Replaying the choices of a run gives the same events (the digest folds
 *     step, key, kind, offset and value of each).
 * I2  The race detector sees the client's state and nothing else, and what a client does
 *     outside a run isn't judged.
 *
 * Limits. A load never reads a store that its CPU performs later in the program (load
 * buffering), since each CPU's part runs in order: C11 allows that of relaxed accesses.
 * Sources: Alglave, Maranget, Sarkar & Sewell, Litmus: Running Tests Against Hardware,
 * TACAS 2011, for the kind; Musuvathi & Qadeer, Iterative Context Bounding for Systematic
 * Testing of Multithreaded Programs, PLDI 2007, for the bounds.
 */
#include "litmus/litmus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/atomics.h"
#include "sched/race.h"

#define POINTS_GUESS 16u /* of a run, before one was seen */
#define SURVIVES_RUNS 1000u /* what a good one must, where not all schedules are tried */

const char *const litmus_end_text[LITMUS_END_N] = { "survives", "assertion", "race", "deadlock",
						    "livelock" };
const char *const litmus_strategy_text[LITMUS_STRATEGY_N] = { "all", "random", "pct" };

const struct litmus *const litmus_rooms[] = { litmus_order, litmus_lock, litmus_count,
					      litmus_call, litmus_shootdown, litmus_depth,
					      litmus_tree, NULL };

const struct litmus *litmus_nth(unsigned i)
{
	for (unsigned r = 0; litmus_rooms[r]; r++)
		for (const struct litmus *l = litmus_rooms[r]; l->name; l++)
			if (i-- == 0)
				return l;
	return NULL;
}

struct runner {
	const struct litmus *l;
	struct litmus_env env;
	struct sched sched;
	struct memory memory;
	struct race race;
	struct sched_client client;
	const struct litmus_listener *listener;
	uint64_t events; /* digest of this run's */
	_Alignas(64) unsigned char state[LITMUS_STATE_BYTES];
};

/* ---- what clients call ---- */

#define CALLER() __builtin_extract_return_addr(__builtin_return_address(0))

bool litmus_irq_save(struct litmus_env *e)
{
	bool was = e->irq_off[sched_on->now];

	e->irq_off[sched_on->now] = true;
	return was;
}

void litmus_irq_restore(struct litmus_env *e, bool was_off)
{
	e->irq_off[sched_on->now] = was_off;
	if (!was_off)
		sched_interrupts_on(sched_on, CALLER());
}

void litmus_ipi(struct litmus_env *e, unsigned cpu)
{
	(void)e;
	sched_point(sched_on, "ipi", NULL, cpu, true, CALLER());
	memory_send(memory_on, sched_on->now, cpu);
	sched_interrupt(sched_on, cpu);
}

void litmus_relax(struct litmus_env *e)
{
	(void)e;
	sched_relax(sched_on, CALLER());
}

void litmus_fail(struct litmus_env *e, const char *why)
{
	e->why = why;
	sched_stop(sched_on);
}

/* ---- what the scheduler calls ---- */

static void cpu_run(void *ctx, unsigned cpu)
{
	struct runner *r = ctx;

	r->l->run(&r->env, cpu);
}

static bool cpu_interruptible(void *ctx, unsigned cpu)
{
	struct runner *r = ctx;

	return r->l->interrupt && !r->env.irq_off[cpu];
}

static void cpu_interrupt(void *ctx, unsigned cpu)
{
	struct runner *r = ctx;

	memory_receive(&r->memory, cpu);
	r->env.irq_off[cpu] = true;
	r->l->interrupt(&r->env, cpu);
	r->env.irq_off[cpu] = false;
	if (r->listener && r->listener->on_return)
		r->listener->on_return(r->listener->ctx, cpu);
}

static bool settle(void *ctx)
{
	struct runner *r = ctx;

	return memory_settle(&r->memory);
}

static void on_race(void *ctx, const struct race_report *report)
{
	struct runner *r = ctx;

	(void)report;
	sched_stop(&r->sched);
}

static uint64_t fold(uint64_t d, uint64_t word)
{
	d = (d ^ word) * 0x100000001b3ull;
	return d ^ d >> 32;
}

static uint64_t key_word(const struct sched_key *k)
{
	return (uint64_t)k->cpu | (uint64_t)k->kind << 8 | (uint64_t)k->op << 16 |
	       (uint64_t)k->point << 32;
}

static void on_event(void *ctx, const struct sched_event *e)
{
	struct runner *r = ctx;
	uintptr_t at = (uintptr_t)e->at - (uintptr_t)r->state;
	uint64_t d = r->events;

	d = fold(d, e->step);
	d = fold(d, key_word(&e->key));
	for (const char *c = e->what; *c; c++)
		d = fold(d, (unsigned char)*c);
	d = fold(d, at < LITMUS_STATE_BYTES ? at : LITMUS_STATE_BYTES);
	r->events = fold(d, e->value);
	if (r->listener && r->listener->on_event)
		r->listener->on_event(r->listener->ctx, e, &r->env);
}

/* ---- one run ---- */

static struct runner *runner_make(const struct litmus *l, bool good)
{
	struct runner *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->l = l;
	r->env.state = r->state;
	r->env.good = good;
	r->client = (struct sched_client){ .ctx = r, .run = cpu_run,
					   .interruptible = cpu_interruptible,
					   .interrupt = cpu_interrupt, .settle = settle };
	r->race.memory = &r->memory;
	r->race.on_race = on_race;
	r->race.ctx = r;
	r->sched.on_event = on_event;
	r->sched.event_ctx = r;
	if (!race_watch(&r->race, 0, r->state, sizeof(r->state))) {
		free(r);
		return NULL;
	}
	return r;
}

static void runner_free(struct runner *r)
{
	race_free(&r->race);
	memory_free(&r->memory);
	free(r);
}

static enum litmus_end verdict(struct runner *r, enum sched_end end)
{
	if (r->race.found)
		return LITMUS_RACE;
	if (end == SCHED_DEADLOCK)
		return LITMUS_DEADLOCK;
	if (end == SCHED_LIVELOCK)
		return LITMUS_LIVELOCK;
	if (end == SCHED_DONE && r->l->check)
		r->env.why = r->l->check(&r->env);
	return r->env.why ? LITMUS_ASSERTION : LITMUS_SURVIVES;
}

static enum litmus_end run_once(struct runner *r, struct sched_strategy *strategy)
{
	const struct litmus *l = r->l;
	enum sched_end end;

	memset(r->state, 0, sizeof(r->state));
	memset(r->env.irq_off, 0, sizeof(r->env.irq_off));
	r->env.why = NULL;
	r->events = 0;
	if (l->setup)
		l->setup(&r->env);
	memory_begin(&r->memory, l->cpus_n, true);
	race_begin(&r->race);
	memory_on = &r->memory;
	race_on = &r->race;
	end = sched_run(&r->sched, l->cpus_n, ((1u << l->cpus_n) - 1u) & ~l->idle, &r->client,
			strategy);
	race_on = NULL;
	memory_on = NULL;
	memory_end(&r->memory);
	return verdict(r, end);
}

/* ---- what is said of it ---- */

void litmus_word(char *out, size_t bytes, const struct litmus *l, size_t offset)
{
	const struct litmus_word *best = NULL;

	for (const struct litmus_word *w = l->word; w && w->name; w++)
		if (w->at <= offset)
			best = w;
	if (!best)
		snprintf(out, bytes, "+%zu", offset);
	else if (best->at == offset)
		snprintf(out, bytes, "%s", best->name);
	else
		snprintf(out, bytes, "%s+%zu", best->name, offset - best->at);
}

static void describe_cpu(const struct runner *r, unsigned cpu, char *out, size_t bytes)
{
	static const char *const state[] = { "is idle", "waits", "spins", "has ended" };
	const struct sched_cpu *c = &r->sched.cpu[cpu];
	uintptr_t offset = (uintptr_t)c->last_at - (uintptr_t)r->state;
	char word[48] = "";
	bool at = c->state == SCHED_SPINS && c->last_what;

	if (offset < LITMUS_STATE_BYTES)
		litmus_word(word, sizeof(word), r->l, offset);
	snprintf(out, bytes, "%sCPU %u %s%s%s%s%s%s%s", cpu ? "; " : "", cpu, state[c->state],
		 at ? " at " : "", at ? c->last_what : "", at && word[0] ? " " : "",
		 at ? word : "", c->pending ? ", an interrupt pending" : "",
		 r->env.irq_off[cpu] ? ", interrupts off" : "");
}

static void describe(const struct runner *r, char *out, size_t bytes)
{
	for (unsigned i = 0; i < r->l->cpus_n; i++) {
		size_t used = strlen(out);

		describe_cpu(r, i, out + used, bytes - used);
	}
}

static void describe_race(const struct runner *r, char *out, size_t bytes)
{
	size_t used;

	litmus_word(out, bytes, r->l, r->race.report.offset);
	used = strlen(out);
	used += (size_t)snprintf(out + used, bytes - used, ": ");
	race_print(out + used, bytes - used, &r->race.report);
}

static void keep(struct runner *r, struct litmus_result *out)
{
	const struct sched *s = &r->sched;

	out->events = r->events;
	for (uint32_t i = 0; i < s->choices_n; i++)
		out->events = fold(fold(out->events, key_word(&s->choice[i].key)),
				   s->choice[i].value);
	out->choices_lost = s->overflow || s->choices_n > LITMUS_CHOICES_MAX;
	out->choices_n = out->choices_lost ? 0 : s->choices_n;
	memcpy(out->choice, s->choice, out->choices_n * sizeof(*s->choice));
	out->why[0] = 0;
	if (out->end == LITMUS_RACE)
		describe_race(r, out->why, sizeof(out->why));
	else if (out->end == LITMUS_ASSERTION)
		snprintf(out->why, sizeof(out->why), "%s", r->env.why);
	else if (out->end != LITMUS_SURVIVES)
		describe(r, out->why, sizeof(out->why));
}

static bool one_more(struct runner *r, struct sched_strategy *strategy,
		     struct litmus_result *out)
{
	out->end = run_once(r, strategy);
	out->runs_n++;
	if (r->sched.steps > out->points_max)
		out->points_max = (uint32_t)r->sched.steps;
	return out->end == LITMUS_SURVIVES;
}

/* ---- strategies ---- */

static void by_all(struct runner *r, const struct litmus_budget *b, struct litmus_result *out)
{
	struct sched_all all;
	bool more = true;

	sched_all_init(&all, b->preemptions, b->stale);
	while (more && out->runs_n < b->runs_max) {
		if (!one_more(r, &all.strategy, out))
			break;
		more = sched_all_next(&all);
	}
	out->complete = !more && !all.truncated;
	sched_all_free(&all);
}

static void by_random(struct runner *r, const struct litmus_budget *b, struct litmus_result *out)
{
	struct sched_random random;

	do {
		sched_random_init(&random, b->seed + out->runs_n);
	} while (one_more(r, &random.strategy, out) && out->runs_n < b->runs_max);
}

static void by_pct(struct runner *r, const struct litmus_budget *b, struct litmus_result *out)
{
	struct sched_pct pct;

	do {
		sched_pct_init(&pct, b->seed + out->runs_n, b->depth,
			       out->points_max ? out->points_max : POINTS_GUESS);
	} while (one_more(r, &pct.strategy, out) && out->runs_n < b->runs_max);
}

bool litmus_explore(const struct litmus *l, bool good, const struct litmus_budget *b,
		    struct litmus_result *out)
{
	struct runner *r = runner_make(l, good);

	memset(out, 0, sizeof(*out));
	if (!r)
		return false;
	if (b->strategy == LITMUS_BY_ALL)
		by_all(r, b, out);
	else if (b->strategy == LITMUS_BY_RANDOM)
		by_random(r, b, out);
	else
		by_pct(r, b, out);
	keep(r, out);
	runner_free(r);
	return true;
}

bool litmus_rate(const struct litmus *l, unsigned depth, uint64_t runs_n, struct litmus_rate *r)
{
	struct litmus_result longest = { 0 };
	struct runner *runner = runner_make(l, false);
	struct sched_pct pct;

	*r = (struct litmus_rate){ .depth = depth };
	if (!runner)
		return false;
	/* k must be known beforehand: what a tenth of the runs pass at most. */
	for (uint64_t i = 0; i < runs_n / 10u; i++) {
		sched_pct_init(&pct, i, depth, POINTS_GUESS);
		(void)one_more(runner, &pct.strategy, &longest);
	}
	r->points = longest.points_max;
	for (; r->runs_n < runs_n; r->runs_n++) {
		sched_pct_init(&pct, runs_n + r->runs_n, depth, r->points);
		r->failed_n += !one_more(runner, &pct.strategy, &longest);
	}
	r->points = longest.points_max;
	r->bound = sched_pct_bound(l->cpus_n, r->points, depth);
	runner_free(runner);
	return true;
}

bool litmus_replay(const struct litmus *l, bool good, const struct sched_choice *choice,
		   uint32_t choices_n, const struct litmus_listener *listener,
		   struct litmus_result *out)
{
	struct runner *r = runner_make(l, good);
	struct sched_rows rows;

	memset(out, 0, sizeof(*out));
	if (!r)
		return false;
	r->listener = listener;
	sched_rows_init(&rows, choice, choices_n);
	one_more(r, &rows.strategy, out);
	keep(r, out);
	runner_free(r);
	return true;
}

/* ---- what must be ---- */

void litmus_bound(const struct litmus *l, bool good, enum litmus_strategy strategy,
		  struct litmus_budget *b)
{
	const uint32_t bad[] = { l->all_max, l->random_max, l->pct_max };

	*b = (struct litmus_budget){ .strategy = strategy, .seed = 1, .depth = l->depth };
	b->preemptions = good ? l->preemptions : l->needs_preemptions;
	b->stale = good ? l->stale : l->needs_stale;
	b->runs_max = !good ? bad[strategy] :
		      strategy == LITMUS_BY_ALL ? UINT64_MAX : SURVIVES_RUNS;
}

const char *litmus_judge(const struct litmus *l, bool good, const struct litmus_budget *b,
			 const struct litmus_result *r)
{
	if (good && r->end != LITMUS_SURVIVES)
		return "a good client failed";
	if (good && b->strategy == LITMUS_BY_ALL && !r->complete)
		return "not all schedules were tried";
	if (!good && r->end == LITMUS_SURVIVES)
		return "a bad client survived its bound";
	if (!good && r->end != l->fails)
		return "a bad client failed in another way";
	return NULL;
}
