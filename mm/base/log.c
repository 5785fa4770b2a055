/// The log ring.
///
/// A writer claims a line number with one atomic add, marks the slot as being
/// written (seq 0), fills it and publishes seq = number + 1. A reader accepts a
/// slot only if seq is the number it wants, before and after its copy:
///   I1  a line that kmm_log_line returns was complete and is the one asked for.
/// Two writers a whole ring apart may meet in one slot; the reader then sees a
/// seq that fits neither, and the line is lost, never mixed silently.
#include "base/format.h"
#include "base/instance.h"

void kmm_log(struct kmm *k, enum kmm_log_level level, const char *fmt, ...)
{
	uint64_t number = atomic_add_relaxed(&k->log.next, 1u);
	unsigned slot = number % KMM_LOG_LINES;
	char line[KMM_LOG_LINE_BYTES];
	va_list ap;

	va_start(ap, fmt);
	format_va(line, sizeof(line), fmt, ap);
	va_end(ap);

	atomic_store_relaxed(&k->log.line[slot].seq, 0u);
	atomic_fence_seq_cst();
	for (unsigned i = 0; i < KMM_LOG_LINE_BYTES; i++) {
		atomic_store_relaxed(&k->log.line[slot].text[i], line[i]);
		if (line[i] == '\0')
			break;
	}
	atomic_store_release(&k->log.line[slot].seq, number + 1u);
	kmm_port_log(k, (int)level, line);
}

bool kmm_log_line(struct kmm *k, unsigned i, char out[KMM_LOG_LINE_BYTES])
{
	uint64_t next = atomic_load_acquire(&k->log.next);
	uint64_t number = next - 1u - i;
	unsigned slot = number % KMM_LOG_LINES;

	if (i >= next || i >= KMM_LOG_LINES)
		return false;
	if (atomic_load_acquire(&k->log.line[slot].seq) != number + 1u)
		return false;
	for (unsigned c = 0; c < KMM_LOG_LINE_BYTES; c++)
		out[c] = atomic_load_relaxed(&k->log.line[slot].text[c]);
	out[KMM_LOG_LINE_BYTES - 1u] = '\0';
	atomic_fence_seq_cst();
	return atomic_load_relaxed(&k->log.line[slot].seq) == number + 1u;
}
