/// What a run did, kept as it happens and told afterwards: operations with their
/// outcomes, and what each CPU did within concurrent sections.
#ifndef TIMELINE_H
#define TIMELINE_H

#include <stdio.h>

#include "run/player.h"

#define TIMELINE_STEPS_MAX (1u << 20) /* in one run; more: the oldest are forgotten */

struct timeline;

/// For a run of this trace. It lies in memory that a child process shares, so that the
/// parent can tell what led to a crash. Returns: NULL without memory
struct timeline *timeline_make(const struct op *ops, uint32_t ops_n, unsigned cpus_n);
void timeline_free(struct timeline *t);

/// For player_options.on_op and on_step, with the timeline as ctx.
void timeline_op(void *ctx, const struct player_event *e);
void timeline_step(void *ctx, const struct sched_event *e);

/// Tells it all, and the finding with the line of code at which it showed. Stretches in
/// which one CPU goes on undisturbed are folded, unless `all`.
void timeline_print(struct timeline *t, FILE *out, bool all, const struct finding *f);

#endif
