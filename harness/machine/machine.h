/// The simulated machine: physical memory, CPUs that take turns between operations or
/// run at once, an MMU over the real table bytes, and TLBs that keep what they hold
/// until it is invalidated. machine.c holds the theory.
#ifndef MACHINE_H
#define MACHINE_H

#include <setjmp.h>

#include <kmm/kmm.h>

#include "machine/crew.h"
#include "machine/mmu.h"
#include "machine/tlb.h"
#include "port/local.h"
#include "run/body.h"

#define MACHINE_QUEUE 256u    /* broadcast invalidations between two barriers */
#define MACHINE_UNSYNCED 64u  /* entry stores between two barriers; more are forgotten */
#define MACHINE_GAPS 2u
#define MACHINE_FRAMES_MIN 64u
/* Bits of the seed: a small zone for old devices; two nodes, a CPU in turn on each. */
#define MACHINE_DMA 64u
#define MACHINE_NODES 128u
#define MACHINE_SPINS_MAX (1u << 20)

struct machine_options {
	const struct kmm_preset *preset;
	const struct kmm_pt_format *format;
	unsigned cpus_n;
	uint64_t frames_n; /* usable */
	uint64_t seed;     /* the adversary's; MACHINE_DMA and MACHINE_NODES say more */
};

/// Counts since the start; what invalidation cost, and what it was for.
struct machine_stats {
	uint64_t pt_stores_n;
	uint64_t tlb_pages_n, tlb_alls_n, root_loads_n; /* issued */
	uint64_t tlb_useful_n;  /* of the first two: dropped an entry somewhere */
	uint64_t tlb_dropped_n; /* entries dropped, all causes */
	uint64_t ipis_n;
	uint64_t accesses_n, hits_n, fills_n, speculative_n, faults_n;
};

/// An invalidation that a barrier has yet to complete (broadcast only).
struct machine_pending {
	uint64_t va;
	bool all, tables;
	bool early; /* issued before the entry's store was ordered: it may refill */
};

/// A store that no barrier of its CPU has followed yet (broadcast only).
struct machine_unsynced {
	uint64_t *entry;
	uint64_t before; /* what stood there */
};

/// Frames of the arena that the memory map doesn't give out.
struct machine_gap {
	uint64_t first_pfn, end_pfn;
};

struct machine_cpu {
	uint64_t root; /* frame of the loaded root */
	bool loaded;
	struct tlb tlb;
	struct machine_pending queue[MACHINE_QUEUE];
	unsigned queue_n;
	struct machine_unsynced unsynced[MACHINE_UNSYNCED];
	unsigned unsynced_n;
	bool store_unordered; /* an entry store since its last barrier */
};

struct machine {
	struct machine_port port; /* first: what port/local.h sees */
	struct kmm *kmm;          /* NULL while it is being built */
	struct kmm_memmap memmap;
	struct kmm_topology topology;
	struct machine_options o;    /* o.preset points to the next */
	struct kmm_preset preset;
	struct mmu_memory mem;
	struct machine_gap gap[MACHINE_GAPS];
	char *meta;
	uint64_t meta_bytes;
	uint64_t meta_room, arena_room; /* bytes of the mappings; they outlive a reset */
	struct machine_cpu cpu[MACHINE_CPUS_MAX];
	struct crew crew;     /* what there is only while CPUs run at once */
	unsigned spins;       /* waits within this operation */
	uint64_t random, adversary;
	struct finding finding; /* the first one */
	bool dead;              /* kmm panicked: the instance must not be called again */
	bool armed;             /* escape is set */
	jmp_buf escape;
	struct machine_stats stats;
};

/// Builds machine and instance; CPU 0 runs. A machine that was used before keeps its
/// mappings and is reset; a fresh one must be all-zero.
/// Returns NULL, or one line that says what failed; it is a finding too if kmm did.
const char *machine_start(struct machine *m, const struct machine_options *o);

/// Releases the mappings.
void machine_free(struct machine *m);

/// Another CPU runs from now on.
void machine_switch(struct machine *m, unsigned cpu);

/// Runs fn with kmm's panic caught. Returns false if it panicked; the finding is set
/// and the instance dead.
bool machine_guard(struct machine *m, void (*fn)(void *ctx), void *ctx);

/// Records a finding, unless there is one already. While CPUs run at once the first
/// one ends the run, and this doesn't return.
void machine_find(struct machine *m, enum oracle oracle, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/// Nothing can go on in this operation: back to machine_guard, or out of the run.
_Noreturn void machine_escape(struct machine *m);

/// Someone outside kmm will write these bytes of physical memory.
void machine_touch(struct machine *m, const void *at, uint64_t bytes);

/// One user-mode access of 8 bytes by the current CPU, faults included.
/// Returns: RESULT_OK, RESULT_SEGV or RESULT_NOMEM; *word is read or written
enum op_result machine_access(struct machine *m, struct kmm_space *s, uint64_t va,
			      enum kmm_access access, uint64_t *word);

/// Translates as the current CPU would. Returns false on a fault.
bool machine_translate(struct machine *m, uint64_t va, enum kmm_access access, uint64_t *pa);

/// One CPU's walker looks at va. Returns whether it had to.
bool machine_look_at(struct machine *m, unsigned cpu, uint64_t va);

/// Each CPU with a root loaded looks at va, as hardware may at any time.
void machine_speculate(struct machine *m, uint64_t va);

/// Compares every CPU's TLB with the tables it translates by.
void machine_verify_tlbs(struct machine *m);

/// Nobody wrote to memory that the map doesn't give out. (Each gap is a few frames.)
void machine_verify_gaps(struct machine *m);

/// Usable memory, as the map that was handed to kmm says?
bool machine_usable(const struct machine *m, uint64_t pfn);

/// Is the frame free as far as kmm knows? Passes no point.
bool machine_frame_free(struct machine *m, uint64_t pfn);

/// A number for the adversary's choices.
uint64_t machine_choose(struct machine *m);

/// The machine that ran last on this thread; port functions that aren't told an
/// instance need it.
extern _Thread_local struct machine *machine_current;

/// A frame gets new contents: nobody may still translate to it (port.c, tlbs.c).
void machine_frame_rewritten(struct machine *m, const void *page);

#endif
