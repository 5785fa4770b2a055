/// What kmm calls on the simulated machine, but for the inline half and the TLB
/// functions (tlbs.c).
///
/// While CPUs take turns an IPI is taken at once: its target is between operations with
/// interrupts on (machine.c, I2), so the handler runs there before kmm_port_ipi
/// returns. A wait therefore never has to turn more than a few times; one that does is
/// a hang. In a run (crew.c) it is taken when its target gets to it.
#include <stdio.h>
#include <string.h>

#include "machine/machine.h"
#include "port/port.h"

/// The place in kmm that calls.
#define CALLER() __builtin_extract_return_addr(__builtin_return_address(0))

static struct machine *machine_of(struct kmm *k)
{
	return kmm_port_ctx(k);
}

void kmm_port_cpu_bind(struct kmm *k, struct kmm_cpu *cpu)
{
	struct machine_port *p = machine_port(k);

	p->block[p->cpu] = cpu;
}

static void interrupt(struct machine *m, unsigned cpu)
{
	unsigned self = m->port.cpu;

	if (m->port.irq_off[cpu]) {
		machine_find(m, ORACLE_PANIC, "an IPI to CPU %u, which can't take one", cpu);
		machine_escape(m);
	}
	m->port.cpu = cpu;
	m->port.irq_off[cpu] = true;
	kmm_ipi_handle(m->kmm);
	m->port.irq_off[cpu] = false;
	m->port.cpu = self;
}

static void send(struct machine *m, unsigned cpu)
{
	memory_send(memory_on, sched_on->now, cpu);
	m->crew.cpu[cpu].ipi = true;
	sched_interrupt(sched_on, cpu);
}

void kmm_port_ipi(struct kmm *k, kmm_cpumask cpus)
{
	struct machine *m = machine_of(k);

	if (SCHED_RUNS())
		crew_point(m, "ipi", NULL, cpus, CALLER());
	if (cpus >> machine_cpu(&m->port) & 1u) {
		machine_find(m, ORACLE_PANIC, "CPU %u sends an IPI to itself",
			     machine_cpu(&m->port));
		machine_escape(m);
	}
	for (unsigned i = 0; i < m->o.cpus_n; i++) {
		if (!(cpus >> i & 1u))
			continue;
		if (SCHED_RUNS())
			send(m, i);
		else
			interrupt(m, i);
		m->stats.ipis_n++;
	}
}

void machine_port_context(struct kmm *k)
{
	struct machine *m = machine_of(k);

	if (!m->kmm) /* it is being built: nothing interrupts yet */
		return;
	machine_find(m, ORACLE_CONTEXT, "CPU %u's block is asked for with interrupts on: it could "
		     "be another CPU's a moment later", machine_cpu(&m->port));
	machine_escape(m);
}

void machine_port_irq_on(void)
{
	sched_interrupts_on(sched_on, CALLER());
}

kmm_cpumask kmm_port_online(struct kmm *k)
{
	struct machine *m = machine_of(k);

	/* While the instance is built the other CPUs haven't started. */
	return m->kmm ? (1ull << m->o.cpus_n) - 1u : 1u;
}

void machine_port_relax(struct kmm *k)
{
	struct machine *m = machine_of(k);

	if (SCHED_RUNS()) {
		sched_relax(sched_on, CALLER());
		return;
	}
	if (++m->spins < MACHINE_SPINS_MAX)
		return;
	machine_find(m, ORACLE_HANG, "CPU %u waits for ever", m->port.cpu);
	machine_escape(m);
}

uint64_t kmm_port_random(struct kmm *k)
{
	struct machine *m = machine_of(k);

	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random;
}

void kmm_port_log(struct kmm *k, int level, const char *line)
{
	(void)k;
	(void)level;
	(void)line; /* the ring keeps it */
}

_Noreturn void machine_port_bad_address(struct kmm *k, uint64_t pa)
{
	struct machine *m = machine_of(k);

	machine_find(m, ORACLE_PANIC, "physical address %#llx is outside memory",
		     (unsigned long long)pa);
	machine_escape(m);
}

/// An assertion says "function: expression (note)"; a panic of its own has no
/// expression in it.
static bool says_assertion(const char *why)
{
	const char *colon = strstr(why, ": ");

	return colon && memchr(why, ' ', (size_t)(colon - why)) == NULL && strchr(colon, '(');
}

_Noreturn void kmm_port_panic(struct kmm *k, const char *why)
{
	struct machine *m = machine_of(k);

	machine_find(m, says_assertion(why) ? ORACLE_INVARIANT : ORACLE_PANIC, "%s", why);
	machine_escape(m);
}

unsigned kmm_port_backtrace(struct kmm *k, void **out, unsigned n)
{
	(void)k;
	(void)out;
	(void)n;
	return 0;
}

void kmm_port_copy(void *to, const void *from, size_t bytes)
{
	crew_plain(from, bytes, false, CALLER());
	crew_plain(to, bytes, true, CALLER());
	machine_touch(machine_current, to, bytes);
	memcpy(to, from, bytes);
}

void kmm_port_fill(void *to, unsigned char byte, size_t bytes)
{
	crew_plain(to, bytes, true, CALLER());
	machine_touch(machine_current, to, bytes);
	memset(to, byte, bytes);
}

void kmm_port_zero_page(void *page)
{
	crew_plain(page, KMM_PAGE_BYTES, true, CALLER());
	machine_frame_rewritten(machine_current, page);
	memset(page, 0, KMM_PAGE_BYTES);
}

/// Half a page a step: what user code does to the source meanwhile is seen in part.
void kmm_port_copy_page(void *to, const void *from)
{
	const size_t half = KMM_PAGE_BYTES / 2u;

	if (SCHED_RUNS())
		sched_point(sched_on, "copy", from, 0, false, CALLER());
	crew_plain(from, KMM_PAGE_BYTES, false, CALLER());
	crew_plain(to, KMM_PAGE_BYTES, true, CALLER());
	machine_frame_rewritten(machine_current, to);
	memcpy(to, from, half);
	if (SCHED_RUNS())
		sched_point(sched_on, "copy", from, 1, false, CALLER());
	memcpy((char *)to + half, (const char *)from + half, half);
	if (SCHED_RUNS())
		sched_point(sched_on, "copy", from, 2, false, CALLER());
}
