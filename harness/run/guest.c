/* Guests: a kernel under QEMU, read over its serial line.
 *
 * QEMU's standard output is the guest's serial line, its standard error is QEMU's
 * own; both come through pipes. One loop polls them until the guest has ended, the
 * deadline has passed, or the listener has had enough.
 *
 * I1  When guest_run returns QEMU is dead and waited for; it also dies with us.
 * I2  GUEST_DONE only if "@end 0" was seen, no "@panic", and QEMU's exit status says
 *     the same. An exit status alone may come from a panic, a reset, or QEMU.
 *
 * Command lines: TCG always, since KVM would make figures the host's. Nodes are equal
 * shares of memory and CPUs, in order; the distance between two grows by 10 a step, so
 * that there is a nearest one.
 */
#define _GNU_SOURCE /* pipe2 */
#include "run/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX 80u
#define LINE_BYTES 1024u
#define GRACE_S 10.0 /* from "@end" or "@panic" to QEMU's end */

struct lines {
	int fd; /* -1: closed */
	char line[LINE_BYTES];
	size_t n;
};

struct guest {
	const struct guest_options *o;
	guest_line fn;
	void *ctx;
	FILE *log;
	pid_t pid;
	struct lines serial, own;
	char first_own[160]; /* first line of QEMU's own complaints */
	char panic[160];
	double deadline;
	bool ended, panicked, stopped;
	int end_status;
};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool is_x86(const struct guest_options *o)
{
	return !strcmp(o->arch, "x86_64");
}

static unsigned memory_mib(const struct guest_options *o)
{
	return o->memory_mib ? o->memory_mib : GUEST_MEMORY_MIB;
}

/* RAM of q35 and of virt. */
unsigned guest_memory_base_mib(const char *arch)
{
	return strcmp(arch, "x86_64") ? 1024 : 0;
}

struct args {
	const char *arg[ARGS_MAX];
	unsigned n;
	char qemu[48], kernel[64], smp[16], memory[24];
	char node[3u * GUEST_NODES_MAX + GUEST_NODES_MAX * GUEST_NODES_MAX][64];
	unsigned node_n; /* texts in node[] */
};

static void add(struct args *a, const char *one, const char *two)
{
	a->arg[a->n++] = one;
	if (two)
		a->arg[a->n++] = two;
}

/* A text that lives as long as the arguments do. */
static char *node_text(struct args *a)
{
	return a->node[a->node_n++];
}

/* CPUs of node i of n: the same share for each, the first ones get what is left. */
static unsigned first_cpu(unsigned cpus_n, unsigned n, unsigned i)
{
	return (cpus_n * i + n - 1u) / n;
}

static void add_distances(struct args *a, unsigned n)
{
	for (unsigned from = 0; from < n; from++)
		for (unsigned to = 0; to < n; to++) {
			unsigned steps = from > to ? from - to : to - from;
			char *text = node_text(a);

			snprintf(text, sizeof(a->node[0]), "dist,src=%u,dst=%u,val=%u", from, to,
				 10u + 10u * steps);
			add(a, "-numa", text);
		}
}

static void add_nodes(struct args *a, const struct guest_options *o)
{
	unsigned n = o->nodes_n < GUEST_NODES_MAX ? o->nodes_n : GUEST_NODES_MAX;
	unsigned mib = memory_mib(o), cpus_n = o->cpus_n ? o->cpus_n : 2;

	a->node_n = 0;
	for (unsigned i = 0; i < n; i++) {
		unsigned first = first_cpu(cpus_n, n, i), end = first_cpu(cpus_n, n, i + 1u);
		unsigned share = i + 1u < n ? mib / n : mib - mib / n * (n - 1u);
		char *memory = node_text(a), *node = node_text(a);

		snprintf(memory, sizeof(a->node[0]), "memory-backend-ram,id=m%u,size=%uM", i,
			 share);
		if (first < end)
			snprintf(node, sizeof(a->node[0]), "node,nodeid=%u,memdev=m%u,cpus=%u-%u",
				 i, i, first, end - 1u);
		else
			snprintf(node, sizeof(a->node[0]), "node,nodeid=%u,memdev=m%u", i, i);
		add(a, "-object", memory);
		add(a, "-numa", node);
	}
	add_distances(a, n);
}

static void build_args(struct args *a, const struct guest_options *o)
{
	a->n = 0;
	snprintf(a->qemu, sizeof(a->qemu), "qemu-system-%s", o->arch);
	snprintf(a->kernel, sizeof(a->kernel), "build/%s/kernel", o->arch);
	snprintf(a->smp, sizeof(a->smp), "%u", o->cpus_n ? o->cpus_n : 2);
	snprintf(a->memory, sizeof(a->memory), "%uM", memory_mib(o));
	add(a, a->qemu, NULL);
	add(a, "-M", is_x86(o) ? "q35" : "virt");
	add(a, "-cpu", o->qemu_cpu ? o->qemu_cpu :
		       is_x86(o) ? "max,-erms" : "cortex-a72,cntfrq=1000000000");
	add(a, "-m", a->memory);
	add(a, "-smp", a->smp);
	add_nodes(a, o);
	add(a, "-display", "none");
	add(a, "-nodefaults", "-no-reboot");
	add(a, "-serial", "stdio");
	if (is_x86(o))
		add(a, "-device", "isa-debug-exit,iobase=0xf4,iosize=4");
	else
		add(a, "-semihosting", NULL);
	if (o->icount) {
		add(a, "-accel", "tcg,thread=single");
		add(a, "-icount", "shift=0,sleep=off");
		add(a, "-seed", "1");
		add(a, "-rtc", "base=2026-01-01,clock=vm");
	} else {
		add(a, "-accel", "tcg");
	}
	add(a, "-kernel", o->kernel ? o->kernel : a->kernel);
	if (o->initrd)
		add(a, "-initrd", o->initrd);
	add(a, "-append", o->command ? o->command : "");
	a->arg[a->n] = NULL;
}

/* In the child: becomes QEMU, or says why not through `report`. */
static _Noreturn void become_qemu(const struct args *a, int serial, int own, int report)
{
	int null = open("/dev/null", O_RDONLY), e;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == 1)
		_exit(1); /* the parent died before the line above */
	dup2(null, 0);
	dup2(serial, 1);
	dup2(own, 2);
	execvp(a->arg[0], (char *const *)a->arg);
	e = errno;
	if (write(report, &e, sizeof(e)) < 0)
		_exit(2);
	_exit(1);
}

/* Returns 0, or the error why QEMU could not be started. */
static int launch(struct guest *g, const struct args *a)
{
	int pipes[3][2], e = 0; /* serial, own, report */

	for (unsigned i = 0; i < 3; i++)
		if (pipe2(pipes[i], O_CLOEXEC)) {
			e = errno;
			while (i--) {
				close(pipes[i][0]);
				close(pipes[i][1]);
			}
			return e;
		}
	g->pid = fork();
	if (g->pid == 0)
		become_qemu(a, pipes[0][1], pipes[1][1], pipes[2][1]);
	if (g->pid < 0)
		e = errno;
	for (unsigned i = 0; i < 3; i++)
		close(pipes[i][1]);
	/* The report closes without a word when exec succeeds. */
	if (g->pid > 0 && read(pipes[2][0], &e, sizeof(e)) == (ssize_t)sizeof(e))
		waitpid(g->pid, NULL, 0);
	close(pipes[2][0]);
	if (e) {
		close(pipes[0][0]);
		close(pipes[1][0]);
		return e;
	}
	g->serial.fd = pipes[0][0];
	g->own.fd = pipes[1][0];
	return 0;
}

static void shorten_deadline(struct guest *g)
{
	if (g->deadline > now_s() + GRACE_S)
		g->deadline = now_s() + GRACE_S;
}

static void take_serial_line(struct guest *g, char *line)
{
	char *rest;

	if (g->log)
		fprintf(g->log, "%s\n", line);
	if (line[0] != '@' || g->stopped)
		return;
	rest = strchr(line, ' ');
	if (rest)
		*rest++ = 0;
	else
		rest = line + strlen(line);
	if (!strcmp(line + 1, "panic")) {
		g->panicked = true;
		snprintf(g->panic, sizeof(g->panic), "%.150s", rest);
		shorten_deadline(g);
	}
	if (!strcmp(line + 1, "end")) {
		g->ended = true;
		g->end_status = atoi(rest);
		shorten_deadline(g);
	}
	if (g->fn && !g->fn(g->ctx, line + 1, rest))
		g->stopped = true;
}

static void take_line(struct guest *g, struct lines *l)
{
	while (l->n && l->line[l->n - 1] == '\r')
		l->n--;
	l->line[l->n] = 0;
	l->n = 0;
	if (l == &g->serial)
		take_serial_line(g, l->line);
	else if (!g->first_own[0])
		snprintf(g->first_own, sizeof(g->first_own), "%.150s", l->line);
}

/* Reads what there is; a line longer than the buffer is taken in pieces. */
static void take_bytes(struct guest *g, struct lines *l)
{
	char bytes[4096];
	ssize_t got = read(l->fd, bytes, sizeof(bytes));

	if (got < 0 && errno == EINTR)
		return;
	for (ssize_t i = 0; i < got; i++) {
		if (bytes[i] == '\n')
			take_line(g, l);
		else
			l->line[l->n++] = bytes[i] ? bytes[i] : ' ';
		if (l->n == LINE_BYTES - 1)
			take_line(g, l);
	}
	if (got <= 0) {
		if (l->n)
			take_line(g, l);
		close(l->fd);
		l->fd = -1;
	}
}

/* Until both pipes are closed. Returns false if the deadline passed first. */
static bool listen_to(struct guest *g)
{
	while ((g->serial.fd >= 0 || g->own.fd >= 0) && !g->stopped) {
		struct pollfd p[2] = { { .fd = g->serial.fd, .events = POLLIN },
				       { .fd = g->own.fd, .events = POLLIN } };
		double left = g->deadline - now_s();

		if (left <= 0)
			return false;
		if (poll(p, 2, (int)(left * 1000) + 1) < 0 && errno != EINTR)
			return false;
		if (p[0].revents)
			take_bytes(g, &g->serial);
		if (p[1].revents)
			take_bytes(g, &g->own);
	}
	return true;
}

/* It may have closed its output and still live: the deadline holds here too. Returns
 * its wait status; *in_time becomes false if it had to be killed for its lateness. */
static int reap(struct guest *g, bool *in_time)
{
	struct timespec nap = { .tv_nsec = 1000000 };
	bool kill_it = !*in_time || g->stopped;
	int status = 0;

	while (!kill_it && waitpid(g->pid, &status, WNOHANG) == 0) {
		nanosleep(&nap, NULL);
		kill_it = now_s() > g->deadline;
		*in_time = !kill_it;
	}
	if (kill_it) {
		kill(g->pid, SIGKILL);
		while (waitpid(g->pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (g->serial.fd >= 0)
		close(g->serial.fd);
	if (g->own.fd >= 0)
		close(g->own.fd);
	return status;
}

/* QEMU's exit status for the guest's: isa-debug-exit shifts it. */
static int exit_status_of(const struct guest_options *o, int end_status)
{
	return is_x86(o) ? (end_status * 2 + 1) & 0xff : end_status & 0xff;
}

static enum guest_end conclude(struct guest *g, bool in_time, int status, char *why, size_t bytes)
{
	const char *arch = g->o->arch;
	int rc = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (g->panicked) {
		snprintf(why, bytes, "%s guest panicked: %s", arch, g->panic);
		return GUEST_PANIC;
	}
	if (g->stopped) {
		snprintf(why, bytes, "%s guest was stopped by the host", arch);
		return GUEST_FAILED;
	}
	if (!in_time) {
		snprintf(why, bytes, "%s guest hangs: %s", arch,
			 g->ended ? "it said @end, but did not stop" :
				    "no end within the time limit");
		return GUEST_HANG;
	}
	if (!g->ended) {
		snprintf(why, bytes, "%s guest ended without its @end marker (QEMU status %d%s%s)",
			 arch, rc, g->first_own[0] ? ": " : "", g->first_own);
		return GUEST_NO_MARKER;
	}
	if (g->end_status != 0 || rc != exit_status_of(g->o, 0)) {
		snprintf(why, bytes, "%s guest failed: @end %d, QEMU status %d", arch,
			 g->end_status, rc);
		return GUEST_FAILED;
	}
	return GUEST_DONE;
}

enum guest_end guest_run(const struct guest_options *o, guest_line fn, void *ctx, char *why,
			 size_t why_bytes)
{
	struct guest g = { .o = o, .fn = fn, .ctx = ctx, .serial.fd = -1, .own.fd = -1 };
	struct args a;
	bool in_time;
	int e;

	why[0] = 0;
	build_args(&a, o);
	e = access(o->kernel ? o->kernel : a.kernel, R_OK) ? errno : 0;
	if (e) {
		snprintf(why, why_bytes, "%s: no kernel image: %s (make kernels)",
			 o->kernel ? o->kernel : a.kernel, strerror(e));
		return GUEST_NO_KERNEL;
	}
	e = launch(&g, &a);
	if (e) {
		snprintf(why, why_bytes, "%s can't be started: %s (scripts/setup installs it)",
			 a.qemu, strerror(e));
		return GUEST_NO_QEMU;
	}
	if (o->log_path)
		g.log = fopen(o->log_path, "w");
	g.deadline = now_s() + (o->timeout_s ? o->timeout_s : 60);
	in_time = listen_to(&g);
	e = reap(&g, &in_time);
	if (g.log)
		fclose(g.log);
	return conclude(&g, in_time, e, why, why_bytes);
}
