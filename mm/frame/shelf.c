/* Shelves: what isn't a handful of instructions. */
#include "frame/shelf.h"

void shelf_shape_make(struct shelf_shape *sh, uint64_t n)
{
	uint64_t words = 0;

	sh->levels_n = 0;
	do {
		n = (n + 63u) >> 6;
		sh->at[sh->levels_n] = words;
		sh->words_n[sh->levels_n++] = n;
		words += n;
	} while (n > 1u);
	sh->top = words - 1u;
	sh->bytes = bits_align_up(words * sizeof(uint64_t), 64u);
}

void shelf_raise(const struct shelf_shape *sh, uint64_t *shelf, uint64_t i)
{
	for (unsigned l = 1; l < sh->levels_n; l++, i >>= 6) {
		uint64_t *word = &shelf[sh->at[l] + (i >> 6)];

		/* If the bit is set, the levels above are the business of who set it. */
		if ((atomic_load_seq_cst(word) & shelf_bit(i)) != 0 ||
		    atomic_or_seq_cst(word, shelf_bit(i)) != 0)
			return;
	}
}

/// Word i of level l - 1 was found zero under a set bit of level l.
static void lower(const struct shelf_shape *sh, uint64_t *shelf, unsigned l, uint64_t i)
{
	(void)atomic_and_seq_cst(&shelf[sh->at[l] + (i >> 6)], ~shelf_bit(i));
	if (atomic_load_seq_cst(&shelf[sh->at[l - 1u] + i]) == 0)
		return;
	for (; l < sh->levels_n; l++, i >>= 6)
		if (atomic_or_seq_cst(&shelf[sh->at[l] + (i >> 6)], shelf_bit(i)) != 0)
			return;
}

uint64_t shelf_seek(const struct shelf_shape *sh, uint64_t *shelf, uint64_t i)
{
	unsigned l = 1;

	if (i < sh->words_n[0] && atomic_load_relaxed(&shelf[i]) != 0)
		return i;
	while (l < sh->levels_n) { /* bits from i on, of level l, aren't looked at yet */
		uint64_t x = 0, word = i >> 6;

		if (word < sh->words_n[l])
			x = atomic_load_relaxed(&shelf[sh->at[l] + word]);
		if (x >> (i & 63u) == 0) {
			/* The bit above a zero word is looked at too, so that it is cleared. */
			i = word + (x != 0);
			l++;
			continue;
		}
		x >>= i & 63u;
		i += bits_lowest(x);
		if (atomic_load_relaxed(&shelf[sh->at[l - 1u] + i]) == 0)
			lower(sh, shelf, l, i);
		else if (l == 1u)
			return i;
		else
			i <<= 6, l--;
	}
	return SHELF_NONE;
}

uint64_t shelf_seek_round(const struct shelf_shape *sh, uint64_t *shelf, uint64_t i)
{
	uint64_t found;

	if (shelf_empty(sh, shelf))
		return SHELF_NONE;
	found = shelf_seek(sh, shelf, i);
	return found == SHELF_NONE && i != 0 ? shelf_seek(sh, shelf, 0) : found;
}

uint64_t shelf_take_bits(const struct shelf_shape *sh, uint64_t *shelf, uint64_t from,
			 unsigned n, uint64_t *i)
{
	for (uint64_t at = from >> 6;;) {
		uint64_t x, ahead;

		at = shelf_seek_round(sh, shelf, at);
		if (at == SHELF_NONE)
			return 0;
		x = atomic_load_relaxed(&shelf[at]);
		ahead = at == from >> 6 ? x & ~bits_mask((unsigned)from & 63u) : x;
		x = bits_first(ahead != 0 ? ahead : x, n);
		if (x != 0)
			x &= atomic_and_seq_cst(&shelf[at], ~x);
		if (x == 0)
			continue;
		*i = at;
		return x;
	}
}

uint64_t shelf_take(const struct shelf_shape *sh, uint64_t *shelf, uint64_t from)
{
	uint64_t i, bit = shelf_take_bits(sh, shelf, from, 1u, &i);

	return bit == 0 ? SHELF_NONE : i << 6 | bits_lowest(bit);
}

uint64_t shelf_check(const struct shelf_shape *sh, const uint64_t *shelf)
{
	for (unsigned l = 1; l < sh->levels_n; l++)
		for (uint64_t i = 0; i < sh->words_n[l - 1u]; i++)
			if (atomic_load_relaxed(&shelf[sh->at[l - 1u] + i]) != 0 &&
			    (atomic_load_relaxed(&shelf[sh->at[l] + (i >> 6)]) & shelf_bit(i)) == 0)
				return l == 1u ? i : i << (6u * (l - 1u));
	return SHELF_NONE;
}
