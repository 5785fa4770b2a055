/// The text form of one operation: its name, then one word per operand. The
/// grammar is in harness/README.md.
#ifndef OPS_TEXT_H
#define OPS_TEXT_H

#include "ops/ops.h"

#define OPS_LINE_BYTES 96u

/// Prints an operation, without a newline. Pre: !ops_fault(op)
void ops_print(char line[OPS_LINE_BYTES], const struct op *op);

/// Parses a line that holds an operation; a comment may follow it.
/// Returns NULL and sets *op, or what is wrong, in buf.
const char *ops_parse(const char *line, struct op *op, char *buf, size_t buf_bytes);

/// Is there nothing on this line but space and a comment?
bool ops_line_blank(const char *line);

#endif
