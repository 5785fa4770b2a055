/// One suite for every page-table format: random changes against a brute-force
/// map of pages, read back from the raw tables.
#include "pt_fixture.h"

#define WINDOWS 4u
#define WINDOW_PAGES 1536u /* three level-0 tables */

/* Ends of the user half, a table's edge, a level-1 table's edge. */
static const uint64_t window_base[WINDOWS] = { 0x200000, 0x7f00000, HUGE - LARGE, 0 };

struct page {
	bool mapped;
	struct kmm_pfn pfn;
	unsigned prot;
};

struct model {
	struct fixture f;
	uint64_t rng;
	struct page page[WINDOWS][WINDOW_PAGES];
};

static uint64_t pick(struct model *m, uint64_t n)
{
	m->rng ^= m->rng << 13;
	m->rng ^= m->rng >> 7;
	m->rng ^= m->rng << 17;
	return (m->rng >> 11) % n;
}

static uint64_t page_va(const struct model *m, unsigned w, unsigned i)
{
	uint64_t base = w == WINDOWS - 1u ? m->f.pt.user_end - WINDOW_PAGES * PAGE
					  : window_base[w];

	return base + i * PAGE;
}

static const unsigned prots[] = { KMM_PROT_NONE, R, KMM_PROT_W, RW, KMM_PROT_X, RX };

static unsigned pick_prot(struct model *m)
{
	return prots[pick(m, sizeof(prots) / sizeof(prots[0]))];
}

static unsigned implied(unsigned prot)
{
	return prot ? prot | R : 0;
}

/// A few pages, one page, or whole large ones.
static void pick_range(struct model *m, unsigned *w, unsigned *i, unsigned *n)
{
	*w = (unsigned)pick(m, WINDOWS);
	switch (pick(m, 4)) {
	case 0:
		*i = 512u * (unsigned)pick(m, 3);
		*n = 512u * (1u + (unsigned)pick(m, 3u - *i / 512u));
		return;
	case 1:
		*i = (unsigned)pick(m, WINDOW_PAGES);
		*n = 1u + (unsigned)pick(m, WINDOW_PAGES - *i);
		return;
	default:
		*i = (unsigned)pick(m, WINDOW_PAGES);
		*n = 1u + (unsigned)pick(m, WINDOW_PAGES - *i < 12u ? WINDOW_PAGES - *i : 12u);
	}
}

/* ---- what the tree says, against the model ---- */

static void verify_page(const struct kmm_pt *pt, uint64_t va, const struct page *p)
{
	struct kmm_pt_leaf leaf;
	struct seen s = read_raw(pt, va);
	enum kmm_error e = kmm_pt_lookup((struct kmm_pt *)pt, va_at(va), &leaf);

	assert_false(s.wrong);
	assert_int_equal(e, p->mapped ? KMM_OK : KMM_ENOENT);
	assert_int_equal(s.mapped, p->mapped && p->prot != 0);
	if (!p->mapped)
		return;
	assert_int_equal(leaf.pfn.n, p->pfn.n);
	assert_int_equal(leaf.prot, implied(p->prot));
	assert_int_equal(leaf.present, p->prot != 0);
	assert_true(leaf.user);
	if (!s.mapped)
		return;
	assert_int_equal(s.pa, p->pfn.n << 12);
	assert_int_equal(s.size_lg2, 12u + 9u * leaf.level);
	assert_true(s.user);
	assert_int_equal(s.write, !!(p->prot & KMM_PROT_W));
	assert_int_equal(s.user_exec, !!(p->prot & KMM_PROT_X));
	assert_false(s.kernel_exec);
}

static void verify_range(const struct model *m, unsigned w, unsigned i, unsigned n)
{
	for (; n != 0; n--, i++)
		verify_page(&m->f.pt, page_va(m, w, i), &m->page[w][i]);
}

static void verify_all(struct model *m)
{
	for (unsigned w = 0; w < WINDOWS; w++)
		verify_range(m, w, 0, WINDOW_PAGES);
	assert_int_equal(kmm_pt_check(&m->f.pt), KMM_OK);
}

/* ---- one random change ---- */

static bool range_free(const struct model *m, unsigned w, unsigned i, unsigned n)
{
	for (; n != 0; n--, i++)
		if (m->page[w][i].mapped)
			return false;
	return true;
}

static void change_map(struct model *m)
{
	unsigned w, i, n, prot = pick_prot(m);
	bool counted = pick(m, 2) == 0;
	struct kmm_pfn pfn;
	enum kmm_error e;

	pick_range(m, &w, &i, &n);
	if (counted) {
		n = 1;
		pfn = anon(m->f.k);
	} else {
		pfn = pfn_at(DEVICE_PFN + (pick(m, 2) ? i : pick(m, 4096)));
	}
	e = map_n(&m->f.pt, page_va(m, w, i), pfn, n, prot, (unsigned)pick(m, 4));
	assert_int_equal(e, range_free(m, w, i, n) ? KMM_OK : KMM_EEXIST);
	if (e != KMM_OK) {
		if (counted)
			frame_ref_put(m->f.k, pfn);
		return;
	}
	for (unsigned j = 0; j < n; j++)
		m->page[w][i + j] = (struct page){ true, pfn_at(pfn.n + j), prot };
	verify_range(m, w, i, n);
}

static void change_unmap(struct model *m)
{
	unsigned w, i, n;

	pick_range(m, &w, &i, &n);
	assert_int_equal(unmap_n(&m->f.pt, page_va(m, w, i), n), KMM_OK);
	memset(&m->page[w][i], 0, n * sizeof(struct page));
	verify_range(m, w, i, n);
}

static void change_protect(struct model *m)
{
	bool keep_ro = pick(m, 2) == 0;
	unsigned w, i, n, prot = pick_prot(m);

	pick_range(m, &w, &i, &n);
	assert_int_equal(protect_n(&m->f.pt, page_va(m, w, i), n, prot, keep_ro), KMM_OK);
	for (unsigned j = i; j < i + n; j++) {
		bool was_ro = !(m->page[w][j].prot & KMM_PROT_W);

		m->page[w][j].prot = keep_ro && was_ro ? implied(prot) & ~(unsigned)KMM_PROT_W
						       : prot;
	}
	verify_range(m, w, i, n);
}

static void change_replace(struct model *m)
{
	unsigned w, i, n, prot = pick_prot(m);
	struct kmm_pt_leaf leaf;
	struct page *p;

	pick_range(m, &w, &i, &n);
	p = &m->page[w][i];
	if (kmm_pt_lookup(&m->f.pt, va_at(page_va(m, w, i)), &leaf) != KMM_OK || leaf.level != 0)
		return;
	if (pick(m, 2))
		p->pfn = anon(m->f.k);
	p->prot = prot;
	replace(&m->f.pt, page_va(m, w, i), p->pfn, prot);
	verify_range(m, w, i, 1);
}

static bool frame_counted(struct kmm *k, struct kmm_pfn pfn)
{
	return frame_in_table(k, pfn);
}

/// Shares a range with a second tree, reads both, and unmaps the second.
static void change_share(struct model *m)
{
	unsigned w, i, n;
	struct kmm_pt other;

	pick_range(m, &w, &i, &n);
	assert_int_equal(kmm_pt_init(m->f.k, &other, NULL), KMM_OK);
	assert_int_equal(share_n(&other, &m->f.pt, page_va(m, w, i), n), KMM_OK);
	for (unsigned j = i; j < i + n; j++) {
		struct page *p = &m->page[w][j];

		if (p->prot & KMM_PROT_W)
			p->prot = R;
		verify_page(&other, page_va(m, w, j), p);
		if (p->mapped && frame_counted(m->f.k, p->pfn))
			assert_int_equal(frame_ref_count(m->f.k, p->pfn), 2);
	}
	verify_range(m, w, i, n);
	assert_int_equal(kmm_pt_check(&other), KMM_OK);
	assert_int_equal(unmap_n(&other, page_va(m, w, i), n), KMM_OK);
	for (unsigned j = i; j < i + n; j++)
		if (m->page[w][j].mapped && frame_counted(m->f.k, m->page[w][j].pfn))
			assert_int_equal(frame_ref_count(m->f.k, m->page[w][j].pfn), 1);
	kmm_pt_destroy(&other);
}

static void random_changes(const struct kmm_pt_format *format, bool table_frees, uint64_t seed)
{
	static struct model m;

	memset(&m, 0, sizeof(m));
	m.rng = 0x9e3779b97f4a7c15ull * (seed + 1u);
	fixture_start(&m.f, format, table_frees, 1);
	for (unsigned step = 0; step < 500; step++) {
		switch (pick(&m, 8)) {
		case 0: case 1: case 2: case 3: change_map(&m); break;
		case 4: change_unmap(&m); break;
		case 5: change_protect(&m); break;
		case 6: change_replace(&m); break;
		default: change_share(&m); break;
		}
		if (step % 50 == 0)
			verify_all(&m);
	}
	verify_all(&m);
	for (unsigned w = 0; w < WINDOWS; w++)
		assert_int_equal(unmap_n(&m.f.pt, page_va(&m, w, 0), WINDOW_PAGES), KMM_OK);
	assert_int_equal(m.f.pt.leaves_n, 0);
	if (table_frees)
		assert_int_equal(m.f.pt.tables_n, 1);
	fixture_stop(&m.f);
}

static void pt_format_random_changes_equal_the_model(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++)
		for (uint64_t seed = 0; seed < 4; seed++)
			random_changes(kmm_pt_format_at(i), seed % 2 == 0, seed);
}

/* ---- leaf sizes ---- */

static unsigned level_at(struct fixture *f, uint64_t va)
{
	struct kmm_pt_leaf leaf;

	assert_int_equal(kmm_pt_lookup(&f->pt, va_at(va), &leaf), KMM_OK);
	return leaf.level;
}

static void pt_format_map_uses_the_largest_leaf_that_fits(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		uint64_t base = 5 * HUGE, pages = 512u * 512u + 512u + 2u;
		struct fixture f;

		fixture_start(&f, kmm_pt_format_at(i), true, 1);
		assert_int_equal(map_n(&f.pt, base - PAGE, pfn_at(DEVICE_PFN - 1u), pages, R, 2),
				 KMM_OK);
		assert_int_equal(level_at(&f, base - PAGE), 0);
		assert_int_equal(level_at(&f, base), 2);
		assert_int_equal(level_at(&f, base + HUGE), 1);
		assert_int_equal(level_at(&f, base + HUGE + LARGE), 0);
		assert_int_equal(f.pt.leaves_n, 4);
		assert_int_equal(read_raw(&f.pt, base + 77 * PAGE).pa, (DEVICE_PFN + 77u) << 12);
		/* A hole of one page inside the largest: two splits, all else as it was. */
		assert_int_equal(unmap_n(&f.pt, base + 1000 * PAGE, 1), KMM_OK);
		assert_int_equal(level_at(&f, base + 1001 * PAGE), 0);
		assert_int_equal(level_at(&f, base + 1024 * PAGE), 1);
		for (uint64_t p = 0; p < 2048; p++) {
			struct seen s = read_raw(&f.pt, base + p * PAGE);

			assert_int_equal(s.mapped, p != 1000);
			assert_false(s.wrong);
			if (s.mapped)
				assert_int_equal(s.pa, (DEVICE_PFN + p) << 12);
		}
		assert_int_equal(kmm_pt_check(&f.pt), KMM_OK);
		assert_int_equal(unmap_n(&f.pt, base - PAGE, pages), KMM_OK);
		assert_int_equal(f.pt.tables_n, 1);
		fixture_stop(&f);
	}
}

static void pt_format_map_of_bad_arguments_is_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		struct fixture f;
		uint64_t end;

		fixture_start(&f, kmm_pt_format_at(i), true, 1);
		end = f.pt.user_end;
		assert_int_equal(map_n(&f.pt, PAGE, pfn_at(1), 1, RW | RX, 0), KMM_EINVAL);
		assert_int_equal(map_n(&f.pt, PAGE, pfn_at(1), 1, 8, 0), KMM_EINVAL);
		assert_int_equal(map_n(&f.pt, PAGE + 1, pfn_at(1), 1, R, 0), KMM_EINVAL);
		assert_int_equal(map_n(&f.pt, PAGE, pfn_at(1), 0, R, 0), KMM_EINVAL);
		assert_int_equal(map_n(&f.pt, end - PAGE, pfn_at(1), 2, R, 0), KMM_EINVAL);
		assert_int_equal(map_n(&f.pt, -end, pfn_at(1), 1, R, 0), KMM_EINVAL);
		assert_int_equal(map_n(&f.pt, PAGE, pfn_at(1ull << 40), 1, R, 0), KMM_EINVAL);
		assert_int_equal(map_n(&f.pt, PAGE, pfn_at(1), 1ull << 52, R, 0), KMM_EINVAL);
		assert_int_equal(unmap_n(&f.pt, -end, 1), KMM_EINVAL);
		assert_int_equal(protect_n(&f.pt, PAGE, 1, RW | RX, false), KMM_EINVAL);
		assert_int_equal(f.pt.tables_n, 1);
		fixture_stop(&f);
	}
}

/* ---- failures ---- */

struct kept {
	uint64_t tables_n, leaves_n, free_n, digest;
};

/// A digest of the whole raw tree's translations.
static struct kept keep(struct fixture *f, uint64_t base, uint64_t pages)
{
	struct kept s = { f->pt.tables_n, f->pt.leaves_n, free_frames(f->k), 0 };

	for (uint64_t i = 0; i < pages; i++) {
		struct seen e = read_raw(&f->pt, base + i * PAGE);

		s.digest = s.digest * 31u + e.pa + e.write + 2u * e.user_exec + 4u * e.mapped;
		s.digest += e.size_lg2;
	}
	return s;
}

static void assert_kept(const struct kept *a, struct kept b)
{
	assert_int_equal(a->tables_n, b.tables_n);
	assert_int_equal(a->leaves_n, b.leaves_n);
	assert_int_equal(a->free_n, b.free_n);
	assert_int_equal(a->digest, b.digest);
}

typedef enum kmm_error attempt(struct fixture *f);

static enum kmm_error attempt_map(struct fixture *f)
{
	return map_n(&f->pt, HUGE - 3 * PAGE, pfn_at(DEVICE_PFN), 600, RW, 0);
}

static enum kmm_error attempt_unmap(struct fixture *f)
{
	return unmap_n(&f->pt, 4 * HUGE + PAGE, 512u * 512u + 7u);
}

static enum kmm_error attempt_protect(struct fixture *f)
{
	return protect_n(&f->pt, 4 * HUGE + 700 * PAGE, 9, R, false);
}

static enum kmm_error attempt_share(struct fixture *f)
{
	struct kmm_pt other;
	enum kmm_error e = kmm_pt_init(f->k, &other, NULL);

	if (e != KMM_OK)
		return e;
	e = share_n(&other, &f->pt, 6 * HUGE, 600);
	if (e == KMM_OK)
		assert_int_equal(unmap_n(&other, 6 * HUGE, 600), KMM_OK);
	assert_int_equal(other.leaves_n, 0);
	assert_int_equal(other.tables_n, 1);
	kmm_pt_destroy(&other);
	return e;
}

/// Fails each table in turn until the attempt succeeds; at least `least` do.
static void sweep(struct fixture *f, attempt *try, uint64_t base, uint64_t pages, unsigned least)
{
	for (unsigned nth = 1;; nth++) {
		struct kept before = keep(f, base, pages);
		enum kmm_error e;

		assert_int_equal(kmm_fail_arm(f->k, KMM_FAIL_TABLE, nth), KMM_OK);
		e = try(f);
		if (!kmm_fail_disarm(f->k)) {
			assert_int_equal(e, KMM_OK);
			assert_true(nth > least);
			return;
		}
		assert_int_equal(e, KMM_ENOMEM);
		assert_kept(&before, keep(f, base, pages));
		assert_int_equal(kmm_pt_check(&f->pt), KMM_OK);
	}
}

static void pt_format_table_failure_leaves_all_as_it_was(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		struct kmm_pfn shared;
		struct fixture f;

		fixture_start(&f, kmm_pt_format_at(i), true, 1);
		assert_int_equal(map_n(&f.pt, 4 * HUGE, pfn_at(DEVICE_PFN), 1ull << 19, RW, 2),
				 KMM_OK);
		sweep(&f, attempt_map, HUGE - LARGE, 1500, 5);
		sweep(&f, attempt_protect, 4 * HUGE, 1500, 2);
		sweep(&f, attempt_unmap, 4 * HUGE, 1500, 2);
		shared = anon(f.k);
		assert_int_equal(map_n(&f.pt, 6 * HUGE, shared, 1, R, 0), KMM_OK);
		assert_int_equal(map_n(&f.pt, 6 * HUGE + 590 * PAGE, pfn_at(9), 5, R, 0), KMM_OK);
		sweep(&f, attempt_share, 6 * HUGE, 600, 4);
		assert_int_equal(frame_ref_count(f.k, shared), 1);
		assert_int_equal(unmap_n(&f.pt, 0, 8u << 18), KMM_OK);
		assert_int_equal(f.pt.tables_n, 1);
		fixture_stop(&f);
	}
}

static void pt_format_emptied_tables_stay_where_the_preset_says(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		struct fixture f;

		fixture_start(&f, kmm_pt_format_at(i), false, 1);
		assert_int_equal(map_n(&f.pt, HUGE - PAGE, pfn_at(DEVICE_PFN), 2, RW, 0), KMM_OK);
		assert_int_equal(f.pt.tables_n, 6);
		assert_int_equal(unmap_n(&f.pt, HUGE - PAGE, 2), KMM_OK);
		assert_int_equal(f.pt.tables_n, 6);
		assert_int_equal(f.pt.leaves_n, 0);
		/* A large leaf can't take the place of a table, however empty. */
		assert_int_equal(map_n(&f.pt, HUGE, pfn_at(DEVICE_PFN), 512, RW, 2), KMM_OK);
		assert_int_equal(level_at(&f, HUGE), 0);
		assert_int_equal(unmap_n(&f.pt, HUGE, 512), KMM_OK);
		fixture_stop(&f);
	}
}

/* ---- the kernel half ---- */

static void pt_format_kernel_pages_are_out_of_users_reach(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		struct kmm_pt *kernel, user;
		struct fixture f;
		uint64_t base;

		fixture_start(&f, kmm_pt_format_at(i), true, 1);
		kernel = kmm_pt_kernel(f.k);
		base = -f.pt.user_end + 3 * HUGE;
		for (unsigned p = 0; p < sizeof(prots) / sizeof(prots[0]); p++) {
			struct seen s;

			assert_int_equal(map_n(kernel, base + p * PAGE, pfn_at(p), 1, prots[p], 0),
					 KMM_OK);
			s = read_raw(kernel, base + p * PAGE);
			assert_int_equal(s.mapped, prots[p] != 0);
			assert_false(s.user_exec || (s.mapped && s.user) || s.wrong);
			assert_int_equal(s.mapped && s.write, !!(prots[p] & KMM_PROT_W));
			assert_int_equal(s.kernel_exec, !!(prots[p] & KMM_PROT_X));
		}
		assert_int_equal(map_n(kernel, PAGE, pfn_at(1), 1, R, 0), KMM_EINVAL);
		assert_int_equal(kmm_pt_check(kernel), KMM_OK);
		assert_int_equal(kmm_pt_init(f.k, &user, kernel), KMM_OK);
		assert_int_equal(read_raw(&user, base + PAGE).mapped, f.k->format->shared_root);
		assert_int_equal(kmm_pt_check(&user), KMM_OK);
		/* Seen at once by the copies, or refused. */
		assert_int_equal(map_n(kernel, base + LARGE, pfn_at(8), 1, R, 0), KMM_OK);
		assert_int_equal(read_raw(&user, base + LARGE).mapped, f.k->format->shared_root);
		assert_int_equal(map_n(kernel, base + 600 * HUGE, pfn_at(8), 1, R, 0),
				 f.k->format->shared_root ? KMM_ELIMIT : KMM_OK);
		assert_int_equal(unmap_n(kernel, base, 1024), KMM_OK);
		assert_false(read_raw(&user, base + PAGE).mapped);
		assert_int_equal(kmm_pt_check(kernel), KMM_OK);
		assert_int_equal(kmm_pt_check(&user), KMM_OK);
		kmm_pt_destroy(&user);
		if (!f.k->format->shared_root)
			assert_int_equal(unmap_n(kernel, base + 600 * HUGE, 1), KMM_OK);
		/* What hangs off a shared root stays until the instance ends. */
		assert_int_equal(kernel->tables_n, f.k->format->shared_root ? 2 : 1);
		f.free_n -= kernel->tables_n - 1u;
		fixture_stop(&f);
	}
}

/* ---- the checker itself ---- */

/// Flips one bit of the page's level-0 entry.
static void flip(struct fixture *f, uint64_t va, unsigned bit)
{
	uint64_t table = kmm_pfn_to_pa(f->pt.root).a;
	uint64_t *t = NULL;

	for (unsigned shift = 39; shift >= 12; shift -= 9) {
		t = kmm_frame_virt(f->k, pfn_at(table >> 12));
		table = t[va >> shift & 511u] & 0x0000fffffffff000ull;
	}
	t[va >> 12 & 511u] ^= RAW(bit);
}

static void pt_format_flipped_bit_is_found(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_pt_format_at(i); i++) {
		const struct kmm_pt_format *format = kmm_pt_format_at(i);
		uint64_t unseen = format->addr_mask | format->accessed | format->dirty;
		struct fixture f;

		fixture_start(&f, format, true, 1);
		assert_int_equal(map_n(&f.pt, HUGE, pfn_at(DEVICE_PFN), 1, RX, 0), KMM_OK);
		for (unsigned bit = 0; bit < 64; bit++) {
			bool other_prot = false;

			flip(&f, HUGE, bit);
			/* Read-only from executable, say: a page someone might have asked for. */
			for (unsigned p = 0; p < 8; p++)
				other_prot |= (format->prot_user[R | KMM_PROT_X] ^ RAW(bit)) ==
					      format->prot_user[p];
			assert_int_equal(kmm_pt_check(&f.pt),
					 (unseen & RAW(bit)) || other_prot ? KMM_OK : KMM_ECORRUPT);
			flip(&f, HUGE, bit);
		}
		assert_int_equal(unmap_n(&f.pt, HUGE, 1), KMM_OK);
		fixture_stop(&f);
	}
}

static void pt_format_names_are_found(void **state)
{
	(void)state;
	assert_ptr_equal(kmm_pt_format_find("x86_64"), &kmm_pt_format_x86_64);
	assert_ptr_equal(kmm_pt_format_find("aarch64"), &kmm_pt_format_aarch64);
	assert_null(kmm_pt_format_find("x86"));
	assert_null(kmm_pt_format_at(2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pt_format_names_are_found),
		cmocka_unit_test(pt_format_map_of_bad_arguments_is_refused),
		cmocka_unit_test(pt_format_map_uses_the_largest_leaf_that_fits),
		cmocka_unit_test(pt_format_emptied_tables_stay_where_the_preset_says),
		cmocka_unit_test(pt_format_kernel_pages_are_out_of_users_reach),
		cmocka_unit_test(pt_format_table_failure_leaves_all_as_it_was),
		cmocka_unit_test(pt_format_flipped_bit_is_found),
		cmocka_unit_test(pt_format_random_changes_equal_the_model),
	};

	return cmocka_run_group_tests_name("conformance_pt_format", tests, NULL, NULL);
}
