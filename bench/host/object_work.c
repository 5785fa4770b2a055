/// Object workloads: tight, batch and replace, as allocator comparisons use them.
#include <stdlib.h>

#include "workload.h"

enum { BATCH = 1000, SLOTS = 4096, REPLACE_MIN = 8, REPLACE_MAX = 2048 };

void object_setup(struct work *w)
{
	w->object = calloc(SLOTS, sizeof(*w->object));
	if (!w->object)
		work_failed("no memory for object slots");
}

void object_teardown_slots(struct work *w)
{
	for (unsigned i = 0; i < SLOTS; i++)
		must(kmm_free(w->machine.kmm, w->object[i]), "free of what is left");
	free(w->object);
}

static void tight(struct work *w, size_t bytes, uint64_t n)
{
	struct kmm *k = w->machine.kmm;

	for (uint64_t i = 0; i < n; i++) {
		volatile char *p;

		TIMED(w, p = kmm_alloc(k, bytes));
		if (!p)
			work_failed("tight alloc");
		*p = 1;
		must(kmm_free(k, (void *)(uintptr_t)p), "tight free");
	}
}

void object_tight_64(struct work *w, uint64_t n)
{
	tight(w, 64, n);
}

void object_tight_1k(struct work *w, uint64_t n)
{
	tight(w, 1024, n);
}

/// BATCH objects of 64 bytes, then freed first in, first out. n counts objects.
void object_batch_64(struct work *w, uint64_t n)
{
	struct kmm *k = w->machine.kmm;

	for (uint64_t done = 0; done < n; done += BATCH) {
		for (unsigned i = 0; i < BATCH; i++)
			if (!(w->object[i] = kmm_alloc(k, 64)))
				work_failed("batch alloc");
		for (unsigned i = 0; i < BATCH; i++) {
			must(kmm_free(k, w->object[i]), "batch free");
			w->object[i] = NULL;
		}
	}
}

/// A random slot gives its object back and gets one of random size.
void object_replace(struct work *w, uint64_t n)
{
	struct kmm *k = w->machine.kmm;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t r = random_next(&w->seed);
		void **slot = &w->object[r % SLOTS];
		size_t bytes = REPLACE_MIN + (r >> 32) % (REPLACE_MAX - REPLACE_MIN + 1);

		must(kmm_free(k, *slot), "replace free");
		TIMED(w, *slot = kmm_alloc(k, bytes));
		if (!*slot)
			work_failed("replace alloc");
	}
}
