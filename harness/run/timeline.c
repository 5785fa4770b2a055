/* The timeline of a run, for people.
 *
 * Within a section each line is a point that a CPU passed. A column for each CPU shows
 * whose it is; the number before it is the point's number in its operation, as rows of
 * a trace say it. Places in memory are numbered in the order in which they appear, so
 * that two runs can be compared, and one sees who meets where:
 *
 *     point  0 1
 *            o |  write s0 w1 p0 +1 v1 begins
 *         1  * |  load      #1 = 0x2            lock_acquire (mm/base/lock.h:58)
 *            > |  CPU 1 goes on
 *            | o  unmap s0 w1 p0 +1 begins
 *
 *   o  an operation begins or ends     >  another CPU goes on
 *   *  a point                         !  what the schedule made happen: an interrupt,
 *                                         one held back, an old store read, a walk
 *
 * The child writes entries, the parent tells them. Code addresses mean the same in
 * both. Operations are found by reading the section again, with names followed through
 * the outcomes told so far, as the player does.
 *
 * Entries are a ring for steps and an array for operations: each step knows how many
 * operations came before it.
 */
#include "run/timeline.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ops/text.h"
#include "run/section.h"
#include "sched/race.h"

#define FOLD_HEAD 2u  /* points told at the start of a quiet stretch … */
#define FOLD_TAIL 3u  /* … and at its end */
#define FOLD_MIN 8u
#define SYMBOLS 4096u /* a power of two */
#define SYMBOL_BYTES 96u
#define PLACES 4096u  /* a power of two */

struct told_op {
	struct op_outcome body, model;
	bool told, injected;
};

struct told_step {
	struct sched_event e;
	uint32_t ops_n; /* operations told before it */
};

struct timeline {
	const struct op *ops;
	uint32_t ops_n;
	unsigned cpus_n;
	size_t bytes;
	uint32_t told_n;  /* operations; they come in order */
	uint64_t steps_n; /* also those forgotten */
	struct told_step *step; /* ring of TIMELINE_STEPS_MAX */
	struct told_op op[];
};

/* ---- writing ---- */

struct timeline *timeline_make(const struct op *ops, uint32_t ops_n, unsigned cpus_n)
{
	size_t head = sizeof(struct timeline) + ops_n * sizeof(struct told_op);
	size_t bytes = (head + 63) / 64 * 64 + TIMELINE_STEPS_MAX * sizeof(struct told_step);
	struct timeline *t = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (t == MAP_FAILED)
		return NULL;
	t->ops = ops;
	t->ops_n = ops_n;
	t->cpus_n = cpus_n;
	t->bytes = bytes;
	t->step = (struct told_step *)(void *)((char *)t + (head + 63) / 64 * 64);
	return t;
}

void timeline_free(struct timeline *t)
{
	munmap(t, t->bytes);
}

void timeline_op(void *ctx, const struct player_event *e)
{
	struct timeline *t = ctx;

	if (e->index >= t->ops_n)
		return;
	t->op[e->index] = (struct told_op){ e->body, e->model, true, e->injected };
	t->told_n = e->index + 1;
}

void timeline_step(void *ctx, const struct sched_event *e)
{
	struct timeline *t = ctx;
	struct told_step *s = &t->step[t->steps_n % TIMELINE_STEPS_MAX];

	s->e = *e;
	s->ops_n = t->told_n;
	t->steps_n++;
}

/* ---- names of code and places ---- */

struct teller {
	struct timeline *t;
	FILE *out;
	bool all;
	struct ops_names names;
	struct section s;
	uint64_t at;                       /* steps told */
	/* Of the section that is being told. */
	uint16_t op[SCHED_CPUS_MAX];       /* each CPU's operation */
	const struct told_step *last[SCHED_CPUS_MAX];
	const struct told_step *newest;
	uint32_t begun;                    /* operations, a bit each */
	uint32_t places_n;
	struct {
		const volatile void *at;
		uint32_t number;
	} place[PLACES];
	struct {
		const void *pc;
		char text[SYMBOL_BYTES];
	} symbol[SYMBOLS];
};

static unsigned hash(const volatile void *p)
{
	return (unsigned)((uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15ull >> 48);
}

static uint32_t place_number(struct teller *w, const volatile void *at)
{
	for (unsigned i = hash(at), tries = 0; tries < 64; i++, tries++) {
		unsigned k = i % PLACES;

		if (!w->place[k].at) {
			w->place[k].at = at;
			w->place[k].number = ++w->places_n;
		}
		if (w->place[k].at == at)
			return w->place[k].number;
	}
	return 0; /* too many to tell apart */
}

/* The port's own inline functions say nothing that the caller's line doesn't; of the
 * callers that are inlined two will do. */
static void look_up(char text[SYMBOL_BYTES], const void *pc)
{
	struct race_stack s = { .n = 1, .pc = { pc } };
	char all[512], *from = all, *next;

	race_stack_print(all, sizeof(all), &s);
	while (!strncmp(from, "kmm_port_", 9) && (next = strstr(from, " < ")) != NULL)
		from = next + 3;
	next = strstr(from, " < ");
	next = next ? strstr(next + 1, " < ") : NULL;
	if (next)
		*next = 0;
	snprintf(text, SYMBOL_BYTES, "%.*s", (int)SYMBOL_BYTES - 1, from);
}

/* "function (file:line)"; asked once for each place in the code. */
static const char *code_at(struct teller *w, const void *pc)
{
	unsigned k = hash(pc) % SYMBOLS;

	if (!pc)
		return "";
	if (w->symbol[k].pc != pc) { /* two that share a slot ask again */
		w->symbol[k].pc = pc;
		look_up(w->symbol[k].text, pc);
	}
	return w->symbol[k].text;
}

/* ---- lines ---- */

static void lanes(struct teller *w, char number[12], unsigned cpu, char mark)
{
	fprintf(w->out, "%10s  ", number);
	for (unsigned i = 0; i < w->t->cpus_n; i++)
		fprintf(w->out, "%c ", i == cpu ? mark : '|');
	fprintf(w->out, " ");
}

static void lane_text(struct teller *w, unsigned cpu, char mark, const char *text)
{
	char none[12] = "";

	lanes(w, none, cpu, mark);
	fprintf(w->out, "%s\n", text);
}

static bool is(const struct sched_event *e, const char *what)
{
	return !strcmp(e->what, what);
}

static bool is_marked(const struct sched_event *e)
{
	return is(e, "switch") || is(e, "interrupt") || is(e, "settle") || is(e, "stale") ||
	       is(e, "walk") || is(e, "defer");
}

static void tell_marked(struct teller *w, const struct sched_event *e)
{
	char text[128];

	if (is(e, "switch"))
		snprintf(text, sizeof(text), "CPU %" PRIu64 " goes on", e->value);
	else if (is(e, "interrupt"))
		snprintf(text, sizeof(text), "takes an interrupt");
	else if (is(e, "defer"))
		snprintf(text, sizeof(text), "the interrupt has to wait");
	else if (is(e, "stale"))
		snprintf(text, sizeof(text), "reads a store that is %" PRIu64
			 " older than the newest", e->value);
	else if (is(e, "walk"))
		snprintf(text, sizeof(text), "the walker of CPU %u looks at address t%u",
			 section_walk_cpu((uint16_t)e->value),
			 section_walk_target((uint16_t)e->value));
	else
		snprintf(text, sizeof(text), "all stores arrive everywhere");
	lane_text(w, e->key.cpu, is(e, "switch") ? '>' : '!', text);
}

static void tell_point(struct teller *w, const struct sched_event *e)
{
	char number[12], place[48] = "", value[32] = "";

	snprintf(number, sizeof(number), "%u", e->key.point);
	if (e->at)
		snprintf(place, sizeof(place), "#%u", place_number(w, e->at));
	if (e->value)
		snprintf(value, sizeof(value), "= %#" PRIx64, e->value);
	lanes(w, number, e->key.cpu, '*');
	fprintf(w->out, "%-9s %-5s %-20s %s\n", e->what, place, value, code_at(w, e->pc));
}

static void name_op(const struct teller *w, uint16_t op, char *text, size_t bytes)
{
	char line[OPS_LINE_BYTES];

	if (op >= w->s.n) {
		snprintf(text, bytes, "nothing");
		return;
	}
	ops_print(line, &w->s.op[op].op);
	snprintf(text, bytes, "%u: %.80s%s", w->s.op[op].index, line,
		 w->s.op[op].interrupt ? " (in a handler)" : "");
}

static void tell_begin(struct teller *w, unsigned cpu, uint16_t op)
{
	char name[128], text[160];

	if (op >= w->s.n || w->begun >> op & 1u)
		return;
	w->begun |= 1u << op;
	name_op(w, op, name, sizeof(name));
	snprintf(text, sizeof(text), "%s", name);
	lane_text(w, cpu, 'o', text);
}

static void tell_end(struct teller *w, unsigned cpu, uint16_t op)
{
	char name[128], text[224];
	const struct told_op *o;

	if (op >= w->s.n)
		return;
	o = &w->t->op[w->s.op[op].index];
	name_op(w, op, name, sizeof(name));
	snprintf(text, sizeof(text), "%s: %s%s", name,
		 !o->told			  ? "not ended" :
		 o->body.result < RESULT_N ? ops_result_text[o->body.result] :
						    "?",
		 o->injected ? " (injected)" : "");
	lane_text(w, cpu, 'o', text);
}

/* A handler's operation stands between the points of the one it interrupts. */
static void follow_op(struct teller *w, const struct sched_event *e)
{
	uint16_t *now = &w->op[e->key.cpu], next = e->key.op;
	bool returns = next < w->s.n && (w->begun >> next & 1u);
	bool enters = next < w->s.n && w->s.op[next].interrupt && !returns;

	if (*now == next)
		return;
	if (!enters)
		tell_end(w, e->key.cpu, *now);
	tell_begin(w, e->key.cpu, next);
	*now = next;
}

/* ---- sections ---- */

static const struct told_step *step_at(const struct teller *w, uint64_t i)
{
	return &w->t->step[i % TIMELINE_STEPS_MAX];
}

/* Points from step i on that one CPU passes in one operation, nothing between them. */
static uint64_t stretch(const struct teller *w, uint64_t i, uint64_t end)
{
	const struct sched_event *first = &step_at(w, i)->e;
	uint64_t n = 0;

	while (i + n < end) {
		const struct sched_event *e = &step_at(w, i + n)->e;

		if (is_marked(e) || e->key.cpu != first->key.cpu || e->key.op != first->key.op)
			break;
		n++;
	}
	return n;
}

static void tell_stretch(struct teller *w, uint64_t i, uint64_t n)
{
	bool fold = !w->all && n >= FOLD_MIN;
	unsigned cpu = step_at(w, i)->e.key.cpu;
	char text[64];

	for (uint64_t k = 0; k < n; k++) {
		if (fold && k == FOLD_HEAD) {
			snprintf(text, sizeof(text), "… %" PRIu64 " points …",
				 n - FOLD_HEAD - FOLD_TAIL);
			lane_text(w, cpu, ':', text);
			k = n - FOLD_TAIL;
		}
		tell_point(w, &step_at(w, i + k)->e);
	}
}

static void tell_header(struct teller *w, uint32_t at)
{
	char line[OPS_LINE_BYTES];

	ops_print(line, &w->t->ops[at]);
	fprintf(w->out, "%6u  %s\n%10s  ", at, line, "point");
	for (unsigned i = 0; i < w->t->cpus_n; i++)
		fprintf(w->out, "%u ", i);
	fprintf(w->out, "\n");
}

static void tell_section(struct teller *w, uint32_t at)
{
	uint64_t end = w->at;

	while (end < w->t->steps_n && step_at(w, end)->ops_n == at)
		end++;
	section_read(&w->s, w->t->ops, w->t->ops_n, at, &w->names, w->t->cpus_n);
	w->begun = 0;
	w->places_n = 0;
	memset(w->place, 0, sizeof(w->place));
	for (unsigned i = 0; i < SCHED_CPUS_MAX; i++) {
		w->op[i] = SECTION_IDLE;
		w->last[i] = NULL;
	}
	tell_header(w, at);
	while (w->at < end) {
		const struct told_step *s = step_at(w, w->at);
		uint64_t n = stretch(w, w->at, end);

		follow_op(w, &s->e);
		if (n)
			tell_stretch(w, w->at, n);
		else
			tell_marked(w, &s->e);
		w->at += n ? n : 1;
		w->newest = step_at(w, w->at - 1);
		w->last[s->e.key.cpu] = n ? w->newest : w->last[s->e.key.cpu];
	}
	for (unsigned i = 0; i < w->t->cpus_n; i++)
		if (w->op[i] < w->s.n && w->t->told_n > at)
			tell_end(w, i, w->op[i]);
}

/* ---- all of it ---- */

static void tell_op(struct teller *w, uint32_t i)
{
	const struct told_op *o = &w->t->op[i];
	char line[OPS_LINE_BYTES];

	ops_print(line, &w->t->ops[i]);
	fprintf(w->out, "%6u  %-36s %-11s %016" PRIx64, i, line,
		o->body.result < RESULT_N ? ops_result_text[o->body.result] : "?", o->body.value);
	if (o->body.result != o->model.result || o->body.value != o->model.value)
		fprintf(w->out, "   the model: %s %016" PRIx64,
			o->model.result < RESULT_N ? ops_result_text[o->model.result] : "?",
			o->model.value);
	fprintf(w->out, "%s\n", o->injected ? "   (injected)" : "");
	if (o->body.result != RESULT_SKIP)
		ops_names_follow(&w->names, &w->t->ops[i], (enum op_result)o->body.result);
}

/* Where the CPUs stood; the one that went last is where it showed. */
static void tell_finding(struct teller *w, const struct finding *f)
{
	char name[128];
	unsigned at = !w->newest	    ? SCHED_CPUS_MAX :
		      is(&w->newest->e, "switch") ? (unsigned)w->newest->e.value :
						    w->newest->e.key.cpu;

	for (unsigned i = 0; i < w->t->cpus_n; i++) {
		const struct told_step *s = w->last[i];

		if (!s || i == at || s->e.key.op >= w->s.n)
			continue;
		name_op(w, s->e.key.op, name, sizeof(name));
		fprintf(w->out, "CPU %u stood after point %u of %s: %s\n", i, s->e.key.point, name,
			code_at(w, s->e.pc));
	}
	fprintf(w->out, "%s: %s\n", oracle_text[f->oracle],
		f->more[0] ? f->more : f->text);
	if (at >= SCHED_CPUS_MAX || !w->last[at])
		return;
	name_op(w, w->last[at]->e.key.op, name, sizeof(name));
	fprintf(w->out, "CPU %u went last, after point %u of %s: %s\n", at,
		w->last[at]->e.key.point, name, code_at(w, w->last[at]->e.pc));
}

void timeline_print(struct timeline *t, FILE *out, bool all, const struct finding *f)
{
	struct teller *w = calloc(1, sizeof(*w));

	if (!w) {
		fprintf(out, "no memory to tell it\n");
		return;
	}
	w->t = t;
	w->out = out;
	w->all = all;
	ops_names_start(&w->names);
	if (t->steps_n > TIMELINE_STEPS_MAX)
		w->at = t->steps_n - TIMELINE_STEPS_MAX;
	for (uint32_t i = 0; i <= t->told_n; i++) {
		if (w->at < t->steps_n && step_at(w, w->at)->ops_n == i)
			tell_section(w, i);
		if (i < t->told_n)
			tell_op(w, i);
		/* What came after the section is no matter of its CPUs. */
		if (i < t->told_n && i >= w->s.first + w->s.trace_n)
			w->newest = NULL;
	}
	if (f->oracle != ORACLE_NONE)
		tell_finding(w, f);
	free(w);
}
