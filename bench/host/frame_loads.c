/// The frame workloads, after LLFree (Wrenger et al., USENIX ATC 2023). F is memory's
/// frames, T the threads.
///
/// repeat: F/2T held a thread, then pairs of get and put. bulk: F/2T gotten one by one,
/// put last in first out. batch64: the same by calls of 64. rand: the same, shuffled
/// across threads before the puts. churn90: at 90 %, a random one put and one gotten.
/// burst: at 90 %, k put and k gotten, k uniform in 1..1024, from a shuffled array.
/// xbatch: thread 0 gets 4096 while thread 1 puts the 4096 before. mixed: half is held;
/// orders 0/1/2/3/9 = 80/5/5/5/5 %, replaced at random. failed: gets when all is in use.
/// antifrag: filled with single frames, a random half put, then churn; counts the 2 MiB
/// blocks that are wholly free. deep: the same with a random tenth put. Both also on
/// 256 MiB, since the slow policies don't get 4 GiB filled: some ten operations a frame of
/// memory either way.
#include <string.h>

#include "frame_work.h"

enum { PUTS_TIMES = 10, CHURN_TIMES = 10 /* as many operations as frames */ };

/// One phase of pairs.
static void slice_repeat(struct frame_run *r, double *value)
{
	value[0] = frame_phase(r, r->back->repeat, r->slice_n);
}

static void slice_churn(struct frame_run *r, double *value)
{
	value[0] = frame_phase(r, r->back->churn, r->slice_n);
}

static void slice_burst(struct frame_run *r, double *value)
{
	value[0] = frame_phase(r, r->back->burst, r->slice_n);
}

static void slice_mixed(struct frame_run *r, double *value)
{
	value[0] = frame_phase(r, r->back->mixed, r->slice_n);
}

static void slice_failed(struct frame_run *r, double *value)
{
	value[0] = frame_phase(r, r->back->failed, r->slice_n);
}

/// Gets that find memory full are a failure here.
static void must_not_be_full(struct frame_run *r)
{
	for (unsigned i = 0; i < r->threads_n; i++)
		if (r->thread[i].full)
			r->thread[i].failed = "get while there must be room";
}

/// The puts that end a slice. A slow policy may not come to their end even within several
/// times the limit: then there is a figure, but no further slice.
static double put_back(struct frame_run *r, frame_step *puts)
{
	uint64_t limit = r->limit_ns;
	double ns;

	if (limit != UINT64_MAX)
		r->limit_ns = limit * PUTS_TIMES;
	ns = frame_phase(r, puts, UINT64_MAX);
	r->limit_ns = limit;
	for (unsigned i = 0; i < r->threads_n; i++)
		r->spent = r->spent || r->thread[i].held_n > r->thread[i].base_n;
	return ns;
}

static void slice_bulk(struct frame_run *r, double *value)
{
	value[0] = frame_phase(r, r->back->gets, r->slice_n);
	must_not_be_full(r);
	value[1] = put_back(r, r->back->puts);
}

static void slice_batch(struct frame_run *r, double *value)
{
	value[0] = frame_phase(r, r->back->batch_gets, r->slice_n);
	must_not_be_full(r);
	value[1] = put_back(r, r->back->batch_puts);
}

static void slice_rand(struct frame_run *r, double *value)
{
	value[0] = frame_phase(r, r->back->gets, r->slice_n);
	must_not_be_full(r);
	frame_shuffle(r, false);
	value[1] = put_back(r, r->back->puts);
}

/// What thread 0 got becomes thread 1's.
static void hand_over(struct frame_run *r)
{
	struct frame_thread *a = &r->thread[0], *b = &r->thread[1];
	struct kmm_pfn *pfn = a->pfn;
	uint64_t held_n = a->held_n;

	a->pfn = b->pfn;
	a->held = (uint32_t *)a->pfn;
	a->held_n = b->held_n;
	b->pfn = pfn;
	b->held = (uint32_t *)pfn;
	b->held_n = held_n;
}

static void slice_xbatch(struct frame_run *r, double *value)
{
	uint64_t ns[2] = { 0 }, n[2] = { 0 };

	for (uint64_t round = 0; round < r->slice_n && !frame_run_failed(r); round++) {
		frame_phase_apart(r, r->back->gets, r->back->puts, XBATCH_N);
		must_not_be_full(r);
		for (unsigned i = 0; i < 2; i++) {
			ns[i] += r->thread[i].ns;
			n[i] += r->thread[i].done_n;
		}
		hand_over(r);
	}
	for (unsigned i = 0; i < 2; i++)
		value[i] = n[i] ? (double)ns[i] / (double)n[i] : 0;
}

static void prepare_xbatch(struct frame_run *r)
{
	frame_phase_apart(r, r->back->gets, NULL, XBATCH_N);
	hand_over(r);
}

static void prepare_shuffled(struct frame_run *r)
{
	frame_shuffle(r, true);
}

static void prepare_mixed(struct frame_run *r)
{
	(void)frame_phase_whole(r, r->back->mixed_fill, r->frames_n / r->threads_n / 2u);
}

/// Each thread puts one part in so many of what all hold, at random.
static void put_share(struct frame_run *r, unsigned part)
{
	frame_shuffle(r, true);
	for (unsigned i = 0; i < r->threads_n; i++)
		r->thread[i].base_n = r->thread[i].held_n - r->thread[i].held_n / part;
	(void)frame_phase_whole(r, r->back->puts, UINT64_MAX);
}

static void prepare_antifrag(struct frame_run *r)
{
	put_share(r, 2);
}

static void prepare_deep(struct frame_run *r)
{
	put_share(r, 10);
}

static void slice_blocks(struct frame_run *r, double *value)
{
	uint64_t n = r->frames_n * CHURN_TIMES;

	/* Blocks become whole in time: fewer operations would be another figure. */
	(void)frame_phase_whole(r, r->back->churn, n < r->slice_n ? n : r->slice_n);
	value[0] = (double)frame_blocks_free(r);
}

#define GET_PUT { "get", "put" }
#define PAIR { "" }

const struct frame_load frame_loads[] = {
	/* name, order, fill, n, slices, counted, threads, parts, unit, prepare, slice */
	{ "repeat.o0", 0, 500, 2000000, 10, 20000, 1, PAIR, "ns", NULL, slice_repeat, 0, 0, 0, 0 },
	{ "repeat.o9", 9, 500, 500000, 10, 2000, 1, PAIR, "ns", NULL, slice_repeat, 0, 0, 0, 0 },
	{ "bulk.o0", 0, 0, 0, 10, 20000, 1, GET_PUT, "ns", NULL, slice_bulk, 0, 0, 0, 0 },
	{ "bulk.o9", 9, 0, 0, 10, 500, 1, GET_PUT, "ns", NULL, slice_bulk, 0, 0, 0, 0 },
	{ "batch64.o0", 0, 0, 0, 10, 20000, 1, GET_PUT, "ns", NULL, slice_batch, 0, 0, 0, 0 },
	{ "rand.o0", 0, 0, 0, 5, 20000, 1, GET_PUT, "ns", NULL, slice_rand, 0, 0, 0, 0 },
	{ "churn90.o0", 0, 900, 1000000, 10, 20000, 1, PAIR, "ns", prepare_shuffled, slice_churn,
	  true, 0, 256, 0 },
	{ "churn90.o9", 9, 900, 250000, 10, 2000, 1, PAIR, "ns", prepare_shuffled, slice_churn,
	  true, 0, 256, 0 },
	{ "burst.o0", 0, 900, 1000000, 10, 20000, 1, PAIR, "ns", prepare_shuffled, slice_burst,
	  0, 0, 2048, 0 },
	{ "xbatch.o0", 0, 0, 100, 12, 0, 2, GET_PUT, "ns", prepare_xbatch, slice_xbatch, 0, 0, 0, 0 },
	{ "mixed", 0, 0, 500000, 10, 20000, 1, PAIR, "ns", prepare_mixed, slice_mixed, 0, 0, 0, 0 },
	{ "failed.o0", 0, 1000, 1000000, 10, 2000, 1, PAIR, "ns", NULL, slice_failed, 0, 0, 0, 0 },
	{ "antifrag", 0, 1000, 10000000, 3, 0, 1, { "blocks" }, "count", prepare_antifrag,
	  slice_blocks, 0, true, 0, FRAMES_4GIB / 16 },
	{ "deep", 0, 1000, 10000000, 3, 0, 1, { "blocks" }, "count", prepare_deep, slice_blocks,
	  0, true, 0, FRAMES_4GIB / 16 },
	{ 0 },
};

const struct frame_load *frame_load_find(const char *name)
{
	for (const struct frame_load *l = frame_loads; l->name; l++)
		if (strcmp(l->name, name) == 0)
			return l;
	return NULL;
}
