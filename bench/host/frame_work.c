/// Frame workloads, after LLFree (Wrenger et al., USENIX ATC 2023): repeat, bulk,
/// rand, churn and burst on simulated memory whose contents are never touched.
#include <stdlib.h>
#include <sys/mman.h>

#include "workload.h"

/// Frames are held as 32-bit numbers: the driver's own footprint shall not hide
/// the allocator's.
static inline uint32_t get(struct kmm *k)
{
	struct kmm_pfn f = { 0 };

	must(kmm_frame_alloc(k, 0, 0, &f), "get");
	return (uint32_t)f.n;
}

static inline void put(struct kmm *k, uint32_t f)
{
	must(kmm_frame_free(k, (struct kmm_pfn){ f }, 0), "put");
}

static void fill(struct work *w, uint64_t n)
{
	uint64_t bytes = w->frames_n * sizeof(*w->held);

	/* Large pages, so that the driver's own misses don't drown the allocator's. */
	if (posix_memalign((void **)&w->held, 2u << 20, bytes) != 0)
		work_failed("no memory for the frames held");
	madvise(w->held, bytes, MADV_HUGEPAGE);
	for (w->held_n = 0; w->held_n < n; w->held_n++)
		w->held[w->held_n] = get(w->machine.kmm);
}

static void shuffle(struct work *w)
{
	for (uint64_t i = w->held_n; i > 1; i--) {
		uint64_t j = random_below(&w->seed, i);
		uint32_t t = w->held[i - 1];

		w->held[i - 1] = w->held[j];
		w->held[j] = t;
	}
}

void frame_fill_half(struct work *w)
{
	fill(w, w->frames_n / 2);
}

void frame_fill_90(struct work *w)
{
	fill(w, w->frames_n / 10 * 9);
	shuffle(w);
}

void frame_empty(struct work *w)
{
	while (w->held_n > 0)
		put(w->machine.kmm, w->held[--w->held_n]);
	free(w->held);
}

static void pairs(struct work *w, unsigned order, uint64_t n)
{
	struct kmm *k = w->machine.kmm;
	struct kmm_pfn f = { 0 };

	for (uint64_t i = 0; i < n; i++) {
		TIMED(w, must(kmm_frame_alloc(k, order, 0, &f), "get"));
		must(kmm_frame_free(k, f, order), "put");
	}
}

void frame_repeat(struct work *w, uint64_t n)
{
	pairs(w, 0, n);
}

void frame_repeat_o9(struct work *w, uint64_t n)
{
	pairs(w, 9, n);
}

/// Frees k frames from the end of a shuffled array and allocates k, k uniform in
/// 1..1024. n counts pairs.
void frame_burst(struct work *w, uint64_t n)
{
	struct kmm *k = w->machine.kmm;

	for (uint64_t done = 0; done < n;) {
		uint64_t burst = random_below(&w->seed, 1024) + 1u;
		uint64_t at = random_below(&w->seed, w->held_n - burst);

		for (uint64_t i = 0; i < burst; i++)
			put(k, w->held[at + i]);
		for (uint64_t i = 0; i < burst; i++)
			TIMED(w, w->held[at + i] = get(k));
		done += burst;
	}
}

/// Puts a random frame and gets one. The driver's state stays in registers.
void frame_churn(struct work *w, uint64_t n)
{
	struct kmm *k = w->machine.kmm;
	uint32_t *held = w->held;
	uint64_t seed = w->seed, held_n = w->held_n;

	for (uint64_t i = 0; i < n; i++) {
		uint32_t *f = &held[random_below(&seed, held_n)];

		put(k, *f);
		TIMED(w, *f = get(k));
	}
	w->seed = seed;
}

/// Empties the half that is held, then gets it again, n frames in all.
static void puts_and_gets(struct work *w, uint64_t n)
{
	struct kmm *k = w->machine.kmm;

	for (uint64_t left = n; left > 0;) {
		uint64_t part = left < w->held_n ? left : w->held_n;

		for (uint64_t i = 0; i < part; i++)
			put(k, w->held[w->held_n - 1u - i]);
		for (uint64_t i = 0; i < part; i++)
			TIMED(w, w->held[w->held_n - part + i] = get(k));
		left -= part;
	}
}

void frame_bulk(struct work *w, uint64_t n)
{
	puts_and_gets(w, n);
}

void frame_rand(struct work *w, uint64_t n)
{
	if (w->cursor++ == 0)
		shuffle(w);
	puts_and_gets(w, n);
}
