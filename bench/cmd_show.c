/// pagemill show: the latest figure of every series, one line each.
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "store.h"

static void print_row(sqlite3_stmt *st, bool tsv)
{
	const char *figure = (const char *)sqlite3_column_text(st, 0);
	const char *variant = (const char *)sqlite3_column_text(st, 1);
	const char *body = (const char *)sqlite3_column_text(st, 2);
	const char *unit = (const char *)sqlite3_column_text(st, 4);
	double value = sqlite3_column_double(st, 3);
	int samples = sqlite3_column_int(st, 5);

	if (tsv)
		printf("%s\t%s\t%s\t%.10g\t%s\t%d\n", figure, variant, body, value, unit, samples);
	else
		printf("%-32s %-10s %-14s %12.2f %-5s %5d\n", figure, variant, body, value, unit,
		       samples);
}

int cmd_show(const struct command *self, int argc, char **argv)
{
	const char *path = STORE_PATH, *format = "text", *filter = "";
	const struct word_option options[] = { { "--db", &path }, { "--format", &format },
					     { "--filter", &filter } };
	unsigned rows = 0;
	sqlite3_stmt *st;
	struct store s;
	bool tsv;

	if (!commands_parse(self, argc, argv, options, 3, NULL, 0, NULL))
		return EXIT_USAGE;
	tsv = strcmp(format, "tsv") == 0;
	if (!tsv && strcmp(format, "text") != 0)
		return cli_fail(EXIT_USAGE, "show: --format is tsv or text, not '%s'", format);
	if (!store_open(&s, path, STORE_READ) ||
	    !(st = store_query(&s,
			       "SELECT figure, variant, body, value, unit, samples FROM latest "
			       "WHERE status = 'ok' AND substr(figure, 1, length(?1)) = ?1 "
			       "ORDER BY figure, body, variant",
			       1, &filter)))
		return cli_fail(EXIT_TOOL, "show: %s", s.error);
	if (tsv)
		puts("figure\tvariant\tbody\tvalue\tunit\tsamples");
	for (; sqlite3_step(st) == SQLITE_ROW; rows++)
		print_row(st, tsv);
	sqlite3_finalize(st);
	store_close(&s);
	return rows ? EXIT_AGREE :
		      cli_fail(EXIT_USAGE, "show: no figure begins with '%s'", filter);
}
