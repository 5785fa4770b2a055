/// Measuring on the host: clocks, latency histograms, and the lines that carry
/// them to the store.
#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>
#include <stdint.h>

/// Log-linear histogram of nanoseconds: 16 linear bins an octave, 1 ns finest.
#define HIST_OCTAVES 40u
#define HIST_LINEAR 16u
struct hist {
	uint64_t n;
	uint64_t bin[HIST_OCTAVES * HIST_LINEAR];
};

void hist_add(struct hist *h, uint64_t ns);
void hist_merge(struct hist *into, const struct hist *from);
/// Lower bound of the bin that holds quantile q; -1 if fewer than 10 samples lie
/// beyond it.
double hist_quantile(const struct hist *h, double q);

uint64_t measure_ns(void);

/// Time that this thread has run, whoever else wanted the processor meanwhile.
uint64_t measure_thread_ns(void);

/// Starts the timestamp counter's calibration / gives ns per tick.
double measure_ns_per_tick(void);

/// Cost of one timestamp pair, which every single-operation latency contains.
double measure_timer_ns(void);

/// "@run FIGURE UNIT VARIANT SEED v…"
void measure_report(const char *figure, const char *unit, const char *variant, uint64_t seed,
		    const double *value, unsigned n);

/// FIGURE.p50, .p99, .p999 as runs of their own, the bins behind the first.
void measure_report_hist(const char *figure, const char *variant, uint64_t seed,
			 const struct hist *h);

#endif
