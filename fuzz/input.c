/* Bytes to a trace and its configuration, and back.
 *
 * Header: byte 0 bit 0 chooses the format, bits 2:1 one to four CPUs less one (one
 * becomes two: most of what can go wrong needs another CPU), bits 6:3 the preset;
 * byte 1 seeds the adversary, and its upper bits give the machine zones and nodes; byte 2
 * says how much memory there is. Zero is the commonest configuration. $PAGEMILL_PRESET,
 * if set, stands in place of the preset.
 *
 * I1  input_decode(input_encode(x)) == x: the mutator and the target see one trace.
 */
#include "fuzz/input.h"

#include <stdlib.h>
#include <string.h>

/* Half of all values choose the richest preset; others, it with each other policy. */
static const char *const presets[16] = {
	"pagemill", "neo", "pagemill", "veridian", "pagemill", "viperdos", "pagemill",
	"pagemill+bitmap", "pagemill", "pagemill+buddy", "pagemill", "pagemill+hybrid",
	"pagemill", "pagemill+split", "pagemill", "pagemill+buddy",
};

void input_decode(struct input *in, const uint8_t *data, size_t bytes)
{
	size_t at = INPUT_HEADER_BYTES;

	memset(in->header, 0, sizeof(in->header));
	memcpy(in->header, data, bytes < at ? bytes : at);
	for (in->ops_n = 0; in->ops_n < INPUT_OPS_MAX && at + sizeof(struct op) <= bytes;
	     at += sizeof(struct op)) {
		struct op raw;

		memcpy(&raw, data + at, sizeof(raw));
		in->ops[in->ops_n++] = ops_normalise(raw);
	}
}

size_t input_encode(const struct input *in, uint8_t *data, size_t room)
{
	size_t left = room < INPUT_HEADER_BYTES ? 0 : room - INPUT_HEADER_BYTES;
	size_t fit = left / sizeof(struct op);
	size_t n = in->ops_n < fit ? in->ops_n : fit;

	if (room < INPUT_HEADER_BYTES)
		return 0;
	memcpy(data, in->header, INPUT_HEADER_BYTES);
	memcpy(data + INPUT_HEADER_BYTES, in->ops, n * sizeof(struct op));
	return INPUT_HEADER_BYTES + n * sizeof(struct op);
}

void input_options(const struct input *in, struct body_options *o)
{
	unsigned cpus = 1u + (in->header[0] >> 1 & 3u);
	const char *wish = getenv("PAGEMILL_PRESET");

	*o = (struct body_options){
		.preset = wish && wish[0] ? wish : presets[in->header[0] >> 3 & 15u],
		.format = in->header[0] & 1u ? "aarch64" : "x86_64",
		.cpus_n = cpus == 1 ? 2 : cpus,
		.frames_n = in->header[2] & 1u ? INPUT_FRAMES_MORE : INPUT_FRAMES,
		.seed = in->header[1],
	};
}
