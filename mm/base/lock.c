/// Waiting for ranked locks, and what is counted of it.
///
/// Each CPU counts its own waits, by rank, in its own block: interrupts are off from before
/// the first look at a lock until after the last count, and what a spinning CPU answers
/// meanwhile takes no lock (I1 of call.c), so that each counter has one writer and needs no
/// locked instruction. Counts are made as it happens and not when a wait is over, so that a CPU
/// that waits for ever shows it.
///
/// Rounds and not cycles: a round is the same thing in every port, a look at the lock and a
/// kmm_port_relax, and repeats with the schedule on the simulated machine. Cycles would be
/// another unit in each port, and hold what the CPU answered for others in between and, under
/// a hypervisor, the time that a virtual CPU wasn't running.
#include "base/lock.h"

static struct lock_waits *waits_of(struct kmm *k, const struct lock *l)
{
	return &kmm_port_cpu(k)->waits[l->rank];
}

void lock_wait(struct kmm *k, struct lock *l)
{
	struct lock_waits *w = waits_of(k, l);

	counter_add(&w->contended_n, 1u);
	do {
		while (atomic_load_relaxed(&l->taken) != 0) {
			counter_add(&w->waited_n, 1u);
			call_answer_urgent(k);
			kmm_port_relax(k);
		}
	} while (atomic_exchange_acquire(&l->taken, 1u) != 0);
}

void lock_count_refused(struct kmm *k, const struct lock *l)
{
	counter_add(&waits_of(k, l)->contended_n, 1u);
}

struct rank_text {
	const char *name, *guards;
};

static const struct rank_text ranks[LOCK_RANK_N] = {
#define LOCK_RANK_TEXT(name, text) [name] = { #name, text },
	LOCK_RANKS(LOCK_RANK_TEXT)
#undef LOCK_RANK_TEXT
};

unsigned kmm_lock_ranks_n(void)
{
	return LOCK_RANK_N;
}

enum kmm_error kmm_lock_stats(struct kmm *k, unsigned i, kmm_cpumask cpus,
			      struct kmm_lock_stats *out)
{
	if (i >= LOCK_RANK_N)
		return KMM_EINVAL;
	*out = (struct kmm_lock_stats){ .name = ranks[i].name, .guards = ranks[i].guards };
	if (k->cpus == NULL)
		return KMM_OK; /* asked before there are CPUs */
	for (unsigned c = 0; c < k->cpus_n; c++) {
		const struct lock_waits *w = &k->cpus[c].waits[i];

		if (!(cpus >> c & 1u))
			continue;
		out->contended_n += counter_read(&w->contended_n);
		out->waited_n += counter_read(&w->waited_n);
	}
	return KMM_OK;
}
