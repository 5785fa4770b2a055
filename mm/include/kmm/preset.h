/// A preset is a row of choices and limits, not a fork of code.
#ifndef KMM_PRESET_H
#define KMM_PRESET_H

#include <kmm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum kmm_frame_policy_id {
	KMM_FRAME_BUDDY,
	KMM_FRAME_BITMAP,
	KMM_FRAME_BITMAP_FIRST_FIT, /* no hint: scans from the start */
	KMM_FRAME_POLICY_N
};

struct kmm_preset {
	const char *name;
	enum kmm_frame_policy_id frame_policy;
	uint16_t frame_cache_n;       /* frames a CPU may cache; 0 = no cache */
	bool frame_cache_drains;      /* cached frames can be called back */
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

/// The i-th preset, or NULL past the last.
const struct kmm_preset *kmm_preset_at(unsigned i);

#ifdef __cplusplus
}
#endif
#endif
