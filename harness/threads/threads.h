/// kmm on host threads: the body for speed, ThreadSanitizer, Valgrind and unit
/// tests. One thread is one CPU while it has entered.
#ifndef THREADS_H
#define THREADS_H

#include <kmm/kmm.h>
#include <pthread.h>

#include "port/local.h"

struct threads_cpu {
	pthread_mutex_t turn;         /* held by the thread that is this CPU */
	volatile uint32_t ipi;        /* non-zero: an IPI waits; __atomic access */
	bool online;                  /* a thread is in; __atomic access */
};

struct threads_machine {
	struct threads_port port;     /* first: what port/local.h sees */
	struct kmm *kmm;
	struct kmm_memmap memmap;
	struct kmm_preset preset;
	void *meta;
	uint64_t meta_bytes;
	uint64_t contents_bytes;      /* of the arena, from its base, that exist */
	unsigned cpus_n;
	bool quiet;                   /* log lines aren't printed */
	struct threads_cpu cpu[KMM_CPUS_MAX];
};

struct threads_options {
	const struct kmm_preset *preset;
	const struct kmm_pt_format *format; /* NULL: x86_64 */
	uint64_t bytes;               /* usable memory; untouched, it costs nothing */
	uint64_t base;                /* first physical address */
	unsigned cpus_n;
};

/// Builds machine and instance; the calling thread enters as CPU 0.
/// Returns NULL on success, or one line that says what failed.
const char *threads_start(struct threads_machine *m, const struct threads_options *o);

/// Tears down; returns frames leaked. Other threads must have left.
uint64_t threads_stop(struct threads_machine *m);

/// This thread becomes CPU i / stops being one. Leaving answers what waits.
void threads_enter(struct threads_machine *m, unsigned i);
void threads_leave(struct threads_machine *m, unsigned i);

#endif
