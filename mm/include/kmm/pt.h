/// Page tables: formats as constant data, one walker, and batches that gather
/// changes into the smallest invalidation that suffices.
#ifndef KMM_PT_H
#define KMM_PT_H

#include <kmm/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KMM_PT_LEVELS_MAX 5u

struct frame_entry;

/// A page-table format. Level 0 holds 4 KiB leaves; level `levels - 1` is the
/// root. An all-zero entry is empty in every format. A leaf whose protection is
/// KMM_PROT_NONE keeps its frame but is invalid to the hardware: `hidden` is set
/// and all of `valid` is clear.
struct kmm_pt_format {
	const char *name;
	uint8_t levels;
	uint8_t index_lg2;          /* log2 of entries a table */
	uint8_t leaf_levels;        /* bit l set: level l may hold leaves */
	bool tlb_broadcast;         /* invalidations reach all CPUs by themselves */
	bool valid_needs_no_flush;  /* invalid -> valid is never cached wrongly */
	bool upgrade_needs_no_flush; /* more rights, same frame: one spurious fault at most */
	bool size_change_breaks;    /* leaf -> table: invalid and flushed in between */
	bool shared_root;           /* both halves hang off one root table */
	uint64_t addr_mask;         /* output-address bits of an entry */
	uint64_t valid;             /* bit the hardware takes as 'valid' */
	uint64_t table_bits;        /* all bits of an entry that names a table */
	uint64_t leaf_bits[KMM_PT_LEVELS_MAX]; /* fixed bits of a leaf at a level */
	uint64_t leaf_test[KMM_PT_LEVELS_MAX]; /* (e & leaf_test) == leaf_is: e is a leaf */
	uint64_t leaf_is[KMM_PT_LEVELS_MAX];
	uint64_t prot_mask;         /* bits that carry the protection, valid and hidden too */
	uint64_t prot_user[8];      /* by enum kmm_prot, user page; 0: refused */
	uint64_t prot_kernel[8];    /* the same, kernel page */
	uint64_t write_set;         /* writable: all of these set ... */
	uint64_t write_clear;       /* ... and all of these clear */
	uint64_t exec_clear_user;   /* executable by user: all of these clear */
	uint64_t exec_clear_kernel; /* the same for the kernel, on kernel pages */
	uint64_t user_set;          /* reachable by user: all of these set */
	uint64_t hidden;            /* software bit: frame kept, no access */
	uint64_t accessed, dirty;   /* 0 where the hardware sets none */
	uint64_t user_end;          /* first address beyond the user half */
};

/// Intel SDM vol. 3 ch. 4.5 (4-level paging).
extern const struct kmm_pt_format kmm_pt_format_x86_64;
/// Arm ARM (DDI 0487) D8.3, 4 KiB granule, 48-bit addresses, stage 1, EL1&0.
extern const struct kmm_pt_format kmm_pt_format_aarch64;

/// The i-th format, or NULL past the last; and by name.
const struct kmm_pt_format *kmm_pt_format_at(unsigned i);
const struct kmm_pt_format *kmm_pt_format_find(const char *name);

/// One tree of tables. The owner provides the lock: every call below needs it
/// held and interrupts off, except where said.
struct kmm_pt {
	struct kmm *kmm;
	struct kmm_pfn root;
	uint64_t user_end;    /* 0: the kernel's tree, which has the kernel half only */
	kmm_cpumask active;   /* atomic; CPUs that may hold entries of this tree */
	uint64_t tables_n;    /* tables, root included; lock: owner's */
	uint64_t leaves_n;    /* leaves, hidden ones included; lock: owner's */
	/* the level-0 table a fault reached last; lock: owner's */
	uint64_t last_key;    /* which it is, + 1; 0 = none */
	uint64_t *last_table;
	struct frame_entry *last_entry;
};

/// Where freed things wait until no CPU can reach them any more.
#define KMM_TLB_RANGES 8u
#define KMM_TLB_FRAMES 64u

struct kmm_tlb_batch {
	struct kmm_pt *pt;
	unsigned ranges_n, frames_n;
	bool all;             /* ranges overflowed: drop everything of this tree */
	bool tables;          /* a table was unlinked: walk caches matter */
	struct {
		uint64_t start, end;
	} range[KMM_TLB_RANGES];
	struct {
		struct kmm_pfn pfn;
		bool table; /* free outright; otherwise drop one reference */
	} frame[KMM_TLB_FRAMES];
};

/// Starts an empty batch for one tree. One batch a tree at a time, and it is
/// flushed before the owner releases the tree's lock.
void kmm_tlb_batch_init(struct kmm_tlb_batch *b, struct kmm_pt *pt);

/// Invalidates what was gathered on every CPU that may hold it, waits for all
/// acknowledgements, then releases the gathered frames. Ends empty.
/// Locks: may be called with the tree's lock held; a CPU that spins on a lock
///        answers requests meanwhile
/// Cost:  one IPI round at most; none where the hardware broadcasts
void kmm_tlb_batch_flush(struct kmm_tlb_batch *b);

/// Makes an empty tree; the kernel half is copied from `kernel` (NULL: left
/// empty), whose top-level entries must stay put from then on.
/// Errors: KMM_ENOMEM
KMM_MUST_CHECK enum kmm_error kmm_pt_init(struct kmm *k, struct kmm_pt *pt,
					  const struct kmm_pt *kernel);

/// Frees all tables of the user half and the root. CPUs that still have it
/// loaded are switched to the kernel's tree first.
/// Pre: no leaves left; no CPU will use it
void kmm_pt_destroy(struct kmm_pt *pt);

/// Maps [va, va + (pages << 12)) to consecutive frames with leaves as large as
/// alignment and `level_max` allow. Nothing may be mapped there.
/// A user tree takes addresses below user_end, the kernel's those of the kernel
/// half; prot KMM_PROT_NONE maps hidden leaves.
/// Owns:   the caller's reference of each FRAME_ANON frame goes to the mapping
/// Errors: KMM_ENOMEM (all tables made for this call freed again), KMM_EEXIST,
///         KMM_EINVAL (other half, not page-aligned, W with X), KMM_ELIMIT (a new
///         root entry for the kernel half after user trees copied it); state
///         unchanged
KMM_MUST_CHECK enum kmm_error kmm_pt_map(struct kmm_pt *pt, struct kmm_va va, struct kmm_pfn pfn,
					 uint64_t pages, unsigned prot, unsigned level_max);

/// Replaces the frame and protection of one present or hidden 4 KiB leaf, the
/// old frame's reference is dropped by the batch. If a CPU may hold the old
/// entry and the frame changes, the old entry is taken out and the
/// invalidation completes before the new one is published. With the same frame
/// no reference moves.
/// Pre:    a 4 KiB leaf is there
void kmm_pt_replace(struct kmm_pt *pt, struct kmm_va va, struct kmm_pfn pfn, unsigned prot,
		    struct kmm_tlb_batch *b);

/// Unmaps all leaves in [start, end), hidden ones too; each frame's reference
/// goes into the batch (which flushes itself when full), and so do emptied
/// tables, if the preset frees them. A larger leaf that the range cuts is
/// split first.
/// Errors: KMM_ENOMEM (a split needed a table); state unchanged
KMM_MUST_CHECK enum kmm_error kmm_pt_unmap(struct kmm_pt *pt, struct kmm_va start,
					   struct kmm_va end, struct kmm_tlb_batch *b);

/// Sets the protection of all leaves in [start, end), hidden ones too. `keep_ro`:
/// leaves that are read-only stay so even if `prot` has write (they may be
/// shared, the fault decides).
/// Errors: KMM_ENOMEM (a split needed a table); state unchanged
KMM_MUST_CHECK enum kmm_error kmm_pt_protect(struct kmm_pt *pt, struct kmm_va start,
					     struct kmm_va end, unsigned prot, bool keep_ro,
					     struct kmm_tlb_batch *b);

/// Shares all leaves of src in [start, end) with dst: writable ones become
/// read-only in src (into the batch), dst gets read-only copies, each frame one
/// more reference.
/// Pre:    dst has nothing there; both locks held
/// Errors: KMM_ENOMEM: dst has nothing there, references as before; src may
///         stay read-only, which the next write fault undoes
KMM_MUST_CHECK enum kmm_error kmm_pt_share(struct kmm_pt *dst, struct kmm_pt *src,
					   struct kmm_va start, struct kmm_va end,
					   struct kmm_tlb_batch *b);

struct kmm_pt_leaf {
	struct kmm_pfn pfn; /* of the very page asked for, also inside a larger leaf */
	unsigned prot;
	unsigned level;
	bool present; /* false: hidden */
	bool user;
};

/// What is mapped at va. Errors: KMM_ENOENT
KMM_MUST_CHECK enum kmm_error kmm_pt_lookup(struct kmm_pt *pt, struct kmm_va va,
					    struct kmm_pt_leaf *out);

/// This tree becomes current on this CPU (NULL: the kernel's own). The CPU joins
/// `active` before it loads the root; it leaves the old tree's set after.
/// Cost: nothing if it is current already
/// Locks: none needed
void kmm_pt_activate(struct kmm *k, struct kmm_pt *pt);

/// The tree the kernel half lives in; made by kmm_init from the root table that
/// the port names, or empty.
struct kmm_pt *kmm_pt_kernel(struct kmm *k);

struct kmm_pt_stats {
	uint64_t entry_stores_n, page_flushes_n, full_flushes_n, ipis_n, shootdowns_n;
	uint64_t tables_n;
};

void kmm_pt_stats(struct kmm *k, struct kmm_pt_stats *s);

/// Errors: KMM_ECORRUPT, with the broken invariant in the log
KMM_MUST_CHECK enum kmm_error kmm_pt_check(struct kmm_pt *pt);

#ifdef __cplusplus
}
#endif
#endif
