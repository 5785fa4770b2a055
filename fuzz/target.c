/* The fuzz target, the same source for libFuzzer, AFL++ and the replayer.
 *
 * One input is one trace on one configuration; the player runs it on the model and
 * the simulated machine in lockstep, with the checks where `pagemill replay` has them,
 * so that a finding shows there too. A finding is
 * written to $PAGEMILL_FINDINGS as a readable trace that names its oracle, and as the
 * binary form of the same, before the process aborts.
 *
 * A crash inside kmm never comes back here: the signal handler writes the trace as it
 * stands, with the oracle `sanitizer`. It runs on its own stack and calls what isn't
 * async-signal-safe; in a process that is about to die this may fail, and then the
 * engine's own copy of the input remains. An execution that takes HANG_SECONDS of CPU
 * time ends the same way, with the oracle `hang`.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "fuzz/input.h"
#include "fuzz/target.h"
#include "ops/file.h"
#include "run/player.h"

#define HANG_SECONDS 5

static struct input in;
static struct body_options options;

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

static void write_forms(const char *folder, const char *comment, const char *oracle)
{
	char path[512], why[256];
	const char *error = NULL;

	snprintf(path, sizeof(path), "%s/%s-%016llx.trace", folder, oracle,
		 (unsigned long long)input_hash());
	error = ops_save(path, in.ops, (uint32_t)in.ops_n, OPS_TEXT, comment, why, sizeof(why));
	snprintf(path, sizeof(path), "%s/%s-%016llx.bin", folder, oracle,
		 (unsigned long long)input_hash());
	if (!error)
		error = ops_save(path, in.ops, (uint32_t)in.ops_n, OPS_BINARY, NULL, why,
				 sizeof(why));
	if (error)
		fprintf(stderr, "pagemill fuzz: %s\n", error);
}

static void report(const struct finding *f)
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
		write_forms(folder, comment, oracle_text[f->oracle]);
}

void target_play(const uint8_t *data, size_t bytes, struct player_result *r)
{
	struct player_options o = { .body = &body_sim };

	input_decode(&in, data, bytes);
	input_options(&in, &options);
	o.start = options;
	player_run(in.ops, (uint32_t)in.ops_n, &o, r);
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
	report(&f);
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
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct player_result r;

	watch(HANG_SECONDS);
	target_play(data, bytes, &r);
	watch(0);
	if (r.refused[0]) {
		fprintf(stderr, "pagemill fuzz: %s\n", r.refused);
		exit(2);
	}
	if (r.finding.oracle == ORACLE_NONE)
		return 0;
	signal(SIGABRT, SIG_DFL);
	report(&r.finding);
	abort();
}
