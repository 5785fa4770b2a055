/// Faults: a page comes into being when it is first touched.
///
/// The region says whether the access is allowed, the leaf says what is missing:
///
///   leaf                  read, fetch              write
///   none                  zero frame, read-only    a zeroed frame
///   zero frame            -                        a zeroed frame instead
///   read-only, shared     -                        a copy instead
///   read-only, only ours  -                        writable in place
///   sufficient            - (stale TLB entry, or another CPU was faster)
///
/// 'Only ours' is sound without stopping anyone: a reference can be added only
/// by a space that holds one, here this space, whose lock we have. A count of two
/// may fall to one right after we looked; then one copy was in vain.
///
/// A frame that is replaced may still be in other CPUs' TLBs: slot_replace
/// completes their invalidation before it publishes the new one, so that no CPU
/// writes the new frame while another reads the old.
#include "frame/entry.h"
#include "pt/slot.h"
#include "vm/space.h"

static bool allows(unsigned prot, enum kmm_access access)
{
	return prot & (1u << access);
}

_Static_assert(1u << KMM_ACCESS_READ == KMM_PROT_R && 1u << KMM_ACCESS_WRITE == KMM_PROT_W &&
	       1u << KMM_ACCESS_FETCH == KMM_PROT_X, "allows() relies on it");

static unsigned read_only(unsigned prot)
{
	return prot & ~(unsigned)KMM_PROT_W;
}

/// Maps a page for the first time. `slot`: its entry, NULL if that takes tables.
/// Errors: KMM_ENOMEM
static enum kmm_error enter(struct kmm_space *s, uint64_t va, uint64_t *slot, struct kmm_pfn pfn,
			    unsigned prot)
{
	struct kmm_va at = { va };

	if (slot == NULL || !s->kmm->format->valid_needs_no_flush)
		return kmm_pt_map(&s->pt, at, pfn, 1, prot, 0);
	slot_fill(&s->pt, slot, pfn, prot);
	return KMM_OK;
}

/// A page that was never touched: the zero frame, or for a write a fresh one.
static enum kmm_fault_result fill(struct kmm_space *s, uint64_t va, uint64_t *slot, unsigned prot,
				  enum kmm_access access, struct kmm_pfn *pfn)
{
	struct kmm *k = s->kmm;

	if (access != KMM_ACCESS_WRITE) {
		*pfn = k->vm->zero;
		return enter(s, va, slot, *pfn, read_only(prot)) == KMM_OK ?
		       KMM_FAULT_RESOLVED : KMM_FAULT_OOM;
	}
	if (frame_alloc_kind(k, 0, KMM_FRAME_ZERO | KMM_FRAME_MOVABLE, FRAME_ANON, pfn) != KMM_OK)
		return KMM_FAULT_OOM;
	if (enter(s, va, slot, *pfn, prot) != KMM_OK) {
		frame_ref_put(k, *pfn);
		return KMM_FAULT_OOM;
	}
	counter_add(&s->counts.zero_fills_n, 1u);
	return KMM_FAULT_RESOLVED;
}

/// A write to a frame that others see too: replaces it by one of our own. *pfn =
/// the shared frame, then ours.
static enum kmm_fault_result unshare(struct kmm_space *s, uint64_t va, uint64_t *slot,
				     uint64_t old, unsigned prot, struct kmm_pfn *pfn)
{
	struct kmm *k = s->kmm;
	struct kmm_pfn shared = *pfn;
	bool zero = shared.n == k->vm->zero.n;

	if (frame_alloc_kind(k, 0, (zero ? KMM_FRAME_ZERO : 0) | KMM_FRAME_MOVABLE, FRAME_ANON,
			     pfn) != KMM_OK)
		return KMM_FAULT_OOM;
	if (!zero)
		kmm_port_copy_page(kmm_frame_virt(k, *pfn), kmm_frame_virt(k, shared));
	slot_replace(&s->pt, va, slot, old, *pfn, prot);
	if (zero)
		counter_add(&s->counts.zero_fills_n, 1u);
	else
		counter_add(&s->counts.cow_copies_n, 1u);
	return KMM_FAULT_RESOLVED;
}

/// A write to a read-only leaf where the region allows it.
static enum kmm_fault_result own(struct kmm_space *s, uint64_t va, uint64_t *slot, uint64_t old,
				 unsigned prot, struct kmm_pfn *pfn)
{
	struct kmm *k = s->kmm;

	if (pfn->n == k->vm->zero.n || frame_ref_count(k, *pfn) != 1)
		return unshare(s, va, slot, old, prot, pfn);
	slot_upgrade(&s->pt, va, slot, old, prot);
	counter_add(&s->counts.cow_reuses_n, 1u);
	return KMM_FAULT_RESOLVED;
}

enum kmm_fault_result fault_resolve_locked(struct kmm_space *s, uint64_t va,
					   enum kmm_access access, struct kmm_pfn *pfn, bool *stale)
{
	const struct kmm_pt_format *f = s->kmm->format;
	uint64_t page = bits_align_down(va, KMM_PAGE_BYTES), *slot, old;
	struct region *r = region_find(s, page);

	if (r == NULL || !allows(r->prot, access))
		return KMM_FAULT_SEGV;
	slot = slot_find(&s->pt, page);
	old = slot ? kmm_port_pt_load(s->kmm, slot) : 0;
	if (old == 0)
		return fill(s, page, slot, r->prot, access, pfn);
	KMM_ASSERT(s->kmm, (old & f->valid) != 0, "I2: hidden only where the region allows nothing");
	*pfn = pte_pfn(f, old, 0);
	if (access == KMM_ACCESS_WRITE && !pte_writable(f, old))
		return own(s, page, slot, old, r->prot, pfn);
	if (stale)
		*stale = true; /* I2: a leaf lacks only write */
	return KMM_FAULT_RESOLVED;
}

enum kmm_fault_result kmm_space_fault(struct kmm_space *s, struct kmm_va addr,
				      enum kmm_access access)
{
	struct kmm_pfn pfn;
	bool stale = false;
	unsigned long was = lock_acquire(s->kmm, &s->lock);
	enum kmm_fault_result result = fault_resolve_locked(s, addr.a, access, &pfn, &stale);

	counter_add(&s->counts.faults_n, 1u);
	if (stale) /* this CPU looked at an older entry: it must not do so again */
		tlb_upgrade(&s->pt, bits_align_down(addr.a, KMM_PAGE_BYTES));
	lock_release(s->kmm, &s->lock, was);
	return result;
}
