/// Per-CPU caches of blocks (theory in cache.c). Pre of all but cache_drain_all,
/// cache_drain_quiet and the counts: interrupts off, fc is this CPU's.
#ifndef KMM_FRAME_CACHE_H
#define KMM_FRAME_CACHE_H

#include "frame/state.h"

#define MAGAZINE_NONE 0xffu

/// Which magazine by order; FRAME_GROUP_MOVABLE has one of its own for single frames.
extern const uint8_t magazine_of_order[KMM_ORDER_MAX + 1u];

/// Bytes of one CPU's caches, added to a running total; and their making.
uint64_t cache_meta_bytes(const struct kmm_preset *p, uint64_t total);
void cache_init_cpu(struct kmm *k, const struct kmm_config *c, struct kmm_cpu *cpu,
		    struct meta *m);

/// Sets the capacities, once it is known how much memory there is.
void cache_init_sizes(struct kmm *k, uint64_t managed_n);

/// The magazine for an order and group, NULL if none.
static inline struct magazine *magazine_for(struct frame_cpu *fc, unsigned order,
					    enum frame_group group)
{
	unsigned i = magazine_of_order[order];

	if (i == MAGAZINE_NONE)
		return NULL;
	if (group == FRAME_GROUP_MOVABLE) {
		if (order == 0)
			i = MAGAZINE_MOVABLE;
		else if (i != MAGAZINE_HUGE)
			return NULL;
	}
	return fc->magazine[i].max != 0 ? &fc->magazine[i] : NULL;
}

/// Fetches a batch from the first zone that has some. Pre: m is empty
/// Returns: whether any came
bool cache_refill(struct kmm *k, struct frame_cpu *fc, struct magazine *m);

/// Makes an empty magazine that of a block's zone, if this CPU's memory comes from there.
/// Returns: whether it is now
bool cache_adopt(struct kmm *k, struct frame_cpu *fc, struct magazine *m, struct kmm_pfn pfn);

/// Frees a block of a magazine's order and zone that had no room.
void cache_push_slow(struct kmm *k, struct frame_cpu *fc, struct magazine *m, struct kmm_pfn pfn);

/// Returns everything this CPU has to the policies.
void cache_drain(struct kmm *k, struct frame_cpu *fc);

/// Handler of CALL_DRAIN: this CPU drains its caches, which shrink.
void cache_drain_self(struct kmm *k);

/// Do other CPUs' caches hold frames? A hint: they may be gone at once.
bool cache_others_hold(struct kmm *k);

/// Drains every CPU that holds something, and waits for it.
/// Pre: interrupts on, no lock held
void cache_drain_all(struct kmm *k);

/// Drains the caches of one CPU, or of all, from this one. Pre: they aren't in use
void cache_drain_of(struct kmm *k, struct frame_cpu *fc);
void cache_drain_quiet(struct kmm *k);

/// Do one CPU's caches hold nothing?
bool cache_cpu_empty(const struct frame_cpu *fc);

/// Frames in one CPU's caches, and in all.
uint64_t cache_cpu_frames_n(const struct frame_cpu *fc);
uint64_t cache_frames_n(struct kmm *k);

/// Blocks it holds, any CPU's.
static inline uint32_t magazine_count(const struct magazine *m)
{
	return atomic_load_relaxed(&m->n) + (atomic_load_relaxed(&m->young) < YOUNG_NONE);
}

/// Takes the youngest block; its tag still says free. With `young` before the stack, an
/// alternation of frees and allocations leaves n alone: a load that waits for the store
/// before it is the longest thing in a hit.
static inline bool magazine_pop(struct magazine *m, struct kmm_pfn *out)
{
	uint64_t young = m->young;
	uint32_t top;

	if (young < YOUNG_NONE) {
		out->n = young;
		atomic_store_relaxed(&m->young, YOUNG_NONE);
		return true;
	}
	if (__builtin_sub_overflow(m->n, 1u, &top)) /* one instruction and a branch */
		return false;
	*out = m->slot[top];
	atomic_store_relaxed(&m->n, top);
	return true;
}

/// Adds a block of this magazine's zone. Returns: false if there is no room
static inline bool magazine_push(struct magazine *m, struct kmm_pfn pfn)
{
	uint32_t n;

	if (m->young == YOUNG_NONE) {
		atomic_store_relaxed(&m->young, pfn.n);
		return true;
	}
	n = m->n;
	if (__builtin_expect(n >= m->room, 0))
		return false;
	m->slot[n] = pfn;
	atomic_store_relaxed(&m->n, n + 1u);
	return true;
}

/// Adds a single frame of the magazine's zone to those on their way back, if such they are
/// now, and there is room.
static inline bool cache_back_push(struct frame_cpu *fc, const struct magazine *m,
				   struct kmm_pfn pfn)
{
	uint32_t n = fc->back_n;

	if (m->young != YOUNG_SHUT || n == BACK_N || n == 0 || fc->back_zone != m->zone)
		return false;
	fc->back[n] = pfn;
	atomic_store_relaxed(&fc->back_n, n + 1u);
	counter_add(&fc->direct_free_n, 1u);
	return true;
}

/// Is it of the zone whose frames this magazine holds?
static inline bool magazine_takes(const struct magazine *m, struct kmm_pfn pfn)
{
	return pfn.n - m->base < m->span_n;
}

#endif
