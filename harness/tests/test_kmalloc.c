/// kmalloc: size classes, large objects, realloc, calloc, wrong frees.
#include "object_shadow.h"

#include "object/kmalloc.h"

#define LARGE_MAX (4u << 20)

static struct threads_machine machine;

static void *must_alloc(struct kmm *k, size_t bytes)
{
	void *p = kmm_alloc(k, bytes);

	assert_non_null(p);
	return p;
}

static void must_free(struct kmm *k, void *p)
{
	assert_int_equal(kmm_free(k, p), KMM_OK);
}

static uint64_t live(struct kmm *k)
{
	struct kmm_object_stats s;

	kmm_object_stats(k, &s);
	return s.live_n;
}

/* --- classes --- */

static void kmalloc_each_size_gets_the_smallest_class(void **state)
{
	(void)state;
	assert_int_equal(kmalloc_class_bytes(0), 16);
	assert_int_equal(kmalloc_class_bytes(KMALLOC_CLASSES - 1u), KMALLOC_MAX_BYTES);
	for (size_t bytes = 1; bytes <= KMALLOC_MAX_BYTES; bytes++) {
		unsigned class = kmalloc_class(bytes);

		assert_true(class < KMALLOC_CLASSES);
		assert_true(kmalloc_class_bytes(class) >= bytes);
		assert_true(class == 0 || kmalloc_class_bytes(class - 1u) < bytes);
	}
}

static void kmalloc_each_size_is_usable_and_aligned(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 64u << 20, 1);

	(void)state;
	for (size_t bytes = 1; bytes <= LARGE_MAX; bytes += 1u + bytes / 37u) {
		char *p = must_alloc(k, bytes);

		assert_int_equal((uintptr_t)p % 16u, 0);
		assert_true(kmm_usable_bytes(k, p) >= bytes);
		p[0] = 1;
		p[kmm_usable_bytes(k, p) - 1u] = 1;
		must_free(k, p);
		assert_int_equal(kmm_usable_bytes(k, p), 0);
	}
	shadow_stop(&machine);
}

static void kmalloc_limits_are_kept(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 64u << 20, 1);
	void *p;

	(void)state;
	assert_null(kmm_alloc(k, 0));
	assert_null(kmm_alloc(k, LARGE_MAX + 1u));
	assert_null(kmm_alloc(k, SIZE_MAX));
	p = must_alloc(k, LARGE_MAX);
	must_free(k, p);
	assert_int_equal(kmm_free(k, NULL), KMM_OK);
	assert_int_equal(live(k), 0);
	shadow_stop(&machine);
}

/* --- random work against the reference --- */

static size_t random_bytes(struct shadow *s)
{
	uint64_t r = shadow_random(s);

	if (r % 64u == 0)
		return 16385u + (r >> 8) % 100000u;
	return 1u + (r >> 8) % (16u << (r >> 40) % 11u);
}

static void step_new(struct kmm *k, struct shadow *s, unsigned i)
{
	size_t bytes = random_bytes(s);
	bool zeroed = shadow_random(s) & 1u;
	unsigned char *p = zeroed ? kmm_calloc(k, 1, bytes) : kmm_alloc(k, bytes);

	if (!p)
		return;
	for (size_t j = 0; zeroed && j < bytes; j++)
		assert_int_equal(p[j], 0);
	/* all that is usable is used: an overrun of a neighbour would show */
	shadow_add(s, i, p, kmm_usable_bytes(k, p));
}

static void step_realloc(struct kmm *k, struct shadow *s, unsigned i)
{
	struct shadow_block old = s->block[i];
	size_t bytes = random_bytes(s);
	unsigned char *p = kmm_realloc(k, old.at, bytes);

	if (!p) {
		shadow_verify(&old, old.bytes);
		assert_int_equal(kmm_usable_bytes(k, old.at), old.bytes);
		return;
	}
	s->block[i].at = NULL;
	s->live_n--;
	old.at = p;
	shadow_verify(&old, bytes < old.bytes ? bytes : old.bytes);
	assert_true(kmm_usable_bytes(k, p) >= bytes);
	shadow_add(s, i, p, kmm_usable_bytes(k, p));
}

static void random_work(const char *preset, uint64_t memory, uint64_t seed)
{
	struct kmm *k = shadow_machine(&machine, preset, memory, 3);
	struct shadow s;

	shadow_init(&s, seed);
	for (unsigned round = 0; round < 30; round++) {
		shadow_move(&machine, (unsigned)(shadow_random(&s) % 3u));
		for (unsigned n = 0; n < 150; n++) {
			unsigned i = (unsigned)(shadow_random(&s) % SHADOW_BLOCKS);

			if (!s.block[i].at)
				step_new(k, &s, i);
			else if (shadow_random(&s) % 3u == 0)
				step_realloc(k, &s, i);
			else
				must_free(k, shadow_take(&s, i));
		}
		if (round % 7u == 0)
			(void)kmm_object_reclaim(k);
		assert_int_equal(kmm_check(k), KMM_OK);
		assert_int_equal(live(k), s.live_n);
	}
	for (unsigned i = 0; i < SHADOW_BLOCKS; i++)
		if (s.block[i].at)
			must_free(k, shadow_take(&s, i));
	shadow_move(&machine, 0);
	shadow_stop(&machine);
}

static void kmalloc_random_work_matches_reference(void **state)
{
	(void)state;
	random_work("pagemill", 64u << 20, 1);
	random_work("viperdos", 64u << 20, 2);
	random_work("neo", 64u << 20, 3);
}

static void kmalloc_random_work_in_scarce_memory_matches_reference(void **state)
{
	(void)state;
	for (uint64_t seed = 20; seed < 24; seed++) {
		random_work("pagemill", 1u << 20, seed);
		random_work("viperdos", 700u << 10, seed);
		random_work("veridian", 500u << 10, seed);
	}
}

/* --- wrong frees --- */

static void kmalloc_double_free_refused(void **state)
{
	static const char *const presets[] = { "pagemill", "viperdos", "neo" };
	static const size_t sizes[] = { 1, 64, 1000, 4096, 16384, 16385, 70000, LARGE_MAX };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct kmm *k = shadow_machine(&machine, presets[i], 64u << 20, 1);

		for (unsigned j = 0; j < 8; j++) {
			void *p = must_alloc(k, sizes[j]);

			must_free(k, p);
			assert_int_equal(kmm_free(k, p), KMM_EDOUBLEFREE);
			assert_int_equal(kmm_usable_bytes(k, p), 0);
			assert_null(kmm_realloc(k, p, 8));
			assert_int_equal(kmm_check(k), KMM_OK);
		}
		shadow_stop(&machine);
	}
}

static void kmalloc_interior_pointer_refused(void **state)
{
	static const size_t sizes[] = { 16, 48, 500, 4096, 12288, 20000, 1u << 20 };
	struct kmm *k = shadow_machine(&machine, "pagemill", 64u << 20, 1);

	(void)state;
	for (unsigned i = 0; i < 7; i++) {
		char *p = must_alloc(k, sizes[i]);

		for (size_t at = 1; at < sizes[i]; at += 1u + at / 29u) {
			assert_int_equal(kmm_free(k, p + at), KMM_EINVAL);
			assert_int_equal(kmm_usable_bytes(k, p + at), 0);
		}
		if (sizes[i] > 4096) {
			assert_int_equal(kmm_free(k, p + 4096), KMM_EINVAL);
			assert_int_equal(kmm_usable_bytes(k, p + 4096), 0);
		}
		must_free(k, p);
	}
	shadow_stop(&machine);
}

static void kmalloc_foreign_pointer_refused(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 8u << 20, 1);
	struct kmm_pfn pfn;
	char local[64];

	(void)state;
	assert_int_equal(kmm_frame_alloc(k, 2, 0, &pfn), KMM_OK);
	assert_int_equal(kmm_free(k, local), KMM_EINVAL);
	assert_int_equal(kmm_free(k, &machine), KMM_EINVAL);
	assert_int_equal(kmm_free(k, (void *)(uintptr_t)-16), KMM_EINVAL);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(kmm_free(k, (char *)kmm_frame_virt(k, pfn) + i * 4096u),
				 KMM_EINVAL);
	assert_int_equal(kmm_usable_bytes(k, kmm_frame_virt(k, pfn)), 0);
	assert_int_equal(kmm_usable_bytes(k, local), 0);
	assert_null(kmm_realloc(k, local, 100));
	assert_int_equal(kmm_frame_free(k, pfn, 2), KMM_OK);
	shadow_stop(&machine);
}

static void kmalloc_large_freed_as_frame_refused(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 8u << 20, 1);
	void *p = must_alloc(k, 32768);
	struct kmm_pfn pfn = kmm_pa_to_pfn(kmm_port_phys(k, p));

	(void)state;
	assert_int_equal(kmm_frame_free(k, pfn, 3), KMM_EBUSY);
	must_free(k, p);
	shadow_stop(&machine);
}

/* --- calloc, realloc --- */

static void kmalloc_calloc_overflow_refused(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 8u << 20, 1);

	(void)state;
	assert_null(kmm_calloc(k, SIZE_MAX / 2u + 1u, 2));
	assert_null(kmm_calloc(k, (size_t)1 << 33, ((size_t)1 << 31) + 1u));
	assert_null(kmm_calloc(k, SIZE_MAX, SIZE_MAX));
	assert_null(kmm_calloc(k, 0, 8));
	shadow_stop(&machine);
}

static void kmalloc_calloc_of_dirty_memory_is_zero(void **state)
{
	static const size_t sizes[] = { 24, 4096, 40000 };
	struct kmm *k = shadow_machine(&machine, "pagemill", 8u << 20, 1);

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned round = 0; round < 3; round++) {
			unsigned char *p = must_alloc(k, sizes[i]), *q;

			memset(p, 0xff, sizes[i]);
			must_free(k, p);
			q = kmm_calloc(k, sizes[i] / 8u, 8);
			assert_non_null(q);
			for (size_t j = 0; j < sizes[i] / 8u * 8u; j++)
				assert_int_equal(q[j], 0);
			must_free(k, q);
		}
	shadow_stop(&machine);
}

static void kmalloc_realloc_of_null_allocates(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 8u << 20, 1);
	void *p = kmm_realloc(k, NULL, 100);

	(void)state;
	assert_non_null(p);
	assert_null(kmm_realloc(k, p, 0));
	assert_int_equal(live(k), 1);
	must_free(k, p);
	shadow_stop(&machine);
}

static void kmalloc_realloc_without_memory_keeps_the_block(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 2u << 20, 1);
	struct shadow_block b = { must_alloc(k, 32768), 32768, 9 };
	struct kmm_pfn pfn[512];
	unsigned n = 0;

	(void)state;
	shadow_fill(&b);
	while (n < 512 && kmm_frame_alloc(k, 0, 0, &pfn[n]) == KMM_OK)
		n++;
	assert_null(kmm_realloc(k, b.at, 65536));
	shadow_verify(&b, b.bytes);
	/* smaller needs no memory */
	assert_ptr_equal(kmm_realloc(k, b.at, 100), b.at);
	shadow_verify(&b, b.bytes);
	assert_int_equal(kmm_usable_bytes(k, b.at), 32768);
	while (n > 0)
		assert_int_equal(kmm_frame_free(k, pfn[--n], 0), KMM_OK);
	must_free(k, b.at);
	shadow_stop(&machine);
}

/* --- failure and teardown --- */

/// One of everything, kept in p. Returns: how many succeeded
static unsigned work(struct kmm *k, void *p[5])
{
	unsigned n = 0;
	void *moved;

	p[n] = kmm_alloc(k, 40);
	n += p[n] != NULL;
	p[n] = kmm_calloc(k, 3, 1000);
	n += p[n] != NULL;
	p[n] = kmm_alloc(k, 50000);
	n += p[n] != NULL;
	p[n] = kmm_realloc(k, NULL, 9000);
	n += p[n] != NULL;
	if (n == 4) {
		moved = kmm_realloc(k, p[0], 100000);
		p[0] = moved ? moved : p[0];
	}
	return n;
}

static void kmalloc_each_injected_failure_leaves_state(void **state)
{
	static const enum kmm_fail_class classes[] = { KMM_FAIL_OBJECT, KMM_FAIL_FRAME };
	static const unsigned fires[] = { 5, 5 }; /* attempts that work makes at least */

	(void)state;
	for (unsigned c = 0; c < 2; c++)
		for (uint32_t nth = 1;; nth++) {
			struct kmm *k = shadow_machine(&machine, "pagemill", 16u << 20, 1);
			void *p[5];
			unsigned n;
			bool fired;

			assert_int_equal(kmm_fail_arm(k, classes[c], nth), KMM_OK);
			n = work(k, p);
			fired = kmm_fail_disarm(k);
			assert_int_equal(kmm_check(k), KMM_OK);
			assert_int_equal(live(k), n);
			while (n > 0)
				must_free(k, p[--n]);
			assert_int_equal(live(k), 0);
			shadow_stop(&machine);
			if (!fired) {
				assert_true(nth > fires[c]);
				break;
			}
		}
}

static void kmalloc_teardown_returns_all_frames(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 64u << 20, 4);
	void *p[100];

	(void)state;
	for (unsigned cpu = 0; cpu < 4; cpu++) {
		shadow_move(&machine, cpu);
		for (unsigned i = 0; i < 100; i++)
			p[i] = must_alloc(k, 1u + i * 163u);
		shadow_move(&machine, (cpu + 1u) % 4u);
		for (unsigned i = 0; i < 100; i++)
			must_free(k, p[i]);
	}
	shadow_stop(&machine);
}

static void kmalloc_leak_shows_at_teardown(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 8u << 20, 1);

	(void)state;
	(void)must_alloc(k, 100000);
	assert_int_equal(threads_stop(&machine), 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kmalloc_each_size_gets_the_smallest_class),
		cmocka_unit_test(kmalloc_each_size_is_usable_and_aligned),
		cmocka_unit_test(kmalloc_limits_are_kept),
		cmocka_unit_test(kmalloc_random_work_matches_reference),
		cmocka_unit_test(kmalloc_random_work_in_scarce_memory_matches_reference),
		cmocka_unit_test(kmalloc_double_free_refused),
		cmocka_unit_test(kmalloc_interior_pointer_refused),
		cmocka_unit_test(kmalloc_foreign_pointer_refused),
		cmocka_unit_test(kmalloc_large_freed_as_frame_refused),
		cmocka_unit_test(kmalloc_calloc_overflow_refused),
		cmocka_unit_test(kmalloc_calloc_of_dirty_memory_is_zero),
		cmocka_unit_test(kmalloc_realloc_of_null_allocates),
		cmocka_unit_test(kmalloc_realloc_without_memory_keeps_the_block),
		cmocka_unit_test(kmalloc_each_injected_failure_leaves_state),
		cmocka_unit_test(kmalloc_teardown_returns_all_frames),
		cmocka_unit_test(kmalloc_leak_shows_at_teardown),
	};

	return cmocka_run_group_tests_name("kmalloc", tests, NULL, NULL);
}
