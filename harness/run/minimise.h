/// Minimising: the shortest trace found that still shows the same oracle.
#ifndef MINIMISE_H
#define MINIMISE_H

#include "run/player.h"

struct minimise_options {
	struct player_options play;
	unsigned runs_max;    /* 0: 5000 */
	unsigned seconds_max; /* 0: 60 */
	unsigned timeout_s;   /* per operation; 0: 5 */
	uint32_t room;        /* operations that fit in ops; 0: as many as there are */
	bool isolated;        /* each run in a child: needed for crashes and hangs */
	void (*progress)(void *ctx, uint32_t ops_n, unsigned runs_n); /* may be NULL */
	void *ctx;
};

struct minimise_result {
	struct player_result first, last; /* before and after */
	unsigned runs_n;
	unsigned fixed_n; /* sections whose schedule was said in rows */
	bool whole; /* no budget was hit: no single operation can be taken away */
};

/// Shrinks ops in place; the schedules of its concurrent sections are said in rows, as
/// far as `room` allows, and shrink with the rest. Returns the new length; unchanged, with
/// first.finding.oracle ORACLE_NONE, if the trace shows nothing.
uint32_t minimise(struct op *ops, uint32_t ops_n, const struct minimise_options *o,
		  struct minimise_result *r);

#endif
