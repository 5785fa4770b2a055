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
/// A frame that is replaced may still be in other CPUs' TLBs: kmm_pt_replace
/// completes their invalidation before it publishes the new one, so that no CPU
/// writes the new frame while another reads the old.
#include "frame/entry.h"
#include "pt/batch.h"
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

/// A page that was never touched: the zero frame, or for a write a fresh one.
static enum kmm_fault_result fill(struct kmm_space *s, uint64_t va, const struct region *r,
				  enum kmm_access access, struct kmm_pfn *pfn)
{
	struct kmm *k = s->kmm;
	struct kmm_va at = { va };
	enum kmm_error e;

	if (access != KMM_ACCESS_WRITE) {
		*pfn = k->vm->zero;
		e = kmm_pt_map(&s->pt, at, *pfn, 1, read_only(r->prot), 0);
		return e == KMM_OK ? KMM_FAULT_RESOLVED : KMM_FAULT_OOM;
	}
	e = frame_alloc_kind(k, 0, KMM_FRAME_ZERO, FRAME_ANON, pfn);
	if (e != KMM_OK)
		return KMM_FAULT_OOM;
	e = kmm_pt_map(&s->pt, at, *pfn, 1, r->prot, 0);
	if (e != KMM_OK) {
		frame_ref_put(k, *pfn);
		return KMM_FAULT_OOM;
	}
	counter_add(&s->counts.zero_fills_n, 1u);
	return KMM_FAULT_RESOLVED;
}

/// Our own frame, read-only because it was once shared or protected.
static void reuse(struct kmm_space *s, uint64_t va, const struct region *r)
{
	struct kmm_va start = { va }, end = { va + KMM_PAGE_BYTES };
	struct kmm_tlb_batch b;
	enum kmm_error e;

	kmm_tlb_batch_init(&b, &s->pt);
	e = kmm_pt_protect(&s->pt, start, end, r->prot, false, &b);
	KMM_REQUIRE(s->kmm, e == KMM_OK, "a 4 KiB leaf needs no split");
	kmm_tlb_batch_flush(&b);
	counter_add(&s->counts.cow_reuses_n, 1u);
}

/// A write to a frame that others see too: replaces it by one of our own.
static enum kmm_fault_result unshare(struct kmm_space *s, uint64_t va, const struct region *r,
				     struct kmm_pfn shared, struct kmm_pfn *pfn)
{
	struct kmm *k = s->kmm;
	struct kmm_va at = { va };
	struct kmm_tlb_batch b;
	bool zero = shared.n == k->vm->zero.n;

	if (frame_alloc_kind(k, 0, zero ? KMM_FRAME_ZERO : 0, FRAME_ANON, pfn) != KMM_OK)
		return KMM_FAULT_OOM;
	if (!zero)
		kmm_port_copy_page(kmm_frame_virt(k, *pfn), kmm_frame_virt(k, shared));
	kmm_tlb_batch_init(&b, &s->pt);
	kmm_pt_replace(&s->pt, at, *pfn, r->prot, &b);
	kmm_tlb_batch_flush(&b);
	if (zero)
		counter_add(&s->counts.zero_fills_n, 1u);
	else
		counter_add(&s->counts.cow_copies_n, 1u);
	return KMM_FAULT_RESOLVED;
}

enum kmm_fault_result fault_resolve_locked(struct kmm_space *s, uint64_t va,
					   enum kmm_access access, struct kmm_pfn *pfn, bool *stale)
{
	uint64_t page = bits_align_down(va, KMM_PAGE_BYTES);
	struct region *r = region_find(s, page);
	struct kmm_va at = { page };
	struct kmm_pt_leaf leaf;

	if (r == NULL || !allows(r->prot, access))
		return KMM_FAULT_SEGV;
	if (kmm_pt_lookup(&s->pt, at, &leaf) != KMM_OK)
		return fill(s, page, r, access, pfn);
	KMM_ASSERT(s->kmm, leaf.present, "I2: hidden only where the region allows nothing");
	*pfn = leaf.pfn;
	if (allows(leaf.prot, access)) {
		if (stale)
			*stale = true;
		return KMM_FAULT_RESOLVED;
	}
	KMM_ASSERT(s->kmm, access == KMM_ACCESS_WRITE, "I2: a leaf lacks only write");
	if (leaf.pfn.n == s->kmm->vm->zero.n || frame_ref_count(s->kmm, leaf.pfn) != 1)
		return unshare(s, page, r, leaf.pfn, pfn);
	reuse(s, page, r);
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
