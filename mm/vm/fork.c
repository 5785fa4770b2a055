/// Fork: a second space with the same contents.
///
/// Nothing is copied but regions and leaves. Each private frame gets one more
/// reference; leaves that were writable become read-only in both spaces, and the
/// write fault (fault.c) tells them apart again.
///
/// Order, and why it can be undone: the child's regions come first, since they
/// are the part most likely to meet a limit; then the leaves, region by region.
/// If a table can't be had, the child is unmade like any other space, which puts
/// back every reference; the parent's leaves may stay read-only, which costs its
/// next write a fault and changes nothing it can see.
///
/// One batch serves all regions: until it is flushed, CPUs that run the parent
/// may write through old entries, but the parent's lock keeps everyone from
/// the child, which nobody has yet. It is flushed on failure too, and before
/// the lock is released (space.c, I3).
#include "vm/space.h"

static enum kmm_error share_all(struct kmm_space *child, struct kmm_space *parent,
				struct kmm_tlb_batch *b)
{
	struct region *r = region_first(parent, 0);
	enum kmm_error e = KMM_OK;

	for (; r != &parent->sentinel && e == KMM_OK; r = region_next(r)) {
		struct kmm_va start = { region_start(r) }, end = { r->end };

		e = kmm_pt_share(&child->pt, &parent->pt, start, end, b);
	}
	return e;
}

static enum kmm_error copy_locked(struct kmm_space *child, struct kmm_space *parent)
{
	struct kmm_tlb_batch b;
	enum kmm_error e = regions_copy(child, parent);

	if (e != KMM_OK)
		return e;
	if (parent->pt.leaves_n > 0) {
		kmm_tlb_batch_init(&b, &parent->pt);
		e = share_all(child, parent, &b);
		kmm_tlb_batch_flush(&b);
	}
	if (e != KMM_OK)
		return e;
	child->brk_base = parent->brk_base;
	child->brk = parent->brk;
	counter_add(&parent->counts.forks_n, 1u);
	return KMM_OK;
}

enum kmm_error kmm_space_fork(struct kmm_space *parent, struct kmm_space **out)
{
	struct kmm *k = parent->kmm;
	struct kmm_space *child;
	unsigned long was, child_was;
	enum kmm_error e = space_make(k, LOCK_SPACE_CHILD, &child);

	if (e != KMM_OK)
		return e;
	was = lock_acquire(k, &parent->lock);
	child_was = lock_acquire(k, &child->lock);
	e = copy_locked(child, parent);
	lock_release(k, &child->lock, child_was);
	lock_release(k, &parent->lock, was);
	if (e != KMM_OK) {
		space_unmake(child);
		return e;
	}
	space_publish(child);
	*out = child;
	return KMM_OK;
}
