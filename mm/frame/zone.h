/// Zones (theory in zone.c): claims and releases that are counted, and the lists of who
/// is asked in which order.
#ifndef KMM_FRAME_ZONE_H
#define KMM_FRAME_ZONE_H

#include "frame/state.h"

/// Lowest and highest page that is memory or may become it. Returns: frames between
uint64_t zone_span(const struct kmm_memmap *m, uint64_t *base);

/// Metadata of all zones, added to a running total.
uint64_t zone_meta_bytes(const struct kmm_config *c, uint64_t total);

/// Makes the zones, hands them their frames, and sorts the lists.
KMM_MUST_CHECK enum kmm_error zone_init(struct kmm *k, const struct kmm_config *c, struct meta *m);

/// The zone whose span holds this frame, NULL if none.
struct zone *zone_of(struct kmm *k, struct kmm_pfn pfn);

/// Up to n blocks from this zone. Pre: interrupts off. Returns: how many
unsigned zone_claim(struct kmm *k, struct zone *z, unsigned order, enum frame_group group,
		    unsigned n, struct kmm_pfn *out);

/// Blocks back to this zone, all of it. Pre: interrupts off
void zone_release(struct kmm *k, struct zone *z, unsigned order, unsigned n,
		  const struct kmm_pfn *in);

/// Blocks back to their zones. Pre: interrupts off
void zone_release_mixed(struct kmm *k, unsigned order, unsigned n, const struct kmm_pfn *in);

/// Takes the free frames of a range, which lies in this zone. Returns: how many
/// Pre: LOCK_PLUG held, which makes FRAME_ISOLATED the caller's to interpret
uint64_t zone_claim_range(struct kmm *k, struct zone *z, struct kmm_pfn pfn, uint64_t n);

/// Releases frames that follow each other in this zone, in the largest blocks there are.
void zone_release_run(struct kmm *k, struct zone *z, struct kmm_pfn pfn, uint64_t n);

/// Releases every frame of a range that is tagged FRAME_ISOLATED. Returns: how many
/// zeroed: FRAME_ZEROED or 0. Pre: LOCK_PLUG held
uint64_t zone_release_isolated(struct kmm *k, struct zone *z, struct kmm_pfn pfn, uint64_t n,
			       unsigned zeroed);

/// A walk over the zones that a want allows, in their order.
struct zone_walk {
	const struct frame_want *want;
	const struct zone_list *list;
	unsigned node, round, at;
};

/// Pre: interrupts off
void zone_walk_begin(struct kmm *k, const struct frame_want *w, struct zone_walk *walk);

/// Returns: NULL after the last
struct zone *zone_walk_next(struct kmm *k, struct zone_walk *walk);

/// May a want be served from this zone?
bool zone_allowed(const struct frame_want *w, const struct zone *z);

/// This CPU's list of zones for wants that begin with a kind. Pre: interrupts off
static inline const struct zone_list *zone_list_here(struct kmm *k, unsigned kind)
{
	return &k->frame->list[kmm_port_cpu(k)->frame->node][kind];
}

/// Surely no block of this order in this CPU's usual zones. Pre: interrupts off
static inline bool zones_empty_here(struct kmm *k, unsigned order)
{
	const struct zone_list *l = zone_list_here(k, KMM_ZONE_NORMAL);
	uint64_t most = 0;

	for (unsigned i = 0; i < l->n; i++)
		most |= atomic_load_relaxed(&k->frame->zone[l->zone[i]].free_n);
	return most >> order == 0;
}

/// Up to n blocks from the zones that a want allows, in their order.
/// Pre: interrupts off. Returns: how many
unsigned zones_claim(struct kmm *k, const struct frame_want *w, unsigned n, struct kmm_pfn *out);

/// The marks that suit a zone of so many frames; sets them.
void zone_marks_set(struct zone *z, uint64_t managed_n);

/// Are its marks still those that suit so many frames?
bool zone_marks_suit(const struct zone *z, uint64_t managed_n);

/// Looks at a zone's level again. zone_tell is to follow.
void zone_look(struct kmm *k, struct zone *z);

/// Calls the listener for zones whose level changed. Pre: no lock of this unit held
void zone_tell(struct kmm *k);

/// Are an allocation's flags such as kmm/frame.h knows?
static inline bool frame_flags_valid(unsigned flags)
{
	return (flags & ~(unsigned)KMM_FRAME_FLAGS_MASK) == 0 &&
	       flags >> 8 <= KMM_ZONE_KINDS_N &&
	       (!(flags & KMM_FRAME_ONLY) || flags >> 8 != 0);
}

/// Order of the largest aligned block at the front of n frames. Pre: n != 0
static inline unsigned zone_front_order(uint64_t pfn, uint64_t n)
{
	unsigned order = bits_highest(n);

	if (pfn != 0 && bits_lowest(pfn) < order)
		order = bits_lowest(pfn);
	return order < KMM_ORDER_MAX ? order : KMM_ORDER_MAX;
}

/* node.c */

/// Fills nodes_n, distances, tiers and each CPU's node. Errors: KMM_EINVAL
KMM_MUST_CHECK enum kmm_error node_init(struct kmm *k, const struct kmm_config *c);

/// The node of an address, by the configuration. *end = where the answer changes
unsigned node_at(const struct kmm_config *c, struct kmm_pa pa, struct kmm_pa *end);

/// Fills the lists, once the zones stand.
void node_lists_init(struct kmm *k);

#define NODE_ROUNDS 3u /* and what node_round says of a node that is never asked */

/// In which round over the list a policy asks a node. turn: what node_first said
unsigned node_round(const struct kmm_node_policy *p, unsigned node, unsigned turn);

/// The node from which a want is counted: this CPU's, or the one whose turn it is.
unsigned node_first(struct kmm *k, struct kmm_node_policy *p);

#endif
