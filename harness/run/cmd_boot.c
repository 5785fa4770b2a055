/* pagemill boot */
#include <stdio.h>
#include <string.h>

#include "run/cli.h"

struct boot {
	struct guest_options o;
	const char *run, *arg, *preset, *append;
	uint64_t cpus, frames, memory, nodes, timeout;
};

static bool take(struct cli_args *a, const char *arg, struct boot *b)
{
	return cli_word(a, arg, "--arch", &b->o.arch) || cli_word(a, arg, "--run", &b->run) ||
	       cli_word(a, arg, "--arg", &b->arg) || cli_word(a, arg, "--preset", &b->preset) ||
	       cli_word(a, arg, "--append", &b->append) ||
	       cli_word(a, arg, "--initrd", &b->o.initrd) ||
	       cli_word(a, arg, "--kernel", &b->o.kernel) ||
	       cli_word(a, arg, "--cpu", &b->o.qemu_cpu) ||
	       cli_word(a, arg, "--log", &b->o.log_path) ||
	       cli_number(a, arg, "--cpus", 1, OPS_CPUS, &b->cpus) ||
	       cli_number(a, arg, "--frames", 64, 1u << 22, &b->frames) ||
	       cli_number(a, arg, "--memory", 16, 1u << 16, &b->memory) ||
	       cli_number(a, arg, "--numa", 1, GUEST_NODES_MAX, &b->nodes) ||
	       cli_number(a, arg, "--timeout", 1, 36000, &b->timeout) ||
	       cli_flag(arg, "--icount", &b->o.icount);
}

static bool print_line(void *ctx, const char *verb, const char *rest)
{
	(void)ctx;
	printf("@%s%s%s\n", verb, *rest ? " " : "", rest);
	fflush(stdout);
	return true;
}

static int boot(struct boot *b)
{
	char command[400], why[512];
	enum guest_end end;
	int n = snprintf(command, sizeof(command), "run=%s", b->run);
	struct {
		const char *key, *word;
		uint64_t number;
	} words[] = { { "preset", b->preset, 0 },
		      { "cpus", NULL, b->cpus },
		      { "frames", NULL, b->frames },
		      { "arg", b->arg, 0 } };

	for (unsigned i = 0; i < 4 && n < (int)sizeof(command); i++) {
		if (words[i].word)
			n += snprintf(command + n, sizeof(command) - (size_t)n, " %s=%s",
				      words[i].key, words[i].word);
		else if (words[i].number)
			n += snprintf(command + n, sizeof(command) - (size_t)n, " %s=%llu",
				      words[i].key, (unsigned long long)words[i].number);
	}
	if (b->append && n < (int)sizeof(command))
		n += snprintf(command + n, sizeof(command) - (size_t)n, " %s", b->append);
	if (n >= (int)sizeof(command))
		return cli_fail(EXIT_USAGE, "boot: the kernel's command line is too long");
	b->o.command = command;
	b->o.cpus_n = (unsigned)b->cpus;
	b->o.memory_mib = (unsigned)b->memory;
	b->o.nodes_n = (unsigned)b->nodes;
	b->o.timeout_s = (unsigned)b->timeout;
	end = guest_run(&b->o, print_line, NULL, why, sizeof(why));
	return end == GUEST_DONE ? EXIT_AGREE : cli_fail(cli_guest_exit(end), "%s", why);
}

int cmd_boot(const struct command *self, int argc, char **argv)
{
	static const char *const runs[] = { "user", "bench", "stress", "trace", "panic",
					    "hang" };
	struct cli_args a = { .argc = argc, .at = 1, .argv = argv };
	struct boot b = { 0 };
	const char *arg;
	bool known = false;

	while ((arg = cli_next(&a))) {
		if (!take(&a, arg, &b))
			return cli_usage(self);
		if (a.fault)
			return cli_fail(EXIT_USAGE, "boot: bad value for %s", a.fault);
	}
	if (!b.o.arch || !b.run)
		return cli_usage(self);
	if (strcmp(b.o.arch, "x86_64") && strcmp(b.o.arch, "aarch64"))
		return cli_fail(EXIT_USAGE, "boot: unknown architecture '%s'", b.o.arch);
	for (unsigned i = 0; i < sizeof(runs) / sizeof(*runs); i++)
		known |= !strcmp(b.run, runs[i]);
	if (!known)
		return cli_fail(EXIT_USAGE, "boot: unknown run '%s'", b.run);
	return boot(&b);
}
