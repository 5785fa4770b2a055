/// Two variants, or one under two conditions, compared in alternating slices.
#ifndef VERSUS_H
#define VERSUS_H

#include "frame_meter.h"

enum { VERSUS_ROUNDS = 20, VERSUS_ROUNDS_MIN = 6, VERSUS_ROUNDS_MAX = 400 };

struct versus_result {
	double ratio, low, high; /* B's time over A's: median and its 95 % interval */
	unsigned rounds_n;
	double a_ns;             /* A's median, ns an operation */
};

/// Blocks AB or BA, in an order drawn from the seed. Reports the rounds' ratios as
/// "versus.frame.LOAD.SUFFIX" of A's variant, and ".low" and ".high" behind it.
/// Returns: false if either can't be measured (reported)
bool versus_pair(const struct frame_options *a, const struct frame_options *b, unsigned rounds,
		 const char *suffix, struct versus_result *result);

/// An interval's bound as reported.
double versus_bound(const char *name, const char *variant, const char *which);

struct versus_options {
	const struct variant *b;
	unsigned rounds;
	double injected;     /* share by which B's times are lengthened, to try the verdict */
	bool fail_on_slower; /* exit status 3 */
};

/// Compares B with A, and A with itself for the noise floor; prints a verdict.
/// Returns: the program's exit status
int versus(const struct frame_options *a, const struct versus_options *o);

#endif
