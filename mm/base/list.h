/// Circular doubly linked list with its head inside: insertion and removal O(1),
/// no branch, no special case for empty.
#ifndef KMM_BASE_LIST_H
#define KMM_BASE_LIST_H

#include "base/bits.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add(struct list *head, struct list *n)
{
	n->next = head->next;
	n->prev = head;
	head->next->prev = n;
	head->next = n;
}

static inline void list_add_tail(struct list *head, struct list *n)
{
	list_add(head->prev, n);
}

static inline void list_remove(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define LIST_FIRST(head, type, member) CONTAINER_OF((head)->next, type, member)

/* The end is told by address: the head lies in no element, and an element type
 * of large alignment must not be seen there. */
#define LIST_EACH(it, head, type, member)                                    \
	for (type *it = CONTAINER_OF((head)->next, type, member);            \
	     (char *)it + offsetof(type, member) != (char *)(head);          \
	     it = CONTAINER_OF(it->member.next, type, member))

#endif
