/// Data races: two accesses to the same bytes, not ordered by happens-before, at least
/// one of them a write and at least one of them plain. The first one is reported, with
/// both stacks.
///
/// Plain accesses come from the compiler's instrumentation of mm/ alone: either
/// -fsanitize=thread with our own runtime (runtime_thread.c; gcc and clang), or clang's
/// -fsanitize-coverage=trace-loads,trace-stores beside ASan (runtime_cover.c).
#ifndef SCHED_RACE_H
#define SCHED_RACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/memory.h"

#define RACE_REGIONS 4u
#define RACE_STACK_MAX 16u

/// A call stack: return addresses, innermost first.
struct race_stack {
	unsigned n;
	const void *pc[RACE_STACK_MAX];
};

struct race_access {
	unsigned cpu;
	uint16_t op;     /* the operation it was part of (sched_op) */
	bool write, atomic;
	unsigned bytes;  /* those of the 8 around that count; or a page */
	struct race_stack stack;
};

struct race_report {
	uintptr_t at;
	unsigned region;
	uint64_t offset; /* of `at` in it: the same in every process */
	struct race_access first, second; /* second: the one that showed it */
};

/// Watches byte ranges; anything outside (stacks, constants) is ignored. A range keeps
/// its shadow as long as it is watched at the same address and is no larger.
struct race {
	struct memory *memory;
	struct race_region {
		uintptr_t at;
		uint64_t bytes;
		uint64_t room; /* bytes that the shadow covers, in whole pages */
		void *shadow;
	} region[RACE_REGIONS];
	struct calls *calls;       /* the CPUs' call stacks (stack.h) */
	struct memory *begun;      /* the memory of the last run, and its epochs then */
	uint32_t epoch[SCHED_CPUS_MAX];
	bool found;
	struct race_report report; /* the first of the run */
	void (*on_race)(void *ctx, const struct race_report *r); /* may not return */
	void *ctx;
};

/// The detector that accesses go to while a run is on; NULL: they cost one test.
extern _Thread_local struct race *race_on;

/// Region `i` is [at, at + bytes). False: no address space.
bool race_watch(struct race *r, unsigned i, const void *at, uint64_t bytes);
void race_free(struct race *r);

/// A run begins: nothing is found, no CPU has called anything.
/// Pre: r->memory is set and memory_begin was called
void race_begin(struct race *r);

/// An access of the current CPU (sched_on->now).
void race_plain(struct race *r, const volatile void *at, size_t bytes, bool write,
		const void *pc);
void race_atomic(struct race *r, const volatile void *at, size_t bytes, bool write,
		 const void *pc);

/// The bytes are someone else's from now on (a frame handed out): earlier accesses no
/// longer count.
void race_forget(struct race *r, const void *at, uint64_t bytes);

/// The current CPU's call stack, `pc` innermost.
void race_stack_here(struct race_stack *out, const void *pc);

/// "function (file:line) < caller < …", at most `bytes`; addresses where there is no
/// debug information. Slow: asks addr2line, once for a stack.
void race_stack_print(char *out, size_t bytes, const struct race_stack *s);

/// "data race on …: write by CPU 1 in … against read by CPU 0 in …", one line.
void race_print(char *out, size_t bytes, const struct race_report *r);

#endif
