/// Measuring frame loads.
#ifndef FRAME_METER_H
#define FRAME_METER_H

#include "frame_work.h"
#include "report.h"
#include "variant.h"

/// "frame.LOAD[.SIZE][.t2]": SIZE only if it isn't 4 GiB, t2 for two threads.
void frame_figure(char *name, size_t bytes, const struct frame_options *o, const char *load);

/// "64m", "4g", "1t".
void frame_size_text(char *text, size_t bytes, uint64_t frames_n);

/// Runs all slices and reports them under that name (frame_figure's, if NULL). Parts are
/// suffixes; of get and put the name alone is the pair. With two threads ".waits" is how
/// often a lock was found taken in a thousand operations. Bare back ends report as the
/// variant named as they are.
void frame_measure(const struct frame_options *o, const char *name);

/// The same of one load for several variants: they take turns, slice by slice, so that a
/// machine that is slower for a while is so for all. Not where a second thread would spin
/// beside them, nor where memory is too large. Pre: n <= VARIANTS_MAX
void frame_measure_turns(const struct frame_options o[], unsigned n);

/// Bytes of metadata a frame, "frame.meta.*", and the time that kmm_init takes,
/// "frame.init*".
void frame_measure_boot(const struct frame_options *o);

/// CAS, atomic add and timer: "floor.cas", "floor.add", "timer.pair".
void frame_measure_floor(uint64_t seed);

#endif
