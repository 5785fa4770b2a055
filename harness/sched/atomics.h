/// The atomics of mm/base on virtual CPUs: what <port/local.h> of the simulated
/// machine, and the litmus clients, put in the place of the compiler's own. Each is a
/// point, then an access of the memory that the run uses.
/// Outside a run each is the compiler's own, after one test.
#ifndef SCHED_ATOMICS_H
#define SCHED_ATOMICS_H

#include <stddef.h>

#include "sched/memory.h"

/// What the accesses of the run under way go to; set together with sched_on.
extern _Thread_local struct memory *memory_on;

uint64_t sched_atomic_load(const volatile void *at, unsigned bytes, int order);
void sched_atomic_store(volatile void *at, unsigned bytes, uint64_t value, int order);
uint64_t sched_atomic_update(volatile void *at, unsigned bytes, enum memory_rmw what,
			     uint64_t operand, int order);
bool sched_atomic_cas(volatile void *at, unsigned bytes, uint64_t *expected, uint64_t value);
void sched_atomic_fence(void);

/// Looking on: between these, accesses of this host thread pass no point, choose
/// nothing and aren't judged. Pairs nest.
struct sched_look {
	struct sched *sched;
};
static inline struct sched_look sched_look_begin(void)
{
	struct sched_look l = { sched_on };

	sched_on = NULL;
	return l;
}
static inline void sched_look_end(struct sched_look l)
{
	sched_on = l.sched;
}

#define SCHED_RUNS() __builtin_expect(sched_on != NULL, 0)
#define SCHED_WORD(v) ((uint64_t)(uintptr_t)(v))
#define SCHED_BACK(p, word) ((__typeof__(*(p)))(uintptr_t)(word))

#define KMM_ATOMIC_LOAD(p, order)                                                \
	(SCHED_RUNS() ? SCHED_BACK(p, sched_atomic_load((p), sizeof(*(p)), order)) : \
			__atomic_load_n((p), (order)))
#define KMM_ATOMIC_STORE(p, v, order)                                              \
	do {                                                                       \
		__typeof__(*(p)) stored_ = (v);                                    \
		if (SCHED_RUNS())                                                  \
			sched_atomic_store((p), sizeof(*(p)), SCHED_WORD(stored_), \
					   order);                                 \
		else                                                               \
			__atomic_store_n((p), stored_, (order));                   \
	} while (0)
#define SCHED_UPDATE(builtin, what, p, v, order)                                            \
	__extension__({                                                                     \
		__typeof__(*(p)) operand_ = (v);                                            \
		SCHED_RUNS() ? SCHED_BACK(p, sched_atomic_update((p), sizeof(*(p)), what,   \
								 SCHED_WORD(operand_), order)) : \
			       builtin((p), operand_, (order));                             \
	})
#define KMM_ATOMIC_EXCHANGE(p, v, order) \
	SCHED_UPDATE(__atomic_exchange_n, MEMORY_EXCHANGE, p, v, order)
#define KMM_ATOMIC_FETCH(op, p, v, order) \
	SCHED_UPDATE(__atomic_fetch_##op, SCHED_FETCH_##op, p, v, order)
#define SCHED_FETCH_add MEMORY_ADD
#define SCHED_FETCH_sub MEMORY_SUB
#define SCHED_FETCH_or MEMORY_OR
#define SCHED_FETCH_and MEMORY_AND
#define KMM_ATOMIC_CAS(p, expected, v)                                                        \
	__extension__({                                                                       \
		__typeof__(*(p)) desired_ = (v);                                              \
		uint64_t was_ = SCHED_WORD(*(expected));                                      \
		bool done_;                                                                   \
		if (SCHED_RUNS()) {                                                           \
			done_ = sched_atomic_cas((p), sizeof(*(p)), &was_, SCHED_WORD(desired_)); \
			if (!done_)                                                           \
				*(expected) = SCHED_BACK(p, was_);                            \
		} else {                                                                      \
			done_ = __atomic_compare_exchange_n((p), (expected), desired_, 0,     \
							    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); \
		}                                                                             \
		done_;                                                                        \
	})
#define KMM_ATOMIC_FENCE() sched_atomic_fence()
/* Eight atomics to the machine, as eight CPUs might see them come one by one. */
#define KMM_ATOMIC_LOAD_EIGHT(p)                          \
	(SCHED_RUNS() ? sched_atomic_load_eight(p) : \
			__atomic_load_n((const uint64_t *)(const void *)(p), __ATOMIC_RELAXED))
#define KMM_ATOMIC_STORE_EIGHT(p, v)                                                      \
	do {                                                                              \
		if (SCHED_RUNS())                                                         \
			sched_atomic_store_eight((p), (v));                               \
		else                                                                      \
			__atomic_store_n((uint64_t *)(void *)(p), (v), __ATOMIC_RELAXED); \
	} while (0)
uint64_t sched_atomic_load_eight(const uint8_t *at);
void sched_atomic_store_eight(uint8_t *at, uint64_t value);

/* Counters are no points: nobody decides by them. Written in one piece all the same. */
#define KMM_COUNTER_ADD(p, v) sched_counter_add((p), sizeof(*(p)), (uint64_t)(v))
#define KMM_COUNTER_READ(p) SCHED_BACK(p, sched_counter_read((p), sizeof(*(p))))
void sched_counter_add(volatile void *at, unsigned bytes, uint64_t by);
uint64_t sched_counter_read(const volatile void *at, unsigned bytes);

#endif
