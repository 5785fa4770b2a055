/// The ledger: who owns each frame, found by looking at the machine rather than by
/// asking kmm.
#ifndef LEDGER_H
#define LEDGER_H

#include "machine/machine.h"
#include "machine/perform.h"

struct ledger_frame {
	uint32_t mapped_n;  /* leaves that name it, hidden ones too */
	uint8_t writable_n; /* of these, writable; saturates */
	uint8_t owner;      /* enum ledger_owner */
};

enum ledger_owner { LEDGER_NOBODY, LEDGER_SLOT, LEDGER_TABLE, LEDGER_MAPPED };

struct ledger {
	struct machine *m;
	struct performer *p;
	struct ledger_frame *frame; /* [m->mem.frames_n] */
	uint64_t room_n;
	uint64_t owned_n;           /* distinct frames with an owner */
	uint64_t base_n;            /* allocated frames that no rule accounts for, at start */
	uint64_t zero_pfn;          /* the shared zero frame; 0: there is none */
};

/// Makes the ledger of a machine; called right after perform_start, when nothing is
/// mapped. A ledger that was used before keeps its memory. Returns false without
/// memory.
bool ledger_start(struct ledger *l, struct machine *m, struct performer *p);
void ledger_free(struct ledger *l);

/// Takes stock and holds it against the rules (ledger.c). Findings go to the machine.
void ledger_verify(struct ledger *l);

/// A digest of what user code could find out: regions, and which page is backed by
/// which frame. Rights of leaves and accessed bits aren't in it.
uint64_t ledger_digest(struct ledger *l);

/// Calls fn for every live leaf entry of all spaces, hidden ones too.
struct ledger_leaf {
	unsigned space, level;
	uint64_t va;
	uint64_t *entry;
	struct mmu_entry e;
	uint8_t perms; /* with those of the tables above */
};
void ledger_leaves(struct ledger *l, bool (*fn)(void *ctx, const struct ledger_leaf *leaf),
		   void *ctx);

#endif
