/// Accesses: translating as a CPU does, faults, and the judge of what TLBs hold.
///
/// A CPU translates by what it holds, stale or not, and holds everything it may:
/// an access fills the leaf and the walk caches that led to it, and so does
/// machine_speculate at any time. Nothing valid is forgotten, nothing invalid kept.
/// The rules R1 to R6 stand in tlbs.c.
#include "machine/tlbs.h"
#include "port/port.h"

#define FAULTS_MAX 4u /* two for a spurious fault before a real one, and spare */

static unsigned long long ull(uint64_t x)
{
	return x;
}

/* ---- translating ---- */

/// Where the current CPU's walk begins: at the lowest table it remembers.
static struct mmu_from walk_start(struct machine *m, unsigned cpu, uint64_t va)
{
	struct mmu_from from = { .table = m->cpu[cpu].root, .level = MMU_LEVELS - 1u,
				 .perms = MMU_RWX };

	for (unsigned level = 1; level < MMU_LEVELS; level++) {
		const struct tlb_entry *e = tlb_find(&m->cpu[cpu].tlb, va, level, true);

		if (e) {
			from = (struct mmu_from){ .table = e->pfn, .level = level - 1u,
						  .perms = e->perms };
			break;
		}
	}
	return from;
}

/// Did this CPU store the entry since its last barrier?
static bool is_unsynced(struct machine *m, const struct machine_cpu *cpu, uint64_t pa)
{
	for (unsigned i = 0; i < cpu->unsynced_n; i++)
		if (kmm_port_phys(m->kmm, cpu->unsynced[i].entry).a == pa)
			return true;
	return false;
}

/// Arm: a walker may not see a store that no barrier has ordered yet. Its own CPU's are
/// meant; while CPUs take turns anyone's, since then there is no other lateness.
static bool reads_unsynced(struct machine *m, unsigned cpu, const struct mmu_walk *w)
{
	for (unsigned i = 0; i < m->o.cpus_n; i++) {
		if (m->cpu[i].unsynced_n == 0 || (m->crew.sched && i != cpu))
			continue;
		for (unsigned level = w->level; level <= w->from; level++)
			if (is_unsynced(m, &m->cpu[i], w->source[level]))
				return true;
	}
	return false;
}

struct late_walk {
	struct machine *m;
	unsigned cpu;
};

/// Arm: what stood in the entry before any store that its CPU has followed with no
/// barrier yet. The walker's own CPU is left out: reads_unsynced speaks of it.
static uint64_t read_unsynced(struct machine *m, unsigned self, const uint64_t *entry)
{
	uint64_t value[SCHED_OPTIONS_MAX] = { __atomic_load_n(entry, __ATOMIC_RELAXED) };
	uint16_t option[SCHED_OPTIONS_MAX] = { 0 };
	unsigned n = 1;

	/* What this CPU knows of by other ways has left its storer's buffer long ago. */
	if (!memory_may_miss(&m->crew.memory, self, entry))
		return value[0];
	for (unsigned cpu = 0; cpu < m->o.cpus_n; cpu++) {
		const struct machine_cpu *c = &m->cpu[cpu];

		for (unsigned i = c->unsynced_n; cpu != self && i-- != 0;) {
			if (c->unsynced[i].entry != entry || n == SCHED_OPTIONS_MAX)
				continue;
			value[n] = c->unsynced[i].before;
			option[n] = (uint16_t)n;
			n++;
		}
	}
	return value[sched_choose(sched_on, SCHED_STALE, option, n)];
}

/// While CPUs run at once an entry may be read as it was before another CPU's store.
static uint64_t read_late(void *ctx, const uint64_t *entry)
{
	const struct late_walk *l = ctx;

	if (tlbs_broadcast(l->m))
		return read_unsynced(l->m, l->cpu, entry);
	return memory_walk(&l->m->crew.memory, l->cpu, entry, false);
}

static void remember(struct machine *m, unsigned cpu, uint64_t va, const struct mmu_walk *w,
		     bool dirty)
{
	struct tlb *t = &m->cpu[cpu].tlb;
	struct tlb_entry e = { .root = m->cpu[cpu].root, .table = true };

	/* A table read at level l was named by an entry of level l + 1. */
	for (unsigned level = w->level; level < w->from; level++) {
		e.level = (uint8_t)(level + 1u);
		e.page = tlb_page(va, e.level);
		e.pfn = w->table[level];
		e.perms = w->table_perms[level];
		e.source = w->source[level + 1u];
		tlb_insert(t, &e, machine_choose(m));
	}
	if (w->status != MMU_OK)
		return;
	e = (struct tlb_entry){ .page = tlb_page(va, w->level), .root = e.root, .pfn = w->pfn,
				.source = w->source[w->level], .level = (uint8_t)w->level,
				.perms = w->perms, .dirty = dirty };
	tlb_insert(t, &e, machine_choose(m));
	m->stats.fills_n++;
}

/// Walks and fills. Returns false on a fault, for which walk caches were kept.
static bool fill(struct machine *m, unsigned cpu, uint64_t va, uint8_t need, bool write,
		 struct mmu_walk *w)
{
	struct mmu_from from = walk_start(m, cpu, va);
	struct late_walk late = { m, cpu };
	bool allowed;

	if (m->crew.sched) {
		from.read = read_late;
		from.ctx = &late;
	}
	mmu_walk(&m->mem, &from, va, w);
	if (w->status == MMU_OK && reads_unsynced(m, cpu, w))
		w->status = MMU_FAULT;
	if (w->status == MMU_BAD)
		machine_find(m, ORACLE_WALK, "the walk for %#llx meets an entry no table may hold "
			     "at level %u", ull(va), w->level);
	allowed = w->status == MMU_OK && (need & ~w->perms) == 0;
	if (w->status == MMU_OK)
		mmu_mark(&m->mem, w, write && allowed);
	remember(m, cpu, va, w, w->dirty || (write && allowed));
	return allowed;
}

/// What an entry grants that the tables (walked: w) don't, or NULL.
static const char *differs(const struct tlb_entry *e, const struct mmu_walk *w)
{
	if (e->table) {
		if (w->level >= e->level || w->table[e->level - 1u] != e->pfn)
			return "keeps a walk-cache entry for a table that is unlinked";
		return e->perms & ~w->table_perms[e->level - 1u] ?
			       "keeps a walk-cache entry with more rights than the tables" : NULL;
	}
	if (w->status != MMU_OK)
		return "keeps a translation that was taken away";
	if (w->level != e->level || w->pfn != e->pfn)
		return "keeps a translation to another frame";
	return e->perms & ~w->perms ? "keeps rights that were taken away" : NULL;
}

/// R1 for one entry. Returns NULL, or what is wrong.
static const char *stale(struct machine *m, const struct tlb_entry *e)
{
	struct mmu_from from = { .table = e->root, .level = MMU_LEVELS - 1u, .perms = MMU_RWX };
	const char *what;
	struct mmu_walk w;

	mmu_walk(&m->mem, &from, tlbs_va(e), &w);
	what = differs(e, &w);
	return what && crew_excuses(m, e, &w) ? NULL : what;
}

static void report_stale(struct machine *m, unsigned cpu, const struct tlb_entry *e,
			 const char *what)
{
	machine_find(m, ORACLE_TLB, "CPU %u %s: %#llx, frame %#llx, rights %c%c%c", cpu, what,
		     ull(tlbs_va(e)), ull(e->pfn), e->perms & MMU_R ? 'r' : '-',
		     e->perms & MMU_W ? 'w' : '-', e->perms & MMU_X ? 'x' : '-');
}

/// The leaf entry for va, if it may serve this access without another walk.
static struct tlb_entry *hit(struct machine *m, unsigned cpu, uint64_t va, bool write)
{
	struct tlb *t = &m->cpu[cpu].tlb;
	struct tlb_entry *e = tlb_find_leaf(t, va);
	const char *what = e ? stale(m, e) : NULL;

	if (what)
		report_stale(m, cpu, e, what); /* R4 */
	if (e && write && (e->perms & MMU_W) && !e->dirty && m->mem.arch == MMU_X86_64) {
		/* Setting the dirty bit takes a new walk (SDM vol. 3, 4.8). */
		tlbs_drop(m, cpu, (unsigned)(e - t->e));
		return NULL;
	}
	return e;
}

bool machine_translate(struct machine *m, uint64_t va, enum kmm_access access, uint64_t *pa)
{
	unsigned cpu = machine_cpu(&m->port);
	bool write = access == KMM_ACCESS_WRITE, ok;
	uint8_t need = mmu_need(access);
	uint64_t pfn, inside;
	struct tlb_entry *e = hit(m, cpu, va, write);
	struct mmu_walk w;
	unsigned level;

	if (!m->cpu[cpu].loaded)
		return false;
	if (e) {
		m->stats.hits_n++;
		ok = (need & ~e->perms) == 0;
		pfn = e->pfn;
		level = e->level;
	} else {
		ok = fill(m, cpu, va, need, write, &w);
		pfn = w.pfn;
		level = w.level;
	}
	if (!ok) {
		if (!tlbs_broadcast(m))
			(void)tlbs_drop_page(m, cpu, va, true);
		return false;
	}
	inside = va & ((KMM_PAGE_BYTES << (9u * level)) - 1u);
	*pa = (pfn << KMM_PAGE_LG2) + inside;
	return true;
}

/// R6: did the current CPU fault only because a store isn't ordered yet?
static bool faults_unordered(struct machine *m, unsigned cpu, uint64_t va, enum kmm_access access)
{
	struct mmu_from from = walk_start(m, cpu, va);
	struct mmu_walk w;

	mmu_walk(&m->mem, &from, va, &w);
	return w.status == MMU_OK && (mmu_need(access) & ~w.perms) == 0 &&
	       reads_unsynced(m, cpu, &w);
}

/// The word itself, once it is translated: in the same step.
static void touch_word(struct machine *m, uint64_t va, uint64_t pa, enum kmm_access access,
		       uint64_t *word)
{
	uint64_t *p = kmm_port_virt(m->kmm, (struct kmm_pa){ pa });

	if (machine_frame_free(m, pa >> KMM_PAGE_LG2))
		machine_find(m, ORACLE_TLB, "CPU %u reaches free frame %#llx at %#llx",
			     machine_cpu(&m->port), ull(pa >> KMM_PAGE_LG2), ull(va));
	if (access == KMM_ACCESS_WRITE)
		__atomic_store_n(p, *word, __ATOMIC_RELAXED);
	else
		*word = __atomic_load_n(p, __ATOMIC_RELAXED);
}

static enum kmm_fault_result fault(struct machine *m, struct kmm_space *s, uint64_t va,
				   enum kmm_access access)
{
	unsigned cpu = machine_cpu(&m->port);
	struct kmm_va at = { va };
	enum kmm_fault_result r;

	m->stats.faults_n++;
	if (faults_unordered(m, cpu, va, access))
		machine_find(m, ORACLE_TLB, "CPU %u faults at %#llx on an entry whose store no "
			     "barrier has ordered", cpu, ull(va));
	crew_call_begin(m);
	r = kmm_space_fault(s, at, access);
	crew_call_end(m);
	return r;
}

enum op_result machine_access(struct machine *m, struct kmm_space *s, uint64_t va,
			      enum kmm_access access, uint64_t *word)
{
	uint64_t others = crew_stores_by_others(m), pa;

	m->stats.accesses_n++;
	for (unsigned tries = 0; tries < FAULTS_MAX; tries++) {
		if (SCHED_RUNS())
			sched_point(sched_on, "access", NULL, va, false, NULL);
		if (machine_translate(m, va, access, &pa)) {
			touch_word(m, va, pa, access, word);
			return RESULT_OK;
		}
		switch (fault(m, s, va, access)) {
		case KMM_FAULT_RESOLVED:
			break;
		case KMM_FAULT_OOM:
			return RESULT_NOMEM;
		default:
			return RESULT_SEGV;
		}
		if (others != crew_stores_by_others(m)) { /* it may have been in vain */
			others = crew_stores_by_others(m);
			tries = 0;
		}
	}
	machine_find(m, ORACLE_TLB, "CPU %u faults at %#llx though kmm resolved it %u times",
		     machine_cpu(&m->port), ull(va), FAULTS_MAX); /* R5 */
	return RESULT_ERROR;
}

/* ---- the adversary, and its judge ---- */

bool machine_look_at(struct machine *m, unsigned cpu, uint64_t va)
{
	struct mmu_walk w;

	if (!m->cpu[cpu].loaded || tlb_find_leaf(&m->cpu[cpu].tlb, va))
		return false;
	m->stats.speculative_n++;
	(void)fill(m, cpu, va, 0, false, &w);
	return true;
}

void machine_speculate(struct machine *m, uint64_t va)
{
	for (unsigned cpu = 0; cpu < m->o.cpus_n; cpu++)
		(void)machine_look_at(m, cpu, va);
}

void machine_verify_tlbs(struct machine *m)
{
	for (unsigned cpu = 0; cpu < m->o.cpus_n; cpu++) {
		const struct tlb *t = &m->cpu[cpu].tlb;

		if (m->cpu[cpu].loaded && machine_frame_free(m, m->cpu[cpu].root))
			machine_find(m, ORACLE_TLB, "CPU %u translates by a root that was freed",
				     cpu);
		for (unsigned i = 0; i < t->n; i++) {
			const char *what = stale(m, &t->e[i]);

			if (!what && machine_frame_free(m, t->e[i].pfn))
				what = "translates to a free frame";
			if (what)
				report_stale(m, cpu, &t->e[i], what);
		}
	}
}
