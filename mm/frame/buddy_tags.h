/// What the two buddy policies share: all that is read off the tags, without a lock.
///
/// In both a free block's head is tagged FRAME_FREE + its order, and its other frames
/// FRAME_NONE. What is found here is a hint while other CPUs run: a claim takes the
/// lock that guards the head and looks again.
#ifndef KMM_FRAME_BUDDY_TAGS_H
#define KMM_FRAME_BUDDY_TAGS_H

#include "frame/entry.h"
#include "frame/policy.h"

/// A block in one word: 2 * pfn + 2^order. The lowest set bit tells the order, since
/// pfn is a multiple of 2^order.
static inline uint64_t buddy_code(uint64_t pfn, unsigned order)
{
	return pfn << 1 | 1ull << order;
}

static inline unsigned buddy_code_order(uint64_t code)
{
	return bits_lowest(code);
}

static inline uint64_t buddy_code_pfn(uint64_t code)
{
	return (code & (code - 1u)) >> 1;
}

/// Are two blocks the halves of a larger one?
static inline bool buddy_codes_join(uint64_t a, uint64_t b)
{
	uint64_t size = a & (0u - a);

	return (a ^ b) == size << 1 && size != 1ull << KMM_ORDER_MAX;
}

/// Pre: buddy_codes_join
static inline uint64_t buddy_codes_joined(uint64_t a, uint64_t b)
{
	return (a & b) + (a & (0u - a));
}

/// The code of the largest aligned block, up to max_order, at the front of n frames.
/// Pre: n != 0
static inline uint64_t buddy_first(uint64_t pfn, uint64_t n, unsigned max_order)
{
	unsigned order = bits_highest(n);

	if (order > max_order)
		order = max_order;
	if (pfn != 0 && bits_lowest(pfn) < order)
		order = bits_lowest(pfn);
	return buddy_code(pfn, order);
}

/// Does pfn head a free block of this order?
static inline bool buddy_is_free(const struct kmm *k, uint64_t pfn, unsigned order)
{
	struct kmm_pfn at = { pfn };

	return (frame_tag(k, at) & ~FRAME_ZEROED) == FRAME_FREE + order;
}

/// Changes a tag but not the remark beside it. Pre: the frame is the caller's
static inline void buddy_tag(struct kmm *k, uint64_t pfn, unsigned tag)
{
	struct kmm_pfn at = { pfn };

	frame_tag_set(k, at, tag | (frame_tag(k, at) & FRAME_ZEROED));
}

static inline struct frame_entry *buddy_entry(struct kmm *k, uint64_t pfn)
{
	return &k->entry[pfn - k->entry_base];
}

/// The frames [base, end) of an instance.
struct buddy_span {
	uint64_t base, end;
};

/// The code of the first free block that has a frame in [from, to); 0 if none has.
uint64_t buddy_next_block(struct kmm *k, struct buddy_span s, uint64_t from, uint64_t to);

/// frame_policy.next_run for either.
bool buddy_run(struct kmm *k, struct buddy_span s, uint64_t from, uint64_t to,
	       struct frame_run *run);

/// Tags the part of a block that lies in [from, to) FRAME_ISOLATED.
/// Returns: its frames
/// Pre:     the block is the caller's and meets the range
uint64_t buddy_isolate(struct kmm *k, uint64_t code, uint64_t from, uint64_t to);

/// A list of free blocks, for the checks.
struct buddy_list {
	uint32_t head;      /* entry index + 1 */
	unsigned order;
	unsigned max_order; /* from which blocks aren't joined */
	unsigned list;      /* what the entries' flags say */
	bool both_ways;     /* prev and flags are in use */
};

/// What lists hold, added up.
struct buddy_census {
	uint64_t blocks_n, frames_n;
};

/// I1 to I3 of one list's blocks.
enum kmm_error buddy_check_list(struct kmm *k, struct buddy_span s, const struct buddy_list *l,
				struct buddy_census *c);

/// I1: are there as many heads of free blocks as were found in all lists?
enum kmm_error buddy_check_heads(struct kmm *k, struct buddy_span s,
				 const struct buddy_census *c);

#endif
