/// Where CPUs wait for each other: how often a lock of kmm's was found taken, by rank
/// (the table in mm/README.md). Counting costs a lock that is free nothing.
#ifndef KMM_LOCK_H
#define KMM_LOCK_H

#include <kmm/error.h>
#include <kmm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kmm_lock_stats {
	const char *name;     /* of the rank: "LOCK_ZONE" */
	const char *guards;   /* what such locks protect, in words */
	uint64_t contended_n; /* times a CPU found one taken; each try that gave up is one */
	/* Rounds of waiting: a look at the lock that finds it taken, and a kmm_port_relax. How
	 * long one takes is the port's affair: to be compared within a port only. */
	uint64_t waited_n;
};

/// How many ranks there are; they are numbered as locks are taken, lowest first.
unsigned kmm_lock_ranks_n(void);

/// Rank i's waits on the CPUs of the set; ~0ull is all. A snapshot; lock-free, safe from the
/// first line of init on, each number exact only when nothing runs.
/// Errors: KMM_EINVAL (no such rank); *out unchanged
/// Cost:   O(CPUs)
KMM_MUST_CHECK enum kmm_error kmm_lock_stats(struct kmm *k, unsigned i, kmm_cpumask cpus,
					     struct kmm_lock_stats *out);

#ifdef __cplusplus
}
#endif
#endif
