/// `--misses`: one frame load for callgrind's cache simulation, which takes the place of
/// the counters that a virtual machine doesn't have.
///
/// Memory is filled, and what a slice needs is gotten, before callgrind watches at all:
/// millions of operations at a tenth of its cost. From where it begins to watch, the
/// simulated caches are empty, and a window of operations warms them before the ones that
/// are counted: WINDOW_N random operations touch as many lines as the largest cache
/// simulated (32 MiB) has. A slice no longer than the window is watched whole, the slice
/// before it as well: what it left in the caches is what the next one finds.
#include <stdio.h>
#include <valgrind/callgrind.h>

#include "misses.h"

enum { COUNT_N = 1 << 17, WINDOW_N = 5 * COUNT_N };

static bool watching;
static uint64_t counted_n;

static void watch(bool on)
{
	if (on == watching)
		return;
	watching = on;
	if (on)
		CALLGRIND_START_INSTRUMENTATION;
	else
		CALLGRIND_STOP_INSTRUMENTATION;
}

/// A burst may go beyond what is asked.
static void count(struct frame_run *r, frame_step *step)
{
	r->counted = true;
	frame_phase(r, step, COUNT_N);
	r->counted = false;
	counted_n = r->thread[0].done_n;
}

/// Loads whose operations are alike throughout.
static void count_steady(struct frame_run *r, frame_step *step)
{
	watch(true);
	frame_phase(r, step, WINDOW_N - COUNT_N);
	count(r, step);
}

/// n operations, of which the last are counted.
static void count_last(struct frame_run *r, frame_step *step, uint64_t n)
{
	if (n > WINDOW_N) {
		watch(false);
		frame_phase(r, step, n - WINDOW_N);
		n = WINDOW_N;
	}
	watch(true);
	frame_phase(r, step, n - COUNT_N);
	count(r, step);
}

/// Gets of half the memory, then puts of it, in another order if `shuffled`.
static void count_slice(struct frame_run *r, bool shuffled)
{
	double value[FRAME_PARTS_MAX];

	watch(r->slice_n <= WINDOW_N);
	r->load->slice(r, value); /* shuffled puts leave memory in another order */
	count_last(r, r->back->gets, r->slice_n);
	if (shuffled) {
		watch(r->slice_n <= WINDOW_N);
		frame_shuffle(r, false);
	}
	count_last(r, r->back->puts, r->slice_n);
}

static bool perform(struct frame_run *r, const struct frame_load *l)
{
	const struct frame_backend *b = r->back;
	const struct {
		const char *load;
		frame_step *step;
	} steady[] = { { "repeat.o0", b->repeat }, { "churn90.o0", b->churn },
		       { "burst.o0", b->burst }, { "mixed", b->mixed } };

	for (unsigned i = 0; i < sizeof(steady) / sizeof(steady[0]); i++)
		if (l == frame_load_find(steady[i].load)) {
			count_steady(r, steady[i].step);
			return true;
		}
	if (r->slice_n < COUNT_N ||
	    (l != frame_load_find("bulk.o0") && l != frame_load_find("rand.o0")))
		return false;
	count_slice(r, l == frame_load_find("rand.o0"));
	return true;
}

const char *frame_misses(const struct frame_options *base)
{
	struct frame_options o = *base;
	const char *error;
	struct frame_run *r;
	bool known;

	if (!RUNNING_ON_VALGRIND)
		return "--misses is for scripts/misses: callgrind counts them";
	o.limit_ns = 0;
	r = frame_run_start(&o, &error);
	if (!r)
		return error;
	known = perform(r, o.load);
	watch(false);
	error = frame_run_stop(r);
	if (!known)
		return "misses of this load, or of so little memory, aren't counted";
	if (!error)
		printf("%llu\n", (unsigned long long)counted_n);
	return error;
}
