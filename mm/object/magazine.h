/// The unit's state and the per-CPU magazines; theory in magazine.c.
#ifndef KMM_OBJECT_MAGAZINE_H
#define KMM_OBJECT_MAGAZINE_H

#include "object/slab.h"

#define KMALLOC_CLASSES 20u
#define KMALLOC_MAX_BYTES 16384u
#define MAGAZINE_BYTES_MAX 65536u /* a CPU caches no more than this of one size */
#define OBJECT_POISON 0x6bu

/// lock: its CPU, interrupts off
struct magazine {
	uint32_t n;
	uint32_t cap_n;    /* constant */
	struct slot *slot; /* [cap_n]; constant */
};

/// One CPU's part. Counters: written by this CPU, read by any.
struct object_cpu {
	uint64_t alloc_n, free_n, fail_n;
	uint64_t large_n;                       /* live ones; CPUs' sum counts */
	uint64_t large_frames_n, slab_frames_n; /* likewise */
	struct magazine magazine[KMALLOC_CLASSES];
} __attribute__((aligned(64)));

struct object_state {
	struct lock lock;     /* LOCK_CACHES */
	struct list caches;   /* all, `headers` last; lock: lock */
	uint32_t named_n;     /* callers' caches; lock: lock */
	uint32_t own_n;       /* of these, made by kmm_init: beyond the limit; constant after */
	uint64_t keep_bytes;  /* of empty slabs, per cache; constant */
	struct kmm_cache headers;  /* of slabs whose header lies apart */
	struct kmm_cache records;  /* struct kmm_cache of callers' caches */
	struct kmm_cache kmalloc[KMALLOC_CLASSES];
};

/// Objects a CPU may cache of this size.
uint32_t magazine_cap_n(const struct kmm_preset *p, size_t bytes);

/// The way past an empty magazine; `was` as kmm_port_irq_save gave it. NULL, and
/// counted, when out of memory.
void *magazine_get_slow(struct kmm_cache *c, unsigned long was);

/// The way past a full magazine. Pre: interrupts off, m this CPU's
void magazine_put_slow(struct kmm_cache *c, struct magazine *m, struct slot slot);

/// Empties the magazine of CPU i.
/// Pre: i is this CPU with interrupts off, or CPU i is quiet
/// Returns: frames freed
uint64_t magazine_drain(struct kmm_cache *c, unsigned i);

/// Verifies a free object's poison; true where there is none.
bool object_poison_intact(const struct kmm_cache *c, const void *p);

static inline struct magazine *cache_magazine(const struct kmm_cache *c, unsigned i)
{
	return (struct magazine *)(void *)(c->magazines + i * c->magazine_stride);
}

/// Constructed state is the owner's: such objects are never filled.
static inline void object_poison(const struct kmm_cache *c, void *p)
{
#if KMM_CONFIG_ASSERT >= 2
	if (!c->ctor && c->counted)
		kmm_port_fill(p, OBJECT_POISON, c->bytes);
#else
	(void)c;
	(void)p;
#endif
}

/// Hands an object to its caller.
static inline void *object_out(const struct kmm_cache *c, struct object_cpu *o,
			       struct slot slot)
{
	KMM_ASSERT_SLOW(c->kmm, object_poison_intact(c, slot.object), "free memory stays unwritten");
	KMM_ASSERT(c->kmm, *slot.state == OBJECT_IN, "I6");
	*slot.state = OBJECT_OUT;
	counter_add(&o->alloc_n, 1u);
	(void)c;
	return slot.object;
}

/// Takes an object from m, this CPU's magazine, or by the slow way.
static inline void *magazine_get(struct kmm_cache *c, struct kmm_cpu *cpu, struct magazine *m,
				 unsigned long was)
{
	void *p;

	if (__builtin_expect(m->n == 0, 0))
		return magazine_get_slow(c, was);
	p = object_out(c, cpu->object, m->slot[--m->n]);
	kmm_port_irq_restore(c->kmm, was);
	return p;
}

/// Takes a live object back from its caller.
/// Pre: interrupts off; *slot.state is OBJECT_OUT
static inline void magazine_put(struct kmm_cache *c, struct kmm_cpu *cpu, struct magazine *m,
				struct slot slot)
{
	object_poison(c, slot.object);
	*slot.state = OBJECT_IN;
	counter_add(&cpu->object->free_n, 1u);
	if (__builtin_expect(m->n == m->cap_n, 0))
		magazine_put_slow(c, m, slot);
	else
		m->slot[m->n++] = slot;
}

#endif
