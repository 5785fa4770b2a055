/// kmalloc: memory of any size, by pointer alone.
///
/// Up to KMALLOC_MAX_BYTES a request goes to the slab cache of its class; above
/// it takes a block of frames of its own, whose head's entry is FRAME_LARGE. The
/// entry tells everything about a pointer, so that free needs no size.
///
/// Invariants (I1..I8 in slab.c and magazine.c)
///   I9   kmalloc_class_bytes(kmalloc_class(n)) >= n, and the class below is
///        too small
///   I10  a live large object's entry is FRAME_LARGE with its order; its other
///        frames' entries are FRAME_NONE, so that an interior pointer is nothing
///
/// Locking: as the magazines; large objects as kmm_frame_alloc.
///
/// Failure: one injection point a public call, before anything is done. A
/// kmm_realloc that shrinks stays in place rather than fail.
///
/// Limits: a large object takes a power of two of frames.
#include "object/cache.h"
#include "object/kmalloc.h"

static void count_large(struct kmm *k, uint64_t alloc_n, uint64_t free_n)
{
	unsigned long was = kmm_port_irq_save(k);
	struct object_cpu *o = kmm_port_cpu(k)->object;

	counter_add(&o->alloc_n, alloc_n);
	counter_add(&o->free_n, free_n);
	counter_add(&o->large_n, alloc_n - free_n);
	kmm_port_irq_restore(k, was);
}

static __attribute__((noinline)) void *refused(struct kmm *k)
{
	object_note_failure(k);
	return NULL;
}

/* --- large objects --- */

static __attribute__((noinline)) void *large_alloc(struct kmm *k, size_t bytes)
{
	unsigned order;
	struct kmm_pfn pfn;

	if (bytes == 0 || bytes > LARGE_MAX_BYTES)
		return refused(k);
	order = bits_ceil_lg2((bytes + KMM_PAGE_BYTES - 1u) >> KMM_PAGE_LG2);
	if (object_frames_alloc(k, order, FRAME_LARGE, &pfn) != KMM_OK)
		return refused(k);
	count_large(k, 1, 0);
	return kmm_port_virt(k, kmm_pfn_to_pa(pfn));
}

/// The entry of the large object that begins at p, or NULL.
static struct frame_entry *large_of(struct kmm *k, const void *p, struct kmm_pfn *pfn)
{
	struct kmm_pa pa = kmm_port_phys(k, p);

	*pfn = kmm_pa_to_pfn(pa);
	if (!frame_in_table(k, *pfn) || !bits_aligned(pa.a, KMM_PAGE_BYTES) ||
	    frame_tag(k, *pfn) != FRAME_LARGE)
		return NULL;
	return frame_entry(k, *pfn);
}

static __attribute__((noinline)) enum kmm_error large_free(struct kmm *k, void *p)
{
	struct kmm_pfn pfn;
	struct frame_entry *e = large_of(k, p, &pfn);

	if (!e)
		return object_blame(k, p);
	object_frames_free(k, pfn, e->order);
	count_large(k, 0, 1);
	return KMM_OK;
}

/* --- any size --- */

static inline void *alloc_any(struct kmm *k, size_t bytes)
{
	unsigned long was;
	struct kmm_cpu *cpu;
	unsigned class;

	if (__builtin_expect(bytes - 1u >= KMALLOC_MAX_BYTES, 0)) /* 0 too */
		return large_alloc(k, bytes);
	class = kmalloc_class(bytes);
	was = kmm_port_irq_save(k);
	cpu = kmm_port_cpu(k);
	return magazine_get(&k->object->kmalloc[class], cpu, &cpu->object->magazine[class], was);
}

void *kmm_alloc(struct kmm *k, size_t bytes)
{
	return fail_now(k, KMM_FAIL_OBJECT) ? refused(k) : alloc_any(k, bytes);
}

void *kmm_calloc(struct kmm *k, size_t n, size_t bytes)
{
	size_t total;
	void *p;

	if (fail_now(k, KMM_FAIL_OBJECT) || __builtin_mul_overflow(n, bytes, &total))
		return refused(k);
	p = alloc_any(k, total);
	if (p)
		kmm_port_fill(p, 0, total);
	return p;
}

enum kmm_error kmm_free(struct kmm *k, void *p)
{
	unsigned long was;
	struct kmm_cpu *cpu;
	struct slab *s;
	struct slot slot;

	if (p == NULL)
		return KMM_OK;
	s = slab_of(k, p);
	if (__builtin_expect(s == NULL, 0))
		return large_free(k, p);
	if (s->class == SLAB_CLASS_NAMED || !slab_slot(s, p, &slot))
		return KMM_EINVAL;
	if (__builtin_expect(*slot.state != OBJECT_OUT, 0))
		return KMM_EDOUBLEFREE;
	was = kmm_port_irq_save(k);
	cpu = kmm_port_cpu(k);
	magazine_put(s->cache, cpu, &cpu->object->magazine[s->class], slot);
	kmm_port_irq_restore(k, was);
	return KMM_OK;
}

size_t kmm_usable_bytes(struct kmm *k, const void *p)
{
	struct slab *s = slab_of(k, p);
	const struct frame_entry *e;
	struct kmm_pfn pfn;
	struct slot slot;

	if (!s) {
		e = large_of(k, p, &pfn);
		return e ? (size_t)KMM_PAGE_BYTES << e->order : 0;
	}
	if (s->class == SLAB_CLASS_NAMED || !slab_slot(s, (void *)(uintptr_t)p, &slot))
		return 0;
	return *slot.state == OBJECT_OUT ? s->cache->bytes : 0;
}

void *kmm_realloc(struct kmm *k, void *p, size_t bytes)
{
	size_t old_bytes = p ? kmm_usable_bytes(k, p) : 0;
	enum kmm_error e;
	void *to;

	if (fail_now(k, KMM_FAIL_OBJECT) || bytes == 0 || (p && old_bytes == 0))
		return refused(k);
	if (bytes <= old_bytes && bytes > old_bytes / 2u)
		return p;
	to = alloc_any(k, bytes);
	if (!to && bytes <= old_bytes)
		return p;
	if (!to || !p)
		return to;
	kmm_port_copy(to, p, bytes < old_bytes ? bytes : old_bytes);
	e = kmm_free(k, p);
	KMM_ASSERT(k, e == KMM_OK, "I3");
	(void)e;
	return to;
}
