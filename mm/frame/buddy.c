/// Buddy policy: free blocks of 2^order frames in one list an order.
///
/// A block of order o begins at a frame number that is a multiple of 2^o. Its
/// buddy, the other half of the block twice as large, differs in bit o alone.
/// A claim takes the smallest block that suffices and gives the rest back in the
/// largest blocks it holds; a release joins free buddies at once, as far up as it
/// goes. There is no memory but the frame table: the head's entry of a free
/// block carries its order and the list links (entry index + 1, 0 = none), so
/// taking a block from the middle of a list is O(1).
///
/// Buddies are found relative to `origin`, the span's base rounded down to the
/// largest block's size. A span may therefore begin and end anywhere: buddies
/// outside of it are never looked at, and a block is aligned in physical memory
/// too. Holes are frames that were never handed over: their entries are zero,
/// hence not free, hence never joined.
///
/// Invariants
///   I1  an entry in [base, end) has the kind FRAME_FREE exactly if it is in the
///       list of its order;
///   I2  a free block is aligned to its size from origin, inside [base, end), and
///       all its entries but the first have the kind FRAME_NONE and order 0;
///   I3  no free block's buddy is free with the same order (below the largest);
///   I4  bit o of `orders` is set exactly if list o has a block;
///   I5  free_n is the sum of the lists' frames.
///
/// Locking: `lock` (LOCK_ZONE) guards all of struct buddy and every entry of
/// kind FRAME_FREE. The kind of a neighbour is read while its owner, on another
/// CPU and without the lock, may change it; but only lock holders change it to
/// or from FRAME_FREE, so the answer to 'is it free' can't be stale.
///
/// Failure: a claim that finds too few blocks returns fewer and has changed
/// nothing else. Releasing what isn't the caller's breaks the contract; the frame
/// unit checks entries first.
///
/// Limits: 2^32 - 2 frames a table (32-bit links); n release calls under one lock
/// hold cost O(n * orders) with interrupts off.
///
/// Sources: Knuth, TAOCP 1, 2.5 (buddy system); Knowlton, CACM 8/10 (1965).
#include "base/lock.h"
#include "frame/entry.h"
#include "frame/policy.h"

#define ORDERS_N (KMM_ORDER_MAX + 1u)

struct buddy {
	struct lock lock;
	uint64_t base, end;      /* constant */
	uint64_t origin;         /* constant */
	uint64_t free_n;         /* lock; read without it */
	uint64_t lock_n;         /* lock; read without it */
	uint32_t orders;         /* I4; lock; read without it */
	uint32_t head[ORDERS_N]; /* entry index + 1; lock */
};

static uint64_t buddy_meta_bytes(uint64_t n)
{
	(void)n;
	return sizeof(struct buddy);
}

static void *buddy_init(struct kmm *k, void *meta, uint64_t base, uint64_t n)
{
	struct buddy *b = meta;

	(void)k;
	lock_init(&b->lock, LOCK_ZONE);
	b->base = base;
	b->end = base + n;
	b->origin = bits_align_down(base, 1ull << KMM_ORDER_MAX);
	return b;
}

static struct frame_entry *entry_of(struct kmm *k, uint64_t pfn)
{
	return &k->entry[pfn - k->entry_base];
}

/// Puts a block at the front of its list.
static void list_push_locked(struct kmm *k, struct buddy *b, uint64_t pfn, unsigned order)
{
	struct frame_entry *e = entry_of(k, pfn);
	uint32_t link = (uint32_t)(pfn - k->entry_base) + 1u;

	e->prev = 0;
	e->next = b->head[order];
	if (e->next != 0)
		k->entry[e->next - 1u].prev = link;
	else
		atomic_store_relaxed(&b->orders, b->orders | 1u << order);
	b->head[order] = link;
	e->order = (uint8_t)order;
	frame_kind_set(e, FRAME_FREE);
}

/// Takes a block out of its list, wherever it stands.
static void list_take_locked(struct kmm *k, struct buddy *b, struct frame_entry *e)
{
	unsigned order = e->order;

	if (e->prev != 0)
		k->entry[e->prev - 1u].next = e->next;
	else
		b->head[order] = e->next;
	if (e->next != 0)
		k->entry[e->next - 1u].prev = e->prev;
	if (b->head[order] == 0)
		atomic_store_relaxed(&b->orders, b->orders & ~(1u << order));
	e->prev = 0;
	e->next = 0;
	e->order = 0; /* I2: it may become the inside of a larger block */
	frame_kind_set(e, FRAME_NONE);
}

/// Is [pfn, pfn + 2^order) one free block of this instance?
static bool block_free_locked(struct kmm *k, const struct buddy *b, uint64_t pfn, unsigned order)
{
	const struct frame_entry *e;

	if (pfn < b->base || pfn + (1ull << order) > b->end)
		return false;
	e = entry_of(k, pfn);
	return frame_kind_get(e) == FRAME_FREE && e->order == order;
}

/// Adds a free block, joined with its buddies (I3).
static void put_block_locked(struct kmm *k, struct buddy *b, uint64_t pfn, unsigned order)
{
	for (; order < KMM_ORDER_MAX; order++) {
		uint64_t size = 1ull << order;
		uint64_t other = b->origin + ((pfn - b->origin) ^ size);

		if (!block_free_locked(k, b, other, order))
			break;
		list_take_locked(k, b, entry_of(k, other));
		pfn = other < pfn ? other : pfn;
	}
	list_push_locked(k, b, pfn, order);
}

/// Adds n free frames in the largest blocks that alignment allows.
static void put_range_locked(struct kmm *k, struct buddy *b, uint64_t pfn, uint64_t n)
{
	while (n != 0) {
		unsigned order = bits_highest(n);
		uint64_t at = pfn - b->origin;

		if (order > KMM_ORDER_MAX)
			order = KMM_ORDER_MAX;
		if (at != 0 && bits_lowest(at) < order)
			order = bits_lowest(at);
		put_block_locked(k, b, pfn, order);
		pfn += 1ull << order;
		n -= 1ull << order;
	}
}

static unsigned long buddy_lock(struct kmm *k, struct buddy *b)
{
	unsigned long was = lock_acquire(k, &b->lock);

	counter_add(&b->lock_n, 1u);
	return was;
}

static void buddy_add_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct buddy *b = state;
	unsigned long was = buddy_lock(k, b);

	KMM_ASSERT(k, pfn.n >= b->base && pfn.n + n <= b->end, "a range inside the span");
	put_range_locked(k, b, pfn.n, n);
	counter_add(&b->free_n, n);
	lock_release(k, &b->lock, was);
}

/// Takes the smallest block that suffices, up to `want` pieces of it, and puts
/// the rest back. Returns: pieces taken
static unsigned carve_locked(struct kmm *k, struct buddy *b, unsigned order, unsigned want,
			     struct kmm_pfn *out)
{
	uint32_t fit = b->orders >> order << order;
	unsigned from = bits_lowest(fit), got;
	uint32_t index = b->head[from] - 1u;
	uint64_t pfn = k->entry_base + index;
	uint64_t pieces = 1ull << (from - order);

	KMM_ASSERT(k, frame_kind_get(&k->entry[index]) == FRAME_FREE, "buddy I1");
	KMM_ASSERT(k, k->entry[index].order == from, "buddy I1");
	list_take_locked(k, b, &k->entry[index]);
	got = want < pieces ? want : (unsigned)pieces;
	for (unsigned i = 0; i < got; i++)
		out[i].n = pfn + ((uint64_t)i << order);
	put_range_locked(k, b, pfn + ((uint64_t)got << order), (pieces - got) << order);
	return got;
}

static unsigned buddy_claim(struct kmm *k, void *state, unsigned order, unsigned n,
			    struct kmm_pfn *out)
{
	struct buddy *b = state;
	unsigned long was = buddy_lock(k, b);
	unsigned got = 0;

	while (got < n && b->orders >> order != 0)
		got += carve_locked(k, b, order, n - got, out + got);
	counter_add(&b->free_n, 0u - ((uint64_t)got << order));
	lock_release(k, &b->lock, was);
	return got;
}

static void buddy_release(struct kmm *k, void *state, unsigned order, unsigned n,
			  const struct kmm_pfn *in)
{
	struct buddy *b = state;
	unsigned long was = buddy_lock(k, b);

	for (unsigned i = 0; i < n; i++) {
		KMM_ASSERT(k, bits_aligned(in[i].n, 1ull << order), "a block is aligned");
		KMM_ASSERT(k, in[i].n >= b->base && in[i].n + (1ull << order) <= b->end,
			   "a block of this span");
		KMM_ASSERT(k, frame_kind_get(entry_of(k, in[i].n)) == FRAME_NONE,
			   "a released head is unmarked");
		put_block_locked(k, b, in[i].n, order);
	}
	counter_add(&b->free_n, (uint64_t)n << order);
	lock_release(k, &b->lock, was);
}

static uint64_t buddy_free_n(const void *state)
{
	const struct buddy *b = state;

	return counter_read(&b->free_n);
}

static unsigned buddy_largest_order(const void *state)
{
	const struct buddy *b = state;
	uint32_t orders = atomic_load_relaxed(&b->orders);

	return orders ? bits_highest(orders) + 1u : 0u;
}

static uint64_t buddy_lock_n(const void *state)
{
	const struct buddy *b = state;

	return counter_read(&b->lock_n);
}

/// I2 and I3 of one listed block.
static enum kmm_error check_block_locked(struct kmm *k, const struct buddy *b, uint64_t pfn,
					 unsigned order)
{
	uint64_t size = 1ull << order;

	if (pfn < b->base || pfn + size > b->end || !bits_aligned(pfn - b->origin, size))
		return frame_broken(k, "buddy I2: block outside or unaligned", pfn);
	for (uint64_t i = 1; i < size; i++) {
		const struct frame_entry *e = entry_of(k, pfn + i);

		if (frame_kind_get(e) != FRAME_NONE || e->order != 0)
			return frame_broken(k, "buddy I2: marked inside a free block", pfn + i);
	}
	if (order < KMM_ORDER_MAX &&
	    block_free_locked(k, b, b->origin + ((pfn - b->origin) ^ size), order))
		return frame_broken(k, "buddy I3: buddies both free", pfn);
	return KMM_OK;
}

/// One list. Adds its blocks and frames to the totals.
static enum kmm_error check_list_locked(struct kmm *k, const struct buddy *b, unsigned order,
					uint64_t *blocks_n, uint64_t *frames_n)
{
	uint32_t prev = 0;

	if (!(b->orders >> order & 1u) != !b->head[order])
		return frame_broken(k, "buddy I4: order mask", order);
	for (uint32_t at = b->head[order]; at != 0; at = k->entry[at - 1u].next) {
		const struct frame_entry *e = &k->entry[at - 1u];
		uint64_t pfn = k->entry_base + at - 1u;
		enum kmm_error err;

		if (at > k->entry_end - k->entry_base || ++*blocks_n > b->end - b->base)
			return frame_broken(k, "buddy I1: list runs away", pfn);
		if (frame_kind_get(e) != FRAME_FREE || e->order != order || e->prev != prev)
			return frame_broken(k, "buddy I1: entry doesn't fit its list", pfn);
		err = check_block_locked(k, b, pfn, order);
		if (err != KMM_OK)
			return err;
		prev = at;
		*frames_n += 1ull << order;
	}
	return KMM_OK;
}

static enum kmm_error check_locked(struct kmm *k, const struct buddy *b)
{
	uint64_t blocks_n = 0, frames_n = 0;

	for (unsigned order = 0; order < ORDERS_N; order++) {
		enum kmm_error err = check_list_locked(k, b, order, &blocks_n, &frames_n);

		if (err != KMM_OK)
			return err;
	}
	if (frames_n != b->free_n)
		return frame_broken(k, "buddy I5: free count", b->base);
	/* What lies inside a listed block was looked at with it. */
	for (uint64_t pfn = b->base; pfn < b->end;) {
		const struct frame_entry *e = entry_of(k, pfn);
		bool free = frame_kind_get(e) == FRAME_FREE;

		blocks_n -= free;
		pfn += free ? 1ull << (e->order % ORDERS_N) : 1u;
	}
	return blocks_n == 0 ? KMM_OK : frame_broken(k, "buddy I1: free but unlisted", b->base);
}

static enum kmm_error buddy_check(struct kmm *k, void *state)
{
	struct buddy *b = state;
	unsigned long was = lock_acquire(k, &b->lock);
	enum kmm_error e = check_locked(k, b);

	lock_release(k, &b->lock, was);
	return e;
}

const struct frame_policy frame_policy_buddy = {
	.name = "buddy",
	.meta_bytes = buddy_meta_bytes,
	.init = buddy_init,
	.add_range = buddy_add_range,
	.claim = buddy_claim,
	.release = buddy_release,
	.free_n = buddy_free_n,
	.largest_order = buddy_largest_order,
	.lock_n = buddy_lock_n,
	.check = buddy_check,
};
