/* Minimising by delta debugging.
 *
 * Passes, repeated until none helps or the budget is used up:
 *   cut       drop what follows the finding
 *   sections  drop whole ones, or play their operations one after another
 *   delete    drop runs of n/2, n/4, … 1 rows, from the end
 *   fix       say the schedules of sections in rows
 *   simpler   replace each operand by simpler ones: 0, 1, half, one less
 *   pairs     drop two rows of a short trace at once, operations with the rows that
 *             choose for them: of two switches one brings back from the other
 *
 * A schedule that a seed chose depends on every operation of its section: take one
 * away, and all is different. So the schedule of the last section that was played, in
 * which or after which the finding showed, is said in rows before anything else.
 * Rows are keyed by operation and point; what is left of them holds still while others
 * are taken away, and a switch is a row to be taken away like any other.
 *
 * I1  The kept trace always showed the first run's oracle when it was last played.
 * I2  It only grows where a schedule is said in rows, never beyond its room; operands
 *     never do.
 *
 * Only the oracle must stay: holding on to the finding's words would keep addresses.
 *
 * Source: Zeller, Hildebrandt, Simplifying and Isolating Failure-Inducing Input (2002).
 */
#include "run/minimise.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops/edit.h"
#include "run/section.h"

#define PAIRS_MAX 48u /* rows; more pairs than can be tried */

struct search {
	const struct minimise_options *o;
	struct minimise_result *r;
	struct op *ops, *trial;
	uint32_t n, room;
	struct section section;
	unsigned runs_max;
	struct timespec end;
	bool spent;
};

static bool budget_left(struct search *s)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (s->r->runs_n >= s->runs_max || now.tv_sec > s->end.tv_sec ||
	    (now.tv_sec == s->end.tv_sec && now.tv_nsec > s->end.tv_nsec))
		s->spent = true;
	return !s->spent;
}

static void play(struct search *s, const struct op *ops, uint32_t n, struct player_result *r)
{
	s->r->runs_n++;
	if (s->o->isolated)
		player_run_isolated(ops, n, &s->o->play, s->o->timeout_s ? s->o->timeout_s : 5,
				    r);
	else
		player_run(ops, n, &s->o->play, r);
}

/* Plays s->trial; keeps it if it shows the same. */
static bool try(struct search *s, uint32_t n)
{
	struct player_result r;

	if (n == 0 || !budget_left(s))
		return false;
	play(s, s->trial, n, &r);
	if (r.refused[0] || r.finding.oracle != s->r->first.finding.oracle)
		return false;
	memcpy(s->ops, s->trial, n * sizeof(*s->ops));
	s->n = n;
	s->r->last = r;
	if (s->o->progress)
		s->o->progress(s->o->ctx, n, s->r->runs_n);
	return true;
}

static bool pass_cut(struct search *s)
{
	uint32_t n = s->r->last.finding.op_index + 1;

	if (n >= s->n)
		return false;
	memcpy(s->trial, s->ops, n * sizeof(*s->trial));
	return try(s, n);
}

/* ---- sections ---- */

/* The last section before `end` with this, or any, kind of strategy. */
static bool section_before(const struct search *s, uint32_t end, bool chosen, uint32_t *at)
{
	while (end-- > 0)
		if (s->ops[end].code == OP_TOGETHER &&
		    (!chosen || s->ops[end].arg[0] != SECTION_ROWS)) {
			*at = end;
			return true;
		}
	return false;
}

/* Owners don't matter to who reads it for its rows. */
static void read_section(struct search *s, uint32_t at)
{
	const struct body_options *o = &s->o->play.start;
	struct ops_names names;

	ops_names_start(&names);
	for (uint32_t i = 0; i < at; i++)
		if (s->ops[i].code == OP_CPU)
			names.cpu = (uint8_t)s->ops[i].arg[0];
	section_read(&s->section, s->ops, s->n, at, &names, o->cpus_n ? o->cpus_n : 2);
}

/* Says the section's schedule in the rows of what the last run of it chose. */
static bool fix_section(struct search *s, uint32_t at)
{
	struct player_result *r = &s->r->last;
	struct player_result prefix;
	uint32_t n;

	read_section(s, at);
	if (r->section_at != at || r->sections_n == 0) {
		if (!budget_left(s))
			return false;
		play(s, s->ops, at + s->section.trace_n, &prefix);
		r = &prefix;
	}
	if (r->refused[0] || r->sections_n == 0 || r->section_at != at || r->choices_lost)
		return false;
	memcpy(s->trial, s->ops, s->n * sizeof(*s->trial));
	n = section_fix(&s->section, r->choice, r->choices_n, s->trial, s->n, s->room);
	if (n == 0 || !try(s, n))
		return false;
	s->r->fixed_n++;
	return true;
}

/* From the last one on, so that the last one's choices are at hand. */
static bool pass_fix(struct search *s, unsigned most)
{
	bool helped = false;
	uint32_t at = s->n;

	while (most-- > 0 && !s->spent && section_before(s, at, true, &at))
		helped |= fix_section(s, at);
	return helped;
}

static bool try_unwrap(struct search *s, uint32_t at, uint32_t rows)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		unsigned code = s->ops[i].code;

		if (i < at || i >= at + rows || code < OP_TOGETHER || code > OP_INTERRUPT)
			s->trial[n++] = s->ops[i];
	}
	return try(s, n);
}

static bool try_delete(struct search *s, uint32_t at, uint32_t count);

static bool pass_sections(struct search *s)
{
	bool helped = false;
	uint32_t at = s->n;

	while (!s->spent && section_before(s, at, false, &at)) {
		read_section(s, at);
		helped |= try_delete(s, at, s->section.trace_n) ||
			  try_unwrap(s, at, s->section.trace_n);
	}
	return helped;
}

/* ---- rows and operands ---- */

static bool try_delete(struct search *s, uint32_t at, uint32_t count)
{
	memcpy(s->trial, s->ops, s->n * sizeof(*s->trial));
	return try(s, (uint32_t)ops_delete(s->trial, s->n, at, count));
}

static bool pass_delete(struct search *s)
{
	bool helped = false;

	for (uint32_t run = s->n / 2; run && !s->spent; run /= 2) {
		uint32_t at = s->n;

		while (at && !s->spent) {
			at = at > run ? at - run : 0;
			if (at >= s->n)
				continue;
			if (try_delete(s, at, at + run > s->n ? s->n - at : run))
				helped = true;
		}
	}
	return helped;
}

static bool is_row(const struct op *op)
{
	return op->code >= OP_SWITCH && op->code <= OP_WALK;
}

/* Drops a and b, and what chooses for them. */
static bool try_pair(struct search *s, uint32_t a, uint32_t b)
{
	uint32_t from_a = a, from_b = b, n = 0;

	while (!is_row(&s->ops[a]) && from_a > 0 && is_row(&s->ops[from_a - 1]))
		from_a--;
	while (!is_row(&s->ops[b]) && from_b > a + 1 && is_row(&s->ops[from_b - 1]))
		from_b--;
	for (uint32_t i = 0; i < s->n; i++)
		if ((i < from_a || i > a) && (i < from_b || i > b))
			s->trial[n++] = s->ops[i];
	return try(s, n);
}

static bool pass_pairs(struct search *s)
{
	for (uint32_t b = s->n; b-- > 1 && s->n <= PAIRS_MAX && !s->spent;)
		for (uint32_t a = 0; a < b && !s->spent; a++)
			if (try_pair(s, a, b))
				return true;
	return false;
}

static bool try_operand(struct search *s, uint32_t at, unsigned i, uint16_t v)
{
	struct op op = s->ops[at];

	if (v >= op.arg[i])
		return false;
	op.arg[i] = v;
	if (ops_fault(&op))
		return false;
	memcpy(s->trial, s->ops, s->n * sizeof(*s->trial));
	s->trial[at] = op;
	return try(s, s->n);
}

static bool simplify(struct search *s, uint32_t at, unsigned i)
{
	bool helped = false;
	uint16_t v = s->ops[at].arg[i];

	if (v == 0)
		return false;
	if (try_operand(s, at, i, 0) || try_operand(s, at, i, 1))
		return true;
	while (!s->spent && (v = s->ops[at].arg[i]) > 2 && try_operand(s, at, i, v / 2))
		helped = true;
	return try_operand(s, at, i, (uint16_t)(s->ops[at].arg[i] - 1)) || helped;
}

static bool pass_simpler(struct search *s)
{
	bool helped = false;

	for (uint32_t at = 0; at < s->n && !s->spent; at++)
		for (unsigned i = 0; i < OPS_ARGS && !s->spent; i++)
			helped |= simplify(s, at, i);
	return helped;
}

uint32_t minimise(struct op *ops, uint32_t ops_n, const struct minimise_options *o,
		  struct minimise_result *r)
{
	struct search s = { .o = o, .r = r, .ops = ops, .n = ops_n,
			    .room = o->room > ops_n ? o->room : ops_n,
			    .runs_max = o->runs_max ? o->runs_max : 5000 };
	bool helped = true;

	memset(r, 0, sizeof(*r));
	clock_gettime(CLOCK_MONOTONIC, &s.end);
	s.end.tv_sec += o->seconds_max ? o->seconds_max : 60;
	play(&s, ops, ops_n, &r->first);
	r->last = r->first;
	s.trial = malloc((s.room ? s.room : 1) * sizeof(*s.trial));
	if (r->first.refused[0] || r->first.finding.oracle == ORACLE_NONE || !s.trial) {
		free(s.trial);
		return ops_n;
	}
	pass_cut(&s);
	pass_fix(&s, 1);
	while (helped && !s.spent) {
		helped = pass_cut(&s);
		helped |= pass_sections(&s);
		helped |= pass_delete(&s);
		helped |= pass_fix(&s, UINT_MAX);
		helped |= pass_simpler(&s);
		helped = helped || pass_pairs(&s);
	}
	r->whole = !s.spent;
	free(s.trial);
	return s.n;
}
