/* The operation table, and what makes twelve bytes an operation of the language.
 *
 * I1  ops_fault(ops_normalise(x)) == NULL for all x.
 * I2  ops_normalise(x) == x where ops_fault(x) == NULL.
 * I3  Every range lies inside its window: page + pages <= OPS_WINDOW_PAGES.
 *
 * I1 and I2 make the binary form total for fuzzers and exact for files.
 */
#include "ops/ops.h"

#define K(kind) OPERAND_##kind

const struct op_info ops_table[OP_N] = {
#define OPS_ROW(name, text, side, a, b, c, d, e) \
	[name] = { text, side, { K(a), K(b), K(c), K(d), K(e) } },
	OPS_TABLE(OPS_ROW)
#undef OPS_ROW
};

const uint16_t ops_operand_end[OPERAND_N] = {
#define OPS_END(name, end) [name] = end,
	OPS_OPERANDS(OPS_END)
#undef OPS_END
};

const char *const ops_result_text[RESULT_N] = {
#define OPS_RESULT_TEXT(name, text) [name] = text,
	OPS_RESULTS(OPS_RESULT_TEXT)
#undef OPS_RESULT_TEXT
};

static bool is_count(unsigned kind)
{
	return kind == OPERAND_BYTES || kind == OPERAND_PAGES || kind == OPERAND_KTH ||
	       kind == OPERAND_POINT || kind == OPERAND_OLDER || kind == OPERAND_COUNT;
}

bool ops_flags_valid(unsigned flags)
{
	unsigned zone = flags >> OPS_FLAG_ZONE_LG2;

	return zone <= 5u && (zone != 0 || !(flags & OPS_FLAG_ONLY));
}

/* Zone 3 is where a plain allocation begins; 4 and 5 mean more memory, or another. */
bool ops_restricts(unsigned flags, unsigned nodes)
{
	unsigned zone = flags >> OPS_FLAG_ZONE_LG2;

	return (flags & OPS_FLAG_ONLY) || (zone != 0 && zone != 3u) || ops_nodes_kind(nodes) == 1u;
}

struct op ops_normalise(struct op raw)
{
	struct op op = { .code = (uint8_t)(raw.code % OP_N) };
	const struct op_info *info = &ops_table[op.code];
	unsigned page = 0;

	for (unsigned i = 0; i < OPS_ARGS; i++) {
		unsigned kind = info->operand[i];
		unsigned v = raw.arg[i] % ops_operand_end[kind];

		if (is_count(kind) && v == 0)
			v = 1;
		if (kind == OPERAND_PAGE)
			page = v;
		if (kind == OPERAND_PAGES && page + v > OPS_WINDOW_PAGES)
			v = OPS_WINDOW_PAGES - page;
		op.arg[i] = (uint16_t)v;
	}
	return op;
}

const char *ops_fault(const struct op *op)
{
	const struct op_info *info;
	unsigned page = 0;

	if (op->code >= OP_N)
		return "unknown operation";
	if (op->pad)
		return "padding is not zero";
	info = &ops_table[op->code];
	for (unsigned i = 0; i < OPS_ARGS; i++) {
		unsigned kind = info->operand[i], v = op->arg[i];

		if (kind == OPERAND_NONE && v)
			return "an unused operand is not zero";
		if (v >= ops_operand_end[kind])
			return "an operand is out of range";
		if (is_count(kind) && v == 0)
			return "a count is zero";
		if (kind == OPERAND_PAGE)
			page = v;
		if (kind == OPERAND_PAGES && page + v > OPS_WINDOW_PAGES)
			return "a range leaves its window";
	}
	return NULL;
}

/* Even windows straddle a line of 2 MiB that is none of 1 GiB, odd ones a line of
 * 1 GiB: each half in another leaf table, of odd ones in another table above it. */
uint64_t ops_window_base(unsigned window)
{
	const uint64_t half = OPS_WINDOW_PAGES / 2 * 4096ull;
	uint64_t line = 0x1000000000ull + window * 0x600000000ull;

	if (window == OPS_HEAP_WINDOW)
		return 0x5000000000ull;
	if (window >= OPS_FIXED_WINDOWS)
		return 0;
	if (window % 2 == 0)
		line += 3 * 0x200000ull;
	return line - half;
}
