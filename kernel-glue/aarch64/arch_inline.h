/// The functions of arch.h that are an instruction or two, so that a system call
/// doesn't pay for calls.
#ifndef ARCH_INLINE_H
#define ARCH_INLINE_H

#include "arch_trapframe.h"

struct kmm_cpu;

/* ---- CPUs ---- */

/// volatile in both: a thread may continue on another CPU.
static inline unsigned arch_cpu_id(void)
{
	uint64_t id;

	__asm__ volatile("mrs %0, tpidrro_el0" : "=r"(id));
	return (unsigned)id;
}

static inline struct kmm_cpu *arch_kmm_cpu(void)
{
	struct kmm_cpu *cpu;

	__asm__ volatile("mrs %0, tpidr_el1" : "=r"(cpu));
	return cpu;
}

static inline void arch_relax(void)
{
	__asm__ volatile("yield" : : : "memory");
}

static inline unsigned long arch_irq_save(void)
{
	unsigned long was;

	__asm__ volatile("mrs %0, daif\n\tmsr daifset, #2" : "=r"(was) : : "memory");
	return was;
}

static inline void arch_irq_restore(unsigned long was)
{
	__asm__ volatile("msr daif, %0" : : "r"(was) : "memory");
}

static inline void arch_irq_enable(void)
{
	__asm__ volatile("msr daifclr, #2" : : : "memory");
}

/// The ISB keeps the read from being done early.
static inline uint64_t arch_cycles(void)
{
	uint64_t t;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(t) : : "memory");
	return t;
}

/// Nothing to note: SP_EL1 itself is that stack once its thread runs.
static inline void arch_set_kernel_stack(void *stack_top)
{
	(void)stack_top;
}

/* ---- user frames ---- */

static inline uint64_t arch_syscall_number(const struct trapframe *tf)
{
	return tf->x[8];
}

static inline uint64_t arch_syscall_arg(const struct trapframe *tf, unsigned i)
{
	return tf->x[i];
}

static inline void arch_syscall_return(struct trapframe *tf, int64_t value)
{
	tf->x[0] = (uint64_t)value;
}

#endif
