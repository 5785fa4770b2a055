/// An intrusive balanced tree (AVL) ordered by a 64-bit key, in which each node
/// also carries a weight, and each subtree knows its largest one. tree.c holds
/// the theory.
#ifndef KMM_BASE_TREE_H
#define KMM_BASE_TREE_H

#include "base/bits.h"

enum tree_side { TREE_LEFT, TREE_RIGHT };

/// The owner sets key and weight before insertion. Later it may change the key
/// as long as the order stays, and the weight through tree_weigh only.
struct tree_node {
	struct tree_node *child[2];
	struct tree_node *parent;
	uint64_t key;
	uint64_t weight;
	uint64_t heaviest; /* largest weight in this node's subtree */
	uint8_t height;    /* 1 for a leaf */
};

struct tree {
	struct tree_node *root;
};

static inline void tree_init(struct tree *t)
{
	t->root = NULL;
}

/// Pre:  no node of that key is in the tree
/// Cost: O(log n), as all below except where said
void tree_insert(struct tree *t, struct tree_node *n);

/// Pre: n is in the tree
void tree_remove(struct tree *t, struct tree_node *n);

/// Gives a node another weight.
void tree_weigh(struct tree_node *n, uint64_t weight);

/// The first node with node key >= key, or NULL.
struct tree_node *tree_lower_bound(const struct tree *t, uint64_t key);

/// The last node with node key <= key, or NULL.
struct tree_node *tree_floor(const struct tree *t, uint64_t key);

/// The node with the largest key among those of at least this weight, or NULL.
struct tree_node *tree_last_fit(const struct tree *t, uint64_t weight);

/// The node with the smallest (TREE_LEFT) or largest key, or NULL.
struct tree_node *tree_end(const struct tree *t, enum tree_side side);

/// The neighbour on a side, or NULL. Cost: O(1) amortised over a whole walk
struct tree_node *tree_step(struct tree_node *n, enum tree_side side);

static inline struct tree_node *tree_first(const struct tree *t)
{
	return tree_end(t, TREE_LEFT);
}

static inline struct tree_node *tree_last(const struct tree *t)
{
	return tree_end(t, TREE_RIGHT);
}

static inline struct tree_node *tree_next(struct tree_node *n)
{
	return tree_step(n, TREE_RIGHT);
}

static inline struct tree_node *tree_prev(struct tree_node *n)
{
	return tree_step(n, TREE_LEFT);
}

/// A walk that visits children before parents and never looks back: a visited
/// node may be freed once its successor was asked for. NULL at the end.
struct tree_node *tree_postorder_first(const struct tree *t);
struct tree_node *tree_postorder_next(struct tree_node *n);

/// Do all invariants hold? Cost: O(n)
bool tree_valid(const struct tree *t);

#endif
