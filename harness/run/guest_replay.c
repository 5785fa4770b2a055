/* A trace in a guest: handed over in binary form, judged by its digests.
 *
 * The model's digests are known before the boot; every @digest line must be the next
 * of them, the last one included. A guest injects no failures and is not followed: a
 * trace for it must be failure-free, its memory ample.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/model.h"
#include "ops/text.h"
#include "run/cli.h"

struct watch {
	struct guest_replay *g;
	const struct ops_trace *t;
	struct player_digest *want;
	uint32_t want_n, seen_n;
	bool differs;
	/* explaining: the model walks along */
	struct body *model;
	struct ops_names names;
};

static void note_digest(void *ctx, const struct player_digest *d)
{
	struct watch *w = ctx;

	w->want[w->want_n++] = *d;
}

static bool differ(struct watch *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool differ(struct watch *w, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(w->g->why, sizeof(w->g->why), fmt, args);
	va_end(args);
	w->differs = true;
	return false;
}

static bool take_digest(struct watch *w, const char *rest)
{
	uint32_t ops_n, from = w->seen_n ? w->want[w->seen_n - 1].ops_n : 0;
	uint64_t digest;

	if (sscanf(rest, "%" SCNu32 " %" SCNx64, &ops_n, &digest) != 2)
		return differ(w, "malformed line: @digest %.80s", rest);
	/* The end's digest may repeat the last checkpoint's. */
	if (w->seen_n && w->seen_n == w->want_n && ops_n == w->want[w->want_n - 1].ops_n &&
	    digest == w->want[w->want_n - 1].digest)
		return true;
	if (w->seen_n == w->want_n || ops_n != w->want[w->seen_n].ops_n)
		return differ(w, "a digest after %u operations, where the model has none", ops_n);
	w->g->digest = digest;
	w->g->digests_n = ++w->seen_n;
	if (digest != w->want[w->seen_n - 1].digest)
		return differ(w, "digest %016" PRIx64 " after %u operations, the model says "
			      "%016" PRIx64 " (they agreed after %u)",
			      digest, ops_n, w->want[w->seen_n - 1].digest, from);
	return true;
}

static void explain(struct watch *w, const char *rest)
{
	struct op_outcome out = { .result = RESULT_SKIP };
	char line[OPS_LINE_BYTES], result[24], text[24];
	const struct op *op;
	uint64_t value;
	uint32_t i;

	if (sscanf(rest, "%" SCNu32 " %23s %" SCNx64, &i, result, &value) != 3 ||
	    i >= w->t->ops_n)
		return;
	op = &w->t->ops[i];
	if (!ops_names_skip(&w->names, op)) {
		body_model.perform(w->model, op, &w->names, &out);
		ops_names_follow(&w->names, op, (enum op_result)out.result);
	}
	ops_print(line, op);
	snprintf(text, sizeof(text), "%u", out.result);
	printf("%6u  %-36s %-8s %016" PRIx64, i, line, result, value);
	if ((strcmp(result, ops_result_text[out.result]) && strcmp(result, text)) ||
	    value != out.value)
		printf("   the model: %s %016" PRIx64, ops_result_text[out.result], out.value);
	printf("\n");
}

static bool take_line(void *ctx, const char *verb, const char *rest)
{
	struct watch *w = ctx;

	if (!strcmp(verb, "digest"))
		return take_digest(w, rest);
	if (!strcmp(verb, "leak") && atoll(rest) != 0)
		return differ(w, "leak: %.60s frames at teardown", rest);
	if (!strcmp(verb, "check") && strncmp(rest, "ok", 2))
		return differ(w, "invariant: %.160s", rest);
	if (!strcmp(verb, "verdict") && strstr(rest, " failed"))
		return differ(w, "verdict: %.160s", rest);
	if (!strcmp(verb, "outcome") && w->g->explain)
		explain(w, rest);
	return true;
}

static void build_command(char *command, size_t bytes, const struct guest_replay *g)
{
	const struct body_options *s = &g->play.start;
	int n = snprintf(command, bytes, "run=trace preset=%s cpus=%u",
			 s->preset ? s->preset : "pagemill", s->cpus_n ? s->cpus_n : 2);

	if (s->frames_n)
		n += snprintf(command + n, bytes - (size_t)n, " frames=%" PRIu64, s->frames_n);
	if (g->explain)
		snprintf(command + n, bytes - (size_t)n, " outcomes=1");
}

static int boot(struct watch *w, const char *initrd)
{
	struct guest_replay *g = w->g;
	char command[128], why[512];
	struct guest_options o = { .arch = g->arch, .kernel = g->kernel, .command = command,
				   .initrd = initrd, .cpus_n = g->play.start.cpus_n,
				   .icount = g->icount, .log_path = g->log_path,
				   .timeout_s = g->timeout_s ? g->timeout_s : 120 };
	enum guest_end end;

	build_command(command, sizeof(command), g);
	end = guest_run(&o, take_line, w, why, sizeof(why));
	if (w->differs)
		return EXIT_FINDING;
	if (end == GUEST_DONE && w->seen_n != w->want_n) {
		differ(w, "it printed %u digests of %u", w->seen_n, w->want_n);
		return EXIT_FINDING;
	}
	if (end != GUEST_DONE)
		snprintf(g->why, sizeof(g->why), "%.230s", why);
	return cli_guest_exit(end);
}

/* The initrd is a file of its own, gone when the guest is. */
static int boot_with_initrd(struct watch *w)
{
	const char *dir = getenv("TMPDIR");
	char path[400], why[256];
	int fd, code;

	snprintf(path, sizeof(path), "%.300s/pagemill-trace-XXXXXX", dir ? dir : "/tmp");
	fd = mkstemp(path);
	if (fd < 0 || ops_save(path, w->t->ops, w->t->ops_n, OPS_BINARY, NULL, why, sizeof(why))) {
		snprintf(w->g->why, sizeof(w->g->why), "%.100s: can't be written", path);
		if (fd >= 0) {
			close(fd);
			unlink(path);
		}
		return EXIT_TOOL;
	}
	close(fd);
	code = boot(w, path);
	unlink(path);
	return code;
}

int guest_replay(const struct ops_trace *t, struct guest_replay *g)
{
	struct watch w = { .g = g, .t = t };
	struct finding f;
	int code = EXIT_TOOL;

	g->why[0] = 0;
	for (uint32_t i = 0; i < t->ops_n; i++) {
		const char *what = t->ops[i].code == OP_FAIL ? "injects a failure, which guests "
							       "don't" :
				   t->ops[i].code == OP_TOGETHER ? "begins a concurrent section, "
								   "which guests don't play" :
								   NULL;

		if (!what)
			continue;
		snprintf(g->why, sizeof(g->why), "operation %u %s", i, what);
		return EXIT_USAGE;
	}
	w.want = calloc(t->ops_n + 1u, sizeof(*w.want));
	if (!w.want || !player_expect(t->ops, t->ops_n, &g->play, note_digest, &w) ||
	    body_model.start(&w.model, &g->play.start)) {
		snprintf(g->why, sizeof(g->why), "unknown preset, or out of memory");
		free(w.want);
		return EXIT_USAGE;
	}
	ops_names_start(&w.names);
	code = boot_with_initrd(&w);
	body_model.finish(w.model, &f);
	free(w.want);
	return code;
}
