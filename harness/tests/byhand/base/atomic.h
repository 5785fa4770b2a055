/// mm/base/atomic.h as one would write it who had only kernels in mind: the compiler's
/// builtin at each place, nothing between. mm/ compiled with this folder first in the
/// include path must give the same code as without (scripts/test.d/objects): what the
/// simulated machine needs of the real header costs the others nothing.
/// With BYHAND_FENCE each lock_release has a fence too many: the comparison must see it.
#ifndef KMM_BASE_ATOMIC_H
#define KMM_BASE_ATOMIC_H

#include "port/port.h"

#define atomic_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define atomic_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define atomic_load_seq_cst(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define atomic_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define atomic_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define atomic_add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define atomic_add_acq_rel(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define atomic_sub_release(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELEASE)
#define atomic_sub_acq_rel(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define atomic_or_seq_cst(p, v) __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define atomic_and_seq_cst(p, v) __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)
#define atomic_or_acq_rel(p, v) __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define atomic_and_acq_rel(p, v) __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)
#define atomic_exchange_acquire(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE)
#define atomic_exchange_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define atomic_cas_acq_rel(p, expected, v)                                          \
	__atomic_compare_exchange_n((p), (expected), (v), 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define atomic_fence_seq_cst() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define atomic_load_eight_relaxed(p) \
	__atomic_load_n((const uint64_t *)(const void *)(p), __ATOMIC_RELAXED)
#define atomic_store_eight_relaxed(p, v) \
	__atomic_store_n((uint64_t *)(void *)(p), (v), __ATOMIC_RELAXED)
#define counter_add(p, v) __atomic_store_n((p), *(p) + (v), __ATOMIC_RELAXED)
#define counter_read(p) __atomic_load_n((p), __ATOMIC_RELAXED)

#endif
