/// What the files of the judge share. linear.c has the theory.
#ifndef LINEAR_INNER_H
#define LINEAR_INNER_H

#include "model/state.h"
#include "run/linear.h"

#define LINEAR_LIVES_MAX (OPS_SPACES + SECTION_OPS_MAX)
#define LINEAR_SPACE_WORDS (OPS_WINDOWS * OPS_WINDOW_PAGES * OPS_STAMPS)
#define LINEAR_BUDGET 50000u /* nodes of one search; more: not judged */
#define LINEAR_NOT_LISTED 0u

/// One operation of the section.
struct linear_op {
	const struct op *op;
	const struct history_event *end; /* NULL: skipped */
	unsigned pages;       /* of its range, by the names when it began */
	uint8_t life, child;  /* the space it is about; the one that a fork made */
	bool may_lack;        /* memory could be short for it */
	uint32_t before;      /* operations that ended before it began, a bit each */
};

/// A space from its birth to its death: one number of a space may name several, one
/// after the other. Lives 0..15 are those before the section.
struct linear_life {
	uint8_t space, family; /* family: the life before the section that it stems from */
	uint8_t rank;          /* in its family, the eldest 0 */
};

/// A space and all that is forked from it: what must be explained together.
struct linear_family {
	uint32_t ops;      /* its operations but reads and writes, a bit each */
	uint32_t effects;  /* those that changed something */
	uint32_t forks;    /* forks that came true */
	unsigned windows;  /* that `ops` are about, a bit each */
	unsigned lives_n;
	uint8_t life[SECTION_OPS_MAX + 1];
};

/// A set of 64-bit keys, all odd. A full one forgets: what failed is then tried again.
#define LINEAR_MEMO 16384u
struct linear_memo {
	uint64_t *key; /* 0: free; LINEAR_MEMO of them */
	uint16_t used[LINEAR_MEMO / 2]; /* where those that aren't free are */
	uint32_t n;
};

struct linear_result {
	uint16_t content;
	uint8_t space, window, page, stamp;
	bool touched;
};

struct linear {
	struct body *m;
	const struct section *s;
	const struct history *h;
	char *why;
	size_t why_bytes;

	unsigned n; /* operations of the section */
	struct linear_op op[SECTION_OPS_MAX];
	uint8_t by_end[SECTION_OPS_MAX], by_end_n; /* those not skipped */
	struct linear_life life[LINEAR_LIVES_MAX];
	unsigned lives_n;
	uint8_t last_life[OPS_SPACES]; /* by number, at the end */
	uint32_t alive;                /* numbers alive at the end */
	struct linear_family family[OPS_SPACES];

	/* The order found, one family after the other. */
	uint8_t order[SECTION_OPS_MAX];
	unsigned order_n;
	bool unordered; /* a search was given up: pages are taken as listed */

	/* Words. chain: an event's successor among those of its word; both hold an
	 * event's number and one, so that zero is none. */
	uint16_t head[OPS_SPACES][LINEAR_SPACE_WORDS];
	uint16_t chain[HISTORY_EVENTS_MAX];
	unsigned words_n;
	uint32_t word[HISTORY_EVENTS_MAX]; /* family and key, each word once */
	uint32_t cover[OPS_WINDOWS][OPS_WINDOW_PAGES]; /* of the family at hand */
	uint8_t listed[OPS_SPACES][OPS_WINDOWS][OPS_WINDOW_PAGES];
	uint32_t results_n, results_room;
	struct linear_result *result;
	struct linear_memo memo;
};

/// How a page is listed; never LINEAR_NOT_LISTED.
static inline uint8_t linear_listing(bool mapped, unsigned prot)
{
	return mapped ? (uint8_t)(16u | 8u | prot) : 16u;
}

/* linear.c */
void linear_say(struct linear *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool linear_memo_has(struct linear *l, uint64_t key);
void linear_memo_add(struct linear *l, uint64_t key);
void linear_memo_clear(struct linear *l);

/// Prints an operation as "op 12 on CPU 1 (unmap s0 w1 p3 +1)"; returns buf.
#define LINEAR_OP_BYTES 80u
const char *linear_name(const struct linear *l, unsigned op, char *buf);

/* linear_regions.c */

/// Finds an order of the family's operations; appends it to l->order.
bool linear_regions(struct linear *l, unsigned family);

/* linear_commit.c */

/// Brings the model to where the body is: l->order, l->result, counts.
bool linear_commit(struct linear *l, const struct ops_names *names);

/* linear_words.c */

/// Explains each word of the section, and leaves what it holds in l->result.
bool linear_words(struct linear *l);

#endif
