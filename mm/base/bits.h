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

/// Bits of x at which a run of 2^order set bits begins, aligned to its size. order <= 6
static inline uint64_t bits_runs(uint64_t x, unsigned order)
{
	static const uint64_t aligned[7] = {
		0xffffffffffffffffull, 0x5555555555555555ull, 0x1111111111111111ull,
		0x0101010101010101ull, 0x0001000100010001ull, 0x0000000100000001ull,
		0x0000000000000001ull,
	};

	for (unsigned have = 1; have < 1u << order; have <<= 1)
		x &= x >> have;
	return x & aligned[order];
}

/// The n lowest bits set. n in 0..64
static inline uint64_t bits_mask(unsigned n)
{
	return n >= 64u ? ~0ull : (1ull << n) - 1u;
}

/// The n lowest bits set in x. At once where they follow each other.
static inline uint64_t bits_first(uint64_t x, unsigned n)
{
	uint64_t rest = x;
	unsigned low;

	if (bits_count(x) <= n)
		return x;
	low = bits_lowest(x);
	if (~(x >> low) == 0 || bits_lowest(~(x >> low)) >= n)
		return bits_mask(n) << low;
	while (n-- != 0 && rest != 0)
		rest &= rest - 1u;
	return x ^ rest;
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
