/// Kernel operations: kernel_ops.c tells them apart, blocks.c and spots.c perform them.
#ifndef BLOCKS_H
#define BLOCKS_H

#include "machine/perform.h"

/// Performs an operation of side OP_KERNEL.
enum op_result kernel_op_perform(struct performer *p, const struct op *op);

/// Does it allocate frames?
bool kernel_op_allocates(uint8_t code);

/* blocks.c: frames and objects that slots hold */

enum op_result block_frame_alloc(struct performer *p, const struct op *op);
enum op_result block_frame_alloc_on(struct performer *p, const struct op *op);
enum op_result block_range_alloc(struct performer *p, const struct op *op);
enum op_result block_object_alloc(struct performer *p, const struct op *op);

/// Frees a taken slot's block. Complains if kmm accepts a free that it must refuse.
enum op_result block_frame_free(struct performer *p, unsigned slot);
enum op_result block_frame_free_zeroed(struct performer *p, unsigned slot);
enum op_result block_object_free(struct performer *p, unsigned slot);

/// An allocation of frames has just failed, and nobody injected it: complains if a zone
/// that it may have them from has them.
void block_verify_nomem(struct performer *p, const struct op *op);

/* spots.c: what is done to memory as a whole */

enum op_result spot_isolate(struct performer *p, bool on, unsigned spot);
enum op_result spot_plug(struct performer *p, bool on, unsigned spot);
enum op_result spot_listen(struct performer *p, unsigned frames_n);

/// Complains if one of these frames lies in a spot that is out of use.
void spot_verify_use(struct performer *p, struct kmm_pfn pfn, uint64_t n);

/// Managed frames that are isolated or in the stash.
uint64_t spot_idle_n(const struct performer *p);

/// Everything back into use, and nobody listens.
void spot_finish(struct performer *p);

#endif
