/// Slabs from inside: their shape, the check of damage planted in them, and
/// objects that wander between CPUs.
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

/* --- shape --- */

static void check_layout(const struct slab_layout *l, size_t bytes, size_t align)
{
	uint64_t block = KMM_PAGE_BYTES << l->order;
	uint64_t header = l->apart ? 0 : sizeof(struct slab) + l->n;
	uint64_t stride = (bytes + align - 1u) & ~(uint64_t)(align - 1u);

	assert_true(l->n >= 1 && l->n <= SLAB_OBJECTS_MAX);
	assert_true(!l->apart || l->n <= SLAB_APART_OBJECTS_MAX);
	assert_true(l->first_bytes >= header && l->first_bytes % align == 0);
	assert_true(l->first_bytes + l->n * stride <= block);
	assert_true(l->apart || l->n == SLAB_OBJECTS_MAX ||
		    l->first_bytes + (l->n + 1u) * stride + 1u + align > block);
}

static void slab_any_size_and_align_has_sound_layout(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 4u << 20, 1);

	(void)state;
	for (size_t align = 8; align <= 4096; align *= 2)
		for (size_t bytes = 1; bytes <= 16384; bytes += bytes < 600 ? 1 : 311) {
			struct kmm_cache c;

			slab_cache_init(k, &c, "shape", bytes, align, NULL);
			check_layout(&c.layout[0], bytes, align);
			check_layout(&c.layout[1], bytes, align);
			assert_true(c.layout[1].order <= c.layout[0].order);
		}
	shadow_stop(&machine);
}

static void slab_inverse_divides_exactly(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 4u << 20, 1);

	(void)state;
	for (uint32_t stride = 8; stride <= 16384; stride += 8) {
		struct kmm_cache c;
		uint64_t end = KMM_PAGE_BYTES << SLAB_ORDER_MAX;

		slab_cache_init(k, &c, "inverse", stride, 8, NULL);
		for (uint64_t at = 0; at < end; at += stride) {
			assert_int_equal(at * c.inverse >> SLAB_INVERSE_LG2, at / stride);
			assert_int_equal((at + stride - 1u) * c.inverse >> SLAB_INVERSE_LG2,
					 at / stride);
		}
	}
	shadow_stop(&machine);
}

/* --- the checker itself --- */

static void slab_check_sees_planted_damage(void **state)
{
	struct kmm *k = shadow_machine(&machine, "neo", 4u << 20, 1);
	struct kmm_cache *c = cache(k, 64, 0);
	char *kept = must_alloc(c), *gone = must_alloc(c);
	struct slab *s = slab_of(k, kept);
	uint8_t *states = (uint8_t *)(s + 1);

	(void)state;
	must_free(c, gone);
	assert_int_equal(kmm_object_check(k), KMM_OK);
	s->free_n++;
	assert_int_equal(kmm_object_check(k), KMM_ECORRUPT);
	s->free_n--;
	s->free[0] ^= 1u << 5;
	assert_int_equal(kmm_object_check(k), KMM_ECORRUPT);
	s->free[0] ^= 1u << 5;
	states[5] = OBJECT_OUT;
	assert_int_equal(kmm_object_check(k), KMM_ECORRUPT);
	states[5] = OBJECT_IN;
	c->taken_n++;
	assert_int_equal(kmm_object_check(k), KMM_ECORRUPT);
	c->taken_n--;
	k->entry[s->pfn.n - k->entry_base].flags++;
	assert_int_equal(kmm_object_check(k), KMM_ECORRUPT);
	k->entry[s->pfn.n - k->entry_base].flags--;
#if KMM_CONFIG_ASSERT >= 2
	gone[63] ^= 1;
	assert_int_equal(kmm_object_check(k), KMM_ECORRUPT);
	gone[63] ^= 1;
#endif
	must_free(c, kept);
	shadow_stop(&machine);
}

/* --- two CPUs --- */

#define RING 64u
#define HANDED 40000u

struct ring {
	struct kmm_cache *c;
	void *slot[RING];
	unsigned in, out; /* __atomic */
};

static void *free_what_comes(void *arg)
{
	struct ring *r = arg;

	threads_enter(&machine, 1);
	for (unsigned i = 0; i < HANDED; i++) {
		unsigned char *p;

		while (__atomic_load_n(&r->in, __ATOMIC_ACQUIRE) == i)
			kmm_port_relax(machine.kmm);
		p = r->slot[i % RING];
		if (p[0] != (unsigned char)i || p[99] != (unsigned char)(i + 1) ||
		    kmm_cache_free(r->c, p) != KMM_OK)
			abort();
		__atomic_store_n(&r->out, i + 1, __ATOMIC_RELEASE);
	}
	threads_leave(&machine, 1);
	return NULL;
}

static void slab_freed_on_another_cpu_comes_back(void **state)
{
	struct kmm *k = shadow_machine(&machine, "pagemill", 8u << 20, 2);
	struct ring r = { .c = cache(k, 100, 0) };
	pthread_t other;

	(void)state;
	pthread_create(&other, NULL, free_what_comes, &r);
	for (unsigned i = 0; i < HANDED; i++) {
		unsigned char *p = must_alloc(r.c);

		p[0] = (unsigned char)i;
		p[99] = (unsigned char)(i + 1);
		while (i - __atomic_load_n(&r.out, __ATOMIC_ACQUIRE) >= RING)
			kmm_port_relax(k);
		r.slot[i % RING] = p;
		__atomic_store_n(&r.in, i + 1, __ATOMIC_RELEASE);
	}
	pthread_join(other, NULL);
	assert_true(frames_held(k) < 100);
	assert_int_equal(kmm_cache_destroy(r.c), KMM_OK);
	shadow_stop(&machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slab_any_size_and_align_has_sound_layout),
		cmocka_unit_test(slab_inverse_divides_exactly),
		cmocka_unit_test(slab_check_sees_planted_damage),
		cmocka_unit_test(slab_freed_on_another_cpu_comes_back),
	};

	return cmocka_run_group_tests_name("slab", tests, NULL, NULL);
}
