/// CPUs that run at once.
///
/// A run is sched's: each CPU a fiber, switched at points. This file lends it the
/// machine: interrupts, the memory model, the race detector, walkers that look at
/// addresses at times the strategy chooses, and the rule that says when a TLB entry
/// which the tables no longer back is a fault of kmm's.
///
///   C1  An interrupt comes in at a point where its CPU has interrupts on; its handler
///       runs with them off. What a sender did before happens before the handler.
///   C2  A walk takes no time: no point lies between its first and its last read. An
///       entry may be read as it was before another CPU's store; on AArch64 only as
///       long as that CPU has passed no barrier since.
///   C3  A stale entry is legal while a call of kmm is under way that stored what
///       makes it stale; such calls are known by the entry they stored last
///       (crew_excuses). It is judged when a call that stored entries ends, and at
///       every use.
///   C4  The first finding ends the run: fibers are left where they stand, and the
///       instance is dead.
///
/// Limits: a call that stores nothing but leaves another one's stale entry in place is
/// judged at the next end of a call that stored, at a use, or after the run. When more
/// than CREW_STORED entries are stored in one run, those that found no line count as
/// stored by a call under way until the run ends.
#include "machine/machine.h"

#include <stdio.h>
#include <stdlib.h>

#include "port/port.h"
#include "run/section.h"

/* ---- calls, and what they stored ---- */

void crew_call_begin(struct machine *m)
{
	struct crew *c = &m->crew;
	struct crew_cpu *cpu;

	if (!c->sched)
		return;
	cpu = &c->cpu[machine_cpu(&m->port)];
	if (cpu->calls_n < CREW_CALLS_DEEP)
		cpu->call[cpu->calls_n] = ++c->calls_n;
	cpu->calls_n++;
}

void crew_call_end(struct machine *m)
{
	struct crew *c = &m->crew;
	struct crew_cpu *cpu;

	if (!c->sched)
		return;
	cpu = &c->cpu[machine_cpu(&m->port)];
	cpu->calls_n--;
	if (cpu->stored)
		machine_verify_tlbs(m);
	cpu->stored = false;
}

static uint32_t call_now(const struct crew_cpu *cpu)
{
	unsigned n = cpu->calls_n < CREW_CALLS_DEEP ? cpu->calls_n : CREW_CALLS_DEEP;

	return n ? cpu->call[n - 1u] : 0;
}

static bool call_under_way(const struct machine *m, uint32_t call)
{
	for (unsigned i = 0; i < m->o.cpus_n; i++) {
		const struct crew_cpu *cpu = &m->crew.cpu[i];

		for (unsigned n = 0; n < cpu->calls_n && n < CREW_CALLS_DEEP; n++)
			if (cpu->call[n] == call)
				return true;
	}
	return false;
}

/// An entry's line, or where it would be; NULL: not there, and no room.
static struct crew_stored *line_of(struct crew *c, uint64_t at)
{
	uint32_t i = (uint32_t)((at >> 3) * 0x9e3779b97f4a7c15ull >> 40);

	for (unsigned tries = 0; tries < CREW_STORED; tries++, i++) {
		struct crew_stored *s = &c->stored[i & (CREW_STORED - 1u)];

		if (s->run != c->run || s->at == at)
			return s;
	}
	return NULL;
}

void crew_stored(struct machine *m, uint64_t at)
{
	struct crew *c = &m->crew;
	struct crew_cpu *cpu = &c->cpu[machine_cpu(&m->port)];
	struct crew_stored *s = line_of(c, at);

	cpu->stores_n++;
	cpu->stored = true;
	c->stores_n++;
	if (s)
		*s = (struct crew_stored){ at, call_now(cpu), c->run };
}

uint64_t crew_stores_by_others(const struct machine *m)
{
	return m->crew.stores_n - m->crew.cpu[machine_cpu(&m->port)].stores_n;
}

static bool stored_by_call_under_way(struct machine *m, uint64_t at)
{
	const struct crew_stored *s = line_of(&m->crew, at);

	if (!s)
		return true;
	return s->run == m->crew.run && call_under_way(m, s->call);
}

bool crew_excuses(struct machine *m, const struct tlb_entry *e, const struct mmu_walk *w)
{
	if (!m->crew.sched)
		return false;
	if (stored_by_call_under_way(m, e->source))
		return true;
	if (w->level <= e->level && w->source[e->level] == e->source)
		return false;
	/* Its table is off the path: whoever changed the path above is answerable. */
	for (unsigned level = w->level; level <= w->from; level++)
		if (level > e->level && stored_by_call_under_way(m, w->source[level]))
			return true;
	return false;
}

/* ---- points ---- */

/// Which CPU's walker looks at what is the strategy's choice.
static void look(struct machine *m)
{
	struct crew *c = &m->crew;
	uint16_t option[SCHED_OPTIONS_MAX], chosen;
	unsigned n = 1;

	option[0] = 0;
	for (unsigned t = 0; t < c->targets_n; t++) {
		for (unsigned i = 0; i < m->o.cpus_n && n < SCHED_OPTIONS_MAX; i++) {
			struct machine_cpu *cpu = &m->cpu[i];

			if (cpu->loaded && cpu->root != c->kernel_root &&
			    !tlb_find_leaf(&cpu->tlb, c->target[t]))
				option[n++] = section_walk(i, t);
		}
	}
	if (n == 1)
		return;
	chosen = sched_choose(sched_on, SCHED_WALK, option, n);
	if (chosen)
		(void)machine_look_at(m, section_walk_cpu(chosen),
				      c->target[section_walk_target(chosen)]);
}

void crew_point(struct machine *m, const char *what, const volatile void *at, uint64_t value,
		const void *pc)
{
	sched_point(sched_on, what, at, value, true, pc);
	look(m);
}

bool crew_target(struct crew *c, uint64_t va)
{
	for (unsigned i = 0; i < c->targets_n; i++)
		if (c->target[i] == va)
			return true;
	if (c->targets_n == CREW_TARGETS)
		return false;
	c->target[c->targets_n++] = va;
	return true;
}

/* ---- looking on, and what is judged ---- */

struct crew_look crew_look_begin(struct machine *m)
{
	struct crew_look l;

	m->port.cpu = machine_cpu(&m->port);
	l = (struct crew_look){ sched_look_begin(), race_on };
	race_on = NULL;
	return l;
}

void crew_look_end(struct crew_look l)
{
	race_on = l.race;
	sched_look_end(l.sched);
}

void crew_new_life(struct machine *m, const void *at, uint64_t bytes)
{
	if (!m->crew.sched)
		return;
	race_forget(&m->crew.race, at, bytes);
	memory_forget(&m->crew.memory, at, bytes);
}

void crew_plain(const void *at, uint64_t bytes, bool write, const void *pc)
{
	if (sched_on && race_on)
		race_plain(race_on, at, bytes, write, pc);
}

static void on_race(void *ctx, const struct race_report *r)
{
	struct machine *m = ctx;

	(void)r; /* told in words after the run: that takes a stack of its own */
	sched_on = m->crew.sched;
	sched_stop(sched_on);
}

/* ---- the run ---- */

struct crew_client {
	struct machine *m;
	const struct crew_work *work;
	bool begun;
};

/// Before all work. Idle CPUs have no operation; interrupts that nobody sends are there
/// from the start, and come in when the strategy lets them.
static void first(struct crew_client *c)
{
	c->begun = true;
	for (unsigned i = 0; i < c->m->o.cpus_n; i++) {
		sched_on->cpu[i].op = SECTION_IDLE;
		if (c->work->interrupts(c->work->ctx, i))
			sched_interrupt(sched_on, i);
	}
}

static void client_run(void *ctx, unsigned cpu)
{
	struct crew_client *c = ctx;

	if (!c->begun)
		first(c);
	c->work->work(c->work->ctx, cpu);
	sched_op(sched_on, SECTION_IDLE);
}

static bool client_interruptible(void *ctx, unsigned cpu)
{
	const struct crew_client *c = ctx;

	return !c->m->port.irq_off[cpu];
}

/// C1. One cause at a time, so that between two the CPU goes on for a while.
static void client_interrupt(void *ctx, unsigned cpu)
{
	struct crew_client *c = ctx;
	struct machine *m = c->m;

	memory_receive(&m->crew.memory, cpu);
	m->port.irq_off[cpu] = true;
	if (m->crew.cpu[cpu].ipi) {
		m->crew.cpu[cpu].ipi = false;
		kmm_ipi_handle(m->kmm);
	} else if (c->work->interrupts(c->work->ctx, cpu)) {
		c->work->interrupt(c->work->ctx, cpu);
	}
	m->port.irq_off[cpu] = false;
	if (m->crew.cpu[cpu].ipi || c->work->interrupts(c->work->ctx, cpu))
		sched_interrupt(sched_on, cpu);
}

static bool client_settle(void *ctx)
{
	struct crew_client *c = ctx;

	return memory_settle(&c->m->crew.memory);
}

static void begin(struct machine *m, struct sched *run)
{
	struct crew *c = &m->crew;

	c->sched = run;
	c->run++;
	c->calls_n = 0;
	c->stores_n = 0;
	c->kernel_root = kmm_pt_kernel(m->kmm)->root.n;
	for (unsigned i = 0; i < MACHINE_CPUS_MAX; i++)
		c->cpu[i] = (struct crew_cpu){ 0 };
	memory_begin(&c->memory, m->o.cpus_n, true);
	memory_on = &c->memory;
	c->race.memory = &c->memory;
	c->race.found = false;
	c->race.on_race = on_race;
	c->race.ctx = m;
	if (!race_watch(&c->race, 0, m->port.arena, m->port.arena_bytes) ||
	    !race_watch(&c->race, 1, m->meta, m->meta_bytes)) {
		fprintf(stderr, "sim: no address space to watch memory for races\n");
		abort();
	}
	race_begin(&c->race);
	race_on = &c->race;
}

static void end(struct machine *m, unsigned cpu_before)
{
	race_on = NULL;
	memory_on = NULL;
	memory_end(&m->crew.memory);
	m->crew.sched = NULL;
	m->crew.targets_n = 0;
	m->port.cpu = cpu_before;
}

static void judge(struct machine *m, const struct sched *run, enum sched_end how)
{
	char line[FINDING_TEXT_BYTES];

	if (m->crew.race.found) {
		race_print(line, sizeof(line), &m->crew.race.report);
		machine_find(m, ORACLE_RACE, "%s", line);
		if (m->finding.oracle == ORACLE_RACE)
			race_print(m->finding.more, sizeof(m->finding.more),
				   &m->crew.race.report);
	}
	if (how == SCHED_DEADLOCK) {
		sched_describe(run, line, sizeof(line));
		machine_find(m, ORACLE_HANG, "%s", line);
	}
	if (how == SCHED_LIVELOCK)
		machine_find(m, ORACLE_HANG, "after %u points CPUs still don't come to an end",
			     SCHED_POINTS_MAX);
	if (how != SCHED_DONE)
		m->dead = true; /* C4 */
}

void crew_run(struct machine *m, struct sched *run, uint32_t busy,
	      struct sched_strategy *strategy, const struct crew_work *work)
{
	struct crew_client ctx = { m, work, false };
	struct sched_client client = { &ctx, client_run, client_interruptible, client_interrupt,
				       client_settle };
	unsigned cpu = m->port.cpu;
	enum sched_end how;

	begin(m, run);
	how = sched_run(run, m->o.cpus_n, busy, &client, strategy);
	end(m, cpu);
	judge(m, run, how);
}

void crew_free(struct crew *c)
{
	memory_free(&c->memory);
	race_free(&c->race);
}
