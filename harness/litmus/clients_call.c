/* Calls across CPUs: interrupts, waking, drains. mm/base/call.c and mm/frame/cache.c in
 * small. */
#include "litmus/client.h"

/* ---- a handler and its own CPU's section ---- */

struct section {
	uint32_t count;
};

static void section_add(struct section *s)
{
	atomic_store_relaxed(&s->count, atomic_load_relaxed(&s->count) + 1u);
}

static void section_run(struct litmus_env *e, unsigned cpu)
{
	bool was = false;

	if (cpu == 1) {
		litmus_ipi(e, 0);
		return;
	}
	if (e->good)
		was = litmus_irq_save(e);
	section_add(e->state);
	if (e->good)
		litmus_irq_restore(e, was);
}

static void section_interrupt(struct litmus_env *e, unsigned cpu)
{
	(void)cpu;
	section_add(e->state);
}

static const char *section_check(struct litmus_env *e)
{
	struct section *s = e->state;

	return s->count == 2 ? NULL : "an update is lost";
}

/* ---- an interrupt orders what its sender did before ---- */

struct carried {
	uint32_t data; /* plain */
	uint32_t seen;
};

static void carries_run(struct litmus_env *e, unsigned cpu)
{
	struct carried *c = e->state;

	(void)cpu;
	if (e->good)
		c->data = 42;
	litmus_ipi(e, 1);
	if (!e->good)
		c->data = 42;
}

static void carries_interrupt(struct litmus_env *e, unsigned cpu)
{
	struct carried *c = e->state;

	(void)cpu;
	c->seen = c->data;
}

static const char *carries_check(struct litmus_env *e)
{
	struct carried *c = e->state;

	return c->seen == 42 ? NULL : "the handler ran, and saw nothing";
}

/* ---- waiting for an interrupt of one's own ---- */

struct waiting {
	uint32_t came;
};

static void own_interrupt_run(struct litmus_env *e, unsigned cpu)
{
	struct waiting *w = e->state;
	bool was = false;

	if (cpu == 1) {
		litmus_ipi(e, 0);
		return;
	}
	if (!e->good)
		was = litmus_irq_save(e);
	while (!atomic_load_acquire(&w->came))
		litmus_relax(e);
	if (!e->good)
		litmus_irq_restore(e, was);
}

static void own_interrupt(struct litmus_env *e, unsigned cpu)
{
	struct waiting *w = e->state;

	(void)cpu;
	atomic_store_release(&w->came, 1u);
}

/* ---- sleeping and waking ---- */

struct sleeper {
	uint32_t work, sleeps, woken;
};

static void sleeper_sleep(struct litmus_env *e, struct sleeper *s)
{
	while (!atomic_load_acquire(&s->woken))
		litmus_relax(e);
}

static void wake_run(struct litmus_env *e, unsigned cpu)
{
	struct sleeper *s = e->state;

	if (cpu == 1) {
		atomic_store_relaxed(&s->work, 1u);
		atomic_fence_seq_cst();
		if (atomic_load_relaxed(&s->sleeps))
			atomic_store_release(&s->woken, 1u);
	} else if (e->good) {
		atomic_store_relaxed(&s->sleeps, 1u);
		atomic_fence_seq_cst();
		if (!atomic_load_relaxed(&s->work))
			sleeper_sleep(e, s);
	} else if (!atomic_load_relaxed(&s->work)) {
		atomic_store_relaxed(&s->sleeps, 1u);
		atomic_fence_seq_cst();
		sleeper_sleep(e, s);
	}
}

/* ---- a per-CPU cache, and who empties it ---- */

#define FRAMES 2u

struct drained {
	uint32_t pending;
	uint32_t n;              /* the cache holds frames 0 … n-1 */
	uint32_t given[FRAMES];  /* out of the cache by a drain */
	uint32_t owned[FRAMES];  /* out of the cache by its owner */
};

static void drain_setup(struct litmus_env *e)
{
	struct drained *d = e->state;

	d->n = FRAMES;
}

static void ask_for_drain(struct litmus_env *e, struct drained *d)
{
	(void)atomic_or_acq_rel(&d->pending, 1u);
	litmus_ipi(e, 0);
	while (atomic_load_acquire(&d->pending))
		litmus_relax(e);
}

static void drain_plain(struct drained *d)
{
	for (; d->n; d->n--)
		d->given[d->n - 1]++;
}

static void foreign_run(struct litmus_env *e, unsigned cpu)
{
	struct drained *d = e->state;
	bool was;

	if (cpu == 1) {
		if (e->good)
			ask_for_drain(e, d);
		else
			drain_plain(d);
		return;
	}
	was = litmus_irq_save(e);
	if (d->n)
		d->owned[--d->n]++;
	litmus_irq_restore(e, was);
}

static void foreign_interrupt(struct litmus_env *e, unsigned cpu)
{
	struct drained *d = e->state;

	(void)cpu;
	drain_plain(d);
	(void)atomic_and_acq_rel(&d->pending, ~1u);
}

static void inside_run(struct litmus_env *e, unsigned cpu)
{
	struct drained *d = e->state;
	bool was = false;
	uint32_t n;

	if (cpu == 1) {
		ask_for_drain(e, d);
		return;
	}
	if (e->good)
		was = litmus_irq_save(e);
	n = atomic_load_relaxed(&d->n);
	if (n) {
		d->owned[n - 1]++;
		atomic_store_relaxed(&d->n, n - 1);
	}
	if (e->good)
		litmus_irq_restore(e, was);
}

static void inside_interrupt(struct litmus_env *e, unsigned cpu)
{
	struct drained *d = e->state;

	(void)cpu;
	for (uint32_t n = atomic_load_relaxed(&d->n); n; n--)
		d->given[n - 1]++;
	atomic_store_relaxed(&d->n, 0u);
	(void)atomic_and_acq_rel(&d->pending, ~1u);
}

static const char *drain_check(struct litmus_env *e)
{
	struct drained *d = e->state;

	for (unsigned i = 0; i < FRAMES; i++)
		if (d->given[i] + d->owned[i] + (i < d->n) != 1)
			return "a frame is in two places, or in none";
	return NULL;
}

/* Who waits for another CPU's interrupt holds no lock that this CPU may spin for with its
 * interrupts off. */
struct held {
	uint32_t taken, pending;
};

static void held_take(struct litmus_env *e, struct held *h)
{
	while (atomic_exchange_acquire(&h->taken, 1u))
		while (atomic_load_relaxed(&h->taken))
			litmus_relax(e);
}

static void held_run(struct litmus_env *e, unsigned cpu)
{
	struct held *h = e->state;
	bool was = false;

	if (cpu == 0 && !e->good)
		held_take(e, h);
	if (cpu == 0) {
		(void)atomic_or_acq_rel(&h->pending, 1u);
		litmus_ipi(e, 1);
		while (atomic_load_acquire(&h->pending))
			litmus_relax(e);
	}
	if (cpu == 1)
		was = litmus_irq_save(e);
	if (cpu == 1 || e->good)
		held_take(e, h);
	atomic_store_release(&h->taken, 0u);
	if (cpu == 1)
		litmus_irq_restore(e, was);
}

static void held_interrupt(struct litmus_env *e, unsigned cpu)
{
	struct held *h = e->state;

	(void)cpu;
	(void)atomic_and_acq_rel(&h->pending, ~1u);
}

static const struct litmus_word drained_words[] = { WORD(struct drained, pending),
						    WORD(struct drained, n),
						    WORD(struct drained, given),
						    WORD(struct drained, owned),
						    { NULL, 0 } };
const struct litmus litmus_call[] = {
	{ .name = "handler_section", .good = "interrupts off where a handler changes the same",
	  .bad = "interrupts on where a handler changes the same",
	  .cpus_n = 2, .run = section_run, .interrupt = section_interrupt,
	  .check = section_check, .word = WORDS(WORD(struct section, count)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 20, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = "ipi_carries", .good = "written before the interrupt is sent",
	  .bad = "written after the interrupt is sent",
	  .cpus_n = 2, .idle = 2, .run = carries_run, .interrupt = carries_interrupt,
	  .check = carries_check,
	  .word = WORDS(WORD(struct carried, data), WORD(struct carried, seen)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 50,
	  .pct_max = 50, .depth = 1 },
	{ .name = "own_interrupt", .good = "awaits its interrupt with interrupts on",
	  .bad = "awaits its interrupt with interrupts off",
	  .cpus_n = 2, .run = own_interrupt_run, .interrupt = own_interrupt,
	  .word = WORDS(WORD(struct waiting, came)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_DEADLOCK,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 50,
	  .pct_max = 50, .depth = 1 },
	{ .name = "lost_wakeup", .good = "says that it sleeps, then looks for work",
	  .bad = "looks for work, then says that it sleeps",
	  .cpus_n = 2, .run = wake_run,
	  .word = WORDS(WORD(struct sleeper, work), WORD(struct sleeper, sleeps),
			WORD(struct sleeper, woken)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_DEADLOCK,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = "drain_foreign", .good = "a cache is emptied by its own CPU",
	  .bad = "a cache is emptied by another CPU",
	  .cpus_n = 2, .setup = drain_setup, .run = foreign_run,
	  .interrupt = foreign_interrupt, .check = drain_check, .word = drained_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 50,
	  .pct_max = 50, .depth = 1 },
	{ .name = "drain_inside", .good = "no drain comes while the owner is inside",
	  .bad = "a drain comes while the owner is inside",
	  .cpus_n = 2, .setup = drain_setup, .run = inside_run,
	  .interrupt = inside_interrupt, .check = drain_check, .word = drained_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = "drain_held", .good = "asks for a drain and holds nothing",
	  .bad = "asks for a drain and holds a lock that the other wants",
	  .cpus_n = 2, .run = held_run, .interrupt = held_interrupt,
	  .word = WORDS(WORD(struct held, taken), WORD(struct held, pending)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_DEADLOCK,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = NULL },
};
