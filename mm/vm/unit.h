/// What kmm_init, kmm_check and kmm_teardown need of the vm unit.
#ifndef KMM_VM_UNIT_H
#define KMM_VM_UNIT_H

#include "base/instance.h"

/// Adds this unit's share to a running metadata total.
uint64_t vm_meta_bytes(const struct kmm_config *c, uint64_t total);

/// Sets k->vm and each CPU's part.
KMM_MUST_CHECK enum kmm_error vm_init(struct kmm *k, const struct kmm_config *c,
				    struct meta *m);

/// Frees what the unit made for itself after init.
void vm_teardown(struct kmm *k);

/// The whole unit's invariants.
KMM_MUST_CHECK enum kmm_error vm_check(struct kmm *k);

#endif
