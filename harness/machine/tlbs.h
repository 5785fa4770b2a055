/// What tlbs.c lends access.c.
#ifndef TLBS_H
#define TLBS_H

#include "machine/machine.h"

/// Do invalidations reach all CPUs by themselves?
static inline bool tlbs_broadcast(const struct machine *m)
{
	return m->mem.arch == MMU_AARCH64;
}

static inline uint64_t tlbs_va(const struct tlb_entry *e)
{
	return e->page << (12u + 9u * e->level);
}

/// Drops entry i of a CPU, or all that it holds for va. R2 is checked.
void tlbs_drop(struct machine *m, unsigned cpu, unsigned i);
bool tlbs_drop_page(struct machine *m, unsigned cpu, uint64_t va, bool tables);

#endif
