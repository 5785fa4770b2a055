/// The kernel's own page tables, built once from the firmware's map:
///
///   0xffff800000000000  direct map of all RAM, 2 MiB pages, writable, no execute
///   0xffffffff80200000  image, 4 KiB pages: text R-X, constants R--, data RW-
///   APIC_VMA            one 2 MiB page over the local APIC, uncached
///
/// I1  No address is writable and executable. (Text can still be written through
///     the direct map's alias of it: the direct map covers all RAM.)
/// I2  The upper 256 root entries in use are filled here and never change, so that
///     a user tree may copy them.
/// Tables come from the memory map by carving, below the 4 GiB that boot.S maps.
#include "arch.h"
#include "percpu.h"

#define ENTRY_P 1ull
#define ENTRY_W 2ull
#define ENTRY_PWT 8ull
#define ENTRY_PCD 16ull
#define ENTRY_LARGE 128ull
#define ENTRY_G 256ull
#define ENTRY_NX (1ull << 63)
#define ENTRY_ADDRESS 0x000ffffffffff000ull
#define TABLE_BITS (ENTRY_P | ENTRY_W)
#define LARGE_BYTES (2ull << 20)
#define APIC_PA 0xfee00000ull

extern char kernel_start[], text_end[], rodata_end[], kernel_end[];

static struct kmm_pa kernel_root; /* set before other CPUs start */

static void *virt(uint64_t pa)
{
	return (void *)(pa + GLUE_DIRECT_MAP);
}

static uint64_t table_new(struct boot_info *b)
{
	struct kmm_pa below = { 4ull << 30 }, pa;

	if (kmm_memmap_carve(&b->memmap, KMM_PAGE_BYTES, below, "page tables", &pa) != KMM_OK)
		glue_panic("no memory for the kernel's page tables");
	arch_zero_page(virt(pa.a));
	return pa.a;
}

/// The entry for va at a level (0: 4 KiB), making the tables above it.
static uint64_t *entry_at(struct boot_info *b, uint64_t va, unsigned level)
{
	uint64_t *table = virt(kernel_root.a);

	for (unsigned l = 3; l > level; l--) {
		uint64_t *e = &table[va >> (12 + 9 * l) & 511];

		if (!*e)
			*e = table_new(b) | TABLE_BITS;
		table = virt(*e & ENTRY_ADDRESS);
	}
	return &table[va >> (12 + 9 * level) & 511];
}

static void map_direct(struct boot_info *b, uint64_t start, uint64_t end)
{
	start &= ~(LARGE_BYTES - 1);
	for (uint64_t pa = start; pa < end; pa += LARGE_BYTES)
		*entry_at(b, GLUE_DIRECT_MAP + pa, 1) =
			pa | ENTRY_P | ENTRY_W | ENTRY_LARGE | ENTRY_G | ENTRY_NX;
}

static void map_image(struct boot_info *b)
{
	for (uint64_t va = (uint64_t)kernel_start; va < (uint64_t)kernel_end;
	     va += KMM_PAGE_BYTES) {
		uint64_t bits = ENTRY_P | ENTRY_G;

		if (va >= (uint64_t)text_end)
			bits |= ENTRY_NX;
		if (va >= (uint64_t)rodata_end)
			bits |= ENTRY_W;
		*entry_at(b, va, 0) = (va - KERNEL_VMA) | bits;
	}
}

/// RAM is what the map calls anything but a hole: firmware's reserved ranges
/// above RAM (the APIC's, the flash) are left out by the caller's limit.
static bool is_ram(const struct kmm_mem_range *r)
{
	return r->kind != KMM_MEM_RESERVED;
}

void mmu_init(struct boot_info *b)
{
	struct kmm_memmap before;

	kernel_root.a = table_new(b);
	*entry_at(b, APIC_VMA, 1) = APIC_PA | ENTRY_P | ENTRY_W | ENTRY_LARGE | ENTRY_G |
				    ENTRY_PCD | ENTRY_PWT | ENTRY_NX;
	map_image(b);
	map_direct(b, 0, LARGE_BYTES); /* the trampoline's page lies in a reserved range */
	before = b->memmap;	       /* carving changes it meanwhile, never what is RAM */
	for (unsigned i = 0; i < before.n; i++)
		if (is_ram(&before.range[i]))
			map_direct(b, before.range[i].start.a, before.range[i].end.a);
	mmu_load();
}

void mmu_load(void)
{
	__asm__ volatile("movq %0, %%cr3" : : "r"(kernel_root.a) : "memory");
}

struct kmm_pa arch_kernel_root(void)
{
	return kernel_root;
}
