/// kmm on a host thread, as a body: the same operations without an MMU.
///
/// What it adds to sim: code compiled as for speed, host memory under Valgrind and
/// the sanitizers, and the kernel's own way into user memory (kmm_space_read and
/// kmm_space_write), through which all user accesses go here.
///
/// One thread plays all CPUs: on a switch it leaves one and enters the next. A CPU
/// nobody is in is offline and keeps what it cached, so a trace should have ample
/// memory here. It gives up its space before it goes, so that no space is destroyed
/// under it. A panic ends the process.
#include <stdlib.h>

#include "machine/perform.h"
#include "threads.h"

#define BASE 0x123000ull

struct body {
	struct threads_machine m;
	struct performer p;
	struct finding finding;
	unsigned cpu;
};

static enum op_result way_access(void *ctx, struct kmm_space *s, uint64_t va,
				 enum kmm_access access, uint64_t *word)
{
	struct body *b = ctx;
	struct kmm_va at = { va };
	size_t done = access == KMM_ACCESS_WRITE ? kmm_space_write(s, at, word, sizeof(*word)) :
						   kmm_space_read(s, at, word, sizeof(*word));

	if (done == sizeof(*word))
		return RESULT_OK;
	/* The copy doesn't say why; a fault at the same place does. */
	switch (kmm_space_fault(s, at, access)) {
	case KMM_FAULT_OOM:
		return RESULT_NOMEM;
	case KMM_FAULT_SEGV:
		return RESULT_SEGV;
	default:
		/* An injected failure comes once: the second try had memory. */
		return b->p.turn.fail_armed ? RESULT_NOMEM : RESULT_ERROR;
	}
}

static void way_touch(void *ctx, const void *at, uint64_t bytes)
{
	(void)ctx;
	(void)at;
	(void)bytes;
}

static void way_leave(void *ctx, struct kmm_space *s)
{
	(void)ctx;
	(void)s; /* way_cpu did it already */
}

static void way_cpu(void *ctx, unsigned cpu)
{
	struct body *b = ctx;

	if (cpu == b->cpu)
		return;
	kmm_space_activate(b->m.kmm, NULL);
	threads_leave(&b->m, b->cpu);
	threads_enter(&b->m, cpu);
	b->cpu = cpu;
}

static void way_complain(void *ctx, enum oracle oracle, const char *text)
{
	struct body *b = ctx;

	if (b->finding.oracle != ORACLE_NONE)
		return;
	b->finding.oracle = oracle;
	kmm_format(b->finding.text, sizeof(b->finding.text), "%s", text);
}

static const struct perform_ways ways = { way_access, way_touch, way_leave, way_cpu,
					  way_complain, NULL };

static const char *threads_body_start(struct body **out, const struct body_options *o)
{
	uint64_t frames_n = o->frames_n ? o->frames_n : 4096;
	struct kmm_preset preset;
	struct threads_options to = {
		.preset = kmm_preset_parse(o->preset ? o->preset : "pagemill", &preset) ?
				  &preset : NULL,
		.format = kmm_pt_format_find(o->format ? o->format : "x86_64"),
		.bytes = frames_n * KMM_PAGE_BYTES, .base = BASE,
		.cpus_n = o->cpus_n ? o->cpus_n : 2,
	};
	struct body *b = calloc(1, sizeof(*b));
	const char *error = NULL;

	if (!to.preset)
		error = "threads: no such preset";
	else if (!to.format)
		error = "threads: no such page-table format";
	else if (!b)
		error = "threads: out of memory";
	else
		error = threads_start(&b->m, &to);
	if (!error) {
		b->m.quiet = true;
		if (perform_start(&b->p, b->m.kmm, &ways, b, to.cpus_n) != KMM_OK) {
			(void)threads_stop(&b->m);
			error = "threads: no memory for the first address space";
		}
	}
	if (error) {
		free(b);
	} else {
		b->p.memmap = &b->m.memmap;
		*out = b;
	}
	return error;
}

static void threads_body_perform(struct body *b, const struct op *op, const struct ops_names *n,
				 struct op_outcome *out)
{
	perform(&b->p, op, n, out);
}

static void threads_body_verify(struct body *b, bool thorough, bool failed, struct finding *f)
{
	if (failed && perform_is_atomic(b->p.turn.last_code))
		perform_verify_unchanged(&b->p);
	if (thorough) {
		perform_verify_blocks(&b->p);
		perform_verify_invariants(&b->p);
	}
	*f = b->finding;
}

static bool threads_body_injected(struct body *b)
{
	return b->p.turn.injected;
}

static void threads_body_finish(struct body *b, struct finding *f)
{
	bool sound = b->finding.oracle == ORACLE_NONE;

	perform_finish(&b->p);
	way_cpu(b, 0);
	if (threads_stop(&b->m) != 0 && sound)
		way_complain(b, ORACLE_LEAK, "frames are left after teardown");
	*f = b->finding;
	free(b);
}

const struct body_class body_threads = {
	.name = "threads",
	.start = threads_body_start,
	.perform = threads_body_perform,
	.verify = threads_body_verify,
	.injected = threads_body_injected,
	.finish = threads_body_finish,
};
