/* The player.
 *
 * For each operation: names decide whether it is skipped; the body performs it; the
 * body checks itself; the model says whether the outcome is allowed and follows it.
 * Contents are compared at every checkpoint of the trace, and by checkpoints of the
 * player's own, which are no part of the transcript, every PLAYER_THOROUGH_EVERY
 * operations and at the end.
 *
 * A concurrent section is one step: the body performs it whole, checks itself, and then
 * the history of what it did is judged against the model (run/linear.h). A body that
 * can't do several things at once, the model among them, plays a section's operations in
 * the order of the trace; owners (run/section.h) hold there too, so that names mean the
 * same, but outcomes need not.
 *
 * I1  The transcript holds every operation of the trace, skipped ones too, so that
 *     two digests are equal only if the traces and all outcomes are. A section's
 *     operations stand in it in trace order, whatever order they were done in.
 * I2  The first finding ends the run; its index is that of the operation after which
 *     it showed, of a section its last row; ops_n if only teardown showed it.
 * I3  A history that doesn't fit can't be judged, and the model is lost: the run ends
 *     there, with what the body says of itself.
 *
 * Precedence: what the body says of itself names a cause, the model's disagreement
 * only a symptom; so an outcome "error" or "corrupt" asks the body first.
 */
#include "run/player.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"
#include "ops/text.h"
#include "run/history.h"
#include "run/linear.h"
#include "run/recorder.h"
#include "run/section.h"

const char *const oracle_text[ORACLE_N] = {
#define ORACLE_TEXT(name, text) [name] = text,
	ORACLES(ORACLE_TEXT)
#undef ORACLE_TEXT
};

/* What a section needs; large, so kept from run to run (one for each thread). */
struct kit {
	struct section section;
	struct section_chooser chooser;
	struct recorder recorder;
	struct sched run;
	struct history history;
	struct op_outcome out[SECTION_OPS_MAX];
	bool injected[SECTION_OPS_MAX];
};

static _Thread_local struct kit *spare;

struct player {
	const struct player_options *o;
	struct player_result *r;
	struct body *body, *model;
	struct ops_names names;
	struct kit *kit; /* NULL: no section yet */
	bool blind;      /* the model no longer knows where the body is */
};

static bool found(const struct player *p)
{
	return p->r->finding.oracle != ORACLE_NONE;
}

static void find(struct player *p, enum oracle oracle, const char *text)
{
	if (found(p))
		return;
	p->r->finding.oracle = oracle;
	p->r->finding.op_index = p->r->ops_done;
	snprintf(p->r->finding.text, sizeof(p->r->finding.text), "%s", text);
}

/* What a body found. */
static void take(struct player *p, const struct finding *f)
{
	if (found(p) || f->oracle == ORACLE_NONE)
		return;
	find(p, f->oracle, f->text);
	memcpy(p->r->finding.more, f->more, sizeof(f->more));
}

static void verify(struct player *p, bool thorough, bool failed)
{
	struct finding f = { 0 };

	if (found(p))
		return;
	p->o->body->verify(p->body, thorough, failed, &f);
	take(p, &f);
}

/* ---- judging ---- */

/* A refused read or write has done a part; any other error must have done nothing. */
static bool failed_whole(const struct op *op, const struct op_outcome *out)
{
	return out->result != RESULT_OK && op->code != OP_READ && op->code != OP_WRITE;
}

static void judge(struct player *p, const struct op *op, struct player_event *e)
{
	char why[160], line[OPS_LINE_BYTES], text[FINDING_TEXT_BYTES];
	bool broken = e->body.result >= RESULT_CORRUPT;

	if (broken)
		verify(p, true, false);
	if (found(p))
		return;
	if (!model_allows(p->model, op, &p->names, &e->body, e->injected, why, sizeof(why))) {
		ops_print(line, op);
		snprintf(text, sizeof(text), "%.70s: %.159s", line, why);
		find(p, op->code == OP_CHECKPOINT || e->body.result == RESULT_CORRUPT ?
			ORACLE_CONTENTS : ORACLE_MODEL, text);
		return;
	}
	p->r->followed_n += e->body.result != e->model.result || e->body.value != e->model.value;
	model_follow(p->model, op, &p->names, &e->body);
}

/* A checkpoint that isn't in the trace. */
static void compare_contents(struct player *p)
{
	static const struct op checkpoint = { .code = OP_CHECKPOINT };
	char why[160], text[FINDING_TEXT_BYTES];
	struct op_outcome got = { 0 };

	if (found(p) || p->blind)
		return;
	p->o->body->perform(p->body, &checkpoint, &p->names, &got);
	verify(p, true, false);
	if (!found(p) && !model_allows(p->model, &checkpoint, &p->names, &got, false, why,
				       sizeof(why))) {
		snprintf(text, sizeof(text), "contents of memory: %.159s", why);
		find(p, ORACLE_CONTENTS, text);
	}
	model_follow(p->model, &checkpoint, &p->names, &got);
}

static void flip(struct player *p)
{
	const struct player_options *o = p->o;
	bool done = false;

	if (o->flip == FLIP_MODEL)
		done = body_model.flip(p->model, FLIP_CONTENTS, o->start.seed);
	else if (o->body->flip)
		done = o->body->flip(p->body, o->flip == FLIP_BODY_TABLE ? FLIP_TABLE
									 : FLIP_CONTENTS,
				     o->start.seed);
	p->r->flipped = done;
	if (!done)
		return;
	verify(p, true, false);
	compare_contents(p);
}

/* ---- one operation ---- */

/* Rows that mean something only within a section, or to it. */
static bool is_nothing(const struct op *op)
{
	return op->code >= OP_TOGETHER && op->code <= OP_INTERRUPT;
}

/* What comes after an operation: transcript, listener, names. */
static void conclude(struct player *p, struct player_event *e)
{
	p->r->digest = ops_fold_outcome(p->r->digest, e->index, e->op, &e->body);
	p->r->skipped_n += e->skipped;
	p->r->injected_n += e->injected;
	if (p->o->on_op)
		p->o->on_op(p->o->ctx, e);
}

static void perform(struct player *p, const struct op *op, struct player_event *e)
{
	model_expect(p->model, op, &p->names, &e->model);
	p->o->body->perform(p->body, op, &p->names, &e->body);
	e->injected = p->o->body->injected(p->body);
	judge(p, op, e);
	verify(p, p->o->thorough, failed_whole(op, &e->body));
}

static void step(struct player *p, uint32_t i, const struct op *op, bool skip)
{
	struct player_event e = { .index = i, .op = op };

	e.skipped = skip || ops_names_skip(&p->names, op);
	if (e.skipped)
		e.body.result = e.model.result = RESULT_SKIP;
	else if (!is_nothing(op))
		perform(p, op, &e);
	conclude(p, &e);
	if (found(p))
		return;
	if (!e.skipped)
		ops_names_follow(&p->names, op, (enum op_result)e.body.result);
	p->r->checkpoints_n += op->code == OP_CHECKPOINT && !e.skipped;
}

/* ---- sections ---- */

static bool take_kit(struct player *p)
{
	if (!p->kit)
		p->kit = spare ? spare : calloc(1, sizeof(*p->kit));
	spare = NULL;
	return p->kit != NULL;
}

static void release_kit(struct player *p)
{
	if (!p->kit)
		return;
	free(spare);
	spare = p->kit;
}

/* Where a body can't do things at once. Failures go with their operation. */
static void play_in_order(struct player *p, const struct op *ops)
{
	const struct section *s = &p->kit->section;
	unsigned next = 0;

	for (uint32_t i = s->first; i < s->first + s->trace_n && !found(p); i++) {
		const struct section_op *so = next < s->n && s->op[next].index == i ?
						      &s->op[next] : NULL;
		bool within = ops_table[ops[i].code].side != OP_PLAYER;
		bool skip = so ? so->skip : within || ops[i].code == OP_CHECKPOINT;
		struct op fail = { .code = OP_FAIL };
		struct op_outcome out;

		p->r->ops_done = i;
		next += so != NULL;
		if (so && so->fails && !skip && !ops_names_skip(&p->names, &ops[i])) {
			fail.arg[0] = so->fail_class;
			fail.arg[1] = so->fail_kth;
			p->o->body->perform(p->body, &fail, &p->names, &out);
		}
		if (ops[i].code == OP_FAIL)
			conclude(p, &(struct player_event){ .index = i, .op = &ops[i] });
		else
			step(p, i, &ops[i], skip);
	}
}

static struct sched_strategy *record(struct player *p)
{
	struct kit *k = p->kit;

	p->r->sections_n++;
	p->r->section_at = k->section.first;
	return recorder_init(&k->recorder, p->o, p->r,
			     p->o->strategy ? p->o->strategy :
					      section_strategy(&k->chooser, &k->section));
}

static void count_points(struct player_result *r, const struct sched *run)
{
	uint32_t points = run->steps > UINT32_MAX ? UINT32_MAX : (uint32_t)run->steps;

	r->points_n += points;
	if (r->points_max < points)
		r->points_max = points;
}

static void collect_outcomes(struct kit *k)
{
	for (unsigned i = 0; i < k->section.n; i++) {
		k->out[i] = (struct op_outcome){ .result = RESULT_SKIP };
		k->injected[i] = false;
	}
	for (uint32_t i = 0; i < k->history.n; i++) {
		const struct history_event *e = &k->history.event[i];

		if (e->kind != HISTORY_OP || e->op >= k->section.n)
			continue;
		k->out[e->op] = e->out;
		k->injected[e->op] = e->injected;
	}
}

/* Every row of the section, as if it had been done in order. */
static void tell_section(struct player *p, const struct op *ops)
{
	struct kit *k = p->kit;
	unsigned next = 0;

	for (uint32_t i = k->section.first; i < k->section.first + k->section.trace_n; i++) {
		struct player_event e = { .index = i, .op = &ops[i] };

		if (next < k->section.n && k->section.op[next].index == i) {
			e.body = k->out[next];
			e.injected = k->injected[next++];
		} else if (ops_table[ops[i].code].side != OP_PLAYER ||
			   ops[i].code == OP_CHECKPOINT) {
			e.body.result = RESULT_SKIP;
		}
		e.model = e.body;
		e.skipped = e.body.result == RESULT_SKIP;
		conclude(p, &e);
	}
}

/* The body's own word first: it names a cause, an order that can't be only a symptom. */
static void judge_section(struct player *p, const struct ops_names *before)
{
	struct kit *k = p->kit;
	char why[FINDING_TEXT_BYTES];

	verify(p, p->o->thorough, false);
	if (found(p))
		return;
	p->blind = k->history.overflow;
	if (p->blind ||
	    linear_judge(p->model, &k->section, before, &k->history, why, sizeof(why)))
		return;
	verify(p, true, false);
	find(p, ORACLE_LINEAR, why);
}

static void play_at_once(struct player *p, const struct op *ops)
{
	const struct player_options *o = p->o;
	struct ops_names before = p->names;
	struct kit *k = p->kit;
	struct op cpu = { .code = OP_CPU, .arg = { k->section.cpu_last } };
	struct op_outcome out;

	k->history.n = k->history.pages_n = 0;
	k->history.overflow = k->history.heads = false;
	k->run.on_event = o->on_step;
	k->run.event_ctx = o->ctx;
	o->body->together(p->body, &k->section, &p->names, &k->run, record(p), &k->history);
	count_points(p->r, &k->run);
	collect_outcomes(k);
	judge_section(p, &before);
	tell_section(p, ops);
	if (found(p))
		return;
	o->body->perform(p->body, &cpu, &p->names, &out);
	ops_names_follow(&p->names, &cpu, RESULT_OK);
}

/* Returns: the row after the section. */
static uint32_t play_section(struct player *p, const struct op *ops, uint32_t ops_n, uint32_t at)
{
	struct section *s;
	uint32_t end;

	if (!take_kit(p)) {
		snprintf(p->r->refused, sizeof(p->r->refused), "no memory for a section");
		p->blind = true;
		return ops_n;
	}
	s = &p->kit->section;
	section_read(s, ops, ops_n, at, &p->names, p->o->start.cpus_n ? p->o->start.cpus_n : 2);
	end = s->first + s->trace_n;
	if (!p->o->body->together || s->n == 0) {
		play_in_order(p, ops);
		return end;
	}
	p->r->ops_done = end - 1;
	play_at_once(p, ops);
	return end;
}

/* ---- a trace ---- */

static void play(struct player *p, const struct op *ops, uint32_t ops_n)
{
	const struct player_options *o = p->o;
	uint32_t every = o->thorough ? 1 : PLAYER_THOROUGH_EVERY, i = 0;

	while (i < ops_n && !found(p) && !p->blind) {
		uint32_t from = i;

		p->r->ops_done = i;
		if (ops[i].code == OP_TOGETHER) {
			i = play_section(p, ops, ops_n, i);
		} else {
			step(p, i, &ops[i], false);
			i++;
		}
		if (!o->quick && i / every != from / every) {
			verify(p, true, false);
			compare_contents(p);
		}
		if (o->flip != FLIP_NONE && !p->r->flipped && i >= o->flip_after && !found(p))
			flip(p);
	}
	if (!found(p))
		p->r->ops_done = i;
	verify(p, true, false);
	compare_contents(p);
}

void player_run(const struct op *ops, uint32_t ops_n, const struct player_options *o,
		struct player_result *r)
{
	struct player p = { .o = o, .r = r };
	struct finding f = { 0 };
	const char *why;

	memset(r, 0, offsetof(struct player_result, choice));
	r->digest = OPS_DIGEST_START;
	ops_names_start(&p.names);
	why = body_model.start(&p.model, &o->start);
	if (!why) {
		why = o->body->start(&p.body, &o->start);
		if (why)
			body_model.finish(p.model, &f);
	}
	if (why) {
		snprintf(r->refused, sizeof(r->refused), "%s", why);
		return;
	}
	play(&p, ops, ops_n);
	release_kit(&p);
	f.oracle = ORACLE_NONE;
	o->body->finish(p.body, &f);
	take(&p, &f);
	body_model.finish(p.model, &f);
}
