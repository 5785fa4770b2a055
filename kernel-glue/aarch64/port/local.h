/// The inline half of kmm's port on AArch64. A CPU's block is TPIDR_EL1 itself, its
/// number TPIDRRO_EL0. All trees use ASID 0, so a root switch drops what the last
/// tree left; kernel entries are global and stay.
#ifndef PORT_LOCAL_H
#define PORT_LOCAL_H

#include <kmm/types.h>

#include "arch_consts.h"

#define PORT_DAIF_I 0x80ul

/// Physical addresses of the kernel's own tree and of a table without entries;
/// constant after boot (mmu.c).
extern uint64_t mmu_kernel_root, mmu_empty_root;

static inline struct kmm_cpu *kmm_port_cpu(struct kmm *k)
{
	struct kmm_cpu *cpu;

	(void)k;
	__asm__ volatile("mrs %0, tpidr_el1" : "=r"(cpu));
	return cpu;
}

static inline unsigned long kmm_port_irq_save(struct kmm *k)
{
	unsigned long was;

	(void)k;
	__asm__ volatile("mrs %0, daif\n\tmsr daifset, #2" : "=r"(was) : : "memory");
	return was;
}

static inline void kmm_port_irq_restore(struct kmm *k, unsigned long was)
{
	(void)k;
	__asm__ volatile("msr daif, %0" : : "r"(was) : "memory");
}

#define KMM_IRQ_WAS_ON(was) (((was) & PORT_DAIF_I) == 0)

static inline void *kmm_port_virt(struct kmm *k, struct kmm_pa pa)
{
	(void)k;
	return (void *)(pa.a + GLUE_DIRECT_MAP);
}

static inline struct kmm_pa kmm_port_phys(struct kmm *k, const void *p)
{
	uint64_t offset = (uint64_t)p - GLUE_DIRECT_MAP;
	struct kmm_pa pa = { offset < GLUE_DIRECT_MAP_BYTES ? offset : ~0ull };

	(void)k;
	return pa;
}

static inline void kmm_port_relax(struct kmm *k)
{
	(void)k;
	__asm__ volatile("yield" : : : "memory");
}

static inline uint64_t kmm_port_cycles(struct kmm *k)
{
	uint64_t t;

	(void)k;
	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(t) : : "memory");
	return t;
}

static inline void kmm_port_pt_store(struct kmm *k, uint64_t *entry, uint64_t value)
{
	(void)k;
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

static inline uint64_t kmm_port_pt_load(struct kmm *k, const uint64_t *entry)
{
	(void)k;
	return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

static inline void kmm_port_pt_sync(struct kmm *k)
{
	(void)k;
	__asm__ volatile("dsb ishst\n\tisb" : : : "memory");
}

static inline void kmm_port_tlb_begin(struct kmm *k)
{
	(void)k;
	__asm__ volatile("dsb ishst" : : : "memory");
}

/// By address, all CPUs (inner shareable); reaches global entries too. The
/// last-level form spares walk caches (Arm ARM D8.17).
static inline void kmm_port_tlb_page(struct kmm *k, uint64_t va, bool tables)
{
	uint64_t operand = va << 8 >> 20; /* VA[55:12], ASID 0 above */

	(void)k;
	if (tables)
		__asm__ volatile("tlbi vae1is, %0" : : "r"(operand) : "memory");
	else
		__asm__ volatile("tlbi vale1is, %0" : : "r"(operand) : "memory");
}

/// Global entries too: a batch of the kernel's own tree may overflow as well.
static inline void kmm_port_tlb_all(struct kmm *k)
{
	(void)k;
	__asm__ volatile("tlbi vmalle1is" : : : "memory");
}

static inline void kmm_port_tlb_sync(struct kmm *k)
{
	(void)k;
	__asm__ volatile("dsb ish\n\tisb" : : : "memory");
}

/// Roots are TTBR0's; TTBR1 never changes. The kernel's own tree is TTBR1's, so
/// "translate by it" means: nothing in the lower half.
/// The first DSB makes the new tree's bytes visible to this CPU's walker; until the
/// TLBI the walker may still follow the old tree, which its owner keeps till then.
static inline void kmm_port_root_load(struct kmm *k, struct kmm_pa root)
{
	uint64_t ttbr = root.a == mmu_kernel_root ? mmu_empty_root : root.a;

	(void)k;
	__asm__ volatile("dsb ishst\n\t"
			 "msr ttbr0_el1, %0\n\t"
			 "isb\n\t"
			 "tlbi aside1, xzr\n\t" /* ASID 0, this CPU, non-global only */
			 "dsb nsh\n\t"
			 "isb"
			 : : "r"(ttbr) : "memory");
}

#if GLUE_RECORDS
#define KMM_TRACE_FRAME(k, taken, pfn, order) record_frame((taken), (pfn).n, (order))
void record_frame(bool taken, uint64_t pfn, unsigned order);
#endif

#endif
