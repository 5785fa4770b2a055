/// An AVL tree with parent links and a subtree maximum.
///
/// What: nodes live inside their owners; the tree allocates nothing. The key
/// orders; the weight is the owner's (for regions: the gap below them), and
/// `heaviest` lets a search for 'the last node of at least this weight' skip
/// every subtree that has none.
///
/// AVL rather than red-black: look-ups outnumber changes by far (each fault is
/// one), and the AVL bound on height, 1.44 lg n, is the tighter one.
///
/// Invariants
///   I1  a left subtree's keys are smaller, a right subtree's larger
///   I2  a child's parent link names its parent; the root's is NULL
///   I3  height = 1 + the taller child's height, NULL counting 0
///   I4  the children's heights differ by one at most
///   I5  heaviest = the largest weight in the subtree
///
/// A change repairs I3..I5 from the deepest node it touched towards the root.
/// The walk may end as soon as a node's height and heaviest come out as they
/// were: all above it depends on nothing else.
///
/// Locking: the owner's. Failure: none. Limits: height is 8 bits, far beyond
/// any 64-bit address space.
/// Source: Knuth, TAOCP vol. 3, 6.2.3.
#include "base/tree.h"

static unsigned height_of(const struct tree_node *n)
{
	return n ? n->height : 0u;
}

static uint64_t heaviest_of(const struct tree_node *n)
{
	return n ? n->heaviest : 0u;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/// Recomputes I3 and I5 of one node. Returns whether anything changed.
static bool refresh(struct tree_node *n)
{
	unsigned l = height_of(n->child[TREE_LEFT]), r = height_of(n->child[TREE_RIGHT]);
	uint8_t height = (uint8_t)(1u + (l > r ? l : r));
	uint64_t heaviest = max_u64(n->weight, max_u64(heaviest_of(n->child[TREE_LEFT]),
						       heaviest_of(n->child[TREE_RIGHT])));
	bool changed = height != n->height || heaviest != n->heaviest;

	n->height = height;
	n->heaviest = heaviest;
	return changed;
}

/// Puts `to` (may be NULL) where `from` hangs.
static void replace_child(struct tree *t, struct tree_node *from, struct tree_node *to)
{
	struct tree_node *parent = from->parent;

	if (parent == NULL)
		t->root = to;
	else
		parent->child[parent->child[TREE_RIGHT] == from] = to;
	if (to)
		to->parent = parent;
}

static void set_child(struct tree_node *n, unsigned side, struct tree_node *child)
{
	n->child[side] = child;
	if (child)
		child->parent = n;
}

/// Lifts n's child of the side opposite to `side` into n's place; n sinks to
/// `side`. Returns the lifted node.
static struct tree_node *rotate(struct tree *t, struct tree_node *n, unsigned side)
{
	struct tree_node *up = n->child[!side];

	replace_child(t, n, up);
	set_child(n, !side, up->child[side]);
	set_child(up, side, n);
	(void)refresh(n);
	(void)refresh(up);
	return up;
}

/// Restores I4 at n, whose subtrees hold all invariants. Returns the node now
/// in n's place.
static struct tree_node *rebalance(struct tree *t, struct tree_node *n)
{
	int lean = (int)height_of(n->child[TREE_RIGHT]) - (int)height_of(n->child[TREE_LEFT]);
	unsigned tall = lean > 0;
	struct tree_node *c;

	if (lean >= -1 && lean <= 1)
		return n;
	c = n->child[tall];
	if (height_of(c->child[!tall]) > height_of(c->child[tall]))
		(void)rotate(t, c, tall);
	return rotate(t, n, !tall);
}

/// Repairs I3..I5 from n upwards. The early end compares what stood in n's place
/// before with what stands there after, since a rotation refreshes on its own.
static void repair(struct tree *t, struct tree_node *n)
{
	while (n) {
		uint8_t height = n->height;
		uint64_t heaviest = n->heaviest;

		(void)refresh(n);
		n = rebalance(t, n);
		if (n->height == height && n->heaviest == heaviest)
			return;
		n = n->parent;
	}
}

void tree_insert(struct tree *t, struct tree_node *n)
{
	struct tree_node *parent = NULL, *at = t->root;
	unsigned side = TREE_LEFT;

	while (at) {
		parent = at;
		side = n->key > at->key;
		at = at->child[side];
	}
	n->child[TREE_LEFT] = n->child[TREE_RIGHT] = NULL;
	n->parent = parent;
	n->height = 1;
	n->heaviest = n->weight;
	if (parent)
		parent->child[side] = n;
	else
		t->root = n;
	repair(t, parent);
}

void tree_remove(struct tree *t, struct tree_node *n)
{
	struct tree_node *from, *heir;

	if (n->child[TREE_LEFT] && n->child[TREE_RIGHT]) {
		/* The successor takes n's place, height and heaviest, so that
		 * repair, starting below, sees what stood there before. */
		heir = n->child[TREE_RIGHT];
		while (heir->child[TREE_LEFT])
			heir = heir->child[TREE_LEFT];
		from = heir->parent == n ? heir : heir->parent;
		replace_child(t, heir, heir->child[TREE_RIGHT]);
		set_child(heir, TREE_LEFT, n->child[TREE_LEFT]);
		set_child(heir, TREE_RIGHT, n->child[TREE_RIGHT]);
		heir->height = n->height;
		heir->heaviest = n->heaviest;
		replace_child(t, n, heir);
		repair(t, from);
		if (from != heir)
			repair(t, heir); /* its own weight differs from n's */
		return;
	}
	heir = n->child[n->child[TREE_LEFT] == NULL];
	from = n->parent;
	replace_child(t, n, heir);
	repair(t, from);
}

void tree_weigh(struct tree_node *n, uint64_t weight)
{
	n->weight = weight;
	while (n && refresh(n))
		n = n->parent;
}

struct tree_node *tree_lower_bound(const struct tree *t, uint64_t key)
{
	struct tree_node *n = t->root, *best = NULL;

	while (n) {
		if (n->key >= key) {
			best = n;
			n = n->child[TREE_LEFT];
		} else {
			n = n->child[TREE_RIGHT];
		}
	}
	return best;
}

struct tree_node *tree_floor(const struct tree *t, uint64_t key)
{
	struct tree_node *n = t->root, *best = NULL;

	while (n) {
		if (n->key <= key) {
			best = n;
			n = n->child[TREE_RIGHT];
		} else {
			n = n->child[TREE_LEFT];
		}
	}
	return best;
}

struct tree_node *tree_last_fit(const struct tree *t, uint64_t weight)
{
	struct tree_node *n = t->root;

	if (n == NULL || n->heaviest < weight)
		return NULL;
	for (;;) {
		struct tree_node *right = n->child[TREE_RIGHT];

		if (right && right->heaviest >= weight)
			n = right;
		else if (n->weight >= weight)
			return n;
		else
			n = n->child[TREE_LEFT]; /* I5: it must be there */
	}
}

struct tree_node *tree_end(const struct tree *t, enum tree_side side)
{
	struct tree_node *n = t->root;

	while (n && n->child[side])
		n = n->child[side];
	return n;
}

struct tree_node *tree_step(struct tree_node *n, enum tree_side side)
{
	if (n->child[side]) {
		n = n->child[side];
		while (n->child[!side])
			n = n->child[!side];
		return n;
	}
	while (n->parent && n->parent->child[side] == n)
		n = n->parent;
	return n->parent;
}

static struct tree_node *deepest_first(struct tree_node *n)
{
	while (n->child[TREE_LEFT] || n->child[TREE_RIGHT])
		n = n->child[n->child[TREE_LEFT] == NULL];
	return n;
}

struct tree_node *tree_postorder_first(const struct tree *t)
{
	return t->root ? deepest_first(t->root) : NULL;
}

struct tree_node *tree_postorder_next(struct tree_node *n)
{
	struct tree_node *parent = n->parent;

	if (parent && parent->child[TREE_LEFT] == n && parent->child[TREE_RIGHT])
		return deepest_first(parent->child[TREE_RIGHT]);
	return parent;
}

static bool node_valid(struct tree_node *n)
{
	unsigned l = height_of(n->child[TREE_LEFT]), r = height_of(n->child[TREE_RIGHT]);
	uint64_t heaviest = max_u64(n->weight, max_u64(heaviest_of(n->child[TREE_LEFT]),
						       heaviest_of(n->child[TREE_RIGHT])));

	for (unsigned side = 0; side < 2; side++) {
		if (n->child[side] && n->child[side]->parent != n)
			return false; /* I2 */
	}
	return n->height == 1u + (l > r ? l : r)        /* I3 */
	       && l <= r + 1u && r <= l + 1u            /* I4 */
	       && n->heaviest == heaviest;              /* I5 */
}

bool tree_valid(const struct tree *t)
{
	struct tree_node *last = NULL;

	if (t->root && t->root->parent)
		return false; /* I2 */
	for (struct tree_node *n = tree_first(t); n; last = n, n = tree_next(n)) {
		if (!node_valid(n) || (last && last->key >= n->key)) /* I1 */
			return false;
	}
	return true;
}
