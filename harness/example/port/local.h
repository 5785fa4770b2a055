/// The inline half of the example's port: one CPU, no interrupts, no MMU.
#ifndef PORT_LOCAL_H
#define PORT_LOCAL_H

#include <kmm/types.h>

#define EXAMPLE_BASE 0x100000ull

extern char *const example_memory;
extern struct kmm_cpu *example_cpu;

#define kmm_port_cpu(k) ((void)(k), example_cpu)
#define kmm_port_irq_save(k) ((void)(k), 0ul)
#define kmm_port_irq_restore(k, was) ((void)(k), (void)(was))
#define kmm_port_relax(k) ((void)(k))
#define kmm_port_cycles(k) ((void)(k), 0ull)
#define kmm_port_pt_load(k, entry) ((void)(k), *(const volatile uint64_t *)(entry))
#define kmm_port_pt_store(k, entry, v) ((void)(k), (void)(*(volatile uint64_t *)(entry) = (v)))
#define kmm_port_pt_sync(k) ((void)(k))
#define kmm_port_tlb_begin(k) ((void)(k))
#define kmm_port_tlb_page(k, va, tables) ((void)(k), (void)(va), (void)(tables))
#define kmm_port_tlb_all(k) ((void)(k))
#define kmm_port_tlb_sync(k) ((void)(k))
#define kmm_port_root_load(k, root) ((void)(k), (void)(root))

static inline void *kmm_port_virt(struct kmm *k, struct kmm_pa pa)
{
	(void)k;
	return example_memory + (pa.a - EXAMPLE_BASE);
}

static inline struct kmm_pa kmm_port_phys(struct kmm *k, const void *p)
{
	struct kmm_pa pa = { EXAMPLE_BASE + (uint64_t)((const char *)p - example_memory) };

	(void)k;
	return pa;
}

#endif
