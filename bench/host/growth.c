/// `--growth frames`: how figures grow with memory, with how full it is, and with
/// threads. Each axis has a slope on log-log scales: 0 is a cost that stays, 1 one that
/// grows in proportion. Over fill the scale is 1 / (free share), so that 99 % and 99.9 %
/// lie as far apart as 90 % and 99 %. Where caches miss, the back end `lines` shows what
/// a driver pays that only touches one byte a frame.
#include <stdarg.h>
#include <string.h>

#include "fit.h"
#include "frame_table.h"

enum { SIZES_N = 8, FILLS_N = 5 };

static const unsigned fills[FILLS_N] = { 0, 500, 900, 990, 999 };

struct grown {
	const char *load;
	bool fill, lines; /* over fill too; beside the bare back end */
};

static const struct grown grown[] = {
	{ "repeat.o0", true, false }, { "burst.o0", true, true },  { "bulk.o0", true, true },
	{ "churn90.o0", true, true }, { "rand.o0", true, true },   { "repeat.o9", true, false },
	{ "bulk.o9", false, false },  { "failed.o0", false, false },
};

static uint64_t size_at(unsigned i)
{
	return (64ull << 20 >> KMM_PAGE_LG2) << 2u * i;
}

struct axis {
	const char *name;
	double x[FIT_POINTS_MAX], y[FIT_POINTS_MAX];
	unsigned n, asked_n;
	char text[400]; /* the row so far: measuring lines may come between */
};

static __attribute__((format(printf, 2, 3))) void put_text(struct axis *a, const char *format, ...)
{
	size_t n = strlen(a->text);
	va_list list;

	va_start(list, format);
	vsnprintf(a->text + n, sizeof(a->text) - n, format, list);
	va_end(list);
}

/// Measures one point and takes it in.
static void point(struct axis *a, const struct frame_options *o, double x, const char *label)
{
	const char *variant = o->variant ? o->variant->name : o->back->name;
	struct frame_options each = *o;
	char name[96];
	double y;

	each.seed = o->seed + 2u * a->asked_n++;
	snprintf(name, sizeof(name), "frame.growth.%s.%s.%s", o->load->name, a->name, label);
	frame_measure(&each, name);
	y = report_value(name, variant);
	if (y <= 0) {
		put_text(a, " %8s", "-");
	} else {
		put_text(a, " %7.2f%s", y, report_find(name, variant)->cut ? "~" : " ");
		a->x[a->n] = fit_ln(x);
		a->y[a->n++] = fit_ln(y);
	}
}

static void finish(struct axis *a, const struct frame_options *o)
{
	const char *variant = o->variant ? o->variant->name : o->back->name;
	char name[96], bound[128];
	struct fit f;

	if (a->n < 3 || !fit_slope(a->x, a->y, a->n, &f)) {
		printf("%s  too few points\n", a->text);
		return;
	}
	snprintf(name, sizeof(name), "frame.growth.%s.%s.slope", o->load->name, a->name);
	report(name, "ratio", variant, o->seed, &f.slope, 1, false);
	put_text(a, "  slope %+.3f", f.slope);
	if (!f.has_interval) {
		printf("%s (no interval from %u points)\n", a->text, a->n);
		return;
	}
	printf("%s [%+.3f, %+.3f] at %.1f %%\n", a->text, f.low, f.high, 100 * f.confidence);
	snprintf(bound, sizeof(bound), "%s.low", name);
	report(bound, "ratio", variant, o->seed, &f.low, 1, false);
	snprintf(bound, sizeof(bound), "%s.high", name);
	report(bound, "ratio", variant, o->seed, &f.high, 1, false);
}

static void over_memory(struct frame_options o)
{
	struct axis a = { .name = "memory" };

	put_text(&a, "%-12s %-8s", o.load->name, o.back->name);
	o.threads_n = 1;
	for (unsigned i = 0; i < SIZES_N; i++) {
		char label[24];

		o.frames_n = size_at(i);
		frame_size_text(label, sizeof(label), o.frames_n);
		point(&a, &o, (double)o.frames_n, label);
	}
	finish(&a, &o);
	fflush(stdout);
}

static void over_fill(struct frame_options o)
{
	struct axis a = { .name = "fill" };

	put_text(&a, "%-12s %-8s", o.load->name, o.back->name);
	o.threads_n = 1;
	o.frames_n = FRAMES_4GIB;
	for (unsigned i = 0; i < FILLS_N; i++) {
		char label[24];

		o.fill = fills[i];
		snprintf(label, sizeof(label), "%u", fills[i]);
		point(&a, &o, 1000.0 / (1000 - fills[i]), label);
	}
	finish(&a, &o);
}

static void over_threads(struct frame_options o)
{
	struct axis a = { .name = "threads" };
	char name[96];
	double ratio;

	put_text(&a, "%-12s %-8s", o.load->name, o.back->name);
	o.frames_n = FRAMES_4GIB;
	for (o.threads_n = 1; o.threads_n <= FRAME_THREADS_MAX; o.threads_n++)
		point(&a, &o, o.threads_n, o.threads_n == 1 ? "1" : "2");
	if (a.n < 2) {
		printf("%s\n", a.text);
		return;
	}
	snprintf(name, sizeof(name), "frame.growth.%s.threads.slope", o.load->name);
	ratio = (a.y[1] - a.y[0]) / fit_ln(2);
	report(name, "ratio", o.variant->name, o.seed, &ratio, 1, false);
	printf("%s  slope %+.3f (two points: no interval)\n", a.text, ratio);
}

void frame_growth(const struct frame_options *base)
{
	struct frame_options o = *base;

	printf("growth of %s, ns, configuration %08x; slopes by Theil and Sen on log-log scales, "
	       "with Sen's exact interval\n", o.variant->name, variant_hash(o.variant));
	printf("\nover memory: 64 MiB to 1 TiB in steps of 4; at most %llu Mi single frames are "
	       "held,\nthe rest of what is held in 2 MiB blocks\n",
	       (unsigned long long)(HOLD_MAX >> 20));
	for (unsigned i = 0; i < sizeof(grown) / sizeof(grown[0]); i++) {
		struct frame_options bare = o;

		o.load = bare.load = frame_load_find(grown[i].load);
		over_memory(o);
		bare.variant = NULL;
		bare.back = &frame_lines;
		if (grown[i].lines)
			over_memory(bare);
	}
	printf("\nover fill: 0, 50, 90, 99, 99.9 %% of 4 GiB; slope over 1 / (free share)\n");
	for (unsigned i = 0; i < sizeof(grown) / sizeof(grown[0]); i++) {
		o.load = frame_load_find(grown[i].load);
		if (grown[i].fill)
			over_fill(o);
	}
	printf("\nover threads: 1, 2 on 4 GiB\n");
	for (unsigned i = 0; i < sizeof(grown) / sizeof(grown[0]); i++) {
		o.load = frame_load_find(grown[i].load);
		over_threads(o);
	}
}
