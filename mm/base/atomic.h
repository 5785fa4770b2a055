/// The only way to touch memory that another CPU may touch at the same time
/// without a lock. In kernels and on threads each is the plain instruction; on
/// the simulated machine KMM_POINT makes it a place where CPUs may be switched.
/// The orders are those of C11, spelt in the name.
#ifndef KMM_BASE_ATOMIC_H
#define KMM_BASE_ATOMIC_H

#include "port/port.h"

#define atomic_load_relaxed(p) (KMM_POINT("load", p), __atomic_load_n((p), __ATOMIC_RELAXED))
#define atomic_load_acquire(p) (KMM_POINT("load", p), __atomic_load_n((p), __ATOMIC_ACQUIRE))
#define atomic_store_relaxed(p, v) \
	(KMM_POINT("store", p), __atomic_store_n((p), (v), __ATOMIC_RELAXED))
#define atomic_store_release(p, v) \
	(KMM_POINT("store", p), __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#define atomic_add_relaxed(p, v) \
	(KMM_POINT("rmw", p), __atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
#define atomic_add_acq_rel(p, v) \
	(KMM_POINT("rmw", p), __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL))
#define atomic_sub_release(p, v) \
	(KMM_POINT("rmw", p), __atomic_fetch_sub((p), (v), __ATOMIC_RELEASE))
#define atomic_sub_acq_rel(p, v) \
	(KMM_POINT("rmw", p), __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL))
#define atomic_or_seq_cst(p, v) \
	(KMM_POINT("rmw", p), __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST))
#define atomic_and_seq_cst(p, v) \
	(KMM_POINT("rmw", p), __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST))
#define atomic_or_acq_rel(p, v) \
	(KMM_POINT("rmw", p), __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL))
#define atomic_and_acq_rel(p, v) \
	(KMM_POINT("rmw", p), __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL))
#define atomic_exchange_acquire(p, v) \
	(KMM_POINT("rmw", p), __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE))
#define atomic_exchange_acq_rel(p, v) \
	(KMM_POINT("rmw", p), __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL))
/// On failure *expected is what was there. Strong: fails only if different.
#define atomic_cas_acq_rel(p, expected, v)                                         \
	(KMM_POINT("rmw", p), __atomic_compare_exchange_n((p), (expected), (v), 0, \
							  __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
#define atomic_fence_seq_cst() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/// An event counter that one CPU writes and any may read: no locked instruction.
#define counter_add(p, v) __atomic_store_n((p), *(p) + (v), __ATOMIC_RELAXED)
#define counter_read(p) __atomic_load_n((p), __ATOMIC_RELAXED)

#endif
