/// The scheduler of virtual CPUs. Each CPU is a fiber; exactly one runs, and only at
/// a point may another go on. Which one, when a pending interrupt is taken, which of
/// several stores a load reads, what a page-table walker looks at: each is a choice
/// that a strategy makes, so that the choices are the whole of what is random.
///
/// A choice is keyed by CPU, by the operation that CPU performs, and by the number of
/// the point within it, counted at source level. What the strategy chose against the
/// default is kept; a strategy that plays such a list gives the same run again.
#ifndef SCHED_H
#define SCHED_H

#include <stdbool.h>
#include <stdint.h>

#define SCHED_CPUS_MAX 8u
#define SCHED_OPTIONS_MAX 32u
#define SCHED_CHOICES_MAX 4096u /* kept; beyond that a run can't be replayed: `overflow` */
#define SCHED_POINTS_MAX 200000u /* in one run; more is a livelock */

enum sched_kind {
	SCHED_SWITCH, /* value: the CPU that goes on */
	SCHED_DEFER,  /* value 1: the pending interrupt is not taken here */
	SCHED_STALE,  /* value: the load reads the store that is so many older than the newest */
	SCHED_WALK,   /* value: what a page-table walker looks at; the client's own code */
	SCHED_KIND_N
};

struct sched_key {
	uint8_t cpu;
	uint8_t kind;   /* enum sched_kind */
	uint16_t op;    /* as told by sched_op */
	uint16_t point; /* within it, from 1 */
};

struct sched_choice {
	struct sched_key key;
	uint16_t value;
};

/// Why a CPU is asked to give way.
enum sched_why {
	SCHED_AT_POINT, /* it could go on */
	SCHED_AT_RELAX, /* it spins: going on is useless until another CPU does something */
	SCHED_AT_END,   /* it has nothing left to do */
};

struct sched;

/// Makes the choices. One object a run or many; begin is called for each run.
struct sched_strategy {
	void (*begin)(struct sched_strategy *self, unsigned cpus_n);
	/// option[0] is what happens by default, n >= 2. Returns: an index below n
	unsigned (*choose)(struct sched_strategy *self, const struct sched *s,
			   const struct sched_key *key, enum sched_why why,
			   const uint16_t *option, unsigned n);
};

/// What the CPUs do, and what their interrupts are.
struct sched_client {
	void *ctx;
	/// A CPU's work, on its fiber, from its first instruction to its return.
	void (*run)(void *ctx, unsigned cpu);
	/// Are interrupts on?
	bool (*interruptible)(void *ctx, unsigned cpu);
	/// Takes all that is pending, on the CPU's fiber. May pass points.
	void (*interrupt)(void *ctx, unsigned cpu);
	/// Nobody can go on: whatever is still under way between CPUs arrives. Returns
	/// whether anything did. May be NULL.
	bool (*settle)(void *ctx);
};

enum sched_end {
	SCHED_DONE,     /* all CPUs came to their end */
	SCHED_DEADLOCK, /* all that are left spin or wait for an interrupt, in vain */
	SCHED_LIVELOCK, /* SCHED_POINTS_MAX points */
	SCHED_STOPPED,  /* sched_stop */
};

/// Something worth a line of a timeline; `what` is a constant.
struct sched_event {
	uint64_t step; /* points since the run began, all CPUs */
	struct sched_key key;
	const char *what; /* "load", "store", "rmw", "fence", "pt-store", "ipi", "switch" … */
	const volatile void *at;
	uint64_t value;
	const void *pc;   /* the code that passes the point */
};

/// State of a CPU, for those who look on.
enum sched_state { SCHED_IDLE, SCHED_READY, SCHED_SPINS, SCHED_ENDED };

struct sched_cpu {
	struct fiber *fiber;
	enum sched_state state;
	bool pending;     /* an interrupt */
	uint16_t op, point;
	uint8_t chosen;    /* a bit for each kind of choice made at this point */
	uint64_t spins_at; /* the `changes` it knows of: it can spin until there are others */
	const char *last_what;          /* for the watchdog's report */
	const volatile void *last_at;
	const void *last_pc;
};

struct sched {
	struct sched_cpu cpu[SCHED_CPUS_MAX];
	unsigned cpus_n, now;
	uint64_t steps, changes; /* changes: everything that may end a spin */
	const struct sched_client *client;
	struct sched_strategy *strategy;
	struct fiber *home;
	enum sched_end end;
	bool stopping;
	uint32_t choices_n;
	bool overflow;
	struct sched_choice choice[SCHED_CHOICES_MAX]; /* those against the default */
	void (*on_event)(void *ctx, const struct sched_event *e); /* NULL: nobody listens */
	void *event_ctx;
};

/// The run under way on this host thread; NULL: none, and nothing passes a point.
extern _Thread_local struct sched *sched_on;

/// Runs the CPUs of `busy` (a bit each) to their end; the others idle, and wake for
/// interrupts only. s->on_event and event_ctx are the caller's; the rest is reset.
/// Afterwards s->choice lists what was chosen against the default, in order.
enum sched_end sched_run(struct sched *s, unsigned cpus_n, uint32_t busy,
			 const struct sched_client *client, struct sched_strategy *strategy);

/// The current CPU begins operation `op` (or what else counts points from zero).
/// Once a run for each `op` of a CPU; no loop that spins begins in one and ends in another.
void sched_op(struct sched *s, uint16_t op);

/// A point: a pending interrupt may be taken, another CPU may go on.
/// `changed`: what follows may end another CPU's spin.
void sched_point(struct sched *s, const char *what, const volatile void *at, uint64_t value,
		 bool changed, const void *pc);

/// The current CPU spins: others go on until something has changed.
void sched_relax(struct sched *s, const void *pc);

/// An interrupt for another CPU. It is taken at one of that CPU's points.
void sched_interrupt(struct sched *s, unsigned cpu);

/// Interrupts of the current CPU have come on: pending ones may be taken here.
void sched_interrupts_on(struct sched *s, const void *pc);

/// Asks the strategy, at the current CPU's current point; keeps the answer unless it
/// is option[0]. Returns: the value chosen
uint16_t sched_choose(struct sched *s, enum sched_kind kind, const uint16_t *option, unsigned n);

/// Ends the run at once, from a CPU's fiber: no fiber goes on. Does not return.
_Noreturn void sched_stop(struct sched *s);

/// One line on who waits where, after a deadlock.
void sched_describe(const struct sched *s, char *out, unsigned bytes);

/* ---- strategies (strategy.c) ---- */

#define SCHED_ROWS_BUCKETS 256u

/// Plays a list of choices; everything else by default. A choice whose key is never
/// met, or whose value isn't among the options there, is nothing. Of two with the same
/// key the first counts; of more than SCHED_CHOICES_MAX the first so many.
struct sched_rows {
	struct sched_strategy strategy;
	const struct sched_choice *choice;
	uint32_t n;
	uint16_t head[SCHED_ROWS_BUCKETS], next[SCHED_CHOICES_MAX]; /* rows by key, from 1 */
};
void sched_rows_init(struct sched_rows *r, const struct sched_choice *choice, uint32_t n);

/// At each point another CPU with the run's own probability, 1/4 to 1/512; an interrupt
/// deferred with 1/2, an older store and a walk with 1/4. One probability for all runs
/// would keep CPUs abreast: a short operation never met the end of a long one.
struct sched_random {
	struct sched_strategy strategy;
	uint64_t state;
	unsigned odds; /* one point in so many */
};
void sched_random_init(struct sched_random *r, uint64_t seed);

/// Probabilistic concurrency testing: random priorities, and depth - 1 points where the
/// running CPU's falls below all. A CPU that spins falls below all as well (without that
/// no bound holds for code that waits). Half of the runs are the paper's: nothing but the
/// order of CPUs is chosen, and a fault of depth d shows in them with probability at least
/// 1 / (n * k^(d-1)), n CPUs, at most k points. In the others loads read older stores,
/// interrupts wait and walkers look, too. So, of all runs, 1 / (2 * n * k^(d-1)).
/// Source: Burckhardt et al., A Randomized Scheduler with Probabilistic Guarantees of
/// Finding Bugs, ASPLOS 2010.
struct sched_pct {
	struct sched_strategy strategy;
	uint64_t state;
	unsigned depth, points;  /* d, k */
	uint32_t priority[SCHED_CPUS_MAX];
	uint64_t change[16];     /* steps at which priorities fall */
	uint32_t lowest;
	bool order_only;         /* this run chooses nothing else */
	uint32_t fallen;         /* a bit for each CPU that fell since it began to spin */
};
void sched_pct_init(struct sched_pct *p, uint64_t seed, unsigned depth, unsigned points);
double sched_pct_bound(unsigned cpus_n, unsigned points, unsigned depth);

/// All schedules with at most `preemptions_max` switches away from a CPU that could go
/// on, `stale_max` loads that read an older store, `defers_max` interrupts put off and
/// `walks_max` walks; depth first. The last two are unbounded unless set after init.
///     sched_all_init(&a, …); do run(&a.strategy); while (sched_all_next(&a));
struct sched_all {
	struct sched_strategy strategy;
	unsigned preemptions_max, stale_max, defers_max, walks_max; /* ~0u: unbounded */
	uint64_t runs_n;   /* begun */
	bool truncated;    /* not exhaustive: a run had more choices than fit, or didn't repeat */
	uint32_t depth, room, at;    /* at: choices made in the current run */
	struct sched_all_node *node; /* the path of the current run */
	unsigned preemptions, stale, defers, walks; /* spent in the current run */
};
void sched_all_init(struct sched_all *a, unsigned preemptions_max, unsigned stale_max);
/// Steps to the next path. False: all are done.
bool sched_all_next(struct sched_all *a);
void sched_all_free(struct sched_all *a);

#endif
