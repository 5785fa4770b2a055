/// Plays a trace with concurrent sections again and again, each time by another schedule.
#ifndef EXPLORER_H
#define EXPLORER_H

#include "run/player.h"

#define EXPLORER_CHOICES_MAX 65536u

enum explorer_kind { EXPLORER_RANDOM, EXPLORER_PCT, EXPLORER_ALL, EXPLORER_KIND_N };
extern const char *const explorer_kind_text[EXPLORER_KIND_N];

struct explorer_options {
	struct player_options play;  /* its strategy is set here */
	enum explorer_kind kind;
	unsigned depth;              /* PCT */
	unsigned preemptions, stale, defers, walks; /* all: of a run's sections together; ~0u:
	                                             * unbounded */
	uint64_t seed;               /* random, PCT: the first run's */
	uint64_t runs_max, seconds_max; /* 0: without end */
};

struct explorer_choice {
	uint32_t section; /* in the order in which they are played */
	struct sched_choice choice;
};

/// How far it is. May lie in memory that another process looks at: it is kept up to date,
/// so that the schedule that brought the process down is known.
struct explorer {
	volatile uint32_t stop;   /* set from outside: ends after the run under way */
	volatile uint32_t ended;  /* it came to its end */
	volatile uint64_t runs_n; /* done; while one is under way, that one isn't in it */
	uint32_t points_max;      /* most points seen in a section */
	uint32_t sections_n;      /* most sections seen in a run */
	uint32_t points;          /* PCT: k, what the fall of priorities is spread over */
	uint64_t runs_at_k;       /* PCT: runs with that k that kept to it */
	bool complete;            /* all: there is no other schedule within the bounds */
	struct finding finding;   /* of the last run */
	uint32_t ops_done;        /* in the run that found it */
	char refused[160];        /* not empty: nothing was played; why */
	/* The run under way, or the last: its choices against the default. */
	uint32_t begun_n; /* sections begun */
	uint32_t choices_n;
	bool choices_lost;
	struct explorer_choice choice[EXPLORER_CHOICES_MAX];
};

/// Runs until a finding, the end of the budget or of all schedules, or x->stop. The first
/// run goes by the defaults. Pre: *x is zero
void explorer_run(const struct op *ops, uint32_t ops_n, const struct explorer_options *o,
		  struct explorer *x);

/// Rewrites ops in place so that the last run's sections are played by rows. Returns: the
/// new length, or 0 if it would exceed `room` or rows can't say it
uint32_t explorer_fix(const struct explorer *x, unsigned cpus_n, struct op *ops,
		      uint32_t ops_n, uint32_t room);

/// What so many runs find at least, if each finds it with probability p at least.
double explorer_confidence(double p, uint64_t runs_n);
/// How many it takes; UINT64_MAX: more than can be said.
uint64_t explorer_runs_needed(double p, double confidence);

#endif
