/// Cross-CPU calls: one pending bit a kind on each CPU, set by the caller,
/// cleared by the CPU after it ran the kind's handler.
#ifndef KMM_BASE_CALL_H
#define KMM_BASE_CALL_H

#include "base/instance.h"

/// Asks every CPU of the set for `kind` and waits until all did it. CPUs
/// outside kmm_port_online, and this one, are left out; meanwhile this CPU answers
/// urgent calls itself.
/// Returns: how many CPUs were interrupted
/// Locks:   the kind's own lock, so that at most one call of a kind is under way
unsigned call_cpus(struct kmm *k, kmm_cpumask cpus, enum call_kind kind);

/// Runs the pending handlers of `kinds` (bit set) on this CPU.
/// Pre: interrupts off
void call_answer(struct kmm *k, uint32_t kinds);

static inline void call_answer_urgent(struct kmm *k)
{
	if (atomic_load_relaxed(&kmm_port_cpu(k)->pending) & (1u << CALL_SHOOTDOWN))
		call_answer(k, 1u << CALL_SHOOTDOWN);
}

#endif
