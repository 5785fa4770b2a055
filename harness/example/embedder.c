/// The smallest embedder: one CPU, memory from an array, no page tables in use.
/// Its port is example/port; with it, this is all that a kernel must write.
#include <kmm/kmm.h>
#include <stdio.h>

#include "port/port.h"

static _Alignas(4096) char memory[4096 * 1024]; /* what we call physical memory */
static _Alignas(64) char meta[1 << 18];
char *const example_memory = memory;

int main(void)
{
	static struct kmm_memmap map;
	struct kmm_config c = { .preset = kmm_preset_find("pagemill"), .memmap = &map,
				.format = &kmm_pt_format_x86_64, .cpus_n = 1 };
	struct kmm_pa start = { EXAMPLE_BASE }, end = { EXAMPLE_BASE + sizeof(memory) };
	struct kmm *k;
	char *text;

	if (kmm_memmap_add(&map, start, end, KMM_MEM_USABLE, "array") != KMM_OK ||
	    kmm_meta_bytes(&c) > sizeof(meta) || kmm_init(&c, meta, &k) != KMM_OK)
		return 1;
	text = kmm_alloc(k, 32);
	if (!text)
		return 1;
	kmm_format(text, 32, "hello from %u KiB", (unsigned)(sizeof(memory) >> 10));
	puts(text);
	return kmm_free(k, text) != KMM_OK || kmm_teardown(k) != 0;
}
