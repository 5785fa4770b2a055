/// Verdicts on frames: small programs over kmm's public interface, each of which tries one
/// promise of the frame unit and says whether it holds. They are freestanding, so the same
/// text runs in both kernels (run=stress) and on host threads (pagemill-verdict).
#ifndef VERDICT_H
#define VERDICT_H

#include <kmm/kmm.h>

#define VERDICT_CPUS_MAX 16u

/// Who runs them: an instance, and what its embedder knows.
struct verdict_body {
	struct kmm *k;
	unsigned cpus_n;                     /* 1..VERDICT_CPUS_MAX; CPU 0 calls */
	const char *preset;                  /* as it was asked for: "pagemill+buddy" */
	const struct kmm_memmap *memmap;     /* what kmm_init was given */
	const struct kmm_topology *topology; /* the same; NULL: one node */
	/// Prints one line, without its newline.
	void (*line)(const char *text);
	/// Has every CPU call work(ctx, its number), all at the same time. Returns when all
	/// have returned and use the instance no more.
	void (*on_cpus)(struct verdict_body *b, void (*work)(void *ctx, unsigned cpu), void *ctx);
};

/// Runs all programs, each of which prints "@verdict frame.NAME ok FIGURES" or "@verdict
/// frame.NAME failed WHY". Each must leave kmm_frame_check content and as many frames
/// free as before.
/// Pre: interrupts on; nothing else allocates
/// Returns: how many failed
unsigned verdict_run_all(struct verdict_body *b);

#endif
