/// Memory between virtual CPUs: atomics as weak as C11 lets them be, and the order
/// that they make. memory.c holds the theory; race.c judges plain accesses by it.
///
/// The newest store always stands in memory itself, so that read-modify-writes, and
/// whoever looks on from outside, see it. Older ones that some CPU may still read are
/// kept aside while a run lasts.
#ifndef SCHED_MEMORY_H
#define SCHED_MEMORY_H

#include "sched/place.h"

enum memory_rmw { MEMORY_EXCHANGE, MEMORY_ADD, MEMORY_SUB, MEMORY_OR, MEMORY_AND };

/// One CPU. Two clocks in two units: hb counts releases, seen counts ticks (place.h).
struct memory_cpu {
	struct clock hb;   /* what happens before it; hb.of[itself] is its epoch */
	struct clock seen; /* what it can't read past; seen.of[itself] is its tick */
	struct memory_view acquired; /* what its relaxed loads would bring, had a fence followed */
	struct memory_view fenced;   /* at its last fence: its relaxed stores release that much */
	struct memory_view sent;     /* by those who ever sent it an interrupt */
};

struct memory {
	struct memory_cpu cpu[SCHED_CPUS_MAX];
	struct clock sc;       /* seen by all that passed a sequentially consistent fence */
	unsigned cpus_n;
	bool weak;             /* false: loads always read the newest (the orders still count) */
	uint32_t lives;        /* grows when a begin or end starts the epochs of hb from 1 again
	                        * (once in 2^31 releases): kept epochs mean nothing any more */
	struct memory_places places;
	bool lost;             /* stores for which there was no place, and what they release */
	struct memory_view lost_view;
};

/// Before a run: everything so far happens before every CPU. After it: everything
/// happens before what comes, histories are dropped.
void memory_begin(struct memory *m, unsigned cpus_n, bool weak);
void memory_end(struct memory *m);
void memory_free(struct memory *m);

/// The accesses of atomic.h by one CPU; `order` is __ATOMIC_…, bytes 1, 2, 4 or 8.
/// A load asks sched_choose(SCHED_STALE) when it may read more than one store.
uint64_t memory_load(struct memory *m, unsigned cpu, const volatile void *at, unsigned bytes,
		     int order);
void memory_store(struct memory *m, unsigned cpu, volatile void *at, unsigned bytes,
		  uint64_t value, int order);
uint64_t memory_update(struct memory *m, unsigned cpu, volatile void *at, unsigned bytes,
		       enum memory_rmw what, uint64_t operand, int order);
/// Strong. *expected receives what was there on failure.
bool memory_cas(struct memory *m, unsigned cpu, volatile void *at, unsigned bytes,
		uint64_t *expected, uint64_t value);
/// Sequentially consistent; also what serialises a CPU (a root load, a barrier).
void memory_fence(struct memory *m, unsigned cpu);

/// An edge that no atomic makes: an interrupt is sent to `to`; `cpu` takes its own.
void memory_send(struct memory *m, unsigned cpu, unsigned to);
void memory_receive(struct memory *m, unsigned cpu);

/// A page-table walker of `cpu` reads an entry: like a relaxed load, since another CPU's
/// store may still be on its way, but it orders and remembers nothing.
/// `newest`: no choice is made.
uint64_t memory_walk(struct memory *m, unsigned cpu, const volatile uint64_t *entry, bool newest);

/// Is there a store to the entry that this CPU needn't see yet?
bool memory_may_miss(struct memory *m, unsigned cpu, const volatile uint64_t *entry);

/// All stores become visible to all. Returns whether any wasn't.
bool memory_settle(struct memory *m);

/// Forgets the histories of [at, at + bytes): the bytes are given a new life, or were
/// written by someone outside.
void memory_forget(struct memory *m, const volatile void *at, uint64_t bytes);

#endif
