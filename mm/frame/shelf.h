/// A shelf: a set of numbers below some n, to which any CPU adds and from which any CPU
/// takes, without a lock, in time that doesn't depend on n.
///
/// Level 0 has a bit a number, 64 to a word, and alone says what is in the set. A bit of
/// the levels above says that the word below it may be non-zero, up to a single word.
///
///   S1  when nothing runs, above each non-zero word stands a set bit.
///
/// A bit above is set by whoever makes the word below non-zero, and only if it isn't
/// yet. It isn't cleared with the word: a search that finds the word zero does so, then
/// reads the word again, and puts the bit back if somebody came in between. Both sides
/// write one word and then read the other, sequentially consistent: at least one sees
/// the other's write, and S1 holds. So adding to and taking from a word that stays
/// non-zero is one atomic.
#ifndef KMM_FRAME_SHELF_H
#define KMM_FRAME_SHELF_H

#include "base/atomic.h"
#include "base/bits.h"

#define SHELF_LEVELS 6u
#define SHELF_NONE (~0ull)

/// Shared by all shelves of the same n; constant after shelf_shape_make.
struct shelf_shape {
	unsigned levels_n;
	uint64_t at[SHELF_LEVELS];      /* index of a level's first word */
	uint64_t words_n[SHELF_LEVELS]; /* of a level */
	uint64_t top;                   /* index of the only word of the last level */
	uint64_t bytes;                 /* of one shelf, whole cache lines */
};

/// Pre: 0 < n <= 2^36
void shelf_shape_make(struct shelf_shape *sh, uint64_t n);

/// Makes the bits above level-0 word i say that it may be non-zero.
void shelf_raise(const struct shelf_shape *sh, uint64_t *shelf, uint64_t i);

/// The first non-zero level-0 word at or after i, or SHELF_NONE.
uint64_t shelf_seek(const struct shelf_shape *sh, uint64_t *shelf, uint64_t i);

/// The same, going on at the first word after the last.
uint64_t shelf_seek_round(const struct shelf_shape *sh, uint64_t *shelf, uint64_t i);

/// Takes up to n numbers of one level-0 word, with one atomic: the first at or after `from`
/// if they are near, going round. Returns their bits, 0 if the shelf is empty; *i = the word
/// Pre: n != 0
uint64_t shelf_take_bits(const struct shelf_shape *sh, uint64_t *shelf, uint64_t from,
			 unsigned n, uint64_t *i);

/// Takes one number. Returns SHELF_NONE if the shelf is empty
uint64_t shelf_take(const struct shelf_shape *sh, uint64_t *shelf, uint64_t from);

/// The first error in the levels (S1); SHELF_NONE if there is none, else a level-0 word.
/// Pre: nothing runs
uint64_t shelf_check(const struct shelf_shape *sh, const uint64_t *shelf);

/// Surely empty, told from its top; if not, a search may find it so.
static inline bool shelf_empty(const struct shelf_shape *sh, const uint64_t *shelf)
{
	return atomic_load_relaxed(&shelf[sh->top]) == 0;
}

static inline uint64_t shelf_bit(uint64_t number)
{
	return 1ull << (number & 63u);
}

/// Is it in the set? Sequentially consistent: after one's own atomic on another word,
/// this sees the bit clear if whoever cleared it may have missed what that atomic wrote.
static inline bool shelf_has(const uint64_t *shelf, uint64_t number)
{
	return (atomic_load_seq_cst(&shelf[number >> 6]) >> (number & 63u) & 1u) != 0;
}

/// Adds bits to a level-0 word. Returns it as it was.
static inline uint64_t shelf_add_bits(const struct shelf_shape *sh, uint64_t *shelf, uint64_t i,
				      uint64_t bits)
{
	uint64_t was = atomic_or_seq_cst(&shelf[i], bits);

	if (was == 0)
		shelf_raise(sh, shelf, i);
	return was;
}

/// Adds a number. It is an atomic even if the number is there: what this CPU did before
/// is seen by whoever takes it later.
static inline void shelf_add(const struct shelf_shape *sh, uint64_t *shelf, uint64_t number)
{
	(void)shelf_add_bits(sh, shelf, number >> 6, shelf_bit(number));
}

/// Takes a number out. Returns: was it there?
static inline bool shelf_remove(uint64_t *shelf, uint64_t number)
{
	uint64_t bit = shelf_bit(number);

	return (atomic_and_seq_cst(&shelf[number >> 6], ~bit) & bit) != 0;
}

#endif
