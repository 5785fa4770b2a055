/// Gathering invalidations, and doing one at once (batch.c).
#ifndef KMM_PT_BATCH_H
#define KMM_PT_BATCH_H

#include "pt/state.h"

/// More pages than this, and dropping everything is cheaper.
#define TLB_PAGES_MAX 32u

void tlb_range_slow(struct kmm_tlb_batch *b, uint64_t start, uint64_t end);

/// Notes that translations of [start, end) were changed. Before the frames
/// they led to go in: a full batch flushes itself.
static inline void tlb_range(struct kmm_tlb_batch *b, uint64_t start, uint64_t end)
{
	unsigned n = b->ranges_n;

	if (n != 0 && b->range[n - 1u].end == start)
		b->range[n - 1u].end = end;
	else
		tlb_range_slow(b, start, end);
}

/// A mapping of this frame is gone; its reference follows after the flush.
void tlb_frame(struct kmm_tlb_batch *b, struct kmm_pfn pfn);

/// A table on va's path was unlinked; it is freed after the flush.
void tlb_table(struct kmm_tlb_batch *b, uint64_t va, struct kmm_pfn pfn);

/// Invalidates [start, end) on every CPU that may hold it, now.
void tlb_now(struct kmm_pt *pt, uint64_t start, uint64_t end);

/// Drops one page here, so that this CPU's retry sees more rights; everywhere
/// where the hardware broadcasts.
void tlb_upgrade(struct kmm_pt *pt, uint64_t va);

/// Every CPU that has the tree loaded loads the kernel's instead.
void tlb_evict(struct kmm_pt *pt);

/// Handler of CALL_SHOOTDOWN.
void tlb_answer(struct kmm *k);

#endif
