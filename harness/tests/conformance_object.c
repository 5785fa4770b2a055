/// The object allocator's contract, asked of every preset in the same words:
/// distinct and disjoint objects of the size and alignment promised, contents
/// kept, wrong frees refused, out of memory only when memory is out, nothing
/// left behind.
#include "object_shadow.h"

static struct threads_machine machine;

/// An allocator under test: kmalloc of one size, or a named cache.
struct source {
	struct kmm *k;
	struct kmm_cache *cache; /* NULL: kmalloc */
	size_t bytes, align;
};

static void *source_alloc(const struct source *s)
{
	return s->cache ? kmm_cache_alloc(s->cache) : kmm_alloc(s->k, s->bytes);
}

static enum kmm_error source_free(const struct source *s, void *p)
{
	return s->cache ? kmm_cache_free(s->cache, p) : kmm_free(s->k, p);
}

static void random_pairs(const struct source *src, struct shadow *s, unsigned steps_n)
{
	while (steps_n-- > 0) {
		unsigned i = (unsigned)(shadow_random(s) % 100u);
		void *p;

		if (s->block[i].at) {
			p = shadow_take(s, i);
			assert_int_equal(source_free(src, p), KMM_OK);
			assert_int_equal(source_free(src, p), KMM_EDOUBLEFREE);
			continue;
		}
		p = source_alloc(src);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % src->align, 0);
		shadow_add(s, i, p, src->bytes);
		if (src->bytes > 1)
			assert_int_equal(source_free(src, (char *)p + src->bytes / 2u),
					 KMM_EINVAL);
	}
}

static void free_all(const struct source *src, struct shadow *s)
{
	for (unsigned i = 0; i < SHADOW_BLOCKS; i++)
		if (s->block[i].at)
			assert_int_equal(source_free(src, shadow_take(s, i)), KMM_OK);
}

/// Takes all memory there is, twice the same amount.
static void exhaust(const struct source *src)
{
	static void *p[1u << 18];
	struct kmm_frame_stats f;
	unsigned first_n = 0;

	for (unsigned round = 0; round < 2; round++) {
		unsigned n = 0;

		while (n < 1u << 18 && (p[n] = source_alloc(src)))
			n++;
		assert_true(n > 0 && n < 1u << 18);
		assert_null(source_alloc(src));
		assert_int_equal(kmm_check(src->k), KMM_OK);
		kmm_frame_stats(src->k, &f);
		/* at most what is too little for one object more, or lies apart in
		 * pieces, is left */
		assert_true((f.managed_n - f.free_n) * KMM_PAGE_BYTES >= (uint64_t)n * src->bytes);
		assert_true(f.free_n <= f.managed_n / 8u);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(source_free(src, p[i]), KMM_OK);
		if (round == 0)
			first_n = n;
		assert_true(n + n / 16u + 1u >= first_n);
	}
}

static void try_source(const struct kmm_preset *preset, const struct source *like, uint64_t seed)
{
	struct source src = *like;
	struct shadow s;

	src.k = shadow_machine(&machine, preset->name, 3u << 20, 2);
	shadow_init(&s, seed);
	if (src.cache)
		assert_int_equal(kmm_cache_create(src.k, "source", src.bytes, src.align, NULL,
						  &src.cache), KMM_OK);
	for (unsigned round = 0; round < 4; round++) {
		shadow_move(&machine, round % 2u);
		random_pairs(&src, &s, 300);
		assert_int_equal(kmm_check(src.k), KMM_OK);
	}
	free_all(&src, &s);
	(void)kmm_object_reclaim(src.k);
	shadow_move(&machine, 0);
	(void)kmm_object_reclaim(src.k);
	exhaust(&src);
	if (src.cache)
		assert_int_equal(kmm_cache_destroy(src.cache), KMM_OK);
	shadow_stop(&machine);
}

static void object_each_preset_keeps_the_contract(void **state)
{
	static const struct { size_t bytes, align; bool named; } row[] = {
		{ 1, 8, true },       { 16, 16, false },    { 24, 8, true },
		{ 64, 64, true },     { 96, 16, false },    { 200, 32, true },
		{ 512, 16, false },   { 1000, 8, true },    { 1536, 16, false },
		{ 4096, 4096, true }, { 10000, 16, false }, { 16384, 64, true },
	};

	(void)state;
	for (unsigned i = 0; kmm_preset_at(i); i++)
		for (unsigned j = 0; j < sizeof(row) / sizeof(row[0]); j++) {
			struct kmm_cache *wanted = (struct kmm_cache *)(void *)&machine;
			struct source s = { NULL, row[j].named ? wanted : NULL, row[j].bytes,
					    row[j].align };

			try_source(kmm_preset_at(i), &s, i * 100u + j);
		}
}

static void object_each_preset_mixes_caches_and_kmalloc(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_preset_at(i); i++) {
		struct kmm *k = shadow_machine(&machine, kmm_preset_at(i)->name, 16u << 20, 2);
		struct source a = { k, NULL, 48, 8 }, b = { k, NULL, 48, 16 };
		struct source c = { k, NULL, 40000, 4096 };
		struct shadow sa, sb, sc;

		shadow_init(&sa, i);
		shadow_init(&sb, i + 100u);
		shadow_init(&sc, i + 200u);
		assert_int_equal(kmm_cache_create(k, "a", 48, 0, NULL, &a.cache), KMM_OK);
		for (unsigned round = 0; round < 20; round++) {
			shadow_move(&machine, round % 2u);
			random_pairs(&a, &sa, 50);
			random_pairs(&b, &sb, 50);
			random_pairs(&c, &sc, 5);
		}
		free_all(&a, &sa);
		free_all(&b, &sb);
		free_all(&c, &sc);
		shadow_move(&machine, 0);
		shadow_stop(&machine);
	}
}

static void object_each_preset_counts_alike(void **state)
{
	(void)state;
	for (unsigned i = 0; kmm_preset_at(i); i++) {
		struct kmm *k = shadow_machine(&machine, kmm_preset_at(i)->name, 4u << 20, 1);
		struct kmm_object_stats s, before; /* other units have caches too */
		struct kmm_cache *c = NULL;
		void *p, *q;

		kmm_object_stats(k, &before);
		assert_true(before.frames_n <= 16);
		assert_int_equal(before.live_n, 0);
		assert_int_equal(kmm_cache_create(k, "c", 64, 0, NULL, &c), KMM_OK);
		kmm_object_stats(k, &s);
		assert_int_equal(s.live_n, 0);
		assert_int_equal(s.caches_n, before.caches_n + 1);
		p = kmm_cache_alloc(c);
		q = kmm_alloc(k, 100000);
		assert_int_equal(kmm_cache_free(c, q), KMM_EINVAL);
		kmm_object_stats(k, &s);
		assert_int_equal(s.live_n, 2);
		assert_true(s.frames_n >= before.frames_n + 33);
		assert_int_equal(kmm_cache_free(c, p), KMM_OK);
		assert_int_equal(kmm_free(k, q), KMM_OK);
		kmm_object_stats(k, &s);
		assert_int_equal(s.alloc_n, 2);
		assert_int_equal(s.free_calls_n, 2);
		assert_int_equal(s.fail_n, 0);
		shadow_stop(&machine);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(object_each_preset_keeps_the_contract),
		cmocka_unit_test(object_each_preset_mixes_caches_and_kmalloc),
		cmocka_unit_test(object_each_preset_counts_alike),
	};

	return cmocka_run_group_tests_name("conformance object", tests, NULL, NULL);
}
