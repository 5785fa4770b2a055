/* pagemill explore: other schedules of a trace's concurrent sections.
 *
 * The work is done in a child that shares struct explorer with us, many runs in one process;
 * a crash or a hang there is a finding of the run that was under way, whose choices are
 * still in the shared memory. An interrupt from the terminal ends the work after that run,
 * and what was done is said.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run/cli.h"
#include "run/explorer.h"

#define PROGRESS_S 5.0
#define CONFIDENCE 0.99
#define REPLAY_TIMEOUT_S 20u
#define FRAMES 2048u /* each run checks them all: a fifth of the time that CLI_FRAMES takes */

struct explore {
	struct explorer_options o;
	const char *path, *out;
	uint64_t timeout_s;
	struct ops_trace t;
	struct explorer *x; /* shared with the child */
	bool interrupted;
	double started;
};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned cpus_n(const struct explore *e)
{
	return e->o.play.start.cpus_n ? e->o.play.start.cpus_n : 2;
}

/* ---- the child ---- */

static void blame(struct explore *e, enum oracle oracle, const char *text)
{
	struct explorer *x = e->x;

	x->finding.oracle = oracle;
	x->finding.op_index = x->ops_done;
	snprintf(x->finding.text, sizeof(x->finding.text), "%s", text);
	x->runs_n++;
}

static void child_ended(struct explore *e, int status)
{
	char text[160];

	if (e->x->ended)
		return;
	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "the player was killed by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(text, sizeof(text), "the player exited with status %d (a sanitizer?)",
			 WEXITSTATUS(status));
	blame(e, ORACLE_SANITIZER, text);
}

static void say_progress(const struct explore *e, double *last)
{
	double now = now_s();

	if (now - *last < PROGRESS_S)
		return;
	*last = now;
	fprintf(stderr, "explore: %" PRIu64 " schedules in %.0f s\n", e->x->runs_n,
		now - e->started);
}

/* Kills a run that doesn't end. */
static bool hangs(struct explore *e, pid_t child, uint64_t *runs, double *since)
{
	char text[96];

	if (e->x->runs_n != *runs) {
		*runs = e->x->runs_n;
		*since = now_s();
	}
	if (now_s() - *since < (double)e->timeout_s)
		return false;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	snprintf(text, sizeof(text), "the run didn't end within %" PRIu64 " s", e->timeout_s);
	if (!e->x->ended)
		blame(e, ORACLE_HANG, text);
	return true;
}

static void watch(struct explore *e, pid_t child, const sigset_t *signals)
{
	struct timespec nap = { .tv_nsec = 200000000L };
	double said = e->started, since = e->started;
	uint64_t runs = 0;
	int status, sig;

	while (waitpid(child, &status, WNOHANG) == 0) {
		sig = sigtimedwait(signals, NULL, &nap);
		if (sig == SIGINT || sig == SIGTERM) {
			e->interrupted = true;
			e->x->stop = 1;
		}
		if (hangs(e, child, &runs, &since))
			return;
		say_progress(e, &said);
	}
	child_ended(e, status);
}

/* Returns false if no child could be made. */
static bool work(struct explore *e)
{
	sigset_t signals, before;
	pid_t child;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, &before);
	e->started = now_s();
	fflush(NULL);
	child = fork();
	if (child == 0) {
		explorer_run(e->t.ops, e->t.ops_n, &e->o, e->x);
		fflush(NULL);
		_exit(0);
	}
	if (child > 0)
		watch(e, child, &signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return child > 0;
}

/* ---- what is said ---- */

static void say_all(const struct explore *e)
{
	printf("  %s schedules with at most %u preemptions, %u loads of an older store, "
	       "%u deferred interrupts and %u walks\n",
	       e->x->complete ? "complete: these are all" : "not complete: these are some of the",
	       e->o.preemptions, e->o.stale, e->o.defers, e->o.walks);
}

static void say_pct(const struct explore *e)
{
	const struct explorer *x = e->x;
	double p;
	uint64_t needed;

	if (!x->points)
		return;
	p = sched_pct_bound(cpus_n(e), x->points, e->o.depth);
	needed = explorer_runs_needed(p, CONFIDENCE);
	printf("  n=%u CPUs, k=%u points a section, d=%u: a run finds a wrong order of CPUs\n"
	       "  of that depth with probability >= 1/(2*n*k^(d-1)) = %.3g; "
	       "%" PRIu64 " runs with >= %.3g",
	       cpus_n(e), x->points, e->o.depth, p, x->runs_at_k,
	       explorer_confidence(p, x->runs_at_k));
	if (needed == UINT64_MAX)
		printf("; %g takes more runs than can be counted\n", CONFIDENCE);
	else
		printf("; %g takes %" PRIu64 " runs\n", CONFIDENCE, needed);
}

static void say_summary(const struct explore *e)
{
	const struct explorer *x = e->x;
	const char *format = e->o.play.start.format;

	printf("%s sim/%s %s schedules=%" PRIu64 " sections=%u points=%u cpus=%u seconds=%.1f "
	       "%s%s\n",
	       e->path, format ? format : "x86_64", explorer_kind_text[e->o.kind], x->runs_n,
	       x->sections_n, x->points_max, cpus_n(e), now_s() - e->started,
	       x->finding.oracle != ORACLE_NONE ? "FINDING" : "nothing found",
	       e->interrupted ? " (interrupted)" : "");
	if (e->o.kind == EXPLORER_ALL)
		say_all(e);
	else if (e->o.kind == EXPLORER_PCT)
		say_pct(e);
	fflush(stdout);
}

/* ---- a finding ---- */

/* The command that plays it, with the options that matter. */
static void say_command(const struct explore *e, uint64_t frames_n)
{
	const struct body_options *s = &e->o.play.start;

	fprintf(stderr, "explore: it fails again by: pagemill replay");
	if (s->format)
		fprintf(stderr, " --format %s", s->format);
	if (s->preset)
		fprintf(stderr, " --preset %s", s->preset);
	if (s->cpus_n)
		fprintf(stderr, " --cpus %u", s->cpus_n);
	if (frames_n != CLI_FRAMES)
		fprintf(stderr, " --frames %" PRIu64, frames_n);
	fprintf(stderr, "%s %s\n", e->o.play.thorough ? " --thorough" : "", e->out);
}

/* Plays what was written: a schedule that doesn't show it again would be worth nothing. With
 * replay's own number of frames if it fails there too, so that the file is enough. */
static void say_whether_replayed(const struct explore *e, const struct op *ops, uint32_t ops_n)
{
	const uint64_t frames[] = { CLI_FRAMES, e->o.play.start.frames_n };
	struct player_options o = e->o.play;
	struct player_result *r = calloc(1, sizeof(*r));

	for (unsigned i = 0; r && i < 2; i++) {
		o.strategy = NULL;
		o.quiet = true;
		o.start.frames_n = frames[i];
		player_run_isolated(ops, ops_n, &o, REPLAY_TIMEOUT_S, r);
		if (r->finding.oracle != e->x->finding.oracle)
			continue;
		say_command(e, frames[i]);
		free(r);
		return;
	}
	cli_fail(EXIT_FINDING, "explore: %s: played by its rows it doesn't end so again", e->out);
	free(r);
}

static int save(const struct explore *e)
{
	const struct body_options *s = &e->o.play.start;
	const struct finding *f = &e->x->finding;
	uint32_t room = e->t.ops_n + e->x->choices_n + e->x->begun_n * (SCHED_CPUS_MAX + 2u), n;
	struct op *ops = calloc(room, sizeof(*ops));
	char comment[FINDING_TEXT_BYTES + 320], why[512];
	int code = EXIT_FINDING;

	if (!ops)
		return cli_fail(EXIT_TOOL, "explore: out of memory");
	memcpy(ops, e->t.ops, e->t.ops_n * sizeof(*ops));
	n = explorer_fix(e->x, cpus_n(e), ops, e->t.ops_n, room);
	snprintf(comment, sizeof(comment),
		 "oracle: %s\nfinding: operation %u: %s\n"
		 "body: sim, format %s, preset %s, cpus %u, frames %llu, seed %llu",
		 oracle_text[f->oracle], f->op_index, f->text, s->format ? s->format : "x86_64",
		 s->preset ? s->preset : "pagemill", cpus_n(e), (unsigned long long)s->frames_n,
		 (unsigned long long)s->seed);
	if (n == 0)
		cli_fail(EXIT_FINDING, "explore: rows can't say this schedule: nothing is saved");
	else if (ops_save(e->out, ops, n, OPS_TEXT, comment, why, sizeof(why)))
		code = cli_fail(EXIT_TOOL, "%s", why);
	else
		say_whether_replayed(e, ops, n);
	free(ops);
	return code;
}

static int conclude(const struct explore *e)
{
	const struct explorer *x = e->x;

	if (x->refused[0])
		return cli_fail(EXIT_USAGE, "%s: sim: %s", e->path, x->refused);
	if (x->finding.oracle == ORACLE_NONE && x->begun_n == 0)
		return cli_fail(EXIT_USAGE, "%s: no concurrent section: nothing to explore",
				e->path);
	say_summary(e);
	if (x->finding.oracle == ORACLE_NONE)
		return EXIT_AGREE;
	cli_fail(EXIT_FINDING, "%s: schedule %" PRIu64 ": %s: operation %u: %s", e->path,
		 x->runs_n, oracle_text[x->finding.oracle], x->finding.op_index,
		 x->finding.text);
	return e->out ? save(e) : EXIT_FINDING;
}

static int explore(struct explore *e)
{
	char why[512];
	int code;

	e->o.play.body = cli_body("sim");
	if (!e->o.play.body)
		return cli_fail(EXIT_MISSING, "explore: no body 'sim' in this build");
	if (ops_load(e->path, &e->t, why, sizeof(why)))
		return cli_fail(EXIT_USAGE, "%s", why);
	e->x = mmap(NULL, sizeof(*e->x), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (e->x == MAP_FAILED)
		code = cli_fail(EXIT_TOOL, "explore: mmap: %s", strerror(errno));
	else if (!work(e))
		code = cli_fail(EXIT_TOOL, "explore: fork: %s", strerror(errno));
	else
		code = conclude(e);
	free(e->t.ops);
	return code;
}

/* ---- the command line ---- */

struct wish {
	uint64_t depth, preemptions, stale, defers, walks;
	const char *strategy;
};

static bool take(struct cli_args *a, const char *arg, struct explore *e, struct wish *w)
{
	/* The seed is the schedules'; the body keeps its default, as in replay. */
	return cli_number(a, arg, "--seed", 0, UINT64_MAX, &e->o.seed) ||
	       cli_start_option(a, arg, &e->o.play.start) ||
	       cli_word(a, arg, "--strategy", &w->strategy) || cli_word(a, arg, "-o", &e->out) ||
	       cli_number(a, arg, "--depth", 1, 16, &w->depth) ||
	       cli_number(a, arg, "--runs", 1, UINT64_MAX, &e->o.runs_max) ||
	       cli_number(a, arg, "--seconds", 1, 1u << 24, &e->o.seconds_max) ||
	       cli_number(a, arg, "--preemptions", 0, 1u << 20, &w->preemptions) ||
	       cli_number(a, arg, "--stale", 0, 1u << 20, &w->stale) ||
	       cli_number(a, arg, "--defers", 0, 1u << 20, &w->defers) ||
	       cli_number(a, arg, "--walks", 0, 1u << 20, &w->walks) ||
	       cli_number(a, arg, "--timeout", 1, 3600, &e->timeout_s) ||
	       cli_flag(arg, "--thorough", &e->o.play.thorough);
}

static bool kind_named(const char *name, enum explorer_kind *out)
{
	for (unsigned i = 0; i < EXPLORER_KIND_N; i++)
		if (!strcmp(name, explorer_kind_text[i])) {
			*out = (enum explorer_kind)i;
			return true;
		}
	return false;
}

int cmd_explore(const struct command *self, int argc, char **argv)
{
	struct explore e = { .o.play.start.frames_n = FRAMES, .timeout_s = 20 };
	struct wish w = { .depth = 3, .preemptions = 2, .stale = 1, .defers = 1, .walks = 1,
			  .strategy = "random" };
	struct cli_args a = { .argc = argc, .at = 1, .argv = argv };
	const char *arg;

	while ((arg = cli_next(&a))) {
		if (take(&a, arg, &e, &w)) {
			if (a.fault)
				return cli_fail(EXIT_USAGE, "explore: bad value for %s", a.fault);
			continue;
		}
		if (e.path || (arg[0] == '-' && arg[1]))
			return cli_usage(self);
		e.path = arg;
	}
	if (!e.path)
		return cli_usage(self);
	if (!kind_named(w.strategy, &e.o.kind))
		return cli_fail(EXIT_USAGE, "explore: --strategy is random, pct or all");
	e.o.depth = (unsigned)w.depth;
	e.o.preemptions = (unsigned)w.preemptions;
	e.o.stale = (unsigned)w.stale;
	e.o.defers = (unsigned)w.defers;
	e.o.walks = (unsigned)w.walks;
	if (!e.o.runs_max && !e.o.seconds_max)
		e.o.seconds_max = 60;
	return explore(&e);
}
