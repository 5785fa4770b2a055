/// Between the kernel's trace dispatcher and the user-mode player.
#ifndef PLAYER_ABI_H
#define PLAYER_ABI_H

#include "ops/ops.h"

/// An operation to perform, with what its names mean here. OP_CHECKPOINT asks for
/// the contents of the player's own space.
struct player_order {
	struct op op;
	uint32_t pages;                     /* ops_range_pages */
	uint64_t value;                     /* checkpoint: the digest so far */
	uint64_t window_base[OPS_WINDOWS];  /* 0: unbound */
	uint32_t window_pages[OPS_WINDOWS];
};

/// What it did. `failed`: a system call was refused; the kernel knows why.
struct player_reply {
	uint32_t result; /* enum op_result */
	bool failed;
	uint64_t value;
};

/* player_next(space, reply, order): gives the reply to the last order (NULL at the
 * first call), blocks until there is another. The space's first call makes the
 * caller its player.
 * player_recover(start, end, landing): a refused access whose pc is in [start, end)
 * continues at landing. */

#endif
