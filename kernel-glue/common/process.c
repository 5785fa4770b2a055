/// Processes live in a fixed table, so that a process costs kmm its space and its
/// kernel stack and nothing else.
///
/// I1  process_lock guards the tree of parents and children and every state.
/// I2  A zombie has no space; its kernel stack is freed by the thread that runs
///     after it (sched.c), which is over when thread.on_cpu is clear. Its slot is
///     freed by who waits for it, or there if nobody will.
/// I3  A detached process has no parent.
#include "process.h"

#include "trace.h"

#define WAIT_NOHANG 1u
#define ECHILD 10
#define EAGAIN 11
#define ENOMEM 12

struct spin process_lock;
static struct process table[PROCESSES_MAX];
static struct process *free_list; /* lock: process_lock */
static unsigned used_n, count_n;  /* lock: process_lock */

static struct process *process_new(void)
{
	unsigned long was = spin_lock(&process_lock);
	struct process *p = free_list;

	if (p)
		free_list = p->next_free;
	else if (used_n < PROCESSES_MAX)
		p = &table[used_n++];
	if (p) {
		unsigned index = (unsigned)(p - table);

		*p = (struct process){ .pid = index + 1, .state = PROCESS_LIVE };
		p->thread.process = p;
		count_n++;
	}
	spin_unlock(&process_lock, was);
	return p;
}

static void process_free_locked(struct process *p)
{
	p->state = PROCESS_FREE;
	p->next_free = free_list;
	free_list = p;
	count_n--;
}

static void process_free(struct process *p)
{
	unsigned long was = spin_lock(&process_lock);

	process_free_locked(p);
	spin_unlock(&process_lock, was);
}

static void stack_free(struct thread *t)
{
	if (!t->owns_stack)
		return;
	if (kmm_frame_free(glue_kmm, t->stack, STACK_ORDER) != KMM_OK)
		glue_panic("a kernel stack can't be freed");
	t->owns_stack = false;
}

void process_buried(struct thread *t)
{
	struct process *p = t->process;
	bool detached = p && p->detached;

	stack_free(t);
	/* from here on a waiter may free the slot; a detached one is ours alone */
	__atomic_store_n(&t->on_cpu, 0u, __ATOMIC_RELEASE);
	if (detached)
		process_free(p);
}

unsigned process_count(void)
{
	return __atomic_load_n(&count_n, __ATOMIC_ACQUIRE);
}

/* ---- start ---- */

static char *user_frame(struct thread *t)
{
	return t->stack_top - arch_trapframe_bytes();
}

static void process_enter(void *arg)
{
	struct process *p = arg;

	sched_switch_finish();
	arch_user_enter((struct trapframe *)(void *)user_frame(&p->thread));
}

/// Its user frame is filled: it may run.
static void process_start(struct process *p, unsigned cpu)
{
	p->thread.cpu = cpu;
	arch_context_init(&p->thread.context, user_frame(&p->thread), process_enter, p);
	thread_ready(&p->thread);
}

static enum kmm_error spawn_into(struct process *p, const void *elf, uint64_t bytes,
				 const char *name, const char *arg)
{
	uint64_t entry, sp;
	enum kmm_error e = thread_stack_new(&p->thread);

	if (e == KMM_OK)
		e = kmm_space_create(glue_kmm, &p->space);
	if (e == KMM_OK)
		e = elf_load(p->space, elf, bytes, name, arg, &entry, &sp);
	if (e == KMM_OK)
		arch_user_frame_init((struct trapframe *)(void *)user_frame(&p->thread), entry,
				     sp);
	return e;
}

static void process_undo(struct process *p)
{
	if (p->space)
		kmm_space_destroy(p->space);
	stack_free(&p->thread);
	process_free(p);
}

enum kmm_error process_spawn(const void *elf, uint64_t bytes, const char *name, const char *arg,
			     unsigned cpu, struct process **out)
{
	struct process *p = process_new();
	enum kmm_error e;

	if (!p)
		return KMM_ELIMIT;
	e = spawn_into(p, elf, bytes, name, arg);
	if (e != KMM_OK) {
		process_undo(p);
		return e;
	}
	p->watcher = thread_current();
	*out = p;
	process_start(p, cpu);
	return KMM_OK;
}

/// A trace's players stay where the trace is; others' children go round.
static unsigned child_cpu(const struct process *p)
{
	static unsigned next; /* atomic */

	if (p->trace_seat)
		return p->thread.cpu;
	return __atomic_fetch_add(&next, 1u, __ATOMIC_RELAXED) % glue_boot->cpus_n;
}

int64_t process_fork(struct process *p, const struct trapframe *tf)
{
	struct process *child = process_new();
	unsigned long was;
	unsigned pid;

	if (!child) {
		p->last_error = KMM_ELIMIT;
		return -EAGAIN;
	}
	p->last_error = thread_stack_new(&child->thread);
	if (p->last_error == KMM_OK)
		p->last_error = kmm_space_fork(p->space, &child->space);
	if (p->last_error != KMM_OK) {
		process_undo(child);
		return -ENOMEM;
	}
	__builtin_memcpy(user_frame(&child->thread), tf, arch_trapframe_bytes());
	arch_syscall_return((struct trapframe *)(void *)user_frame(&child->thread), 0);
	child->recover_start = p->recover_start;
	child->recover_end = p->recover_end;
	child->recover_to = p->recover_to;
	was = spin_lock(&process_lock);
	child->parent = p;
	child->sibling = p->children;
	p->children = child;
	pid = child->pid;
	spin_unlock(&process_lock, was);
	process_start(child, child_cpu(p));
	return pid;
}

/* ---- end ---- */

static void unlink_child(struct process *parent, struct process *child)
{
	struct process **at = &parent->children;

	while (*at != child)
		at = &(*at)->sibling;
	*at = child->sibling;
}

/// The children's zombies go; the living will go by themselves.
static void orphan_children_locked(struct process *p)
{
	struct process *next;

	for (struct process *c = p->children; c; c = next) {
		next = c->sibling;
		c->parent = NULL;
		if (c->state == PROCESS_LIVE) {
			c->detached = true;
			continue;
		}
		while (__atomic_load_n(&c->thread.on_cpu, __ATOMIC_ACQUIRE))
			arch_relax(); /* it only has its last switch ahead, which takes no lock */
		process_free_locked(c);
	}
	p->children = NULL;
}

static void wake_waiters_locked(struct process *p)
{
	if (p->parent && p->parent->waiting)
		thread_wake(&p->parent->thread);
	if (p->watcher)
		thread_wake(p->watcher);
}

_Noreturn void process_exit(struct process *p, int status)
{
	struct kmm_space *space = p->space;
	unsigned long was;

	kmm_space_activate(glue_kmm, NULL);
	p->space = NULL;
	kmm_space_destroy(space);
	was = spin_lock(&process_lock);
	orphan_children_locked(p);
	p->status = status;
	p->state = PROCESS_ZOMBIE;
	wake_waiters_locked(p);
	spin_unlock(&process_lock, was);
	trace_player_gone(p);
	thread_exit();
}

/// A zombie child that the call may take, or any sign of a living one.
static struct process *find_child(struct process *p, int64_t pid, bool *any)
{
	*any = false;
	for (struct process *c = p->children; c; c = c->sibling) {
		if (pid > 0 && c->pid != (uint64_t)pid)
			continue;
		*any = true;
		if (c->state == PROCESS_ZOMBIE)
			return c;
	}
	return NULL;
}

/// Frees a zombie's slot after its CPU has left its stack (I2).
static void bury(struct process *p)
{
	while (__atomic_load_n(&p->thread.on_cpu, __ATOMIC_ACQUIRE))
		arch_relax();
	process_free(p);
}

int64_t process_wait(struct process *p, int64_t pid, int *status, unsigned options)
{
	unsigned long was = spin_lock(&process_lock);
	struct process *c;
	bool any;
	int64_t got;

	while (!(c = find_child(p, pid, &any)) && any && !(options & WAIT_NOHANG)) {
		p->waiting = true;
		was = sched_block(&process_lock, was);
		p->waiting = false;
	}
	if (c)
		unlink_child(p, c);
	spin_unlock(&process_lock, was);
	if (!c)
		return any ? 0 : -ECHILD;
	*status = c->status;
	got = c->pid;
	bury(c);
	return got;
}

int process_await(struct process *p)
{
	unsigned long was = spin_lock(&process_lock);
	int status;

	while (p->state != PROCESS_ZOMBIE)
		was = sched_block(&process_lock, was);
	status = p->status;
	spin_unlock(&process_lock, was);
	bury(p);
	return status & 0x7f ? 128 + (status & 0x7f) : status >> 8;
}

void process_detach(struct process *p)
{
	unsigned long was = spin_lock(&process_lock);

	p->detached = true;
	if (p->parent) {
		unlink_child(p->parent, p);
		p->parent = NULL;
	}
	spin_unlock(&process_lock, was);
}
