/* Playing in a child process.
 *
 * The result lies in memory shared with the child, which keeps ops_done up to date:
 * after a crash or a hang it says how far the child came.
 *
 * I1  No child outlives the call.
 */
#include "run/player.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILD_DONE 0
#define POLL_NS 200000L

struct shared {
	struct player_result result;
	volatile uint32_t whole; /* the child came to its end */
};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Waits for the child's end. Returns false if it had to be killed, since no operation
 * ended for timeout_s seconds. */
static bool wait_child(pid_t child, const struct shared *s, unsigned timeout_s, int *status)
{
	struct timespec nap = { .tv_nsec = POLL_NS };
	double last = now_s();
	uint32_t seen = 0;

	while (waitpid(child, status, WNOHANG) == 0) {
		uint32_t done = *(const volatile uint32_t *)&s->result.ops_done;

		if (done != seen) {
			seen = done;
			last = now_s();
		}
		if (now_s() - last > timeout_s) {
			kill(child, SIGKILL);
			waitpid(child, status, 0);
			return false;
		}
		nanosleep(&nap, NULL);
		if (nap.tv_nsec < 20 * POLL_NS)
			nap.tv_nsec += POLL_NS / 4;
	}
	return true;
}

static void blame(struct player_result *r, enum oracle oracle, const char *text)
{
	r->finding.oracle = oracle;
	r->finding.op_index = r->ops_done;
	snprintf(r->finding.text, sizeof(r->finding.text), "%s", text);
}

static void conclude(struct player_result *r, bool ended, int status, unsigned timeout_s)
{
	char text[128];

	if (!ended) {
		snprintf(text, sizeof(text), "no operation ended within %u s", timeout_s);
		blame(r, ORACLE_HANG, text);
	} else if (WIFSIGNALED(status)) {
		snprintf(text, sizeof(text), "the player was killed by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
		blame(r, ORACLE_SANITIZER, text);
	} else {
		snprintf(text, sizeof(text), "the player exited with status %d (a sanitizer?)",
			 WEXITSTATUS(status));
		blame(r, ORACLE_SANITIZER, text);
	}
}

bool player_run_isolated(const struct op *ops, uint32_t ops_n, const struct player_options *o,
			 unsigned timeout_s, struct player_result *r)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	bool ended;
	pid_t child;

	memset(r, 0, sizeof(*r));
	if (s == MAP_FAILED) {
		snprintf(r->refused, sizeof(r->refused), "mmap: %s", strerror(errno));
		return false;
	}
	fflush(NULL);
	child = fork();
	if (child == 0) {
		if (o->quiet && !freopen("/dev/null", "w", stderr))
			_exit(1);
		player_run(ops, ops_n, o, &s->result);
		fflush(NULL);
		s->whole = 1;
		_exit(CHILD_DONE);
	}
	if (child < 0) {
		snprintf(r->refused, sizeof(r->refused), "fork: %s", strerror(errno));
		munmap(s, sizeof(*s));
		return false;
	}
	ended = wait_child(child, s, timeout_s, &status);
	*r = s->result;
	if (!s->whole)
		conclude(r, ended, status, timeout_s);
	munmap(s, sizeof(*s));
	return true;
}
