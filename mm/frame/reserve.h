/// The emergency reserve: single frames held back for allocations that may not fail.
///
/// They are taken out of the zones at init and lie in an array. An entitled allocation
/// takes from it when all else has failed; frames that are freed past the caches, or to a
/// full one, fill it up again, first of all. So it costs the usual paths nothing, and is
/// there whatever the caches and policies have done. Only frames that an allocation without
/// zone flags may get are kept.
///
/// Invariants
///   I1  slot[0..n) are distinct frames of no cache and no policy, tagged FRAME_NONE (with
///       FRAME_ZEROED or without), in zones up to KMM_ZONE_NORMAL;
///   I2  n <= want_n.
#ifndef KMM_FRAME_RESERVE_H
#define KMM_FRAME_RESERVE_H

#include "frame/state.h"

/// Sizes and fills it: the preset's wish, at most a small share of memory.
void reserve_init(struct kmm *k, uint64_t managed_n);

/// Gives it back to the zones. Pre: nothing else runs
void reserve_end(struct kmm *k);

/// Up to n frames of zones that a want allows. Returns: how many
unsigned reserve_take(struct kmm *k, const struct frame_want *w, unsigned n, struct kmm_pfn *out);

/// Keeps a block that is being freed, if it is a single frame and one is missing.
/// Pre: interrupts off, no lock above LOCK_RESERVE held. Returns: whether it did
bool reserve_give(struct kmm *k, struct kmm_pfn pfn);

static inline bool reserve_gives(struct kmm *k, unsigned order, struct kmm_pfn pfn)
{
	const struct reserve *r = &k->frame->reserve;

	return order == 0 && __builtin_expect(atomic_load_relaxed(&r->n) < r->want_n, 0) &&
	       reserve_give(k, pfn);
}

#endif
