/// The balanced tree against a sorted array: every query after every change.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/tree.h"

#define NODES 300u

struct item {
	struct tree_node node;
	bool in;
};

struct bench {
	struct tree tree;
	struct item item[NODES];
	struct item *sorted[NODES]; /* those that are in, by key */
	unsigned n;
	uint64_t seed;
};

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static struct item *item_of(struct tree_node *n)
{
	return n ? CONTAINER_OF(n, struct item, node) : NULL;
}

static unsigned lower_index(const struct bench *b, uint64_t key)
{
	unsigned i = 0;

	while (i < b->n && b->sorted[i]->node.key < key)
		i++;
	return i;
}

static void bench_insert(struct bench *b, struct item *it, uint64_t key, uint64_t weight)
{
	unsigned i = lower_index(b, key);

	it->node.key = key;
	it->node.weight = weight;
	it->in = true;
	tree_insert(&b->tree, &it->node);
	memmove(&b->sorted[i + 1], &b->sorted[i], (b->n - i) * sizeof(b->sorted[0]));
	b->sorted[i] = it;
	b->n++;
}

static void bench_remove(struct bench *b, struct item *it)
{
	unsigned i = lower_index(b, it->node.key);

	assert_ptr_equal(b->sorted[i], it);
	tree_remove(&b->tree, &it->node);
	it->in = false;
	b->n--;
	memmove(&b->sorted[i], &b->sorted[i + 1], (b->n - i) * sizeof(b->sorted[0]));
}

static struct item *slow_last_fit(const struct bench *b, uint64_t weight)
{
	for (unsigned i = b->n; i > 0; i--) {
		if (b->sorted[i - 1]->node.weight >= weight)
			return b->sorted[i - 1];
	}
	return NULL;
}

static void bench_compare(struct bench *b)
{
	struct tree_node *n = tree_first(&b->tree);
	struct tree_node *back = tree_last(&b->tree);
	uint64_t key = next_random(&b->seed) % 4096u, weight = next_random(&b->seed) % 130u;
	unsigned i = lower_index(b, key);
	unsigned after = lower_index(b, key + 1);

	assert_true(tree_valid(&b->tree));
	for (unsigned j = 0; j < b->n; j++) {
		assert_ptr_equal(item_of(n), b->sorted[j]);
		assert_ptr_equal(item_of(back), b->sorted[b->n - 1 - j]);
		n = tree_next(n);
		back = tree_prev(back);
	}
	assert_null(n);
	assert_null(back);
	assert_ptr_equal(item_of(tree_lower_bound(&b->tree, key)), i < b->n ? b->sorted[i] : NULL);
	assert_ptr_equal(item_of(tree_floor(&b->tree, key)), after ? b->sorted[after - 1] : NULL);
	assert_ptr_equal(item_of(tree_last_fit(&b->tree, weight)), slow_last_fit(b, weight));
}

static bool key_taken(const struct bench *b, uint64_t key)
{
	unsigned i = lower_index(b, key);

	return i < b->n && b->sorted[i]->node.key == key;
}

static void bench_step(struct bench *b, unsigned fill_in_8)
{
	struct item *it = &b->item[next_random(&b->seed) % NODES];
	uint64_t key = next_random(&b->seed) % 4096u;

	if (it->in && next_random(&b->seed) % 4u == 0)
		tree_weigh(&it->node, next_random(&b->seed) % 128u);
	else if (it->in && next_random(&b->seed) % 8u >= fill_in_8)
		bench_remove(b, it);
	else if (!it->in && next_random(&b->seed) % 8u < fill_in_8 && !key_taken(b, key))
		bench_insert(b, it, key, next_random(&b->seed) % 128u);
}

static struct bench *bench_new(uint64_t seed)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	tree_init(&b->tree);
	b->seed = seed;
	return b;
}

static void tree_empty_answers_null(void **state)
{
	struct tree t;

	(void)state;
	tree_init(&t);
	assert_true(tree_valid(&t));
	assert_null(tree_first(&t));
	assert_null(tree_last(&t));
	assert_null(tree_lower_bound(&t, 0));
	assert_null(tree_floor(&t, ~0ull));
	assert_null(tree_last_fit(&t, 0));
	assert_null(tree_postorder_first(&t));
}

static void tree_random_changes_equal_sorted_array(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct bench *b = bench_new(seed * 0x9e3779b97f4a7c15ull);

		for (unsigned i = 0; i < 3000; i++) {
			bench_step(b, i / 500 % 2 ? 2 : 6); /* grows and shrinks by turns */
			bench_compare(b);
		}
		free(b);
	}
}

static void tree_ascending_and_descending_stay_balanced(void **state)
{
	(void)state;
	for (int down = 0; down < 2; down++) {
		struct bench *b = bench_new(7);

		for (unsigned i = 0; i < NODES; i++)
			bench_insert(b, &b->item[i], down ? NODES - i : i, i % 97u);
		bench_compare(b);
		assert_true(b->tree.root->height <= 11); /* 1.44 lg 302 */
		while (b->n > 0) {
			bench_remove(b, b->sorted[down ? b->n - 1 : 0]);
			bench_compare(b);
		}
		free(b);
	}
}

static void tree_key_moved_within_its_gap_keeps_order(void **state)
{
	struct bench *b = bench_new(11);

	(void)state;
	for (unsigned i = 0; i < 64; i++)
		bench_insert(b, &b->item[i], 10 + i * 20, i);
	for (unsigned i = 0; i < 64; i++)
		b->item[i].node.key += 7;
	bench_compare(b);
	assert_ptr_equal(tree_floor(&b->tree, 17), &b->item[0].node);
	assert_null(tree_floor(&b->tree, 16));
	free(b);
}

static void tree_postorder_visits_children_first(void **state)
{
	struct bench *b = bench_new(13);
	unsigned seen = 0;

	(void)state;
	for (unsigned i = 0; i < 3000; i++)
		bench_step(b, 6);
	for (struct tree_node *n = tree_postorder_first(&b->tree), *next; n; n = next, seen++) {
		next = tree_postorder_next(n);
		for (int side = 0; side < 2; side++)
			assert_true(n->child[side] == NULL || n->child[side]->key == ~0ull);
		n->key = ~0ull; /* visited */
	}
	assert_int_equal(seen, b->n);
	free(b);
}

static void tree_broken_invariant_is_seen(void **state)
{
	struct bench *b = bench_new(17);
	struct tree_node *root;

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		bench_insert(b, &b->item[i], i, i);
	root = b->tree.root;
	root->heaviest++;
	assert_false(tree_valid(&b->tree));
	root->heaviest--;
	root->height++;
	assert_false(tree_valid(&b->tree));
	root->height--;
	root->child[0]->key = root->key;
	assert_false(tree_valid(&b->tree));
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree_empty_answers_null),
		cmocka_unit_test(tree_random_changes_equal_sorted_array),
		cmocka_unit_test(tree_ascending_and_descending_stay_balanced),
		cmocka_unit_test(tree_key_moved_within_its_gap_keeps_order),
		cmocka_unit_test(tree_postorder_visits_children_first),
		cmocka_unit_test(tree_broken_invariant_is_seen),
	};

	return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
