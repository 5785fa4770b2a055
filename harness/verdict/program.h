/// What verdict programs share.
#ifndef VERDICT_PROGRAM_H
#define VERDICT_PROGRAM_H

#include "verdict/verdict.h"

/// A running program: its body, and what it will say.
struct verdict {
	struct verdict_body *body;
	struct kmm *k;
	bool failed;
	char text[160]; /* figures, or why it failed */
};

/// If `holds` is false the program has failed, and the words say why; the first failure's
/// words stay. Its value is `holds`.
#define VERDICT_EXPECT(v, holds, ...)                                                     \
	((holds) ? true :                                                                 \
		   ((v)->failed ? (void)0 :                                               \
				  ((v)->failed = true,                                    \
				   (void)kmm_format((v)->text, sizeof((v)->text), __VA_ARGS__)), \
		    false))

/// What the program says if it doesn't fail.
#define VERDICT_SAY(v, ...) \
	((v)->failed ? (void)0 : (void)kmm_format((v)->text, sizeof((v)->text), __VA_ARGS__))

/// Kinds that an allocation gets without asking: KMM_ZONE_DMA to this.
#define VERDICT_PLAIN_KIND KMM_ZONE_NORMAL

/// Blocks held, chained through their first words.
struct chain {
	uint64_t head; /* frame number + 1; 0 = none */
	uint64_t blocks_n, frames_n;
};

void chain_push(struct kmm *k, struct chain *c, struct kmm_pfn pfn, unsigned order);

/// Takes the newest off again. Returns: false if there is none, or its words were changed
bool chain_pop(struct kmm *k, struct chain *c, struct kmm_pfn *pfn, unsigned *order);

/// Allocates blocks of order_max, then smaller ones, until nothing is left.
void chain_take_all(struct verdict *v, struct chain *c, unsigned order_max, unsigned flags,
		    struct kmm_node_policy *nodes);

/// Frees all blocks.
void chain_give_back(struct verdict *v, struct chain *c);

/// One block, or the program fails; false then.
bool verdict_alloc(struct verdict *v, unsigned order, unsigned flags, struct kmm_pfn *out);

/// Frees it, or the program fails.
void verdict_free(struct verdict *v, struct kmm_pfn pfn, unsigned order);

/// The zone of a frame. Returns: its number, KMM_ZONES_MAX if it has none
unsigned verdict_zone_of(struct verdict *v, struct kmm_pfn pfn, struct kmm_zone_info *out);

/// Frames free in the policies of zones up to this kind.
uint64_t verdict_free_in_zones(struct verdict *v, enum kmm_zone_kind last);

/// Free frames, cached ones included.
uint64_t verdict_free_n(struct verdict *v);

/// Each number depends on the last. Pre: *state != 0
static inline uint64_t verdict_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* The programs. */
void verdict_preset(struct verdict *v);        /* preset.c */
void verdict_fail_each(struct verdict *v);
void verdict_zones(struct verdict *v);         /* zones.c */
void verdict_nodes(struct verdict *v);         /* nodes.c */
void verdict_reserve(struct verdict *v);       /* pressure.c */
void verdict_watermarks(struct verdict *v);
void verdict_reclaim(struct verdict *v);
void verdict_limits(struct verdict *v);        /* ranges.c */
void verdict_counts(struct verdict *v);
void verdict_hotplug(struct verdict *v);
void verdict_zeroing(struct verdict *v);       /* contents.c */
void verdict_known_zero(struct verdict *v);
void verdict_wrong_free(struct verdict *v);
void verdict_fragmentation(struct verdict *v); /* fragments.c */
void verdict_over_time(struct verdict *v);
void verdict_cycles(struct verdict *v);        /* storms.c */
void verdict_storms(struct verdict *v);
void verdict_exhaustion(struct verdict *v);

#endif
