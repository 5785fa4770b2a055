/// Entries and invalidations, and the rules between them and accesses (access.c).
///
/// What each architecture invalidates, as far as port.h promises it:
///   x86_64   at once, on this CPU; a faulting access drops its address's entries
///            (SDM vol. 3, 4.10.4.1); a root load drops everything.
///   AArch64  on all CPUs, but only once tlb_sync has run, and not at all if it was
///            issued while an entry store was still unordered (no tlb_begin): the
///            walker may have read the old entry again. Faults drop nothing. A new
///            valid entry is seen only after a barrier.
///
/// Rules (findings of ORACLE_TLB):
///   R1  after an operation, no entry grants more than the tables, or names another
///       frame or table than they do (granting less is legal); while CPUs run at once,
///       after the call of kmm that changed the tables (crew.c, C3);
///   R2  when an entry is dropped, and when a frame is filled anew, its frame
///       isn't free: frames are freed after the invalidation, not before;
///   R3  a valid leaf isn't given another frame while a CPU holds the old one;
///   R4  an access doesn't use an entry that breaks R1;
///   R5  a resolved fault lets the access through;
///   R6  no access waits for a valid entry that only lacks its barrier: what kmm made
///       valid is ordered before it returns.
#include "machine/tlbs.h"
#include "port/port.h"

/// The place in kmm that calls.
#define CALLER() __builtin_extract_return_addr(__builtin_return_address(0))

static unsigned long long ull(uint64_t x)
{
	return x;
}

/* ---- dropping ---- */

/// R2. A freed frame may have been handed out again; then its new owner's rules
/// (R1, the ledger) speak.
void tlbs_drop(struct machine *m, unsigned cpu, unsigned i)
{
	struct tlb *t = &m->cpu[cpu].tlb;
	struct tlb_entry *e = &t->e[i];

	if (m->kmm && machine_frame_free(m, e->pfn))
		machine_find(m, ORACLE_TLB, "frame %#llx was freed before CPU %u's %s for %#llx "
			     "was invalidated", ull(e->pfn), cpu,
			     e->table ? "walk-cache entry" : "translation", ull(tlbs_va(e)));
	m->stats.tlb_dropped_n++;
	tlb_remove(t, i);
}

static bool drop_all(struct machine *m, unsigned cpu)
{
	struct tlb *t = &m->cpu[cpu].tlb;
	bool any = t->n != 0;

	while (t->n != 0)
		tlbs_drop(m, cpu, t->n - 1u);
	return any;
}

bool tlbs_drop_page(struct machine *m, unsigned cpu, uint64_t va, bool tables)
{
	struct tlb *t = &m->cpu[cpu].tlb;
	struct tlb_entry *e;
	bool any = false;

	while ((e = tlb_find_leaf(t, va)) != NULL) {
		tlbs_drop(m, cpu, (unsigned)(e - t->e));
		any = true;
	}
	for (unsigned level = 1; tables && level < MMU_LEVELS; level++) {
		e = tlb_find(t, va, level, true);
		if (e) {
			tlbs_drop(m, cpu, (unsigned)(e - t->e));
			any = true;
		}
	}
	return any;
}

static void complete(struct machine *m, const struct machine_pending *p)
{
	bool any = false;

	for (unsigned cpu = 0; cpu < m->o.cpus_n && !p->early; cpu++) {
		if (p->all)
			any |= drop_all(m, cpu);
		else
			any |= tlbs_drop_page(m, cpu, p->va, p->tables);
	}
	m->stats.tlb_useful_n += any;
}

/// A broadcast waits for its barrier; a local one works at once.
static void invalidate(struct machine *m, uint64_t va, bool all, bool tables)
{
	unsigned self = machine_cpu(&m->port);
	struct machine_cpu *cpu = &m->cpu[self];
	struct machine_pending p = { va, all, tables, cpu->store_unordered };

	if (!tlbs_broadcast(m)) {
		m->stats.tlb_useful_n += all ? drop_all(m, self) :
					       tlbs_drop_page(m, self, va, tables);
		return;
	}
	if (cpu->queue_n == MACHINE_QUEUE) /* the oldest may complete early */
		complete(m, &cpu->queue[--cpu->queue_n]);
	cpu->queue[cpu->queue_n++] = p;
}

static void cpu_synced(struct machine_cpu *cpu)
{
	cpu->unsynced_n = 0;
	cpu->store_unordered = false;
}

/// The current CPU passes a barrier. While CPUs take turns it has observed whatever
/// others stored before, and its barrier orders that too.
static void synced(struct machine *m)
{
	if (SCHED_RUNS()) {
		cpu_synced(&m->cpu[sched_on->now]);
		memory_fence(memory_on, sched_on->now);
		return;
	}
	for (unsigned i = 0; i < m->o.cpus_n; i++)
		cpu_synced(&m->cpu[i]);
}

/// [at, at + bytes) is stored anew by a CPU that has observed what others stored there;
/// what it stored there itself (`self`; MACHINE_CPUS_MAX: nothing) stays.
static void unsynced_drop(struct machine *m, unsigned self, const void *at, uint64_t bytes)
{
	for (unsigned cpu = 0; cpu < m->o.cpus_n; cpu++) {
		struct machine_cpu *c = &m->cpu[cpu];
		unsigned n = 0;

		if (cpu == self)
			continue;
		for (unsigned i = 0; i < c->unsynced_n; i++)
			if ((uintptr_t)c->unsynced[i].entry - (uintptr_t)at >= bytes)
				c->unsynced[n++] = c->unsynced[i];
		c->unsynced_n = n;
	}
}

/* ---- what the port calls ---- */

void machine_port_tlb_page(struct kmm *k, uint64_t va, bool tables)
{
	struct machine *m = kmm_port_ctx(k);

	if (SCHED_RUNS())
		crew_point(m, "tlb-page", NULL, va, CALLER());
	m->stats.tlb_pages_n++;
	invalidate(m, va, false, tables);
}

void machine_port_tlb_all(struct kmm *k)
{
	struct machine *m = kmm_port_ctx(k);

	if (SCHED_RUNS())
		crew_point(m, "tlb-all", NULL, 0, CALLER());
	m->stats.tlb_alls_n++;
	invalidate(m, 0, true, true);
}

void machine_port_tlb_sync(struct kmm *k)
{
	struct machine *m = kmm_port_ctx(k);
	struct machine_cpu *cpu;

	if (SCHED_RUNS())
		crew_point(m, "tlb-sync", NULL, 0, CALLER());
	cpu = &m->cpu[machine_cpu(&m->port)];
	for (unsigned i = 0; i < cpu->queue_n; i++)
		complete(m, &cpu->queue[i]);
	cpu->queue_n = 0;
	synced(m);
}

void machine_port_tlb_begin(struct kmm *k)
{
	struct machine *m = kmm_port_ctx(k);

	if (SCHED_RUNS())
		crew_point(m, "tlb-begin", NULL, 0, CALLER());
	synced(m);
}

void machine_port_pt_sync(struct kmm *k)
{
	struct machine *m = kmm_port_ctx(k);

	if (SCHED_RUNS())
		crew_point(m, "pt-sync", NULL, 0, CALLER());
	synced(m);
}

void machine_port_root_load(struct kmm *k, struct kmm_pa root)
{
	struct machine *m = kmm_port_ctx(k);
	struct machine_cpu *cpu;
	unsigned self;

	if (SCHED_RUNS())
		crew_point(m, "root-load", NULL, root.a, CALLER());
	self = machine_cpu(&m->port);
	cpu = &m->cpu[self];
	m->stats.root_loads_n++;
	(void)drop_all(m, self);
	cpu->root = root.a >> KMM_PAGE_LG2;
	cpu->loaded = true;
	synced(m);
}

/// R3: does any CPU hold a translation read from this entry?
static void replaced_under(struct machine *m, uint64_t source)
{
	for (unsigned cpu = 0; cpu < m->o.cpus_n; cpu++) {
		const struct tlb *t = &m->cpu[cpu].tlb;

		for (unsigned i = 0; i < t->n; i++) {
			const struct tlb_entry *e = &t->e[i];

			if (!e->table && e->source == source)
				machine_find(m, ORACLE_TLB, "the frame of a live translation was "
					     "replaced: CPU %u still holds %#llx for %#llx", cpu,
					     ull(e->pfn), ull(tlbs_va(e)));
		}
	}
}

/// Level 1 stands for any: what matters is valid or not, and the address.
static bool names_frame(const struct machine *m, uint64_t raw, uint64_t *pfn)
{
	struct mmu_entry e = mmu_decode(m->mem.arch, 0, raw);

	*pfn = e.pfn;
	return e.kind == MMU_LEAF;
}

/// What only matters while CPUs run at once: others may see the store late.
static void store_among_others(struct machine *m, uint64_t *entry, uint64_t value, const void *pc)
{
	if (race_on)
		race_atomic(race_on, entry, sizeof(*entry), true, pc);
	memory_store(memory_on, sched_on->now, entry, sizeof(*entry), value, __ATOMIC_RELEASE);
	crew_stored(m, kmm_port_phys(m->kmm, entry).a);
}

void machine_port_pt_store(struct kmm *k, uint64_t *entry, uint64_t value)
{
	struct machine *m = kmm_port_ctx(k);
	uint64_t was, old_pfn, new_pfn;
	struct machine_cpu *cpu;
	unsigned self;

	if (SCHED_RUNS())
		crew_point(m, "pt-store", entry, value, CALLER());
	was = __atomic_load_n(entry, __ATOMIC_RELAXED);
	if (names_frame(m, was, &old_pfn) && names_frame(m, value, &new_pfn) && old_pfn != new_pfn)
		replaced_under(m, kmm_port_phys(k, entry).a);
	machine_touch(m, entry, sizeof(*entry));
	if (SCHED_RUNS())
		store_among_others(m, entry, value, CALLER());
	else
		__atomic_store_n(entry, value, __ATOMIC_RELEASE);
	m->stats.pt_stores_n++;
	self = machine_cpu(&m->port);
	cpu = &m->cpu[self];
	cpu->store_unordered = true;
	if (!tlbs_broadcast(m))
		return;
	unsynced_drop(m, self, entry, sizeof(*entry));
	if (cpu->unsynced_n < MACHINE_UNSYNCED)
		cpu->unsynced[cpu->unsynced_n++] = (struct machine_unsynced){ entry, was };
}

uint64_t machine_port_pt_load(const uint64_t *entry)
{
	sched_point(sched_on, "pt-load", entry, 0, false, CALLER());
	if (race_on)
		race_atomic(race_on, entry, sizeof(*entry), false, CALLER());
	return memory_load(memory_on, sched_on->now, entry, sizeof(*entry), __ATOMIC_ACQUIRE);
}

void machine_frame_rewritten(struct machine *m, const void *page)
{
	uint64_t offset = (uint64_t)((const char *)page - m->port.arena);
	uint64_t pfn = m->mem.first_pfn + (offset >> KMM_PAGE_LG2);

	if (offset >= m->port.arena_bytes)
		return;
	machine_touch(m, page, KMM_PAGE_BYTES);
	unsynced_drop(m, MACHINE_CPUS_MAX, page, KMM_PAGE_BYTES);
	if (m->crew.sched)
		memory_forget(&m->crew.memory, page, KMM_PAGE_BYTES);
	for (unsigned cpu = 0; cpu < m->o.cpus_n; cpu++) {
		const struct tlb *t = &m->cpu[cpu].tlb;

		for (unsigned i = 0; i < t->n; i++) {
			if (t->e[i].pfn == pfn)
				machine_find(m, ORACLE_TLB, "frame %#llx was filled anew while CPU "
					     "%u holds it for %#llx", ull(pfn), cpu,
					     ull(tlbs_va(&t->e[i])));
		}
	}
}
