/// Frames and objects that slots hold: kmm's side of frame-alloc, frame-free,
/// object-alloc and object-free.
#ifndef BLOCKS_H
#define BLOCKS_H

#include "machine/perform.h"

enum op_result block_frame_alloc(struct performer *p, const struct op *op);
enum op_result block_object_alloc(struct performer *p, const struct op *op);

/// Frees a taken slot's block. Complains if kmm accepts a free that it must refuse.
enum op_result block_frame_free(struct performer *p, unsigned slot);
enum op_result block_object_free(struct performer *p, unsigned slot);

/// A frame-alloc of this order has just failed, and nobody injected it: complains if
/// kmm's policy has a free block of its size.
void block_verify_nomem(struct performer *p, unsigned order);

#endif
