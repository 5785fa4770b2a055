/// The frame policy seam: who owns the free frames, and how blocks are found.
/// Batch-shaped, since it is called on refill and drain, never on a cached hit.
///
/// An instance covers the frames [base, base + n) and owns those of them that
/// add_range handed it. All of its state is in the memory that init was given,
/// so several live side by side on one frame table. Each brings its own locking
/// and, if it wants them, its own per-CPU places. Calls come from any CPU.
///
/// A frame's tag (frame/entry.h) belongs to the policy while the frame is free in it,
/// and to the caller from claim to release. Free frames are tagged FRAME_NONE, but a
/// policy may tag the head of a free block FRAME_FREE + its order. The frames of
/// claimed and of released blocks are tagged FRAME_NONE. FRAME_ZEROED beside either is
/// the caller's remark about contents; a policy keeps it. The entry of a frame is the
/// policy's only while the frame heads a block of its, and is left with any value.
///
/// Nobody counts free frames here: the zone above does, for all policies alike.
#ifndef KMM_FRAME_POLICY_H
#define KMM_FRAME_POLICY_H

#include "base/instance.h"

/// What a block is for. Blocks of a group are kept together, as far as the policy can,
/// so that the movable ones leave whole 2 MiB blocks behind.
enum frame_group {
	FRAME_GROUP_PINNED,  /* stays where it is until freed */
	FRAME_GROUP_MOVABLE, /* can be migrated */
	FRAME_GROUPS_N
};

/// Free frames that follow each other.
struct frame_run {
	uint64_t pfn, n;
};

struct frame_policy {
	const char *name;

	/// Metadata for n frames that begin anywhere; 64-byte aligned at init.
	uint64_t (*meta_bytes)(uint64_t n, unsigned cpus_n);

	/// Makes an instance without frames in zeroed `meta`; returns its state. May read
	/// k->preset and k->cpus_n.
	void *(*init)(struct kmm *k, void *meta, uint64_t base, uint64_t n);

	/// Hands it usable frames. Pre: inside its span, not its own now
	/// Cost: O(n / 512), as all frames are free
	void (*add_range)(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n);

	/// Takes up to n blocks of 2^order frames, aligned to their size.
	/// Returns: how many stand in out[]. Fewer than n although there are enough only
	///          while another CPU is between two steps of its own
	/// Pre:     interrupts off, order <= KMM_ORDER_MAX, n != 0
	unsigned (*claim)(struct kmm *k, void *state, unsigned order, enum frame_group group,
			  unsigned n, struct kmm_pfn *out);

	/// Gives n blocks back. A claimed block may come back in aligned parts, and parts
	/// of several as one block.
	/// Pre: interrupts off
	void (*release)(struct kmm *k, void *state, unsigned order, unsigned n,
			const struct kmm_pfn *in);

	/// The first run of free frames in [from, to); it ends there at the latest. A hint,
	/// exact when nothing runs. Returns: false if all are in use
	bool (*next_run)(struct kmm *k, const void *state, uint64_t from, uint64_t to,
			 struct frame_run *run);

	/// Takes each frame of [pfn, pfn + n) that is free, and tags it FRAME_ISOLATED.
	/// Returns: how many. Release takes them back.
	uint64_t (*claim_range)(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n);

	/// Wholly free 2 MiB blocks, aligned; lock-free, O(1), a hint. NULL: isn't known.
	uint64_t (*whole_n)(const void *state);

	/// Times a lock was taken; lock-free.
	uint64_t (*lock_n)(const void *state);

	/// Walks the whole instance; logs the broken invariant. *free_n = frames free in it.
	/// Pre: nothing runs
	enum kmm_error (*check)(struct kmm *k, void *state, uint64_t *free_n);
};

extern const struct frame_policy frame_policy_buddy;
extern const struct frame_policy frame_policy_buddy_scan;
extern const struct frame_policy frame_policy_bitmap;
extern const struct frame_policy frame_policy_bitmap_first_fit;
extern const struct frame_policy frame_policy_hybrid;
extern const struct frame_policy frame_policy_split;
extern const struct frame_policy frame_policy_split_slow;
extern const struct frame_policy frame_policy_tree;

/// The policy of an id, NULL if there is none.
const struct frame_policy *frame_policy_of(enum kmm_frame_policy_id id);

/// Says which invariant broke and where; for the check functions.
static inline enum kmm_error frame_broken(struct kmm *k, const char *what, uint64_t pfn)
{
	kmm_log(k, KMM_LOG_ERROR, "frame: %s, at frame 0x%llx", what, (unsigned long long)pfn);
	return KMM_ECORRUPT;
}

#endif
