/// Three levels of assertion. KMM_CONFIG_ASSERT picks how far they go:
///   0  KMM_REQUIRE only: the caller's contract, cheap, in every build
///   1  + KMM_ASSERT: this unit's invariants, O(1)
///   2  + KMM_ASSERT_SLOW: walks; for sim and fuzzing
#ifndef KMM_BASE_ASSERT_H
#define KMM_BASE_ASSERT_H

#include "port/port.h"

/// Formats "function: expression (note)" and ends in the port's panic.
_Noreturn void assert_failed(struct kmm *k, const char *function, const char *expression,
			     const char *note);

#define KMM_CHECK_(k, cond, note) \
	((cond) ? (void)0 : assert_failed((k), __func__, #cond, (note)))

#define KMM_REQUIRE(k, cond, note) KMM_CHECK_(k, cond, note)

#if KMM_CONFIG_ASSERT >= 1
#define KMM_ASSERT(k, cond, invariant) KMM_CHECK_(k, cond, invariant)
#else
#define KMM_ASSERT(k, cond, invariant) ((void)(k), (void)sizeof(!(cond)))
#endif

#if KMM_CONFIG_ASSERT >= 2
#define KMM_ASSERT_SLOW(k, cond, invariant) KMM_CHECK_(k, cond, invariant)
#else
#define KMM_ASSERT_SLOW(k, cond, invariant) ((void)(k), (void)sizeof(!(cond)))
#endif

#endif
