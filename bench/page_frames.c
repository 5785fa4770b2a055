/// Frames side by side: every preset and every policy on the same work, the latency of
/// 2 MiB blocks, and how figures grow with memory. All of it is read from the newest run
/// of each series; what was never measured is left out and said to be missing.
#include "page_frames.h"

#include <string.h>

enum { VARIANTS_MAX = 16, NAME_BYTES = 64 };

/// The main loads, by one thread on 4 GiB.
#define MAIN_FIGURES                                                                       \
	"('frame.repeat.o0', 'frame.bulk.o0', 'frame.batch64.o0', 'frame.rand.o0', "           \
	"'frame.churn90.o0', 'frame.burst.o0', 'frame.mixed', 'frame.repeat.o9', "             \
	"'frame.bulk.o9', 'frame.churn90.o9', 'frame.failed.o0')"

/// Presets first, then policies.
#define VARIANTS_SQL                                                                       \
	"SELECT DISTINCT variant FROM latest WHERE body = 'host' AND figure IN " MAIN_FIGURES    \
	" ORDER BY instr(variant, '+') > 0, variant <> 'pagemill', variant LIMIT 16"

struct names {
	char name[VARIANTS_MAX][NAME_BYTES];
	unsigned n;
};

static bool missing(struct page *p, const char *what)
{
	return fprintf(p->out, "<p>%s</p>\n", what) >= 0;
}

static bool read_names(struct page *p, const char *sql, struct names *out)
{
	sqlite3_stmt *st = store_query(p->store, sql, 0, NULL);

	out->n = 0;
	if (!st) {
		snprintf(p->error, sizeof(p->error), "%s", p->store->error);
		return false;
	}
	for (; out->n < VARIANTS_MAX && sqlite3_step(st) == SQLITE_ROW; out->n++)
		snprintf(out->name[out->n], NAME_BYTES, "%s", sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return true;
}

/// The newest median; a negative number if there is none.
static double value_of(struct page *p, const char *figure, const char *variant)
{
	const char *arg[] = { figure, variant };
	sqlite3_stmt *st = store_query(p->store, "SELECT value FROM latest WHERE figure = ?1 AND "
				       "variant = ?2 AND body = 'host' AND status = 'ok'", 2, arg);
	double value = -1;

	if (st && sqlite3_step(st) == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL)
		value = sqlite3_column_double(st, 0);
	sqlite3_finalize(st);
	return value;
}

/// Bars: a row a figure, a column a variant.
static bool bars(struct page *p, const struct names *figures, const struct names *variants)
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

static void table(struct page *p, const struct names *figures, const struct names *variants)
{
	fputs("<details open><summary>As numbers</summary>\n<table><tr><th>ns</th>", p->out);
	for (unsigned v = 0; v < variants->n; v++) {
		fputs("<th>", p->out);
		page_text(p, variants->name[v]);
		fputs("</th>", p->out);
	}
	for (unsigned i = 0; i < figures->n; i++) {
		double value[VARIANTS_MAX], best = -1;

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

static bool latencies(struct page *p, const struct names *variants)
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
		return missing(p, "No latencies of 2 MiB blocks yet.");
	snprintf(settings, sizeof(settings), "blocks=%u;", blocks);
	return page_plot(p, "percentiles", path, settings,
			 "churn90 of 2 MiB blocks: memory 90 % full, a random block freed before "
			 "each allocation. Each tick to the right is one more nine.");
}

/// GiB of a label like "64m", "4g", "1t".
static double gib_of(const char *label)
{
	double n = 0;

	for (; *label >= '0' && *label <= '9'; label++)
		n = 10 * n + (*label - '0');
	return *label == 'm' ? n / 1024 : *label == 't' ? n * 1024 : n;
}

/// A curve: one load's points over memory.
static bool curve(struct page *p, FILE *f, const char *load, const char *variant)
{
	static const char *const sizes[] = { "64m", "256m", "1g",   "4g",
					     "16g", "64g",  "256g", "1t" };
	char figure[128];
	unsigned n = 0;

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		double value;

		snprintf(figure, sizeof(figure), "frame.growth.%s.memory.%s", load, sizes[i]);
		value = value_of(p, figure, variant);
		if (value <= 0)
			continue;
		if (n++ == 0)
			fprintf(f, "\"%s%s\"\n", load, strcmp(variant, "lines") ? "" : ", lines");
		fprintf(f, "%.4f %.3f\n", gib_of(sizes[i]), value);
	}
	if (n)
		fprintf(f, "\n\n");
	return n != 0;
}

/// All loads' curves of a variant; a load's place is its colour. Returns: how many
static unsigned curves(struct page *p, FILE *f, const struct names *loads, const char *variant,
		       char *colours, size_t bytes)
{
	unsigned n = 0;

	for (unsigned i = 0; i < loads->n; i++) {
		if (!curve(p, f, loads->name[i], variant))
			continue;
		snprintf(colours + strlen(colours), bytes - strlen(colours), "%u ", i + 1u);
		n++;
	}
	return n;
}

/// The variant whose growth was measured last.
static bool grown_variant(struct page *p, struct names *out)
{
	return read_names(p,
			  "SELECT variant FROM latest WHERE figure LIKE 'frame.growth.%' AND body "
			  "= 'host' AND variant <> 'lines' ORDER BY run_id DESC LIMIT 1", out);
}

static bool growth(struct page *p)
{
	struct names loads, grown;
	char path[128], settings[128], colours[64] = "";
	unsigned blocks = 0, solid;
	FILE *f;

	fputs("<h3>Growth</h3>\n<p class=\"note\">Figures over simulated memory from 64 MiB to "
	      "1 TiB. The dashed ones, lines, are a bare driver that touches a byte a frame: what "
	      "cache misses alone cost.</p>\n", p->out);
	if (!grown_variant(p, &grown) ||
	    !read_names(p,
			"SELECT DISTINCT substr(figure, 14, instr(figure, '.memory.') - 14) FROM "
			"latest WHERE figure LIKE 'frame.growth.%.memory.1g' AND body = 'host' "
			"ORDER BY 1", &loads))
		return false;
	if (loads.n == 0 || grown.n == 0)
		return missing(p, "Not measured yet (pagemill-bench --growth frames --record).");
	f = page_data(p, "growth", path, sizeof(path));
	if (!f)
		return false;
	blocks = curves(p, f, &loads, grown.name[0], colours, sizeof(colours));
	solid = blocks;
	blocks += curves(p, f, &loads, "lines", colours, sizeof(colours));
	fclose(f);
	snprintf(settings, sizeof(settings), "solid=%u; blocks=%u; colours='%s';", solid, blocks,
		 colours);
	if (blocks == 0 || !page_plot(p, "growth", path, settings, grown.name[0]))
		return blocks == 0;
	return page_table(p, "slope of|variant|slope|from|to",
			  "SELECT substr(s.figure, 14), s.variant, printf('%+.3f', s.value), "
			  "coalesce(printf('%+.3f', low.value), ''), coalesce(printf('%+.3f', "
			  "high.value), '') FROM latest AS s LEFT JOIN latest AS low ON low.figure "
			  "= s.figure || '.low' AND low.variant = s.variant AND low.body = s.body "
			  "LEFT JOIN latest AS high ON high.figure = s.figure || '.high' AND "
			  "high.variant = s.variant AND high.body = s.body WHERE s.figure LIKE "
			  "'frame.growth.%.slope' AND s.body = 'host' ORDER BY 1, 2") >= 0;
}

bool page_frames(struct page *p)
{
	struct names figures, variants;

	fputs("<h2>Frame policies side by side</h2>\n<p class=\"note\">Presets, and the pagemill "
	      "preset with each frame policy (pagemill+POLICY), on the same work: 4 GiB simulated, "
	      "one thread, its CPU time. Nanoseconds a pair of get and put; failed: a get that "
	      "finds nothing.</p>\n", p->out);
	if (!read_names(p, VARIANTS_SQL, &variants) ||
	    !read_names(p, "SELECT DISTINCT figure FROM latest WHERE body = 'host' AND figure IN "
			   MAIN_FIGURES " ORDER BY figure", &figures))
		return false;
	if (figures.n == 0)
		return missing(p, "No frame load measured on the host yet.");
	if (!bars(p, &figures, &variants))
		return false;
	table(p, &figures, &variants);
	return latencies(p, &variants) && growth(p);
}
