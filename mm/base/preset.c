/// The preset table: three systems as their documents describe them,
/// weaknesses included, and our best. Rows choose; no code is forked.
#include <kmm/preset.h>

static const struct kmm_preset presets[] = {
	{
		.name = "viperdos",
		.frame_policy = KMM_FRAME_SPLIT_SLOW,
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
		.frame_policy = KMM_FRAME_HYBRID,
		.frame_hybrid_n = 512,
		.frame_cache_n = 256,
		.frame_cache_drains = true,
		.frame_zones = true,
		.frame_nodes = true,
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
		.frame_policy = KMM_FRAME_TREE,
		.frame_cache_n = 512,
		.frame_cache_drains = true,
		.frame_cache_adapts = true,
		.frame_cache_orders = true,
		.frame_zones = true,
		.frame_nodes = true,
		.frame_reserve_n = 64,
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

const char *kmm_frame_policy_id_name(enum kmm_frame_policy_id id)
{
	static const char *const name[KMM_FRAME_POLICY_N] = {
		[KMM_FRAME_BUDDY] = "buddy",
		[KMM_FRAME_BUDDY_SCAN] = "buddy-scan",
		[KMM_FRAME_BITMAP] = "bitmap",
		[KMM_FRAME_BITMAP_FIRST_FIT] = "bitmap-first-fit",
		[KMM_FRAME_HYBRID] = "hybrid",
		[KMM_FRAME_SPLIT] = "split",
		[KMM_FRAME_SPLIT_SLOW] = "split-slow",
		[KMM_FRAME_TREE] = "tree",
	};

	return id < KMM_FRAME_POLICY_N ? name[id] : NULL;
}

/// Does `text` begin with `name`, and then end or go on with a '+'?
static bool name_begins(const char *text, const char *name, const char **rest)
{
	while (*name != '\0' && *text == *name) {
		text++;
		name++;
	}
	*rest = text;
	return *name == '\0' && (*text == '\0' || *text == '+');
}

bool kmm_preset_parse(const char *text, struct kmm_preset *out)
{
	const char *rest = NULL;
	unsigned i = 0;

	while (i < PRESETS_N && !(text != NULL && name_begins(text, presets[i].name, &rest)))
		i++;
	if (i == PRESETS_N)
		return false;
	*out = presets[i];
	if (*rest == '\0')
		return true;
	for (unsigned id = 0; id < KMM_FRAME_POLICY_N; id++) {
		if (name_equal(rest + 1, kmm_frame_policy_id_name((enum kmm_frame_policy_id)id))) {
			out->frame_policy = (enum kmm_frame_policy_id)id;
			return true;
		}
	}
	return false;
}

const struct kmm_preset *kmm_preset_at(unsigned i)
{
	return i < PRESETS_N ? &presets[i] : NULL;
}
