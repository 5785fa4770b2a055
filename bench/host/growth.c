/// `--growth frames`: how figures grow with memory, with how full it is, and with
/// threads. Each axis has a slope on log-log scales: 0 is a cost that stays, 1 one that
/// grows in proportion. Over fill the scale is 1 / (free share), so that 99 % and 99.9 %
/// lie as far apart as 90 % and 99 %. Where caches miss, the back end `lines` shows what
/// a driver pays that only touches one byte a frame.
///
/// All points of a load and an axis, both back ends', are filled once and stay. A round
/// visits each of them once, in an order drawn from the seed, for a slice that is timed
/// and a shorter one before it that brings back what the others drove out of the caches.
/// A machine that drifts moves all points of a round alike; a round's slope and the ratio
/// of its ends stay. Medians over the rounds have the exact sign test's interval.
#include <string.h>

#include "fit.h"
#include "frame_table.h"
#include "growth.h"

enum { ROUNDS_N = 9, /* the interval is the second smallest to the second largest */
       POINTS_MAX = 8, SIZES_N = 8, CURVES_N = 2,
       SLICE_MIN = 200,      /* shorter ones are made of the clock's cost */
       SLICE_MAX = 1 << 23,  /* half of 64 GiB: more takes minutes, and exceeds no further cache */
       WARM_PART = 2,        /* of a slice, before it */
       WARM_MAX = 1 << 22,   /* a slice this long finds nothing in a cache anyway */
       LIMIT_TIMES = 3 };    /* so that no slice ends early on a quiet machine */

static const unsigned fills[POINTS_MAX] = { 0, 500, 750, 900, 970, 990, 997, 999 };

struct grown {
	const char *load;
	bool fill, lines; /* over fill too; beside the bare back end */
};

static const struct grown grown[] = {
	{ "repeat.o0", true, false }, { "burst.o0", true, true },   { "bulk.o0", true, true },
	{ "churn90.o0", true, true }, { "rand.o0", true, true },    { "mixed", false, false },
	{ "repeat.o9", true, false }, { "bulk.o9", false, false },  { "failed.o0", false, false },
};

struct point {
	struct frame_options o;
	char label[24];
	double x;
	struct frame_run *run;  /* while it stands */
	const char *wrong;      /* why there is no figure */
	bool too_short;         /* there is too little memory for one */
	bool cut;
	double ns[ROUNDS_N];
};

/// One load on one back end over one axis.
struct curve {
	const struct growth_axis *axis;
	struct point point[POINTS_MAX];
	unsigned n;
};

static const char *variant_name(const struct frame_options *o)
{
	return o->variant ? o->variant->name : o->back->name;
}

static void add(struct curve *c, const struct frame_options *o, double x, const char *label)
{
	struct point *p = &c->point[c->n];

	memset(p, 0, sizeof(*p));
	p->o = *o;
	p->o.limit_ns = o->limit_ns * LIMIT_TIMES;
	p->o.seed = o->seed + 2u * c->n++;
	p->x = x;
	snprintf(p->label, sizeof(p->label), "%s", label);
}

static void points_of_memory(struct curve *c, struct frame_options *o)
{
	o->threads_n = 1;
	for (unsigned i = 0; i < SIZES_N; i++) {
		char label[24];

		o->frames_n = (64ull << 20 >> KMM_PAGE_LG2) << 2u * i;
		frame_size_text(label, sizeof(label), o->frames_n);
		add(c, o, (double)o->frames_n, label);
	}
}

static void points_of_fill(struct curve *c, struct frame_options *o)
{
	o->threads_n = 1;
	o->frames_n = FRAMES_4GIB;
	for (unsigned i = 0; i < POINTS_MAX; i++) {
		char label[24];

		o->fill = fills[i];
		snprintf(label, sizeof(label), "%u", fills[i]);
		add(c, o, 1000.0 / (1000 - fills[i]), label);
	}
}

static void points_of_threads(struct curve *c, struct frame_options *o)
{
	o->frames_n = FRAMES_4GIB;
	for (o->threads_n = 1; o->threads_n <= FRAME_THREADS_MAX; o->threads_n++)
		add(c, o, o->threads_n, o->threads_n == 1 ? "1" : "2");
}

/// Runs the slice and what warms up for it.
static void visit(struct point *p, unsigned round)
{
	struct frame_run *r = p->run;
	uint64_t n = r->slice_n;
	double value[FRAME_PARTS_MAX] = { 0 };

	r->slice_n = n / WARM_PART;
	if (n < WARM_MAX)
		r->load->slice(r, value);
	r->slice_n = n;
	r->cut_n = 0;
	if (!frame_run_failed(r) && !r->spent)
		r->load->slice(r, value);
	p->cut = p->cut || r->cut_n != 0 || r->short_fill;
	p->ns[round] = value[0] + value[1];
	if (r->spent)
		p->wrong = frame_too_slow;
	else if (frame_run_failed(r))
		p->wrong = frame_run_failed(r);
	else if (p->ns[round] <= 0)
		p->wrong = "slices long enough to be timed";
}

static void stop(struct point *p)
{
	const char *wrong = p->run ? frame_run_stop(p->run) : NULL;

	p->run = NULL;
	p->wrong = wrong ? wrong : p->wrong;
}

/// Blocks' entries lie pages apart, so that a host's page is touched for each few of them:
/// two slices, of half the memory each, do that before anything is timed.
static void touch_blocks(struct frame_run *r, uint64_t limit_ns)
{
	uint64_t limit = r->limit_ns;
	double value[FRAME_PARTS_MAX];

	r->limit_ns = limit_ns;
	for (unsigned i = 0; i < 2 && !r->spent && !frame_run_failed(r); i++)
		r->load->slice(r, value);
	r->limit_ns = limit;
}

static void start(struct point *p)
{
	p->run = frame_run_start(&p->o, &p->wrong);
	if (!p->run)
		return;
	p->too_short = p->run->slice_n < SLICE_MIN;
	if (p->run->slice_n > SLICE_MAX)
		p->run->slice_n = SLICE_MAX;
	if (p->o.load->order)
		touch_blocks(p->run, p->o.limit_ns);
}

static bool measured(const struct point *p)
{
	return !p->wrong && !p->too_short;
}

/// All rounds over the points of the curves.
static void play(struct curve *curve, unsigned curves_n, uint64_t seed)
{
	struct point *all[CURVES_N * POINTS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < curves_n; i++)
		for (unsigned j = 0; j < curve[i].n; j++)
			all[n++] = &curve[i].point[j];
	for (unsigned i = 0; i < n; i++)
		start(all[i]);
	for (unsigned round = 0; round < ROUNDS_N; round++) {
		for (unsigned i = n; i > 1; i--) {
			uint64_t j = random_below(&seed, i);
			struct point *was = all[i - 1u];

			all[i - 1u] = all[j];
			all[j] = was;
		}
		for (unsigned i = 0; i < n; i++)
			if (all[i]->run && measured(all[i]))
				visit(all[i], round);
	}
	for (unsigned i = 0; i < n; i++)
		stop(all[i]);
}

static void report_point(const struct point *p, const struct growth_axis *axis)
{
	double value[ROUNDS_N];
	char name[96];

	if (p->too_short && !p->wrong)
		return;
	snprintf(name, sizeof(name), "frame.growth.%s.%s.%s", p->o.load->name, axis->name,
		 p->label);
	if (p->wrong == frame_too_slow || p->wrong == frame_too_small) {
		report_failed(name, variant_name(&p->o), p->wrong);
	} else if (p->wrong) {
		report_wrong(name, variant_name(&p->o), p->wrong);
	} else {
		memcpy(value, p->ns, sizeof(value));
		report(name, "ns", variant_name(&p->o), p->o.seed, value, ROUNDS_N, p->cut);
	}
}

/// FIGURE of every round, FIGURE.low and FIGURE.high; sorts the rounds.
static void report_median(const struct curve *c, const char *figure, double *rounds,
			  struct fit_median *m)
{
	const struct frame_options *o = &c->point[0].o;
	char name[96];

	snprintf(name, sizeof(name), "frame.growth.%s.%s.%s", o->load->name, c->axis->name, figure);
	report(name, "ratio", variant_name(o), o->seed, rounds, ROUNDS_N, false);
	fit_median(rounds, ROUNDS_N, m);
	strcat(name, ".low");
	report(name, "ratio", variant_name(o), o->seed, &m->low, 1, false);
	strcpy(name + strlen(name) - strlen("low"), "high");
	report(name, "ratio", variant_name(o), o->seed, &m->high, 1, false);
}

/// The slope and the ratio of the ends of each round, of the points that could be measured.
/// Returns: how many these are
static unsigned rounds_of(const struct curve *c, double *slope, double *ends, double *span_ln)
{
	double x[POINTS_MAX], y[POINTS_MAX];
	const struct point *at[POINTS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < c->n; i++)
		if (measured(&c->point[i]))
			at[n++] = &c->point[i];
	for (unsigned round = 0; round < ROUNDS_N && n >= 2; round++) {
		for (unsigned i = 0; i < n; i++) {
			x[i] = fit_ln(at[i]->x);
			y[i] = fit_ln(at[i]->ns[round]);
		}
		slope[round] = fit_slope(x, y, n);
		ends[round] = at[n - 1u]->ns[round] / at[0]->ns[round];
	}
	*span_ln = n >= 2 ? x[n - 1u] - x[0] : 0;
	return n;
}

/// Reports the fit and says it in a line.
static void fit(const struct curve *c, char *text, size_t bytes)
{
	const struct frame_options *o = &c->point[0].o;
	double slope[ROUNDS_N], ends[ROUNDS_N], span_ln;
	unsigned n = rounds_of(c, slope, ends, &span_ln);
	struct growth_interval si, ei;
	struct fit_median s, e;
	char name[96];

	if (n < 2) {
		snprintf(text, bytes, "no fit: too few points");
		return;
	}
	report_median(c, "slope", slope, &s);
	report_median(c, "ends", ends, &e);
	snprintf(name, sizeof(name), "frame.growth.%s.%s.span", o->load->name, c->axis->name);
	report(name, "ratio", variant_name(o), o->seed, &span_ln, 1, false);
	si = (struct growth_interval){ s.low, s.high };
	ei = (struct growth_interval){ e.low, e.high };
	snprintf(text, bytes, "slope %+.3f [%+.3f, %+.3f]  ends %.2f [%.2f, %.2f]  %s%s", s.value,
		 s.low, s.high, e.value, e.low, e.high,
		 growth_word(growth_judge(span_ln, &si, &ei)), n < c->n ? " (of fewer points)" : "");
}

/// The measuring lines come first: a row isn't broken by them.
static void show(const struct curve *c)
{
	const struct frame_options *o = &c->point[0].o;
	char name[96], text[160];

	for (unsigned i = 0; i < c->n; i++)
		report_point(&c->point[i], c->axis);
	fit(c, text, sizeof(text));
	printf("%-11s %-6s", o->load->name, o->variant ? "kmm" : o->back->name);
	for (unsigned i = 0; i < c->n; i++) {
		const struct point *p = &c->point[i];
		double y;

		snprintf(name, sizeof(name), "frame.growth.%s.%s.%s", o->load->name, c->axis->name,
			 p->label);
		y = report_value(name, variant_name(o));
		if (y < 0)
			printf(" %7s ", "-");
		else
			printf(" %7.2f%s", y, p->cut ? "~" : " ");
	}
	printf("  %s\n", text);
	fflush(stdout);
}

typedef void points_of(struct curve *c, struct frame_options *o);

static void over(const char *axis, const struct frame_options *base, const struct grown *g,
		 points_of *points)
{
	static struct curve curve[CURVES_N];
	unsigned n = g->lines ? 2 : 1;

	memset(curve, 0, sizeof(curve));
	for (unsigned i = 0; i < n; i++) {
		struct frame_options o = *base;

		o.load = frame_load_find(g->load);
		if (i == 1) {
			o.variant = NULL;
			o.back = &frame_lines;
		}
		curve[i].axis = growth_axis_find(axis);
		points(&curve[i], &o);
	}
	fprintf(stderr, "growth over %s: %s\n", axis, g->load);
	play(curve, n, base->seed);
	for (unsigned i = 0; i < n; i++)
		show(&curve[i]);
}

void frame_growth(const struct frame_options *o)
{
	const unsigned grown_n = sizeof(grown) / sizeof(grown[0]);

	printf("growth of %s, ns, configuration %08x: medians of %d rounds over all points of a "
	       "row and of its\nfloor, each round in another order. Slopes by Theil and Sen on "
	       "log-log scales, ends: the last point\nover the first, with intervals at %.1f %% "
	       "over the rounds. flat: both change by less than %.0f %%\nover the whole axis; "
	       "lines: a bare driver that touches a byte a frame\n", o->variant->name,
	       variant_hash(o->variant), ROUNDS_N, 100 * fit_confidence(ROUNDS_N),
	       100 * (GROWTH_FLAT - 1));
	printf("\nover memory: 64 MiB to 1 TiB in steps of 4; at most %llu Mi single frames are "
	       "held,\nthe rest of what is held in 2 MiB blocks\n",
	       (unsigned long long)(HOLD_MAX >> 20));
	for (unsigned i = 0; i < grown_n; i++)
		over("memory", o, &grown[i], points_of_memory);
	printf("\nover fill: 0, 50, 75, 90, 97, 99, 99.7, 99.9 %% of 4 GiB; slope over 1 / (free "
	       "share)\n");
	for (unsigned i = 0; i < grown_n; i++)
		if (grown[i].fill)
			over("fill", o, &grown[i], points_of_fill);
	printf("\nover threads: 1, 2 on 4 GiB\n");
	for (unsigned i = 0; i < grown_n; i++)
		over("threads", o, &grown[i], points_of_threads);
}
