/// One page's entry, for the fault path: found without a walk when the table
/// reached last holds it, read and changed in place.
///
/// The tree remembers that table (kmm_pt.last_*). It is forgotten when a table is
/// unlinked (walk_prune), so a remembered one is always linked. Lock: owner's, from
/// finding the slot to its last use.
#ifndef KMM_PT_SLOT_H
#define KMM_PT_SLOT_H

#include "frame/entry.h"
#include "pt/batch.h"

/// The entry for va in a level-0 table, or NULL: there is no such table yet (or a
/// larger leaf is there).
uint64_t *slot_find_slow(struct kmm_pt *pt, uint64_t va);

static inline uint64_t *slot_find(struct kmm_pt *pt, uint64_t va)
{
	const struct kmm_pt_format *f = pt->kmm->format;
	uint64_t index = va >> KMM_PAGE_LG2 & ((1u << f->index_lg2) - 1u);

	if ((va >> level_lg2(f, 1)) + 1u == pt->last_key)
		return &pt->last_table[index];
	return slot_find_slow(pt, va);
}

/// Puts another frame in place of the present leaf `old`. The old entry is out of
/// every TLB before the new one is published (a CPU could otherwise read the old
/// frame while another writes the new one), so its reference goes at once.
/// Pre: pfn is not the old frame
void slot_replace(struct kmm_pt *pt, uint64_t va, uint64_t *slot, uint64_t old,
		  struct kmm_pfn pfn, unsigned prot);

/// Fills the empty entry; the mapping takes over the frame's reference.
/// Pre: found by slot_find, the format's valid_needs_no_flush
static inline void slot_fill(struct kmm_pt *pt, uint64_t *slot, struct kmm_pfn pfn, unsigned prot)
{
	struct kmm *k = pt->kmm;

	kmm_port_pt_store(k, slot, pte_leaf(k->format, pfn, 0, k->format->prot_user[prot]));
	kmm_port_pt_sync(k);
	pt->last_entry->index++; /* I2: used entries of the table slot_find ended in */
	pt->leaves_n++;
	counter_add(&pt_cpu(k)->entry_stores_n, 1u);
}

/// Gives a present leaf more rights with the same frame.
static inline void slot_upgrade(struct kmm_pt *pt, uint64_t va, uint64_t *slot, uint64_t old,
				unsigned prot)
{
	struct kmm *k = pt->kmm;
	const struct kmm_pt_format *f = k->format;

	kmm_port_pt_store(k, slot, (old & ~f->prot_mask) | f->prot_user[prot]);
	counter_add(&pt_cpu(k)->entry_stores_n, 1u);
	tlb_upgrade(pt, va);
}

#endif
