/// The reference model: what every trace means. Slow, and obviously right.
#ifndef MODEL_H
#define MODEL_H

#include "run/body.h"

extern const struct body_class body_model;

/// What the operation must do, memory and injected failures apart. Changes nothing.
/// Pre: !ops_names_skip; m was started by body_model
void model_expect(const struct body *m, const struct op *op, const struct ops_names *n,
		  struct op_outcome *out);

/// May a body with the model's options answer so? Changes nothing. If not, why gets
/// one line. `injected`: an injected failure happened in this operation.
bool model_allows(const struct body *m, const struct op *op, const struct ops_names *n,
		  const struct op_outcome *got, bool injected, char *why, size_t why_bytes);

/// Does what a body did. Pre: model_allows it
void model_follow(struct body *m, const struct op *op, const struct ops_names *n,
		  const struct op_outcome *got);

/// Frames that a body may have in use now, at the very most.
uint64_t model_frames_bound(const struct body *m);

#endif
