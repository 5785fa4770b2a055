/// The harness's own random numbers: SplitMix64, so that a seed means the same on
/// every machine and with every C library.
#ifndef OPS_RNG_H
#define OPS_RNG_H

#include <stdint.h>

struct ops_rng {
	uint64_t state;
};

static inline uint64_t ops_rng_next(struct ops_rng *r)
{
	uint64_t x = r->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/// A number in 0..end-1. Pre: end > 0. (The bias of the modulo is below 2^-32.)
static inline uint32_t ops_rng_below(struct ops_rng *r, uint32_t end)
{
	return (uint32_t)((ops_rng_next(r) >> 32) % end);
}

#endif
