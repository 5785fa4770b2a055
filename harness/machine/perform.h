/// From operations to calls of kmm, the same for every body that has kmm in its own
/// process. A body says how memory is reached and how CPUs are switched.
#ifndef PERFORM_H
#define PERFORM_H

#include <kmm/kmm.h>

#include "run/body.h"

struct perform_ways {
	/// One access of 8 bytes by user code of the current CPU.
	/// Returns: RESULT_OK, RESULT_SEGV, RESULT_NOMEM, or RESULT_ERROR
	enum op_result (*access)(void *ctx, struct kmm_space *s, uint64_t va,
				 enum kmm_access access, uint64_t *word);

	/// The owner of a block is about to write it.
	void (*touch)(void *ctx, const void *at, uint64_t bytes);

	/// No thread of s runs any more, on any CPU but the current one.
	void (*leave)(void *ctx, struct kmm_space *s);

	/// The trace goes on on another CPU (already taken modulo).
	void (*cpu)(void *ctx, unsigned cpu);

	/// Something no result can say.
	void (*complain)(void *ctx, enum oracle oracle, const char *text);

	/// kmm is entered by the current CPU, and left (NULL: nobody wants to know).
	void (*call)(void *ctx, bool begin);
};

struct perform_block {
	struct kmm_pfn pfn; /* frames */
	void *at;           /* objects */
	uint64_t bytes;
	uint64_t n;         /* frames of a range; 0: a block */
	uint8_t order;
};

/// State that only a successful operation may change.
struct perform_snapshot {
	uint64_t used_n; /* frames, but for those that objects hold in stock */
	uint64_t spaces_n, regions_n, live_n;
};

/// What belongs to one performing CPU, so that others may perform at the same time.
struct perform_turn {
	bool fail_next;                 /* the next operation has a failure armed */
	enum kmm_fail_class fail_class;
	uint32_t fail_kth;
	bool fail_armed;                /* a failure is armed in this operation */
	bool injected;                  /* one fired in the last operation */
	uint8_t last_code;
	struct perform_snapshot before; /* the last operation, if it is atomic */
};

/// Frames that the pressure listener gives back when kmm asks for some.
struct perform_stash {
	struct kmm_pressure listener;
	struct kmm_pfn pfn[64];
	unsigned n;
	bool listens;
};

struct performer {
	struct kmm *k;
	const struct perform_ways *ways;
	void *ctx;
	unsigned cpus_n;
	const struct kmm_memmap *memmap;          /* set by the body */
	uint64_t frames, objects;                 /* bit set: the slot is taken */
	struct perform_block frame[OPS_SLOTS], object[OPS_SLOTS];
	uint16_t isolated, absent;                /* spots out of use, a bit each */
	struct perform_stash stash;
	struct kmm_space *space[OPS_SPACES];      /* NULL: dead */
	uint64_t placed[OPS_SPACES][3];           /* where placed windows lie */
	struct perform_turn turn;                 /* of operations that come one by one */
	bool together;                            /* CPUs perform at once: what another one
	                                           * does in between isn't held against kmm */
};

/// Fills in *p for a fresh instance and makes space 0, if the preset has user space.
KMM_MUST_CHECK enum kmm_error perform_start(struct performer *p, struct kmm *k,
					    const struct perform_ways *ways, void *ctx,
					    unsigned cpus_n);

/// Performs one operation. Pre: !ops_names_skip(n, op)
void perform(struct performer *p, const struct op *op, const struct ops_names *n,
	     struct op_outcome *out);

/// The same, with a turn of the CPU's own. Slots, spaces and placed windows that the
/// operation names must be nobody else's meanwhile (run/section.h sees to that).
void perform_turn(struct performer *p, struct perform_turn *turn, const struct op *op,
		  const struct ops_names *n, struct op_outcome *out);

/// Frames in use by kmm's own account, but for those that no operation owns: the reserve,
/// isolated spots and the stash.
uint64_t perform_used(const struct performer *p);

/// What an error of kmm is in the language.
enum op_result perform_result(enum kmm_error e);

/// Do all blocks still hold what their owner wrote? Complains about the first that
/// doesn't. (blocks.c)
void perform_verify_blocks(struct performer *p);

/// Does this operation succeed or do nothing? (An access fills pages in before it is
/// refused.)
bool perform_is_atomic(uint8_t code);

/// After an atomic operation that failed: complains if the numbers of frames in use,
/// spaces, regions or objects have changed.
void perform_verify_unchanged(struct performer *p);

/// All of kmm's own checks; complains with the broken invariant.
void perform_verify_invariants(struct performer *p);

/// Gives everything back: spaces, then blocks.
void perform_finish(struct performer *p);

/// Where a window begins in a space; 0: an unbound placed one.
uint64_t perform_window(const struct performer *p, unsigned space, unsigned window);

#endif
