/// Interrupts: the 8259 pair silenced, the local APIC by its memory window,
/// its timer periodic, IPIs.
///
/// Clocks are measured against channel 2 of the 8254 (1,193,182 Hz), whose output
/// can be polled without an interrupt. Under counted instructions all of them run
/// on the same virtual clock, so the result is the same on each boot.
#include "arch.h"
#include "arch_trapframe.h"
#include "percpu.h"

#define APIC_ID 0x20
#define APIC_EOI 0xb0
#define APIC_SPURIOUS 0xf0
#define APIC_ICR_LOW 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT_TIMER 0x320
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE 0x3e0
#define APIC_ENABLE 0x100u
#define LVT_MASKED 0x10000u
#define LVT_PERIODIC 0x20000u
#define ICR_PENDING 0x1000u
#define DIVIDE_BY_16 3u

#define PIT_HZ 1193182ull
#define MEASURE_PER_SECOND 500ull /* 2 ms */

static uint64_t cycles_hz, apic_timer_hz; /* written once at boot */

static volatile uint32_t *apic(unsigned reg)
{
	return (volatile uint32_t *)(APIC_VMA + reg);
}

/// Remaps both away from the exceptions, then masks every line. SeaBIOS leaves
/// them live.
static void pic_silence(void)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, 0x30);
	outb(0xa1, 0x38);
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

static void clocks_measure(void)
{
	unsigned count = PIT_HZ / MEASURE_PER_SECOND;
	uint64_t start;
	uint32_t ticks;

	*apic(APIC_TIMER_DIVIDE) = DIVIDE_BY_16;
	*apic(APIC_LVT_TIMER) = LVT_MASKED;
	outb(0x61, (inb(0x61) & ~2u) | 1u); /* gate on, speaker off */
	outb(0x43, 0xb0);		    /* channel 2, both bytes, mode 0 */
	outb(0x42, count & 0xff);
	outb(0x42, (uint8_t)(count >> 8));
	*apic(APIC_TIMER_INITIAL) = ~0u;
	start = arch_cycles();
	while (!(inb(0x61) & 0x20))
		arch_relax();
	cycles_hz = (arch_cycles() - start) * MEASURE_PER_SECOND;
	ticks = ~0u - *apic(APIC_TIMER_CURRENT);
	*apic(APIC_TIMER_INITIAL) = 0;
	apic_timer_hz = ticks * MEASURE_PER_SECOND;
}

void irq_init_boot(void)
{
	pic_silence();
	clocks_measure();
}

void irq_init_cpu(void)
{
	percpu[arch_cpu_id()].apic_id = *apic(APIC_ID) >> 24;
	*apic(APIC_SPURIOUS) = APIC_ENABLE | VECTOR_SPURIOUS;
	*apic(APIC_LVT_TIMER) = LVT_MASKED;
}

uint64_t irq_timer_hz(void)
{
	return cycles_hz;
}

void apic_send(uint32_t apic_id, uint32_t command)
{
	unsigned long was = arch_irq_save();

	while (*apic(APIC_ICR_LOW) & ICR_PENDING)
		arch_relax();
	*apic(APIC_ICR_HIGH) = apic_id << 24;
	*apic(APIC_ICR_LOW) = command;
	arch_irq_restore(was);
}

void arch_ipi(uint64_t cpus)
{
	for (unsigned i = 0; i < GLUE_CPUS_MAX; i++)
		if (cpus >> i & 1)
			apic_send(percpu[i].apic_id, 0x4000 | VECTOR_IPI);
}

void arch_timer_start(unsigned hz)
{
	*apic(APIC_TIMER_DIVIDE) = DIVIDE_BY_16;
	*apic(APIC_LVT_TIMER) = LVT_PERIODIC | VECTOR_TIMER;
	*apic(APIC_TIMER_INITIAL) = (uint32_t)(apic_timer_hz / hz);
}

void arch_timer_stop(void)
{
	*apic(APIC_LVT_TIMER) = LVT_MASKED;
	*apic(APIC_TIMER_INITIAL) = 0;
}

/// End of interrupt goes first: the handlers may switch to another thread.
void irq_handle(unsigned vector, void *tf, bool user)
{
	if (vector == VECTOR_SPURIOUS)
		return;
	*apic(APIC_EOI) = 0;
	if (vector == VECTOR_TIMER)
		glue_tick(tf, user);
	else if (vector == VECTOR_IPI)
		glue_ipi();
	else
		glue_print("interrupt %u without an owner\n", vector);
}
