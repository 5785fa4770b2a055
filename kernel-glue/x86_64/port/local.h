/// The inline half of the port on x86_64: one or two instructions each.
#ifndef PORT_LOCAL_H
#define PORT_LOCAL_H

#include <kmm/types.h>

#include "arch_consts.h"
#include "percpu.h"

#define PORT_DIRECT_MAP_BYTES (1ull << 46)
#define PORT_FLAGS_IF 0x200ul
#define KMM_IRQ_WAS_ON(was) (((was) & PORT_FLAGS_IF) != 0)

static inline struct kmm_cpu *kmm_port_cpu(struct kmm *k)
{
	struct kmm_cpu *cpu;

	(void)k;
	/* volatile: a thread may continue on another CPU */
	__asm__ volatile("movq %%gs:%c1, %0" : "=r"(cpu) : "i"(PERCPU_KMM));
	return cpu;
}

static inline unsigned long kmm_port_irq_save(struct kmm *k)
{
	unsigned long flags;

	(void)k;
	__asm__ volatile("pushfq\n\tpopq %0\n\tcli" : "=r"(flags) : : "memory");
	return flags;
}

static inline void kmm_port_irq_restore(struct kmm *k, unsigned long was)
{
	(void)k;
	if (KMM_IRQ_WAS_ON(was))
		__asm__ volatile("sti" : : : "memory");
	else
		__asm__ volatile("" : : : "memory");
}

static inline void *kmm_port_virt(struct kmm *k, struct kmm_pa pa)
{
	(void)k;
	return (void *)(pa.a + GLUE_DIRECT_MAP);
}

static inline struct kmm_pa kmm_port_phys(struct kmm *k, const void *p)
{
	uint64_t offset = (uint64_t)p - GLUE_DIRECT_MAP;
	struct kmm_pa pa = { offset < PORT_DIRECT_MAP_BYTES ? offset : ~0ull };

	(void)k;
	return pa;
}

static inline void kmm_port_relax(struct kmm *k)
{
	(void)k;
	__asm__ volatile("pause" : : : "memory");
}

static inline uint64_t kmm_port_cycles(struct kmm *k)
{
	uint32_t low, high;

	(void)k;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline void kmm_port_pt_store(struct kmm *k, uint64_t *entry, uint64_t value)
{
	(void)k;
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

static inline uint64_t kmm_port_pt_load(struct kmm *k, const uint64_t *entry)
{
	(void)k;
	return __atomic_load_n(entry, __ATOMIC_RELAXED);
}

/* Stores are seen by the walker in order, and INVLPG and CR3 loads serialise:
 * nothing to wait for (SDM vol. 3, 4.10.4). */
static inline void kmm_port_pt_sync(struct kmm *k)
{
	(void)k;
	__asm__ volatile("" : : : "memory");
}

static inline void kmm_port_tlb_begin(struct kmm *k)
{
	(void)k;
	__asm__ volatile("" : : : "memory");
}

static inline void kmm_port_tlb_sync(struct kmm *k)
{
	(void)k;
	__asm__ volatile("" : : : "memory");
}

/* INVLPG drops all paging-structure caches of the current PCID too. */
static inline void kmm_port_tlb_page(struct kmm *k, uint64_t va, bool tables)
{
	(void)k;
	(void)tables;
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static inline void kmm_port_tlb_all(struct kmm *k)
{
	uint64_t root;

	(void)k;
	__asm__ volatile("movq %%cr3, %0\n\tmovq %0, %%cr3" : "=r"(root) : : "memory");
}

static inline void kmm_port_root_load(struct kmm *k, struct kmm_pa root)
{
	(void)k;
	__asm__ volatile("movq %0, %%cr3" : : "r"(root.a) : "memory");
}

#if GLUE_RECORDS
#define KMM_TRACE_FRAME(k, taken, pfn, order) record_frame((taken), (pfn).n, (order))
void record_frame(bool taken, uint64_t pfn, unsigned order);
#endif

#endif
