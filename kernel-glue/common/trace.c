/// run=trace: the dispatcher.
///
/// One kernel thread walks the operations in order. It moves to the CPU that the
/// trace names, so that kernel operations (trace_frame.c) run there; user operations are
/// handed to the space's player process (trace_user.c), which is moved there too. Exactly
/// one of them works at any time: a trace is sequential, its CPUs are where things
/// happen, not that they happen at once.
///
/// Whether there was no memory for an operation may depend on where things lie. The host
/// can't know, so it is told, and judges: such an outcome is always printed.
///
/// Which operation means nothing, and how outcomes are folded, is harness/ops' code,
/// linked here as it is.
#include "trace.h"

enum op_result trace_result_of(enum kmm_error e)
{
	switch (e) {
	case KMM_OK: return RESULT_OK;
	case KMM_ENOMEM: return RESULT_NOMEM;
	case KMM_EINVAL: return RESULT_INVAL;
	case KMM_EACCES: return RESULT_ACCES;
	case KMM_ELIMIT: return RESULT_LIMIT;
	case KMM_EUNSUPPORTED: return RESULT_UNSUPPORTED;
	case KMM_ECORRUPT: return RESULT_CORRUPT;
	default: return RESULT_ERROR;
	}
}

struct walk {
	const struct op *op;
	uint32_t ops_n;
	bool has_user, outcomes;
	struct ops_names names;
	uint64_t digest;
};

static unsigned walk_cpu(const struct walk *w)
{
	return w->names.cpu % glue_boot->cpus_n;
}

static void perform(struct walk *w, const struct op *op, struct op_outcome *out)
{
	*out = (struct op_outcome){ .result = RESULT_OK };
	if (ops_names_skip(&w->names, op))
		out->result = RESULT_SKIP;
	else if (op->code == OP_CHECKPOINT)
		trace_user_contents(&w->names, walk_cpu(w), out);
	else if (ops_table[op->code].side == OP_KERNEL)
		out->result = trace_frame_perform(op);
	else if (ops_table[op->code].side == OP_USER && !w->has_user)
		out->result = RESULT_UNSUPPORTED;
	else if (ops_table[op->code].side == OP_USER)
		trace_user_perform(op, &w->names, walk_cpu(w), out);
}

static void print_digest(const struct walk *w, uint32_t ops)
{
	glue_print("@digest %u %016llx\n", ops, (unsigned long long)w->digest);
}

static void step(struct walk *w, uint32_t i)
{
	const struct op *op = &w->op[i];
	struct op_outcome out;

	perform(w, op, &out);
	ops_names_follow(&w->names, op, out.result);
	if (op->code == OP_CPU)
		sched_move(walk_cpu(w));
	w->digest = ops_fold_outcome(w->digest, i, op, &out);
	if (w->outcomes || out.result == RESULT_NOMEM)
		glue_print("@outcome %u %s %016llx\n", i, ops_result_text[out.result],
			   (unsigned long long)out.value);
	if (op->code == OP_CHECKPOINT)
		print_digest(w, i + 1);
}

/// NULL, or why the initrd is no trace that this kernel plays.
static const char *open_trace(struct walk *w)
{
	static const char magic[] = OPS_MAGIC;
	const struct ops_header *h = glue_boot->initrd;

	if (!h || glue_boot->initrd_bytes < sizeof(*h))
		return "no trace in the initrd";
	for (unsigned i = 0; i < sizeof(h->magic); i++)
		if (h->magic[i] != magic[i])
			return "not a trace";
	if (h->version != OPS_VERSION)
		return "another version of the trace format";
	if (h->ops_n > (glue_boot->initrd_bytes - sizeof(*h)) / sizeof(struct op))
		return "trace cut short";
	w->op = (const struct op *)(const void *)(h + 1);
	w->ops_n = h->ops_n;
	for (uint32_t i = 0; i < w->ops_n; i++) {
		if (ops_fault(&w->op[i]))
			return ops_fault(&w->op[i]);
		if (w->op[i].code == OP_FAIL)
			return "it injects failures, which kernels don't";
		if (w->op[i].code == OP_TOGETHER)
			return "it has concurrent sections, which kernels don't play";
		if (ops_table[w->op[i].code].side == OP_KERNEL && !trace_frame_plays(w->op[i].code))
			return "it has operations on frames that kernels don't play";
	}
	return NULL;
}

int trace_run(void)
{
	struct walk w = { .digest = OPS_DIGEST_START, .outcomes = command_number("outcomes", 0) };
	const char *why = open_trace(&w);
	enum kmm_error e;

	if (why) {
		glue_print("@verdict trace failed %s\n", why);
		return 1;
	}
	ops_names_start(&w.names);
	trace_frame_start();
	e = trace_user_start(0);
	if (e != KMM_OK && e != KMM_EUNSUPPORTED)
		glue_panic("the player doesn't start: %s", kmm_error_text(e));
	w.has_user = e == KMM_OK;
	sched_move(0);
	for (uint32_t i = 0; i < w.ops_n; i++)
		step(&w, i);
	print_digest(&w, w.ops_n);
	if (kmm_check(glue_kmm) != KMM_OK)
		glue_print("@check failed before the end\n");
	trace_user_finish(&w.names, walk_cpu(&w));
	if (!trace_frame_finish()) {
		glue_print("@verdict trace failed something of the kernel's own was wrong\n");
		return 1;
	}
	return 0;
}
