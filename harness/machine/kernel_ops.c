/// Kernel operations, one call of kmm or a few each; what they do is in blocks.c and spots.c.
/// Every body that has kmm performs them by this, the kernels too.
#include "machine/blocks.h"

enum op_result kernel_op_perform(struct performer *p, const struct op *op)
{
	unsigned a = op->arg[0], b = op->arg[1];

	switch (op->code) {
	case OP_FRAME_ALLOC: return block_frame_alloc(p, op);
	case OP_FRAME_FREE: return block_frame_free(p, a);
	case OP_FRAME_ALLOC_ON: return block_frame_alloc_on(p, op);
	case OP_RANGE_ALLOC: return block_range_alloc(p, op);
	case OP_FRAME_FREE_ZEROED: return block_frame_free_zeroed(p, a);
	case OP_ZERO_IDLE: (void)kmm_frame_zero_idle(p->k, a); return RESULT_OK;
	case OP_ISOLATE: return spot_isolate(p, a != 0, b);
	case OP_PLUG: return spot_plug(p, a != 0, b);
	case OP_LISTEN: return spot_listen(p, a);
	case OP_OBJECT_ALLOC: return block_object_alloc(p, op);
	case OP_OBJECT_FREE: return block_object_free(p, a);
	case OP_DRAIN: kmm_frame_drain(p->k); return RESULT_OK;
	default: return RESULT_ERROR;
	}
}

bool kernel_op_allocates(uint8_t code)
{
	return code == OP_FRAME_ALLOC || code == OP_FRAME_ALLOC_ON || code == OP_RANGE_ALLOC;
}
