/// System calls as functions, and the little that programs without a libc need.
/// Runs on our kernels and on Linux alike. Results are Linux's: negative errno.
#ifndef SYS_H
#define SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "numbers.h"

#if defined(__x86_64__)
#include "sys_x86_64.h"
#else
#include "sys_aarch64.h"
#endif

#define PAGE_BYTES 4096ull
#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_RW 3
#define MAP_PRIVATE 2
#define MAP_FIXED 16
#define MAP_ANONYMOUS 32
#define SIGCHLD 17

static inline int64_t sys_write(int fd, const void *from, size_t bytes)
{
	return sys_call(NR_write, fd, (int64_t)(uintptr_t)from, (int64_t)bytes, 0, 0, 0);
}

/// Anonymous private memory. `at` != NULL: exactly there. Negative errno on failure.
static inline int64_t sys_mmap(void *at, uint64_t bytes, int prot)
{
	return sys_call(NR_mmap, (int64_t)(uintptr_t)at, (int64_t)bytes, prot,
			MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
}

static inline int64_t sys_munmap(void *at, uint64_t bytes)
{
	return sys_call(NR_munmap, (int64_t)(uintptr_t)at, (int64_t)bytes, 0, 0, 0, 0);
}

static inline int64_t sys_mprotect(void *at, uint64_t bytes, int prot)
{
	return sys_call(NR_mprotect, (int64_t)(uintptr_t)at, (int64_t)bytes, prot, 0, 0, 0);
}

static inline uint64_t sys_brk(uint64_t to)
{
	return (uint64_t)sys_call(NR_brk, (int64_t)to, 0, 0, 0, 0, 0);
}

/// clone with SIGCHLD, which both architectures have.
static inline int64_t sys_fork(void)
{
	return sys_call(NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
}

static inline int64_t sys_wait(int64_t pid, int *status)
{
	return sys_call(NR_wait4, pid, (int64_t)(uintptr_t)status, 0, 0, 0, 0);
}

static inline int64_t sys_getpid(void)
{
	return sys_call0(NR_getpid);
}

static inline int64_t sys_yield(void)
{
	return sys_call0(NR_sched_yield);
}

_Noreturn static inline void sys_exit(int status)
{
	for (;;)
		sys_call(NR_exit_group, status, 0, 0, 0, 0, 0);
}

/* ---- lib.c ---- */
/// One line of pieces: text, then a number if there is one.
struct line {
	char text[160];
	size_t n;
};
void line_text(struct line *l, const char *text);
void line_number(struct line *l, uint64_t number);
/// value / per, with two decimals.
void line_ratio(struct line *l, uint64_t value, uint64_t per);
void line_end(struct line *l); /* newline, written in one call */

/// "@verdict name ok" and 0, or "@verdict name failed why" and 1.
int verdict(const char *name, const char *why);

/// What a page shall hold: a word made of its number and a seed, at both ends.
void page_fill(void *page, uint64_t seed, uint64_t index);
bool page_holds(const void *page, uint64_t seed, uint64_t index);

/// The program.
int main(int argc, char **argv);

#endif
