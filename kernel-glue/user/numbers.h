/// Linux's system call numbers, and the private ones of the trace player.
#ifndef NUMBERS_H
#define NUMBERS_H

#if defined(__x86_64__)
#define NR_write 1
#define NR_mmap 9
#define NR_mprotect 10
#define NR_munmap 11
#define NR_brk 12
#define NR_sched_yield 24
#define NR_getpid 39
#define NR_clone 56
#define NR_fork 57
#define NR_exit 60
#define NR_wait4 61
#define NR_clock_gettime 228
#define NR_exit_group 231
#elif defined(__aarch64__)
#define NR_write 64
#define NR_exit 93
#define NR_exit_group 94
#define NR_clock_gettime 113
#define NR_sched_yield 124
#define NR_getpid 172
#define NR_brk 214
#define NR_munmap 215
#define NR_clone 220
#define NR_mmap 222
#define NR_mprotect 226
#define NR_wait4 260
#endif

#define NR_player_next 0x1000
#define NR_player_recover 0x1001

#endif
