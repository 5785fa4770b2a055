/// Theil–Sen slopes, and intervals by the exact sign test. The test counts on which side
/// of the true median each of n independent rounds falls: n fair coins. The k-th smallest
/// and the k-th largest then bound it with confidence 1 - 2 P(fewer than k heads).
///
/// A fit's interval comes from rounds, each of which measures every point once and has a
/// slope of its own, and not from the points: drift between rounds moves all points of one
/// alike and leaves its slope, and where points don't lie on a line (a cache ends) that is
/// no lack of certainty.
#include "fit.h"

#include <stdint.h>
#include <string.h>

#include "report.h"

enum { PAIRS_MAX = FIT_POINTS_MAX * (FIT_POINTS_MAX - 1) / 2 };

#define LN2 0.69314718055994530942
#define TAIL 0.025

/// x = m * 2^e with m in [1, 2); ln m by the series of 2 artanh((m-1)/(m+1)).
double fit_ln(double x)
{
	uint64_t bits;
	int exponent;
	double z, square, term, sum = 0;

	memcpy(&bits, &x, sizeof(bits));
	exponent = (int)(bits >> 52 & 0x7ffu) - 1023;
	bits = (bits & 0xfffffffffffffull) | 1023ull << 52;
	memcpy(&x, &bits, sizeof(x));
	z = (x - 1) / (x + 1); /* at most 1/3: 20 terms leave 1e-20 */
	square = z * z;
	term = z;
	for (unsigned i = 1; i < 40; i += 2) {
		sum += term / i;
		term *= square;
	}
	return 2 * sum + exponent * LN2;
}

double fit_slope(const double *x, const double *y, unsigned n)
{
	double slope[PAIRS_MAX];
	unsigned pairs_n = 0;

	for (unsigned i = 0; i < n; i++)
		for (unsigned j = i + 1u; j < n; j++)
			slope[pairs_n++] = (y[j] - y[i]) / (x[j] - x[i]);
	sort_values(slope, pairs_n);
	return median_of(slope, pairs_n);
}

/// Largest k with P(fewer than k of n coins are heads) <= 2.5 %. Returns: that probability
static double tail(unsigned n, unsigned *k)
{
	double p = 1, sum = 0;

	for (unsigned i = 0; i < n; i++)
		p /= 2; /* all tails */
	for (*k = 0; *k <= n / 2u && sum + p <= TAIL; ++*k) {
		sum += p;
		p = p * (n - *k) / (*k + 1u);
	}
	return sum;
}

bool fit_ranks(unsigned n, unsigned *low, unsigned *high)
{
	unsigned k;

	(void)tail(n, &k);
	if (k == 0)
		return false;
	*low = k - 1u;
	*high = n - k;
	return true;
}

double fit_confidence(unsigned n)
{
	unsigned k;
	double sum = tail(n, &k);

	return k == 0 ? 0 : 1 - 2 * sum;
}

void fit_median(double *value, unsigned n, struct fit_median *out)
{
	unsigned low, high;

	memset(out, 0, sizeof(*out));
	sort_values(value, n);
	out->value = median_of(value, n);
	out->has_interval = fit_ranks(n, &low, &high);
	if (!out->has_interval)
		return;
	out->low = value[low];
	out->high = value[high];
}
