/// kmm behind the driver, as it is and with each call written to a trace.
#include "frame_work.h"

#define BACK(name) kmm_##name
#define BACK_NAME "kmm"
#define BACK_TABLE frame_kmm

static inline bool kmm_get(struct frame_thread *t, unsigned order, uint32_t *out)
{
	struct kmm_pfn f = { 0 };

	if (__builtin_expect(kmm_frame_alloc(t->k, order, 0, &f) != KMM_OK, 0))
		return false;
	*out = (uint32_t)f.n;
	return true;
}

static inline bool kmm_put(struct frame_thread *t, uint32_t f, unsigned order)
{
	return kmm_frame_free(t->k, (struct kmm_pfn){ f }, order) == KMM_OK;
}

static inline unsigned kmm_get_batch(struct frame_thread *t, unsigned n, struct kmm_pfn *out)
{
	return kmm_frame_alloc_batch(t->k, 0, 0, n, out);
}

static inline bool kmm_put_batch(struct frame_thread *t, unsigned n, const struct kmm_pfn *pfn)
{
	return kmm_frame_free_batch(t->k, 0, n, pfn, NULL) == KMM_OK;
}

#include "frame_driver.h"

#undef BACK
#undef BACK_NAME
#undef BACK_TABLE
#define BACK(name) recorded_##name
#define BACK_NAME "recorded"
#define BACK_TABLE frame_recorded

/// A block's id in the trace is its first frame's number, counted from the base: no two
/// live blocks share it.
static unsigned long id_of(uint64_t f)
{
	return (unsigned long)(f - (FRAME_BASE >> KMM_PAGE_LG2));
}

static bool recorded_get(struct frame_thread *t, unsigned order, uint32_t *out)
{
	if (!kmm_get(t, order, out))
		return false;
	if (t->run->record)
		fprintf(t->run->record, "+ %lu %u\n", id_of(*out), order);
	return true;
}

static bool recorded_put(struct frame_thread *t, uint32_t f, unsigned order)
{
	if (t->run->record)
		fprintf(t->run->record, "- %lu\n", id_of(f));
	return kmm_put(t, f, order);
}

static unsigned recorded_get_batch(struct frame_thread *t, unsigned n, struct kmm_pfn *out)
{
	unsigned got = kmm_get_batch(t, n, out);

	for (unsigned i = 0; i < got && t->run->record; i++)
		fprintf(t->run->record, "+ %lu 0\n", id_of(out[i].n));
	return got;
}

static bool recorded_put_batch(struct frame_thread *t, unsigned n, const struct kmm_pfn *pfn)
{
	for (unsigned i = 0; i < n && t->run->record; i++)
		fprintf(t->run->record, "- %lu\n", id_of(pfn[i].n));
	return kmm_put_batch(t, n, pfn);
}

#include "frame_driver.h"
