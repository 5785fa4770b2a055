/// Ranked spinlocks that keep interrupts off while held. A CPU that spins
/// answers shootdowns meanwhile, so that a holder may wait for one. Waiting is out of
/// line and counted there (base/lock.c): a free lock costs its exchange and nothing more.
#ifndef KMM_BASE_LOCK_H
#define KMM_BASE_LOCK_H

#include "base/call.h"
#include "base/instance.h"
#include "base/lock_ranks.h"

struct lock {
	uint32_t taken; /* atomic */
	uint32_t rank;  /* enum lock_rank; constant */
};

static inline void lock_init(struct lock *l, enum lock_rank rank)
{
	l->taken = 0;
	l->rank = rank;
}

static inline void lock_note_taken(struct kmm *k, struct lock *l)
{
#if KMM_CONFIG_ASSERT >= 1
	struct kmm_cpu *cpu = kmm_port_cpu(k);

	KMM_ASSERT(k, cpu->locks_held >> l->rank == 0, "lock ranks rise");
	cpu->locks_held |= 1u << l->rank;
#else
	(void)k;
	(void)l;
#endif
}

static inline void lock_note_released(struct kmm *k, struct lock *l)
{
#if KMM_CONFIG_ASSERT >= 1
	struct kmm_cpu *cpu = kmm_port_cpu(k);

	KMM_ASSERT(k, cpu->locks_held & (1u << l->rank), "the holder releases");
	cpu->locks_held &= ~(1u << l->rank);
#else
	(void)k;
	(void)l;
#endif
}

/// Counts a lock that this CPU found taken, then spins until it is this CPU's.
/// Pre: interrupts off
__attribute__((cold)) void lock_wait(struct kmm *k, struct lock *l);

/// Counts a lock that this CPU found taken and doesn't wait for.
/// Pre: interrupts off
__attribute__((cold)) void lock_count_refused(struct kmm *k, const struct lock *l);

/// Returns what lock_release wants back: the interrupt state from before.
static inline unsigned long lock_acquire(struct kmm *k, struct lock *l)
{
	unsigned long was = kmm_port_irq_save(k);

	if (atomic_exchange_acquire(&l->taken, 1u) != 0)
		lock_wait(k, l);
	lock_note_taken(k, l);
	return was;
}

/// As lock_acquire, but gives up at once when the lock is taken. For a holder
/// that waits for other CPUs' interrupts: who wants such a lock must not spin with
/// its own off.
static inline bool lock_try_acquire(struct kmm *k, struct lock *l, unsigned long *was)
{
	*was = kmm_port_irq_save(k);
	if (atomic_exchange_acquire(&l->taken, 1u) != 0) {
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
	atomic_store_release(&l->taken, 0u);
	kmm_port_irq_restore(k, was);
}

#endif
