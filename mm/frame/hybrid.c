/// Hybrid policy: requests below a number of frames come from a bitmap, others from a
/// buddy. Neither owns a share of memory; what is free moves to where it is asked for.
///
/// Parts. Both cover the whole span: `small` is the bitmap policy, `large` the buddy
/// policy. Which requests are small the preset says (frame_hybrid_n; 512 frames if 0). All
/// frames begin in the large part. The small part grows by 2 MiB chunks: a small claim
/// that it can't serve takes a chunk, hands pieces of it out and leaves it the rest.
/// When there is no chunk, the large part serves the claim itself, block by block.
/// Releases go to the part of their order, whichever their frames came from. That needs
/// no record of who owns what, since both parts know of no frames but those that are
/// free in them: release and add_range do the same there.
///
/// Nothing is stuck. A claim asks its own part, then the other, which has blocks of that
/// size as good as any. What then still isn't found can only be a block of which some
/// frames are free here and some there: gather() looks for those, moves what the small
/// part has of them to the large part, where they join, and the claim asks that again.
///
/// Invariants
///   I1  no frame is free in both parts.
///
/// Looking for mixed blocks costs a walk over the small part's free frames, in vain most
/// times. So `mixed` has a bit an order: clear if since the last walk for that order, which
/// found none, nothing was released. A release sets all bits after its frames are free,
/// with release order; a walk clears its order's and all larger ones' (a block of those
/// holds one of its own) by a read-modify-write that acquires, before it looks. Either that
/// comes later in the word's modification order, and then the walk sees the release's
/// frames; or the release's store does, and the bit stays set for the next.
///
/// A walk takes frames out of the bitmap's words itself, not by claim_range. That would
/// tell how many it took but not which, while others claim beside it, and loses the
/// remark FRAME_ZEROED; what an `and` of a word returns tells, and touches no tag.
///
/// Locking: none of its own; the parts bring theirs. A frame on its way between them is
/// in neither: a claim on another CPU may miss it.
///
/// Failure: a claim that finds too few blocks returns fewer.
///
/// Limits: a claim that fails after a release costs O(words of the bitmap), more where much
/// of it is free.
#include "frame/bitmap.h"

#define CHUNK_ORDER 9u /* 2 MiB */
#define SMALL_BELOW_N 512u

static const struct frame_policy *const small = &frame_policy_bitmap;
static const struct frame_policy *const large = &frame_policy_buddy;

struct hybrid {
	uint64_t base, end;   /* constant, as all but mixed */
	unsigned large_order; /* requests from this order on are large */
	void *small, *large;  /* states of the parts */
	uint32_t mixed __attribute__((aligned(64))); /* atomic; one bit an order */
};

static uint64_t hybrid_meta_bytes(uint64_t n, unsigned cpus_n)
{
	uint64_t total = meta_add(0, sizeof(struct hybrid), 64);

	total = meta_add(total, small->meta_bytes(n, cpus_n), 64);
	return meta_add(total, large->meta_bytes(n, cpus_n), 64);
}

static void *hybrid_init(struct kmm *k, void *meta, uint64_t base, uint64_t n)
{
	struct hybrid *h = meta;
	uint32_t below = k->preset->frame_hybrid_n != 0 ? k->preset->frame_hybrid_n : SMALL_BELOW_N;
	struct meta m = { (char *)meta + sizeof(*h),
			  (char *)meta + hybrid_meta_bytes(n, k->cpus_n) };

	h->base = base;
	h->end = base + n;
	h->large_order = bits_ceil_lg2(below);
	h->small = small->init(k, meta_take(k, &m, small->meta_bytes(n, k->cpus_n), 64), base, n);
	h->large = large->init(k, meta_take(k, &m, large->meta_bytes(n, k->cpus_n), 64), base, n);
	return h;
}

/// Frames became free: blocks of any order may be complete now.
static void mixed_set(struct hybrid *h)
{
	atomic_store_release(&h->mixed, ~0u);
}

static void hybrid_add_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct hybrid *h = state;

	large->add_range(k, h->large, pfn, n);
	mixed_set(h);
}

static void hybrid_release(struct kmm *k, void *state, unsigned order, unsigned n,
			   const struct kmm_pfn *in)
{
	struct hybrid *h = state;

	if (order < h->large_order)
		small->release(k, h->small, order, n, in);
	else
		large->release(k, h->large, order, n, in);
	mixed_set(h);
}

/// Where the run of free frames that begins at `at` ends: `at` if that isn't free.
static uint64_t free_to(struct kmm *k, const struct hybrid *h, uint64_t at, uint64_t to)
{
	for (struct frame_run run; at < to; at += run.n) {
		/* Asked for one frame first, as else a part would search all up to `to`. */
		if (small->next_run(k, h->small, at, at + 1u, &run)) {
			if (!small->next_run(k, h->small, at, to, &run) || run.pfn != at)
				run.n = 1;
		} else if (large->next_run(k, h->large, at, at + 1u, &run)) {
			if (!large->next_run(k, h->large, at, to, &run) || run.pfn != at)
				run.n = 1;
		} else {
			break;
		}
	}
	return at;
}

/// Moves what the small part has free of [pfn, to) to the large part.
static void move_range(struct kmm *k, struct hybrid *h, uint64_t pfn, uint64_t to)
{
	struct bitmap *map = h->small; /* begins with it (bitmap.h) */

	while (pfn < to) {
		struct bitmap_piece p = bitmap_piece(map, pfn, to - pfn);
		uint64_t bits = atomic_and_acq_rel(&map->word[p.word], ~p.mask) & p.mask;

		while (bits != 0) {
			unsigned first = bits_lowest(bits);
			uint64_t rest = ~(bits >> first);
			unsigned n = rest == 0 ? BITMAP_WORD_BITS : bits_lowest(rest);

			large->add_range(k, h->large, bitmap_pfn(map, p.word, first), n);
			bits &= ~(bits_mask(n) << first);
		}
		pfn += p.n;
	}
}

/// Moves up to n blocks that are free, but not in one part alone, to the large part.
/// Returns: false if there was none
static bool gather(struct kmm *k, struct hybrid *h, unsigned order, unsigned n)
{
	uint64_t size = 1ull << order, at = bits_align_up(h->base, size);
	struct frame_run run;
	unsigned found = 0;

	if (!(atomic_and_acq_rel(&h->mixed, (uint32_t)bits_mask(order)) >> order & 1u))
		return false;
	for (; at + size <= h->end && small->next_run(k, h->small, at, h->end, &run); at += size) {
		at = bits_align_down(run.pfn, size);
		if (at + size > h->end || free_to(k, h, at, at + size) < at + size)
			continue;
		move_range(k, h, at, at + size);
		if (++found == n)
			break;
	}
	if (found != 0)
		mixed_set(h); /* there may be more */
	return found != 0;
}

/// Takes a chunk, hands out up to n pieces of it and leaves the rest to the small part.
/// Returns: pieces, 0 if there is no chunk
static unsigned claim_chunk(struct kmm *k, struct hybrid *h, unsigned order,
			    enum frame_group group, unsigned n, struct kmm_pfn *out)
{
	unsigned chunk_order = order > CHUNK_ORDER ? order : CHUNK_ORDER, got = 0;
	struct kmm_pfn at;
	uint64_t end;

	if (large->claim(k, h->large, chunk_order, group, 1, &at) == 0)
		return 0;
	end = at.n + (1ull << chunk_order);
	for (; got < n && at.n < end; at.n += 1ull << order)
		out[got++] = at;
	if (at.n < end)
		small->add_range(k, h->small, at, end - at.n);
	return got;
}

static unsigned claim_small(struct kmm *k, struct hybrid *h, unsigned order,
			    enum frame_group group, unsigned n, struct kmm_pfn *out)
{
	unsigned got = small->claim(k, h->small, order, group, n, out), more = 1;

	for (; got < n && more != 0; got += more)
		more = claim_chunk(k, h, order, group, n - got, out + got);
	if (got < n)
		got += large->claim(k, h->large, order, group, n - got, out + got);
	return got;
}

static unsigned claim_large(struct kmm *k, struct hybrid *h, unsigned order,
			    enum frame_group group, unsigned n, struct kmm_pfn *out)
{
	unsigned got = large->claim(k, h->large, order, group, n, out);

	if (got < n)
		got += small->claim(k, h->small, order, group, n - got, out + got);
	return got;
}

static unsigned hybrid_claim(struct kmm *k, void *state, unsigned order, enum frame_group group,
			     unsigned n, struct kmm_pfn *out)
{
	struct hybrid *h = state;
	unsigned got = order < h->large_order ? claim_small(k, h, order, group, n, out) :
						claim_large(k, h, order, group, n, out);

	while (got < n && order != 0 && gather(k, h, order, n - got))
		got += large->claim(k, h->large, order, group, n - got, out + got);
	return got;
}

static bool hybrid_next_run(struct kmm *k, const void *state, uint64_t from, uint64_t to,
			    struct frame_run *run)
{
	const struct hybrid *h = state;
	struct frame_run other;

	to = to > h->end ? h->end : to;
	if (!small->next_run(k, h->small, from, to, run))
		return large->next_run(k, h->large, from, to, run);
	if (large->next_run(k, h->large, from, run->pfn, &other))
		*run = other;
	/* From its end on the parts take turns. */
	run->n = free_to(k, h, run->pfn + run->n, to) - run->pfn;
	return true;
}

static uint64_t hybrid_claim_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct hybrid *h = state;

	return small->claim_range(k, h->small, pfn, n) + large->claim_range(k, h->large, pfn, n);
}

static uint64_t hybrid_lock_n(const void *state)
{
	const struct hybrid *h = state;

	return small->lock_n(h->small) + large->lock_n(h->large);
}

static enum kmm_error hybrid_check(struct kmm *k, void *state, uint64_t *free_n)
{
	struct hybrid *h = state;
	uint64_t small_n = 0, large_n = 0, at = h->base;
	enum kmm_error e = small->check(k, h->small, &small_n);
	struct frame_run run, both;

	if (e == KMM_OK)
		e = large->check(k, h->large, &large_n);
	*free_n = small_n + large_n;
	for (; e == KMM_OK && small->next_run(k, h->small, at, h->end, &run); at = run.pfn + run.n)
		if (large->next_run(k, h->large, run.pfn, run.pfn + run.n, &both))
			e = frame_broken(k, "hybrid I1: free in both parts", both.pfn);
	return e;
}

const struct frame_policy frame_policy_hybrid = {
	.name = "hybrid",
	.meta_bytes = hybrid_meta_bytes,
	.init = hybrid_init,
	.add_range = hybrid_add_range,
	.claim = hybrid_claim,
	.release = hybrid_release,
	.next_run = hybrid_next_run,
	.claim_range = hybrid_claim_range,
	.lock_n = hybrid_lock_n,
	.check = hybrid_check,
};
