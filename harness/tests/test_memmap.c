/// The memory map, against an array that holds each page's kind and name.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <kmm/memmap.h>

#define PAGES 512u

static struct kmm_pa pa(uint64_t a)
{
	struct kmm_pa p = { a };

	return p;
}

static enum kmm_error add(struct kmm_memmap *m, uint64_t start, uint64_t end,
			  enum kmm_mem_kind kind, const char *name)
{
	return kmm_memmap_add(m, pa(start), pa(end), kind, name);
}

static void range_is(const struct kmm_memmap *m, unsigned i, uint64_t start, uint64_t end,
		     enum kmm_mem_kind kind, const char *name)
{
	assert_true(i < m->n);
	assert_int_equal(m->range[i].start.a, start);
	assert_int_equal(m->range[i].end.a, end);
	assert_int_equal(m->range[i].kind, kind);
	assert_string_equal(m->range[i].name, name);
}

/// Sorted, disjoint, aligned, no two equal neighbours.
static void well_formed(const struct kmm_memmap *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct kmm_mem_range *r = &m->range[i];

		assert_true(r->start.a < r->end.a);
		assert_int_equal((r->start.a | r->end.a) & (KMM_PAGE_BYTES - 1), 0);
		if (i == 0)
			continue;
		assert_true(r[-1].end.a <= r->start.a);
		if (r[-1].end.a == r->start.a)
			assert_true(r[-1].kind != r->kind || strcmp(r[-1].name, r->name) != 0);
	}
}

static void memmap_ranges_in_any_order_end_sorted(void **state)
{
	struct kmm_memmap m = { 0 };

	(void)state;
	assert_int_equal(add(&m, 0x9000, 0xc000, KMM_MEM_USABLE, "high"), KMM_OK);
	assert_int_equal(add(&m, 0x1000, 0x3000, KMM_MEM_USABLE, "low"), KMM_OK);
	assert_int_equal(add(&m, 0x5000, 0x6000, KMM_MEM_RESERVED, "mid"), KMM_OK);
	assert_int_equal(m.n, 3);
	range_is(&m, 0, 0x1000, 0x3000, KMM_MEM_USABLE, "low");
	range_is(&m, 1, 0x5000, 0x6000, KMM_MEM_RESERVED, "mid");
	range_is(&m, 2, 0x9000, 0xc000, KMM_MEM_USABLE, "high");
}

static void memmap_higher_kind_cuts_lower(void **state)
{
	struct kmm_memmap m = { 0 };

	(void)state;
	assert_int_equal(add(&m, 0, 0x10000, KMM_MEM_USABLE, "ram"), KMM_OK);
	assert_int_equal(add(&m, 0x4000, 0x6000, KMM_MEM_KERNEL, "image"), KMM_OK);
	assert_int_equal(add(&m, 0x5000, 0x8000, KMM_MEM_RESERVED, "rom"), KMM_OK);
	assert_int_equal(m.n, 4);
	range_is(&m, 0, 0, 0x4000, KMM_MEM_USABLE, "ram");
	range_is(&m, 1, 0x4000, 0x6000, KMM_MEM_KERNEL, "image");
	range_is(&m, 2, 0x6000, 0x8000, KMM_MEM_RESERVED, "rom");
	range_is(&m, 3, 0x8000, 0x10000, KMM_MEM_USABLE, "ram");
	assert_int_equal(kmm_memmap_bytes(&m, KMM_MEM_USABLE), 0xc000);
	assert_int_equal(kmm_memmap_bytes(&m, KMM_MEM_KERNEL), 0x2000);
	assert_int_equal(kmm_memmap_bytes(&m, KMM_MEM_RESERVED), 0x2000);
}

static void memmap_usable_shrinks_others_grow(void **state)
{
	struct kmm_memmap m = { 0 };

	(void)state;
	assert_int_equal(add(&m, 0x1001, 0x4fff, KMM_MEM_USABLE, "ram"), KMM_OK);
	range_is(&m, 0, 0x2000, 0x4000, KMM_MEM_USABLE, "ram");
	assert_int_equal(add(&m, 0x3fff, 0x4001, KMM_MEM_RESERVED, "hw"), KMM_OK);
	assert_int_equal(m.n, 2);
	range_is(&m, 0, 0x2000, 0x3000, KMM_MEM_USABLE, "ram");
	range_is(&m, 1, 0x3000, 0x5000, KMM_MEM_RESERVED, "hw"); /* its end rounds up */
	assert_int_equal(add(&m, 0x8100, 0x8f00, KMM_MEM_USABLE, "crumb"), KMM_OK);
	assert_int_equal(m.n, 2);
}

static void memmap_equal_neighbours_join(void **state)
{
	struct kmm_memmap m = { 0 };

	(void)state;
	assert_int_equal(add(&m, 0x1000, 0x2000, KMM_MEM_USABLE, "ram"), KMM_OK);
	assert_int_equal(add(&m, 0x3000, 0x4000, KMM_MEM_USABLE, "ram"), KMM_OK);
	assert_int_equal(add(&m, 0x2000, 0x3000, KMM_MEM_USABLE, "ram"), KMM_OK);
	assert_int_equal(m.n, 1);
	range_is(&m, 0, 0x1000, 0x4000, KMM_MEM_USABLE, "ram");
	assert_int_equal(add(&m, 0x4000, 0x5000, KMM_MEM_USABLE, "more"), KMM_OK);
	assert_int_equal(m.n, 2);
}

static void memmap_bad_range_is_refused(void **state)
{
	struct kmm_memmap m = { 0 };

	(void)state;
	assert_int_equal(add(&m, 0x2000, 0x2000, KMM_MEM_USABLE, "empty"), KMM_EINVAL);
	assert_int_equal(add(&m, 0x3000, 0x2000, KMM_MEM_RESERVED, "turned"), KMM_EINVAL);
	assert_int_equal(add(&m, 0x1000, ~0ull, KMM_MEM_RESERVED, "wraps"), KMM_EINVAL);
	assert_int_equal(add(&m, ~0ull - 5, ~0ull, KMM_MEM_USABLE, "wraps"), KMM_EINVAL);
	assert_int_equal(add(&m, 0x1000, 0x2000, (enum kmm_mem_kind)(KMM_MEM_KERNEL + 1),
			     "kind"), KMM_EINVAL);
	assert_int_equal(m.n, 0);
}

static void memmap_full_is_unchanged(void **state)
{
	struct kmm_memmap m = { 0 }, before;

	(void)state;
	for (uint64_t i = 0; i < KMM_MEMMAP_MAX; i++)
		assert_int_equal(add(&m, i << 16, (i << 16) + 0x4000, KMM_MEM_USABLE, "ram"),
				 KMM_OK);
	before = m;
	assert_int_equal(add(&m, 0x8000, 0x9000, KMM_MEM_USABLE, "ram"), KMM_ELIMIT);
	assert_int_equal(add(&m, 0x1000, 0x2000, KMM_MEM_KERNEL, "cut"), KMM_ELIMIT);
	assert_memory_equal(&m, &before, sizeof(m));
	/* What makes it shorter still goes in. */
	assert_int_equal(add(&m, 0x4000, 0x10000, KMM_MEM_USABLE, "ram"), KMM_OK);
	assert_int_equal(m.n, KMM_MEMMAP_MAX - 1);
}

static void memmap_long_name_is_cut(void **state)
{
	struct kmm_memmap m = { 0 };

	(void)state;
	assert_int_equal(add(&m, 0, 0x1000, KMM_MEM_RESERVED, "a name beyond the field"), KMM_OK);
	range_is(&m, 0, 0, 0x1000, KMM_MEM_RESERVED, "a name beyond t");
	assert_int_equal(add(&m, 0x2000, 0x3000, KMM_MEM_RESERVED, NULL), KMM_OK);
	range_is(&m, 1, 0x2000, 0x3000, KMM_MEM_RESERVED, "");
}

static void memmap_carve_takes_top_of_largest(void **state)
{
	struct kmm_memmap m = { 0 };
	struct kmm_pa at = { 1 };

	(void)state;
	assert_int_equal(add(&m, 0x1000, 0x4000, KMM_MEM_USABLE, "small"), KMM_OK);
	assert_int_equal(add(&m, 0x10000, 0x20000, KMM_MEM_USABLE, "big"), KMM_OK);
	assert_int_equal(kmm_memmap_carve(&m, 0x1001, pa(~0ull), "meta", &at), KMM_OK);
	assert_int_equal(at.a, 0x1e000);
	range_is(&m, 2, 0x1e000, 0x20000, KMM_MEM_KERNEL, "meta");
	/* Only what lies below the limit counts. */
	assert_int_equal(kmm_memmap_carve(&m, 0x1000, pa(0x12800), "low", &at), KMM_OK);
	assert_int_equal(at.a, 0x3000);
	assert_int_equal(kmm_memmap_carve(&m, 0x1000, pa(0x1d000), "mid", &at), KMM_OK);
	assert_int_equal(at.a, 0x1c000);
	well_formed(&m);
}

static void memmap_carve_too_much_is_refused(void **state)
{
	struct kmm_memmap m = { 0 }, before;
	struct kmm_pa at = { 1 };

	(void)state;
	assert_int_equal(kmm_memmap_carve(&m, 1, pa(~0ull), "none", &at), KMM_ENOMEM);
	assert_int_equal(add(&m, 0x1000, 0x4000, KMM_MEM_USABLE, "ram"), KMM_OK);
	assert_int_equal(add(&m, 0x8000, 0xf000, KMM_MEM_RESERVED, "rom"), KMM_OK);
	before = m;
	assert_int_equal(kmm_memmap_carve(&m, 0x3001, pa(~0ull), "x", &at), KMM_ENOMEM);
	assert_int_equal(kmm_memmap_carve(&m, 0x1000, pa(0x1fff), "x", &at), KMM_ENOMEM);
	assert_int_equal(kmm_memmap_carve(&m, ~0ull, pa(~0ull), "x", &at), KMM_ENOMEM);
	assert_int_equal(kmm_memmap_carve(&m, 0, pa(~0ull), "x", &at), KMM_ENOMEM);
	assert_memory_equal(&m, &before, sizeof(m));
	assert_int_equal(at.a, 1);
	assert_int_equal(kmm_memmap_carve(&m, 0x3000, pa(~0ull), "all", &at), KMM_OK);
	assert_int_equal(at.a, 0x1000);
	assert_int_equal(kmm_memmap_bytes(&m, KMM_MEM_USABLE), 0);
}

struct page {
	int kind; /* -1: nobody's */
	char name[KMM_MEMMAP_NAME_BYTES];
};

static void claim_pages(struct page *page, uint64_t start, uint64_t end, int kind, const char *name)
{
	bool memory = kind < KMM_MEM_RESERVED;
	uint64_t first = memory ? (start + 4095) >> 12 : start >> 12;
	uint64_t last = memory ? end >> 12 : (end + 4095) >> 12;

	for (uint64_t i = first; i < last; i++)
		if (page[i].kind < kind) {
			page[i].kind = kind;
			strcpy(page[i].name, name);
		}
}

static void compare_pages(const struct kmm_memmap *m, const struct page *page)
{
	unsigned r = 0;

	for (uint64_t i = 0; i < PAGES; i++) {
		while (r < m->n && m->range[r].end.a <= i << 12)
			r++;
		if (r < m->n && m->range[r].start.a <= i << 12) {
			assert_int_equal(page[i].kind, m->range[r].kind);
			assert_string_equal(page[i].name, m->range[r].name);
		} else {
			assert_int_equal(page[i].kind, -1);
		}
	}
}

static void memmap_random_ranges_match_page_map(void **state)
{
	uint64_t seed = 88172645463325252ull;
	unsigned full = 0;

	(void)state;
	for (unsigned round = 0; round < 400; round++) {
		struct kmm_memmap m = { 0 };
		struct page page[PAGES];

		for (unsigned i = 0; i < PAGES; i++)
			page[i] = (struct page){ -1, "" };
		for (unsigned i = 0; i < 60; i++) {
			uint64_t start, end;
			char name[2] = { 'a', 0 };
			int kind;

			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			start = seed % (PAGES << 12);
			end = start + 1 + (seed >> 24) % (1ull << (4 + (seed >> 50) % 15));
			if (end > PAGES << 12)
				continue;
			kind = (int)((seed >> 40) % (KMM_MEM_KERNEL + 1));
			name[0] = (char)('a' + (seed >> 44) % 3);
			if (add(&m, start, end, (enum kmm_mem_kind)kind, name) == KMM_OK)
				claim_pages(page, start, end, kind, name);
			else
				full++;
			well_formed(&m);
			compare_pages(&m, page);
		}
	}
	assert_true(full < 2000); /* most went in, so something was compared */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memmap_ranges_in_any_order_end_sorted),
		cmocka_unit_test(memmap_higher_kind_cuts_lower),
		cmocka_unit_test(memmap_usable_shrinks_others_grow),
		cmocka_unit_test(memmap_equal_neighbours_join),
		cmocka_unit_test(memmap_bad_range_is_refused),
		cmocka_unit_test(memmap_full_is_unchanged),
		cmocka_unit_test(memmap_long_name_is_cut),
		cmocka_unit_test(memmap_carve_takes_top_of_largest),
		cmocka_unit_test(memmap_carve_too_much_is_refused),
		cmocka_unit_test(memmap_random_ranges_match_page_map),
	};

	return cmocka_run_group_tests_name("memmap", tests, NULL, NULL);
}
