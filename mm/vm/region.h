/// Regions: what a space allows where. region.c holds the theory.
#ifndef KMM_VM_REGION_H
#define KMM_VM_REGION_H

#include <kmm/error.h>

#include "base/tree.h"

enum region_flags {
	REGION_STACK = 1,
	REGION_HEAP = 2, /* grown by brk; heap pieces join under every preset */
};

/// Lock: the space's, for all of it.
struct region {
	struct tree_node node; /* key: start; weight: the gap below */
	uint64_t end;
	uint8_t prot;          /* enum kmm_prot, normalised */
	uint8_t flags;         /* enum region_flags */
};

/// A range and what shall be there.
struct region_want {
	uint64_t start, end;
	uint8_t prot, flags;
};

#define REGION_RESERVE_MAX 2u

/// Regions taken before a change, so that the change can't fail.
struct region_reserve {
	struct region *region[REGION_RESERVE_MAX];
	unsigned n;
};

static inline struct region *region_of(struct tree_node *n)
{
	return n ? CONTAINER_OF(n, struct region, node) : NULL;
}

static inline uint64_t region_start(const struct region *r)
{
	return r->node.key;
}

static inline struct region *region_next(struct region *r)
{
	return region_of(tree_next(&r->node));
}

static inline struct region *region_prev(struct region *r)
{
	return region_of(tree_prev(&r->node));
}

/// All functions below: Locks: the space's.

/// An empty tree with its sentinel.
void regions_init(struct kmm_space *s);

/// Frees all regions. The tree is unusable after.
void regions_free(struct kmm_space *s);

/// Copies all regions of `from` into the empty `to`.
/// Errors: KMM_ENOMEM; some may have been copied
KMM_MUST_CHECK enum kmm_error regions_copy(struct kmm_space *to, struct kmm_space *from);

/// The region that holds addr, or NULL. Cost: O(1) on the last one found
struct region *region_find(struct kmm_space *s, uint64_t addr);

/// The first region that ends beyond addr; the sentinel if there is no other.
struct region *region_first(struct kmm_space *s, uint64_t addr);

/// The region above the highest gap of at least `bytes`, or NULL.
struct region *region_below_fits(struct kmm_space *s, uint64_t bytes);

/// Where the gap below r begins.
uint64_t region_gap_start(struct region *r);

/// Could these two be one, if they touched?
bool region_alike(const struct kmm_space *s, const struct region *a, const struct region *b);

/// Errors: KMM_ENOMEM, nothing reserved
KMM_MUST_CHECK enum kmm_error region_reserve(struct kmm_space *s, unsigned n,
					     struct region_reserve *v);

/// Gives back what was not used.
void region_unreserve(struct kmm_space *s, struct region_reserve *v);

/// Plans a new region over whatever is in its range. `first`: the first region
/// that ends beyond want->start.
/// Errors: KMM_ELIMIT, KMM_ENOMEM
KMM_MUST_CHECK enum kmm_error region_plan_put(struct kmm_space *s, struct region *first,
					      const struct region_want *want,
					      struct region_reserve *v);

/// Plans the removal of [start, end). Errors as above.
KMM_MUST_CHECK enum kmm_error region_plan_carve(struct kmm_space *s, struct region *first,
						uint64_t start, uint64_t end,
						struct region_reserve *v);

/// Plans another protection for [start, end); *changes: is there anything to do?
/// Errors: KMM_ENOMEM (also for a hole), KMM_ELIMIT
KMM_MUST_CHECK enum kmm_error region_plan_colour(struct kmm_space *s, struct region *first,
						 const struct region_want *want, bool *changes,
						 struct region_reserve *v);

/// Removes [start, end) from the regions. Returns: the first region beyond it.
/// Pre: planned
struct region *region_carve(struct kmm_space *s, struct region *first, uint64_t start,
			    uint64_t end, struct region_reserve *v);

/// Adds a region in the gap below `next`, or widens its neighbours.
/// Pre: planned, the range is free
void region_put(struct kmm_space *s, struct region *next, const struct region_want *want,
		struct region_reserve *v);

/// Sets the protection of a range that is mapped throughout.
/// Pre: planned
void region_colour(struct kmm_space *s, struct region *first, const struct region_want *want,
		   struct region_reserve *v);

#endif
