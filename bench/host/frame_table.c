/// `--table frames`: one variant's figures beside LLFree's and beside what they must
/// reach. All rows come from one configuration, whose hash is printed; sizes are compared
/// with 4 GiB by slices that alternate, since figures taken apart drift.
#include "frame_table.h"

#include <string.h>

#include "frame_targets.h"
#include "versus.h"

static void measure_loads(struct frame_options *o)
{
	for (const struct frame_load *l = frame_loads; l->name; l++) {
		if (l->threads_min > o->threads_n)
			continue;
		o->load = l;
		fprintf(stderr, "%s, threads %u: %s\n", o->variant->name, o->threads_n, l->name);
		frame_measure(o, NULL);
	}
}

/// The loads that a back end without an allocator can play.
static void measure_bare(struct frame_options o, const struct frame_backend *back)
{
	static const char *const apart[] = { "failed.o0", "antifrag", "deep" };

	o.variant = NULL;
	o.back = back;
	for (const struct frame_load *l = frame_loads; l->name; l++) {
		bool skip = l->threads_min > 1;

		for (unsigned i = 0; i < sizeof(apart) / sizeof(apart[0]); i++)
			skip = skip || strcmp(l->name, apart[i]) == 0;
		/* A stack of single frames has neither blocks nor orders. */
		skip = skip || (back == &frame_stack && (l->order || !strcmp(l->name, "mixed")));
		o.load = l;
		o.threads_n = 1;
		if (!skip)
			frame_measure(&o, NULL);
	}
}

static void boot_at(struct frame_options o, uint64_t frames_n)
{
	o.threads_n = 1;
	o.frames_n = frames_n;
	frame_measure_boot(&o);
}

static const char *const sized[] = { "repeat.o0", "burst.o0", "bulk.o0" };

static void measure_sizes(const struct frame_options *o)
{
	for (unsigned i = 0; i < sizeof(sized) / sizeof(sized[0]); i++)
		for (unsigned large = 0; large < 2; large++) {
			struct frame_options a = *o, b;
			struct versus_result result;

			a.threads_n = 1;
			a.load = frame_load_find(sized[i]);
			b = a;
			b.frames_n = FRAMES_4GIB << (large ? 8 : 4);
			versus_pair(&a, &b, VERSUS_ROUNDS, large ? "1t" : "64g", &result);
		}
}

static void number(double value, bool whole, const char *behind)
{
	printf(" %8.*f%s", whole || value >= 10000 ? 0 : value < 0.1 ? 3 : 2, value, behind);
}

/// The median, and behind it the least, where there are several samples.
static void cell(const char *name, const char *variant, bool whole, bool with_min)
{
	const struct figure *f = report_find(name, variant);

	if (!f || f->failed[0]) {
		printf(" %8s ", f ? "failed" : "-");
		f = NULL;
	} else {
		number(f->median, whole, f->cut ? "~" : " ");
	}
	if (with_min && f && f->n > 1)
		number(f->min, whole, "");
	else if (with_min)
		printf(" %8s", "");
}

/// "met", "missed", "met*": only without the cost of a pair of timestamps; "-".
static const char *judge(const struct frame_target *t, unsigned threads_i, const char *figure,
			 const char *variant)
{
	const struct figure *f = report_find(figure, variant);
	double limit = t->limit[threads_i], timer = report_value("timer.pair", "host");

	if (!f || limit < 0)
		return "-";
	if (f->failed[0])
		return "missed";
	if (t->at_least ? f->median >= limit : f->median <= limit)
		return "met";
	return t->timed && f->median - timer <= limit ? "met*" : "missed";
}

/// The load of a target's figure; NULL if it isn't a load's.
static const struct frame_load *load_of(const char *figure)
{
	for (const struct frame_load *l = frame_loads; l->name; l++) {
		size_t n = strlen(l->name);

		if (strncmp(figure, l->name, n) == 0 && (figure[n] == '\0' || figure[n] == '.'))
			return l;
	}
	return NULL;
}

/// The names of a target's figure with two threads, and of its load's waits for locks.
static void figures_of_two(char *name, char *waits, size_t bytes, const char *figure)
{
	const struct frame_load *l = load_of(figure);

	snprintf(name, bytes, "frame.%s.t2%s", l ? l->name : figure,
		 l ? figure + strlen(l->name) : "");
	snprintf(waits, bytes, "frame.%s.t2.waits", l ? l->name : figure);
}

static void print_rows(const char *variant)
{
	for (const struct frame_target *t = frame_targets; t->row; t++) {
		char one[96], two[96], waits[96];

		snprintf(one, sizeof(one), "frame.%s", t->figure);
		figures_of_two(two, waits, sizeof(two), t->figure);
		printf("%-27s %9s %9s %13s", t->row, t->rival[0], t->rival[1], t->must);
		cell(one, variant, t->at_least, true);
		cell(two, variant, t->at_least, true);
		cell(t->timed ? "" : waits, variant, report_value(waits, variant) == 0, false);
		cell(one, "none", false, false);
		cell(one, "stack", false, false);
		printf("  %s/%s\n", judge(t, 0, one, variant), judge(t, 1, two, variant));
	}
}

static void print_sizes(const char *variant)
{
	for (unsigned i = 0; i < sizeof(sized) / sizeof(sized[0]); i++)
		for (unsigned large = 0; large < 2; large++) {
			char name[96];
			double low, high, ratio;

			snprintf(name, sizeof(name), "versus.frame.%s.%s", sized[i],
				 large ? "1t" : "64g");
			ratio = report_value(name, variant);
			printf("%-9s %s against 4 GiB ", sized[i], large ? " 1 TiB" : "64 GiB");
			if (ratio < 0) {
				printf("%17s\n", "failed  missed");
				continue;
			}
			low = versus_bound(name, variant, "low");
			high = versus_bound(name, variant, "high");
			printf("<= %.2f: %.3f [%.3f, %.3f]  %s\n", FRAME_SIZE_RATIO_MAX, ratio, low,
			       high, ratio <= FRAME_SIZE_RATIO_MAX ? "met" :
			       low > FRAME_SIZE_RATIO_MAX ? "missed" : "not resolved");
		}
}

static void print_foot(const struct variant *v)
{
	double cas = report_value("floor.cas", "host");

	printf("\nfloors: CAS %.2f ns (%.1f where the targets come from: factor %.2f, not "
	       "applied), atomic add %.2f, timer pair %.1f\n", cas, FRAME_TARGETS_CAS_NS,
	       cas / FRAME_TARGETS_CAS_NS, report_value("floor.add", "host"),
	       report_value("timer.pair", "host"));
	printf("all rows: variant %s, configuration %08x (hash of the preset's row and the build's "
	       "flags)\n", v->name, variant_hash(v));
	printf("driver: its loop without an allocator; stack: a bare stack of numbers instead.\n"
	       "Medians of slices, and their least, by the threads' CPU time. ~ the wall limit "
	       "ended slices\nearly; met* only without the timer's cost. With two threads a "
	       "figure moves with where the\nprocessors lie: judge it by its ratio to one "
	       "thread. waits: how often they found a lock taken, in\na thousand operations, which "
	       "are pairs where get and put have rows of their own.\n");
}

void frame_table(const struct frame_options *base)
{
	struct frame_options o = *base;

	frame_measure_floor(o.seed);
	measure_bare(o, &frame_none);
	measure_bare(o, &frame_stack);
	for (o.threads_n = 1; o.threads_n <= FRAME_THREADS_MAX; o.threads_n++)
		measure_loads(&o);
	boot_at(o, FRAMES_4GIB);
	boot_at(o, FRAMES_4GIB << 4);
	boot_at(o, FRAMES_4GIB << 8);
	measure_sizes(&o);
	printf("%-27s %9s %9s %13s %9s %8s %9s %8s %9s %9s %9s  %s\n", "frames, ns", "LLFree T1",
	       "LLFree T2", "must reach", "ours T1 ", "least", "ours T2 ", "least", "waits T2 ",
	       "driver ", "stack ", "T1/T2");
	print_rows(o.variant->name);
	printf("\n");
	print_sizes(o.variant->name);
	print_foot(o.variant);
}
