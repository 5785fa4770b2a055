/// Histories of concurrent sections, written down by hand.
#ifndef LINEAR_FIXTURE_H
#define LINEAR_FIXTURE_H

#include "play_fixture.h"

#include <stdio.h>

#include "model/state.h"
#include "run/linear.h"

#define TICK 1000u /* of a test's time, in the history's: room for the words of an operation */
#define ZERO (-1)

struct trial {
	struct body *m;
	struct ops_names names;
	struct section s;
	struct history *h;
	uint32_t clock; /* of looks */
	char why[240];
};

static inline struct trial begin(const char *preset, uint64_t frames_n, const char *before)
{
	struct body_options o = { .preset = preset, .frames_n = frames_n };
	struct ops_trace trace = parse_trace(before);
	struct trial t = { .s.cpus_n = 4, .clock = 1000000 };

	assert_null(body_model.start(&t.m, &o));
	ops_names_start(&t.names);
	for (uint32_t i = 0; i < trace.ops_n; i++) {
		struct op_outcome out;

		assert_false(ops_names_skip(&t.names, &trace.ops[i]));
		body_model.perform(t.m, &trace.ops[i], &t.names, &out);
		assert_int_equal(out.result, RESULT_OK);
		ops_names_follow(&t.names, &trace.ops[i], RESULT_OK);
	}
	free(trace.ops);
	t.h = calloc(1, sizeof(*t.h));
	assert_non_null(t.h);
	return t;
}

static inline void end(struct trial *t)
{
	struct finding f;

	body_model.finish(t->m, &f);
	free(t->h);
}

static inline struct history_event *event(struct trial *t)
{
	assert_true(t->h->n < HISTORY_EVENTS_MAX);
	return &t->h->event[t->h->n++];
}

/* An operation of a CPU from `from` to `to`. */
static inline struct history_event *did(struct trial *t, unsigned cpu, unsigned from, unsigned to,
				 const char *line, enum op_result result)
{
	struct history_event *e = event(t);
	unsigned i = t->s.n++;

	t->s.op[i] = (struct section_op){ .op = parse_op(line), .index = i, .cpu = (uint8_t)cpu };
	*e = (struct history_event){ .begin = from * TICK + cpu, .end = to * TICK + cpu,
				     .kind = HISTORY_OP, .cpu = (uint8_t)cpu, .op = (uint16_t)i,
				     .out.result = result };
	return e;
}

static inline uint64_t stamp(int pattern, unsigned window, unsigned page, unsigned i)
{
	return pattern == ZERO ? 0 : ops_stamp((unsigned)pattern, window, page, i);
}

/* A read or write of one page whose words each take the whole time. seen: for each stamp
 * the pattern read; NULL for a write. */
static inline void touched(struct trial *t, unsigned cpu, unsigned from, unsigned to,
			   const char *line, enum op_result result, const int *seen)
{
	struct history_event *whole = did(t, cpu, from, to, line, result);
	const struct op *op = &t->s.op[whole->op].op;
	unsigned page = op->arg[2];

	whole->out.value = result == RESULT_OK ? 0 : page;
	for (unsigned i = 0; i < OPS_STAMPS; i++) {
		int pattern = seen ? seen[i] : op->arg[4];

		*event(t) = (struct history_event){
			.begin = whole->begin + 10 + 10 * i, .end = whole->end - 100 + 10 * i,
			.kind = op->code == OP_READ ? HISTORY_READ : HISTORY_WRITE,
			.cpu = (uint8_t)cpu, .op = whole->op, .space = (uint8_t)op->arg[0],
			.window = (uint8_t)op->arg[1], .page = (uint8_t)page, .stamp = (uint8_t)i,
			.out = { result, result == RESULT_OK ?
						 stamp(pattern, op->arg[1], page, i) : 0 } };
		if (result != RESULT_OK)
			return;
	}
}

static inline void wrote(struct trial *t, unsigned cpu, unsigned from, unsigned to,
			 const char *line, enum op_result result)
{
	touched(t, cpu, from, to, line, result, NULL);
}

static inline void read4(struct trial *t, unsigned cpu, unsigned from, unsigned to,
			 const char *line, int a, int b, int c, int d)
{
	const int seen[OPS_STAMPS] = { a, b, c, d };

	touched(t, cpu, from, to, line, RESULT_OK, seen);
}

static inline void read1(struct trial *t, unsigned cpu, unsigned from, unsigned to,
			 const char *line, int pattern)
{
	read4(t, cpu, from, to, line, pattern, pattern, pattern, pattern);
}

static inline void refused(struct trial *t, unsigned cpu, unsigned from, unsigned to,
			   const char *line)
{
	touched(t, cpu, from, to, line, RESULT_SEGV, (const int[]){ 0, 0, 0, 0 });
}

/* A look at the end. */
static inline void look4(struct trial *t, unsigned space, unsigned window, unsigned page,
			 int a, int b, int c, int d)
{
	const int seen[OPS_STAMPS] = { a, b, c, d };

	for (unsigned i = 0; i < OPS_STAMPS; i++, t->clock += 2)
		*event(t) = (struct history_event){
			.begin = t->clock, .end = t->clock + 1, .kind = HISTORY_READ,
			.cpu = HISTORY_NOBODY, .space = (uint8_t)space, .window = (uint8_t)window,
			.page = (uint8_t)page, .stamp = (uint8_t)i,
			.out = { RESULT_OK, stamp(seen[i], window, page, i) } };
}

static inline void look(struct trial *t, unsigned space, unsigned window, unsigned page,
			int pattern)
{
	look4(t, space, window, page, pattern, pattern, pattern, pattern);
}

static inline void listed(struct trial *t, unsigned space, unsigned window, unsigned page, int prot)
{
	t->h->page[t->h->pages_n++] = (struct history_page){
		.space = (uint8_t)space, .window = (uint8_t)window, .page = (uint8_t)page,
		.mapped = prot >= 0, .prot = (uint8_t)(prot > 0 ? prot : 0) };
}
#define UNMAPPED (-1)

static inline bool judge(struct trial *t)
{
	return linear_judge(t->m, &t->s, &t->names, t->h, t->why, sizeof(t->why));
}

static inline void want_explained(struct trial *t)
{
	if (!judge(t))
		fail_msg("refused: %s", t->why);
}

static inline void want_refused(struct trial *t, const char *part)
{
	if (judge(t))
		fail_msg("explained, not refused for: %s", part);
	if (!strstr(t->why, part))
		fail_msg("\"%s\" does not say: %s", t->why, part);
}

static inline const struct model_page *page_of(const struct trial *t, unsigned space,
						  unsigned window, unsigned page)
{
	assert_non_null(t->m->space[space]);
	return &t->m->space[space]->window[window].page[page];
}

#define ONE_PAGE "map s0 w1 p3 +1 rw; write s0 w1 p3 +1 v1"

#endif
