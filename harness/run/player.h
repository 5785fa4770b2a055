/// The player: one trace, the model and a body in lockstep.
#ifndef PLAYER_H
#define PLAYER_H

#include "run/body.h"

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
	void (*on_op)(void *ctx, const struct player_event *e); /* may be NULL */
	void *ctx;
};

struct player_result {
	struct finding finding;    /* oracle ORACLE_NONE: body and model agree */
	char refused[160];         /* not empty: the body could not start; why */
	uint32_t ops_done, skipped_n, checkpoints_n;
	uint32_t followed_n;       /* outcomes allowed, though not what ample memory gives */
	uint64_t digest;           /* of the body's transcript */
	bool flipped;              /* the self-test's bit was turned over */
};

/// Plays a trace. A body that a finding has shown broken is still torn down.
void player_run(const struct op *ops, uint32_t ops_n, const struct player_options *o,
		struct player_result *r);

/// The same in a child process: a crash there is a finding (sanitizer), and so is
/// an operation that doesn't end within timeout_s seconds (hang). on_op is called in
/// the child. Returns false, with r->refused, if no child could be made.
bool player_run_isolated(const struct op *ops, uint32_t ops_n, const struct player_options *o,
			 unsigned timeout_s, struct player_result *r);

/// The transcript's digest as the model alone gives it, at every checkpoint and at
/// the end. Returns false on an unknown preset.
struct player_digest {
	uint32_t ops_n; /* after this many operations */
	uint64_t digest;
};
bool player_expect(const struct op *ops, uint32_t ops_n, const struct player_options *o,
		   void (*on_digest)(void *ctx, const struct player_digest *d), void *ctx);

#endif
