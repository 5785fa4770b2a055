/// What "flat" means of a cost that is fitted over an axis; shared by the bench that
/// measures and the page that shows.
#ifndef GROWTH_H
#define GROWTH_H

#include <stdbool.h>
#include <string.h>

/// Flat is what changes by less than this over the whole axis, either way.
#define GROWTH_FLAT 1.10
#define GROWTH_FLAT_LN 0.09531017980432493

struct growth_axis {
	const char *name;
	double span_ln; /* ln of the last x over the first: a slope times it is the change's ln */
};

static const struct growth_axis growth_axes[] = {
	{ "memory", 9.704060527839234 }, /* 64 MiB to 1 TiB */
	{ "fill", 6.907755278982137 },   /* 1 / (free share): 1 to 1000 */
	{ "threads", 0.6931471805599453 },
};

/// NULL if there is none of that name.
static inline const struct growth_axis *growth_axis_find(const char *name)
{
	for (unsigned i = 0; i < sizeof(growth_axes) / sizeof(growth_axes[0]); i++)
		if (strcmp(growth_axes[i].name, name) == 0)
			return &growth_axes[i];
	return NULL;
}

enum growth_verdict { GROWTH_IS_FLAT, GROWTH_NOT_FLAT, GROWTH_CANT_TELL };

struct growth_interval {
	double low, high;
};

/// Both the slope on log-log scales and the ratio of the axis' ends have a say: flat if
/// the intervals of both lie inside the margin, not flat if that of either lies wholly
/// outside. An interval that has the margin in it tells nothing. span_ln is that of the points
/// that were fitted, an axis' own if none is missing.
static inline enum growth_verdict growth_judge(double span_ln, const struct growth_interval *slope,
					       const struct growth_interval *ends)
{
	double low = slope->low * span_ln, high = slope->high * span_ln;

	if (low > GROWTH_FLAT_LN || high < -GROWTH_FLAT_LN || ends->low > GROWTH_FLAT ||
	    ends->high < 1 / GROWTH_FLAT)
		return GROWTH_NOT_FLAT;
	if (low >= -GROWTH_FLAT_LN && high <= GROWTH_FLAT_LN && ends->low >= 1 / GROWTH_FLAT &&
	    ends->high <= GROWTH_FLAT)
		return GROWTH_IS_FLAT;
	return GROWTH_CANT_TELL;
}

static inline const char *growth_word(enum growth_verdict v)
{
	static const char *const words[] = { "flat", "not flat", "can't tell" };

	return words[v];
}

#endif
