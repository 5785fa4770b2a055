/// The walker, and the tables it walks on.
#ifndef KMM_PT_WALK_H
#define KMM_PT_WALK_H

#include "frame/entry.h"
#include "pt/state.h"

/// Stands on the entry for `va` at the lowest level that tables lead to: a
/// leaf, or empty, or level 0. Tables above it stay known, so that moving on
/// within a table costs no walk.
struct walk {
	struct kmm_pt *pt;
	struct kmm *k;
	const struct kmm_pt_format *f;
	uint64_t va;
	unsigned level; /* of the entry; table[level] holds it */
	uint64_t *table[KMM_PT_LEVELS_MAX];
	struct kmm_pfn pfn[KMM_PT_LEVELS_MAX];
};

static inline unsigned walk_index(const struct walk *w, unsigned level)
{
	return (unsigned)(w->va >> level_lg2(w->f, level)) & ((1u << w->f->index_lg2) - 1u);
}

static inline uint64_t *walk_entry(const struct walk *w)
{
	return &w->table[w->level][walk_index(w, w->level)];
}

static inline void walk_store(const struct walk *w, uint64_t *entry, uint64_t value)
{
	kmm_port_pt_store(w->k, entry, value);
}

/// Descends as far as tables lead. Everything stays in registers but what the
/// walk is asked for later: each fault passes here.
static inline void walk_down(struct walk *w)
{
	const struct kmm_pt_format *f = w->f;
	unsigned level = w->level, lg2 = level_lg2(f, level);
	uint64_t *table = w->table[level], mask = (1ull << f->index_lg2) - 1u;

	while (level != 0) {
		uint64_t e = kmm_port_pt_load(w->k, &table[w->va >> lg2 & mask]);
		struct kmm_pa pa = { e & f->addr_mask };

		if (!pte_is_table(f, e, level))
			break;
		level--;
		lg2 -= f->index_lg2;
		table = kmm_port_virt(w->k, pa);
		w->table[level] = table;
		w->pfn[level] = kmm_pa_to_pfn(pa);
	}
	w->level = level;
}

static inline void walk_begin(struct walk *w, struct kmm_pt *pt, uint64_t va)
{
	w->pt = pt;
	w->k = pt->kmm;
	w->f = pt->kmm->format;
	w->va = va;
	w->level = w->f->levels - 1u;
	w->pfn[w->level] = pt->root;
	w->table[w->level] = kmm_port_virt(w->k, kmm_pfn_to_pa(pt->root));
	walk_down(w);
}

/// Moves on to another address, up only as far as needed.
static inline void walk_next(struct walk *w, uint64_t va)
{
	uint64_t differs = w->va ^ va;

	w->va = va;
	while (w->level < w->f->levels - 1u && differs >> level_lg2(w->f, w->level + 1u) != 0)
		w->level++;
	walk_down(w);
}

/// Where the entry of that level that covers va ends, but no later than `end`.
/// Pre: va < end
static inline uint64_t level_stop(const struct kmm_pt_format *f, unsigned level, uint64_t va,
				  uint64_t end)
{
	uint64_t last = va | (level_bytes(f, level) - 1u);

	return last >= end - 1u ? end : last + 1u;
}

/// Entries from here on that one loop may take: to the end of a level-0 table
/// or of the range; one elsewhere, since the next may name a table.
static inline unsigned walk_run(const struct walk *w, uint64_t end)
{
	if (w->level != 0)
		return 1;
	return (unsigned)((level_stop(w->f, 1, w->va, end) - w->va) >> KMM_PAGE_LG2);
}

/// Where n entries from here on end.
static inline uint64_t walk_run_stop(const struct walk *w, unsigned n, uint64_t end)
{
	return level_stop(w->f, w->level, w->va + ((uint64_t)(n - 1u) << KMM_PAGE_LG2), end);
}

/// The entry that counts a table's used entries; NULL for tables that the boot
/// code made, which nobody counts and nobody frees.
static inline struct frame_entry *table_entry(struct kmm *k, struct kmm_pfn pfn)
{
	if (!frame_in_table(k, pfn) || frame_tag(k, pfn) != FRAME_TABLE)
		return NULL;
	return frame_entry(k, pfn);
}

/// Adds to a table's count of used entries; returns what it is now, or ~0 for a
/// table without one.
static inline uint32_t table_used_add(struct kmm *k, struct kmm_pfn pfn, uint32_t n)
{
	struct frame_entry *fe = table_entry(k, pfn);

	return fe == NULL ? ~0u : (fe->index += n);
}

/// Tables made in advance, so that what follows can't fail. Linked through
/// their frame entries, since a table's contents stay zero.
struct spare {
	uint32_t head; /* entry index + 1; 0 = none */
};

/// One zeroed table; nothing used. Errors: KMM_ENOMEM
KMM_MUST_CHECK enum kmm_error table_alloc(struct kmm *k, struct kmm_pfn *out);

/// Frees a table that no CPU can reach.
void table_free(struct kmm *k, struct kmm_pfn pfn);

/// Errors: KMM_ENOMEM, with none kept
KMM_MUST_CHECK enum kmm_error spare_fill(struct kmm *k, struct spare *s, uint64_t n);
struct kmm_pfn spare_take(struct kmm *k, struct spare *s);
void spare_drop(struct kmm *k, struct spare *s);

/// Hangs an empty table below the empty entry the walk stands on, and descends.
void walk_link(struct walk *w, struct kmm_pfn table);

/// Takes the table the walk stands in out of its parent, if it is empty, the
/// preset wants that, and it may go; the same for the parents it empties. They
/// go into the batch, and the walk stands on the highest one's entry.
void walk_prune(struct walk *w, struct kmm_tlb_batch *b);

/// Splits leaves so that none crosses start or end.
/// Errors: KMM_ENOMEM, nothing changed
KMM_MUST_CHECK enum kmm_error split_range(struct kmm_pt *pt, uint64_t start, uint64_t end);

/// Splits the leaf the walk stands on into a table of the next smaller ones and
/// descends. Pre: a leaf at level > 0; `table` empty and not linked
void split_leaf(struct walk *w, struct kmm_pfn table);

/// Unmaps whole leaves; can't fail. Pre: no leaf crosses start or end
void unmap_range(struct kmm_pt *pt, uint64_t start, uint64_t end, struct kmm_tlb_batch *b);

#endif
