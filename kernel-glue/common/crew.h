/// Work that all CPUs do at once.
#ifndef CREW_H
#define CREW_H

#include "sched.h"

/// Has each CPU call work(ctx, its number) in a thread. Returns when all are gone, their
/// stacks too. Pre: called by one thread at a time
void crew_run(void (*work)(void *ctx, unsigned cpu), void *ctx);

#endif
