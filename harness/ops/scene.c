/* The scene: an optimistic reading of a trace, and operations aimed at it.
 *
 * A random operation on random names is mostly skipped: of 16 spaces few live, of
 * 12 windows few are mapped. Aiming picks names that mean something, most of the
 * time; the rest keeps the refusals tested.
 */
#include "ops/scene.h"

#include <string.h>

static uint64_t range_bits(unsigned page, unsigned pages)
{
	uint64_t ones = pages >= 64 ? ~0ull : (1ull << pages) - 1;

	return page < 64 ? ones << page : 0;
}

void ops_scene_start(struct ops_scene *s)
{
	memset(s, 0, sizeof(*s));
	ops_names_start(&s->names);
}

static bool both_w_and_x(unsigned prot)
{
	return (prot & 6) == 6;
}

static void set_pages(struct ops_scene *s, unsigned space, unsigned window, uint64_t bits,
		      unsigned prot)
{
	s->mapped[space][window] |= bits;
	s->writable[space][window] &= ~bits;
	if (prot & 2)
		s->writable[space][window] |= bits;
}

static void clear_pages(struct ops_scene *s, unsigned space, unsigned window, uint64_t bits)
{
	s->mapped[space][window] &= ~bits;
	s->writable[space][window] &= ~bits;
}

static void follow_break(struct ops_scene *s, unsigned space, unsigned pages)
{
	uint64_t was = range_bits(0, s->heap_pages[space]), is = range_bits(0, pages);

	set_pages(s, space, OPS_HEAP_WINDOW, is & ~was, 3);
	clear_pages(s, space, OPS_HEAP_WINDOW, was & ~is);
	s->heap_pages[space] = (uint8_t)pages;
}

/* What a memory operation does to the maps; false where it would be refused. */
static bool follow_memory(struct ops_scene *s, const struct op *op)
{
	unsigned space = op->arg[0], window = op->arg[1], page = op->arg[2];
	unsigned prot = op->code == OP_PLACE ? op->arg[3] : op->arg[4];
	uint64_t bits = range_bits(page, ops_range_pages(&s->names, op));

	switch (op->code) {
	case OP_MAP:
		if (!both_w_and_x(prot))
			set_pages(s, space, window, bits, prot);
		return true;
	case OP_PLACE:
		bits = range_bits(0, op->arg[2]);
		if (!both_w_and_x(prot))
			set_pages(s, space, OPS_FIXED_WINDOWS + window, bits, prot);
		return !both_w_and_x(prot);
	case OP_PROTECT:
		if (!both_w_and_x(prot) && (s->mapped[space][window] & bits) == bits)
			set_pages(s, space, window, bits, prot);
		return true;
	case OP_UNMAP:
		clear_pages(s, space, window, bits);
		return true;
	case OP_BREAK:
		follow_break(s, space, window);
		return true;
	default:
		return true;
	}
}

static void follow_fork(struct ops_scene *s, unsigned parent, unsigned child)
{
	memcpy(s->mapped[child], s->mapped[parent], sizeof(s->mapped[0]));
	memcpy(s->writable[child], s->writable[parent], sizeof(s->writable[0]));
	s->heap_pages[child] = s->heap_pages[parent];
}

void ops_scene_follow(struct ops_scene *s, const struct op *op)
{
	if (ops_names_skip(&s->names, op) || !follow_memory(s, op))
		return;
	if (op->code == OP_FORK)
		follow_fork(s, op->arg[0], op->arg[1]);
	if (op->code == OP_EXIT) {
		for (unsigned w = 0; w < OPS_WINDOWS; w++)
			clear_pages(s, op->arg[0], w, ~0ull);
		s->heap_pages[op->arg[0]] = 0;
	}
	ops_names_follow(&s->names, op, RESULT_OK);
}

void ops_scene_at(struct ops_scene *s, const struct op *ops, size_t n)
{
	ops_scene_start(s);
	for (size_t i = 0; i < n; i++)
		ops_scene_follow(s, &ops[i]);
}

uint32_t ops_scene_space_pages(const struct ops_scene *s, unsigned space)
{
	uint32_t n = 0;

	for (unsigned w = 0; w < OPS_WINDOWS; w++)
		n += (uint32_t)__builtin_popcountll(s->mapped[space][w]);
	return n;
}

uint32_t ops_scene_frames(const struct ops_scene *s)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < OPS_SPACES; i++)
		if (s->names.spaces >> i & 1)
			n += ops_scene_space_pages(s, i) + OPS_SCENE_TABLES;
	for (unsigned i = 0; i < OPS_SLOTS; i++) {
		if (s->names.frame_slots >> i & 1)
			n += s->names.frame_n[i] ? s->names.frame_n[i] :
						   1u << s->names.frame_order[i];
		if (s->names.object_slots >> i & 1)
			n += s->names.object_bytes[i] / 4096u + 1;
	}
	return n;
}

struct op ops_random(enum op_code code, struct ops_rng *rng)
{
	struct op op = { .code = (uint8_t)code };

	for (unsigned i = 0; i < OPS_ARGS; i++)
		op.arg[i] = (uint16_t)ops_rng_next(rng);
	return ops_normalise(op);
}

/* A random set bit, or -1. */
static int pick_bit(uint64_t set, struct ops_rng *rng)
{
	unsigned n = (unsigned)__builtin_popcountll(set);

	if (!n)
		return -1;
	for (n = ops_rng_below(rng, n); n; n--)
		set &= set - 1;
	return __builtin_ctzll(set);
}

static uint16_t pick_or(uint64_t set, uint16_t otherwise, struct ops_rng *rng)
{
	int bit = pick_bit(set, rng);

	return bit < 0 ? otherwise : (uint16_t)bit;
}

/* Short runs are the rule, since they make the edges that matter; a few are long. */
static uint16_t pick_pages(struct ops_rng *rng)
{
	unsigned r = ops_rng_below(rng, 8);

	return (uint16_t)(r < 5 ? 1 + ops_rng_below(rng, 4) :
			  r < 7 ? 1 + ops_rng_below(rng, 16) : 1 + ops_rng_below(rng, 64));
}

/* Mostly what lets the pages be used; at times any, W with X too. */
static uint16_t pick_prot(struct ops_rng *rng)
{
	static const uint8_t usual[] = { 3, 3, 3, 3, 3, 3, 1, 1, 5, 0, 2, 4 };

	if (ops_rng_below(rng, 24) == 0)
		return (uint16_t)ops_rng_below(rng, 8);
	return usual[ops_rng_below(rng, sizeof(usual))];
}

static void set_range(struct op *op, unsigned page, unsigned pages)
{
	op->arg[2] = (uint16_t)page;
	op->arg[3] = (uint16_t)(page + pages > OPS_WINDOW_PAGES ? OPS_WINDOW_PAGES - page : pages);
}

/* Pages of `set` in a row from `page`. */
static unsigned run_length(uint64_t set, unsigned page)
{
	unsigned n = 0;

	while (page + n < OPS_WINDOW_PAGES && (set >> (page + n) & 1))
		n++;
	return n;
}

/* A range that begins on a mapped page of the space (on a writable one for a write)
 * and mostly ends inside its run; now and then it begins one before. */
static void aim_range(struct op *op, const struct ops_scene *s, struct ops_rng *rng)
{
	const uint64_t *sets = op->code == OP_WRITE ? s->writable[op->arg[0]] :
						      s->mapped[op->arg[0]];
	uint64_t windows = 0;
	unsigned pages, run;
	int window, page;

	for (unsigned w = 0; w < OPS_WINDOWS; w++)
		if (sets[w])
			windows |= 1ull << w;
	window = pick_bit(windows, rng);
	if (window < 0)
		return;
	op->arg[1] = (uint16_t)window;
	page = pick_bit(sets[window], rng);
	run = run_length(sets[window], (unsigned)page);
	if (page > 0 && ops_rng_below(rng, 10) == 0)
		page--;
	pages = pick_pages(rng);
	set_range(op, (unsigned)page, pages > run && ops_rng_below(rng, 5) ? run : pages);
}

static void aim_user(struct op *op, const struct ops_scene *s, struct ops_rng *rng)
{
	uint32_t alive = s->names.spaces;

	if (op->code == OP_EXIT)
		alive &= ~1u;
	op->arg[0] = pick_or(alive, 0, rng);
	switch (op->code) {
	case OP_MAP:
		set_range(op, op->arg[2], pick_pages(rng));
		op->arg[4] = pick_prot(rng);
		break;
	case OP_PLACE:
		op->arg[1] = pick_or(~s->names.placed[op->arg[0]] & 7u, 0, rng);
		op->arg[2] = pick_pages(rng);
		op->arg[3] = pick_prot(rng);
		break;
	case OP_PROTECT:
		op->arg[4] = pick_prot(rng);
		aim_range(op, s, rng);
		break;
	case OP_UNMAP:
	case OP_READ:
	case OP_WRITE:
		aim_range(op, s, rng);
		break;
	case OP_FORK:
		op->arg[1] = pick_or((uint16_t)~s->names.spaces, op->arg[1], rng);
		break;
	default:
		break;
	}
}

/* Mostly flags that mean something; restrictions now and then. */
static void aim_flags(struct op *op, struct ops_rng *rng)
{
	unsigned at = op->code == OP_RANGE_ALLOC ? 3 : 2;

	if (ops_rng_below(rng, 16) == 0)
		return;
	op->arg[at] &= OPS_FLAG_BITS & ~OPS_FLAG_ONLY;
	if (ops_rng_below(rng, 4) == 0)
		op->arg[at] |= (uint16_t)((1u + ops_rng_below(rng, 5)) << OPS_FLAG_ZONE_LG2 |
					  ops_rng_below(rng, 2) * OPS_FLAG_ONLY);
}

/* Off again more often than on: spots that are out of use are memory that nobody has. */
static void aim_spot(struct op *op, uint16_t on, struct ops_rng *rng)
{
	bool away = op->code == OP_PLUG ? op->arg[0] == 0 : op->arg[0] != 0;
	uint16_t out = op->code == OP_PLUG ? (uint16_t)~on : on;

	if (out && away && ops_rng_below(rng, 2)) {
		op->arg[0] ^= 1;
		away = false;
	}
	op->arg[1] = pick_or(away ? (uint16_t)~out : out, op->arg[1], rng);
}

void ops_aim(struct op *op, const struct ops_scene *s, struct ops_rng *rng)
{
	const struct ops_names *n = &s->names;

	switch (op->code) {
	case OP_FRAME_ALLOC:
		op->arg[0] = pick_or(~n->frame_slots, op->arg[0], rng);
		if (ops_rng_below(rng, 4))
			op->arg[1] = (uint16_t)ops_rng_below(rng, 4);
		break;
	case OP_FRAME_ALLOC_ON:
		op->arg[0] = pick_or(~n->frame_slots, op->arg[0], rng);
		if (ops_rng_below(rng, 4))
			op->arg[1] = (uint16_t)ops_rng_below(rng, 4);
		aim_flags(op, rng);
		if (ops_rng_below(rng, 2))
			op->arg[3] = 0;
		break;
	case OP_RANGE_ALLOC:
		op->arg[0] = pick_or(~n->frame_slots, op->arg[0], rng);
		if (ops_rng_below(rng, 8))
			op->arg[1] = (uint16_t)(1 + ops_rng_below(rng, ops_rng_below(rng, 3) ?
								       20 : 150));
		if (ops_rng_below(rng, 2))
			op->arg[2] = (uint16_t)ops_rng_below(rng, 4);
		aim_flags(op, rng);
		break;
	case OP_FRAME_FREE_ZEROED:
	case OP_FRAME_FREE:
		op->arg[0] = pick_or(n->frame_slots, op->arg[0], rng);
		break;
	case OP_OBJECT_ALLOC:
		op->arg[0] = pick_or(~n->object_slots, op->arg[0], rng);
		if (ops_rng_below(rng, 4))
			op->arg[1] = (uint16_t)(1 + ops_rng_below(rng, 512));
		break;
	case OP_OBJECT_FREE:
		op->arg[0] = pick_or(n->object_slots, op->arg[0], rng);
		break;
	case OP_ISOLATE:
		aim_spot(op, n->isolated, rng);
		break;
	case OP_PLUG:
		aim_spot(op, (uint16_t)~n->absent, rng);
		break;
	case OP_FAIL:
		op->arg[1] = (uint16_t)(1 + ops_rng_below(rng, 8));
		break;
	default:
		if (ops_table[op->code].side == OP_USER)
			aim_user(op, s, rng);
		break;
	}
}
