/// The preset table: three systems as their documents describe them,
/// weaknesses included, and our best. Rows choose; no code is forked.
#include <kmm/preset.h>

static const struct kmm_preset presets[] = {
	{
		.name = "viperdos",
		.frame_policy = KMM_FRAME_BUDDY,
		.frame_cache_n = 8,
		.frame_cache_drains = false,
		.object_magazine_n = 0,
		.object_caches_max = 16,
		.object_reclaims = false,
		.region_max = 64,
		.region_merges = false,
		.has_user = true,
		.table_frees = false,
	},
	{
		.name = "veridian",
		.frame_policy = KMM_FRAME_BITMAP,
		.frame_cache_n = 256,
		.frame_cache_drains = true,
		.object_magazine_n = 32,
		.object_caches_max = 0,
		.object_reclaims = true,
		.region_max = 0,
		.region_merges = true,
		.has_user = true,
		.table_frees = true,
	},
	{
		.name = "neo",
		.frame_policy = KMM_FRAME_BITMAP_FIRST_FIT,
		.frame_cache_n = 0,
		.frame_cache_drains = false,
		.object_magazine_n = 0,
		.object_caches_max = 0,
		.object_reclaims = true,
		.region_max = 0,
		.region_merges = true,
		.has_user = false,
		.table_frees = true,
	},
	{
		.name = "pagemill",
		.frame_policy = KMM_FRAME_BUDDY,
		.frame_cache_n = 256,
		.frame_cache_drains = true,
		.object_magazine_n = 64,
		.object_caches_max = 0,
		.object_reclaims = true,
		.region_max = 0,
		.region_merges = true,
		.has_user = true,
		.table_frees = true,
	},
};

#define PRESETS_N (sizeof(presets) / sizeof(presets[0]))

static bool name_equal(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

const struct kmm_preset *kmm_preset_find(const char *name)
{
	for (unsigned i = 0; name != NULL && i < PRESETS_N; i++)
		if (name_equal(presets[i].name, name))
			return &presets[i];
	return NULL;
}

const struct kmm_preset *kmm_preset_at(unsigned i)
{
	return i < PRESETS_N ? &presets[i] : NULL;
}
