/// Litmus clients: small concurrent programs whose behaviour is known beforehand, each in a
/// good form and in a bad one that differs by one decision. They are explored by the same
/// scheduler, memory and race detector as kmm on the simulated machine, and so say what
/// those find and what they let pass. litmus.c holds the theory.
#ifndef LITMUS_H
#define LITMUS_H

#include <stddef.h>

#include "sched/sched.h"

#define LITMUS_STATE_BYTES 256u
#define LITMUS_CHOICES_MAX 256u
#define LITMUS_WHY_BYTES 1024u
#define LITMUS_ALL (~0u) /* a bound that bounds nothing */

/// How a run, or an exploration, ended.
enum litmus_end {
	LITMUS_SURVIVES,
	LITMUS_ASSERTION, /* the client's own, or its check of the end */
	LITMUS_RACE,
	LITMUS_DEADLOCK,
	LITMUS_LIVELOCK,
	LITMUS_END_N
};
extern const char *const litmus_end_text[LITMUS_END_N];

/// What a client's functions see.
struct litmus_env {
	void *state; /* the client's; zeros before setup */
	bool good;
	bool irq_off[SCHED_CPUS_MAX];
	const char *why; /* what an assertion said */
};

/// A word of a client's state, for the listing of an interleaving.
struct litmus_word {
	const char *name; /* NULL: the list's end */
	size_t at;
};

/// One pair.
struct litmus {
	const char *name;       /* good_… and bad_… of it */
	const char *good, *bad; /* what each does, in a line */
	unsigned cpus_n;
	uint32_t idle; /* CPUs that have no work, and wake for interrupts; a bit each */
	void (*setup)(struct litmus_env *e); /* may be NULL */
	void (*run)(struct litmus_env *e, unsigned cpu);
	void (*interrupt)(struct litmus_env *e, unsigned cpu); /* may be NULL */
	/// After all CPUs ended. NULL, or what is wrong; may be NULL itself.
	const char *(*check)(struct litmus_env *e);
	const struct litmus_word *word;

	/// The good one survives all schedules within these bounds.
	unsigned preemptions, stale;
	/// The bad one fails so, in every strategy:
	enum litmus_end fails;
	unsigned needs_preemptions, needs_stale; /* all schedules within these bounds … */
	uint32_t all_max;                        /* … show it among the first so many, */
	uint32_t random_max, pct_max;            /* so many random runs, so many PCT runs */
	unsigned depth;                          /* of the latter */
};

/// All pairs; the list ends with a name that is NULL.
extern const struct litmus *const litmus_rooms[];
extern const struct litmus litmus_order[], litmus_lock[], litmus_count[], litmus_call[];
extern const struct litmus litmus_shootdown[], litmus_depth[], litmus_tree[];

/// The i-th of all pairs, or NULL beyond the last.
const struct litmus *litmus_nth(unsigned i);

/* ---- for clients ---- */

/// Interrupts of the current CPU off; back to what they were.
bool litmus_irq_save(struct litmus_env *e);
void litmus_irq_restore(struct litmus_env *e, bool was_off);
/// An interrupt for another CPU.
void litmus_ipi(struct litmus_env *e, unsigned cpu);
/// The current CPU spins.
void litmus_relax(struct litmus_env *e);
/// Ends the run.
_Noreturn void litmus_fail(struct litmus_env *e, const char *why);

#define LITMUS_ASSERT(e, condition, why) \
	do {                             \
		if (!(condition))        \
			litmus_fail(e, why); \
	} while (0)

/* ---- exploring ---- */

enum litmus_strategy { LITMUS_BY_ALL, LITMUS_BY_RANDOM, LITMUS_BY_PCT, LITMUS_STRATEGY_N };
extern const char *const litmus_strategy_text[LITMUS_STRATEGY_N];

struct litmus_budget {
	enum litmus_strategy strategy;
	uint64_t runs_max;
	unsigned preemptions, stale; /* LITMUS_BY_ALL */
	uint64_t seed;               /* the others: of the first run */
	unsigned depth;              /* LITMUS_BY_PCT */
};

struct litmus_result {
	enum litmus_end end;
	char why[LITMUS_WHY_BYTES]; /* empty if it survives */
	uint64_t runs_n;            /* if it failed, the last of them is the failing one */
	bool complete;              /* there is no other schedule within the bounds */
	uint32_t points_max;        /* in one run */
	/* Of the last run: its choices against the default, and a digest of its events. */
	uint64_t events;
	uint32_t choices_n;
	bool choices_lost;
	struct sched_choice choice[LITMUS_CHOICES_MAX];
};

/// Explores until a run fails or the budget is used up. Returns false without memory.
bool litmus_explore(const struct litmus *l, bool good, const struct litmus_budget *b,
		    struct litmus_result *r);

/// How often the bad one fails by PCT: what its bound promises, and what it does.
struct litmus_rate {
	unsigned depth, points; /* d, k: most points in one of the runs */
	uint64_t runs_n, failed_n;
	double bound;           /* of one run */
};
/// Returns false without memory.
bool litmus_rate(const struct litmus *l, unsigned depth, uint64_t runs_n, struct litmus_rate *r);

/// Who looks on while a run is repeated; each may be NULL. An event is a point: what it
/// announces is done when its CPU goes on from there.
struct litmus_listener {
	void (*on_event)(void *ctx, const struct sched_event *e, const struct litmus_env *env);
	void (*on_return)(void *ctx, unsigned cpu); /* of an interrupt's handler */
	void *ctx;
};

/// Runs once, by these choices. `listener` may be NULL. Returns false without memory.
bool litmus_replay(const struct litmus *l, bool good, const struct sched_choice *choice,
		   uint32_t choices_n, const struct litmus_listener *listener,
		   struct litmus_result *r);

/// "name", "name+4" or "+4": the word at an offset in the client's state.
void litmus_word(char *out, size_t bytes, const struct litmus *l, size_t offset);

/// The budget within which the bad one must fail; for the good one, what it must survive.
void litmus_bound(const struct litmus *l, bool good, enum litmus_strategy strategy,
		  struct litmus_budget *b);

/// Is the result what the pair says? NULL, or in one line what isn't.
const char *litmus_judge(const struct litmus *l, bool good, const struct litmus_budget *b,
			 const struct litmus_result *r);

#endif
