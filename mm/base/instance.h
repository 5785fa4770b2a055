/// One memory manager instance and its per-CPU blocks. Units hang their state
/// here by pointer, so that this floor needn't know them.
#ifndef KMM_BASE_INSTANCE_H
#define KMM_BASE_INSTANCE_H

#include <kmm/kmm.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "base/lock_ranks.h"

struct frame_state;
struct frame_cpu;
struct frame_entry;
struct object_state;
struct object_cpu;
struct pt_state;
struct pt_cpu;
struct vm_state;

/// Kinds of work that one CPU asks of others (base/call.h).
enum call_kind {
	CALL_SHOOTDOWN, /* answered even by a CPU that spins on a lock */
	CALL_DRAIN,     /* answered with interrupts on only */
	CALL_KIND_N
};

struct log_ring {
	uint64_t next; /* atomic */
	struct {
		uint64_t seq; /* atomic; line number + 1 once complete, 0 while written */
		char text[KMM_LOG_LINE_BYTES];
	} line[KMM_LOG_LINES];
};

/// One CPU's armed failures; lock: this CPU, interrupts off.
struct fail_cpu {
	uint32_t left[KMM_FAIL_CLASS_N]; /* attempts until failure, 0 = disarmed */
	bool armed, fired;
};

/// One CPU's waits for the locks of a rank; counters of this CPU, interrupts off.
struct lock_waits {
	uint64_t contended_n, waited_n; /* as in kmm/lock.h */
};

/// First member of kmm stays `port`: kmm_port_ctx relies on it.
struct kmm {
	void *port;
	const struct kmm_preset *preset;
	const struct kmm_pt_format *format;
	unsigned cpus_n;
	struct kmm_cpu *cpus; /* [cpus_n] */

	uintptr_t tags;            /* address of the tag of frame 0 (frame/entry.h), if that
	                              were in the table */
	struct frame_entry *entry; /* frame table; index = pfn - entry_base */
	uint64_t entry_base, entry_end;

	struct frame_state *frame;
	struct object_state *object;
	struct pt_state *pt;
	struct vm_state *vm;

	void (*call[CALL_KIND_N])(struct kmm *k); /* set at init */
	uint32_t fail_armed_n; /* atomic; CPUs with an armed failure */
	struct log_ring log;
};

/// One CPU's block. Only its CPU writes it, except `pending`.
struct kmm_cpu {
	struct kmm *kmm;
	unsigned id;
	uint32_t locks_held; /* one bit a lock rank */
	struct frame_cpu *frame;
	struct object_cpu *object;
	struct pt_cpu *pt;
	struct kmm_space *space; /* current; lock: this CPU, interrupts off */
	uint32_t pending;        /* atomic; one bit a call_kind */
	struct fail_cpu fail;
	struct lock_waits waits[LOCK_RANK_N]; /* last: touched only where a CPU waits anyway */
} __attribute__((aligned(64)));

/// Boot memory, handed out front to back while units initialise.
struct meta {
	char *at, *end;
};

/// Pre: align a power of two. Panics when kmm_meta_bytes promised too little.
void *meta_take(struct kmm *k, struct meta *m, uint64_t bytes, uint64_t align);

/// The same arithmetic for a size query: adds a piece to a running total.
static inline uint64_t meta_add(uint64_t total, uint64_t bytes, uint64_t align)
{
	return bits_align_up(total, align) + bytes;
}

/// Has any CPU a failure armed? Hot paths ask this first.
static inline bool fail_armed(const struct kmm *k)
{
	return KMM_CONFIG_FAIL && counter_read(&k->fail_armed_n) != 0;
}

/// Should this attempt fail by injection?
static inline bool fail_now(struct kmm *k, enum kmm_fail_class c)
{
#if KMM_CONFIG_FAIL
	bool fail_count_down(struct kmm *k, enum kmm_fail_class c);
	return fail_armed(k) && fail_count_down(k, c);
#else
	(void)k;
	(void)c;
	return false;
#endif
}

#endif
