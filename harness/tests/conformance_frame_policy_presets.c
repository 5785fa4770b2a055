/// Every preset, as it is and with each frame policy, through the public API.
#include "frame_fixture.h"

#include <stdio.h>

#define BASE 0x1003ull
#define FRAMES_N 1500u
#define BLOCKS_MAX 600u

static const char *const presets[] = { "viperdos", "veridian", "neo", "pagemill" };

#define PRESETS_N (sizeof(presets) / sizeof(presets[0]))
#define NAMES_N (PRESETS_N * (KMM_FRAME_POLICY_N + 1u))

/// Name i: a preset, or one "+" a policy.
static const char *preset_name(unsigned i)
{
	static char text[64];
	const char *policy = kmm_frame_policy_id_name((enum kmm_frame_policy_id)(i / PRESETS_N));

	if (i >= NAMES_N)
		return NULL;
	snprintf(text, sizeof(text), "%s%s%s", presets[i % PRESETS_N], policy ? "+" : "",
		 policy ? policy : "");
	return text;
}

#define EACH_PRESET(name) \
	for (unsigned i_ = 0; i_ < NAMES_N; i_++) \
		for (const char *name = preset_name(i_); name != NULL; name = NULL)

/// Every preset: what a caller does wrong is refused and changes nothing.
static void preset_wrong_frees_are_refused(void **state)
{
	static const struct fixture_range r[] = {
		{ 0x1003, 700, KMM_MEM_USABLE },
		{ 0x1100, 9, KMM_MEM_RESERVED },
	};
	struct kmm_frame_stats before, after;
	struct threads_machine m;

	(void)state;
	EACH_PRESET(name) {
		struct kmm *k = fixture_start(&m, name, 2, r, 2);

		for (unsigned order = 0; order <= 7; order++) {
			struct kmm_pfn f, tail, out = { 0x1002 }, hole = { 0x1104 };

			assert_int_equal(kmm_frame_alloc(k, order, 0, &f), KMM_OK);
			kmm_frame_stats(k, &before);
			for (unsigned wrong = 0; wrong <= KMM_ORDER_MAX; wrong++)
				if (wrong != order)
					assert_int_equal(kmm_frame_free(k, f, wrong),
							 KMM_EWRONGORDER);
			for (tail.n = f.n + 1; tail.n < f.n + (1u << order); tail.n++)
				assert_int_equal(kmm_frame_free(k, tail, 0), KMM_EDOUBLEFREE);
			assert_int_equal(kmm_frame_free(k, f, KMM_ORDER_MAX + 1), KMM_EINVAL);
			assert_int_equal(kmm_frame_free(k, out, 0), KMM_EINVAL);
			out.n = 0x1003 + 700;
			assert_int_equal(kmm_frame_free(k, out, 0), KMM_EINVAL);
			assert_int_equal(kmm_frame_free(k, hole, 0), KMM_EDOUBLEFREE);
			kmm_frame_stats(k, &after);
			assert_memory_equal(&before, &after, sizeof(before));
			assert_int_equal(kmm_frame_free(k, f, order), KMM_OK);
			assert_int_equal(kmm_frame_free(k, f, order), KMM_EDOUBLEFREE);
			kmm_frame_drain(k);
			assert_int_equal(kmm_frame_free(k, f, order), KMM_EDOUBLEFREE);
			assert_int_equal(kmm_frame_check(k), KMM_OK);
		}
		assert_int_equal(threads_stop(&m), 0);
	}
}

/* ---- a life against a map ---- */

struct life {
	struct threads_machine m;
	struct kmm *k;
	const char *name;
	uint8_t owned[FRAMES_N]; /* a frame is part of a block */
	unsigned blocks_n;
	struct {
		struct kmm_pfn pfn;
		unsigned order;
	} block[BLOCKS_MAX];
	uint64_t seed;
};

static const struct fixture_range with_holes[] = {
	{ BASE, FRAMES_N, KMM_MEM_USABLE },
	{ BASE + 100, 30, KMM_MEM_RESERVED },
	{ BASE + 777, 1, KMM_MEM_KERNEL },
};

static bool is_hole(uint64_t i)
{
	return (i >= 100 && i < 130) || i == 777;
}

static uint64_t draw(struct life *l, uint64_t n)
{
	l->seed ^= l->seed << 13;
	l->seed ^= l->seed >> 7;
	l->seed ^= l->seed << 17;
	return (l->seed >> 8) % n;
}

static bool is_zero(const unsigned char *at, uint64_t bytes)
{
	return at[0] == 0 && memcmp(at, at + 1, bytes - 1u) == 0;
}

static bool life_alloc(struct life *l, unsigned order, unsigned flags)
{
	struct kmm_pfn pfn;
	uint64_t size = 1ull << order;
	unsigned char *at;

	if (l->blocks_n == BLOCKS_MAX || kmm_frame_alloc(l->k, order, flags, &pfn) != KMM_OK)
		return false;
	assert_true(bits_aligned(pfn.n, size));
	for (uint64_t i = pfn.n - BASE; i < pfn.n - BASE + size; i++) {
		if (i >= FRAMES_N || is_hole(i) || l->owned[i])
			fail_msg("%s: frame 0x%jx handed out wrongly", l->name,
				 (uintmax_t)(BASE + i));
		l->owned[i] = 1;
	}
	at = kmm_frame_virt(l->k, pfn);
	if ((flags & KMM_FRAME_ZERO) && !is_zero(at, size << KMM_PAGE_LG2))
		fail_msg("%s: frame 0x%jx isn't zeroed", l->name, (uintmax_t)pfn.n);
	at[draw(l, size << KMM_PAGE_LG2)] = 0xa5;
	l->block[l->blocks_n].pfn = pfn;
	l->block[l->blocks_n++].order = order;
	return true;
}

static void life_free(struct life *l, unsigned i)
{
	struct kmm_pfn pfn = l->block[i].pfn;
	unsigned order = l->block[i].order;
	uint64_t size = 1ull << order;

	memset(&l->owned[pfn.n - BASE], 0, size);
	l->block[i] = l->block[--l->blocks_n];
	if (draw(l, 8) != 0) {
		assert_int_equal(kmm_frame_free(l->k, pfn, order), KMM_OK);
		return;
	}
	memset(kmm_frame_virt(l->k, pfn), 0, size << KMM_PAGE_LG2);
	assert_int_equal(kmm_frame_free_zeroed(l->k, pfn, order), KMM_OK);
}

static void life_steps(struct life *l, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		unsigned order = draw(l, 4) == 0 ? (unsigned)draw(l, 10) : (unsigned)draw(l, 3);
		unsigned flags = draw(l, 2) == 0 ? KMM_FRAME_MOVABLE : 0u;

		flags |= draw(l, 4) == 0 ? KMM_FRAME_ZERO : 0u;
		if (draw(l, 100) < 55 || l->blocks_n == 0)
			life_alloc(l, order, flags);
		else
			life_free(l, (unsigned)draw(l, l->blocks_n));
		if (i % 64 == 0)
			assert_int_equal(kmm_frame_check(l->k), KMM_OK);
	}
}

/// All that is free is there for the asking, once.
static void life_until_dry(struct life *l)
{
	struct kmm_frame_stats s;
	struct kmm_pfn pfn[FRAMES_N];
	unsigned n = 0;

	kmm_frame_stats(l->k, &s);
	while (n < FRAMES_N && kmm_frame_alloc(l->k, 0, 0, &pfn[n]) == KMM_OK)
		n++;
	/* A cache that is never drained gives its frames to its own group alone. */
	while (n < FRAMES_N && kmm_frame_alloc(l->k, 0, KMM_FRAME_MOVABLE, &pfn[n]) == KMM_OK)
		n++;
	if (n != s.free_n)
		fail_msg("%s: %u frames of %ju free ones", l->name, n, (uintmax_t)s.free_n);
	for (unsigned i = 0; i < n; i++) {
		uint64_t at = pfn[i].n - BASE;

		assert_true(at < FRAMES_N && !is_hole(at) && !l->owned[at]);
		l->owned[at] = 1;
	}
	for (unsigned i = 0; i < n; i++) {
		l->owned[pfn[i].n - BASE] = 0;
		assert_int_equal(kmm_frame_free(l->k, pfn[i], 0), KMM_OK);
	}
	assert_int_equal(kmm_frame_check(l->k), KMM_OK);
}

static void preset_life_matches_owner_map(void **state)
{
	struct life *l = calloc(1, sizeof(*l));

	(void)state;
	EACH_PRESET(name) {
		struct kmm_frame_stats s, begun;

		memset(l, 0, sizeof(*l));
		l->name = name;
		l->seed = 0x9e3779b97f4a7c15ull;
		l->k = fixture_start(&l->m, name, 2, with_holes, 3);
		kmm_frame_stats(l->k, &begun);
		assert_int_equal(begun.managed_n, FRAMES_N - 31u);
		life_steps(l, 2000);
		life_until_dry(l);
		while (l->blocks_n != 0)
			life_free(l, (unsigned)draw(l, l->blocks_n));
		life_until_dry(l);
		kmm_frame_drain(l->k);
		kmm_frame_stats(l->k, &s);
		assert_int_equal(s.free_n + s.reserve_n, begun.free_n + begun.reserve_n);
		assert_int_equal(kmm_frame_check(l->k), KMM_OK);
		assert_int_equal(threads_stop(&l->m), 0);
	}
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(preset_wrong_frees_are_refused),
		cmocka_unit_test(preset_life_matches_owner_map),
	};

	return cmocka_run_group_tests_name("conformance_frame_policy_presets", tests, NULL, NULL);
}
