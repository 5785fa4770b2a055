/// A workload: set up once, then run in slices of n operations. One row in the
/// table of main.c makes it appear in the store, the plots and the page.
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stdint.h>

#include "clock.h"
#include "measure.h"
#include "threads/threads.h"

struct workload;

struct work {
	const struct workload *load;
	struct threads_machine machine;
	const struct kmm_preset *preset;
	uint64_t seed;      /* random state, never 0 */
	struct hist *hist;  /* when set, single operations are timed into it */
	uint64_t frames_n;
	void **object;
	struct kmm_space *space;
	struct kmm_pt pt;
	struct kmm_pfn pfn;
	pthread_t other;    /* the CPU that a shootdown must reach */
	uint32_t other_state; /* atomic; enum of space_work.c */
	uint64_t cursor;    /* workload's own */
};

struct workload {
	const char *figure;
	const char *variant_needs; /* "": every preset; "user": presets with user space */
	uint64_t frames_n;         /* simulated memory */
	uint64_t slice_n, slices_n; /* operations a slice, slices (= samples) */
	uint64_t count_n;           /* operations under callgrind; 0 = not repeatable there */
	void (*setup)(struct work *w);
	void (*run)(struct work *w, uint64_t n);
	void (*teardown)(struct work *w);
};

extern const struct workload workloads[];

/* By unit: object_work.c, space_work.c. Frames have loads of their own: frame_work.h. */
void object_setup(struct work *w);
void object_teardown_slots(struct work *w);
void object_tight_64(struct work *w, uint64_t n);
void object_tight_1k(struct work *w, uint64_t n);
void object_batch_64(struct work *w, uint64_t n);
void object_replace(struct work *w, uint64_t n);

void pt_setup(struct work *w);
void pt_teardown_tree(struct work *w);
void pt_map_unmap(struct work *w, uint64_t n);
void shootdown_setup(struct work *w);
void shootdown_teardown(struct work *w);
void shootdown_unmap(struct work *w, uint64_t n);
void space_setup(struct work *w);
void space_setup_mapped(struct work *w);
void space_teardown(struct work *w);
void space_fault_write(struct work *w, uint64_t n);
void space_fault_read(struct work *w, uint64_t n);
void space_fork_exit(struct work *w, uint64_t n);
void space_map_unmap(struct work *w, uint64_t n);

/// What callgrind's --toggle-collect names: everything counted happens inside.
void bench_region(void (*region)(void *arg, uint64_t n), void *arg, uint64_t n);

/// Ends the program: a workload that fails has no figure.
_Noreturn void work_failed(const char *what);

/// xorshift64 (Marsaglia 2003); *seed is never 0.
static inline uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/// Uniform in 0..end-1 by the high half of a product: no division in a driver.
static inline uint64_t random_below(uint64_t *seed, uint64_t end)
{
	return (uint64_t)((unsigned __int128)random_next(seed) * end >> 64);
}

static inline void must(enum kmm_error e, const char *what)
{
	if (__builtin_expect(e != KMM_OK, 0))
		work_failed(what);
}

/// The timed step of a latency run; outside one it is only the step.
#define TIMED(w, step)                                                                    \
	do {                                                                              \
		if (__builtin_expect((w)->hist != NULL, 0)) {                             \
			uint64_t t_ = clock_ticks();                                      \
			step;                                                             \
			t_ = clock_ticks() - t_;                                          \
			hist_add((w)->hist, (uint64_t)((double)t_ * measure_ns_per_tick())); \
		} else {                                                                  \
			step;                                                             \
		}                                                                         \
	} while (0)

#endif
