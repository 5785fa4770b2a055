/// Physical frames: what the rest of the memory manager and the embedder call.
///
/// Four layers. Policies (policy.h) own the free frames. Zones (zone.c) have one each, and
/// nodes order the zones. Above them each CPU has caches of blocks (cache.c). This file
/// validates, tags and counts. The span runs from the lowest to the highest page of the
/// memory map; there is a tag and an entry for each frame of it. Holes and reserved
/// ranges inside are simply never handed to a policy: their tags stay zero, which reads as
/// 'no allocated block begins here'.
///
/// Life of a block's head tag:
///     policy's --claim--> FRAME_NONE --> FRAME_USED, FRAME_MOVABLE or an owner's kind
///     freed: --> FRAME_NONE: in a cache, or --release--> policy's
///
/// Invariants
///   I1  an allocated block's head has an allocated tag that tells its order (its entry
///       does, for an owner's kind); its other frames are FRAME_NONE or FRAME_TAIL;
///   I2  a block of an owner's kind has refs >= 1 in its entry;
///   I3  frames allocated + cached + reserved + isolated + free in policies = managed;
///   I4  a frame is in exactly one of these.
///
/// Locking: none here. A block being allocated or freed belongs to the caller, and so does
/// its tag; caches are per CPU, interrupts off; policies lock themselves.
///
/// Failure: out of memory is KMM_ENOMEM with nothing changed. Before giving up, a
/// drainable preset returns this CPU's caches (they may complete a larger block), then,
/// where it may wait, the other CPUs' (cache.c says when), then asks the pressure listener
/// to free something; who may not fail has the reserve at last.
///
/// Limits: 2^32 - 2 frames of span (links in entries are 32 bits wide).
#include "frame/cache.h"
#include "frame/contents.h"
#include "frame/pressure.h"
#include "frame/reserve.h"
#include "frame/run.h"
#include "frame/zone.h"

#define CHUNK 64u /* blocks a batch call handles at once: one attempt for fail.h */

/// Flags that no zone, no node and no special care speak from.
#define FLAGS_PLAIN (KMM_FRAME_ZERO | KMM_FRAME_MOVABLE | KMM_FRAME_NOWAIT | KMM_FRAME_RESERVE)

/// Is it asked for without zones, nodes and special care?
static inline bool want_plain(const struct frame_want *w)
{
	return (w->flags & ~FLAGS_PLAIN) == 0 && w->nodes == NULL;
}

/// Takes up to n blocks for this CPU: what its cache has, then from the zones; a cache that
/// has none fetches a batch for one. Pre: interrupts off, fc is this CPU's
static unsigned take(struct kmm *k, struct frame_cpu *fc, const struct frame_want *w, unsigned n,
		     struct kmm_pfn *out)
{
	struct magazine *m = want_plain(w) ? magazine_for(fc, w->order, w->group) : NULL;
	unsigned got = 0, more;

	if (m != NULL) {
		if (n == 1 && magazine_count(m) == 0)
			(void)cache_refill(k, fc, m);
		while (got < n && magazine_pop(m, out + got))
			got++;
		if (got != 0) /* a failure leaves alone what others read meanwhile */
			counter_add(&m->alloc_n, got);
		if (got == n || n == 1) /* the refill has asked the policies */
			return got;
	}
	more = zones_claim(k, w, n - got, out + got);
	if (more != 0)
		counter_add(&fc->direct_alloc_n, more);
	return got + more;
}

/// Empties this CPU's caches, as that may complete larger blocks, and tries again.
/// Pre: interrupts off
static unsigned take_drained(struct kmm *k, struct frame_cpu *fc, const struct frame_want *w,
			     unsigned n, struct kmm_pfn *out)
{
	if (!k->frame->drains || cache_cpu_empty(fc))
		return 0;
	cache_drain(k, fc);
	return take(k, fc, w, n, out);
}

/// An allocation that isn't served in full yet.
struct attempt {
	const struct frame_want *w;
	unsigned n, got;
	struct kmm_pfn *out;
};

static bool attempt_again(struct kmm *k, void *ctx)
{
	struct attempt *a = ctx;
	unsigned long was = kmm_port_irq_save(k);
	struct frame_cpu *fc = kmm_port_cpu(k)->frame;

	a->got += take(k, fc, a->w, a->n - a->got, a->out + a->got);
	if (a->got < a->n)
		a->got += take_drained(k, fc, a->w, a->n - a->got, a->out + a->got);
	kmm_port_irq_restore(k, was);
	return a->got == a->n;
}

/// Up to n blocks more, when this CPU's cache and the zones had too few. may_wait: with
/// interrupts on, by whoever asked. *tell = the listener may have something to hear
static __attribute__((noinline)) unsigned take_hard(struct kmm *k, const struct frame_want *w,
						    unsigned n, struct kmm_pfn *out,
						    bool may_wait, bool *tell)
{
	unsigned long was = kmm_port_irq_save(k);
	struct frame_cpu *fc = kmm_port_cpu(k)->frame;
	struct attempt a = { w, n, take_drained(k, fc, w, n, out), out };
	bool wait = a.got < n && may_wait && pressure_relievable(k);

	*tell = wait || fc->told != 0;
	kmm_port_irq_restore(k, was);
	if (wait)
		pressure_relieve(k, w->order, attempt_again, &a);
	if (a.got < n && (w->flags & KMM_FRAME_RESERVE) && w->order == 0)
		a.got += reserve_take(k, w, n - a.got, out + a.got);
	return a.got;
}

/// Up to CHUNK blocks, with all that can be done to have them; contents as asked for.
static unsigned alloc_chunk(struct kmm *k, const struct frame_want *w, unsigned n,
			    struct kmm_pfn *out)
{
	unsigned long was = kmm_port_irq_save(k);
	struct frame_cpu *fc = kmm_port_cpu(k)->frame;
	unsigned got = take(k, fc, w, n, out);
	bool tell = fc->told != 0;

	kmm_port_irq_restore(k, was);
	if (__builtin_expect(got < n, 0))
		got += take_hard(k, w, n - got, out + got,
				 !(w->flags & KMM_FRAME_NOWAIT) && KMM_IRQ_WAS_ON(was), &tell);
	if (__builtin_expect(tell, 0))
		zone_tell(k);
	for (unsigned i = 0; contents_matter(w->order, w->flags) && i < got; i++)
		contents_begin(k, out[i], w->order, w->flags);
	return got;
}

/// Of the head of a plain block.
static inline unsigned plain_tag(unsigned order, unsigned flags)
{
	return (flags & KMM_FRAME_MOVABLE ? FRAME_MOVABLE : FRAME_USED) + order;
}

/// A block that this CPU's cache has, as far as the flags leave open where it is from.
static inline bool alloc_cached(struct kmm *k, const struct frame_want *w, struct kmm_pfn *out)
{
	unsigned long pinned;
	struct magazine *m;
	bool got;

	if (!want_plain(w) || fail_armed(k))
		return false;
	pinned = KMM_PIN(k);
	m = magazine_for(kmm_port_cpu(k)->frame, w->order, w->group);
	got = m != NULL && magazine_pop(m, out);
	if (got)
		counter_add(&m->alloc_n, 1u);
	KMM_UNPIN(k, pinned);
	if (got && contents_matter(w->order, w->flags))
		contents_begin(k, *out, w->order, w->flags);
	return got;
}

/// One block; the head isn't tagged.
static enum kmm_error alloc_one(struct kmm *k, unsigned order, unsigned flags,
				struct kmm_node_policy *nodes, struct kmm_pfn *out)
{
	const struct frame_want w = { order, flags, group_of_flags(flags), nodes };
	struct kmm_pfn pfn;

	if (order > KMM_ORDER_MAX || !frame_flags_valid(flags))
		return KMM_EINVAL;
	if (!alloc_cached(k, &w, &pfn) &&
	    (fail_now(k, KMM_FAIL_FRAME) || alloc_chunk(k, &w, 1, &pfn) == 0)) {
		pressure_failed(k);
		return KMM_ENOMEM;
	}
	*out = pfn;
	return KMM_OK;
}

enum kmm_error kmm_frame_alloc_on(struct kmm *k, unsigned order, unsigned flags,
				  struct kmm_node_policy *nodes, struct kmm_pfn *out)
{
	enum kmm_error e = alloc_one(k, order, flags, nodes, out);

	if (e == KMM_OK) {
		frame_tag_set(k, *out, plain_tag(order, flags));
		KMM_TRACE_FRAME(k, true, *out, order);
	}
	return e;
}

/// All but the hit.
static __attribute__((noinline)) enum kmm_error alloc_slow(struct kmm *k, unsigned order,
							   unsigned flags, struct kmm_pfn *out)
{
	return kmm_frame_alloc_on(k, order, flags, NULL, out);
}

/// Is memory full, and nothing to be done about it, as when a caller goes on asking although
/// it was refused? Pre: pinned
static bool exhausted(struct kmm *k, unsigned order)
{
	return zones_empty_here(k, order) && cache_cpu_empty(kmm_port_cpu(k)->frame) &&
	       !pressure_relievable(k);
}

static __attribute__((noinline)) enum kmm_error alloc_missed(struct kmm *k, unsigned order,
							     unsigned long pinned,
							     struct kmm_pfn *out)
{
	bool full = exhausted(k, order);

	if (full)
		counter_add(&kmm_port_cpu(k)->frame->fail_n, 1u);
	KMM_UNPIN(k, pinned);
	if (full)
		return KMM_ENOMEM;
	return alloc_slow(k, order, 0, out);
}

/// A plain pinned block, from this CPU's cache i if there is one.
static inline enum kmm_error alloc_hit(struct kmm *k, unsigned i, unsigned order,
				       struct kmm_pfn *out)
{
	unsigned long pinned = KMM_PIN(k);
	struct magazine *m = &kmm_port_cpu(k)->frame->magazine[i];
	struct kmm_pfn pfn;

	if (!magazine_pop(m, &pfn))
		return alloc_missed(k, order, pinned, out);
	counter_add(&m->alloc_n, 1u);
	frame_tag_set(k, pfn, FRAME_USED + order);
	KMM_TRACE_FRAME(k, true, pfn, order);
	*out = pfn;
	KMM_UNPIN(k, pinned);
	return KMM_OK;
}

/// The hit of a larger block.
static __attribute__((noinline)) enum kmm_error alloc_larger(struct kmm *k, unsigned order,
							     struct kmm_pfn *out)
{
	unsigned i = order <= KMM_ORDER_MAX ? magazine_of_order[order] : MAGAZINE_NONE;

	if (i == MAGAZINE_NONE || KMM_CONFIG_POISON || fail_armed(k) ||
	    atomic_load_relaxed(&k->frame->zeroed_some) != 0)
		return alloc_slow(k, order, 0, out);
	return alloc_hit(k, i, order, out);
}

enum kmm_error kmm_frame_alloc(struct kmm *k, unsigned order, unsigned flags, struct kmm_pfn *out)
{
	if ((order | flags) == 0 && !KMM_CONFIG_POISON && !fail_armed(k))
		return alloc_hit(k, MAGAZINE_PINNED, 0, out);
	return flags == 0 && order != 0 ? alloc_larger(k, order, out) :
					  alloc_slow(k, order, flags, out);
}

unsigned kmm_frame_alloc_batch(struct kmm *k, unsigned order, unsigned flags, unsigned n,
			       struct kmm_pfn *out)
{
	const struct frame_want w = { order, flags, group_of_flags(flags), NULL };
	unsigned got = 0;

	if (order > KMM_ORDER_MAX || !frame_flags_valid(flags))
		return 0;
	while (got < n) {
		unsigned want = n - got < CHUNK ? n - got : CHUNK;
		unsigned more = fail_now(k, KMM_FAIL_FRAME) ?
					0 : alloc_chunk(k, &w, want, out + got);

		run_tags_set(k, out + got, more, plain_tag(order, flags));
		for (unsigned i = got; i < got + more; i++)
			KMM_TRACE_FRAME(k, true, out[i], order);
		got += more;
		if (more < want) {
			pressure_failed(k);
			break;
		}
	}
	return got;
}

enum kmm_error frame_alloc_kind(struct kmm *k, unsigned order, unsigned flags,
				enum frame_tag kind, struct kmm_pfn *out)
{
	enum kmm_error err = alloc_one(k, order, flags, NULL, out);

	if (err == KMM_OK) {
		struct frame_entry *e = frame_entry(k, *out);

		atomic_store_relaxed(&e->refs, 1u);
		e->index = 0;
		e->owner = 0;
		e->order = (uint8_t)order;
		e->flags = 0;
		frame_tag_set(k, *out, kind);
		KMM_TRACE_FRAME(k, true, *out, order);
	}
	return err;
}
