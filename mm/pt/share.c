/// Sharing leaves of one tree with another, for copy-on-write.
///
/// One pass: along each table of the source, the destination's tables come into
/// being where the source has leaves. The destination is nobody's yet, so what is
/// shared so far can be taken back when memory runs out; the source's lost write
/// right stays lost, which its next write fault undoes.
#include "pt/batch.h"
#include "pt/walk.h"

/// Brings dst down to the level where src stands. Where dst has a smaller table
/// already (an empty one that the preset keeps), dst stays below.
static enum kmm_error share_reach(struct walk *dst, unsigned level)
{
	while (dst->level > level) {
		struct kmm_pfn table;
		enum kmm_error e = table_alloc(dst->k, &table);

		if (e != KMM_OK)
			return e;
		walk_link(dst, table);
	}
	return KMM_OK;
}

static void share_refs(const struct walk *w, uint64_t e)
{
	struct kmm_pfn pfn = pte_pfn(w->f, e, w->level);
	uint64_t n = level_bytes(w->f, w->level) >> KMM_PAGE_LG2;

	for (; n != 0; n--, pfn.n++)
		if (frame_in_table(w->k, pfn) &&
		    frame_tag(w->k, pfn) == FRAME_ANON)
			frame_ref_get(w->k, pfn);
}

/// n entries of equal level from where both walks stand.
static void share_run(struct walk *dst, struct walk *src, unsigned n, struct kmm_tlb_batch *b)
{
	const struct kmm_pt_format *f = src->f;
	uint64_t bytes = level_bytes(f, src->level), va = src->va;
	uint64_t fresh = ~(f->accessed | f->dirty);
	uint64_t *from = walk_entry(src), *to = walk_entry(dst);
	uint32_t shared = 0, changed = 0;

	for (; n != 0; n--, from++, to++, va += bytes) {
		uint64_t e = kmm_port_pt_load(src->k, from);

		if (e == 0)
			continue;
		KMM_ASSERT_SLOW(dst->k, kmm_port_pt_load(dst->k, to) == 0, "dst has nothing there");
		share_refs(src, e);
		if (pte_writable(f, e)) {
			e = pte_read_only(f, e);
			walk_store(src, from, e);
			tlb_range(b, va, va + bytes);
			changed++;
		}
		walk_store(dst, to, e & fresh);
		shared++;
	}
	table_used_add(dst->k, dst->pfn[dst->level], shared);
	dst->pt->leaves_n += shared;
	counter_add(&pt_cpu(src->k)->entry_stores_n, shared + changed);
}

/// Is there any leaf among the n entries where the walk stands? An empty table
/// costs one look at its count.
static bool run_empty(const struct walk *w, unsigned n)
{
	const uint64_t *e = walk_entry(w);

	if (w->level == 0 && frame_entry(w->k, w->pfn[0])->index == 0)
		return true;
	for (; n != 0; n--, e++)
		if (kmm_port_pt_load(w->k, e) != 0)
			return false;
	return true;
}

/// The run where src stands; *next = where it ended. After a failure dst holds
/// everything before it.
static enum kmm_error share_step(struct walk *dst, struct walk *src, uint64_t end,
				 struct kmm_tlb_batch *b, uint64_t *next)
{
	unsigned n = walk_run(src, end);
	struct kmm_pfn table;
	enum kmm_error e;

	*next = walk_run_stop(src, n, end);
	if (run_empty(src, n))
		return KMM_OK;
	walk_next(dst, src->va);
	e = share_reach(dst, src->level);
	while (e == KMM_OK && dst->level < src->level) {
		e = table_alloc(src->k, &table);
		if (e == KMM_OK)
			split_leaf(src, table);
	}
	if (e != KMM_OK)
		return e;
	n = walk_run(src, end);
	*next = walk_run_stop(src, n, end);
	share_run(dst, src, n, b);
	return KMM_OK;
}

/// Takes back what dst got, and the tables made on the way to more.
static void share_undo(struct walk *dst, uint64_t start, uint64_t end)
{
	struct kmm_tlb_batch b;

	kmm_tlb_batch_init(&b, dst->pt);
	walk_prune(dst, &b);
	unmap_range(dst->pt, start, end, &b);
	kmm_tlb_batch_flush(&b);
}

enum kmm_error kmm_pt_share(struct kmm_pt *dst, struct kmm_pt *src, struct kmm_va start,
			    struct kmm_va end, struct kmm_tlb_batch *b)
{
	struct walk from, to;
	enum kmm_error e;
	uint64_t next;

	KMM_ASSERT(src->kmm, b->pt == src, "the batch is the source's");
	KMM_REQUIRE(src->kmm, pt_range_valid(src, start.a, end.a) && !pt_is_kernel(src),
		    "a user range");
	e = split_range(src, start.a, end.a);
	if (e != KMM_OK)
		return e;
	walk_begin(&from, src, start.a);
	walk_begin(&to, dst, start.a);
	for (;;) {
		e = share_step(&to, &from, end.a, b, &next);
		if (e != KMM_OK) {
			share_undo(&to, start.a, end.a);
			return e;
		}
		if (next == end.a)
			return KMM_OK;
		walk_next(&from, next);
	}
}
