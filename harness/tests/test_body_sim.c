/// The sim body: sound runs end clean, and each oracle speaks when kmm's state is
/// spoilt behind its back.
#include "sim_fixture.h"

#include <stdlib.h>

/* ---- sound runs ---- */

static uint64_t forks_and_switches(const char *format, const char *preset)
{
	struct sim s = sim_open_with(format, preset, 4096);
	uint64_t digest;

	sim_all(&s, "frame-alloc @0 o0", "frame-alloc @1 o4", "object-alloc @0 b100",
		"object-alloc @1 b9000", NULL);
	sim_expect_clean(&s);
	sim_all(&s, "map s0 w0 p0 +64 rw", "map s0 w1 p30 +4 r", "place s0 w8 +5 rw", "brk s0 =7",
		"write s0 w0 p10 +40 v1", "write s0 w8 p0 +5 v2", "write s0 w11 p0 +7 v3", NULL);
	sim_expect_clean(&s);
	sim_all(&s, "fork s0 s3", "cpu c1", "write s3 w0 p20 +20 v4", "cpu c0",
		"read s0 w0 p0 +64", "write s0 w0 p30 +8 v5", NULL);
	sim_expect_clean(&s);
	sim_all(&s, "protect s0 w0 p0 +64 r", "cpu c1", "unmap s3 w0 p8 +30", "fork s3 s4",
		"write s4 w8 p1 +1 v6", "protect s4 w0 p40 +3 -", NULL);
	sim_expect_clean(&s);
	digest = sim_do(&s, "checkpoint").value;
	sim_expect_clean(&s);
	assert_int_equal(sim_do(&s, "write s0 w0 p0 +1 v1").result, RESULT_SEGV);
	assert_int_equal(sim_do(&s, "read s4 w0 p38 +4").result, RESULT_SEGV);
	assert_int_equal(sim_do(&s, "map s0 w2 p0 +1 rwx").result, RESULT_ACCES);
	sim_all(&s, "exit s3", "frame-free @1", "object-free @0", NULL);
	sim_expect_clean(&s);
	sim_close_clean(&s);
	return digest;
}

static void body_sim_sound_run_is_clean_and_equal_in_both_formats(void **state)
{
	uint64_t digest = forks_and_switches("x86_64", NULL);

	(void)state;
	assert_int_equal(forks_and_switches("aarch64", NULL), digest);
	assert_int_equal(forks_and_switches("x86_64", NULL), digest);
}

static void body_sim_every_preset_starts_and_ends(void **state)
{
	const struct kmm_preset *p;

	(void)state;
	for (unsigned i = 0; (p = kmm_preset_at(i)) != NULL; i++) {
		struct sim s = sim_open_with("x86_64", p->name, 1024);
		struct op_outcome out;

		sim_all(&s, "frame-alloc @0 o2", "object-alloc @0 b500", NULL);
		out = sim_do(&s, "map s0 w0 p0 +4 rw");
		assert_int_equal(out.result, p->has_user ? RESULT_OK : RESULT_UNSUPPORTED);
		sim_all(&s, "frame-free @0", "object-free @0", "checkpoint", NULL);
		sim_expect_clean(&s);
		sim_close_clean(&s);
	}
}

static void body_sim_reads_see_what_was_written(void **state)
{
	struct sim s = sim_open("x86_64");
	uint64_t want = OPS_DIGEST_START;
	struct op_outcome out;

	(void)state;
	sim_all(&s, "map s0 w3 p62 +2 rw", "write s0 w3 p63 +1 v9", NULL);
	for (unsigned i = 0; i < OPS_STAMPS; i++)
		want = ops_fold(want, 0);
	for (unsigned i = 0; i < OPS_STAMPS; i++)
		want = ops_fold(want, ops_stamp(9, 3, 63, i));
	assert_int_equal(sim_do(&s, "read s0 w3 p62 +2").value, want);
	out = sim_do(&s, "read s0 w3 p61 +2");
	assert_int_equal(out.result, RESULT_SEGV);
	assert_int_equal(out.value, ops_refused_read(OPS_DIGEST_START, 61));
	sim_close_clean(&s);
}

static void body_sim_injected_failure_hits_the_next_operation_only(void **state)
{
	struct sim s = sim_open("x86_64");

	(void)state;
	sim_all(&s, "map s0 w0 p0 +4 rw", "fail frame k1", "checkpoint", NULL);
	assert_int_equal(sim_do(&s, "write s0 w0 p0 +2 v1").result, RESULT_NOMEM);
	assert_true(body_sim.injected(s.body));
	sim_expect_clean(&s);
	sim_all(&s, "write s0 w0 p0 +2 v1", NULL);
	assert_false(body_sim.injected(s.body));
	sim_all(&s, "fail table k1", NULL);
	assert_int_equal(sim_do(&s, "fork s0 s1").result, RESULT_NOMEM);
	sim_expect_clean(&s);
	sim_close_clean(&s);
}

static void body_sim_reset_leaves_nothing_behind(void **state)
{
	uint64_t group = KMM_PAGE_BYTES << MACHINE_GROUP_LG2;
	struct sim s;

	(void)state;
	(void)forks_and_switches("x86_64", NULL);
	s = sim_open_with("x86_64", NULL, 4096);
	for (uint64_t g = 0; g < s.m->port.arena_bytes / group; g++) {
		const char *at = s.m->port.arena + g * group;

		if (s.m->port.touched[g])
			continue;
		assert_int_equal((unsigned char)at[0], 0xa5);
		assert_memory_equal(at, at + 1, group - 1);
	}
	sim_close_clean(&s);
}

static void body_sim_same_seed_same_events(void **state)
{
	struct machine_stats first;

	(void)state;
	for (unsigned run = 0; run < 2; run++) {
		struct sim s = sim_open("x86_64");

		sim_all(&s, "map s0 w0 p0 +9 rw", "write s0 w0 p0 +9 v1", "fork s0 s1", "cpu c1",
			"write s1 w0 p0 +9 v2", NULL);
		if (run == 0)
			first = s.m->stats;
		else
			assert_memory_equal(&first, &s.m->stats, sizeof(first));
		sim_close_clean(&s);
	}
}

/* ---- planted misuse ---- */

static struct sim shared_page(const char *format)
{
	struct sim s = sim_open(format);

	sim_all(&s, "map s0 w0 p0 +4 rw", "write s0 w0 p0 +2 v1", "fork s0 s1", NULL);
	sim_expect_clean(&s);
	return s;
}

static void body_sim_shared_frame_writable_is_a_ledger_finding(void **state)
{
	(void)state;
	SIM_EACH_FORMAT(format) {
		struct sim s = shared_page(*format);
		struct ledger_leaf leaf = sim_leaf(&s, 1, 0, 1);

		*leaf.entry = sim_writable(&s, *leaf.entry, true);
		sim_expect(&s, ORACLE_LEDGER, "is mapped 2 times, 1 of them writable");
		(void)sim_close(&s);
	}
}

static void body_sim_zero_frame_writable_is_a_ledger_finding(void **state)
{
	struct sim s = sim_open("x86_64");
	struct ledger_leaf leaf;

	(void)state;
	sim_all(&s, "map s0 w0 p0 +4 rw", "read s0 w0 p3 +1", NULL);
	leaf = sim_leaf(&s, 0, 0, 3);
	*leaf.entry = sim_writable(&s, *leaf.entry, true);
	sim_expect(&s, ORACLE_LEDGER, "is mapped 1 times, 1 of them writable");
	(void)sim_close(&s);
}

/// Replaces a page's frame in its entry, keeping everything else.
static void point_at(struct sim *s, unsigned page, uint64_t pfn)
{
	struct ledger_leaf leaf = sim_leaf(s, 0, 0, page);

	*leaf.entry ^= (leaf.e.pfn ^ pfn) << KMM_PAGE_LG2;
	for (unsigned cpu = 0; cpu < 2; cpu++)
		tlb_clear(&s->m->cpu[cpu].tlb);
}

static struct sim two_pages(void)
{
	struct sim s = sim_open("x86_64");

	sim_all(&s, "map s0 w0 p0 +4 rw", "write s0 w0 p0 +2 v1", NULL);
	return s;
}

static void body_sim_free_frame_mapped_is_a_ledger_finding(void **state)
{
	struct sim s = two_pages();
	uint64_t pfn = s.m->mem.first_pfn;

	(void)state;
	while (!machine_frame_free(s.m, pfn))
		pfn++;
	point_at(&s, 0, pfn);
	sim_expect(&s, ORACLE_LEDGER, "which is free");
	(void)sim_close(&s);
}

static void body_sim_reserved_frame_mapped_is_a_ledger_finding(void **state)
{
	(void)state;
	for (unsigned gap = 0; gap < MACHINE_GAPS; gap++) {
		struct sim s = two_pages();

		point_at(&s, 0, s.m->gap[gap].end_pfn - 1);
		sim_expect(&s, ORACLE_LEDGER, "isn't usable memory");
		(void)sim_close(&s);
	}
}

static void body_sim_table_mapped_is_a_ledger_finding(void **state)
{
	struct sim s = two_pages();

	(void)state;
	point_at(&s, 0, kmm_space_pt(sim_performer(s.body)->space[0])->root.n);
	sim_expect(&s, ORACLE_LEDGER, "belongs to a page table and to mappings");
	(void)sim_close(&s);
}

static void body_sim_slot_mapped_is_a_ledger_finding(void **state)
{
	struct sim s = two_pages();

	(void)state;
	sim_all(&s, "frame-alloc @9 o1", NULL);
	point_at(&s, 0, sim_performer(s.body)->frame[9].pfn.n + 1);
	sim_expect(&s, ORACLE_LEDGER, "belongs to a slot and to mappings");
	(void)sim_close(&s);
}

static void body_sim_overlapping_slots_are_a_ledger_finding(void **state)
{
	struct sim s = sim_open("x86_64");
	struct performer *p = sim_performer(s.body);

	(void)state;
	sim_all(&s, "frame-alloc @0 o1", "frame-alloc @1 o0", NULL);
	p->frame[1].pfn.n = p->frame[0].pfn.n + 1; /* its contents stay where they were */
	sim_expect(&s, ORACLE_LEDGER, "belongs to a slot and to a slot");
	(void)sim_close(&s);
}

static void body_sim_lost_frame_is_a_ledger_finding(void **state)
{
	struct sim s = two_pages();

	(void)state;
	*sim_leaf(&s, 0, 0, 1).entry = 0;
	for (unsigned cpu = 0; cpu < 2; cpu++)
		tlb_clear(&s.m->cpu[cpu].tlb);
	sim_expect(&s, ORACLE_LEDGER, "allocated but nobody's");
	(void)sim_close(&s);
}

static void body_sim_leaf_without_region_is_a_walk_finding(void **state)
{
	struct sim s = two_pages();
	struct ledger_leaf leaf = sim_leaf(&s, 0, 0, 1);

	(void)state;
	leaf.entry[8] = *leaf.entry;
	leaf.entry[0] = 0;
	for (unsigned cpu = 0; cpu < 2; cpu++)
		tlb_clear(&s.m->cpu[cpu].tlb);
	sim_expect(&s, ORACLE_WALK, "where no region is");
	(void)sim_close(&s);
}

static void body_sim_leaf_beyond_its_region_is_a_walk_finding(void **state)
{
	(void)state;
	SIM_EACH_FORMAT(format) {
		struct sim s = sim_open(*format);
		struct ledger_leaf leaf;

		sim_all(&s, "map s0 w0 p0 +4 rw", "write s0 w0 p0 +2 v1",
			"protect s0 w0 p0 +4 r", NULL);
		sim_expect_clean(&s);
		leaf = sim_leaf(&s, 0, 0, 0);
		*leaf.entry = sim_writable(&s, *leaf.entry, true);
		sim_expect(&s, ORACLE_WALK, "grants more");
		(void)sim_close(&s);
	}
}

static void body_sim_global_user_leaf_is_a_walk_finding(void **state)
{
	(void)state;
	SIM_EACH_FORMAT(format) {
		struct sim s = sim_open(*format);
		uint64_t bit = !strcmp(*format, "x86_64") ? 1ull << 8 : 1ull << 11;

		sim_all(&s, "map s0 w0 p0 +4 rw", "write s0 w0 p0 +2 v1", NULL);
		*sim_leaf(&s, 0, 0, 0).entry ^= bit;
		sim_expect(&s, ORACLE_WALK, "is global");
		(void)sim_close(&s);
	}
}

static void body_sim_odd_user_leaf_is_a_walk_finding(void **state)
{
	static const uint64_t flips[2][4] = {
		{ 1ull << 3, 1ull << 4, 1ull << 7, 1ull << 4 },  /* PWT, PCD, PAT */
		{ 1ull << 2, 1ull << 8, 1ull << 9, 1ull << 53 }, /* AttrIndx, SH, PXN */
	};

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct sim s = sim_open(sim_formats[i / 4]);

		sim_all(&s, "map s0 w0 p0 +4 rw", "write s0 w0 p0 +2 v1", NULL);
		*sim_leaf(&s, 0, 0, 1).entry ^= flips[i / 4][i % 4];
		sim_expect(&s, ORACLE_WALK, "attributes that no user page");
		(void)sim_close(&s);
	}
}

static void body_sim_reserved_bits_are_a_walk_finding(void **state)
{
	struct sim s = two_pages();
	struct tlb_entry *e = tlb_find(&s.m->cpu[0].tlb, ops_window_base(0), 3, true);

	(void)state;
	assert_non_null(e);
	mmu_table(&s.m->mem, e->source >> 12)[(e->source & 4095u) / 8u] |= 1ull << 7;
	tlb_clear(&s.m->cpu[0].tlb);
	sim_expect(&s, ORACLE_WALK, "reserved bits");
	(void)sim_close(&s);
}

static void body_sim_write_to_reserved_memory_is_a_ledger_finding(void **state)
{
	(void)state;
	for (unsigned gap = 0; gap < MACHINE_GAPS; gap++) {
		struct sim s = sim_open("x86_64");
		char *at = (char *)mmu_table(&s.m->mem, s.m->gap[gap].end_pfn - 1) + 4095;

		machine_touch(s.m, at, 1);
		*at ^= 1;
		sim_expect(&s, ORACLE_LEDGER, "memory outside the usable map");
		(void)sim_close(&s);
	}
}

static void body_sim_overwritten_block_is_a_contents_finding(void **state)
{
	struct sim s = sim_open("x86_64");
	char *at;

	(void)state;
	sim_all(&s, "object-alloc @5 b77", NULL);
	at = sim_performer(s.body)->object[5].at;
	at[76] ^= 4;
	assert_int_equal(sim_do(&s, "object-free @5").result, RESULT_CORRUPT);
	(void)sim_close(&s);

	s = sim_open("x86_64");
	sim_all(&s, "frame-alloc @5 o2", NULL);
	at = sim_performer(s.body)->frame[5].at;
	at[3 * 4096] ^= 1;
	sim_expect(&s, ORACLE_CONTENTS, "a frame block");
	(void)sim_close(&s);
}

static void body_sim_kernel_that_reads_something_else_is_a_contents_finding(void **state)
{
	struct sim s = two_pages();

	(void)state;
	sim_all(&s, "read s0 w0 p0 +2", NULL);
	sim_expect_clean(&s);
	kmm_space_pt(sim_performer(s.body)->space[0])->last_table++; /* p1 in place of p0 */
	(void)sim_do(&s, "read s0 w0 p0 +1");
	sim_expect(&s, ORACLE_CONTENTS, "the kernel reads");
	(void)sim_close(&s);
}

static void body_sim_copy_of_another_page_is_a_contents_finding(void **state)
{
	struct sim s = two_pages();
	uint64_t va = ops_window_base(0);
	uint64_t now = sim_leaf(&s, 0, 0, 0).e.pfn, other = sim_leaf(&s, 0, 0, 1).e.pfn;

	(void)state;
	sim_verify_copied(s.m, va, now);
	sim_expect_clean(&s);
	sim_verify_copied(s.m, va, other);
	sim_expect(&s, ORACLE_CONTENTS, "isn't what was there before");
	(void)sim_close(&s);

	s = two_pages();
	sim_verify_copied(s.m, va, 0);
	sim_expect(&s, ORACLE_CONTENTS, "before: zeros");
	(void)sim_close(&s);
}

static void body_sim_page_not_zeroed_is_a_contents_finding(void **state)
{
	struct sim s = two_pages();

	(void)state;
	((char *)mmu_table(&s.m->mem, sim_leaf(&s, 0, 0, 1).e.pfn))[4087] = 1;
	sim_expect(&s, ORACLE_CONTENTS, "between bytes 2752 and 4088");
	(void)sim_close(&s);
}

static void body_sim_changed_state_after_a_failure_is_told(void **state)
{
	struct sim s = sim_open("x86_64");
	struct finding f;

	(void)state;
	assert_int_equal(sim_do(&s, "map s0 w2 p0 +1 wx").result, RESULT_ACCES);
	body_sim.verify(s.body, true, true, &f);
	assert_int_equal(f.oracle, ORACLE_NONE);
	assert_int_equal(sim_do(&s, "map s0 w2 p0 +1 wx").result, RESULT_ACCES);
	sim_performer(s.body)->turn.before.regions_n++;
	body_sim.verify(s.body, false, true, &f);
	assert_int_equal(f.oracle, ORACLE_UNCHANGED);
	(void)sim_close(&s);
}

static void body_sim_changed_page_after_a_failure_is_told(void **state)
{
	struct sim s = two_pages();
	struct ledger_leaf a = sim_leaf(&s, 0, 0, 0), b = sim_leaf(&s, 0, 0, 1);
	uint64_t raw = *a.entry;
	struct finding f;

	(void)state;
	sim_expect_clean(&s);
	sim_expect_clean(&s);
	assert_int_equal(sim_do(&s, "map s0 w2 p0 +1 wx").result, RESULT_ACCES);
	*a.entry = *b.entry;
	*b.entry = raw;
	for (unsigned cpu = 0; cpu < 2; cpu++)
		tlb_clear(&s.m->cpu[cpu].tlb);
	body_sim.verify(s.body, true, true, &f);
	assert_int_equal(f.oracle, ORACLE_UNCHANGED);
	(void)sim_close(&s);
}

static void body_sim_frame_left_at_the_end_is_a_leak(void **state)
{
	struct sim s = sim_open("x86_64");
	struct kmm_pfn pfn;
	struct finding f;

	(void)state;
	assert_int_equal(kmm_frame_alloc(s.m->kmm, 0, 0, &pfn), KMM_OK);
	f = sim_close(&s);
	assert_int_equal(f.oracle, ORACLE_LEAK);
}

static void panics(void *ctx)
{
	struct machine *m = ctx;

	kmm_port_panic(m->kmm, "function: expression (I7: note)");
}

static void waits(void *ctx)
{
	struct machine *m = ctx;

	for (;;)
		kmm_port_relax(m->kmm);
}

static void body_sim_panic_ends_the_instance_not_the_process(void **state)
{
	struct sim s = sim_open("x86_64");
	struct finding f;

	(void)state;
	assert_false(machine_guard(s.m, panics, s.m));
	assert_int_equal(sim_do(&s, "map s0 w0 p0 +4 rw").result, RESULT_ERROR);
	f = sim_close(&s);
	assert_int_equal(f.oracle, ORACLE_INVARIANT);
	assert_string_equal(f.text, "function: expression (I7: note)");
	s = sim_open("x86_64");
	sim_all(&s, "map s0 w0 p0 +4 rw", NULL);
	sim_close_clean(&s);
}

static void body_sim_machine_that_kmm_refuses_is_a_model_finding(void **state)
{
	struct kmm_preset preset = *kmm_preset_find("pagemill");
	struct machine_options o = { .preset = &preset, .format = kmm_pt_format_find("x86_64"),
				     .cpus_n = 2, .frames_n = 512 };
	struct machine *m = calloc(1, sizeof(*m));

	(void)state;
	assert_non_null(m);
	preset.frame_policy = 99; /* there is none */
	assert_non_null(machine_start(m, &o));
	assert_int_equal(m->finding.oracle, ORACLE_MODEL);
	machine_free(m);
	free(m);
}

static void body_sim_endless_wait_is_a_hang(void **state)
{
	struct sim s = sim_open("x86_64");

	(void)state;
	assert_false(machine_guard(s.m, waits, s.m));
	assert_int_equal(sim_close(&s).oracle, ORACLE_HANG);
}

static void body_sim_flipped_bit_is_noticed(void **state)
{
	(void)state;
	SIM_EACH_FORMAT(format) {
		for (uint64_t n = 0; n < 120; n++) {
			struct sim s = shared_page(*format);
			uint64_t want = sim_do(&s, "checkpoint").value;

			assert_true(body_sim.flip(s.body, n % 4 ? FLIP_TABLE : FLIP_CONTENTS, n));
			if (sim_verdict(&s, true).oracle == ORACLE_NONE &&
			    sim_do(&s, "checkpoint").value == want &&
			    sim_verdict(&s, true).oracle == ORACLE_NONE)
				fail_msg("%s: flip %u went unnoticed", *format, (unsigned)n);
			(void)sim_close(&s);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(body_sim_sound_run_is_clean_and_equal_in_both_formats),
		cmocka_unit_test(body_sim_every_preset_starts_and_ends),
		cmocka_unit_test(body_sim_reads_see_what_was_written),
		cmocka_unit_test(body_sim_injected_failure_hits_the_next_operation_only),
		cmocka_unit_test(body_sim_reset_leaves_nothing_behind),
		cmocka_unit_test(body_sim_same_seed_same_events),
		cmocka_unit_test(body_sim_shared_frame_writable_is_a_ledger_finding),
		cmocka_unit_test(body_sim_zero_frame_writable_is_a_ledger_finding),
		cmocka_unit_test(body_sim_free_frame_mapped_is_a_ledger_finding),
		cmocka_unit_test(body_sim_reserved_frame_mapped_is_a_ledger_finding),
		cmocka_unit_test(body_sim_table_mapped_is_a_ledger_finding),
		cmocka_unit_test(body_sim_slot_mapped_is_a_ledger_finding),
		cmocka_unit_test(body_sim_overlapping_slots_are_a_ledger_finding),
		cmocka_unit_test(body_sim_lost_frame_is_a_ledger_finding),
		cmocka_unit_test(body_sim_leaf_without_region_is_a_walk_finding),
		cmocka_unit_test(body_sim_leaf_beyond_its_region_is_a_walk_finding),
		cmocka_unit_test(body_sim_global_user_leaf_is_a_walk_finding),
		cmocka_unit_test(body_sim_odd_user_leaf_is_a_walk_finding),
		cmocka_unit_test(body_sim_reserved_bits_are_a_walk_finding),
		cmocka_unit_test(body_sim_write_to_reserved_memory_is_a_ledger_finding),
		cmocka_unit_test(body_sim_overwritten_block_is_a_contents_finding),
		cmocka_unit_test(body_sim_kernel_that_reads_something_else_is_a_contents_finding),
		cmocka_unit_test(body_sim_copy_of_another_page_is_a_contents_finding),
		cmocka_unit_test(body_sim_page_not_zeroed_is_a_contents_finding),
		cmocka_unit_test(body_sim_changed_state_after_a_failure_is_told),
		cmocka_unit_test(body_sim_changed_page_after_a_failure_is_told),
		cmocka_unit_test(body_sim_frame_left_at_the_end_is_a_leak),
		cmocka_unit_test(body_sim_panic_ends_the_instance_not_the_process),
		cmocka_unit_test(body_sim_machine_that_kmm_refuses_is_a_model_finding),
		cmocka_unit_test(body_sim_endless_wait_is_a_hang),
		cmocka_unit_test(body_sim_flipped_bit_is_noticed),
	};

	return cmocka_run_group_tests_name("body_sim", tests, NULL, NULL);
}
