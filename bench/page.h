/// The report: one self-contained HTML page made from the store.
#ifndef PAGE_H
#define PAGE_H

#include <stdio.h>

#include "store.h"

struct page {
	FILE *out;
	struct store *store;
	const char *templates; /* folder of plot and style templates */
	const char *reference; /* TSV of the rival's figures */
	char work[64];         /* temporary folder for plot data */
	char error[STORE_ERROR_BYTES];
};

/// Text with <, >, & and quotes escaped.
void page_text(struct page *p, const char *text);

/// A table of a query's rows. `head` is "left|right|…"; a cell whose text begins
/// with "+", "!" or "~" is shown as good, bad or a warning (the mark is dropped).
/// Returns rows, or -1 with p->error set.
int page_table(struct page *p, const char *head, const char *sql);

/// One value of a query as a number; fallback if there is no row.
double page_number(struct page *p, const char *sql, double fallback);

/* Sections, in page.c's order. Each returns false with p->error set. */
bool page_verdict(struct page *p);
bool page_changes(struct page *p);
bool page_variants(struct page *p);
bool page_kernels(struct page *p);
bool page_latency(struct page *p);
bool page_fuzz(struct page *p);
bool page_environment(struct page *p);

/// Runs gnuplot on a template with this data file and inlines the picture.
/// `settings` are further assignments, each ended by ";".
bool page_plot(struct page *p, const char *name, const char *data, const char *settings,
	       const char *caption);

/// A file for plot data in the work folder; its path is put into path.
FILE *page_data(struct page *p, const char *name, char *path, size_t path_bytes);

#endif
