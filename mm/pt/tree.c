/// Page tables: trees of tables in the hardware's format, one walker for all
/// formats, changes gathered into batches.
///
/// A tree is a root and what hangs off it. A user tree owns the user half; the
/// kernel's tree owns the kernel half. Where both halves share a root (x86_64), a
/// user tree copies the kernel's root entries once; elsewhere they never meet.
/// Levels count from the leaves: level 0 holds 4 KiB leaves. Leaves are present,
/// or hidden: frame kept, nothing allowed.
///
///   formats.c  what the bits are           walk.h, walk.c  reaching entries; tables
///   map.c      new leaves                  change.c        leaves that are there
///   share.c    copy-on-write               batch.c         invalidation
///   slot.h, .c one page, for faults        check.c         the invariants, walked
///   tree.c     life, activation, lookup
///
/// Invariants:
///   I1  Every entry is empty, a leaf at a level that has leaves, or names a table.
///   I2  A table of ours is a FRAME_TABLE frame whose `index` counts its used
///       entries (in a user tree's root: those of the user half). Unused = all zero.
///   I3  tables_n and leaves_n are what a walk finds, of tables of ours. Tables that
///       the boot code made are walked and changed, but not counted, not freed.
///   I4  No leaf is writable and executable. A user leaf is exactly what its
///       protection makes of it, plus accessed and dirty.
///   I5  The kernel's root entries stay put once a user tree copied them, and each
///       copy equals the kernel's.
///   I6  A mapping of a FRAME_ANON frame owns one reference of it: kmm_pt_map takes
///       over the caller's, kmm_pt_share adds one, the batch drops it.
///   I7  Tables are allocated before the first entry is stored, so that a failure
///       leaves nothing to undo; share.c is the one exception.
///   I8  The table a user tree remembers (last_*) is linked where last_key says.
///   T1..T4 of batch.c.
///
/// Locking: a tree is guarded by its owner's lock. Activation needs none:
/// `active` is atomic, `current` is its CPU's own. LOCK_SHOOTDOWN is inside.
///
/// Failure: KMM_FAIL_TABLE is asked once for each table made.
///
/// Limits: the last page of the address space can't be mapped. Large leaves of
/// FRAME_ANON frames must be made of 2^n frames of order 0, each with its own
/// reference. Kernel mappings that need a new root entry are refused after the
/// first user tree (I5). Accessed and dirty bits may be lost by changes: nobody
/// relies on them.
///
/// Sources: Intel SDM vol. 3, 4.5 and 4.10; Arm ARM D8.3 and D8.17.
#include "pt/batch.h"
#include "pt/unit.h"
#include "pt/walk.h"

static enum kmm_error root_alloc(struct kmm *k, struct kmm_pt *pt)
{
	enum kmm_error e = table_alloc(k, &pt->root);

	if (e == KMM_OK)
		pt->tables_n = 1;
	return e;
}

static uint64_t *root_entries(const struct kmm_pt *pt)
{
	return kmm_port_virt(pt->kmm, kmm_pfn_to_pa(pt->root));
}

/// I5. The copies aren't counted as used: they aren't this tree's.
static void kernel_half_copy(struct kmm_pt *pt, const struct kmm_pt *kernel)
{
	struct kmm *k = pt->kmm;
	unsigned entries_n = 1u << k->format->index_lg2;
	uint64_t *to = root_entries(pt);
	const uint64_t *from = root_entries(kernel);

	for (unsigned i = entries_n / 2u; i < entries_n; i++) {
		uint64_t e = kmm_port_pt_load(k, &from[i]);

		if (e != 0)
			kmm_port_pt_store(k, &to[i], e);
	}
	if (atomic_load_relaxed(&k->pt->kernel_copied) == 0)
		atomic_store_relaxed(&k->pt->kernel_copied, 1u);
}

enum kmm_error kmm_pt_init(struct kmm *k, struct kmm_pt *pt, const struct kmm_pt *kernel)
{
	struct kmm_pt new = { .kmm = k, .user_end = k->format->user_end };
	enum kmm_error e = root_alloc(k, &new);

	if (e != KMM_OK)
		return e;
	*pt = new;
	if (kernel != NULL && k->format->shared_root)
		kernel_half_copy(pt, kernel);
	return KMM_OK;
}

/// Frees all tables of ours below `table`, whose entries for this half are
/// [first, last). Nobody may reach them any more.
static void tables_free(struct kmm *k, uint64_t *table, unsigned level, unsigned first,
			unsigned last)
{
	for (unsigned i = first; i < last; i++) {
		uint64_t e = kmm_port_pt_load(k, &table[i]);
		struct kmm_pa pa = { e & k->format->addr_mask };

		if (!pte_is_table(k->format, e, level))
			continue;
		tables_free(k, kmm_port_virt(k, pa), level - 1u, 0, 1u << k->format->index_lg2);
		if (table_entry(k, kmm_pa_to_pfn(pa)) == NULL)
			continue;
		kmm_port_pt_store(k, &table[i], 0);
		table_free(k, kmm_pa_to_pfn(pa));
	}
}

void kmm_pt_destroy(struct kmm_pt *pt)
{
	struct kmm *k = pt->kmm;
	unsigned entries_n = 1u << k->format->index_lg2;

	KMM_REQUIRE(k, pt->leaves_n == 0, "everything was unmapped");
	if (atomic_load_acquire(&pt->active) != 0)
		tlb_evict(pt);
	if (pt->tables_n > 1u)
		tables_free(k, root_entries(pt), k->format->levels - 1u, 0,
			    k->format->shared_root ? entries_n / 2u : entries_n);
	table_free(k, pt->root);
}

enum kmm_error kmm_pt_lookup(struct kmm_pt *pt, struct kmm_va va, struct kmm_pt_leaf *out)
{
	const struct kmm_pt_format *f = pt->kmm->format;
	uint64_t page = bits_align_down(va.a, KMM_PAGE_BYTES), e;
	struct walk w;

	if (pt_is_kernel(pt) ? page < -f->user_end : page >= pt->user_end)
		return KMM_ENOENT;
	walk_begin(&w, pt, page);
	e = kmm_port_pt_load(w.k, walk_entry(&w));
	if (e == 0)
		return KMM_ENOENT;
	out->pfn = pte_pfn(f, e, w.level);
	out->pfn.n += (page & (level_bytes(f, w.level) - 1u)) >> KMM_PAGE_LG2;
	out->prot = pte_prot(f, e);
	out->level = w.level;
	out->present = (e & f->valid) != 0;
	out->user = pte_user(f, e);
	return KMM_OK;
}

/// T1. The sync makes the bit in `active` visible before the new root is walked.
void kmm_pt_activate(struct kmm *k, struct kmm_pt *pt)
{
	unsigned long was = kmm_port_irq_save(k);
	struct kmm_cpu *cpu = kmm_port_cpu(k);
	struct kmm_pt *old = atomic_load_relaxed(&cpu->pt->current);
	uint64_t bit = 1ull << cpu->id;

	if (pt == NULL)
		pt = &k->pt->kernel;
	if (pt != old) {
		(void)atomic_or_seq_cst(&pt->active, bit);
		kmm_port_pt_sync(k);
		kmm_port_root_load(k, kmm_pfn_to_pa(pt->root));
		atomic_store_relaxed(&cpu->pt->current, pt);
		if (!pt_is_kernel(old))
			(void)atomic_and_seq_cst(&old->active, ~bit);
	}
	kmm_port_irq_restore(k, was);
}

struct kmm_pt *kmm_pt_kernel(struct kmm *k)
{
	return &k->pt->kernel;
}

void kmm_pt_stats(struct kmm *k, struct kmm_pt_stats *s)
{
	struct kmm_pt_stats sum = { 0 };

	for (unsigned i = 0; i < k->cpus_n; i++) {
		const struct pt_cpu *c = k->cpus[i].pt;

		sum.entry_stores_n += counter_read(&c->entry_stores_n);
		sum.page_flushes_n += counter_read(&c->page_flushes_n);
		sum.full_flushes_n += counter_read(&c->full_flushes_n);
		sum.ipis_n += counter_read(&c->ipis_n);
		sum.shootdowns_n += counter_read(&c->shootdowns_n);
		sum.tables_n += counter_read(&c->tables_n);
	}
	*s = sum;
}

uint64_t pt_meta_bytes(const struct kmm_config *c, uint64_t total)
{
	total = meta_add(total, sizeof(struct pt_state), 64);
	for (unsigned i = 0; i < c->cpus_n; i++)
		total = meta_add(total, sizeof(struct pt_cpu), 64);
	return total;
}

enum kmm_error pt_init(struct kmm *k, const struct kmm_config *c, struct meta *m)
{
	struct pt_state *pt = meta_take(k, m, sizeof(*pt), 64);

	k->pt = pt;
	for (unsigned i = 0; i < k->cpus_n; i++) {
		k->cpus[i].pt = meta_take(k, m, sizeof(struct pt_cpu), 64);
		k->cpus[i].pt->current = &pt->kernel;
	}
	lock_init(&pt->shootdown, LOCK_SHOOTDOWN);
	k->call[CALL_SHOOTDOWN] = tlb_answer;
	pt->kernel.kmm = k;
	pt->kernel.active = bits_mask(k->cpus_n);
	if (c->kernel_root.a == 0)
		return root_alloc(k, &pt->kernel);
	pt->kernel.root = kmm_pa_to_pfn(c->kernel_root);
	return KMM_OK;
}

void pt_teardown(struct kmm *k)
{
	struct kmm_pt *pt = &k->pt->kernel;
	unsigned entries_n = 1u << k->format->index_lg2;
	bool own = table_entry(k, pt->root) != NULL;

	if (pt->tables_n > own)
		tables_free(k, root_entries(pt), k->format->levels - 1u,
			    k->format->shared_root ? entries_n / 2u : 0, entries_n);
	if (own)
		table_free(k, pt->root);
}
