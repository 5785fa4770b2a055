/// What the files of this architecture share.
#ifndef GLUE_PLATFORM_H
#define GLUE_PLATFORM_H

#include "arch.h"
#include "arch_trapframe.h"

#define PLATFORM_RAM_MAX 8u

/// The machine as its device tree describes it; constant after boot.
struct platform {
	struct {
		uint64_t start, end;
	} ram[PLATFORM_RAM_MAX];
	unsigned ram_n;
	uint64_t gic_dist, gic_cpu, uart; /* physical */
	bool gic_found, psci_found, psci_smc;
};

extern struct platform platform;

/// What smp_entry in boot.S reads while its MMU is off.
struct smp_start {
	uint64_t root, sctlr, id, stack;
};

static inline void *direct_map(uint64_t pa)
{
	return (void *)(pa + GLUE_DIRECT_MAP);
}

static inline volatile uint32_t *device(uint64_t pa)
{
	return (volatile uint32_t *)(pa + GLUE_DIRECT_MAP);
}

/* fdt.c */
/// Fills `platform` and the memory map, command line, initrd and CPUs of b.
/// Panics on a tree it can't use.
void fdt_read(const void *fdt, struct boot_info *b);

/* mmu.c */
void mmu_boot_tables(uint64_t fdt_pa); /* MMU off */
void mmu_init(void);                   /* final tables; needs platform.ram */
uint64_t mmu_image_pa(const void *p);  /* of something inside the image */
uint64_t mmu_sctlr(void);
void mmu_cpu_init(void);               /* this CPU's share: no user tree, PAN */

/* irq.c */
void irq_init(void);     /* distributor; boot CPU */
void irq_cpu_init(void); /* this CPU's interface */
void irq_handle(struct trapframe *tf, bool user);

/* smp.c */
uint64_t psci_call(uint64_t function, uint64_t a, uint64_t b, uint64_t c);
void smp_note_cpus(const struct boot_info *b);
_Noreturn void smp_main(uint64_t id);
#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_CPU_ON 0xc4000003u

/* arch.c */
void trap_sync(struct trapframe *tf, uint64_t esr, uint64_t address, bool user);
_Noreturn void trap_bad(struct trapframe *tf, uint64_t vector, uint64_t esr);
void arch_cpu_vectors(void);
_Noreturn void arch_main(uint64_t fdt_pa);

#endif
