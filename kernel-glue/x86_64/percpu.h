/// What GS points at in the kernel: one block a CPU.
#ifndef PERCPU_H
#define PERCPU_H

#define PERCPU_KERNEL_FRAME 0
#define PERCPU_USER_SP 8
#define PERCPU_KMM 16
#define PERCPU_ID 24

#define KERNEL_VMA 0xffffffff80000000
#define APIC_VMA 0xffffffffc0000000 /* 2 MiB, uncached */
#define TRAMPOLINE_PA 0x8000

#define SEL_KERNEL_CODE 0x08
#define SEL_KERNEL_DATA 0x10
#define SEL_USER_BASE 0x18 /* SYSRET: data at +8, 64-bit code at +16 */
#define SEL_USER_DATA 0x23
#define SEL_USER_CODE 0x2b
#define SEL_TSS 0x30

#define VECTOR_TIMER 0x40
#define VECTOR_IPI 0x41
#define VECTOR_SPURIOUS 0xff

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3, io_map;
} __attribute__((packed));

/// Only its own CPU uses it after bring-up.
struct percpu {
	uint64_t kernel_frame; /* where a user trap's frame begins: stack top - TF_BYTES */
	uint64_t user_sp;      /* scratch of the system call entry */
	struct kmm_cpu *kmm;
	uint32_t id;
	uint32_t apic_id;
	uint64_t gdt[8];
	struct tss tss;
	uint8_t fault_stack[4096] __attribute__((aligned(16))); /* double fault, NMI */
} __attribute__((aligned(64)));

extern struct percpu percpu[];

struct boot_info;

/* cpu.c */
void cpu_setup(unsigned id);      /* GDT, TSS, IDT, control registers, MSRs, GS */
void idt_init(void);
void cpu_patch_clac(void);        /* once, while text is writable */
/* firmware.c */
void firmware_read(uint64_t start_info, struct boot_info *b);
/* mmu.c */
void mmu_init(struct boot_info *b);
void mmu_load(void);              /* this CPU uses the final tables */
/* irq.c */
void irq_init_boot(void);         /* 8259 off, clocks measured */
void irq_init_cpu(void);          /* this CPU's local APIC */
void irq_handle(unsigned vector, void *tf, bool user);
void apic_send(uint32_t apic_id, uint32_t command);
uint64_t irq_timer_hz(void);

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
#endif

#endif
