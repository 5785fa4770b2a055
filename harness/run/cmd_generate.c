/* pagemill generate */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/generate.h"
#include "run/cli.h"

struct wish {
	uint64_t seed, ops_n, user, order_max, frames_max, together;
	bool fail, no_fail, frame_ops, binary;
	const char *out;
};

static bool take(struct cli_args *a, const char *arg, struct wish *w)
{
	return cli_number(a, arg, "--seed", 0, UINT64_MAX, &w->seed) ||
	       cli_number(a, arg, "--ops", 1, OPS_FILE_MAX, &w->ops_n) ||
	       cli_number(a, arg, "--user", 1, 100, &w->user) ||
	       cli_number(a, arg, "--order-max", 1, OPS_ORDER_MAX, &w->order_max) ||
	       cli_number(a, arg, "--frames-max", 64, 1u << 22, &w->frames_max) ||
	       cli_number(a, arg, "--together", 0, 100, &w->together) ||
	       cli_flag(arg, "--frame-ops", &w->frame_ops) ||
	       cli_flag(arg, "--fail", &w->fail) || cli_flag(arg, "--no-fail", &w->no_fail) ||
	       cli_flag(arg, "--binary", &w->binary) || cli_word(a, arg, "-o", &w->out);
}

static int generate(const struct wish *w)
{
	struct generate_options o = { .seed = w->seed, .ops_n = (uint32_t)w->ops_n,
				      .user_percent = (unsigned)w->user,
				      .order_max = (unsigned)w->order_max,
				      .frames_max = (uint32_t)w->frames_max,
				      .fails = w->fail,
				      .frame_ops = w->frame_ops,
				      .together_percent = (unsigned)w->together };
	struct op *ops = calloc(o.ops_n, sizeof(*ops));
	char comment[160], why[256];
	const char *fault;

	if (!ops)
		return cli_fail(EXIT_TOOL, "generate: out of memory");
	ops_generate(ops, &o);
	snprintf(comment, sizeof(comment), "generated: seed %llu, %u operations%s%s",
		 (unsigned long long)o.seed, o.ops_n, o.fails ? ", with failures" : "",
		 o.together_percent ? ", with concurrent sections" : "");
	fault = ops_save(w->out, ops, o.ops_n, w->binary ? OPS_BINARY : OPS_TEXT, comment, why,
			 sizeof(why));
	free(ops);
	return fault ? cli_fail(EXIT_TOOL, "%s", fault) : EXIT_AGREE;
}

int cmd_generate(const struct command *self, int argc, char **argv)
{
	struct wish w = { .seed = 1, .ops_n = 1000, .out = "-" };
	struct cli_args a = { .argc = argc, .at = 1, .argv = argv };
	const char *arg;

	while ((arg = cli_next(&a))) {
		if (!take(&a, arg, &w))
			return cli_usage(self);
		if (a.fault)
			return cli_fail(EXIT_USAGE, "generate: bad value for %s", a.fault);
	}
	if (w.fail && w.no_fail)
		return cli_fail(EXIT_USAGE, "generate: --fail contradicts --no-fail");
	return generate(&w);
}
