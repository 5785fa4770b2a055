/// What kmm_init, kmm_check and kmm_teardown need of the frame unit.
#ifndef KMM_FRAME_UNIT_H
#define KMM_FRAME_UNIT_H

#include "base/instance.h"

/// Adds this unit's share to a running metadata total.
uint64_t frame_meta_bytes(const struct kmm_config *c, uint64_t total);

/// Sets k->frame and each CPU's part.
KMM_MUST_CHECK enum kmm_error frame_init(struct kmm *k, const struct kmm_config *c,
				    struct meta *m);

/// Frees what the unit made for itself after init.
void frame_teardown(struct kmm *k);

/// The whole unit's invariants.
KMM_MUST_CHECK enum kmm_error frame_check(struct kmm *k);

#endif
