/// Slabs.
///
/// A slab is a block of 2^order frames cut into equal objects. Its header names
/// the cache and holds a bit for each object that is in the slab, and a state
/// byte for each object that says whether a caller has it. The header stands at
/// the block's start, or, where that would cost the room of an object, apart: as
/// an object of the internal cache `headers`, which keeps its own headers inside.
///
///   pointer -> frame entry -> (tail: head's entry) -> header -> object's index
///
/// The head's entry locates the header: `index` is its frame, `flags` its offset
/// in that frame in units of 64 bytes. The index comes by multiply and shift.
///
/// Free objects are found by bits, never by links inside them: memory of a free
/// object is never written, so that constructed state is kept, and 64 objects
/// are claimed from one word.
///
/// The state byte is not a bit, because neighbours belong to other owners: a
/// byte is stored plainly by whoever owns its object at that moment, and the
/// object's hand-over (a magazine of the same CPU, the cache's lock, or whatever
/// the callers use) orders the stores.
///
/// Invariants
///   I1  a slab is in exactly one list: `full` has free_n = 0, `empty` has
///       free_n = n, `partial` all between; empty_n and slabs_n count them
///   I2  free_n bits of `free` are set, none at n or above
///   I3  an object whose bit is set has state OBJECT_IN
///   I4  head's entry is FRAME_SLAB and locates the header; the block's other
///       entries are FRAME_TAIL with the head's index
///   I5  taken_n is the sum of n - free_n
///
/// Locking: one lock a cache guards lists and bits. Slabs are made and unmade
/// without it: they are in no list then. An empty slab has all objects back from
/// the magazines (I5), so nobody else can reach it once it is off the list.
///
/// Failure: a slab that can't be had in the preferred order is tried in the
/// smallest; then what caches hold back is reclaimed, and it is tried once more.
///
/// Limits: SLAB_OBJECTS_MAX objects a slab. A pointer that is not the caller's
/// to free is told from a good one only while nobody else frees its slab.
///
/// Sources: Bonwick, "The Slab Allocator" (USENIX 1994); Granlund & Montgomery,
/// "Division by Invariant Integers using Multiplication" (PLDI 1994).
#include "object/magazine.h"

#define SLAB_LIKED_OBJECTS_N 4u
#define SLAB_LIKED_WASTE_1024 64u /* of 1024 parts */

static uint8_t *slab_states(struct slab *s)
{
	return (uint8_t *)(s + 1);
}

/* --- shape --- */

static bool layout_fits(const struct slab_layout *l, uint32_t stride)
{
	return l->first_bytes + (uint64_t)l->n * stride <= KMM_PAGE_BYTES << l->order;
}

static struct slab_layout layout_inside(unsigned order, uint32_t stride, uint32_t align)
{
	uint64_t room = (KMM_PAGE_BYTES << order) - sizeof(struct slab);
	uint64_t n = room / (stride + 1u);
	struct slab_layout l = { 0, (uint16_t)(n < SLAB_OBJECTS_MAX ? n : SLAB_OBJECTS_MAX),
				 (uint8_t)order, false };

	for (;; l.n--) {
		l.first_bytes = (uint32_t)bits_align_up(sizeof(struct slab) + l.n, align);
		if (l.n == 0 || layout_fits(&l, stride))
			return l;
	}
}

static struct slab_layout layout_apart(unsigned order, uint32_t stride)
{
	uint64_t n = (KMM_PAGE_BYTES << order) / stride;
	struct slab_layout l = { 0, (uint16_t)n, (uint8_t)order, true };

	if (n > SLAB_APART_OBJECTS_MAX)
		l.n = 0;
	return l;
}

/// Parts of 1024 that aren't objects; the header counts where it lies apart.
static uint32_t layout_waste(const struct slab_layout *l, uint32_t stride)
{
	uint64_t total = (KMM_PAGE_BYTES << l->order) + (l->apart ? SLAB_APART_BYTES : 0u);

	return (uint32_t)((total - (uint64_t)l->n * stride) * 1024u / total);
}

/// The smallest order that wastes little; else the one that wastes least.
static void layout_choose(struct kmm_cache *c, uint32_t align, bool may_be_apart)
{
	unsigned least = bits_ceil_lg2((c->stride + KMM_PAGE_BYTES - 1u) >> KMM_PAGE_LG2);
	uint32_t best = 1024u;

	c->layout[0].n = c->layout[1].n = 0;
	for (unsigned order = least; order <= SLAB_ORDER_MAX || c->layout[0].n == 0; order++) {
		struct slab_layout try[2] = { layout_inside(order, c->stride, align),
					      layout_apart(order, c->stride) };

		for (unsigned i = 0; i < (may_be_apart ? 2u : 1u); i++) {
			uint32_t waste = layout_waste(&try[i], c->stride);

			if (try[i].n == 0)
				continue;
			if (c->layout[1].n == 0)
				c->layout[1] = try[i];
			if (c->layout[0].n == 0 || waste < best) {
				best = waste;
				c->layout[0] = try[i];
			}
			if (waste <= SLAB_LIKED_WASTE_1024 && try[i].n >= SLAB_LIKED_OBJECTS_N)
				return;
		}
	}
}

void slab_cache_init(struct kmm *k, struct kmm_cache *c, const char *name, size_t bytes,
		     size_t align, void (*ctor)(void *object))
{
	/* sizeof is a multiple of the type's alignment: its lowest bit suffices */
	uint64_t natural = bytes & (~bytes + 1u);

	if (align == 0)
		align = natural < 64u ? natural : 64u;
	if (align < 8u)
		align = 8u;
	c->kmm = k;
	c->name = name;
	c->ctor = ctor;
	c->bytes = (uint32_t)bytes;
	c->stride = (uint32_t)bits_align_up(bytes, align);
	c->inverse = ((1ull << SLAB_INVERSE_LG2) + c->stride - 1u) / c->stride;
	c->class = SLAB_CLASS_NAMED;
	c->counted = true;
	layout_choose(c, (uint32_t)align, c != &k->object->headers);
	c->keep_n = (uint32_t)(k->object->keep_bytes >> (KMM_PAGE_LG2 + c->layout[0].order));
	if (c->keep_n == 0)
		c->keep_n = 1;
	lock_init(&c->lock, LOCK_CACHE);
	list_init(&c->link);
	list_init(&c->partial);
	list_init(&c->full);
	list_init(&c->empty);
	c->empty_n = c->slabs_n = 0;
	c->taken_n = 0;
}

/* --- frames --- */

static void count_frames(struct kmm *k, uint64_t frames_n, bool large)
{
	unsigned long was = kmm_port_irq_save(k);
	struct object_cpu *o = kmm_port_cpu(k)->object;

	if (large)
		counter_add(&o->large_frames_n, frames_n);
	else
		counter_add(&o->slab_frames_n, frames_n);
	kmm_port_irq_restore(k, was);
}

enum kmm_error object_frames_alloc(struct kmm *k, unsigned order, enum frame_tag kind,
				   struct kmm_pfn *out)
{
	enum kmm_error e = frame_alloc_kind(k, order, 0, kind, out);

	if (e == KMM_ENOMEM && kmm_object_reclaim(k) != 0)
		e = frame_alloc_kind(k, order, 0, kind, out);
	if (e == KMM_OK)
		count_frames(k, 1ull << order, kind == FRAME_LARGE);
	return e;
}

void object_frames_free(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	count_frames(k, 0ull - (1ull << order), frame_kind(k, pfn) == FRAME_LARGE);
	frame_free_own(k, pfn, order);
}

/// Makes the block's entries lead to the header (I4).
static void slab_mark(struct kmm *k, struct slab *s)
{
	struct frame_entry *head = frame_entry(k, s->pfn);
	uint32_t head_index = (uint32_t)(s->pfn.n - k->entry_base);
	uint64_t at = kmm_port_phys(k, s).a;

	head->index = (uint32_t)((at >> KMM_PAGE_LG2) - k->entry_base);
	head->flags = (uint8_t)((at & (KMM_PAGE_BYTES - 1u)) / SLAB_HEADER_UNIT);
	for (uint32_t i = 1; i < 1u << s->order; i++) {
		frame_tag_set(k, (struct kmm_pfn){ s->pfn.n + i }, FRAME_TAIL);
		head[i].index = head_index;
	}
}

static void slab_unmark(struct kmm *k, struct slab *s)
{
	for (uint32_t i = 1; i < 1u << s->order; i++)
		frame_tag_set(k, (struct kmm_pfn){ s->pfn.n + i }, FRAME_NONE);
}

/* --- making and unmaking --- */

static void slab_fill_in(struct kmm_cache *c, struct slab *s, const struct slab_layout *l,
			 struct kmm_pfn pfn, char *base)
{
	s->cache = c;
	s->first = base + l->first_bytes;
	s->inverse = c->inverse;
	s->stride = c->stride;
	s->span = l->n * c->stride;
	s->pfn = pfn;
	s->n = l->n;
	s->order = l->order;
	s->class = c->class;
	s->apart = l->apart;
	s->free_n = l->n;
	for (unsigned w = 0; w < SLAB_WORDS; w++)
		s->free[w] = l->n > 64u * w ? bits_mask(l->n - 64u * w) : 0;
	kmm_port_fill(slab_states(s), OBJECT_IN, l->n);
	list_init(&s->link);
}

static struct slab *slab_make(struct kmm_cache *c, const struct slab_layout *l)
{
	struct kmm *k = c->kmm;
	struct slot header = { NULL, NULL };
	struct kmm_pfn pfn;
	struct slab *s;
	char *base;

	if (l->apart && !slab_take_one(&k->object->headers, &header))
		return NULL;
	if (object_frames_alloc(k, l->order, FRAME_SLAB, &pfn) != KMM_OK) {
		if (l->apart)
			(void)slab_give(&k->object->headers, 1, &header);
		return NULL;
	}
	base = kmm_port_virt(k, kmm_pfn_to_pa(pfn));
	s = (struct slab *)(void *)(l->apart ? header.object : base);
	slab_fill_in(c, s, l, pfn, base);
	slab_mark(k, s);
	for (unsigned i = 0; i < l->n; i++) {
		object_poison(c, s->first + i * c->stride);
		if (c->ctor)
			c->ctor(s->first + i * c->stride);
	}
	return s;
}

struct slot slab_slot_own(struct kmm *k, void *p)
{
	struct slot slot = { NULL, NULL };
	struct slab *s = slab_of(k, p);
	bool ours = s && slab_slot(s, p, &slot);

	KMM_REQUIRE(k, ours, "an object of a slab");
	return slot;
}

/// Returns: frames freed, of the slab and of a slab of headers that its own was
/// the last object of
static uint64_t slab_unmake(struct kmm *k, struct slab *s)
{
	bool apart = s->apart;
	unsigned order = s->order;
	struct slot header;

	slab_unmark(k, s);
	object_frames_free(k, s->pfn, order);
	if (!apart)
		return 1ull << order;
	header = slab_slot_own(k, s);
	return (1ull << order) + slab_give(&k->object->headers, 1, &header);
}

static uint64_t slab_unmake_all(struct kmm *k, struct list *doomed)
{
	uint64_t frames_n = 0;

	while (!list_empty(doomed)) {
		struct slab *s = LIST_FIRST(doomed, struct slab, link);

		list_remove(&s->link);
		frames_n += slab_unmake(k, s);
	}
	return frames_n;
}

/// Moves the empty slabs above keep_n, coldest first, to `doomed`.
static void slab_doom_locked(struct kmm_cache *c, uint32_t keep_n, struct list *doomed)
{
	while (c->empty_n > keep_n) {
		struct slab *s = CONTAINER_OF(c->empty.prev, struct slab, link);

		KMM_ASSERT(c->kmm, s->free_n == s->n, "I1");
		list_remove(&s->link);
		list_add(doomed, &s->link);
		c->empty_n--;
		c->slabs_n--;
	}
}

uint64_t slab_trim(struct kmm_cache *c, uint32_t keep_n)
{
	struct list doomed;
	unsigned long was;

	list_init(&doomed);
	was = lock_acquire(c->kmm, &c->lock);
	slab_doom_locked(c, keep_n, &doomed);
	lock_release(c->kmm, &c->lock, was);
	return slab_unmake_all(c->kmm, &doomed);
}

bool slab_grow(struct kmm_cache *c)
{
	struct slab *s = slab_make(c, &c->layout[0]);
	unsigned long was;

	if (!s && c->layout[1].order < c->layout[0].order)
		s = slab_make(c, &c->layout[1]);
	if (!s)
		return false;
	was = lock_acquire(c->kmm, &c->lock);
	list_add(&c->empty, &s->link);
	c->empty_n++;
	c->slabs_n++;
	lock_release(c->kmm, &c->lock, was);
	return true;
}

/* --- objects --- */

static struct slab *slab_with_free_locked(struct kmm_cache *c)
{
	struct slab *s;

	if (!list_empty(&c->partial))
		return LIST_FIRST(&c->partial, struct slab, link);
	if (list_empty(&c->empty))
		return NULL;
	s = LIST_FIRST(&c->empty, struct slab, link);
	list_remove(&s->link);
	list_add(&c->partial, &s->link);
	c->empty_n--;
	return s;
}

static unsigned slab_take_from_locked(struct slab *s, unsigned n, struct slot *out)
{
	unsigned got = 0;

	for (unsigned w = 0; w < SLAB_WORDS && got < n; w++) {
		uint64_t left = s->free[w];

		for (; left != 0 && got < n; left &= left - 1u, got++) {
			unsigned i = 64u * w + bits_lowest(left);

			out[got].object = s->first + i * s->stride;
			out[got].state = slab_states(s) + i;
		}
		s->free[w] = left;
	}
	s->free_n -= got;
	return got;
}

unsigned slab_take(struct kmm_cache *c, unsigned n, struct slot *out)
{
	unsigned long was = lock_acquire(c->kmm, &c->lock);
	unsigned got = 0;

	while (got < n) {
		struct slab *s = slab_with_free_locked(c);

		if (!s)
			break;
		got += slab_take_from_locked(s, n - got, out + got);
		if (s->free_n == 0) {
			list_remove(&s->link);
			list_add(&c->full, &s->link);
		}
	}
	c->taken_n += got;
	lock_release(c->kmm, &c->lock, was);
	return got;
}

static void slab_give_locked(struct kmm_cache *c, struct slab *s, const struct slot *slot)
{
	unsigned i = (unsigned)(slot->state - slab_states(s));
	uint64_t bit = 1ull << (i % 64u);

	KMM_ASSERT(c->kmm, s->cache == c && i < s->n, "I4");
	KMM_ASSERT(c->kmm, !(s->free[i / 64u] & bit) && *slot->state == OBJECT_IN, "I3");
	s->free[i / 64u] |= bit;
	s->free_n++;
	if (s->free_n == s->n) {
		list_remove(&s->link);
		list_add(&c->empty, &s->link);
		c->empty_n++;
	} else if (s->free_n == 1u) {
		list_remove(&s->link);
		list_add(&c->partial, &s->link);
	}
}

uint64_t slab_give(struct kmm_cache *c, unsigned n, const struct slot *slot)
{
	struct slab *s = NULL;
	struct list doomed;
	unsigned long was;

	list_init(&doomed);
	was = lock_acquire(c->kmm, &c->lock);
	for (unsigned i = 0; i < n; i++) {
		/* Neighbours come together: most lead to the slab just seen. */
		if (!s || (uintptr_t)slot[i].object - (uintptr_t)s->first >= s->span)
			s = slab_of(c->kmm, slot[i].object);
		slab_give_locked(c, s, &slot[i]);
	}
	c->taken_n -= n;
	if (c->kmm->preset->object_reclaims)
		slab_doom_locked(c, c->keep_n, &doomed);
	lock_release(c->kmm, &c->lock, was);
	return slab_unmake_all(c->kmm, &doomed);
}

bool slab_take_one(struct kmm_cache *c, struct slot *out)
{
	while (slab_take(c, 1, out) == 0)
		if (!slab_grow(c))
			return false;
	return true;
}
