/// Programs on weak memory: what a CPU does to it, each access a point, and the
/// exploration of all that may happen.
#ifndef MEMORY_FIXTURE_H
#define MEMORY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/memory.h"

struct program {
	struct memory m;
	uint64_t x, y, z;
	uint64_t r[16];
	void (*thread[4])(void);
};

static struct program L;
static struct sched S;

static inline void step(const char *what, bool changed)
{
	sched_point(sched_on, what, NULL, 0, changed, NULL);
}

static inline uint64_t load(const uint64_t *at, int order)
{
	step("load", false);
	return memory_load(&L.m, sched_on->now, at, sizeof(*at), order);
}

static inline void store(uint64_t *at, uint64_t value, int order)
{
	step("store", true);
	memory_store(&L.m, sched_on->now, at, sizeof(*at), value, order);
}

static inline uint64_t update(uint64_t *at, enum memory_rmw what, uint64_t operand, int order)
{
	step("update", true);
	return memory_update(&L.m, sched_on->now, at, sizeof(*at), what, operand, order);
}

static inline bool cas(uint64_t *at, uint64_t expected, uint64_t value)
{
	step("cas", true);
	return memory_cas(&L.m, sched_on->now, at, sizeof(*at), &expected, value);
}

static inline uint64_t walk(const uint64_t *entry)
{
	step("walk", false);
	return memory_walk(&L.m, sched_on->now, entry, false);
}

static inline void fence(void)
{
	step("fence", false);
	memory_fence(&L.m, sched_on->now);
}

#define RLX __ATOMIC_RELAXED
#define ACQ __ATOMIC_ACQUIRE
#define REL __ATOMIC_RELEASE
#define ACQ_REL __ATOMIC_ACQ_REL
#define SC __ATOMIC_SEQ_CST

static inline void run_thread(void *ctx, unsigned cpu)
{
	(void)ctx;
	L.thread[cpu]();
}

static inline bool never(void *ctx, unsigned cpu)
{
	(void)ctx;
	(void)cpu;
	return false;
}

static inline void no_interrupt(void *ctx, unsigned cpu)
{
	(void)ctx;
	(void)cpu;
}

static const struct sched_client client = {
	.run = run_thread,
	.interruptible = never,
	.interrupt = no_interrupt,
};

/// Runs the program in every schedule and with every readable store; `look` is called
/// after each.
static inline void explore(bool weak, void (*look)(void *ctx), void *ctx)
{
	struct sched_all all;
	unsigned n = 0;

	while (n < 4 && L.thread[n])
		n++;
	sched_all_init(&all, ~0u, ~0u);
	do {
		L.x = L.y = L.z = 0;
		memset(L.r, 0, sizeof(L.r));
		memory_begin(&L.m, n, weak);
		assert_int_equal(sched_run(&S, n, (1u << n) - 1u, &client, &all.strategy),
				 SCHED_DONE);
		memory_end(&L.m);
		look(ctx);
	} while (sched_all_next(&all));
	assert_false(all.truncated);
	sched_all_free(&all);
}

static inline int free_all(void **state)
{
	(void)state;
	memory_free(&L.m);
	return 0;
}

#endif
