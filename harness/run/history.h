/// What several CPUs did at once: each operation with the time it began and ended, and
/// within reads and writes each word, since no access of a page is one step.
#ifndef HISTORY_H
#define HISTORY_H

#include "ops/ops.h"

#define HISTORY_EVENTS_MAX 8192u
#define HISTORY_NOBODY 0xffu /* cpu: a look at the end, after all others */

enum history_kind {
	HISTORY_OP,    /* a whole operation */
	HISTORY_READ,  /* one word, by an OP_READ, or at the end */
	HISTORY_WRITE, /* one word, by an OP_WRITE */
};

struct history_event {
	uint32_t begin, end; /* time; begin < end, no two are equal */
	uint8_t kind;        /* enum history_kind */
	uint8_t cpu;
	uint16_t op;         /* index in the section */
	uint8_t space, window, page, stamp; /* a word's name */
	bool injected;       /* HISTORY_OP: an injected failure happened in it */
	struct op_outcome out; /* of the operation; of a word: RESULT_OK, RESULT_SEGV or
				* RESULT_NOMEM, and what was read or written */
};

/// A region's page as kmm lists it after the last operation.
struct history_page {
	uint8_t space, window, page;
	bool mapped;
	bool head;    /* a region begins here */
	uint8_t prot; /* enum kmm_prot, as kmm reports it */
};

struct history {
	uint32_t n, pages_n;
	bool overflow; /* events were left out: nothing can be judged */
	bool heads;    /* page[].head is told; where regions don't merge it is more than
			* the pages' protections say, and limits depend on it */
	struct history_event event[HISTORY_EVENTS_MAX];
	struct history_page page[OPS_WINDOWS * OPS_WINDOW_PAGES]; /* those the section names */
};

#endif
