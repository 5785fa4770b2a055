/// Nodes: a CPU's memory comes from its own node, then from the nearest; a policy that
/// binds never leaves its set, one that prefers does when the set is empty, one that
/// interleaves shares evenly.
#include "verdict/program.h"

#define EACH 12u         /* allocations of each node when interleaving */
#define UNCACHED_ORDER 4u /* no CPU caches blocks of it */

/// Nodes with frames that are given without asking, one bit each.
static uint32_t nodes_with_memory(struct verdict *v)
{
	struct kmm_zone_info z;
	uint32_t set = 0;

	for (unsigned i = 0; kmm_zone_info(v->k, i, &z) == KMM_OK; i++)
		if (z.kind <= VERDICT_PLAIN_KIND && z.managed_n >= 4096u)
			set |= 1u << z.node;
	return set;
}

static unsigned count_of(uint32_t set)
{
	unsigned n = 0;

	for (; set != 0; set &= set - 1u)
		n++;
	return n;
}

struct local {
	struct verdict *v;
	uint32_t set;
	uint32_t far_n, none_n; /* atomic */
};

/// One frame and one block of this CPU, each of its own node.
static void local_work(void *ctx, unsigned cpu)
{
	struct local *l = ctx;
	unsigned own = l->v->body->topology->cpu_node[cpu];
	static const unsigned order[] = { 0, UNCACHED_ORDER };

	for (unsigned i = 0; i < 2u; i++) {
		struct kmm_pfn pfn;

		if (kmm_frame_alloc(l->v->k, order[i], 0, &pfn) != KMM_OK) {
			__atomic_fetch_add(&l->none_n, 1u, __ATOMIC_RELAXED);
			continue;
		}
		if (l->set >> own & 1u && kmm_node_of(l->v->k, pfn) != own)
			__atomic_fetch_add(&l->far_n, 1u, __ATOMIC_RELAXED);
		if (kmm_frame_free(l->v->k, pfn, order[i]) != KMM_OK)
			__atomic_fetch_add(&l->none_n, 1u, __ATOMIC_RELAXED);
	}
}

static void local_first(struct verdict *v, uint32_t set)
{
	struct local l = { .v = v, .set = set };

	v->body->on_cpus(v->body, local_work, &l);
	VERDICT_EXPECT(v, l.none_n == 0, "%u allocations or frees failed", l.none_n);
	VERDICT_EXPECT(v, l.far_n == 0, "%u allocations came from another node", l.far_n);
}

/// One frame under a policy. Returns: its node, KMM_NODES_MAX if there was none
static unsigned node_given(struct verdict *v, enum kmm_node_policy_kind kind, uint32_t set)
{
	struct kmm_node_policy p = { .kind = kind, .set = set };
	struct kmm_pfn pfn;
	unsigned node;

	if (kmm_frame_alloc_on(v->k, 0, 0, &p, &pfn) != KMM_OK)
		return KMM_NODES_MAX;
	node = kmm_node_of(v->k, pfn);
	verdict_free(v, pfn, 0);
	return node;
}

static void interleaved(struct verdict *v, uint32_t set)
{
	struct kmm_node_policy p = { .kind = KMM_NODES_INTERLEAVE, .set = set };
	unsigned given[KMM_NODES_MAX] = { 0 };
	struct chain held = { 0 };

	for (unsigned i = 0; i < EACH * count_of(set); i++) {
		struct kmm_pfn pfn;

		if (!VERDICT_EXPECT(v, kmm_frame_alloc_on(v->k, 0, 0, &p, &pfn) == KMM_OK,
				    "interleaving found nothing"))
			break;
		given[kmm_node_of(v->k, pfn)]++;
		chain_push(v->k, &held, pfn, 0);
	}
	for (unsigned node = 0; node < KMM_NODES_MAX; node++)
		VERDICT_EXPECT(v, given[node] == (set >> node & 1u ? EACH : 0),
			       "interleaving gave %u frames of node %u", given[node], node);
	chain_give_back(v, &held);
}

/// The node that is asked after `from`: by tier, then distance.
static unsigned nearest(const struct kmm_topology *t, uint32_t set, unsigned from)
{
	unsigned best = KMM_NODES_MAX, best_far = ~0u;

	for (unsigned node = 0; node < KMM_NODES_MAX; node++) {
		unsigned far;

		if (node == from || !(set >> node & 1u))
			continue;
		far = t->distance[from][node] ? t->distance[from][node] : 20u;
		far += (unsigned)t->tier[node] << 8;
		if (far < best_far) {
			best_far = far;
			best = node;
		}
	}
	return best;
}

/// With a node's memory all taken.
static void emptied(struct verdict *v, uint32_t set, unsigned node)
{
	struct kmm_node_policy bind = { .kind = KMM_NODES_BIND, .set = 1u << node };
	unsigned next = nearest(v->body->topology, set, node), got;
	struct chain all = { 0 };

	chain_take_all(v, &all, 9, 0, &bind);
	got = node_given(v, KMM_NODES_BIND, 1u << node);
	VERDICT_EXPECT(v, got == KMM_NODES_MAX, "bound to node %u, all taken: node %u", node, got);
	got = node_given(v, KMM_NODES_PREFER, 1u << node);
	VERDICT_EXPECT(v, got < KMM_NODES_MAX && got != node,
		       "node %u preferred, all taken: node %u", node, got);
	got = node_given(v, KMM_NODES_INTERLEAVE, 1u << node);
	VERDICT_EXPECT(v, got == next, "after node %u comes node %u, not %u", node, next, got);
	if (v->body->topology->cpu_node[0] == node) {
		got = node_given(v, KMM_NODES_LOCAL, 0);
		VERDICT_EXPECT(v, got == next, "nearest to CPU 0 is node %u, not %u", next, got);
	}
	chain_give_back(v, &all);
}

void verdict_nodes(struct verdict *v)
{
	uint32_t set = nodes_with_memory(v);
	unsigned nodes_n = count_of(set), got;

	if (v->body->topology == NULL || nodes_n < 2u) {
		got = node_given(v, KMM_NODES_BIND, 1u);
		VERDICT_EXPECT(v, got == 0, "bound to node 0: node %u", got);
		got = node_given(v, KMM_NODES_INTERLEAVE, 3u);
		VERDICT_EXPECT(v, got == 0, "interleaved over one node: node %u", got);
		VERDICT_SAY(v, "one node");
		return;
	}
	local_first(v, set);
	for (unsigned node = 0; node < KMM_NODES_MAX; node++) {
		if (!(set >> node & 1u))
			continue;
		got = node_given(v, KMM_NODES_BIND, 1u << node);
		VERDICT_EXPECT(v, got == node, "bound to node %u: node %u", node, got);
		got = node_given(v, KMM_NODES_PREFER, 1u << node);
		VERDICT_EXPECT(v, got == node, "node %u preferred: node %u", node, got);
		emptied(v, set, node);
	}
	interleaved(v, set);
	VERDICT_SAY(v, "%u nodes: local first on %u CPUs, nearest next, bound, preferred, "
		    "%u frames of each interleaved", nodes_n, v->body->cpus_n, EACH);
}
