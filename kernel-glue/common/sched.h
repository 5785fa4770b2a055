/// Threads: one run queue a CPU, no balancing; a thread runs where `cpu` says.
#ifndef SCHED_H
#define SCHED_H

#include "glue.h"

enum thread_state {
	THREAD_FREE,
	THREAD_RUNNING, /* current on its CPU */
	THREAD_READY,   /* in a run queue, or about to be put there by who made it ready */
	THREAD_BLOCKED,
	THREAD_DEAD,
};

struct process;

struct thread {
	struct context context;
	struct thread *next;     /* lock: its queue's */
	char *stack_top;
	struct kmm_pfn stack;    /* of kmm; owns_stack says whether */
	bool owns_stack;
	struct process *process; /* NULL: a kernel thread */
	unsigned cpu;            /* written by itself, or before it was started */
	uint32_t state;          /* atomic; enum thread_state */
	uint32_t on_cpu;         /* atomic; its stack is in use */
	void (*entry)(void *arg);
	void *arg;
};

#define STACK_ORDER 2u
#define STACK_BYTES (KMM_PAGE_BYTES << STACK_ORDER)

extern struct thread *sched_current[GLUE_CPUS_MAX]; /* each its own CPU's */

static inline struct thread *thread_current(void)
{
	return sched_current[arch_cpu_id()];
}

/// Gives a thread that is not yet known a stack of its own.
KMM_MUST_CHECK enum kmm_error thread_stack_new(struct thread *t);

/// Starts a kernel thread on a CPU. Its stack is set.
void thread_start(struct thread *t, unsigned cpu, void (*entry)(void *arg), void *arg);

/// Puts a thread whose context is set into its CPU's queue.
void thread_ready(struct thread *t);

/// Wakes a blocked thread; nothing if it isn't blocked. May be called by any CPU.
void thread_wake(struct thread *t);

/// The first thing a thread does after a switch to it.
void sched_switch_finish(void);

/// Others' turn. Returns at this thread's next one.
void sched_yield(void);

/// To be called with the lock that guards the condition waited for: blocks, and
/// returns with the lock held again.
unsigned long sched_block(struct spin *s, unsigned long was);

/// This thread continues on another CPU.
void sched_move(unsigned cpu);

_Noreturn void thread_exit(void);

/// This CPU's boot context becomes its idle thread, for ever.
_Noreturn void sched_idle(void);

/// Before the first use on each CPU.
void sched_init_cpu(char *boot_stack_top);

/// End of the stack that holds `sp`, for backtraces; sp itself if unknown.
uint64_t sched_stack_end(uint64_t sp);

#endif
