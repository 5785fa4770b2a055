/// The vm unit's own view of a space and of its state.
#ifndef KMM_VM_SPACE_H
#define KMM_VM_SPACE_H

#include <kmm/kmm.h>

#include "base/list.h"
#include "base/lock.h"
#include "vm/region.h"

/// Events; the letters of the alphabet that kmm_vm_stats adds up.
struct vm_counts {
	uint64_t faults_n, zero_fills_n, cow_copies_n, cow_reuses_n, forks_n;
};

struct vm_state {
	struct lock lock;               /* LOCK_SPACES */
	struct list spaces;             /* lock: LOCK_SPACES */
	uint64_t spaces_n;              /* lock: LOCK_SPACES */
	struct vm_counts past;          /* of destroyed spaces; lock: LOCK_SPACES */
	struct kmm_cache *space_cache;  /* constant after init; NULL: no user space */
	struct kmm_cache *region_cache; /* constant after init */
	struct kmm_pfn zero;            /* the shared zero frame; constant after init */
};

struct kmm_space {
	struct kmm *kmm;          /* constant */
	struct lock lock;         /* LOCK_SPACE; LOCK_SPACE_CHILD while fork makes it */
	struct kmm_pt pt;         /* lock: lock */
	struct tree regions;      /* by start, the sentinel included; lock: lock */
	struct region sentinel;   /* empty, at user_end; lock: lock */
	struct region *hit;       /* last region found, or NULL; lock: lock */
	uint64_t regions_n;       /* without the sentinel; lock: lock, read by any */
	uint64_t brk_base, brk;   /* bytes; base 0 = not set; lock: lock */
	struct vm_counts counts;  /* lock: lock, read by any */
	struct list link;         /* lock: LOCK_SPACES */
};

/// A space on no list yet, without regions; its lock has the rank given.
KMM_MUST_CHECK enum kmm_error space_make(struct kmm *k, enum lock_rank rank,
					 struct kmm_space **out);

/// Puts a finished space on the list; its lock gets its usual rank.
void space_publish(struct kmm_space *s);

/// Unmaps all and frees the space. Pre: on no list, loaded on no CPU
void space_unmake(struct kmm_space *s);

/// Makes the page at va accessible and says which frame it is. `*stale` (may be
/// NULL): the entry allowed the access already.
/// Locks: the space's
enum kmm_fault_result fault_resolve_locked(struct kmm_space *s, uint64_t va,
					   enum kmm_access access, struct kmm_pfn *pfn,
					   bool *stale);

#endif
