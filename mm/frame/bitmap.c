/// Bitmap policy: one bit a frame, set = free, without a lock.
///
/// The map. Bit i of word w is frame (word0 + w) * 64 + i, so that a word begins at a
/// multiple of 64 frames whatever the span's base, and alignment inside the map is
/// alignment in physical memory. Bits of frames that were never handed over (holes, the
/// edges of the first and last word) are clear for ever. There is nothing else that
/// says what is free: no count, no list, no tag.
///
/// Taking and giving. Who clears a set bit owns the frame; an owner alone sets it again.
///   - Single frames leave a word at a time: a load that finds something, then one
///     exchange when all 64 are welcome, else one CAS that leaves the rest.
///   - A block up to order 6 lies within a word. Folding the word onto itself leaves a
///     bit where a whole aligned run begins; one CAS takes as many runs as are wanted.
///   - A larger block is a run of whole words, each taken by CAS from all ones to zero.
///     If one isn't all ones any more, those taken are put back.
///   - Frames come back by one `or` a word; neighbours in a batch share it.
///
/// Groups. Pinned blocks are looked for from the hint `low` upwards, movable ones from
/// `high` downwards. They meet only when memory is full, so that what lies at the top
/// can be freed or moved away as whole 2 MiB blocks. Every search goes round the whole
/// map once before it gives up, wherever it began.
///
/// Invariants
///   I1  a set bit is a frame that was handed over and is free: it lies in the span and
///       its tag is FRAME_NONE, perhaps with FRAME_ZEROED;
///   I2  no bit of a frame outside (allocated, cached, isolated) is set;
///   I3  low and high are below words_n, or there are no words.
///
/// I3 is all that hints promise, and it suffices: since a search goes round, a wrong
/// hint makes it longer and hides nothing. What keeps them useful is that a searcher
/// moves its hint to where it stopped, past words that it left empty, and that a release
/// moves each back to its word if that lies beyond it. Both are a load and a store, not
/// one step: of two CPUs that write at once one prevails. So frames may lie behind a hint
/// until a search comes round to them, or a release behind them takes the hint along.
///
/// Memory order. A claim's CAS or exchange acquires, a release's `or` releases: what an
/// owner did to a frame and its tag comes before what the next one does. Others change
/// the same word between the two, but by read-modify-write alone, and those carry a
/// release on (C11 5.1.2.4, release sequences). Loads that look for candidates are
/// relaxed: whatever they show, the CAS decides. Hints carry nothing but themselves.
///
/// Progress. A CAS fails only because another CPU's step on that word succeeded.
///
/// Failure: a claim that finds too few blocks returns fewer. It finds all that are free
/// when nothing else runs. Otherwise it may miss what was put back behind it, and words
/// that another CPU has taken for a large block and is about to put back.
///
/// Limits: a block above order 0 costs O(words) to find in the worst case, and so does
/// the certainty that there is none, with interrupts off.
///
/// Sources: Warren, Hacker's Delight 6-2 (first string of 1-bits of a length).
#include "frame/bitmap.h"

struct bitmap_free {
	struct bitmap map;
	/* On a line of its own, as it is written often. */
	uint64_t hint[FRAME_GROUPS_N] __attribute__((aligned(64))); /* atomic; low, high */
};

static uint64_t free_meta_bytes(uint64_t n, unsigned cpus_n)
{
	(void)cpus_n;
	return sizeof(struct bitmap_free) + bitmap_word_bytes(n);
}

static void *free_init(struct kmm *k, void *meta, uint64_t base, uint64_t n)
{
	struct bitmap_free *f = meta;

	(void)k;
	bitmap_begin(&f->map, (uint64_t *)(void *)(f + 1), base, n);
	f->hint[FRAME_GROUP_MOVABLE] = f->map.words_n == 0 ? 0 : f->map.words_n - 1u;
	return f;
}

/// Makes frames of a word free.
static void word_put(struct kmm *k, struct bitmap *b, uint64_t w, uint64_t bits)
{
	uint64_t was = atomic_or_acq_rel(&b->word[w], bits);

	KMM_ASSERT(k, (was & bits) == 0, "bitmap I2");
	(void)k;
	(void)was;
}

/// Frames are free in words [lowest, highest]: no hint stays past them.
static void hints_reach(struct bitmap_free *f, uint64_t lowest, uint64_t highest)
{
	if (lowest < atomic_load_relaxed(&f->hint[FRAME_GROUP_PINNED]))
		atomic_store_relaxed(&f->hint[FRAME_GROUP_PINNED], lowest);
	if (highest > atomic_load_relaxed(&f->hint[FRAME_GROUP_MOVABLE]))
		atomic_store_relaxed(&f->hint[FRAME_GROUP_MOVABLE], highest);
}

static void range_put(struct kmm *k, struct bitmap_free *f, uint64_t pfn, uint64_t n)
{
	struct bitmap *b = &f->map;
	uint64_t lowest = (pfn >> BITMAP_WORD_LG2) - b->word0, highest = lowest;

	while (n != 0) {
		struct bitmap_piece p = bitmap_piece(b, pfn, n);

		word_put(k, b, p.word, p.mask);
		highest = p.word;
		pfn += p.n;
		n -= p.n;
	}
	hints_reach(f, lowest, highest);
}

static void free_add_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct bitmap_free *f = state;

	KMM_ASSERT(k, pfn.n >= f->map.base && pfn.n + n <= f->map.end, "a range inside the span");
	if (n != 0)
		range_put(k, f, pfn.n, n);
}

/// The next of n places, on the group's way round.
static inline uint64_t way_next(uint64_t i, uint64_t n, enum frame_group group)
{
	if (group == FRAME_GROUP_MOVABLE)
		return (i == 0 ? n : i) - 1u;
	return i + 1u == n ? 0 : i + 1u;
}

/// Takes up to n frames of a word. Returns: their bits
static uint64_t word_take(uint64_t *word, unsigned n)
{
	uint64_t x = atomic_load_relaxed(word), take;

	if (x == 0)
		return 0; /* the common step of a search: the line stays shared */
	if (n >= BITMAP_WORD_BITS)
		return atomic_exchange_acq_rel(word, 0u);
	do
		take = bits_first(x, n);
	while (take != 0 && !atomic_cas_acq_rel(word, &x, x & ~take));
	return take;
}

/// Takes single frames.
static unsigned claim_frames(struct bitmap_free *f, enum frame_group group, unsigned n,
			     struct kmm_pfn *out)
{
	struct bitmap *b = &f->map;
	uint64_t start = atomic_load_relaxed(&f->hint[group]), w = start;
	unsigned got = 0;

	for (uint64_t left = b->words_n; left != 0; left--) {
		uint64_t bits = word_take(&b->word[w], n - got);

		for (; bits != 0; bits &= bits - 1u)
			out[got++] = bitmap_pfn(b, w, bits_lowest(bits));
		if (got == n)
			break;
		w = way_next(w, b->words_n, group);
	}
	if (w != start)
		atomic_store_relaxed(&f->hint[group], w);
	return got;
}

/// Takes up to n runs of 2^order frames of a word. Returns: where they begin
static uint64_t word_take_runs(uint64_t *word, unsigned order, unsigned n)
{
	uint64_t run = bits_mask(1u << order), x = atomic_load_relaxed(word), starts;

	if (n > BITMAP_WORD_BITS)
		n = BITMAP_WORD_BITS;
	do {
		starts = bits_runs(x, order);
		if (starts == 0)
			return 0;
		starts = bits_first(starts, n);
		/* Runs don't overlap, so the product has one addend a bit: no carry. */
	} while (!atomic_cas_acq_rel(word, &x, x & ~(starts * run)));
	return starts;
}

/// Takes blocks that fit into a word. The hint stays: what is passed isn't empty.
/// 1 <= order <= 6
static unsigned claim_runs(struct bitmap_free *f, unsigned order, enum frame_group group,
			   unsigned n, struct kmm_pfn *out)
{
	struct bitmap *b = &f->map;
	uint64_t w = atomic_load_relaxed(&f->hint[group]);
	unsigned got = 0;

	for (uint64_t left = b->words_n; left != 0 && got < n; left--) {
		uint64_t starts = word_take_runs(&b->word[w], order, n - got);

		for (; starts != 0; starts &= starts - 1u)
			out[got++] = bitmap_pfn(b, w, bits_lowest(starts));
		w = way_next(w, b->words_n, group);
	}
	return got;
}

/// Takes n whole words, or none.
static bool words_take(struct kmm *k, struct bitmap *b, uint64_t w, uint64_t n)
{
	/* Most places fail here, and nobody is disturbed by a word that comes and goes. */
	if (!bitmap_words_full(b, w, n))
		return false;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t full = BITMAP_FULL;

		if (atomic_cas_acq_rel(&b->word[w + i], &full, 0u))
			continue;
		while (i-- != 0)
			word_put(k, b, w + i, BITMAP_FULL);
		return false;
	}
	return true;
}

/// Takes blocks of whole words. order > 6
static unsigned claim_words(struct kmm *k, struct bitmap_free *f, unsigned order,
			    enum frame_group group, unsigned n, struct kmm_pfn *out)
{
	struct bitmap *b = &f->map;
	struct bitmap_places p = bitmap_places(b, order);
	uint64_t hint = atomic_load_relaxed(&f->hint[group]), i = 0;
	unsigned got = 0;

	if (hint > p.first)
		i = (hint - p.first) >> p.lg2;
	if (i >= p.n)
		i = p.n == 0 ? 0 : p.n - 1u;
	for (uint64_t left = p.n; left != 0 && got < n; left--) {
		uint64_t w = p.first + (i << p.lg2);

		if (words_take(k, b, w, 1ull << p.lg2))
			out[got++] = bitmap_pfn(b, w, 0);
		i = way_next(i, p.n, group);
	}
	return got;
}

static unsigned free_claim(struct kmm *k, void *state, unsigned order, enum frame_group group,
			   unsigned n, struct kmm_pfn *out)
{
	struct bitmap_free *f = state;

	KMM_ASSERT(k, f->map.words_n == 0 ||
			   atomic_load_relaxed(&f->hint[group]) < f->map.words_n, "bitmap I3");
	if (order == 0)
		return claim_frames(f, group, n, out);
	if (order <= BITMAP_WORD_LG2)
		return claim_runs(f, order, group, n, out);
	return claim_words(k, f, order, group, n, out);
}

/// Blocks that fit into a word. order <= 6
static void release_runs(struct kmm *k, struct bitmap_free *f, unsigned order, unsigned n,
			 const struct kmm_pfn *in)
{
	struct bitmap *b = &f->map;
	uint64_t run = bits_mask(1u << order), lowest = BITMAP_FULL, highest = 0;

	for (unsigned i = 0; i < n;) {
		uint64_t w = (in[i].n >> BITMAP_WORD_LG2) - b->word0, bits = 0;

		for (; i < n && (in[i].n >> BITMAP_WORD_LG2) - b->word0 == w; i++) {
			uint64_t more = run << (in[i].n & (BITMAP_WORD_BITS - 1u));

			bitmap_require_block(k, b, in[i], order);
			KMM_ASSERT(k, (bits & more) == 0, "a block comes back once");
			bits |= more;
		}
		word_put(k, b, w, bits);
		lowest = w < lowest ? w : lowest;
		highest = w > highest ? w : highest;
	}
	if (n != 0)
		hints_reach(f, lowest, highest);
}

static void free_release(struct kmm *k, void *state, unsigned order, unsigned n,
			 const struct kmm_pfn *in)
{
	struct bitmap_free *f = state;

	if (order <= BITMAP_WORD_LG2) {
		release_runs(k, f, order, n, in);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		bitmap_require_block(k, &f->map, in[i], order);
		range_put(k, f, in[i].n, 1ull << order);
	}
}

static uint64_t free_claim_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct bitmap_free *f = state;
	struct bitmap *b = &f->map;
	uint64_t at = pfn.n, end = pfn.n + n, taken = 0;

	KMM_ASSERT(k, at >= b->base && end <= b->end, "a range inside the span");
	while (at < end) {
		struct bitmap_piece p = bitmap_piece(b, at, end - at);
		uint64_t bits = 0;

		if (atomic_load_relaxed(&b->word[p.word]) & p.mask)
			bits = atomic_and_acq_rel(&b->word[p.word], ~p.mask) & p.mask;
		bitmap_tag(k, b, p.word, bits, FRAME_ISOLATED);
		taken += bits_count(bits);
		at += p.n;
	}
	return taken;
}

static uint64_t free_lock_n(const void *state)
{
	(void)state;
	return 0;
}

/// The first frame in [at, to) whose bit is set (or clear, if `flip` is all ones).
/// Returns: `to` if there is none
static uint64_t next_bit(const struct bitmap *b, uint64_t at, uint64_t to, uint64_t flip)
{
	while (at < to) {
		struct bitmap_piece p = bitmap_piece(b, at, to - at);
		uint64_t x = (atomic_load_relaxed(&b->word[p.word]) ^ flip) & p.mask;

		if (x != 0)
			return bitmap_pfn(b, p.word, bits_lowest(x)).n;
		at += p.n;
	}
	return to;
}

bool bitmap_next_run(struct kmm *k, const void *state, uint64_t from, uint64_t to,
		     struct frame_run *run)
{
	const struct bitmap *b = state;

	(void)k;
	from = from < b->base ? b->base : from;
	to = to > b->end ? b->end : to;
	if (from >= to)
		return false;
	run->pfn = next_bit(b, from, to, 0);
	/* A bit may change between the two looks; the run is one frame then. */
	run->n = run->pfn < to ? next_bit(b, run->pfn + 1u, to, BITMAP_FULL) - run->pfn : 0;
	return run->n != 0;
}

/// I1: what the tags of a word's set bits say.
static enum kmm_error check_word(struct kmm *k, const struct bitmap *b, uint64_t w)
{
	for (uint64_t x = b->word[w]; x != 0; x &= x - 1u) {
		struct kmm_pfn pfn = bitmap_pfn(b, w, bits_lowest(x));

		if (pfn.n < b->base || pfn.n >= b->end)
			return frame_broken(k, "bitmap I1: bit outside the span", pfn.n);
		if (frame_kind(k, pfn) != FRAME_NONE)
			return frame_broken(k, "bitmap I1: free frame is marked", pfn.n);
	}
	return KMM_OK;
}

/// Frames that a tag speaks for. Returns: 0 if it can't be
static uint64_t tagged_n(struct kmm *k, struct kmm_pfn pfn)
{
	uint8_t tag = frame_tag(k, pfn);
	enum frame_tag kind = frame_tag_kind(tag);
	unsigned order = tag & FRAME_TAG_ORDER;

	if (!frame_kind_allocated(kind))
		return 1;
	if (kind == FRAME_RUN)
		return frame_entry(k, pfn)->index;
	if (kind < FRAME_USED)
		order = frame_entry(k, pfn)->order;
	return order > KMM_ORDER_MAX ? 0 : 1ull << order;
}

/// I2 for what a tag speaks for. *n = frames to step over
static enum kmm_error check_tag(struct kmm *k, const struct bitmap *b, struct kmm_pfn pfn,
				uint64_t *n)
{
	uint64_t end, at;

	*n = 1;
	if (frame_kind(k, pfn) == FRAME_NONE)
		return KMM_OK;
	*n = tagged_n(k, pfn);
	end = pfn.n + *n;
	if (frame_kind(k, pfn) == FRAME_RUN && *n != 0 && end > b->end)
		end = b->end; /* a range may go on in another part of its zone (split.c) */
	if (*n == 0 || end > b->end)
		return frame_broken(k, "bitmap I2: block leaves the span", pfn.n);
	at = next_bit(b, pfn.n, end, 0);
	return at == end ? KMM_OK :
			   frame_broken(k, "bitmap I2: block in use has free bits", at);
}

enum kmm_error bitmap_check(struct kmm *k, void *state, uint64_t *free_n)
{
	const struct bitmap *b = state;
	enum kmm_error e = KMM_OK;
	struct kmm_pfn pfn = { b->base };
	uint64_t step;

	*free_n = 0;
	for (uint64_t w = 0; w < b->words_n && e == KMM_OK; w++) {
		e = check_word(k, b, w);
		*free_n += bits_count(b->word[w]);
	}
	for (; pfn.n < b->end && e == KMM_OK; pfn.n += step)
		e = check_tag(k, b, pfn, &step);
	return e;
}

const struct frame_policy frame_policy_bitmap = {
	.name = "bitmap",
	.meta_bytes = free_meta_bytes,
	.init = free_init,
	.add_range = free_add_range,
	.claim = free_claim,
	.release = free_release,
	.next_run = bitmap_next_run,
	.claim_range = free_claim_range,
	.lock_n = free_lock_n,
	.check = bitmap_check,
};
