/// One thread a CPU for work that all of them do at once, on stacks of its own, so that
/// kmm's frames are counted undisturbed.
#include "crew.h"

static struct thread members[GLUE_CPUS_MAX];
static char stacks[GLUE_CPUS_MAX][STACK_BYTES] __attribute__((aligned(16)));
static void (*job)(void *ctx, unsigned cpu); /* constant while members run */
static void *job_ctx;

static void member(void *arg)
{
	job(job_ctx, (unsigned)(uintptr_t)arg);
}

void crew_run(void (*work)(void *ctx, unsigned cpu), void *ctx)
{
	unsigned n = glue_boot->cpus_n;

	job = work;
	job_ctx = ctx;
	for (unsigned i = 0; i < n; i++) {
		members[i].stack_top = stacks[i] + STACK_BYTES;
		__atomic_store_n(&members[i].state, THREAD_READY, __ATOMIC_RELAXED);
	}
	for (unsigned i = 0; i < n; i++)
		thread_start(&members[i], i, member, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < n; i++)
		while (__atomic_load_n(&members[i].state, __ATOMIC_ACQUIRE) != THREAD_DEAD ||
		       __atomic_load_n(&members[i].on_cpu, __ATOMIC_ACQUIRE)) {
			arch_relax();
			sched_yield();
		}
}
