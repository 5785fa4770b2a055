/// One execution, for the engines' entry point and for tools.
#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

#include "run/player.h"

/// Plays an input. Never aborts.
void target_play(const uint8_t *data, size_t bytes, struct player_result *r);

#endif
