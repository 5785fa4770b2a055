/* The fuzz target, the same source for libFuzzer, AFL++ and the replayer.
 *
 * One input is one trace on one configuration; the player runs it on the model and
 * the simulated machine in lockstep, with the checks where `pagemill replay` has them,
 * so that a finding shows there too. A finding is
 * written to $PAGEMILL_FINDINGS as a readable trace that names its oracle, and as the
 * binary form of the same, before the process aborts.
 *
 * A concurrent section draws its schedule from its own seed. In a finding the schedule
 * that was played stands in rows instead, so that taking operations away moves nothing
 * else. It is played once more in that form; should it not show the same, the trace keeps
 * its seed, which always does. $PAGEMILL_STRATEGY (random, pct1 … pct4) is the strategy
 * of every section, whatever the input says; the longest section's points are told at
 * the end, since a PCT bound is worth nothing without them.
 *
 * A crash inside kmm never comes back here: the signal handler writes the trace as it
 * stands, with the oracle `sanitizer`. It runs on its own stack and calls what isn't
 * async-signal-safe; in a process that is about to die this may fail, and then the
 * engine's own copy of the input remains. An execution that takes HANG_SECONDS of CPU
 * time ends the same way, with the oracle `hang`. (CPUs that wait for each other in vain
 * are told by the scheduler, long before that.)
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "fuzz/input.h"
#include "fuzz/target.h"
#include "ops/file.h"
#include "run/player.h"
#include "run/section.h"

#define HANG_SECONDS 5
#define FIXED_OPS_MAX (INPUT_OPS_MAX + SECTION_ROWS_MAX + 2u * SCHED_CPUS_MAX)

static struct input in;
static struct body_options options;
static struct player_result result;
static int strategy = -1;          /* of all sections; -1: as the input says */
static unsigned cpus_max, points_max; /* of any section so far */

static uint64_t input_hash(void)
{
	uint64_t h = OPS_DIGEST_START;

	for (size_t i = 0; i < INPUT_HEADER_BYTES; i++)
		h = ops_fold(h, in.header[i]);
	for (size_t i = 0; i < in.ops_n; i++) {
		uint64_t word[2] = { 0 };

		memcpy(word, &in.ops[i], sizeof(in.ops[i]));
		h = ops_fold(ops_fold(h, word[0]), word[1]);
	}
	return h;
}

static void write_forms(const char *folder, const struct op *ops, uint32_t ops_n,
			const char *comment, const char *oracle)
{
	char path[512], why[256];
	const char *error = NULL;

	snprintf(path, sizeof(path), "%s/%s-%016llx.trace", folder, oracle,
		 (unsigned long long)input_hash());
	error = ops_save(path, ops, ops_n, OPS_TEXT, comment, why, sizeof(why));
	snprintf(path, sizeof(path), "%s/%s-%016llx.bin", folder, oracle,
		 (unsigned long long)input_hash());
	if (!error)
		error = ops_save(path, ops, ops_n, OPS_BINARY, NULL, why, sizeof(why));
	if (error)
		fprintf(stderr, "pagemill fuzz: %s\n", error);
}

static void report(const struct finding *f, const struct op *ops, uint32_t ops_n)
{
	const char *folder = getenv("PAGEMILL_FINDINGS");
	char comment[512];

	snprintf(comment, sizeof(comment),
		 "oracle: %s\nfinding: %s\nat operation: %u\n"
		 "replay: --body sim --format %s --preset %s --cpus %u --frames %llu --seed %llu",
		 oracle_text[f->oracle], f->text, f->op_index, options.format, options.preset,
		 options.cpus_n, (unsigned long long)options.frames_n,
		 (unsigned long long)options.seed);
	fprintf(stderr, "pagemill fuzz: %s\n", comment);
	if (folder)
		write_forms(folder, ops, ops_n, comment, oracle_text[f->oracle]);
}

/* ---- schedules ---- */

static void choose_strategy(void)
{
	static const char *const words[SECTION_STRATEGY_N] = { "rows", "random", "pct1",
							       "pct2", "pct3",   "pct4" };
	const char *wish = getenv("PAGEMILL_STRATEGY");

	for (int i = 0; wish && i < SECTION_STRATEGY_N; i++)
		if (!strcmp(wish, words[i]))
			strategy = i;
	if (wish && wish[0] && strategy < 0) {
		fprintf(stderr, "pagemill fuzz: PAGEMILL_STRATEGY: no strategy '%s'\n", wish);
		exit(2);
	}
}

static void set_strategy(void)
{
	for (size_t i = 0; strategy >= 0 && i < in.ops_n; i++)
		if (in.ops[i].code == OP_TOGETHER)
			in.ops[i].arg[0] = (uint16_t)strategy;
}

/* A file a process, in which campaign finds the largest. */
static void tell_points(void)
{
	const char *folder = getenv("PAGEMILL_FINDINGS");
	char path[512];
	FILE *f;

	if (!folder || !points_max)
		return;
	snprintf(path, sizeof(path), "%s/points.%ld", folder, (long)getpid());
	f = fopen(path, "w");
	if (!f)
		return;
	fprintf(f, "%u %u\n", points_max, cpus_max);
	fclose(f);
}

/* The trace with its last section's schedule in rows, if that shows the same.
 * Returns: its length; 0: it doesn't */
static uint32_t fix_schedule(struct op *ops, struct player_result *again)
{
	static struct section s;
	struct player_options o = { .body = &body_sim, .start = options };
	struct ops_names names;
	uint32_t n;

	if (!result.sections_n || result.choices_lost)
		return 0;
	ops_names_start(&names);
	for (uint32_t i = 0; i < result.section_at; i++)
		if (in.ops[i].code == OP_CPU)
			names.cpu = (uint8_t)in.ops[i].arg[0];
	section_read(&s, in.ops, (uint32_t)in.ops_n, result.section_at, &names, options.cpus_n);
	memcpy(ops, in.ops, in.ops_n * sizeof(*ops));
	n = section_fix(&s, result.choice, result.choices_n, ops, (uint32_t)in.ops_n,
			FIXED_OPS_MAX);
	if (!n)
		return 0;
	player_run(ops, n, &o, again);
	return again->finding.oracle == result.finding.oracle ? n : 0;
}

static void report_result(void)
{
	static struct op fixed[FIXED_OPS_MAX];
	static struct player_result again;
	uint32_t n = fix_schedule(fixed, &again);

	if (n)
		report(&again.finding, fixed, n);
	else
		report(&result.finding, in.ops, (uint32_t)in.ops_n);
}

/* ---- one execution ---- */

void target_play(const uint8_t *data, size_t bytes, struct player_result *r)
{
	struct player_options o = { .body = &body_sim };

	input_decode(&in, data, bytes);
	set_strategy();
	input_options(&in, &options);
	o.start = options;
	player_run(in.ops, (uint32_t)in.ops_n, &o, r);
	if (r->points_max > points_max)
		points_max = r->points_max;
	if (r->sections_n && options.cpus_n > cpus_max)
		cpus_max = options.cpus_n;
}

static void on_crash(int number)
{
	struct finding f = { .oracle = ORACLE_SANITIZER, .op_index = (uint32_t)in.ops_n };

	signal(number, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
	snprintf(f.text, sizeof(f.text), "signal %d", number);
	if (number == SIGVTALRM) {
		f.oracle = ORACLE_HANG;
		snprintf(f.text, sizeof(f.text), "no end after %d s", HANG_SECONDS);
	}
	report(&f, in.ops, (uint32_t)in.ops_n);
	abort();
}

/* CPU time, so that a busy machine hangs nothing. */
static void watch(int seconds)
{
	struct itimerval t = { .it_value.tv_sec = seconds };

	setitimer(ITIMER_VIRTUAL, &t, NULL);
}

/* Under ASan the reports end in abort (ASAN_OPTIONS=abort_on_error=1), and its own
 * handlers stay; without it these come first. */
static void catch_crashes(void)
{
	static char stack[1 << 16];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction a = { .sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_RESETHAND };

	sigaltstack(&alternate, NULL);
	sigaction(SIGSEGV, &a, NULL);
	sigaction(SIGBUS, &a, NULL);
	sigaction(SIGFPE, &a, NULL);
	sigaction(SIGILL, &a, NULL);
	sigaction(SIGABRT, &a, NULL);
	sigaction(SIGVTALRM, &a, NULL);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	catch_crashes();
	choose_strategy();
	atexit(tell_points);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	watch(HANG_SECONDS);
	target_play(data, bytes, &result);
	watch(0);
	if (result.refused[0]) {
		fprintf(stderr, "pagemill fuzz: %s\n", result.refused);
		exit(2);
	}
	if (result.finding.oracle == ORACLE_NONE)
		return 0;
	signal(SIGABRT, SIG_DFL);
	report_result();
	tell_points();
	abort();
}
