/* A trace in a guest: handed over in binary form, judged by its digests.
 *
 * The model walks along: every @digest line must be the one that it has there, none
 * missing. Where no memory was found, the guest says so in an @outcome line before the
 * next digest: whether that is allowed where frames lie elsewhere, is the model's to
 * judge, by the memory and the CPUs that the guest told of in @boot, and it goes on from
 * there, as it does with bodies on the host. A guest injects no failures.
 *
 * I1  The model stands before operation `at`; names and digest are those up to there. A
 *     checkpoint's digest has been seen before the operation after it is done.
 *
 * The bits of the seed that shape the simulated machine (machine/machine.h) shape the
 * guest's: an eighth of its memory for old devices, two nodes.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmm/preset.h>

#include "machine/machine.h"
#include "model/model.h"
#include "ops/text.h"
#include "run/cli.h"

#define NONE UINT32_MAX

struct watch {
	struct guest_replay *g;
	const struct ops_trace *t;
	bool differs;
	struct body *model; /* NULL: the guest hasn't booted */
	struct ops_names names;
	uint32_t at;
	uint64_t digest;
	uint32_t seen_at; /* operations before the last digest seen; NONE */
	bool flipped;
};

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

/* ---- the model's walk ---- */

/* What the next operation must do. */
static struct op_outcome expect_next(struct watch *w)
{
	const struct op *op = &w->t->ops[w->at];
	struct op_outcome out = { .result = RESULT_SKIP };

	/* The bit is turned just before it is looked at, lest it be overwritten. */
	if (!w->flipped && op->code == OP_CHECKPOINT && w->at >= w->g->play.flip_after)
		w->flipped = body_model.flip(w->model, FLIP_CONTENTS, w->g->play.start.seed);
	if (!ops_names_skip(&w->names, op))
		model_expect(w->model, op, &w->names, &out);
	return out;
}

static bool has_digest(const struct watch *w, uint32_t ops_n)
{
	return ops_n == w->t->ops_n || (ops_n && w->t->ops[ops_n - 1].code == OP_CHECKPOINT);
}

/* The next operation was done so. */
static bool go_on(struct watch *w, const struct op_outcome *out)
{
	const struct op *op = &w->t->ops[w->at];

	if (has_digest(w, w->at) && w->seen_at != w->at)
		return differ(w, "no digest after %u operations", w->at);
	if (out->result != RESULT_SKIP) {
		model_follow(w->model, op, &w->names, out);
		ops_names_follow(&w->names, op, (enum op_result)out->result);
	}
	w->digest = ops_fold_outcome(w->digest, w->at++, op, out);
	return true;
}

/* To before operation i, by what the model expects. */
static bool walk_to(struct watch *w, uint32_t i)
{
	if (!w->model || w->at > i)
		return differ(w, "what it says of %u operations comes %s", i,
			      w->model ? "too late" : "before @boot");
	while (w->at < i) {
		struct op_outcome out = expect_next(w);

		if (!go_on(w, &out))
			return false;
	}
	return true;
}

/* ---- what the guest says ---- */

static bool take_boot(struct watch *w, const char *rest)
{
	struct body_options o = w->g->play.start;
	const char *why;

	if (w->model ||
	    sscanf(rest, "%*s cpus=%u frames=%" SCNu64, &o.cpus_n, &o.frames_n) != 2)
		return differ(w, "a second or malformed line: @boot %.80s", rest);
	why = body_model.start(&w->model, &o);
	return why ? differ(w, "%s", why) : true;
}

static bool take_digest(struct watch *w, const char *rest)
{
	uint32_t ops_n, from = w->seen_at == NONE ? 0 : w->seen_at;
	uint64_t digest;

	if (sscanf(rest, "%" SCNu32 " %" SCNx64, &ops_n, &digest) != 2)
		return differ(w, "malformed line: @digest %.80s", rest);
	if (ops_n > w->t->ops_n || !has_digest(w, ops_n))
		return differ(w, "a digest after %u operations, where the model has none", ops_n);
	if (!walk_to(w, ops_n))
		return false;
	w->g->digest = digest;
	w->g->digests_n += w->seen_at != ops_n; /* the end's may repeat a checkpoint's */
	w->seen_at = ops_n;
	if (digest != w->digest)
		return differ(w, "digest %016" PRIx64 " after %u operations, the model says "
			      "%016" PRIx64 " (they agreed after %u)",
			      digest, ops_n, w->digest, from);
	return true;
}

static void explain(const struct watch *w, const char *result, uint64_t value,
		    const struct op_outcome *want)
{
	char line[OPS_LINE_BYTES];

	ops_print(line, &w->t->ops[w->at]);
	printf("%6u  %-36s %-8s %016" PRIx64, w->at, line, result, value);
	if (strcmp(result, ops_result_text[want->result]) || value != want->value)
		printf("   the model: %s %016" PRIx64, ops_result_text[want->result],
		       want->value);
	printf("\n");
}

/* Out of memory is followed if it may be. Any other difference is for the next digest to
 * show. */
static bool take_outcome(struct watch *w, const char *rest)
{
	char result[24], line[OPS_LINE_BYTES], why[160];
	struct op_outcome got = { .result = RESULT_NOMEM }, want;
	uint32_t i;

	if (sscanf(rest, "%" SCNu32 " %23s %" SCNx64, &i, result, &got.value) != 3 ||
	    i >= w->t->ops_n)
		return differ(w, "malformed line: @outcome %.80s", rest);
	if (!walk_to(w, i))
		return false;
	want = expect_next(w);
	if (w->g->explain)
		explain(w, result, got.value, &want);
	if (strcmp(result, ops_result_text[RESULT_NOMEM]))
		return go_on(w, &want);
	ops_print(line, &w->t->ops[i]);
	if (want.result == RESULT_SKIP)
		return differ(w, "operation %u: %.70s: nomem, but it is skipped", i, line);
	if (!model_allows(w->model, &w->t->ops[i], &w->names, &got, false, why, sizeof(why)))
		return differ(w, "operation %u: %.70s: %.120s", i, line, why);
	w->g->followed_n += want.result != got.result || want.value != got.value;
	return go_on(w, &got);
}

static bool take_line(void *ctx, const char *verb, const char *rest)
{
	struct watch *w = ctx;

	if (!strcmp(verb, "boot"))
		return take_boot(w, rest);
	if (!strcmp(verb, "digest"))
		return take_digest(w, rest);
	if (!strcmp(verb, "leak") && atoll(rest) != 0)
		return differ(w, "leak: %.60s frames at teardown", rest);
	if (!strcmp(verb, "check") && strncmp(rest, "ok", 2))
		return differ(w, "invariant: %.160s", rest);
	if (!strcmp(verb, "verdict") && strstr(rest, " failed"))
		return differ(w, "verdict: %.160s", rest);
	if (!strcmp(verb, "outcome"))
		return take_outcome(w, rest);
	return true;
}

/* ---- the guest ---- */

static void build_command(char *command, size_t bytes, const struct guest_replay *g)
{
	const struct body_options *s = &g->play.start;
	int n = snprintf(command, bytes, "run=trace preset=%s cpus=%u",
			 s->preset ? s->preset : "pagemill", s->cpus_n ? s->cpus_n : 2);

	if (s->frames_n)
		n += snprintf(command + n, bytes - (size_t)n, " frames=%" PRIu64, s->frames_n);
	if (s->seed & MACHINE_DMA)
		n += snprintf(command + n, bytes - (size_t)n, " dma=%u",
			      guest_memory_base_mib(g->arch) + GUEST_MEMORY_MIB / 8u);
	if (g->explain)
		snprintf(command + n, bytes - (size_t)n, " outcomes=1");
}

static int boot(struct watch *w, const char *initrd)
{
	struct guest_replay *g = w->g;
	char command[128], why[512];
	struct guest_options o = { .arch = g->arch, .kernel = g->kernel, .command = command,
				   .initrd = initrd, .cpus_n = g->play.start.cpus_n,
				   .nodes_n = g->play.start.seed & MACHINE_NODES ? 2 : 0,
				   .icount = g->icount, .log_path = g->log_path,
				   .timeout_s = g->timeout_s ? g->timeout_s : 120 };
	enum guest_end end;

	build_command(command, sizeof(command), g);
	end = guest_run(&o, take_line, w, why, sizeof(why));
	if (w->differs)
		return EXIT_FINDING;
	if (end == GUEST_DONE && w->seen_at != w->t->ops_n) {
		differ(w, "its last digest was after %u operations of %u",
		       w->seen_at == NONE ? 0 : w->seen_at, w->t->ops_n);
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
	struct watch w = { .g = g, .t = t, .digest = OPS_DIGEST_START, .seen_at = NONE,
			   .flipped = g->play.flip == FLIP_NONE };
	const char *preset = g->play.start.preset ? g->play.start.preset : "pagemill";
	struct kmm_preset parsed;
	struct finding f;
	int code;

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
	if (!kmm_preset_parse(preset, &parsed)) {
		snprintf(g->why, sizeof(g->why), "unknown preset");
		return EXIT_USAGE;
	}
	ops_names_start(&w.names);
	code = boot_with_initrd(&w);
	if (w.model)
		body_model.finish(w.model, &f);
	return code;
}
