/// What an architecture supplies to the common kernel. Both architectures have
/// the same files (boot.S, trap.S, arch.c, mmu.c, irq.c, smp.c, link.ld), so that
/// knowing one is knowing the other.
#ifndef GLUE_ARCH_H
#define GLUE_ARCH_H

#include <kmm/kmm.h>

#define GLUE_CPUS_MAX 8u

/// Direct map: physical address p is at GLUE_DIRECT_MAP + p, in every space.
/// x86_64: 0xffff800000000000; aarch64: 0xffff000000000000 (TTBR1).
///
/// arch_consts.h defines GLUE_DIRECT_MAP, GLUE_FORMAT, GLUE_ARCH_NAME,
/// GLUE_ELF_MACHINE and, inline, arch_zero_page(void *) and
/// arch_copy_page(void *to, const void *from). It may also define any function
/// below as static inline, where the call would cost more than its body.
#include "arch_consts.h"

struct kmm_space;

/// What the boot loader handed over, copied out of reclaimable memory.
struct boot_info {
	struct kmm_memmap memmap; /* firmware's map; kernel image and initrd are marked */
	struct kmm_topology topology; /* nodes_n = 0: firmware tells of none */
	char command[512];
	const void *initrd; /* direct map; NULL if none */
	uint64_t initrd_bytes;
	unsigned cpus_n;
	uint64_t cpu_hw_id[GLUE_CPUS_MAX]; /* APIC id, MPIDR */
	uint64_t timer_hz;                 /* ticks of arch_cycles per second */
};

/// Saved registers of an interrupted or trapped context (arch_trapframe.h).
struct trapframe;

/// Callee-saved context of a kernel thread that isn't running: a stack pointer.
struct context {
	uint64_t sp;
};

/* ---- console and end ---- */
void arch_console_putc(char c);
_Noreturn void arch_exit(int status); /* 0..127, seen by the host (QEMU exit) */

/* ---- CPUs ---- */
/// Starts CPU i (1..n-1); it enters common's cpu_main(i) on its own stack with
/// the kernel tree loaded, interrupts off. Returns false if it did not come up.
bool arch_cpu_start(unsigned i, void *stack_top);
unsigned arch_cpu_id(void);
struct kmm_cpu *arch_kmm_cpu(void);   /* fast: gs / TPIDR_EL1 */
void arch_set_cpu(unsigned id, struct kmm_cpu *block); /* fills this CPU's own block */
void arch_ipi(uint64_t cpus);         /* bit mask; target runs glue_ipi() */
void arch_relax(void);                /* pause / yield */
void arch_idle(void);                 /* enables interrupts and waits for one, atomically */
unsigned long arch_irq_save(void);
void arch_irq_restore(unsigned long was);
void arch_irq_enable(void);
uint64_t arch_cycles(void);           /* rdtsc / cntvct */

/* ---- timer ---- */
void arch_timer_start(unsigned hz);   /* periodic, this CPU; calls glue_tick() */
void arch_timer_stop(void);

/* ---- threads ---- */
/// Saves the current context into *from and continues `to`.
void arch_switch(struct context *from, const struct context *to);
/// Prepares a new context that will call entry(arg) on that stack, interrupts on.
void arch_context_init(struct context *c, void *stack_top, void (*entry)(void *), void *arg);
/// This kernel stack is used for the next trap from user mode on this CPU.
void arch_set_kernel_stack(void *stack_top);

/* ---- user mode ---- */
/// First entry: the frame lies at the top of the current kernel stack.
_Noreturn void arch_user_enter(struct trapframe *tf);
void arch_user_frame_init(struct trapframe *tf, uint64_t entry, uint64_t stack);
uint64_t arch_syscall_number(const struct trapframe *tf);
uint64_t arch_syscall_arg(const struct trapframe *tf, unsigned i); /* 0..5 */
void arch_syscall_return(struct trapframe *tf, int64_t value);
uint64_t arch_user_pc(const struct trapframe *tf);
uint64_t arch_user_sp(const struct trapframe *tf);
void arch_user_set_pc(struct trapframe *tf, uint64_t pc);
void arch_user_set_sp(struct trapframe *tf, uint64_t sp);
/// Frame size, for copying it to a forked child's kernel stack top.
size_t arch_trapframe_bytes(void);
/// Thread-local pointer etc. need no saving: user programs are static and
/// general-registers-only.

/* ---- MMU ---- */
struct kmm_pa arch_kernel_root(void); /* root table in use at boot */

/* ---- what common supplies to the architecture ---- */
/// Boot CPU, on the boot stack, direct map up, console usable, interrupts off.
_Noreturn void glue_main(struct boot_info *b);
/// A secondary CPU's first C function.
_Noreturn void cpu_main(unsigned id);
/// A system call, from user mode, interrupts on.
void glue_syscall(struct trapframe *tf);
/// A page fault. `user`: from user mode. Returns normally when resolved or when
/// the frame was changed to a recovery address; panics otherwise.
void glue_fault(struct trapframe *tf, uint64_t address, enum kmm_access access, bool user);
/// Any other exception.
_Noreturn void glue_unexpected(struct trapframe *tf, const char *what, uint64_t code);
void glue_tick(struct trapframe *tf, bool user);
void glue_ipi(void);
/// The panic of the whole kernel; prints "@panic why".
_Noreturn void glue_panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void glue_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
