/// Per-CPU caches of single frames (theory in cache.c). Pre of all but
/// cache_drain_all and cache_drain_quiet: interrupts off, fc is this CPU's.
#ifndef KMM_FRAME_CACHE_H
#define KMM_FRAME_CACHE_H

#include "frame/state.h"

/// Fetches a batch from the policy. Returns: whether any came
bool cache_refill(struct kmm *k, struct frame_cpu *fc);

/// Returns the oldest batch of a full cache to the policy.
void cache_spill(struct kmm *k, struct frame_cpu *fc);

/// Returns everything to the policy.
void cache_drain(struct kmm *k, struct frame_cpu *fc);

/// Handler of CALL_DRAIN: this CPU drains its cache.
void cache_drain_self(struct kmm *k);

/// Do other CPUs' caches hold frames? A hint: they may be gone at once.
bool cache_others_hold(struct kmm *k);

/// Drains every CPU that holds something, and waits for it.
/// Pre: interrupts on, no lock held
void cache_drain_all(struct kmm *k);

/// Drains all caches from this CPU. Pre: no other CPU uses the instance
void cache_drain_quiet(struct kmm *k);

/// Frames in all caches.
uint64_t cache_frames_n(struct kmm *k);

/// Makes an entry what those of cached frames are (I1), the kind last.
static inline void cache_mark(struct kmm *k, struct kmm_pfn pfn)
{
	struct frame_entry *e = frame_entry(k, pfn);

	atomic_store_relaxed(&e->refs, 1u);
	e->index = 0;
	e->order = 0;
	e->flags = 0;
	e->owner = 0;
	frame_kind_set(e, FRAME_CACHED);
}

/// Takes the youngest frame; its entry still says FRAME_CACHED.
static inline bool cache_pop(struct frame_cpu *fc, struct kmm_pfn *out)
{
	uint32_t n = fc->n;

	if (__builtin_expect(n == 0, 0))
		return false;
	*out = fc->slot[n - 1u];
	atomic_store_relaxed(&fc->n, n - 1u);
	return true;
}

/// Adds a frame whose entry is marked. Returns: false if there is no room
static inline bool cache_push(struct frame_cpu *fc, struct kmm_pfn pfn)
{
	uint32_t n = fc->n;

	if (__builtin_expect(n >= fc->capacity, 0))
		return false;
	fc->slot[n] = pfn;
	atomic_store_relaxed(&fc->n, n + 1u);
	return true;
}

#endif
