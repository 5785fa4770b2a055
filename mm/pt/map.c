/// Mapping: first a look whether the range is free and how many tables it lacks,
/// then those tables, then entries: nothing can fail once the first is stored.
#include "pt/batch.h"
#include "pt/walk.h"

struct map_job {
	uint64_t start, end;
	struct kmm_pfn pfn; /* of start */
	uint64_t prot_bits;
	unsigned level_max;
	uint64_t tables_n;  /* missing */
};

static struct kmm_pfn job_pfn(const struct map_job *j, uint64_t va)
{
	struct kmm_pfn pfn = { j->pfn.n + ((va - j->start) >> KMM_PAGE_LG2) };

	return pfn;
}

/// May one leaf of this level take the place at va?
static bool leaf_fits(const struct kmm_pt_format *f, const struct map_job *j, uint64_t va,
		      unsigned level)
{
	uint64_t bytes = level_bytes(f, level);

	return level <= j->level_max && level_has_leaves(f, level) && j->end - va >= bytes &&
	       bits_aligned(va | job_pfn(j, va).n << KMM_PAGE_LG2, bytes);
}

/// Tables that [va, stop) needs below one empty entry of `level` where no leaf fits.
static uint64_t tables_below(const struct kmm_pt_format *f, const struct map_job *j,
			     uint64_t va, uint64_t stop, unsigned level)
{
	uint64_t n = 1, next;

	if (level == 1u)
		return n;
	for (; va < stop; va = next) {
		next = level_stop(f, level - 1u, va, stop);
		if (!leaf_fits(f, j, va, level - 1u))
			n += tables_below(f, j, va, next, level - 1u);
	}
	return n;
}

/// Tables that the empty entry the walk stands on needs for the range's part in it.
static enum kmm_error map_plan_entry(struct walk *w, struct map_job *j, uint64_t stop)
{
	if (w->level == 0 || leaf_fits(w->f, j, w->va, w->level))
		return KMM_OK;
	if (w->level == w->f->levels - 1u && w->f->shared_root && pt_is_kernel(w->pt) &&
	    atomic_load_relaxed(&w->k->pt->kernel_copied) != 0)
		return KMM_ELIMIT; /* pt I5 */
	j->tables_n += tables_below(w->f, j, w->va, stop, w->level);
	return KMM_OK;
}

/// Is the range free? Counts the tables it lacks. The walk begins at its start.
static enum kmm_error map_plan(struct walk *w, struct map_job *j)
{
	for (;;) {
		const uint64_t *e = walk_entry(w);
		unsigned n = walk_run(w, j->end);
		uint64_t stop = walk_run_stop(w, n, j->end);
		enum kmm_error error;

		for (unsigned i = 0; i < n; i++)
			if (kmm_port_pt_load(w->k, &e[i]) != 0)
				return KMM_EEXIST;
		error = map_plan_entry(w, j, stop);
		if (error != KMM_OK || stop == j->end)
			return error;
		walk_next(w, stop);
	}
}

/// Fills the run of entries the walk stands on; returns where it ends.
static uint64_t map_run(struct walk *w, const struct map_job *j)
{
	unsigned n = walk_run(w, j->end), level = w->level;
	uint64_t bytes = level_bytes(w->f, level);
	uint64_t *e = walk_entry(w);
	uint64_t leaf = pte_leaf(w->f, job_pfn(j, w->va), level, j->prot_bits);

	for (unsigned i = 0; i < n; i++)
		walk_store(w, &e[i], leaf + i * bytes);
	table_used_add(w->k, w->pfn[level], n);
	counter_add(&pt_cpu(w->k)->entry_stores_n, n);
	if (table_entry(w->k, w->pfn[level]) != NULL)
		w->pt->leaves_n += n;
	return w->va + (uint64_t)n * bytes;
}

static void map_commit(struct walk *w, const struct map_job *j, struct spare *s)
{
	for (;;) {
		uint64_t next;

		while (!leaf_fits(w->f, j, w->va, w->level))
			walk_link(w, spare_take(w->k, s));
		next = map_run(w, j);
		if (next == j->end)
			break;
		walk_next(w, next);
	}
	if (!w->f->valid_needs_no_flush)
		tlb_now(w->pt, j->start, j->end);
	else
		kmm_port_pt_sync(w->k);
}

/// One page where all tables are: no plan needed.
static enum kmm_error map_page(struct walk *w, struct kmm_pfn pfn, uint64_t prot_bits)
{
	uint64_t *e = walk_entry(w);

	if (kmm_port_pt_load(w->k, e) != 0)
		return KMM_EEXIST;
	walk_store(w, e, pte_leaf(w->f, pfn, 0, prot_bits));
	if (table_used_add(w->k, w->pfn[0], 1u) != ~0u)
		w->pt->leaves_n++;
	counter_add(&pt_cpu(w->k)->entry_stores_n, 1u);
	if (!w->f->valid_needs_no_flush)
		tlb_now(w->pt, w->va, w->va + KMM_PAGE_BYTES);
	else
		kmm_port_pt_sync(w->k);
	return KMM_OK;
}

/// Pre: the walk begins at the job's start
static enum kmm_error map_range(struct walk *w, struct map_job *j)
{
	struct spare s = { 0 };
	enum kmm_error e = map_plan(w, j);

	if (e == KMM_OK && j->tables_n != 0)
		e = spare_fill(w->k, &s, j->tables_n);
	if (e != KMM_OK)
		return e;
	if (w->va != j->start)
		walk_begin(w, w->pt, j->start);
	map_commit(w, j, &s);
	KMM_ASSERT(w->k, s.head == 0, "pt I7: no table was planned in vain");
	return KMM_OK;
}

enum kmm_error kmm_pt_map(struct kmm_pt *pt, struct kmm_va va, struct kmm_pfn pfn, uint64_t pages,
			  unsigned prot, unsigned level_max)
{
	uint64_t frames_max = (pt->kmm->format->addr_mask >> KMM_PAGE_LG2) + 1u;
	uint64_t end = va.a + (pages << KMM_PAGE_LG2);
	struct map_job j;
	struct walk w;

	if (!prot_normalise(&prot) || pages > frames_max || pfn.n > frames_max - pages ||
	    !pt_range_valid(pt, va.a, end))
		return KMM_EINVAL;
	walk_begin(&w, pt, va.a);
	if (pages == 1u && w.level == 0)
		return map_page(&w, pfn, pt_prot_bits(pt)[prot]);
	j = (struct map_job){ va.a, end, pfn, pt_prot_bits(pt)[prot], level_max, 0 };
	return map_range(&w, &j);
}
