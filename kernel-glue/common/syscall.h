/// System calls: one table, Linux's numbers, negative errno.
#ifndef SYSCALL_H
#define SYSCALL_H

#include "process.h"

#define EPERM 1
#define EBADF 9
#define ENOMEM 12
#define EACCES 13
#define EFAULT 14
#define EINVAL 22
#define ENOSYS 38

/// The errno of kmm's error, negative.
int64_t errno_of(enum kmm_error e);

/* ---- syscall_mem.c; each remembers its exact error in p->last_error ---- */
int64_t sys_mmap(struct process *p, struct trapframe *tf);
int64_t sys_mprotect(struct process *p, struct trapframe *tf);
int64_t sys_munmap(struct process *p, struct trapframe *tf);
int64_t sys_brk(struct process *p, struct trapframe *tf);

/* ---- trace_user.c: the trace player's own calls ---- */
int64_t sys_player_next(struct process *p, struct trapframe *tf);
int64_t sys_player_recover(struct process *p, struct trapframe *tf);

#endif
