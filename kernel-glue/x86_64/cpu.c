/// A CPU's own tables and registers: GDT, TSS, IDT, the SYSCALL registers, GS.
///
/// Supervisor-mode execution and access prevention (SMEP, SMAP) are switched on
/// where the CPU has them. The kernel never reads or writes through a user
/// address (copies go through the direct map), so nothing ever sets AC.
/// NMI and machine check are taken as fatal, on their own stack.
#include "arch.h"
#include "percpu.h"

#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_FMASK 0xc0000084u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u

#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)
#define CPUID7_SMEP (1u << 7)
#define CPUID7_SMAP (1u << 20)

struct percpu percpu[GLUE_CPUS_MAX];

extern const uint64_t trap_table[256];
extern char trap_syscall[], trap_clac_common[], trap_clac_fault[];

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static struct gate idt[256]; /* written once at boot */

static void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static uint32_t cpuid7_ebx(void)
{
	uint32_t a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (a < 7)
		return 0;
	a = 7;
	c = 0;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return b;
}

void idt_init(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint64_t at = trap_table[i];
		bool own_stack = i == 2 || i == 8 || i == 18;

		idt[i] = (struct gate){ (uint16_t)at, SEL_KERNEL_CODE, own_stack ? 1 : 0, 0x8e,
					(uint16_t)(at >> 16), (uint32_t)(at >> 32), 0 };
	}
}

/// CLAC exists only with SMAP.
void cpu_patch_clac(void)
{
	static char *const site[] = { trap_clac_common, trap_clac_fault };

	if (cpuid7_ebx() & CPUID7_SMAP)
		return;
	for (unsigned i = 0; i < 2; i++)
		for (unsigned b = 0; b < 3; b++)
			((volatile uint8_t *)site[i])[b] = 0x90;
}

static void gdt_load(struct percpu *p)
{
	uint64_t tss = (uint64_t)&p->tss;
	struct table_pointer gdt = { sizeof(p->gdt) - 1, (uint64_t)p->gdt };
	struct table_pointer idtr = { sizeof(idt) - 1, (uint64_t)idt };

	p->tss.ist[0] = (uint64_t)(p->fault_stack + sizeof(p->fault_stack));
	p->tss.io_map = sizeof(p->tss);
	p->gdt[1] = 0x00af9b000000ffffull; /* kernel code, 64-bit */
	p->gdt[2] = 0x00cf93000000ffffull; /* kernel data */
	p->gdt[3] = 0;                     /* SYSRET to 32 bits: refused */
	p->gdt[4] = 0x00cff3000000ffffull; /* user data */
	p->gdt[5] = 0x00affb000000ffffull; /* user code, 64-bit */
	p->gdt[6] = (sizeof(p->tss) - 1) | (tss & 0xffffff) << 16 | 0x89ull << 40 |
		    (tss >> 24 & 0xff) << 56;
	p->gdt[7] = tss >> 32;
	__asm__ volatile("lgdt %0\n\tlidt %1" : : "m"(gdt), "m"(idtr));
	__asm__ volatile("movl %0, %%ds\n\tmovl %0, %%es\n\tmovl %0, %%ss\n\tltr %w1"
			 : : "r"(SEL_KERNEL_DATA), "r"(SEL_TSS));
}

static void control_registers(void)
{
	uint32_t has = cpuid7_ebx();
	uint64_t cr4;

	__asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
	if (has & CPUID7_SMEP)
		cr4 |= CR4_SMEP;
	if (has & CPUID7_SMAP)
		cr4 |= CR4_SMAP;
	__asm__ volatile("movq %0, %%cr4" : : "r"(cr4));
}

void cpu_setup(unsigned id)
{
	struct percpu *p = &percpu[id];

	p->id = id;
	gdt_load(p);
	wrmsr(MSR_GS_BASE, (uint64_t)p);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	wrmsr(MSR_STAR, (uint64_t)SEL_USER_BASE << 48 | (uint64_t)SEL_KERNEL_CODE << 32);
	wrmsr(MSR_LSTAR, (uint64_t)trap_syscall);
	wrmsr(MSR_FMASK, 0x47700); /* AC NT DF IF TF, IOPL */
	control_registers();
}
