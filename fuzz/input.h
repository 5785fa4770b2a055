/// A fuzz input: a header of four bytes, then operations of twelve bytes each. Any
/// bytes are an input; what is missing reads as zero.
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include "ops/ops.h"
#include "run/body.h"

#define INPUT_HEADER_BYTES 4u
#define INPUT_OPS_MAX 160u
#define INPUT_BYTES_MAX (INPUT_HEADER_BYTES + INPUT_OPS_MAX * sizeof(struct op))
#define INPUT_FRAMES 256u
#define INPUT_FRAMES_MORE 2560u /* the least that holds whole 2 MiB blocks */

struct input {
	uint8_t header[INPUT_HEADER_BYTES];
	struct op ops[INPUT_OPS_MAX];
	size_t ops_n;
};

/// Every operation is normalised; bytes past the last whole one are dropped.
void input_decode(struct input *in, const uint8_t *data, size_t bytes);

/// Returns: bytes written, at most `room`
size_t input_encode(const struct input *in, uint8_t *data, size_t room);

/// What the header chooses: format, CPUs, preset, the adversary's seed.
void input_options(const struct input *in, struct body_options *o);

#endif
