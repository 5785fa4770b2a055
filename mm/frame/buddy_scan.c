/// Buddy policy as small systems have it: one lock, blocks up to 2 MiB, lists that must
/// be walked. Kept beside buddy.c, whose slow twin it is, to show what its design buys.
///
/// Free blocks of orders 0 to 9 stand in one list an order, singly linked through their
/// heads' entries (index + 1, 0 = none). A claim takes the smallest block that suffices
/// and puts the rest back. A release knows no orders: it gives frame by frame back, each
/// with a lock hold of its own, joined with its buddy as far up as it goes. Whether the
/// buddy is free is told by its tag; to take it out, its list is walked from the front.
/// Groups are ignored, and larger blocks than 2 MiB never found.
///
/// Invariants are I1 to I3 of buddy.c, with one list an order, and the largest order 9.
///
/// Locking: `lock` (LOCK_ZONE) guards all lists, their entries, and the tags of their
/// blocks. No block is in transit while it is free.
///
/// Failure: a claim that finds too few blocks returns fewer.
///
/// Limits: the removal of a buddy is O(blocks of its order), with interrupts off, and a
/// release of 2^order frames does it up to 2^order times.
///
/// Sources: Knuth, TAOCP 1, 2.5 (buddy system).
#include "base/lock.h"
#include "frame/buddy_tags.h"

#define SCAN_ORDER_MAX 9u
#define ORDERS_N (SCAN_ORDER_MAX + 1u)

struct scan {
	struct buddy_span span;  /* constant */
	struct lock lock;
	uint64_t lock_n;         /* lock; read without it */
	uint32_t head[ORDERS_N]; /* entry index + 1; lock */
};

static uint64_t scan_meta_bytes(uint64_t n, unsigned cpus_n)
{
	(void)n;
	(void)cpus_n;
	return sizeof(struct scan);
}

static void *scan_init(struct kmm *k, void *meta, uint64_t base, uint64_t n)
{
	struct scan *s = meta;

	(void)k;
	s->span = (struct buddy_span){ base, base + n };
	lock_init(&s->lock, LOCK_ZONE);
	return s;
}

static unsigned long scan_lock(struct kmm *k, struct scan *s)
{
	unsigned long was = lock_acquire(k, &s->lock);

	counter_add(&s->lock_n, 1u);
	return was;
}

static void push_locked(struct kmm *k, struct scan *s, uint64_t pfn, unsigned order)
{
	buddy_entry(k, pfn)->next = s->head[order];
	s->head[order] = (uint32_t)(pfn - k->entry_base) + 1u;
	buddy_tag(k, pfn, FRAME_FREE + order);
}

/// Takes a block out: finds the link that leads to it first.
static void remove_locked(struct kmm *k, struct scan *s, uint64_t pfn, unsigned order)
{
	uint32_t self = (uint32_t)(pfn - k->entry_base) + 1u, *link = &s->head[order];

	while (*link != self) {
		KMM_ASSERT(k, *link != 0, "buddy I1");
		link = &k->entry[*link - 1u].next;
	}
	*link = k->entry[self - 1u].next;
	buddy_tag(k, pfn, FRAME_NONE);
}

static bool listed_locked(const struct kmm *k, const struct scan *s, uint64_t pfn, unsigned order)
{
	return pfn >= s->span.base && pfn + (1ull << order) <= s->span.end &&
	       buddy_is_free(k, pfn, order);
}

/// Adds a free block, joined with its buddies (I3).
static void put_block_locked(struct kmm *k, struct scan *s, uint64_t pfn, unsigned order)
{
	for (; order < SCAN_ORDER_MAX; order++) {
		uint64_t other = pfn ^ 1ull << order;

		if (!listed_locked(k, s, other, order))
			break;
		remove_locked(k, s, other, order);
		pfn = other < pfn ? other : pfn;
	}
	push_locked(k, s, pfn, order);
}

/// Adds n free frames in the largest blocks that alignment allows.
static void put_range_locked(struct kmm *k, struct scan *s, uint64_t pfn, uint64_t n)
{
	while (n != 0) {
		unsigned order = buddy_code_order(buddy_first(pfn, n, SCAN_ORDER_MAX));

		put_block_locked(k, s, pfn, order);
		pfn += 1ull << order;
		n -= 1ull << order;
	}
}

static void scan_add_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct scan *s = state;
	unsigned long was = scan_lock(k, s);

	KMM_ASSERT(k, pfn.n >= s->span.base && pfn.n + n <= s->span.end, "a range inside the span");
	put_range_locked(k, s, pfn.n, n);
	lock_release(k, &s->lock, was);
}

/// Takes one block. Returns: false if there is none
static bool claim_locked(struct kmm *k, struct scan *s, unsigned order, struct kmm_pfn *out)
{
	unsigned from = order;
	uint64_t size = 1ull << order;

	while (from < ORDERS_N && s->head[from] == 0)
		from++;
	if (from == ORDERS_N)
		return false;
	out->n = k->entry_base + s->head[from] - 1u;
	remove_locked(k, s, out->n, from);
	put_range_locked(k, s, out->n + size, (1ull << from) - size);
	return true;
}

static unsigned scan_claim(struct kmm *k, void *state, unsigned order, enum frame_group group,
			   unsigned n, struct kmm_pfn *out)
{
	struct scan *s = state;
	unsigned long was;
	unsigned got = 0;

	(void)group;
	if (order > SCAN_ORDER_MAX)
		return 0;
	was = scan_lock(k, s);
	while (got < n && claim_locked(k, s, order, &out[got]))
		got++;
	lock_release(k, &s->lock, was);
	return got;
}

static void scan_release(struct kmm *k, void *state, unsigned order, unsigned n,
			 const struct kmm_pfn *in)
{
	struct scan *s = state;

	for (unsigned i = 0; i < n; i++) {
		KMM_ASSERT(k, bits_aligned(in[i].n, 1ull << order), "a block is aligned");
		KMM_ASSERT(k, in[i].n >= s->span.base && in[i].n + (1ull << order) <= s->span.end,
			   "a block of this span");
		KMM_ASSERT(k, frame_kind(k, in[i]) == FRAME_NONE, "a released head is unmarked");
		for (uint64_t j = 0; j < 1ull << order; j++) {
			unsigned long was = scan_lock(k, s);

			put_block_locked(k, s, in[i].n + j, 0);
			lock_release(k, &s->lock, was);
		}
	}
}

static bool scan_next_run(struct kmm *k, const void *state, uint64_t from, uint64_t to,
			  struct frame_run *run)
{
	const struct scan *s = state;

	return buddy_run(k, s->span, from, to, run);
}

static uint64_t scan_claim_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct scan *s = state;
	unsigned long was = scan_lock(k, s);
	uint64_t from = pfn.n, to = from + n, code, taken = 0;

	while ((code = buddy_next_block(k, s->span, from, to)) != 0) {
		uint64_t head = buddy_code_pfn(code), end = head + (1ull << buddy_code_order(code));

		remove_locked(k, s, head, buddy_code_order(code));
		taken += buddy_isolate(k, code, from, to);
		if (head < from)
			put_range_locked(k, s, head, from - head);
		if (end > to)
			put_range_locked(k, s, to, end - to);
		from = end;
	}
	lock_release(k, &s->lock, was);
	return taken;
}

static uint64_t scan_lock_n(const void *state)
{
	const struct scan *s = state;

	return counter_read(&s->lock_n);
}

static enum kmm_error scan_check(struct kmm *k, void *state, uint64_t *free_n)
{
	struct scan *s = state;
	struct buddy_census c = { 0, 0 };
	unsigned long was = lock_acquire(k, &s->lock);
	enum kmm_error err = KMM_OK;

	for (unsigned o = 0; o < ORDERS_N && err == KMM_OK; o++) {
		struct buddy_list l = { s->head[o], o, SCAN_ORDER_MAX, 0, false };

		err = buddy_check_list(k, s->span, &l, &c);
	}
	lock_release(k, &s->lock, was);
	*free_n = c.frames_n;
	return err == KMM_OK ? buddy_check_heads(k, s->span, &c) : err;
}

const struct frame_policy frame_policy_buddy_scan = {
	.name = "buddy-scan",
	.meta_bytes = scan_meta_bytes,
	.init = scan_init,
	.add_range = scan_add_range,
	.claim = scan_claim,
	.release = scan_release,
	.next_run = scan_next_run,
	.claim_range = scan_claim_range,
	.lock_n = scan_lock_n,
	.check = scan_check,
};
