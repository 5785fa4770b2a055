/// Bit tricks that never become a libgcc call on AArch64 without FP registers.
#ifndef KMM_BASE_BITS_H
#define KMM_BASE_BITS_H

#include <kmm/types.h>

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/// Index of the lowest set bit. Pre: x != 0
static inline unsigned bits_lowest(uint64_t x)
{
	return (unsigned)__builtin_ctzll(x);
}

/// Index of the highest set bit. Pre: x != 0
static inline unsigned bits_highest(uint64_t x)
{
	return 63u - (unsigned)__builtin_clzll(x);
}

/// Number of set bits (SWAR: popcount without hardware help is a libgcc call).
static inline unsigned bits_count(uint64_t x)
{
#ifdef __POPCNT__
	return (unsigned)__builtin_popcountll(x);
#endif
	x -= (x >> 1) & 0x5555555555555555ull;
	x = (x & 0x3333333333333333ull) + ((x >> 2) & 0x3333333333333333ull);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (unsigned)((x * 0x0101010101010101ull) >> 56);
}

/// The n lowest bits set. n in 0..64
static inline uint64_t bits_mask(unsigned n)
{
	return n >= 64u ? ~0ull : (1ull << n) - 1u;
}

/// Smallest l with 2^l >= x. Pre: x != 0
static inline unsigned bits_ceil_lg2(uint64_t x)
{
	return x <= 1u ? 0u : bits_highest(x - 1u) + 1u;
}

static inline uint64_t bits_align_up(uint64_t x, uint64_t align)
{
	return (x + align - 1u) & ~(align - 1u);
}

static inline uint64_t bits_align_down(uint64_t x, uint64_t align)
{
	return x & ~(align - 1u);
}

static inline bool bits_aligned(uint64_t x, uint64_t align)
{
	return (x & (align - 1u)) == 0;
}

#endif
