/// The tree policy's state, and what its files share. tree.c holds the theory.
#ifndef KMM_FRAME_TREE_H
#define KMM_FRAME_TREE_H

#include "frame/entry.h"
#include "frame/policy.h"
#include "frame/shelf.h"

#define TREE_WORD_LG2 6u
#define TREE_WORD_FULL (~0ull)
#define TREE_BLOCK_LG2 9u /* 512 frames, 2 MiB */
#define TREE_BLOCK_FRAMES (1u << TREE_BLOCK_LG2)
#define TREE_BLOCK_WORDS 8u
#define TREE_WHOLE_LG2 (TREE_BLOCK_LG2 + 6u) /* a word of whole blocks */
#define TREE_CLASSES 6u
#define TREE_FEW 6u /* a block with fewer free frames is left to gather more */
#define TREE_NONE SHELF_NONE

/// Where a CPU claims from: single frames, and runs of them (orders 1 to 8).
enum tree_use { TREE_SINGLE, TREE_RUN, TREE_USES_N };

/// A CPU's place, a cache line of its own: written by its CPU only.
struct frame_tree_cpu {
	uint32_t held[TREE_USES_N][FRAME_GROUPS_N]; /* atomic; block + 1, 0 = none */
	uint64_t class_at, dirty_at, whole_at, scan_at; /* where searches go on */
} __attribute__((aligned(64)));

struct frame_tree_block {
	uint64_t word[TREE_BLOCK_WORDS]; /* atomic; bit set = frame free and claimable here */
} __attribute__((aligned(64)));

/// Blocks are numbered from a multiple of 64, so that bits of `whole` are aligned as
/// their frames are; the first `lead` of them lie before the span and don't exist.
struct frame_tree {
	uint64_t base, end;  /* frames; constant, as is all but whole_n */
	uint64_t block0;     /* frame number / 512 of block number 0; multiple of 64 */
	uintptr_t words;     /* the address of frame 0's word, if there was one */
	uint64_t lead;       /* number of the first block */
	uint64_t blocks_end; /* number of the last block + 1 */
	uint64_t plenty_n;   /* so many whole blocks are enough to open one more */
	unsigned cpus_n;
	struct shelf_shape shape;
	uint64_t *whole; /* a shelf, of the blocks that are wholly free */
	uint64_t *dirty; /* a shelf, of blocks that got frames since they were looked at */
	uint64_t *class[FRAME_GROUPS_N][TREE_CLASSES]; /* shelves, by free frames */
	uint64_t *movable; /* atomic; a bit a block: its group */
	struct frame_tree_block *block;
	uint64_t whole_n __attribute__((aligned(64))); /* atomic; a hint: bits set in `whole` */
	struct frame_tree_cpu cpu[];
};

static inline struct frame_tree_block *tree_block(const struct frame_tree *t, uint64_t b)
{
	return &t->block[b - t->lead];
}

/// The word that a frame's bit lies in.
static inline uint64_t *tree_word(const struct frame_tree *t, uint64_t pfn)
{
	return (uint64_t *)(t->words + (pfn >> TREE_WORD_LG2) * sizeof(uint64_t));
}

static inline uint64_t tree_block_of(const struct frame_tree *t, uint64_t pfn)
{
	return (pfn >> TREE_BLOCK_LG2) - t->block0;
}

static inline uint64_t tree_block_pfn(const struct frame_tree *t, uint64_t b)
{
	return (t->block0 + b) << TREE_BLOCK_LG2;
}

/// Class of a block with so many free frames: fewer than TREE_FEW, to 31, to 63, to 127, to
/// 255, and more. Class 1 is wide: a block in use, visited each time that it has gathered
/// some 8 frames, all but never leaves it for a class that would be left to empty out.
/// Pre: 0 < free_n <= 512; a block with 512 is about to be closed
static inline unsigned tree_class(unsigned free_n)
{
	if (free_n < 32u)
		return free_n >= TREE_FEW;
	return free_n < 256u ? bits_highest(free_n) - 3u : 5u;
}

static inline enum frame_group tree_group(const struct frame_tree *t, uint64_t b)
{
	return (atomic_load_relaxed(&t->movable[b >> 6]) & shelf_bit(b)) != 0 ?
		       FRAME_GROUP_MOVABLE : FRAME_GROUP_PINNED;
}

/// Writes down n frames that follow each other, eight a turn: most claims of many are runs.
static inline void tree_note_run(uint64_t pfn, unsigned n, struct kmm_pfn *out)
{
	for (; n >= 8u; n -= 8u, pfn += 8u, out += 8) {
#pragma GCC unroll 8
		for (unsigned i = 0; i < 8u; i++)
			out[i].n = pfn + i;
	}
	for (unsigned i = 0; i < n; i++)
		out[i].n = pfn + i;
}

/* ---- tree_give.c ---- */

/// Puts frames back into the word that pfn lies in; closes the block if that made it whole.
void frame_tree_give(struct kmm *k, struct frame_tree *t, uint64_t pfn, uint64_t mask);

/// See frame/policy.h.
void frame_tree_release(struct kmm *k, void *state, unsigned order, unsigned n,
			const struct kmm_pfn *in);

/* ---- tree.c ---- */

/// Takes up to n runs of 2^order frames, order <= 8, from a block's words.
unsigned frame_tree_block_take(struct kmm *k, struct frame_tree *t, uint64_t b, unsigned order,
			       unsigned n, struct kmm_pfn *out);

/* ---- tree_find.c ---- */

/// Blocks of class 1 that a claim of single frames has taken off the shelves together.
struct tree_hand {
	enum frame_group group;
	uint64_t i, bits; /* of one level-0 word */
};

/// Pre: the hand isn't empty
static inline uint64_t tree_hand_next(struct tree_hand *hand)
{
	uint64_t b = hand->i << 6 | bits_lowest(hand->bits);

	hand->bits &= hand->bits - 1u;
	return b;
}

/// Takes one block for single frames, the densest that is worth a visit, and perhaps more of
/// its kind into the empty hand; n frames are wanted.
/// TREE_NONE if there are only such as had better be left to fill up.
uint64_t frame_tree_find_dense(struct frame_tree *t, struct frame_tree_cpu *c,
			       struct tree_hand *hand, unsigned n);

/// Puts the blocks that weren't needed where others find them.
void frame_tree_hand_file(struct frame_tree *t, struct tree_hand *hand);

/// Any block with free frames, of this group if possible.
uint64_t frame_tree_find_any(struct frame_tree *t, struct frame_tree_cpu *c,
			     enum frame_group group);

/// Any of a sparse class, for runs of 2^order; it may have none.
uint64_t frame_tree_find_sparse(struct frame_tree *t, struct frame_tree_cpu *c,
				enum frame_group group, unsigned order);

/// Puts a block where others find it.
void frame_tree_file(struct frame_tree *t, uint64_t b);

/// Claims as block_take does from any place where such runs may be. O(blocks)
unsigned frame_tree_scan(struct kmm *k, struct frame_tree *t, struct frame_tree_cpu *c,
			 unsigned order, unsigned n, struct kmm_pfn *out);

/// Surely no block is on any shelf, nor whole.
bool frame_tree_all_empty(const struct frame_tree *t);

/// Claims from a block that some CPU holds.
unsigned frame_tree_steal(struct kmm *k, struct frame_tree *t, unsigned order, unsigned n,
			  struct kmm_pfn *out);

/* ---- tree_whole.c ---- */

/// Are there so many whole blocks that one may be opened rather than a search go on?
bool frame_tree_whole_plenty(const struct frame_tree *t, const struct frame_tree_cpu *c);

/// Opens a whole block: up to n runs of 2^order to out[], order <= 8, the rest to its
/// words. Returns how many, 0 if there is no whole block; *b = the block
unsigned frame_tree_open(struct frame_tree *t, struct frame_tree_cpu *c, unsigned order,
			 enum frame_group group, unsigned n, struct kmm_pfn *out, uint64_t *b);

/// The wholly free block that the caller owns goes into `whole`.
static inline void tree_whole_add(struct frame_tree *t, uint64_t b)
{
	shelf_add(&t->shape, t->whole, b);
	(void)atomic_add_relaxed(&t->whole_n, 1ull);
}

/// Takes a block out of `whole`, to own it all. Acquires what its releasers did.
static inline bool tree_whole_remove(struct frame_tree *t, uint64_t b)
{
	bool was = shelf_remove(t->whole, b);

	if (was)
		(void)atomic_add_relaxed(&t->whole_n, ~0ull);
	return was;
}

/// Claims and releases of orders 9 and more.
unsigned frame_tree_claim_whole(struct frame_tree *t, struct frame_tree_cpu *c, unsigned order,
				unsigned n, struct kmm_pfn *out);
void frame_tree_release_whole(struct kmm *k, struct frame_tree *t, unsigned order, unsigned n,
			      const struct kmm_pfn *in);

/* ---- tree_range.c, tree_check.c: see frame/policy.h ---- */

void frame_tree_add_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n);
bool frame_tree_next_run(struct kmm *k, const void *state, uint64_t from, uint64_t to,
			 struct frame_run *run);
uint64_t frame_tree_claim_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n);
enum kmm_error frame_tree_check(struct kmm *k, void *state, uint64_t *free_n);

#endif
