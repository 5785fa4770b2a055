/// Processes: one thread each, an address space, Linux's parent and child rules.
#ifndef PROCESS_H
#define PROCESS_H

#include "sched.h"

#define PROCESSES_MAX 256u
#define SIGSEGV 11
#define SIGILL 4

enum process_state { PROCESS_FREE, PROCESS_LIVE, PROCESS_ZOMBIE };

struct process {
	struct thread thread;          /* first: process_of relies on it */
	struct kmm_space *space;       /* NULL once it exits */
	unsigned pid;                  /* table index + 1 */
	enum kmm_error last_error;     /* of its last memory call, or refused accesses; own thread */
	uint64_t recover_start, recover_end, recover_to; /* own thread */

	/* lock: process_lock */
	enum process_state state;
	struct process *parent, *children, *sibling;
	int status;                    /* as wait4 tells it: code << 8, or a signal */
	bool detached;                 /* nobody waits for it */
	bool waiting;                  /* blocked in wait4 */
	struct thread *watcher;        /* kernel thread to wake at its exit, or NULL */
	unsigned trace_seat;           /* a trace player: its space + 1 */
	struct process *next_free;
};

static inline struct kmm_space *process_space(const struct process *p)
{
	return p->space;
}

static inline struct process *process_current(void)
{
	return thread_current()->process;
}

extern struct spin process_lock;

/// Loads an ELF and starts it on a CPU with arguments name and arg (NULL: none).
/// The calling kernel thread becomes its watcher.
KMM_MUST_CHECK enum kmm_error process_spawn(const void *elf, uint64_t bytes, const char *name,
					    const char *arg, unsigned cpu, struct process **out);

/// fork: returns the child's pid or a negative errno.
int64_t process_fork(struct process *p, const struct trapframe *tf);

/// wait4 without rusage.
int64_t process_wait(struct process *p, int64_t pid, int *status, unsigned options);

/// status: as wait4 tells it
_Noreturn void process_exit(struct process *p, int status);

/// For the watcher: blocks until the process has exited, frees it.
/// Returns: its exit code, or 128 + signal
int process_await(struct process *p);

/// Its parent or watcher won't wait: it is freed as soon as it has exited.
void process_detach(struct process *p);

/// Frees a dead thread's stack, clears its on_cpu, and frees its process if that is
/// detached. The thread isn't touched after.
void process_buried(struct thread *t);

/// Processes not yet wholly gone.
unsigned process_count(void);

/* elf.c */
/// Maps an ELF's segments and a stack. *entry and *sp for the first frame.
KMM_MUST_CHECK enum kmm_error elf_load(struct kmm_space *s, const void *elf, uint64_t bytes,
				       const char *name, const char *arg, uint64_t *entry,
				       uint64_t *sp);

#endif
