/// Constants and inline hooks of x86_64 that common code needs.
#ifndef ARCH_CONSTS_H
#define ARCH_CONSTS_H

#include <stdint.h>

#define GLUE_DIRECT_MAP 0xffff800000000000ull
#define GLUE_FORMAT (&kmm_pt_format_x86_64)
#define GLUE_ARCH_NAME "x86_64"
#define GLUE_ELF_MACHINE 62u /* EM_X86_64 */

/// Zeroes one page. Quadword stores: with ERMS hidden (as the measured machine
/// has it) a byte store would count 4096 steps.
static inline void arch_zero_page(void *page)
{
	uint64_t n = 512;

	__asm__ volatile("rep stosq" : "+D"(page), "+c"(n) : "a"(0ull) : "memory");
}

static inline void arch_copy_page(void *to, const void *from)
{
	uint64_t n = 512;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

#include "arch_inline.h"

#endif
