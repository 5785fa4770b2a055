/// A page's entry: the way to it when the table reached last isn't the one, and
/// another frame in it.
#include "pt/slot.h"

#include "pt/walk.h"

uint64_t *slot_find_slow(struct kmm_pt *pt, uint64_t va)
{
	struct walk w;
	struct frame_entry *fe;

	walk_begin(&w, pt, va);
	if (w.level != 0)
		return NULL;
	fe = table_entry(w.k, w.pfn[0]);
	KMM_ASSERT(w.k, fe != NULL, "pt I2: a user tree's tables are ours");
	pt->last_key = (va >> level_lg2(w.f, 1)) + 1u;
	pt->last_table = w.table[0];
	pt->last_entry = fe;
	return walk_entry(&w);
}

/// Invalidates one page wherever it may be held. Alone in the tree, this CPU needs
/// no batch and no request. Source of the order: batch.c, T1.
static void page_drop(struct kmm_pt *pt, uint64_t va)
{
	struct kmm *k = pt->kmm;
	kmm_cpumask self = 1ull << kmm_port_cpu(k)->id;

	atomic_fence_seq_cst();
	if ((atomic_load_relaxed(&pt->active) & ~self) != 0)
		tlb_now(pt, va, va + KMM_PAGE_BYTES);
	else
		tlb_upgrade(pt, va);
}

void slot_replace(struct kmm_pt *pt, uint64_t va, uint64_t *slot, uint64_t old,
		  struct kmm_pfn pfn, unsigned prot)
{
	struct kmm *k = pt->kmm;
	const struct kmm_pt_format *f = k->format;

	kmm_port_pt_store(k, slot, 0);
	page_drop(pt, va);
	kmm_port_pt_store(k, slot, pte_leaf(f, pfn, 0, f->prot_user[prot]));
	kmm_port_pt_sync(k);
	counter_add(&pt_cpu(k)->entry_stores_n, 2u);
	frame_ref_put(k, pte_pfn(f, old, 0));
}
