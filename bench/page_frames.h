/// The page's section on frames.
#ifndef PAGE_FRAMES_H
#define PAGE_FRAMES_H

#include "page.h"

bool page_frames(struct page *p);

/* Pieces of it. */

enum { PAGE_NAMES_MAX = 16, PAGE_NAME_BYTES = 64 };

struct page_names {
	char name[PAGE_NAMES_MAX][PAGE_NAME_BYTES];
	unsigned n;
};

/// The first column of a query, as far as it fits.
bool page_read_names(struct page *p, const char *sql, struct page_names *out);

/// The newest median; a negative number if there is none.
double page_value(struct page *p, const char *figure, const char *variant, const char *body);

/// A paragraph in a section's place.
bool page_missing(struct page *p, const char *what);

/// How many 2 MiB blocks are whole after churn, side by side.
bool page_antifrag(struct page *p);

/// Figures over memory, fill and threads: curves, slopes, cache misses.
bool page_growth(struct page *p);

#endif
