/// Slabs and the caches that own them; theory in slab.c.
#ifndef KMM_OBJECT_SLAB_H
#define KMM_OBJECT_SLAB_H

#include <kmm/object.h>

#include "base/list.h"
#include "base/lock.h"
#include "frame/entry.h"

#define SLAB_WORDS 4u
#define SLAB_OBJECTS_MAX (64u * SLAB_WORDS)
#define SLAB_APART_OBJECTS_MAX 64u /* what a header kept apart has room for */
#define SLAB_ORDER_MAX 5u          /* larger only where one object needs it */
#define SLAB_INVERSE_LG2 40u
#define SLAB_HEADER_UNIT 64u       /* of a header's place in its frame */
#define SLAB_CLASS_NAMED 0xffu     /* slab.class: not one of kmalloc's */

/// An object's byte in its slab's header: written by the object's owner alone.
enum object_state_byte { OBJECT_IN, OBJECT_OUT };

/// An object as magazines hold it: the byte's address saves the way to the slab.
struct slot {
	char *object;
	uint8_t *state;
};

/// The header; its objects' state bytes follow it.
struct slab {
	/* constant while the slab lives: a free reads this line only */
	struct kmm_cache *cache;
	char *first;         /* object 0 */
	uint64_t inverse;    /* ceil(2^SLAB_INVERSE_LG2 / stride) */
	uint32_t stride;
	uint32_t span;       /* n * stride */
	struct kmm_pfn pfn;
	uint16_t n;
	uint8_t order;
	uint8_t class;       /* kmalloc class or SLAB_CLASS_NAMED */
	bool apart;          /* the header lies in another slab */

	/* lock: cache->lock */
	struct list link __attribute__((aligned(64)));
	uint32_t free_n;
	uint64_t free[SLAB_WORDS]; /* bit set: object is here, not in a magazine nor out */
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct slab) == 128, "two lines: constant, locked");

#define SLAB_APART_BYTES (sizeof(struct slab) + SLAB_APART_OBJECTS_MAX)

struct slab_layout {
	uint32_t first_bytes; /* object 0's offset in the block */
	uint16_t n;
	uint8_t order;
	bool apart;
};

struct kmm_cache {
	/* constant after creation */
	struct kmm *kmm;
	const char *name;
	void (*ctor)(void *object);
	char *magazines;      /* CPU i's at magazines + i * magazine_stride */
	size_t magazine_stride;
	uint64_t inverse;
	uint32_t bytes, stride;
	uint32_t batch_n;     /* objects a refill or drain moves */
	uint32_t keep_n;      /* empty slabs kept */
	struct slab_layout layout[2]; /* preferred; smallest, when memory is scarce */
	uint8_t class;
	bool counted;         /* its objects are callers' objects */

	struct list link;     /* lock: object_state.lock */

	struct lock lock __attribute__((aligned(64)));
	/* lock: lock */
	struct list partial, full, empty;
	uint32_t empty_n;
	uint32_t slabs_n;
	uint64_t taken_n;     /* objects not in their slab: out or in magazines */
} __attribute__((aligned(64)));

/// Fills in a cache's shape and empty lists; magazines are the caller's.
/// Pre: bytes > 0, align a power of two <= 4096 or 0
void slab_cache_init(struct kmm *k, struct kmm_cache *c, const char *name, size_t bytes,
		     size_t align, void (*ctor)(void *object));

/// Takes up to n objects out of existing slabs.
/// Returns: how many, 0..n
unsigned slab_take(struct kmm_cache *c, unsigned n, struct slot *out);

/// Returns n objects to their slabs; slabs too many go back to the frames.
/// Returns: frames freed
uint64_t slab_give(struct kmm_cache *c, unsigned n, const struct slot *slot);

/// Adds one empty slab. False when out of memory.
KMM_MUST_CHECK bool slab_grow(struct kmm_cache *c);

/// Releases empty slabs until only keep_n are left. Returns: frames freed
uint64_t slab_trim(struct kmm_cache *c, uint32_t keep_n);

/// slab_take of one, growing as needed. False when out of memory.
KMM_MUST_CHECK bool slab_take_one(struct kmm_cache *c, struct slot *out);

/// This object's slot, for one that certainly is its slab's.
struct slot slab_slot_own(struct kmm *k, void *p);

/// Takes a block of frames for objects, reclaiming from caches if it must.
KMM_MUST_CHECK enum kmm_error object_frames_alloc(struct kmm *k, unsigned order,
						  enum frame_tag kind, struct kmm_pfn *out);
void object_frames_free(struct kmm *k, struct kmm_pfn pfn, unsigned order);

/// The header that the head's entry points to, seen from a pointer into a frame
/// whose entry has this index. The direct map is linear: the distance of two
/// frames is that of their addresses, so that the port needn't be asked again.
static inline struct slab *slab_header(const struct frame_entry *head, const void *p,
				       uint64_t index)
{
	uintptr_t page = (uintptr_t)p & ~(uintptr_t)(KMM_PAGE_BYTES - 1u);
	uintptr_t distance = (uintptr_t)(head->index - index) << KMM_PAGE_LG2;

	return (struct slab *)(page + distance + (uintptr_t)head->flags * SLAB_HEADER_UNIT);
}

/// The slab p points into, or NULL. Any pointer may be asked about.
static inline struct slab *slab_of(struct kmm *k, const void *p)
{
	struct kmm_pfn pfn = kmm_pa_to_pfn(kmm_port_phys(k, p));
	struct kmm_pfn head = pfn;

	if (__builtin_expect(!frame_in_table(k, pfn), 0))
		return NULL;
	if (frame_tag(k, pfn) == FRAME_TAIL)
		head.n = k->entry_base + frame_entry(k, pfn)->index;
	if (__builtin_expect(frame_tag(k, head) != FRAME_SLAB, 0))
		return NULL;
	return slab_header(frame_entry(k, head), p, pfn.n - k->entry_base);
}

/// Object and state byte for a pointer into s. False unless p is an object's
/// first byte. The product is exact: offset * (inverse * stride - 2^40) < 2^40,
/// since both factors are below 2^20.
static inline bool slab_slot(struct slab *s, void *p, struct slot *out)
{
	uint64_t offset = (uint64_t)((uintptr_t)p - (uintptr_t)s->first);
	uint64_t i;

	if (offset >= s->span)
		return false;
	i = offset * s->inverse >> SLAB_INVERSE_LG2;
	if (i * s->stride != offset)
		return false;
	out->object = p;
	out->state = (uint8_t *)(s + 1) + i;
	return true;
}

#endif
