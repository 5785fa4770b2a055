/// What an entry says, by the format's masks alone. The invariants I1..I5 named
/// here are format.c's.
#ifndef KMM_PT_ENTRY_BITS_H
#define KMM_PT_ENTRY_BITS_H

#include "base/instance.h"

/// log2 of the bytes that one entry of a level covers.
static inline unsigned level_lg2(const struct kmm_pt_format *f, unsigned level)
{
	return KMM_PAGE_LG2 + level * f->index_lg2;
}

static inline uint64_t level_bytes(const struct kmm_pt_format *f, unsigned level)
{
	return 1ull << level_lg2(f, level);
}

static inline bool level_has_leaves(const struct kmm_pt_format *f, unsigned level)
{
	return (f->leaf_levels >> level & 1u) != 0;
}

/// Leaf or table: anything but this needs no descent.
static inline bool pte_is_table(const struct kmm_pt_format *f, uint64_t e, unsigned level)
{
	return level != 0 && (e & f->valid) != 0 &&
	       (e & f->leaf_test[level]) != f->leaf_is[level];
}

/// Pre: e is no table
static inline bool pte_writable(const struct kmm_pt_format *f, uint64_t e)
{
	return (e & f->valid) != 0 && (e & f->write_set) == f->write_set &&
	       (e & f->write_clear) == 0;
}

/// The same leaf without the right to write.
static inline uint64_t pte_read_only(const struct kmm_pt_format *f, uint64_t e)
{
	return (e & ~f->write_set) | f->write_clear;
}

static inline bool pte_user(const struct kmm_pt_format *f, uint64_t e)
{
	return (e & f->user_set) == f->user_set;
}

/// What a leaf allows, R included where W or X is.
static inline unsigned pte_prot(const struct kmm_pt_format *f, uint64_t e)
{
	uint64_t exec_clear = pte_user(f, e) ? f->exec_clear_user : f->exec_clear_kernel;
	unsigned prot = KMM_PROT_R;

	if ((e & f->valid) == 0)
		return KMM_PROT_NONE;
	if (pte_writable(f, e))
		prot |= KMM_PROT_W;
	if ((e & exec_clear) == 0)
		prot |= KMM_PROT_X;
	return prot;
}

/// The first frame of a leaf. Bits below the leaf's size may carry attributes.
static inline struct kmm_pfn pte_pfn(const struct kmm_pt_format *f, uint64_t e, unsigned level)
{
	struct kmm_pa pa = { e & f->addr_mask & ~(level_bytes(f, level) - 1u) };

	return kmm_pa_to_pfn(pa);
}

static inline uint64_t pte_leaf(const struct kmm_pt_format *f, struct kmm_pfn pfn,
				unsigned level, uint64_t prot_bits)
{
	return kmm_pfn_to_pa(pfn).a | f->leaf_bits[level] | prot_bits;
}

/// W and X imply R; W with X, or an unknown bit, is refused.
static inline bool prot_normalise(unsigned *prot)
{
	unsigned p = *prot;

	if (p > (KMM_PROT_R | KMM_PROT_W | KMM_PROT_X))
		return false;
	if ((p & KMM_PROT_W) != 0 && (p & KMM_PROT_X) != 0)
		return false;
	*prot = p == 0 ? 0 : p | KMM_PROT_R;
	return true;
}

#endif
