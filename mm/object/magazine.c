/// Magazines: a CPU's own stack of free objects, one for each cache.
///
/// With interrupts off a magazine belongs to its CPU alone: a hit takes no lock,
/// no atomic read-modify-write and no division. An empty one is refilled, a full
/// one gives back its oldest half, both under the cache's lock, once per batch.
/// kmalloc's magazines stand in the CPU's block, a named cache's in its record;
/// cache_magazine finds either.
///
/// Invariants (I1..I5 in slab.c)
///   I6  n <= cap_n; each slot is an object of this cache, taken from its slab,
///       with state OBJECT_IN, and in no other magazine
///   I7  objects out = taken_n - the sum of the CPUs' n, when all are quiet
///   I8  with KMM_CONFIG_ASSERT >= 2 a free object without constructor is filled
///       with OBJECT_POISON
///
/// Locking: interrupts off; the cache's lock for a batch. A slab is made with
/// interrupts as the caller had them: constructors may be slow.
///
/// Limits: the preset's object_magazine_n, less for large objects; 0 means every
/// operation goes to the slab.
///
/// Source: Bonwick & Adams, "Magazines and Vmem" (USENIX 2001).
#include "object/cache.h"

uint32_t magazine_cap_n(const struct kmm_preset *p, size_t bytes)
{
	uint32_t cap_n = p->object_magazine_n;

	while (cap_n > 2u && cap_n * bytes > MAGAZINE_BYTES_MAX)
		cap_n /= 2u;
	return cap_n;
}

static bool slot_get(struct kmm_cache *c, struct magazine *m, struct slot *slot)
{
	if (m->cap_n == 0)
		return slab_take(c, 1, slot) != 0;
	if (m->n == 0)
		m->n = slab_take(c, c->batch_n, m->slot);
	if (m->n == 0)
		return false;
	*slot = m->slot[--m->n];
	return true;
}

void *magazine_get_slow(struct kmm_cache *c, unsigned long was)
{
	for (;;) {
		struct kmm_cpu *cpu = kmm_port_cpu(c->kmm);
		struct slot slot;
		void *p = NULL;

		if (slot_get(c, cache_magazine(c, cpu->id), &slot))
			p = object_out(c, cpu->object, slot);
		kmm_port_irq_restore(c->kmm, was);
		if (p)
			return p;
		/* Another CPU may empty the new slab first: then once more. */
		if (!slab_grow(c)) {
			object_note_failure(c->kmm);
			return NULL;
		}
		was = kmm_port_irq_save(c->kmm);
	}
}

void magazine_put_slow(struct kmm_cache *c, struct magazine *m, struct slot slot)
{
	uint32_t left_n = m->cap_n - c->batch_n;

	if (m->cap_n == 0) {
		(void)slab_give(c, 1, &slot);
		return;
	}
	(void)slab_give(c, c->batch_n, m->slot);
	/* Disjoint, since a batch is at least half of the magazine. */
	kmm_port_copy(m->slot, m->slot + c->batch_n, left_n * sizeof(*m->slot));
	m->n = left_n;
	m->slot[m->n++] = slot;
}

uint64_t magazine_drain(struct kmm_cache *c, unsigned i)
{
	struct magazine *m = cache_magazine(c, i);
	uint32_t n = m->n;

	if (n == 0)
		return 0;
	m->n = 0;
	return slab_give(c, n, m->slot);
}

bool object_poison_intact(const struct kmm_cache *c, const void *p)
{
	typedef uint64_t __attribute__((may_alias)) poison_word;
	const poison_word *word = p;
	const unsigned char *at = p;
	uint32_t i = 0;

	if (KMM_CONFIG_ASSERT < 2 || c->ctor || !c->counted)
		return true;
	for (; i + sizeof(*word) <= c->bytes; i += sizeof(*word))
		if (word[i / sizeof(*word)] != OBJECT_POISON * 0x0101010101010101ull)
			return false;
	for (; i < c->bytes; i++)
		if (at[i] != OBJECT_POISON)
			return false;
	return true;
}
