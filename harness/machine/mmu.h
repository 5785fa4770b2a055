/// The simulated MMUs: a walker that reads real table bytes and knows the two
/// architectures from their manuals only, never from kmm's format descriptors.
#ifndef MMU_H
#define MMU_H

#include <stdbool.h>
#include <stdint.h>

#include <kmm/types.h>

enum mmu_arch { MMU_X86_64, MMU_AARCH64 };

#define MMU_LEVELS 4u /* level 3 is the root's, level 0 holds 4 KiB leaves */
#define MMU_ENTRIES 512u

/// What user mode may do.
enum mmu_perm { MMU_R = 1, MMU_W = 2, MMU_X = 4, MMU_RWX = 7 };

/// Physical memory as the walker sees it.
struct mmu_memory {
	char *bytes;
	uint64_t first_pfn, frames_n;
	enum mmu_arch arch;
};

enum mmu_kind {
	MMU_EMPTY,    /* all zero */
	MMU_INVALID,  /* not valid, but not zero: software keeps something here */
	MMU_TABLE,
	MMU_LEAF,
	MMU_RESERVED, /* valid, with bits set that the manual reserves */
};

/// One entry, decoded.
struct mmu_entry {
	enum mmu_kind kind;
	uint64_t pfn;   /* table's frame, or leaf's first; INVALID: its address bits */
	uint8_t perms;  /* what it leaves of the rights from above */
	bool accessed, dirty, global;
	bool odd;       /* leaf: not normal coherent memory, or code to the kernel too */
};

struct mmu_entry mmu_decode(enum mmu_arch arch, unsigned level, uint64_t raw);

enum mmu_status {
	MMU_OK,
	MMU_FAULT,   /* translation or, on Arm, access flag */
	MMU_BAD,     /* reserved bits, or a table outside memory */
};

/// Where a walk begins: the table that an entry of level - 1 or the root names.
struct mmu_from {
	uint64_t table; /* frame */
	unsigned level; /* of the entries in that table */
	uint8_t perms;
	/// How an entry is read; NULL: as it stands in memory.
	uint64_t (*read)(void *ctx, const uint64_t *entry);
	void *ctx;
};

struct mmu_walk {
	enum mmu_status status;
	unsigned level;                  /* of the last entry read */
	unsigned from;                   /* of the first one */
	uint64_t pfn;                    /* of the leaf's first frame, as the next three */
	uint8_t perms;                   /* zero without a leaf */
	bool dirty, global;
	uint64_t source[MMU_LEVELS];     /* by level: physical address of the entry read */
	uint64_t raw[MMU_LEVELS];        /* by level: what was read there */
	uint64_t table[MMU_LEVELS];      /* by level l < from: frame of the table read there */
	uint8_t table_perms[MMU_LEVELS]; /* rights on entering that table */
};

/// Translates va. Changes nothing.
void mmu_walk(const struct mmu_memory *mem, const struct mmu_from *from, uint64_t va,
	      struct mmu_walk *w);

/// What hardware writes back after a walk that ended MMU_OK: x86 sets the accessed
/// bit of each entry read, and the dirty bit of the leaf for a write. An entry that has
/// changed since it was read is left alone: the bits were set before the change.
void mmu_mark(const struct mmu_memory *mem, const struct mmu_walk *w, bool write);

/// The right an access needs.
static inline uint8_t mmu_need(enum kmm_access a)
{
	return a == KMM_ACCESS_WRITE ? MMU_W : a == KMM_ACCESS_FETCH ? MMU_X : MMU_R;
}

/// One table's bytes, or NULL outside memory.
uint64_t *mmu_table(const struct mmu_memory *mem, uint64_t pfn);

/// Entry slots of the root that belong to user addresses.
static inline unsigned mmu_user_slots(enum mmu_arch arch)
{
	return arch == MMU_X86_64 ? MMU_ENTRIES / 2u : MMU_ENTRIES;
}

#endif
