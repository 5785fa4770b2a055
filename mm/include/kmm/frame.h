/// Physical frames: allocation by order, in batches, with per-CPU caches above
/// an exchangeable policy.
#ifndef KMM_FRAME_H
#define KMM_FRAME_H

#include <kmm/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum kmm_frame_flags {
	KMM_FRAME_ZERO = 1, /* contents zeroed */
};

/// Allocates 2^order contiguous frames, aligned to their size.
/// Units:  order = log2 of frames
/// Pre:    order <= KMM_ORDER_MAX
/// Locks:  zone; safe with interrupts off
/// Owns:   caller, until kmm_frame_free
/// Errors: KMM_ENOMEM, KMM_EINVAL; state unchanged, *out untouched
/// Cost:   O(1) from the CPU's cache (order 0), else the policy's
KMM_MUST_CHECK enum kmm_error kmm_frame_alloc(struct kmm *k, unsigned order, unsigned flags,
					      struct kmm_pfn *out);

/// Returns a block that kmm_frame_alloc gave.
/// Errors: KMM_EDOUBLEFREE (free already, not a block's head, or a hole in
///         memory), KMM_EWRONGORDER, KMM_EINVAL (outside managed memory),
///         KMM_EBUSY (referenced elsewhere, or another unit's); state unchanged
KMM_MUST_CHECK enum kmm_error kmm_frame_free(struct kmm *k, struct kmm_pfn pfn, unsigned order);

/// Allocates up to n blocks of one order into out[].
/// Returns: how many were allocated, 0..n
unsigned kmm_frame_alloc_batch(struct kmm *k, unsigned order, unsigned flags, unsigned n,
			       struct kmm_pfn *out);

/// Frees n blocks of one order; stops at the first bad one, which it reports.
/// Errors: as kmm_frame_free; *done = how many were freed (may be NULL)
KMM_MUST_CHECK enum kmm_error kmm_frame_free_batch(struct kmm *k, unsigned order, unsigned n,
						   const struct kmm_pfn *pfn, unsigned *done);

/// Returns all cached frames of every CPU to the policy. Without effect where
/// the preset's caches never drain.
/// Pre: interrupts on (it waits for other CPUs)
void kmm_frame_drain(struct kmm *k);

/// The block's contents through the direct map.
void *kmm_frame_virt(struct kmm *k, struct kmm_pfn pfn);

struct kmm_frame_stats {
	uint64_t managed_n;  /* frames the policy was given */
	uint64_t free_n;     /* free, cached ones included */
	uint64_t cached_n;   /* of these, in per-CPU caches */
	uint64_t alloc_n, free_calls_n, refill_n, drain_n, fail_n; /* events */
	uint64_t lock_n;     /* policy lock acquisitions */
	uint64_t meta_bytes; /* policy metadata and frame table */
	unsigned largest_order; /* largest free block's order + 1; 0 = none */
};

/// A snapshot; lock-free, each number exact only when nothing runs.
void kmm_frame_stats(struct kmm *k, struct kmm_frame_stats *s);

/// Walks all structures of the unit.
/// Errors: KMM_ECORRUPT, with the broken invariant in the log
KMM_MUST_CHECK enum kmm_error kmm_frame_check(struct kmm *k);

/// Is this frame part of an allocated block? (For checkers and dumps.)
bool kmm_frame_is_allocated(struct kmm *k, struct kmm_pfn pfn);

/// Name of the policy in use.
const char *kmm_frame_policy_name(struct kmm *k);

#ifdef __cplusplus
}
#endif
#endif
