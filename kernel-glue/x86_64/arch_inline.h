/// The functions of arch.h that are an instruction or two, so that a system call
/// doesn't pay for calls.
#ifndef ARCH_INLINE_H
#define ARCH_INLINE_H

#include "arch_trapframe.h"
#include "percpu.h"

struct kmm_cpu;

/* ---- CPUs ---- */

/// volatile in both: a thread may continue on another CPU.
static inline unsigned arch_cpu_id(void)
{
	uint32_t id;

	__asm__ volatile("movl %%gs:%c1, %0" : "=r"(id) : "i"(PERCPU_ID));
	return id;
}

static inline struct kmm_cpu *arch_kmm_cpu(void)
{
	struct kmm_cpu *cpu;

	__asm__ volatile("movq %%gs:%c1, %0" : "=r"(cpu) : "i"(PERCPU_KMM));
	return cpu;
}

static inline void arch_relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

static inline unsigned long arch_irq_save(void)
{
	unsigned long flags;

	__asm__ volatile("pushfq\n\tpopq %0\n\tcli" : "=r"(flags) : : "memory");
	return flags;
}

static inline void arch_irq_restore(unsigned long was)
{
	if (was & 0x200)
		__asm__ volatile("sti" : : : "memory");
	else
		__asm__ volatile("" : : : "memory");
}

static inline void arch_irq_enable(void)
{
	__asm__ volatile("sti" : : : "memory");
}

static inline uint64_t arch_cycles(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline void arch_set_kernel_stack(void *stack_top)
{
	struct percpu *p = &percpu[arch_cpu_id()];

	p->tss.rsp[0] = (uint64_t)stack_top;
	p->kernel_frame = (uint64_t)stack_top - TF_BYTES;
}

/* ---- user frames ---- */

static inline uint64_t arch_syscall_number(const struct trapframe *tf)
{
	return tf->rax;
}

static inline uint64_t arch_syscall_arg(const struct trapframe *tf, unsigned i)
{
	switch (i) {
	case 0: return tf->rdi;
	case 1: return tf->rsi;
	case 2: return tf->rdx;
	case 3: return tf->r10;
	case 4: return tf->r8;
	default: return tf->r9;
	}
}

static inline void arch_syscall_return(struct trapframe *tf, int64_t value)
{
	tf->rax = (uint64_t)value;
}

#endif
