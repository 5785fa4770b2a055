/// Frames that follow each other in an array of frame numbers, as what a batch call claims
/// from unfragmented memory does, and their tags, touched a word at a time.
#ifndef KMM_FRAME_RUN_H
#define KMM_FRAME_RUN_H

#include "frame/entry.h"

#define RUN_EIGHT 8u /* tags that are one aligned word */

/// How many of pfn[0..n), n != 0, follow each other from the first on, each by `step` (1, or
/// ~0 for downwards) from the one before. Compared eight a turn.
static inline unsigned run_length(const struct kmm_pfn *pfn, unsigned n, uint64_t step)
{
	const struct kmm_pfn *at = pfn, *end = pfn + n;
	uint64_t next = pfn[0].n, differ;

	for (; end - at >= 8; at += 8, next += 8u * step) {
		differ = 0;
#pragma GCC unroll 8
		for (unsigned i = 0; i < 8u; i++)
			differ |= at[i].n ^ (next + i * step);
		if (differ != 0)
			break;
	}
	for (; at < end && at->n == next; next += step)
		at++;
	return (unsigned)(at - pfn);
}

/// The word of eight tags that are alike.
static inline uint64_t run_tag_eight(unsigned tag)
{
	return tag * 0x0101010101010101ull;
}

/// frame_tag_set for pfn[0..n).
static inline void run_tags_set(struct kmm *k, const struct kmm_pfn *pfn, unsigned n, unsigned tag)
{
	uintptr_t tags = k->tags; /* a byte's store may change anything, says C */

	while (n != 0) {
		unsigned len = run_length(pfn, n, 1u);
		uintptr_t at = tags + pfn[0].n, end = at + len;

		for (; at < end && at % RUN_EIGHT != 0; at++)
			atomic_store_relaxed((uint8_t *)at, (uint8_t)tag);
		for (; end - at >= RUN_EIGHT; at += RUN_EIGHT)
			atomic_store_eight_relaxed((uint8_t *)at, run_tag_eight(tag));
		for (; at < end; at++)
			atomic_store_relaxed((uint8_t *)at, (uint8_t)tag);
		pfn += len;
		n -= len;
	}
}

/// Sets the tags of n frames from pfn on to FRAME_NONE, up to the first that isn't the head
/// of an allocated plain single frame. Returns: how many
static inline unsigned run_tags_free(uintptr_t tags, struct kmm_pfn pfn, unsigned n)
{
	uintptr_t begin = tags + pfn.n, at = begin, end = at + n;

	while (at < end) {
		if (at % RUN_EIGHT == 0 && end - at >= RUN_EIGHT) {
			uint64_t is = atomic_load_eight_relaxed((uint8_t *)at);

			if (is == run_tag_eight(FRAME_USED) || is == run_tag_eight(FRAME_MOVABLE)) {
				atomic_store_eight_relaxed((uint8_t *)at, run_tag_eight(FRAME_NONE));
				at += RUN_EIGHT;
				continue;
			}
		}
		if (atomic_load_relaxed((uint8_t *)at) != FRAME_USED &&
		    atomic_load_relaxed((uint8_t *)at) != FRAME_MOVABLE)
			break;
		atomic_store_relaxed((uint8_t *)at++, FRAME_NONE);
	}
	return (unsigned)(at - begin);
}

#endif
