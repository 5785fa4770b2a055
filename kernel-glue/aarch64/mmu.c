/// Page tables of the kernel.
///
/// Three sets, all inside the image:
///   identity  TTBR0 while a CPU switches its MMU on, and while TTBR1 is
///             exchanged: 1 GiB around the image, read-only and executable.
///   boot      the first TTBR1: enough to read the device tree and to run.
///   final     the direct map of all memory (1 GiB blocks, 2 MiB where a GiB
///             isn't all memory, one device block for the first GiB), and the
///             window the image runs in, with 4 KiB pages.
///
/// Invariants:
///   I1  In the final tree nothing is writable and executable through the same
///       address; SCTLR_EL1.WXN lets the hardware insist.
///   I2  The final tree has the format of mm/pt's kernel half (attribute index
///       0 for memory), so that kmm may work on it.
///   I3  TTBR0 is a user tree or empty, but in the few instructions of boot.S.
///
/// mmu_boot_tables runs with the MMU off: no locks, and no address but those the
/// compiler forms relative to the program counter. All tables are in .boot_tables,
/// which boot.S clears first.
///
/// Limits: 512 GiB of direct map; an image of 8 MiB; devices in the first GiB.
/// Sources: Arm ARM (DDI 0487) D8.3 descriptors, D8.14.1 break-before-make.
#include "platform.h"
#include "boot_consts.h"

#define ENTRIES 512u
#define LG2_GIB 30u
#define LG2_MIB2 21u
#define GIB (1ull << LG2_GIB)
#define MIB2 (1ull << LG2_MIB2)

#define PTE_TABLE 3ull
#define PTE_PAGE 3ull
#define PTE_BLOCK 1ull
#define PTE_DEVICE (1ull << 2) /* MAIR index 1 */
#define PTE_RO (1ull << 7)
#define PTE_SH (3ull << 8)
#define PTE_AF (1ull << 10)
#define PTE_PXN (1ull << 53)
#define PTE_UXN (1ull << 54)

#define NORMAL (PTE_AF | PTE_SH | PTE_UXN)
#define NORMAL_RW (NORMAL | PTE_PXN)
#define NORMAL_RO (NORMAL | PTE_PXN | PTE_RO)
#define NORMAL_RX (NORMAL | PTE_RO)
#define NORMAL_RWX NORMAL /* boot tree only */
#define DEVICE (PTE_AF | PTE_DEVICE | PTE_UXN | PTE_PXN)

#define WINDOW_MIB2S 4u /* link.ld holds the image to 8 MiB */
#define PARTIAL_GIBS 8u

typedef uint64_t table[ENTRIES] __attribute__((aligned(4096)));
#define BOOT_TABLES __attribute__((section(".bss.boot_tables")))

table boot_identity_root BOOT_TABLES, boot_root BOOT_TABLES;
static table identity_l1 BOOT_TABLES, boot_direct_l1 BOOT_TABLES;
static table boot_window_l1 BOOT_TABLES, boot_window_l2 BOOT_TABLES;
static table empty_root BOOT_TABLES, final_root BOOT_TABLES, direct_l1 BOOT_TABLES;
static table window_l1 BOOT_TABLES, window_l2 BOOT_TABLES, window_l3[WINDOW_MIB2S] BOOT_TABLES;
static table partial_l2[PARTIAL_GIBS] BOOT_TABLES;
static uint64_t image_pa BOOT_TABLES;
static unsigned partial_n BOOT_TABLES;

uint64_t mmu_kernel_root, mmu_empty_root;

extern char _head[], __rodata_start[], __data_start[], __image_end[];
extern char __boot_tables_start[], __boot_tables_end[];
void mmu_replace(uint64_t root, uint64_t sctlr, uint64_t empty);

/// MMU off: stores went past the caches; drop stale lines above them.
static void boot_tables_to_memory(void)
{
	__asm__ volatile("dsb sy" : : : "memory");
	for (uint64_t at = (uint64_t)__boot_tables_start; at < (uint64_t)__boot_tables_end;
	     at += 64u)
		__asm__ volatile("dc ivac, %0" : : "r"(at) : "memory");
	__asm__ volatile("dsb sy" : : : "memory");
}

/// &x is its physical address here.
void mmu_boot_tables(uint64_t fdt_pa)
{
	uint64_t image = (uint64_t)_head, gib = image >> LG2_GIB;

	image_pa = image;
	boot_identity_root[0] = (uint64_t)identity_l1 | PTE_TABLE;
	identity_l1[gib] = gib << LG2_GIB | NORMAL_RX | PTE_BLOCK;

	boot_root[0] = (uint64_t)boot_direct_l1 | PTE_TABLE;
	boot_direct_l1[gib] = gib << LG2_GIB | NORMAL_RW | PTE_BLOCK;
	gib = fdt_pa >> LG2_GIB;
	boot_direct_l1[gib] = gib << LG2_GIB | NORMAL_RW | PTE_BLOCK;
	gib = (fdt_pa + MIB2) >> LG2_GIB; /* the tree may be 2 MiB long */
	boot_direct_l1[gib] = gib << LG2_GIB | NORMAL_RW | PTE_BLOCK;
	boot_direct_l1[0] = DEVICE | PTE_BLOCK;

	boot_root[ENTRIES - 1] = (uint64_t)boot_window_l1 | PTE_TABLE;
	boot_window_l1[0] = (uint64_t)boot_window_l2 | PTE_TABLE;
	for (unsigned i = 0; i < WINDOW_MIB2S; i++)
		boot_window_l2[i] = (image + i * MIB2) | NORMAL_RWX | PTE_BLOCK;
	boot_tables_to_memory();
}

uint64_t mmu_image_pa(const void *p)
{
	return (uint64_t)p - (uint64_t)_head + image_pa;
}

static uint64_t table_entry(const uint64_t *t)
{
	return mmu_image_pa(t) | PTE_TABLE;
}

/// I1, for one page of the window.
static uint64_t window_prot(uint64_t va)
{
	if (va < (uint64_t)__rodata_start)
		return NORMAL_RX;
	return va < (uint64_t)__data_start ? NORMAL_RO : NORMAL_RW;
}

static void window_build(void)
{
	uint64_t start = (uint64_t)_head;
	uint64_t pages = ((uint64_t)__image_end - start + 4095u) / 4096u;

	final_root[ENTRIES - 1] = table_entry(window_l1);
	window_l1[0] = table_entry(window_l2);
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t va = start + i * 4096u;

		window_l3[i / ENTRIES][i % ENTRIES] =
			mmu_image_pa((void *)va) | window_prot(va) | PTE_PAGE;
	}
	for (unsigned i = 0; i < WINDOW_MIB2S; i++)
		window_l2[i] = table_entry(window_l3[i]);
}

/// Part of one GiB, in 2 MiB blocks, rounded outwards.
static void direct_partial(uint64_t start, uint64_t end)
{
	uint64_t gib = start >> LG2_GIB;
	uint64_t *l2;

	if (direct_l1[gib] == 0) {
		if (partial_n == PARTIAL_GIBS)
			glue_panic("memory is in too many pieces");
		direct_l1[gib] = table_entry(partial_l2[partial_n++]);
	}
	if ((direct_l1[gib] & 3u) == PTE_BLOCK)
		return;
	l2 = direct_map(direct_l1[gib] & 0x0000fffffffff000ull);
	for (uint64_t at = start & -MIB2; at < end; at += MIB2)
		l2[at >> LG2_MIB2 & (ENTRIES - 1)] = at | NORMAL_RW | PTE_BLOCK;
}

static void direct_build(void)
{
	final_root[0] = table_entry(direct_l1);
	direct_l1[0] = DEVICE | PTE_BLOCK;
	for (unsigned i = 0; i < platform.ram_n; i++) {
		uint64_t at = platform.ram[i].start, end = platform.ram[i].end;

		while (at < end) {
			uint64_t next = (at & -GIB) + GIB;

			if (at >> 39 != 0)
				glue_panic("memory above 512 GiB");
			if (next > end)
				next = end;
			if (next - at == GIB)
				direct_l1[at >> LG2_GIB] = at | NORMAL_RW | PTE_BLOCK;
			else
				direct_partial(at, next);
			at = next;
		}
	}
}

static bool cpu_has_pan(void)
{
	uint64_t features;

	__asm__("mrs %0, id_aa64mmfr1_el1" : "=r"(features));
	return (features >> 20 & 0xfu) != 0;
}

/// With PAN a trap sets it (SPAN clear): the kernel never uses user addresses.
uint64_t mmu_sctlr(void)
{
	uint64_t sctlr = SCTLR_BOOT | SCTLR_WXN;

	return cpu_has_pan() ? sctlr & ~(uint64_t)SCTLR_SPAN : sctlr;
}

void mmu_init(void)
{
	uint64_t at = mmu_image_pa((const void *)(uint64_t)mmu_replace);
	void (*replace)(uint64_t, uint64_t, uint64_t) =
		(void (*)(uint64_t, uint64_t, uint64_t))at;

	window_build();
	direct_build();
	mmu_kernel_root = mmu_image_pa(final_root);
	mmu_empty_root = mmu_image_pa(empty_root);
	replace(mmu_kernel_root, mmu_sctlr(), mmu_empty_root);
}

void mmu_cpu_init(void)
{
	__asm__ volatile("msr ttbr0_el1, %0\n\tisb\n\ttlbi vmalle1\n\tdsb nsh\n\tisb"
			 : : "r"(mmu_empty_root) : "memory");
	if (cpu_has_pan())
		__asm__ volatile(".inst 0xd500419f"); /* msr pan, #1 */
}

struct kmm_pa arch_kernel_root(void)
{
	struct kmm_pa root = { mmu_kernel_root };

	return root;
}
