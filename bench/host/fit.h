/// Slopes of lines through few points.
#ifndef FIT_H
#define FIT_H

#include <stdbool.h>

enum { FIT_POINTS_MAX = 12 };

struct fit {
	double slope, low, high;
	double confidence; /* of the interval, at least 0.95 where has_interval */
	bool has_interval;
};

/// Natural logarithm. Pre: x > 0
double fit_ln(double x);

/// Slope of y over x by Theil and Sen: the median of the slopes of all pairs of points,
/// which one wild point doesn't move. The interval is Sen's, from the exact distribution
/// of Kendall's statistic; fewer than five points have none.
/// Pre: n <= FIT_POINTS_MAX, x ascending. Returns: false if n < 2
bool fit_slope(const double *x, const double *y, unsigned n, struct fit *f);

#endif
