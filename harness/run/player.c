/* The player.
 *
 * For each operation: names decide whether it is skipped; the body performs it; the
 * body checks itself; the model says whether the outcome is allowed and follows it.
 * Contents are compared at every checkpoint of the trace, and by checkpoints of the
 * player's own, which are no part of the transcript, every PLAYER_THOROUGH_EVERY
 * operations and at the end.
 *
 * I1  The transcript holds every operation of the trace, skipped ones too, so that
 *     two digests are equal only if the traces and all outcomes are.
 * I2  The first finding ends the run; its index is that of the operation after which
 *     it showed, ops_n if only teardown showed it.
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

const char *const oracle_text[ORACLE_N] = {
#define ORACLE_TEXT(name, text) [name] = text,
	ORACLES(ORACLE_TEXT)
#undef ORACLE_TEXT
};

struct player {
	const struct player_options *o;
	struct player_result *r;
	struct body *body, *model;
	struct ops_names names;
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

static void verify(struct player *p, bool thorough, bool failed)
{
	struct finding f = { 0 };

	if (found(p))
		return;
	p->o->body->verify(p->body, thorough, failed, &f);
	if (f.oracle != ORACLE_NONE)
		find(p, f.oracle, f.text);
}

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

	if (found(p))
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

static void step(struct player *p, uint32_t i, const struct op *op)
{
	struct player_event e = { .index = i, .op = op };

	e.skipped = ops_names_skip(&p->names, op);
	if (e.skipped) {
		e.body.result = e.model.result = RESULT_SKIP;
		p->r->skipped_n++;
	} else {
		model_expect(p->model, op, &p->names, &e.model);
		p->o->body->perform(p->body, op, &p->names, &e.body);
		e.injected = p->o->body->injected(p->body);
		judge(p, op, &e);
		verify(p, p->o->thorough, failed_whole(op, &e.body));
	}
	p->r->digest = ops_fold_outcome(p->r->digest, i, op, &e.body);
	if (p->o->on_op)
		p->o->on_op(p->o->ctx, &e);
	if (found(p))
		return;
	if (!e.skipped)
		ops_names_follow(&p->names, op, (enum op_result)e.body.result);
	p->r->checkpoints_n += op->code == OP_CHECKPOINT;
}

static void play(struct player *p, const struct op *ops, uint32_t ops_n)
{
	const struct player_options *o = p->o;
	uint32_t every = o->thorough ? 1 : PLAYER_THOROUGH_EVERY;

	for (uint32_t i = 0; i < ops_n && !found(p); i++) {
		p->r->ops_done = i;
		step(p, i, &ops[i]);
		if (!o->quick && i % every == every - 1) {
			verify(p, true, false);
			compare_contents(p);
		}
		if (o->flip != FLIP_NONE && !p->r->flipped && i + 1 >= o->flip_after && !found(p))
			flip(p);
	}
	if (!found(p))
		p->r->ops_done = ops_n;
	verify(p, true, false);
	compare_contents(p);
}

void player_run(const struct op *ops, uint32_t ops_n, const struct player_options *o,
		struct player_result *r)
{
	struct player p = { .o = o, .r = r };
	struct finding f = { 0 };
	const char *why;

	memset(r, 0, sizeof(*r));
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
	f.oracle = ORACLE_NONE;
	o->body->finish(p.body, &f);
	if (f.oracle != ORACLE_NONE)
		find(&p, f.oracle, f.text);
	body_model.finish(p.model, &f);
}

bool player_expect(const struct op *ops, uint32_t ops_n, const struct player_options *o,
		   void (*on_digest)(void *ctx, const struct player_digest *d), void *ctx)
{
	struct player_digest d = { .digest = OPS_DIGEST_START };
	bool flipped = o->flip == FLIP_NONE;
	struct ops_names names;
	struct finding f;
	struct body *m;

	if (body_model.start(&m, &o->start))
		return false;
	ops_names_start(&names);
	for (uint32_t i = 0; i < ops_n; i++) {
		struct op_outcome out = { .result = RESULT_SKIP };

		/* The bit is turned just before it is looked at, lest it be overwritten. */
		if (!flipped && ops[i].code == OP_CHECKPOINT && i >= o->flip_after)
			flipped = body_model.flip(m, FLIP_CONTENTS, o->start.seed);
		if (!ops_names_skip(&names, &ops[i])) {
			body_model.perform(m, &ops[i], &names, &out);
			ops_names_follow(&names, &ops[i], (enum op_result)out.result);
		}
		d.digest = ops_fold_outcome(d.digest, i, &ops[i], &out);
		d.ops_n = i + 1;
		if (ops[i].code == OP_CHECKPOINT || i + 1 == ops_n)
			on_digest(ctx, &d);
	}
	if (!ops_n)
		on_digest(ctx, &d);
	body_model.finish(m, &f);
	return true;
}
