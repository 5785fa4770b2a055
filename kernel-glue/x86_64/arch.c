/// x86_64 as common code sees it: console, end, CPU identity, cycles, frames of
/// user mode, and the dispatch of exceptions. Entry order:
///
///   boot.S      32-bit PVH entry, boot tables, long mode
///   arch_boot   console, this CPU's tables, firmware, final page tables, APIC
///   glue_main   common
///
/// Sources: Intel SDM vol. 3 ch. 4-6, 10; Xen "x86/HVM direct boot ABI"; OSDev's
/// names for ports.
#include "arch.h"

#include "arch_trapframe.h"
#include "percpu.h"

#define COM1 0x3f8
#define COM_LSR_FREE 0x20
#define DEBUG_EXIT 0xf4

#define FAULT_WRITE 2u
#define FAULT_FETCH 16u

_Static_assert(sizeof(struct trapframe) == TF_BYTES, "offsets of arch_trapframe.h");
_Static_assert(offsetof(struct trapframe, rip) == TF_RIP, "offsets of arch_trapframe.h");
_Static_assert(offsetof(struct trapframe, rax) == TF_RAX, "offsets of arch_trapframe.h");
_Static_assert(offsetof(struct percpu, kmm) == PERCPU_KMM, "offsets of percpu.h");
_Static_assert(offsetof(struct percpu, id) == PERCPU_ID, "offsets of percpu.h");

static struct boot_info boot_info;

_Noreturn void arch_boot(uint32_t start_info);
void trap_dispatch(struct trapframe *tf);
void trap_page_fault(struct trapframe *tf, uint64_t address);

/* ---- console and end ---- */

static void console_init(void)
{
	outb(COM1 + 1, 0);    /* no interrupts */
	outb(COM1 + 3, 0x80); /* divisor 1: 115200 */
	outb(COM1 + 0, 1);
	outb(COM1 + 1, 0);
	outb(COM1 + 3, 3); /* 8N1 */
	outb(COM1 + 2, 7);
	outb(COM1 + 4, 3);
}

void arch_console_putc(char c)
{
	while (!(inb(COM1 + 5) & COM_LSR_FREE))
		arch_relax();
	outb(COM1, (uint8_t)c);
}

_Noreturn void arch_exit(int status)
{
	__asm__ volatile("outl %0, %w1" : : "a"(status), "Nd"(DEBUG_EXIT));
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

/* ---- CPUs ---- */

void arch_set_cpu(unsigned id, struct kmm_cpu *block)
{
	percpu[id].kmm = block;
}

void arch_idle(void)
{
	__asm__ volatile("sti\n\thlt" : : : "memory");
}

/* ---- threads ---- */

extern char context_start[];

void arch_context_init(struct context *c, void *stack_top, void (*entry)(void *), void *arg)
{
	uint64_t *sp = stack_top;

	*--sp = 0; /* alignment: context_start sees a multiple of 16 */
	*--sp = (uint64_t)context_start;
	*--sp = 0;               /* rbx */
	*--sp = 0;               /* rbp */
	*--sp = (uint64_t)entry; /* r12 */
	*--sp = (uint64_t)arg;   /* r13 */
	*--sp = 0;
	*--sp = 0;
	c->sp = (uint64_t)sp;
}

/* ---- user frames ---- */

void arch_user_frame_init(struct trapframe *tf, uint64_t entry, uint64_t stack)
{
	*tf = (struct trapframe){ .rip = entry, .rsp = stack, .rflags = 0x202,
				  .cs = SEL_USER_CODE, .ss = SEL_USER_DATA };
}

uint64_t arch_user_pc(const struct trapframe *tf)
{
	return tf->rip;
}

uint64_t arch_user_sp(const struct trapframe *tf)
{
	return tf->rsp;
}

void arch_user_set_pc(struct trapframe *tf, uint64_t pc)
{
	tf->rip = pc;
}

void arch_user_set_sp(struct trapframe *tf, uint64_t sp)
{
	tf->rsp = sp;
}

size_t arch_trapframe_bytes(void)
{
	return TF_BYTES;
}

/* ---- traps ---- */

static const char *const exception_name[] = {
	"divide error", "debug", "NMI", "breakpoint", "overflow", "bound range", "invalid opcode",
	"no FPU", "double fault", "exception 9", "invalid TSS", "segment not present",
	"stack fault", "general protection", "page fault", "exception 15", "x87", "alignment",
	"machine check", "SIMD",
};

/// Error code: SDM vol. 3, 4.7: bit 1 write, bit 4 instruction fetch.
void trap_page_fault(struct trapframe *tf, uint64_t address)
{
	enum kmm_access access = tf->error & FAULT_FETCH	 ? KMM_ACCESS_FETCH
				 : tf->error & FAULT_WRITE ? KMM_ACCESS_WRITE
							   : KMM_ACCESS_READ;
	bool user = (tf->cs & 3) != 0;

	if (user)
		arch_irq_enable();
	glue_fault(tf, address, access, user);
}

void trap_dispatch(struct trapframe *tf)
{
	unsigned v = (unsigned)tf->vector;

	if (v >= 32)
		irq_handle(v, tf, (tf->cs & 3) != 0);
	else
		glue_unexpected(tf,
				v < sizeof(exception_name) / sizeof(*exception_name)
					? exception_name[v]
					: "exception",
				tf->error);
}

_Noreturn void arch_boot(uint32_t start_info)
{
	console_init();
	idt_init();
	cpu_patch_clac();
	cpu_setup(0);
	firmware_read(start_info, &boot_info);
	mmu_init(&boot_info);
	irq_init_boot();
	irq_init_cpu();
	boot_info.timer_hz = irq_timer_hz();
	glue_main(&boot_info);
}
