/// ELF64 executables, static and at fixed addresses, and the first stack as Linux
/// lays it out: argc, argv, environment, auxiliary vector.
///
/// Sources: System V gABI ch. 4-5; the x86-64 and AArch64 psABIs, "Process
/// initialization".
#include "process.h"

#define PT_LOAD 1u
#define USER_STACK_TOP 0x7ffff0000000ull
#define USER_STACK_BYTES (256ull << 10)
#define WORD_BYTES 64u

struct elf_header {
	unsigned char ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, segments, sections;
	uint32_t flags;
	uint16_t header_bytes, segment_bytes, segments_n, section_bytes, sections_n, names;
};

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, va, pa, file_bytes, memory_bytes, align;
};

static bool header_valid(const struct elf_header *h, uint64_t bytes)
{
	return bytes >= sizeof(*h) && h->ident[0] == 0x7f && h->ident[1] == 'E' &&
	       h->ident[2] == 'L' && h->ident[3] == 'F' && h->ident[4] == 2 &&
	       h->machine == GLUE_ELF_MACHINE && h->type == 2 &&
	       h->segment_bytes == sizeof(struct elf_segment) && h->segments <= bytes &&
	       h->segments_n <= (bytes - h->segments) / sizeof(struct elf_segment);
}

/// ELF's bits are X 1, W 2, R 4.
static unsigned prot_of(uint32_t flags)
{
	return (flags & 4 ? KMM_PROT_R : 0u) | (flags & 2 ? KMM_PROT_W : 0u) |
	       (flags & 1 ? KMM_PROT_X : 0u);
}

static enum kmm_error load_segment(struct kmm_space *s, const char *elf, uint64_t bytes,
				   const struct elf_segment *g)
{
	uint64_t start = g->va & ~(KMM_PAGE_BYTES - 1);
	uint64_t length = g->va + g->memory_bytes - start;
	struct kmm_va at = { start }, data = { g->va };
	enum kmm_error e;

	if (g->file_bytes > g->memory_bytes || g->offset > bytes ||
	    g->file_bytes > bytes - g->offset)
		return KMM_EINVAL;
	e = kmm_space_map(s, &at, length, KMM_PROT_R | KMM_PROT_W, KMM_MAP_FIXED);
	if (e != KMM_OK)
		return e;
	if (kmm_space_write(s, data, elf + g->offset, g->file_bytes) != g->file_bytes)
		return KMM_ENOMEM;
	if (prot_of(g->flags) == (KMM_PROT_R | KMM_PROT_W))
		return KMM_OK;
	return kmm_space_protect(s, at, length, prot_of(g->flags));
}

static size_t text_bytes(const char *t)
{
	size_t n = 0;

	while (t[n])
		n++;
	return n + 1;
}

static enum kmm_error make_stack(struct kmm_space *s, const char *name, const char *arg,
				 uint64_t *sp)
{
	struct kmm_va base = { USER_STACK_TOP - USER_STACK_BYTES };
	struct kmm_va name_at = { USER_STACK_TOP - 2 * WORD_BYTES };
	struct kmm_va arg_at = { USER_STACK_TOP - WORD_BYTES };
	struct kmm_va at = { USER_STACK_TOP - 4 * WORD_BYTES };
	uint64_t block[8] = { arg ? 2 : 1, name_at.a, arg ? arg_at.a : 0 };
	enum kmm_error e = kmm_space_map(s, &base, USER_STACK_BYTES, KMM_PROT_R | KMM_PROT_W,
					 KMM_MAP_FIXED | KMM_MAP_STACK);

	if (e != KMM_OK)
		return e;
	/* After the arguments: their NULL, an empty environment, AT_NULL: all zero. */
	if (text_bytes(name) > WORD_BYTES || (arg && text_bytes(arg) > WORD_BYTES))
		return KMM_EINVAL;
	if (kmm_space_write(s, at, block, sizeof(block)) != sizeof(block) ||
	    kmm_space_write(s, name_at, name, text_bytes(name)) != text_bytes(name) ||
	    (arg && kmm_space_write(s, arg_at, arg, text_bytes(arg)) != text_bytes(arg)))
		return KMM_ENOMEM;
	*sp = at.a;
	return KMM_OK;
}

enum kmm_error elf_load(struct kmm_space *s, const void *elf, uint64_t bytes, const char *name,
			const char *arg, uint64_t *entry, uint64_t *sp)
{
	const struct elf_header *h = elf;
	const struct elf_segment *g;
	struct kmm_va heap = { 0 };
	enum kmm_error e = KMM_OK;

	if (!header_valid(h, bytes))
		return KMM_EINVAL;
	g = (const struct elf_segment *)(const void *)((const char *)elf + h->segments);
	for (unsigned i = 0; i < h->segments_n && e == KMM_OK; i++) {
		if (g[i].type != PT_LOAD || g[i].memory_bytes == 0)
			continue;
		e = load_segment(s, elf, bytes, &g[i]);
		if (g[i].va + g[i].memory_bytes > heap.a)
			heap.a = g[i].va + g[i].memory_bytes;
	}
	heap.a = (heap.a + KMM_PAGE_BYTES - 1) & ~(KMM_PAGE_BYTES - 1);
	if (e == KMM_OK)
		e = kmm_space_brk_init(s, heap);
	if (e == KMM_OK)
		e = make_stack(s, name, arg, sp);
	*entry = h->entry;
	return e;
}
