/* The tree policy: where to search. */
#include "frame/tree.h"

#define SWEEP_BATCH 16u /* dirty blocks looked at together */
#define SWEEP_MOST 32u  /* before a sparse block is taken, or a whole one */
#define HAND_FRAMES 8u  /* what a block of class 1 has, as a rule */

/// Set bits of a word; without an instruction for that, those of each of its bytes.
static inline uint64_t word_bits(const uint64_t *word)
{
	uint64_t x = atomic_load_seq_cst(word);

#ifdef __POPCNT__
	return (uint64_t)__builtin_popcountll(x);
#else
	x -= (x >> 1) & 0x5555555555555555ull;
	x = (x & 0x3333333333333333ull) + ((x >> 2) & 0x3333333333333333ull);
	return (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
#endif
}

/// Free frames of a block that the caller has just taken off a shelf (I4).
static inline unsigned look(const struct frame_tree *t, uint64_t b)
{
	const uint64_t *word = tree_block(t, b)->word;
	uint64_t sum = word_bits(word) + word_bits(word + 1) + word_bits(word + 2) +
		       word_bits(word + 3) + word_bits(word + 4) + word_bits(word + 5) +
		       word_bits(word + 6) + word_bits(word + 7);

#ifndef __POPCNT__ /* each byte counts to 64 */
	sum = (sum & 0x00ff00ff00ff00ffull) + ((sum >> 8) & 0x00ff00ff00ff00ffull);
	sum = (sum * 0x0001000100010001ull) >> 48;
#endif
	return (unsigned)sum;
}

static void file_as(struct frame_tree *t, uint64_t b, unsigned class)
{
	shelf_add(&t->shape, t->class[tree_group(t, b)][class], b);
}

void frame_tree_file(struct frame_tree *t, uint64_t b)
{
	unsigned free_n = look(t, b);

	if (free_n != 0)
		file_as(t, b, tree_class(free_n));
}

/// Blocks of one word go to the shelves of a class.
static void file_all(struct frame_tree *t, uint64_t i, uint64_t bits, unsigned class)
{
	uint64_t movable = bits & atomic_load_relaxed(&t->movable[i]);

	if (movable != 0)
		(void)shelf_add_bits(&t->shape, t->class[FRAME_GROUP_MOVABLE][class], i, movable);
	if (movable != bits)
		(void)shelf_add_bits(&t->shape, t->class[FRAME_GROUP_PINNED][class], i,
				     bits & ~movable);
}

/// Takes some of the dirty blocks of one word, and files them: an atomic for all, and one
/// for each class that they are of. Those of class 1 that are of the group wanted stay in
/// hand, if there is one. Returns: how many; 0 if no block is dirty
static unsigned sweep(struct frame_tree *t, struct frame_tree_cpu *c, struct tree_hand *hand)
{
	uint64_t class_bits[TREE_CLASSES] = { 0 }, i;
	uint64_t bits = shelf_take_bits(&t->shape, t->dirty, c->dirty_at, SWEEP_BATCH, &i);

	if (bits == 0)
		return 0;
	for (uint64_t rest = bits; rest != 0; rest &= rest - 1u)
		__builtin_prefetch(tree_block(t, i << 6 | bits_lowest(rest)));
	for (uint64_t rest = bits; rest != 0; rest &= rest - 1u) {
		unsigned free_n = look(t, i << 6 | bits_lowest(rest));

		if (free_n != 0)
			class_bits[tree_class(free_n)] |= rest & (0u - rest);
	}
	if (hand != NULL) {
		uint64_t movable = atomic_load_relaxed(&t->movable[i]);

		hand->i = i;
		hand->bits = class_bits[1] &
			     (hand->group == FRAME_GROUP_MOVABLE ? movable : ~movable);
		class_bits[1] &= ~hand->bits;
	}
	for (unsigned class = 0; class < TREE_CLASSES; class++)
		if (class_bits[class] != 0)
			file_all(t, i, class_bits[class], class);
	c->dirty_at = (i << 6 | bits_highest(bits)) + 1u;
	return bits_count(bits);
}

static uint64_t take(struct frame_tree *t, struct frame_tree_cpu *c, uint64_t *shelf)
{
	uint64_t b = TREE_NONE;

	if (!shelf_empty(&t->shape, shelf))
		b = shelf_take(&t->shape, shelf, c->class_at);
	if (b != TREE_NONE)
		c->class_at = b + 1u;
	return b;
}

/// Takes a block off a class's shelf. One that has become sparser goes where it belongs, as
/// does one with few frames, unless such are wanted. Class 1 is believed unseen: it is
/// filled and emptied all the time.
static uint64_t pick(struct frame_tree *t, struct frame_tree_cpu *c, enum frame_group group,
		     unsigned class)
{
	uint64_t b;

	while ((b = take(t, c, t->class[group][class])) != TREE_NONE && class != 1u) {
		unsigned free_n = look(t, b), is;

		if (free_n == 0)
			continue;
		is = tree_class(free_n);
		if (class == 0 || (is != 0 && is <= class))
			break;
		file_as(t, b, is);
	}
	return b;
}

/// Takes blocks of class 1 for n frames into the empty hand: off the shelf, or swept just now.
static void hand_fill(struct frame_tree *t, struct frame_tree_cpu *c, struct tree_hand *hand,
		      unsigned n)
{
	uint64_t *shelf = t->class[hand->group][1];

	if (!shelf_empty(&t->shape, shelf)) {
		hand->bits = shelf_take_bits(&t->shape, shelf, c->class_at, n / HAND_FRAMES + 1u,
					     &hand->i);
		if (hand->bits != 0)
			c->class_at = (hand->i << 6 | bits_highest(hand->bits)) + 1u;
	}
	for (unsigned looked = 0, some; hand->bits == 0 && looked < SWEEP_MOST; looked += some) {
		some = sweep(t, c, hand);
		if (some == 0)
			break;
	}
}

uint64_t frame_tree_find_dense(struct frame_tree *t, struct frame_tree_cpu *c,
			       struct tree_hand *hand, unsigned n)
{
	uint64_t b = TREE_NONE;

	hand_fill(t, c, hand, n);
	if (hand->bits != 0)
		b = tree_hand_next(hand);
	for (unsigned class = 2; class < TREE_CLASSES && b == TREE_NONE; class++)
		b = pick(t, c, hand->group, class);
	return b;
}

void frame_tree_hand_file(struct frame_tree *t, struct tree_hand *hand)
{
	(void)shelf_add_bits(&t->shape, t->class[hand->group][1], hand->i, hand->bits);
}

uint64_t frame_tree_find_any(struct frame_tree *t, struct frame_tree_cpu *c,
			     enum frame_group group)
{
	uint64_t b;

	do {
		b = TREE_NONE;
		for (unsigned class = 1; class < TREE_CLASSES && b == TREE_NONE; class++)
			b = pick(t, c, group, class);
		if (b == TREE_NONE)
			b = pick(t, c, group, 0);
	} while (b == TREE_NONE && sweep(t, c, NULL) != 0);
	return b;
}

uint64_t frame_tree_find_sparse(struct frame_tree *t, struct frame_tree_cpu *c,
				enum frame_group group, unsigned order)
{
	unsigned least = tree_class(1u << order); /* those below have fewer frames */
	uint64_t b = TREE_NONE;

	(void)sweep(t, c, NULL);
	for (unsigned class = TREE_CLASSES; class-- > least && b == TREE_NONE;)
		b = pick(t, c, group, class);
	return b;
}

/// Blocks of a level-0 word of the shelves that may have such runs. A block's free frames
/// grow only while it is dirty, so one with 2^order frames is there, or in the class of
/// 2^order or above, or held.
static uint64_t may_have(const struct frame_tree *t, unsigned order, uint64_t i)
{
	uint64_t x = atomic_load_relaxed(&t->dirty[i]);

	for (unsigned g = 0; g < FRAME_GROUPS_N; g++)
		for (unsigned class = tree_class(1u << order); class < TREE_CLASSES; class++)
			x |= atomic_load_relaxed(&t->class[g][class][i]);
	return x;
}

unsigned frame_tree_scan(struct kmm *k, struct frame_tree *t, struct frame_tree_cpu *c,
			 unsigned order, unsigned n, struct kmm_pfn *out)
{
	uint64_t words_n = t->shape.words_n[0];

	for (uint64_t tried = 0; tried < words_n; tried++) {
		uint64_t i = c->scan_at;

		for (uint64_t x = may_have(t, order, i); x != 0; x &= x - 1u) {
			uint64_t b = i << 6 | bits_lowest(x);
			unsigned got = frame_tree_block_take(k, t, b, order, n, out);

			if (got != 0)
				return got;
		}
		c->scan_at = i + 1u < words_n ? i + 1u : 0;
	}
	return 0;
}

bool frame_tree_all_empty(const struct frame_tree *t)
{
	bool empty = shelf_empty(&t->shape, t->dirty) && shelf_empty(&t->shape, t->whole);

	for (unsigned g = 0; g < FRAME_GROUPS_N && empty; g++)
		for (unsigned class = 0; class < TREE_CLASSES; class++)
			empty &= shelf_empty(&t->shape, t->class[g][class]);
	return empty;
}

unsigned frame_tree_steal(struct kmm *k, struct frame_tree *t, unsigned order, unsigned n,
			  struct kmm_pfn *out)
{
	unsigned got = 0;

	for (unsigned i = 0; i < t->cpus_n && got == 0; i++) {
		const uint32_t *held = &t->cpu[i].held[0][0];

		for (unsigned j = 0; j < TREE_USES_N * FRAME_GROUPS_N && got == 0; j++) {
			uint32_t h = atomic_load_relaxed(&held[j]);

			if (h != 0)
				got = frame_tree_block_take(k, t, h - 1u, order, n, out);
		}
	}
	return got;
}
