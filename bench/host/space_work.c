/// Page-table and address-space workloads. No MMU reads these tables: what is
/// measured is kmm's own work, zeroing and copying of frames included.
#include <pthread.h>

#include "workload.h"

#define BASE 0x100000000ull
#define MAPPED_BYTES (4ull << 20)
#define WINDOW_PAGES 512ull

void pt_setup(struct work *w)
{
	must(kmm_pt_init(w->machine.kmm, &w->pt, NULL), "tree");
	must(kmm_frame_alloc(w->machine.kmm, 0, 0, &w->pfn), "frame");
}

void pt_teardown_tree(struct work *w)
{
	kmm_pt_destroy(&w->pt);
	must(kmm_frame_free(w->machine.kmm, w->pfn, 0), "frame back");
}

/// Maps one page of the window and unmaps it.
static void map_and_unmap(struct work *w, struct kmm_tlb_batch *b, uint64_t i)
{
	struct kmm_va va = { BASE + KMM_PAGE_BYTES * (1u + i % (WINDOW_PAGES - 1u)) };

	must(kmm_pt_map(&w->pt, va, w->pfn, 1, KMM_PROT_R | KMM_PROT_W, 0), "map");
	must(kmm_pt_unmap(&w->pt, va, (struct kmm_va){ va.a + KMM_PAGE_BYTES }, b), "unmap");
	kmm_tlb_batch_flush(b);
}

/// One page whose neighbours' table stays: the mapped frame is a plain one, so
/// that unmapping only drops the entry.
void pt_map_unmap(struct work *w, uint64_t n)
{
	struct kmm_tlb_batch b;
	struct kmm_va anchor = { BASE };

	kmm_tlb_batch_init(&b, &w->pt);
	must(kmm_pt_map(&w->pt, anchor, w->pfn, 1, KMM_PROT_R, 0), "map anchor");
	for (uint64_t i = 0; i < n; i++)
		TIMED(w, map_and_unmap(w, &b, i));
	must(kmm_pt_unmap(&w->pt, anchor, (struct kmm_va){ BASE + KMM_PAGE_BYTES }, &b), "anchor");
	kmm_tlb_batch_flush(&b);
}

enum { OTHER_STARTS, OTHER_RUNS, OTHER_ENDS };

/// CPU 1: has the tree loaded and answers whatever interrupts it.
static void *other_cpu(void *arg)
{
	struct work *w = arg;
	struct kmm *k = w->machine.kmm;

	threads_enter(&w->machine, 1);
	kmm_pt_activate(k, &w->pt);
	__atomic_store_n(&w->other_state, OTHER_RUNS, __ATOMIC_RELEASE);
	while (__atomic_load_n(&w->other_state, __ATOMIC_ACQUIRE) != OTHER_ENDS) {
		kmm_port_irq_restore(k, kmm_port_irq_save(k));
		kmm_port_relax(k);
	}
	kmm_pt_activate(k, NULL);
	threads_leave(&w->machine, 1);
	return NULL;
}

void shootdown_setup(struct work *w)
{
	pt_setup(w);
	if (pthread_create(&w->other, NULL, other_cpu, w) != 0)
		work_failed("no thread for the other CPU");
	while (__atomic_load_n(&w->other_state, __ATOMIC_ACQUIRE) != OTHER_RUNS)
		kmm_port_relax(w->machine.kmm);
}

void shootdown_teardown(struct work *w)
{
	__atomic_store_n(&w->other_state, OTHER_ENDS, __ATOMIC_RELEASE);
	pthread_join(w->other, NULL);
	pt_teardown_tree(w);
}

/// As map_unmap, while another CPU has the tree loaded: one interrupt and one
/// acknowledgement each.
void shootdown_unmap(struct work *w, uint64_t n)
{
	pt_map_unmap(w, n);
}

void space_setup(struct work *w)
{
	must(kmm_space_create(w->machine.kmm, &w->space), "space");
	kmm_space_activate(w->machine.kmm, w->space);
}

static void touch(struct work *w, uint64_t base, uint64_t bytes, enum kmm_access access)
{
	for (uint64_t at = 0; at < bytes; at += KMM_PAGE_BYTES) {
		enum kmm_fault_result r;

		TIMED(w, r = kmm_space_fault(w->space, (struct kmm_va){ base + at }, access));
		if (r != KMM_FAULT_RESOLVED)
			work_failed("fault");
	}
}

static void map_at(struct work *w, uint64_t base, uint64_t bytes)
{
	struct kmm_va at = { base };

	must(kmm_space_map(w->space, &at, bytes, KMM_PROT_R | KMM_PROT_W, KMM_MAP_FIXED), "map");
}

void space_setup_mapped(struct work *w)
{
	space_setup(w);
	map_at(w, BASE, MAPPED_BYTES);
	touch(w, BASE, MAPPED_BYTES, KMM_ACCESS_WRITE);
}

void space_teardown(struct work *w)
{
	kmm_space_activate(w->machine.kmm, NULL);
	kmm_space_destroy(w->space);
}

static void faults(struct work *w, uint64_t n, enum kmm_access access)
{
	for (uint64_t done = 0; done < n; done += WINDOW_PAGES) {
		map_at(w, BASE, WINDOW_PAGES * KMM_PAGE_BYTES);
		touch(w, BASE, WINDOW_PAGES * KMM_PAGE_BYTES, access);
		must(kmm_space_unmap(w->space, (struct kmm_va){ BASE },
				     WINDOW_PAGES * KMM_PAGE_BYTES),
		     "unmap");
	}
}

void space_fault_write(struct work *w, uint64_t n)
{
	faults(w, n, KMM_ACCESS_WRITE);
}

void space_fault_read(struct work *w, uint64_t n)
{
	faults(w, n, KMM_ACCESS_READ);
}

/// Forks a space of 4 MiB touched memory and destroys the child.
void space_fork_exit(struct work *w, uint64_t n)
{
	struct kmm_space *child;

	for (uint64_t i = 0; i < n; i++) {
		TIMED(w, must(kmm_space_fork(w->space, &child), "fork"));
		kmm_space_destroy(child);
	}
}

void space_map_unmap(struct work *w, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		map_at(w, BASE, KMM_PAGE_BYTES);
		must(kmm_space_unmap(w->space, (struct kmm_va){ BASE }, KMM_PAGE_BYTES), "unmap");
	}
}
