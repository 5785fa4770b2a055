/// Ranges: contiguous frames of any number, where a device or a mapping can use them.
///
/// A range's head is tagged FRAME_RUN and has the count in its entry; the other frames are
/// FRAME_TAIL with the head's index, as a slab's are. So a wrong free is told from what
/// stands there, as for blocks (frame.c), and a free of the wrong count too.
///
/// Zones are asked in the order of the request's flags and nodes, each in two ways before
/// the next:
///   block   without limits, and if one is large enough: claims the smallest block that
///           holds the range and its alignment, and releases the tail. As fast as the policy;
///   search  walks the zone's runs of free frames upwards to the first in which the range
///           fits, and claims just those frames.
/// A range lies in one zone. When no zone has room, the allocation goes on as that of a
/// block does: this CPU's caches are emptied, then, where it may wait, those of the others,
/// then the listener is asked. The reserve is single frames, and isn't touched.
///
/// Invariants
///   I1  a FRAME_RUN's entry has index >= 1, its frames all lie in one zone, and all but
///       the first are FRAME_TAIL with the head's index.
///
/// Locking. What a search sees is a hint: other CPUs claim meanwhile. So LOCK_PLUG is taken
/// and the run looked at once more. While it is held nobody else isolates frames
/// (plug.c), hence a frame that is free at that look and FRAME_ISOLATED after claim_range
/// was taken by this call. If claim_range got all, they are tagged as a range at once; if
/// not, exactly those it got go back. The block way needs no lock: a claimed block is the
/// caller's.
///
/// Failure: KMM_ENOMEM with nothing changed but where free frames lie (caches emptied), and
/// that frames which a search took and gave back aren't known to be zero any more. For
/// that instant other allocations don't find them. A run that changed under the search is
/// passed over.
///
/// Limits: interrupts are off while a found run is claimed and tagged, O(n), and in
/// the policy as long as that says. First fit: a range may lie in the middle of what
/// others could have used whole. The tails that the block way gives back are holes to the
/// next range of that size: memory full of equal ranges may be as little as half ranges. The
/// remark that a frame is zero is lost by a search, so such a range is zeroed all over.
///
/// Sources: Knuth, TAOCP 1, 2.5 (first fit); Nazarewicz, Contiguous Memory Allocator
/// (Linux 3.5), for isolating a range before it is taken.
#include "frame/cache.h"
#include "frame/contents.h"
#include "frame/pressure.h"
#include "frame/reserve.h"
#include "frame/zone.h"

/// A request in frames.
struct range_want {
	struct frame_want want; /* order: of the block that would do; may exceed the largest */
	uint64_t n, align;
	uint64_t from, to;
	bool limits;            /* from and to say something */
	bool taken;             /* the answer; the others of it are set then */
	bool fresh;             /* tags aren't set, and still tell which frames are zero */
	struct kmm_pfn pfn;
};

static void range_tag(struct kmm *k, struct kmm_pfn head, uint64_t n)
{
	uint32_t index = (uint32_t)(head.n - k->entry_base);

	frame_entry(k, head)->index = (uint32_t)n;
	frame_tag_set(k, head, FRAME_RUN);
	for (struct kmm_pfn at = { head.n + 1u }; at.n < head.n + n; at.n++) {
		frame_entry(k, at)->index = index;
		frame_tag_set(k, at, FRAME_TAIL);
	}
}

/// The block way.
static bool take_block(struct kmm *k, struct zone *z, struct range_want *w)
{
	unsigned order = w->want.order;
	struct kmm_pfn pfn, tail;
	unsigned long was;
	unsigned got;

	if (w->limits || order > KMM_ORDER_MAX)
		return false;
	was = kmm_port_irq_save(k);
	got = zone_claim(k, z, order, w->want.group, 1, &pfn);
	kmm_port_irq_restore(k, was);
	if (got == 0)
		return false;
	tail.n = pfn.n + w->n;
	zone_release_run(k, z, tail, (1ull << order) - w->n);
	w->pfn = pfn;
	w->fresh = true;
	return true;
}

/// Claims [pfn, pfn + n) if all of it is free.
static bool take_at(struct kmm *k, struct zone *z, struct kmm_pfn pfn, uint64_t n)
{
	struct frame_run run = { 0, 0 };
	unsigned long was = lock_acquire(k, &k->frame->plug);
	bool taken = z->policy->next_run(k, z->state, pfn.n, pfn.n + n, &run) &&
		     run.pfn == pfn.n && run.n == n;

	if (taken) {
		taken = zone_claim_range(k, z, pfn, n) == n;
		if (taken)
			range_tag(k, pfn, n);
		else
			(void)zone_release_isolated(k, z, pfn, n, 0);
	}
	lock_release(k, &k->frame->plug, was);
	return taken;
}

/// The search.
static bool take_searched(struct kmm *k, struct zone *z, struct range_want *w)
{
	uint64_t from = w->from > z->base ? w->from : z->base;
	uint64_t to = w->to < z->end ? w->to : z->end;
	struct frame_run run = { 0, 0 };

	if (atomic_load_relaxed(&z->free_n) < w->n)
		return false;
	for (; from < to && z->policy->next_run(k, z->state, from, to, &run);
	     from = run.pfn + run.n) {
		struct kmm_pfn pfn = { bits_align_up(run.pfn, w->align) };

		/* Aligned up, it may lie beyond the run, or beyond 2^64. */
		if (pfn.n < run.pfn || pfn.n - run.pfn > run.n || run.n - (pfn.n - run.pfn) < w->n)
			continue;
		if (take_at(k, z, pfn, w->n)) {
			w->pfn = pfn;
			w->fresh = false;
			return true;
		}
	}
	return false;
}

/// One round over the zones.
static bool take(struct kmm *k, struct range_want *w)
{
	struct zone_walk walk;
	struct zone *z;
	unsigned long was = kmm_port_irq_save(k);

	zone_walk_begin(k, &w->want, &walk);
	kmm_port_irq_restore(k, was);
	while (!w->taken && (z = zone_walk_next(k, &walk)) != NULL)
		w->taken = take_block(k, z, w) || take_searched(k, z, w);
	return w->taken;
}

/// As take, and empties this CPU's caches if that may help.
static bool take_hard(struct kmm *k, void *ctx)
{
	struct frame_cpu *fc;
	unsigned long was;

	if (take(k, ctx))
		return true;
	if (!k->frame->drains)
		return false;
	was = kmm_port_irq_save(k);
	fc = kmm_port_cpu(k)->frame;
	if (cache_cpu_empty(fc))
		fc = NULL;
	else
		cache_drain(k, fc);
	kmm_port_irq_restore(k, was);
	return fc != NULL && take(k, ctx);
}

/// With all that can be done.
static bool take_any_way(struct kmm *k, struct range_want *w)
{
	unsigned long was = kmm_port_irq_save(k);
	bool wait = !(w->want.flags & KMM_FRAME_NOWAIT) && KMM_IRQ_WAS_ON(was);

	kmm_port_irq_restore(k, was);
	if (take_hard(k, w) || !wait)
		return w->taken;
	was = kmm_port_irq_save(k);
	wait = pressure_relievable(k);
	kmm_port_irq_restore(k, was);
	if (wait)
		pressure_relieve(k, w->want.order, take_hard, w);
	return w->taken;
}

static enum kmm_error decode(const struct kmm_frame_request *r, struct range_want *w)
{
	uint64_t align = r->align_n != 0 ? r->align_n : 1u;
	unsigned order, align_order;

	if (r->n == 0 || (align & (align - 1u)) != 0 || !frame_flags_valid(r->flags))
		return KMM_EINVAL;
	w->n = r->n;
	w->align = align;
	w->from = (r->lo.a >> KMM_PAGE_LG2) + !bits_aligned(r->lo.a, KMM_PAGE_BYTES);
	w->to = r->hi.a != 0 ? kmm_pa_to_pfn(r->hi).n : ~0ull >> KMM_PAGE_LG2;
	w->limits = w->from != 0 || r->hi.a != 0;
	if (w->from >= w->to || w->to - w->from < w->n)
		return r->hi.a != 0 ? KMM_EINVAL : KMM_ENOMEM;
	order = bits_ceil_lg2(r->n);
	align_order = bits_lowest(align);
	w->want = (struct frame_want){ order > align_order ? order : align_order, r->flags,
				       group_of_flags(r->flags), r->nodes };
	return KMM_OK;
}

enum kmm_error kmm_frame_alloc_range(struct kmm *k, const struct kmm_frame_request *r,
				     struct kmm_pfn *out)
{
	struct range_want w = { .taken = false };
	enum kmm_error e = decode(r, &w);
	unsigned long was;

	if (e == KMM_OK && (fail_now(k, KMM_FAIL_FRAME) || !take_any_way(k, &w)))
		e = KMM_ENOMEM;
	if (e == KMM_ENOMEM)
		pressure_failed(k);
	if (e != KMM_OK) {
		zone_tell(k);
		return e;
	}
	for (uint64_t i = 0; i < w.n; i++)
		contents_begin(k, (struct kmm_pfn){ w.pfn.n + i }, 0, r->flags);
	if (w.fresh)
		range_tag(k, w.pfn, w.n);
	was = kmm_port_irq_save(k);
	counter_add(&kmm_port_cpu(k)->frame->direct_alloc_n, 1u);
	kmm_port_irq_restore(k, was);
	zone_tell(k);
	*out = w.pfn;
	return KMM_OK;
}

/// May a caller outside free these frames as a range?
static enum kmm_error free_allowed(struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	enum frame_tag kind;

	if (!frame_in_table(k, pfn) || n == 0 || n > k->entry_end - pfn.n)
		return KMM_EINVAL;
	kind = frame_kind(k, pfn);
	if (!frame_kind_allocated(kind))
		return KMM_EDOUBLEFREE;
	if (kind == FRAME_RUN)
		return frame_entry(k, pfn)->index == n ? KMM_OK : KMM_EWRONGORDER;
	return kind < FRAME_USED ? KMM_EBUSY : KMM_EWRONGORDER;
}

enum kmm_error kmm_frame_free_range(struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	enum kmm_error e = free_allowed(k, pfn, n);
	struct zone *z = zone_of(k, pfn);
	unsigned long was;

	if (e != KMM_OK)
		return e;
	/* The head first: who frees it again is told so from now on. */
	for (struct kmm_pfn at = pfn; at.n < pfn.n + n; at.n++) {
		KMM_ASSERT(k, frame_kind(k, at) == (at.n == pfn.n ? FRAME_RUN : FRAME_TAIL),
			   "range I1");
		frame_tag_set(k, at, FRAME_NONE);
		contents_end(k, at, 0, 0);
	}
	was = kmm_port_irq_save(k);
	for (; n != 0 && reserve_gives(k, 0, pfn); n--)
		pfn.n++;
	counter_add(&kmm_port_cpu(k)->frame->direct_free_n, 1u);
	kmm_port_irq_restore(k, was);
	zone_release_run(k, z, pfn, n);
	zone_tell(k);
	return KMM_OK;
}
