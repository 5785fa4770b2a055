/// One CPU's TLB: leaf translations and walk-cache entries, kept until they are
/// invalidated. A plain container; what must be dropped when is the machine's.
#ifndef TLB_H
#define TLB_H

#include <stdbool.h>
#include <stdint.h>

#define TLB_ENTRIES 1024u
#define TLB_BUCKETS 1024u

struct tlb_entry {
	uint64_t page;   /* virtual page number >> (9 * level): what it translates */
	uint64_t root;   /* root table's frame under which it was filled */
	uint64_t pfn;    /* leaf: first frame; table: the table that the next step reads */
	uint64_t source; /* physical address of the table entry it was read from */
	uint16_t next;   /* same bucket, index + 1 */
	uint8_t level;   /* of the entry it was read from */
	uint8_t perms;   /* enum mmu_perm, accumulated from the root */
	bool table;      /* walk-cache entry */
	bool dirty;      /* leaf: the table's dirty bit is known to be set */
};

struct tlb {
	unsigned n;
	unsigned of_level[8]; /* leaf entries of each level */
	uint16_t head[TLB_BUCKETS]; /* index + 1 */
	struct tlb_entry e[TLB_ENTRIES];
};

/// Virtual page number at a level, as in tlb_entry.page.
static inline uint64_t tlb_page(uint64_t va, unsigned level)
{
	return va >> (12u + 9u * level);
}

/// The entry that covers va at that level, or NULL.
struct tlb_entry *tlb_find(struct tlb *t, uint64_t va, unsigned level, bool table);

/// The leaf entry that covers va at any level, or NULL.
struct tlb_entry *tlb_find_leaf(struct tlb *t, uint64_t va);

/// Adds an entry, or replaces the one of the same page, level and kind. When
/// full, `victim` (any number) says which one goes.
void tlb_insert(struct tlb *t, const struct tlb_entry *e, uint64_t victim);

/// Removes entry i; the last one takes its place.
void tlb_remove(struct tlb *t, unsigned i);

void tlb_clear(struct tlb *t);

/// Whole and consistent? (For tests.)
bool tlb_valid(const struct tlb *t);

#endif
