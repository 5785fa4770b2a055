/// Pieces that every section of the page is made of: escaped text, tables from
/// queries, and plots by gnuplot, inlined as SVG.
#include "page.h"

#include <stdlib.h>
#include <string.h>

void page_text(struct page *p, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", p->out);
			break;
		case '>':
			fputs("&gt;", p->out);
			break;
		case '&':
			fputs("&amp;", p->out);
			break;
		case '"':
			fputs("&quot;", p->out);
			break;
		default:
			fputc(*text, p->out);
		}
	}
}

static void table_head(struct page *p, const char *head)
{
	fputs("<table><tr><th>", p->out);
	for (; *head; head++)
		if (*head == '|')
			fputs("</th><th>", p->out);
		else
			fputc(*head, p->out);
	fputs("</th></tr>\n", p->out);
}

static void table_cell(struct page *p, const char *text)
{
	static const char marks[] = "+!~";
	static const char *const classes[] = { "good", "bad", "warn" };
	const char *mark = *text ? strchr(marks, *text) : NULL;

	if (mark)
		fprintf(p->out, "<td class=\"%s\">", classes[mark - marks]);
	else
		fputs("<td>", p->out);
	page_text(p, mark ? text + 1 : text);
	fputs("</td>", p->out);
}

int page_table(struct page *p, const char *head, const char *sql)
{
	sqlite3_stmt *st = store_query(p->store, sql, 0, NULL);
	int rows = 0;

	if (!st) {
		snprintf(p->error, sizeof(p->error), "%s", p->store->error);
		return -1;
	}
	for (; sqlite3_step(st) == SQLITE_ROW; rows++) {
		if (rows == 0)
			table_head(p, head);
		fputs("<tr>", p->out);
		for (int c = 0; c < sqlite3_column_count(st); c++) {
			const char *text = (const char *)sqlite3_column_text(st, c);

			table_cell(p, text ? text : "");
		}
		fputs("</tr>\n", p->out);
	}
	sqlite3_finalize(st);
	if (rows)
		fputs("</table>\n", p->out);
	return rows;
}

double page_number(struct page *p, const char *sql, double fallback)
{
	sqlite3_stmt *st = store_query(p->store, sql, 0, NULL);
	double value = fallback;

	if (st && sqlite3_step(st) == SQLITE_ROW)
		value = sqlite3_column_double(st, 0);
	sqlite3_finalize(st);
	return value;
}

FILE *page_data(struct page *p, const char *name, char *path, size_t path_bytes)
{
	FILE *f;

	snprintf(path, path_bytes, "%s/%s.tsv", p->work, name);
	f = fopen(path, "w");
	if (!f)
		snprintf(p->error, sizeof(p->error), "%s: cannot write plot data", path);
	return f;
}

/// Copies an SVG without its XML prologue, which HTML doesn't take.
static bool inline_svg(struct page *p, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[4096];
	bool inside = false;

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		inside = inside || strncmp(line, "<svg", 4) == 0;
		if (inside)
			fputs(line, p->out);
	}
	fclose(f);
	return inside;
}

bool page_plot(struct page *p, const char *name, const char *data, const char *settings,
	       const char *caption)
{
	char command[1024], svg[128];

	snprintf(svg, sizeof(svg), "%s/%s.svg", p->work, name);
	snprintf(command, sizeof(command),
		 "gnuplot -e \"data='%s'; output='%s'; %s\" '%s/%s.gp' >'%s/gnuplot.log' 2>&1", data,
		 svg, settings, p->templates, name, p->work);
	fprintf(p->out, "<figure>\n");
	if (system(command) != 0 || !inline_svg(p, svg)) {
		snprintf(p->error, sizeof(p->error), "gnuplot failed on %s/%s.gp (is it installed?)",
			 p->templates, name);
		return false;
	}
	fprintf(p->out, "<figcaption class=\"note\">%s</figcaption></figure>\n", caption);
	return true;
}
