/// The unit's invariants, walked: I1..I5 and I8 of tree.c.
#include "pt/unit.h"
#include "pt/walk.h"

struct check {
	struct kmm_pt *pt;
	uint64_t tables_n, leaves_n;
	const char *broken; /* what failed first, NULL = nothing */
	uint64_t at;        /* there */
};

static void broken(struct check *c, uint64_t va, const char *what)
{
	if (c->broken == NULL) {
		c->broken = what;
		c->at = va;
	}
}

static void check_leaf(struct check *c, uint64_t va, uint64_t e, unsigned level)
{
	const struct kmm_pt_format *f = c->pt->kmm->format;
	uint64_t changes = f->addr_mask | f->accessed | f->dirty;
	unsigned prot = pte_prot(f, e);

	c->leaves_n++;
	if (!level_has_leaves(f, level) || (e & f->leaf_test[level]) != f->leaf_is[level])
		broken(c, va, "I1: leaves at their levels only");
	else if ((prot & KMM_PROT_W) && (prot & KMM_PROT_X))
		broken(c, va, "I4: never writable and executable");
	else if (((e & f->valid) == 0) != ((e & f->hidden) != 0))
		broken(c, va, "I4: hidden exactly when not present");
	else if (!bits_aligned(e & f->addr_mask, level_bytes(f, level)))
		broken(c, va, "I4: a leaf's frames are aligned to its size");
	else if (!pt_is_kernel(c->pt) &&
		 (e & ~changes) != (f->leaf_bits[level] | f->prot_user[prot]))
		broken(c, va, "I4: a user leaf is what its protection makes of it");
}

static void check_table(struct check *c, struct kmm_pfn pfn, unsigned level, uint64_t va,
			unsigned first, unsigned last);

static void check_link(struct check *c, uint64_t va, uint64_t e, unsigned level)
{
	struct kmm *k = c->pt->kmm;
	const struct kmm_pt_format *f = k->format;
	struct kmm_pa pa = { e & f->addr_mask };
	struct kmm_pfn pfn = kmm_pa_to_pfn(pa);
	uint64_t changes = f->addr_mask | f->accessed;

	if (!pt_is_kernel(c->pt)) {
		if ((e & ~changes) != f->table_bits)
			broken(c, va, "I1: an entry that names a table has no other bits");
		if (table_entry(k, pfn) == NULL)
			broken(c, va, "I2: a user tree's tables are ours");
	}
	if (c->broken == NULL)
		check_table(c, pfn, level - 1u, va, 0, 1u << f->index_lg2);
}

static void check_table(struct check *c, struct kmm_pfn pfn, unsigned level, uint64_t va,
			unsigned first, unsigned last)
{
	struct kmm *k = c->pt->kmm;
	const uint64_t *table = kmm_port_virt(k, kmm_pfn_to_pa(pfn));
	const struct frame_entry *fe = table_entry(k, pfn);
	uint32_t used = 0;

	c->tables_n += fe != NULL;
	for (unsigned i = first; i < last && c->broken == NULL; i++) {
		uint64_t e = kmm_port_pt_load(k, &table[i]);
		uint64_t at = va + ((uint64_t)i << level_lg2(k->format, level));

		if (e == 0)
			continue;
		used++;
		if (pte_is_table(k->format, e, level))
			check_link(c, at, e, level);
		else if (fe != NULL) /* what boot mapped is boot's affair */
			check_leaf(c, at, e, level);
	}
	if (fe != NULL && fe->index != used)
		broken(c, va, "I2: a table's count of used entries");
}

/// I5. A tree without a kernel half is fine; a part of one isn't.
static void check_kernel_half(struct check *c)
{
	struct kmm *k = c->pt->kmm;
	unsigned n = 1u << k->format->index_lg2;
	const uint64_t *own = kmm_port_virt(k, kmm_pfn_to_pa(c->pt->root));
	const uint64_t *kernel = kmm_port_virt(k, kmm_pfn_to_pa(k->pt->kernel.root));
	uint64_t changes = k->format->accessed;
	bool any = false, differs = false;

	for (unsigned i = n / 2u; i < n; i++) {
		uint64_t e = kmm_port_pt_load(k, &own[i]);

		any |= e != 0;
		differs |= ((e ^ kmm_port_pt_load(k, &kernel[i])) & ~changes) != 0;
	}
	if (any && differs)
		broken(c, 0, "I5: the kernel half is the kernel tree's");
}

static void check_last(struct check *c)
{
	const struct kmm_pt *pt = c->pt;
	struct walk w;

	if (pt->last_key == 0)
		return;
	walk_begin(&w, c->pt, (pt->last_key - 1u) << level_lg2(pt->kmm->format, 1));
	if (w.level != 0 || w.table[0] != pt->last_table ||
	    table_entry(w.k, w.pfn[0]) != pt->last_entry)
		broken(c, w.va, "I8: the table remembered is linked");
}

enum kmm_error kmm_pt_check(struct kmm_pt *pt)
{
	struct kmm *k = pt->kmm;
	struct check c = { .pt = pt };
	unsigned n = 1u << k->format->index_lg2, first = 0, last = n;

	if (k->format->shared_root) {
		first = pt_is_kernel(pt) ? n / 2u : 0;
		last = pt_is_kernel(pt) ? n : n / 2u;
	}
	check_table(&c, pt->root, k->format->levels - 1u, 0, first, last);
	if (c.tables_n != pt->tables_n)
		broken(&c, 0, "I3: the number of tables");
	if (c.leaves_n != pt->leaves_n)
		broken(&c, 0, "I3: the number of leaves");
	if ((atomic_load_relaxed(&pt->active) & ~bits_mask(k->cpus_n)) != 0)
		broken(&c, 0, "T1: only CPUs that exist are active");
	if (c.broken == NULL)
		check_last(&c);
	if (k->format->shared_root && !pt_is_kernel(pt))
		check_kernel_half(&c);
	if (c.broken == NULL)
		return KMM_OK;
	kmm_log(k, KMM_LOG_ERROR, "pt %llx at %llx: %s", (unsigned long long)pt->root.n,
		(unsigned long long)c.at, c.broken);
	return KMM_ECORRUPT;
}

enum kmm_error pt_check(struct kmm *k)
{
	return kmm_pt_check(&k->pt->kernel);
}
