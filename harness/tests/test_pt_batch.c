/// Batches: what they gather, whom they ask, and when they let go.
#include <pthread.h>

#include "pt_fixture.h"

#include "pt/batch.h"

#define BASE 0x40000000ull

static struct kmm_pt_stats stats(struct fixture *f)
{
	struct kmm_pt_stats s;

	kmm_pt_stats(f->k, &s);
	return s;
}

static void map_anon(struct fixture *f, uint64_t va, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(map_n(&f->pt, va + i * PAGE, anon(f->k), 1, RW, 0), KMM_OK);
}

static struct kmm_pfn pfn_of(struct fixture *f, uint64_t va)
{
	struct kmm_pt_leaf leaf;

	assert_int_equal(kmm_pt_lookup(&f->pt, va_at(va), &leaf), KMM_OK);
	return leaf.pfn;
}

/* ---- gathering ---- */

static void pt_batch_neighbours_and_overlaps_become_one_range(void **state)
{
	struct kmm_tlb_batch b;
	struct fixture f;

	(void)state;
	fixture_start(&f, NULL, true, 1);
	kmm_tlb_batch_init(&b, &f.pt);
	tlb_range(&b, BASE, BASE + PAGE);
	tlb_range(&b, BASE + PAGE, BASE + 3 * PAGE);
	tlb_range(&b, BASE - PAGE, BASE);
	tlb_range(&b, BASE, BASE + 2 * PAGE);
	assert_int_equal(b.ranges_n, 1);
	tlb_range(&b, BASE + 5 * PAGE, BASE + 6 * PAGE);
	assert_int_equal(b.ranges_n, 2);
	/* What lies between joins both. */
	tlb_range(&b, BASE + 2 * PAGE, BASE + 5 * PAGE);
	assert_int_equal(b.ranges_n, 1);
	assert_int_equal(b.range[0].start, BASE - PAGE);
	assert_int_equal(b.range[0].end, BASE + 6 * PAGE);
	assert_false(b.all);
	kmm_tlb_batch_flush(&b);
	assert_int_equal(b.ranges_n, 0);
	fixture_stop(&f);
}

static void pt_batch_too_many_ranges_drop_everything(void **state)
{
	struct kmm_tlb_batch b;
	struct fixture f;

	(void)state;
	fixture_start(&f, NULL, true, 1);
	kmm_pt_activate(f.k, &f.pt);
	kmm_tlb_batch_init(&b, &f.pt);
	for (unsigned i = 0; i < KMM_TLB_RANGES; i++)
		tlb_range(&b, BASE + 2 * i * PAGE, BASE + (2 * i + 1) * PAGE);
	assert_int_equal(b.ranges_n, KMM_TLB_RANGES);
	assert_false(b.all);
	tlb_range(&b, BASE + 99 * PAGE, BASE + 100 * PAGE);
	assert_true(b.all);
	kmm_tlb_batch_flush(&b);
	assert_int_equal(stats(&f).full_flushes_n, 1);
	assert_int_equal(stats(&f).page_flushes_n, 0);
	assert_false(b.all);
	kmm_pt_activate(f.k, NULL);
	fixture_stop(&f);
}

static void pt_batch_few_pages_are_dropped_singly(void **state)
{
	static const struct {
		unsigned pages, full_n, page_n;
	} row[] = { { 1, 0, 1 }, { TLB_PAGES_MAX, 0, TLB_PAGES_MAX }, { TLB_PAGES_MAX + 1, 1, 0 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct kmm_pt_stats s;
		struct fixture f;

		fixture_start(&f, NULL, true, 1);
		kmm_pt_activate(f.k, &f.pt);
		assert_int_equal(map_n(&f.pt, BASE, pfn_at(DEVICE_PFN), row[i].pages, RW, 0),
				 KMM_OK);
		assert_int_equal(unmap_n(&f.pt, BASE, row[i].pages), KMM_OK);
		s = stats(&f);
		assert_int_equal(s.full_flushes_n, row[i].full_n);
		assert_int_equal(s.page_flushes_n, row[i].page_n);
		kmm_pt_activate(f.k, NULL);
		fixture_stop(&f);
	}
}

static void pt_batch_kernel_tree_is_dropped_page_by_page(void **state)
{
	struct kmm_pt *kernel;
	struct fixture f;
	uint64_t base;

	(void)state;
	fixture_start(&f, &kmm_pt_format_aarch64, true, 1);
	kernel = kmm_pt_kernel(f.k);
	base = -f.pt.user_end;
	/* Every second page, more than a batch has ranges, and one long run. */
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(map_n(kernel, base + 2 * i * PAGE, pfn_at(i), 1, RW, 0), KMM_OK);
	assert_int_equal(map_n(kernel, base + 100 * PAGE, pfn_at(9), 100, RW, 0), KMM_OK);
	assert_int_equal(unmap_n(kernel, base, 512), KMM_OK);
	assert_int_equal(stats(&f).full_flushes_n, 0);
	/* The emptied tables ask for their last page once more. */
	assert_in_range(stats(&f).page_flushes_n, 140, 141);
	fixture_stop(&f);
}

/* ---- whom it asks ---- */

static void pt_batch_tree_that_no_cpu_holds_needs_no_flush(void **state)
{
	struct fixture f;

	(void)state;
	fixture_start(&f, NULL, true, 1);
	map_anon(&f, BASE, 40);
	assert_int_equal(protect_n(&f.pt, BASE, 3, R, false), KMM_OK);
	replace(&f.pt, BASE, anon(f.k), RW);
	assert_int_equal(unmap_n(&f.pt, BASE, 40), KMM_OK);
	assert_int_equal(stats(&f).full_flushes_n + stats(&f).page_flushes_n, 0);
	fixture_stop(&f);
}

static void pt_batch_harmless_changes_need_no_flush(void **state)
{
	struct fixture f;

	(void)state;
	fixture_start(&f, NULL, true, 1);
	kmm_pt_activate(f.k, &f.pt);
	map_anon(&f, BASE, 4);                                           /* new */
	assert_int_equal(stats(&f).page_flushes_n, 0);
	assert_int_equal(protect_n(&f.pt, BASE, 4, RW, false), KMM_OK);  /* the same */
	assert_int_equal(stats(&f).page_flushes_n, 0);
	assert_int_equal(protect_n(&f.pt, BASE, 4, KMM_PROT_NONE, false), KMM_OK);
	assert_int_equal(stats(&f).page_flushes_n, 4);
	assert_int_equal(protect_n(&f.pt, BASE, 4, R, false), KMM_OK);   /* hidden -> valid */
	assert_int_equal(stats(&f).page_flushes_n, 4);
	assert_int_equal(protect_n(&f.pt, BASE, 4, RW, false), KMM_OK);  /* more rights */
	assert_int_equal(stats(&f).page_flushes_n, 4);
	assert_int_equal(protect_n(&f.pt, BASE, 4, R, false), KMM_OK);   /* fewer */
	assert_int_equal(stats(&f).page_flushes_n, 8);
	assert_int_equal(unmap_n(&f.pt, BASE, 4), KMM_OK);
	assert_int_equal(stats(&f).page_flushes_n, 12);
	kmm_pt_activate(f.k, NULL);
	fixture_stop(&f);
}

static void pt_batch_replace_completes_before_it_publishes(void **state)
{
	struct kmm_tlb_batch b;
	struct kmm_pfn old;
	struct fixture f;

	(void)state;
	fixture_start(&f, NULL, true, 1);
	kmm_pt_activate(f.k, &f.pt);
	map_anon(&f, BASE, 1);
	old = pfn_of(&f, BASE);
	kmm_tlb_batch_init(&b, &f.pt);
	kmm_pt_replace(&f.pt, va_at(BASE), anon(f.k), RW, &b);
	assert_int_equal(stats(&f).page_flushes_n, 1);
	assert_true(kmm_frame_is_allocated(f.k, old));
	kmm_tlb_batch_flush(&b);
	assert_int_equal(stats(&f).page_flushes_n, 1); /* once is enough */
	assert_false(kmm_frame_is_allocated(f.k, old));
	assert_int_equal(unmap_n(&f.pt, BASE, 1), KMM_OK);
	kmm_pt_activate(f.k, NULL);
	fixture_stop(&f);
}

static void pt_batch_activation_joins_and_leaves_the_set(void **state)
{
	struct kmm_pt other;
	struct fixture f;

	(void)state;
	fixture_start(&f, NULL, true, 3);
	assert_int_equal(kmm_pt_init(f.k, &other, NULL), KMM_OK);
	assert_int_equal(kmm_pt_kernel(f.k)->active, 7);
	kmm_pt_activate(f.k, &f.pt);
	kmm_pt_activate(f.k, &f.pt);
	assert_int_equal(f.pt.active, 1);
	kmm_pt_activate(f.k, &other);
	assert_int_equal(f.pt.active, 0);
	assert_int_equal(other.active, 1);
	kmm_pt_activate(f.k, NULL);
	assert_int_equal(other.active, 0);
	assert_int_equal(kmm_pt_kernel(f.k)->active, 7);
	kmm_pt_destroy(&other);
	fixture_stop(&f);
}

/* ---- when it lets go ---- */

static void pt_batch_frames_and_tables_stay_until_the_flush(void **state)
{
	struct kmm_tlb_batch b;
	struct kmm_pfn pfn;
	struct fixture f;
	uint64_t free_n;

	(void)state;
	fixture_start(&f, NULL, true, 1);
	map_anon(&f, BASE, 1);
	pfn = pfn_of(&f, BASE);
	free_n = free_frames(f.k);
	kmm_tlb_batch_init(&b, &f.pt);
	assert_int_equal(kmm_pt_unmap(&f.pt, va_at(BASE), va_at(BASE + PAGE), &b), KMM_OK);
	assert_int_equal(f.pt.tables_n, 1);
	assert_true(b.tables);
	assert_int_equal(b.frames_n, 4); /* the frame and three tables */
	assert_true(kmm_frame_is_allocated(f.k, pfn));
	assert_int_equal(free_frames(f.k), free_n);
	kmm_tlb_batch_flush(&b);
	assert_false(kmm_frame_is_allocated(f.k, pfn));
	assert_int_equal(free_frames(f.k), free_n + 4);
	fixture_stop(&f);
}

static void pt_batch_full_of_frames_flushes_itself(void **state)
{
	struct kmm_tlb_batch b;
	struct fixture f;
	uint64_t free_n;

	(void)state;
	fixture_start(&f, NULL, true, 1);
	kmm_pt_activate(f.k, &f.pt);
	map_anon(&f, BASE, KMM_TLB_FRAMES + 5);
	free_n = free_frames(f.k);
	kmm_tlb_batch_init(&b, &f.pt);
	assert_int_equal(kmm_pt_unmap(&f.pt, va_at(BASE), va_at(BASE + 100 * PAGE), &b), KMM_OK);
	assert_int_equal(free_frames(f.k), free_n + KMM_TLB_FRAMES);
	assert_int_equal(stats(&f).full_flushes_n, 1);
	assert_int_equal(b.frames_n, 5 + 3);
	kmm_tlb_batch_flush(&b);
	assert_int_equal(free_frames(f.k), free_n + KMM_TLB_FRAMES + 5 + 3);
	kmm_pt_activate(f.k, NULL);
	fixture_stop(&f);
}

/* ---- several CPUs ---- */

struct peer {
	struct fixture *f;
	unsigned cpu;
	struct kmm_pt *tree;  /* loaded while it runs */
	bool leaves;          /* the tree, but not the machine */
	uint32_t ready, stop; /* atomic */
};

static void *peer_main(void *arg)
{
	struct peer *p = arg;

	threads_enter(&p->f->m, p->cpu);
	kmm_pt_activate(p->f->k, p->tree);
	if (p->leaves)
		kmm_pt_activate(p->f->k, NULL);
	__atomic_store_n(&p->ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&p->stop, __ATOMIC_SEQ_CST)) {
		kmm_port_irq_restore(p->f->k, kmm_port_irq_save(p->f->k));
		kmm_port_relax(p->f->k);
	}
	threads_leave(&p->f->m, p->cpu);
	return NULL;
}

static void peer_start(struct peer *p, pthread_t *t)
{
	assert_int_equal(pthread_create(t, NULL, peer_main, p), 0);
	while (!__atomic_load_n(&p->ready, __ATOMIC_SEQ_CST))
		kmm_port_relax(p->f->k);
}

static void peer_stop(struct peer *p, pthread_t t)
{
	__atomic_store_n(&p->stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(t, NULL);
}

static void pt_batch_asks_only_cpus_that_hold_the_tree(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		bool broadcast = kmm_pt_format_at(i)->tlb_broadcast;
		struct fixture f;
		struct peer holds = { .f = &f, .cpu = 1 }, left = { .f = &f, .cpu = 2, .leaves = true };
		pthread_t t1, t2;

		fixture_start(&f, kmm_pt_format_at(i), true, 3);
		holds.tree = left.tree = &f.pt;
		peer_start(&holds, &t1);
		peer_start(&left, &t2);
		assert_int_equal(f.pt.active, 2);
		map_anon(&f, BASE, 3);
		assert_int_equal(unmap_n(&f.pt, BASE, 3), KMM_OK);
		assert_int_equal(stats(&f).ipis_n, broadcast ? 0 : 1);
		assert_int_equal(stats(&f).shootdowns_n, broadcast ? 0 : 1);
		assert_int_equal(stats(&f).page_flushes_n, 3);
		kmm_pt_activate(f.k, &f.pt);
		map_anon(&f, BASE, 3);
		assert_int_equal(unmap_n(&f.pt, BASE, 3), KMM_OK);
		assert_int_equal(stats(&f).ipis_n, broadcast ? 0 : 2);
		assert_int_equal(stats(&f).page_flushes_n, broadcast ? 6 : 9);
		kmm_pt_activate(f.k, NULL);
		peer_stop(&left, t2);
		peer_stop(&holds, t1);
		fixture_stop(&f);
	}
}

static void pt_batch_destroyed_tree_is_taken_from_cpus_that_still_hold_it(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		struct fixture f;
		struct peer p = { .f = &f, .cpu = 1 };
		struct kmm_pt tree;
		pthread_t t;

		fixture_start(&f, kmm_pt_format_at(i), true, 2);
		assert_int_equal(kmm_pt_init(f.k, &tree, NULL), KMM_OK);
		p.tree = &tree;
		peer_start(&p, &t);
		kmm_pt_activate(f.k, &tree);
		assert_int_equal(tree.active, 3);
		kmm_pt_destroy(&tree);
		assert_int_equal(tree.active, 0);
		assert_int_equal(stats(&f).ipis_n, 1);
		for (unsigned cpu = 0; cpu < 2; cpu++)
			assert_ptr_equal(kmm_cpu_at(f.k, cpu)->pt->current, kmm_pt_kernel(f.k));
		peer_stop(&p, t);
		fixture_stop(&f);
	}
}

/// A CPU that comes and goes while another changes the tree.
static void *restless_main(void *arg)
{
	struct peer *p = arg;

	threads_enter(&p->f->m, p->cpu);
	__atomic_store_n(&p->ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&p->stop, __ATOMIC_SEQ_CST)) {
		kmm_pt_activate(p->f->k, p->tree);
		kmm_pt_activate(p->f->k, NULL);
	}
	threads_leave(&p->f->m, p->cpu);
	return NULL;
}

static void pt_batch_cpus_come_and_go_while_it_flushes(void **state)
{
	struct fixture f;
	struct peer p[2] = { { .f = &f, .cpu = 1 }, { .f = &f, .cpu = 2 } };
	pthread_t t[2];

	(void)state;
	fixture_start(&f, NULL, true, 3);
	for (unsigned i = 0; i < 2; i++) {
		p[i].tree = &f.pt;
		assert_int_equal(pthread_create(&t[i], NULL, restless_main, &p[i]), 0);
		while (!__atomic_load_n(&p[i].ready, __ATOMIC_SEQ_CST))
			kmm_port_relax(f.k);
	}
	for (unsigned round = 0; round < 2000; round++) {
		map_anon(&f, BASE, 3);
		assert_int_equal(protect_n(&f.pt, BASE, 2, R, false), KMM_OK);
		assert_int_equal(unmap_n(&f.pt, BASE, 3), KMM_OK);
	}
	for (unsigned i = 0; i < 2; i++)
		peer_stop(&p[i], t[i]);
	assert_int_equal(f.pt.active, 0);
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pt_batch_neighbours_and_overlaps_become_one_range),
		cmocka_unit_test(pt_batch_too_many_ranges_drop_everything),
		cmocka_unit_test(pt_batch_few_pages_are_dropped_singly),
		cmocka_unit_test(pt_batch_kernel_tree_is_dropped_page_by_page),
		cmocka_unit_test(pt_batch_tree_that_no_cpu_holds_needs_no_flush),
		cmocka_unit_test(pt_batch_harmless_changes_need_no_flush),
		cmocka_unit_test(pt_batch_replace_completes_before_it_publishes),
		cmocka_unit_test(pt_batch_activation_joins_and_leaves_the_set),
		cmocka_unit_test(pt_batch_frames_and_tables_stay_until_the_flush),
		cmocka_unit_test(pt_batch_full_of_frames_flushes_itself),
		cmocka_unit_test(pt_batch_asks_only_cpus_that_hold_the_tree),
		cmocka_unit_test(pt_batch_destroyed_tree_is_taken_from_cpus_that_still_hold_it),
		cmocka_unit_test(pt_batch_cpus_come_and_go_while_it_flushes),
	};

	return cmocka_run_group_tests_name("test_pt_batch", tests, NULL, NULL);
}
