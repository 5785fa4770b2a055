/* Structure-aware edits, several stacked a step: a fault that needs a dozen live
 * blocks is found by stacks of edits in hundreds of runs, by single ones in tens of
 * thousands.
 *
 * I1  Every operation stays in the language, whatever the edit.
 * I2  1 <= length <= max.
 * I3  After a stack of edits sections are whole (ops_mend).
 */
#include "ops/edit_inner.h"

#include <string.h>

#include "ops/generate.h"
#include "ops/scene.h"

#define STACK_MAX 8u
#define RUN_MAX 32u

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t ops_delete(struct op *ops, size_t n, size_t at, size_t count)
{
	memmove(ops + at, ops + at + count, (n - at - count) * sizeof(*ops));
	return n - count;
}

size_t ops_insert(struct op *ops, size_t n, size_t max, size_t at, const struct op *what,
		  size_t count)
{
	count = min_size(count, max - n);
	memmove(ops + at + count, ops + at, (n - at) * sizeof(*ops));
	memcpy(ops + at, what, count * sizeof(*ops));
	return n + count;
}

/* An operation that means something at this point. */
struct op edit_fresh(struct edit *e, size_t at)
{
	struct op op = ops_random(ops_random_code(e->rng, true), e->rng);
	struct ops_scene s;

	if (any(e, 8)) {
		ops_scene_at(&s, e->ops, at);
		ops_aim(&op, &s, e->rng);
	}
	return op;
}

static void edit_insert(struct edit *e)
{
	for (size_t i = 1 + any(e, 4); i; i--) {
		size_t at = any(e, e->n + 1);
		struct op op = edit_fresh(e, at);

		e->n = ops_insert(e->ops, e->n, e->max, at, &op, 1);
	}
}

/* Appended operations see the whole scene, which random places seldom do. */
static void edit_append(struct edit *e)
{
	for (size_t i = 1 + any(e, 8); i; i--) {
		struct op op = edit_fresh(e, e->n);

		e->n = ops_insert(e->ops, e->n, e->max, e->n, &op, 1);
	}
}

static void edit_delete(struct edit *e)
{
	size_t at, count;

	if (e->n < 2)
		return;
	at = any(e, e->n);
	count = 1 + any(e, any(e, 4) ? 3 : RUN_MAX);
	e->n = ops_delete(e->ops, e->n, at, min_size(min_size(count, e->n - at), e->n - 1));
}

static void edit_duplicate(struct edit *e)
{
	struct op run[RUN_MAX];
	size_t from, count;

	if (!e->n)
		return;
	from = any(e, e->n);
	count = min_size(1 + any(e, RUN_MAX), e->n - from);
	memcpy(run, e->ops + from, count * sizeof(*run));
	for (size_t times = 1 + any(e, 3); times; times--)
		e->n = ops_insert(e->ops, e->n, e->max, any(e, 2) ? from + count : any(e, e->n + 1),
				  run, count);
}

static void edit_swap(struct edit *e)
{
	size_t a, b;
	struct op op;

	if (e->n < 2)
		return;
	a = any(e, e->n);
	b = any(e, 2) ? (a + 1) % e->n : any(e, e->n);
	op = e->ops[a];
	e->ops[a] = e->ops[b];
	e->ops[b] = op;
}

static void edit_aim(struct edit *e)
{
	struct ops_scene s;
	size_t at;

	if (!e->n)
		return;
	at = any(e, e->n);
	ops_scene_at(&s, e->ops, at);
	ops_aim(&e->ops[at], &s, e->rng);
}

static void edit_tweak(struct edit *e)
{
	static const int deltas[] = { -8, -2, -1, -1, 1, 1, 2, 8 };
	struct op *op;

	if (!e->n)
		return;
	op = &e->ops[any(e, e->n)];
	for (unsigned tries = 0; tries < 4; tries++) {
		unsigned i = (unsigned)any(e, OPS_ARGS);
		unsigned end = ops_operand_end[ops_table[op->code].operand[i]];

		if (end == 1)
			continue;
		op->arg[i] = (uint16_t)(any(e, 4) ? op->arg[i] + end + (unsigned)deltas[any(e, 8)] :
						    any(e, end));
		*op = ops_normalise(*op);
		return;
	}
}

/* The same name everywhere: two operations that touch one thing meet more bugs. */
static void edit_same_place(struct edit *e)
{
	const struct op *model;
	size_t at;

	if (!e->n)
		return;
	model = &e->ops[any(e, e->n)];
	if (model->code < OP_MAP || model->code > OP_WRITE || model->code == OP_BREAK)
		return;
	for (at = any(e, e->n); at < e->n; at++) {
		struct op *op = &e->ops[at];

		if (op->code == OP_PLACE || op->code == OP_BREAK || op->code < OP_MAP ||
		    op->code > OP_WRITE)
			continue;
		for (unsigned i = 0; i < 4; i++)
			op->arg[i] = model->arg[i];
		*op = ops_normalise(*op);
		return;
	}
}

static void edit_replace(struct edit *e)
{
	size_t at;

	if (!e->n)
		return;
	at = any(e, e->n);
	e->ops[at] = edit_fresh(e, at);
}

static void edit_move(struct edit *e)
{
	struct op run[RUN_MAX];
	size_t from, count;

	if (e->n < 3)
		return;
	from = any(e, e->n);
	count = min_size(1 + any(e, RUN_MAX), min_size(e->n - from, e->n - 1));
	memcpy(run, e->ops + from, count * sizeof(*run));
	e->n = ops_delete(e->ops, e->n, from, count);
	e->n = ops_insert(e->ops, e->n, e->max, any(e, e->n + 1), run, count);
}

static void edit_motif(struct edit *e)
{
	struct op motif[OPS_MOTIF_MAX];
	size_t at = any(e, 2) ? e->n : any(e, e->n + 1), count;
	struct ops_scene s;

	ops_scene_at(&s, e->ops, at);
	count = ops_motif(motif, &s, e->rng);
	e->n = ops_insert(e->ops, e->n, e->max, at, motif, count);
}

static void edit_cpu(struct edit *e)
{
	struct op op = ops_random(OP_CPU, e->rng);

	e->n = ops_insert(e->ops, e->n, e->max, any(e, e->n + 1), &op, 1);
}

static void edit_cut(struct edit *e)
{
	if (e->n > 8 && any(e, 4) == 0)
		e->n = 1 + any(e, e->n);
}

static void edit_motif_together(struct edit *e)
{
	struct op motif[OPS_MOTIF_MAX];
	size_t at = any(e, 2) ? e->n : any(e, e->n + 1), count;
	struct ops_scene s;

	ops_scene_at(&s, e->ops, at);
	count = ops_motif_together(motif, &s, e->rng);
	e->n = ops_insert(e->ops, e->n, e->max, at, motif, count);
}

/* Half of the weight is on concurrent sections. */
static const struct edit_kind {
	const char *name;
	void (*fn)(struct edit *);
	unsigned weight;
} kinds[] = {
	{ "insert", edit_insert, 6 },  { "append", edit_append, 6 },
	{ "delete", edit_delete, 6 },  { "duplicate", edit_duplicate, 3 },
	{ "swap", edit_swap, 3 },      { "aim", edit_aim, 5 },
	{ "tweak", edit_tweak, 6 },    { "same-place", edit_same_place, 4 },
	{ "replace", edit_replace, 4 }, { "move", edit_move, 2 },
	{ "motif", edit_motif, 6 },    { "cpu", edit_cpu, 3 },
	{ "cut", edit_cut, 1 },
	{ "motif-together", edit_motif_together, 12 },
	{ "strategy", edit_strategy, 9 }, { "choice", edit_choice, 7 },
	{ "other-cpu", edit_other_cpu, 6 }, { "wrap", edit_wrap, 6 },
	{ "unwrap", edit_unwrap, 2 },  { "copy-within", edit_copy_within, 6 },
	{ "more-cpus", edit_more_cpus, 5 },
};

#define KINDS (sizeof(kinds) / sizeof(*kinds))

unsigned ops_edit_kinds(void)
{
	return KINDS;
}

const char *ops_edit_name(unsigned kind)
{
	return kinds[kind].name;
}

size_t ops_edit_one(struct op *ops, size_t n, size_t max, unsigned kind, struct ops_rng *rng)
{
	struct edit e = { .ops = ops, .n = n, .max = max, .rng = rng };

	kinds[kind].fn(&e);
	if (e.n == 0)
		ops[e.n++] = ops_random(ops_random_code(rng, true), rng);
	return e.n;
}

static unsigned pick_kind(struct ops_rng *rng)
{
	unsigned sum = 0, at;

	for (unsigned i = 0; i < KINDS; i++)
		sum += kinds[i].weight;
	at = ops_rng_below(rng, sum);
	for (unsigned i = 0; i < KINDS; i++) {
		if (at < kinds[i].weight)
			return i;
		at -= kinds[i].weight;
	}
	return 0;
}

size_t ops_edit(struct op *ops, size_t n, size_t max, struct ops_rng *rng)
{
	unsigned steps = 1 + ops_rng_below(rng, 1 + ops_rng_below(rng, STACK_MAX));

	for (; steps; steps--)
		n = ops_edit_one(ops, n, max, pick_kind(rng), rng);
	n = ops_mend(ops, n, max);
	if (n == 0)
		ops[n++] = ops_random(ops_random_code(rng, true), rng);
	return n;
}

size_t ops_splice(struct op *ops, size_t n, size_t max, const struct op *from, size_t from_n,
		  struct ops_rng *rng)
{
	size_t start, count;

	if (!from_n)
		return n;
	start = ops_rng_below(rng, (uint32_t)from_n);
	count = 1 + ops_rng_below(rng, (uint32_t)(from_n - start));
	n = ops_insert(ops, n, max, ops_rng_below(rng, (uint32_t)n + 1), from + start, count);
	return ops_mend(ops, n, max);
}
