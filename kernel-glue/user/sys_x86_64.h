/// System V psABI, A.2.1: RAX number and result; RCX and R11 are lost.
#ifndef SYS_X86_64_H
#define SYS_X86_64_H

static inline int64_t sys_call(int64_t number, int64_t a, int64_t b, int64_t c, int64_t d,
			       int64_t e, int64_t f)
{
	register int64_t r10 __asm__("r10") = d;
	register int64_t r8 __asm__("r8") = e;
	register int64_t r9 __asm__("r9") = f;

	__asm__ volatile("syscall" : "+a"(number)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return number;
}

/// A call without arguments, lean enough to measure the kernel's entry by.
static inline int64_t sys_call0(int64_t number)
{
	__asm__ volatile("syscall" : "+a"(number) : : "rcx", "r11", "memory");
	return number;
}

/// Counted instructions under -icount; time-stamp ticks elsewhere.
static inline uint64_t sys_ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

#endif
