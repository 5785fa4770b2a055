/// Claims of the buddy policy: which lists are asked, and what is done with the blocks.
/// Theory, invariants and locking in buddy.c.
///
/// The order of asking is also what keeps groups apart: a claim breaks a whole 2 MiB block
/// up before it takes from the other group's. What it takes there is the largest block, so
/// that the next claims find their rest, and it takes the 2 MiB block over where that
/// pays. A claim is counted in frames wherever they come from: it may mix lists.
#include "frame/buddy.h"

/// The 2 MiB blocks that meet [pfn, pfn + n) serve this group from now on.
static void group_set(struct buddy *b, uint64_t pfn, uint64_t n, enum frame_group group)
{
	uint8_t *at = &b->group[(pfn >> BUDDY_WHOLE) - b->group0];
	uint8_t *last = &b->group[((pfn + n - 1u) >> BUDDY_WHOLE) - b->group0];

	for (; at <= last; at++)
		if (atomic_load_relaxed(at) != group)
			atomic_store_relaxed(at, (uint8_t)group);
}

/// What a claim wants, and how it asks.
struct want {
	unsigned order;
	enum frame_group group;
	bool sure; /* has[] is asked so that the answer isn't late */
};

static bool order_has(struct buddy *b, unsigned order, unsigned list, bool sure)
{
	uint8_t has = sure ? atomic_or_acq_rel(&b->has[order], 0) :
			     atomic_load_relaxed(&b->has[order]);

	return has >> list & 1u;
}

/// Takes up to n blocks off the front of a list.
static unsigned pop(struct kmm *k, struct buddy *b, unsigned order, unsigned list, unsigned n,
		    struct kmm_pfn *out)
{
	unsigned long was = buddy_lock(k, b, order);
	uint32_t link = b->order[order].head[list];
	unsigned got = 0;

	for (; link != 0 && got < n; got++) {
		out[got].n = k->entry_base + link - 1u;
		KMM_ASSERT(k, buddy_is_free(k, out[got].n, order), "buddy I1");
		buddy_tag(k, out[got].n, FRAME_NONE);
		link = k->entry[link - 1u].next;
	}
	if (got != 0) {
		buddy_head_set_locked(k, b, order, list, link);
		buddy_whole_add_locked(b, order, 0u - got);
	}
	buddy_unlock(k, b, order, was);
	return got;
}

/// Claims up to n pieces from the blocks of one list.
static unsigned claim_list(struct kmm *k, struct buddy *b, const struct want *w, unsigned from,
			   unsigned list, unsigned n, struct kmm_pfn *out)
{
	unsigned lg = from - w->order, blocks = ((n - 1u) >> lg) + 1u;
	uint64_t last, got;

	blocks = pop(k, b, from, list, blocks, out);
	if (blocks == 0)
		return 0;
	last = out[blocks - 1u].n;
	got = (uint64_t)blocks << lg < n ? (uint64_t)blocks << lg : n;
	/* Backwards, so that a block is read before its pieces overwrite it. */
	for (uint64_t i = blocks, end = got; i-- != 0; end = i << lg) {
		uint64_t head = out[i].n;

		if (from >= BUDDY_WHOLE)
			group_set(b, head, (end - (i << lg)) << w->order, w->group);
		for (uint64_t j = end; j-- != i << lg;)
			out[j].n = head + ((j - (i << lg)) << w->order);
	}
	last += (got - ((uint64_t)(blocks - 1u) << lg)) << w->order;
	buddy_put_range(k, b, last, (((uint64_t)blocks << lg) - got) << w->order);
	return (unsigned)got;
}

/// Claims from the lists of the group and those of whole blocks.
static unsigned claim_own(struct kmm *k, struct buddy *b, const struct want *w, unsigned n,
			  struct kmm_pfn *out)
{
	unsigned got = 0;

	for (unsigned o = w->order; o < BUDDY_ORDERS_N && got < n; o++) {
		unsigned list = o >= BUDDY_WHOLE ? 0 : w->group;

		if (order_has(b, o, list, w->sure))
			got += claim_list(k, b, w, o, list, n - got, out + got);
	}
	return got;
}

/// Takes the 2 MiB block that pfn is in over for a group, with what is free of it.
static void regroup(struct kmm *k, struct buddy *b, uint64_t pfn, enum frame_group group)
{
	uint64_t from = bits_align_down(pfn, 1ull << BUDDY_WHOLE), code;
	uint64_t to = from + (1ull << BUDDY_WHOLE);
	uint32_t orders = 0;

	group_set(b, pfn, 1, group);
	for (uint64_t at = from; (code = buddy_next_block(k, b->span, at, to)) != 0;) {
		orders |= 1u << buddy_code_order(code);
		at = buddy_code_pfn(code) + (1ull << buddy_code_order(code));
	}
	for (orders &= (1u << BUDDY_WHOLE) - 1u; orders != 0; orders &= orders - 1u) {
		unsigned o = bits_lowest(orders);
		unsigned long was = buddy_lock(k, b, o);

		for (uint64_t at = from; at < to; at += 1ull << o) {
			if (!buddy_listed_locked(k, b, at, o) || buddy_entry(k, at)->flags == group)
				continue;
			buddy_remove_locked(k, b, at, o);
			buddy_insert_locked(k, b, at, o, group);
		}
		buddy_unlock(k, b, o, was);
	}
}

/// Claims from the largest blocks of the other group.
static unsigned claim_other(struct kmm *k, struct buddy *b, const struct want *w, unsigned n,
			    struct kmm_pfn *out)
{
	unsigned other = w->group == FRAME_GROUP_PINNED ? FRAME_GROUP_MOVABLE : FRAME_GROUP_PINNED;

	for (unsigned o = BUDDY_WHOLE; o-- > w->order;) {
		bool takes_over = w->group == FRAME_GROUP_PINNED || o == BUDDY_WHOLE - 1u;
		unsigned block_n = 1u << (o - w->order), got;

		if (!order_has(b, o, other, w->sure))
			continue;
		got = claim_list(k, b, w, o, other, takes_over && block_n < n ? block_n : n, out);
		if (got != 0 && takes_over)
			regroup(k, b, out[0].n, w->group);
		if (got != 0)
			return got;
	}
	return 0;
}

unsigned buddy_claim(struct kmm *k, void *state, unsigned order, enum frame_group group,
		     unsigned n, struct kmm_pfn *out)
{
	struct buddy *b = state;
	struct want w = { order, group, false };
	unsigned got = 0;

	for (;;) {
		unsigned more = claim_own(k, b, &w, n - got, out + got);

		if (got + more < n)
			more += claim_other(k, b, &w, n - got - more, out + got + more);
		got += more;
		if (got == n || (more == 0 && w.sure))
			return got;
		w.sure = more == 0;
	}
}
