/* What the commands share: complaints, options, bodies. */
#include "run/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

int cli_fail(enum cli_exit code, const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "pagemill: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	return code;
}

int cli_usage(const struct command *self)
{
	fprintf(stderr, "usage: pagemill %s %s\n%s", self->name, self->operands,
		self->details ? self->details : "");
	return EXIT_USAGE;
}

int cli_worse(int a, int b)
{
	static const int rank[] = { [EXIT_AGREE] = 0,   [EXIT_TOOL] = 1,  [EXIT_USAGE] = 2,
				    [EXIT_FINDING] = 5, [EXIT_GUEST] = 4, [EXIT_MISSING] = 3 };

	return rank[a] >= rank[b] ? a : b;
}

const char *cli_next(struct cli_args *a)
{
	return a->at < a->argc ? a->argv[a->at++] : NULL;
}

bool cli_word(struct cli_args *a, const char *arg, const char *name, const char **value)
{
	const char *v;

	if (strcmp(arg, name))
		return false;
	v = cli_next(a);
	if (v)
		*value = v;
	else
		a->fault = arg;
	return true;
}

bool cli_number(struct cli_args *a, const char *arg, const char *name, uint64_t min,
		uint64_t max, uint64_t *value)
{
	const char *word = NULL;
	char *end;
	uint64_t v;

	if (!cli_word(a, arg, name, &word))
		return false;
	if (!word)
		return true;
	errno = 0;
	v = strtoull(word, &end, 0);
	if (errno || *end || end == word || *word == '-' || v < min || v > max)
		a->fault = arg;
	else
		*value = v;
	return true;
}

bool cli_flag(const char *arg, const char *name, bool *value)
{
	if (strcmp(arg, name))
		return false;
	*value = true;
	return true;
}

bool cli_start_option(struct cli_args *a, const char *arg, struct body_options *o)
{
	uint64_t v = o->cpus_n;

	if (cli_word(a, arg, "--format", &o->format) || cli_word(a, arg, "--preset", &o->preset) ||
	    cli_number(a, arg, "--frames", 64, 1u << 22, &o->frames_n) ||
	    cli_number(a, arg, "--seed", 0, UINT64_MAX, &o->seed))
		return true;
	if (!cli_number(a, arg, "--cpus", 1, OPS_CPUS, &v))
		return false;
	o->cpus_n = (unsigned)v;
	return true;
}

/* A binary holds one port, so one of these two: kmm on the simulated machine, or on
 * host threads. The other reference stays null. */
extern const struct body_class body_sim __attribute__((weak));
extern const struct body_class body_threads __attribute__((weak));

const struct body_class *cli_body(const char *name)
{
	if (!strcmp(name, "model"))
		return &body_model;
	if (!strcmp(name, "sim"))
		return &body_sim;
	if (!strcmp(name, "threads"))
		return &body_threads;
	return NULL;
}

int cli_guest_exit(enum guest_end end)
{
	switch (end) {
	case GUEST_DONE:
		return EXIT_AGREE;
	case GUEST_FAILED:
		return EXIT_FINDING;
	case GUEST_NO_QEMU:
	case GUEST_NO_KERNEL:
		return EXIT_MISSING;
	default:
		return EXIT_GUEST;
	}
}
