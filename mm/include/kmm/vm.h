/// Address spaces: regions, faults, copy-on-write fork.
#ifndef KMM_VM_H
#define KMM_VM_H

#include <kmm/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum kmm_map_flags {
	KMM_MAP_FIXED = 1, /* exactly at the address; replaces what is there */
	KMM_MAP_STACK = 2, /* merges with its like only */
};

enum kmm_fault_result {
	KMM_FAULT_RESOLVED,
	KMM_FAULT_SEGV, /* nothing mapped, or not allowed */
	KMM_FAULT_OOM,
};

/// User addresses that can be mapped: [KMM_USER_MIN, the format's user_end).
#define KMM_USER_MIN 0x10000ull

/// A new, empty address space.
/// Errors: KMM_ENOMEM, KMM_EUNSUPPORTED (a preset without user space)
KMM_MUST_CHECK enum kmm_error kmm_space_create(struct kmm *k, struct kmm_space **out);

/// Unmaps everything and frees the space.
/// Pre: active on no other CPU's current thread; CPUs that only still have it
///      loaded are switched away
void kmm_space_destroy(struct kmm_space *s);

/// A copy: private memory is shared copy-on-write, frame by frame.
/// Errors: KMM_ENOMEM, KMM_ELIMIT; the parent unchanged as far as any access
///         can tell
KMM_MUST_CHECK enum kmm_error kmm_space_fork(struct kmm_space *parent, struct kmm_space **out);

/// Makes the space current on this CPU; NULL: none. Cost: nothing if it is.
void kmm_space_activate(struct kmm *k, struct kmm_space *s);

/// Maps anonymous private zeroed memory.
/// Units:  *addr and bytes in bytes, bytes rounded up to pages
/// With KMM_MAP_FIXED *addr says where; otherwise it is chosen and returned.
/// Errors: KMM_EINVAL (zero, unknown flags or protection; fixed: wrapping, unaligned,
///         below KMM_USER_MIN or outside the user half), KMM_EACCES (W and X),
///         KMM_ENOMEM (no memory, or no gap), KMM_ELIMIT; unchanged
KMM_MUST_CHECK enum kmm_error kmm_space_map(struct kmm_space *s, struct kmm_va *addr,
					    uint64_t bytes, unsigned prot, unsigned flags);

/// Unmaps [addr, addr + bytes), holes included.
/// Errors: KMM_EINVAL, KMM_ENOMEM, KMM_ELIMIT (a split needs a region); unchanged
KMM_MUST_CHECK enum kmm_error kmm_space_unmap(struct kmm_space *s, struct kmm_va addr,
					      uint64_t bytes);

/// Sets the protection of a range that must be mapped throughout.
/// Errors: KMM_EINVAL, KMM_EACCES (W and X), KMM_ENOMEM (a hole, as in Linux, or
///         no memory), KMM_ELIMIT; unchanged
KMM_MUST_CHECK enum kmm_error kmm_space_protect(struct kmm_space *s, struct kmm_va addr,
						uint64_t bytes, unsigned prot);

/// Sets where the heap begins; once, before the first kmm_space_brk.
/// Errors: KMM_EINVAL (no user address), KMM_EEXIST (set already)
KMM_MUST_CHECK enum kmm_error kmm_space_brk_init(struct kmm_space *s, struct kmm_va base);

/// Moves the end of the heap; addr 0 asks. *now = the end after the call. Growth
/// onto another mapping is refused.
/// Errors: KMM_ENOMEM, KMM_EINVAL (below the base), KMM_ELIMIT; unchanged
KMM_MUST_CHECK enum kmm_error kmm_space_brk(struct kmm_space *s, struct kmm_va addr,
					    struct kmm_va *now);

/// Resolves a fault of the space that is current on this CPU.
enum kmm_fault_result kmm_space_fault(struct kmm_space *s, struct kmm_va addr,
				      enum kmm_access access);

/// Copies between the kernel and a space, faulting pages in as an access would.
/// Returns: bytes copied; fewer than `bytes` if an access was refused
size_t kmm_space_read(struct kmm_space *s, struct kmm_va from, void *to, size_t bytes);
size_t kmm_space_write(struct kmm_space *s, struct kmm_va to, const void *from, size_t bytes);

/// Calls fn for each region in address order; stops when it returns false.
/// Locks: the space's; fn must not call back into it
void kmm_space_regions(struct kmm_space *s,
		       bool (*fn)(void *ctx, struct kmm_va start, struct kmm_va end,
				  unsigned prot),
		       void *ctx);

struct kmm_pt *kmm_space_pt(struct kmm_space *s);

struct kmm_vm_stats {
	uint64_t spaces_n, regions_n;
	uint64_t faults_n, zero_fills_n, cow_copies_n, cow_reuses_n, forks_n;
};

void kmm_vm_stats(struct kmm *k, struct kmm_vm_stats *s);

/// Walks regions and tables, and compares them.
/// Errors: KMM_ECORRUPT, with the broken invariant in the log
KMM_MUST_CHECK enum kmm_error kmm_space_check(struct kmm_space *s);

#ifdef __cplusplus
}
#endif
#endif
