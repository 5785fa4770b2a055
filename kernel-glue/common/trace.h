/// The trace player's parts: trace.c walks the operations; trace_frame.c performs those of
/// the kernel; trace_user.c hands the others to user-mode players.
#ifndef TRACE_H
#define TRACE_H

#include "ops/ops.h"
#include "process.h"

/// Starts the player of space 0. KMM_EUNSUPPORTED: this preset has no user space.
KMM_MUST_CHECK enum kmm_error trace_user_start(unsigned cpu);

/// Has the player of the operation's space perform it, on a CPU.
void trace_user_perform(const struct op *op, const struct ops_names *n, unsigned cpu,
			struct op_outcome *out);

/// Contents of all living spaces, for a checkpoint; or RESULT_NOMEM, if a page could not be
/// filled in. Pre: out is RESULT_OK
void trace_user_contents(const struct ops_names *n, unsigned cpu, struct op_outcome *out);

/// Ends all players and waits until they are gone.
void trace_user_finish(const struct ops_names *n, unsigned cpu);

/// A process has exited, which may be a player's; its space is destroyed.
void trace_player_gone(const struct process *p);

/// What an error of kmm is in the language.
enum op_result trace_result_of(enum kmm_error e);

/// Before the first kernel operation.
void trace_frame_start(void);

/// Is this operation of side OP_KERNEL one that can be performed here?
bool trace_frame_plays(unsigned code);

/// Performs a kernel operation on this CPU. Pre: !ops_names_skip, trace_frame_plays
enum op_result trace_frame_perform(const struct op *op);

/// Gives back what the trace left taken, so that a leak is kmm's alone: spots, the
/// listener's stash, slots. Returns: false if anything was wrong, now or before; it was printed
bool trace_frame_finish(void);

#endif
