/// The TLB's storage, and the rules that the machine holds kmm to: each is broken on
/// purpose by going around kmm, and must be told.
#include "sim_fixture.h"

#include "machine/tlb.h"

/* ---- storage ---- */

static struct tlb tlb;

static struct tlb_entry entry(uint64_t page, unsigned level, bool table)
{
	return (struct tlb_entry){ .page = page, .level = (uint8_t)level, .table = table,
				   .pfn = page + 1 };
}

static void tlb_random_use_stays_valid(void **state)
{
	uint64_t r = 1;
	bool there[256][2] = { { false } };

	(void)state;
	tlb_clear(&tlb);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned page, kind;
		struct tlb_entry *e;

		r = r * 6364136223846793005ull + 1442695040888963407ull;
		page = (unsigned)(r >> 40) & 255u;
		kind = (unsigned)(r >> 50) & 1u;
		e = tlb_find(&tlb, (uint64_t)page << 21, 1, kind);
		assert_int_equal(e != NULL, there[page][kind]);
		if (e && (r >> 60 & 1u)) {
			tlb_remove(&tlb, (unsigned)(e - tlb.e));
			there[page][kind] = false;
		} else {
			struct tlb_entry fresh = entry(page, 1, kind);

			tlb_insert(&tlb, &fresh, r);
			there[page][kind] = true;
		}
		if (i % 64 == 0)
			assert_true(tlb_valid(&tlb));
	}
	tlb_clear(&tlb);
	assert_true(tlb_valid(&tlb));
	assert_int_equal(tlb.n, 0);
}

static void tlb_full_evicts_one(void **state)
{
	(void)state;
	tlb_clear(&tlb);
	for (unsigned i = 0; i < TLB_ENTRIES + 10u; i++) {
		struct tlb_entry e = entry(i, 0, false);

		tlb_insert(&tlb, &e, i * 7u);
	}
	assert_int_equal(tlb.n, TLB_ENTRIES);
	assert_true(tlb_valid(&tlb));
	assert_non_null(tlb_find_leaf(&tlb, (uint64_t)(TLB_ENTRIES + 9u) << 12));
	tlb_clear(&tlb);
}

static void tlb_leaf_is_found_at_any_level(void **state)
{
	struct tlb_entry e = entry(5, 1, false), t = entry(9, 1, true);

	(void)state;
	tlb_clear(&tlb);
	tlb_insert(&tlb, &e, 0);
	tlb_insert(&tlb, &t, 0);
	assert_non_null(tlb_find_leaf(&tlb, 5ull << 21 | 0x7123));
	assert_null(tlb_find_leaf(&tlb, 9ull << 21));
	tlb_clear(&tlb);
}

/* ---- rules ---- */

static struct sim with_a_page(const char *format)
{
	struct sim s = sim_open(format);

	sim_all(&s, "map s0 w0 p0 +4 rw", "write s0 w0 p0 +1 v7", "read s0 w0 p0 +1", NULL);
	sim_expect_clean(&s);
	return s;
}

static void tlb_rights_taken_without_flush_are_stale(void **state)
{
	(void)state;
	SIM_EACH_FORMAT(format) {
		struct sim s = with_a_page(*format);
		struct ledger_leaf leaf = sim_leaf(&s, 0, 0, 0);

		*leaf.entry = sim_writable(&s, *leaf.entry, false);
		sim_expect(&s, ORACLE_TLB, "rights that were taken away");
		(void)sim_close(&s);
	}
}

static void tlb_rights_given_without_flush_are_legal(void **state)
{
	(void)state;
	SIM_EACH_FORMAT(format) {
		struct sim s = with_a_page(*format);
		struct ledger_leaf leaf = sim_leaf(&s, 0, 0, 0);
		struct tlb_entry *e = tlb_find_leaf(&s.m->cpu[0].tlb, leaf.va);

		assert_non_null(e);
		e->perms = MMU_R;
		sim_expect_clean(&s);
		sim_all(&s, "unmap s0 w0 p0 +4", NULL);
		sim_expect_clean(&s);
		sim_close_clean(&s);
	}
}

static void tlb_entry_cleared_without_flush_is_stale(void **state)
{
	(void)state;
	SIM_EACH_FORMAT(format) {
		struct sim s = with_a_page(*format);

		*sim_leaf(&s, 0, 0, 0).entry = 0;
		sim_expect(&s, ORACLE_TLB, "a translation that was taken away");
		(void)sim_close(&s);
	}
}

static void tlb_access_through_a_stale_entry_is_told_at_once(void **state)
{
	struct sim s = with_a_page("x86_64");
	uint64_t pa;

	(void)state;
	*sim_leaf(&s, 0, 0, 0).entry = 0;
	(void)machine_translate(s.m, ops_window_base(0), KMM_ACCESS_READ, &pa);
	assert_int_equal(s.m->finding.oracle, ORACLE_TLB);
	(void)sim_close(&s);
}

static void tlb_frame_replaced_under_a_live_entry_is_told(void **state)
{
	(void)state;
	SIM_EACH_FORMAT(format) {
		struct sim s = with_a_page(*format);
		struct ledger_leaf leaf = sim_leaf(&s, 0, 0, 0);

		machine_port_pt_store(s.m->kmm, leaf.entry, *leaf.entry + 0x1000);
		sim_expect(&s, ORACLE_TLB, "of a live translation was replaced");
		(void)sim_close(&s);
	}
}

static void tlb_unlinked_table_left_in_walk_caches_is_told(void **state)
{
	(void)state;
	SIM_EACH_FORMAT(format) {
		struct sim s = with_a_page(*format);
		uint64_t va = ops_window_base(0);
		struct tlb_entry *e = tlb_find(&s.m->cpu[0].tlb, va, 1, true), *leaf;
		uint64_t *slots;

		assert_non_null(e);
		slots = mmu_table(&s.m->mem, e->source >> KMM_PAGE_LG2);
		slots[(e->source & 4095u) / 8u] = 0;
		leaf = tlb_find_leaf(&s.m->cpu[0].tlb, va);
		tlb_remove(&s.m->cpu[0].tlb, (unsigned)(leaf - s.m->cpu[0].tlb.e));
		sim_expect(&s, ORACLE_TLB, "walk-cache entry for a table that is unlinked");
		(void)sim_close(&s);
	}
}

static void tlb_frame_freed_under_an_entry_is_told(void **state)
{
	struct sim s = with_a_page("x86_64");
	struct ledger_leaf leaf = sim_leaf(&s, 0, 0, 0);
	struct perform_block *b = &sim_performer(s.body)->frame[3];
	uint64_t word;

	(void)state;
	sim_all(&s, "frame-alloc @3 o0", NULL);
	/* The page becomes the slot's frame, in the tables and, after a flush, here. */
	machine_port_tlb_page(s.m->kmm, leaf.va, false);
	*leaf.entry = (*leaf.entry & 0xfffull) | b->pfn.n << 12 | 1ull << 63;
	assert_int_equal(machine_access(s.m, sim_performer(s.body)->space[0], leaf.va,
					KMM_ACCESS_READ, &word), RESULT_OK);
	assert_int_equal(s.m->finding.oracle, ORACLE_NONE);
	sim_all(&s, "frame-free @3", NULL);
	sim_expect(&s, ORACLE_TLB, "free frame");
	(void)sim_close(&s);
}

static void tlb_flush_after_the_frame_was_freed_is_told(void **state)
{
	struct sim s = with_a_page("x86_64");
	uint64_t va = ops_window_base(0);
	struct tlb_entry *e = tlb_find_leaf(&s.m->cpu[0].tlb, va);
	struct kmm_pfn pfn;

	(void)state;
	assert_int_equal(kmm_frame_alloc(s.m->kmm, 0, 0, &pfn), KMM_OK);
	e->pfn = pfn.n;
	assert_int_equal(kmm_frame_free(s.m->kmm, pfn, 0), KMM_OK);
	machine_port_tlb_page(s.m->kmm, va, false);
	sim_expect(&s, ORACLE_TLB, "was freed before");
	(void)sim_close(&s);
}

static void tlb_frame_filled_anew_under_an_entry_is_told(void **state)
{
	struct sim s = with_a_page("x86_64");
	struct ledger_leaf leaf = sim_leaf(&s, 0, 0, 0);

	(void)state;
	kmm_port_zero_page(mmu_table(&s.m->mem, leaf.e.pfn));
	sim_expect(&s, ORACLE_TLB, "was filled anew");
	(void)sim_close(&s);
}

static void tlb_x86_invalidation_is_local(void **state)
{
	struct sim s = with_a_page("x86_64");
	uint64_t va = ops_window_base(0);

	(void)state;
	sim_all(&s, "cpu c1", "read s0 w0 p0 +1", "cpu c0", NULL);
	assert_non_null(tlb_find_leaf(&s.m->cpu[1].tlb, va));
	machine_port_tlb_page(s.m->kmm, va, false);
	assert_null(tlb_find_leaf(&s.m->cpu[0].tlb, va));
	assert_non_null(tlb_find_leaf(&s.m->cpu[1].tlb, va));
	assert_non_null(tlb_find(&s.m->cpu[0].tlb, va, 1, true));
	machine_port_tlb_page(s.m->kmm, va, true);
	assert_null(tlb_find(&s.m->cpu[0].tlb, va, 1, true));
	sim_close_clean(&s);
}

static void tlb_arm_invalidation_needs_its_barriers(void **state)
{
	struct sim s = with_a_page("aarch64");
	struct ledger_leaf leaf = sim_leaf(&s, 0, 0, 0);

	(void)state;
	sim_all(&s, "cpu c1", "read s0 w0 p0 +1", "cpu c0", NULL);
	/* Without the barrier before it, the old entry may be read again. */
	machine_port_pt_store(s.m->kmm, leaf.entry, *leaf.entry);
	machine_port_tlb_page(s.m->kmm, leaf.va, false);
	machine_port_tlb_sync(s.m->kmm);
	assert_non_null(tlb_find_leaf(&s.m->cpu[1].tlb, leaf.va));
	/* With it, all CPUs drop it, once the barrier after it is through. */
	machine_port_tlb_begin(s.m->kmm);
	machine_port_tlb_page(s.m->kmm, leaf.va, false);
	assert_non_null(tlb_find_leaf(&s.m->cpu[1].tlb, leaf.va));
	machine_port_tlb_sync(s.m->kmm);
	assert_null(tlb_find_leaf(&s.m->cpu[0].tlb, leaf.va));
	assert_null(tlb_find_leaf(&s.m->cpu[1].tlb, leaf.va));
	sim_close_clean(&s);
}

static void tlb_arm_new_entry_needs_a_barrier(void **state)
{
	struct sim s = with_a_page("aarch64");
	struct ledger_leaf leaf = sim_leaf(&s, 0, 0, 0);
	uint64_t raw = *leaf.entry, pa;

	(void)state;
	machine_port_tlb_page(s.m->kmm, leaf.va, false);
	machine_port_tlb_sync(s.m->kmm);
	machine_port_pt_store(s.m->kmm, leaf.entry, raw);
	assert_false(machine_translate(s.m, leaf.va, KMM_ACCESS_READ, &pa));
	machine_port_pt_sync(s.m->kmm);
	assert_true(machine_translate(s.m, leaf.va, KMM_ACCESS_READ, &pa));
	assert_int_equal(pa >> 12, leaf.e.pfn);
	sim_close_clean(&s);
}

static void tlb_arm_access_to_an_unordered_entry_is_told(void **state)
{
	struct sim s = with_a_page("aarch64");
	struct ledger_leaf leaf = sim_leaf(&s, 0, 0, 0);

	(void)state;
	machine_port_tlb_page(s.m->kmm, leaf.va, false);
	machine_port_tlb_sync(s.m->kmm);
	machine_port_pt_store(s.m->kmm, leaf.entry, *leaf.entry);
	(void)sim_do(&s, "read s0 w0 p0 +1");
	assert_int_equal(s.m->finding.oracle, ORACLE_TLB);
	assert_non_null(strstr(s.m->finding.text, "no barrier has ordered"));
	(void)sim_close(&s);
}

static void tlb_fault_that_resolves_nothing_is_told(void **state)
{
	(void)state;
	SIM_EACH_FORMAT(format) {
		struct sim s = sim_open(*format);
		uint64_t user = !strcmp(*format, "x86_64") ? 1ull << 2 : 1ull << 6;

		sim_all(&s, "map s0 w0 p0 +4 rw", "write s0 w0 p0 +1 v7", NULL);
		*sim_leaf(&s, 0, 0, 0).entry &= ~user;
		for (unsigned cpu = 0; cpu < 2; cpu++)
			tlb_clear(&s.m->cpu[cpu].tlb);
		(void)sim_do(&s, "read s0 w0 p0 +1");
		assert_int_equal(s.m->finding.oracle, ORACLE_TLB);
		assert_non_null(strstr(s.m->finding.text, "though kmm resolved it"));
		(void)sim_close(&s);
	}
}

static void tlb_speculation_keeps_walk_caches_but_nothing_invalid(void **state)
{
	struct sim s = with_a_page("x86_64");
	uint64_t va = ops_window_base(0) + 3 * KMM_PAGE_BYTES;

	(void)state;
	tlb_clear(&s.m->cpu[0].tlb);
	machine_speculate(s.m, va);
	assert_null(tlb_find_leaf(&s.m->cpu[0].tlb, va));
	assert_non_null(tlb_find(&s.m->cpu[0].tlb, va, 1, true));
	machine_speculate(s.m, ops_window_base(0));
	assert_non_null(tlb_find_leaf(&s.m->cpu[0].tlb, ops_window_base(0)));
	sim_close_clean(&s);
}

static void tlb_useful_invalidations_are_counted(void **state)
{
	struct sim s = with_a_page("x86_64");
	struct machine_stats was = s.m->stats;

	(void)state;
	machine_port_tlb_page(s.m->kmm, ops_window_base(0), false);
	machine_port_tlb_page(s.m->kmm, ops_window_base(0), false);
	assert_int_equal(s.m->stats.tlb_pages_n - was.tlb_pages_n, 2);
	assert_int_equal(s.m->stats.tlb_useful_n - was.tlb_useful_n, 1);
	sim_close_clean(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tlb_random_use_stays_valid),
		cmocka_unit_test(tlb_full_evicts_one),
		cmocka_unit_test(tlb_leaf_is_found_at_any_level),
		cmocka_unit_test(tlb_rights_taken_without_flush_are_stale),
		cmocka_unit_test(tlb_rights_given_without_flush_are_legal),
		cmocka_unit_test(tlb_entry_cleared_without_flush_is_stale),
		cmocka_unit_test(tlb_access_through_a_stale_entry_is_told_at_once),
		cmocka_unit_test(tlb_frame_replaced_under_a_live_entry_is_told),
		cmocka_unit_test(tlb_unlinked_table_left_in_walk_caches_is_told),
		cmocka_unit_test(tlb_frame_freed_under_an_entry_is_told),
		cmocka_unit_test(tlb_flush_after_the_frame_was_freed_is_told),
		cmocka_unit_test(tlb_frame_filled_anew_under_an_entry_is_told),
		cmocka_unit_test(tlb_x86_invalidation_is_local),
		cmocka_unit_test(tlb_arm_invalidation_needs_its_barriers),
		cmocka_unit_test(tlb_arm_new_entry_needs_a_barrier),
		cmocka_unit_test(tlb_arm_access_to_an_unordered_entry_is_told),
		cmocka_unit_test(tlb_fault_that_resolves_nothing_is_told),
		cmocka_unit_test(tlb_speculation_keeps_walk_caches_but_nothing_invalid),
		cmocka_unit_test(tlb_useful_invalidations_are_counted),
	};

	return cmocka_run_group_tests_name("tlb", tests, NULL, NULL);
}
