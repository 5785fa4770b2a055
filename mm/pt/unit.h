/// What kmm_init, kmm_check and kmm_teardown need of the pt unit.
#ifndef KMM_PT_UNIT_H
#define KMM_PT_UNIT_H

#include "base/instance.h"

/// Adds this unit's share to a running metadata total.
uint64_t pt_meta_bytes(const struct kmm_config *c, uint64_t total);

/// Sets k->pt and each CPU's part.
KMM_MUST_CHECK enum kmm_error pt_init(struct kmm *k, const struct kmm_config *c,
				    struct meta *m);

/// Frees what the unit made for itself after init.
void pt_teardown(struct kmm *k);

/// The whole unit's invariants.
KMM_MUST_CHECK enum kmm_error pt_check(struct kmm *k);

#endif
