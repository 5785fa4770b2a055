/// Nodes: which memory is near which CPU, and in which order zones are asked.
///
/// A topology is what firmware says: ranges of memory by node, distances, a tier for
/// memory that is slower by kind (CXL, persistent). Without one, or under a preset that
/// knows no nodes, everything is node 0. Unknown distances count as REMOTE, a node's to
/// itself as LOCAL.
///
/// Lists. A zone's place on the list of (node, first kind) is by, in this order: whether
/// it is for old devices only and something else was asked for; tier; distance; then
/// kind, from the one asked for downwards; then address. So a CPU fills its own node, then
/// the nearest, and slow tiers last, before it touches the scarce low memory.
///
/// Policies are looked at while a list is walked, in rounds, since "preferred" means that
/// the set goes first whatever tier and distance. Interleaving asks the node whose turn it
/// is, then those of the set as they are near to it, then the others; the cursor is the
/// caller's, and races on it cost no more than an uneven turn.
#include "frame/zone.h"

#define LOCAL 10u
#define REMOTE 20u

enum kmm_error node_init(struct kmm *k, const struct kmm_config *c)
{
	const struct kmm_topology *t = c->preset->frame_nodes ? c->topology : NULL;
	struct frame_state *s = k->frame;

	s->nodes_n = t ? t->nodes_n : 1u;
	if (s->nodes_n == 0 || s->nodes_n > KMM_NODES_MAX ||
	    (t && t->ranges_n > KMM_NODE_RANGES_MAX))
		return KMM_EINVAL;
	for (unsigned i = 0; t && i < t->ranges_n; i++)
		if (t->range[i].node >= s->nodes_n || t->range[i].start.a >= t->range[i].end.a)
			return KMM_EINVAL;
	for (unsigned a = 0; a < s->nodes_n; a++) {
		s->tier[a] = t ? t->tier[a] : 0;
		for (unsigned b = 0; b < s->nodes_n; b++) {
			uint8_t told = t ? t->distance[a][b] : 0;

			s->distance[a][b] = told ? told : a == b ? LOCAL : REMOTE;
		}
	}
	for (unsigned i = 0; i < c->cpus_n; i++) {
		uint8_t node = t ? t->cpu_node[i] : 0;

		if (node >= s->nodes_n)
			return KMM_EINVAL;
		k->cpus[i].frame->node = node;
	}
	return KMM_OK;
}

unsigned node_at(const struct kmm_config *c, struct kmm_pa pa, struct kmm_pa *end)
{
	const struct kmm_topology *t = c->preset->frame_nodes ? c->topology : NULL;
	unsigned node = 0;

	end->a = ~0ull;
	for (unsigned i = 0; t && i < t->ranges_n && i < KMM_NODE_RANGES_MAX; i++) {
		uint64_t start = bits_align_down(t->range[i].start.a, KMM_PAGE_BYTES);
		uint64_t stop = bits_align_down(t->range[i].end.a, KMM_PAGE_BYTES);

		if (pa.a >= start && pa.a < stop) {
			end->a = stop;
			return t->range[i].node < KMM_NODES_MAX ? t->range[i].node : 0;
		}
		if (start > pa.a && start < end->a)
			end->a = start;
	}
	return node;
}

/// Smaller = asked earlier. ~0: not on the list
static uint64_t place(const struct frame_state *s, const struct zone *z, unsigned node,
		      unsigned kind)
{
	bool scarce = z->kind == KMM_ZONE_DMA && kind != KMM_ZONE_DMA;

	if (z->kind > kind || (z->kind != kind && kind == KMM_ZONE_DEVICE))
		return ~0ull;
	return (uint64_t)scarce << 40 | (uint64_t)z->tier << 32 |
	       (uint64_t)s->distance[node][z->node] << 24 | (uint64_t)(kind - z->kind) << 16 |
	       z->index;
}

/// One list: zones by rising place, picked one after another (there are few).
static void list_make(struct frame_state *s, unsigned node, unsigned kind)
{
	struct zone_list *l = &s->list[node][kind];
	uint64_t last = 0;

	for (bool more = true; more;) {
		uint64_t best = ~0ull;

		for (unsigned i = 0; i < s->zones_n; i++) {
			uint64_t p = place(s, &s->zone[i], node, kind);

			if (p < best && (l->n == 0 || p > last))
				best = p;
		}
		more = best != ~0ull;
		if (more)
			l->zone[l->n++] = (uint8_t)best;
		last = best;
	}
}

void node_lists_init(struct kmm *k)
{
	for (unsigned node = 0; node < k->frame->nodes_n; node++)
		for (unsigned kind = 0; kind < KMM_ZONE_KINDS_N; kind++)
			list_make(k->frame, node, kind);
}

unsigned node_round(const struct kmm_node_policy *p, unsigned node, unsigned turn)
{
	bool inside = p != NULL && p->set >> node & 1u;

	switch (p != NULL ? p->kind : KMM_NODES_LOCAL) {
	case KMM_NODES_BIND:
		return inside ? 0 : NODE_ROUNDS;
	case KMM_NODES_PREFER:
		return inside ? 0 : 1u;
	case KMM_NODES_INTERLEAVE:
		return !inside ? 2u : node == turn ? 0 : 1u;
	case KMM_NODES_LOCAL:
		break;
	}
	return 0;
}

unsigned node_first(struct kmm *k, struct kmm_node_policy *p)
{
	unsigned here = kmm_port_cpu(k)->frame->node;
	uint32_t set, turn;

	if (p == NULL || p->kind != KMM_NODES_INTERLEAVE)
		return here;
	set = p->set & (uint32_t)bits_mask(k->frame->nodes_n);
	if (set == 0)
		return here;
	/* The next node of the set after the one that had its turn. */
	turn = atomic_load_relaxed(&p->next);
	turn = turn < 32u && set >> turn != 0 ? turn + bits_lowest(set >> turn) : bits_lowest(set);
	atomic_store_relaxed(&p->next, turn + 1u);
	return turn;
}
