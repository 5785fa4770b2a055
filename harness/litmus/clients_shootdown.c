/* Shootdowns: asking other CPUs to drop what they hold, and whom to ask. mm/base/call.c and
 * mm/pt/batch.c in small. */
#include "litmus/client.h"

/* ---- shootdowns ---- */

struct shootdown {
	uint32_t pending[2]; /* asked of that CPU, a bit a kind */
	uint32_t tlb[2];     /* that CPU holds the old entry */
	uint32_t done;
	uint32_t taken; /* a lock */
};

static void shootdown_setup(struct litmus_env *e)
{
	struct shootdown *s = e->state;

	s->tlb[0] = s->tlb[1] = 1;
}

static void shootdown_ask(struct litmus_env *e, struct shootdown *s, unsigned cpu, uint32_t kind)
{
	(void)atomic_or_acq_rel(&s->pending[cpu], kind);
	litmus_ipi(e, cpu);
}

static void ack_run(struct litmus_env *e, unsigned cpu)
{
	struct shootdown *s = e->state;

	(void)cpu;
	shootdown_ask(e, s, 1, 1u);
	while (atomic_load_acquire(&s->pending[1]))
		litmus_relax(e);
	LITMUS_ASSERT(e, !atomic_load_relaxed(&s->tlb[1]),
		      "acknowledged, and the entry is still held");
}

static void ack_interrupt(struct litmus_env *e, unsigned cpu)
{
	struct shootdown *s = e->state;

	if (!atomic_load_acquire(&s->pending[cpu]))
		return;
	if (!e->good)
		(void)atomic_and_acq_rel(&s->pending[cpu], ~1u);
	atomic_store_relaxed(&s->tlb[cpu], 0u);
	if (e->good)
		(void)atomic_and_acq_rel(&s->pending[cpu], ~1u);
}

static void lost_run(struct litmus_env *e, unsigned cpu)
{
	struct shootdown *s = e->state;

	(void)cpu;
	shootdown_ask(e, s, 1, 1u);
	shootdown_ask(e, s, 1, 2u);
	while (atomic_load_acquire(&s->done) != 3u)
		litmus_relax(e);
}

static void lost_interrupt(struct litmus_env *e, unsigned cpu)
{
	struct shootdown *s = e->state;
	uint32_t asked = atomic_load_acquire(&s->pending[cpu]);

	(void)atomic_or_acq_rel(&s->done, asked);
	if (e->good)
		(void)atomic_and_acq_rel(&s->pending[cpu], ~asked);
	else
		atomic_store_release(&s->pending[cpu], 0u);
}

static void answer(struct shootdown *s, unsigned cpu)
{
	if (!atomic_load_acquire(&s->pending[cpu]))
		return;
	atomic_store_relaxed(&s->tlb[cpu], 0u);
	(void)atomic_and_acq_rel(&s->pending[cpu], ~1u);
}

static void both_run(struct litmus_env *e, unsigned cpu)
{
	struct shootdown *s = e->state;
	bool was = litmus_irq_save(e);

	shootdown_ask(e, s, 1 - cpu, 1u);
	while (atomic_load_acquire(&s->pending[1 - cpu])) {
		if (e->good)
			answer(s, cpu);
		litmus_relax(e);
	}
	litmus_irq_restore(e, was);
}

/* CPU 0 holds the lock from the beginning; CPU 1 waits until it is free. */
static void spin_setup(struct litmus_env *e)
{
	struct shootdown *s = e->state;

	s->taken = 1;
}

static void spin_ask(struct litmus_env *e, struct shootdown *s)
{
	shootdown_ask(e, s, 1, 1u);
	while (atomic_load_acquire(&s->pending[1]))
		litmus_relax(e);
	atomic_store_release(&s->taken, 0u);
}

static void spin_run(struct litmus_env *e, unsigned cpu)
{
	struct shootdown *s = e->state;
	bool was;

	if (cpu == 0) {
		spin_ask(e, s);
		return;
	}
	was = litmus_irq_save(e);
	while (atomic_load_acquire(&s->taken)) {
		if (e->good && atomic_load_acquire(&s->pending[cpu]))
			(void)atomic_and_acq_rel(&s->pending[cpu], ~1u);
		litmus_relax(e);
	}
	litmus_irq_restore(e, was);
}

static void spin_interrupt(struct litmus_env *e, unsigned cpu)
{
	struct shootdown *s = e->state;

	(void)atomic_and_acq_rel(&s->pending[cpu], ~1u);
}

static void both_interrupt(struct litmus_env *e, unsigned cpu)
{
	answer(e->state, cpu);
}

static const char *both_check(struct litmus_env *e)
{
	struct shootdown *s = e->state;

	return s->tlb[0] || s->tlb[1] ? "an entry is still held" : NULL;
}

/* ---- who is asked at all ---- */

struct mask {
	uint32_t entry, active;
	uint32_t asked, cached; /* each one CPU's own */
};

static void mask_setup(struct litmus_env *e)
{
	struct mask *m = e->state;

	m->entry = 1;
}

static void mask_change(struct mask *m, bool fence)
{
	atomic_store_release(&m->entry, 0u);
	if (fence)
		atomic_fence_seq_cst();
	m->asked = atomic_load_relaxed(&m->active);
}

/* Joining: the fence is what a root load does. */
static void mask_join(struct mask *m, bool first)
{
	if (!first)
		m->cached = atomic_load_relaxed(&m->entry);
	(void)atomic_or_seq_cst(&m->active, 1u);
	atomic_fence_seq_cst();
	if (first)
		m->cached = atomic_load_relaxed(&m->entry);
}

static void mask_sampled_run(struct litmus_env *e, unsigned cpu)
{
	if (cpu == 0)
		mask_change(e->state, e->good);
	else
		mask_join(e->state, true);
}

static void mask_joined_run(struct litmus_env *e, unsigned cpu)
{
	if (cpu == 0)
		mask_change(e->state, true);
	else
		mask_join(e->state, e->good);
}

static const char *mask_check(struct litmus_env *e)
{
	struct mask *m = e->state;

	return m->cached && !m->asked ? "a CPU that nobody asked holds the old entry" : NULL;
}

static const struct litmus_word shootdown_words[] = { WORD(struct shootdown, pending),
						      WORD(struct shootdown, tlb),
						      WORD(struct shootdown, done),
						      WORD(struct shootdown, taken),
						      { NULL, 0 } };
static const struct litmus_word mask_words[] = { WORD(struct mask, entry),
						 WORD(struct mask, active),
						 WORD(struct mask, asked),
						 WORD(struct mask, cached),
						 { NULL, 0 } };

const struct litmus litmus_shootdown[] = {
	{ .name = "ack_early", .good = "acknowledges when it has dropped the entry",
	  .bad = "acknowledges, then drops the entry",
	  .cpus_n = 2, .idle = 2, .setup = shootdown_setup, .run = ack_run,
	  .interrupt = ack_interrupt, .word = shootdown_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = "request_lost", .good = "clears what it has done",
	  .bad = "clears all, also what came meanwhile",
	  .cpus_n = 2, .idle = 2, .run = lost_run, .interrupt = lost_interrupt,
	  .word = shootdown_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_DEADLOCK,
	  .needs_preemptions = 2, .needs_stale = 0, .all_max = 200, .random_max = 500,
	  .pct_max = 1000, .depth = 3 },
	{ .name = "spin_unanswered", .good = "answers while it spins with interrupts off",
	  .bad = "spins with interrupts off, and doesn't answer the lock's holder",
	  .cpus_n = 2, .setup = spin_setup, .run = spin_run,
	  .interrupt = spin_interrupt, .word = shootdown_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_DEADLOCK,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = "both_ask", .good = "two that ask each other answer while they wait",
	  .bad = "two that ask each other only wait",
	  .cpus_n = 2, .setup = shootdown_setup, .run = both_run,
	  .interrupt = both_interrupt, .check = both_check, .word = shootdown_words,
	  .preemptions = 4, .stale = 1, .fails = LITMUS_DEADLOCK,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 50,
	  .pct_max = 50, .depth = 1 },
	{ .name = "mask_sampled", .good = "a full fence between the entry and the mask",
	  .bad = "the mask is read before the entry is everywhere",
	  .cpus_n = 2, .setup = mask_setup, .run = mask_sampled_run, .check = mask_check,
	  .word = mask_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 0, .needs_stale = 1, .all_max = 50, .random_max = 200,
	  .pct_max = 200, .depth = 1 },
	{ .name = "mask_joined", .good = "joins the mask before it walks",
	  .bad = "walks before it joins the mask",
	  .cpus_n = 2, .setup = mask_setup, .run = mask_joined_run, .check = mask_check,
	  .word = mask_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 0, .needs_stale = 1, .all_max = 50, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = NULL },
};
