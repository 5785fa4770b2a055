/// The command line's commands on the result store; rows of run/pagemill.c's table.
#ifndef COMMANDS_H
#define COMMANDS_H

#include "run/cli.h"

#define STORE_PATH "results/pagemill.db"

int cmd_record(const struct command *self, int argc, char **argv);
int cmd_finding(const struct command *self, int argc, char **argv);
int cmd_verdict(const struct command *self, int argc, char **argv);
int cmd_show(const struct command *self, int argc, char **argv);
int cmd_report(const struct command *self, int argc, char **argv);

/// An option that takes a word, and where the word goes.
struct word_option {
	const char *name;
	const char **value;
};

/// Takes options, and up to words_max other words (*words_n of them; NULL: none
/// allowed). Returns false after a complaint.
bool commands_parse(const struct command *self, int argc, char **argv,
		    const struct word_option *option, unsigned options_n, const char **words,
		    unsigned words_max, unsigned *words_n);

#endif
