/// What happens when memory runs low (theory in pressure.c).
#ifndef KMM_FRAME_PRESSURE_H
#define KMM_FRAME_PRESSURE_H

#include "frame/state.h"

/// Can waiting for others bring an allocation anything? A hint. Pre: interrupts off
bool pressure_relievable(struct kmm *k);

/// Makes frames free by all that may wait. After each step `again` tries anew; it returns
/// true when nothing more is needed.
/// Pre: interrupts on, no lock held
void pressure_relieve(struct kmm *k, unsigned order, bool (*again)(struct kmm *k, void *ctx),
		      void *ctx);

/// Counts an allocation that found too little, on whatever CPU this is by now.
void pressure_failed(struct kmm *k);

#endif
