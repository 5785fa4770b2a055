/// The command line of pagemill-bench.
#ifndef OPTIONS_H
#define OPTIONS_H

#include "frame_work.h"

enum { OPTION_SIZES_MAX = 8 };

struct options {
	const char *filter;
	const struct variant *variant;   /* NULL: all that are run by default */
	const struct variant *versus[2];
	const char *table, *growth;      /* "frames" */
	const char *trace, *record_trace;
	const char *misses;              /* of this back end: "kmm", "lines" */
	uint64_t seed, ops_n;
	uint64_t limit_ns;               /* 0: the mode's own */
	unsigned rounds, inject; /* inject: percent */
	bool threads[FRAME_THREADS_MAX]; /* [i]: i + 1 threads */
	uint64_t frames_n[OPTION_SIZES_MAX];
	unsigned sizes_n;
	bool sizes_given;
	bool count, list, record, fail_on_slower, all;
};

/// Ends the program with status 2 if it doesn't understand.
struct options options_parse(int argc, char **argv);

/// Says what is wrong and how it is used; status 2.
_Noreturn void options_usage(const char *wrong);

#endif
