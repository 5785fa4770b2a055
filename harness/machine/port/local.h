/// The inline half of the port for the simulated machine. One host thread plays
/// all CPUs: in turn, or at once as fibers that are switched at points. Whatever
/// touches page tables or TLBs goes through the machine, which thereby sees one
/// stream of events.
#ifndef PORT_LOCAL_H
#define PORT_LOCAL_H

#include <kmm/types.h>

#include "sched/atomics.h"

#define KMM_CONFIG_FAIL 1
#define KMM_CONFIG_ASSERT 2

#define MACHINE_CPUS_MAX 8u
/// Frames whose contents are reset together: a block's owner learns the address
/// of its head only, and no slab is larger than this.
#define MACHINE_GROUP_LG2 3u

/// What the inline half needs; struct machine begins so.
struct machine_port {
	char *arena; /* physical address arena_base is arena[0] */
	uint64_t arena_base, arena_bytes;
	uint8_t *touched; /* by group of frames: 1 since someone got its address */
	unsigned cpu;     /* the CPU that runs now, unless CPUs run at once */
	bool irq_off[MACHINE_CPUS_MAX];
	struct kmm_cpu *block[MACHINE_CPUS_MAX];
	uint64_t cycles;
};

void machine_port_context(struct kmm *k);
void machine_port_irq_on(void);
void machine_port_relax(struct kmm *k);
void machine_port_pt_store(struct kmm *k, uint64_t *entry, uint64_t value);
uint64_t machine_port_pt_load(const uint64_t *entry);
void machine_port_pt_sync(struct kmm *k);
void machine_port_tlb_begin(struct kmm *k);
void machine_port_tlb_page(struct kmm *k, uint64_t va, bool tables);
void machine_port_tlb_all(struct kmm *k);
void machine_port_tlb_sync(struct kmm *k);
void machine_port_root_load(struct kmm *k, struct kmm_pa root);
_Noreturn void machine_port_bad_address(struct kmm *k, uint64_t pa);

static inline struct machine_port *machine_port(struct kmm *k)
{
	return *(struct machine_port **)(void *)k;
}

/// The CPU that runs now.
static inline unsigned machine_cpu(const struct machine_port *p)
{
	return SCHED_RUNS() ? sched_on->now : p->cpu;
}

static inline struct kmm_cpu *kmm_port_cpu(struct kmm *k)
{
	struct machine_port *p = machine_port(k);
	unsigned cpu = machine_cpu(p);

	if (__builtin_expect(!p->irq_off[cpu], 0))
		machine_port_context(k);
	return p->block[cpu];
}

static inline unsigned long kmm_port_irq_save(struct kmm *k)
{
	struct machine_port *p = machine_port(k);
	unsigned cpu = machine_cpu(p);
	bool was = p->irq_off[cpu];

	p->irq_off[cpu] = true;
	return was;
}

static inline void kmm_port_irq_restore(struct kmm *k, unsigned long was)
{
	struct machine_port *p = machine_port(k);

	p->irq_off[machine_cpu(p)] = was != 0;
	if (SCHED_RUNS() && was == 0)
		machine_port_irq_on();
}

#define KMM_IRQ_WAS_ON(was) ((was) == 0)

static inline void *kmm_port_virt(struct kmm *k, struct kmm_pa pa)
{
	struct machine_port *p = machine_port(k);
	uint64_t offset = pa.a - p->arena_base;

	if (offset >= p->arena_bytes)
		machine_port_bad_address(k, pa.a);
	p->touched[offset >> (KMM_PAGE_LG2 + MACHINE_GROUP_LG2)] = 1;
	return p->arena + offset;
}

static inline struct kmm_pa kmm_port_phys(struct kmm *k, const void *ptr)
{
	struct machine_port *p = machine_port(k);
	uint64_t offset = (uint64_t)(uintptr_t)ptr - (uint64_t)(uintptr_t)p->arena;
	struct kmm_pa pa = { offset < p->arena_bytes ? p->arena_base + offset : ~0ull };

	return pa;
}

static inline void kmm_port_relax(struct kmm *k)
{
	machine_port_relax(k);
}

static inline uint64_t kmm_port_cycles(struct kmm *k)
{
	return ++machine_port(k)->cycles;
}

static inline void kmm_port_pt_store(struct kmm *k, uint64_t *entry, uint64_t value)
{
	machine_port_pt_store(k, entry, value);
}

static inline uint64_t kmm_port_pt_load(struct kmm *k, const uint64_t *entry)
{
	(void)k;
	return SCHED_RUNS() ? machine_port_pt_load(entry) :
			      __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

static inline void kmm_port_pt_sync(struct kmm *k) { machine_port_pt_sync(k); }
static inline void kmm_port_tlb_begin(struct kmm *k) { machine_port_tlb_begin(k); }
static inline void kmm_port_tlb_sync(struct kmm *k) { machine_port_tlb_sync(k); }
static inline void kmm_port_tlb_all(struct kmm *k) { machine_port_tlb_all(k); }

static inline void kmm_port_tlb_page(struct kmm *k, uint64_t va, bool tables)
{
	machine_port_tlb_page(k, va, tables);
}

static inline void kmm_port_root_load(struct kmm *k, struct kmm_pa root)
{
	machine_port_root_load(k, root);
}

#endif
