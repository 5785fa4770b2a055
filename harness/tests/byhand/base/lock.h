/// mm/base/lock.h with the builtins in place (see atomic.h beside it). Functions stay
/// functions, what notes ranks included, though it is empty: gcc decides what to inline by
/// counting calls.
#ifndef KMM_BASE_LOCK_H
#define KMM_BASE_LOCK_H

#include "base/call.h"
#include "base/instance.h"
#include "base/lock_ranks.h"

struct lock {
	uint32_t taken;
	uint32_t rank;
};

static inline void lock_init(struct lock *l, enum lock_rank rank)
{
	l->taken = 0;
	l->rank = rank;
}

static inline void lock_note_taken(struct kmm *k, struct lock *l)
{
	(void)k;
	(void)l;
}

static inline void lock_note_released(struct kmm *k, struct lock *l)
{
	(void)k;
	(void)l;
}

__attribute__((cold)) void lock_wait(struct kmm *k, struct lock *l);
__attribute__((cold)) void lock_count_refused(struct kmm *k, const struct lock *l);

static inline unsigned long lock_acquire(struct kmm *k, struct lock *l)
{
	unsigned long was = kmm_port_irq_save(k);

	if (__atomic_exchange_n(&l->taken, 1u, __ATOMIC_ACQUIRE) != 0)
		lock_wait(k, l);
	lock_note_taken(k, l);
	return was;
}

static inline bool lock_try_acquire(struct kmm *k, struct lock *l, unsigned long *was)
{
	*was = kmm_port_irq_save(k);
	if (__atomic_exchange_n(&l->taken, 1u, __ATOMIC_ACQUIRE) != 0) {
		lock_count_refused(k, l);
		kmm_port_irq_restore(k, *was);
		return false;
	}
	lock_note_taken(k, l);
	return true;
}

static inline void lock_release(struct kmm *k, struct lock *l, unsigned long was)
{
	lock_note_released(k, l);
#ifdef BYHAND_FENCE
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
	__atomic_store_n(&l->taken, 0u, __ATOMIC_RELEASE);
	kmm_port_irq_restore(k, was);
}

#endif
