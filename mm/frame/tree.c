/// Tree policy: lock-free, a word of frames or a block of them with one atomic.
///
/// Memory is cut into blocks of 512 frames, 2 MiB. A block has eight words, a cache line,
/// with a bit a frame: set = free, and claimable here. A block that is free from end to
/// end is claimable in one place only, which isn't its words but its bit in `whole`; so
/// 2 MiB, or 64 of them, are claimed and released by one atomic. Words begin at multiples of
/// 64 frame numbers, blocks at multiples of 512, words of `whole` at multiples of 32768,
/// wherever the span begins: alignment in the maps is alignment in memory. Bits of
/// frames that were never handed over are clear for ever, and blocks with such frames
/// never whole.
///
/// Whoever clears a bit owns the frame; nothing else says who does.
///   claim     an order up to 6 clears bits of a word by compare-and-swap; 7 and 8 clear
///             two or four full words one after another, and give them back if one isn't
///             full any more; 9 to 15 clear bits of a word of `whole`; larger ones several
///             such words, as 7 and 8 do.
///   open      clears a block's bit in `whole`: the words are zero, and all frames the
///             opener's. It stores what it doesn't hand out into the words.
///   release   sets bits. Who then finds the word complete, and the other seven, closes
///             the block:
///   close     clears all eight words, if they are full still, and sets the bit in `whole`.
///
/// Where to search: shelves (shelf.h) over blocks. `dirty` has blocks that frames were
/// released into since somebody looked at them; a release sets a bit only if it is clear.
/// A search looks at a few dirty blocks, round and round, so that each has gathered
/// several frames by its turn, and files them by density: 1 to 5 free frames, to 31, to 63,
/// to 127, to 255, and more. Single frames come from the densest blocks with at least 6,
/// so that sparse ones empty out and become whole; blocks with fewer are left to gather
/// more while there are plenty of whole ones. A claim takes several of the densest into its
/// hand, off their shelf with one atomic or as its search comes by them, empties one after
/// the other, and files those that it didn't need. Runs (orders 1 to 8) come from sparse
/// blocks. Each CPU holds the blocks it claims from, one for single frames and one for runs
/// of each group, off the shelves. All of this is hints: wrong ones cost a look. Blocks of
/// movable and of pinned frames are held and filed apart; the group is that of the claim
/// that opened the block.
///
/// Invariants, when nothing runs
///   I1  a set bit, and each frame of a whole block, is a frame that was handed over and is
///       free; its tag is FRAME_NONE, FRAME_ZEROED beside it or not;
///   I2  a whole block's words are zero;
///   I3  no block has eight full words;
///   I4  a block with a set bit is dirty, on a class's shelf, or held by a CPU;
///   I5  the shelves' levels agree (shelf.h S1);
///   I6  whole_n is the number of bits in `whole`.
/// While something runs, I1 and I2 hold too, and a frame that is free but found nowhere
/// is in the hands of a CPU between two steps.
///
/// Orders of memory. Who releases a frame has written to it: the atomics that set bits
/// release, those that clear them acquire, and an opener, who stores words plainly
/// (release), has acquired all of the block from `whole`. Its words are its own
/// until then: who sets a bit owned the frame, who clears one saw it set. The rest is
/// two arguments of the form 'both write, then both read, so one sees the other', which
/// need sequential consistency of both writes and both reads:
///   I3  a release sets bits, then reads its word and, if that is complete, all eight. Of
///       those that complete a block the last one sees it complete; or somebody has cleared
///       bits, and will set them again: a claimer by a release, a failing closer at once,
///       and both look again.
///   I4  a release sets a bit, then reads the block's dirty bit; a search clears the
///       dirty bit, then reads the words. Either the release finds it clear, and sets it,
///       or the search finds the frame, and takes it or files the block. The same holds
///       for a class's shelf, whose bits are set and cleared by atomics only: who takes a
///       block off a shelf has acquired what was known of its words by whoever put it there.
///
/// Locking: none. A CPU that stops between two steps hides at most the words it clears, or
/// the blocks it has in hand, 16 at most; no other CPU waits for it.
///
/// Failure: a claim that finds too few returns fewer. When nothing else runs it finds what
/// there is: single frames by emptying the shelves, runs by a scan of all blocks that may
/// have one, which is O(blocks), and happens only when no block is whole and the shelves
/// aren't empty.
///
/// Limits, with interrupts off: when few blocks are whole, a claim of a single frame may
/// look at all dirty blocks, each once for each time that it was released into. An order
/// above 9 is searched in O(words of `whole` that aren't zero), one above 15 in O(words of
/// `whole`).
///
/// Sources: Wrenger, Rommel, Halbuer, Dietrich, Lohmann: LLFree, USENIX ATC 2023 (bits
/// in cache lines, whole blocks apart, trees by density; its counters and entries have no
/// counterpart here). Warren, Hacker's Delight 6-2 (runs of set bits).
#include "frame/tree.h"

#define RUN_TRIES 4u /* blocks looked at before another is opened */
#define PLENTY_MAX 33u /* whole blocks; in small memories 1 in 64, and one */

static uint64_t shelf_offset(const struct shelf_shape *sh, unsigned i, unsigned cpus_n)
{
	return sizeof(struct frame_tree) + cpus_n * sizeof(struct frame_tree_cpu) + i * sh->bytes;
}

/// Shelves: whole, dirty, the classes; and one of the size of a shelf for the groups.
#define SHELVES_N (3u + FRAME_GROUPS_N * TREE_CLASSES)

static uint64_t meta_bytes(uint64_t n, unsigned cpus_n)
{
	/* The base may cut a block, and be the last of 64 blocks. */
	uint64_t blocks = (n >> TREE_BLOCK_LG2) + 2u;
	struct shelf_shape sh;

	shelf_shape_make(&sh, blocks + 63u);
	return bits_align_up(shelf_offset(&sh, SHELVES_N, cpus_n), 64u) +
	       blocks * sizeof(struct frame_tree_block);
}

static void init_cpus(struct frame_tree *t)
{
	uint64_t blocks_n = t->blocks_end - t->lead, share = blocks_n / t->cpus_n;

	/* CPUs begin apart, and so meet in fewer cache lines. */
	for (unsigned i = 0; i < t->cpus_n; i++) {
		struct frame_tree_cpu *c = &t->cpu[i];

		c->class_at = c->dirty_at = t->lead + i * share;
		c->whole_at = c->scan_at = c->class_at >> 6;
	}
}

static uint64_t *lay(struct frame_tree *t, unsigned i)
{
	return (void *)((char *)t + shelf_offset(&t->shape, i, t->cpus_n));
}

static void *init(struct kmm *k, void *meta, uint64_t base, uint64_t n)
{
	struct frame_tree *t = meta;
	unsigned i = 0;

	t->base = base;
	t->end = base + n;
	t->block0 = bits_align_down(base >> TREE_BLOCK_LG2, 64u);
	t->lead = tree_block_of(t, base);
	t->blocks_end = tree_block_of(t, t->end - 1u) + 1u;
	t->plenty_n = (t->blocks_end - t->lead) >> 6;
	t->plenty_n = t->plenty_n < PLENTY_MAX ? t->plenty_n + 1u : PLENTY_MAX;
	t->cpus_n = k->cpus_n;
	shelf_shape_make(&t->shape, t->blocks_end);
	t->whole = lay(t, i++);
	t->dirty = lay(t, i++);
	t->movable = lay(t, i++);
	for (unsigned g = 0; g < FRAME_GROUPS_N; g++)
		for (unsigned class = 0; class < TREE_CLASSES; class++)
			t->class[g][class] = lay(t, i++);
	t->block = (void *)lay(t, i);
	t->words = (uintptr_t)t->block - (t->block0 + t->lead) * sizeof(struct frame_tree_block);
	init_cpus(t);
	return t;
}

/* ---- taking ---- */

/// Writes down the numbers of the n bits set. Many are one run, as a rule. Pre: n != 0
static inline void note(uint64_t bits, uint64_t pfn, unsigned n, struct kmm_pfn *out)
{
	unsigned low = n < 8u ? 0 : bits_lowest(bits);

	if (n >= 8u && bits >> low == bits_mask(n)) {
		tree_note_run(pfn + low, n, out);
		return;
	}
	do
		(out++)->n = pfn + bits_lowest(bits);
	while ((bits &= bits - 1u) != 0);
}

/// Up to n runs of 2^order frames from one word, order <= 6.
static unsigned word_take(uint64_t *word, uint64_t pfn, unsigned order, unsigned n,
			  struct kmm_pfn *out)
{
	uint64_t x = atomic_load_relaxed(word), starts, taken;
	unsigned got;

	do {
		starts = bits_first(order == 0 ? x : bits_runs(x, order), n);
		if (starts == 0)
			return 0;
		taken = starts * bits_mask(1u << order); /* runs don't overlap */
	} while (!atomic_cas_acq_rel(word, &x, x & ~taken));
	got = bits_count(starts);
	note(starts, pfn, got, out);
	return got;
}

/// Up to n single frames from a block's words: all that a word has, as a rule.
static unsigned block_take_frames(struct frame_tree *t, uint64_t b, unsigned n,
				  struct kmm_pfn *out)
{
	uint64_t *word = tree_block(t, b)->word, *end = word + TREE_BLOCK_WORDS;
	uint64_t pfn = tree_block_pfn(t, b);
	unsigned left = n;

	for (; word < end && left != 0; word++, pfn += 64u) {
		uint64_t x = atomic_load_relaxed(word);
		unsigned have;

		if (x == 0)
			continue;
		have = bits_count(x);
		if (have <= left && atomic_cas_acq_rel(word, &x, 0u))
			note(x, pfn, have, out);
		else
			have = word_take(word, pfn, 0, left, out);
		out += have;
		left -= have;
	}
	return n - left;
}

/// Takes `len` full words from i on, or nothing.
static bool words_take(struct kmm *k, struct frame_tree *t, uint64_t b, unsigned i, unsigned len)
{
	struct frame_tree_block *block = tree_block(t, b);
	unsigned at = i;

	while (at < i + len && atomic_load_relaxed(&block->word[at]) == TREE_WORD_FULL)
		at++;
	if (at != i + len)
		return false;
	for (at = i; at < i + len; at++) {
		uint64_t full = TREE_WORD_FULL;

		if (!atomic_cas_acq_rel(&block->word[at], &full, 0u))
			break;
	}
	if (at == i + len)
		return true;
	while (at-- != i)
		frame_tree_give(k, t, tree_block_pfn(t, b) + at * 64u, TREE_WORD_FULL);
	return false;
}

unsigned frame_tree_block_take(struct kmm *k, struct frame_tree *t, uint64_t b, unsigned order,
			       unsigned n, struct kmm_pfn *out)
{
	struct frame_tree_block *block = tree_block(t, b);
	uint64_t pfn = tree_block_pfn(t, b);
	unsigned got = 0, len = order <= TREE_WORD_LG2 ? 1u : 1u << (order - TREE_WORD_LG2);

	if (order == 0)
		return block_take_frames(t, b, n, out);
	for (unsigned i = 0; i < TREE_BLOCK_WORDS && got < n; i += len, pfn += len * 64u) {
		if (order > TREE_WORD_LG2) {
			if (words_take(k, t, b, i, len))
				out[got++].n = pfn;
		} else if (atomic_load_relaxed(&block->word[i]) != 0) {
			got += word_take(&block->word[i], pfn, order, n - got, out + got);
		}
	}
	return got;
}

static void hold(uint32_t *held, uint64_t b)
{
	atomic_store_relaxed(held, (uint32_t)(b + 1u));
}

/// A block with single frames; or frames of a whole one that was opened.
/// Returns: TREE_NONE if nothing is on the shelves
static uint64_t frames_find(struct frame_tree *t, struct frame_tree_cpu *c, struct tree_hand *hand,
			    unsigned n, struct kmm_pfn *out, unsigned *got)
{
	enum frame_group group = hand->group;
	uint64_t b = frame_tree_find_dense(t, c, hand, n);

	*got = 0;
	if (b == TREE_NONE && frame_tree_whole_plenty(t, c))
		*got = frame_tree_open(t, c, 0, group, n, out, &b);
	if (b == TREE_NONE)
		b = frame_tree_find_any(t, c, group);
	if (b == TREE_NONE)
		*got = frame_tree_open(t, c, 0, group, n, out, &b);
	for (unsigned g = 0; g < FRAME_GROUPS_N && b == TREE_NONE; g++)
		b = frame_tree_find_any(t, c, (enum frame_group)g);
	return b;
}

/// Single frames, beyond what the held block and those in hand have.
/// Returns: false if there are none anywhere; else *got, which may be 0, as others take too
static bool frames_next(struct kmm *k, struct frame_tree *t, struct frame_tree_cpu *c,
			struct tree_hand *hand, unsigned n, struct kmm_pfn *out, unsigned *got)
{
	uint32_t *held = &c->held[TREE_SINGLE][hand->group];
	uint64_t b = TREE_NONE;

	if (!frame_tree_all_empty(t))
		b = frames_find(t, c, hand, n, out, got);
	if (b == TREE_NONE) {
		atomic_store_relaxed(held, 0u);
		*got = frame_tree_steal(k, t, 0, n, out);
		return *got != 0;
	}
	hold(held, b);
	if (*got == 0)
		*got = block_take_frames(t, b, n, out);
	return true;
}

/// A block that is held no longer is empty, or whoever has released into it since has marked
/// it dirty: it needn't be filed.
static unsigned claim_frames(struct kmm *k, struct frame_tree *t, struct frame_tree_cpu *c,
			     enum frame_group group, unsigned n, struct kmm_pfn *out)
{
	uint32_t *held = &c->held[TREE_SINGLE][group], h = atomic_load_relaxed(held);
	unsigned got = h == 0 ? 0 : block_take_frames(t, h - 1u, n, out), more;
	struct tree_hand hand = { .group = group };

	for (; got < n; got += more) {
		if (hand.bits != 0) {
			uint64_t b = tree_hand_next(&hand);

			hold(held, b);
			more = block_take_frames(t, b, n - got, out + got);
		} else if (!frames_next(k, t, c, &hand, n - got, out + got, &more)) {
			break;
		}
	}
	if (hand.bits != 0)
		frame_tree_hand_file(t, &hand);
	return got;
}

/// Holds another block for runs. The one from before may have some, if not this long.
static void runs_hold(struct frame_tree *t, struct frame_tree_cpu *c, enum frame_group group,
		      uint64_t b)
{
	uint32_t *held = &c->held[TREE_RUN][group], was = atomic_load_relaxed(held);

	hold(held, b);
	if (was != 0)
		frame_tree_file(t, was - 1u);
}

/// Runs from a sparse block off the shelves, which is held from now on.
static unsigned runs_find(struct kmm *k, struct frame_tree *t, struct frame_tree_cpu *c,
			  unsigned order, enum frame_group group, unsigned n, struct kmm_pfn *out)
{
	for (unsigned tries = 0; tries < RUN_TRIES; tries++) {
		uint64_t b = frame_tree_find_sparse(t, c, group, order);
		unsigned got = b == TREE_NONE ?
				       0 : frame_tree_block_take(k, t, b, order, n, out);

		if (got != 0) {
			runs_hold(t, c, group, b);
			return got;
		}
		if (b == TREE_NONE)
			break;
		frame_tree_file(t, b);
	}
	return 0;
}

/// Runs of a whole block, which is held from now on.
static unsigned runs_open(struct frame_tree *t, struct frame_tree_cpu *c, unsigned order,
			  enum frame_group group, unsigned n, struct kmm_pfn *out)
{
	uint64_t b;
	unsigned got = frame_tree_open(t, c, order, group, n, out, &b);

	if (got != 0)
		runs_hold(t, c, group, b);
	return got;
}

/// Runs, beyond what the held block has. The scan is certain, and slow.
static unsigned runs_next(struct kmm *k, struct frame_tree *t, struct frame_tree_cpu *c,
			  unsigned order, enum frame_group group, unsigned n, struct kmm_pfn *out)
{
	unsigned got = 0;

	if (!frame_tree_all_empty(t)) {
		got = runs_find(k, t, c, order, group, n, out);
		if (got == 0)
			got = runs_open(t, c, order, group, n, out);
		if (got == 0)
			got = frame_tree_scan(k, t, c, order, n, out);
	}
	return got != 0 ? got : frame_tree_steal(k, t, order, n, out);
}

static unsigned claim_runs(struct kmm *k, struct frame_tree *t, struct frame_tree_cpu *c,
			   unsigned order, enum frame_group group, unsigned n, struct kmm_pfn *out)
{
	uint32_t held = atomic_load_relaxed(&c->held[TREE_RUN][group]);
	unsigned got = held == 0 ? 0 : frame_tree_block_take(k, t, held - 1u, order, n, out);
	unsigned more = 1;

	for (; got < n && more != 0; got += more)
		more = runs_next(k, t, c, order, group, n - got, out + got);
	return got;
}

static unsigned claim(struct kmm *k, void *state, unsigned order, enum frame_group group,
		      unsigned n, struct kmm_pfn *out)
{
	struct frame_tree *t = state;
	struct frame_tree_cpu *c = &t->cpu[kmm_port_cpu(k)->id];

	if (order == 0)
		return claim_frames(k, t, c, group, n, out);
	if (order >= TREE_BLOCK_LG2)
		return frame_tree_claim_whole(t, c, order, n, out);
	return claim_runs(k, t, c, order, group, n, out);
}

static uint64_t whole_n(const void *state)
{
	const struct frame_tree *t = state;

	return atomic_load_relaxed(&t->whole_n);
}

static uint64_t lock_n(const void *state)
{
	(void)state;
	return 0;
}

const struct frame_policy frame_policy_tree = {
	.name = "tree",
	.meta_bytes = meta_bytes,
	.init = init,
	.add_range = frame_tree_add_range,
	.claim = claim,
	.release = frame_tree_release,
	.next_run = frame_tree_next_run,
	.claim_range = frame_tree_claim_range,
	.whole_n = whole_n,
	.lock_n = lock_n,
	.check = frame_tree_check,
};
