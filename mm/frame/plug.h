/// Memory that comes and goes (theory in plug.c).
#ifndef KMM_FRAME_PLUG_H
#define KMM_FRAME_PLUG_H

#include "frame/state.h"

/// Notes which frames are memory, and tags those that aren't there yet.
void plug_init(struct kmm *k, const struct kmm_memmap *m);

/// Frames that are memory, there or not.
uint64_t plug_memory_n(struct kmm *k);

#endif
