/// Cross-CPU calls.
///
/// A caller sets its kind's bit in each target's `pending` word and raises one
/// IPI. The target runs the handler, then clears the bit: the cleared bit is
/// the acknowledgement. Two rules keep this free of deadlock:
///   I1  CALL_SHOOTDOWN handlers take no lock, so a CPU may run one at any
///       point where it spins.
///   I2  CALL_DRAIN is asked for only by a CPU that holds nothing but
///       LOCK_DRAIN, so the target's current lock holders always progress.
#include "base/call.h"

#include "base/lock_ranks.h"

void call_answer(struct kmm *k, uint32_t kinds)
{
	struct kmm_cpu *cpu = kmm_port_cpu(k);
	uint32_t waiting = atomic_load_acquire(&cpu->pending) & kinds;

	while (waiting != 0) {
		unsigned kind = bits_lowest(waiting);

		k->call[kind](k);
		atomic_and_acq_rel(&cpu->pending, ~(1u << kind));
		waiting &= waiting - 1u;
	}
}

void kmm_ipi_handle(struct kmm *k)
{
	uint32_t kinds = (1u << CALL_KIND_N) - 1u;

	/* An IPI can only come in with interrupts on, where no lock is held. */
	call_answer(k, kinds);
}

/// A CPU that goes offline meanwhile holds nothing any more: its bit is taken back.
static void await(struct kmm *k, unsigned cpu, enum call_kind kind)
{
	uint32_t *pending = &k->cpus[cpu].pending;

	while (atomic_load_acquire(pending) & (1u << kind)) {
		if (!(kmm_port_online(k) >> cpu & 1u))
			atomic_and_acq_rel(pending, ~(1u << kind));
		call_answer_urgent(k);
		kmm_port_relax(k);
	}
}

unsigned call_cpus(struct kmm *k, kmm_cpumask cpus, enum call_kind kind)
{
	unsigned self = kmm_port_cpu(k)->id;
	unsigned asked = 0;

	KMM_ASSERT(k, kind != CALL_DRAIN || kmm_port_cpu(k)->locks_held == 1u << LOCK_DRAIN, "I2");
	cpus &= kmm_port_online(k) & ~(1ull << self);
	for (kmm_cpumask left = cpus; left != 0; left &= left - 1u, asked++)
		atomic_or_acq_rel(&k->cpus[bits_lowest(left)].pending, 1u << kind);
	if (asked == 0)
		return 0;
	kmm_port_ipi(k, cpus);
	for (kmm_cpumask left = cpus; left != 0; left &= left - 1u)
		await(k, bits_lowest(left), kind);
	return asked;
}
