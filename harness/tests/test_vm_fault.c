/// Faults: what a first touch costs and yields, what is refused, and that a
/// failed one changes nothing.
#include "vm_fixture.h"

static struct kmm_vm_stats stats(struct fixture *f)
{
	struct kmm_vm_stats s;

	kmm_vm_stats(f->k, &s);
	return s;
}

static uint64_t free_frames(struct fixture *f)
{
	struct kmm_frame_stats s;

	kmm_frame_stats(f->k, &s);
	return s.free_n;
}

static struct kmm_pt_leaf leaf_at(struct fixture *f, uint64_t a)
{
	struct kmm_pt_leaf leaf;

	assert_int_equal(kmm_pt_lookup(kmm_space_pt(f->s), va_at(a), &leaf), KMM_OK);
	return leaf;
}

static enum kmm_fault_result fault_at(struct fixture *f, uint64_t a, enum kmm_access access)
{
	return kmm_space_fault(f->s, va_at(a), access);
}

static void vm_fault_outside_regions_is_segv(void **state)
{
	struct fixture f;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, 1, RW), KMM_OK);
	assert_int_equal(fault_at(&f, BASE - 1, KMM_ACCESS_READ), KMM_FAULT_SEGV);
	assert_int_equal(fault_at(&f, BASE + PAGE, KMM_ACCESS_WRITE), KMM_FAULT_SEGV);
	assert_int_equal(fault_at(&f, 0, KMM_ACCESS_READ), KMM_FAULT_SEGV);
	assert_int_equal(fault_at(&f, ~0ull, KMM_ACCESS_READ), KMM_FAULT_SEGV);
	assert_int_equal(fault_at(&f, kmm_space_pt(f.s)->user_end, KMM_ACCESS_READ),
			 KMM_FAULT_SEGV);
	fixture_stop(&f);
}

static void vm_fault_asks_the_region_for_rights(void **state)
{
	static const struct {
		unsigned prot;
		bool ok[3]; /* read, write, fetch */
	} rows[] = {
		{ KMM_PROT_NONE, { false, false, false } },
		{ KMM_PROT_R, { true, false, false } },
		{ KMM_PROT_W, { true, true, false } },
		{ KMM_PROT_X, { true, false, true } },
		{ RW, { true, true, false } },
		{ RX, { true, false, true } },
	};

	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		struct fixture f;

		fixture_start(&f, kmm_preset_find("pagemill"), kmm_pt_format_at(i), 1);
		for (unsigned r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
			for (unsigned a = 0; a < 3; a++) {
				assert_int_equal(map_at(f.s, BASE, 1, rows[r].prot), KMM_OK);
				assert_int_equal(fault_at(&f, BASE, (enum kmm_access)a),
						 rows[r].ok[a] ? KMM_FAULT_RESOLVED :
						 KMM_FAULT_SEGV);
				assert_int_equal(kmm_space_check(f.s), KMM_OK);
			}
		}
		fixture_stop(&f);
	}
}

static void vm_fault_reads_share_one_zero_frame(void **state)
{
	struct fixture f;
	uint64_t free_n;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, 64, RW), KMM_OK);
	assert_holds(f.s, BASE, 0); /* makes the tables */
	free_n = free_frames(&f);
	for (unsigned i = 0; i < 64; i++)
		assert_holds(f.s, BASE + i * PAGE, 0);
	assert_int_equal(free_frames(&f), free_n);
	assert_int_equal(leaf_at(&f, BASE).pfn.n, leaf_at(&f, BASE + 63 * PAGE).pfn.n);
	assert_int_equal(leaf_at(&f, BASE).prot, KMM_PROT_R);
	assert_int_equal(stats(&f).zero_fills_n, 0);
	fixture_stop(&f);
}

static void vm_fault_write_replaces_the_zero_frame(void **state)
{
	struct fixture f;
	uint64_t zero;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, 2, RW), KMM_OK);
	assert_int_equal(fault_at(&f, BASE, KMM_ACCESS_READ), KMM_FAULT_RESOLVED);
	assert_int_equal(fault_at(&f, BASE + PAGE, KMM_ACCESS_READ), KMM_FAULT_RESOLVED);
	zero = leaf_at(&f, BASE).pfn.n;
	assert_int_equal(fault_at(&f, BASE + 17, KMM_ACCESS_WRITE), KMM_FAULT_RESOLVED);
	assert_int_not_equal(leaf_at(&f, BASE).pfn.n, zero);
	assert_int_equal(leaf_at(&f, BASE).prot, RW);
	assert_true(poke(f.s, BASE, 5));
	assert_holds(f.s, BASE + PAGE, 0);
	assert_int_equal(stats(&f).zero_fills_n, 1);
	assert_int_equal(stats(&f).cow_copies_n, 0);
	assert_int_equal(stats(&f).faults_n, 3);
	fixture_stop(&f);
}

static void vm_fault_write_zeroes_used_frames(void **state)
{
	struct fixture f;
	char page[PAGE];

	(void)state;
	fixture_start_plain(&f);
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(map_at(f.s, BASE, 32, RW), KMM_OK);
		for (unsigned i = 0; i < 32; i++) {
			uint64_t a = BASE + i * PAGE;

			assert_int_equal(fault_at(&f, a, KMM_ACCESS_WRITE), KMM_FAULT_RESOLVED);
			assert_int_equal(kmm_space_read(f.s, va_at(a), page, PAGE), PAGE);
			for (unsigned j = 0; j < PAGE; j++)
				assert_int_equal(page[j], 0);
			memset(page, 0xa5, PAGE);
			assert_int_equal(kmm_space_write(f.s, va_at(a), page, PAGE), PAGE);
		}
	}
	fixture_stop(&f);
}

static void vm_fault_on_sufficient_entry_changes_nothing(void **state)
{
	struct fixture f;
	uint64_t frame;

	(void)state;
	fixture_start_plain(&f);
	kmm_space_activate(f.k, f.s);
	assert_int_equal(map_at(f.s, BASE, 1, RW), KMM_OK);
	assert_int_equal(fault_at(&f, BASE, KMM_ACCESS_WRITE), KMM_FAULT_RESOLVED);
	frame = leaf_at(&f, BASE).pfn.n;
	assert_int_equal(fault_at(&f, BASE, KMM_ACCESS_WRITE), KMM_FAULT_RESOLVED);
	assert_int_equal(fault_at(&f, BASE, KMM_ACCESS_READ), KMM_FAULT_RESOLVED);
	assert_int_equal(leaf_at(&f, BASE).pfn.n, frame);
	assert_int_equal(stats(&f).zero_fills_n, 1);
	assert_int_equal(stats(&f).cow_reuses_n, 0);
	fixture_stop(&f);
}

static void vm_fault_after_protect_writes_in_place(void **state)
{
	struct fixture f;
	uint64_t frame;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, 1, RW), KMM_OK);
	assert_true(poke(f.s, BASE, 41));
	frame = leaf_at(&f, BASE).pfn.n;
	assert_int_equal(protect_at(f.s, BASE, 1, KMM_PROT_R), KMM_OK);
	assert_int_equal(fault_at(&f, BASE, KMM_ACCESS_WRITE), KMM_FAULT_SEGV);
	assert_int_equal(protect_at(f.s, BASE, 1, RW), KMM_OK);
	assert_int_equal(fault_at(&f, BASE, KMM_ACCESS_WRITE), KMM_FAULT_RESOLVED);
	assert_int_equal(leaf_at(&f, BASE).pfn.n, frame);
	assert_holds(f.s, BASE, 41);
	assert_int_equal(stats(&f).cow_reuses_n, 1);
	assert_int_equal(stats(&f).cow_copies_n, 0);
	fixture_stop(&f);
}

static void vm_fault_without_memory_is_oom_and_recovers(void **state)
{
	struct fixture f;
	struct kmm_pfn *taken = calloc(8192, sizeof(*taken));
	unsigned n = 0, pages = 4096, filled = 0;

	(void)state;
	assert_non_null(taken);
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, pages, RW), KMM_OK);
	while (n < 8192 && kmm_frame_alloc(f.k, 0, 0, &taken[n]) == KMM_OK)
		n++;
	assert_true(n > 200);
	for (unsigned i = 0; i < 100; i++) {
		n--;
		assert_int_equal(kmm_frame_free(f.k, taken[n], 0), KMM_OK);
	}
	while (filled < pages && poke(f.s, BASE + filled * PAGE, filled))
		filled++;
	assert_in_range(filled, 80, 100);
	assert_int_equal(fault_at(&f, BASE + filled * PAGE, KMM_ACCESS_WRITE), KMM_FAULT_OOM);
	assert_int_equal(kmm_check(f.k), KMM_OK);
	for (unsigned i = 0; i < filled; i++)
		assert_holds(f.s, BASE + i * PAGE, i);
	assert_int_equal(unmap_at(f.s, BASE, 10), KMM_OK);
	assert_true(poke(f.s, BASE + filled * PAGE, filled));
	while (n > 0)
		assert_int_equal(kmm_frame_free(f.k, taken[--n], 0), KMM_OK);
	free(taken);
	fixture_stop(&f);
}

static void vm_copy_crosses_pages_and_stops_at_a_refusal(void **state)
{
	struct fixture f;
	char out[3 * PAGE], in[3 * PAGE];

	(void)state;
	fixture_start_plain(&f);
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 7 + i / 256);
	assert_int_equal(map_at(f.s, BASE, 2, RW), KMM_OK);
	assert_int_equal(kmm_space_write(f.s, va_at(BASE + 100), out, PAGE + 50), PAGE + 50);
	assert_int_equal(kmm_space_read(f.s, va_at(BASE + 100), in, PAGE + 50), PAGE + 50);
	assert_memory_equal(in, out, PAGE + 50);
	assert_int_equal(kmm_space_write(f.s, va_at(BASE + 100), out, 3 * PAGE), 2 * PAGE - 100);
	assert_int_equal(kmm_space_read(f.s, va_at(BASE + 100), in, 3 * PAGE), 2 * PAGE - 100);
	assert_memory_equal(in, out, 2 * PAGE - 100);
	assert_int_equal(kmm_space_read(f.s, va_at(BASE - 1), in, 2), 0);
	assert_int_equal(kmm_space_read(f.s, va_at(~0ull - 3), in, 16), 0);
	fixture_stop(&f);
}

static void vm_check_sees_broken_invariants(void **state)
{
	struct fixture f;
	struct kmm_pt *pt;
	struct kmm_pfn stray;
	struct kmm_tlb_batch b;

	(void)state;
	fixture_start_plain(&f);
	pt = kmm_space_pt(f.s);
	assert_int_equal(map_at(f.s, BASE, 2, KMM_PROT_R), KMM_OK);
	assert_holds(f.s, BASE, 0);
	assert_int_equal(kmm_pt_protect(pt, va_at(BASE), va_at(BASE + PAGE), RW, false,
					(kmm_tlb_batch_init(&b, pt), &b)), KMM_OK);
	kmm_tlb_batch_flush(&b);
	assert_int_equal(kmm_space_check(f.s), KMM_ECORRUPT); /* writable zero frame */
	assert_int_equal(kmm_pt_protect(pt, va_at(BASE), va_at(BASE + PAGE), KMM_PROT_R, false,
					&b), KMM_OK);
	kmm_tlb_batch_flush(&b);
	assert_int_equal(kmm_space_check(f.s), KMM_OK);
	stray = leaf_at(&f, BASE).pfn;
	assert_int_equal(kmm_pt_map(pt, va_at(BASE + 8 * PAGE), stray, 1, KMM_PROT_R, 0), KMM_OK);
	assert_int_equal(kmm_space_check(f.s), KMM_ECORRUPT); /* a leaf without region */
	assert_int_equal(kmm_pt_unmap(pt, va_at(BASE + 8 * PAGE), va_at(BASE + 9 * PAGE), &b),
			 KMM_OK);
	kmm_tlb_batch_flush(&b);
	fixture_stop(&f);
}

/* Every allocation of a fault fails in turn. */

static void sweep_prepare(struct fixture *f)
{
	assert_int_equal(map_at(f->s, BASE, 4, RW), KMM_OK);
	assert_true(poke(f->s, BASE + PAGE, 11));
	assert_holds(f->s, BASE + 2 * PAGE, 0);
	assert_int_equal(map_at(f->s, BASE + (1ull << 33), 1, RW), KMM_OK);
}

static bool op_write_fresh(struct fixture *f)
{
	return fault_at(f, BASE + (1ull << 33), KMM_ACCESS_WRITE) == KMM_FAULT_RESOLVED;
}

static bool op_read_fresh(struct fixture *f)
{
	return fault_at(f, BASE + (1ull << 33), KMM_ACCESS_READ) == KMM_FAULT_RESOLVED;
}

static bool op_write_zero(struct fixture *f)
{
	return fault_at(f, BASE + 2 * PAGE, KMM_ACCESS_WRITE) == KMM_FAULT_RESOLVED;
}

static void sweep_same(struct fixture *f, bool succeeded)
{
	struct kmm_pt_leaf leaf;
	enum kmm_error e = kmm_pt_lookup(kmm_space_pt(f->s), va_at(BASE + (1ull << 33)), &leaf);

	assert_holds(f->s, BASE + PAGE, 11);
	assert_holds(f->s, BASE + 2 * PAGE, 0);
	if (!succeeded)
		assert_int_equal(e, KMM_ENOENT);
}

static void vm_failed_fault_leaves_all_as_it_was(void **state)
{
	static bool (*const ops[])(struct fixture *f) = { op_write_fresh, op_read_fresh,
							  op_write_zero };
	struct fixture f;
	struct kmm_preset p = *kmm_preset_find("pagemill");

	(void)state;
	p.table_frees = true;
	fixture_start(&f, &p, NULL, 1);
	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		const struct sweep w = { ops[i], sweep_same, sweep_prepare };

		sweep_prepare(&f);
		assert_true(sweep_run(&f, &w) >= (i == 2 ? 1 : 3));
	}
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vm_fault_outside_regions_is_segv),
		cmocka_unit_test(vm_fault_asks_the_region_for_rights),
		cmocka_unit_test(vm_fault_reads_share_one_zero_frame),
		cmocka_unit_test(vm_fault_write_replaces_the_zero_frame),
		cmocka_unit_test(vm_fault_write_zeroes_used_frames),
		cmocka_unit_test(vm_fault_on_sufficient_entry_changes_nothing),
		cmocka_unit_test(vm_fault_after_protect_writes_in_place),
		cmocka_unit_test(vm_fault_without_memory_is_oom_and_recovers),
		cmocka_unit_test(vm_copy_crosses_pages_and_stops_at_a_refusal),
		cmocka_unit_test(vm_check_sees_broken_invariants),
		cmocka_unit_test(vm_failed_fault_leaves_all_as_it_was),
	};

	return cmocka_run_group_tests_name("vm_fault", tests, NULL, NULL);
}
