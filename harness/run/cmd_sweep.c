/* pagemill sweep: fails each allocation of a trace in turn.
 *
 * For each operation and each class of allocation the trace is played with its first
 * attempt failing, then its second, and so on, until an attempt is asked for that the
 * operation never makes: then it has run with every one of them failed. After each
 * failure all checks run: an operation that failed must have left everything as it was.
 *
 * Operations that the trace itself makes fail are left as they are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/text.h"
#include "run/cli.h"

#define CLASSES_N 3u
#define KTH_MAX 255u

struct sweep {
	struct player_options play;
	unsigned timeout_s;
	const char *path, *out;
	struct ops_trace t;
	struct op *ops; /* [t.ops_n + 1]: the trace with one failure in it */
	uint32_t failures_n, runs_n;
	bool said;
};

static void insert_failure(struct sweep *s, uint32_t at, unsigned class, unsigned kth)
{
	memcpy(s->ops, s->t.ops, at * sizeof(*s->ops));
	s->ops[at] = (struct op){ .code = OP_FAIL, .arg = { (uint16_t)class, (uint16_t)kth } };
	memcpy(s->ops + at + 1, s->t.ops + at, (s->t.ops_n - at) * sizeof(*s->ops));
}

static int found(struct sweep *s, uint32_t at, const struct player_result *r)
{
	char comment[FINDING_TEXT_BYTES + 320], line[OPS_LINE_BYTES], why[512];
	const struct body_options *o = &s->play.start;

	ops_print(line, &s->ops[at]);
	if (s->out) {
		snprintf(comment, sizeof(comment),
			 "oracle: %s\nfinding: operation %u: %s\n"
			 "body: sim, format %s, preset %s, cpus %u, frames %llu, seed %llu",
			 oracle_text[r->finding.oracle], r->finding.op_index, r->finding.text,
			 o->format ? o->format : "x86_64", o->preset ? o->preset : "pagemill",
			 o->cpus_n ? o->cpus_n : 2, (unsigned long long)o->frames_n,
			 (unsigned long long)o->seed);
		if (ops_save(s->out, s->ops, s->t.ops_n + 1, OPS_TEXT, comment, why, sizeof(why)))
			return cli_fail(EXIT_TOOL, "%s", why);
	}
	return cli_fail(EXIT_FINDING, "%s: '%s' before operation %u: %s: operation %u: %s",
			s->path, line, at, oracle_text[r->finding.oracle], r->finding.op_index,
			r->finding.text);
}

/* A line that is written over while someone looks. */
static void progress(struct sweep *s, uint32_t at)
{
	if (!isatty(STDERR_FILENO) || s->runs_n % 64)
		return;
	fprintf(stderr, "\rsweep: operation %u of %u, %u failures", at, s->t.ops_n,
		s->failures_n);
	s->said = true;
}

/* All attempts of one class in one operation. */
static int sweep_class(struct sweep *s, uint32_t at, unsigned class)
{
	struct player_result *r = malloc(sizeof(*r));
	int code = EXIT_AGREE;
	bool injected = true;

	if (!r)
		return cli_fail(EXIT_TOOL, "sweep: out of memory");
	for (unsigned kth = 1; injected && kth <= KTH_MAX && code == EXIT_AGREE; kth++) {
		insert_failure(s, at, class, kth);
		s->runs_n++;
		progress(s, at);
		if (!player_run_isolated(s->ops, s->t.ops_n + 1, &s->play, s->timeout_s, r) ||
		    r->refused[0])
			code = cli_fail(EXIT_USAGE, "%s: %s", s->path, r->refused);
		else if (r->finding.oracle != ORACLE_NONE)
			code = found(s, at, r);
		injected = r->injected_n != 0;
		s->failures_n += injected;
	}
	free(r);
	return code;
}

static bool allocates(const struct op *op)
{
	return ops_table[op->code].side != OP_PLAYER;
}

static int sweep_trace(struct sweep *s)
{
	char why[512];
	int code = EXIT_AGREE;

	if (ops_load(s->path, &s->t, why, sizeof(why)))
		return cli_fail(EXIT_USAGE, "%s", why);
	s->failures_n = s->runs_n = 0;
	s->ops = malloc((s->t.ops_n + 1u) * sizeof(*s->ops));
	if (!s->ops)
		code = cli_fail(EXIT_TOOL, "sweep: out of memory");
	for (uint32_t at = 0; at < s->t.ops_n && code == EXIT_AGREE; at++) {
		bool failing = at > 0 && s->t.ops[at - 1].code == OP_FAIL;

		for (unsigned c = 0; c < CLASSES_N && code == EXIT_AGREE; c++)
			if (allocates(&s->t.ops[at]) && !failing)
				code = sweep_class(s, at, c);
	}
	if (s->said)
		fprintf(stderr, "\n");
	if (code == EXIT_AGREE)
		printf("%s: %u failures, one at a time, in %u runs: none left a trace\n", s->path,
		       s->failures_n, s->runs_n);
	free(s->ops);
	free(s->t.ops);
	return code;
}

int cmd_sweep(const struct command *self, int argc, char **argv)
{
	struct sweep s = { .play.start.frames_n = CLI_FRAMES, .play.thorough = true,
			   .play.quiet = true };
	struct cli_args a = { .argc = argc, .at = 1, .argv = argv };
	uint64_t timeout = 20;
	int code = EXIT_AGREE, traces_n = 0;
	const char *arg;

	while ((arg = cli_next(&a))) {
		if (cli_start_option(&a, arg, &s.play.start) || cli_word(&a, arg, "-o", &s.out) ||
		    cli_number(&a, arg, "--timeout", 1, 3600, &timeout)) {
			if (a.fault)
				return cli_fail(EXIT_USAGE, "sweep: bad value for %s", a.fault);
			continue;
		}
		if (arg[0] == '-' && arg[1])
			return cli_usage(self);
		argv[1 + traces_n++] = argv[a.at - 1];
	}
	if (!traces_n)
		return cli_usage(self);
	s.timeout_s = (unsigned)timeout;
	s.play.body = cli_body("sim");
	if (!s.play.body)
		return cli_fail(EXIT_MISSING, "sweep: no simulated machine in this build");
	for (int i = 0; i < traces_n && code == EXIT_AGREE; i++) {
		s.path = argv[1 + i];
		code = sweep_trace(&s);
	}
	return code;
}
