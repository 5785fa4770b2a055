/// The trace player's parts: trace.c walks the operations and does those of the
/// kernel; trace_user.c hands the others to user-mode players.
#ifndef TRACE_H
#define TRACE_H

#include "ops/ops.h"
#include "process.h"

/// Starts the player of space 0. KMM_EUNSUPPORTED: this preset has no user space.
KMM_MUST_CHECK enum kmm_error trace_user_start(unsigned cpu);

/// Has the player of the operation's space perform it, on a CPU.
void trace_user_perform(const struct op *op, const struct ops_names *n, unsigned cpu,
			struct op_outcome *out);

/// Contents of all living spaces, for a checkpoint.
uint64_t trace_user_contents(const struct ops_names *n, unsigned cpu);

/// Ends all players and waits until they are gone.
void trace_user_finish(const struct ops_names *n, unsigned cpu);

/// A player's process has exited; its space is destroyed.
void trace_player_gone(unsigned space);

enum op_result trace_result_of(enum kmm_error e);

#endif
