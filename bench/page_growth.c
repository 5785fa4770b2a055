/// How frame figures grow with memory, fill and threads; what of it cache misses explain;
/// and how many 2 MiB blocks stay whole.
#include <string.h>

#include "growth.h"
#include "page_frames.h"

#define BLOCKS_IN_GIB 512.0

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
		value = page_value(p, figure, variant, "host");
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
static unsigned curves(struct page *p, FILE *f, const struct page_names *loads,
		       const char *variant, char *colours, size_t bytes)
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

static bool plot(struct page *p, const struct page_names *loads, const char *variant)
{
	char path[128], settings[128], colours[64] = "";
	unsigned blocks, solid;
	FILE *f = page_data(p, "growth", path, sizeof(path));

	if (!f)
		return false;
	solid = curves(p, f, loads, variant, colours, sizeof(colours));
	blocks = solid + curves(p, f, loads, "lines", colours, sizeof(colours));
	fclose(f);
	if (blocks == 0)
		return true;
	snprintf(settings, sizeof(settings), "solid=%u; blocks=%u; colours='%s';", solid, blocks,
		 colours);
	return page_plot(p, "growth", path, settings, variant);
}

/// One load over one axis, of one variant.
struct fitted {
	double slope, ends, span_ln;
	struct growth_interval slope_in, ends_in;
};

/// FIGURE, FIGURE.low and FIGURE.high: -1 is a possible slope, so that a missing one can't
/// be told by its value alone.
static bool read_median(struct page *p, const char *figure, const char *variant, double *value,
			struct growth_interval *in)
{
	const char *arg[] = { figure, variant };
	sqlite3_stmt *st = store_query(
		p->store, "SELECT m.value, low.value, high.value FROM latest AS m JOIN latest AS "
			  "low ON low.figure = m.figure || '.low' AND low.variant = m.variant AND "
			  "low.body = m.body JOIN latest AS high ON high.figure = m.figure || "
			  "'.high' AND high.variant = m.variant AND high.body = m.body WHERE "
			  "m.figure = ?1 AND m.variant = ?2 AND m.body = 'host'", 2, arg);
	bool found = st && sqlite3_step(st) == SQLITE_ROW;

	if (found) {
		*value = sqlite3_column_double(st, 0);
		in->low = sqlite3_column_double(st, 1);
		in->high = sqlite3_column_double(st, 2);
	}
	sqlite3_finalize(st);
	return found;
}

static bool read_fit(struct page *p, const char *load, const char *axis, const char *variant,
		     struct fitted *f)
{
	char figure[128];

	snprintf(figure, sizeof(figure), "frame.growth.%s.%s.slope", load, axis);
	if (!read_median(p, figure, variant, &f->slope, &f->slope_in))
		return false;
	snprintf(figure, sizeof(figure), "frame.growth.%s.%s.span", load, axis);
	f->span_ln = page_value(p, figure, variant, "host");
	snprintf(figure, sizeof(figure), "frame.growth.%s.%s.ends", load, axis);
	return f->span_ln > 0 && read_median(p, figure, variant, &f->ends, &f->ends_in);
}

/// "0.14 → 1.69" of one level, smallest to largest memory; nothing if not recorded.
static void misses_cell(struct page *p, const char *load, const char *level, const char *variant)
{
	char figure[128];
	double first, last;

	snprintf(figure, sizeof(figure), "frame.misses.%s.4g.%s", load, level);
	first = page_value(p, figure, variant, "callgrind");
	snprintf(figure, sizeof(figure), "frame.misses.%s.1t.%s", load, level);
	last = page_value(p, figure, variant, "callgrind");
	if (first < 0 || last < 0)
		fputs("<td></td>", p->out);
	else
		fprintf(p->out, "<td>%.2f &rarr; %.2f</td>", first, last);
}

static void fit_row(struct page *p, const char *load, const struct growth_axis *axis,
		    const char *variant)
{
	static const char *const classes[] = { "good", "bad", "warn" };
	struct fitted kmm, lines;
	enum growth_verdict v;

	if (!read_fit(p, load, axis->name, variant, &kmm))
		return;
	v = growth_judge(kmm.span_ln, &kmm.slope_in, &kmm.ends_in);
	fputs("<tr><td>", p->out);
	page_text(p, load);
	fprintf(p->out, "</td><td>%s%s</td><td>%+.3f [%+.3f, %+.3f]</td><td>%.2f [%.2f, %.2f]</td>"
			"<td class=\"%s\">%s</td>", axis->name,
		kmm.span_ln < 0.999 * axis->span_ln ? ", a part" : "", kmm.slope, kmm.slope_in.low,
		kmm.slope_in.high, kmm.ends, kmm.ends_in.low, kmm.ends_in.high, classes[v],
		growth_word(v));
	if (read_fit(p, load, axis->name, "lines", &lines))
		fprintf(p->out, "<td>%+.3f [%+.3f, %+.3f]</td><td>%.2f</td>", lines.slope,
			lines.slope_in.low, lines.slope_in.high, lines.ends);
	else
		fputs("<td></td><td></td>", p->out);
	for (unsigned i = 0; i < 2; i++)
		for (unsigned j = 0; j < 2; j++)
			if (strcmp(axis->name, "memory") == 0)
				misses_cell(p, load, i ? "l3" : "l2", j ? "lines" : "pagemill");
			else
				fputs("<td></td>", p->out);
	fputs("</tr>\n", p->out);
}

static void fits(struct page *p, const struct page_names *loads, const char *variant)
{
	fprintf(p->out, "<p class=\"note\">Slopes on log-log scales and the ratio of the axis' "
			"ends, medians of rounds over all points, with intervals of at least 95 %% "
			"each over the rounds. Flat: both change by less than %.0f %% over the whole "
			"axis. Over fill the scale is 1 / (free share), to 99.9 %%. Misses an "
			"operation from 4 GiB to 1 TiB are simulated, of the preset pagemill.</p>\n",
		100 * (GROWTH_FLAT - 1));
	fputs("<table><tr><th>load</th><th>over</th><th>slope</th><th>last / first</th><th></th>"
	      "<th>slope of lines</th><th>last / first</th><th>misses, 1 MiB</th><th>lines</th>"
	      "<th>misses, 32 MiB</th><th>lines</th></tr>\n", p->out);
	for (unsigned a = 0; a < sizeof(growth_axes) / sizeof(growth_axes[0]); a++)
		for (unsigned i = 0; i < loads->n; i++)
			fit_row(p, loads->name[i], &growth_axes[a], variant);
	fputs("</table>\n", p->out);
}

static bool misses(struct page *p)
{
	int rows;

	fputs("<details open><summary>Cache misses an operation, simulated</summary>\n"
	      "<p class=\"note\">By callgrind: 32 KiB first, then 1 MiB (the core's own) or 32 MiB "
	      "(the socket's, if nobody else used it). The driver's own misses are among them: "
	      "lines has those and one byte a frame. TLBs and prefetching aren't simulated.</p>\n",
	      p->out);
	rows = page_table(
		p, "load|variant|32 KiB: 4 GiB|64 GiB|1 TiB|1 MiB: 4 GiB|64 GiB|1 TiB|32 MiB: 4 GiB|"
		   "64 GiB|1 TiB",
#define CELL(suffix)                                                                       \
	"coalesce(printf('%.3f', max(value) FILTER (WHERE figure LIKE '%" suffix "')), '')"
		"SELECT load, variant, " CELL(".4g.d1") ", " CELL(".64g.d1") ", " CELL(".1t.d1") ", "
		CELL(".4g.l2") ", " CELL(".64g.l2") ", " CELL(".1t.l2") ", " CELL(".4g.l3") ", "
		CELL(".64g.l3") ", " CELL(".1t.l3") " FROM (SELECT figure, variant, value, "
		"substr(rest, 1, instr(replace(replace(rest, '.64g.', '.4g.'), '.1t.', '.4g.'), "
		"'.4g.') - 1) AS load FROM (SELECT figure, variant, value, substr(figure, 14) AS rest "
		"FROM latest WHERE figure LIKE 'frame.misses.%' AND body = 'callgrind' AND status = "
		"'ok')) GROUP BY load, variant ORDER BY load, variant DESC");
#undef CELL
	if (rows == 0 && !page_missing(p, "Not counted yet (scripts/misses)."))
		return false;
	return rows >= 0 && fputs("</details>\n", p->out) >= 0;
}

bool page_growth(struct page *p)
{
	struct page_names loads, grown;

	fputs("<h3>Growth</h3>\n<p class=\"note\">Figures over simulated memory from 64 MiB to "
	      "1 TiB. The dashed ones, lines, are a bare driver that touches a byte a frame: what "
	      "cache misses alone cost.</p>\n", p->out);
	/* The variant whose growth was measured last, and its loads. */
	if (!page_read_names(p,
			     "SELECT variant FROM latest WHERE figure LIKE 'frame.growth.%' AND "
			     "body = 'host' AND variant <> 'lines' ORDER BY run_id DESC LIMIT 1",
			     &grown) ||
	    !page_read_names(p,
			     "SELECT DISTINCT substr(figure, 14, instr(figure, '.memory.') - 14) "
			     "FROM latest WHERE figure LIKE 'frame.growth.%.memory.1g' AND body = "
			     "'host' ORDER BY 1", &loads))
		return false;
	if (loads.n == 0 || grown.n == 0)
		return page_missing(p, "Not measured yet (pagemill-bench --growth frames --record).") &&
		       misses(p);
	if (!plot(p, &loads, grown.name[0]))
		return false;
	fits(p, &loads, grown.name[0]);
	return misses(p);
}

/// 2 MiB blocks of the memory that a figure's name tells: 4 GiB, or "frame.LOAD.SIZE.blocks".
static double blocks_of(const char *figure)
{
	const char *size = strchr(figure + strlen("frame."), '.');

	if (!size || strcmp(size, ".blocks") == 0)
		return 4 * BLOCKS_IN_GIB;
	return gib_of(size + 1) * BLOCKS_IN_GIB;
}

/// Bars in per cent, and the same as numbers.
static bool antifrag_shares(struct page *p, const struct page_names *figures,
			    const struct page_names *variants)
{
	char path[128], settings[64];
	FILE *f = page_data(p, "antifrag", path, sizeof(path));

	if (!f)
		return false;
	fputs("<table><tr><th>of all blocks</th>", p->out);
	fputs("variant", f);
	for (unsigned i = 0; i < figures->n; i++)
		fprintf(f, "\t%.*s, %g blocks",
			(int)(strlen(figures->name[i]) - strlen("frame..blocks")),
			figures->name[i] + strlen("frame."), blocks_of(figures->name[i]));
	for (unsigned i = 0; i < figures->n; i++)
		fprintf(p->out, "<th>%s</th>", figures->name[i]);
	fputs("</tr>\n", p->out);
	for (unsigned v = 0; v < variants->n; v++) {
		fputs("<tr><td>", p->out);
		page_text(p, variants->name[v]);
		fprintf(f, "\n%s", variants->name[v]);
		for (unsigned i = 0; i < figures->n; i++) {
			double n = page_value(p, figures->name[i], variants->name[v], "host");
			double all = blocks_of(figures->name[i]);

			fprintf(f, n < 0 ? "\t?" : "\t%.2f", 100 * n / all);
			fprintf(p->out, n < 0 ? "</td><td>-" : "</td><td>%.0f of %.0f", n, all);
		}
		fputs("</td></tr>\n", p->out);
	}
	fputs("</table>\n", p->out);
	fprintf(f, "\n");
	fclose(f);
	snprintf(settings, sizeof(settings), "columns=%u;", figures->n + 1u);
	return page_plot(p, "antifrag", path, settings,
			 "Higher is better. Where there is no bar, the table tells whether no block "
			 "was whole or there is no figure (-): memory of that size couldn't be filled "
			 "in the time allowed, or it wasn't run.");
}

bool page_antifrag(struct page *p)
{
#define WHERE "FROM latest WHERE body = 'host' AND (figure LIKE 'frame.antifrag%.blocks' OR " \
	      "figure LIKE 'frame.deep%.blocks') AND figure NOT LIKE '%.t2.%'"
	struct page_names figures, variants;

	fputs("<h3>Whole blocks after churn</h3>\n<p class=\"note\">All of memory is taken as "
	      "single frames; a random half (antifrag) or tenth (deep) is given back; then random "
	      "frames are given back and taken, some ten times as often as there are frames. "
	      "Counted are the 2 MiB blocks that are wholly free in the end. The same on 256 MiB, "
	      "where the slow policies get done as well: compare within a column.</p>\n", p->out);
	if (!page_read_names(p, "SELECT DISTINCT figure " WHERE " ORDER BY 1", &figures) ||
	    !page_read_names(p, "SELECT DISTINCT variant " WHERE " ORDER BY instr(variant, '+') > 0, "
				"variant <> 'pagemill', variant LIMIT 16", &variants))
		return false;
#undef WHERE
	if (figures.n == 0)
		return page_missing(p, "Not measured yet (pagemill-bench --all --filter frame.).");
	return antifrag_shares(p, &figures, &variants);
}
