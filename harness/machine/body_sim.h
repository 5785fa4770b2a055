/// The sim body's inside, for tests and for planting faults in the machine.
#ifndef BODY_SIM_H
#define BODY_SIM_H

#include "machine/ledger.h"

/// As body_class.flip: one bit of a live leaf entry's bytes, or of a page's stamps.
bool sim_flip(struct body *b, enum body_flip what, uint64_t nth);

struct machine *sim_machine(struct body *b);
struct performer *sim_performer(struct body *b);
struct ledger *sim_ledger(struct body *b);

/// After a write of one word at va, before which the tables named frame `was` (0: none):
/// if another frame stands there now, everything else of the page came with it. (A
/// trace's write goes on to overwrite all stamps, and with them the proof.)
void sim_verify_copied(struct machine *m, uint64_t va, uint64_t was);

#endif
