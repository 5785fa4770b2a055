/// A strategy that writes down what another one chooses: the choices go to the player's
/// result as they are made, so that a crash leaves them there.
#ifndef RECORDER_H
#define RECORDER_H

#include "run/player.h"

struct recorder {
	struct sched_strategy strategy, *inner;
	const struct player_options *o; /* its listener hears of choices too */
	struct player_result *r;
};

struct sched_strategy *recorder_init(struct recorder *rec, const struct player_options *o,
				     struct player_result *r, struct sched_strategy *inner);

#endif
