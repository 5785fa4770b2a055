/// What the unit keeps per instance and per CPU.
#ifndef KMM_PT_STATE_H
#define KMM_PT_STATE_H

#include "base/lock.h"
#include "pt/entry_bits.h"

struct pt_state {
	struct kmm_pt kernel;
	uint32_t kernel_copied; /* atomic; a user tree took over the kernel's root entries */
	struct lock shootdown;
	const struct kmm_tlb_batch *request; /* lock: shootdown; what the others must do */
	bool evict;                          /* lock: shootdown; leave the tree altogether */
};

struct pt_cpu {
	struct kmm_pt *current; /* atomic; written by this CPU, interrupts off */
	/* counters, written by this CPU only */
	uint64_t entry_stores_n, page_flushes_n, full_flushes_n, ipis_n, shootdowns_n;
	uint64_t tables_n; /* made less freed here; the sum over CPUs counts */
};

/// The kernel's tree has no user half of its own.
static inline bool pt_is_kernel(const struct kmm_pt *pt)
{
	return pt->user_end == 0;
}

static inline const uint64_t *pt_prot_bits(const struct kmm_pt *pt)
{
	const struct kmm_pt_format *f = pt->kmm->format;

	return pt_is_kernel(pt) ? f->prot_kernel : f->prot_user;
}

/// Does [start, end) lie in the half this tree is for, in whole pages?
static inline bool pt_range_valid(const struct kmm_pt *pt, uint64_t start, uint64_t end)
{
	if (start >= end || !bits_aligned(start | end, KMM_PAGE_BYTES))
		return false;
	if (pt_is_kernel(pt))
		return start >= -pt->kmm->format->user_end;
	return end <= pt->user_end;
}

static inline struct pt_cpu *pt_cpu(struct kmm *k)
{
	return kmm_port_cpu(k)->pt;
}

#endif
