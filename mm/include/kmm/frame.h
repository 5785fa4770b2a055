/// Physical frames: allocation by order, in batches and by count, from zones and
/// nodes, with per-CPU caches above an exchangeable policy.
#ifndef KMM_FRAME_H
#define KMM_FRAME_H

#include <kmm/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Kinds of zones, by what the hardware can reach. Limits: struct kmm_config.
enum kmm_zone_kind {
	KMM_ZONE_DMA,    /* below dma_end: old devices */
	KMM_ZONE_DMA32,  /* below dma32_end: 32-bit devices */
	KMM_ZONE_NORMAL,
	KMM_ZONE_HIGH,   /* from high_start on: beyond the direct map */
	KMM_ZONE_DEVICE, /* on devices (KMM_MEM_DEVICE), not cacheable; only on request */
	KMM_ZONE_KINDS_N
};

enum kmm_frame_flags {
	KMM_FRAME_ZERO = 1,    /* contents zeroed */
	KMM_FRAME_MOVABLE = 2, /* the owner can be asked to give up this place */
	KMM_FRAME_NOWAIT = 4,  /* no waiting for other CPUs, no pressure callback */
	KMM_FRAME_RESERVE = 8, /* may not fail: entitled to the emergency reserve (order 0) */
	KMM_FRAME_ONLY = 16,   /* from the named zone alone */
	KMM_FRAME_FLAGS_MASK = 0x71f
};

/// The zone to begin with, as a flag; lower ones follow unless KMM_FRAME_ONLY. Without,
/// it is KMM_ZONE_NORMAL.
#define KMM_FRAME_ZONE(kind) (((unsigned)(kind) + 1u) << 8)

/// Allocates 2^order contiguous frames, aligned to their size.
/// Units:  order = log2 of frames
/// Pre:    order <= KMM_ORDER_MAX
/// Locks:  reserve, zone; safe with interrupts off (then as KMM_FRAME_NOWAIT)
/// Owns:   caller, until kmm_frame_free
/// Errors: KMM_ENOMEM, KMM_EINVAL; state unchanged, *out untouched
/// Cost:   O(1) from the CPU's cache, else the policy's
KMM_MUST_CHECK enum kmm_error kmm_frame_alloc(struct kmm *k, unsigned order, unsigned flags,
					      struct kmm_pfn *out);

/// Returns a block that kmm_frame_alloc gave.
/// Errors: KMM_EDOUBLEFREE (free already, not a block's head, or a hole in
///         memory), KMM_EWRONGORDER, KMM_EINVAL (outside managed memory),
///         KMM_EBUSY (referenced elsewhere, or another unit's); state unchanged
KMM_MUST_CHECK enum kmm_error kmm_frame_free(struct kmm *k, struct kmm_pfn pfn, unsigned order);

/// As kmm_frame_free, of a block whose contents the caller knows to be all zero: that is
/// remembered, and the next KMM_FRAME_ZERO for it costs nothing.
KMM_MUST_CHECK enum kmm_error kmm_frame_free_zeroed(struct kmm *k, struct kmm_pfn pfn,
						    unsigned order);

/// Allocates up to n blocks of one order into out[].
/// Returns: how many were allocated, 0..n
unsigned kmm_frame_alloc_batch(struct kmm *k, unsigned order, unsigned flags, unsigned n,
			       struct kmm_pfn *out);

/// Frees n blocks of one order; stops at the first bad one, which it reports.
/// Errors: as kmm_frame_free; *done = how many were freed (may be NULL)
KMM_MUST_CHECK enum kmm_error kmm_frame_free_batch(struct kmm *k, unsigned order, unsigned n,
						   const struct kmm_pfn *pfn, unsigned *done);

/// Which nodes an allocation may use (kmm/zone.h has the nodes).
enum kmm_node_policy_kind {
	KMM_NODES_LOCAL,      /* this CPU's first, then the nearest */
	KMM_NODES_BIND,       /* those of the set alone, nearest first */
	KMM_NODES_PREFER,     /* those of the set, then the others */
	KMM_NODES_INTERLEAVE, /* in turn over the set, one allocation each; then the others */
};

struct kmm_node_policy {
	enum kmm_node_policy_kind kind;
	uint32_t set;  /* one bit a node */
	uint32_t next; /* atomic; whose turn it is; begin with 0 */
};

/// kmm_frame_alloc under a node policy. NULL: KMM_NODES_LOCAL.
KMM_MUST_CHECK enum kmm_error kmm_frame_alloc_on(struct kmm *k, unsigned order, unsigned flags,
						 struct kmm_node_policy *nodes,
						 struct kmm_pfn *out);

/// A contiguous range, any count, where a device or a mapping can use it.
struct kmm_frame_request {
	uint64_t n;       /* frames */
	uint64_t align_n; /* frames; a power of two, 0 = 1 */
	struct kmm_pa lo; /* not below */
	struct kmm_pa hi; /* ends here at the latest; 0 = no limit */
	unsigned flags;   /* KMM_FRAME_RESERVE is ignored */
	struct kmm_node_policy *nodes; /* NULL: KMM_NODES_LOCAL */
};

/// Allocates a range, all in one zone.
/// Locks:  plug, zone
/// Owns:   caller, until kmm_frame_free_range
/// Errors: KMM_ENOMEM, KMM_EINVAL (n = 0, alignment or flags make no sense, n frames don't
///         fit between the limits); *out untouched
/// Cost:   O(n), and O(free runs) where memory is fragmented or there are limits
KMM_MUST_CHECK enum kmm_error kmm_frame_alloc_range(struct kmm *k,
						    const struct kmm_frame_request *r,
						    struct kmm_pfn *out);

/// Returns a range, whole.
/// Errors: as kmm_frame_free; KMM_EWRONGORDER for another n than allocated, or a block
///         that kmm_frame_alloc gave
/// Cost:   O(n)
KMM_MUST_CHECK enum kmm_error kmm_frame_free_range(struct kmm *k, struct kmm_pfn pfn, uint64_t n);

/// Returns all cached frames of every CPU to the policies. Without effect where
/// the preset's caches never drain.
/// Pre: interrupts on (it waits for other CPUs)
void kmm_frame_drain(struct kmm *k);

/// Takes back what CPU i has in its caches, after it went offline.
/// Pre: CPU i uses the instance no more; kmm_port_online doesn't name it
void kmm_frame_retire_cpu(struct kmm *k, unsigned i);

/// Zeroes up to n free frames, so that later KMM_FRAME_ZERO find them done; for an idle
/// CPU, interrupts on. Locks: plug, zone. Returns: how many
uint64_t kmm_frame_zero_idle(struct kmm *k, uint64_t n);

/// The block's contents through the direct map.
void *kmm_frame_virt(struct kmm *k, struct kmm_pfn pfn);

struct kmm_frame_stats {
	uint64_t managed_n;  /* frames the policies were given */
	uint64_t free_n;     /* free, cached ones included, the reserve not */
	uint64_t cached_n;   /* of these, in per-CPU caches */
	uint64_t reserve_n;  /* in the emergency reserve */
	uint64_t alloc_n, free_calls_n, refill_n, drain_n, fail_n; /* events */
	uint64_t lock_n;     /* policy lock acquisitions */
	uint64_t meta_bytes; /* policy metadata, tags and entries */
};

/// A snapshot; lock-free, safe from the first line of init on, each number exact only
/// when nothing runs.
/// Cost: O(CPUs + zones)
void kmm_frame_stats(struct kmm *k, struct kmm_frame_stats *s);

/// Order + 1 of the largest block that could be allocated now, caches left alone; 0: none.
/// A hint. Cost: O(free runs)
unsigned kmm_frame_largest_order(struct kmm *k);

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
