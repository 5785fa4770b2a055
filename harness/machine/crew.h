/// What the machine keeps while its CPUs run at once: the memory between them, the
/// race detector, the calls of kmm that are under way, and who stored which entry.
/// crew.c holds the theory.
#ifndef CREW_H
#define CREW_H

#include "port/local.h"
#include "sched/memory.h"
#include "sched/race.h"
#include "sched/sched.h"

#define CREW_CALLS_DEEP 4u     /* calls of one CPU under way: its own, its interrupts' */
#define CREW_STORED 4096u      /* entries whose last store is remembered; a power of two */
#define CREW_TARGETS 64u       /* addresses that walkers may look at */

struct machine;
struct tlb_entry;
struct mmu_walk;

/// The call of kmm that stored an entry last.
struct crew_stored {
	uint64_t at;   /* physical address of the entry */
	uint32_t call;
	uint32_t run;  /* the line is empty in any other run */
};

struct crew_cpu {
	unsigned calls_n;
	uint32_t call[CREW_CALLS_DEEP]; /* calls under way, the innermost last */
	uint64_t stores_n;              /* entry stores so far */
	bool stored;                    /* an entry, since a call last ended here */
	bool ipi;                       /* kmm_port_ipi asked for it, and it hasn't come in */
};

struct crew {
	struct sched *sched; /* the run; NULL: CPUs take turns, and all of this rests */
	struct memory memory;
	struct race race;
	uint32_t run;        /* number of this one */
	uint32_t calls_n;    /* begun so far */
	uint64_t stores_n;
	uint64_t kernel_root;
	struct crew_cpu cpu[MACHINE_CPUS_MAX];
	unsigned targets_n;
	uint64_t target[CREW_TARGETS]; /* user addresses */
	struct crew_stored stored[CREW_STORED];
};

/// What the CPUs do in a run.
struct crew_work {
	void *ctx;
	void (*work)(void *ctx, unsigned cpu);
	/// Has this CPU interrupts other than IPIs yet to take? Takes one, interrupts off.
	bool (*interrupts)(void *ctx, unsigned cpu);
	void (*interrupt)(void *ctx, unsigned cpu);
};

/// Runs all CPUs of `busy` (a bit each) at once, to their end or the first finding.
/// Races, deadlock and livelock are findings too.
void crew_run(struct machine *m, struct sched *run, uint32_t busy,
	      struct sched_strategy *strategy, const struct crew_work *work);

/// Adds an address that walkers may look at. Returns false when there are enough.
bool crew_target(struct crew *c, uint64_t va);

void crew_free(struct crew *c);

/// The current CPU enters kmm, and leaves it. Without a run nothing.
void crew_call_begin(struct machine *m);
void crew_call_end(struct machine *m);

/// A point of the current CPU; walkers may look at something there.
void crew_point(struct machine *m, const char *what, const volatile void *at, uint64_t value,
		const void *pc);

/// The current CPU stored an entry.
void crew_stored(struct machine *m, uint64_t at);

/// Entry stores by other CPUs so far.
uint64_t crew_stores_by_others(const struct machine *m);

/// May a TLB still hold this entry, though the tables (walked: w) no longer say so?
bool crew_excuses(struct machine *m, const struct tlb_entry *e, const struct mmu_walk *w);

/// Within a run: memory is given a new life, by kmm or by someone outside it.
void crew_new_life(struct machine *m, const void *at, uint64_t bytes);

/// kmm's own plain access of this range, made for it by the port.
void crew_plain(const void *at, uint64_t bytes, bool write, const void *pc);

/// Looking at kmm's state from outside: no points, no choices, nothing is judged.
struct crew_look {
	struct sched_look sched;
	struct race *race;
};
struct crew_look crew_look_begin(struct machine *m);
void crew_look_end(struct crew_look l);

#endif
