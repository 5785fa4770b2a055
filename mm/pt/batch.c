/// Invalidation: what has to be dropped, where, and what may be freed after.
///
/// A batch gathers ranges, unlinked tables and frames of one tree; its flush
/// invalidates on every CPU that may hold an entry, waits, and then releases the
/// frames. 'May hold' is the tree's `active` set.
///
/// Invariants:
///   T1  A CPU is in `active` from before it loads the root until after it loaded
///       another (which drops what it held). Entries are stored before `active`
///       is read, with a full fence between: a CPU that isn't seen there reads the
///       new entries.
///   T2  A frame or table leaves a batch for the free lists only after all CPUs
///       completed the invalidation of everything noted before it went in.
///   T3  At most one batch a tree is open, and it is flushed before the owner's
///       lock is released: whoever takes the lock finds no pending flush.
///   T4  The handler takes no lock (base/call.c I1), and touches only the request,
///       which the caller's LOCK_SHOOTDOWN keeps in place.
///
/// The kernel's tree: every CPU walks it whatever root is loaded, so it is active
/// everywhere and forever; its leaves may be global, so it is invalidated page by
/// page always, however long that takes, and its batch flushes when its ranges
/// run out.
///
/// Limits: no address-space ids, so that a root load drops all; no generation
/// numbers, since every flush is waited for.
#include "pt/batch.h"
#include "pt/walk.h"

void kmm_tlb_batch_init(struct kmm_tlb_batch *b, struct kmm_pt *pt)
{
	b->pt = pt;
	b->ranges_n = 0;
	b->frames_n = 0;
	b->all = false;
	b->tables = false;
}

/// Takes a range out that [*start, *end) touches, and joins it. False: none does.
static bool range_join(struct kmm_tlb_batch *b, uint64_t *start, uint64_t *end)
{
	for (unsigned i = 0; i < b->ranges_n; i++) {
		if (b->range[i].start > *end || b->range[i].end < *start)
			continue;
		if (b->range[i].start < *start)
			*start = b->range[i].start;
		if (b->range[i].end > *end)
			*end = b->range[i].end;
		b->range[i] = b->range[--b->ranges_n];
		return true;
	}
	return false;
}

void tlb_range_slow(struct kmm_tlb_batch *b, uint64_t start, uint64_t end)
{
	if (b->all)
		return;
	while (range_join(b, &start, &end))
		continue;
	if (b->ranges_n == KMM_TLB_RANGES) {
		if (!pt_is_kernel(b->pt)) {
			b->all = true;
			return;
		}
		kmm_tlb_batch_flush(b);
	}
	b->range[b->ranges_n].start = start;
	b->range[b->ranges_n].end = end;
	b->ranges_n++;
}

static void frame_add(struct kmm_tlb_batch *b, struct kmm_pfn pfn, bool table)
{
	if (b->frames_n == KMM_TLB_FRAMES)
		kmm_tlb_batch_flush(b);
	b->frame[b->frames_n].pfn = pfn;
	b->frame[b->frames_n].table = table;
	b->frames_n++;
}

void tlb_frame(struct kmm_tlb_batch *b, struct kmm_pfn pfn)
{
	struct kmm *k = b->pt->kmm;

	/* Only such frames are counted; the zero frame and devices have no owner here. */
	if (frame_in_table(k, pfn) && frame_tag(k, pfn) == FRAME_ANON)
		frame_add(b, pfn, false);
}

void tlb_table(struct kmm_tlb_batch *b, uint64_t va, struct kmm_pfn pfn)
{
	uint64_t page = bits_align_down(va, KMM_PAGE_BYTES);

	tlb_range(b, page, page + KMM_PAGE_BYTES);
	b->tables = true; /* only now: noting the range may have flushed */
	frame_add(b, pfn, true);
}

/// What the batch asks for, on this CPU (on all, where the hardware broadcasts).
static void invalidate_here(struct kmm *k, const struct kmm_tlb_batch *b)
{
	struct pt_cpu *cpu = pt_cpu(k);

	kmm_port_tlb_begin(k);
	if (b->all) {
		kmm_port_tlb_all(k);
		counter_add(&cpu->full_flushes_n, 1u);
	} else {
		for (unsigned i = 0; i < b->ranges_n; i++) {
			uint64_t va = b->range[i].start, end = b->range[i].end;

			counter_add(&cpu->page_flushes_n, (end - va) >> KMM_PAGE_LG2);
			for (; va != end; va += KMM_PAGE_BYTES)
				kmm_port_tlb_page(k, va, b->tables);
		}
	}
	kmm_port_tlb_sync(k);
}

void tlb_answer(struct kmm *k)
{
	const struct kmm_tlb_batch *b = k->pt->request; /* guard: T4 */
	bool current = atomic_load_relaxed(&pt_cpu(k)->current) == b->pt;

	if (k->pt->evict) {
		if (current) {
			kmm_pt_activate(k, NULL);
			kmm_port_cpu(k)->space = NULL; /* vm I5: it was this tree's */
		}
	} else if (current || pt_is_kernel(b->pt)) {
		invalidate_here(k, b);
	}
}

static void ask_others(struct kmm *k, const struct kmm_tlb_batch *b, kmm_cpumask cpus, bool evict)
{
	struct pt_state *pt = k->pt;
	unsigned long was = lock_acquire(k, &pt->shootdown);
	unsigned asked;

	pt->request = b;
	pt->evict = evict;
	asked = call_cpus(k, cpus, CALL_SHOOTDOWN);
	counter_add(&pt_cpu(k)->ipis_n, asked);
	counter_add(&pt_cpu(k)->shootdowns_n, asked != 0);
	lock_release(k, &pt->shootdown, was);
}

/// Completes a batch's invalidations on every CPU that may hold an entry.
static void invalidate(struct kmm *k, const struct kmm_tlb_batch *b)
{
	unsigned long was = kmm_port_irq_save(k);
	kmm_cpumask self = 1ull << kmm_port_cpu(k)->id, active;

	atomic_fence_seq_cst(); /* T1 */
	active = atomic_load_relaxed(&b->pt->active);
	if (active != 0 && k->format->tlb_broadcast) {
		invalidate_here(k, b);
	} else {
		if ((active & self) != 0)
			invalidate_here(k, b);
		if ((active & ~self) != 0)
			ask_others(k, b, active & ~self, false);
	}
	kmm_port_irq_restore(k, was);
}

/// Sets `all` where dropping everything is cheaper, or the only thing left.
static void batch_choose(struct kmm_tlb_batch *b)
{
	uint64_t pages = 0;

	if (b->all || pt_is_kernel(b->pt))
		return;
	for (unsigned i = 0; i < b->ranges_n; i++)
		pages += (b->range[i].end - b->range[i].start) >> KMM_PAGE_LG2;
	b->all = pages > TLB_PAGES_MAX;
}

void kmm_tlb_batch_flush(struct kmm_tlb_batch *b)
{
	struct kmm *k = b->pt->kmm;

	if (b->ranges_n != 0) {
		batch_choose(b);
		invalidate(k, b);
	}
	for (unsigned i = 0; i < b->frames_n; i++) {
		if (b->frame[i].table)
			table_free(k, b->frame[i].pfn);
		else
			frame_ref_put(k, b->frame[i].pfn);
	}
	kmm_tlb_batch_init(b, b->pt);
}

void tlb_now(struct kmm_pt *pt, uint64_t start, uint64_t end)
{
	struct kmm_tlb_batch b;

	kmm_tlb_batch_init(&b, pt);
	tlb_range(&b, start, end);
	kmm_tlb_batch_flush(&b);
}

void tlb_upgrade(struct kmm_pt *pt, uint64_t va)
{
	struct kmm *k = pt->kmm;
	unsigned long was = kmm_port_irq_save(k);
	kmm_cpumask self = 1ull << kmm_port_cpu(k)->id, active;

	atomic_fence_seq_cst(); /* T1 */
	active = atomic_load_relaxed(&pt->active);
	if ((active & self) != 0 || (active != 0 && k->format->tlb_broadcast)) {
		kmm_port_tlb_begin(k);
		kmm_port_tlb_page(k, va, false);
		kmm_port_tlb_sync(k);
		counter_add(&pt_cpu(k)->page_flushes_n, 1u);
	}
	kmm_port_irq_restore(k, was);
}

void tlb_evict(struct kmm_pt *pt)
{
	struct kmm *k = pt->kmm;
	unsigned long was = kmm_port_irq_save(k);
	struct kmm_tlb_batch b;
	kmm_cpumask left;

	if (atomic_load_relaxed(&pt_cpu(k)->current) == pt)
		kmm_pt_activate(k, NULL);
	left = atomic_load_acquire(&pt->active);
	if (left != 0) {
		kmm_tlb_batch_init(&b, pt);
		ask_others(k, &b, left, true);
	}
	/* Who remains isn't online: it comes back with nothing cached, on the kernel's root. */
	for (left = atomic_load_acquire(&pt->active); left != 0; left &= left - 1u) {
		atomic_store_relaxed(&k->cpus[bits_lowest(left)].pt->current, &k->pt->kernel);
		k->cpus[bits_lowest(left)].space = NULL; /* nobody runs there */
	}
	(void)atomic_and_seq_cst(&pt->active, 0ull);
	kmm_port_irq_restore(k, was);
}
