/// What kmm_init, kmm_check and kmm_teardown need of the object unit.
#ifndef KMM_OBJECT_UNIT_H
#define KMM_OBJECT_UNIT_H

#include "base/instance.h"

/// Adds this unit's share to a running metadata total.
uint64_t object_meta_bytes(const struct kmm_config *c, uint64_t total);

/// Sets k->object and each CPU's part.
KMM_MUST_CHECK enum kmm_error object_init(struct kmm *k, const struct kmm_config *c,
				    struct meta *m);

/// The caches made so far are the manager's own: they don't count against the
/// preset's limit. Once, at the end of kmm_init.
void object_caches_own(struct kmm *k);

/// Frees what the unit made for itself after init.
void object_teardown(struct kmm *k);

/// The whole unit's invariants.
KMM_MUST_CHECK enum kmm_error object_check(struct kmm *k);

#endif
