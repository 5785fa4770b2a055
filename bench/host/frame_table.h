/// The table of frame figures against their targets.
#ifndef FRAME_TABLE_H
#define FRAME_TABLE_H

#include "frame_meter.h"

/// Measures everything for the variant of `base` and prints the table.
void frame_table(const struct frame_options *base);

/// Figures over memory size, fill and threads, with fitted slopes.
void frame_growth(const struct frame_options *base);

#endif
