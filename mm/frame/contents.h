/// What is in a free frame: known zero, poison, or anything.
///
/// Zeroing costs more than all else that an allocation does, so what is known to be zero
/// is remembered: FRAME_ZEROED in the tag of each frame of a free block. Whoever frees a
/// block that it left zero says so (an emptied page table is zero), and an idle CPU may
/// zero free frames ahead of time (kmm_frame_zero_idle). That looks for free frames without
/// the mark, a batch at a time from where it last stopped, isolates them (policy.h,
/// claim_range) under LOCK_PLUG, zeroes and releases them.
///
/// Invariants
///   I1  a frame tagged FRAME_ZEROED is free, and its contents are zero;
///   I2  zeroed_some is 1 if any tag ever had FRAME_ZEROED: until then nobody looks.
///
/// Poison. Where the port sets KMM_CONFIG_POISON, freed frames are filled with a pattern,
/// and an allocation panics if it finds something else: someone wrote to memory that
/// wasn't theirs. Frames that were never freed, or that are known zero, aren't looked at.
#ifndef KMM_FRAME_CONTENTS_H
#define KMM_FRAME_CONTENTS_H

#include "frame/state.h"

/// Prepares the contents of a block that is about to be handed out: zeroes it if the flags
/// ask for that and it isn't, checks the poison, and forgets FRAME_ZEROED.
void contents_prepare(struct kmm *k, struct kmm_pfn pfn, unsigned order, unsigned flags);

/// Notes what is in a block that is about to be freed. zeroed: FRAME_ZEROED or 0
void contents_leave(struct kmm *k, struct kmm_pfn pfn, unsigned order, unsigned zeroed);

/// Can contents_begin have anything to do? Asked once a batch.
static inline bool contents_matter(unsigned order, unsigned flags)
{
	return KMM_CONFIG_POISON || (flags & KMM_FRAME_ZERO) || order != 0;
}

static inline void contents_begin(struct kmm *k, struct kmm_pfn pfn, unsigned order,
				  unsigned flags)
{
	if (KMM_CONFIG_POISON || (flags & KMM_FRAME_ZERO) ||
	    (order != 0 && atomic_load_relaxed(&k->frame->zeroed_some) != 0))
		contents_prepare(k, pfn, order, flags);
}

static inline void contents_end(struct kmm *k, struct kmm_pfn pfn, unsigned order,
				unsigned zeroed)
{
	if (KMM_CONFIG_POISON || __builtin_expect(zeroed != 0, 0))
		contents_leave(k, pfn, order, zeroed);
}

#endif
