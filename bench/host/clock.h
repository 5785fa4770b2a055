/// The host's timestamp counter.
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

static inline uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t t;

	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(t));
	return t;
#else
#error "no timestamp counter known for this host"
#endif
}

#endif
