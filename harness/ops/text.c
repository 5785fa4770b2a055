/* Text form, derived from the operation table: the printer and the parser both
 * walk the operand kinds, so that a new operation needs no code here.
 *
 * I1  ops_parse(ops_print(op)) == op for every operation of the language.
 * I2  What is parsed passes ops_fault: a file never holds what no trace can mean.
 *
 * A number carries a sigil that says what it is; the parser insists on it, since
 * a swapped pair of operands is the commonest slip of a hand that writes traces.
 */
#include "ops/text.h"

#include <stdio.h>
#include <string.h>

/* Sigils by operand kind; prot, and those of words_of, have words of their own. */
static const char *const sigil[OPERAND_N] = {
	[OPERAND_SLOT] = "@",   [OPERAND_ORDER] = "o",      [OPERAND_BYTES] = "b",
	[OPERAND_SPACE] = "s",  [OPERAND_WINDOW] = "w",     [OPERAND_PLACED] = "w",
	[OPERAND_PAGE] = "p",   [OPERAND_ANY_WINDOW] = "w", [OPERAND_PAGES] = "+",
	[OPERAND_BREAK] = "=",  [OPERAND_PATTERN] = "v",    [OPERAND_CPU] = "c",
	[OPERAND_KTH] = "k",    [OPERAND_SEED] = "x",       [OPERAND_POINT] = "k",
	[OPERAND_OLDER] = "~",  [OPERAND_TARGET] = "t",     [OPERAND_FLAGS] = "f",
	[OPERAND_NODES] = "n",  [OPERAND_COUNT] = "+",      [OPERAND_SPOT] = "%",
	[OPERAND_STASH] = "=",
};

static const char *const class_word[] = { "frame", "table", "object", NULL };
static const char *const strategy_word[] = { "rows", "random", "pct1", "pct2",
					     "pct3", "pct4",   NULL };

static const char *const limits_word[] = { "anywhere", "low", "high", "middle", "turned", NULL };
static const char *const switch_word[] = { "off", "on", NULL };

/* The words of a kind, in the order of its values; NULL: it has a sigil, or letters. */
static const char *const *words_of(unsigned kind)
{
	return kind == OPERAND_CLASS	? class_word :
	       kind == OPERAND_STRATEGY ? strategy_word :
	       kind == OPERAND_LIMITS	? limits_word :
	       kind == OPERAND_SWITCH	? switch_word :
					  NULL;
}

/* Placed windows are numbered on after the fixed ones. */
static unsigned number_base(unsigned kind)
{
	return kind == OPERAND_PLACED ? OPS_FIXED_WINDOWS : 0;
}

static void print_operand(char *word, size_t bytes, unsigned kind, unsigned v)
{
	if (kind == OPERAND_PROT)
		snprintf(word, bytes, "%s%s%s%s", v & 1 ? "r" : "", v & 2 ? "w" : "",
			 v & 4 ? "x" : "", v ? "" : "-");
	else if (words_of(kind))
		snprintf(word, bytes, "%s", words_of(kind)[v]);
	else
		snprintf(word, bytes, "%s%u", sigil[kind], v + number_base(kind));
}

void ops_print(char line[OPS_LINE_BYTES], const struct op *op)
{
	const struct op_info *info = &ops_table[op->code];
	size_t at = (size_t)snprintf(line, OPS_LINE_BYTES, "%s", info->text);

	for (unsigned i = 0; i < OPS_ARGS && info->operand[i] != OPERAND_NONE; i++) {
		char word[16];

		print_operand(word, sizeof(word), info->operand[i], op->arg[i]);
		at += (size_t)snprintf(line + at, OPS_LINE_BYTES - at, " %s", word);
	}
}

static bool parse_prot(const char *word, uint16_t *v)
{
	*v = 0;
	if (!strcmp(word, "-"))
		return true;
	for (; *word; word++) {
		unsigned bit = *word == 'r' ? 1 : *word == 'w' ? 2 : *word == 'x' ? 4 : 0;

		if (!bit || (*v & bit))
			return false;
		*v |= (uint16_t)bit;
	}
	return *v != 0;
}

static bool parse_word(const char *word, unsigned kind, uint16_t *v)
{
	for (unsigned i = 0; words_of(kind)[i]; i++)
		if (!strcmp(word, words_of(kind)[i])) {
			*v = (uint16_t)i;
			return true;
		}
	return false;
}

static bool parse_number(const char *word, unsigned kind, uint16_t *v)
{
	unsigned n = 0, base = number_base(kind);

	if (*word++ != *sigil[kind] || !*word)
		return false;
	for (; *word; word++) {
		if (*word < '0' || *word > '9' || n > 65535)
			return false;
		n = n * 10 + (unsigned)(*word - '0');
	}
	if (n < base || n - base >= ops_operand_end[kind])
		return false;
	*v = (uint16_t)(n - base);
	return true;
}

static bool parse_operand(const char *word, unsigned kind, uint16_t *v)
{
	if (kind == OPERAND_PROT)
		return parse_prot(word, v);
	if (words_of(kind))
		return parse_word(word, kind, v);
	return parse_number(word, kind, v);
}

static void describe_operand(char *text, size_t bytes, unsigned kind)
{
	unsigned base = number_base(kind), end = ops_operand_end[kind];

	if (kind == OPERAND_PROT)
		snprintf(text, bytes, "a protection (letters r, w, x, or -)");
	else if (kind == OPERAND_CLASS)
		snprintf(text, bytes, "frame, table or object");
	else if (kind == OPERAND_STRATEGY)
		snprintf(text, bytes, "rows, random, or pct1 to pct4");
	else
		snprintf(text, bytes, "%s%u to %s%u", sigil[kind], base, sigil[kind],
			 base + end - 1);
}

/* Takes the next word; false at the end of the line or at a comment. */
static bool next_word(const char **at, char word[32])
{
	size_t n = 0;

	*at += strspn(*at, " \t\r\n");
	if (!**at || **at == '#')
		return false;
	for (; **at && !strchr(" \t\r\n#", **at); ++*at)
		if (n < 31)
			word[n++] = **at;
	word[n] = 0;
	return true;
}

bool ops_line_blank(const char *line)
{
	char word[32];

	return !next_word(&line, word);
}

static int find_code(const char *word)
{
	for (int i = 0; i < OP_N; i++)
		if (!strcmp(word, ops_table[i].text))
			return i;
	return -1;
}

const char *ops_parse(const char *line, struct op *op, char *buf, size_t buf_bytes)
{
	const struct op_info *info;
	char word[32], want[64];
	const char *fault;
	int code;

	*op = (struct op){ 0 };
	if (!next_word(&line, word))
		return "no operation";
	code = find_code(word);
	if (code < 0) {
		snprintf(buf, buf_bytes, "unknown operation '%s'", word);
		return buf;
	}
	op->code = (uint8_t)code;
	info = &ops_table[code];
	for (unsigned i = 0; i < OPS_ARGS && info->operand[i] != OPERAND_NONE; i++) {
		describe_operand(want, sizeof(want), info->operand[i]);
		if (!next_word(&line, word)) {
			snprintf(buf, buf_bytes, "%s: operand %u is missing: %s", info->text, i + 1,
				 want);
			return buf;
		}
		if (!parse_operand(word, info->operand[i], &op->arg[i])) {
			snprintf(buf, buf_bytes, "%s: operand %u is '%s', not %s", info->text,
				 i + 1, word, want);
			return buf;
		}
	}
	if (next_word(&line, word)) {
		snprintf(buf, buf_bytes, "%s: '%s' is one operand too many", info->text, word);
		return buf;
	}
	fault = ops_fault(op);
	if (fault)
		snprintf(buf, buf_bytes, "%s: %s", info->text, fault);
	return fault ? buf : NULL;
}
