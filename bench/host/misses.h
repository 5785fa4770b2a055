/// Cache misses of frame loads, as callgrind simulates them.
#ifndef MISSES_H
#define MISSES_H

#include "frame_work.h"

/// Plays the load with all that is to be counted inside bench_region, and prints how many
/// operations that were. Of get and put loads an operation is a pair.
/// Pre: under callgrind with --instr-atstart=no --toggle-collect=bench_region
/// Returns: NULL, or one line that says what is wrong
const char *frame_misses(const struct frame_options *base);

#endif
