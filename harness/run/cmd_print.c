/* pagemill print */
#include <stdlib.h>

#include "run/cli.h"

int cmd_print(const struct command *self, int argc, char **argv)
{
	struct cli_args a = { .argc = argc, .at = 1, .argv = argv };
	const char *arg, *path = NULL, *out = "-", *fault;
	bool binary = false;
	struct ops_trace t;
	char why[512];

	while ((arg = cli_next(&a))) {
		if (cli_flag(arg, "--binary", &binary) || cli_word(&a, arg, "-o", &out)) {
			if (a.fault)
				return cli_usage(self);
			continue;
		}
		if (path || (arg[0] == '-' && arg[1]))
			return cli_usage(self);
		path = arg;
	}
	if (!path)
		return cli_usage(self);
	if (ops_load(path, &t, why, sizeof(why)))
		return cli_fail(EXIT_USAGE, "%s", why);
	fault = ops_save(out, t.ops, t.ops_n, binary ? OPS_BINARY : OPS_TEXT, NULL, why,
			 sizeof(why));
	free(t.ops);
	return fault ? cli_fail(EXIT_TOOL, "%s", fault) : EXIT_AGREE;
}
