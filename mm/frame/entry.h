/// What is known of each frame: a tag, one byte, and an entry, twelve.
///
/// The tag says what the frame is. The allocator's hot paths touch nothing else, 64
/// frames of it share a cache line, and a wrong free is told from it. The entry holds
/// what the owner of an allocated frame keeps there; plain blocks leave it alone.
/// All-zero is valid in both and means: no block begins here (free inside a larger
/// block, or never handed out), so that untouched tables cost nothing.
#ifndef KMM_FRAME_ENTRY_H
#define KMM_FRAME_ENTRY_H

#include "base/instance.h"

/// Values of a tag, without FRAME_ZEROED. In the last three rows the order is added.
enum frame_tag {
	FRAME_NONE = 0,     /* not the head of anything */
	FRAME_CACHED,       /* in a CPU's cache; such only while a check walks */
	FRAME_ISOLATED,     /* taken out of its policy by range (policy.h) */
	FRAME_ABSENT,       /* plugged out, or not plugged in yet (plug.c) */
	FRAME_TAIL,         /* inside a slab or large object; index = head's pfn - entry_base */
	FRAME_TABLE,        /* a page table; from here on heads of allocated blocks */
	FRAME_ANON,         /* anonymous user memory; refs counts its mappings */
	FRAME_SLAB,         /* head of a slab */
	FRAME_LARGE,        /* head of a large object */
	FRAME_RUN,          /* head of index frames, not a power of two */
	FRAME_USED = 0x20,  /* head of a plain block, pinned */
	FRAME_MOVABLE = 0x40, /* head of a plain block, movable */
	FRAME_FREE = 0x60,  /* head of a free block in a policy */
};

#define FRAME_TAG_ORDER 0x1fu  /* of the last three */
#define FRAME_ZEROED 0x80u     /* beside FRAME_NONE and FRAME_FREE: contents are zero */

_Static_assert(KMM_ORDER_MAX < FRAME_TAG_ORDER, "an order fits beside its tag");

struct frame_entry {
	union {
		uint32_t refs; /* allocated: references; atomic */
		uint32_t prev; /* free: the policy's */
	};
	union {
		uint32_t index; /* allocated: owner's use */
		uint32_t next;  /* free: the policy's */
	};
	uint16_t owner;     /* owner's id; 0 = none */
	uint8_t order;      /* of the block this heads, unless the tag says it */
	uint8_t flags;      /* owner's use */
};

_Static_assert(sizeof(struct frame_entry) == 12, "13 bytes a frame, with the tag");

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

/// The tag, FRAME_ZEROED included. It may change under the reader's hands unless the
/// frame is the reader's, so it is never touched plainly.
/// Pre: frame_in_table
static inline uint8_t frame_tag(const struct kmm *k, struct kmm_pfn pfn)
{
	return atomic_load_relaxed((const uint8_t *)(k->tags + pfn.n));
}

static inline void frame_tag_set(struct kmm *k, struct kmm_pfn pfn, unsigned tag)
{
	atomic_store_relaxed((uint8_t *)(k->tags + pfn.n), (uint8_t)tag);
}

/// A tag without its order and FRAME_ZEROED.
static inline enum frame_tag frame_tag_kind(uint8_t tag)
{
	unsigned t = tag & ~FRAME_ZEROED;

	return (enum frame_tag)(t < FRAME_USED ? t : t & ~FRAME_TAG_ORDER);
}

static inline enum frame_tag frame_kind(const struct kmm *k, struct kmm_pfn pfn)
{
	return frame_tag_kind(frame_tag(k, pfn));
}

/// Head of an allocated block?
static inline bool frame_kind_allocated(enum frame_tag kind)
{
	return kind >= FRAME_TABLE && kind < FRAME_FREE;
}

/// Frames of the allocated block that `pfn` heads.
static inline uint64_t frame_block_n(struct kmm *k, struct kmm_pfn pfn)
{
	uint8_t tag = frame_tag(k, pfn);

	if (tag >= FRAME_USED)
		return 1ull << (tag & FRAME_TAG_ORDER);
	return tag == FRAME_RUN ? frame_entry(k, pfn)->index : 1ull << frame_entry(k, pfn)->order;
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

/// Drops one reference; the last one frees the frame (order 0). Frames that aren't
/// FRAME_ANON (the zero frame, MMIO) are left alone.
void frame_ref_put(struct kmm *k, struct kmm_pfn pfn);

/// kmm_frame_alloc for a unit that keeps facts in the head's entry: that is cleared, with
/// one reference, and the head tagged `kind`, a value from FRAME_TABLE to FRAME_LARGE.
KMM_MUST_CHECK enum kmm_error frame_alloc_kind(struct kmm *k, unsigned order, unsigned flags,
					       enum frame_tag kind, struct kmm_pfn *out);

/// Frees such a block, or a plain one of the unit's; panics on an error, since it would
/// be ours.
void frame_free_own(struct kmm *k, struct kmm_pfn pfn, unsigned order);

#endif
