/* Edits of concurrent sections: who runs what where, and who chooses the order.
 *
 * Seeds are changed most often: another schedule of the same operations costs nothing
 * to say, and most races show under one schedule in some hundred.
 */
#include "ops/edit_inner.h"

#include "ops/scene.h"

#define ROWS_AT_ONCE 4u
#define WRAPPED_MAX 10u /* operations: few enough that they meet */
#define POINTS 400u     /* where choices fall, mostly: operations pass some tens to hundreds */

static bool is_choice(const struct op *op)
{
	return op->code >= OP_SWITCH && op->code <= OP_WALK;
}

static bool is_performed(const struct op *op)
{
	return ops_table[op->code].side != OP_PLAYER;
}

/* A section's rows: ops[from] is its `together`, ops[to] its `join`, or to is the
 * trace's length. */
struct span {
	size_t from, to;
};

static bool any_section(struct edit *e, struct span *s)
{
	size_t n = 0, nth;

	for (size_t i = 0; i < e->n; i++)
		n += e->ops[i].code == OP_TOGETHER;
	if (!n)
		return false;
	nth = any(e, n);
	for (s->from = 0; e->ops[s->from].code != OP_TOGETHER || nth--; s->from++)
		;
	for (s->to = s->from + 1; s->to < e->n && e->ops[s->to].code != OP_JOIN; s->to++)
		;
	return true;
}

/* A kernel or user operation of the section, and the CPU it falls to. */
static bool any_operation(struct edit *e, const struct span *s, size_t *at, unsigned *cpu)
{
	size_t n = 0, nth;

	for (size_t i = s->from; i < s->to; i++)
		n += is_performed(&e->ops[i]);
	if (!n)
		return false;
	nth = any(e, n);
	for (*at = s->from; !is_performed(&e->ops[*at]) || nth--; ++*at)
		;
	*cpu = 0;
	for (size_t i = 0; i < *at; i++)
		if (e->ops[i].code == OP_CPU)
			*cpu = e->ops[i].arg[0];
	return true;
}

static void insert(struct edit *e, size_t at, struct op op)
{
	e->n = ops_insert(e->ops, e->n, e->max, at, &op, 1);
}

static struct op cpu_row(unsigned cpu)
{
	return (struct op){ .code = OP_CPU, .arg = { (uint16_t)(cpu % OPS_CPUS) } };
}

void edit_strategy(struct edit *e)
{
	struct span s;
	struct op *op;

	if (!any_section(e, &s))
		return;
	op = &e->ops[s.from];
	if (any(e, 3) == 0)
		ops_random_strategy(op, e->rng);
	op->arg[1] = (uint16_t)any(e, ops_operand_end[OPERAND_SEED]);
}

static struct op random_choice(struct edit *e)
{
	static const uint8_t codes[] = { OP_SWITCH, OP_SWITCH, OP_SWITCH, OP_SWITCH,
					 OP_SWITCH, OP_DEFER,  OP_STALE,  OP_WALK };
	struct op op = ops_random((enum op_code)codes[any(e, sizeof(codes))], e->rng);

	op.arg[0] = (uint16_t)(1 + any(e, any(e, 2) ? 40 : POINTS));
	return op;
}

static void remove_choice(struct edit *e, const struct span *s)
{
	for (size_t i = s->from + any(e, s->to - s->from); i < s->to; i++)
		if (is_choice(&e->ops[i])) {
			e->n = ops_delete(e->ops, e->n, i, 1);
			return;
		}
}

static void move_choice(struct edit *e, const struct span *s)
{
	for (size_t i = s->from + any(e, s->to - s->from); i < s->to; i++) {
		unsigned point = e->ops[i].arg[0];

		if (!is_choice(&e->ops[i]))
			continue;
		point += (unsigned)any(e, 9);
		e->ops[i].arg[0] = (uint16_t)(point > 5 ? point - 4 : 1);
		e->ops[i] = ops_normalise(e->ops[i]);
		return;
	}
}

void edit_choice(struct edit *e)
{
	unsigned kind = (unsigned)any(e, 4), cpu;
	struct span s;
	size_t at;

	if (!any_section(e, &s))
		return;
	if (kind == 0) {
		remove_choice(e, &s);
	} else if (kind == 1) {
		move_choice(e, &s);
	} else {
		for (size_t n = 1 + any(e, ROWS_AT_ONCE); n; n--)
			if (any_operation(e, &s, &at, &cpu))
				insert(e, at, random_choice(e));
	}
}

/* Just this one: what follows stays where it was. */
void edit_other_cpu(struct edit *e)
{
	struct span s;
	unsigned cpu;
	size_t at;

	if (!any_section(e, &s) || !any_operation(e, &s, &at, &cpu) || e->max - e->n < 2)
		return;
	insert(e, at + 1, cpu_row(cpu));
	insert(e, at, cpu_row(cpu + 1 + (unsigned)any(e, 3)));
}

/* The second half on another CPU, so that there is something to interleave. */
void edit_wrap(struct edit *e)
{
	struct op together;
	size_t at, count;
	unsigned cpu = (unsigned)any(e, 2);

	if (e->n < 2 || e->max - e->n < 4)
		return;
	at = any(e, e->n - 1);
	count = 2 + any(e, WRAPPED_MAX - 1);
	if (count > e->n - at)
		count = e->n - at;
	ops_random_strategy(&together, e->rng);
	insert(e, at + count, (struct op){ .code = OP_JOIN });
	insert(e, at + count / 2, cpu_row(cpu + 1));
	insert(e, at, cpu_row(cpu));
	insert(e, at, together);
}

void edit_unwrap(struct edit *e)
{
	struct span s;

	if (!any_section(e, &s))
		return;
	if (s.to < e->n)
		e->n = ops_delete(e->ops, e->n, s.to, 1);
	for (size_t i = s.to; i-- > s.from;)
		if (i == s.from || is_choice(&e->ops[i]) || e->ops[i].code == OP_INTERRUPT)
			e->n = ops_delete(e->ops, e->n, i, 1);
}

/* The same at the same time, by another CPU or again by its own. */
void edit_copy_within(struct edit *e)
{
	unsigned cpu, kind = (unsigned)any(e, 3);
	struct span s;
	struct op op;
	size_t at;

	if (!any_section(e, &s) || !any_operation(e, &s, &at, &cpu) || e->max - e->n < 3)
		return;
	op = e->ops[at];
	if (kind == 0) {
		insert(e, at, op);
		return;
	}
	if (kind == 1)
		op = edit_fresh(e, s.from);
	insert(e, s.to, cpu_row(cpu));
	insert(e, s.to, op);
	insert(e, s.to, cpu_row(cpu + 1 + (unsigned)any(e, 2)));
}

void edit_more_cpus(struct edit *e)
{
	struct span s;

	if (!any_section(e, &s))
		return;
	for (size_t n = 1 + any(e, 3); n; n--) {
		size_t at = s.from + 1 + any(e, s.to - s.from);

		insert(e, at > e->n ? e->n : at, cpu_row(1 + (unsigned)any(e, 3)));
	}
}

/* ---- mending ---- */

/* Rows that are nothing outside of a section. */
static bool is_inner(const struct op *op)
{
	return op->code > OP_TOGETHER && op->code <= OP_INTERRUPT;
}

size_t ops_mend(struct op *ops, size_t n, size_t max)
{
	static const struct op join = { .code = OP_JOIN };
	bool within = false;
	unsigned held = 0;

	for (size_t i = 0; i < n; i++) {
		bool full = held == OPS_TOGETHER_MAX && is_performed(&ops[i]);

		if (within && (full || ops[i].code == OP_TOGETHER)) {
			if (n == max)
				n--;
			n = ops_insert(ops, n, max, i, &join, 1);
			within = false;
			continue;
		}
		if (!within && is_inner(&ops[i])) {
			n = ops_delete(ops, n, i--, 1);
			continue;
		}
		if (ops[i].code == OP_TOGETHER)
			held = 0;
		held += is_performed(&ops[i]);
		within = ops[i].code == OP_TOGETHER || (within && ops[i].code != OP_JOIN);
	}
	if (within && n < max)
		n = ops_insert(ops, n, max, n, &join, 1);
	return n;
}
