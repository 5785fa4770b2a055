/// Vector clocks of the virtual CPUs. Component c of a clock counts what CPU c has
/// released; epochs only grow while the process lives, so that shadow words of an earlier
/// run are older than everything and needn't be cleared.
/// Source: Flanagan & Freund, FastTrack, PLDI 2009.
#ifndef SCHED_CLOCK_H
#define SCHED_CLOCK_H

#include <stdint.h>

#include "sched/sched.h"

struct clock {
	uint32_t of[SCHED_CPUS_MAX];
};

static inline void clock_join(struct clock *to, const struct clock *from)
{
	for (unsigned i = 0; i < SCHED_CPUS_MAX; i++)
		if (to->of[i] < from->of[i])
			to->of[i] = from->of[i];
}

#endif
