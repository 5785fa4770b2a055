/// Frames side by side: every preset and every policy on the same work, how often two
/// threads wait for locks, and the latency of 2 MiB blocks. All of it is read from the
/// newest run of each series; what was never measured is left out and said to be missing.
#include "page_frames.h"

#include <string.h>

/// The main loads, by one thread on 4 GiB.
#define MAIN_FIGURES                                                                       \
	"('frame.repeat.o0', 'frame.bulk.o0', 'frame.batch64.o0', 'frame.rand.o0', "           \
	"'frame.churn90.o0', 'frame.burst.o0', 'frame.mixed', 'frame.repeat.o9', "             \
	"'frame.bulk.o9', 'frame.churn90.o9', 'frame.failed.o0')"

/// Presets first, then policies.
#define VARIANTS_ORDER \
	" ORDER BY instr(variant, '+') > 0, variant <> 'pagemill', variant LIMIT 16"
#define VARIANTS_SQL                                                                       \
	"SELECT DISTINCT variant FROM latest WHERE body = 'host' AND figure IN " MAIN_FIGURES    \
	VARIANTS_ORDER

/// The same loads by two threads: their waits.
#define WAITS_SUFFIX ".t2.waits"
#define WAITS_WHERE                                                                        \
	"FROM latest WHERE body = 'host' AND figure LIKE '%" WAITS_SUFFIX "' AND "               \
	"(replace(figure, '" WAITS_SUFFIX "', '') IN " MAIN_FIGURES                               \
	" OR figure = 'frame.xbatch.o0" WAITS_SUFFIX "')"

bool page_missing(struct page *p, const char *what)
{
	return fprintf(p->out, "<p>%s</p>\n", what) >= 0;
}

bool page_read_names(struct page *p, const char *sql, struct page_names *out)
{
	sqlite3_stmt *st = store_query(p->store, sql, 0, NULL);

	out->n = 0;
	if (!st) {
		snprintf(p->error, sizeof(p->error), "%s", p->store->error);
		return false;
	}
	for (; out->n < PAGE_NAMES_MAX && sqlite3_step(st) == SQLITE_ROW; out->n++)
		snprintf(out->name[out->n], PAGE_NAME_BYTES, "%s", sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return true;
}

double page_value(struct page *p, const char *figure, const char *variant, const char *body)
{
	const char *arg[] = { figure, variant, body };
	sqlite3_stmt *st = store_query(p->store, "SELECT value FROM latest WHERE figure = ?1 AND "
				       "variant = ?2 AND body = ?3 AND status = 'ok'", 3, arg);
	double value = -1;

	if (st && sqlite3_step(st) == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL)
		value = sqlite3_column_double(st, 0);
	sqlite3_finalize(st);
	return value;
}

static double value_of(struct page *p, const char *figure, const char *variant)
{
	return page_value(p, figure, variant, "host");
}

/// Bars: a row a figure, a column a variant.
static bool bars(struct page *p, const struct page_names *figures, const struct page_names *variants)
{
	char path[128], settings[64];
	FILE *f = page_data(p, "frames", path, sizeof(path));

	if (!f)
		return false;
	fprintf(f, "figure");
	for (unsigned v = 0; v < variants->n; v++)
		fprintf(f, "\t%s", variants->name[v]);
	for (unsigned i = 0; i < figures->n; i++) {
		fprintf(f, "\n%s", figures->name[i] + strlen("frame."));
		for (unsigned v = 0; v < variants->n; v++) {
			double value = value_of(p, figures->name[i], variants->name[v]);

			if (value > 0)
				fprintf(f, "\t%.3f", value);
			else
				fprintf(f, "\t?");
		}
	}
	fprintf(f, "\n");
	fclose(f);
	snprintf(settings, sizeof(settings), "columns=%u;", variants->n + 1u);
	return page_plot(p, "frames", path, settings,
			 "Lower is better. A missing bar: too slow to be measured, or not run.");
}

/// A table's first row: what it shows, and a column a variant.
static void table_head(struct page *p, const char *what, const struct page_names *variants)
{
	fprintf(p->out, "<table><tr><th>%s</th>", what);
	for (unsigned v = 0; v < variants->n; v++) {
		fputs("<th>", p->out);
		page_text(p, variants->name[v]);
		fputs("</th>", p->out);
	}
}

static void table(struct page *p, const struct page_names *figures, const struct page_names *variants)
{
	fputs("<details open><summary>As numbers</summary>\n", p->out);
	table_head(p, "ns", variants);
	for (unsigned i = 0; i < figures->n; i++) {
		double value[PAGE_NAMES_MAX], best = -1;

		fputs("</tr>\n<tr><td>", p->out);
		page_text(p, figures->name[i]);
		fputs("</td>", p->out);
		for (unsigned v = 0; v < variants->n; v++) {
			value[v] = value_of(p, figures->name[i], variants->name[v]);
			if (value[v] > 0 && (best < 0 || value[v] < best))
				best = value[v];
		}
		for (unsigned v = 0; v < variants->n; v++) {
			const char *mark = value[v] == best ? " class=\"good\"" : "";

			if (value[v] > 0)
				fprintf(p->out, "<td%s>%.1f</td>", mark, value[v]);
			else
				fputs("<td>-</td>", p->out);
		}
	}
	fputs("</tr>\n</table></details>\n", p->out);
}

/// How often two threads found a lock taken. None at all is marked.
static bool waits(struct page *p)
{
	struct page_names figures, variants;

	fputs("<h3>Waits for locks</h3>\n<p class=\"note\">How often a thread found a lock taken "
	      "and had to wait, in a thousand operations (pairs of get and put) of two threads at "
	      "once. All of kmm's locks count; policies without one show 0. The figures vary "
	      "from run to run.</p>\n", p->out);
	if (!page_read_names(p, "SELECT DISTINCT variant " WAITS_WHERE VARIANTS_ORDER, &variants) ||
	    !page_read_names(p, "SELECT DISTINCT figure " WAITS_WHERE " ORDER BY figure", &figures))
		return false;
	if (figures.n == 0)
		return page_missing(p, "Not measured yet (pagemill-bench --filter frame. "
				       "--threads 2).");
	table_head(p, "waits in 1000", &variants);
	for (unsigned i = 0; i < figures.n; i++) {
		fputs("</tr>\n<tr><td>", p->out);
		page_text(p, figures.name[i]);
		fputs("</td>", p->out);
		for (unsigned v = 0; v < variants.n; v++) {
			double value = value_of(p, figures.name[i], variants.name[v]);

			if (value < 0)
				fputs("<td>-</td>", p->out);
			else if (value == 0)
				fputs("<td class=\"good\">0</td>", p->out);
			else
				fprintf(p->out, "<td>%.3f</td>", value);
		}
	}
	return fputs("</tr>\n</table>\n", p->out) >= 0;
}

/// One block of percentile points from a run's histogram; false if it has none.
static bool percentiles_of(struct page *p, FILE *f, const char *variant)
{
	const char *arg[] = { variant };
	double seen = 0, total = 0;
	sqlite3_stmt *st = store_query(
		p->store, "SELECT low, n, (SELECT sum(n) FROM histogram AS h WHERE h.run_id = "
			  "histogram.run_id) FROM histogram JOIN latest ON latest.run_id = "
			  "histogram.run_id WHERE latest.figure = 'frame.churn90.o9.p50' AND "
			  "latest.variant = ?1 AND latest.body = 'host' ORDER BY low", 1, arg);

	while (st && sqlite3_step(st) == SQLITE_ROW) {
		if (total == 0)
			fprintf(f, "\"%s\"\n", variant);
		total = sqlite3_column_double(st, 2);
		fprintf(f, "%.5f %.1f\n", 100.0 * seen / total, sqlite3_column_double(st, 0) + 0.5);
		seen += sqlite3_column_double(st, 1);
	}
	sqlite3_finalize(st);
	if (total > 0)
		fprintf(f, "\n\n");
	return total > 0;
}

static bool latencies(struct page *p, const struct page_names *variants)
{
	char path[128], settings[64];
	FILE *f = page_data(p, "frame-percentiles", path, sizeof(path));
	unsigned blocks = 0;

	if (!f)
		return false;
	for (unsigned v = 0; v < variants->n; v++)
		blocks += percentiles_of(p, f, variants->name[v]);
	fclose(f);
	if (blocks == 0)
		return page_missing(p, "No latencies of 2 MiB blocks yet.");
	snprintf(settings, sizeof(settings), "blocks=%u;", blocks);
	return page_plot(p, "percentiles", path, settings,
			 "churn90 of 2 MiB blocks: memory 90 % full, a random block freed before "
			 "each allocation. Each tick to the right is one more nine.");
}

bool page_frames(struct page *p)
{
	struct page_names figures, variants;

	fputs("<h2>Frame policies side by side</h2>\n<p class=\"note\">Presets, and the pagemill "
	      "preset with each frame policy (pagemill+POLICY), on the same work: 4 GiB simulated, "
	      "one thread, its CPU time. Nanoseconds a pair of get and put; failed: a get that "
	      "finds nothing.</p>\n", p->out);
	if (!page_read_names(p, VARIANTS_SQL, &variants) ||
	    !page_read_names(p, "SELECT DISTINCT figure FROM latest WHERE body = 'host' AND figure IN "
			   MAIN_FIGURES " ORDER BY figure", &figures))
		return false;
	if (figures.n == 0) {
		page_missing(p, "No frame load measured on the host yet.");
	} else {
		if (!bars(p, &figures, &variants))
			return false;
		table(p, &figures, &variants);
	}
	return page_antifrag(p) && waits(p) && latencies(p, &variants) && page_growth(p);
}
