/// The one mutator behind both engines.
#ifndef FUZZ_MUTATOR_H
#define FUZZ_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

/// Changes an input by several stacked edits of operations, or, once in `fresh_odds`,
/// makes a new one. Returns: its new size, at most `room`
size_t mutate(uint8_t *data, size_t bytes, size_t room, uint64_t seed, unsigned fresh_odds);

/// Puts a run of one input's operations into another. Returns: the size of `out`
size_t cross(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes, uint8_t *out,
	     size_t room, uint64_t seed);

#endif
