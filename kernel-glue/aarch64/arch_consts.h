/// What common/ needs to know of AArch64 at compile time.
#ifndef GLUE_ARCH_CONSTS_H
#define GLUE_ARCH_CONSTS_H

#define GLUE_ARCH_NAME "aarch64"
#define GLUE_ELF_MACHINE 183u /* EM_AARCH64 */
#define GLUE_FORMAT (&kmm_pt_format_aarch64)

/// TTBR1's lowest address: all physical memory, by offset.
#define GLUE_DIRECT_MAP 0xffff000000000000ull
#define GLUE_DIRECT_MAP_BYTES (1ull << 39) /* one L1 table */

#ifndef __ASSEMBLER__
#include <stdint.h>

#define ARCH_ZVA_UNROLL 8u

/// Zeroes one page by whole cache blocks (DC ZVA), whose size the CPU tells
/// (Arm ARM D19.2.37, DCZID_EL0): 64 bytes on real cores, 512 on QEMU's `max`.
static inline void arch_zero_page(void *page)
{
	uint64_t id, at = (uint64_t)page, end = at + 4096u;

	__asm__("mrs %0, dczid_el0" : "=r"(id));
	if (id & 0x10u || (id & 0xfu) > 7u) { /* prohibited, or blocks above 512 bytes */
		for (; at < end; at += 16u)
			__asm__ volatile("stp xzr, xzr, [%0]" : : "r"(at) : "memory");
		return;
	}
	uint64_t block = 4ull << (id & 0xfu);

	do {
#pragma GCC unroll 8
		for (unsigned i = 0; i < ARCH_ZVA_UNROLL; i++, at += block)
			__asm__ volatile("dc zva, %0" : : "r"(at) : "memory");
	} while (at < end);
}

#define ARCH_COPY_64                                 \
	"ldp %[a], %[b], [%[from]], #64\n"           \
	"ldp %[c], %[d], [%[from], #-48]\n"          \
	"ldp %[e], %[f], [%[from], #-32]\n"          \
	"ldp %[g], %[h], [%[from], #-16]\n"          \
	"stp %[a], %[b], [%[to]], #64\n"             \
	"stp %[c], %[d], [%[to], #-48]\n"            \
	"stp %[e], %[f], [%[to], #-32]\n"            \
	"stp %[g], %[h], [%[to], #-16]\n"

/// Copies one page, 128 bytes a round.
static inline void arch_copy_page(void *to, const void *from)
{
	uint64_t a, b, c, d, e, f, g, h;
	const char *end = (const char *)from + 4096u;

	__asm__ volatile("1:\n" ARCH_COPY_64 ARCH_COPY_64
			 "cmp %[from], %[end]\n"
			 "b.ne 1b"
			 : [to] "+&r"(to), [from] "+&r"(from), [a] "=&r"(a), [b] "=&r"(b),
			   [c] "=&r"(c), [d] "=&r"(d), [e] "=&r"(e), [f] "=&r"(f),
			   [g] "=&r"(g), [h] "=&r"(h)
			 : [end] "r"(end)
			 : "memory", "cc");
}

#include "arch_inline.h"
#endif

#endif
