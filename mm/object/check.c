/// The object unit's invariants, walked. The numbers are those of slab.c,
/// magazine.c, kmalloc.c and cache.c; and
///   I13  the CPUs' counters add up: objects allocated - freed = objects out,
///        frames counted = frames of the slabs found
///
/// Locking: object_state.lock, then each cache's. Magazines and state bytes are
/// their owners', so all other CPUs must be out of the unit meanwhile.
#include "object/cache.h"
#include "object/unit.h"

struct census {
	uint64_t objects_n, frames_n;
	uint32_t named_n;
};

static bool broken(struct kmm_cache *c, const char *what)
{
	kmm_log(c->kmm, KMM_LOG_ERROR, "object: %s: %s", c->name, what);
	return false;
}

#define HOLDS(c, cond, what)                    \
	do {                                    \
		if (!(cond))                    \
			return broken((c), (what)); \
	} while (0)

static bool entries_hold(struct kmm_cache *c, struct slab *s)
{
	struct kmm *k = c->kmm;
	const struct frame_entry *head;

	HOLDS(c, frame_in_table(k, s->pfn), "I4: a slab outside the table");
	head = frame_entry(k, s->pfn);
	HOLDS(c, frame_tag(k, s->pfn) == FRAME_SLAB && head->order == s->order, "I4: head is no slab");
	HOLDS(c, slab_of(k, s->first) == s, "I4: head leads to another header");
	for (uint32_t i = 1; i < 1u << s->order; i++)
		HOLDS(c, frame_tag(k, (struct kmm_pfn){ s->pfn.n + i }) == FRAME_TAIL &&
			 head[i].index == s->pfn.n - k->entry_base, "I4: tail astray");
	return true;
}

static bool bits_hold(struct kmm_cache *c, struct slab *s, uint64_t *out_n)
{
	const uint8_t *state = (const uint8_t *)(s + 1);
	uint32_t free_n = 0;

	for (unsigned w = 0; w < SLAB_WORDS; w++) {
		uint64_t valid = s->n > 64u * w ? bits_mask(s->n - 64u * w) : 0;

		HOLDS(c, !(s->free[w] & ~valid), "I2: a bit past the last object");
		free_n += bits_count(s->free[w]);
	}
	HOLDS(c, free_n == s->free_n, "I2: bits and free_n differ");
	for (uint32_t i = 0; i < s->n; i++) {
		bool here = s->free[i / 64u] >> (i % 64u) & 1u;

		HOLDS(c, state[i] <= OBJECT_OUT, "I3: no state");
		HOLDS(c, !here || state[i] == OBJECT_IN, "I3: in its slab, yet out");
		HOLDS(c, !here || object_poison_intact(c, s->first + (size_t)i * s->stride),
		      "I8: free memory was written");
		*out_n += state[i] == OBJECT_OUT;
	}
	return true;
}

static bool slabs_hold_locked(struct kmm_cache *c, struct list *slabs, uint32_t *slabs_n,
			      uint64_t *taken_n, uint64_t *out_n)
{
	LIST_EACH(s, slabs, struct slab, link) {
		bool right = slabs == &c->full    ? s->free_n == 0
			     : slabs == &c->empty ? s->free_n == s->n
						  : s->free_n > 0 && s->free_n < s->n;

		HOLDS(c, s->link.next->prev == &s->link, "I1: list torn");
		HOLDS(c, s->cache == c && s->stride == c->stride, "I1: another cache's slab");
		HOLDS(c, right, "I1: slab in the wrong list");
		if (!entries_hold(c, s) || !bits_hold(c, s, out_n))
			return false;
		*taken_n += s->n - s->free_n;
		(*slabs_n)++;
	}
	return true;
}

static bool magazine_holds(struct kmm_cache *c, struct magazine *m)
{
	HOLDS(c, m->n <= m->cap_n, "I6: magazine overfull");
	for (uint32_t i = 0; i < m->n; i++) {
		struct slab *s = slab_of(c->kmm, m->slot[i].object);
		struct slot slot;
		uint32_t at;

		HOLDS(c, s && s->cache == c && slab_slot(s, m->slot[i].object, &slot) &&
			 slot.state == m->slot[i].state, "I6: slot is no object of the cache");
		at = (uint32_t)(slot.state - (uint8_t *)(s + 1));
		HOLDS(c, !(s->free[at / 64u] >> (at % 64u) & 1u), "I6: object in slab too");
		HOLDS(c, *slot.state == OBJECT_IN, "I6: object out too");
	}
	return true;
}

static bool cache_holds_locked(struct kmm_cache *c, struct census *census)
{
	uint64_t taken_n = 0, out_n = 0, frames_n = 0;
	uint32_t empty_n = 0, slabs_n = 0;

	if (!slabs_hold_locked(c, &c->empty, &empty_n, &taken_n, &out_n))
		return false;
	slabs_n = empty_n;
	if (!slabs_hold_locked(c, &c->partial, &slabs_n, &taken_n, &out_n) ||
	    !slabs_hold_locked(c, &c->full, &slabs_n, &taken_n, &out_n))
		return false;
	HOLDS(c, empty_n == c->empty_n && slabs_n == c->slabs_n, "I1: slabs miscounted");
	HOLDS(c, taken_n == c->taken_n, "I5: taken_n is wrong");
	for (unsigned i = 0; c->counted && i < c->kmm->cpus_n; i++)
		if (!magazine_holds(c, cache_magazine(c, i)))
			return false;
	HOLDS(c, !c->counted || out_n == cache_out_n(c), "I7: an object is nowhere");
	LIST_EACH(e, &c->empty, struct slab, link)
		frames_n += 1ull << e->order;
	LIST_EACH(p, &c->partial, struct slab, link)
		frames_n += 1ull << p->order;
	LIST_EACH(f, &c->full, struct slab, link)
		frames_n += 1ull << f->order;
	census->frames_n += frames_n;
	census->objects_n += out_n;
	census->named_n += c->counted && c->class == SLAB_CLASS_NAMED;
	return true;
}

static bool counters_hold(struct kmm *k, const struct census *census)
{
	struct kmm_cache *any = &k->object->headers;
	uint64_t live_n = 0, large_n = 0, frames_n = 0;
	unsigned max = k->preset->object_caches_max;

	for (unsigned i = 0; i < k->cpus_n; i++) {
		const struct object_cpu *o = k->cpus[i].object;

		live_n += counter_read(&o->alloc_n) - counter_read(&o->free_n);
		large_n += counter_read(&o->large_n);
		frames_n += counter_read(&o->slab_frames_n);
	}
	HOLDS(any, live_n == census->objects_n + large_n, "I13: objects miscounted");
	HOLDS(any, frames_n == census->frames_n, "I13: frames miscounted");
	HOLDS(any, census->named_n == k->object->named_n, "I12: caches miscounted");
	HOLDS(any, max == 0 || census->named_n <= max + k->object->own_n, "I12: too many caches");
	return true;
}

enum kmm_error object_check(struct kmm *k)
{
	struct object_state *o = k->object;
	struct census census = { 0, 0, 0 };
	unsigned long was = lock_acquire(k, &o->lock);
	bool holds = o->caches.prev == &o->headers.link;

	if (!holds)
		(void)broken(&o->headers, "I11: not the last cache");
	LIST_EACH(c, &o->caches, struct kmm_cache, link) {
		unsigned long inner = lock_acquire(k, &c->lock);

		holds = holds && cache_holds_locked(c, &census);
		lock_release(k, &c->lock, inner);
	}
	holds = holds && counters_hold(k, &census);
	lock_release(k, &o->lock, was);
	return holds ? KMM_OK : KMM_ECORRUPT;
}
