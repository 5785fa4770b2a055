/// The sim body's inside, for tests and for planting faults in the machine.
#ifndef BODY_SIM_H
#define BODY_SIM_H

#include "machine/ledger.h"

/// As body_class.flip: one bit of a live leaf entry's bytes, or of a page's stamps.
bool sim_flip(struct body *b, enum body_flip what, uint64_t nth);

struct machine *sim_machine(struct body *b);
struct performer *sim_performer(struct body *b);
struct ledger *sim_ledger(struct body *b);

#endif
