/// Fibers: stacks that one host thread switches between. A switch saves what the
/// calling convention keeps and nothing else: some nanoseconds.
/// Under ASan and TSan each switch is announced, under Valgrind each stack; stacks
/// have a guard page, and are kept for the next fiber.
/// Source: System V AMD64 ABI, 3.2.1; AAPCS64, 6.1.
#ifndef SCHED_FIBER_H
#define SCHED_FIBER_H

#include <stdbool.h>
#include <stddef.h>

#define FIBER_STACK_BYTES (256u * 1024u)

struct fiber;

/// A fiber that runs entry(ctx) when it is first switched to. `entry` must not return:
/// its last act is a switch to another fiber.
/// Returns NULL without memory.
struct fiber *fiber_make(void (*entry)(void *ctx), void *ctx);

/// The caller's own stack as a fiber, to come back to.
struct fiber *fiber_here(void);

/// Goes on in `to`. Returns when somebody switches to `from`, which is the caller.
void fiber_switch(struct fiber *from, struct fiber *to);

/// Gives a fiber back, wherever it stands: what it had on its stack is forgotten.
/// Pre: it doesn't run.
void fiber_free(struct fiber *f);

#endif
