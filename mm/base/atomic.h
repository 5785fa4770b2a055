/// The only way to touch memory that another CPU may touch at the same time
/// without a lock. In kernels and on threads each is the compiler's own atomic. An
/// embedder's <port/local.h> may define the KMM_ATOMIC_ macros itself, as the
/// simulated machine does, whose CPUs are switched here and see each other's stores
/// as late as C11 allows.
/// The orders are those of C11, spelt in the name.
#ifndef KMM_BASE_ATOMIC_H
#define KMM_BASE_ATOMIC_H

#include "port/port.h"

#ifndef KMM_ATOMIC_LOAD
#define KMM_ATOMIC_LOAD(p, order) __atomic_load_n((p), (order))
#define KMM_ATOMIC_STORE(p, v, order) __atomic_store_n((p), (v), (order))
#define KMM_ATOMIC_EXCHANGE(p, v, order) __atomic_exchange_n((p), (v), (order))
/// op: add, sub, or, and. The value from before.
#define KMM_ATOMIC_FETCH(op, p, v, order) __atomic_fetch_##op((p), (v), (order))
#define KMM_ATOMIC_CAS(p, expected, v) \
	__atomic_compare_exchange_n((p), (expected), (v), 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define KMM_ATOMIC_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)
/// Eight bytes in one access, which orders nothing. p: a byte's address, a multiple of 8.
#define KMM_ATOMIC_LOAD_EIGHT(p) __atomic_load_n((const uint64_t *)(const void *)(p), __ATOMIC_RELAXED)
#define KMM_ATOMIC_STORE_EIGHT(p, v) \
	__atomic_store_n((uint64_t *)(void *)(p), (v), __ATOMIC_RELAXED)
/// Counters order nothing, and nobody decides by them.
#define KMM_COUNTER_ADD(p, v) __atomic_store_n((p), *(p) + (v), __ATOMIC_RELAXED)
#define KMM_COUNTER_READ(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#endif

#define atomic_load_relaxed(p) KMM_ATOMIC_LOAD(p, __ATOMIC_RELAXED)
#define atomic_load_acquire(p) KMM_ATOMIC_LOAD(p, __ATOMIC_ACQUIRE)
#define atomic_load_seq_cst(p) KMM_ATOMIC_LOAD(p, __ATOMIC_SEQ_CST)
#define atomic_store_relaxed(p, v) KMM_ATOMIC_STORE(p, v, __ATOMIC_RELAXED)
#define atomic_store_release(p, v) KMM_ATOMIC_STORE(p, v, __ATOMIC_RELEASE)
#define atomic_add_relaxed(p, v) KMM_ATOMIC_FETCH(add, p, v, __ATOMIC_RELAXED)
#define atomic_add_acq_rel(p, v) KMM_ATOMIC_FETCH(add, p, v, __ATOMIC_ACQ_REL)
#define atomic_sub_release(p, v) KMM_ATOMIC_FETCH(sub, p, v, __ATOMIC_RELEASE)
#define atomic_sub_acq_rel(p, v) KMM_ATOMIC_FETCH(sub, p, v, __ATOMIC_ACQ_REL)
#define atomic_or_seq_cst(p, v) KMM_ATOMIC_FETCH(or, p, v, __ATOMIC_SEQ_CST)
#define atomic_and_seq_cst(p, v) KMM_ATOMIC_FETCH(and, p, v, __ATOMIC_SEQ_CST)
#define atomic_or_acq_rel(p, v) KMM_ATOMIC_FETCH(or, p, v, __ATOMIC_ACQ_REL)
#define atomic_and_acq_rel(p, v) KMM_ATOMIC_FETCH(and, p, v, __ATOMIC_ACQ_REL)
#define atomic_exchange_acquire(p, v) KMM_ATOMIC_EXCHANGE(p, v, __ATOMIC_ACQUIRE)
#define atomic_exchange_acq_rel(p, v) KMM_ATOMIC_EXCHANGE(p, v, __ATOMIC_ACQ_REL)
/// On failure *expected is what was there. Strong: fails only if different.
#define atomic_cas_acq_rel(p, expected, v) KMM_ATOMIC_CAS(p, expected, v)
#define atomic_fence_seq_cst() KMM_ATOMIC_FENCE()
/// Bytes that are atomic one by one, touched eight at a time by whom they belong to.
#define atomic_load_eight_relaxed(p) KMM_ATOMIC_LOAD_EIGHT(p)
#define atomic_store_eight_relaxed(p, v) KMM_ATOMIC_STORE_EIGHT(p, v)

/// An event counter that one CPU writes and any may read: no locked instruction.
#define counter_add(p, v) KMM_COUNTER_ADD(p, v)
#define counter_read(p) KMM_COUNTER_READ(p)

#endif
