/* The tree policy: its invariants, walked. */
#include "frame/tree.h"

/// I1 for the frames of a word.
static enum kmm_error check_frames(struct kmm *k, const struct frame_tree *t, uint64_t pfn,
				   uint64_t bits)
{
	for (; bits != 0; bits &= bits - 1u) {
		struct kmm_pfn f = { pfn + bits_lowest(bits) };

		if (f.n < t->base || f.n >= t->end)
			return frame_broken(k, "tree I1: bit outside the span", f.n);
		if (frame_kind(k, f) != FRAME_NONE)
			return frame_broken(k, "tree I1: free frame is tagged", f.n);
	}
	return KMM_OK;
}

static bool found_by_hints(const struct frame_tree *t, uint64_t b)
{
	bool found = shelf_has(t->dirty, b);

	for (unsigned g = 0; g < FRAME_GROUPS_N && !found; g++)
		for (unsigned class = 0; class < TREE_CLASSES; class++)
			found |= shelf_has(t->class[g][class], b);
	for (unsigned i = 0; i < t->cpus_n && !found; i++)
		for (unsigned use = 0; use < TREE_USES_N; use++)
			for (unsigned g = 0; g < FRAME_GROUPS_N; g++)
				found |= atomic_load_relaxed(&t->cpu[i].held[use][g]) == b + 1u;
	return found;
}

/// I1 to I4 for a block; its free frames go to *free_n.
static enum kmm_error check_block(struct kmm *k, const struct frame_tree *t, uint64_t b,
				  uint64_t *free_n)
{
	bool whole = shelf_has(t->whole, b), any = false, all = true;
	uint64_t pfn = tree_block_pfn(t, b);

	for (unsigned i = 0; i < TREE_BLOCK_WORDS; i++, pfn += 64u) {
		uint64_t x = atomic_load_relaxed(&tree_block(t, b)->word[i]);
		enum kmm_error e;

		if (whole && x != 0)
			return frame_broken(k, "tree I2: whole block has free frames twice", pfn);
		any |= x != 0;
		all &= x == TREE_WORD_FULL;
		x = whole ? TREE_WORD_FULL : x;
		e = check_frames(k, t, pfn, x);
		if (e != KMM_OK)
			return e;
		*free_n += bits_count(x);
	}
	if (all)
		return frame_broken(k, "tree I3: full block isn't whole", pfn - TREE_BLOCK_FRAMES);
	if (any && !found_by_hints(t, b))
		return frame_broken(k, "tree I4: block isn't found", pfn - TREE_BLOCK_FRAMES);
	return KMM_OK;
}

static enum kmm_error check_shelf(struct kmm *k, const struct frame_tree *t,
				  const uint64_t *shelf)
{
	uint64_t at = shelf_check(&t->shape, shelf);

	if (at != SHELF_NONE)
		return frame_broken(k, "tree I5: shelf misses a word", tree_block_pfn(t, at << 6));
	for (uint64_t b = 0; b < t->shape.words_n[0] << 6; b++)
		if ((b < t->lead || b >= t->blocks_end) && shelf_has(shelf, b))
			return frame_broken(k, "tree I5: no such block", tree_block_pfn(t, b));
	return KMM_OK;
}

enum kmm_error frame_tree_check(struct kmm *k, void *state, uint64_t *free_n)
{
	const struct frame_tree *t = state;
	enum kmm_error e = check_shelf(k, t, t->whole);
	uint64_t whole_n = 0;

	*free_n = 0;
	for (uint64_t i = 0; i < t->shape.words_n[0]; i++)
		whole_n += bits_count(t->whole[i]);
	if (e == KMM_OK && whole_n != t->whole_n)
		return frame_broken(k, "tree I6: count of whole blocks", t->base);
	if (e == KMM_OK)
		e = check_shelf(k, t, t->dirty);
	for (unsigned g = 0; g < FRAME_GROUPS_N; g++)
		for (unsigned class = 0; class < TREE_CLASSES && e == KMM_OK; class++)
			e = check_shelf(k, t, t->class[g][class]);
	for (uint64_t b = t->lead; b < t->blocks_end && e == KMM_OK; b++)
		e = check_block(k, t, b, free_n);
	return e;
}
