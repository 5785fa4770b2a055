/// Address spaces: what a user program sees as its memory.
///
/// What: a space is a tree of regions (what is allowed, region.c) over a tree of
/// page tables (what is present, pt/). Memory is private and anonymous: a page
/// exists once it was written; before that, reads see the one shared zero frame.
/// map.c changes regions, fault.c fills pages in, fork.c shares them, copy.c
/// accesses them for the kernel.
///
/// Invariants (checked in check.c)
///   I1  a leaf lies inside a region; it is 4 KiB and a user page
///   I2  a leaf allows no more than its region, and is hidden if and only if
///       the region allows nothing
///   I3  a writable leaf's frame is FRAME_ANON with exactly one reference: no
///       write can be seen by another space
///   I4  leaves name FRAME_ANON frames, whose references are the leaves that name
///       them, or the zero frame, which counts none and is never writable
///   I5  a CPU's `space` is NULL or the space whose tables it has loaded
///
/// Locking: LOCK_SPACES guards the list; one LOCK_SPACE per space guards its
/// regions and tables. A fork holds the parent's and, one rank up, the child's.
/// Invalidation batches are flushed before the lock is released, so that no
/// other thread of the space sees a change half done, and a frame is freed only
/// when no CPU can reach it.
///
/// Failure: everything that can fail (regions, tables, frames) is had before
/// the first change; 4 KiB leaves make unmap and protect free of allocation.
/// Limits: preset.region_max per space; preset.has_user = false: no spaces.
#include "frame/entry.h"
#include "object/unit.h"
#include "pt/batch.h"
#include "vm/space.h"
#include "vm/unit.h"

uint64_t vm_meta_bytes(const struct kmm_config *c, uint64_t total)
{
	(void)c;
	return meta_add(total, sizeof(struct vm_state), _Alignof(struct vm_state));
}

enum kmm_error vm_init(struct kmm *k, const struct kmm_config *c, struct meta *m)
{
	struct vm_state *vm = meta_take(k, m, sizeof(*vm), _Alignof(struct vm_state));
	enum kmm_error e;

	(void)c;
	k->vm = vm;
	lock_init(&vm->lock, LOCK_SPACES);
	list_init(&vm->spaces);
	if (!k->preset->has_user)
		return KMM_OK;
	e = frame_alloc_kind(k, 0, KMM_FRAME_ZERO, FRAME_USED, &vm->zero);
	if (e == KMM_OK)
		e = kmm_cache_create(k, "region", sizeof(struct region), 0, NULL,
				     &vm->region_cache);
	if (e == KMM_OK)
		e = kmm_cache_create(k, "space", sizeof(struct kmm_space), 0, NULL,
				     &vm->space_cache);
	object_caches_own(k);
	return e;
}

void vm_teardown(struct kmm *k)
{
	struct vm_state *vm = k->vm;
	enum kmm_error e;

	if (!k->preset->has_user)
		return;
	while (!list_empty(&vm->spaces))
		kmm_space_destroy(LIST_FIRST(&vm->spaces, struct kmm_space, link));
	e = kmm_cache_destroy(vm->space_cache);
	KMM_REQUIRE(k, e == KMM_OK, "no space outlives the list");
	e = kmm_cache_destroy(vm->region_cache);
	KMM_REQUIRE(k, e == KMM_OK, "no region outlives its space");
	frame_free_own(k, vm->zero, 0);
}

enum kmm_error space_make(struct kmm *k, enum lock_rank rank, struct kmm_space **out)
{
	struct kmm_space *s = kmm_cache_alloc(k->vm->space_cache);
	enum kmm_error e;

	if (s == NULL)
		return KMM_ENOMEM;
	e = kmm_pt_init(k, &s->pt, kmm_pt_kernel(k));
	if (e != KMM_OK) {
		enum kmm_error freed = kmm_cache_free(k->vm->space_cache, s);

		KMM_REQUIRE(k, freed == KMM_OK, "a fresh space is freed once");
		return e;
	}
	s->kmm = k;
	lock_init(&s->lock, rank);
	regions_init(s);
	s->brk_base = s->brk = 0;
	s->counts = (struct vm_counts){ 0 };
	list_init(&s->link);
	*out = s;
	return KMM_OK;
}

void space_publish(struct kmm_space *s)
{
	struct vm_state *vm = s->kmm->vm;
	unsigned long was;

	lock_init(&s->lock, LOCK_SPACE);
	was = lock_acquire(s->kmm, &vm->lock);
	list_add(&vm->spaces, &s->link);
	vm->spaces_n++;
	lock_release(s->kmm, &vm->lock, was);
}

void space_unmake(struct kmm_space *s)
{
	struct kmm *k = s->kmm;
	struct kmm_tlb_batch b;
	unsigned long was = lock_acquire(k, &s->lock);
	enum kmm_error e = KMM_OK;

	/* Region by region: the empty stretches between them are most of the tree. */
	kmm_tlb_batch_init(&b, &s->pt);
	for (struct region *r = region_first(s, 0); region_start(r) < s->pt.user_end &&
	     e == KMM_OK; r = region_next(r)) {
		struct kmm_va start = { region_start(r) }, end = { r->end };

		e = kmm_pt_unmap(&s->pt, start, end, &b);
	}
	kmm_tlb_batch_flush(&b);
	KMM_REQUIRE(k, e == KMM_OK, "unmapping 4 KiB leaves takes no memory");
	regions_free(s);
	lock_release(k, &s->lock, was);
	kmm_pt_destroy(&s->pt);
	e = kmm_cache_free(k->vm->space_cache, s);
	KMM_REQUIRE(k, e == KMM_OK, "a space is destroyed once");
}

enum kmm_error kmm_space_create(struct kmm *k, struct kmm_space **out)
{
	enum kmm_error e;

	if (!k->preset->has_user)
		return KMM_EUNSUPPORTED;
	e = space_make(k, LOCK_SPACE, out);
	if (e == KMM_OK)
		space_publish(*out);
	return e;
}

static void counts_add(struct vm_counts *to, const struct vm_counts *from)
{
	to->faults_n += counter_read(&from->faults_n);
	to->zero_fills_n += counter_read(&from->zero_fills_n);
	to->cow_copies_n += counter_read(&from->cow_copies_n);
	to->cow_reuses_n += counter_read(&from->cow_reuses_n);
	to->forks_n += counter_read(&from->forks_n);
}

static void space_withdraw(struct kmm_space *s)
{
	struct vm_state *vm = s->kmm->vm;
	unsigned long was = lock_acquire(s->kmm, &vm->lock);

	list_remove(&s->link);
	vm->spaces_n--;
	counts_add(&vm->past, &s->counts);
	lock_release(s->kmm, &vm->lock, was);
}

void kmm_space_destroy(struct kmm_space *s)
{
	struct kmm *k = s->kmm;
	unsigned long was;

	space_withdraw(s);
	was = kmm_port_irq_save(k);
	if (kmm_port_cpu(k)->space == s)
		kmm_space_activate(k, NULL);
	tlb_evict(&s->pt); /* I5 on the other CPUs, before the pointer dangles */
	kmm_port_irq_restore(k, was);
	space_unmake(s);
}

void kmm_space_activate(struct kmm *k, struct kmm_space *s)
{
	unsigned long was = kmm_port_irq_save(k);
	struct kmm_cpu *cpu = kmm_port_cpu(k);

	if (cpu->space != s) {
		kmm_pt_activate(k, s ? &s->pt : NULL);
		cpu->space = s;
	}
	kmm_port_irq_restore(k, was);
}

struct kmm_pt *kmm_space_pt(struct kmm_space *s)
{
	return &s->pt;
}

void kmm_space_regions(struct kmm_space *s,
		       bool (*fn)(void *ctx, struct kmm_va start, struct kmm_va end,
				  unsigned prot),
		       void *ctx)
{
	unsigned long was = lock_acquire(s->kmm, &s->lock);
	struct region *r = region_first(s, 0);

	for (; r != &s->sentinel; r = region_next(r)) {
		struct kmm_va start = { region_start(r) }, end = { r->end };

		if (!fn(ctx, start, end, r->prot))
			break;
	}
	lock_release(s->kmm, &s->lock, was);
}

void kmm_vm_stats(struct kmm *k, struct kmm_vm_stats *out)
{
	struct vm_state *vm = k->vm;
	unsigned long was = lock_acquire(k, &vm->lock);
	struct vm_counts sum = vm->past;

	*out = (struct kmm_vm_stats){ .spaces_n = vm->spaces_n };
	LIST_EACH(s, &vm->spaces, struct kmm_space, link) {
		out->regions_n += counter_read(&s->regions_n);
		counts_add(&sum, &s->counts);
	}
	lock_release(k, &vm->lock, was);
	out->faults_n = sum.faults_n;
	out->zero_fills_n = sum.zero_fills_n;
	out->cow_copies_n = sum.cow_copies_n;
	out->cow_reuses_n = sum.cow_reuses_n;
	out->forks_n = sum.forks_n;
}
