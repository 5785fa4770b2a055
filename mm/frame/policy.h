/// The frame policy seam: who owns the free frames, and how blocks are found.
/// Batch-shaped, since it is called on refill and drain, never on a cached hit.
///
/// An instance covers the frames [base, base + n) and owns those of them that
/// add_range handed it. All of its state is in the memory that init was given,
/// so several live side by side on one frame table. Each brings its own locking;
/// calls may come from any CPU, with interrupts on or off.
///
/// The frame entry belongs to the policy while a frame is free in it, and to
/// the caller from claim to release. Claimed and released blocks have the kind
/// FRAME_NONE and order 0 in their entries; between the two the caller marks the
/// head with any kind but FRAME_FREE.
#ifndef KMM_FRAME_POLICY_H
#define KMM_FRAME_POLICY_H

#include "base/instance.h"

struct frame_policy {
	const char *name;

	/// Metadata for n frames that begin anywhere; 64-byte aligned at init.
	uint64_t (*meta_bytes)(uint64_t n);

	/// Makes an instance without frames in zeroed `meta`; returns its state.
	/// Cost: independent of n
	void *(*init)(struct kmm *k, void *meta, uint64_t base, uint64_t n);

	/// Hands it usable frames. Pre: inside its span, not handed over before
	void (*add_range)(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n);

	/// Takes up to n blocks of 2^order frames, aligned to their size.
	/// Returns: how many stand in out[]
	unsigned (*claim)(struct kmm *k, void *state, unsigned order, unsigned n,
			  struct kmm_pfn *out);

	/// Gives n blocks back. A claimed block may come back in aligned parts.
	void (*release)(struct kmm *k, void *state, unsigned order, unsigned n,
			const struct kmm_pfn *in);

	/// Free frames; largest free block's order + 1, 0 = none; times the lock was
	/// taken. Lock-free, exact when nothing runs.
	uint64_t (*free_n)(const void *state);
	unsigned (*largest_order)(const void *state);
	uint64_t (*lock_n)(const void *state);

	/// Walks the whole instance; logs the broken invariant.
	enum kmm_error (*check)(struct kmm *k, void *state);
};

extern const struct frame_policy frame_policy_buddy;
extern const struct frame_policy frame_policy_bitmap;
extern const struct frame_policy frame_policy_bitmap_first_fit;

/// The policy of an id, NULL if there is none.
static inline const struct frame_policy *frame_policy_of(enum kmm_frame_policy_id id)
{
	switch (id) {
	case KMM_FRAME_BUDDY:
		return &frame_policy_buddy;
	case KMM_FRAME_BITMAP:
		return &frame_policy_bitmap;
	case KMM_FRAME_BITMAP_FIRST_FIT:
		return &frame_policy_bitmap_first_fit;
	case KMM_FRAME_POLICY_N:
		break;
	}
	return NULL;
}

/// Says which invariant broke and where; for the check functions.
static inline enum kmm_error frame_broken(struct kmm *k, const char *what, uint64_t pfn)
{
	kmm_log(k, KMM_LOG_ERROR, "frame: %s, at frame 0x%llx", what, (unsigned long long)pfn);
	return KMM_ECORRUPT;
}

#endif
