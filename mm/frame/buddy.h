/// The buddy policy's inside: its state, and its lists under their locks. Theory in buddy.c.
#ifndef KMM_FRAME_BUDDY_H
#define KMM_FRAME_BUDDY_H

#include "base/lock.h"
#include "frame/buddy_tags.h"

#define BUDDY_ORDERS_N (KMM_ORDER_MAX + 1u)
#define BUDDY_WHOLE 9u /* order of a 2 MiB block */

struct buddy_order {
	struct lock lock;
	uint64_t lock_n;               /* lock; read without it */
	uint32_t head[FRAME_GROUPS_N]; /* entry index + 1; lock */
} __attribute__((aligned(64)));

struct buddy {
	struct buddy_span span; /* constant */
	uint64_t group0;        /* number of the first 2 MiB block; constant */
	/* Written under the order's lock, read without it. */
	uint8_t has[BUDDY_ORDERS_N] __attribute__((aligned(64)));  /* I4; atomic */
	uint32_t whole[BUDDY_ORDERS_N - BUDDY_WHOLE] __attribute__((aligned(64))); /* I5 */
	struct buddy_order order[BUDDY_ORDERS_N];
	uint8_t group[]; /* of each 2 MiB block: enum frame_group; atomic */
};

static inline unsigned long buddy_lock(struct kmm *k, struct buddy *b, unsigned order)
{
	unsigned long was = lock_acquire(k, &b->order[order].lock);

	counter_add(&b->order[order].lock_n, 1u);
	return was;
}

static inline void buddy_unlock(struct kmm *k, struct buddy *b, unsigned order, unsigned long was)
{
	lock_release(k, &b->order[order].lock, was);
}

/// The list that a block put now belongs to.
static inline unsigned buddy_list_of(const struct buddy *b, uint64_t pfn, unsigned order)
{
	const uint8_t *group = &b->group[(pfn >> BUDDY_WHOLE) - b->group0];

	return order >= BUDDY_WHOLE ? 0 : atomic_load_relaxed(group);
}

/// I4. Stored even if a reader's read-modify-write comes between: that stores what it read.
static inline void buddy_has_set_locked(struct buddy *b, unsigned order, unsigned list, bool some)
{
	unsigned has = atomic_load_relaxed(&b->has[order]) & ~(1u << list);

	atomic_store_relaxed(&b->has[order], (uint8_t)(has | (unsigned)some << list));
}

/// I5: n blocks more in the lists of an order, perhaps of the counted ones.
static inline void buddy_whole_add_locked(struct buddy *b, unsigned order, uint32_t n)
{
	if (order >= BUDDY_WHOLE)
		counter_add(&b->whole[order - BUDDY_WHOLE], n);
}

static inline void buddy_insert_locked(struct kmm *k, struct buddy *b, uint64_t pfn,
				       unsigned order, unsigned list)
{
	uint32_t *head = &b->order[order].head[list];
	uint32_t link = (uint32_t)(pfn - k->entry_base) + 1u;
	struct frame_entry *e = buddy_entry(k, pfn);

	e->prev = 0;
	e->next = *head;
	e->flags = (uint8_t)list;
	if (e->next != 0)
		k->entry[e->next - 1u].prev = link;
	else
		buddy_has_set_locked(b, order, list, true);
	*head = link;
	buddy_whole_add_locked(b, order, 1u);
	buddy_tag(k, pfn, FRAME_FREE + order);
}

/// The first block of a list is now `link`.
static inline void buddy_head_set_locked(struct kmm *k, struct buddy *b, unsigned order,
					 unsigned list, uint32_t link)
{
	b->order[order].head[list] = link;
	if (link != 0)
		k->entry[link - 1u].prev = 0;
	else
		buddy_has_set_locked(b, order, list, false);
}

/// Takes a block out of its list, wherever it stands.
static inline void buddy_remove_locked(struct kmm *k, struct buddy *b, uint64_t pfn, unsigned order)
{
	const struct frame_entry *e = buddy_entry(k, pfn);

	KMM_ASSERT(k, e->flags < FRAME_GROUPS_N, "buddy I1");
	if (e->prev != 0) {
		k->entry[e->prev - 1u].next = e->next;
		if (e->next != 0)
			k->entry[e->next - 1u].prev = e->prev;
	} else {
		buddy_head_set_locked(k, b, order, e->flags, e->next);
	}
	buddy_whole_add_locked(b, order, 0u - 1u);
	buddy_tag(k, pfn, FRAME_NONE);
}

/// Is the block of this order at `pfn` listed here? Exact, under its order's lock.
static inline bool buddy_listed_locked(const struct kmm *k, const struct buddy *b, uint64_t pfn,
				       unsigned order)
{
	return pfn >= b->span.base && pfn + (1ull << order) <= b->span.end &&
	       buddy_is_free(k, pfn, order);
}

/// Gives n free frames back in the largest blocks that alignment allows.
void buddy_put_range(struct kmm *k, struct buddy *b, uint64_t pfn, uint64_t n);

/// frame_policy.claim
unsigned buddy_claim(struct kmm *k, void *state, unsigned order, enum frame_group group,
		     unsigned n, struct kmm_pfn *out);

#endif
