/// A trace under an edit; for edit.c and edit_together.c.
#ifndef OPS_EDIT_INNER_H
#define OPS_EDIT_INNER_H

#include "ops/edit.h"

struct edit {
	struct op *ops;
	size_t n, max;
	struct ops_rng *rng;
};

static inline size_t any(struct edit *e, size_t end)
{
	return ops_rng_below(e->rng, (uint32_t)end);
}

/// An operation that means something at this point.
struct op edit_fresh(struct edit *e, size_t at);

/* Edits of concurrent sections (edit_together.c). */
void edit_strategy(struct edit *e);
void edit_choice(struct edit *e);
void edit_other_cpu(struct edit *e);
void edit_wrap(struct edit *e);
void edit_unwrap(struct edit *e);
void edit_copy_within(struct edit *e);
void edit_more_cpus(struct edit *e);

#endif
