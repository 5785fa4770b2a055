/// What a litmus client is written with: the atomics of mm/base, as the simulated machine
/// plays them, and the runner's services.
///
/// A client's files are compiled with -fsanitize=thread and linked with our runtime
/// (sched/runtime_thread.c), as mm/ is: what they access without an atomic is plain, and
/// the race detector sees it.
#ifndef LITMUS_CLIENT_H
#define LITMUS_CLIENT_H

#include "sched/atomics.h"

#include "base/atomic.h"
#include "litmus/litmus.h"

/* Orders that mm/ has no use for, since they are what the bad ones do. */
#define exchange_relaxed(p, v) KMM_ATOMIC_EXCHANGE(p, v, __ATOMIC_RELAXED)
#define sub_relaxed(p, v) KMM_ATOMIC_FETCH(sub, p, v, __ATOMIC_RELAXED)

#define WORD(type, field) { #field, offsetof(type, field) }
#define WORDS(...) ((const struct litmus_word[]){ __VA_ARGS__, { NULL, 0 } })

#endif
