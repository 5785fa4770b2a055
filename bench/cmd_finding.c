/// pagemill finding, pagemill verdict: single rows, for scripts.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "store.h"

/// Opens the store on the newest session of `kind`; prints why if it can't.
static bool open_session(struct store *s, const char *path, const char *kind, const char *command)
{
	if (store_open(s, path, STORE_WRITE) && store_session_resume(s, kind))
		return true;
	cli_fail(EXIT_TOOL, "%s: %s", command, s->error);
	return false;
}

static int close_session(struct store *s, bool ok, const char *command)
{
	if (!ok)
		cli_fail(EXIT_TOOL, "%s: %s", command, s->error);
	store_close(s);
	return ok ? 0 : EXIT_TOOL;
}

/// The whole file as text; NULL if it can't be read.
static char *read_text(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &room, '\0', f) < 0 && !feof(f)) {
		free(text);
		text = NULL;
	}
	fclose(f);
	return text ? text : calloc(1, 1);
}

/// A whole word that is a number.
static bool number(const char *text, uint64_t *out)
{
	char *end;

	*out = strtoull(text, &end, 0);
	return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

/// Does the line begin with this word?
static bool begins(const char *line, const char *word)
{
	size_t n = strlen(word);

	return strncmp(line, word, n) == 0 && (line[n] == ' ' || line[n] == '\n' || !line[n]);
}

/// Rows that only say in which order things happened are no operations.
static bool is_operation(const char *line)
{
	static const char *const others[] = { "pagemill", "switch", "defer", "stale", "walk" };

	if (line[0] < 'a' || line[0] > 'z')
		return false;
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (begins(line, others[i]))
			return false;
	return true;
}

static unsigned operations_in(const char *trace)
{
	unsigned n = 0;

	for (const char *at = trace; at && *at; at = strchr(at, '\n'), at += at != NULL)
		n += is_operation(at);
	return n;
}

int cmd_finding(const struct command *self, int argc, char **argv)
{
	const char *path = STORE_PATH, *seed = "", *found = "", *seconds = "0", *execs = "0";
	const char *trace = NULL, *kind = "fuzz";
	struct store_finding f = { .engine = "", .fault = "", .variant = "", .oracle = "" };
	const struct word_option options[] = {
		{ "--db", &path },	 { "--kind", &kind },	  { "--engine", &f.engine },
		{ "--fault", &f.fault }, { "--seed", &seed },	  { "--found", &found },
		{ "--seconds", &seconds }, { "--execs", &execs }, { "--oracle", &f.oracle },
		{ "--trace", &trace },	 { "--variant", &f.variant } };
	uint64_t found_n;
	struct store s;
	char *text;
	int code;

	if (!commands_parse(self, argc, argv, options, 11, NULL, 0, NULL))
		return EXIT_USAGE;
	if (!f.engine[0] || !number(seed, &f.seed) || !number(found, &found_n) || found_n > 1 ||
	    !number(execs, &f.execs))
		return cli_fail(EXIT_USAGE, "finding: --engine, --seed and --found 0|1 are needed");
	text = trace ? read_text(trace) : NULL;
	if (trace && !text)
		return cli_fail(EXIT_USAGE, "finding: %s: cannot read", trace);
	f.found = found_n == 1;
	f.seconds = strtod(seconds, NULL);
	f.trace = text ? text : "";
	f.ops_n = operations_in(text);
	code = EXIT_TOOL;
	if (open_session(&s, path, kind, "finding"))
		code = close_session(&s, store_finding(&s, &f), "finding");
	free(text);
	return code;
}

int cmd_verdict(const struct command *self, int argc, char **argv)
{
	const char *path = STORE_PATH, *kind = "stress", *note = "", *word[3];
	const struct word_option options[] = { { "--db", &path }, { "--kind", &kind },
					     { "--note", &note } };
	unsigned words_n;
	struct store s;

	if (!commands_parse(self, argc, argv, options, 3, word, 3, &words_n))
		return EXIT_USAGE;
	if (words_n != 3 || (strcmp(word[2], "ok") != 0 && strcmp(word[2], "failed") != 0))
		return cli_fail(EXIT_USAGE, "verdict: SUBJECT BODY and ok or failed are needed");
	if (!open_session(&s, path, kind, "verdict"))
		return EXIT_TOOL;
	return close_session(&s, store_verdict(&s, word[0], word[1], word[2][0] == 'o', note),
			     "verdict");
}
