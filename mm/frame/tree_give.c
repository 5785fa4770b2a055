/* The tree policy: giving back, and closing blocks. */
#include "frame/tree.h"

#define PREFETCH_AHEAD 8u

static bool block_full(const struct frame_tree_block *block)
{
	for (unsigned i = 0; i < TREE_BLOCK_WORDS; i++)
		if (atomic_load_seq_cst(&block->word[i]) != TREE_WORD_FULL)
			return false;
	return true;
}

/// Takes eight words that were seen full. If one isn't any more, the others go back.
static bool block_take_all(struct frame_tree_block *block)
{
	unsigned i = 0;

	for (; i < TREE_BLOCK_WORDS; i++) {
		uint64_t full = TREE_WORD_FULL;

		if (!atomic_cas_acq_rel(&block->word[i], &full, 0u))
			break;
	}
	if (i == TREE_BLOCK_WORDS)
		return true;
	while (i-- != 0)
		(void)atomic_or_seq_cst(&block->word[i], TREE_WORD_FULL);
	return false;
}

/// I3: the caller has completed a word. Returns: is the block whole now?
static bool block_close(struct frame_tree *t, uint64_t b)
{
	struct frame_tree_block *block = tree_block(t, b);

	/* Once more after a failure: another may have given the missing frames back, and
	 * seen the words that were taken here for the while. */
	while (block_full(block)) {
		if (!block_take_all(block))
			continue;
		/* Nobody else owns a frame of it, so nobody who releases one now relies on the
		 * dirty bit. */
		if (shelf_has(t->dirty, b))
			(void)shelf_remove(t->dirty, b);
		tree_whole_add(t, b);
		return true;
	}
	return false;
}

void frame_tree_give(struct kmm *k, struct frame_tree *t, uint64_t b, unsigned i, uint64_t mask)
{
	uint64_t was;

	KMM_ASSERT(k, !shelf_has(t->whole, b), "tree I2");
	was = atomic_or_seq_cst(&tree_block(t, b)->word[i], mask);
	KMM_ASSERT(k, (was & mask) == 0, "tree I1");
	(void)k;
	if ((was | mask) == TREE_WORD_FULL && block_close(t, b))
		return;
	if (!shelf_has(t->dirty, b)) /* I4 */
		shelf_add(&t->shape, t->dirty, b);
}

/// How many of in[0..n), n > 1, follow each other from the first on inside one word, by this
/// step, 1 or -1.
static unsigned neighbours(const struct kmm_pfn *in, unsigned n, uint64_t step)
{
	unsigned bit = (unsigned)in[0].n & 63u, most = step == 1u ? 64u - bit : bit + 1u, len = 2;

	most = most < n ? most : n;
	for (uint64_t next = in[1].n + step; len < most && in[len].n == next; next += step)
		len++;
	return len;
}

/// How many of in[] from the first on lie in one word; *mask = their bits. Neighbours, up
/// or down, which most frees of many are, are only compared.
static unsigned word_gather(struct kmm *k, const struct kmm_pfn *in, unsigned n, uint64_t *mask)
{
	uint64_t word = in[0].n >> TREE_WORD_LG2, step;
	unsigned len = 1;

	*mask = shelf_bit(in[0].n);
	if (n == 1u || in[1].n >> TREE_WORD_LG2 != word)
		return 1;
	step = in[1].n - in[0].n;
	if (step == 1u || step == ~0ull) {
		len = neighbours(in, n, step);
		*mask = bits_mask(len) << (in[step == 1u ? 0 : len - 1u].n & 63u);
	}
	for (; len < n && in[len].n >> TREE_WORD_LG2 == word; len++) {
		KMM_ASSERT(k, (*mask & shelf_bit(in[len].n)) == 0, "tree I1");
		*mask |= shelf_bit(in[len].n);
	}
	(void)k;
	return len;
}

/// Single frames; those of one word that follow each other in in[] go back together.
static void release_frames(struct kmm *k, struct frame_tree *t, unsigned n,
			   const struct kmm_pfn *in)
{
	for (unsigned i = 0, len; i < n; i += len) {
		uint64_t word = in[i].n >> TREE_WORD_LG2, mask;

		if (i + PREFETCH_AHEAD < n) {
			uint64_t next = in[i + PREFETCH_AHEAD].n;

			__builtin_prefetch(tree_block(t, tree_block_of(t, next)), 1);
		}
		KMM_ASSERT(k, in[i].n >= t->base && in[i].n < t->end, "tree: its span");
		len = word_gather(k, in + i, n - i, &mask);
		frame_tree_give(k, t, (word >> 3) - t->block0, word & 7u, mask);
	}
}

/// A run of 2^order frames, 0 < order <= 8.
static void release_run(struct kmm *k, struct frame_tree *t, unsigned order, struct kmm_pfn pfn)
{
	uint64_t b = tree_block_of(t, pfn.n);
	unsigned i = (unsigned)(pfn.n >> TREE_WORD_LG2) & (TREE_BLOCK_WORDS - 1u);

	KMM_ASSERT(k, bits_aligned(pfn.n, 1ull << order), "tree: a block is aligned");
	KMM_ASSERT(k, pfn.n >= t->base && pfn.n + (1ull << order) <= t->end, "tree: its span");
	if (order <= TREE_WORD_LG2) {
		frame_tree_give(k, t, b, i, bits_mask(1u << order) << (pfn.n & 63u));
		return;
	}
	for (unsigned end = i + (1u << (order - TREE_WORD_LG2)); i < end; i++)
		frame_tree_give(k, t, b, i, TREE_WORD_FULL);
}

void frame_tree_release(struct kmm *k, void *state, unsigned order, unsigned n,
			const struct kmm_pfn *in)
{
	struct frame_tree *t = state;

	if (order == 0)
		release_frames(k, t, n, in);
	else if (order >= TREE_BLOCK_LG2)
		frame_tree_release_whole(k, t, order, n, in);
	else
		for (unsigned i = 0; i < n; i++)
			release_run(k, t, order, in[i]);
}
