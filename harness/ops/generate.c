/* The generator: codes by weight, names by the scene, memory by a budget.
 *
 * I1  ops_scene_frames never exceeds frames_max: what would exceed it is replaced
 *     by an operation that gives back.
 * I2  Without failures the result holds no OP_FAIL, and orders above order_max only
 *     among the first BIG_OPS operations and at most BIG_LIVE at once: later a
 *     policy that scatters small blocks may rightly have no big one left.
 *
 * I3  A section is whole, and lies before the last operation.
 *
 * A code without a weight gets WEIGHT_USUAL, so that a new operation is generated
 * from its first day; but a seed without sections gives the trace that it gave when
 * there were none.
 */
#include "ops/generate.h"

#include "ops/scene.h"

#define WEIGHT_USUAL 4u
#define BIG_OPS 50u
#define BIG_LIVE 2u
#define BIG_ORDER 5u
#define RHYTHM 100u
#define SECTION_ROOM 26u /* rows that a section takes at most */
#define SECTION_CPUS 4u

static const uint8_t weights[OP_N] = {
	[OP_FRAME_ALLOC] = 10, [OP_FRAME_FREE] = 8, [OP_OBJECT_ALLOC] = 10,
	[OP_OBJECT_FREE] = 8,  [OP_MAP] = 12,       [OP_PLACE] = 3,
	[OP_UNMAP] = 7,        [OP_PROTECT] = 6,    [OP_BREAK] = 4,
	[OP_READ] = 14,        [OP_WRITE] = 20,     [OP_FORK] = 4,
	[OP_EXIT] = 3,         [OP_CPU] = 12,       [OP_FAIL] = 6,
	[OP_CHECKPOINT] = 1,   [OP_FRAME_ALLOC_ON] = 10, [OP_RANGE_ALLOC] = 8,
	[OP_FRAME_FREE_ZEROED] = 5, [OP_ZERO_IDLE] = 3, [OP_LISTEN] = 1,
};

/* What may come at random. */
struct mix {
	bool fails, drains, frame_ops;
};

static unsigned weight_of(unsigned code, const struct mix *m)
{
	if (code == OP_FAIL && !m->fails)
		return 0;
	if (code == OP_DRAIN && !m->drains)
		return 0;
	if (code >= OP_TOGETHER && code <= OP_INTERRUPT)
		return 0;
	if (code >= OP_FRAME_ALLOC_ON && !m->frame_ops)
		return 0;
	return weights[code] ? weights[code] : WEIGHT_USUAL;
}

/* side < 0: any. */
static enum op_code pick_code(struct ops_rng *rng, int side, const struct mix *m)
{
	unsigned sum = 0, at;

	for (unsigned c = 0; c < OP_N; c++)
		if (side < 0 || (int)ops_table[c].side == side)
			sum += weight_of(c, m);
	at = ops_rng_below(rng, sum);
	for (unsigned c = 0; c < OP_N; c++) {
		unsigned w = side < 0 || (int)ops_table[c].side == side ? weight_of(c, m) : 0;

		if (at < w)
			return (enum op_code)c;
		at -= w;
	}
	return OP_CHECKPOINT;
}

enum op_code ops_random_code(struct ops_rng *rng, bool fails)
{
	return pick_code(rng, -1, &(struct mix){ .fails = fails, .drains = true,
						 .frame_ops = true });
}

static enum op_code code_at(uint32_t i, const struct generate_options *o, struct ops_rng *rng)
{
	unsigned user = o->user_percent ? o->user_percent : 70;
	struct mix mix = { .fails = o->fails, .drains = o->together_percent != 0,
			   .frame_ops = o->frame_ops };
	unsigned r = ops_rng_below(rng, 100);

	if (i == o->ops_n - 1)
		return OP_CHECKPOINT;
	switch (i % RHYTHM) {
	case RHYTHM / 4:
		return OP_FORK;
	case RHYTHM / 2:
		return OP_UNMAP;
	case RHYTHM * 3 / 4:
		return OP_CPU;
	case RHYTHM - 1:
		return OP_CHECKPOINT;
	}
	if (ops_rng_below(rng, 12) == 0)
		return pick_code(rng, OP_PLAYER, &mix);
	return pick_code(rng, r < user ? OP_USER : OP_KERNEL, &mix);
}

static unsigned big_live(const struct ops_scene *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < OPS_SLOTS; i++)
		n += (s->names.frame_slots >> i & 1) && s->names.frame_order[i] >= BIG_ORDER;
	return n;
}

static void bound_order(struct op *op, uint32_t i, const struct generate_options *o,
			const struct ops_scene *s)
{
	unsigned max = o->order_max ? o->order_max : BIG_ORDER - 1;

	if (op->code != OP_FRAME_ALLOC || o->fails)
		return;
	if (!o->order_max && i < BIG_OPS && big_live(s) < BIG_LIVE)
		return;
	if (op->arg[1] > max)
		op->arg[1] = (uint16_t)(op->arg[1] % (max + 1));
}

/* Something that gives memory back, from what there is most of. */
static struct op release(const struct ops_scene *s, struct ops_rng *rng)
{
	enum op_code code = OP_UNMAP;
	struct op op;

	if (s->names.spaces & ~1u && ops_rng_below(rng, 3) == 0)
		code = OP_EXIT;
	else if (s->names.frame_slots && ops_rng_below(rng, 3) == 0)
		code = OP_FRAME_FREE;
	op = ops_random(code, rng);
	ops_aim(&op, s, rng);
	if (code == OP_UNMAP) {
		op.arg[2] = 0;
		op.arg[3] = OPS_WINDOW_PAGES;
	}
	return op;
}

/* Aims it; gives something back instead where the budget is used up. */
static struct op settle(struct op op, uint32_t i, const struct generate_options *o,
			struct ops_scene *s, struct ops_rng *rng)
{
	uint32_t frames_max = o->frames_max ? o->frames_max : 2048;
	struct ops_scene after = *s;

	if (op.code == OP_FORK && s->names.spaces == (1u << OPS_SPACES) - 1)
		op = ops_random(OP_EXIT, rng);
	if (ops_rng_below(rng, 16))
		ops_aim(&op, s, rng);
	bound_order(&op, i, o, s);
	ops_scene_follow(&after, &op);
	if (ops_scene_frames(&after) <= frames_max) {
		*s = after;
		return op;
	}
	op = release(s, rng);
	ops_scene_follow(s, &op);
	return op;
}

/* A section: few operations on few CPUs, so that they meet. Returns: its rows. */
static uint32_t generate_section(struct op *ops, uint32_t i, const struct generate_options *o,
				 struct ops_scene *s, struct ops_rng *rng)
{
	struct mix mix = { .drains = true, .frame_ops = o->frame_ops };
	unsigned user = o->user_percent ? o->user_percent : 70, cpu = SECTION_CPUS;
	unsigned cpus_n = 2 + ops_rng_below(rng, SECTION_CPUS - 1), n = 2 + ops_rng_below(rng, 7);
	uint32_t at = 0;

	ops[at] = ops_random(OP_TOGETHER, rng);
	ops[at++].arg[0] = 1; /* random */
	for (unsigned k = 0; k < n; k++) {
		unsigned on = k < 2 ? k : ops_rng_below(rng, cpus_n);
		bool users = ops_rng_below(rng, 100) < user;
		struct op op;

		if (on != cpu)
			ops[at++] = (struct op){ .code = OP_CPU, .arg = { (uint16_t)on } };
		cpu = on;
		if (o->fails && ops_rng_below(rng, 8) == 0) {
			ops[at] = ops_random(OP_FAIL, rng);
			ops_aim(&ops[at++], s, rng);
		}
		op = ops_random(pick_code(rng, users ? OP_USER : OP_KERNEL, &mix), rng);
		ops[at] = settle(op, i + at, o, s, rng);
		at++;
	}
	ops[at++] = (struct op){ .code = OP_JOIN };
	return at;
}

void ops_generate(struct op *ops, const struct generate_options *o)
{
	struct ops_rng rng = { o->seed };
	struct ops_scene s;
	uint32_t i = 0;

	ops_scene_start(&s);
	while (i < o->ops_n) {
		if (o->together_percent && i + SECTION_ROOM + 2 < o->ops_n &&
		    ops_rng_below(&rng, 100) < o->together_percent) {
			i += generate_section(ops + i, i, o, &s, &rng);
		} else {
			struct op op = ops_random(code_at(i, o, &rng), &rng);

			ops[i] = settle(op, i, o, &s, &rng);
			i++;
		}
	}
}
