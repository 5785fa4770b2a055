/// What the two bitmap policies share: the map, and all that reads it without a lock.
/// Theory in bitmap.c.
#ifndef KMM_FRAME_BITMAP_H
#define KMM_FRAME_BITMAP_H

#include "frame/entry.h"
#include "frame/policy.h"

#define BITMAP_WORD_LG2 6u
#define BITMAP_WORD_BITS (1u << BITMAP_WORD_LG2)
#define BITMAP_FULL (~0ull)

/// First member of either policy's state. All but the words is constant after init.
struct bitmap {
	uint64_t base, end; /* frames */
	uint64_t word0;     /* number of the first word, base / 64 */
	uint64_t words_n;
	uint64_t *word;     /* [words_n]; atomic */
};

/// Bytes of words for n frames that begin anywhere: one word more than n / 64 rounded
/// up, since the base may cut one.
static inline uint64_t bitmap_word_bytes(uint64_t n)
{
	return ((n >> BITMAP_WORD_LG2) + 2u) * sizeof(uint64_t);
}

/// Pre: `word` is zeroed and has bitmap_word_bytes(n)
static inline void bitmap_begin(struct bitmap *b, uint64_t *word, uint64_t base, uint64_t n)
{
	b->base = base;
	b->end = base + n;
	b->word0 = base >> BITMAP_WORD_LG2;
	b->words_n = ((b->end + BITMAP_WORD_BITS - 1u) >> BITMAP_WORD_LG2) - b->word0;
	b->word = word;
}

static inline struct kmm_pfn bitmap_pfn(const struct bitmap *b, uint64_t word, unsigned bit)
{
	struct kmm_pfn pfn = { ((b->word0 + word) << BITMAP_WORD_LG2) + bit };

	return pfn;
}

/// Where one word of the map meets a range of frames.
struct bitmap_piece {
	uint64_t word; /* index into the map */
	uint64_t mask;
	uint64_t n;    /* frames of the range in it */
};

static inline struct bitmap_piece bitmap_piece(const struct bitmap *b, uint64_t pfn, uint64_t n)
{
	unsigned bit = (unsigned)(pfn & (BITMAP_WORD_BITS - 1u));
	struct bitmap_piece p = { (pfn >> BITMAP_WORD_LG2) - b->word0, 0, BITMAP_WORD_BITS - bit };

	if (p.n > n)
		p.n = n;
	p.mask = bits_mask((unsigned)p.n) << bit;
	return p;
}

/// Aligned places for runs of whole words.
struct bitmap_places {
	uint64_t first; /* word where the first one begins */
	uint64_t n;
	unsigned lg2;   /* of a place's words */
};

/// Pre: order > 6
static inline struct bitmap_places bitmap_places(const struct bitmap *b, unsigned order)
{
	struct bitmap_places p = { 0, 0, order - BITMAP_WORD_LG2 };

	p.first = bits_align_up(b->word0, 1ull << p.lg2) - b->word0;
	if (p.first < b->words_n)
		p.n = (b->words_n - p.first) >> p.lg2;
	return p;
}

/// Are these n words all free? A hint unless nothing runs.
static inline bool bitmap_words_full(const struct bitmap *b, uint64_t w, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (atomic_load_relaxed(&b->word[w + i]) != BITMAP_FULL)
			return false;
	return true;
}

/// Asserts that a block may be this map's.
static inline void bitmap_require_block(struct kmm *k, const struct bitmap *b, struct kmm_pfn pfn,
					unsigned order)
{
	KMM_ASSERT(k, bits_aligned(pfn.n, 1ull << order), "a block is aligned");
	KMM_ASSERT(k, pfn.n >= b->base && pfn.n + (1ull << order) <= b->end,
		   "a block of this span");
}

/// Tags the frames of a word's bits.
static inline void bitmap_tag(struct kmm *k, const struct bitmap *b, uint64_t w, uint64_t bits,
			      enum frame_tag tag)
{
	for (; bits != 0; bits &= bits - 1u)
		frame_tag_set(k, bitmap_pfn(b, w, bits_lowest(bits)), tag);
}

/// The seam's next_run and check; `state` begins with the map.
bool bitmap_next_run(struct kmm *k, const void *state, uint64_t from, uint64_t to,
		     struct frame_run *run);
enum kmm_error bitmap_check(struct kmm *k, void *state, uint64_t *free_n);

#endif
