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
/// A wrong free is told from the tag, in every build, before anything changes: outside
/// the span, or an order that doesn't exist, is KMM_EINVAL; a head that isn't allocated
/// (free, cached, inside a block, a hole, reserved) is KMM_EDOUBLEFREE; another order than
/// allocated KMM_EWRONGORDER; a block with more than one reference, or of a kind that
/// another unit owns, KMM_EBUSY. What the tag can't tell: a block freed and allocated again
/// with the same order meanwhile, through a pointer that outlived the first free.
///
/// Locking: none here. A block being allocated or freed belongs to the caller, and so does
/// its tag; caches are per CPU, interrupts off; policies lock themselves. Two CPUs that
/// free one block at the same instant break the contract, and may both succeed: catching
/// that would cost each free a locked instruction.
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
#include "frame/unit.h"
#include "frame/zone.h"

#define SPAN_MAX 0xfffffffeull
#define CHUNK 64u /* blocks a batch call handles at once: one attempt for fail.h */

/// Flags that no zone, no node and no special care speak from.
#define FLAGS_PLAIN (KMM_FRAME_ZERO | KMM_FRAME_MOVABLE | KMM_FRAME_NOWAIT | KMM_FRAME_RESERVE)

/// Takes up to n blocks for this CPU. Pre: interrupts off
static unsigned take(struct kmm *k, struct frame_cpu *fc, const struct frame_want *w, unsigned n,
		     struct kmm_pfn *out)
{
	struct magazine *m = NULL;
	unsigned got = 0;

	if ((w->flags & ~FLAGS_PLAIN) == 0 && w->nodes == NULL)
		m = magazine_for(fc, w->order, w->group);
	if (m != NULL) {
		if (n == 1 && magazine_count(m) == 0)
			(void)cache_refill(k, fc, m);
		while (got < n && magazine_pop(m, out + got))
			got++;
		counter_add(&m->alloc_n, got);
		if (n == 1)
			return got; /* the refill has asked the policies */
	}
	if (got < n) {
		unsigned more = zones_claim(k, w, n - got, out + got);

		counter_add(&fc->direct_alloc_n, more);
		got += more;
	}
	return got;
}

/// As take, and empties this CPU's caches if that may help. Pre: interrupts off
static unsigned take_hard(struct kmm *k, const struct frame_want *w, unsigned n,
			  struct kmm_pfn *out)
{
	struct frame_cpu *fc = kmm_port_cpu(k)->frame;
	unsigned got = take(k, fc, w, n, out);

	if (got < n && k->frame->drains && cache_cpu_frames_n(fc) != 0) {
		cache_drain(k, fc);
		got += take(k, fc, w, n - got, out + got);
	}
	return got;
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

	a->got += take_hard(k, a->w, a->n - a->got, a->out + a->got);
	kmm_port_irq_restore(k, was);
	return a->got == a->n;
}

/// Up to CHUNK blocks, with all that can be done to have them; contents as asked for.
static unsigned alloc_chunk(struct kmm *k, const struct frame_want *w, unsigned n,
			    struct kmm_pfn *out)
{
	unsigned long was = kmm_port_irq_save(k);
	struct attempt a = { w, n, take_hard(k, w, n, out), out };
	bool wait = a.got < n && !(w->flags & KMM_FRAME_NOWAIT) && KMM_IRQ_WAS_ON(was) &&
		    pressure_relievable(k);
	bool tell = wait || kmm_port_cpu(k)->frame->told != 0;

	kmm_port_irq_restore(k, was);
	if (__builtin_expect(wait, 0))
		pressure_relieve(k, w->order, attempt_again, &a);
	if (a.got < n && (w->flags & KMM_FRAME_RESERVE) && w->order == 0)
		a.got += reserve_take(k, w, n - a.got, out + a.got);
	if (__builtin_expect(tell, 0))
		zone_tell(k);
	for (unsigned i = 0; i < a.got; i++)
		contents_begin(k, out[i], w->order, w->flags);
	return a.got;
}

static inline unsigned tag_of_want(const struct frame_want *w)
{
	return (w->group == FRAME_GROUP_MOVABLE ? FRAME_MOVABLE : FRAME_USED) + w->order;
}

/// One block; the head isn't tagged.
static enum kmm_error alloc_one(struct kmm *k, unsigned order, unsigned flags,
				struct kmm_node_policy *nodes, struct kmm_pfn *out)
{
	const struct frame_want w = { order, flags, group_of_flags(flags), nodes };
	struct kmm_pfn pfn;

	if (order > KMM_ORDER_MAX || !frame_flags_valid(flags))
		return KMM_EINVAL;
	if (fail_now(k, KMM_FAIL_FRAME) || alloc_chunk(k, &w, 1, &pfn) == 0) {
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

	if (e == KMM_OK)
		frame_tag_set(k, *out, (flags & KMM_FRAME_MOVABLE ? FRAME_MOVABLE : FRAME_USED) + order);
	return e;
}

/// All but the hit.
static __attribute__((noinline)) enum kmm_error alloc_slow(struct kmm *k, unsigned order,
							   unsigned flags, struct kmm_pfn *out)
{
	return kmm_frame_alloc_on(k, order, flags, NULL, out);
}

static __attribute__((noinline)) enum kmm_error alloc_missed(struct kmm *k, unsigned order,
							     unsigned long pinned,
							     struct kmm_pfn *out)
{
	KMM_UNPIN(k, pinned);
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

		for (unsigned i = 0; i < more; i++)
			frame_tag_set(k, out[got + i], tag_of_want(&w));
		got += more;
		if (more < want) {
			pressure_failed(k);
			break;
		}
	}
	return got;
}

/// May a block whose head is tagged so be freed with this order, by whoever may free all
/// kinds?
static enum kmm_error free_allowed(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	uint8_t tag;

	if (!frame_in_table(k, pfn) || order > KMM_ORDER_MAX)
		return KMM_EINVAL;
	tag = frame_tag(k, pfn);
	if (!frame_kind_allocated(frame_tag_kind(tag)))
		return KMM_EDOUBLEFREE;
	if (tag == FRAME_RUN || frame_block_n(k, pfn) != 1ull << order)
		return KMM_EWRONGORDER;
	if (tag >= FRAME_USED)
		return KMM_OK;
	return atomic_load_relaxed(&frame_entry(k, pfn)->refs) > 1u ? KMM_EBUSY : KMM_OK;
}

/// The same for a caller outside: only blocks that no unit has made its own.
static enum kmm_error free_allowed_public(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	enum kmm_error e = free_allowed(k, pfn, order);

	return e == KMM_OK && frame_tag(k, pfn) < FRAME_USED ? KMM_EBUSY : e;
}

/// Frees a block that may be freed. zeroed: FRAME_ZEROED or 0
static void free_block(struct kmm *k, struct kmm_pfn pfn, unsigned order, enum frame_group group,
		       unsigned zeroed)
{
	unsigned long was;
	struct frame_cpu *fc;
	struct magazine *m;
	bool tell;

	contents_end(k, pfn, order, zeroed);
	was = kmm_port_irq_save(k);
	fc = kmm_port_cpu(k)->frame;
	m = magazine_for(fc, order, group);
	frame_tag_set(k, pfn, FRAME_NONE + zeroed);
	if (m != NULL && magazine_takes(m, pfn)) {
		if (!magazine_push(m, pfn))
			cache_push_slow(k, fc, m, pfn);
	} else if (!reserve_gives(k, order, pfn)) {
		zone_release(k, zone_of(k, pfn), order, 1, &pfn);
		counter_add(&fc->direct_free_n, 1u);
	}
	tell = fc->told != 0;
	kmm_port_irq_restore(k, was);
	if (__builtin_expect(tell, 0))
		zone_tell(k);
}

static inline enum frame_group group_of_tag(uint8_t tag)
{
	return (tag >= FRAME_MOVABLE && tag < FRAME_FREE) || tag == FRAME_ANON ?
		       FRAME_GROUP_MOVABLE : FRAME_GROUP_PINNED;
}

static __attribute__((noinline)) enum kmm_error free_slow(struct kmm *k, struct kmm_pfn pfn,
							  unsigned order, unsigned zeroed)
{
	enum kmm_error e = free_allowed_public(k, pfn, order);

	if (e == KMM_OK)
		free_block(k, pfn, order, group_of_tag(frame_tag(k, pfn)), zeroed);
	return e;
}

static __attribute__((noinline)) enum kmm_error free_missed(struct kmm *k, struct kmm_pfn pfn,
							    unsigned order, unsigned long pinned)
{
	KMM_UNPIN(k, pinned);
	return free_slow(k, pfn, order, 0);
}

/// A plain pinned block, into this CPU's cache i if it is that and fits.
static inline enum kmm_error free_hit(struct kmm *k, unsigned i, struct kmm_pfn pfn,
				      unsigned order)
{
	unsigned long pinned = KMM_PIN(k);
	struct magazine *m = &kmm_port_cpu(k)->frame->magazine[i];

	if (__builtin_expect(!magazine_takes(m, pfn) ||
			     frame_tag(k, pfn) != FRAME_USED + order ||
			     !magazine_push(m, pfn), 0))
		return free_missed(k, pfn, order, pinned);
	frame_tag_set(k, pfn, FRAME_NONE);
	KMM_UNPIN(k, pinned);
	return KMM_OK;
}

/// The hit of a larger block.
static __attribute__((noinline)) enum kmm_error free_larger(struct kmm *k, struct kmm_pfn pfn,
							    unsigned order)
{
	unsigned i = order <= KMM_ORDER_MAX ? magazine_of_order[order] : MAGAZINE_NONE;

	return i != MAGAZINE_NONE && !KMM_CONFIG_POISON ? free_hit(k, i, pfn, order) :
							  free_slow(k, pfn, order, 0);
}

enum kmm_error kmm_frame_free(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	if (order != 0)
		return free_larger(k, pfn, order);
	return KMM_CONFIG_POISON ? free_slow(k, pfn, 0, 0) : free_hit(k, MAGAZINE_PINNED, pfn, 0);
}

enum kmm_error kmm_frame_free_zeroed(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	return free_slow(k, pfn, order, FRAME_ZEROED);
}

/// Up to CHUNK blocks that bypass the caches. Returns: how many were freed
static unsigned free_chunk(struct kmm *k, unsigned order, unsigned n, const struct kmm_pfn *pfn,
			   enum kmm_error *e)
{
	unsigned long was;
	unsigned done = 0, kept = 0;
	bool tell;

	for (; done < n; done++) {
		uint8_t tag = frame_in_table(k, pfn[done]) ? frame_tag(k, pfn[done]) : FRAME_NONE;

		if (tag != FRAME_USED + order && tag != FRAME_MOVABLE + order) {
			*e = free_allowed_public(k, pfn[done], order);
			KMM_ASSERT(k, *e != KMM_OK, "I1: two rules for one thing");
			break;
		}
		contents_end(k, pfn[done], order, 0);
		/* At once: a block that stands here twice is caught. */
		frame_tag_set(k, pfn[done], FRAME_NONE);
	}
	was = kmm_port_irq_save(k);
	while (kept < done && reserve_gives(k, order, pfn[kept]))
		kept++;
	if (kept != done)
		zone_release_mixed(k, order, done - kept, pfn + kept);
	counter_add(&kmm_port_cpu(k)->frame->direct_free_n, done);
	tell = kmm_port_cpu(k)->frame->told != 0;
	kmm_port_irq_restore(k, was);
	if (tell)
		zone_tell(k);
	return done;
}

enum kmm_error kmm_frame_free_batch(struct kmm *k, unsigned order, unsigned n,
				    const struct kmm_pfn *pfn, unsigned *done)
{
	enum kmm_error e = order <= KMM_ORDER_MAX ? KMM_OK : KMM_EINVAL;
	unsigned i = 0;

	while (i < n && e == KMM_OK)
		i += free_chunk(k, order, n - i < CHUNK ? n - i : CHUNK, pfn + i, &e);
	if (done)
		*done = i;
	return e;
}

void kmm_frame_drain(struct kmm *k)
{
	if (!k->frame->drains)
		return;
	cache_drain_all(k);
	zone_tell(k);
}

void kmm_frame_retire_cpu(struct kmm *k, unsigned i)
{
	KMM_REQUIRE(k, i < k->cpus_n && !(kmm_port_online(k) >> i & 1u),
		    "only a CPU that went offline is retired");
	cache_drain_of(k, k->cpus[i].frame);
	zone_tell(k);
}

void *kmm_frame_virt(struct kmm *k, struct kmm_pfn pfn)
{
	return kmm_port_virt(k, kmm_pfn_to_pa(pfn));
}

void frame_ref_put(struct kmm *k, struct kmm_pfn pfn)
{
	struct frame_entry *e;
	uint32_t was;

	if (!frame_in_table(k, pfn) || frame_tag(k, pfn) != FRAME_ANON)
		return;
	e = frame_entry(k, pfn);
	/* The only reference is ours to drop, and only a holder can add one: no
	 * locked instruction is needed. */
	if (atomic_load_acquire(&e->refs) != 1u) {
		was = atomic_sub_acq_rel(&e->refs, 1u);
		KMM_ASSERT(k, was != 0, "frame I2: a reference to drop");
		if (was != 1u)
			return;
	}
	free_block(k, pfn, 0, FRAME_GROUP_MOVABLE, 0);
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
	}
	return err;
}

void frame_free_own(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	enum kmm_error e = free_allowed(k, pfn, order);

	KMM_REQUIRE(k, e == KMM_OK, kmm_error_name(e));
	free_block(k, pfn, order, group_of_tag(frame_tag(k, pfn)), 0);
}

uint64_t frame_meta_bytes(const struct kmm_config *c, uint64_t total)
{
	uint64_t base, n = zone_span(c->memmap, &base);

	total = meta_add(total, sizeof(struct frame_state), 64);
	for (unsigned i = 0; i < c->cpus_n; i++)
		total = cache_meta_bytes(c->preset, total);
	total = meta_add(total, c->preset->frame_reserve_n * sizeof(struct kmm_pfn), 64);
	total = meta_add(total, n, 64);
	total = meta_add(total, n * sizeof(struct frame_entry), 64);
	return zone_meta_bytes(c, total);
}

enum kmm_error frame_init(struct kmm *k, const struct kmm_config *c, struct meta *m)
{
	uint64_t base, n = zone_span(c->memmap, &base), managed_n = 0;
	const char *start = m->at;
	struct frame_state *s;
	enum kmm_error e;

	if (frame_policy_of(c->preset->frame_policy) == NULL || n == 0 || n > SPAN_MAX)
		return KMM_EINVAL;
	s = meta_take(k, m, sizeof(*s), 64);
	for (unsigned i = 0; i < c->cpus_n; i++)
		cache_init_cpu(k, c, &k->cpus[i], m);
	s->reserve.slot = meta_take(k, m, c->preset->frame_reserve_n * sizeof(struct kmm_pfn), 64);
	k->tags = (uintptr_t)meta_take(k, m, n, 64) - base;
	k->entry = meta_take(k, m, n * sizeof(struct frame_entry), 64);
	k->entry_base = base;
	k->entry_end = base + n;
	k->frame = s;
	lock_init(&s->drain, LOCK_DRAIN);
	lock_init(&s->plug, LOCK_PLUG);
	e = node_init(k, c);
	if (e == KMM_OK)
		e = zone_init(k, c, m);
	if (e != KMM_OK)
		return e;
	for (unsigned i = 0; i < s->zones_n; i++)
		managed_n += s->zone[i].managed_n;
	s->meta_bytes = (uint64_t)(m->at - start);
	cache_init_sizes(k, managed_n);
	reserve_init(k, managed_n);
	k->call[CALL_DRAIN] = cache_drain_self;
	return KMM_OK;
}

void frame_teardown(struct kmm *k)
{
	cache_drain_quiet(k); /* cached frames are free in every preset's books */
	reserve_end(k);
}
