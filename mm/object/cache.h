/// What the unit's files share about caches as wholes.
#ifndef KMM_OBJECT_CACHE_H
#define KMM_OBJECT_CACHE_H

#include "object/magazine.h"

/// Size of a named cache's record with all CPUs' magazines.
size_t cache_record_bytes(const struct kmm *k);

/// Sets how many objects move at once for magazines of cap_n.
void cache_set_batch(struct kmm_cache *c, uint32_t cap_n);

/// Objects its callers have. Pre: all CPUs are quiet as to this cache
uint64_t cache_out_n(struct kmm_cache *c);

/// Drains all CPUs' magazines and releases every empty slab. Pre: as above
void cache_empty(struct kmm_cache *c);

/// What is wrong with a pointer that leads to no object: memory that is nobody's
/// was given back before, other memory isn't ours.
/// Returns: KMM_EDOUBLEFREE or KMM_EINVAL
enum kmm_error object_blame(struct kmm *k, const void *p);

/// Counts a public allocation that failed.
void object_note_failure(struct kmm *k);

#endif
