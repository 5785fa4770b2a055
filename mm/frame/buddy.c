/// Buddy policy: free blocks of 2^order frames in lists by order, a lock an order.
///
/// Blocks. A block of order o begins at a frame number that is a multiple of 2^o. Its
/// buddy, the other half of the block twice as large, differs in bit o alone. The span
/// may begin and end anywhere: buddies outside of it are never looked at. Holes are
/// frames that were never handed over: no free block is headed there, so they are never
/// joined. All there is of a free block is its head's tag, FRAME_FREE + order, and its
/// head's entry, which has the list's links (entry index + 1, 0 = none) and, in `flags`,
/// which list. So joining looks at one byte, and leaving the middle of a list is O(1).
///
/// Groups. Below 2 MiB each order has a list a group. A byte a 2 MiB block ('group') says
/// which group it serves, and so to which list its frees go. Whole 2 MiB blocks and larger
/// ones serve nobody and stand in list 0; who breaks one up sets its byte. A claim goes
/// through its group's blocks from the smallest that suffices, then through the whole
/// ones, then takes the largest of the other group. Then it may take the 2 MiB block over,
/// byte and free blocks: always for pinned frames, which spoil it anyway, for movable
/// ones if half of it is free. The byte is a preference that may be read late or change
/// at any time; where a block stands is what its entry says.
///
/// Batches. A claim takes all the blocks of an order that it needs in one lock hold, and
/// cuts them up outside; 64 frames from one larger block cost little more than one. A
/// release joins neighbours in the batch before it takes a lock, then goes from order to
/// order with all that is left, a lock hold each.
///
/// Invariants
///   I1  a tag in the span is FRAME_FREE + o exactly if the frame heads a block in a list
///       of order o, the one that its entry's flags name (0 from 2 MiB on);
///   I2  a listed block is aligned to its size, inside the span, and its tags but the
///       first are FRAME_NONE;
///   I3  no listed block's buddy is listed with the same order (below the largest);
///   I4  has[o] has bit g set exactly if list g of order o isn't empty;
///   I5  whole[i] counts the blocks in list 0 of order 9 + i.
///
/// Locking: order o's `lock` (LOCK_ZONE, one held at a time) guards its lists, has[o] and
/// the entries of the blocks in them. A block that moves between orders is in transit: in
/// no list, its tags FRAME_NONE, known to its CPU alone. Claims on other CPUs may miss it.
///
/// Why a look at a neighbour's tag is exact under lock o, although another CPU may own
/// the neighbour and write its tag at that moment: the question is only whether it is
/// FRAME_FREE + o. That value is written, and overwritten, under lock o alone. If it stands
/// there, whoever put it released the lock before we took it, and nobody can take it away
/// now. If not, whatever else is stored meanwhile (an owner's tag, the free tag of another
/// order under another lock) is another value too; and one of an earlier life can't
/// come back, since the store that ended it happened before our look, through the lock.
///
/// Why I3 holds when nothing is in transit: a block gets into list o in one place only
/// (put_order), and looks for its buddy in the same lock hold. Of two buddies in list
/// o one came second, and would have found the other there: lists are left under lock o
/// too. regroup moves a block between lists of one order in one hold.
///
/// has[] is read without the lock to skip empty lists; a claim that found too few goes
/// round again with read-modify-writes, which see the last store whatever its age (C11
/// 7.17.3). So it fails only if each list was empty when it was asked.
///
/// Failure: a claim that finds too few blocks returns fewer. Releasing what isn't the
/// caller's breaks the contract; the frame unit checks tags first.
///
/// Limits: 2^32 - 2 frames a table (32-bit links); a lock is held for up to BATCH list
/// operations, or as many as a claim has blocks, with interrupts off.
///
/// Sources: Knuth, TAOCP 1, 2.5 (buddy system); Knowlton, CACM 8/10 (1965); Linux's
/// page allocator for groups (mobility) and for who takes a block over.
#include "frame/buddy.h"

#define BATCH 64u /* blocks released at once */

static uint64_t buddy_meta_bytes(uint64_t n, unsigned cpus_n)
{
	(void)cpus_n;
	/* One more than n / 512 rounded up: the base may cut a 2 MiB block. */
	return sizeof(struct buddy) + (n >> BUDDY_WHOLE) + 2u;
}

static void *buddy_init(struct kmm *k, void *meta, uint64_t base, uint64_t n)
{
	struct buddy *b = meta;

	(void)k;
	b->span = (struct buddy_span){ base, base + n };
	b->group0 = base >> BUDDY_WHOLE;
	for (unsigned o = 0; o < BUDDY_ORDERS_N; o++)
		lock_init(&b->order[o].lock, LOCK_ZONE);
	return b;
}

/// Lists those of n blocks that have this order, or joins them with their buddies.
/// Returns: how many are left in code[]; *all = their codes, or'ed
static unsigned put_order(struct kmm *k, struct buddy *b, unsigned order, uint64_t *code,
			  unsigned n, uint64_t *all)
{
	unsigned long was = buddy_lock(k, b, order);
	unsigned left = 0;

	*all = 0;
	for (unsigned i = 0; i < n; i++) {
		uint64_t c = code[i], pfn = buddy_code_pfn(c), other = pfn ^ 1ull << order;

		if (buddy_code_order(c) == order) {
			if (order == KMM_ORDER_MAX || !buddy_listed_locked(k, b, other, order)) {
				buddy_insert_locked(k, b, pfn, order, buddy_list_of(b, pfn, order));
				continue;
			}
			buddy_remove_locked(k, b, other, order);
			c = buddy_codes_joined(c, buddy_code(other, order));
		}
		code[left++] = c;
		*all |= c;
	}
	buddy_unlock(k, b, order, was);
	return left;
}

/// Gives free blocks back, smallest order first, as joining makes larger ones.
static void put_blocks(struct kmm *k, struct buddy *b, uint64_t *code, unsigned n)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < n; i++)
		all |= code[i];
	while (n != 0)
		n = put_order(k, b, bits_lowest(all), code, n, &all);
}

/// Gives n free frames back in the largest blocks that alignment allows. Nearly all of
/// these have orders of their own, so there is nothing to gain from a batch.
void buddy_put_range(struct kmm *k, struct buddy *b, uint64_t pfn, uint64_t n)
{
	while (n != 0) {
		uint64_t code = buddy_first(pfn, n, KMM_ORDER_MAX);
		uint64_t size = 1ull << buddy_code_order(code);

		put_blocks(k, b, &code, 1);
		pfn += size;
		n -= size;
	}
}

static void buddy_add_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct buddy *b = state;

	KMM_ASSERT(k, pfn.n >= b->span.base && pfn.n + n <= b->span.end, "a range inside the span");
	buddy_put_range(k, b, pfn.n, n);
}

static void buddy_release(struct kmm *k, void *state, unsigned order, unsigned n,
			  const struct kmm_pfn *in)
{
	struct buddy *b = state;
	uint64_t code[BATCH];
	unsigned m = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t c = buddy_code(in[i].n, order);

		KMM_ASSERT(k, bits_aligned(in[i].n, 1ull << order), "a block is aligned");
		KMM_ASSERT(k, in[i].n >= b->span.base && in[i].n + (1ull << order) <= b->span.end,
			   "a block of this span");
		KMM_ASSERT(k, frame_kind(k, in[i]) == FRAME_NONE, "a released head is unmarked");
		/* What the lists will write, while there are no locks to hold up. */
		__builtin_prefetch(buddy_entry(k, in[i].n), 1);
		while (m != 0 && buddy_codes_join(code[m - 1u], c))
			c = buddy_codes_joined(code[--m], c);
		code[m++] = c;
		if (m == BATCH) {
			put_blocks(k, b, code, m);
			m = 0;
		}
	}
	put_blocks(k, b, code, m);
}

static bool buddy_next_run(struct kmm *k, const void *state, uint64_t from, uint64_t to,
			   struct frame_run *run)
{
	const struct buddy *b = state;

	return buddy_run(k, b->span, from, to, run);
}

/// Takes a block out of its list, if it still stands there.
static bool take_block(struct kmm *k, struct buddy *b, uint64_t code)
{
	unsigned order = buddy_code_order(code);
	unsigned long was = buddy_lock(k, b, order);
	bool listed = buddy_listed_locked(k, b, buddy_code_pfn(code), order);

	if (listed)
		buddy_remove_locked(k, b, buddy_code_pfn(code), order);
	buddy_unlock(k, b, order, was);
	return listed;
}

static uint64_t buddy_claim_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct buddy *b = state;
	uint64_t from = pfn.n, to = from + n, code, taken = 0;

	while ((code = buddy_next_block(k, b->span, from, to)) != 0) {
		uint64_t head = buddy_code_pfn(code), end = head + (1ull << buddy_code_order(code));

		if (!take_block(k, b, code))
			continue; /* another CPU has changed it: look again */
		taken += buddy_isolate(k, code, from, to);
		if (head < from)
			buddy_put_range(k, b, head, from - head);
		if (end > to)
			buddy_put_range(k, b, to, end - to);
		from = end;
	}
	return taken;
}

static uint64_t buddy_whole_n(const void *state)
{
	const struct buddy *b = state;
	uint64_t n = 0;

	for (unsigned i = 0; i < BUDDY_ORDERS_N - BUDDY_WHOLE; i++)
		n += (uint64_t)counter_read(&b->whole[i]) << i;
	return n;
}

static uint64_t buddy_lock_n(const void *state)
{
	const struct buddy *b = state;
	uint64_t n = 0;

	for (unsigned o = 0; o < BUDDY_ORDERS_N; o++)
		n += counter_read(&b->order[o].lock_n);
	return n;
}

static enum kmm_error check_order_locked(struct kmm *k, const struct buddy *b, unsigned order,
					 struct buddy_census *c)
{
	uint64_t before_n = c->blocks_n;
	enum kmm_error err = KMM_OK;

	for (unsigned list = 0; list < FRAME_GROUPS_N && err == KMM_OK; list++) {
		uint32_t head = b->order[order].head[list];
		struct buddy_list l = { head, order, KMM_ORDER_MAX, list, true };

		if ((atomic_load_relaxed(&b->has[order]) >> list & 1u) != (head != 0))
			return frame_broken(k, "buddy I4: what order has", order);
		if (head != 0 && list != 0 && order >= BUDDY_WHOLE)
			return frame_broken(k, "buddy I1: whole blocks in a group's list", order);
		err = buddy_check_list(k, b->span, &l, c);
	}
	if (err == KMM_OK && order >= BUDDY_WHOLE &&
	    counter_read(&b->whole[order - BUDDY_WHOLE]) != c->blocks_n - before_n)
		err = frame_broken(k, "buddy I5: blocks counted, of order", order);
	return err;
}

static enum kmm_error buddy_check(struct kmm *k, void *state, uint64_t *free_n)
{
	struct buddy *b = state;
	struct buddy_census c = { 0, 0 };
	enum kmm_error err = KMM_OK;

	for (unsigned o = 0; o < BUDDY_ORDERS_N && err == KMM_OK; o++) {
		unsigned long was = lock_acquire(k, &b->order[o].lock);

		err = check_order_locked(k, b, o, &c);
		lock_release(k, &b->order[o].lock, was);
	}
	*free_n = c.frames_n;
	return err == KMM_OK ? buddy_check_heads(k, b->span, &c) : err;
}

const struct frame_policy frame_policy_buddy = {
	.name = "buddy",
	.meta_bytes = buddy_meta_bytes,
	.init = buddy_init,
	.add_range = buddy_add_range,
	.claim = buddy_claim,
	.release = buddy_release,
	.next_run = buddy_next_run,
	.claim_range = buddy_claim_range,
	.whole_n = buddy_whole_n,
	.lock_n = buddy_lock_n,
	.check = buddy_check,
};
