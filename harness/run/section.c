/* Concurrent sections: reading one, saying its schedule in rows, choosing for it.
 *
 * What a row names must not depend on the order in which CPUs do things, or one trace
 * would mean several. So each slot, each placed window and each space that is forked
 * to has one owner, the CPU that names it first; and since a fork copies which placed
 * windows are bound, a fork of a space and what binds or unbinds one there keep to one
 * CPU too: whichever comes first in the trace. Everything else may be shared: fixed
 * windows and the heap of a space, which is where the interesting races are.
 *
 * I1  s->op holds the section's kernel and user operations in trace order, the first
 *     SECTION_OPS_MAX of them; s->op[i].index grows.
 * I2  s->row[i].key.op is the index in s->op of an operation of s->row[i].key.cpu, or
 *     SECTION_IDLE, or NEVER for a row before an operation that was left out.
 * I3  section_read after section_fix gives the choices that were fixed, as rows, and the
 *     same operations with the same marks.
 *
 * Limits: a choice at a point beyond OPERAND_POINT, of a store older than OPERAND_OLDER,
 * or of a CPU's operation that isn't its own can't be said; section_fix then refuses.
 */
#include "run/section.h"

#include <stdlib.h>
#include <string.h>

#define NEVER (SECTION_OPS_MAX)

/* PCT's falls lie among so many points. Sections have some tens to a thousand, and what
 * is drawn beyond a section's end is wasted: so the seed says, from 64 to 512. */
#define PCT_POINTS(seed) (64u << (seed) % 4u)

/* ---- reading ---- */

struct reader {
	struct section *s;
	unsigned cpu;                 /* that what follows belongs to */
	struct {
		bool interrupt, fails;
		uint8_t fail_class;
		uint16_t fail_kth;
	} next[OPS_CPUS];             /* marks of each CPU's next operation */
};

static bool is_choice(const struct op *op)
{
	return op->code >= OP_SWITCH && op->code <= OP_WALK;
}

static bool is_performed(const struct op *op)
{
	return ops_table[op->code].side != OP_PLAYER;
}

static void read_row(struct reader *r, const struct op *op)
{
	struct section *s = r->s;
	struct sched_choice *c = &s->row[s->rows_n];
	unsigned other = op->arg[1] % s->cpus_n;

	if (s->rows_n == SECTION_ROWS_MAX)
		return;
	s->rows_n++;
	c->key = (struct sched_key){ .cpu = (uint8_t)r->cpu, .op = SECTION_IDLE,
				     .point = op->arg[0] };
	switch (op->code) {
	case OP_SWITCH:
		c->key.kind = SCHED_SWITCH;
		c->value = (uint16_t)other;
		break;
	case OP_DEFER:
		c->key.kind = SCHED_DEFER;
		c->value = 1;
		break;
	case OP_STALE:
		c->key.kind = SCHED_STALE;
		c->value = op->arg[1];
		break;
	default:
		c->key.kind = SCHED_WALK;
		c->value = section_walk(other, op->arg[2]);
	}
}

/* The rows of this CPU that waited for its next operation. */
static void settle_rows(struct reader *r, uint16_t op)
{
	for (uint32_t i = 0; i < r->s->rows_n; i++) {
		struct sched_key *k = &r->s->row[i].key;

		if (k->cpu == r->cpu && k->op == SECTION_IDLE)
			k->op = op;
	}
}

/* Kernel code runs in interrupt handlers; drains wait, and users aren't there. */
static bool may_interrupt(const struct op *op)
{
	return ops_table[op->code].side == OP_KERNEL && op->code != OP_DRAIN;
}

static void read_performed(struct reader *r, const struct op *op, uint32_t index)
{
	struct section *s = r->s;
	struct section_op *so = &s->op[s->n];

	settle_rows(r, (uint16_t)(s->n < SECTION_OPS_MAX ? s->n : NEVER));
	if (s->n < SECTION_OPS_MAX) {
		*so = (struct section_op){
			.op = *op, .index = index, .cpu = (uint8_t)r->cpu,
			.interrupt = r->next[r->cpu].interrupt && may_interrupt(op),
			.fails = r->next[r->cpu].fails,
			.fail_class = r->next[r->cpu].fail_class,
			.fail_kth = r->next[r->cpu].fail_kth,
		};
		s->busy |= 1u << r->cpu;
		s->n++;
	}
	r->next[r->cpu].interrupt = r->next[r->cpu].fails = false;
}

static void read_one(struct reader *r, const struct op *op, uint32_t index)
{
	if (is_performed(op)) {
		read_performed(r, op, index);
	} else if (is_choice(op)) {
		read_row(r, op);
	} else if (op->code == OP_CPU) {
		r->s->cpu_last = (uint8_t)op->arg[0];
		r->cpu = op->arg[0] % r->s->cpus_n;
	} else if (op->code == OP_INTERRUPT) {
		r->next[r->cpu].interrupt = true;
	} else if (op->code == OP_FAIL) {
		r->next[r->cpu].fails = true;
		r->next[r->cpu].fail_class = (uint8_t)op->arg[0];
		r->next[r->cpu].fail_kth = op->arg[1];
	}
}

/* ---- owners ---- */

/* Owners are a CPU's number plus one; 0: nobody yet. Sets of CPUs are a bit each. */
struct owners {
	uint8_t frame[OPS_SLOTS], object[OPS_SLOTS], spot[OPS_SPOTS];
	uint8_t space[OPS_SPACES], placed[OPS_SPACES][3];
	uint32_t named_by[OPS_SPACES]; /* CPUs with an operation on it */
	uint32_t fork_by[OPS_SPACES], bind_by[OPS_SPACES];
	uint32_t made;                 /* spaces that a fork may make */
};

static bool claim(uint8_t *owner, unsigned cpu)
{
	if (*owner == 0)
		*owner = (uint8_t)(cpu + 1);
	return *owner == cpu + 1;
}

static void find_spaces(struct owners *w, const struct section *s, const struct ops_names *names)
{
	uint32_t forked = 0, ended = 0;

	for (unsigned i = 0; i < s->n; i++) {
		const struct op *op = &s->op[i].op;

		if (ops_table[op->code].side != OP_USER)
			continue;
		w->named_by[op->arg[0]] |= 1u << s->op[i].cpu;
		if (op->code == OP_EXIT)
			ended |= 1u << op->arg[0];
		if (op->code != OP_FORK)
			continue;
		w->named_by[op->arg[1]] |= 1u << s->op[i].cpu;
		forked |= 1u << op->arg[1];
	}
	w->made = forked & (~names->spaces | ended);
}

/* The placed window that an operation touches, 0 to 2; -1: none. */
static int placed_of(const struct op *op)
{
	switch (op->code) {
	case OP_PLACE:
		return op->arg[1];
	case OP_UNMAP:
	case OP_PROTECT:
	case OP_READ:
	case OP_WRITE:
		if (op->arg[1] >= OPS_FIXED_WINDOWS && op->arg[1] < OPS_HEAP_WINDOW)
			return op->arg[1] - (int)OPS_FIXED_WINDOWS;
		return -1;
	default:
		return -1;
	}
}

static bool claim_space(struct owners *w, unsigned space, unsigned cpu)
{
	return !(w->made >> space & 1u) || claim(&w->space[space], cpu);
}

/* A fork against what changes the names it copies. */
static bool claim_binding(struct owners *w, const struct op *op, unsigned cpu)
{
	bool forks = op->code == OP_FORK;
	uint32_t *mine = forks ? w->fork_by : w->bind_by;
	const uint32_t *theirs = forks ? w->bind_by : w->fork_by;
	unsigned space = op->arg[0];

	if (!forks && (placed_of(op) < 0 || (op->code != OP_PLACE && op->code != OP_UNMAP)))
		return true;
	if (theirs[space] & ~(1u << cpu))
		return false;
	mine[space] |= 1u << cpu;
	return true;
}

static bool claim_user(struct owners *w, const struct op *op, unsigned cpu)
{
	unsigned space = op->arg[0];
	int placed = placed_of(op);

	if (op->code == OP_EXIT && (w->named_by[space] & ~(1u << cpu)))
		return false;
	if (!claim_space(w, space, cpu))
		return false;
	if (op->code == OP_FORK && !claim_space(w, op->arg[1], cpu))
		return false;
	if (placed >= 0 && !claim(&w->placed[space][placed], cpu))
		return false;
	return claim_binding(w, op, cpu);
}

/* A handler comes in anywhere, also in the midst of what its CPU does: as an owner it
 * is a CPU of its own. Users don't run in handlers, so only slots can tell. */
static bool claim_names(struct owners *w, const struct section_op *so)
{
	unsigned handler = so->cpu + (so->interrupt ? SCHED_CPUS_MAX : 0);
	const struct op *op = &so->op;

	switch (op->code) {
	case OP_FRAME_ALLOC:
	case OP_FRAME_FREE:
	case OP_FRAME_ALLOC_ON:
	case OP_RANGE_ALLOC:
	case OP_FRAME_FREE_ZEROED:
		return claim(&w->frame[op->arg[0]], handler);
	case OP_ISOLATE:
	case OP_PLUG:
		return claim(&w->spot[op->arg[1]], handler);
	case OP_LISTEN: /* no allocation may run */
		return false;
	case OP_OBJECT_ALLOC:
	case OP_OBJECT_FREE:
		return claim(&w->object[op->arg[0]], handler);
	default:
		return ops_table[op->code].side != OP_USER || claim_user(w, op, so->cpu);
	}
}

void section_read(struct section *s, const struct op *ops, uint32_t ops_n, uint32_t at,
		  const struct ops_names *names, unsigned cpus_n)
{
	struct reader r = { .s = s, .cpu = names->cpu % cpus_n };
	struct owners w = { 0 };
	uint32_t i;

	s->first = at;
	s->cpus_n = cpus_n;
	s->cpu_last = names->cpu;
	s->strategy = (enum section_strategy)ops[at].arg[0];
	s->seed = ops[at].arg[1];
	s->busy = s->rows_n = 0;
	s->n = 0;
	for (i = at + 1; i < ops_n && ops[i].code != OP_JOIN; i++)
		read_one(&r, &ops[i], i);
	s->trace_n = (i < ops_n ? i + 1 : ops_n) - at;
	find_spaces(&w, s, names);
	for (unsigned k = 0; k < s->n; k++)
		s->op[k].skip = !claim_names(&w, &s->op[k]);
}

/* ---- fixing ---- */

struct writer {
	const struct section *s;
	const struct sched_choice *choice;
	uint32_t choices_n, said_n; /* said: choices written so far */
	struct op *out;
	uint32_t n;
};

static void put(struct writer *w, enum op_code code, unsigned a, unsigned b, unsigned c)
{
	w->out[w->n++] = (struct op){ .code = (uint8_t)code,
				      .arg = { (uint16_t)a, (uint16_t)b, (uint16_t)c } };
}

static void put_choice(struct writer *w, const struct sched_choice *c)
{
	switch (c->key.kind) {
	case SCHED_SWITCH:
		put(w, OP_SWITCH, c->key.point, c->value, 0);
		break;
	case SCHED_DEFER:
		put(w, OP_DEFER, c->key.point, 0, 0);
		break;
	case SCHED_STALE:
		put(w, OP_STALE, c->key.point, c->value, 0);
		break;
	default:
		put(w, OP_WALK, c->key.point, section_walk_cpu(c->value),
		    section_walk_target(c->value));
	}
	if (!ops_fault(&w->out[w->n - 1]))
		w->said_n++;
}

/* Every choice of this CPU in this operation, in the order they were made. */
static void put_choices(struct writer *w, unsigned cpu, uint16_t op)
{
	for (uint32_t i = 0; i < w->choices_n; i++)
		if (w->choice[i].key.cpu == cpu && w->choice[i].key.op == op)
			put_choice(w, &w->choice[i]);
}

/* Returns whether there was anything to say. */
static bool put_idle(struct writer *w)
{
	uint32_t start = w->n;

	for (unsigned cpu = 0; cpu < w->s->cpus_n; cpu++) {
		uint32_t before = w->n;

		put(w, OP_CPU, cpu, 0, 0);
		put_choices(w, cpu, SECTION_IDLE);
		if (w->n == before + 1)
			w->n = before;
	}
	return w->n != start;
}

/* The CPU named last stays the one named last. */
static void write_section(struct writer *w, const struct op *ops)
{
	const struct section *s = w->s;
	unsigned next = 0;
	bool joined = false;

	put(w, OP_TOGETHER, SECTION_ROWS, 0, 0);
	for (uint32_t i = s->first + 1; i < s->first + s->trace_n; i++) {
		if (ops[i].code == OP_JOIN) {
			joined = true;
			continue;
		}
		if (is_choice(&ops[i]))
			continue;
		if (next < s->n && s->op[next].index == i) {
			put_choices(w, s->op[next].cpu, (uint16_t)next);
			next++;
		}
		w->out[w->n++] = ops[i];
	}
	if (put_idle(w))
		put(w, OP_CPU, s->cpu_last, 0, 0);
	if (joined)
		put(w, OP_JOIN, 0, 0, 0);
}

uint32_t section_fix(const struct section *s, const struct sched_choice *choice,
		     uint32_t choices_n, struct op *ops, uint32_t ops_n, uint32_t room)
{
	uint32_t end = s->first + s->trace_n, most = s->trace_n + choices_n + SCHED_CPUS_MAX + 2;
	struct writer w = { .s = s, .choice = choice, .choices_n = choices_n,
			    .out = malloc(most * sizeof(*w.out)) };
	uint32_t n = 0;

	if (!w.out)
		return 0;
	write_section(&w, ops);
	if (w.said_n == choices_n && ops_n - s->trace_n + w.n <= room) {
		memmove(ops + s->first + w.n, ops + end, (ops_n - end) * sizeof(*ops));
		memcpy(ops + s->first, w.out, w.n * sizeof(*ops));
		n = ops_n - s->trace_n + w.n;
	}
	free(w.out);
	return n;
}

/* ---- choosing ---- */

static void both_begin(struct sched_strategy *self, unsigned cpus_n)
{
	struct section_chooser *c = (struct section_chooser *)(void *)self;

	c->others->begin(c->others, cpus_n);
}

static bool same_key(const struct sched_key *a, const struct sched_key *b)
{
	return a->cpu == b->cpu && a->kind == b->kind && a->op == b->op && a->point == b->point;
}

/* The other strategy is asked at every choice, so that a row taken away or added
 * changes what follows as little as it can. */
static unsigned both_choose(struct sched_strategy *self, const struct sched *s,
			    const struct sched_key *key, enum sched_why why,
			    const uint16_t *option, unsigned n)
{
	struct section_chooser *c = (struct section_chooser *)(void *)self;
	unsigned other = c->others->choose(c->others, s, key, why, option, n);

	for (uint32_t i = 0; i < c->section->rows_n; i++) {
		if (!same_key(&c->section->row[i].key, key))
			continue;
		for (unsigned o = 0; o < n; o++)
			if (option[o] == c->section->row[i].value)
				return o;
	}
	return other;
}

struct sched_strategy *section_strategy(struct section_chooser *c, const struct section *s)
{
	c->section = s;
	c->strategy = (struct sched_strategy){ .begin = both_begin, .choose = both_choose };
	if (s->strategy == SECTION_ROWS) {
		sched_rows_init(&c->rows, s->row, s->rows_n);
		return &c->rows.strategy;
	}
	if (s->strategy == SECTION_RANDOM) {
		sched_random_init(&c->random, s->seed);
		c->others = &c->random.strategy;
	} else {
		sched_pct_init(&c->pct, s->seed, 1u + s->strategy - SECTION_PCT1,
			       PCT_POINTS(s->seed));
		c->others = &c->pct.strategy;
	}
	return s->rows_n ? &c->strategy : c->others;
}
