/// The walker.
///
/// Sources, by bit position:
///   x86_64   Intel SDM vol. 3, 4.5 and tables 4-15..4-20: P 0, R/W 1, U/S 2, A 5,
///            D 6, PS 7, G 8, address 51:12, XD 63; PWT 3, PCD 4, PAT 7 or 12 choose
///            the memory type (4.9), all clear for write-back. In a 2 MiB leaf bits 20:13 and
///            in a 1 GiB leaf bits 29:13 are reserved (bit 12 is PAT); PS is
///            reserved in a PML4E. Rights are the AND of all levels (4.6.1).
///   AArch64  Arm ARM D8.3 (4 KiB granule, 48-bit): bits 1:0 are 11 for a table or
///            page, 01 for a block; AttrIndx 4:2 (0 is normal memory in our MAIR), AP[2:1]
///            7:6, SH 9:8 (11 is inner shareable), AF 10, nG 11, address 47:12, PXN 53,
///            UXN 54; in a table descriptor APTable 62:61, UXNTable 60. A block is
///            allowed at lookup levels 1 and 2, ours 2 and 1.
/// Faults that a valid entry can't outlive (reserved bits, a table outside memory)
/// are reported as such: kmm never has a reason to write them.
///
/// Levels are counted from the leaves, as in kmm's headers; that is the only
/// thing the two have in common.
#include "machine/mmu.h"

#include <stddef.h>

#define BIT(n) (1ull << (n))
#define FIELD(raw, high, low) ((raw) & (BIT((high) + 1) - BIT(low)))

static struct mmu_entry decode_x86_64(unsigned level, uint64_t raw)
{
	struct mmu_entry e = { .pfn = FIELD(raw, 51, 12) >> 12, .perms = MMU_RWX };
	bool large = raw & BIT(7);

	if (!(raw & BIT(0))) {
		e.kind = raw ? MMU_INVALID : MMU_EMPTY;
		return e;
	}
	if (!(raw & BIT(1)))
		e.perms &= (uint8_t)~MMU_W;
	if (!(raw & BIT(2)))
		e.perms = 0;
	if (raw & BIT(63))
		e.perms &= (uint8_t)~MMU_X;
	e.accessed = raw & BIT(5);
	e.kind = level == 0 || (large && level < 3) ? MMU_LEAF : MMU_TABLE;
	if (level == 3 && large)
		e.kind = MMU_RESERVED;
	if (e.kind != MMU_LEAF)
		return e;
	e.dirty = raw & BIT(6);
	e.global = raw & BIT(8);
	e.odd = raw & (BIT(3) | BIT(4) | BIT(level == 0 ? 7 : 12));
	if (level > 0) {
		uint64_t low = FIELD(raw, level == 1 ? 20 : 29, 13);

		e.pfn &= ~1ull; /* PAT */
		if (low)
			e.kind = MMU_RESERVED;
	}
	return e;
}

static uint8_t perms_table_aarch64(uint64_t raw)
{
	uint8_t perms = MMU_RWX;

	if (raw & BIT(61))
		perms &= (uint8_t)~(MMU_R | MMU_W);
	if (raw & BIT(62))
		perms &= (uint8_t)~MMU_W;
	if (raw & BIT(60))
		perms &= (uint8_t)~MMU_X;
	return perms;
}

static uint8_t perms_leaf_aarch64(uint64_t raw)
{
	uint8_t perms = MMU_RWX;

	if (!(raw & BIT(6)))
		perms &= (uint8_t)~(MMU_R | MMU_W);
	if (raw & BIT(7))
		perms &= (uint8_t)~MMU_W;
	if (raw & BIT(54))
		perms &= (uint8_t)~MMU_X;
	return perms;
}

static struct mmu_entry decode_aarch64(unsigned level, uint64_t raw)
{
	struct mmu_entry e = { .pfn = FIELD(raw, 47, 12) >> 12, .perms = MMU_RWX,
			       .accessed = true, .dirty = true };
	unsigned type = raw & 3u;

	if (!(raw & BIT(0))) {
		e.kind = raw ? MMU_INVALID : MMU_EMPTY;
		return e;
	}
	if (type == 3 && level > 0) {
		e.kind = MMU_TABLE;
		e.perms = perms_table_aarch64(raw);
		return e;
	}
	e.kind = (type == 3) == (level == 0) && level < 3 ? MMU_LEAF : MMU_RESERVED;
	e.perms = perms_leaf_aarch64(raw);
	e.accessed = raw & BIT(10);
	e.global = !(raw & BIT(11));
	e.odd = FIELD(raw, 9, 8) != FIELD(~0ull, 9, 8) || FIELD(raw, 4, 2) || !(raw & BIT(53));
	if (level > 0 && FIELD(raw, level == 1 ? 20 : 29, 17))
		e.kind = MMU_RESERVED;
	return e;
}

struct mmu_entry mmu_decode(enum mmu_arch arch, unsigned level, uint64_t raw)
{
	return arch == MMU_X86_64 ? decode_x86_64(level, raw) : decode_aarch64(level, raw);
}

uint64_t *mmu_table(const struct mmu_memory *mem, uint64_t pfn)
{
	uint64_t i = pfn - mem->first_pfn;

	if (i >= mem->frames_n)
		return NULL;
	return (uint64_t *)(void *)(mem->bytes + (i << KMM_PAGE_LG2));
}

static unsigned slot_of(uint64_t va, unsigned level)
{
	return (unsigned)(va >> (12u + 9u * level)) & (MMU_ENTRIES - 1u);
}

/// User addresses: bits 63:47 zero on x86, 63:48 on Arm (TTBR0).
static bool user_address(enum mmu_arch arch, uint64_t va)
{
	return va >> (arch == MMU_X86_64 ? 47 : 48) == 0;
}

/// `hooked` is a constant: most walks read plain memory, and there are many.
static inline __attribute__((always_inline)) void
walk(const struct mmu_memory *mem, const struct mmu_from *from, uint64_t va, struct mmu_walk *w,
     const bool hooked)
{
	uint64_t table = from->table;
	uint8_t perms = from->perms;

	w->from = w->level = from->level;
	w->pfn = 0;
	w->perms = 0;
	w->dirty = w->global = false;
	w->status = user_address(mem->arch, va) ? MMU_OK : MMU_FAULT;
	for (unsigned level = from->level; w->status == MMU_OK; level--) {
		uint64_t *slots = mmu_table(mem, table);
		unsigned slot = slot_of(va, level);
		struct mmu_entry e;

		w->level = level;
		w->table[level] = table;
		w->table_perms[level] = perms;
		w->source[level] = (table << KMM_PAGE_LG2) + slot * 8u;
		if (!slots) {
			w->status = MMU_BAD;
			return;
		}
		w->raw[level] = hooked ? from->read(from->ctx, &slots[slot]) :
					     __atomic_load_n(&slots[slot], __ATOMIC_ACQUIRE);
		e = mmu_decode(mem->arch, level, w->raw[level]);
		perms &= e.perms;
		table = e.pfn;
		if (e.kind == MMU_LEAF) {
			w->pfn = e.pfn;
			w->perms = perms;
			w->dirty = e.dirty;
			w->global = e.global;
			if (mem->arch == MMU_AARCH64 && !e.accessed)
				w->status = MMU_FAULT;
			return;
		}
		if (e.kind == MMU_RESERVED)
			w->status = MMU_BAD;
		else if (e.kind != MMU_TABLE)
			w->status = MMU_FAULT;
	}
}

void mmu_walk(const struct mmu_memory *mem, const struct mmu_from *from, uint64_t va,
	      struct mmu_walk *w)
{
	if (from->read)
		walk(mem, from, va, w, true);
	else
		walk(mem, from, va, w, false);
}

void mmu_mark(const struct mmu_memory *mem, const struct mmu_walk *w, bool write)
{
	if (mem->arch != MMU_X86_64)
		return;
	for (unsigned level = w->level; level <= w->from; level++) {
		uint64_t *slots = mmu_table(mem, w->source[level] >> KMM_PAGE_LG2);
		uint64_t *entry = &slots[(w->source[level] & (KMM_PAGE_BYTES - 1u)) / 8u];
		uint64_t bits = BIT(5) | (write && level == w->level ? BIT(6) : 0);

		uint64_t now = __atomic_load_n(entry, __ATOMIC_RELAXED);

		if (((now ^ w->raw[level]) & ~(BIT(5) | BIT(6))) == 0)
			__atomic_fetch_or(entry, bits, __ATOMIC_ACQ_REL);
	}
}
