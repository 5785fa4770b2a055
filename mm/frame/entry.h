/// The frame entry: 16 bytes a frame, the one place where per-frame facts live.
/// All-zero is valid and means: no block begins here (free inside a larger
/// block, or never handed out), so that an untouched table costs nothing.
#ifndef KMM_FRAME_ENTRY_H
#define KMM_FRAME_ENTRY_H

#include "base/instance.h"

enum frame_kind {
	FRAME_NONE,      /* not the head of anything */
	FRAME_FREE,      /* head of a free block in the policy's lists */
	FRAME_CACHED,    /* free, in a CPU's cache */
	FRAME_RESERVED,  /* never to be handed out */
	FRAME_USED,      /* head of an allocated block; kinds from here on are too */
	FRAME_TABLE,     /* a page table */
	FRAME_ANON,      /* anonymous user memory; refs counts its mappings */
	FRAME_SLAB,      /* head of a slab */
	FRAME_LARGE,     /* head of a large object */
	FRAME_TAIL,      /* inside a slab or large object; index = head's pfn - entry_base */
};

struct frame_entry {
	union {
		uint32_t refs; /* allocated: references; atomic */
		uint32_t prev; /* FRAME_FREE: list link, entry index + 1; lock: zone */
	};
	union {
		uint32_t index; /* allocated: owner's use */
		uint32_t next;  /* FRAME_FREE: list link, entry index + 1; lock: zone */
	};
	uint8_t kind;       /* enum frame_kind; atomic: frame_kind_get, frame_kind_set */
	uint8_t order;      /* of the block this heads */
	uint8_t flags;      /* owner's use */
	uint8_t zone_node;  /* zone in bits 0..3, node in bits 4..7 */
	uint16_t generation;
	uint16_t owner;     /* owner's id; 0 = none */
};

_Static_assert(sizeof(struct frame_entry) == 16, "16 bytes a frame");

/// The kind is read by whoever frees the block next door, so it is never
/// touched plainly. To and from FRAME_FREE it changes under the zone's lock only.
static inline enum frame_kind frame_kind_get(const struct frame_entry *e)
{
	return (enum frame_kind)atomic_load_relaxed(&e->kind);
}

static inline void frame_kind_set(struct frame_entry *e, enum frame_kind kind)
{
	atomic_store_relaxed(&e->kind, (uint8_t)kind);
}

/// Head of an allocated block?
static inline bool frame_kind_allocated(enum frame_kind kind)
{
	return kind >= FRAME_USED && kind != FRAME_TAIL;
}

/// Is there an entry for this frame?
static inline bool frame_in_table(const struct kmm *k, struct kmm_pfn pfn)
{
	return pfn.n - k->entry_base < k->entry_end - k->entry_base;
}

/// Pre: frame_in_table
static inline struct frame_entry *frame_entry(struct kmm *k, struct kmm_pfn pfn)
{
	return &k->entry[pfn.n - k->entry_base];
}

/// One more reference to a FRAME_ANON frame.
/// Pre: the caller's own reference keeps it alive (count > 0)
static inline void frame_ref_get(struct kmm *k, struct kmm_pfn pfn)
{
	uint32_t was = atomic_add_relaxed(&frame_entry(k, pfn)->refs, 1u);

	KMM_ASSERT(k, was != 0, "no reference is taken from zero");
	(void)was;
}

/// How many references; exact only if the caller holds the only one.
static inline uint32_t frame_ref_count(struct kmm *k, struct kmm_pfn pfn)
{
	return atomic_load_acquire(&frame_entry(k, pfn)->refs);
}

/// Drops one reference; the last one frees the frame (order 0). Frames of
/// another kind than FRAME_ANON (the zero frame, MMIO) are left alone.
void frame_ref_put(struct kmm *k, struct kmm_pfn pfn);

/// kmm_frame_alloc, then marks the head's kind. FRAME_ANON starts with refs 1.
KMM_MUST_CHECK enum kmm_error frame_alloc_kind(struct kmm *k, unsigned order, unsigned flags,
					       enum frame_kind kind, struct kmm_pfn *out);

/// Frees a block whose kind the caller knows; panics on an error, since it
/// would be ours.
void frame_free_own(struct kmm *k, struct kmm_pfn pfn, unsigned order);

#endif
