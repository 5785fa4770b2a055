/// The player: one trace, the model and a body in lockstep.
#ifndef PLAYER_H
#define PLAYER_H

#include "run/body.h"
#include "sched/sched.h"

#define PLAYER_THOROUGH_EVERY 64u

/// What a self-test turns over, and after which operation.
enum player_flip { FLIP_NONE, FLIP_BODY_TABLE, FLIP_BODY_CONTENTS, FLIP_MODEL };

struct player_event {
	uint32_t index;
	const struct op *op;
	struct op_outcome body, model; /* model: with ample memory */
	bool skipped, injected;
};

struct player_options {
	const struct body_class *body;
	struct body_options start;
	bool thorough;             /* all checks after every operation */
	bool quick;                /* thorough checks at the end only (fuzzing) */
	enum player_flip flip;
	uint32_t flip_after;       /* number of operations before it */
	bool quiet;                /* an isolated child's stderr is dropped */
	struct sched_strategy *strategy; /* of all concurrent sections; NULL: as each says */
	void (*on_op)(void *ctx, const struct player_event *e); /* may be NULL */
	/* Within sections: the scheduler's events, and "defer", "stale" and "walk" for such
	 * choices. May be NULL. */
	void (*on_step)(void *ctx, const struct sched_event *e);
	void *ctx;
};

struct player_result {
	struct finding finding;    /* oracle ORACLE_NONE: body and model agree */
	char refused[160];         /* not empty: the body could not start; why */
	uint32_t ops_done, skipped_n, checkpoints_n;
	uint32_t followed_n;       /* outcomes allowed, though not what ample memory gives */
	uint64_t digest;           /* of the body's transcript */
	bool flipped;              /* the self-test's bit was turned over */
	uint32_t injected_n;       /* operations in which an injected failure happened */
	uint32_t sections_n;
	uint32_t points_n, points_max; /* points passed: in all sections; in the longest */
	/* The last section's choices against the default, and where it begins in the trace:
	 * what section_fix needs to say a finding's schedule in rows. */
	uint32_t section_at, choices_n;
	bool choices_lost;         /* there were more than fit */
	struct sched_choice choice[SCHED_CHOICES_MAX];
};

/// Plays a trace. A body that a finding has shown broken is still torn down.
void player_run(const struct op *ops, uint32_t ops_n, const struct player_options *o,
		struct player_result *r);

/// The same in a child process: a crash there is a finding (sanitizer), and so is
/// an operation that doesn't end within timeout_s seconds (hang). on_op is called in
/// the child. Returns false, with r->refused, if no child could be made.
bool player_run_isolated(const struct op *ops, uint32_t ops_n, const struct player_options *o,
			 unsigned timeout_s, struct player_result *r);

#endif
