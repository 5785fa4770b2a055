/// Changing what a space allows: map, unmap, protect, brk.
///
/// Each call: check the arguments; lock; plan the regions (all that can fail);
/// change the tables, then the regions; flush; unlock. The tables go first: if a
/// format with larger leaves ever had to split one, that is the last step that
/// can fail, and the regions are still as they were.
///
/// Meaning is Linux's for MAP_PRIVATE | MAP_ANONYMOUS, but for two things:
/// memory is never writable and executable, and a protect that meets a hole
/// changes nothing (Linux changes what lies before it).
#include "vm/space.h"

#define PROT_ALL (KMM_PROT_R | KMM_PROT_W | KMM_PROT_X)

/// Errors: KMM_EINVAL, KMM_EACCES
static enum kmm_error prot_check(unsigned prot, uint8_t *out)
{
	if (prot & ~(unsigned)PROT_ALL)
		return KMM_EINVAL;
	if ((prot & KMM_PROT_W) && (prot & KMM_PROT_X))
		return KMM_EACCES;
	*out = (uint8_t)(prot ? prot | KMM_PROT_R : prot);
	return KMM_OK;
}

/// Page-rounds a range. Errors: KMM_EINVAL (empty, unaligned, not in [low, user_end))
static enum kmm_error range_check(const struct kmm_space *s, uint64_t low, struct kmm_va addr,
				  uint64_t bytes, struct region_want *w)
{
	uint64_t top = s->pt.user_end;

	if (bytes == 0 || !bits_aligned(addr.a, KMM_PAGE_BYTES) || addr.a < low ||
	    addr.a >= top || bytes > top - addr.a)
		return KMM_EINVAL;
	w->start = addr.a;
	w->end = addr.a + bits_align_up(bytes, KMM_PAGE_BYTES);
	return KMM_OK;
}

/// Removes all leaves of [start, end). Errors: KMM_ENOMEM, state unchanged
static enum kmm_error leaves_unmap(struct kmm_space *s, uint64_t start, uint64_t end)
{
	struct kmm_tlb_batch b;
	struct kmm_va from = { start }, to = { end };
	enum kmm_error e;

	if (s->pt.leaves_n == 0)
		return KMM_OK;
	kmm_tlb_batch_init(&b, &s->pt);
	e = kmm_pt_unmap(&s->pt, from, to, &b);
	kmm_tlb_batch_flush(&b);
	return e;
}

static enum kmm_error unmap_locked(struct kmm_space *s, uint64_t start, uint64_t end)
{
	struct region *first = region_first(s, start);
	struct region_reserve v;
	enum kmm_error e;

	if (region_start(first) >= end)
		return KMM_OK; /* nothing but a hole */
	e = region_plan_carve(s, first, start, end, &v);
	if (e != KMM_OK)
		return e;
	e = leaves_unmap(s, start, end);
	if (e == KMM_OK)
		(void)region_carve(s, first, start, end, &v);
	region_unreserve(s, &v);
	return e;
}

/// A new region over [w->start, w->end), whatever was there.
static enum kmm_error put_locked(struct kmm_space *s, struct region *first,
				 const struct region_want *w)
{
	struct region_reserve v;
	enum kmm_error e = region_plan_put(s, first, w, &v);

	if (e != KMM_OK)
		return e;
	if (region_start(first) < w->end) {
		e = leaves_unmap(s, w->start, w->end);
		if (e == KMM_OK)
			first = region_carve(s, first, w->start, w->end, &v);
	}
	if (e == KMM_OK)
		region_put(s, first, w, &v);
	region_unreserve(s, &v);
	return e;
}

/// Chooses the highest place. Errors: as put_locked, and KMM_ENOMEM without one
static enum kmm_error place_locked(struct kmm_space *s, uint64_t bytes, struct region_want *w)
{
	struct region *above = region_below_fits(s, bytes);

	if (above == NULL)
		return KMM_ENOMEM;
	w->end = region_start(above);
	w->start = w->end - bytes;
	return put_locked(s, above, w);
}

enum kmm_error kmm_space_map(struct kmm_space *s, struct kmm_va *addr, uint64_t bytes,
			     unsigned prot, unsigned flags)
{
	struct region_want w = { .flags = flags & KMM_MAP_STACK ? REGION_STACK : 0 };
	enum kmm_error e = KMM_OK;
	unsigned long was;

	if (flags & ~(unsigned)(KMM_MAP_FIXED | KMM_MAP_STACK))
		return KMM_EINVAL;
	if (flags & KMM_MAP_FIXED)
		e = range_check(s, KMM_USER_MIN, *addr, bytes, &w);
	else if (bytes == 0)
		e = KMM_EINVAL;
	else if (bytes > s->pt.user_end)
		e = KMM_ENOMEM; /* so that rounding it up can't wrap */
	if (e == KMM_OK)
		e = prot_check(prot, &w.prot);
	if (e != KMM_OK)
		return e;
	was = lock_acquire(s->kmm, &s->lock);
	if (flags & KMM_MAP_FIXED)
		e = put_locked(s, region_first(s, w.start), &w);
	else
		e = place_locked(s, bits_align_up(bytes, KMM_PAGE_BYTES), &w);
	lock_release(s->kmm, &s->lock, was);
	if (e == KMM_OK)
		addr->a = w.start;
	return e;
}

enum kmm_error kmm_space_unmap(struct kmm_space *s, struct kmm_va addr, uint64_t bytes)
{
	struct region_want w;
	enum kmm_error e = range_check(s, 0, addr, bytes, &w);
	unsigned long was;

	if (e != KMM_OK)
		return e;
	was = lock_acquire(s->kmm, &s->lock);
	e = unmap_locked(s, w.start, w.end);
	lock_release(s->kmm, &s->lock, was);
	return e;
}

static enum kmm_error protect_locked(struct kmm_space *s, const struct region_want *w)
{
	struct region *first = region_first(s, w->start);
	struct kmm_va start = { w->start }, end = { w->end };
	struct region_reserve v;
	struct kmm_tlb_batch b;
	bool changes;
	enum kmm_error e = region_plan_colour(s, first, w, &changes, &v);

	if (e != KMM_OK || !changes)
		return e;
	if (s->pt.leaves_n > 0) {
		/* keep_ro: a read-only leaf may be shared, or the zero frame; the
		 * next write fault knows (space.c, I3). */
		kmm_tlb_batch_init(&b, &s->pt);
		e = kmm_pt_protect(&s->pt, start, end, w->prot, true, &b);
		kmm_tlb_batch_flush(&b);
	}
	if (e == KMM_OK)
		region_colour(s, first, w, &v);
	region_unreserve(s, &v);
	return e;
}

enum kmm_error kmm_space_protect(struct kmm_space *s, struct kmm_va addr, uint64_t bytes,
				 unsigned prot)
{
	struct region_want w = { 0 };
	enum kmm_error e = range_check(s, 0, addr, bytes, &w);
	unsigned long was;

	if (e == KMM_OK)
		e = prot_check(prot, &w.prot);
	if (e != KMM_OK)
		return e;
	was = lock_acquire(s->kmm, &s->lock);
	e = protect_locked(s, &w);
	lock_release(s->kmm, &s->lock, was);
	return e;
}

enum kmm_error kmm_space_brk_init(struct kmm_space *s, struct kmm_va base)
{
	enum kmm_error e = KMM_EEXIST;
	unsigned long was;

	if (base.a < KMM_USER_MIN || base.a >= s->pt.user_end)
		return KMM_EINVAL;
	was = lock_acquire(s->kmm, &s->lock);
	if (s->brk_base == 0) {
		s->brk_base = s->brk = base.a;
		e = KMM_OK;
	}
	lock_release(s->kmm, &s->lock, was);
	return e;
}

/// Moves the heap's end from one page boundary to another.
static enum kmm_error brk_move_locked(struct kmm_space *s, uint64_t from, uint64_t to)
{
	struct region_want w = { .start = from, .end = to, .prot = KMM_PROT_R | KMM_PROT_W,
				 .flags = REGION_HEAP };
	struct region *first;

	if (to < from)
		return unmap_locked(s, to, from);
	if (to == from)
		return KMM_OK;
	first = region_first(s, from);
	if (region_start(first) < to)
		return KMM_ENOMEM; /* another mapping is in the way */
	return put_locked(s, first, &w);
}

enum kmm_error kmm_space_brk(struct kmm_space *s, struct kmm_va addr, struct kmm_va *now)
{
	enum kmm_error e = KMM_OK;
	unsigned long was = lock_acquire(s->kmm, &s->lock);

	if (addr.a != 0 && (s->brk_base == 0 || addr.a < s->brk_base))
		e = KMM_EINVAL;
	else if (addr.a > s->pt.user_end)
		e = KMM_ENOMEM;
	else if (addr.a != 0)
		e = brk_move_locked(s, bits_align_up(s->brk, KMM_PAGE_BYTES),
				    bits_align_up(addr.a, KMM_PAGE_BYTES));
	if (e == KMM_OK && addr.a != 0)
		s->brk = addr.a;
	now->a = s->brk;
	lock_release(s->kmm, &s->lock, was);
	return e;
}
