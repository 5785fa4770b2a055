/// The frame unit's own state; nobody else includes this.
#ifndef KMM_FRAME_STATE_H
#define KMM_FRAME_STATE_H

#include "base/lock.h"
#include "frame/entry.h"
#include "frame/policy.h"

/// One zone (theory in zone.c). Its first line is constant after init.
struct zone {
	uint64_t base, end; /* frames; zones are disjoint */
	const struct frame_policy *policy;
	void *state;
	uint8_t kind, node, tier, index; /* kind: enum kmm_zone_kind */

	uint64_t free_n __attribute__((aligned(64))); /* atomic; zone I1 */
	uint64_t managed_n;           /* atomic; written under LOCK_PLUG */
	uint64_t fail_n;              /* atomic; claims that got nothing */
	uint64_t mark[KMM_LEVELS_N];  /* atomic; frames */
	uint32_t level;               /* atomic; enum kmm_level last told */
	uint64_t zero_at;             /* atomic; frame where idle zeroing goes on; a hint */
};

/// Zones in the order in which an allocation tries them.
struct zone_list {
	uint8_t n;
	uint8_t zone[KMM_ZONES_MAX];
};

/// Values of magazine.young that are no frame number.
#define YOUNG_NONE (~0ull - 1u) /* the next push may stand there */
#define YOUNG_SHUT (~0ull)      /* it may not: frees take the slow path */

/// A CPU's cache of blocks of one order and group (theory in cache.c): a stack, and one
/// block before it. Guard: its CPU, interrupts off; young, n and the counts are read by
/// any. All that a hit touches, but the slot, is in one cache line.
struct magazine {
	uint64_t young;    /* atomic; a frame number, or YOUNG_ */
	uint32_t n;        /* atomic; blocks in slot[] */
	uint32_t room;     /* pushes fit into slot[] while n < room */
	uint64_t base, span_n; /* of the zone its frames are of */
	struct kmm_pfn *slot;  /* [max]; the youngest on top; constant */
	struct zone *zone;     /* NULL until the first refill */
	uint64_t alloc_n;      /* blocks popped */
	uint64_t moved_n;      /* blocks by refills less those by spills and drains; so what
	                          was pushed needs no count (magazine_count) */
	/* Not touched by a hit. */
	uint32_t batch;    /* blocks a refill or spill moves */
	uint32_t size;     /* blocks it may hold now: grows to max */
	uint32_t max;      /* constant */
	uint8_t order, group; /* constant */
	uint8_t way, way_n;   /* WAY_ of the last transfer, and how many went on the same way */
	uint32_t way_moved;   /* blocks it moved */
	uint64_t way_alloc_n; /* alloc_n then */
} __attribute__((aligned(64)));

/// Ways of a magazine's transfers.
enum { WAY_NONE, WAY_REFILL, WAY_SPILL };

/// Which magazine: single frames by group, then pinned blocks of orders 1 to 3, then 9.
enum {
	MAGAZINE_PINNED,
	MAGAZINE_MOVABLE,
	MAGAZINE_ORDER_1,
	MAGAZINE_ORDER_2,
	MAGAZINE_ORDER_3,
	MAGAZINE_HUGE,
	MAGAZINES_N
};

/// Single frames on their way back to their policy, while memory is scattered.
#define BACK_N 256u

/// One CPU's caches and event counts. Guard: its CPU, interrupts off.
struct frame_cpu {
	struct magazine magazine[MAGAZINES_N];
	/* Read by others who look for frames; the counts would get in their way. */
	uint32_t back_n;    /* atomic; frames in back[] */
	uint32_t live;      /* atomic; a bit a magazine that has a zone: all others are empty */
	bool scattered;     /* frees of single frames go to back[] */
	uint8_t node;       /* constant */
	struct zone *back_zone; /* theirs, if back_n != 0 */
	struct kmm_pfn *back;   /* [BACK_N]; constant */

	uint64_t refill_n __attribute__((aligned(64)));
	uint64_t drain_n, fail_n; /* events */
	uint64_t direct_alloc_n, direct_free_n; /* calls that passed all magazines by */
	uint64_t claim_n[KMM_ZONES_MAX], release_n[KMM_ZONES_MAX]; /* calls of zones' policies */
	uint32_t told;      /* atomic; zones whose level may have changed, one bit each */
} __attribute__((aligned(64)));

/// Frames kept for those that may not fail.
struct reserve {
	struct lock lock;      /* LOCK_RESERVE */
	uint32_t n;            /* atomic; in slot[]; written under lock */
	uint32_t want_n;       /* constant */
	struct kmm_pfn *slot;  /* [want_n]; lock */
};

/// Frames [start, end) that the memory map called memory, there or not.
struct memory_range {
	uint64_t start, end;
};

struct frame_state {
	/* Constant after init. */
	struct memory_range memory[KMM_MEMMAP_MAX]; /* sorted; none touch */
	unsigned memory_n;
	unsigned zones_n, nodes_n;
	bool drains;        /* cached frames can be called back */
	bool caches;        /* there are any */
	uint64_t meta_bytes;
	uint8_t distance[KMM_NODES_MAX][KMM_NODES_MAX];
	uint8_t tier[KMM_NODES_MAX];
	struct zone_list list[KMM_NODES_MAX][KMM_ZONE_KINDS_N]; /* by CPU's node, first kind */

	struct lock drain;  /* LOCK_DRAIN: one drain at a time */
	struct lock plug;   /* LOCK_PLUG: frames come and go */
	const struct kmm_pressure *pressure; /* atomic */
	uint32_t zeroed_some; /* atomic; 1 once a frame was remembered as zero */
	struct reserve reserve;
	struct zone zone[KMM_ZONES_MAX];
};

/// How an allocation is to be served.
struct frame_want {
	unsigned order, flags;
	enum frame_group group;
	struct kmm_node_policy *nodes; /* NULL: local first */
};

static inline enum frame_group group_of_flags(unsigned flags)
{
	return flags & KMM_FRAME_MOVABLE ? FRAME_GROUP_MOVABLE : FRAME_GROUP_PINNED;
}

#endif
