/// Changing leaves that are there: unmap, protect, replace.
///
/// Each goes along a table's entries in one loop and walks only to reach the
/// next table. Whatever may fail (the tables a split needs) comes first. A
/// range is noted in the batch before the frames it led to, since a full batch
/// flushes itself.
#include "pt/batch.h"
#include "pt/walk.h"

/// The references of one leaf that is gone.
static void batch_leaf(struct kmm_tlb_batch *b, uint64_t old, const struct walk *w)
{
	struct kmm_pfn pfn = pte_pfn(w->f, old, w->level);
	uint64_t n = level_bytes(w->f, w->level) >> KMM_PAGE_LG2;

	for (; n != 0; n--, pfn.n++)
		tlb_frame(b, pfn);
}

static void unmap_run(struct walk *w, unsigned n, struct kmm_tlb_batch *b)
{
	uint64_t bytes = level_bytes(w->f, w->level), va = w->va;
	uint64_t *entry = walk_entry(w);
	uint32_t gone = 0, used;

	for (; n != 0; n--, entry++, va += bytes) {
		uint64_t old = kmm_port_pt_load(w->k, entry);

		if (old == 0)
			continue;
		walk_store(w, entry, 0);
		w->va = va; /* on the last page that went: what prune invalidates */
		gone++;
		if ((old & w->f->valid) != 0)
			tlb_range(b, va, va + bytes);
		batch_leaf(b, old, w);
	}
	if (gone == 0)
		return;
	counter_add(&pt_cpu(w->k)->entry_stores_n, gone);
	used = table_used_add(w->k, w->pfn[w->level], -gone);
	if (used != ~0u)
		w->pt->leaves_n -= gone;
	if (used == 0)
		walk_prune(w, b);
}

static void unmap_from(struct walk *w, uint64_t end, struct kmm_tlb_batch *b)
{
	for (;;) {
		unsigned n = walk_run(w, end);
		uint64_t next = walk_run_stop(w, n, end);

		unmap_run(w, n, b);
		if (next == end)
			return;
		walk_next(w, next);
	}
}

void unmap_range(struct kmm_pt *pt, uint64_t start, uint64_t end, struct kmm_tlb_batch *b)
{
	struct walk w;

	walk_begin(&w, pt, start);
	unmap_from(&w, end, b);
}

/// Begins a walk over leaves none of which crosses start or end: those that
/// do are split. One level-0 table that holds the whole range has none.
static enum kmm_error walk_begin_split(struct walk *w, struct kmm_pt *pt, uint64_t start,
				       uint64_t end)
{
	enum kmm_error e;

	walk_begin(w, pt, start);
	if (w->level == 0 && level_stop(w->f, 1, start, end) == end)
		return KMM_OK;
	e = split_range(pt, start, end);
	if (e == KMM_OK)
		walk_begin(w, pt, start);
	return e;
}

enum kmm_error kmm_pt_unmap(struct kmm_pt *pt, struct kmm_va start, struct kmm_va end,
			    struct kmm_tlb_batch *b)
{
	struct walk w;
	enum kmm_error e;

	KMM_ASSERT(pt->kmm, b->pt == pt, "the batch is this tree's");
	if (!pt_range_valid(pt, start.a, end.a))
		return KMM_EINVAL;
	e = walk_begin_split(&w, pt, start.a, end.a);
	if (e == KMM_OK)
		unmap_from(&w, end.a, b);
	return e;
}

struct protect_job {
	unsigned prot;
	bool keep_ro;
	bool spares;   /* an upgrade needs no flush in this tree */
	bool spared;   /* and one went without */
	bool appeared; /* an entry became valid */
	const uint64_t *bits;
	struct kmm_tlb_batch *b;
};

static void protect_run(struct walk *w, unsigned n, struct protect_job *j)
{
	const struct kmm_pt_format *f = w->f;
	uint64_t bytes = level_bytes(f, w->level), va = w->va;
	uint64_t *entry = walk_entry(w);

	for (; n != 0; n--, entry++, va += bytes) {
		uint64_t old = kmm_port_pt_load(w->k, entry), new;
		unsigned prot = j->prot;

		if (old == 0)
			continue;
		if (j->keep_ro && !pte_writable(f, old))
			prot &= ~(unsigned)KMM_PROT_W;
		new = (old & ~f->prot_mask) | j->bits[prot];
		if (new == old)
			continue;
		walk_store(w, entry, new);
		counter_add(&pt_cpu(w->k)->entry_stores_n, 1u);
		if ((old & f->valid) == 0)
			j->appeared = true;
		else if (j->spares && (pte_prot(f, old) & ~prot) == 0)
			j->spared = true;
		else
			tlb_range(j->b, va, va + bytes);
	}
}

static void protect_from(struct walk *w, uint64_t end, struct protect_job *j)
{
	for (;;) {
		unsigned n = walk_run(w, end);
		uint64_t next = walk_run_stop(w, n, end);

		protect_run(w, n, j);
		if (next == end)
			return;
		walk_next(w, next);
	}
}

/// More rights with the same frame need no flush where the format says so: at
/// worst one more fault, which a user's fault handler finds nothing to do about.
/// A kernel page may not fault at all. For a single page somebody is probably
/// about to use the right; dropping it on this CPU costs less than the fault.
enum kmm_error kmm_pt_protect(struct kmm_pt *pt, struct kmm_va start, struct kmm_va end,
			      unsigned prot, bool keep_ro, struct kmm_tlb_batch *b)
{
	const struct kmm_pt_format *f = pt->kmm->format;
	struct protect_job j = { .keep_ro = keep_ro, .bits = pt_prot_bits(pt), .b = b };
	struct walk w;
	enum kmm_error e;

	KMM_ASSERT(pt->kmm, b->pt == pt, "the batch is this tree's");
	if (!prot_normalise(&prot) || !pt_range_valid(pt, start.a, end.a))
		return KMM_EINVAL;
	e = walk_begin_split(&w, pt, start.a, end.a);
	if (e != KMM_OK)
		return e;
	j.prot = prot;
	j.spares = f->upgrade_needs_no_flush && !pt_is_kernel(pt);
	protect_from(&w, end.a, &j);
	if (j.appeared && f->valid_needs_no_flush)
		kmm_port_pt_sync(pt->kmm);
	if (j.spared && end.a - start.a == KMM_PAGE_BYTES)
		tlb_upgrade(pt, start.a);
	return KMM_OK;
}

/// The entry goes from one frame to another with nothing in between that two
/// CPUs could see differently.
static void replace_frame(struct walk *w, uint64_t *entry, uint64_t old, uint64_t new,
			  struct kmm_tlb_batch *b)
{
	if ((old & w->f->valid) != 0 && atomic_load_relaxed(&w->pt->active) != 0) {
		walk_store(w, entry, 0);
		tlb_now(w->pt, w->va, w->va + KMM_PAGE_BYTES);
	}
	walk_store(w, entry, new);
	kmm_port_pt_sync(w->k);
	tlb_frame(b, pte_pfn(w->f, old, 0));
}

void kmm_pt_replace(struct kmm_pt *pt, struct kmm_va va, struct kmm_pfn pfn, unsigned prot,
		    struct kmm_tlb_batch *b)
{
	const struct kmm_pt_format *f = pt->kmm->format;
	uint64_t *entry, old, new;
	struct walk w;

	KMM_ASSERT(pt->kmm, b->pt == pt, "the batch is this tree's");
	KMM_REQUIRE(pt->kmm, prot_normalise(&prot), "W and X not together");
	walk_begin(&w, pt, va.a);
	entry = walk_entry(&w);
	old = kmm_port_pt_load(w.k, entry);
	KMM_REQUIRE(w.k, w.level == 0 && old != 0, "a 4 KiB leaf is there");
	new = pte_leaf(f, pfn, 0, pt_prot_bits(pt)[prot]);
	counter_add(&pt_cpu(w.k)->entry_stores_n, 1u);
	if (pte_pfn(f, old, 0).n != pfn.n) {
		replace_frame(&w, entry, old, new, b);
		return;
	}
	walk_store(&w, entry, new);
	if ((old & f->valid) == 0)
		kmm_port_pt_sync(w.k);
	else if ((pte_prot(f, old) & ~prot) != 0 || pt_is_kernel(pt))
		tlb_range(b, va.a, va.a + KMM_PAGE_BYTES);
	else
		tlb_upgrade(pt, va.a);
}
