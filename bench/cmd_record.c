/// pagemill record: reads measuring lines from standard input into the store.
///
///   @run FIGURE UNIT VARIANT SEED VALUE…   a series' samples
///   @bin LOW HIGH N                        a histogram bin of the last @run
///   @figure FIGURE UNIT VALUE SAMPLES      one value (guests; --variant names it)
///   @verdict NAME ok | failed WHY          a stress program's verdict
///
/// Other lines are the guest's log and pass. All or nothing: a malformed line
/// names its number and nothing of the input is stored.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "store.h"

struct recorder {
	struct store store;
	const char *body, *variant;
	int64_t run; /* of the last @run; 0 = none */
	unsigned line_n, stored_n, failed_n;
};

enum line_result { LINE_OK, LINE_MALFORMED, LINE_STORE_FAILED };

static enum line_result stored(bool ok)
{
	return ok ? LINE_OK : LINE_STORE_FAILED;
}

static bool figure_unit_known(const char *unit)
{
	static const char *const units[] = { "ns", "insn", "count", "bytes", "ratio" };

	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(unit, units[i]) == 0)
			return true;
	return false;
}

static enum line_result record_run(struct recorder *r, char *rest)
{
	char figure[96], unit[16], variant[48], *at, *end;
	unsigned long long seed;
	int used = 0;
	unsigned n = 0;

	if (sscanf(rest, "%95s %15s %47s %llu%n", figure, unit, variant, &seed, &used) != 4 ||
	    !figure_unit_known(unit))
		return LINE_MALFORMED;
	if (!store_run(&r->store, figure, unit, variant, r->body, seed, "ok", "", &r->run))
		return LINE_STORE_FAILED;
	for (at = rest + used;; at = end, n++) {
		double value = strtod(at, &end);

		if (end == at)
			break;
		if (!store_sample(&r->store, r->run, n, value))
			return LINE_STORE_FAILED;
	}
	r->stored_n++;
	return n > 0 && at[strspn(at, " \r")] == '\0' ? LINE_OK : LINE_MALFORMED;
}

static enum line_result record_bin(struct recorder *r, const char *rest)
{
	double low, high;
	unsigned long long n;

	if (r->run == 0 || sscanf(rest, "%lf %lf %llu", &low, &high, &n) != 3)
		return LINE_MALFORMED;
	return stored(store_bin(&r->store, r->run, low, high, n));
}

static enum line_result record_figure(struct recorder *r, const char *rest)
{
	char figure[96], unit[16];
	unsigned long long samples;
	double value;

	if (sscanf(rest, "%95s %15s %lf %llu", figure, unit, &value, &samples) != 4 ||
	    !figure_unit_known(unit))
		return LINE_MALFORMED;
	r->stored_n++;
	return stored(store_run(&r->store, figure, unit, r->variant, r->body, 0, "ok", "",
				&r->run) &&
		      store_sample(&r->store, r->run, 0, value));
}

static enum line_result record_verdict(struct recorder *r, const char *rest)
{
	char name[96], word[16];
	int used = 0;

	if (sscanf(rest, "%95s %15s %n", name, word, &used) < 2)
		return LINE_MALFORMED;
	if (strcmp(word, "ok") != 0 && strcmp(word, "failed") != 0)
		return LINE_MALFORMED;
	r->stored_n++;
	r->failed_n += word[0] == 'f';
	return stored(store_verdict(&r->store, name, r->body, word[0] == 'o', rest + used));
}

static enum line_result record_line(struct recorder *r, char *line)
{
	if (strncmp(line, "@run ", 5) == 0)
		return record_run(r, line + 5);
	if (strncmp(line, "@bin ", 5) == 0)
		return record_bin(r, line + 5);
	if (strncmp(line, "@figure ", 8) == 0)
		return record_figure(r, line + 8);
	if (strncmp(line, "@verdict ", 9) == 0)
		return record_verdict(r, line + 9);
	return LINE_OK;
}

static int record_all(struct recorder *r)
{
	char *line = NULL;
	size_t room = 0;
	enum line_result result = LINE_OK;

	while (result == LINE_OK && getline(&line, &room, stdin) > 0) {
		r->line_n++;
		line[strcspn(line, "\n")] = '\0';
		result = record_line(r, line);
	}
	if (result == LINE_MALFORMED)
		cli_fail(EXIT_USAGE, "record: line %u: not a measuring line: %.60s", r->line_n, line);
	free(line);
	if (result == LINE_MALFORMED)
		return EXIT_USAGE;
	if (result == LINE_OK && store_commit(&r->store))
		return EXIT_AGREE;
	return cli_fail(EXIT_TOOL, "record: %s", r->store.error);
}

int cmd_record(const struct command *self, int argc, char **argv)
{
	const char *path = STORE_PATH, *kind = "bench", *resume = NULL;
	struct recorder r = { .body = "host", .variant = "pagemill" };
	const struct word_option options[] = { { "--db", &path },	       { "--body", &r.body },
					     { "--variant", &r.variant }, { "--kind", &kind },
					     { "--resume", &resume } };
	int code;

	if (!commands_parse(self, argc, argv, options, 5, NULL, 0, NULL))
		return EXIT_USAGE;
	if (!store_open(&r.store, path, STORE_WRITE) ||
	    !(resume ? store_session_resume(&r.store, resume) : store_session(&r.store, kind)) ||
	    !store_begin(&r.store))
		return cli_fail(EXIT_TOOL, "record: %s", r.store.error);
	code = record_all(&r);
	store_close(&r.store);
	if (code == 0)
		fprintf(stderr, "pagemill record: %u rows for %s\n", r.stored_n, r.body);
	return code == EXIT_AGREE && r.failed_n ? EXIT_FINDING : code;
}
