/// Bitmap policy: one bit a frame, set = free.
///
/// Bit i of word w is frame (word0 + w) * 64 + i, so that a word begins at a
/// multiple of 64 frames whatever the span's base, and alignment inside the map
/// is alignment in physical memory. Bits of frames that were never handed over
/// (holes, the edges of the first and last word) are clear for ever.
///
/// Single frames are the lowest set bits, found by counting trailing zeros.
/// Blocks up to order 6 lie within a word: folding the word onto itself leaves a
/// bit where a whole aligned run begins. Larger blocks are runs of whole words.
/// The search begins at `hint`, below which nothing is free, or always at the
/// first word (first fit, as the simple systems do it; its claim of one frame is
/// O(frames in use)).
///
/// Invariants
///   I1  a set bit is a frame that was handed over and is free: its entry has the
///       kind FRAME_NONE;
///   I2  no bit of an allocated or cached block is set;
///   I3  free_n is the number of set bits;
///   I4  all words below `hint` are zero.
///
/// Locking: `lock` (LOCK_ZONE) guards all of struct bitmap. Words are stored
/// atomically, since largest_order reads them without the lock.
///
/// Failure: a claim that finds too few blocks returns fewer and has changed
/// nothing else.
///
/// Limits: a block above order 0 costs O(words) to find, with interrupts off.
///
/// Sources: Warren, Hacker's Delight 6-2 (first string of 1-bits of a length).
#include "base/lock.h"
#include "frame/entry.h"
#include "frame/policy.h"

#define WORD_LG2 6u
#define WORD_BITS (1u << WORD_LG2)
#define WORD_FULL (~0ull)

struct bitmap {
	struct lock lock;
	uint64_t base, end; /* frames; constant */
	uint64_t word0;     /* number of the first word, base / 64; constant */
	uint64_t words_n;   /* constant */
	bool first_fit;     /* hint stays 0; constant */
	uint64_t hint;      /* I4; lock */
	uint64_t free_n;    /* lock; read without it */
	uint64_t lock_n;    /* lock; read without it */
	uint64_t word[];    /* lock; read without it */
};

/// Bits at the multiples of 2^order, order 0..6.
static const uint64_t aligned_bits[WORD_LG2 + 1u] = {
	0xffffffffffffffffull, 0x5555555555555555ull, 0x1111111111111111ull,
	0x0101010101010101ull, 0x0001000100010001ull, 0x0000000100000001ull,
	0x0000000000000001ull,
};

static uint64_t bitmap_meta_bytes(uint64_t n)
{
	/* One word more than n / 64 rounded up: the base may cut a word. */
	return sizeof(struct bitmap) + ((n >> WORD_LG2) + 2u) * sizeof(uint64_t);
}

static void *bitmap_init(struct kmm *k, void *meta, uint64_t base, uint64_t n)
{
	struct bitmap *b = meta;

	(void)k;
	lock_init(&b->lock, LOCK_ZONE);
	b->base = base;
	b->end = base + n;
	b->word0 = base >> WORD_LG2;
	b->words_n = ((b->end + WORD_BITS - 1u) >> WORD_LG2) - b->word0;
	return b;
}

static void *bitmap_init_first_fit(struct kmm *k, void *meta, uint64_t base, uint64_t n)
{
	struct bitmap *b = bitmap_init(k, meta, base, n);

	b->first_fit = true;
	return b;
}

/// Where one word of the map meets a range of frames.
struct piece {
	uint64_t word; /* index into the map */
	uint64_t mask;
	uint64_t n;    /* frames of the range in it */
};

static struct piece piece_at(const struct bitmap *b, uint64_t pfn, uint64_t n)
{
	unsigned bit = (unsigned)(pfn & (WORD_BITS - 1u));
	struct piece p = { (pfn >> WORD_LG2) - b->word0, 0, WORD_BITS - bit };

	if (p.n > n)
		p.n = n;
	p.mask = bits_mask((unsigned)p.n) << bit;
	return p;
}

/// Sets the bits of a range of frames that must all be clear.
static void set_range_locked(struct kmm *k, struct bitmap *b, uint64_t pfn, uint64_t n)
{
	uint64_t first = (pfn >> WORD_LG2) - b->word0;

	while (n != 0) {
		struct piece p = piece_at(b, pfn, n);
		uint64_t *word = &b->word[p.word];

		KMM_ASSERT(k, (*word & p.mask) == 0, "bitmap I2");
		atomic_store_relaxed(word, *word | p.mask);
		pfn += p.n;
		n -= p.n;
	}
	if (!b->first_fit && first < b->hint)
		b->hint = first;
}

/// The same for an aligned block inside one word, which most are.
static void set_run_locked(struct kmm *k, struct bitmap *b, uint64_t pfn, unsigned order)
{
	uint64_t w = (pfn >> WORD_LG2) - b->word0;
	uint64_t mask = bits_mask(1u << order) << (pfn & (WORD_BITS - 1u));

	KMM_ASSERT(k, (b->word[w] & mask) == 0, "bitmap I2");
	atomic_store_relaxed(&b->word[w], b->word[w] | mask);
	if (!b->first_fit && w < b->hint)
		b->hint = w;
}

static unsigned long bitmap_lock(struct kmm *k, struct bitmap *b)
{
	unsigned long was = lock_acquire(k, &b->lock);

	counter_add(&b->lock_n, 1u);
	return was;
}

static void bitmap_add_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct bitmap *b = state;
	unsigned long was = bitmap_lock(k, b);

	KMM_ASSERT(k, pfn.n >= b->base && pfn.n + n <= b->end, "a range inside the span");
	set_range_locked(k, b, pfn.n, n);
	counter_add(&b->free_n, n);
	lock_release(k, &b->lock, was);
}

static struct kmm_pfn pfn_at(const struct bitmap *b, uint64_t word, unsigned bit)
{
	struct kmm_pfn pfn = { ((b->word0 + word) << WORD_LG2) + bit };

	return pfn;
}

/// Bits of x at which an aligned run of 2^order set bits begins. order <= 6
static uint64_t runs_in(uint64_t x, unsigned order)
{
	for (unsigned have = 1; have < 1u << order; have <<= 1)
		x &= x >> have;
	return x & aligned_bits[order];
}

/// Takes single frames.
static unsigned claim_frames_locked(struct bitmap *b, unsigned n, struct kmm_pfn *out)
{
	uint64_t w = b->hint;
	unsigned got = 0;

	for (; w < b->words_n; w++) {
		uint64_t x = b->word[w];

		if (x == 0)
			continue;
		for (; x != 0 && got < n; x &= x - 1u)
			out[got++] = pfn_at(b, w, bits_lowest(x));
		atomic_store_relaxed(&b->word[w], x);
		if (got == n)
			break;
	}
	if (!b->first_fit)
		b->hint = w; /* I4: every word passed is empty now */
	return got;
}

/// Takes blocks that fit into a word. 1 <= order <= 6
static unsigned claim_runs_locked(struct bitmap *b, unsigned order, unsigned n,
				  struct kmm_pfn *out)
{
	uint64_t run = bits_mask(1u << order);
	unsigned got = 0;

	for (uint64_t w = b->hint; w < b->words_n && got < n; w++) {
		uint64_t x = b->word[w];
		uint64_t starts = runs_in(x, order);

		if (starts == 0)
			continue;
		for (; starts != 0 && got < n; starts &= starts - 1u) {
			unsigned bit = bits_lowest(starts);

			out[got++] = pfn_at(b, w, bit);
			x &= ~(run << bit);
		}
		atomic_store_relaxed(&b->word[w], x);
	}
	return got;
}

static bool words_full(const struct bitmap *b, uint64_t w, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (atomic_load_relaxed(&b->word[w + i]) != WORD_FULL)
			return false;
	return true;
}

/// The first index >= w where a run of words_n words may begin.
static uint64_t words_align(const struct bitmap *b, uint64_t w, uint64_t words_n)
{
	return bits_align_up(b->word0 + w, words_n) - b->word0;
}

/// Takes blocks of whole words. order > 6
static unsigned claim_words_locked(struct bitmap *b, unsigned order, unsigned n,
				   struct kmm_pfn *out)
{
	uint64_t run = 1ull << (order - WORD_LG2);
	unsigned got = 0;

	for (uint64_t w = words_align(b, b->hint, run); w + run <= b->words_n && got < n;
	     w += run) {
		if (!words_full(b, w, run))
			continue;
		for (uint64_t i = 0; i < run; i++)
			atomic_store_relaxed(&b->word[w + i], 0u);
		out[got++] = pfn_at(b, w, 0);
	}
	return got;
}

static unsigned bitmap_claim(struct kmm *k, void *state, unsigned order, unsigned n,
			     struct kmm_pfn *out)
{
	struct bitmap *b = state;
	unsigned long was = bitmap_lock(k, b);
	unsigned got = 0;

	if (b->free_n >> order == 0)
		got = 0; /* a full map is answered without a scan */
	else if (order == 0)
		got = claim_frames_locked(b, n, out);
	else if (order <= WORD_LG2)
		got = claim_runs_locked(b, order, n, out);
	else
		got = claim_words_locked(b, order, n, out);
	counter_add(&b->free_n, 0u - ((uint64_t)got << order));
	lock_release(k, &b->lock, was);
	return got;
}

static void bitmap_release(struct kmm *k, void *state, unsigned order, unsigned n,
			   const struct kmm_pfn *in)
{
	struct bitmap *b = state;
	unsigned long was = bitmap_lock(k, b);

	for (unsigned i = 0; i < n; i++) {
		KMM_ASSERT(k, bits_aligned(in[i].n, 1ull << order), "a block is aligned");
		KMM_ASSERT(k, in[i].n >= b->base && in[i].n + (1ull << order) <= b->end,
			   "a block of this span");
		if (order <= WORD_LG2)
			set_run_locked(k, b, in[i].n, order);
		else
			set_range_locked(k, b, in[i].n, 1ull << order);
	}
	counter_add(&b->free_n, (uint64_t)n << order);
	lock_release(k, &b->lock, was);
}

static uint64_t bitmap_free_n(const void *state)
{
	const struct bitmap *b = state;

	return counter_read(&b->free_n);
}

static uint64_t bitmap_lock_n(const void *state)
{
	const struct bitmap *b = state;

	return counter_read(&b->lock_n);
}

/// Largest order + 1 of a run inside one word, at most 7.
static unsigned largest_in_word(uint64_t x)
{
	unsigned order = 0;

	while (order <= WORD_LG2 && runs_in(x, order) != 0)
		order++;
	return order;
}

/// Is there a free block of this order > 6?
static bool words_have(const struct bitmap *b, unsigned order)
{
	uint64_t run = 1ull << (order - WORD_LG2);

	for (uint64_t w = words_align(b, 0, run); w + run <= b->words_n; w += run)
		if (words_full(b, w, run))
			return true;
	return false;
}

static unsigned bitmap_largest_order(const void *state)
{
	const struct bitmap *b = state;
	unsigned best = 0;

	for (uint64_t w = 0; w < b->words_n && best <= WORD_LG2; w++) {
		unsigned here = largest_in_word(atomic_load_relaxed(&b->word[w]));

		best = here > best ? here : best;
	}
	/* A block of an order holds one of the order below: stop at the first gap. */
	while (best > WORD_LG2 && best <= KMM_ORDER_MAX && words_have(b, best))
		best++;
	return best;
}

/// I1: what the entries of a word's set bits say. I3, I4 by the way.
static enum kmm_error check_word_locked(struct kmm *k, const struct bitmap *b, uint64_t w)
{
	if (b->word[w] != 0 && w < b->hint)
		return frame_broken(k, "bitmap I4: free below the hint", pfn_at(b, w, 0).n);
	for (uint64_t x = b->word[w]; x != 0; x &= x - 1u) {
		struct kmm_pfn pfn = pfn_at(b, w, bits_lowest(x));
		const struct frame_entry *e;

		if (pfn.n < b->base || pfn.n >= b->end)
			return frame_broken(k, "bitmap I1: bit outside the span", pfn.n);
		e = frame_entry(k, pfn);
		if (frame_kind_get(e) != FRAME_NONE || e->order != 0)
			return frame_broken(k, "bitmap I1: free frame is marked", pfn.n);
	}
	return KMM_OK;
}

/// I2 for the block that an entry heads. *n = frames to step over
static enum kmm_error check_head_locked(struct kmm *k, const struct bitmap *b, uint64_t pfn,
					uint64_t *n)
{
	struct kmm_pfn head = { pfn };
	const struct frame_entry *e = frame_entry(k, head);
	enum frame_kind kind = frame_kind_get(e);

	*n = 1;
	if (kind != FRAME_CACHED && !frame_kind_allocated(kind))
		return KMM_OK;
	if (e->order > KMM_ORDER_MAX || pfn + (1ull << e->order) > b->end)
		return frame_broken(k, "bitmap I2: block leaves the span", pfn);
	*n = 1ull << e->order;
	for (uint64_t at = pfn; at < pfn + *n;) {
		struct piece p = piece_at(b, at, pfn + *n - at);

		if (b->word[p.word] & p.mask)
			return frame_broken(k, "bitmap I2: block in use has free bits", at);
		at += p.n;
	}
	return KMM_OK;
}

static enum kmm_error check_locked(struct kmm *k, const struct bitmap *b)
{
	enum kmm_error e = KMM_OK;
	uint64_t n = 0, step;

	for (uint64_t w = 0; w < b->words_n && e == KMM_OK; w++) {
		e = check_word_locked(k, b, w);
		n += bits_count(b->word[w]);
	}
	if (e == KMM_OK && n != b->free_n)
		return frame_broken(k, "bitmap I3: free count", b->base);
	for (uint64_t pfn = b->base; pfn < b->end && e == KMM_OK; pfn += step)
		e = check_head_locked(k, b, pfn, &step);
	return e;
}

static enum kmm_error bitmap_check(struct kmm *k, void *state)
{
	struct bitmap *b = state;
	unsigned long was = lock_acquire(k, &b->lock);
	enum kmm_error e = check_locked(k, b);

	lock_release(k, &b->lock, was);
	return e;
}

const struct frame_policy frame_policy_bitmap = {
	.name = "bitmap",
	.meta_bytes = bitmap_meta_bytes,
	.init = bitmap_init,
	.add_range = bitmap_add_range,
	.claim = bitmap_claim,
	.release = bitmap_release,
	.free_n = bitmap_free_n,
	.largest_order = bitmap_largest_order,
	.lock_n = bitmap_lock_n,
	.check = bitmap_check,
};

const struct frame_policy frame_policy_bitmap_first_fit = {
	.name = "bitmap-first-fit",
	.meta_bytes = bitmap_meta_bytes,
	.init = bitmap_init_first_fit,
	.add_range = bitmap_add_range,
	.claim = bitmap_claim,
	.release = bitmap_release,
	.free_n = bitmap_free_n,
	.largest_order = bitmap_largest_order,
	.lock_n = bitmap_lock_n,
	.check = bitmap_check,
};
