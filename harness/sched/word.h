/// Memory by the word, in one piece, 1, 2, 4 or 8 bytes.
#ifndef SCHED_WORD_H
#define SCHED_WORD_H

#include <stdint.h>

static inline uint64_t word_peek(const volatile void *at, unsigned bytes)
{
	switch (bytes) {
	case 1:
		return __atomic_load_n((const volatile uint8_t *)at, __ATOMIC_RELAXED);
	case 2:
		return __atomic_load_n((const volatile uint16_t *)at, __ATOMIC_RELAXED);
	case 4:
		return __atomic_load_n((const volatile uint32_t *)at, __ATOMIC_RELAXED);
	default:
		return __atomic_load_n((const volatile uint64_t *)at, __ATOMIC_RELAXED);
	}
}

static inline void word_poke(volatile void *at, unsigned bytes, uint64_t value)
{
	switch (bytes) {
	case 1:
		__atomic_store_n((volatile uint8_t *)at, (uint8_t)value, __ATOMIC_RELAXED);
		break;
	case 2:
		__atomic_store_n((volatile uint16_t *)at, (uint16_t)value, __ATOMIC_RELAXED);
		break;
	case 4:
		__atomic_store_n((volatile uint32_t *)at, (uint32_t)value, __ATOMIC_RELAXED);
		break;
	default:
		__atomic_store_n((volatile uint64_t *)at, value, __ATOMIC_RELAXED);
		break;
	}
}

static inline uint64_t word_truncated(uint64_t value, unsigned bytes)
{
	return bytes >= 8 ? value : value & ((1ull << bytes * 8u) - 1u);
}

#endif
