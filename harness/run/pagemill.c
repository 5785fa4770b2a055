/* pagemill: the command line tool. A command is a row of this table. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "run/cli.h"

#define START_OPTIONS                                                     \
	"  --format x86_64|aarch64   page-table format of sim and threads\n" \
	"  --preset NAME             viperdos, veridian, neo or pagemill; +POLICY: with that\n" \
	"                            frame policy, as in pagemill+buddy\n" \
	"  --cpus N, --frames N, --seed S\n"

static const struct command commands[] = {
	{ "replay", "[OPTION…] TRACE…", "play traces on bodies and compare them", cmd_replay,
	  "  --body NAME               model, sim, threads, qemu-x86_64, qemu-aarch64 or all\n"
	  "                            (model, sim in both formats, both guests); default sim\n"
	  START_OPTIONS
	  "  --thorough                all checks after every operation\n"
	  "  --explain                 print every operation with its outcomes, and of concurrent\n"
	  "                            sections who did what when\n"
	  "  --explain=all             the same, nothing folded\n"
	  "  --flip table:N|contents:N|model:N   turn over one bit after N operations:\n"
	  "                            the verdict must change\n"
	  "  --timeout S               per operation (guests: in all); default 20 (120)\n"
	  "  --kernel FILE, --log FILE, --icount   for guests\n" },
	{ "generate", "[OPTION…] [-o FILE]", "make a random trace", cmd_generate,
	  "  --seed S, --ops N         default 1, 1000\n"
	  "  --user PERCENT            share of user operations; default 70\n"
	  "  --fail, --no-fail         with injected failures, without (default)\n"
	  "  --frame-ops               zones, ranges, memory that comes and goes too\n"
	  "  --together PERCENT        places where a concurrent section begins; default 0\n"
	  "  --order-max N, --frames-max N   bounds of what it takes at once\n"
	  "  --binary                  binary form\n" },
	{ "minimise", "[OPTION…] TRACE -o FILE", "shorten a trace that shows a finding",
	  cmd_minimise,
	  "  --body model|sim|threads  default sim\n"
	  START_OPTIONS
	  "  --runs N, --seconds S     budget; default 5000, 60\n"
	  "  --timeout S               per operation; default 5\n" },
	{ "explore", "[OPTION…] TRACE [-o FILE]", "play a trace's sections under many schedules",
	  cmd_explore,
	  "  --strategy random|pct|all default random\n"
	  "  --depth D                 of PCT; default 3\n"
	  "  --preemptions N, --stale N, --defers N, --walks N\n"
	  "                            bounds of `all`; default 2, 1, 1, 1\n"
	  "  --runs N, --seconds S     budget; default 60 s\n"
	  "  --seed S                  of the schedules\n"
	  "  --timeout S               per run; default 20\n"
	  "  --thorough                all checks after every operation\n"
	  "  --format, --preset, --cpus, --frames   as for replay; 2048 frames\n" },
	{ "litmus", "[OPTION…] [NAME…]", "explore the small clients and their broken twins",
	  cmd_litmus,
	  "  --list                    names and what each shows\n"
	  "  --strategy all|random|pct default all\n"
	  "  --explain                 print the interleaving that failed\n"
	  "  --rates                   how often PCT finds each, against its bound\n" },
	{ "sweep", "[OPTION…] TRACE… [-o FILE]", "fail each allocation of a trace in turn", cmd_sweep,
	  START_OPTIONS
	  "  --timeout S               per operation; default 20\n" },
	{ "print", "[--binary] TRACE [-o FILE]", "print a trace as text, or convert it",
	  cmd_print, NULL },
	{ "boot", "--arch A --run user|bench|stress|panic|hang [OPTION…]",
	  "boot a kernel and print its protocol lines", cmd_boot,
	  "  --arch x86_64|aarch64\n"
	  "  --run panic, --run hang     misbehave, to see that the host notices\n"
	  "  --initrd FILE, --arg WORD   the user program and its argument\n"
	  "  --preset NAME, --cpus N, --frames N, --memory MIB\n"
	  "  --numa N                    1 to 4 nodes of equal size\n"
	  "  --append WORDS              for the kernel's command line (kernel-glue/README.md)\n"
	  "  --kernel FILE, --cpu MODEL, --timeout S, --log FILE\n"
	  "  --icount                  counted instructions\n" },
	{ "record", "[OPTION…] <LINES", "store measuring lines (bench/README.md)", cmd_record,
	  "  --db FILE, --body BODY, --variant NAME\n"
	  "  --kind KIND               begin a session of this kind\n"
	  "  --resume KIND             go on with the newest session of this kind\n" },
	{ "finding", "--engine E --seed N --found 0|1 [OPTION…]", "store one fuzz run's outcome",
	  cmd_finding,
	  "  --fault NAME, --variant PRESET, --seconds S, --execs N, --oracle NAME, --trace FILE\n"
	  "  --kind KIND, --db FILE\n" },
	{ "verdict", "SUBJECT BODY ok|failed [OPTION…]", "store one verdict", cmd_verdict,
	  "  --note TEXT, --kind KIND, --db FILE\n" },
	{ "show", "[--format tsv|text] [--filter PREFIX] [--db FILE]", "print the latest figures",
	  cmd_show, NULL },
	{ "report", "[--db FILE] [--output FILE]", "write the page", cmd_report,
	  "  --templates DIR, --reference TSV\n" },
};

#define COMMANDS (sizeof(commands) / sizeof(*commands))

static int help(void)
{
	printf("usage: pagemill COMMAND …\n");
	for (unsigned i = 0; i < COMMANDS; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	printf("`pagemill COMMAND --help` says more; exit codes: harness/README.md\n");
	return EXIT_AGREE;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return cli_fail(EXIT_USAGE, "no command (pagemill help)");
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help"))
		return help();
	for (unsigned i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		if (argc > 2 && !strcmp(argv[2], "--help")) {
			printf("usage: pagemill %s %s\n%s", commands[i].name,
			       commands[i].operands,
			       commands[i].details ? commands[i].details : "");
			return EXIT_AGREE;
		}
		return commands[i].run(&commands[i], argc - 1, argv + 1);
	}
	return cli_fail(EXIT_USAGE, "unknown command '%s' (pagemill help)", argv[1]);
}
