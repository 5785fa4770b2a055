/// Size classes: 16, 32, then two to each doubling, up to 16 KiB.
#ifndef KMM_OBJECT_KMALLOC_H
#define KMM_OBJECT_KMALLOC_H

#include "object/magazine.h"

#define LARGE_MAX_BYTES (4ull << 20)

/// Pre: 0 < bytes <= KMALLOC_MAX_BYTES
static inline unsigned kmalloc_class(size_t bytes)
{
	unsigned h;

	if (bytes <= 32u)
		return bytes > 16u;
	/* 2^h <= bytes - 1 < 2^(h+1): the half below h tells 1.5 * 2^h from 2^(h+1) */
	h = bits_highest(bytes - 1u);
	return 2u * (h - 4u) + (unsigned)((bytes - 1u) >> (h - 1u) & 1u);
}

/// The class's size: what kmalloc_class maps to it at most.
static inline size_t kmalloc_class_bytes(unsigned class)
{
	if (class < 2u)
		return (size_t)16u << class;
	return class & 1u ? (size_t)32u << (class / 2u) : (size_t)24u << (class / 2u);
}

#endif
