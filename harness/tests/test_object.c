/// Named caches: ownership errors, constructors, failure, reclaim, teardown.
#include "object_shadow.h"

#include "object/cache.h"

static struct threads_machine machine;

static struct kmm_cache *cache(struct kmm *k, size_t bytes, size_t align)
{
	struct kmm_cache *c = NULL;

	assert_int_equal(kmm_cache_create(k, "test", bytes, align, NULL, &c), KMM_OK);
	return c;
}

static void *must_alloc(struct kmm_cache *c)
{
	void *p = kmm_cache_alloc(c);

	assert_non_null(p);
	return p;
}

static void must_free(struct kmm_cache *c, void *p)
{
	assert_int_equal(kmm_cache_free(c, p), KMM_OK);
}

static uint64_t frames_held(struct kmm *k)
{
	struct kmm_object_stats s;

	kmm_object_stats(k, &s);
	return s.frames_n;
}

static void object_bad_arguments_refused(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 4u << 20, 1);
	struct kmm_cache *c = NULL;

	(void)state;
	assert_int_equal(kmm_cache_create(k, "x", 0, 0, NULL, &c), KMM_EINVAL);
	assert_int_equal(kmm_cache_create(k, "x", 16385, 0, NULL, &c), KMM_EINVAL);
	assert_int_equal(kmm_cache_create(k, "x", 64, 24, NULL, &c), KMM_EINVAL);
	assert_int_equal(kmm_cache_create(k, "x", 64, 8192, NULL, &c), KMM_EINVAL);
	assert_null(c);
	shadow_stop(&machine);
}

/* --- random work against the reference --- */

struct shape {
	size_t bytes, align;
};

static const struct shape shapes[] = { { 1, 1 },     { 16, 0 },    { 24, 0 },     { 64, 64 },
				       { 100, 128 }, { 200, 8 },   { 1000, 16 },  { 1024, 1024 },
				       { 40, 4096 }, { 5000, 0 },  { 16384, 4096 } };
#define SHAPES_N (sizeof(shapes) / sizeof(shapes[0]))

static void step(struct shadow *s, struct kmm_cache *const *c)
{
	unsigned i = (unsigned)(shadow_random(s) % SHADOW_BLOCKS);
	unsigned of = i % SHAPES_N; /* each place keeps to one cache */
	size_t align = shapes[of].align ? shapes[of].align : 8u;
	void *p;

	if (s->block[i].at) {
		must_free(c[of], shadow_take(s, i));
		return;
	}
	p = kmm_cache_alloc(c[of]);
	if (!p)
		return;
	assert_int_equal((uintptr_t)p % align, 0);
	shadow_add(s, i, p, shapes[of].bytes);
}

/// Works on one random CPU after the other.
static void random_work(const char *preset, uint64_t bytes, uint64_t seed)
{
	struct kmm *k = shadow_machine(&machine, preset, bytes, 3);
	struct kmm_cache *c[SHAPES_N];
	struct kmm_object_stats stats;
	struct shadow s;

	shadow_init(&s, seed);
	for (unsigned i = 0; i < SHAPES_N; i++)
		c[i] = cache(k, shapes[i].bytes, shapes[i].align);
	for (unsigned round = 0; round < 60; round++) {
		unsigned cpu = (unsigned)(shadow_random(&s) % 3u);

		shadow_move(&machine, cpu);
		for (unsigned i = 0; i < 200; i++)
			step(&s, c);
		if (round % 7 == 0)
			(void)kmm_object_reclaim(k);
		assert_int_equal(kmm_check(k), KMM_OK);
		kmm_object_stats(k, &stats);
		assert_int_equal(stats.live_n, s.live_n);
	}
	for (unsigned i = 0; i < SHADOW_BLOCKS; i++)
		if (s.block[i].at)
			must_free(c[i % SHAPES_N], shadow_take(&s, i));
	for (unsigned i = 0; i < SHAPES_N; i++)
		assert_int_equal(kmm_cache_destroy(c[i]), KMM_OK);
	shadow_move(&machine, 0);
	shadow_stop(&machine);
}

static void object_random_work_matches_reference(void **state)
{
	(void)state;
	random_work("pagemill", 32u << 20, 1);
	random_work("viperdos", 32u << 20, 2);
	random_work("neo", 32u << 20, 3);
}

static void object_random_work_in_scarce_memory_matches_reference(void **state)
{
	(void)state;
	for (uint64_t seed = 10; seed < 14; seed++) {
		random_work("pagemill", 1u << 20, seed);
		random_work("veridian", 600u << 10, seed);
		random_work("neo", 400u << 10, seed);
	}
}

/* --- errors of the owner --- */

static void object_double_free_refused(void **state)
{
	static const char *const presets[] = { "pagemill", "viperdos", "neo" };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct kmm *k = shadow_machine(&machine, presets[i], 4u << 20, 1);
		struct kmm_cache *c = cache(k, 64, 0);
		void *a = must_alloc(c), *b = must_alloc(c);

		must_free(c, a);
		assert_int_equal(kmm_cache_free(c, a), KMM_EDOUBLEFREE);
		must_free(c, b);
		assert_int_equal(kmm_cache_free(c, a), KMM_EDOUBLEFREE);
		assert_int_equal(kmm_cache_free(c, b), KMM_EDOUBLEFREE);
		assert_int_equal(kmm_check(k), KMM_OK);
		shadow_stop(&machine);
	}
}

static void object_foreign_pointer_refused(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 8u << 20, 1);
	struct kmm_cache *c = cache(k, 72, 0), *other = cache(k, 72, 0), *big = cache(k, 5000, 0);
	char *p = must_alloc(c), *q = must_alloc(other), *r = must_alloc(big);
	char *m = kmm_alloc(k, 72);
	struct kmm_pfn frame;

	(void)state;
	assert_int_equal(kmm_frame_alloc(k, 1, 0, &frame), KMM_OK);
	assert_int_equal(kmm_cache_free(c, q), KMM_EINVAL);
	assert_int_equal(kmm_cache_free(c, m), KMM_EINVAL);
	assert_int_equal(kmm_free(k, p), KMM_EINVAL);
	assert_int_equal(kmm_cache_free(c, &frame), KMM_EINVAL);
	assert_int_equal(kmm_cache_free(c, NULL), KMM_EINVAL);
	assert_int_equal(kmm_cache_free(c, kmm_frame_virt(k, frame)), KMM_EINVAL);
	assert_int_equal(kmm_free(k, (char *)kmm_frame_virt(k, frame) + 4096), KMM_EINVAL);
	for (unsigned i = 1; i < 72; i++)
		assert_int_equal(kmm_cache_free(c, p + i), KMM_EINVAL);
	for (unsigned i = 1; i < 5000; i += 7)
		assert_int_equal(kmm_cache_free(big, r + i), KMM_EINVAL);
	/* the header, where it stands in the slab */
	assert_int_equal(kmm_cache_free(c, (char *)((uintptr_t)p & ~4095ull)), KMM_EINVAL);
	must_free(c, p);
	must_free(other, q);
	must_free(big, r);
	assert_int_equal(kmm_free(k, m), KMM_OK);
	assert_int_equal(kmm_frame_free(k, frame, 1), KMM_OK);
	shadow_stop(&machine);
}

static void object_slab_frame_freed_as_frame_refused(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 4u << 20, 1);
	struct kmm_cache *c = cache(k, 64, 0);
	void *p = must_alloc(c);
	struct slab *s = slab_of(k, p);

	(void)state;
	assert_int_equal(kmm_frame_free(k, s->pfn, s->order), KMM_EBUSY);
	must_free(c, p);
	shadow_stop(&machine);
}

static void object_destroy_while_out_is_busy(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 4u << 20, 2);
	struct kmm_cache *c = cache(k, 64, 0);
	void *p = must_alloc(c);

	(void)state;
	assert_int_equal(kmm_cache_destroy(c), KMM_EBUSY);
	assert_int_equal(kmm_check(k), KMM_OK);
	must_free(c, p);
	assert_int_equal(kmm_cache_destroy(c), KMM_OK);
	shadow_stop(&machine);
}

static void object_cache_past_the_limit_refused(void **state)
{
	struct kmm *k = shadow_machine(&machine, "viperdos", 8u << 20, 1);
	unsigned max = kmm_preset_find("viperdos")->object_caches_max;
	struct kmm_cache *c[64], *more = NULL;

	(void)state;
	assert_in_range(max, 1, 64);
	for (unsigned i = 0; i < max; i++)
		c[i] = cache(k, 32 + i, 0);
	assert_int_equal(kmm_cache_create(k, "more", 32, 0, NULL, &more), KMM_ELIMIT);
	assert_null(more);
	assert_int_equal(kmm_cache_destroy(c[3]), KMM_OK);
	c[3] = cache(k, 32, 0);
	assert_int_equal(kmm_cache_create(k, "more", 32, 0, NULL, &more), KMM_ELIMIT);
	shadow_stop(&machine);
}

/* --- constructors --- */

struct built {
	uint64_t mark, uses;
	char rest[40];
};

static unsigned built_n;

static void build(void *object)
{
	struct built *b = object;

	memset(b, 0x5c, sizeof(*b));
	b->mark = 0xb111d;
	b->uses = 0;
	built_n++;
}

static void object_constructed_state_is_kept(void **state)
{
	struct kmm *k = shadow_machine(&machine, "veridian", 64u << 20, 1);
	struct kmm_cache *c = NULL;
	struct built *b[300];

	(void)state;
	built_n = 0;
	assert_int_equal(kmm_cache_create(k, "built", sizeof(struct built), 0, build, &c), KMM_OK);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 300; i++) {
			b[i] = must_alloc(c);
			assert_int_equal(b[i]->mark, 0xb111d);
			assert_int_equal(b[i]->uses, 0);
			for (unsigned j = 0; j < sizeof(b[i]->rest); j++)
				assert_int_equal(b[i]->rest[j], 0x5c);
			b[i]->uses++;
		}
		for (unsigned i = 0; i < 300; i++) {
			b[i]->uses = 0; /* back in constructed state */
			must_free(c, b[i]);
		}
		if (round == 2)
			assert_true(kmm_object_reclaim(k) > 0);
	}
	/* once per object of a slab, not once per allocation */
	assert_in_range(built_n, 600, 2u * (300u + SLAB_OBJECTS_MAX));
	assert_int_equal(kmm_cache_destroy(c), KMM_OK);
	shadow_stop(&machine);
}

/* --- failure --- */

struct snapshot {
	struct kmm_object_stats object;
	struct kmm_frame_stats frame;
};

static struct snapshot snap(struct kmm *k)
{
	struct snapshot s;

	kmm_object_stats(k, &s.object);
	kmm_frame_stats(k, &s.frame);
	return s;
}

static void object_injected_failure_leaves_state(void **state)
{
	static const enum kmm_fail_class classes[] = { KMM_FAIL_OBJECT, KMM_FAIL_FRAME };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct kmm *k = shadow_machine(&machine, "neo", 8u << 20, 1);
		struct kmm_cache *c = cache(k, 1024, 0); /* header apart: two steps */
		void *kept = must_alloc(c), *p[200];
		unsigned n = 0, failed_n = 0;

		for (uint32_t nth = 1; n < 200; nth = nth % 3u + 1u) {
			struct snapshot before, after;

			assert_int_equal(kmm_fail_arm(k, classes[i], nth), KMM_OK);
			do {
				before = snap(k);
				p[n] = kmm_cache_alloc(c);
			} while (p[n] && ++n < 200);
			after = snap(k);
			if (kmm_fail_disarm(k) && n < 200) {
				failed_n++;
				assert_int_equal(after.object.live_n, before.object.live_n);
				assert_int_equal(after.object.fail_n, before.object.fail_n + 1);
				if (classes[i] == KMM_FAIL_OBJECT)
					assert_int_equal(after.frame.free_n, before.frame.free_n);
			}
			assert_int_equal(kmm_check(k), KMM_OK);
		}
		assert_true(failed_n > 1);
		while (n > 0)
			must_free(c, p[--n]);
		must_free(c, kept);
		shadow_stop(&machine);
	}
}

static void object_create_without_memory_leaves_state(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 1u << 20, 1);
	struct kmm_cache *c[64] = { NULL };
	struct kmm_object_stats before, after;
	struct kmm_pfn pfn[256];
	unsigned n = 0, caches_n = 0;

	(void)state;
	kmm_object_stats(k, &before);
	while (n < 256 && kmm_frame_alloc(k, 0, 0, &pfn[n]) == KMM_OK)
		n++;
	/* a slab of records may still have room */
	while (caches_n < 63 &&
	       kmm_cache_create(k, "x", 64, 0, NULL, &c[caches_n]) == KMM_OK)
		caches_n++;
	assert_int_equal(kmm_cache_create(k, "x", 64, 0, NULL, &c[63]), KMM_ENOMEM);
	assert_null(c[63]);
	assert_int_equal(kmm_check(k), KMM_OK);
	kmm_object_stats(k, &after);
	assert_int_equal(after.caches_n, before.caches_n + caches_n);
	while (n > 0)
		assert_int_equal(kmm_frame_free(k, pfn[--n], 0), KMM_OK);
	c[63] = cache(k, 64, 0);
	assert_int_equal(kmm_cache_destroy(c[63]), KMM_OK);
	while (caches_n > 0)
		assert_int_equal(kmm_cache_destroy(c[--caches_n]), KMM_OK);
	kmm_object_stats(k, &after);
	assert_int_equal(after.caches_n, before.caches_n);
	shadow_stop(&machine);
}

/// Allocates until memory is out. Returns: how many
static unsigned fill_up(struct kmm_cache *c, void **p, unsigned max)
{
	unsigned n = 0;

	while (n < max && (p[n] = kmm_cache_alloc(c)))
		n++;
	assert_true(n < max);
	return n;
}

static void object_full_memory_fails_then_recovers(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 2u << 20, 1);
	struct kmm_cache *c = cache(k, 256, 0), *d = cache(k, 3000, 0);
	static void *p[8192];
	unsigned before_n = 0;

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		unsigned n = fill_up(d, p, 8192);

		/* what c keeps back by the second round must not be missing here */
		assert_true(n >= 600 && n >= before_n);
		before_n = n;
		while (n > 0)
			must_free(d, p[--n]);
		n = fill_up(c, p, 8192);
		assert_in_range(n, 7000, 8191);
		assert_null(kmm_cache_alloc(c));
		assert_int_equal(kmm_check(k), KMM_OK);
		while (n > 0)
			must_free(c, p[--n]);
	}
	assert_int_equal(kmm_cache_destroy(c), KMM_OK);
	assert_int_equal(kmm_cache_destroy(d), KMM_OK);
	shadow_stop(&machine);
}

/* --- reclaim and teardown --- */

static void object_reclaim_returns_empty_slabs(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 8u << 20, 1);
	struct kmm_cache *c = cache(k, 1024, 0);
	void *p[100];
	uint64_t held, given;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		p[i] = must_alloc(c);
	held = frames_held(k);
	assert_true(held >= 25);
	for (unsigned i = 0; i < 100; i++)
		must_free(c, p[i]);
	held = frames_held(k);
	assert_true(held > 1);
	given = kmm_object_reclaim(k);
	assert_int_equal(given, held - frames_held(k));
	assert_int_equal(kmm_check(k), KMM_OK);
	/* only the record of c is left */
	assert_true(frames_held(k) <= 4);
	assert_int_equal(kmm_object_reclaim(k), 0);
	shadow_stop(&machine);
}

static void object_reclaim_without_the_preset_does_nothing(void **state)
{
	struct kmm *k = shadow_machine(&machine, "viperdos", 8u << 20, 1);
	struct kmm_cache *c = cache(k, 4000, 0);
	void *p[100];
	uint64_t held;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		p[i] = must_alloc(c);
	held = frames_held(k);
	for (unsigned i = 0; i < 100; i++)
		must_free(c, p[i]);
	assert_int_equal(kmm_object_reclaim(k), 0);
	assert_int_equal(frames_held(k), held);
	shadow_stop(&machine);
}

static void object_teardown_with_caches_left_returns_all_frames(void **state)
{
	static const char *const presets[] = { "pagemill", "viperdos", "neo", "veridian" };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct kmm *k = shadow_machine(&machine, presets[i], 8u << 20, 2);
		struct kmm_cache *c = cache(k, 700, 0);
		void *p[50];

		for (unsigned cpu = 2; cpu-- > 0;) {
			shadow_move(&machine, cpu);
			for (unsigned j = 0; j < 50; j++)
				p[j] = must_alloc(c);
			for (unsigned j = 0; j < 50; j++)
				must_free(c, p[j]);
		}
		shadow_stop(&machine);
	}
}

static void object_leak_shows_at_teardown(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 8u << 20, 1);
	struct kmm_cache *c = cache(k, 64, 0);

	(void)state;
	(void)must_alloc(c);
	assert_int_equal(threads_stop(&machine), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(object_bad_arguments_refused),
		cmocka_unit_test(object_random_work_matches_reference),
		cmocka_unit_test(object_random_work_in_scarce_memory_matches_reference),
		cmocka_unit_test(object_double_free_refused),
		cmocka_unit_test(object_foreign_pointer_refused),
		cmocka_unit_test(object_slab_frame_freed_as_frame_refused),
		cmocka_unit_test(object_destroy_while_out_is_busy),
		cmocka_unit_test(object_cache_past_the_limit_refused),
		cmocka_unit_test(object_constructed_state_is_kept),
		cmocka_unit_test(object_injected_failure_leaves_state),
		cmocka_unit_test(object_create_without_memory_leaves_state),
		cmocka_unit_test(object_full_memory_fails_then_recovers),
		cmocka_unit_test(object_reclaim_returns_empty_slabs),
		cmocka_unit_test(object_reclaim_without_the_preset_does_nothing),
		cmocka_unit_test(object_teardown_with_caches_left_returns_all_frames),
		cmocka_unit_test(object_leak_shows_at_teardown),
	};

	return cmocka_run_group_tests_name("object", tests, NULL, NULL);
}
