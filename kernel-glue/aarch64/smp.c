/// The other CPUs, by PSCI (Arm DEN 0022).
///
/// CPU_ON enters smp_entry in boot.S with the MMU off, x0 naming one struct
/// smp_start. It is read past the caches, so it is cleaned to memory first. The
/// new CPU answers by its `alive` flag, stored when its MMU and caches are on.
#include "platform.h"

#define START_WAIT_SECONDS 2u

static struct smp_start smp_start[GLUE_CPUS_MAX] __attribute__((aligned(64)));
static uint32_t alive[GLUE_CPUS_MAX]; /* atomic; each CPU sets its own */
static uint64_t hw_id[GLUE_CPUS_MAX]; /* MPIDR affinities; constant after boot */

extern char smp_entry[];

uint64_t psci_call(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a;
	register uint64_t x2 __asm__("x2") = b;
	register uint64_t x3 __asm__("x3") = c;

	if (platform.psci_smc)
		__asm__ volatile("smc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : :
				 "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
				 "x14", "x15", "x16", "x17", "memory");
	else
		__asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : :
				 "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
				 "x14", "x15", "x16", "x17", "memory");
	return x0;
}

void smp_note_cpus(const struct boot_info *b)
{
	for (unsigned i = 0; i < b->cpus_n; i++)
		hw_id[i] = b->cpu_hw_id[i];
}

bool arch_cpu_start(unsigned i, void *stack_top)
{
	struct smp_start *s = &smp_start[i];
	uint64_t deadline, hz;

	if (i == 0 || i >= GLUE_CPUS_MAX || !platform.psci_found)
		return false;
	*s = (struct smp_start){ arch_kernel_root().a, mmu_sctlr(), i, (uint64_t)stack_top };
	__asm__ volatile("dc cvac, %0\n\tdsb sy" : : "r"(s) : "memory");
	if (psci_call(PSCI_CPU_ON, hw_id[i], mmu_image_pa(smp_entry), mmu_image_pa(s)) != 0)
		return false;
	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	deadline = arch_cycles() + START_WAIT_SECONDS * hz;
	while (!__atomic_load_n(&alive[i], __ATOMIC_ACQUIRE)) {
		if (arch_cycles() > deadline)
			return false;
		arch_relax();
	}
	return true;
}

void smp_main(uint64_t id)
{
	arch_set_cpu((unsigned)id, NULL);
	arch_cpu_vectors();
	mmu_cpu_init();
	irq_cpu_init();
	__atomic_store_n(&alive[id], 1, __ATOMIC_RELEASE);
	cpu_main((unsigned)id);
}
