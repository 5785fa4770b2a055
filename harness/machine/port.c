/// What kmm calls on the simulated machine, but for the inline half and the TLB
/// functions (tlbs.c).
///
/// An IPI is taken at once: its target is between operations with interrupts on
/// (machine.c, I2), so the handler runs there before kmm_port_ipi returns. A wait
/// therefore never has to turn more than a few times; one that does is a hang.
#include <stdio.h>
#include <string.h>

#include "machine/machine.h"
#include "port/port.h"

static struct machine *machine_of(struct kmm *k)
{
	return kmm_port_ctx(k);
}

/// Leaves the operation for machine_guard.
static _Noreturn void escape(struct machine *m)
{
	if (m->armed)
		longjmp(m->escape, 1);
	fprintf(stderr, "sim: %s\n", m->finding.text);
	__builtin_trap();
}

void kmm_port_cpu_bind(struct kmm *k, struct kmm_cpu *cpu)
{
	struct machine_port *p = machine_port(k);

	p->block[p->cpu] = cpu;
}

static void interrupt(struct machine *m, unsigned cpu)
{
	unsigned self = m->port.cpu;

	m->port.cpu = cpu;
	if (cpu == self || m->port.irq_off[cpu]) {
		m->port.cpu = self;
		machine_find(m, ORACLE_PANIC, "an IPI to CPU %u, which can't take one", cpu);
		escape(m);
	}
	m->port.irq_off[cpu] = true;
	kmm_ipi_handle(m->kmm);
	m->port.irq_off[cpu] = false;
	m->port.cpu = self;
	m->stats.ipis_n++;
}

void kmm_port_ipi(struct kmm *k, kmm_cpumask cpus)
{
	struct machine *m = machine_of(k);

	for (unsigned i = 0; i < m->o.cpus_n; i++)
		if (cpus >> i & 1u)
			interrupt(m, i);
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

	if (++m->spins < MACHINE_SPINS_MAX)
		return;
	machine_find(m, ORACLE_HANG, "CPU %u waits for ever", m->port.cpu);
	escape(m);
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
	escape(m);
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
	escape(m);
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
	machine_touch(machine_current, to, bytes);
	memcpy(to, from, bytes);
}

void kmm_port_fill(void *to, unsigned char byte, size_t bytes)
{
	machine_touch(machine_current, to, bytes);
	memset(to, byte, bytes);
}

void kmm_port_zero_page(void *page)
{
	machine_frame_rewritten(machine_current, page);
	memset(page, 0, KMM_PAGE_BYTES);
}

void kmm_port_copy_page(void *to, const void *from)
{
	machine_frame_rewritten(machine_current, to);
	memcpy(to, from, KMM_PAGE_BYTES);
}
