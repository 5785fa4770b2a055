/// The frame unit's own state; nobody else includes this.
#ifndef KMM_FRAME_STATE_H
#define KMM_FRAME_STATE_H

#include "base/lock.h"
#include "frame/entry.h"
#include "frame/policy.h"

struct frame_state {
	const struct frame_policy *policy; /* constant after init, as all but the lock */
	void *policy_state;
	uint64_t managed_n;  /* frames handed to the policy */
	uint64_t meta_bytes;
	uint32_t capacity;   /* of each CPU's cache; 0 = no caches */
	bool drains;         /* cached frames can be called back */
	struct lock drain;   /* LOCK_DRAIN: one drain at a time */
};

/// One CPU's cache of single frames, and its event counts. Guard of all of it:
/// its CPU, interrupts off; n and the counts are read by any.
struct frame_cpu {
	uint32_t n;        /* atomic; frames in slot[] */
	uint32_t capacity; /* constant */
	uint32_t batch;    /* constant; frames a refill or spill moves */
	uint64_t alloc_n, free_n, refill_n, drain_n, fail_n;
	struct kmm_pfn slot[]; /* [capacity]; the youngest on top */
} __attribute__((aligned(64)));

/// A claim through the seam.
static inline unsigned policy_claim(struct kmm *k, unsigned order, unsigned n,
				    struct kmm_pfn *out)
{
	const struct frame_state *s = k->frame;

	return s->policy->claim(k, s->policy_state, order, n, out);
}

static inline void policy_release(struct kmm *k, unsigned order, unsigned n,
				  const struct kmm_pfn *in)
{
	const struct frame_state *s = k->frame;

	s->policy->release(k, s->policy_state, order, n, in);
}

#endif
