/// Generated traces: random, meaningful, repeatable from a seed.
#ifndef OPS_GENERATE_H
#define OPS_GENERATE_H

#include "ops/ops.h"
#include "ops/rng.h"

struct generate_options {
	uint64_t seed;
	uint32_t ops_n;
	unsigned user_percent; /* share of user operations; 0: 70 */
	unsigned order_max;    /* 0: 4, and up to OPS_ORDER_MAX in the first ops */
	uint32_t frames_max;   /* bound of ops_scene_frames at any time; 0: 2048 */
	bool fails;            /* inject failures too */
	bool frame_ops;        /* those from OP_FRAME_ALLOC_ON on, which guests don't play */
	unsigned together_percent; /* places of a hundred where a concurrent section begins */
};

/// Fills ops[0..ops_n-1]. Each hundred has an unmap, a CPU switch, a checkpoint and,
/// where the budget allows, a fork (unless a section stands there); the last operation
/// is a checkpoint. Without `fails`, a body with 16 times frames_max frames never runs
/// out of memory. Without sections, none of their rows occurs, and no drain.
void ops_generate(struct op *ops, const struct generate_options *o);

/// One code by the generator's weights, any side; drains too, but no row of a section.
enum op_code ops_random_code(struct ops_rng *rng, bool fails);

#endif
