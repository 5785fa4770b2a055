#include "tests/race_client.h"

#include "sched/atomics.h"

#include "base/atomic.h"

#define NOINLINE __attribute__((noinline))

static NOINLINE void add_one(uint64_t *to)
{
	*to += 1;
}

NOINLINE void race_client_add(struct race_client *c)
{
	add_one(&c->bare);
	__asm__ volatile("" ::: "memory"); /* no tail call */
}

NOINLINE void race_client_add_guarded(struct race_client *c, int forget_it)
{
	while (!forget_it && atomic_exchange_acquire(&c->lock, 1) != 0)
		sched_relax(sched_on, __builtin_return_address(0));
	c->guarded += 1;
	if (!forget_it)
		atomic_store_release(&c->lock, 0);
}

NOINLINE void race_client_publish(struct race_client *c, int release)
{
	c->guarded = 42;
	if (release)
		atomic_store_release(&c->flag, 1);
	else
		atomic_store_relaxed(&c->flag, 1);
}

NOINLINE uint64_t race_client_receive(struct race_client *c)
{
	while (atomic_load_acquire(&c->flag) == 0)
		sched_relax(sched_on, __builtin_return_address(0));
	return c->guarded;
}

NOINLINE void race_client_byte(struct race_client *c, unsigned i)
{
	c->byte[i] = 1;
}

NOINLINE void race_client_assign(struct race_client *c)
{
	c->to = c->from;
}

NOINLINE uint64_t race_client_many(struct race_client *c, uint64_t n)
{
	volatile uint64_t *word = c->from.word;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += word[i & 7u];
	return sum;
}
