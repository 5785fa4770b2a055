/// What the frame figures are held against.
#ifndef FRAME_TARGETS_H
#define FRAME_TARGETS_H

#include <stdbool.h>

struct frame_target {
	const char *row;         /* as the table names it */
	const char *figure;      /* without "frame."; for two threads ".t2" comes behind */
	const char *rival[2];    /* LLFree's, published or measured, by threads */
	const char *must;        /* as text */
	double limit[2];         /* the same by threads; negative: nothing is asked */
	bool at_least;           /* more is better */
	bool timed;              /* contains the cost of a pair of timestamps */
};

extern const struct frame_target frame_targets[];

/// A size against 4 GiB: the ratio must lie below this.
#define FRAME_SIZE_RATIO_MAX 1.05

/// Cost of a CAS on the machine that the targets were measured on, in ns.
#define FRAME_TARGETS_CAS_NS 4.5

#endif
