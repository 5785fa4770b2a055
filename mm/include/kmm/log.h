/// A ring of log lines in memory: what was said survives a lost console.
#ifndef KMM_LOG_H
#define KMM_LOG_H

#include <kmm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum kmm_log_level { KMM_LOG_ERROR, KMM_LOG_WARN, KMM_LOG_INFO, KMM_LOG_DEBUG };

#define KMM_LOG_LINE_BYTES 120u
#define KMM_LOG_LINES 64u

/// Formats into the ring and hands the line to the port.
/// Knows: %s %c %d %u %x with l, ll or z, %p, %%, and a width with 0 padding.
/// Locks: none; safe in any context. A line too long is cut.
void kmm_log(struct kmm *k, enum kmm_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/// Copies the i-th newest line (0 = newest) into out. Returns false past the
/// oldest, or if it was overwritten meanwhile.
bool kmm_log_line(struct kmm *k, unsigned i, char out[KMM_LOG_LINE_BYTES]);

/// The same small formatter on its own. Returns: length written, without the 0.
size_t kmm_format(char *out, size_t bytes, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#ifdef __cplusplus
}
#endif
#endif
