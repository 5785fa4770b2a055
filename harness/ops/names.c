/* Which names mean something at a point of a trace. One code decides it in every
 * body, so that a skipped operation is skipped everywhere.
 *
 * I1  Space 0 is alive from the start and for ever.
 * I2  A bound placed window has 1..OPS_WINDOW_PAGES pages, all of them its own: an
 *     unmap shortens it to below the unmapped page, never leaves a hole in it.
 * I3  A dead space has no bound placed window.
 */
#include "ops/ops.h"

static unsigned placed_bit(unsigned window)
{
	return 1u << (window - OPS_FIXED_WINDOWS);
}

static bool is_placed(unsigned window)
{
	return window >= OPS_FIXED_WINDOWS && window < OPS_HEAP_WINDOW;
}

static bool slot_taken(uint64_t slots, const struct op *op)
{
	return slots >> op->arg[0] & 1;
}

void ops_names_start(struct ops_names *n)
{
	*n = (struct ops_names){ .spaces = 1 };
}

unsigned ops_window_pages(const struct ops_names *n, unsigned space, unsigned window)
{
	if (!is_placed(window))
		return OPS_WINDOW_PAGES;
	if (!(n->placed[space] & placed_bit(window)))
		return 0;
	return n->placed_pages[space][window - OPS_FIXED_WINDOWS];
}

unsigned ops_range_pages(const struct ops_names *n, const struct op *op)
{
	unsigned window = op->arg[1], page = op->arg[2], pages = op->arg[3], end;

	switch (op->code) {
	case OP_MAP:
		return pages;
	case OP_PLACE:
		return op->arg[2];
	case OP_UNMAP:
	case OP_PROTECT:
	case OP_READ:
	case OP_WRITE:
		end = ops_window_pages(n, op->arg[0], window);
		if (page >= end)
			return 0;
		if (page + pages > end || (op->code == OP_UNMAP && is_placed(window)))
			return end - page;
		return pages;
	default:
		return 0;
	}
}

static bool skip_user(const struct ops_names *n, const struct op *op)
{
	if (!(n->spaces >> op->arg[0] & 1))
		return true;
	switch (op->code) {
	case OP_FORK:
		return n->spaces >> op->arg[1] & 1;
	case OP_EXIT:
		return op->arg[0] == 0;
	case OP_PLACE:
		return n->placed[op->arg[0]] >> op->arg[1] & 1;
	case OP_UNMAP:
	case OP_PROTECT:
	case OP_READ:
	case OP_WRITE:
		return ops_range_pages(n, op) == 0;
	default:
		return false;
	}
}

/* An isolated spot may be plugged out; what isn't there can only be plugged in. */
static bool skip_spot(const struct ops_names *n, const struct op *op)
{
	bool isolated = n->isolated >> op->arg[1] & 1, absent = n->absent >> op->arg[1] & 1;

	if (op->code == OP_PLUG)
		return absent != (op->arg[0] != 0);
	return op->arg[0] != 0 ? isolated || absent : !isolated;
}

bool ops_names_skip(const struct ops_names *n, const struct op *op)
{
	switch (op->code) {
	case OP_FRAME_ALLOC:
	case OP_FRAME_ALLOC_ON:
	case OP_RANGE_ALLOC:
		return slot_taken(n->frame_slots, op);
	case OP_FRAME_FREE:
		return !slot_taken(n->frame_slots, op);
	case OP_FRAME_FREE_ZEROED:
		return !slot_taken(n->frame_slots, op) || n->frame_n[op->arg[0]] != 0;
	case OP_ISOLATE:
	case OP_PLUG:
		return skip_spot(n, op);
	case OP_OBJECT_ALLOC:
		return slot_taken(n->object_slots, op);
	case OP_OBJECT_FREE:
		return !slot_taken(n->object_slots, op);
	default:
		return ops_table[op->code].side == OP_USER && skip_user(n, op);
	}
}

static void follow_unmap(struct ops_names *n, const struct op *op)
{
	unsigned space = op->arg[0], window = op->arg[1];

	if (!is_placed(window))
		return;
	n->placed_pages[space][window - OPS_FIXED_WINDOWS] = (uint8_t)op->arg[2];
	if (op->arg[2] == 0)
		n->placed[space] &= (uint16_t)~placed_bit(window);
}

static void follow_fork(struct ops_names *n, unsigned parent, unsigned child)
{
	n->spaces |= 1u << child;
	n->placed[child] = n->placed[parent];
	for (unsigned i = 0; i < 3; i++)
		n->placed_pages[child][i] = n->placed_pages[parent][i];
}

void ops_names_follow(struct ops_names *n, const struct op *op, enum op_result result)
{
	unsigned a = op->arg[0], b = op->arg[1];

	if (result != RESULT_OK)
		return;
	switch (op->code) {
	case OP_FRAME_ALLOC:
	case OP_FRAME_ALLOC_ON:
		n->frame_slots |= 1ull << a;
		n->frame_order[a] = (uint8_t)b;
		n->frame_n[a] = 0;
		break;
	case OP_RANGE_ALLOC:
		n->frame_slots |= 1ull << a;
		n->frame_order[a] = 0;
		n->frame_n[a] = (uint16_t)b;
		break;
	case OP_ISOLATE:
		n->isolated = (uint16_t)(a ? n->isolated | 1u << b : n->isolated & ~(1u << b));
		break;
	case OP_PLUG:
		n->absent = (uint16_t)(a ? n->absent & ~(1u << b) : n->absent | 1u << b);
		n->isolated &= (uint16_t)~(1u << b);
		break;
	case OP_FRAME_FREE:
	case OP_FRAME_FREE_ZEROED:
		n->frame_slots &= ~(1ull << a);
		break;
	case OP_OBJECT_ALLOC:
		n->object_slots |= 1ull << a;
		n->object_bytes[a] = (uint16_t)b;
		break;
	case OP_OBJECT_FREE:
		n->object_slots &= ~(1ull << a);
		break;
	case OP_PLACE:
		n->placed[a] |= (uint16_t)(1u << b);
		n->placed_pages[a][b] = (uint8_t)op->arg[2];
		break;
	case OP_UNMAP:
		follow_unmap(n, op);
		break;
	case OP_FORK:
		follow_fork(n, a, b);
		break;
	case OP_EXIT:
		n->spaces &= ~(1u << a);
		n->placed[a] = 0;
		break;
	case OP_CPU:
		n->cpu = (uint8_t)a;
		break;
	default:
		break;
	}
}
