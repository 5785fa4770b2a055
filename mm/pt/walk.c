/// Tables: how they are made, linked, emptied and freed. The walk itself is
/// inline (walk.h) and knows a format only by its descriptor.
///
/// A table's frame entry counts its used entries in `index`, so that 'empty' is
/// one comparison. The count is guarded as the table is: by the owner's lock.
#include "pt/batch.h"
#include "pt/walk.h"

/// Trees are made and unmade where no lock keeps interrupts off.
static void tables_count(struct kmm *k, uint64_t by)
{
	unsigned long was = kmm_port_irq_save(k);

	counter_add(&pt_cpu(k)->tables_n, by);
	kmm_port_irq_restore(k, was);
}

enum kmm_error table_alloc(struct kmm *k, struct kmm_pfn *out)
{
	enum kmm_error e;

	if (fail_now(k, KMM_FAIL_TABLE))
		return KMM_ENOMEM;
	e = frame_alloc_kind(k, 0, KMM_FRAME_ZERO, FRAME_TABLE, out);
	if (e != KMM_OK)
		return e;
	tables_count(k, 1u);
	return KMM_OK;
}

void table_free(struct kmm *k, struct kmm_pfn pfn)
{
	tables_count(k, (uint64_t)-1);
	frame_free_own(k, pfn, 0);
}

enum kmm_error spare_fill(struct kmm *k, struct spare *s, uint64_t n)
{
	struct kmm_pfn pfn;

	s->head = 0;
	for (; n != 0; n--) {
		enum kmm_error e = table_alloc(k, &pfn);

		if (e != KMM_OK) {
			spare_drop(k, s);
			return e;
		}
		frame_entry(k, pfn)->index = s->head;
		s->head = (uint32_t)(pfn.n - k->entry_base) + 1u;
	}
	return KMM_OK;
}

struct kmm_pfn spare_take(struct kmm *k, struct spare *s)
{
	struct kmm_pfn pfn = { k->entry_base + s->head - 1u };

	KMM_ASSERT(k, s->head != 0, "pt I7: the plan counted every table");
	s->head = frame_entry(k, pfn)->index;
	frame_entry(k, pfn)->index = 0;
	return pfn;
}

void spare_drop(struct kmm *k, struct spare *s)
{
	while (s->head != 0)
		table_free(k, spare_take(k, s));
}

/// What a parent's entry says of the table below. Kernel tables stay out of the
/// user's reach at every level.
static uint64_t table_link_bits(const struct walk *w, struct kmm_pfn table)
{
	uint64_t bits = w->f->table_bits;

	if (pt_is_kernel(w->pt))
		bits &= ~w->f->user_set;
	return kmm_pfn_to_pa(table).a | bits;
}

static void walk_enter(struct walk *w, struct kmm_pfn table)
{
	w->level--;
	w->pfn[w->level] = table;
	w->table[w->level] = kmm_port_virt(w->k, kmm_pfn_to_pa(table));
}

void walk_link(struct walk *w, struct kmm_pfn table)
{
	walk_store(w, walk_entry(w), table_link_bits(w, table));
	table_used_add(w->k, w->pfn[w->level], 1u);
	counter_add(&pt_cpu(w->k)->entry_stores_n, 1u);
	w->pt->tables_n++;
	walk_enter(w, table);
}

/// Only the highest assertion level looks.
__attribute__((unused)) static bool table_zero(const struct walk *w)
{
	for (unsigned i = 0; i < 1u << w->f->index_lg2; i++)
		if (kmm_port_pt_load(w->k, &w->table[w->level][i]) != 0)
			return false;
	return true;
}

/// Tables that hang off the kernel's root are named by user trees' roots too.
static bool table_may_go(const struct walk *w)
{
	unsigned root = w->f->levels - 1u;
	struct frame_entry *fe;

	if (w->level == root)
		return false;
	if (w->level == root - 1u && pt_is_kernel(w->pt) && w->f->shared_root)
		return false;
	fe = table_entry(w->k, w->pfn[w->level]);
	return fe != NULL && fe->index == 0;
}

void walk_prune(struct walk *w, struct kmm_tlb_batch *b)
{
	if (!w->k->preset->table_frees)
		return;
	while (table_may_go(w)) {
		struct kmm_pfn table = w->pfn[w->level];

		KMM_ASSERT_SLOW(w->k, table_zero(w), "pt I2: an unused table is zero");
		w->level++;
		walk_store(w, walk_entry(w), 0);
		table_used_add(w->k, w->pfn[w->level], (uint32_t)-1);
		counter_add(&pt_cpu(w->k)->entry_stores_n, 1u);
		w->pt->tables_n--;
		w->pt->last_key = 0; /* slot.h: only linked tables are remembered */
		tlb_table(b, w->va, table);
	}
}

/// A leaf of the next smaller size, the i-th inside `e`: all attributes kept.
static uint64_t split_child(const struct kmm_pt_format *f, uint64_t e, unsigned level,
			    unsigned i)
{
	struct kmm_pa pa = kmm_pfn_to_pa(pte_pfn(f, e, level));

	pa.a += (uint64_t)i << level_lg2(f, level - 1u);
	return (e & ~(f->leaf_bits[level] | f->addr_mask)) | f->leaf_bits[level - 1u] | pa.a;
}

void split_leaf(struct walk *w, struct kmm_pfn table)
{
	const struct kmm_pt_format *f = w->f;
	uint64_t *entry = walk_entry(w), e = kmm_port_pt_load(w->k, entry);
	uint64_t *child = kmm_port_virt(w->k, kmm_pfn_to_pa(table));
	uint64_t start = w->va & ~(level_bytes(f, w->level) - 1u);
	unsigned n = 1u << f->index_lg2;

	KMM_ASSERT(w->k, level_has_leaves(f, w->level - 1u), "formats I4");
	for (unsigned i = 0; i < n; i++)
		walk_store(w, &child[i], split_child(f, e, w->level, i));
	table_used_add(w->k, table, n);
	if (f->size_change_breaks && (e & f->valid) != 0) {
		walk_store(w, entry, 0);
		tlb_now(w->pt, start, start + KMM_PAGE_BYTES);
	}
	walk_store(w, entry, table_link_bits(w, table));
	kmm_port_pt_sync(w->k);
	counter_add(&pt_cpu(w->k)->entry_stores_n, n + 1u);
	w->pt->tables_n++;
	w->pt->leaves_n += n - (table_entry(w->k, w->pfn[w->level]) != NULL);
	walk_enter(w, table);
}

/// Tables that must come in so that no leaf crosses `at`.
static unsigned split_need(struct kmm_pt *pt, uint64_t at)
{
	struct walk w;
	unsigned n = 0;

	if (bits_aligned(at, level_bytes(pt->kmm->format, 1)))
		return 0;
	walk_begin(&w, pt, at);
	if (kmm_port_pt_load(w.k, walk_entry(&w)) == 0)
		return 0;
	for (unsigned level = w.level; level > 0; level--)
		n += !bits_aligned(at, level_bytes(w.f, level));
	return n;
}

static void split_at(struct kmm_pt *pt, uint64_t at, struct spare *s)
{
	struct walk w;

	if (bits_aligned(at, level_bytes(pt->kmm->format, 1)))
		return;
	walk_begin(&w, pt, at);
	while (!bits_aligned(at, level_bytes(w.f, w.level)) &&
	       kmm_port_pt_load(w.k, walk_entry(&w)) != 0)
		split_leaf(&w, spare_take(w.k, s));
}

enum kmm_error split_range(struct kmm_pt *pt, uint64_t start, uint64_t end)
{
	unsigned need = split_need(pt, start) + split_need(pt, end);
	struct spare s;
	enum kmm_error e;

	if (need == 0)
		return KMM_OK;
	e = spare_fill(pt->kmm, &s, need);
	if (e != KMM_OK)
		return e;
	split_at(pt, start, &s);
	split_at(pt, end, &s);
	spare_drop(pt->kmm, &s); /* start and end in one leaf need fewer */
	return KMM_OK;
}
