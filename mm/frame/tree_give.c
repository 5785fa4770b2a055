/* The tree policy: giving back, and closing blocks. */
#include "frame/run.h"
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

/// Out of line, so that the test before it is one of a bit and makes no mask.
static __attribute__((noinline)) void mark_dirty(struct frame_tree *t, uint64_t b)
{
	shelf_add(&t->shape, t->dirty, b);
}

/// See frame_tree_give. The word is read after it is written rather than from the atomic:
/// an atomic whose old value nobody wants is one instruction on most machines.
static inline void word_give(struct kmm *k, struct frame_tree *t, uint64_t pfn, uint64_t mask)
{
	uint64_t b = tree_block_of(t, pfn), *word = tree_word(t, pfn), was;

	KMM_ASSERT(k, !shelf_has(t->whole, b), "tree I2");
	was = atomic_or_seq_cst(word, mask);
	KMM_ASSERT(k, (was & mask) == 0, "tree I1");
	(void)k;
	if (atomic_load_seq_cst(word) == TREE_WORD_FULL && block_close(t, b))
		return;
	if (!shelf_has(t->dirty, b)) /* I4 */
		mark_dirty(t, b);
}

void frame_tree_give(struct kmm *k, struct frame_tree *t, uint64_t pfn, uint64_t mask)
{
	word_give(k, t, pfn, mask);
}

/// How many of in[0..n) follow each other from the first on inside one word, up or down.
static unsigned neighbours(const struct kmm_pfn *in, unsigned n, bool up)
{
	unsigned bit = (unsigned)in[0].n & 63u, most = up ? 64u - bit : bit + 1u;

	most = most < n ? most : n;
	return up ? run_length(in, most, 1u) : run_length(in, most, ~0ull);
}

/// Gives those of in[], n > 1, back together that from the first on lie in one word. Returns:
/// how many. Neighbours, which most frees of many are, are only compared.
static __attribute__((noinline)) unsigned word_release(struct kmm *k, struct frame_tree *t,
						       const struct kmm_pfn *in, unsigned n)
{
	uint64_t word = in[0].n >> TREE_WORD_LG2, mask = shelf_bit(in[0].n);
	bool up = in[1].n == in[0].n + 1u;
	unsigned len = 1;

	if (up || in[1].n == in[0].n - 1u) {
		len = neighbours(in, n, up);
		mask = bits_mask(len) << (in[up ? 0 : len - 1u].n & 63u);
	}
	for (; len < n && in[len].n >> TREE_WORD_LG2 == word; len++) {
		KMM_ASSERT(k, (mask & shelf_bit(in[len].n)) == 0, "tree I1");
		mask |= shelf_bit(in[len].n);
	}
	word_give(k, t, in[0].n, mask);
	return len;
}

/// Single frames; those of one word that follow each other in in[] go back together.
static void release_frames(struct kmm *k, struct frame_tree *t, unsigned n,
			   const struct kmm_pfn *in)
{
	for (unsigned len; n != 0; n -= len, in += len) {
		uint64_t pfn = in->n;

		KMM_ASSERT(k, pfn >= t->base && pfn < t->end, "tree: its span");
		if (n > PREFETCH_AHEAD)
			__builtin_prefetch(tree_word(t, in[PREFETCH_AHEAD].n), 1);
		if (n > 1u && (in[1].n ^ pfn) >> TREE_WORD_LG2 == 0) {
			len = word_release(k, t, in, n);
			continue;
		}
		word_give(k, t, pfn, shelf_bit(pfn));
		len = 1;
	}
}

/// A run of 2^order frames, 0 < order <= 8.
static void release_run(struct kmm *k, struct frame_tree *t, unsigned order, struct kmm_pfn pfn)
{
	KMM_ASSERT(k, bits_aligned(pfn.n, 1ull << order), "tree: a block is aligned");
	KMM_ASSERT(k, pfn.n >= t->base && pfn.n + (1ull << order) <= t->end, "tree: its span");
	if (order <= TREE_WORD_LG2) {
		word_give(k, t, pfn.n, bits_mask(1u << order) << (pfn.n & 63u));
		return;
	}
	for (uint64_t at = pfn.n; at < pfn.n + (1ull << order); at += 64u)
		frame_tree_give(k, t, at, TREE_WORD_FULL);
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
