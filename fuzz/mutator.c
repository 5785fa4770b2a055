/* Mutation by meaning: decode, edit the operations (harness/ops/edit.h, several edits
 * a step), encode. Bytes are never touched below the level of an operand, so that
 * every execution plays a trace.
 *
 * libFuzzer links this file into the target. AFL++ loads it as a shared library and is
 * told to use nothing else (AFL_CUSTOM_MUTATOR_ONLY). Both give a random number per
 * call; everything else follows from it and the input.
 *
 * A concurrent section's schedule is its seed, which is an operand like any other; a part
 * of the mutations changes nothing else, since no coverage tells one order from another.
 */
#include "fuzz/mutator.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz/input.h"
#include "ops/edit.h"
#include "ops/rng.h"
#include "ops/scene.h"

#define HEADER_ODDS 24u /* one mutation in so many changes the configuration */
/* And one in so many throws the input away. libFuzzer stacks five mutations a run. */
#define FRESH_ODDS_LIBFUZZER 16u
#define FRESH_ODDS_AFL 5u
#define RESEED_ODDS 3u  /* of those with a concurrent section: only its schedule */

static size_t ops_room(size_t room)
{
	size_t left = room < INPUT_HEADER_BYTES ? 0 : room - INPUT_HEADER_BYTES;
	size_t fit = left / sizeof(struct op);

	return fit < INPUT_OPS_MAX ? fit : INPUT_OPS_MAX;
}

/* Gives one section another schedule and leaves the operations alone: which of many
 * orders shows a race is found by trying. Returns: whether there is a section */
static bool reseed(struct input *in, struct ops_rng *rng)
{
	size_t sections = 0, nth;

	for (size_t i = 0; i < in->ops_n; i++)
		sections += in->ops[i].code == OP_TOGETHER;
	if (sections == 0)
		return false;
	nth = ops_rng_below(rng, (uint32_t)sections);
	for (size_t i = 0; i < in->ops_n; i++) {
		if (in->ops[i].code != OP_TOGETHER || nth-- != 0)
			continue;
		in->ops[i].arg[0] = (uint16_t)ops_rng_next(rng);
		in->ops[i].arg[1] = (uint16_t)ops_rng_next(rng);
		in->ops[i] = ops_normalise(in->ops[i]);
	}
	return true;
}

/* A short input on another configuration: a few motifs. Inputs grow towards their bound,
 * where a run takes long and a race hangs on what came before it. */
static void refresh(struct input *in, size_t max, struct ops_rng *rng)
{
	unsigned motifs = 1u + ops_rng_below(rng, 3);

	in->header[0] = (uint8_t)ops_rng_next(rng);
	in->header[1] = (uint8_t)ops_rng_next(rng);
	in->header[2] = (uint8_t)ops_rng_next(rng);
	in->ops_n = 0;
	while (motifs-- != 0) {
		struct op motif[OPS_MOTIF_MAX];
		struct ops_scene scene;
		size_t n;

		ops_scene_at(&scene, in->ops, in->ops_n);
		n = ops_rng_below(rng, 3) ? ops_motif_together(motif, &scene, rng) :
					   ops_motif(motif, &scene, rng);
		in->ops_n = ops_insert(in->ops, in->ops_n, max, in->ops_n, motif, n);
	}
}

size_t mutate(uint8_t *data, size_t bytes, size_t room, uint64_t seed, unsigned fresh_odds)
{
	struct ops_rng rng = { seed };
	size_t max = ops_room(room);
	struct input in;

	if (max == 0)
		return bytes;
	input_decode(&in, data, bytes);
	if (in.ops_n > max)
		in.ops_n = max;
	if (ops_rng_below(&rng, HEADER_ODDS) == 0)
		in.header[ops_rng_below(&rng, 3)] = (uint8_t)ops_rng_next(&rng);
	if (ops_rng_below(&rng, fresh_odds) == 0)
		refresh(&in, max, &rng);
	else if (ops_rng_below(&rng, RESEED_ODDS) != 0 || !reseed(&in, &rng))
		in.ops_n = ops_edit(in.ops, in.ops_n, max, &rng);
	return input_encode(&in, data, room);
}

size_t cross(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes, uint8_t *out,
	     size_t room, uint64_t seed)
{
	struct ops_rng rng = { seed };
	size_t max = ops_room(room);
	struct input to, from;

	input_decode(&to, a, a_bytes);
	input_decode(&from, b, b_bytes);
	if (to.ops_n > max)
		to.ops_n = max;
	to.ops_n = ops_splice(to.ops, to.ops_n, max, from.ops, from.ops_n, &rng);
	return input_encode(&to, out, room);
}

/* ---- libFuzzer ---- */

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_bytes, const uint8_t *b,
				 size_t b_bytes, uint8_t *out, size_t room, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed)
{
	return mutate(data, bytes, room, seed, FRESH_ODDS_LIBFUZZER);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_bytes, const uint8_t *b,
				 size_t b_bytes, uint8_t *out, size_t room, unsigned seed)
{
	return cross(a, a_bytes, b, b_bytes, out, room, seed);
}

/* ---- AFL++ ---- */

struct afl_state;

struct afl_mutator {
	struct ops_rng rng;
	uint8_t out[INPUT_BYTES_MAX];
};

void *afl_custom_init(struct afl_state *afl, unsigned seed);
size_t afl_custom_fuzz(void *data, uint8_t *buf, size_t bytes, uint8_t **out, uint8_t *other,
		       size_t other_bytes, size_t room);
void afl_custom_deinit(void *data);

void *afl_custom_init(struct afl_state *afl, unsigned seed)
{
	struct afl_mutator *m = calloc(1, sizeof(*m));

	(void)afl;
	if (m)
		m->rng.state = seed;
	return m;
}

/* AFL++ offers a second input with every call; one call in eight takes from it. */
size_t afl_custom_fuzz(void *data, uint8_t *buf, size_t bytes, uint8_t **out, uint8_t *other,
		       size_t other_bytes, size_t room)
{
	struct afl_mutator *m = data;
	uint64_t seed = ops_rng_next(&m->rng);
	size_t n = bytes < sizeof(m->out) ? bytes : sizeof(m->out);

	if (room > sizeof(m->out))
		room = sizeof(m->out);
	memcpy(m->out, buf, n);
	if (other && other_bytes > INPUT_HEADER_BYTES && seed % 8 == 0)
		n = cross(buf, bytes, other, other_bytes, m->out, room, seed);
	*out = m->out;
	return mutate(m->out, n, room, seed, FRESH_ODDS_AFL);
}

void afl_custom_deinit(void *data)
{
	free(data);
}
