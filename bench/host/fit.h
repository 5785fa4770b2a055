/// Slopes through few points, and how sure a median of rounds is.
#ifndef FIT_H
#define FIT_H

#include <stdbool.h>

enum { FIT_POINTS_MAX = 12 };

/// Natural logarithm. Pre: x > 0
double fit_ln(double x);

/// Slope of y over x by Theil and Sen: the median of the slopes of all pairs of points,
/// which one wild point doesn't move.
/// Pre: 2 <= n <= FIT_POINTS_MAX, x ascending
double fit_slope(const double *x, const double *y, unsigned n);

/// Ranks (from 0) of the order statistics that bound a median with at least 95 %
/// confidence by the sign test, which asks nothing of the distribution; false if n is too
/// small for that (below 6). n beyond 1000 isn't foreseen.
bool fit_ranks(unsigned n, unsigned *low, unsigned *high);

struct fit_median {
	double value, low, high;
	bool has_interval;
};

/// Median of what independent rounds gave, and its interval by fit_ranks. Sorts value[].
/// Pre: n >= 1
void fit_median(double *value, unsigned n, struct fit_median *out);

/// Confidence of that interval; 0 where n has none.
double fit_confidence(unsigned n);

#endif
