/* pagemill replay: every trace on every body asked for; a line of verdict each. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/cli.h"
#include "run/timeline.h"

struct replay {
	struct player_options play;
	const char *body, *flip, *kernel, *log_path;
	uint64_t timeout_s;
	bool explain, explain_all, icount;
	bool seen;            /* a body of this trace has given a digest … */
	uint64_t digest;      /* … this one, which all must give */
	char seen_by[48];
	const char *path;
	struct ops_trace t;
};

static int verdict(const struct replay *r, const char *body, int code, const char *why)
{
	printf("%s\n", code == EXIT_AGREE ? " agree" : code == EXIT_FINDING ? " FINDING" :
						       " failed");
	return code == EXIT_AGREE ? code :
	       cli_fail((enum cli_exit)code, "%s: %s: %s", r->path, body, why);
}

/* Bodies that met nothing but what ample memory gives must agree among themselves. */
static int compare(struct replay *r, const char *body, uint64_t digest)
{
	char why[160];

	if (r->seen && digest != r->digest) {
		snprintf(why, sizeof(why), "digest %016" PRIx64 ", but %s gave %016" PRIx64,
			 digest, r->seen_by, r->digest);
		return verdict(r, body, EXIT_FINDING, why);
	}
	r->seen = true;
	r->digest = digest;
	snprintf(r->seen_by, sizeof(r->seen_by), "%s", body);
	return verdict(r, body, EXIT_AGREE, NULL);
}

/* Rows that say what happens at once: outcomes depend on an order that only sim knows. */
static bool has_sections(const struct ops_trace *t)
{
	for (uint32_t i = 0; i < t->ops_n; i++)
		if (t->ops[i].code == OP_TOGETHER)
			return true;
	return false;
}

/* Plays it, and tells how it went if asked to. */
static void play(const struct replay *r, struct player_options *o, struct player_result *res)
{
	unsigned timeout_s = r->timeout_s ? (unsigned)r->timeout_s : 20;
	struct timeline *t = NULL;

	if (r->explain) {
		t = timeline_make(r->t.ops, r->t.ops_n, o->start.cpus_n ? o->start.cpus_n : 2);
		if (!t)
			cli_fail(EXIT_TOOL, "%s: no memory for a timeline", r->path);
	}
	if (t) {
		o->on_op = timeline_op;
		o->on_step = timeline_step;
		o->ctx = t;
	}
	player_run_isolated(r->t.ops, r->t.ops_n, o, timeout_s, res);
	if (t) {
		timeline_print(t, stdout, r->explain_all, &res->finding);
		timeline_free(t);
	}
}

static int on_host(struct replay *r, const char *name, const char *format)
{
	struct player_options o = r->play;
	struct player_result res;
	char body[48], why[FINDING_TEXT_BYTES + 48];

	snprintf(body, sizeof(body), "%s/%s", name, format);
	if (!strcmp(name, "model"))
		snprintf(body, sizeof(body), "model");
	o.body = cli_body(name);
	o.start.format = format;
	if (!o.body)
		return cli_fail(EXIT_MISSING, "no body '%s' in this build", name);
	if (has_sections(&r->t) && !o.body->together)
		fprintf(stderr, "%s: %s: plays concurrent sections in the order of the trace\n",
			r->path, body);
	play(r, &o, &res);
	if (res.refused[0])
		return cli_fail(EXIT_USAGE, "%s: %s: %s", r->path, body, res.refused);
	printf("%s %s ops=%u skipped=%u followed=%u digest=%016" PRIx64, r->path, body,
	       res.ops_done, res.skipped_n, res.followed_n, res.digest);
	if (res.sections_n)
		printf(" sections=%u points=%u", res.sections_n, res.points_n);
	if (res.finding.oracle != ORACLE_NONE) {
		snprintf(why, sizeof(why), "%s: operation %u: %s", oracle_text[res.finding.oracle],
			 res.finding.op_index, res.finding.text);
		return verdict(r, body, EXIT_FINDING, why);
	}
	if (o.flip != FLIP_NONE && !res.flipped)
		return verdict(r, body, EXIT_USAGE, "--flip: nothing there to turn over");
	if (o.flip != FLIP_NONE)
		fprintf(stderr, "%s: %s: a bit was turned over, and nobody noticed\n", r->path,
			body);
	if (res.followed_n || has_sections(&r->t))
		return verdict(r, body, EXIT_AGREE, NULL);
	return compare(r, body, res.digest);
}

static int in_guest(struct replay *r, const char *arch)
{
	struct guest_replay g = { .arch = arch, .kernel = r->kernel, .log_path = r->log_path,
				  .play = r->play, .explain = r->explain, .icount = r->icount,
				  .timeout_s = (unsigned)r->timeout_s };
	char body[48];
	int code;

	snprintf(body, sizeof(body), "qemu-%s", arch);
	if (r->play.flip == FLIP_BODY_TABLE)
		return cli_fail(EXIT_USAGE, "%s: a guest's tables can't be reached: use sim", body);
	if (r->play.start.frames_n == CLI_FRAMES)
		g.play.start.frames_n = 0; /* all it has */
	code = guest_replay(&r->t, &g);
	if (code == EXIT_USAGE)
		return cli_fail(EXIT_USAGE, "%s: %s: %s", r->path, body, g.why);
	printf("%s %s ops=%u digests=%u followed=%u digest=%016" PRIx64, r->path, body, r->t.ops_n,
	       g.digests_n, g.followed_n, g.digest);
	if (code != EXIT_AGREE || g.followed_n)
		return verdict(r, body, code, g.why);
	return compare(r, body, g.digest);
}

static bool has_failures(const struct ops_trace *t)
{
	for (uint32_t i = 0; i < t->ops_n; i++)
		if (t->ops[i].code == OP_FAIL)
			return true;
	return false;
}

static int on_all(struct replay *r)
{
	int code = on_host(r, "model", "x86_64");

	code = cli_worse(code, on_host(r, "sim", "x86_64"));
	code = cli_worse(code, on_host(r, "sim", "aarch64"));
	if (has_failures(&r->t) || has_sections(&r->t)) {
		fprintf(stderr, "%s: %s: not for guests\n", r->path,
			has_sections(&r->t) ? "has concurrent sections" : "injects failures");
		return code;
	}
	code = cli_worse(code, in_guest(r, "x86_64"));
	return cli_worse(code, in_guest(r, "aarch64"));
}

static int one_trace(struct replay *r, const char *path)
{
	const char *format = r->play.start.format ? r->play.start.format : "x86_64";
	char why[512];
	int code;

	r->path = path;
	r->seen = false;
	if (ops_load(path, &r->t, why, sizeof(why)))
		return cli_fail(EXIT_USAGE, "%s", why);
	if (!strcmp(r->body, "all"))
		code = on_all(r);
	else if (!strncmp(r->body, "qemu-", 5))
		code = in_guest(r, r->body + 5);
	else
		code = on_host(r, r->body, format);
	free(r->t.ops);
	return code;
}

static bool parse_flip(struct replay *r)
{
	static const struct {
		const char *word;
		enum player_flip flip;
	} kinds[] = { { "table:", FLIP_BODY_TABLE },
		      { "contents:", FLIP_BODY_CONTENTS },
		      { "model:", FLIP_MODEL } };
	char *end;

	for (unsigned i = 0; i < 3; i++) {
		size_t n = strlen(kinds[i].word);

		if (strncmp(r->flip, kinds[i].word, n) || r->flip[n] < '0' || r->flip[n] > '9')
			continue;
		r->play.flip = kinds[i].flip;
		r->play.flip_after = (uint32_t)strtoul(r->flip + n, &end, 10);
		return *end == 0;
	}
	return false;
}

static bool take(struct cli_args *a, const char *arg, struct replay *r)
{
	return cli_start_option(a, arg, &r->play.start) || cli_word(a, arg, "--body", &r->body) ||
	       cli_word(a, arg, "--flip", &r->flip) || cli_word(a, arg, "--kernel", &r->kernel) ||
	       cli_word(a, arg, "--log", &r->log_path) ||
	       cli_number(a, arg, "--timeout", 1, 36000, &r->timeout_s) ||
	       cli_flag(arg, "--thorough", &r->play.thorough) ||
	       cli_flag(arg, "--explain", &r->explain) ||
	       cli_flag(arg, "--explain=all", &r->explain_all) ||
	       cli_flag(arg, "--icount", &r->icount);
}

static const char *bad_wish(struct replay *r)
{
	static const char *const bodies[] = { "model", "sim", "threads", "qemu-x86_64",
					      "qemu-aarch64", "all" };
	const char *format = r->play.start.format;

	if (format && strcmp(format, "x86_64") && strcmp(format, "aarch64"))
		return "unknown format (x86_64 or aarch64)";
	if (r->flip && !parse_flip(r))
		return "--flip takes table:N, contents:N or model:N";
	for (unsigned i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
		if (!strcmp(r->body, bodies[i]))
			return NULL;
	return "unknown body (model, sim, threads, qemu-x86_64, qemu-aarch64 or all)";
}

int cmd_replay(const struct command *self, int argc, char **argv)
{
	struct replay r = { .body = "sim", .play.start.frames_n = CLI_FRAMES };
	struct cli_args a = { .argc = argc, .at = 1, .argv = argv };
	int code = EXIT_AGREE, traces_n = 0;
	const char *arg;

	while ((arg = cli_next(&a))) {
		if (take(&a, arg, &r)) {
			if (a.fault)
				return cli_fail(EXIT_USAGE, "replay: bad value for %s", a.fault);
			continue;
		}
		if (arg[0] == '-' && arg[1])
			return cli_usage(self);
		argv[1 + traces_n++] = argv[a.at - 1];
	}
	r.explain |= r.explain_all;
	if (!traces_n)
		return cli_usage(self);
	if (bad_wish(&r))
		return cli_fail(EXIT_USAGE, "replay: %s", bad_wish(&r));
	for (int i = 0; i < traces_n; i++)
		code = cli_worse(code, one_trace(&r, argv[1 + i]));
	return code;
}
