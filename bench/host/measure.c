/// Wall time comes from CLOCK_MONOTONIC; single operations from the timestamp
/// counter, whose own cost is reported as the figure `timer.pair` rather than
/// subtracted. Bins follow HdrHistogram's idea: relative error at most 1/16.
#include "measure.h"

#include <stdio.h>
#include <time.h>

#include "clock.h"
#include "workload.h"

static unsigned bin_of(uint64_t ns)
{
	unsigned octave;

	if (ns < HIST_LINEAR)
		return (unsigned)ns;
	octave = 63u - (unsigned)__builtin_clzll(ns) - 3u; /* ns >> octave-1 in 16..31 */
	if (octave >= HIST_OCTAVES)
		return HIST_OCTAVES * HIST_LINEAR - 1u;
	return octave * HIST_LINEAR + (unsigned)((ns >> (octave - 1u)) - HIST_LINEAR);
}

static uint64_t bin_low(unsigned bin)
{
	unsigned octave = bin / HIST_LINEAR;

	if (octave == 0)
		return bin;
	return (uint64_t)(HIST_LINEAR + bin % HIST_LINEAR) << (octave - 1u);
}

void hist_add(struct hist *h, uint64_t ns)
{
	h->bin[bin_of(ns)]++;
	h->n++;
}

void hist_merge(struct hist *into, const struct hist *from)
{
	for (unsigned b = 0; b < HIST_OCTAVES * HIST_LINEAR; b++)
		into->bin[b] += from->bin[b];
	into->n += from->n;
}

double hist_quantile(const struct hist *h, double q)
{
	uint64_t beyond = (uint64_t)((1.0 - q) * (double)h->n + 0.5);
	uint64_t seen = 0;

	if (beyond < 10)
		return -1.0;
	for (unsigned b = HIST_OCTAVES * HIST_LINEAR; b-- > 0;) {
		seen += h->bin[b];
		if (seen >= beyond)
			return (double)bin_low(b);
	}
	return 0.0;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint64_t measure_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t measure_thread_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

double measure_ns_per_tick(void)
{
	static double ns_per_tick; /* calibrated once, before threads start */

	if (ns_per_tick == 0.0) {
		uint64_t ns = measure_ns(), ticks = clock_ticks();

		while (measure_ns() - ns < 20000000ull)
			;
		ns_per_tick = (double)(measure_ns() - ns) / (double)(clock_ticks() - ticks);
	}
	return ns_per_tick;
}

/// The least of several means: a round in which the processor was taken away says nothing.
double measure_timer_ns(void)
{
	enum { ROUNDS = 10, PAIRS = 10000 };
	uint64_t least = UINT64_MAX;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < PAIRS; i++) {
			uint64_t t = clock_ticks();

			sum += clock_ticks() - t;
		}
		least = sum < least ? sum : least;
	}
	return (double)least / PAIRS * measure_ns_per_tick();
}

void measure_report(const char *figure, const char *unit, const char *variant, uint64_t seed,
		    const double *value, unsigned n)
{
	printf("@run %s %s %s %llu", figure, unit, variant, (unsigned long long)seed);
	for (unsigned i = 0; i < n; i++)
		printf(" %.4f", value[i]);
	printf("\n");
	fflush(stdout);
}

static void report_bins(const struct hist *h)
{
	for (unsigned b = 0; b < HIST_OCTAVES * HIST_LINEAR; b++)
		if (h->bin[b])
			printf("@bin %llu %llu %llu\n", (unsigned long long)bin_low(b),
			       (unsigned long long)bin_low(b + 1u), (unsigned long long)h->bin[b]);
	fflush(stdout);
}

void measure_report_hist(const char *figure, const char *variant, uint64_t seed,
			 const struct hist *h)
{
	static const struct {
		const char *suffix;
		double q;
	} quantile[] = { { "p50", 0.5 }, { "p99", 0.99 }, { "p999", 0.999 } };
	char name[96];

	if (h->n == 0)
		return; /* a workload whose single steps mean nothing */
	for (unsigned i = 0; i < sizeof(quantile) / sizeof(quantile[0]); i++) {
		double value = hist_quantile(h, quantile[i].q);

		if (value < 0)
			continue;
		snprintf(name, sizeof(name), "%s.%s", figure, quantile[i].suffix);
		measure_report(name, "ns", variant, seed, &value, 1);
		if (i == 0)
			report_bins(h);
	}
}

__attribute__((noinline)) void bench_region(void (*region)(void *arg, uint64_t n), void *arg,
					    uint64_t n)
{
	region(arg, n);
	__asm__ volatile("" ::: "memory");
}
