/// Linux's AArch64 convention: X8 number, X0 result; nothing else is lost.
#ifndef SYS_AARCH64_H
#define SYS_AARCH64_H

static inline int64_t sys_call(int64_t number, int64_t a, int64_t b, int64_t c, int64_t d,
			       int64_t e, int64_t f)
{
	register int64_t x8 __asm__("x8") = number;
	register int64_t x0 __asm__("x0") = a;
	register int64_t x1 __asm__("x1") = b;
	register int64_t x2 __asm__("x2") = c;
	register int64_t x3 __asm__("x3") = d;
	register int64_t x4 __asm__("x4") = e;
	register int64_t x5 __asm__("x5") = f;

	__asm__ volatile("svc #0" : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}

/// A call without arguments, lean enough to measure the kernel's entry by.
static inline int64_t sys_call0(int64_t number)
{
	register int64_t x8 __asm__("x8") = number;
	register int64_t x0 __asm__("x0");

	__asm__ volatile("svc #0" : "=r"(x0) : "r"(x8) : "memory");
	return x0;
}

/// Counted instructions under -icount with cntfrq=1000000000.
static inline uint64_t sys_ticks(void)
{
	uint64_t t;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(t) : : "memory");
	return t;
}

#endif
