/// Zones and nodes: where frames come from. A zone is a span of one kind on one node
/// with a policy of its own; nodes have distances and tiers.
#ifndef KMM_ZONE_H
#define KMM_ZONE_H

#include <kmm/frame.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KMM_ZONES_MAX 32u
#define KMM_NODES_MAX 8u
#define KMM_NODE_RANGES_MAX 32u

/// What firmware says of nodes (ACPI SRAT and SLIT, or a device tree's numa-node-id and
/// distance-map). Memory that no range names is node 0's.
struct kmm_topology {
	unsigned nodes_n;  /* 1..KMM_NODES_MAX */
	unsigned ranges_n;
	struct {
		struct kmm_pa start, end;
		uint8_t node;
	} range[KMM_NODE_RANGES_MAX];
	uint8_t distance[KMM_NODES_MAX][KMM_NODES_MAX]; /* 10 = local, as in SLIT; 0 = unknown */
	uint8_t tier[KMM_NODES_MAX]; /* 0 = main memory; higher: slower, used later */
	uint8_t cpu_node[KMM_CPUS_MAX];
};

/// How much is left of a zone. Each level begins where free frames fall below its mark.
enum kmm_level {
	KMM_LEVEL_OK,
	KMM_LEVEL_LOW,      /* reclaim should begin in the background */
	KMM_LEVEL_MIN,      /* allocations should reclaim themselves */
	KMM_LEVEL_CRITICAL,
	KMM_LEVELS_N
};

struct kmm_zone_info {
	enum kmm_zone_kind kind;
	const char *name;     /* of the kind */
	const char *policy;
	unsigned node, tier;
	struct kmm_pfn base, end; /* span, holes included */
	uint64_t managed_n;       /* frames */
	uint64_t free_n;          /* in the policy, caches not */
	uint64_t claim_n, release_n, fail_n; /* calls of the policy; claims that got nothing */
	uint64_t mark[KMM_LEVELS_N];         /* frames; [KMM_LEVEL_OK] unused */
	enum kmm_level level;
};

/// How many zones there are; they are numbered by rising address.
unsigned kmm_zones_n(struct kmm *k);

/// Zone i. Lock-free; a snapshot. Errors: KMM_EINVAL
KMM_MUST_CHECK enum kmm_error kmm_zone_info(struct kmm *k, unsigned i, struct kmm_zone_info *out);

/// dma, dma32, normal, high, device.
const char *kmm_zone_kind_name(enum kmm_zone_kind kind);

/// The node of a frame; 0 for frames of no zone.
unsigned kmm_node_of(struct kmm *k, struct kmm_pfn pfn);

/// Sets a zone's marks, in frames; low >= min >= critical. The listener is told if that
/// changes the level. Until they are set, they are 1/64, 1/128 and 1/256 of the zone.
/// Errors: KMM_EINVAL; state unchanged
KMM_MUST_CHECK enum kmm_error kmm_zone_set_marks(struct kmm *k, unsigned i, uint64_t low,
						 uint64_t min, uint64_t critical);

/// Who wants to know of pressure. Callbacks run where the allocation or free ran that
/// crossed a mark, without a lock of kmm's frame unit; with interrupts off if they were
/// off there. They may free, and allocate with KMM_FRAME_NOWAIT.
struct kmm_pressure {
	void *ctx;
	/// A zone's level has changed, in either direction. May be NULL.
	void (*level)(struct kmm *k, void *ctx, unsigned zone, enum kmm_level level);
	/// An allocation is about to fail: free something. Not called for KMM_FRAME_NOWAIT, nor
	/// with interrupts off. Returns: frames freed, 0 = nothing to be had. May be NULL.
	uint64_t (*reclaim)(struct kmm *k, void *ctx, unsigned order);
};

/// One listener; NULL ends it. The struct must live until it is replaced. Levels as they
/// are at that time aren't told; kmm_zone_info has them.
/// Pre: no allocation runs
void kmm_pressure_listen(struct kmm *k, const struct kmm_pressure *p);

/// Adds frames that a pluggable range (KMM_MEM_PLUGGABLE) now holds, or that were
/// unplugged before.
/// Locks:  plug, zone
/// Errors: KMM_EINVAL (not all of it was ever called memory), KMM_EBUSY (some are there
///         already); state unchanged
/// Cost:   O(n)
KMM_MUST_CHECK enum kmm_error kmm_frame_plug(struct kmm *k, struct kmm_pfn pfn, uint64_t n);

/// Takes frames out of use for good; any range, all of which must be free or isolated.
/// With interrupts on, all caches are emptied first.
/// Locks:  drain, plug, zone
/// Errors: KMM_EINVAL (holes, or frames that aren't there), KMM_EBUSY (not all free; the
///         emergency reserve isn't, nor are caches that can't be emptied); state unchanged
/// Cost:   O(n)
KMM_MUST_CHECK enum kmm_error kmm_frame_unplug(struct kmm *k, struct kmm_pfn pfn, uint64_t n);

/// Takes the free frames of a range out of their policy, so that nobody gets them while
/// the others are moved away. *busy_n = frames of it still in use, holes not counted. What
/// is freed later isn't isolated: call it again until nothing is busy. With interrupts
/// on, all caches are emptied first.
/// Locks:  drain, plug, zone
/// Owns:   caller, until kmm_frame_unisolate or kmm_frame_unplug
/// Errors: KMM_EINVAL (n = 0, or outside the memory map)
/// Cost:   O(n)
KMM_MUST_CHECK enum kmm_error kmm_frame_isolate(struct kmm *k, struct kmm_pfn pfn, uint64_t n,
						uint64_t *busy_n);

/// Gives back what isolate took of a range.
/// Locks:  plug, zone
/// Errors: as kmm_frame_isolate
/// Cost:   O(n)
KMM_MUST_CHECK enum kmm_error kmm_frame_unisolate(struct kmm *k, struct kmm_pfn pfn, uint64_t n);

/// How scattered a zone's free memory is.
struct kmm_fragmentation {
	uint64_t free_n;        /* frames */
	uint64_t runs_n;        /* maximal runs of free frames */
	uint64_t largest_run_n; /* frames; mean run = free_n / runs_n */
	uint64_t whole_n;       /* aligned 2 MiB blocks that are wholly free */
	uint64_t blocks_n[KMM_ORDER_MAX + 1u]; /* free memory cut into largest aligned blocks */
	/* Per mille of free memory that no block of an order can use: 0 = none is lost. */
	uint16_t unusable[KMM_ORDER_MAX + 1u];
};

/// Errors: KMM_EINVAL
/// Cost:   O(free runs); not a snapshot while others allocate
KMM_MUST_CHECK enum kmm_error kmm_zone_fragmentation(struct kmm *k, unsigned i,
						     struct kmm_fragmentation *f);

#ifdef __cplusplus
}
#endif
#endif
