/// The system call table and the calls that aren't about memory.
#include "syscall.h"

#include "user/numbers.h"
#include "user/player_abi.h"

#define CALLS_N 320u
#define CLONE_SIGNAL_MASK 0xffu
#define SIGCHLD 17u
#define WRITE_PIECE 256u

typedef int64_t (*call_fn)(struct process *p, struct trapframe *tf);

/// To the console, whatever the descriptor among 1 and 2. A piece up to a newline
/// goes out whole.
static int64_t sys_write(struct process *p, struct trapframe *tf)
{
	struct kmm_va from = { arch_syscall_arg(tf, 1) };
	uint64_t bytes = arch_syscall_arg(tf, 2), done = 0;
	char piece[WRITE_PIECE];

	if (arch_syscall_arg(tf, 0) != 1 && arch_syscall_arg(tf, 0) != 2)
		return -EBADF;
	while (done < bytes) {
		size_t n = bytes - done < sizeof(piece) ? bytes - done : sizeof(piece);
		struct kmm_va at = { from.a + done };

		if (kmm_space_read(p->space, at, piece, n) != n)
			return done ? (int64_t)done : -EFAULT;
		console_write(piece, n);
		done += n;
	}
	return (int64_t)done;
}

static int64_t sys_getpid(struct process *p, struct trapframe *tf)
{
	(void)tf;
	return p->pid;
}

static int64_t sys_exit(struct process *p, struct trapframe *tf)
{
	process_exit(p, (int)(arch_syscall_arg(tf, 0) & 0xff) << 8);
}

#ifdef NR_fork
static int64_t sys_fork(struct process *p, struct trapframe *tf)
{
	return process_fork(p, tf);
}
#endif

/// Only what fork is: a copy that signals its end.
static int64_t sys_clone(struct process *p, struct trapframe *tf)
{
	if (arch_syscall_arg(tf, 0) != SIGCHLD || arch_syscall_arg(tf, 1) != 0)
		return -EINVAL;
	return process_fork(p, tf);
}

static int64_t sys_wait4(struct process *p, struct trapframe *tf)
{
	struct kmm_va out = { arch_syscall_arg(tf, 1) };
	int status = 0;
	int64_t pid = process_wait(p, (int64_t)(int32_t)arch_syscall_arg(tf, 0), &status,
				   (unsigned)arch_syscall_arg(tf, 2));

	if (pid > 0 && out.a &&
	    kmm_space_write(p->space, out, &status, sizeof(status)) != sizeof(status))
		return -EFAULT;
	return pid;
}

/// Time since boot, for every clock.
static int64_t sys_clock_gettime(struct process *p, struct trapframe *tf)
{
	struct kmm_va out = { arch_syscall_arg(tf, 1) };
	uint64_t now = arch_cycles(), hz = glue_boot->timer_hz;
	uint64_t time[2] = { now / hz, 0 };

	time[1] = (now % hz) * 1000u / (hz / 1000000u ? hz / 1000000u : 1u);
	if (kmm_space_write(p->space, out, time, sizeof(time)) != sizeof(time))
		return -EFAULT;
	return 0;
}

static int64_t sys_sched_yield(struct process *p, struct trapframe *tf)
{
	(void)p;
	(void)tf;
	sched_yield();
	return 0;
}

static int64_t sys_none(struct process *p, struct trapframe *tf)
{
	(void)p;
	(void)tf;
	return -ENOSYS;
}

/* Every hole is filled, so that the hot path needs no test; the rows override it. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Winitializer-overrides"
#else
#pragma GCC diagnostic ignored "-Woverride-init"
#endif
static const call_fn calls[CALLS_N] = {
	[0 ... CALLS_N - 1] = sys_none,
	[NR_write] = sys_write,
	[NR_mmap] = sys_mmap,
	[NR_mprotect] = sys_mprotect,
	[NR_munmap] = sys_munmap,
	[NR_brk] = sys_brk,
	[NR_sched_yield] = sys_sched_yield,
	[NR_getpid] = sys_getpid,
	[NR_clone] = sys_clone,
#ifdef NR_fork
	[NR_fork] = sys_fork,
#endif
	[NR_exit] = sys_exit,
	[NR_exit_group] = sys_exit,
	[NR_wait4] = sys_wait4,
	[NR_clock_gettime] = sys_clock_gettime,
};

static int64_t call_other(struct process *p, struct trapframe *tf, uint64_t number)
{
	switch (number) {
	case NR_player_next:
		return sys_player_next(p, tf);
	case NR_player_recover:
		return sys_player_recover(p, tf);
	default:
		return -ENOSYS;
	}
}

void glue_syscall(struct trapframe *tf)
{
	uint64_t number = arch_syscall_number(tf);
	struct process *p = process_current();

	arch_syscall_return(tf, number < CALLS_N ? calls[number](p, tf)
						 : call_other(p, tf, number));
}
