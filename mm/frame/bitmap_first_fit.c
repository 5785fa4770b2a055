/// Bitmap policy of the simple systems: the map of bitmap.c under one lock, searched
/// from its first word every time. Correct and slow: what the lock-free one is measured
/// against.
///
/// A claim takes the lowest blocks there are. It remembers nothing from one call to the
/// next, so a single frame costs O(frames in use below it), and a full map is known to be
/// full only at its end. Groups are ignored.
///
/// Invariants: bitmap I1 and I2.
///
/// Locking: `lock` (LOCK_ZONE) guards the words, so a plain load shows a holder their
/// value. They are stored atomically, since bitmap_next_run reads them without it.
///
/// Failure: a claim that finds too few blocks returns fewer and has changed nothing else.
/// It fails only if there are too few.
///
/// Limits: every call holds the lock for its whole search, with interrupts off.
///
/// Sources: Knuth, TAOCP 1, 2.5 (first fit).
#include "base/lock.h"
#include "frame/bitmap.h"

struct first_fit {
	struct bitmap map;
	struct lock lock;
	uint64_t lock_n; /* lock; read without it */
};

static uint64_t first_fit_meta_bytes(uint64_t n, unsigned cpus_n)
{
	(void)cpus_n;
	return sizeof(struct first_fit) + bitmap_word_bytes(n);
}

static void *first_fit_init(struct kmm *k, void *meta, uint64_t base, uint64_t n)
{
	struct first_fit *f = meta;

	(void)k;
	bitmap_begin(&f->map, (uint64_t *)(void *)(f + 1), base, n);
	lock_init(&f->lock, LOCK_ZONE);
	return f;
}

static unsigned long first_fit_lock(struct kmm *k, struct first_fit *f)
{
	unsigned long was = lock_acquire(k, &f->lock);

	counter_add(&f->lock_n, 1u);
	return was;
}

/// Sets the bits of a range of frames that must all be clear.
static void range_put_locked(struct kmm *k, struct bitmap *b, uint64_t pfn, uint64_t n)
{
	while (n != 0) {
		struct bitmap_piece p = bitmap_piece(b, pfn, n);
		uint64_t *word = &b->word[p.word];

		KMM_ASSERT(k, (*word & p.mask) == 0, "bitmap I2");
		atomic_store_relaxed(word, *word | p.mask);
		pfn += p.n;
		n -= p.n;
	}
}

static void first_fit_add_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct first_fit *f = state;
	unsigned long was = first_fit_lock(k, f);

	KMM_ASSERT(k, pfn.n >= f->map.base && pfn.n + n <= f->map.end, "a range inside the span");
	range_put_locked(k, &f->map, pfn.n, n);
	lock_release(k, &f->lock, was);
}

/// Takes blocks that fit into a word. order <= 6
static unsigned claim_runs_locked(struct bitmap *b, unsigned order, unsigned n,
				  struct kmm_pfn *out)
{
	uint64_t run = bits_mask(1u << order);
	unsigned got = 0;

	for (uint64_t w = 0; w < b->words_n && got < n; w++) {
		uint64_t x = b->word[w];
		uint64_t starts = bits_runs(x, order);

		if (starts == 0)
			continue;
		for (; starts != 0 && got < n; starts &= starts - 1u) {
			unsigned bit = bits_lowest(starts);

			out[got++] = bitmap_pfn(b, w, bit);
			x &= ~(run << bit);
		}
		atomic_store_relaxed(&b->word[w], x);
	}
	return got;
}

/// Takes blocks of whole words. order > 6
static unsigned claim_words_locked(struct bitmap *b, unsigned order, unsigned n,
				   struct kmm_pfn *out)
{
	struct bitmap_places p = bitmap_places(b, order);
	uint64_t run = 1ull << p.lg2;
	unsigned got = 0;

	for (uint64_t i = 0; i < p.n && got < n; i++) {
		uint64_t w = p.first + (i << p.lg2);

		if (!bitmap_words_full(b, w, run))
			continue;
		for (uint64_t at = w; at < w + run; at++)
			atomic_store_relaxed(&b->word[at], 0u);
		out[got++] = bitmap_pfn(b, w, 0);
	}
	return got;
}

static unsigned first_fit_claim(struct kmm *k, void *state, unsigned order, enum frame_group group,
				unsigned n, struct kmm_pfn *out)
{
	struct first_fit *f = state;
	unsigned long was = first_fit_lock(k, f);
	unsigned got = order <= BITMAP_WORD_LG2 ? claim_runs_locked(&f->map, order, n, out) :
						  claim_words_locked(&f->map, order, n, out);

	(void)group;
	lock_release(k, &f->lock, was);
	return got;
}

static void first_fit_release(struct kmm *k, void *state, unsigned order, unsigned n,
			      const struct kmm_pfn *in)
{
	struct first_fit *f = state;
	unsigned long was = first_fit_lock(k, f);

	for (unsigned i = 0; i < n; i++) {
		bitmap_require_block(k, &f->map, in[i], order);
		range_put_locked(k, &f->map, in[i].n, 1ull << order);
	}
	lock_release(k, &f->lock, was);
}

static uint64_t first_fit_claim_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct first_fit *f = state;
	struct bitmap *b = &f->map;
	uint64_t at = pfn.n, end = pfn.n + n, taken = 0;
	unsigned long was = first_fit_lock(k, f);

	KMM_ASSERT(k, at >= b->base && end <= b->end, "a range inside the span");
	while (at < end) {
		struct bitmap_piece p = bitmap_piece(b, at, end - at);
		uint64_t *word = &b->word[p.word], bits = *word & p.mask;

		atomic_store_relaxed(word, *word & ~bits);
		bitmap_tag(k, b, p.word, bits, FRAME_ISOLATED);
		taken += bits_count(bits);
		at += p.n;
	}
	lock_release(k, &f->lock, was);
	return taken;
}

static uint64_t first_fit_lock_n(const void *state)
{
	const struct first_fit *f = state;

	return counter_read(&f->lock_n);
}

const struct frame_policy frame_policy_bitmap_first_fit = {
	.name = "bitmap-first-fit",
	.meta_bytes = first_fit_meta_bytes,
	.init = first_fit_init,
	.add_range = first_fit_add_range,
	.claim = first_fit_claim,
	.release = first_fit_release,
	.next_run = bitmap_next_run,
	.claim_range = first_fit_claim_range,
	.lock_n = first_fit_lock_n,
	.check = bitmap_check,
};
