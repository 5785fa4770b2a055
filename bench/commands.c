/* Option parsing that the store's commands share. */
#include "commands.h"

#include <string.h>

static bool take(struct cli_args *a, const char *arg, const struct word_option *option, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (cli_word(a, arg, option[i].name, option[i].value))
			return true;
	return false;
}

bool commands_parse(const struct command *self, int argc, char **argv,
		    const struct word_option *option, unsigned options_n, const char **words,
		    unsigned words_max, unsigned *words_n)
{
	struct cli_args a = { .argc = argc, .at = 1, .argv = argv };
	unsigned n = 0;
	const char *arg;

	while ((arg = cli_next(&a))) {
		if (take(&a, arg, option, options_n)) {
			if (a.fault) {
				cli_fail(EXIT_USAGE, "%s: no value behind %s", self->name, a.fault);
				return false;
			}
		} else if (strncmp(arg, "--", 2) != 0 && n < words_max) {
			words[n++] = arg;
		} else {
			cli_fail(EXIT_USAGE, "%s: don't understand '%s' (pagemill %s --help)",
				 self->name, arg, self->name);
			return false;
		}
	}
	if (words_n)
		*words_n = n;
	return true;
}
