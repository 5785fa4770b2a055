/// The page's sections. Each says what it shows in one line, so that a reader who
/// opens the page for the first time can judge it.
#include <string.h>

#include "page.h"

/// A preset's figure in a row that groups by figure; blank where it has none.
#define PRESET_CELL(preset) \
	"CASE WHEN max(variant = '" preset "') THEN printf('%.1f', max(value) FILTER " \
	"(WHERE variant = '" preset "')) ELSE '' END"

#define NIGHT \
	"(SELECT coalesce((SELECT max(id) FROM session WHERE kind = 'night'), 0))"

static bool heading(struct page *p, const char *title, const char *lead)
{
	fprintf(p->out, "<h2>%s</h2>\n<p class=\"note\">%s</p>\n", title, lead);
	return true;
}

static bool table_or(struct page *p, const char *head, const char *sql, const char *otherwise)
{
	int rows = page_table(p, head, sql);

	if (rows == 0)
		fprintf(p->out, "<p>%s</p>\n", otherwise);
	return rows >= 0;
}

bool page_verdict(struct page *p)
{
	double failed = page_number(p, "SELECT count(*) FROM verdict WHERE ok = 0 AND session_id "
				       ">= " NIGHT, 0);
	double passed = page_number(p, "SELECT count(*) FROM verdict WHERE ok = 1 AND session_id "
				       ">= " NIGHT, 0);
	double broken = page_number(p, "SELECT count(*) FROM latest WHERE status <> 'ok'", 0);
	double found = page_number(p, "SELECT count(*) FROM finding WHERE fault = '' AND found = 1 "
				      "AND session_id >= " NIGHT, 0);
	bool good = failed == 0 && broken == 0 && found == 0 && passed > 0;

	fprintf(p->out, "<div class=\"verdict %s\">%s %.0f checks passed, %.0f failed; %.0f "
			"measurements failed; %.0f new fuzz findings.</div>\n",
		good ? "good" : "bad", good ? "All clear:" : "Look here:", passed, failed, broken,
		found);
	heading(p, "Health of the harness",
		"Which bodies ran in this night, and what they were asked.");
	if (!table_or(p, "body|figures|newest session|failed figures",
		      "SELECT series.body, count(*), max(run.session_id), "
		      "CASE WHEN sum(run.status <> 'ok') > 0 THEN '!' ELSE '+' END || "
		      "sum(run.status <> 'ok') FROM series JOIN run ON run.series_id = series.id "
		      "WHERE run.session_id >= " NIGHT " GROUP BY series.body ORDER BY 1",
		      "No body measured anything in the newest night."))
		return false;
	fprintf(p->out, "<details%s><summary>All checks of the night</summary>\n",
		failed > 0 ? " open" : "");
	if (!table_or(p, "check|body|verdict|note",
		      "SELECT subject, body, CASE WHEN ok THEN '+ok' ELSE '!failed' END, note "
		      "FROM verdict WHERE session_id >= " NIGHT " ORDER BY ok, subject, body",
		      "No stress program or trace ran in the newest night."))
		return false;
	return fputs("</details>\n", p->out) >= 0;
}

/// Counted figures are repeatable: half a percent is a warning, two a regression. How often
/// threads got in each other's way isn't, though it is a count.
bool page_changes(struct page *p)
{
	heading(p, "Changes in counted figures",
		"Instructions against the run before, per series; +0.5 % warns, +2 % is a "
		"regression. Wall times only advise and are not judged here.");
	return table_or(
		p, "figure|variant|body|before|now|change",
		"WITH medians AS (SELECT run.series_id AS series_id, run.id AS id, "
		"median.value AS value, row_number() OVER (PARTITION BY run.series_id "
		"ORDER BY run.id DESC) AS age FROM run JOIN median ON median.run_id = run.id "
		"WHERE run.status = 'ok') "
		"SELECT metric.name, variant.name, series.body, printf('%.1f', old.value), "
		"printf('%.1f', new.value), CASE WHEN new.value > old.value * 1.02 THEN '!' "
		"WHEN new.value > old.value * 1.005 THEN '~' WHEN new.value < old.value THEN '+' "
		"ELSE ' ' END || printf('%+.2f %%', 100.0 * (new.value / old.value - 1)) "
		"FROM medians AS new JOIN medians AS old ON old.series_id = new.series_id AND "
		"new.age = 1 AND old.age = 2 JOIN series ON series.id = new.series_id "
		"JOIN metric ON metric.id = series.metric_id JOIN variant ON variant.id = "
		"series.variant_id WHERE metric.unit IN ('insn', 'count') AND metric.name "
		"NOT LIKE '%.waits' AND old.value > 0 AND "
		"abs(new.value / old.value - 1) > 0.001 ORDER BY new.value / old.value DESC",
		"No counted figure moved by more than 0.1 %, or there is only one night yet.");
}

/// Writes a table figure × column as plot data. Returns columns, or 0.
static unsigned pivot(struct page *p, const char *path_name, char *path, size_t path_bytes,
		      const char *columns_sql, const char *rows_sql, const char *cell_sql)
{
	FILE *f = page_data(p, path_name, path, path_bytes);
	sqlite3_stmt *columns = store_query(p->store, columns_sql, 0, NULL);
	sqlite3_stmt *rows = store_query(p->store, rows_sql, 0, NULL);
	char name[8][64];
	unsigned n = 0;

	if (!f || !columns || !rows)
		return 0;
	fprintf(f, "figure");
	for (; n < 8 && sqlite3_step(columns) == SQLITE_ROW; n++) {
		snprintf(name[n], sizeof(name[n]), "%s", sqlite3_column_text(columns, 0));
		fprintf(f, "\t%s", name[n]);
	}
	while (sqlite3_step(rows) == SQLITE_ROW) {
		const char *figure = (const char *)sqlite3_column_text(rows, 0);

		fprintf(f, "\n%s", figure);
		for (unsigned i = 0; i < n; i++) {
			const char *arg[] = { figure, name[i] };
			sqlite3_stmt *cell = store_query(p->store, cell_sql, 2, arg);

			if (cell && sqlite3_step(cell) == SQLITE_ROW)
				fprintf(f, "\t%.2f", sqlite3_column_double(cell, 0));
			else
				fprintf(f, "\t?");
			sqlite3_finalize(cell);
		}
	}
	fprintf(f, "\n");
	fclose(f);
	sqlite3_finalize(columns);
	sqlite3_finalize(rows);
	return n;
}

bool page_variants(struct page *p)
{
	char path[128], settings[64];
	unsigned n;

	heading(p, "Variants side by side",
		"Presets on the same work, host wall time, medians in nanoseconds a pair.");
	n = pivot(p, "variants", path, sizeof(path),
		  "SELECT DISTINCT variant FROM latest WHERE body = 'host' AND figure LIKE "
		  "'frame.%' AND unit = 'ns' AND variant IN (SELECT variant FROM latest WHERE "
		  "figure LIKE 'object.%') ORDER BY variant = 'pagemill' DESC, variant",
		  "SELECT DISTINCT figure FROM latest WHERE body = 'host' AND unit = 'ns' AND "
		  "(figure LIKE 'frame.%' OR figure LIKE 'object.%') AND figure NOT LIKE '%.p%' AND "
		  "figure NOT LIKE 'frame.growth.%' AND figure NOT LIKE '%.t2%' AND figure NOT LIKE "
		  "'frame.init%' "
		  "ORDER BY figure",
		  "SELECT value FROM latest WHERE figure = ?1 AND variant = ?2 AND body = 'host' "
		  "AND unit = 'ns'");
	if (n == 0)
		return fputs("<p>Nothing measured on the host yet.</p>\n", p->out) >= 0;
	snprintf(settings, sizeof(settings), "columns=%u;", n + 1);
	if (!page_plot(p, "variants", path, settings,
		       "Lower is better. A missing bar: the preset lacks the feature."))
		return false;
	return table_or(
		p, "figure, ns|pagemill|veridian|viperdos|neo|instructions (pagemill)",
		"SELECT figure, " PRESET_CELL("pagemill") ", "
		PRESET_CELL("veridian") ", "
		PRESET_CELL("viperdos") ", "
		PRESET_CELL("neo") ", "
		"coalesce((SELECT printf('%.1f', c.value) FROM latest AS c WHERE c.figure = "
		"l.figure AND c.variant = 'pagemill' AND c.body = 'callgrind'), '') FROM latest AS l "
		"WHERE body = 'host' AND unit = 'ns' AND variant <> 'host' AND figure NOT LIKE "
		"'frame.growth.%' AND figure NOT LIKE '%.t2%' "
		"GROUP BY figure ORDER BY figure",
		"Nothing measured on the host yet.");
}

bool page_kernels(struct page *p)
{
	char path[128], settings[64];
	unsigned n;

	heading(p, "Our kernels beside Linux",
		"Counted instructions (QEMU, -icount shift=0), system-call entry included. Linux: "
		"Debian 6.1 at its defaults in the same QEMU, measured once; its file is "
		"results/reference-linux.tsv.");
	n = pivot(p, "kernels", path, sizeof(path),
		  "SELECT 'qemu-x86_64' WHERE EXISTS (SELECT 1 FROM latest WHERE body = "
		  "'qemu-x86_64') UNION ALL SELECT 'qemu-aarch64' WHERE EXISTS (SELECT 1 FROM "
		  "latest WHERE body = 'qemu-aarch64') UNION ALL SELECT 'linux-x86_64' UNION ALL "
		  "SELECT 'linux-aarch64'",
		  "SELECT DISTINCT figure FROM reference WHERE EXISTS (SELECT 1 FROM latest WHERE "
		  "latest.figure = reference.figure AND latest.body LIKE 'qemu-%') ORDER BY figure",
		  "SELECT value FROM latest WHERE figure = ?1 AND body = ?2 AND unit = 'insn' AND "
		  "variant = 'pagemill' UNION ALL SELECT value FROM reference WHERE figure = ?1 "
		  "AND body = ?2 AND variant = 'base'");
	if (page_number(p, "SELECT count(*) FROM latest WHERE body LIKE 'qemu-%'", 0) == 0)
		return fputs("<p>No kernel measured yet.</p>\n", p->out) >= 0;
	snprintf(settings, sizeof(settings), "columns=%u;", n + 1);
	if (!page_plot(p, "kernels", path, settings, "Lower is better."))
		return false;
	return table_or(
		p, "figure|body|ours|Linux base|Linux lean|ours / lean",
		"SELECT l.figure, l.body, printf('%.0f', l.value), CASE WHEN base.value IS NULL THEN "
		"'' ELSE printf('%.0f', base.value) END, CASE WHEN lean.value IS NULL THEN '' ELSE "
		"printf('%.0f', lean.value) END, CASE WHEN lean.value IS NULL THEN '' WHEN l.value < "
		"lean.value THEN printf('+%.3f', l.value / lean.value) ELSE printf('!%.3f', l.value "
		"/ lean.value) END FROM latest AS l LEFT JOIN "
		"reference AS base ON base.figure = l.figure AND base.variant = 'base' AND "
		"substr(base.body, 7) = substr(l.body, 6) LEFT JOIN reference AS lean ON lean.figure "
		"= l.figure AND lean.variant = 'lean' AND substr(lean.body, 7) = substr(l.body, 6) "
		"WHERE l.body LIKE 'qemu-%' AND l.variant = 'pagemill' ORDER BY lean.value IS NULL, "
		"l.figure, l.body",
		"No kernel measured yet.");
}

/// One block of percentile points from a run's histogram.
static void percentile_block(struct page *p, FILE *f, const char *variant, int64_t run)
{
	char sql[160];
	double total, seen = 0;
	sqlite3_stmt *st;

	snprintf(sql, sizeof(sql), "SELECT sum(n) FROM histogram WHERE run_id = %lld",
		 (long long)run);
	total = page_number(p, sql, 0);
	snprintf(sql, sizeof(sql), "SELECT low, n FROM histogram WHERE run_id = %lld ORDER BY low",
		 (long long)run);
	st = store_query(p->store, sql, 0, NULL);
	if (!st)
		return;
	fprintf(f, "\"%s\"\n", variant);
	while (sqlite3_step(st) == SQLITE_ROW) {
		fprintf(f, "%.5f %.1f\n", 100.0 * seen / total, sqlite3_column_double(st, 0) + 0.5);
		seen += sqlite3_column_double(st, 1);
	}
	fprintf(f, "\n\n");
	sqlite3_finalize(st);
}

bool page_latency(struct page *p)
{
	char path[128], settings[64];
	unsigned blocks = 0;
	sqlite3_stmt *st;
	FILE *f;

	heading(p, "Latency of one frame allocation",
		"churn90: memory 90 % full, a random frame freed before each allocation.");
	f = page_data(p, "percentiles", path, sizeof(path));
	st = store_query(p->store,
			 "SELECT variant, run_id FROM latest WHERE figure = 'frame.churn90.o0.p50' "
			 "AND body = 'host' ORDER BY variant", 0, NULL);
	if (!f || !st)
		return false;
	for (; sqlite3_step(st) == SQLITE_ROW; blocks++)
		percentile_block(p, f, (const char *)sqlite3_column_text(st, 0),
				 sqlite3_column_int64(st, 1));
	sqlite3_finalize(st);
	fclose(f);
	if (blocks == 0)
		return fputs("<p>No latency histogram yet.</p>\n", p->out) >= 0;
	snprintf(settings, sizeof(settings), "blocks=%u;", blocks);
	return page_plot(p, "percentiles", path, settings,
			 "Each tick to the right is one more nine. The timer's own cost is the "
			 "figure timer.pair.");
}

bool page_fuzz(struct page *p)
{
	heading(p, "Fuzzing",
		"Planted faults: how many seeds found each, and how fast, from an empty corpus. "
		"The unmodified tree: hours spent and what was found.");
	return table_or(
		p, "engine|variant|fault|found|hours|seconds to a find|shortest trace|oracles",
		"SELECT engine, CASE variant WHEN '' THEN '(any)' ELSE variant END, CASE fault WHEN '' THEN '(none planted)' ELSE fault END, CASE WHEN "
		"fault = '' AND sum(found) > 0 THEN '!' WHEN fault <> '' AND sum(found) * 10 < "
		"count(*) * 9 THEN '!' ELSE '+' END || sum(found) || ' of ' || count(*), "
		"printf('%.2f', sum(seconds) / 3600), printf('%.1f', avg(CASE WHEN found THEN seconds END)), min(CASE WHEN found THEN "
		"ops_n END), group_concat(DISTINCT CASE WHEN found THEN oracle END) FROM finding "
		"GROUP BY engine, variant, fault ORDER BY fault, variant, engine",
		"No fuzz run recorded yet.");
}

bool page_environment(struct page *p)
{
	heading(p, "Environment", "Of the newest sessions; a series breaks where it changes.");
	if (!table_or(p, "session|started|kind|revision|cpu|kernel|compiler|QEMU",
		      "SELECT session.id, started, kind, substr(hash, 1, 12) || CASE dirty WHEN 1 "
		      "THEN '+' ELSE '' END, cpu || ' ×' || cores, kernel, compiler, qemu FROM "
		      "session JOIN machine ON machine.id = machine_id JOIN toolchain ON "
		      "toolchain.id = toolchain_id JOIN revision ON revision.id = revision_id "
		      "ORDER BY session.id DESC LIMIT 8", "No session."))
		return false;
	fputs("<details><summary>All latest figures</summary>\n", p->out);
	if (!table_or(p, "figure|variant|body|value|unit|samples",
		      "SELECT figure, variant, body, printf('%.2f', value), unit, samples FROM latest "
		      "ORDER BY figure, body, variant", "None."))
		return false;
	return fputs("</details>\n", p->out) >= 0;
}
