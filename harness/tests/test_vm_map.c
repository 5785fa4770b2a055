/// Regions: map, unmap, protect and brk, by hand and against a map of pages.
#include "vm_fixture.h"

static void vm_map_fixed_neighbours_merge(void **state)
{
	struct fixture f;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, 2, RW), KMM_OK);
	assert_int_equal(map_at(f.s, BASE + 4 * PAGE, 2, RW), KMM_OK);
	assert_int_equal(regions_of(f.s).n, 2);
	assert_int_equal(map_at(f.s, BASE + 2 * PAGE, 2, RW), KMM_OK);
	assert_regions(f.s, (struct region_row[]){ { BASE, BASE + 6 * PAGE, RW } }, 1);
	assert_int_equal(map_at(f.s, BASE + 6 * PAGE, 1, KMM_PROT_R), KMM_OK);
	assert_int_equal(regions_of(f.s).n, 2);
	fixture_stop(&f);
}

static void vm_map_without_merging_keeps_pieces(void **state)
{
	struct fixture f;
	struct kmm_preset p = *kmm_preset_find("pagemill");

	(void)state;
	p.region_merges = false;
	fixture_start(&f, &p, NULL, 1);
	assert_int_equal(map_at(f.s, BASE, 2, RW), KMM_OK);
	assert_int_equal(map_at(f.s, BASE + 2 * PAGE, 2, RW), KMM_OK);
	assert_int_equal(regions_of(f.s).n, 2);
	assert_int_equal(protect_at(f.s, BASE + PAGE, 2, KMM_PROT_R), KMM_OK);
	assert_int_equal(protect_at(f.s, BASE, 4, RW), KMM_OK);
	assert_int_equal(regions_of(f.s).n, 4);
	fixture_stop(&f);
}

static void vm_map_bad_arguments_are_refused(void **state)
{
	struct fixture f;
	struct kmm_va v = va_at(BASE + 1);
	uint64_t top;

	(void)state;
	fixture_start_plain(&f);
	top = kmm_space_pt(f.s)->user_end;
	assert_int_equal(kmm_space_map(f.s, &v, PAGE, RW, KMM_MAP_FIXED), KMM_EINVAL);
	assert_int_equal(kmm_space_map(f.s, &v, 0, RW, 0), KMM_EINVAL);
	assert_int_equal(kmm_space_map(f.s, &v, PAGE, RW, 0x80), KMM_EINVAL);
	assert_int_equal(kmm_space_map(f.s, &v, PAGE, 8, 0), KMM_EINVAL);
	assert_int_equal(kmm_space_map(f.s, &v, PAGE, KMM_PROT_W | KMM_PROT_X, 0), KMM_EACCES);
	assert_int_equal(kmm_space_map(f.s, &v, ~0ull, RW, 0), KMM_ENOMEM);
	assert_int_equal(kmm_space_map(f.s, &v, top, RW, 0), KMM_ENOMEM);
	assert_int_equal(v.a, BASE + 1);
	assert_int_equal(map_at(f.s, 0, 1, RW), KMM_EINVAL);
	assert_int_equal(map_at(f.s, top, 1, RW), KMM_EINVAL);
	assert_int_equal(map_at(f.s, top - PAGE, 2, RW), KMM_EINVAL);
	assert_int_equal(map_at(f.s, -(uint64_t)PAGE, 2, RW), KMM_EINVAL);
	assert_int_equal(unmap_at(f.s, BASE + 8, 1), KMM_EINVAL);
	assert_int_equal(unmap_at(f.s, BASE, 0), KMM_EINVAL);
	assert_int_equal(unmap_at(f.s, top - PAGE, 2), KMM_EINVAL);
	assert_int_equal(protect_at(f.s, BASE, 0, RW), KMM_EINVAL);
	assert_int_equal(protect_at(f.s, BASE, 1, KMM_PROT_W | KMM_PROT_X), KMM_EACCES);
	assert_int_equal(regions_of(f.s).n, 0);
	fixture_stop(&f);
}

static void vm_map_edges_of_user_half_are_usable(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		struct fixture f;
		uint64_t top;

		fixture_start(&f, kmm_preset_find("pagemill"), kmm_pt_format_at(i), 1);
		top = kmm_space_pt(f.s)->user_end;
		assert_int_equal(map_at(f.s, KMM_USER_MIN, 1, RW), KMM_OK);
		assert_int_equal(map_at(f.s, top - PAGE, 1, RW), KMM_OK);
		assert_true(poke(f.s, KMM_USER_MIN, 1));
		assert_true(poke(f.s, top - 8, 2));
		assert_holds(f.s, KMM_USER_MIN, 1);
		assert_holds(f.s, top - 8, 2);
		assert_false(poke(f.s, top, 3));
		assert_int_equal(unmap_at(f.s, 0, top / PAGE), KMM_OK);
		assert_refused(f.s, KMM_USER_MIN);
		assert_int_equal(regions_of(f.s).n, 0);
		fixture_stop(&f);
	}
}

static void vm_map_anywhere_takes_highest_gap(void **state)
{
	struct fixture f;
	struct kmm_va a = va_at(1), b = va_at(2), c = va_at(3);
	uint64_t top;

	(void)state;
	fixture_start_plain(&f);
	top = kmm_space_pt(f.s)->user_end;
	assert_int_equal(kmm_space_map(f.s, &a, 3 * PAGE - 5, RW, 0), KMM_OK);
	assert_int_equal(a.a, top - 3 * PAGE);
	assert_int_equal(kmm_space_map(f.s, &b, PAGE, KMM_PROT_R, 0), KMM_OK);
	assert_int_equal(b.a, top - 4 * PAGE);
	assert_int_equal(unmap_at(f.s, a.a, 2), KMM_OK);
	assert_int_equal(kmm_space_map(f.s, &c, 3 * PAGE, RW, 0), KMM_OK);
	assert_int_equal(c.a, top - 7 * PAGE);
	assert_int_equal(kmm_space_map(f.s, &c, 2 * PAGE, RW, 0), KMM_OK);
	assert_int_equal(c.a, top - 3 * PAGE);
	fixture_stop(&f);
}

static void vm_map_full_space_is_out_of_memory(void **state)
{
	struct fixture f;
	struct kmm_va v = va_at(0);
	uint64_t top;

	(void)state;
	fixture_start_plain(&f);
	top = kmm_space_pt(f.s)->user_end;
	assert_int_equal(kmm_space_map(f.s, &v, top - KMM_USER_MIN - PAGE, RW, 0), KMM_OK);
	assert_int_equal(v.a, KMM_USER_MIN + PAGE);
	assert_int_equal(kmm_space_map(f.s, &v, 2 * PAGE, RW, 0), KMM_ENOMEM);
	assert_int_equal(kmm_space_map(f.s, &v, PAGE, RW, 0), KMM_OK);
	assert_int_equal(v.a, KMM_USER_MIN);
	assert_int_equal(kmm_space_map(f.s, &v, PAGE, RW, 0), KMM_ENOMEM);
	fixture_stop(&f);
}

static void vm_map_fixed_replaces_contents(void **state)
{
	struct fixture f;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, 3, RW), KMM_OK);
	for (int i = 0; i < 3; i++)
		assert_true(poke(f.s, BASE + i * PAGE, 7));
	assert_int_equal(map_at(f.s, BASE + PAGE, 1, RW), KMM_OK);
	assert_holds(f.s, BASE, 7);
	assert_holds(f.s, BASE + PAGE, 0);
	assert_holds(f.s, BASE + 2 * PAGE, 7);
	assert_int_equal(regions_of(f.s).n, 1);
	fixture_stop(&f);
}

static void vm_unmap_middle_splits_and_holes_are_fine(void **state)
{
	struct fixture f;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(unmap_at(f.s, BASE, 9), KMM_OK);
	assert_int_equal(map_at(f.s, BASE, 5, RW), KMM_OK);
	assert_true(poke(f.s, BASE + 2 * PAGE, 9));
	assert_int_equal(unmap_at(f.s, BASE + 2 * PAGE, 1), KMM_OK);
	assert_regions(f.s, (struct region_row[]){ { BASE, BASE + 2 * PAGE, RW },
						   { BASE + 3 * PAGE, BASE + 5 * PAGE, RW } }, 2);
	assert_refused(f.s, BASE + 2 * PAGE);
	assert_holds(f.s, BASE + 3 * PAGE, 0);
	assert_int_equal(unmap_at(f.s, BASE - 4 * PAGE, 8), KMM_OK);
	assert_regions(f.s, (struct region_row[]){ { BASE + 4 * PAGE, BASE + 5 * PAGE, RW } }, 1);
	fixture_stop(&f);
}

static void vm_protect_hole_changes_nothing(void **state)
{
	struct fixture f;

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE, 2, RW), KMM_OK);
	assert_int_equal(map_at(f.s, BASE + 3 * PAGE, 1, RW), KMM_OK);
	assert_int_equal(protect_at(f.s, BASE, 4, KMM_PROT_R), KMM_ENOMEM);
	assert_int_equal(protect_at(f.s, BASE + PAGE, 2, KMM_PROT_R), KMM_ENOMEM);
	assert_int_equal(protect_at(f.s, BASE - PAGE, 2, KMM_PROT_R), KMM_ENOMEM);
	assert_true(poke(f.s, BASE, 1));
	assert_int_equal(regions_of(f.s).n, 2);
	fixture_stop(&f);
}

static void vm_protect_none_keeps_contents(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		struct fixture f;

		fixture_start(&f, kmm_preset_find("pagemill"), kmm_pt_format_at(i), 1);
		assert_int_equal(map_at(f.s, BASE, 2, RW), KMM_OK);
		assert_true(poke(f.s, BASE, 77));
		assert_holds(f.s, BASE + PAGE, 0); /* the zero frame hides too */
		assert_int_equal(protect_at(f.s, BASE, 2, KMM_PROT_NONE), KMM_OK);
		assert_refused(f.s, BASE);
		assert_false(poke(f.s, BASE, 78));
		assert_int_equal(kmm_check(f.k), KMM_OK);
		assert_int_equal(protect_at(f.s, BASE, 2, KMM_PROT_R), KMM_OK);
		assert_holds(f.s, BASE, 77);
		assert_false(poke(f.s, BASE, 78));
		assert_int_equal(protect_at(f.s, BASE, 2, KMM_PROT_NONE), KMM_OK);
		assert_int_equal(protect_at(f.s, BASE, 2, RW), KMM_OK);
		assert_true(poke(f.s, BASE, 79));
		assert_true(poke(f.s, BASE + PAGE, 80));
		assert_holds(f.s, BASE, 79);
		assert_int_equal(protect_at(f.s, BASE, 2, KMM_PROT_NONE), KMM_OK);
		fixture_stop(&f); /* hidden leaves are freed as well */
	}
}

static void vm_limit_counts_regions_after_the_change(void **state)
{
	struct fixture f;
	struct kmm_preset p = *kmm_preset_find("pagemill");

	(void)state;
	p.region_merges = true;
	p.region_max = 3;
	fixture_start(&f, &p, NULL, 1);
	assert_int_equal(map_at(f.s, BASE, 8, RW), KMM_OK);
	assert_int_equal(unmap_at(f.s, BASE + 2 * PAGE, 1), KMM_OK);
	assert_int_equal(unmap_at(f.s, BASE + 5 * PAGE, 1), KMM_OK);
	assert_int_equal(unmap_at(f.s, BASE + 7 * PAGE, 1), KMM_OK); /* trims */
	assert_int_equal(map_at(f.s, BASE + 9 * PAGE, 1, RW), KMM_ELIMIT);
	assert_int_equal(protect_at(f.s, BASE, 1, KMM_PROT_R), KMM_ELIMIT);
	assert_int_equal(map_at(f.s, BASE + PAGE, 1, KMM_PROT_R), KMM_ELIMIT);
	assert_int_equal(map_at(f.s, BASE, 4, KMM_PROT_R), KMM_OK); /* covers one, cuts one */
	assert_int_equal(map_at(f.s, BASE + 5 * PAGE, 1, RW), KMM_OK); /* joins two */
	assert_int_equal(regions_of(f.s).n, 2);
	fixture_stop(&f);
}

static void vm_brk_grows_shrinks_and_reports_bytes(void **state)
{
	struct fixture f;
	struct kmm_va now = va_at(1);

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(kmm_space_brk(f.s, va_at(0), &now), KMM_OK);
	assert_int_equal(now.a, 0);
	assert_int_equal(kmm_space_brk(f.s, va_at(BASE), &now), KMM_EINVAL);
	assert_int_equal(kmm_space_brk_init(f.s, va_at(BASE + 100)), KMM_OK);
	assert_int_equal(kmm_space_brk_init(f.s, va_at(BASE)), KMM_EEXIST);
	assert_int_equal(kmm_space_brk(f.s, va_at(BASE + 3 * PAGE + 1), &now), KMM_OK);
	assert_int_equal(now.a, BASE + 3 * PAGE + 1);
	assert_regions(f.s, (struct region_row[]){ { BASE + PAGE, BASE + 4 * PAGE, RW } }, 1);
	assert_true(poke(f.s, BASE + 3 * PAGE, 5));
	assert_int_equal(kmm_space_brk(f.s, va_at(BASE + 3 * PAGE), &now), KMM_OK);
	assert_refused(f.s, BASE + 3 * PAGE);
	assert_int_equal(kmm_space_brk(f.s, va_at(BASE + 4 * PAGE), &now), KMM_OK);
	assert_holds(f.s, BASE + 3 * PAGE, 0);
	assert_int_equal(regions_of(f.s).n, 1);
	assert_int_equal(kmm_space_brk(f.s, va_at(BASE), &now), KMM_EINVAL);
	assert_int_equal(now.a, BASE + 4 * PAGE);
	assert_int_equal(map_at(f.s, BASE + 5 * PAGE, 1, RW), KMM_OK);
	assert_int_equal(kmm_space_brk(f.s, va_at(BASE + 6 * PAGE), &now), KMM_ENOMEM);
	assert_int_equal(now.a, BASE + 4 * PAGE);
	assert_int_equal(kmm_space_brk(f.s, va_at(~0ull), &now), KMM_ENOMEM);
	assert_int_equal(kmm_space_brk(f.s, va_at(BASE + 100), &now), KMM_OK);
	assert_int_equal(regions_of(f.s).n, 1);
	fixture_stop(&f);
}

static void vm_brk_next_to_equal_mappings_stays_apart(void **state)
{
	struct fixture f;
	struct kmm_va now, stack = va_at(BASE + 4 * PAGE);

	(void)state;
	fixture_start_plain(&f);
	assert_int_equal(map_at(f.s, BASE + 3 * PAGE, 1, RW), KMM_OK);
	assert_int_equal(kmm_space_brk_init(f.s, va_at(BASE)), KMM_OK);
	assert_int_equal(kmm_space_brk(f.s, va_at(BASE + 3 * PAGE), &now), KMM_OK);
	assert_int_equal(kmm_space_map(f.s, &stack, PAGE, RW, KMM_MAP_FIXED | KMM_MAP_STACK),
			 KMM_OK);
	assert_regions(f.s, (struct region_row[]){ { BASE, BASE + 3 * PAGE, RW },
						   { BASE + 3 * PAGE, BASE + 4 * PAGE, RW },
						   { BASE + 4 * PAGE, BASE + 5 * PAGE, RW } }, 3);
	fixture_stop(&f);
}

static void vm_no_user_space_is_unsupported(void **state)
{
	struct fixture f;
	struct threads_options o = { .preset = &f.preset, .bytes = 8u << 20, .base = 0x1000000,
				     .cpus_n = 1 };
	struct kmm_space *s;

	(void)state;
	f.preset = *kmm_preset_find("pagemill");
	f.preset.has_user = false;
	assert_null(threads_start(&f.m, &o));
	f.k = f.m.kmm;
	assert_int_equal(kmm_space_create(f.k, &s), KMM_EUNSUPPORTED);
	fixture_stop(&f);
}

/* Random operations against a map of pages. The window straddles a 2 MiB line. */

#define MODEL_PAGES 96u
#define MODEL_BASE (BASE + 0x200000ull - MODEL_PAGES / 2 * PAGE)

struct model {
	uint8_t prot[MODEL_PAGES]; /* NOT_MAPPED or what it allows */
	uint64_t value[MODEL_PAGES];
};

static unsigned model_regions(const struct model *m, struct region_row *row)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MODEL_PAGES; i++) {
		if (m->prot[i] == NOT_MAPPED)
			continue;
		if (i == 0 || m->prot[i] != m->prot[i - 1])
			row[n++] = (struct region_row){ MODEL_BASE + i * PAGE, 0, m->prot[i] };
		row[n - 1].end = MODEL_BASE + (i + 1) * PAGE;
	}
	return n;
}

static bool model_hole(const struct model *m, unsigned page, unsigned pages)
{
	for (unsigned i = page; i < page + pages; i++)
		if (m->prot[i] == NOT_MAPPED)
			return true;
	return false;
}

static void model_set(struct model *m, unsigned page, unsigned pages, unsigned prot, bool clear)
{
	for (unsigned i = page; i < page + pages; i++) {
		m->prot[i] = (uint8_t)prot;
		if (clear)
			m->value[i] = 0;
	}
}

static void model_access(struct fixture *f, struct model *m, unsigned page, uint64_t value)
{
	uint64_t a = MODEL_BASE + page * PAGE + value % 511 * 8 / 4088 * 8, seen;
	bool mapped = m->prot[page] != NOT_MAPPED;

	if (value % 2) {
		bool ok = mapped && (m->prot[page] & KMM_PROT_W);

		assert_int_equal(poke(f->s, a, value), ok);
		if (ok)
			m->value[page] = value;
	}
	assert_int_equal(peek(f->s, a, &seen), mapped && (m->prot[page] & KMM_PROT_R));
	if (mapped && (m->prot[page] & KMM_PROT_R))
		assert_int_equal(seen, m->value[page]);
}

/// One change in both; the limit, if there is one, is on what the model becomes.
static void model_step(struct fixture *f, struct model *m, uint64_t *seed)
{
	static const unsigned prots[] = { 0, KMM_PROT_R, RW, RX, RW };
	unsigned page = (unsigned)(next_random(seed) % MODEL_PAGES);
	unsigned pages = 1 + (unsigned)(next_random(seed) % 12);
	unsigned prot = prots[next_random(seed) % 5], kind = (unsigned)(next_random(seed) % 8);
	struct model after = *m;
	struct region_row row[MODEL_PAGES];
	enum kmm_error e, want = KMM_OK;
	uint64_t a = MODEL_BASE + page * PAGE;

	if (pages > MODEL_PAGES - page)
		pages = MODEL_PAGES - page;
	if (kind >= 6) {
		model_access(f, m, page, next_random(seed));
		return;
	}
	if (kind <= 1) {
		model_set(&after, page, pages, prot, true);
	} else if (kind <= 3) {
		model_set(&after, page, pages, NOT_MAPPED, true);
	} else if (model_hole(m, page, pages)) {
		want = KMM_ENOMEM;
	} else {
		model_set(&after, page, pages, prot, false);
	}
	if (want == KMM_OK && f->preset.region_max &&
	    model_regions(&after, row) > f->preset.region_max)
		want = KMM_ELIMIT;
	e = kind <= 1 ? map_at(f->s, a, pages, prot) :
	    kind <= 3 ? unmap_at(f->s, a, pages) : protect_at(f->s, a, pages, prot);
	assert_int_equal(e, want);
	if (e == KMM_OK)
		*m = after;
}

static void random_run(const struct kmm_preset *p, unsigned format, uint64_t seed, unsigned steps)
{
	struct fixture f;
	struct model m;
	struct region_row row[MODEL_PAGES];

	memset(&m, 0, sizeof(m));
	memset(m.prot, NOT_MAPPED, sizeof(m.prot));
	fixture_start(&f, p, kmm_pt_format_at(format), 1);
	for (unsigned i = 0; i < steps; i++) {
		model_step(&f, &m, &seed);
		assert_regions(f.s, row, model_regions(&m, row));
		assert_int_equal(kmm_space_check(f.s), KMM_OK);
	}
	for (unsigned i = 0; i < MODEL_PAGES; i++)
		model_access(&f, &m, i, 2);
	fixture_stop(&f);
}

static void vm_random_changes_equal_a_map_of_pages(void **state)
{
	struct kmm_preset p = *kmm_preset_find("pagemill");

	(void)state;
	p.region_merges = true;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		p.region_max = seed % 3 ? 0 : (uint16_t)(2 + seed);
		p.table_frees = seed & 1u;
		random_run(&p, (unsigned)(seed >> 1) & 1u, seed * 0x9e3779b97f4a7c15ull, 1500);
	}
}

/* Every allocation of a change fails in turn. */

#define SWEEP_PAGES 8u

static struct region_rows sweep_before;

static void sweep_prepare(struct fixture *f)
{
	assert_int_equal(unmap_at(f->s, BASE, 64), KMM_OK);
	assert_int_equal(map_at(f->s, BASE, SWEEP_PAGES, RW), KMM_OK);
	for (unsigned i = 0; i < SWEEP_PAGES; i++)
		assert_true(poke(f->s, BASE + i * PAGE, 100 + i));
	sweep_before = regions_of(f->s);
}

static void sweep_same(struct fixture *f, bool succeeded)
{
	if (succeeded)
		return;
	assert_regions(f->s, sweep_before.row, sweep_before.n);
	for (unsigned i = 0; i < SWEEP_PAGES; i++)
		assert_holds(f->s, BASE + i * PAGE, 100 + i);
}

static bool op_replace_middle(struct fixture *f)
{
	return map_at(f->s, BASE + 2 * PAGE, 2, KMM_PROT_R) == KMM_OK;
}

static bool op_unmap_middle(struct fixture *f)
{
	return unmap_at(f->s, BASE + 2 * PAGE, 2) == KMM_OK;
}

static bool op_protect_middle(struct fixture *f)
{
	return protect_at(f->s, BASE + 2 * PAGE, 2, KMM_PROT_R) == KMM_OK;
}

static bool op_map_anywhere(struct fixture *f)
{
	struct kmm_va v = va_at(0);

	if (kmm_space_map(f->s, &v, PAGE, RW, 0) != KMM_OK)
		return false;
	assert_int_equal(kmm_space_unmap(f->s, v, PAGE), KMM_OK);
	return true;
}

static void vm_failed_change_leaves_all_as_it_was(void **state)
{
	static bool (*const ops[])(struct fixture *f) = { op_replace_middle, op_unmap_middle,
							  op_protect_middle, op_map_anywhere };
	struct fixture f;

	(void)state;
	fixture_start_plain(&f);
	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		const struct sweep w = { ops[i], sweep_same, sweep_prepare };

		sweep_prepare(&f);
		assert_true(sweep_run(&f, &w) >= 1);
	}
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vm_map_fixed_neighbours_merge),
		cmocka_unit_test(vm_map_without_merging_keeps_pieces),
		cmocka_unit_test(vm_map_bad_arguments_are_refused),
		cmocka_unit_test(vm_map_edges_of_user_half_are_usable),
		cmocka_unit_test(vm_map_anywhere_takes_highest_gap),
		cmocka_unit_test(vm_map_full_space_is_out_of_memory),
		cmocka_unit_test(vm_map_fixed_replaces_contents),
		cmocka_unit_test(vm_unmap_middle_splits_and_holes_are_fine),
		cmocka_unit_test(vm_protect_hole_changes_nothing),
		cmocka_unit_test(vm_protect_none_keeps_contents),
		cmocka_unit_test(vm_limit_counts_regions_after_the_change),
		cmocka_unit_test(vm_brk_grows_shrinks_and_reports_bytes),
		cmocka_unit_test(vm_brk_next_to_equal_mappings_stays_apart),
		cmocka_unit_test(vm_no_user_space_is_unsupported),
		cmocka_unit_test(vm_random_changes_equal_a_map_of_pages),
		cmocka_unit_test(vm_failed_change_leaves_all_as_it_was),
	};

	return cmocka_run_group_tests_name("vm_map", tests, NULL, NULL);
}
