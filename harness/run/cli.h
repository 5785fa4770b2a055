/// The command line tool's own seams: commands, exit codes, options.
#ifndef CLI_H
#define CLI_H

#include "ops/file.h"
#include "run/guest.h"
#include "run/player.h"

/// Exit codes; harness/README.md says them to users.
enum cli_exit {
	EXIT_AGREE = 0,   /* done; all bodies agree */
	EXIT_TOOL = 1,    /* the tool itself failed: disk, memory */
	EXIT_USAGE = 2,   /* usage, malformed input */
	EXIT_FINDING = 3, /* a finding, a disagreement, a failed verdict */
	EXIT_GUEST = 4,   /* a guest hung, panicked, or ended without its marker */
	EXIT_MISSING = 5, /* QEMU, a kernel image or a body isn't there */
};

/// One command of `pagemill`. argv[0] is its name. To add one, write its run
/// function and add a row to the table in pagemill.c.
struct command {
	const char *name, *operands, *summary;
	int (*run)(const struct command *self, int argc, char **argv);
	const char *details; /* option lines for its usage */
};

int cmd_replay(const struct command *self, int argc, char **argv);
int cmd_generate(const struct command *self, int argc, char **argv);
int cmd_minimise(const struct command *self, int argc, char **argv);
int cmd_print(const struct command *self, int argc, char **argv);
int cmd_sweep(const struct command *self, int argc, char **argv);
int cmd_explore(const struct command *self, int argc, char **argv);
int cmd_litmus(const struct command *self, int argc, char **argv);
int cmd_boot(const struct command *self, int argc, char **argv);

/// Complains on stderr in one line, "pagemill: …". Returns: code
int cli_fail(enum cli_exit code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/// Prints the command's usage on stderr. Returns: EXIT_USAGE
int cli_usage(const struct command *self);

/// The more serious of two exit codes.
int cli_worse(int a, int b);

/// A cursor over arguments. Options are "--name" or "--name VALUE"; "-o" is one too.
struct cli_args {
	int argc, at;
	char **argv;
	const char *fault; /* the option whose value is bad or missing; NULL: none */
};

/// The next argument, or NULL.
const char *cli_next(struct cli_args *a);

/// Its value, when `arg` is the option `name`: a word, or a number in min..max.
/// Returns false if arg is another option. A bad value sets a->fault.
bool cli_word(struct cli_args *a, const char *arg, const char *name, const char **value);
bool cli_number(struct cli_args *a, const char *arg, const char *name, uint64_t min,
		uint64_t max, uint64_t *value);
bool cli_flag(const char *arg, const char *name, bool *value);

/// Options that say how a body starts: --format --preset --cpus --frames --seed.
/// Returns false if arg is none of them.
bool cli_start_option(struct cli_args *a, const char *arg, struct body_options *o);

/// Frames that replayed bodies get unless told: 128 MiB, ample for generated traces.
#define CLI_FRAMES 32768u

/// The body class of that name in this build, or NULL.
const struct body_class *cli_body(const char *name);

/// Maps a guest's end to an exit code.
int cli_guest_exit(enum guest_end end);

/// Plays a trace in a guest and compares every digest with the model's, which follows
/// the guest where there may be no memory.
struct guest_replay {
	const char *arch, *kernel, *log_path;
	struct player_options play; /* start options, flip */
	bool explain, icount;
	unsigned timeout_s;
	uint64_t digest;   /* out: the last one seen */
	uint32_t digests_n;
	uint32_t followed_n; /* out: operations that found no memory, where the model has some */
	char why[FINDING_TEXT_BYTES]; /* out: one line, unless EXIT_AGREE */
};
int guest_replay(const struct ops_trace *t, struct guest_replay *g);

#endif
