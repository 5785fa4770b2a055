/// Starting the other CPUs: INIT, one start-up IPI, and a wait (SDM vol. 3, 8.4).
/// One at a time, since all share the trampoline's page.
#include "arch.h"
#include "percpu.h"

#define ICR_INIT 0x4500u
#define ICR_STARTUP 0x4600u
#define START_WAIT_SECONDS 2u

extern char trampoline_start[], trampoline_end[], trampoline_stack[], trampoline_id[];

static uint32_t started; /* atomic; one bit a CPU */

_Noreturn void smp_secondary(unsigned id);

static char *trampoline(const char *symbol)
{
	return (char *)(GLUE_DIRECT_MAP + TRAMPOLINE_PA) + (symbol - trampoline_start);
}

static bool wait_started(unsigned i)
{
	uint64_t until = arch_cycles() + START_WAIT_SECONDS * irq_timer_hz();

	while (!(__atomic_load_n(&started, __ATOMIC_ACQUIRE) >> i & 1)) {
		if (arch_cycles() > until)
			return false;
		arch_relax();
	}
	return true;
}

bool arch_cpu_start(unsigned i, void *stack_top)
{
	for (const char *from = trampoline_start; from < trampoline_end; from++)
		*trampoline(from) = *from;
	*(uint64_t *)(void *)trampoline(trampoline_stack) = (uint64_t)stack_top;
	*(uint64_t *)(void *)trampoline(trampoline_id) = i;
	apic_send(percpu[i].apic_id, ICR_INIT);
	apic_send(percpu[i].apic_id, ICR_STARTUP | TRAMPOLINE_PA >> 12);
	return wait_started(i);
}

/// From the trampoline: long mode, boot tables, own stack.
_Noreturn void smp_secondary(unsigned id)
{
	mmu_load();
	cpu_setup(id);
	irq_init_cpu();
	__atomic_fetch_or(&started, 1u << id, __ATOMIC_RELEASE);
	cpu_main(id);
}
