/// pagemill-bench: runs workloads on host threads and prints what it measured,
/// one "@run" line a series. `--count` runs one workload bare, for callgrind.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame_table.h"
#include "misses.h"
#include "options.h"
#include "trace_work.h"
#include "versus.h"

enum { SMALL_LIMIT_TIMES = 4, /* of what is there for the slow policies' sake */
       SAMPLES_MAX = 64, LATENCY_N = 200000, SLICE_NS = 60000000 };

const struct workload workloads[] = {
	/* figure, needs, frames, slice, slices, counted, …; frames have frame_loads[] */
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
	w->load = l;
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

static void region_of_workload(void *arg, uint64_t n)
{
	struct work *w = arg;

	w->load->run(w, n);
}

/// Prints how many operations the region performed.
static void count(const struct workload *l, const struct kmm_preset *p, uint64_t seed)
{
	struct work *w = start(l, p, seed);

	l->run(w, l->count_n); /* warm: caches filled, tables made */
	bench_region(region_of_workload, w, l->count_n);
	printf("%llu\n", (unsigned long long)l->count_n);
	stop(l, w);
}

/// Does the filter select this figure?
static bool selects(const struct options *o, const char *figure)
{
	return strncmp(figure, o->filter, strlen(o->filter)) == 0;
}

/// Frame loads: the table's, the one trace asked for, or those of the corpus. NULL: no more
static const struct frame_load *frame_load_at(const struct options *o, unsigned i)
{
	unsigned n = 0;

	if (o->trace) {
		static const struct frame_load *only;

		only = only ? only : trace_load(o->trace);
		return i == 0 ? only : NULL;
	}
	while (frame_loads[n].name)
		n++;
	return i < n ? &frame_loads[i] : trace_corpus(i - n);
}

static void count_frames(struct frame_options *f)
{
	double value[FRAME_PARTS_MAX];
	struct frame_run *r;
	const char *error;

	f->limit_ns = 0;
	r = frame_run_start(f, &error);
	if (!r)
		work_failed(error);
	r->slice_n = f->load->count_n;
	f->load->slice(r, value); /* warm */
	r->counted = true;
	f->load->slice(r, value);
	printf("%llu\n", (unsigned long long)f->load->count_n);
	error = frame_run_stop(r);
	if (error)
		work_failed(error);
}

/// The machine's floors come with the first figure.
static void measure_floor_once(const struct options *o)
{
	static bool done;

	if (!done)
		frame_measure_floor(o->seed);
	done = true;
}

static uint64_t limit_of(const struct options *o, uint64_t seconds)
{
	return o->limit_ns ? o->limit_ns : seconds * 1000000000ull;
}

/// Is a variant asked for? The presets are, if none is named.
static bool wanted(const struct options *o, const struct variant *v)
{
	return o->variant ? o->variant == v : o->all || o->list || variant_is_preset(v);
}

/// The same shape for each variant that is asked for. Returns: how many
static unsigned of_variants(const struct options *o, const struct frame_options *shape,
			    struct frame_options each[VARIANTS_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; variant_at(i) && n < VARIANTS_MAX; i++) {
		if (!wanted(o, variant_at(i)))
			continue;
		each[n] = *shape;
		each[n++].variant = variant_at(i);
	}
	return n;
}

/// One load, for all variants. Returns: how many runs were selected
static unsigned run_load(const struct options *o, const struct frame_options *shape)
{
	const struct frame_load *l = shape->load;
	struct frame_options each[VARIANTS_MAX];
	unsigned n = of_variants(o, shape, each);
	char figure[96];

	frame_figure(figure, sizeof(figure), shape, l->name);
	if (!selects(o, figure) || (o->count && !l->count_n) || shape->threads_n < l->threads_min)
		return 0;
	if (!o->list && !o->count) {
		measure_floor_once(o);
		frame_measure_turns(each, n);
		return n;
	}
	for (unsigned v = 0; v < n; v++) {
		if (o->list)
			printf("%s %s %s\n", figure, each[v].variant->name,
			       l->count_n && shape->threads_n == 1 ? "counted" : "timed");
		else
			count_frames(&each[v]);
	}
	return n;
}

/// What kmm_init takes, for all variants.
static unsigned run_boot(const struct options *o, const struct frame_options *shape)
{
	struct frame_options each[VARIANTS_MAX];
	unsigned n = of_variants(o, shape, each);

	if (shape->threads_n != 1 || o->count || o->list || o->trace || !selects(o, "frame.boot"))
		return 0;
	measure_floor_once(o);
	for (unsigned v = 0; v < n; v++)
		frame_measure_boot(&each[v]);
	return n;
}

/// Every load, and what kmm_init takes. Returns: how many runs were selected
static unsigned run_loads(const struct options *o, struct frame_options *shape)
{
	unsigned selected = 0;

	for (unsigned i = 0; (shape->load = frame_load_at(o, i)); i++) {
		struct frame_options small = *shape;

		selected += run_load(o, shape);
		small.frames_n = shape->load->small_n;
		small.limit_ns *= SMALL_LIMIT_TIMES;
		if (small.frames_n && shape->threads_n == 1 && !o->sizes_given)
			selected += run_load(o, &small);
	}
	return selected + run_boot(o, shape);
}

/// Frames, by threads and sizes. Returns: how many runs were selected
static unsigned run_frames(const struct options *o)
{
	unsigned selected = 0;

	for (unsigned i = 0; i < o->sizes_n; i++)
		for (unsigned t = 0; t < FRAME_THREADS_MAX; t++) {
			struct frame_options shape = {
				.back = &frame_kmm, .threads_n = t + 1,
				.frames_n = o->frames_n[i], .fill = FILL_OF_LOAD, .seed = o->seed,
				.limit_ns = limit_of(o, 1)
			};

			if (o->threads[t])
				selected += run_loads(o, &shape);
		}
	return selected;
}

static void perform(const struct options *o, const struct workload *l, const struct kmm_preset *p)
{
	if (o->list)
		printf("%s %s %s\n", l->figure, p->name, l->count_n ? "counted" : "timed");
	else if (o->count)
		count(l, p, o->seed);
	else {
		measure_floor_once(o);
		measure(l, p, o->seed);
	}
}

/// Other units: presets only. Returns: how many were selected
static unsigned run_others(const struct options *o, const struct variant *v)
{
	unsigned selected = 0;

	for (const struct workload *l = workloads; l->figure && !o->trace; l++) {
		if (!selects(o, l->figure) || (o->count && l->count_n == 0) || !applies(l, &v->row))
			continue;
		selected++;
		perform(o, l, &v->row);
	}
	return selected;
}

static int run_all(const struct options *o)
{
	unsigned selected = run_frames(o);

	for (unsigned i = 0; variant_at(i); i++)
		if (wanted(o, variant_at(i)) && variant_is_preset(variant_at(i)))
			selected += run_others(o, variant_at(i));
	if (selected == 0)
		options_usage("nothing selected");
	return report_any_wrong();
}

/// The one frame load that the filter names: exactly, or as the only one with that prefix.
static const struct frame_load *only_load(const struct options *o)
{
	const struct frame_load *found = NULL;

	for (unsigned i = 0; frame_load_at(o, i); i++) {
		const struct frame_load *l = frame_load_at(o, i);
		char figure[96];

		snprintf(figure, sizeof(figure), "frame.%s", l->name);
		if (strcmp(figure, o->filter) == 0)
			return l;
		if (!selects(o, figure))
			continue;
		if (found)
			options_usage("--filter must name one frame load here");
		found = l;
	}
	if (!found)
		options_usage("nothing selected");
	return found;
}

/// Returns: the program's exit status
static int misses_of(struct frame_options *f, const char *back)
{
	const char *error;

	if (strcmp(back, "lines") == 0) {
		f->back = &frame_lines;
		f->variant = NULL;
	}
	error = frame_misses(f);
	if (error)
		fprintf(stderr, "pagemill-bench: %s\n", error);
	return error != NULL;
}

int main(int argc, char **argv)
{
	struct options o = options_parse(argc, argv);
	struct frame_options f = { .back = &frame_kmm, .frames_n = o.frames_n[0],
				   .fill = FILL_OF_LOAD, .seed = o.seed };
	struct versus_options v;

	f.threads_n = o.threads[0] ? 1 : 2;
	f.variant = o.variant ? o.variant : variant_find("pagemill");
	f.limit_ns = limit_of(&o, o.table ? 3 : 1);
	report_lines(!(o.table || o.growth) || o.record);
	if (o.table) {
		f.frames_n = FRAMES_4GIB;
		frame_table(&f);
		return report_any_wrong();
	}
	if (o.growth) {
		frame_growth(&f);
		return report_any_wrong();
	}
	if (!o.versus[0] && !o.record_trace && !o.misses)
		return run_all(&o);
	f.load = only_load(&o);
	if (o.misses)
		return misses_of(&f, o.misses);
	if (f.load->once || f.load->threads_min > f.threads_n)
		options_usage("this load doesn't go with these options");
	if (o.record_trace)
		return trace_record(&f, o.ops_n, o.record_trace);
	f.variant = o.versus[0];
	v = (struct versus_options){ o.versus[1], o.rounds ? o.rounds : VERSUS_ROUNDS,
				     o.inject / 100.0, o.fail_on_slower };
	return versus(&f, &v);
}
