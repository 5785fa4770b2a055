/// Accesses and invalidations, and the rules between them.
///
/// A CPU translates by what it holds, stale or not, and holds everything it may:
/// an access fills the leaf and the walk caches that led to it, and so does
/// machine_speculate at any time. Nothing valid is forgotten, nothing invalid kept.
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
///       frame or table than they do (granting less is legal);
///   R2  when an entry is dropped, and when a frame is filled anew, its frame
///       isn't free: frames are freed after the invalidation, not before;
///   R3  a valid leaf isn't given another frame while a CPU holds the old one;
///   R4  an access doesn't use an entry that breaks R1;
///   R5  a resolved fault lets the access through;
///   R6  no access waits for a valid entry that only lacks its barrier: what kmm made
///       valid is ordered before it returns.
#include "machine/machine.h"
#include "port/port.h"

#define FAULTS_MAX 4u /* two for a spurious fault before a real one, and spare */

static bool broadcasts(const struct machine *m)
{
	return m->mem.arch == MMU_AARCH64;
}

static unsigned long long ull(uint64_t x)
{
	return x;
}

static uint64_t entry_va(const struct tlb_entry *e)
{
	return e->page << (12u + 9u * e->level);
}

/* ---- dropping ---- */

/// R2. A freed frame may have been handed out again; then its new owner's rules
/// (R1, the ledger) speak.
static void drop(struct machine *m, unsigned cpu, unsigned i)
{
	struct tlb *t = &m->cpu[cpu].tlb;
	struct tlb_entry *e = &t->e[i];

	if (m->kmm && machine_frame_free(m, e->pfn))
		machine_find(m, ORACLE_TLB, "frame %#llx was freed before CPU %u's %s for %#llx "
			     "was invalidated", ull(e->pfn), cpu,
			     e->table ? "walk-cache entry" : "translation", ull(entry_va(e)));
	m->stats.tlb_dropped_n++;
	tlb_remove(t, i);
}

static bool drop_all(struct machine *m, unsigned cpu)
{
	struct tlb *t = &m->cpu[cpu].tlb;
	bool any = t->n != 0;

	while (t->n != 0)
		drop(m, cpu, t->n - 1u);
	return any;
}

static bool drop_page(struct machine *m, unsigned cpu, uint64_t va, bool tables)
{
	struct tlb *t = &m->cpu[cpu].tlb;
	struct tlb_entry *e;
	bool any = false;

	while ((e = tlb_find_leaf(t, va)) != NULL) {
		drop(m, cpu, (unsigned)(e - t->e));
		any = true;
	}
	for (unsigned level = 1; tables && level < MMU_LEVELS; level++) {
		e = tlb_find(t, va, level, true);
		if (e) {
			drop(m, cpu, (unsigned)(e - t->e));
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
			any |= drop_page(m, cpu, p->va, p->tables);
	}
	m->stats.tlb_useful_n += any;
}

/// A broadcast waits for its barrier; a local one works at once.
static void invalidate(struct machine *m, uint64_t va, bool all, bool tables)
{
	struct machine_pending p = { va, all, tables, m->store_unordered };

	if (!broadcasts(m)) {
		m->stats.tlb_useful_n += all ? drop_all(m, m->port.cpu) :
					       drop_page(m, m->port.cpu, va, tables);
		return;
	}
	if (m->queue_n == MACHINE_QUEUE) /* the oldest may complete early */
		complete(m, &m->queue[--m->queue_n]);
	m->queue[m->queue_n++] = p;
}

static void synced(struct machine *m)
{
	m->unsynced_n = 0;
	m->store_unordered = false;
}

/* ---- what the port calls ---- */

void machine_port_tlb_page(struct kmm *k, uint64_t va, bool tables)
{
	struct machine *m = kmm_port_ctx(k);

	m->stats.tlb_pages_n++;
	invalidate(m, va, false, tables);
}

void machine_port_tlb_all(struct kmm *k)
{
	struct machine *m = kmm_port_ctx(k);

	m->stats.tlb_alls_n++;
	invalidate(m, 0, true, true);
}

void machine_port_tlb_sync(struct kmm *k)
{
	struct machine *m = kmm_port_ctx(k);

	for (unsigned i = 0; i < m->queue_n; i++)
		complete(m, &m->queue[i]);
	m->queue_n = 0;
	synced(m);
}

void machine_port_tlb_begin(struct kmm *k)
{
	synced(kmm_port_ctx(k));
}

void machine_port_pt_sync(struct kmm *k)
{
	synced(kmm_port_ctx(k));
}

void machine_port_root_load(struct kmm *k, struct kmm_pa root)
{
	struct machine *m = kmm_port_ctx(k);
	struct machine_cpu *cpu = &m->cpu[m->port.cpu];

	m->stats.root_loads_n++;
	(void)drop_all(m, m->port.cpu);
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
					     ull(e->pfn), ull(entry_va(e)));
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

void machine_port_pt_store(struct kmm *k, uint64_t *entry, uint64_t value)
{
	struct machine *m = kmm_port_ctx(k);
	uint64_t was, old_pfn, new_pfn;

	was = __atomic_load_n(entry, __ATOMIC_RELAXED);
	if (names_frame(m, was, &old_pfn) && names_frame(m, value, &new_pfn) && old_pfn != new_pfn)
		replaced_under(m, kmm_port_phys(k, entry).a);
	machine_touch(m, entry, sizeof(*entry));
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
	m->stats.pt_stores_n++;
	m->store_unordered = true;
	if (broadcasts(m) && m->unsynced_n < MACHINE_UNSYNCED)
		m->unsynced[m->unsynced_n++] = entry;
}

void machine_frame_rewritten(struct machine *m, const void *page)
{
	uint64_t offset = (uint64_t)((const char *)page - m->port.arena);
	uint64_t pfn = m->mem.first_pfn + (offset >> KMM_PAGE_LG2);

	if (offset >= m->port.arena_bytes)
		return;
	machine_touch(m, page, KMM_PAGE_BYTES);
	for (unsigned cpu = 0; cpu < m->o.cpus_n; cpu++) {
		const struct tlb *t = &m->cpu[cpu].tlb;

		for (unsigned i = 0; i < t->n; i++) {
			if (t->e[i].pfn == pfn)
				machine_find(m, ORACLE_TLB, "frame %#llx was filled anew while CPU "
					     "%u holds it for %#llx", ull(pfn), cpu,
					     ull(entry_va(&t->e[i])));
		}
	}
}

/* ---- translating ---- */

/// Where the current CPU's walk begins: at the lowest table it remembers.
static struct mmu_from walk_start(struct machine *m, unsigned cpu, uint64_t va)
{
	struct mmu_from from = { m->cpu[cpu].root, MMU_LEVELS - 1u, MMU_RWX };

	for (unsigned level = 1; level < MMU_LEVELS; level++) {
		const struct tlb_entry *e = tlb_find(&m->cpu[cpu].tlb, va, level, true);

		if (e) {
			from = (struct mmu_from){ e->pfn, level - 1u, e->perms };
			break;
		}
	}
	return from;
}

/// Arm: a walker may not see a store that no barrier has ordered yet.
static bool reads_unsynced(struct machine *m, const struct mmu_walk *w)
{
	for (unsigned i = 0; i < m->unsynced_n; i++) {
		uint64_t pa = kmm_port_phys(m->kmm, m->unsynced[i]).a;

		for (unsigned level = w->level; level <= w->from; level++)
			if (w->source[level] == pa)
				return true;
	}
	return false;
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
	bool allowed;

	mmu_walk(&m->mem, &from, va, w);
	if (w->status == MMU_OK && m->unsynced_n != 0 && reads_unsynced(m, w))
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

/// R1 for one entry. Returns NULL, or what is wrong.
static const char *stale(struct machine *m, const struct tlb_entry *e)
{
	struct mmu_from from = { e->root, MMU_LEVELS - 1u, MMU_RWX };
	struct mmu_walk w;

	mmu_walk(&m->mem, &from, entry_va(e), &w);
	if (e->table) {
		if (w.level >= e->level || w.table[e->level - 1u] != e->pfn)
			return "keeps a walk-cache entry for a table that is unlinked";
		return e->perms & ~w.table_perms[e->level - 1u] ?
			       "keeps a walk-cache entry with more rights than the tables" : NULL;
	}
	if (w.status != MMU_OK)
		return "keeps a translation that was taken away";
	if (w.level != e->level || w.pfn != e->pfn)
		return "keeps a translation to another frame";
	return e->perms & ~w.perms ? "keeps rights that were taken away" : NULL;
}

static void report_stale(struct machine *m, unsigned cpu, const struct tlb_entry *e,
			 const char *what)
{
	machine_find(m, ORACLE_TLB, "CPU %u %s: %#llx, frame %#llx, rights %c%c%c", cpu, what,
		     ull(entry_va(e)), ull(e->pfn), e->perms & MMU_R ? 'r' : '-',
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
		drop(m, cpu, (unsigned)(e - t->e));
		return NULL;
	}
	return e;
}

bool machine_translate(struct machine *m, uint64_t va, enum kmm_access access, uint64_t *pa)
{
	unsigned cpu = m->port.cpu;
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
		if (!broadcasts(m))
			(void)drop_page(m, cpu, va, true);
		return false;
	}
	inside = va & ((KMM_PAGE_BYTES << (9u * level)) - 1u);
	*pa = (pfn << KMM_PAGE_LG2) + inside;
	return true;
}

/// R6: did the current CPU fault only because a store isn't ordered yet?
static bool faults_unordered(struct machine *m, uint64_t va, enum kmm_access access)
{
	struct mmu_from from = walk_start(m, m->port.cpu, va);
	struct mmu_walk w;

	if (m->unsynced_n == 0)
		return false;
	mmu_walk(&m->mem, &from, va, &w);
	return w.status == MMU_OK && (mmu_need(access) & ~w.perms) == 0 && reads_unsynced(m, &w);
}

enum op_result machine_access(struct machine *m, struct kmm_space *s, uint64_t va,
			      enum kmm_access access, uint64_t *word)
{
	struct kmm_va at = { va };
	uint64_t pa;

	m->stats.accesses_n++;
	for (unsigned tries = 0; tries < FAULTS_MAX; tries++) {
		if (machine_translate(m, va, access, &pa)) {
			uint64_t *p = kmm_port_virt(m->kmm, (struct kmm_pa){ pa });

			if (machine_frame_free(m, pa >> KMM_PAGE_LG2))
				machine_find(m, ORACLE_TLB, "CPU %u reaches free frame %#llx at "
					     "%#llx", m->port.cpu, ull(pa >> KMM_PAGE_LG2),
					     ull(va));
			if (access == KMM_ACCESS_WRITE)
				__atomic_store_n(p, *word, __ATOMIC_RELAXED);
			else
				*word = __atomic_load_n(p, __ATOMIC_RELAXED);
			return RESULT_OK;
		}
		m->stats.faults_n++;
		if (faults_unordered(m, va, access))
			machine_find(m, ORACLE_TLB, "CPU %u faults at %#llx on an entry whose "
				     "store no barrier has ordered", m->port.cpu, ull(va));
		switch (kmm_space_fault(s, at, access)) {
		case KMM_FAULT_RESOLVED:
			break;
		case KMM_FAULT_OOM:
			return RESULT_NOMEM;
		default:
			return RESULT_SEGV;
		}
	}
	machine_find(m, ORACLE_TLB, "CPU %u faults at %#llx though kmm resolved it %u times",
		     m->port.cpu, ull(va), FAULTS_MAX); /* R5 */
	return RESULT_ERROR;
}

/* ---- the adversary, and its judge ---- */

void machine_speculate(struct machine *m, uint64_t va)
{
	struct mmu_walk w;

	for (unsigned cpu = 0; cpu < m->o.cpus_n; cpu++) {
		if (!m->cpu[cpu].loaded || tlb_find_leaf(&m->cpu[cpu].tlb, va))
			continue;
		m->stats.speculative_n++;
		(void)fill(m, cpu, va, 0, false, &w);
	}
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
