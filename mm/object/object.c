/// The object unit as a whole: start, end, reclaim, statistics.
///
/// Parts, each with its theory: slab.c (slabs and their shape), magazine.c
/// (per-CPU caches), kmalloc.c (sizes, large objects), cache.c (named caches),
/// check.c (the invariants I1..I13).
///
/// All caches but the named ones lie in the metadata. No frame is taken until
/// the first allocation, and object_teardown gives back every slab that no
/// caller's object holds.
///
/// Locking: object_state.lock (LOCK_CACHES), then one cache's (LOCK_CACHE).
#include "object/unit.h"

#include "object/cache.h"
#include "object/kmalloc.h"

#define STATE_ALIGN 64u
#define KEEP_BYTES_MAX 65536u /* of empty slabs, per cache */
#define KEEP_SHARE_LG2 10u    /* and no more than this share of memory */

static const char *const class_name[KMALLOC_CLASSES] = {
	"kmalloc-16",   "kmalloc-32",   "kmalloc-48",    "kmalloc-64",   "kmalloc-96",
	"kmalloc-128",  "kmalloc-192",  "kmalloc-256",   "kmalloc-384",  "kmalloc-512",
	"kmalloc-768",  "kmalloc-1024", "kmalloc-1536",  "kmalloc-2048", "kmalloc-3072",
	"kmalloc-4096", "kmalloc-6144", "kmalloc-8192",  "kmalloc-12288", "kmalloc-16384",
};

/* --- start and end --- */

static uint64_t cpu_slots_n(const struct kmm_preset *p)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < KMALLOC_CLASSES; i++)
		n += magazine_cap_n(p, kmalloc_class_bytes(i));
	return n;
}

uint64_t object_meta_bytes(const struct kmm_config *c, uint64_t total)
{
	uint64_t slots = c->cpus_n * cpu_slots_n(c->preset) * sizeof(struct slot);

	total = meta_add(total, sizeof(struct object_state), STATE_ALIGN);
	total = meta_add(total, c->cpus_n * sizeof(struct object_cpu), STATE_ALIGN);
	return meta_add(total, slots, STATE_ALIGN);
}

static void cpus_init(struct kmm *k, struct object_cpu *cpu, struct slot *slot)
{
	for (unsigned i = 0; i < k->cpus_n; i++) {
		k->cpus[i].object = &cpu[i];
		for (unsigned j = 0; j < KMALLOC_CLASSES; j++) {
			struct magazine *m = &cpu[i].magazine[j];

			m->n = 0;
			m->cap_n = magazine_cap_n(k->preset, kmalloc_class_bytes(j));
			m->slot = slot;
			slot += m->cap_n;
		}
	}
}

/// A cache that objects of the unit itself come from: no magazines.
static void internal_init(struct kmm *k, struct kmm_cache *c, const char *name, size_t bytes)
{
	slab_cache_init(k, c, name, bytes, STATE_ALIGN, NULL);
	c->counted = false;
	list_add_tail(&k->object->caches, &c->link);
}

static void kmalloc_init(struct kmm *k, struct object_cpu *cpu)
{
	for (unsigned i = 0; i < KMALLOC_CLASSES; i++) {
		struct kmm_cache *c = &k->object->kmalloc[i];

		slab_cache_init(k, c, class_name[i], kmalloc_class_bytes(i), 0, NULL);
		c->class = (uint8_t)i;
		c->magazines = (char *)&cpu->magazine[i];
		c->magazine_stride = sizeof(*cpu);
		cache_set_batch(c, cpu->magazine[i].cap_n);
		list_add(&k->object->caches, &c->link);
	}
}

enum kmm_error object_init(struct kmm *k, const struct kmm_config *c, struct meta *m)
{
	uint64_t share = kmm_memmap_bytes(c->memmap, KMM_MEM_USABLE) >> KEEP_SHARE_LG2;
	uint64_t slots = c->cpus_n * cpu_slots_n(c->preset) * sizeof(struct slot);
	struct object_state *o = meta_take(k, m, sizeof(*o), STATE_ALIGN);
	struct object_cpu *cpu = meta_take(k, m, c->cpus_n * sizeof(*cpu), STATE_ALIGN);

	k->object = o;
	o->keep_bytes = share < KEEP_BYTES_MAX ? share : KEEP_BYTES_MAX;
	lock_init(&o->lock, LOCK_CACHES);
	list_init(&o->caches);
	cpus_init(k, cpu, meta_take(k, m, slots, STATE_ALIGN));
	internal_init(k, &o->records, "cache records", cache_record_bytes(k));
	internal_init(k, &o->headers, "slab headers", SLAB_APART_BYTES);
	kmalloc_init(k, cpu);
	return KMM_OK;
}

void object_caches_own(struct kmm *k)
{
	k->object->own_n = k->object->named_n;
}

static bool is_record(const struct object_state *o, const struct kmm_cache *c)
{
	return c->class == SLAB_CLASS_NAMED && c != &o->headers && c != &o->records;
}

/// A caller's cache that was never destroyed: its record is the unit's own. Its
/// slabs with objects stay, and show as leaked frames.
static void records_drop(struct kmm *k)
{
	struct object_state *o = k->object;

	struct list *next;

	for (struct list *l = o->caches.next; l != &o->caches; l = next) {
		struct kmm_cache *c = CONTAINER_OF(l, struct kmm_cache, link);

		next = l->next;
		if (is_record(o, c)) {
			struct slot record = slab_slot_own(k, c);

			list_remove(&c->link);
			o->named_n--;
			(void)slab_give(&o->records, 1, &record);
		}
	}
}

void object_teardown(struct kmm *k)
{
	struct object_state *o = k->object;

	LIST_EACH(c, &o->caches, struct kmm_cache, link)
		if (is_record(o, c) || c->class != SLAB_CLASS_NAMED)
			cache_empty(c);
	records_drop(k);
	(void)slab_trim(&o->records, 0);
	(void)slab_trim(&o->headers, 0);
}

/* --- reclaim --- */

uint64_t kmm_object_reclaim(struct kmm *k)
{
	struct object_state *o = k->object;
	uint64_t frames_n = 0;
	unsigned long was;

	if (!k->preset->object_reclaims)
		return 0;
	was = lock_acquire(k, &o->lock);
	LIST_EACH(c, &o->caches, struct kmm_cache, link) {
		if (c->counted)
			frames_n += magazine_drain(c, kmm_port_cpu(k)->id);
		frames_n += slab_trim(c, 0);
	}
	lock_release(k, &o->lock, was);
	return frames_n;
}

/* --- statistics and blame --- */

void kmm_object_stats(struct kmm *k, struct kmm_object_stats *s)
{
	unsigned long was = lock_acquire(k, &k->object->lock);

	s->caches_n = k->object->named_n + KMALLOC_CLASSES;
	lock_release(k, &k->object->lock, was);
	s->alloc_n = s->free_calls_n = s->fail_n = s->frames_n = 0;
	for (unsigned i = 0; i < k->cpus_n; i++) {
		const struct object_cpu *o = k->cpus[i].object;

		s->alloc_n += counter_read(&o->alloc_n);
		s->free_calls_n += counter_read(&o->free_n);
		s->fail_n += counter_read(&o->fail_n);
		s->frames_n += counter_read(&o->slab_frames_n);
		s->frames_n += counter_read(&o->large_frames_n);
	}
	s->live_n = s->alloc_n - s->free_calls_n;
}

void object_note_failure(struct kmm *k)
{
	unsigned long was = kmm_port_irq_save(k);

	counter_add(&kmm_port_cpu(k)->object->fail_n, 1u);
	kmm_port_irq_restore(k, was);
}

enum kmm_error object_blame(struct kmm *k, const void *p)
{
	struct kmm_pfn pfn = kmm_pa_to_pfn(kmm_port_phys(k, p));

	if (!frame_in_table(k, pfn))
		return KMM_EINVAL;
	return kmm_frame_is_allocated(k, pfn) ? KMM_EINVAL : KMM_EDOUBLEFREE;
}

enum kmm_error kmm_object_check(struct kmm *k)
{
	return object_check(k);
}
