/// The CPU: console, end of the machine, identity, contexts, exceptions.
///
/// A CPU's kmm block lies in TPIDR_EL1 and its number in TPIDRRO_EL0, so that
/// each costs one instruction. SP_EL1 is always the current thread's kernel stack:
/// boot runs on it (SPSel = 1), a trap from user mode begins where the last way
/// out popped its frame, which is the stack's top.
///
/// Exceptions: only translation, access-flag and permission faults are page
/// faults (Arm ARM D19.2.40, ESR_EL1.xFSC); whatever else comes is unexpected.
///
/// Limits: no floating point, no debug registers, no SError recovery.
#include "platform.h"

#define UART_DR (0x00 / 4)
#define UART_FR (0x18 / 4)
#define UART_LCRH (0x2c / 4)
#define UART_CR (0x30 / 4)
#define UART_FR_TXFF 0x20u

#define SEMIHOSTING_SYS_EXIT 0x18
#define SEMIHOSTING_APPLICATION_EXIT 0x20026

#define ESR_EC(esr) ((unsigned)((esr) >> 26) & 0x3fu)
#define EC_FETCH_USER 0x20u
#define EC_FETCH_KERNEL 0x21u
#define EC_DATA_USER 0x24u
#define EC_DATA_KERNEL 0x25u
#define ESR_WNR (1u << 6)
#define ESR_CM (1u << 8) /* cache maintenance: WnR is set, but nothing is written */

struct platform platform = { .uart = 0x09000000 };

extern char trap_vectors[], context_start[];

static struct boot_info boot_info; /* filled once by the boot CPU */
static volatile bool exiting;      /* any CPU, set only */

/* ---- console and end ---- */

static void console_init(void)
{
	volatile uint32_t *uart = device(platform.uart);

	uart[UART_CR] = 0;
	uart[UART_LCRH] = 0x70; /* 8 bits, FIFOs */
	uart[UART_CR] = 0x301;  /* on, both ways */
}

void arch_console_putc(char c)
{
	volatile uint32_t *uart = device(platform.uart);

	while (uart[UART_FR] & UART_FR_TXFF)
		arch_relax();
	uart[UART_DR] = (uint8_t)c;
}

/// Semihosting tells the host a status. Without it HLT is undefined and comes
/// back through trap_sync, which then switches the machine off.
void arch_exit(int status)
{
	uint64_t block[2] = { SEMIHOSTING_APPLICATION_EXIT, (uint64_t)status };
	register uint64_t x0 __asm__("x0") = SEMIHOSTING_SYS_EXIT;
	register uint64_t *x1 __asm__("x1") = block;

	exiting = true;
	__asm__ volatile("hlt #0xf000" : "+r"(x0) : "r"(x1) : "memory");
	for (;;)
		psci_call(PSCI_SYSTEM_OFF, 0, 0, 0);
}

/* ---- CPUs ---- */

void arch_set_cpu(unsigned id, struct kmm_cpu *block)
{
	__asm__ volatile("msr tpidr_el1, %0\n\tmsr tpidrro_el0, %1"
			 : : "r"(block), "r"((uint64_t)id) : "memory");
}

/// WFI wakes for a pending interrupt even while it is masked, so none is lost
/// between the check before and the wait.
void arch_idle(void)
{
	__asm__ volatile("dsb sy\n\twfi\n\tmsr daifclr, #2" : : : "memory");
}

/* ---- threads and user mode ---- */

/// Lays out what arch_switch pops: x19, x20 … x29, x30.
void arch_context_init(struct context *c, void *stack_top, void (*entry)(void *), void *arg)
{
	uint64_t *frame = (uint64_t *)stack_top - 12;

	for (unsigned i = 0; i < 12; i++)
		frame[i] = 0;
	frame[0] = (uint64_t)entry;
	frame[1] = (uint64_t)arg;
	frame[11] = (uint64_t)context_start;
	c->sp = (uint64_t)frame;
}

void arch_user_frame_init(struct trapframe *tf, uint64_t entry, uint64_t stack)
{
	*tf = (struct trapframe){ .pc = entry, .sp = stack }; /* pstate 0: EL0t, unmasked */
}

uint64_t arch_user_pc(const struct trapframe *tf)
{
	return tf->pc;
}

uint64_t arch_user_sp(const struct trapframe *tf)
{
	return tf->sp;
}

void arch_user_set_pc(struct trapframe *tf, uint64_t pc)
{
	tf->pc = pc;
}

void arch_user_set_sp(struct trapframe *tf, uint64_t sp)
{
	tf->sp = sp;
}

size_t arch_trapframe_bytes(void)
{
	return sizeof(struct trapframe);
}

/* ---- exceptions ---- */

static const char *exception_name(unsigned ec)
{
	switch (ec) {
	case 0x00:
		return "undefined instruction";
	case 0x07:
		return "floating-point use";
	case 0x0e:
		return "illegal execution state";
	case 0x18:
		return "trapped system register";
	case EC_FETCH_USER:
	case EC_FETCH_KERNEL:
		return "instruction abort";
	case 0x22:
		return "misaligned pc";
	case EC_DATA_USER:
	case EC_DATA_KERNEL:
		return "data abort";
	case 0x26:
		return "misaligned sp";
	case 0x3c:
		return "breakpoint";
	default:
		return "exception";
	}
}

static bool is_page_fault(uint64_t esr)
{
	unsigned ec = ESR_EC(esr);
	unsigned kind = (unsigned)(esr & 0x3f) >> 2; /* the rest is the level */

	return (ec == EC_FETCH_USER || ec == EC_FETCH_KERNEL || ec == EC_DATA_USER ||
		ec == EC_DATA_KERNEL) &&
	       kind >= 1 && kind <= 3; /* translation, access flag, permission */
}

static enum kmm_access access_wanted(uint64_t esr)
{
	unsigned ec = ESR_EC(esr);

	if (ec == EC_FETCH_USER || ec == EC_FETCH_KERNEL)
		return KMM_ACCESS_FETCH;
	return (esr & (ESR_WNR | ESR_CM)) == ESR_WNR ? KMM_ACCESS_WRITE : KMM_ACCESS_READ;
}

/// From trap.S, interrupts off: all synchronous exceptions but system calls.
void trap_sync(struct trapframe *tf, uint64_t esr, uint64_t address, bool user)
{
	if (exiting)
		for (;;)
			psci_call(PSCI_SYSTEM_OFF, 0, 0, 0);
	if (!is_page_fault(esr))
		glue_unexpected(tf, exception_name(ESR_EC(esr)), esr);
	if (user)
		arch_irq_enable();
	glue_fault(tf, address, access_wanted(esr), user);
}

/// From trap.S: a vector that nothing should reach.
void trap_bad(struct trapframe *tf, uint64_t vector, uint64_t esr)
{
	static const char *const kind[4] = { "synchronous exception", "IRQ", "FIQ", "SError" };

	glue_unexpected(tf, kind[vector & 3], esr);
}

/* ---- boot ---- */

void arch_cpu_vectors(void)
{
	__asm__ volatile("msr vbar_el1, %0\n\tisb" : : "r"(trap_vectors) : "memory");
	__asm__ volatile("msr daifclr, #4"); /* an SError shall be seen */
}

void arch_main(uint64_t fdt_pa)
{
	arch_set_cpu(0, NULL);
	arch_cpu_vectors();
	console_init();
	fdt_read(direct_map(fdt_pa), &boot_info);
	smp_note_cpus(&boot_info);
	mmu_init();
	mmu_cpu_init();
	irq_init();
	irq_cpu_init();
	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(boot_info.timer_hz));
	glue_main(&boot_info);
}
