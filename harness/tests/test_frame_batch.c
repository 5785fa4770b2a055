/// Frames by batch calls, and what moves many at once: runs of frames whose tags are
/// touched by the word, wrong frees among them, and batches of the per-CPU caches.
#include "frame_fixture.h"

#include "frame/cache.h"

#define FRAMES 1024u

static const struct fixture_range one[] = { { 0x1003, FRAMES, KMM_MEM_USABLE } };
static const char *const presets[] = {
	"viperdos", "veridian", "neo", "pagemill", "pagemill+buddy", "pagemill+bitmap",
};

#define EACH_PRESET(p) for (unsigned p = 0; p < sizeof(presets) / sizeof(presets[0]); p++)

static struct kmm *start(struct threads_machine *m, const char *preset)
{
	return fixture_start(m, preset, 2, one, 1);
}

static void frame_batch_gives_what_there_is(void **state)
{
	static struct kmm_pfn pfn[FRAMES + 10];
	struct threads_machine m;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = start(&m, presets[p]);
		uint64_t before = fixture_stats(k).free_n;

		for (unsigned order = 0; order <= 3; order++) {
			unsigned done = 0, n;

			n = kmm_frame_alloc_batch(k, order, 0, FRAMES + 10, pfn);
			assert_true(n != 0 && (uint64_t)n << order <= before);
			if (order == 0)
				assert_int_equal(n, before);
			assert_int_equal(kmm_frame_check(k), KMM_OK);
			assert_int_equal(kmm_frame_free_batch(k, order, n, pfn, &done), KMM_OK);
			assert_int_equal(done, n);
			assert_int_equal(fixture_stats(k).free_n, before);
		}
		assert_int_equal(kmm_frame_alloc_batch(k, 0, KMM_FRAME_ZERO, 100, pfn), 100);
		assert_int_equal(kmm_frame_free_batch(k, 0, 100, pfn, NULL), KMM_OK);
		fixture_stop(&m);
	}
}

static void frame_batch_free_stops_at_first_bad(void **state)
{
	struct threads_machine m;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = start(&m, presets[p]);
		uint64_t before = fixture_stats(k).free_n;

		for (unsigned order = 0; order <= 2; order++) {
			struct kmm_pfn pfn[100], keep[100];
			unsigned done = 99;

			assert_int_equal(kmm_frame_alloc_batch(k, order, 0, 100, pfn), 100);
			memcpy(keep, pfn, sizeof(keep));
			pfn[80] = pfn[3]; /* the same one twice */
			assert_int_equal(kmm_frame_free_batch(k, order, 100, pfn, &done),
					 KMM_EDOUBLEFREE);
			assert_int_equal(done, 80);
			assert_int_equal(kmm_frame_check(k), KMM_OK);
			assert_int_equal(before - fixture_stats(k).free_n, 20u << order);
			assert_int_equal(kmm_frame_free_batch(k, order, 20, keep + 80, NULL),
					 KMM_OK);
			assert_int_equal(fixture_stats(k).free_n, before);
		}
		fixture_stop(&m);
	}
}

/// All of memory, in rising order, whatever the policy gave first.
static struct kmm_pfn *take_all(struct kmm *k, unsigned *n)
{
	static struct kmm_pfn pfn[FRAMES], sorted[FRAMES];
	static bool has[FRAMES];
	unsigned at = 0;

	memset(has, 0, sizeof(has));
	*n = kmm_frame_alloc_batch(k, 0, 0, FRAMES, pfn);
	for (unsigned i = 0; i < *n; i++)
		has[pfn[i].n - one[0].start] = true;
	for (unsigned i = 0; i < FRAMES; i++)
		if (has[i])
			sorted[at++].n = one[0].start + i;
	assert_int_equal(at, *n);
	return sorted;
}

/// A frame that is free already, anywhere in a run that begins anywhere: those before it are
/// freed, it is named, those after it stay.
static void frame_batch_free_stops_inside_a_run(void **state)
{
	struct threads_machine m;
	struct kmm *k = start(&m, "pagemill");
	unsigned n, done;
	struct kmm_pfn *pfn = take_all(k, &n), again[FRAMES];

	(void)state;
	for (unsigned begin = 64; begin < 73; begin++) {
		for (unsigned bad = 0; bad < 30; bad++) {
			struct kmm_pfn *run = pfn + begin;

			assert_int_equal(run[29].n - run[0].n, 29);
			assert_int_equal(kmm_frame_free(k, run[bad], 0), KMM_OK);
			done = 99;
			assert_int_equal(kmm_frame_free_batch(k, 0, 30, run, &done),
					 KMM_EDOUBLEFREE);
			assert_int_equal(done, bad);
			for (unsigned i = 0; i < 30; i++)
				assert_int_equal(kmm_frame_is_allocated(k, run[i]), i > bad);
			/* What is free now is what was freed. */
			assert_int_equal(kmm_frame_alloc_batch(k, 0, 0, FRAMES, again), bad + 1);
		}
	}
	assert_int_equal(kmm_frame_free_batch(k, 0, n, pfn, &done), KMM_OK);
	fixture_stop(&m);
}

/// Movable and pinned frames side by side; another order, another owner's and none at all.
static void frame_batch_free_tells_tags_apart(void **state)
{
	struct threads_machine m;
	struct kmm *k = start(&m, "pagemill");
	unsigned n, done;
	struct kmm_pfn *pfn = take_all(k, &n), end = { one[0].start + FRAMES - 4u }, over[8];

	(void)state;
	for (unsigned i = 100; i < 164; i++) /* as if every third were movable */
		frame_tag_set(k, pfn[i], i % 3 == 0 ? FRAME_MOVABLE : FRAME_USED);
	assert_int_equal(kmm_frame_free_batch(k, 0, 64, pfn + 100, &done), KMM_OK);
	assert_int_equal(done, 64);
	frame_tag_set(k, pfn[210], FRAME_USED + 1u);
	assert_int_equal(kmm_frame_free_batch(k, 0, 64, pfn + 200, &done), KMM_EWRONGORDER);
	assert_int_equal(done, 10);
	frame_tag_set(k, pfn[210], FRAME_USED);
	frame_entry(k, pfn[220])->order = 0;
	frame_tag_set(k, pfn[220], FRAME_TABLE);
	assert_int_equal(kmm_frame_free_batch(k, 0, 54, pfn + 210, &done), KMM_EBUSY);
	assert_int_equal(done, 10);
	frame_tag_set(k, pfn[220], FRAME_USED);
	for (unsigned i = 0; i < 8; i++) /* four of them past the end of memory */
		over[i].n = end.n + i;
	assert_int_equal(kmm_frame_free_batch(k, 0, 8, over, &done), KMM_EINVAL);
	assert_int_equal(done, 4);
	assert_int_equal(kmm_frame_free_batch(k, 0, 100, pfn, NULL), KMM_OK);
	assert_int_equal(kmm_frame_free_batch(k, 0, 36, pfn + 164, NULL), KMM_OK);
	assert_int_equal(kmm_frame_free_batch(k, 0, n - 220, pfn + 220, &done), KMM_EDOUBLEFREE);
	assert_int_equal(done, n - 224);
	fixture_stop(&m);
}

/// Which refills, of a CPU that allocates n frames one by one.
static uint64_t refills_of(struct kmm *k, unsigned n, struct kmm_pfn *pfn)
{
	uint64_t before = fixture_stats(k).refill_n;

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(kmm_frame_alloc(k, 0, 0, &pfn[i]), KMM_OK);
	return fixture_stats(k).refill_n - before;
}

/// A CPU that only allocates, or only frees, goes to the policy ever more seldom; one that
/// does both moves the usual batch.
static void frame_batches_of_caches_grow_one_way(void **state)
{
	enum { MANY = 16384u, PART = 4096u };
	static struct kmm_pfn pfn[MANY];
	const struct fixture_range large = { 0x4000, 8u * MANY, KMM_MEM_USABLE };
	struct threads_machine m;
	struct kmm *k = fixture_start(&m, "pagemill", 2, &large, 1);
	uint64_t first = refills_of(k, PART, pfn), then = refills_of(k, PART, pfn + PART), drains;
	const struct magazine *cache = &kmm_cpu_at(k, 0)->frame->magazine[MAGAZINE_PINNED];

	(void)state;
	assert_int_equal(cache->size, cache->max);
	assert_true(then < first);
	assert_in_range(then, PART / cache->max, 3u * PART / cache->max);
	drains = fixture_stats(k).drain_n;
	for (unsigned i = 0; i < PART; i++)
		assert_int_equal(kmm_frame_free(k, pfn[i], 0), KMM_OK);
	first = fixture_stats(k).drain_n - drains;
	for (unsigned i = PART; i < 2u * PART; i++)
		assert_int_equal(kmm_frame_free(k, pfn[i], 0), KMM_OK);
	then = fixture_stats(k).drain_n - drains - first;
	assert_true(then <= first);
	assert_in_range(then, PART / cache->max, 3u * PART / cache->max);
	(void)refills_of(k, cache->max + 1u, pfn);
	assert_in_range(cache->n, 1, cache->batch);
	for (unsigned i = 0; i <= cache->max; i++)
		assert_int_equal(kmm_frame_free(k, pfn[i], 0), KMM_OK);
	fixture_stop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frame_batch_gives_what_there_is),
		cmocka_unit_test(frame_batch_free_stops_at_first_bad),
		cmocka_unit_test(frame_batch_free_stops_inside_a_run),
		cmocka_unit_test(frame_batch_free_tells_tags_apart),
		cmocka_unit_test(frame_batches_of_caches_grow_one_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
