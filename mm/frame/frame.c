/// Physical frames: what the rest of the memory manager and the embedder call.
///
/// Three layers. The policy (policy.h) owns the free frames. Above it each CPU
/// has a cache of single frames (cache.c). This file validates, marks the frame
/// entries and counts. The span runs from the lowest to the highest usable page
/// of the memory map; the frame table has an entry for each frame of it. Holes
/// and reserved ranges inside are simply never handed to the policy: their
/// entries stay zero, which reads as 'no allocated block begins here'.
///
/// Life of a block's head entry (the order is that of the block):
///     policy's --claim--> FRAME_NONE --> FRAME_USED or an owner's kind
///     freed: --> FRAME_CACHED (order 0, a cache) or FRAME_NONE --release--> policy's
///
/// Invariants
///   I1  an allocated block's head has an allocated kind and the block's order,
///       refs >= 1; its other entries are FRAME_NONE or FRAME_TAIL;
///   I2  an entry of kind FRAME_USED has refs 1, index, flags and owner 0: only units
///       that give a block a kind of their own use these fields;
///   I3  managed_n = frames allocated + cached + free in the policy;
///   I4  a frame is in exactly one of these three.
///
/// A wrong free is told from the entry, in every build, before anything changes:
/// outside the span, or an order that doesn't exist, is KMM_EINVAL; a head that
/// isn't allocated (free, cached, inside a block, a hole, reserved) is
/// KMM_EDOUBLEFREE; another order than allocated KMM_EWRONGORDER; a block with
/// more than one reference, or of a kind that another unit owns, KMM_EBUSY.
///
/// Locking: none here. A block being allocated or freed belongs to the caller,
/// and so does its entry; caches are per CPU, interrupts off; the policy locks
/// itself. Two CPUs that free one block at the same instant break the contract,
/// and may both succeed: catching that would cost each free a locked instruction.
///
/// Failure: out of memory is KMM_ENOMEM with nothing changed. Before giving up a
/// drainable preset returns this CPU's cache (it may complete a larger block),
/// then, where it may wait, the other CPUs' (cache.c says when).
///
/// Limits: 2^32 - 2 frames of span (entry indices are 32 bits wide).
#include "frame/cache.h"
#include "frame/unit.h"

#define SPAN_MAX 0xfffffffeull
#define CHUNK 64u /* blocks a batch call handles at once: one attempt for fail.h */
/* Caches that drain hold at most this share of memory together, so that small
 * memories stay usable under locks, where nothing is called back. */
#define CACHED_SHARE 8u

/// Makes a claimed frame the head of an allocated block (I1).
static inline void head_mark(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	struct frame_entry *e = frame_entry(k, pfn);

	atomic_store_relaxed(&e->refs, 1u);
	e->index = 0;
	e->order = (uint8_t)order;
	e->flags = 0;
	e->owner = 0;
	frame_kind_set(e, FRAME_USED);
}

/// Takes the marks off before a block goes back to the policy.
static inline void head_unmark(struct kmm *k, struct kmm_pfn pfn)
{
	struct frame_entry *e = frame_entry(k, pfn);

	e->order = 0;
	frame_kind_set(e, FRAME_NONE);
}

static void zero_blocks(struct kmm *k, unsigned order, unsigned n, const struct kmm_pfn *pfn)
{
	for (unsigned i = 0; i < n; i++) {
		char *at = kmm_frame_virt(k, pfn[i]);

		for (uint64_t page = 0; page < 1ull << order; page++)
			kmm_port_zero_page(at + (page << KMM_PAGE_LG2));
	}
}

/// Takes up to n blocks for this CPU. Pre: interrupts off
static unsigned take(struct kmm *k, struct frame_cpu *fc, unsigned order, unsigned n,
		     struct kmm_pfn *out)
{
	unsigned got = 0;

	if (order == 0 && fc->capacity != 0) {
		if (n == 1 && fc->n == 0)
			(void)cache_refill(k, fc);
		while (got < n && cache_pop(fc, out + got))
			got++;
		if (n == 1)
			return got; /* the refill has asked the policy */
	}
	if (got < n)
		got += policy_claim(k, order, n - got, out + got);
	return got;
}

/// As take, and calls back this CPU's cache if that may help. Marks and counts.
/// Pre: interrupts off
static unsigned take_marked(struct kmm *k, unsigned order, unsigned n, struct kmm_pfn *out)
{
	struct frame_cpu *fc = kmm_port_cpu(k)->frame;
	unsigned got = take(k, fc, order, n, out);

	if (got < n && fc->n != 0 && k->frame->drains) {
		cache_drain(k, fc);
		got += take(k, fc, order, n - got, out + got);
	}
	for (unsigned i = 0; i < got; i++)
		head_mark(k, out[i], order);
	counter_add(&fc->alloc_n, got);
	return got;
}

/// Counts an allocation that found too little, on whatever CPU this is by now.
static void count_failure(struct kmm *k)
{
	unsigned long was = kmm_port_irq_save(k);

	counter_add(&kmm_port_cpu(k)->frame->fail_n, 1u);
	kmm_port_irq_restore(k, was);
}

/// Up to CHUNK blocks, with all that can be done to have them.
static unsigned alloc_chunk(struct kmm *k, unsigned order, unsigned n, struct kmm_pfn *out)
{
	unsigned long was = kmm_port_irq_save(k);
	unsigned got = take_marked(k, order, n, out);
	bool wait = got < n && k->frame->drains && KMM_IRQ_WAS_ON(was) && cache_others_hold(k);

	kmm_port_irq_restore(k, was);
	if (!wait)
		return got;
	cache_drain_all(k);
	was = kmm_port_irq_save(k);
	got += take_marked(k, order, n - got, out + got);
	kmm_port_irq_restore(k, was);
	return got;
}

/// All but the cached hit.
static __attribute__((noinline)) enum kmm_error alloc_slow(struct kmm *k, unsigned order,
							   unsigned flags, struct kmm_pfn *out)
{
	struct kmm_pfn pfn;

	if (alloc_chunk(k, order, 1, &pfn) == 0) {
		count_failure(k);
		return KMM_ENOMEM;
	}
	if (flags & KMM_FRAME_ZERO)
		zero_blocks(k, order, 1, &pfn);
	*out = pfn;
	return KMM_OK;
}

/// A single frame from this CPU's cache; I2 holds already.
static inline bool alloc_hit(struct kmm *k, struct kmm_pfn *out)
{
	unsigned long was = kmm_port_irq_save(k);
	struct frame_cpu *fc = kmm_port_cpu(k)->frame;
	struct kmm_pfn pfn;
	bool hit = cache_pop(fc, &pfn);

	if (hit) {
		frame_kind_set(frame_entry(k, pfn), FRAME_USED);
		counter_add(&fc->alloc_n, 1u);
		*out = pfn;
	}
	kmm_port_irq_restore(k, was);
	return hit;
}

enum kmm_error kmm_frame_alloc(struct kmm *k, unsigned order, unsigned flags, struct kmm_pfn *out)
{
	if (order > KMM_ORDER_MAX || flags > KMM_FRAME_ZERO)
		return KMM_EINVAL;
	if (fail_now(k, KMM_FAIL_FRAME)) {
		count_failure(k);
		return KMM_ENOMEM;
	}
	if ((order | flags) == 0 && alloc_hit(k, out))
		return KMM_OK;
	return alloc_slow(k, order, flags, out);
}

unsigned kmm_frame_alloc_batch(struct kmm *k, unsigned order, unsigned flags, unsigned n,
			       struct kmm_pfn *out)
{
	unsigned got = 0;

	if (order > KMM_ORDER_MAX || flags > KMM_FRAME_ZERO)
		return 0;
	while (got < n) {
		unsigned want = n - got < CHUNK ? n - got : CHUNK;
		unsigned more = fail_now(k, KMM_FAIL_FRAME) ?
					0 : alloc_chunk(k, order, want, out + got);

		if (flags & KMM_FRAME_ZERO)
			zero_blocks(k, order, more, out + got);
		got += more;
		if (more < want) {
			count_failure(k);
			break;
		}
	}
	return got;
}

/// May this block be freed with this order?
/// Pre: the caller owns it, as far as it knows
static inline enum kmm_error free_allowed(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	const struct frame_entry *e;

	if (!frame_in_table(k, pfn) || order > KMM_ORDER_MAX)
		return KMM_EINVAL;
	e = frame_entry(k, pfn);
	if (!frame_kind_allocated(frame_kind_get(e)))
		return KMM_EDOUBLEFREE;
	if (e->order != order)
		return KMM_EWRONGORDER;
	return atomic_load_relaxed(&e->refs) > 1u ? KMM_EBUSY : KMM_OK;
}

/// The same for a caller outside: only blocks that no unit has made its own.
static inline enum kmm_error free_allowed_public(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	enum kmm_error e = free_allowed(k, pfn, order);

	if (e == KMM_OK && frame_kind_get(frame_entry(k, pfn)) != FRAME_USED)
		e = KMM_EBUSY;
	return e;
}

/// Frees a block that may be freed.
static void free_block(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	unsigned long was = kmm_port_irq_save(k);
	struct frame_cpu *fc = kmm_port_cpu(k)->frame;

	if (order == 0 && fc->capacity != 0) {
		cache_mark(k, pfn);
		if (fc->n == fc->capacity)
			cache_spill(k, fc);
		(void)cache_push(fc, pfn);
	} else {
		head_unmark(k, pfn);
		policy_release(k, order, 1, &pfn);
	}
	counter_add(&fc->free_n, 1u);
	kmm_port_irq_restore(k, was);
}

static __attribute__((noinline)) enum kmm_error free_slow(struct kmm *k, struct kmm_pfn pfn,
							  unsigned order)
{
	enum kmm_error e = free_allowed_public(k, pfn, order);

	if (e == KMM_OK)
		free_block(k, pfn, order);
	return e;
}

/// A single frame into this CPU's cache, if it fits; I2 makes its entry fit too.
static inline bool free_hit(struct kmm *k, struct kmm_pfn pfn, struct frame_entry *e)
{
	unsigned long was = kmm_port_irq_save(k);
	struct frame_cpu *fc = kmm_port_cpu(k)->frame;
	bool hit = cache_push(fc, pfn);

	if (hit) {
		frame_kind_set(e, FRAME_CACHED);
		counter_add(&fc->free_n, 1u);
	}
	kmm_port_irq_restore(k, was);
	return hit;
}

enum kmm_error kmm_frame_free(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	if (order == 0 && frame_in_table(k, pfn)) {
		struct frame_entry *e = frame_entry(k, pfn);

		if (frame_kind_get(e) == FRAME_USED && e->order == 0 &&
		    atomic_load_relaxed(&e->refs) == 1u && free_hit(k, pfn, e))
			return KMM_OK;
	}
	return free_slow(k, pfn, order);
}

/// Up to CHUNK blocks that bypass the cache. Returns: how many were freed
static unsigned free_chunk(struct kmm *k, unsigned order, unsigned n, const struct kmm_pfn *pfn,
			   enum kmm_error *e)
{
	unsigned long was = kmm_port_irq_save(k);
	unsigned done = 0;

	for (; done < n; done++) {
		*e = free_allowed_public(k, pfn[done], order);
		if (*e != KMM_OK)
			break;
		/* Unmarked at once: a block that stands here twice is caught. */
		head_unmark(k, pfn[done]);
	}
	if (done != 0)
		policy_release(k, order, done, pfn);
	counter_add(&kmm_port_cpu(k)->frame->free_n, done);
	kmm_port_irq_restore(k, was);
	return done;
}

enum kmm_error kmm_frame_free_batch(struct kmm *k, unsigned order, unsigned n,
				    const struct kmm_pfn *pfn, unsigned *done)
{
	bool cached = order == 0 && k->frame->capacity != 0;
	enum kmm_error e = KMM_OK;
	unsigned i = 0;

	while (i < n && e == KMM_OK) {
		if (cached) {
			e = kmm_frame_free(k, pfn[i], 0);
			i += e == KMM_OK;
		} else {
			i += free_chunk(k, order, n - i < CHUNK ? n - i : CHUNK, pfn + i, &e);
		}
	}
	if (done)
		*done = i;
	return e;
}

void kmm_frame_drain(struct kmm *k)
{
	if (k->frame->drains)
		cache_drain_all(k);
}

void *kmm_frame_virt(struct kmm *k, struct kmm_pfn pfn)
{
	return kmm_port_virt(k, kmm_pfn_to_pa(pfn));
}

void frame_ref_put(struct kmm *k, struct kmm_pfn pfn)
{
	struct frame_entry *e;
	uint32_t was;

	if (!frame_in_table(k, pfn))
		return;
	e = frame_entry(k, pfn);
	if (frame_kind_get(e) != FRAME_ANON)
		return;
	/* The only reference is ours to drop, and only a holder can add one: no
	 * locked instruction is needed. */
	if (atomic_load_acquire(&e->refs) != 1u) {
		was = atomic_sub_acq_rel(&e->refs, 1u);
		KMM_ASSERT(k, was != 0, "frame I1: a reference to drop");
		if (was != 1u)
			return;
	}
	free_block(k, pfn, 0);
}

enum kmm_error frame_alloc_kind(struct kmm *k, unsigned order, unsigned flags,
				enum frame_kind kind, struct kmm_pfn *out)
{
	enum kmm_error e = kmm_frame_alloc(k, order, flags, out);

	if (e == KMM_OK)
		frame_kind_set(frame_entry(k, *out), kind);
	return e;
}

void frame_free_own(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	enum kmm_error e = free_allowed(k, pfn, order);

	KMM_REQUIRE(k, e == KMM_OK, kmm_error_name(e));
	free_block(k, pfn, order);
}

/// Lowest and highest usable page. Returns: frames between, 0 if there are none
static uint64_t memmap_span(const struct kmm_memmap *m, uint64_t *base)
{
	uint64_t start = ~0ull, end = 0;

	for (unsigned i = 0; i < m->n; i++) {
		const struct kmm_mem_range *r = &m->range[i];

		if (r->kind != KMM_MEM_USABLE)
			continue;
		start = kmm_pa_to_pfn(r->start).n < start ? kmm_pa_to_pfn(r->start).n : start;
		end = kmm_pa_to_pfn(r->end).n > end ? kmm_pa_to_pfn(r->end).n : end;
	}
	*base = start;
	return start < end ? end - start : 0;
}

static uint64_t cpu_bytes(const struct kmm_preset *p)
{
	return sizeof(struct frame_cpu) + p->frame_cache_n * sizeof(struct kmm_pfn);
}

uint64_t frame_meta_bytes(const struct kmm_config *c, uint64_t total)
{
	const struct frame_policy *policy = frame_policy_of(c->preset->frame_policy);
	uint64_t base, n = memmap_span(c->memmap, &base);

	total = meta_add(total, sizeof(struct frame_state), 64);
	for (unsigned i = 0; i < c->cpus_n; i++)
		total = meta_add(total, cpu_bytes(c->preset), 64);
	total = meta_add(total, n * sizeof(struct frame_entry), 64);
	return policy ? meta_add(total, policy->meta_bytes(n), 64) : total;
}

/// Hands the usable ranges to the policy. Returns: frames
static uint64_t add_ranges(struct kmm *k, const struct kmm_memmap *m)
{
	const struct frame_state *s = k->frame;
	uint64_t total = 0;

	for (unsigned i = 0; i < m->n; i++) {
		const struct kmm_mem_range *r = &m->range[i];
		struct kmm_pfn pfn = kmm_pa_to_pfn(r->start);
		uint64_t n = kmm_pa_to_pfn(r->end).n - pfn.n;

		if (r->kind != KMM_MEM_USABLE)
			continue;
		s->policy->add_range(k, s->policy_state, pfn, n);
		total += n;
	}
	return total;
}

/// The capacity of a CPU's cache, for this memory.
static uint32_t cache_capacity(const struct kmm_preset *p, uint64_t managed_n, unsigned cpus_n)
{
	uint64_t share = managed_n / CACHED_SHARE / cpus_n;

	return p->frame_cache_drains && share < p->frame_cache_n ? (uint32_t)share :
								     p->frame_cache_n;
}

enum kmm_error frame_init(struct kmm *k, const struct kmm_config *c, struct meta *m)
{
	const struct frame_policy *policy = frame_policy_of(c->preset->frame_policy);
	uint64_t base, n = memmap_span(c->memmap, &base);
	const char *start = m->at;
	struct frame_state *s;

	if (policy == NULL || n == 0 || n > SPAN_MAX)
		return KMM_EINVAL;
	s = meta_take(k, m, sizeof(*s), 64);
	for (unsigned i = 0; i < c->cpus_n; i++)
		k->cpus[i].frame = meta_take(k, m, cpu_bytes(c->preset), 64);
	k->entry = meta_take(k, m, n * sizeof(struct frame_entry), 64);
	k->entry_base = base;
	k->entry_end = base + n;
	k->frame = s;
	s->policy = policy;
	s->policy_state = policy->init(k, meta_take(k, m, policy->meta_bytes(n), 64), base, n);
	s->managed_n = add_ranges(k, c->memmap);
	s->meta_bytes = (uint64_t)(m->at - start);
	s->capacity = cache_capacity(c->preset, s->managed_n, c->cpus_n);
	s->drains = c->preset->frame_cache_drains && s->capacity != 0;
	for (unsigned i = 0; i < c->cpus_n; i++) {
		k->cpus[i].frame->capacity = s->capacity;
		k->cpus[i].frame->batch = (s->capacity + 1u) / 2u;
	}
	lock_init(&s->drain, LOCK_DRAIN);
	k->call[CALL_DRAIN] = cache_drain_self;
	return KMM_OK;
}

void frame_teardown(struct kmm *k)
{
	cache_drain_quiet(k); /* cached frames are free in every preset's books */
}
