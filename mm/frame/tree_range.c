/* The tree policy: by range of frames rather than by what is free. */
#include "frame/tree.h"

/// Bits of [pfn, end) in the word that pfn lies in; *n = how many.
static uint64_t word_part(uint64_t pfn, uint64_t end, uint64_t *n)
{
	*n = 64u - (pfn & 63u);
	if (*n > end - pfn)
		*n = end - pfn;
	return bits_mask((unsigned)*n) << (pfn & 63u);
}

/* ---- handing over ---- */

static void add_frames(struct kmm *k, struct frame_tree *t, uint64_t pfn, uint64_t end)
{
	uint64_t n;

	for (; pfn < end; pfn += n) {
		uint64_t mask = word_part(pfn, end, &n);

		frame_tree_give(k, t, pfn, mask);
	}
}

static void add_blocks(struct kmm *k, struct frame_tree *t, uint64_t b, uint64_t end)
{
	uint64_t n;

	for (; b < end; b += n) {
		uint64_t mask = word_part(b, end, &n);
		uint64_t was = shelf_add_bits(&t->shape, t->whole, b >> 6, mask);

		KMM_ASSERT(k, (was & mask) == 0, "tree I1");
		(void)was;
		(void)atomic_add_relaxed(&t->whole_n, n);
	}
}

void frame_tree_add_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct frame_tree *t = state;
	uint64_t end = pfn.n + n;
	uint64_t first = bits_align_up(pfn.n, TREE_BLOCK_FRAMES);
	uint64_t last = bits_align_down(end, TREE_BLOCK_FRAMES);

	KMM_ASSERT(k, pfn.n >= t->base && end <= t->end, "tree: its span");
	if (first >= last) {
		add_frames(k, t, pfn.n, end);
		return;
	}
	add_frames(k, t, pfn.n, first);
	add_blocks(k, t, tree_block_of(t, first), tree_block_of(t, last));
	add_frames(k, t, last, end);
}

/* ---- looking ---- */

/// Free frames of the word that pfn lies in, from pfn on, as the lowest bits.
static uint64_t free_from(const struct frame_tree *t, uint64_t pfn)
{
	uint64_t x = shelf_has(t->whole, tree_block_of(t, pfn)) ?
			     TREE_WORD_FULL : atomic_load_relaxed(tree_word(t, pfn));

	return x >> (pfn & 63u);
}

bool frame_tree_next_run(struct kmm *k, const void *state, uint64_t from, uint64_t to,
			 struct frame_run *run)
{
	const struct frame_tree *t = state;
	uint64_t pfn = from > t->base ? from : t->base, end = to < t->end ? to : t->end, x = 0;

	(void)k;
	for (; pfn < end; pfn = (pfn | 63u) + 1u) {
		x = free_from(t, pfn);
		if (x != 0)
			break;
	}
	if (x == 0 || pfn + bits_lowest(x) >= end)
		return false;
	pfn += bits_lowest(x);
	run->pfn = pfn;
	/* The first word isn't read again: the run has a frame whatever happens to it. */
	for (x >>= bits_lowest(x);; x = free_from(t, pfn)) {
		uint64_t n = 64u - (pfn & 63u);

		if (~x != 0 && bits_lowest(~x) < n && pfn + bits_lowest(~x) < end)
			end = pfn + bits_lowest(~x);
		pfn += n;
		if (pfn >= end)
			break;
	}
	run->n = end - run->pfn;
	return true;
}

/* ---- taking by range ---- */

static void isolate(struct kmm *k, uint64_t pfn, uint64_t bits)
{
	for (; bits != 0; bits &= bits - 1u)
		frame_tag_set(k, (struct kmm_pfn){ pfn + bits_lowest(bits) }, FRAME_ISOLATED);
}

/// Frames of [pfn, end), all in one block, from a whole one.
static bool take_whole(struct kmm *k, struct frame_tree *t, uint64_t pfn, uint64_t end)
{
	uint64_t b = tree_block_of(t, pfn), at = tree_block_pfn(t, b), n;

	if (!shelf_has(t->whole, b) || !tree_whole_remove(t, b))
		return false;
	for (uint64_t i = pfn; i < end; i++)
		frame_tag_set(k, (struct kmm_pfn){ i }, FRAME_ISOLATED);
	if (end - pfn == TREE_BLOCK_FRAMES)
		return true;
	for (uint64_t stop = at + TREE_BLOCK_FRAMES; at < stop; at += 64u) {
		uint64_t rest = TREE_WORD_FULL;

		if (at + 64u > pfn && at < end)
			rest &= ~word_part(at > pfn ? at : pfn, end, &n);
		if (rest != 0)
			atomic_store_release(tree_word(t, at), rest);
	}
	/* Always an atomic: a mark that is there may be from before the words. */
	shelf_add(&t->shape, t->dirty, b);
	return true;
}

/// The same from its words. Returns: how many
static uint64_t take_words(struct kmm *k, struct frame_tree *t, uint64_t pfn, uint64_t end)
{
	uint64_t got = 0, n;

	for (; pfn < end; pfn += n) {
		uint64_t mask = word_part(pfn, end, &n), *word = tree_word(t, pfn);
		uint64_t x = atomic_load_relaxed(word);

		if ((x & mask) == 0)
			continue;
		x = atomic_and_seq_cst(word, ~mask) & mask;
		isolate(k, pfn & ~63ull, x);
		got += bits_count(x);
	}
	return got;
}

uint64_t frame_tree_claim_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct frame_tree *t = state;
	uint64_t at = pfn.n > t->base ? pfn.n : t->base, end = pfn.n + n, got = 0, stop;

	end = end < t->end ? end : t->end;
	for (; at < end; at = stop) {
		stop = bits_align_down(at, TREE_BLOCK_FRAMES) + TREE_BLOCK_FRAMES;
		stop = stop < end ? stop : end;
		if (take_whole(k, t, at, stop)) {
			got += stop - at;
			continue;
		}
		got += take_words(k, t, at, stop);
		if (take_whole(k, t, at, stop)) /* closed meanwhile */
			got += stop - at;
	}
	return got;
}
