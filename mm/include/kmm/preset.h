/// A preset is a row of choices and limits, not a fork of code.
#ifndef KMM_PRESET_H
#define KMM_PRESET_H

#include <kmm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum kmm_frame_policy_id {
	KMM_FRAME_BUDDY,            /* a lock an order, O(1) removal */
	KMM_FRAME_BUDDY_SCAN,       /* one lock, orders to 9, lists walked to remove */
	KMM_FRAME_BITMAP,           /* lock-free, with a hint */
	KMM_FRAME_BITMAP_FIRST_FIT, /* one lock, no hint: scans from the start */
	KMM_FRAME_HYBRID,           /* bitmap below frame_hybrid_n frames, else buddy */
	KMM_FRAME_SPLIT,            /* bitmap below a boundary, buddy above */
	KMM_FRAME_SPLIT_SLOW,       /* the same of bitmap-first-fit and buddy-scan */
	KMM_FRAME_TREE,             /* lock-free, whole words, whole 2 MiB blocks */
	KMM_FRAME_POLICY_N
};

struct kmm_preset {
	const char *name;
	enum kmm_frame_policy_id frame_policy;
	uint32_t frame_hybrid_n;      /* requests of so many frames go to the buddy half */
	uint64_t frame_boundary;      /* of split, in bytes; outside a zone: its middle */
	uint16_t frame_cache_n;       /* single frames a CPU may cache; 0 = no cache */
	bool frame_cache_drains;      /* cached frames can be called back */
	bool frame_cache_adapts;      /* a cache grows with use, shrinks under pressure */
	bool frame_cache_orders;      /* blocks of order 1, 2, 3 and 9 are cached too */
	bool frame_zones;             /* zones by address; false = one for all memory */
	bool frame_nodes;             /* nodes are told apart */
	uint16_t frame_reserve_n;     /* frames held back for those that may not fail */
	uint16_t object_magazine_n;   /* objects a CPU may cache per slab cache */
	uint16_t object_caches_max;   /* caches besides kmalloc's; 0 = no limit */
	bool object_reclaims;         /* empty slabs go back to frames */
	uint16_t region_max;          /* regions per space; 0 = no limit */
	bool region_merges;           /* equal neighbours become one region */
	bool has_user;                /* address spaces exist at all */
	bool table_frees;             /* emptied page tables are freed */
};

/// The preset of that name, or NULL. Names: viperdos, veridian, neo, pagemill.
const struct kmm_preset *kmm_preset_find(const char *name);

/// A preset by name, or one with another frame policy, as in "pagemill+buddy".
/// Returns: false if there is no such preset or policy; *out is then undefined
bool kmm_preset_parse(const char *text, struct kmm_preset *out);

/// The name of a frame policy: buddy, buddy-scan, bitmap, bitmap-first-fit, hybrid, split,
/// split-slow, tree. NULL past the last.
const char *kmm_frame_policy_id_name(enum kmm_frame_policy_id id);

/// The i-th preset, or NULL past the last.
const struct kmm_preset *kmm_preset_at(unsigned i);

#ifdef __cplusplus
}
#endif
#endif
