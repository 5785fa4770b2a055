/// Trace files, text or binary.
#ifndef OPS_FILE_H
#define OPS_FILE_H

#include "ops/ops.h"

#define OPS_FILE_MAX (1u << 24) /* operations; more is refused */

struct ops_trace {
	struct op *ops;
	uint32_t ops_n;
};

/// Loads a file of either form, told apart by its first bytes. "-" is the standard
/// input. Owns: the caller frees t->ops.
/// Returns NULL, or one line "FILE:LINE: what" in why; *t is then empty.
const char *ops_load(const char *path, struct ops_trace *t, char *why, size_t why_bytes);

/// As ops_load, of bytes in memory. `name` is said in complaints.
const char *ops_load_bytes(const char *name, const void *bytes, size_t bytes_n,
			   struct ops_trace *t, char *why, size_t why_bytes);

enum ops_form { OPS_TEXT, OPS_BINARY };

/// Saves a trace; "-" is the standard output. A text file begins with the lines of
/// `comment` (may be NULL), each after a '#'. The file appears whole or not at all.
/// Returns NULL, or what went wrong in why.
const char *ops_save(const char *path, const struct op *ops, uint32_t ops_n,
		     enum ops_form form, const char *comment, char *why, size_t why_bytes);

#endif
