/// Call stacks of the virtual CPUs, as the instrumentation of mm/ tells of entries and
/// exits, and a depot that gives each stack a short number. stack.c holds the theory.
#ifndef SCHED_STACK_H
#define SCHED_STACK_H

#include "sched/race.h"

#define CALLS_DEPTH 64u /* deeper calls are counted, and not kept */
#define CALLS_ID_BITS 24u

/// A function under way.
struct call {
	const void *pc;  /* the return address, in its caller */
	uintptr_t frame; /* where the stack stood: below all its callers' */
	uint32_t node;   /* of the depot; 0: not asked for yet */
};

struct calls_cpu {
	unsigned n;
	uint16_t op;   /* what `root` and the calls' nodes are for */
	uint32_t root;
	struct call call[CALLS_DEPTH];
};

/// A stack is the path from a node to its root: the root holds the operation, every
/// other node a return address.
struct calls_node {
	const void *pc;
	uint32_t parent; /* 0: a root */
};

struct calls {
	struct calls_cpu cpu[SCHED_CPUS_MAX];
	struct calls_node *node; /* from 1 */
	uint32_t *slot;          /* hash table of nodes, twice `room` */
	uint32_t n, room;
};

/// Returns NULL without memory.
struct calls *calls_make(void);
void calls_free(struct calls *c);

/// A run begins: no CPU is inside any function, and ids of earlier runs may go.
void calls_begin(struct calls *c);

/// The number of the current stack with `pc` innermost. 0: the depot is full.
uint32_t calls_id(struct calls *c, unsigned cpu, uint16_t op, const void *pc);

/// The stack that an id of this run stands for.
void calls_stack(const struct calls *c, uint32_t id, struct race_stack *out, uint16_t *op);

/// The current CPU enters a function that returns to pc; and leaves it.
static inline void calls_enter(const void *pc, uintptr_t frame)
{
	struct calls_cpu *s;

	if (!race_on || !sched_on)
		return;
	s = &race_on->calls->cpu[sched_on->now];
	/* What a longjmp left behind lies at or below this frame. */
	while (s->n > 0 && s->n <= CALLS_DEPTH && s->call[s->n - 1].frame <= frame)
		s->n--;
	if (s->n < CALLS_DEPTH)
		s->call[s->n] = (struct call){ pc, frame, 0 };
	s->n++;
}

static inline void calls_leave(void)
{
	struct calls_cpu *s;

	if (!race_on || !sched_on)
		return;
	s = &race_on->calls->cpu[sched_on->now];
	if (s->n > 0)
		s->n--;
}

#endif
