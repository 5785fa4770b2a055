/// Named caches: records, the list of all caches, and their public operations.
///
/// A record is an object of the internal cache `records`; each CPU's magazine
/// follows it, slots and all, so that creating a cache is one allocation.
///
/// Invariants (I1..I10 in slab.c, magazine.c, kmalloc.c)
///   I11  the list holds every cache that can have slabs; `headers` comes last,
///        so that what unmaking the others' slabs gives it back is still trimmed
///   I12  named_n counts callers' caches, those under way included, and is at
///        most own_n + the preset's object_caches_max, if that is not 0
///
/// Locking: the list by object_state.lock. A cache is created outside of it, but
/// its place is reserved first, so that the limit is told before memory runs out.
#include "object/cache.h"

struct object_record {
	struct kmm_cache cache;
	/* then cpus_n times a magazine and its slots, 64-aligned */
};

static size_t record_stride(const struct kmm *k)
{
	size_t slots = k->preset->object_magazine_n * sizeof(struct slot);

	return bits_align_up(sizeof(struct magazine) + slots, 64u);
}

size_t cache_record_bytes(const struct kmm *k)
{
	return sizeof(struct object_record) + k->cpus_n * record_stride(k);
}

void cache_set_batch(struct kmm_cache *c, uint32_t cap_n)
{
	c->batch_n = (cap_n + 1u) / 2u;
}

static void record_init(struct kmm *k, struct kmm_cache *c)
{
	uint32_t cap_n = magazine_cap_n(k->preset, c->bytes);

	c->magazines = (char *)c + sizeof(struct object_record);
	c->magazine_stride = record_stride(k);
	cache_set_batch(c, cap_n);
	for (unsigned i = 0; i < k->cpus_n; i++) {
		struct magazine *m = cache_magazine(c, i);

		m->n = 0;
		m->cap_n = cap_n;
		m->slot = (struct slot *)(void *)(m + 1);
	}
}

static bool place_reserve(struct kmm *k)
{
	struct object_state *o = k->object;
	unsigned long was = lock_acquire(k, &o->lock);
	unsigned max = k->preset->object_caches_max;
	bool room = max == 0 || o->named_n < max + o->own_n;

	o->named_n += room;
	lock_release(k, &o->lock, was);
	return room;
}

static void place_return(struct kmm *k)
{
	unsigned long was = lock_acquire(k, &k->object->lock);

	k->object->named_n--;
	lock_release(k, &k->object->lock, was);
}

enum kmm_error kmm_cache_create(struct kmm *k, const char *name, size_t bytes, size_t align,
				void (*ctor)(void *object), struct kmm_cache **out)
{
	struct kmm_cache *c;
	struct slot record;
	unsigned long was;

	if (bytes == 0 || bytes > KMALLOC_MAX_BYTES || align > 4096u || (align & (align - 1u)))
		return KMM_EINVAL;
	if (!place_reserve(k))
		return KMM_ELIMIT;
	if (!slab_take_one(&k->object->records, &record)) {
		place_return(k);
		return KMM_ENOMEM;
	}
	c = (struct kmm_cache *)(void *)record.object;
	slab_cache_init(k, c, name, bytes, align, ctor);
	record_init(k, c);
	was = lock_acquire(k, &k->object->lock);
	list_add(&k->object->caches, &c->link);
	lock_release(k, &k->object->lock, was);
	*out = c;
	return KMM_OK;
}

uint64_t cache_out_n(struct kmm_cache *c)
{
	uint64_t n = c->taken_n;

	for (unsigned i = 0; i < c->kmm->cpus_n; i++)
		n -= cache_magazine(c, i)->n;
	return n;
}

void cache_empty(struct kmm_cache *c)
{
	for (unsigned i = 0; i < c->kmm->cpus_n; i++)
		(void)magazine_drain(c, i);
	(void)slab_trim(c, 0);
}

enum kmm_error kmm_cache_destroy(struct kmm_cache *c)
{
	struct kmm *k = c->kmm;
	unsigned long was = lock_acquire(k, &k->object->lock);
	bool busy = cache_out_n(c) != 0;
	struct slot record;

	if (!busy) {
		list_remove(&c->link); /* from here on reclaim can't meet it */
		k->object->named_n--;
	}
	lock_release(k, &k->object->lock, was);
	if (busy)
		return KMM_EBUSY;
	cache_empty(c);
	KMM_ASSERT(k, c->slabs_n == 0, "I5");
	record = slab_slot_own(k, c);
	(void)slab_give(&k->object->records, 1, &record);
	return KMM_OK;
}

void *kmm_cache_alloc(struct kmm_cache *c)
{
	struct kmm *k = c->kmm;
	unsigned long was;
	struct kmm_cpu *cpu;

	if (fail_now(k, KMM_FAIL_OBJECT)) {
		object_note_failure(k);
		return NULL;
	}
	was = kmm_port_irq_save(k);
	cpu = kmm_port_cpu(k);
	return magazine_get(c, cpu, cache_magazine(c, cpu->id), was);
}

enum kmm_error kmm_cache_free(struct kmm_cache *c, void *p)
{
	struct kmm *k = c->kmm;
	struct slab *s = slab_of(k, p);
	unsigned long was;
	struct kmm_cpu *cpu;
	struct slot slot;

	if (__builtin_expect(s == NULL, 0))
		return object_blame(k, p);
	if (s->cache != c || !slab_slot(s, p, &slot))
		return KMM_EINVAL;
	if (__builtin_expect(*slot.state != OBJECT_OUT, 0))
		return KMM_EDOUBLEFREE;
	was = kmm_port_irq_save(k);
	cpu = kmm_port_cpu(k);
	magazine_put(c, cpu, cache_magazine(c, cpu->id), slot);
	kmm_port_irq_restore(k, was);
	return KMM_OK;
}
