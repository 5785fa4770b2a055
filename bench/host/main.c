/// pagemill-bench: runs workloads on host threads and prints what it measured,
/// one "@run" line a series. `--count` runs one workload bare, for callgrind.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workload.h"

enum { SAMPLES_MAX = 64, LATENCY_N = 200000, SLICE_NS = 60000000, EXIT_USAGE = 2 };

#define FRAMES_4GIB (1ull << 20)

const struct workload workloads[] = {
	/* figure, needs, frames, slice, slices, counted, … */
	{ "frame.repeat.o0", "", FRAMES_4GIB, 2000000, 10, 20000, frame_fill_half,
	  frame_repeat, frame_empty },
	{ "frame.repeat.o9", "", FRAMES_4GIB, 200000, 10, 2000, frame_fill_half,
	  frame_repeat_o9, frame_empty },
	{ "frame.burst.o0", "", FRAMES_4GIB, 1000000, 10, 20000, frame_fill_90, frame_burst,
	  frame_empty },
	{ "frame.churn90.o0", "", FRAMES_4GIB, 1000000, 10, 20000, frame_fill_90,
	  frame_churn, frame_empty },
	{ "frame.bulk.o0", "", FRAMES_4GIB, FRAMES_4GIB / 2, 10, 20000, frame_fill_half,
	  frame_bulk, frame_empty },
	{ "frame.rand.o0", "", FRAMES_4GIB, FRAMES_4GIB / 2, 5, 20000, frame_fill_half,
	  frame_rand, frame_empty },
	{ "object.tight.64", "", 65536, 3000000, 10, 20000, object_setup, object_tight_64,
	  object_teardown_slots },
	{ "object.tight.1024", "", 65536, 3000000, 10, 20000, object_setup,
	  object_tight_1k, object_teardown_slots },
	{ "object.batch.64", "", 65536, 1000000, 10, 20000, object_setup, object_batch_64,
	  object_teardown_slots },
	{ "object.replace", "", 65536, 1000000, 10, 20000, object_setup, object_replace,
	  object_teardown_slots },
	{ "pt.map_unmap", "", 65536, 300000, 10, 5000, pt_setup, pt_map_unmap,
	  pt_teardown_tree },
	{ "pt.shootdown.cpus2", "", 65536, 20000, 10, 0, shootdown_setup, shootdown_unmap,
	  shootdown_teardown },
	{ "vm.fault.anon_write", "user", 65536, 51200, 10, 2048, space_setup,
	  space_fault_write, space_teardown },
	{ "vm.fault.anon_read", "user", 65536, 51200, 10, 2048, space_setup,
	  space_fault_read, space_teardown },
	{ "vm.mmap_munmap.untouched", "user", 65536, 100000, 10, 2000, space_setup,
	  space_map_unmap, space_teardown },
	{ "vm.fork.4m", "user", 65536, 300, 10, 20, space_setup_mapped, space_fork_exit,
	  space_teardown },
	{ 0 },
};

_Noreturn void work_failed(const char *what)
{
	fprintf(stderr, "pagemill-bench: workload failed at: %s\n", what);
	exit(1);
}

static struct work *start(const struct workload *l, const struct kmm_preset *p, uint64_t seed)
{
	struct work *w = calloc(1, sizeof(*w));
	struct threads_options o = { .preset = p, .bytes = l->frames_n << KMM_PAGE_LG2,
				     .base = 1ull << 30, .cpus_n = 2 };
	const char *error = w ? threads_start(&w->machine, &o) : "no memory";

	if (error)
		work_failed(error);
	w->preset = p;
	w->seed = seed;
	w->frames_n = l->frames_n;
	l->setup(w);
	return w;
}

static void stop(const struct workload *l, struct work *w)
{
	l->teardown(w);
	if (threads_stop(&w->machine) != 0)
		work_failed("frames leaked");
	free(w);
}

static bool applies(const struct workload *l, const struct kmm_preset *p)
{
	return strcmp(l->variant_needs, "user") != 0 || p->has_user;
}

/// A slice of the workload's own length, or as much of it as fits into SLICE_NS:
/// the slow presets need a thousand times longer for the same work.
static uint64_t slice_fitting(const struct workload *l, struct work *w)
{
	uint64_t n = l->slice_n / 256u + 1u, t = measure_ns(), per_op;

	l->run(w, n);
	per_op = (measure_ns() - t) / n + 1u;
	return per_op * l->slice_n <= SLICE_NS ? l->slice_n : SLICE_NS / per_op + 1u;
}

/// The first slice warms up; each further one is a sample. Latencies of single
/// operations come from a run of their own, since timing them slows them down.
static void measure(const struct workload *l, const struct kmm_preset *p, uint64_t seed)
{
	struct work *w = start(l, p, seed);
	struct hist *h = calloc(1, sizeof(*h));
	double sample[SAMPLES_MAX];
	uint64_t n;

	if (!h)
		work_failed("no memory");
	n = slice_fitting(l, w);
	for (unsigned i = 0; i < l->slices_n; i++) {
		uint64_t t = measure_ns();

		l->run(w, n);
		sample[i] = (double)(measure_ns() - t) / (double)n;
	}
	measure_report(l->figure, "ns", p->name, seed, sample, (unsigned)l->slices_n);
	w->hist = h;
	l->run(w, n < LATENCY_N ? n : LATENCY_N);
	w->hist = NULL;
	measure_report_hist(l->figure, p->name, seed, h);
	free(h);
	stop(l, w);
}

__attribute__((noinline)) void bench_region(const struct workload *l, struct work *w, uint64_t n);

/// What callgrind's --toggle-collect names.
__attribute__((noinline)) void bench_region(const struct workload *l, struct work *w, uint64_t n)
{
	l->run(w, n);
	__asm__ volatile("" ::: "memory");
}

/// Prints how many operations the region performed.
static void count(const struct workload *l, const struct kmm_preset *p, uint64_t seed)
{
	struct work *w = start(l, p, seed);

	l->run(w, l->count_n); /* warm: caches filled, tables made */
	bench_region(l, w, l->count_n);
	printf("%llu\n", (unsigned long long)l->count_n);
	stop(l, w);
}

static _Noreturn void usage(const char *wrong)
{
	fprintf(stderr,
		"pagemill-bench: %s\n"
		"usage: pagemill-bench [--filter PREFIX] [--preset NAME] [--seed N] [--count] [--list]\n",
		wrong);
	exit(EXIT_USAGE);
}

struct options {
	const char *filter, *preset;
	uint64_t seed;
	bool count, list;
};

static struct options parse(int argc, char **argv)
{
	struct options o = { "", NULL, 1, false, false };

	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (!strcmp(argv[i], "--filter") && more)
			o.filter = argv[++i];
		else if (!strcmp(argv[i], "--preset") && more)
			o.preset = argv[++i];
		else if (!strcmp(argv[i], "--seed") && more)
			o.seed = strtoull(argv[++i], NULL, 0) | 1u;
		else if (!strcmp(argv[i], "--count"))
			o.count = true;
		else if (!strcmp(argv[i], "--list"))
			o.list = true;
		else
			usage(argv[i]);
	}
	if (o.preset && !kmm_preset_find(o.preset))
		usage("no such preset");
	return o;
}

static void perform(const struct options *o, const struct workload *l, const struct kmm_preset *p)
{
	if (o->list)
		printf("%s %s %s\n", l->figure, p->name, l->count_n ? "counted" : "timed");
	else if (o->count)
		count(l, p, o->seed);
	else
		measure(l, p, o->seed);
}

int main(int argc, char **argv)
{
	struct options o = parse(argc, argv);
	unsigned selected = 0;

	if (!o.list && !o.count) {
		double timer = measure_timer_ns();

		measure_report("timer.pair", "ns", "host", o.seed, &timer, 1);
	}
	for (const struct workload *l = workloads; l->figure; l++) {
		if (strncmp(l->figure, o.filter, strlen(o.filter)) != 0 ||
		    (o.count && l->count_n == 0))
			continue;
		for (unsigned i = 0; kmm_preset_at(i); i++) {
			const struct kmm_preset *p = kmm_preset_at(i);

			if ((o.preset && strcmp(p->name, o.preset) != 0) || !applies(l, p))
				continue;
			selected++;
			perform(&o, l, p);
		}
	}
	if (selected == 0)
		usage("nothing selected");
	return 0;
}
