/// run=trace: the dispatcher.
///
/// One kernel thread walks the operations in order. It moves to the CPU that the
/// trace names, so that kernel operations run there; user operations are handed to
/// the space's player process (trace_user.c), which is moved there too. Exactly one
/// of them works at any time: a trace is sequential, its CPUs are where things
/// happen, not that they happen at once.
///
/// Which operation means nothing, and how outcomes are folded, is harness/ops' code,
/// linked here as it is.
#include "trace.h"

struct slot {
	struct kmm_pfn pfn;
	char *object;
	uint64_t bytes;
};

static struct slot frames[OPS_SLOTS], objects[OPS_SLOTS];

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

/* ---- kernel operations ---- */

/// What an owner writes is its own, by slot and kind.
static uint64_t key_of(const struct op *op, unsigned kind)
{
	return kind << 16 | op->arg[0];
}

static enum op_result frame_alloc(const struct op *op)
{
	struct slot *s = &frames[op->arg[0]];
	enum kmm_error e = kmm_frame_alloc(glue_kmm, op->arg[1], 0, &s->pfn);

	if (e != KMM_OK)
		return trace_result_of(e);
	s->bytes = KMM_PAGE_BYTES << op->arg[1];
	ops_block_fill(kmm_frame_virt(glue_kmm, s->pfn), s->bytes, key_of(op, 1));
	return RESULT_OK;
}

static enum op_result frame_free(const struct op *op, unsigned order)
{
	struct slot *s = &frames[op->arg[0]];
	bool intact = ops_block_intact(kmm_frame_virt(glue_kmm, s->pfn), s->bytes,
				       key_of(op, 1));
	enum kmm_error e = kmm_frame_free(glue_kmm, s->pfn, order);

	return intact ? trace_result_of(e) : RESULT_CORRUPT;
}

static enum op_result object_alloc(const struct op *op)
{
	struct slot *s = &objects[op->arg[0]];

	s->object = kmm_alloc(glue_kmm, op->arg[1]);
	if (!s->object)
		return RESULT_NOMEM;
	s->bytes = op->arg[1];
	ops_block_fill(s->object, s->bytes, key_of(op, 2));
	return RESULT_OK;
}

static enum op_result object_free(const struct op *op)
{
	struct slot *s = &objects[op->arg[0]];
	bool intact = ops_block_intact(s->object, s->bytes, key_of(op, 2));
	enum kmm_error e = kmm_free(glue_kmm, s->object);

	return intact ? trace_result_of(e) : RESULT_CORRUPT;
}

static enum op_result perform_kernel(const struct op *op, const struct ops_names *n)
{
	switch (op->code) {
	case OP_FRAME_ALLOC: return frame_alloc(op);
	case OP_FRAME_FREE: return frame_free(op, n->frame_order[op->arg[0]]);
	case OP_OBJECT_ALLOC: return object_alloc(op);
	case OP_OBJECT_FREE: return object_free(op);
	case OP_DRAIN: kmm_frame_drain(glue_kmm); return RESULT_OK;
	default: return RESULT_ERROR;
	}
}

static bool performed(unsigned code)
{
	return code == OP_FRAME_ALLOC || code == OP_FRAME_FREE || code == OP_OBJECT_ALLOC ||
	       code == OP_OBJECT_FREE || code == OP_DRAIN;
}

/* ---- the walk ---- */

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
		out->value = trace_user_contents(&w->names, walk_cpu(w));
	else if (ops_table[op->code].side == OP_KERNEL)
		out->result = perform_kernel(op, &w->names);
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
	if (w->outcomes)
		glue_print("@outcome %u %s %016llx\n", i, ops_result_text[out.result],
			   (unsigned long long)out.value);
	if (op->code == OP_CHECKPOINT)
		print_digest(w, i + 1);
}

/// Frees what the trace left taken, so that a leak is kmm's alone.
static bool release_slots(struct walk *w)
{
	bool ok = true;

	for (uint16_t i = 0; i < OPS_SLOTS; i++) {
		struct op op = { .arg = { i } };

		if (w->names.frame_slots >> i & 1)
			ok &= frame_free(&op, w->names.frame_order[i]) == RESULT_OK;
		if (w->names.object_slots >> i & 1)
			ok &= object_free(&op) == RESULT_OK;
	}
	return ok;
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
		if (ops_table[w->op[i].code].side == OP_KERNEL && !performed(w->op[i].code))
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
	if (!release_slots(&w)) {
		glue_print("@verdict trace failed a block left at the end was damaged\n");
		return 1;
	}
	return 0;
}
