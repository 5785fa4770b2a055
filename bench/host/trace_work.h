/// Recorded allocation traces as workloads.
#ifndef TRACE_WORK_H
#define TRACE_WORK_H

#include "frame_work.h"

/// Reads a trace:
///     # comment
///     + ID ORDER    a block of 2^ORDER frames, from now on known as ID
///     - ID          the block goes back
/// ID is any decimal number that no live block has. What lives at the end is freed
/// there. Ends the program with status 2 and FILE:LINE if the file is no such thing.
/// Returns: a load "trace.NAME", NAME being the file's without folder and ending
const struct frame_load *trace_load(const char *path);

/// The traces of corpus/alloc, if that folder is there: the i-th, or NULL.
const struct frame_load *trace_corpus(unsigned i);

/// Writes what one slice of a load asks of kmm, its filling included, as a trace. n: operations
/// of the slice. Returns: the program's exit status
int trace_record(const struct frame_options *o, uint64_t n, const char *path);

#endif
