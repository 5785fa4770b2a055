/// The memory map: physical ranges with a kind and a name.
///
/// Firmware tables overlap, are unsorted and cut pages in two. The map takes
/// ranges in any order and keeps one truth about each page: the highest kind
/// that anybody claimed for it. When kinds are equal, the range that came first
/// keeps the page, and with it its name.
///
/// Invariants, after every call:
///   I1  ranges are sorted, disjoint, non-empty and page-aligned at both ends;
///   I2  a page's kind is the highest of all added ranges that hold it (usable
///       ranges count whole pages only, others every page they touch);
///   I3  two ranges that touch differ in kind or name.
///
/// An addition is planned in a second map on the stack (some 2.6 KiB) and
/// copied back when it fits, so that a full map is left as it was. No locks: a
/// map has one owner, at boot.
#include <kmm/memmap.h>

#include "base/bits.h"

/// An addition under way: the map it makes, and what of the new range is still
/// to be placed ([at, end)).
struct plan {
	struct kmm_memmap map;
	struct kmm_mem_range fresh; /* fresh.start rises as it is placed */
	bool full;
};

static void name_copy(char to[KMM_MEMMAP_NAME_BYTES], const char *from)
{
	unsigned i = 0;

	for (; from != NULL && from[i] != '\0' && i < KMM_MEMMAP_NAME_BYTES - 1u; i++)
		to[i] = from[i];
	for (; i < KMM_MEMMAP_NAME_BYTES; i++)
		to[i] = '\0';
}

static bool name_equal(const char a[KMM_MEMMAP_NAME_BYTES], const char b[KMM_MEMMAP_NAME_BYTES])
{
	for (unsigned i = 0; i < KMM_MEMMAP_NAME_BYTES; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

static void range_copy(struct kmm_mem_range *to, const struct kmm_mem_range *from)
{
	to->start = from->start;
	to->end = from->end;
	to->kind = from->kind;
	name_copy(to->name, from->name);
}

/// Appends [start, end) with like's kind and name; empty pieces vanish (I1),
/// equal neighbours join (I3).
static void append(struct plan *p, uint64_t start, uint64_t end, const struct kmm_mem_range *like)
{
	struct kmm_mem_range *last = p->map.n ? &p->map.range[p->map.n - 1u] : NULL;

	if (start >= end)
		return;
	if (last && last->end.a == start && last->kind == like->kind &&
	    name_equal(last->name, like->name)) {
		last->end.a = end;
		return;
	}
	if (p->map.n == KMM_MEMMAP_MAX) {
		p->full = true;
		return;
	}
	last = &p->map.range[p->map.n++];
	range_copy(last, like);
	last->start.a = start;
	last->end.a = end;
}

/// Places what precedes `to` of the new range.
static void place_fresh(struct plan *p, uint64_t to)
{
	uint64_t end = p->fresh.end.a < to ? p->fresh.end.a : to;

	append(p, p->fresh.start.a, end, &p->fresh);
	if (p->fresh.start.a < to)
		p->fresh.start.a = to;
}

/// Places a piece of an old range, which wins over the new one where they meet.
static void place_old(struct plan *p, uint64_t start, uint64_t end,
		      const struct kmm_mem_range *like)
{
	if (start >= end)
		return;
	place_fresh(p, start);
	append(p, start, end, like);
	if (p->fresh.start.a < end)
		p->fresh.start.a = end;
}

static void plan_range(struct plan *p, const struct kmm_mem_range *old, uint64_t start,
		       uint64_t end)
{
	uint64_t left_end = old->end.a < start ? old->end.a : start;
	uint64_t right_start = old->start.a > end ? old->start.a : end;

	if (old->kind >= p->fresh.kind) {
		place_old(p, old->start.a, old->end.a, old);
		return;
	}
	append(p, old->start.a, left_end, old);
	place_old(p, right_start, old->end.a, old);
}

enum kmm_error kmm_memmap_add(struct kmm_memmap *m, struct kmm_pa start, struct kmm_pa end,
			      enum kmm_mem_kind kind, const char *name)
{
	struct plan p;
	bool shrink = kind < KMM_MEM_RESERVED; /* memory: whole pages only */
	uint64_t s = shrink ? bits_align_up(start.a, KMM_PAGE_BYTES) :
			      bits_align_down(start.a, KMM_PAGE_BYTES);
	uint64_t e = shrink ? bits_align_down(end.a, KMM_PAGE_BYTES) :
			      bits_align_up(end.a, KMM_PAGE_BYTES);

	if (start.a >= end.a || kind > KMM_MEM_KERNEL)
		return KMM_EINVAL;
	if ((shrink && s < start.a) || (!shrink && e < end.a))
		return KMM_EINVAL; /* wraps */
	if (s >= e)
		return KMM_OK; /* no whole page in it: nothing usable, nothing wrong */
	p.map.n = 0;
	p.full = false;
	p.fresh.start.a = s;
	p.fresh.end.a = e;
	p.fresh.kind = kind;
	name_copy(p.fresh.name, name);
	for (unsigned i = 0; i < m->n; i++)
		plan_range(&p, &m->range[i], s, e);
	place_fresh(&p, e);
	if (p.full)
		return KMM_ELIMIT;
	for (unsigned i = 0; i < p.map.n; i++)
		range_copy(&m->range[i], &p.map.range[i]);
	m->n = p.map.n;
	return KMM_OK;
}

/// Bytes of a usable range that lie below a limit.
static uint64_t bytes_below(const struct kmm_mem_range *r, uint64_t below)
{
	uint64_t end = r->end.a < below ? r->end.a : below;

	return r->kind == KMM_MEM_USABLE && r->start.a < end ? end - r->start.a : 0;
}

enum kmm_error kmm_memmap_carve(struct kmm_memmap *m, uint64_t bytes, struct kmm_pa below,
				const char *name, struct kmm_pa *out)
{
	uint64_t limit = bits_align_down(below.a, KMM_PAGE_BYTES);
	uint64_t whole = bits_align_up(bytes, KMM_PAGE_BYTES);
	const struct kmm_mem_range *best = NULL;
	struct kmm_pa start, end;
	enum kmm_error e;

	if (bytes == 0 || whole < bytes)
		return KMM_ENOMEM;
	for (unsigned i = 0; i < m->n; i++)
		if (!best || bytes_below(&m->range[i], limit) > bytes_below(best, limit))
			best = &m->range[i];
	if (!best || bytes_below(best, limit) < whole)
		return KMM_ENOMEM;
	end.a = best->end.a < limit ? best->end.a : limit;
	start.a = end.a - whole; /* from the top: low memory is the scarcer kind */
	e = kmm_memmap_add(m, start, end, KMM_MEM_KERNEL, name);
	if (e == KMM_OK)
		*out = start;
	return e;
}

uint64_t kmm_memmap_bytes(const struct kmm_memmap *m, enum kmm_mem_kind kind)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < m->n; i++)
		if (m->range[i].kind == kind)
			bytes += m->range[i].end.a - m->range[i].start.a;
	return bytes;
}
