/// Theil–Sen slopes. If y doesn't depend on x, each order of the n values is equally
/// likely, so the number of discordant pairs has the distribution of the inversions of a
/// random permutation. The slopes of rank r and N+1-r then bound the true slope with
/// confidence 1 - 2 P(inversions < r) (Sen 1968).
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

/// P(a random permutation of n has i inversions), for all i.
static void inversions(unsigned n, double *p)
{
	double was[PAIRS_MAX + 1];

	memset(p, 0, (PAIRS_MAX + 1) * sizeof(*p));
	p[0] = 1;
	for (unsigned m = 2; m <= n; m++) {
		memcpy(was, p, sizeof(was));
		for (unsigned i = 0; i <= PAIRS_MAX; i++) {
			p[i] = 0;
			for (unsigned j = 0; j < m && j <= i; j++)
				p[i] += was[i - j] / m;
		}
	}
}

static void interval(struct fit *f, const double *slope, unsigned pairs_n, unsigned n)
{
	double p[PAIRS_MAX + 1], below = 0;
	unsigned rank = 0;

	inversions(n, p);
	while (rank < pairs_n / 2u && below + p[rank] <= TAIL)
		below += p[rank++];
	f->has_interval = rank > 0;
	if (rank == 0)
		return;
	f->confidence = 1 - 2 * below;
	f->low = slope[rank - 1u];
	f->high = slope[pairs_n - rank];
}

bool fit_slope(const double *x, const double *y, unsigned n, struct fit *f)
{
	double slope[PAIRS_MAX];
	unsigned pairs_n = 0;

	memset(f, 0, sizeof(*f));
	if (n < 2 || n > FIT_POINTS_MAX)
		return false;
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = i + 1u; j < n; j++)
			slope[pairs_n++] = (y[j] - y[i]) / (x[j] - x[i]);
	sort_values(slope, pairs_n);
	f->slope = median_of(slope, pairs_n);
	interval(f, slope, pairs_n, n);
	return true;
}
