/// What the model is made of, for its own files and for the judge of histories
/// (run/linear*.c), which tries operations on copies of windows before it commits one
/// order of them to the model. All others use model.h.
#ifndef MODEL_STATE_H
#define MODEL_STATE_H

#include <kmm/preset.h>

#include "model/model.h"
#include "model/space.h"

#define MODEL_SCRATCH_N 4u

struct body {
	struct model_space *space[OPS_SPACES]; /* NULL: dead */
	const struct kmm_preset *preset; /* the next member */
	struct kmm_preset own_preset;
	uint64_t frames_n, cpus_n;
	uint64_t slot_frames;   /* frames in frame slots */
	uint64_t idle_frames;   /* in spots out of use, and in the listener's stash */
	uint64_t stash;         /* of these, in the latter */
	uint64_t object_frames; /* the most that objects ever held: slabs may stay */
	uint64_t object_now;
	void *scratch[MODEL_SCRATCH_N];
	size_t scratch_bytes[MODEL_SCRATCH_N];
};

/// The window that a change of a space is about.
unsigned model_window_of(const struct op *op);

/// What map, place, unmap, protect or brk of `pages` pages must say, if `w` is its
/// window and regions_n those of the whole space.
enum op_result model_expect_change(const struct body *m, const struct model_window *w,
				   unsigned break_pages, unsigned regions_n,
				   const struct op *op, unsigned pages);

/// What a kernel operation must say; it depends on nothing but itself.
enum op_result model_expect_kernel(const struct op *op);

/// Does it. Pre: model_expect_change says RESULT_OK
void model_change(const struct body *m, struct model_window *w, const struct op *op,
		  unsigned pages, unsigned break_pages);

/// The outcome of a read or write that is refused at page `stop`, or at the first page
/// that the model refuses, whichever comes first.
void model_expect_access(const struct body *m, const struct op *op, const struct ops_names *n,
			 unsigned stop, struct op_outcome *out);

/// A change, fork or exit that came true, in the model's own spaces.
void model_apply(struct body *m, const struct op *op, unsigned pages);

unsigned model_space_regions(const struct model_space *s);

/// What objects of this size may take.
uint64_t model_object_frames(unsigned bytes);

/* ---- allowance (allow.c) ---- */

/// May this operation find no memory, while others may hold `others` frames more?
bool model_may_lack(const struct body *m, const struct op *op, const struct ops_names *n,
		    uint64_t others);

/// Frames that an operation may hold, at the very most, while it is under way and after
/// it, beyond those that model_frames_bound counted before it.
uint64_t model_demand(const struct body *m, const struct op *op);

/// Frames of a spot, at the very most.
uint64_t model_spot_frames(const struct body *m);

/// The order of the largest block that it needs.
unsigned model_order(const struct op *op);

/// Blocks of 2^order frames that are spoiled by what is in caches, or on its way between
/// them and the pool.
uint64_t model_in_flight(const struct body *m, unsigned order);

/// Is there an answer RESULT_NOMEM to it at all?
bool model_needs_memory(const struct op *op);

/* ---- memory that lives as long as the model ---- */

/// At least so many bytes, zero when first seen; what was in it stays. `which` is below
/// MODEL_SCRATCH_N.
void *model_scratch(struct body *m, unsigned which, size_t bytes);

#endif
