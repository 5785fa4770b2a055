/* Locks: what taking and dropping one must do, and what must be done within. */
#include "litmus/client.h"

struct locked {
	uint32_t taken, second; /* two locks */
	uint32_t count;         /* plain, or relaxed where its steps are the point */
};

/* As lock_acquire does: who waits looks, and exchanges only once it saw the lock free. A
 * loop of exchanges alone would be news to every other CPU that waits, at each turn. */
static void take(struct litmus_env *e, uint32_t *lock)
{
	while (atomic_exchange_acquire(lock, 1u))
		while (atomic_load_relaxed(lock))
			litmus_relax(e);
}

static void drop(uint32_t *lock)
{
	atomic_store_release(lock, 0u);
}

static const char *locked_check(struct litmus_env *e)
{
	struct locked *s = e->state;

	return s->count == 2 ? NULL : "an update is lost";
}

static const struct litmus_word locked_words[] = { WORD(struct locked, taken),
						   WORD(struct locked, second),
						   WORD(struct locked, count),
						   { NULL, 0 } };

/* ---- the orders of a lock ---- */

static void acquire_run(struct litmus_env *e, unsigned cpu)
{
	struct locked *s = e->state;

	(void)cpu;
	while (e->good ? atomic_exchange_acquire(&s->taken, 1u) : exchange_relaxed(&s->taken, 1u))
		while (atomic_load_relaxed(&s->taken))
			litmus_relax(e);
	s->count++;
	drop(&s->taken);
}

static void release_run(struct litmus_env *e, unsigned cpu)
{
	struct locked *s = e->state;

	(void)cpu;
	take(e, &s->taken);
	s->count++;
	if (e->good)
		atomic_store_release(&s->taken, 0u);
	else
		atomic_store_relaxed(&s->taken, 0u);
}

/* ---- taken in one step ---- */

static void test_and_set_run(struct litmus_env *e, unsigned cpu)
{
	struct locked *s = e->state;

	(void)cpu;
	if (e->good) {
		take(e, &s->taken);
	} else {
		while (atomic_load_acquire(&s->taken))
			litmus_relax(e);
		atomic_store_relaxed(&s->taken, 1u);
	}
	s->count++;
	drop(&s->taken);
}

struct ticket {
	uint32_t next, owner;
	uint32_t count; /* plain */
};

static void ticket_run(struct litmus_env *e, unsigned cpu)
{
	struct ticket *t = e->state;
	uint32_t mine;

	(void)cpu;
	if (e->good) {
		mine = atomic_add_relaxed(&t->next, 1u);
	} else {
		mine = atomic_load_relaxed(&t->next);
		atomic_store_relaxed(&t->next, mine + 1u);
	}
	while (atomic_load_acquire(&t->owner) < mine)
		litmus_relax(e);
	t->count++;
	atomic_store_release(&t->owner, mine + 1u);
}

/* ---- held for as long as it must be ---- */

static void dropped_early_run(struct litmus_env *e, unsigned cpu)
{
	struct locked *s = e->state;
	uint32_t was;

	(void)cpu;
	take(e, &s->taken);
	was = atomic_load_relaxed(&s->count);
	if (!e->good) {
		drop(&s->taken);
		take(e, &s->taken);
	}
	atomic_store_relaxed(&s->count, was + 1u);
	drop(&s->taken);
}

static void after_unlock_run(struct litmus_env *e, unsigned cpu)
{
	struct locked *s = e->state;

	(void)cpu;
	take(e, &s->taken);
	if (e->good)
		s->count++;
	drop(&s->taken);
	if (!e->good)
		s->count++;
}

/* ---- two locks ---- */

static void order_run(struct litmus_env *e, unsigned cpu)
{
	struct locked *s = e->state;
	bool other_way = !e->good && cpu == 1;

	take(e, other_way ? &s->second : &s->taken);
	take(e, other_way ? &s->taken : &s->second);
	s->count++;
	drop(&s->second);
	drop(&s->taken);
}

/* ---- a lock that an interrupt handler takes too ---- */

static void handler_run(struct litmus_env *e, unsigned cpu)
{
	struct locked *s = e->state;
	bool was = false;

	if (cpu == 1) {
		litmus_ipi(e, 0);
		return;
	}
	if (e->good)
		was = litmus_irq_save(e);
	take(e, &s->taken);
	s->count++;
	drop(&s->taken);
	if (e->good)
		litmus_irq_restore(e, was);
}

static void handler_interrupt(struct litmus_env *e, unsigned cpu)
{
	struct locked *s = e->state;

	(void)cpu;
	take(e, &s->taken);
	s->count++;
	drop(&s->taken);
}

const struct litmus litmus_lock[] = {
	{ .name = "spinlock_acquire", .good = "taken with acquire", .bad = "taken relaxed",
	  .cpus_n = 2, .run = acquire_run, .check = locked_check, .word = locked_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 100,
	  .pct_max = 100, .depth = 1 },
	{ .name = "spinlock_release", .good = "dropped with release", .bad = "dropped relaxed",
	  .cpus_n = 2, .run = release_run, .check = locked_check, .word = locked_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 100,
	  .pct_max = 100, .depth = 1 },
	{ .name = "test_and_set", .good = "tested and set in one step",
	  .bad = "tested, and set in a second step",
	  .cpus_n = 2, .run = test_and_set_run, .check = locked_check, .word = locked_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = "ticket", .good = "a ticket is drawn in one step",
	  .bad = "a ticket is read, and the next one stored",
	  .cpus_n = 2, .run = ticket_run, .check = NULL,
	  .word = WORDS(WORD(struct ticket, next), WORD(struct ticket, owner),
			WORD(struct ticket, count)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 2, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = "dropped_early", .good = "read and written under one hold",
	  .bad = "read under one hold, written under the next",
	  .cpus_n = 2, .run = dropped_early_run, .check = locked_check, .word = locked_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 100, .random_max = 500,
	  .pct_max = 500, .depth = 2 },
	{ .name = "after_unlock", .good = "a plain access while the lock is held",
	  .bad = "a plain access after it is dropped",
	  .cpus_n = 2, .run = after_unlock_run, .check = locked_check, .word = locked_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 100,
	  .pct_max = 100, .depth = 1 },
	{ .name = "lock_order", .good = "two locks, always in one order",
	  .bad = "two locks, in both orders",
	  .cpus_n = 2, .run = order_run, .check = locked_check, .word = locked_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_DEADLOCK,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = "lock_in_handler", .good = "interrupts off while a handler's lock is held",
	  .bad = "interrupts on while a handler's lock is held",
	  .cpus_n = 2, .run = handler_run, .interrupt = handler_interrupt,
	  .check = locked_check, .word = locked_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_DEADLOCK,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = NULL },
};
