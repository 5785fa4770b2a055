/// Kernel operations: frames and objects of slots, and memory as a whole.
///
/// What they mean is harness/machine's code (kernel_ops.c, blocks.c, spots.c), linked here as it is, so that
/// it is the same in a kernel as on the host: who fills a block and looks at it again, which
/// wrong frees surround a free, where frames may come from, what a spot is, what the listener
/// gives back. This file is what that code asks of its body.
///
/// A spot is a sixteenth of the zones' span, which in a kernel has holes: the firmware's
/// memory, the kernel, the initrd, kmm's own. One that has a hole can be isolated, but not
/// unplugged; one in which anything is in use neither. Both are answered RESULT_NOMEM, as
/// are a zone and a node that the machine hasn't, and the host follows that.
#include "trace.h"

#include "machine/blocks.h"

static struct performer performer;
static bool complained;

const char *const oracle_text[ORACLE_N] = {
#define ORACLE_TEXT(name, text) [name] = text,
	ORACLES(ORACLE_TEXT)
#undef ORACLE_TEXT
};

/* ---- the body's part ---- */

enum op_result perform_result(enum kmm_error e)
{
	return trace_result_of(e);
}

/// Only a machine that is simulated has to be told.
static void touch(void *ctx, const void *at, uint64_t bytes)
{
	(void)ctx;
	(void)at;
	(void)bytes;
}

static void complain(void *ctx, enum oracle oracle, const char *text)
{
	(void)ctx;
	complained = true;
	glue_print("@verdict trace failed %s: %s\n", oracle_text[oracle], text);
}

/// User operations and CPUs are the dispatcher's own.
static const struct perform_ways ways = { .touch = touch, .complain = complain };

void trace_frame_start(void)
{
	performer = (struct performer){ .k = glue_kmm, .ways = &ways, .cpus_n = glue_boot->cpus_n,
					.memmap = &glue_boot->memmap };
}

/* ---- operations ---- */

/// New operations come at the table's end: this is the last that kernel_op_perform knows.
bool trace_frame_plays(unsigned code)
{
	return code <= OP_LISTEN;
}

/// Of a spot that has just gone out of use nothing is to be had, even by who asks for it. On
/// the host the ledger of frames sees that.
static void verify_gone(unsigned spot)
{
	struct kmm_frame_request r = { .n = 1, .flags = KMM_FRAME_NOWAIT };
	struct kmm_zone_info first, last;
	struct kmm_pfn pfn;
	uint64_t all;

	if (kmm_zone_info(glue_kmm, 0, &first) != KMM_OK ||
	    kmm_zone_info(glue_kmm, kmm_zones_n(glue_kmm) - 1u, &last) != KMM_OK)
		return;
	all = last.end.n - first.base.n;
	r.lo = kmm_pfn_to_pa((struct kmm_pfn){ first.base.n + all * spot / OPS_SPOTS });
	r.hi = kmm_pfn_to_pa((struct kmm_pfn){ first.base.n + all * (spot + 1u) / OPS_SPOTS });
	if (kmm_frame_alloc_range(glue_kmm, &r, &pfn) == KMM_ENOMEM)
		return;
	complain(NULL, ORACLE_LEDGER, "frames of a spot that went out of use can be had");
}

enum op_result trace_frame_perform(const struct op *op)
{
	bool away = op->code == OP_ISOLATE ? op->arg[0] != 0 :
					     op->code == OP_PLUG && op->arg[0] == 0;
	enum op_result r = kernel_op_perform(&performer, op);

	if (r == RESULT_NOMEM && kernel_op_allocates(op->code))
		block_verify_nomem(&performer, op);
	if (r == RESULT_OK && away)
		verify_gone(op->arg[1]);
	return r;
}

bool trace_frame_finish(void)
{
	bool ok = true;

	spot_finish(&performer);
	for (unsigned i = 0; i < OPS_SLOTS; i++) {
		if (performer.frames >> i & 1u)
			ok &= block_frame_free(&performer, i) == RESULT_OK;
		if (performer.objects >> i & 1u)
			ok &= block_object_free(&performer, i) == RESULT_OK;
	}
	return ok && !complained;
}
