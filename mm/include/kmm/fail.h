/// Failure injection: makes the k-th allocation of a class fail. Compiled in
/// only where KMM_CONFIG_FAIL is 1; elsewhere arming is refused and hot paths
/// carry nothing.
#ifndef KMM_FAIL_H
#define KMM_FAIL_H

#include <kmm/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum kmm_fail_class {
	KMM_FAIL_FRAME,  /* kmm_frame_alloc, its other forms, kmm_frame_alloc_range */
	KMM_FAIL_TABLE,  /* a page-table page */
	KMM_FAIL_OBJECT, /* a slab object or kmm_alloc block */
	KMM_FAIL_CLASS_N
};

/// From now on the nth attempt (1 = the next) of the class by this CPU fails, once.
/// Arms are each CPU's own, so that what other CPUs do meanwhile moves no failure.
/// Errors: KMM_EUNSUPPORTED, KMM_EINVAL
KMM_MUST_CHECK enum kmm_error kmm_fail_arm(struct kmm *k, enum kmm_fail_class c, uint32_t nth);

/// Disarms all classes on this CPU. Returns: whether an injected failure happened here
/// since the last kmm_fail_arm.
bool kmm_fail_disarm(struct kmm *k);

#ifdef __cplusplus
}
#endif
#endif
