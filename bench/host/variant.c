/// The table of variants is made once, from kmm's presets and the policies named here.
#include "variant.h"

#include <stdio.h>
#include <string.h>

#include "threads/threads.h"

#ifndef BENCH_FLAGS
#error "the build says which flags the measured code was compiled with"
#endif


static const struct {
	const char *name;
	enum kmm_frame_policy_id id;
} policies[] = {
	{ "buddy", KMM_FRAME_BUDDY },
	{ "buddy-scan", KMM_FRAME_BUDDY_SCAN },
	{ "bitmap", KMM_FRAME_BITMAP },
	{ "bitmap-first-fit", KMM_FRAME_BITMAP_FIRST_FIT },
	{ "hybrid", KMM_FRAME_HYBRID },
	{ "split", KMM_FRAME_SPLIT },
	{ "split-slow", KMM_FRAME_SPLIT_SLOW },
	{ "tree", KMM_FRAME_TREE },
};

static struct variant variants[VARIANTS_MAX];
static unsigned variants_n, presets_n;

/// Does kmm take this row? Asked by building an instance of 64 MiB.
static bool accepted(const struct kmm_preset *row)
{
	static struct threads_machine m;
	struct threads_options o = { .preset = row, .bytes = 64ull << 20, .base = 4ull << 30,
				     .cpus_n = 1 };

	if (threads_start(&m, &o) != NULL)
		return false;
	(void)threads_stop(&m);
	return true;
}

static void add(const struct kmm_preset *row, const char *policy)
{
	struct variant *v = &variants[variants_n];

	memcpy(&v->row, row, sizeof(v->row)); /* padding too: it is hashed */
	snprintf(v->name, sizeof(v->name), "%s%s%s", row->name, policy ? "+" : "",
		 policy ? policy : "");
	v->row.name = v->name;
}

static void make_table(void)
{
	for (unsigned i = 0; kmm_preset_at(i) && variants_n < VARIANTS_MAX; i++, variants_n++)
		add(kmm_preset_at(i), NULL);
	presets_n = variants_n;
	for (unsigned i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		if (variants_n == VARIANTS_MAX)
			return;
		add(kmm_preset_find("pagemill"), policies[i].name);
		variants[variants_n].row.frame_policy = policies[i].id;
		variants_n += accepted(&variants[variants_n].row);
	}
}

const struct variant *variant_at(unsigned i)
{
	if (variants_n == 0)
		make_table();
	return i < variants_n ? &variants[i] : NULL;
}

const struct variant *variant_find(const char *name)
{
	for (unsigned i = 0; variant_at(i); i++)
		if (strcmp(variant_at(i)->name, name) == 0)
			return variant_at(i);
	return NULL;
}

bool variant_is_preset(const struct variant *v)
{
	return v < variants + presets_n;
}

/// FNV-1a (Fowler, Noll, Vo).
static uint32_t hash_more(uint32_t h, const void *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		h = (h ^ ((const unsigned char *)at)[i]) * 16777619u;
	return h;
}

uint32_t variant_hash(const struct variant *v)
{
	static const char build[] = BENCH_FLAGS " gcc " __VERSION__;
	struct kmm_preset row;
	uint32_t h = 2166136261u;

	memcpy(&row, &v->row, sizeof(row));
	row.name = NULL; /* where it lies changes from run to run */
	h = hash_more(h, &row, sizeof(row));
	h = hash_more(h, v->name, strlen(v->name));
	return hash_more(h, build, sizeof(build));
}
