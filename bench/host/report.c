/// Figures of this run, in the order in which they were measured.
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workload.h"

static struct figure *figures;
static unsigned figures_n, figures_room;
static bool lines = true, any_wrong;

void report_lines(bool on)
{
	lines = on;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void sort_values(double *value, unsigned n)
{
	qsort(value, n, sizeof(*value), compare);
}

double median_of(const double *value, unsigned n)
{
	return n == 0 ? 0 : (value[(n - 1u) / 2u] + value[n / 2u]) / 2;
}

static struct figure *add(const char *name, const char *variant)
{
	struct figure *f;

	if (figures_n == figures_room) {
		figures_room = figures_room * 2u + 64u;
		figures = realloc(figures, figures_room * sizeof(*figures));
		if (!figures)
			work_failed("no memory for figures");
	}
	f = &figures[figures_n++];
	memset(f, 0, sizeof(*f));
	snprintf(f->name, sizeof(f->name), "%s", name);
	snprintf(f->variant, sizeof(f->variant), "%s", variant);
	return f;
}

void report(const char *name, const char *unit, const char *variant, uint64_t seed, double *value,
	    unsigned n, bool cut)
{
	struct figure *f = add(name, variant);

	if (lines) /* in the order in which they were measured */
		measure_report(name, unit, variant, seed, value, n);
	sort_values(value, n);
	f->min = value[0];
	f->median = median_of(value, n);
	f->n = n;
	f->cut = cut;
}

void report_hist(const char *name, const char *variant, uint64_t seed, const struct hist *h)
{
	static const struct {
		const char *suffix;
		double q;
	} quantile[] = { { "p50", 0.5 }, { "p99", 0.99 }, { "p999", 0.999 } };

	for (unsigned i = 0; i < sizeof(quantile) / sizeof(quantile[0]); i++) {
		double value = hist_quantile(h, quantile[i].q);
		char full[128];

		if (value < 0)
			continue;
		snprintf(full, sizeof(full), "%s.%s", name, quantile[i].suffix);
		add(full, variant)->median = value;
	}
	if (lines)
		measure_report_hist(name, variant, seed, h);
}

void report_failed(const char *name, const char *variant, const char *why)
{
	struct figure *f = add(name, variant);

	snprintf(f->failed, sizeof(f->failed), "%s", why);
	fprintf(stderr, "pagemill-bench: %s of %s is not measured: %s\n", name, variant, why);
}

void report_wrong(const char *name, const char *variant, const char *why)
{
	report_failed(name, variant, why);
	any_wrong = true;
}

bool report_any_wrong(void)
{
	return any_wrong;
}

const struct figure *report_find(const char *name, const char *variant)
{
	for (unsigned i = figures_n; i-- > 0;)
		if (strcmp(figures[i].name, name) == 0 && strcmp(figures[i].variant, variant) == 0)
			return &figures[i];
	return NULL;
}

double report_value(const char *name, const char *variant)
{
	const struct figure *f = report_find(name, variant);

	return f && !f->failed[0] ? f->median : -1.0;
}
