/// The sim body's inside: for its own files, for tests, and for planting faults in
/// the machine.
#ifndef BODY_SIM_H
#define BODY_SIM_H

#include "machine/ledger.h"

struct sim_section;

struct body {
	struct machine m;
	struct performer p;
	struct ledger l;
	uint64_t digest;
	bool digest_valid;           /* it is of the state before the last operation */
	bool was_thorough;           /* the last verification */
	struct sim_section *section; /* while CPUs run at once; else NULL (section.c) */
};

extern const struct perform_ways sim_ways; /* ways.c */

/// As body_class.flip: one bit of a live leaf entry's bytes, or of a page's stamps.
bool sim_flip(struct body *b, enum body_flip what, uint64_t nth);

struct machine *sim_machine(struct body *b);
struct performer *sim_performer(struct body *b);
struct ledger *sim_ledger(struct body *b);

/// After a write of one word at va, before which the tables named frame `was` (0: none):
/// if another frame stands there now, everything else of the page came with it. (A
/// trace's write goes on to overwrite all stamps, and with them the proof.)
void sim_verify_copied(struct machine *m, uint64_t va, uint64_t was);

/// The kernel's own way to one word of user memory: here and there it writes in the
/// user's place, and reads after the user has read. Return whether it did.
bool sim_kernel_writes(struct body *b, bool fail_armed, struct kmm_space *s, uint64_t va,
		       const uint64_t *word);
bool sim_kernel_reads_here(uint64_t va);
bool sim_kernel_reads(struct body *b, struct kmm_space *s, uint64_t va, uint64_t *word);

/// As body_class.together.
void sim_together(struct body *b, const struct section *s, struct ops_names *names,
		  struct sched *run, struct sched_strategy *strategy, struct history *h);

/// One access of user memory within a section: an event of its history.
enum op_result sim_section_access(struct sim_section *x, struct kmm_space *s, uint64_t va,
				  enum kmm_access access, uint64_t *word);

#endif
