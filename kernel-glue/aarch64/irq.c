/// Interrupts: GICv2 and the virtual timer.
///
/// Two interrupts exist: software interrupt 0, every IPI, and the virtual timer's
/// private 27. An interrupt is ended at the controller before its handler in
/// common/ runs, since that may switch threads; the processor's mask keeps it
/// from nesting. The timer's line is a level, so it is moved on before the end.
///
/// Sources: Arm IHI 0048B (GICv2); Arm ARM D11.2 (generic timer).
/// Limits: eight CPUs, as GICv2 itself; all interrupts equal in priority.
#include "platform.h"

#define GICD_CTLR 0
#define GICD_ISENABLER (0x100 / 4)
#define GICD_IPRIORITYR (0x400 / 4)
#define GICD_ITARGETSR (0x800 / 4)
#define GICD_SGIR (0xf00 / 4)
#define GICC_CTLR 0
#define GICC_PMR (0x4 / 4)
#define GICC_IAR (0xc / 4)
#define GICC_EOIR (0x10 / 4)

#define IRQ_IPI 0u
#define IRQ_TIMER 27u
#define IRQ_SPURIOUS 1020u /* and above */

/// Each CPU writes its own, before it counts as online.
static struct {
	uint32_t gic_mask;      /* its bit in the controller */
	uint64_t period, next;  /* of the timer, in ticks of the counter */
} irq_cpu[GLUE_CPUS_MAX];

void irq_init(void)
{
	if (!platform.gic_found)
		glue_panic("no GICv2 in the device tree");
	device(platform.gic_dist)[GICD_CTLR] = 1;
}

/// The first registers of the distributor are banked, one set a CPU.
void irq_cpu_init(void)
{
	volatile uint32_t *dist = device(platform.gic_dist);
	volatile uint32_t *cpu = device(platform.gic_cpu);

	for (unsigned i = 0; i < 8; i++)
		dist[GICD_IPRIORITYR + i] = 0xa0a0a0a0;
	dist[GICD_ISENABLER] = 1u << IRQ_IPI | 1u << IRQ_TIMER;
	/* A single-core controller has no targets and reads as zero. */
	irq_cpu[arch_cpu_id()].gic_mask = dist[GICD_ITARGETSR] & 0xffu;
	cpu[GICC_PMR] = 0xff;
	cpu[GICC_CTLR] = 1;
}

void arch_ipi(uint64_t cpus)
{
	uint32_t targets = 0;

	for (; cpus != 0; cpus &= cpus - 1)
		targets |= irq_cpu[__builtin_ctzll(cpus)].gic_mask;
	/* What the target is to see was stored before. */
	__asm__ volatile("dsb ishst" : : : "memory");
	device(platform.gic_dist)[GICD_SGIR] = targets << 16 | IRQ_IPI;
}

void arch_timer_start(unsigned hz)
{
	unsigned id = arch_cpu_id();
	uint64_t frequency;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
	irq_cpu[id].period = frequency / hz;
	irq_cpu[id].next = arch_cycles() + irq_cpu[id].period;
	__asm__ volatile("msr cntv_cval_el0, %0\n\tmsr cntv_ctl_el0, %1\n\tisb"
			 : : "r"(irq_cpu[id].next), "r"(1ull));
}

void arch_timer_stop(void)
{
	__asm__ volatile("msr cntv_ctl_el0, xzr\n\tisb");
}

/// Keeps the beat; beats missed while interrupts were off are dropped.
static void timer_move_on(void)
{
	unsigned id = arch_cpu_id();
	uint64_t now = arch_cycles();

	irq_cpu[id].next += irq_cpu[id].period;
	if (irq_cpu[id].next <= now)
		irq_cpu[id].next = now + irq_cpu[id].period;
	__asm__ volatile("msr cntv_cval_el0, %0\n\tisb" : : "r"(irq_cpu[id].next));
}

void irq_handle(struct trapframe *tf, bool user)
{
	volatile uint32_t *cpu = device(platform.gic_cpu);
	uint32_t ack = cpu[GICC_IAR], irq = ack & 0x3ffu;

	if (irq >= IRQ_SPURIOUS)
		return;
	if (irq == IRQ_TIMER)
		timer_move_on();
	cpu[GICC_EOIR] = ack;
	if (irq == IRQ_TIMER)
		glue_tick(tf, user);
	else if (irq == IRQ_IPI)
		glue_ipi();
	else
		glue_unexpected(tf, "interrupt", irq);
}
