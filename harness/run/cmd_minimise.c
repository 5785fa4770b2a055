/* pagemill minimise */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/cli.h"
#include "run/minimise.h"

static void progress(void *ctx, uint32_t ops_n, unsigned runs_n)
{
	uint32_t *said = ctx;

	if (*said && ops_n > *said / 2)
		return; /* a line for each halving */
	*said = ops_n;
	fprintf(stderr, "minimise: %u operations after %u runs\n", ops_n, runs_n);
}

static int save(const struct ops_trace *t, const char *body, const struct minimise_result *r,
		const struct minimise_options *o, const char *out)
{
	const struct body_options *s = &o->play.start;
	char comment[FINDING_TEXT_BYTES + 320], why[512];

	snprintf(comment, sizeof(comment),
		 "oracle: %s\nfinding: operation %u: %s\n"
		 "body: %s, format %s, preset %s, cpus %u, frames %llu, seed %llu",
		 oracle_text[r->last.finding.oracle], r->last.finding.op_index,
		 r->last.finding.text, body, s->format ? s->format : "x86_64",
		 s->preset ? s->preset : "pagemill", s->cpus_n ? s->cpus_n : 2,
		 (unsigned long long)s->frames_n, (unsigned long long)s->seed);
	if (ops_save(out, t->ops, t->ops_n, OPS_TEXT, comment, why, sizeof(why)))
		return cli_fail(EXIT_TOOL, "%s", why);
	fprintf(stderr, "minimise: %u operations, oracle %s, %u runs%s%s: %s\n", t->ops_n,
		oracle_text[r->last.finding.oracle], r->runs_n,
		r->fixed_n ? ", schedule in rows" : "", r->whole ? "" : " (budget used up)", out);
	return EXIT_FINDING;
}

static int shrink(const char *path, const char *body, struct minimise_options *o, const char *out)
{
	struct minimise_result r;
	struct ops_trace t;
	struct op *ops;
	uint32_t said = 0;
	char why[512];
	int code;

	o->play.body = cli_body(body);
	if (!o->play.body)
		return cli_fail(EXIT_MISSING, "minimise: no body '%s' in this build", body);
	if (ops_load(path, &t, why, sizeof(why)))
		return cli_fail(EXIT_USAGE, "%s", why);
	o->room = t.ops_n + SCHED_CHOICES_MAX + 64;
	ops = realloc(t.ops, o->room * sizeof(*ops));
	if (!ops) {
		free(t.ops);
		return cli_fail(EXIT_TOOL, "minimise: out of memory");
	}
	t.ops = ops;
	o->isolated = true;
	o->play.quiet = true;
	o->progress = progress;
	o->ctx = &said;
	t.ops_n = minimise(t.ops, t.ops_n, o, &r);
	if (r.first.refused[0])
		code = cli_fail(EXIT_USAGE, "minimise: %s: %s", body, r.first.refused);
	else if (r.first.finding.oracle == ORACLE_NONE)
		code = cli_fail(EXIT_USAGE, "%s shows nothing on %s: nothing to minimise", path,
				body);
	else
		code = save(&t, body, &r, o, out);
	free(t.ops);
	return code;
}

int cmd_minimise(const struct command *self, int argc, char **argv)
{
	struct minimise_options o = { .play.start.frames_n = CLI_FRAMES };
	struct cli_args a = { .argc = argc, .at = 1, .argv = argv };
	const char *arg, *path = NULL, *out = NULL, *body = "sim";
	uint64_t runs = 0, seconds = 0, timeout = 0;

	while ((arg = cli_next(&a))) {
		if (cli_start_option(&a, arg, &o.play.start) ||
		    cli_word(&a, arg, "--body", &body) || cli_word(&a, arg, "-o", &out) ||
		    cli_number(&a, arg, "--runs", 1, 1u << 30, &runs) ||
		    cli_number(&a, arg, "--seconds", 1, 1u << 20, &seconds) ||
		    cli_number(&a, arg, "--timeout", 1, 3600, &timeout)) {
			if (a.fault)
				return cli_fail(EXIT_USAGE, "minimise: bad value for %s", a.fault);
			continue;
		}
		if (path || (arg[0] == '-' && arg[1]))
			return cli_usage(self);
		path = arg;
	}
	if (!path || !out)
		return cli_usage(self);
	o.runs_max = (unsigned)runs;
	o.seconds_max = (unsigned)seconds;
	o.timeout_s = (unsigned)timeout;
	return shrink(path, body, &o, out);
}
