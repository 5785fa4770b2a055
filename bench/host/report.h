/// Figures as they are measured: kept for the tables of this run, and printed as
/// measuring lines where they are asked for.
#ifndef REPORT_H
#define REPORT_H

#include "measure.h"

struct figure {
	char name[96], variant[48];
	double min, median;
	unsigned n;
	bool cut; /* the wall limit ended some slices early */
	char failed[96]; /* why there is no value; "" = there is one */
};

/// Whether report() prints "@run" lines; on at first.
void report_lines(bool on);

/// Sorts value[].
void report(const char *name, const char *unit, const char *variant, uint64_t seed, double *value,
	    unsigned n, bool cut);
void report_hist(const char *name, const char *variant, uint64_t seed, const struct hist *h);

/// A figure that could not be measured: a line on stderr, and a row that says so.
void report_failed(const char *name, const char *variant, const char *why);

/// The same where something is wrong, and isn't only slow: the program shall end with 1.
void report_wrong(const char *name, const char *variant, const char *why);
bool report_any_wrong(void);

/// The newest of that name; NULL if there is none.
const struct figure *report_find(const char *name, const char *variant);

/// Its median; a negative number if there is none.
double report_value(const char *name, const char *variant);

void sort_values(double *value, unsigned n);

/// Pre: sorted
double median_of(const double *value, unsigned n);

#endif
