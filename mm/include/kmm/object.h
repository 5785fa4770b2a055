/// Kernel objects: slab caches for one size, and kmalloc over size classes.
#ifndef KMM_OBJECT_H
#define KMM_OBJECT_H

#include <kmm/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Creates a cache of equal objects.
/// Pre:    bytes in 1..16384; align a power of two <= 4096 (0 = natural, >= 8)
/// Owns:   caller, until kmm_cache_destroy. `name` must outlive the cache.
/// Errors: KMM_ENOMEM, KMM_EINVAL, KMM_ELIMIT (the preset's number of caches)
/// `ctor` (may be NULL) runs once per object when its slab is made; a freed
/// object must be back in constructed state.
KMM_MUST_CHECK enum kmm_error kmm_cache_create(struct kmm *k, const char *name, size_t bytes,
					       size_t align, void (*ctor)(void *object),
					       struct kmm_cache **out);

/// Pre:    no CPU uses the cache, nor will
/// Errors: KMM_EBUSY while objects are out
KMM_MUST_CHECK enum kmm_error kmm_cache_destroy(struct kmm_cache *c);

/// NULL when out of memory. Contents as the constructor or the last owner
/// left them. Cost: O(1)
KMM_MUST_CHECK void *kmm_cache_alloc(struct kmm_cache *c);

/// Errors: KMM_EDOUBLEFREE, KMM_EINVAL (not this cache's); state unchanged
KMM_MUST_CHECK enum kmm_error kmm_cache_free(struct kmm_cache *c, void *p);

/// Allocates at least `bytes` (> 0), 16-byte aligned; NULL when out of memory
/// or above 4 MiB. Contents undefined.
KMM_MUST_CHECK void *kmm_alloc(struct kmm *k, size_t bytes);

/// As kmm_alloc of n * bytes, zeroed; NULL when the product overflows.
KMM_MUST_CHECK void *kmm_calloc(struct kmm *k, size_t n, size_t bytes);

/// Grows or shrinks; moves if it must. NULL leaves the old block as it was.
/// p == NULL allocates.
KMM_MUST_CHECK void *kmm_realloc(struct kmm *k, void *p, size_t bytes);

/// Frees what kmm_alloc, kmm_calloc or kmm_realloc gave; NULL is fine.
/// Errors: KMM_EDOUBLEFREE (or a pointer into frames nobody has), KMM_EINVAL (not
///         ours); state unchanged
KMM_MUST_CHECK enum kmm_error kmm_free(struct kmm *k, void *p);

/// Bytes usable behind p; 0 if p is not a live kmm_alloc block. Cost: O(1)
size_t kmm_usable_bytes(struct kmm *k, const void *p);

/// Returns cached objects of this CPU and all empty slabs to the frames.
/// Returns: frames given back
uint64_t kmm_object_reclaim(struct kmm *k);

struct kmm_object_stats {
	uint64_t live_n;     /* objects out, all caches and kmalloc */
	uint64_t frames_n;   /* frames held by slabs and large objects */
	uint64_t caches_n;
	uint64_t alloc_n, free_calls_n, fail_n;
};

void kmm_object_stats(struct kmm *k, struct kmm_object_stats *s);

/// Pre:    no other CPU is in this unit
/// Errors: KMM_ECORRUPT, with the broken invariant in the log
KMM_MUST_CHECK enum kmm_error kmm_object_check(struct kmm *k);

#ifdef __cplusplus
}
#endif
#endif
