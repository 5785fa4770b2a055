/// The memory manager brought up: the firmware's map and topology, what the command line
/// changes of them, kmm_init, and a printed account of what came out.
///
///   firmware's map -> pluggable=, device= -> metadata carved -> frames= -> kmm_init -> account
///
/// The account has readable lines for the map and the nodes, and one @zone line a zone.
/// Statistics are asked for as soon as there is an instance, before it has frames: then
/// they must be zero, and nothing may wait or fault (glue_first_stats).
#include "glue.h"

#define MIB (1ull << 20)

struct kmm_frame_stats glue_first_stats = { .managed_n = ~0ull };

static struct kmm_preset preset; /* constant after boot */
static char preset_text[48];

static void fail_boot(const char *what, enum kmm_error e)
{
	glue_panic("%s: %s", what, kmm_error_text(e));
}

const char *memory_preset_text(void)
{
	return preset_text;
}

/* ---- the map ---- */

/// word=N: the top N MiB of the highest usable range are of another kind: not there yet, or
/// a device's, which here is RAM like all other.
static void set_apart(struct kmm_memmap *m, const char *word, enum kmm_mem_kind kind)
{
	uint64_t bytes = command_number(word, 0) * MIB;
	const struct kmm_mem_range *top = NULL;
	struct kmm_pa from;
	enum kmm_error e;

	if (bytes == 0)
		return;
	for (unsigned i = 0; i < m->n; i++)
		if (m->range[i].kind == KMM_MEM_USABLE &&
		    m->range[i].end.a - m->range[i].start.a > bytes)
			top = &m->range[i];
	if (!top)
		glue_panic("%s=: no memory range is larger", word);
	from.a = top->end.a - bytes;
	e = kmm_memmap_add(m, from, top->end, kind, word);
	if (e != KMM_OK)
		fail_boot(word, e);
}

/// Leaves at most n usable frames; what is beyond them becomes reserved.
static void limit_frames(struct kmm_memmap *m, uint64_t frames)
{
	struct kmm_memmap before = *m;
	uint64_t left = frames << KMM_PAGE_LG2;

	for (unsigned i = 0; i < before.n; i++) {
		struct kmm_mem_range *r = &before.range[i];
		uint64_t bytes = r->end.a - r->start.a;
		struct kmm_pa from = { r->start.a + left };
		enum kmm_error e;

		if (r->kind != KMM_MEM_USABLE)
			continue;
		if (bytes <= left) {
			left -= bytes;
			continue;
		}
		left = 0;
		e = kmm_memmap_add(m, from, r->end, KMM_MEM_RESERVED, "not used");
		if (e != KMM_OK)
			fail_boot("frames=", e);
	}
}

static void *carve_metadata(struct boot_info *b, const struct kmm_config *c)
{
	struct kmm_pa below = { ~0ull }, pa;
	uint64_t bytes = kmm_meta_bytes(c);
	enum kmm_error e = kmm_memmap_carve(&b->memmap, bytes, below, "kmm", &pa);
	char *at = (char *)(pa.a + GLUE_DIRECT_MAP);

	if (bytes == 0 || e != KMM_OK)
		fail_boot("no room for kmm's metadata", e);
	for (uint64_t i = 0; i < bytes; i += KMM_PAGE_BYTES)
		arch_zero_page(at + i);
	return at;
}

/* ---- the account ---- */

static void print_map(const struct kmm_memmap *m)
{
	static const char *const kind[] = { "usable", "device", "pluggable", "reserved",
					    "kernel" };

	for (unsigned i = 0; i < m->n; i++) {
		const struct kmm_mem_range *r = &m->range[i];

		glue_print("memory 0x%012llx-0x%012llx %8llu KiB %s %s\n",
			   (unsigned long long)r->start.a, (unsigned long long)r->end.a,
			   (unsigned long long)((r->end.a - r->start.a) >> 10), kind[r->kind],
			   r->name);
	}
}

static void print_nodes(const struct kmm_topology *t)
{
	for (unsigned from = 0; t && from < t->nodes_n; from++) {
		for (unsigned to = 0; to < t->nodes_n; to++)
			if (t->distance[from][to] != 0)
				glue_print("node %u to node %u: distance %u\n", from, to,
					   t->distance[from][to]);
		for (unsigned cpu = 0; cpu < glue_boot->cpus_n; cpu++)
			if (t->cpu_node[cpu] == from)
				glue_print("node %u: CPU %u\n", from, cpu);
	}
}

static void print_zones(void)
{
	struct kmm_zone_info z;

	for (unsigned i = 0; kmm_zone_info(glue_kmm, i, &z) == KMM_OK; i++) {
		glue_print("zone %u: %s memory of node %u, %llu MiB managed, by %s\n", i, z.name,
			   z.node, (unsigned long long)(z.managed_n >> (20 - KMM_PAGE_LG2)),
			   z.policy);
		glue_print("@zone %u %s node=%u base=0x%llx end=0x%llx managed=%llu policy=%s\n",
			   i, z.name, z.node, (unsigned long long)kmm_pfn_to_pa(z.base).a,
			   (unsigned long long)kmm_pfn_to_pa(z.end).a,
			   (unsigned long long)z.managed_n, z.policy);
	}
}

/* ---- all of it ---- */

const struct kmm_topology *memory_topology(void)
{
	return glue_boot->topology.nodes_n > 1 ? &glue_boot->topology : NULL;
}

void memory_up(struct boot_info *b)
{
	struct kmm_config c = { .preset = &preset, .memmap = &b->memmap, .format = GLUE_FORMAT,
				.cpus_n = b->cpus_n, .kernel_root = arch_kernel_root(),
				.topology = memory_topology(),
				.dma_end = { command_number("dma", 0) * MIB },
				.dma32_end = { command_number("dma32", 0) * MIB },
				.high_start = { command_number("high", 0) * MIB } };
	uint64_t frames = command_number("frames", 0);
	struct kmm *k;
	enum kmm_error e;
	void *meta;

	command_word("preset", preset_text, sizeof(preset_text));
	if (!preset_text[0])
		__builtin_memcpy(preset_text, "pagemill", sizeof("pagemill"));
	if (!kmm_preset_parse(preset_text, &preset))
		glue_panic("no preset is named %s", preset_text);
	set_apart(&b->memmap, "pluggable", KMM_MEM_PLUGGABLE);
	set_apart(&b->memmap, "device", KMM_MEM_DEVICE);
	meta = carve_metadata(b, &c);
	if (frames)
		limit_frames(&b->memmap, frames);
	e = kmm_init(&c, meta, &k);
	if (e != KMM_OK)
		fail_boot("kmm_init", e);
	glue_kmm = k;
	print_map(&b->memmap);
	print_nodes(c.topology);
	print_zones();
}
