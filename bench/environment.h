/// What a measurement depends on besides the code: machine, toolchain, revision.
#ifndef ENVIRONMENT_H
#define ENVIRONMENT_H

#include <stdbool.h>
#include <stdint.h>

struct environment {
	char cpu[128], kernel[128];
	int cores;
	uint64_t memory_bytes;
	char compiler[128], flags[256], qemu[128], valgrind[64];
	char revision[64];
	bool dirty;
};

/// Reads all of it; what can't be had reads "none".
void environment_read(struct environment *e);

#endif
