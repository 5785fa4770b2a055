/// Edits of traces that know what operations mean: for the fuzzers' mutator and
/// for the minimiser.
#ifndef OPS_EDIT_H
#define OPS_EDIT_H

#include "ops/ops.h"
#include "ops/rng.h"

/// Changes a trace in place by several stacked edits. Pre: all of ops in the
/// language, n <= max, max > 0. Returns: its new length, 1..max.
size_t ops_edit(struct op *ops, size_t n, size_t max, struct ops_rng *rng);

/// The same with one edit: number `kind` of ops_edit_kinds(), for tests and
/// statistics. An edit that cannot apply leaves the trace as it was.
size_t ops_edit_one(struct op *ops, size_t n, size_t max, unsigned kind, struct ops_rng *rng);
unsigned ops_edit_kinds(void);
const char *ops_edit_name(unsigned kind);

/// Puts a run of `from`, which lies apart, into ops. Returns: the new length.
size_t ops_splice(struct op *ops, size_t n, size_t max, const struct op *from, size_t from_n,
		  struct ops_rng *rng);

/// Removes ops[at..at+count-1]. Returns: the new length.
size_t ops_delete(struct op *ops, size_t n, size_t at, size_t count);

/// Inserts count operations at `at`, as many as max allows. Returns: the new length.
size_t ops_insert(struct op *ops, size_t n, size_t max, size_t at, const struct op *what,
		  size_t count);

/// A short sequence that exercises one mechanism whole: copy-on-write from both
/// sides, unmap seen from another CPU, blocks split and merged. Aimed at the scene
/// of the trace so far. Returns: how many operations were written, <= OPS_MOTIF_MAX.
#define OPS_MOTIF_MAX 48u
struct ops_scene;
size_t ops_motif(struct op out[OPS_MOTIF_MAX], const struct ops_scene *scene,
		 struct ops_rng *rng);

/// The same with a concurrent section in it: two or three CPUs at one mechanism.
size_t ops_motif_together(struct op out[OPS_MOTIF_MAX], const struct ops_scene *scene,
			  struct ops_rng *rng);

/// A strategy and a seed for a section, ops[0] its first row: mostly random and PCT.
void ops_random_strategy(struct op *together, struct ops_rng *rng);

/// Brings a trace back to whole sections: each ends before the next begins and holds
/// OPS_TOGETHER_MAX operations at most, and what means nothing outside of one is
/// dropped there. Returns: the new length, at most max.
#define OPS_TOGETHER_MAX 32u
size_t ops_mend(struct op *ops, size_t n, size_t max);

#endif
