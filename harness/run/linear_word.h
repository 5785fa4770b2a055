/// One word of a concurrent section, and what could change it or see it (linear_word.c).
#ifndef LINEAR_WORD_H
#define LINEAR_WORD_H

#include "run/linear_inner.h"

#define LINEAR_STEPS_MAX 64u
#define LINEAR_NO_CONTENT 0xfffeu  /* a value that nobody can have written */
#define LINEAR_NO_PIN 0xfffdu
#define LINEAR_PIN_REFUSED 0xfffcu /* nobody may read it at the end */

struct linear_cell {
	uint16_t content;
	uint8_t prot;
	bool mapped, in_heap;
};

enum linear_step_kind { LINEAR_READ, LINEAR_WRITE, LINEAR_RANGE, LINEAR_FORK };

struct linear_step {
	uint32_t begin, end;
	const struct op *op;
	const struct history_event *access; /* NULL: a range */
	uint8_t index;                      /* of the operation */
	uint8_t kind, result;
	uint8_t life, child;                /* ranks */
	uint16_t content;                   /* read or written */
};

struct linear_word {
	struct linear *l;
	const struct linear_family *f;
	unsigned family, window, page, stamp;
	unsigned n;
	struct linear_step step[LINEAR_STEPS_MAX];
	uint64_t before[LINEAR_STEPS_MAX];
	struct linear_cell cell[SECTION_OPS_MAX + 1]; /* by rank of life */
	uint16_t pin[SECTION_OPS_MAX + 1];
	uint32_t looked;                       /* ranks that accesses or looks are about */
	uint64_t done;
	unsigned nodes;
	bool failed_once;
};

/// Looks for an order of w->step, from the model's cells to those of the end. Returns
/// false if there is none, or w->nodes >= LINEAR_BUDGET. *searched: steps overlap, so
/// that others may explain it too.
bool linear_explain(struct linear_word *w, bool *searched);

/// Says what was not explained. `first`: the word's first event, and one. Returns false.
bool linear_unexplained(struct linear_word *w, unsigned first);

#endif
