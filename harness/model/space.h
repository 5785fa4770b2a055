/// The model's address space: an array of pages per window.
#ifndef MODEL_SPACE_H
#define MODEL_SPACE_H

#include "ops/ops.h"

/* What a stamp is. Writes at the same time may leave a page with stamps of two. */
#define MODEL_ZERO 0u        /* never written; 1 + pattern: what that write stored */
#define MODEL_UNSURE 0xffffu /* one of several, and nobody could look (run/linear_words.c) */

struct model_page {
	bool mapped;
	bool head;    /* a region begins here */
	bool touched; /* a frame may stand behind it */
	uint8_t prot; /* with read implied */
	uint16_t content[OPS_STAMPS];
};

struct model_window {
	struct model_page page[OPS_WINDOW_PAGES];
};

struct model_space {
	struct model_window window[OPS_WINDOWS];
	unsigned break_pages;
};

/// A protection as every body understands it: write and execute imply read.
uint8_t model_prot(unsigned prot);

/// Changes of one window. `joins`: equal neighbours are one region.
void model_map(struct model_window *w, unsigned page, unsigned pages, uint8_t prot, bool joins);
void model_unmap(struct model_window *w, unsigned page, unsigned pages);
void model_protect(struct model_window *w, unsigned page, unsigned pages, uint8_t prot,
		   bool joins);

bool model_mapped(const struct model_window *w, unsigned page, unsigned pages);

/// May a user read or write this page?
bool model_may(const struct model_page *p, bool write);

/// Folds what a read of this page sees; an unsure stamp as if it were zero.
uint64_t model_page_fold(uint64_t digest, const struct model_page *p, unsigned window,
			 unsigned page);

/// A write of this pattern.
void model_page_fill(struct model_page *p, unsigned pattern);

/// Is any of its stamps unsure?
bool model_page_unsure(const struct model_page *p);

/// The word that a stamp of this content is. Pre: content != MODEL_UNSURE
uint64_t model_stamp(unsigned content, unsigned window, unsigned page, unsigned i);

unsigned model_regions(const struct model_window *w);

#endif
