/// Frame workloads: simulated memory whose contents are never touched, one or two
/// threads, each pinned to a processor and being one of kmm's CPUs.
///
/// A load is a row of frame_loads[]: how memory is prepared, and what a slice does. Its
/// steps are written once (frame_driver.h) and compiled for several back ends: kmm, and
/// bare ones that show what of a figure is the driver's own.
#ifndef FRAME_WORK_H
#define FRAME_WORK_H

#include <pthread.h>
#include <stdio.h>

#include "clock.h"
#include "measure.h"
#include "threads/threads.h"
#include "variant.h"
#include "workload.h"

enum {
	FRAME_THREADS_MAX = 2,
	FRAME_PARTS_MAX = 2,
	FRAME_SLICES_MAX = 64,
	XBATCH_N = 4096,   /* frames that change hands at once */
	BATCH_N = 64,      /* frames a batch call */
	BLOCK_LG2 = 9,     /* 2 MiB */
};

#define FRAMES_4GIB (1ull << 20)
/* Simulated memory begins here, so that none of it is in a low zone. */
#define FRAME_BASE (4ull << 30)
/* Single frames that the driver holds at most, all threads together (64 GiB); what is
 * beyond is held in blocks of 2 MiB. */
#define HOLD_MAX (1ull << 24)

struct frame_thread;

/// Performs up to n operations. Returns: how many
typedef uint64_t frame_step(struct frame_thread *t, uint64_t n);

struct frame_backend {
	const char *name;
	frame_step *gets, *puts, *blocks, *repeat, *churn, *churn_timed, *burst;
	frame_step *mixed_fill, *mixed, *failed, *batch_gets, *batch_puts;
};

extern const struct frame_backend frame_kmm;   /* what is measured */
extern const struct frame_backend frame_recorded; /* the same, each call written down */
extern const struct frame_backend frame_stack; /* a bare stack of numbers each thread */
extern const struct frame_backend frame_lines; /* that, and one byte touched a frame */
extern const struct frame_backend frame_none;  /* nothing: the driver's own loop */

/// One thread and what it holds. Held frames are 32-bit numbers, or struct kmm_pfn for
/// the batch loads, which hand the array to kmm as it is.
struct frame_thread {
	struct frame_run *run;
	struct kmm *k;
	unsigned id, order;
	uint64_t seed;        /* random state, never 0 */
	uint32_t *held;
	struct kmm_pfn *pfn;  /* the same memory */
	uint64_t held_n, room;
	uint64_t base_n;      /* of these, held throughout */
	uint32_t *block;      /* 2 MiB blocks held throughout */
	uint64_t block_n;
	uint64_t frames_held; /* mixed: frames of the blocks held */
	uint64_t misses_n;    /* mixed: larger blocks that weren't to be had */
	uint64_t cursor;      /* in a recorded trace */
	uint32_t *stack;      /* of the bare back ends */
	uint64_t stack_n;
	struct hist hist;
	const char *failed;   /* what a step couldn't do; NULL = all went well */
	bool full;            /* no more frames were to be had */
	/* Of the phase that is running or was the last. */
	frame_step *step;
	uint64_t n, done_n, ns;
	bool cut;             /* the wall limit ended it */
} __attribute__((aligned(128)));

struct frame_run {
	const struct frame_load *load;
	const struct variant *variant;
	const struct frame_backend *back;
	struct threads_machine machine;
	bool has_machine;
	struct threads_self self; /* the caller as CPU 0 of this machine */
	unsigned threads_n;
	uint64_t frames_n, slice_n;
	uint64_t limit_ns;    /* of one phase */
	unsigned fill;        /* per mille */
	uint64_t seed;
	uint32_t *held;       /* all threads' */
	uint64_t held_bytes;
	uint32_t *stack;
	uint8_t *line;        /* of the back end that touches lines */
	FILE *record;
	uint64_t whole_limit_ns; /* of a phase that must come to its end */
	uint64_t cut_n;       /* phases that the wall limit ended */
	uint64_t done_n;      /* operations of all phases so far, by all threads */
	bool short_fill;      /* filled in larger blocks than asked */
	bool spent;           /* no further slice is possible */
	struct frame_thread thread[FRAME_THREADS_MAX];
	pthread_t other;
	uint32_t phase, waiting; /* barrier; __atomic access */
	bool counted;         /* steps run inside bench_region */
	bool ends;
};

struct frame_load {
	const char *name;       /* figure without "frame." */
	unsigned order;
	unsigned fill;          /* per mille of memory, held before the first slice */
	uint64_t n;             /* operations a slice and thread; 0: memory's half */
	unsigned slices_n;      /* = samples */
	uint64_t count_n;       /* operations under callgrind; 0 = not repeatable there */
	unsigned threads_min;
	const char *part[FRAME_PARTS_MAX]; /* what a slice yields, as suffixes; "": a pair */
	const char *unit;
	/// Memory as the slices want it, besides `fill`. NULL: nothing more.
	void (*prepare)(struct frame_run *r);
	/// value[i] belongs to part[i]: ns an operation.
	void (*slice)(struct frame_run *r, double *value);
	bool latency;           /* single gets are timed in a run of their own */
	bool once;              /* each sample is a run of its own */
	uint64_t held_min;      /* single frames that a slice needs held, whatever the fill */
	uint64_t small_n;       /* measured on so many frames too: the slow policies get there */
};

extern const struct frame_load frame_loads[];
const struct frame_load *frame_load_find(const char *name);

struct frame_options {
	const struct frame_load *load;
	const struct variant *variant; /* NULL for the bare back ends */
	const struct frame_backend *back;
	unsigned threads_n;
	uint64_t frames_n;
	unsigned fill;      /* per mille; FILL_OF_LOAD */
	uint64_t seed;
	uint64_t limit_ns;  /* of all slices; 0 = none */
	FILE *record;
};
#define FILL_OF_LOAD 0xffffffffu

/// Builds and fills. Returns: NULL, with one line in *error
struct frame_run *frame_run_start(const struct frame_options *o, const char **error);

/// Ends it; what is held is only compared with what kmm says leaked.
/// Returns: NULL, or one line that says what is wrong
const char *frame_run_stop(struct frame_run *r);

/// What went wrong in any thread so far; NULL: nothing.
const char *frame_run_failed(const struct frame_run *r);

/// Two of the things that may go wrong, and say nothing against kmm's correctness.
extern const char frame_too_slow[], frame_too_small[];

/// All threads perform their step; n operations each. Returns: ns an operation, the mean
/// of the threads.
double frame_phase(struct frame_run *r, frame_step *step, uint64_t n);

/// The same without a slice's limit, but with four times the limit of all slices,
/// beyond which the phase is a failure.
double frame_phase_whole(struct frame_run *r, frame_step *step, uint64_t n);

/// Thread 0 performs one, thread 1 another.
void frame_phase_apart(struct frame_run *r, frame_step *first, frame_step *second, uint64_t n);

/// Shuffles what threads hold beyond base_n, across them; or all of it.
void frame_shuffle(struct frame_run *r, bool all);

/// 2 MiB blocks of which the driver holds no frame.
uint64_t frame_blocks_free(const struct frame_run *r);

/// Memory in huge pages where they are to be had, untouched; NULL if there is none.
void *frame_reserve(uint64_t bytes);

#endif
