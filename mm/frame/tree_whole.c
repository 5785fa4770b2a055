/* The tree policy: wholly free blocks, of which 64 are a word. */
#include "frame/tree.h"

#define PLENTY_STEPS 32u /* words looked at */

bool frame_tree_whole_plenty(const struct frame_tree *t, const struct frame_tree_cpu *c)
{
	uint64_t n = 0, i = c->whole_at;
	unsigned steps = PLENTY_STEPS;

	for (; steps != 0 && n < t->plenty_n; steps--, i++) {
		i = shelf_seek(&t->shape, t->whole, i);
		if (i == TREE_NONE)
			break;
		n += bits_count(atomic_load_relaxed(&t->whole[i]));
	}
	for (i = 0; steps != 0 && n < t->plenty_n; steps--, i++) {
		i = shelf_seek(&t->shape, t->whole, i);
		if (i >= c->whole_at)
			break;
		n += bits_count(atomic_load_relaxed(&t->whole[i]));
	}
	return n >= t->plenty_n;
}

/// Takes up to n whole blocks of one word. Returns: their bits; *i = the word's index
static uint64_t take_bits(struct frame_tree *t, struct frame_tree_cpu *c, unsigned n, uint64_t *i)
{
	for (;;) {
		uint64_t bits;

		*i = c->whole_at;
		bits = atomic_load_relaxed(&t->whole[*i]);
		if (bits == 0) {
			*i = shelf_seek_round(&t->shape, t->whole, *i);
			if (*i == TREE_NONE)
				return 0;
			c->whole_at = *i;
			bits = atomic_load_relaxed(&t->whole[*i]);
		}
		bits = bits_first(bits, n);
		if (bits != 0)
			bits &= atomic_and_seq_cst(&t->whole[*i], ~bits);
		if (bits != 0)
			return bits;
	}
}

static void group_set(struct frame_tree *t, uint64_t b, enum frame_group group)
{
	if (tree_group(t, b) == group)
		return;
	if (group == FRAME_GROUP_MOVABLE)
		(void)atomic_or_acq_rel(&t->movable[b >> 6], shelf_bit(b));
	else
		(void)atomic_and_acq_rel(&t->movable[b >> 6], ~shelf_bit(b));
}

unsigned frame_tree_open(struct frame_tree *t, struct frame_tree_cpu *c, unsigned order,
			 enum frame_group group, unsigned n, struct kmm_pfn *out, uint64_t *b)
{
	unsigned most = TREE_BLOCK_FRAMES >> order, got = n < most ? n : most;
	unsigned frames = got << order;
	uint64_t i, bits = take_bits(t, c, 1u, &i), pfn;

	if (bits == 0)
		return 0;
	(void)atomic_add_relaxed(&t->whole_n, ~0ull);
	*b = i << 6 | bits_lowest(bits);
	group_set(t, *b, group);
	pfn = tree_block_pfn(t, *b);
	if (order == 0)
		tree_note_run(pfn, got, out);
	else
		for (unsigned j = 0; j < got; j++)
			out[j].n = pfn + ((uint64_t)j << order);
	/* All frames are ours: nobody else touches a word before it is stored. */
	for (unsigned w = frames / 64u; w < TREE_BLOCK_WORDS; w++)
		atomic_store_release(&tree_block(t, *b)->word[w],
				     w == frames / 64u ? TREE_WORD_FULL << (frames & 63u) :
							 TREE_WORD_FULL);
	return got;
}

/* ---- orders 9 and more ---- */

static uint64_t word_pfn(const struct frame_tree *t, uint64_t i)
{
	return tree_block_pfn(t, i << 6);
}

static unsigned claim_blocks(struct frame_tree *t, struct frame_tree_cpu *c, unsigned n,
			     struct kmm_pfn *out)
{
	unsigned got = 0;

	while (got < n) {
		uint64_t i, bits = take_bits(t, c, n - got, &i), first;

		if (bits == 0)
			break;
		first = word_pfn(t, i);
		for (; bits != 0; bits &= bits - 1u)
			out[got++].n = first + ((uint64_t)bits_lowest(bits) << TREE_BLOCK_LG2);
	}
	return got;
}

/// Runs of blocks inside a word of `whole`: orders 10 to 15.
static unsigned claim_block_runs(struct frame_tree *t, unsigned order, unsigned n,
				 struct kmm_pfn *out)
{
	unsigned lg2 = order - TREE_BLOCK_LG2, got = 0;
	uint64_t run = bits_mask(1u << lg2), i = 0;

	for (; got < n && (i = shelf_seek(&t->shape, t->whole, i)) != TREE_NONE; i++) {
		uint64_t x = atomic_load_relaxed(&t->whole[i]), starts;

		do
			starts = bits_first(bits_runs(x, lg2), n - got);
		while (starts != 0 && !atomic_cas_acq_rel(&t->whole[i], &x, x & ~(starts * run)));
		for (; starts != 0; starts &= starts - 1u)
			out[got++].n = word_pfn(t, i) +
				       ((uint64_t)bits_lowest(starts) << TREE_BLOCK_LG2);
	}
	return got;
}

/// Takes `len` full words of `whole` from i on, or nothing.
static bool whole_words_take(struct frame_tree *t, uint64_t i, uint64_t len)
{
	uint64_t at = i;

	while (at < i + len && atomic_load_relaxed(&t->whole[at]) == TREE_WORD_FULL)
		at++;
	if (at != i + len)
		return false;
	for (at = i; at < i + len; at++) {
		uint64_t full = TREE_WORD_FULL;

		if (!atomic_cas_acq_rel(&t->whole[at], &full, 0u))
			break;
	}
	if (at == i + len)
		return true;
	while (at-- != i)
		(void)shelf_add_bits(&t->shape, t->whole, at, TREE_WORD_FULL);
	return false;
}

/// Several words of `whole`: orders 16 and more.
static unsigned claim_words(struct frame_tree *t, unsigned order, unsigned n, struct kmm_pfn *out)
{
	uint64_t len = 1ull << (order - TREE_WHOLE_LG2), word0 = t->block0 >> 6;
	uint64_t i = bits_align_up(word0, len) - word0;
	unsigned got = 0;

	for (; got < n && i + len <= t->shape.words_n[0]; i += len)
		if (whole_words_take(t, i, len))
			out[got++].n = word_pfn(t, i);
	return got;
}

unsigned frame_tree_claim_whole(struct frame_tree *t, struct frame_tree_cpu *c, unsigned order,
				unsigned n, struct kmm_pfn *out)
{
	unsigned got = order == TREE_BLOCK_LG2 ? claim_blocks(t, c, n, out) :
		       order <= TREE_WHOLE_LG2 ? claim_block_runs(t, order, n, out) :
						 claim_words(t, order, n, out);

	if (got != 0)
		(void)atomic_sub_acq_rel(&t->whole_n, (uint64_t)got << (order - TREE_BLOCK_LG2));
	return got;
}

/// Blocks of one word of `whole` come back.
static void whole_give(struct kmm *k, struct frame_tree *t, uint64_t i, uint64_t bits)
{
	uint64_t was = shelf_add_bits(&t->shape, t->whole, i, bits);

	KMM_ASSERT(k, (was & bits) == 0, "tree I1");
	(void)k;
	(void)was;
}

void frame_tree_release_whole(struct kmm *k, struct frame_tree *t, unsigned order, unsigned n,
			      const struct kmm_pfn *in)
{
	uint64_t run = order < TREE_WHOLE_LG2 ? bits_mask(1u << (order - TREE_BLOCK_LG2)) :
						TREE_WORD_FULL;

	(void)atomic_add_relaxed(&t->whole_n, (uint64_t)n << (order - TREE_BLOCK_LG2));
	for (unsigned j = 0; j < n;) {
		uint64_t first = in[j].n, i = tree_block_of(t, first) >> 6, bits = 0;

		KMM_ASSERT(k, bits_aligned(in[j].n, 1ull << order), "tree: a block is aligned");
		KMM_ASSERT(k, in[j].n >= t->base && in[j].n + (1ull << order) <= t->end,
			   "tree: its span");
		if (order > TREE_WHOLE_LG2) {
			for (uint64_t at = i; at < i + (1ull << (order - TREE_WHOLE_LG2)); at++)
				whole_give(k, t, at, TREE_WORD_FULL);
			j++;
			continue;
		}
		do /* block 0 begins a word in frame numbers too */
			bits |= run << (in[j].n >> TREE_BLOCK_LG2 & 63u);
		while (++j < n && (in[j].n ^ first) >> TREE_WHOLE_LG2 == 0);
		whole_give(k, t, i, bits);
	}
}
