/// A scheduler as small as it can be with several CPUs.
///
/// I1  A thread is in at most one queue: only who changes its state to READY puts
///     it there (the CPU it ran on, by RUNNING -> READY; a waker, by a compare and
///     exchange BLOCKED -> READY).
/// I2  A thread's stack is used by one CPU at a time: on_cpu is cleared by the next
///     thread after the switch, and awaited before a switch to it.
/// I3  The kernel isn't preempted: only glue_tick on a user-mode frame, and calls
///     that say so, switch.
/// I4  A dead thread's stack is freed by whoever runs next on its CPU.
///
/// Each queue has a leaf lock. Kernel threads keep whatever address space is
/// loaded; a destroyed space is switched away by kmm itself.
#include "sched.h"

#include "process.h"

struct queue {
	struct spin lock;
	struct thread *head, *tail; /* lock */
	bool idling;		    /* lock: an IPI is needed to be noticed */
	struct thread *previous;    /* own CPU: who ran before, until the switch is done */
	struct thread idle;
} __attribute__((aligned(64)));

struct thread *sched_current[GLUE_CPUS_MAX];
static struct queue queues[GLUE_CPUS_MAX];

static void queue_push(struct thread *t)
{
	struct queue *q = &queues[t->cpu];
	unsigned long was = spin_lock(&q->lock);
	bool kick = q->idling && t->cpu != arch_cpu_id();

	t->next = NULL;
	if (q->head)
		q->tail->next = t;
	else
		q->head = t;
	q->tail = t;
	spin_unlock(&q->lock, was);
	if (kick)
		arch_ipi(1ull << t->cpu);
}

static struct thread *queue_pop(struct queue *q)
{
	unsigned long was;
	struct thread *t;

	if (!__atomic_load_n(&q->head, __ATOMIC_RELAXED))
		return NULL;
	was = spin_lock(&q->lock);
	t = q->head;
	if (t)
		q->head = t->next;
	spin_unlock(&q->lock, was);
	return t;
}

void sched_switch_finish(void)
{
	struct queue *q = &queues[arch_cpu_id()];
	struct thread *prev = q->previous;

	if (__atomic_load_n(&prev->state, __ATOMIC_RELAXED) == THREAD_DEAD)
		process_buried(prev);
	else
		__atomic_store_n(&prev->on_cpu, 0u, __ATOMIC_RELEASE);
}

static void switch_to(struct queue *q, struct thread *prev, struct thread *next)
{
	if (next->process)
		kmm_space_activate(glue_kmm, process_space(next->process));
	while (__atomic_load_n(&next->on_cpu, __ATOMIC_ACQUIRE))
		arch_relax();
	next->on_cpu = 1;
	__atomic_store_n(&next->state, THREAD_RUNNING, __ATOMIC_RELAXED);
	q->previous = prev;
	sched_current[arch_cpu_id()] = next;
	arch_set_kernel_stack(next->stack_top);
	arch_switch(&prev->context, &next->context);
	sched_switch_finish();
}

/// prev's state says what becomes of it (I1).
static void reschedule(void)
{
	unsigned cpu = arch_cpu_id();
	struct queue *q = &queues[cpu];
	struct thread *prev = thread_current(), *next = queue_pop(q);
	bool runs_on = prev->state == THREAD_RUNNING && prev->cpu == cpu;

	if (!next) {
		if (runs_on)
			return;
		next = &q->idle;
	}
	if (next == prev) {
		prev->state = THREAD_RUNNING;
		return;
	}
	if (prev == &q->idle) {
		prev->state = THREAD_READY; /* never queued */
	} else if (__atomic_load_n(&prev->state, __ATOMIC_RELAXED) == THREAD_RUNNING) {
		__atomic_store_n(&prev->state, THREAD_READY, __ATOMIC_RELAXED);
		queue_push(prev);
	}
	switch_to(q, prev, next);
}

void sched_yield(void)
{
	unsigned long was = arch_irq_save();

	reschedule();
	arch_irq_restore(was);
}

unsigned long sched_block(struct spin *s, unsigned long was)
{
	__atomic_store_n(&thread_current()->state, THREAD_BLOCKED, __ATOMIC_RELAXED);
	spin_unlock(s, was);
	sched_yield();
	return spin_lock(s);
}

void sched_move(unsigned cpu)
{
	thread_current()->cpu = cpu;
	if (arch_cpu_id() != cpu)
		sched_yield();
}

void thread_ready(struct thread *t)
{
	__atomic_store_n(&t->state, THREAD_READY, __ATOMIC_RELEASE);
	queue_push(t);
}

void thread_wake(struct thread *t)
{
	uint32_t blocked = THREAD_BLOCKED;

	if (__atomic_compare_exchange_n(&t->state, &blocked, THREAD_READY, false,
					__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		queue_push(t);
}

static void thread_main(void *arg)
{
	struct thread *t = arg;

	sched_switch_finish();
	t->entry(t->arg);
	thread_exit();
}

enum kmm_error thread_stack_new(struct thread *t)
{
	enum kmm_error e = kmm_frame_alloc(glue_kmm, STACK_ORDER, 0, &t->stack);

	if (e != KMM_OK)
		return e;
	t->owns_stack = true;
	t->stack_top = (char *)kmm_frame_virt(glue_kmm, t->stack) + STACK_BYTES;
	return KMM_OK;
}

void thread_start(struct thread *t, unsigned cpu, void (*entry)(void *), void *arg)
{
	t->cpu = cpu;
	t->entry = entry;
	t->arg = arg;
	arch_context_init(&t->context, t->stack_top, thread_main, t);
	thread_ready(t);
}

_Noreturn void thread_exit(void)
{
	arch_irq_save();
	__atomic_store_n(&thread_current()->state, THREAD_DEAD, __ATOMIC_RELAXED);
	reschedule();
	glue_panic("a dead thread was scheduled");
}

void sched_init_cpu(char *boot_stack_top)
{
	unsigned cpu = arch_cpu_id();
	struct thread *idle = &queues[cpu].idle;

	idle->cpu = cpu;
	idle->stack_top = boot_stack_top;
	idle->state = THREAD_RUNNING;
	idle->on_cpu = 1;
	sched_current[cpu] = idle;
}

_Noreturn void sched_idle(void)
{
	struct queue *q = &queues[arch_cpu_id()];

	for (;;) {
		unsigned long was = spin_lock(&q->lock);

		q->idling = q->head == NULL;
		__atomic_store_n(&q->lock.taken, 0u, __ATOMIC_RELEASE);
		if (q->idling)
			arch_idle();
		q->idling = false;
		arch_irq_restore(was);
		sched_yield();
	}
}

void glue_tick(struct trapframe *tf, bool user)
{
	(void)tf;
	if (user)
		reschedule();
}

void glue_ipi(void)
{
	if (glue_kmm)
		kmm_ipi_handle(glue_kmm);
}

uint64_t sched_stack_end(uint64_t sp)
{
	struct thread *t = thread_current();
	uint64_t top = t ? (uint64_t)t->stack_top : 0;

	return sp < top && top - sp <= STACK_BYTES ? top : sp;
}
