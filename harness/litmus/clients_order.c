/* Orders: what one CPU's stores and another's loads must say, so that the second sees what
 * the first did. Shared words are relaxed atomics wherever the point is what a load may
 * read, and plain where it is the race. */
#include "litmus/client.h"

/* ---- message passing ---- */

struct passing {
	uint32_t data, flag;
};

static void passing_send(struct passing *p, bool release)
{
	atomic_store_relaxed(&p->data, 42u);
	if (release)
		atomic_store_release(&p->flag, 1u);
	else
		atomic_store_relaxed(&p->flag, 1u);
}

static void passing_receive(struct litmus_env *e, struct passing *p, bool acquire)
{
	uint32_t flag = acquire ? atomic_load_acquire(&p->flag) : atomic_load_relaxed(&p->flag);

	if (flag)
		LITMUS_ASSERT(e, atomic_load_relaxed(&p->data) == 42u,
			      "the flag was seen, and not what was stored before it");
}

static void message_store_run(struct litmus_env *e, unsigned cpu)
{
	if (cpu == 0)
		passing_send(e->state, e->good);
	else
		passing_receive(e, e->state, true);
}

static void message_load_run(struct litmus_env *e, unsigned cpu)
{
	if (cpu == 0)
		passing_send(e->state, true);
	else
		passing_receive(e, e->state, e->good);
}

static void message_plain_run(struct litmus_env *e, unsigned cpu)
{
	struct passing *p = e->state;

	if (cpu == 0) {
		p->data = 42;
		if (e->good)
			atomic_store_release(&p->flag, 1u);
		else
			atomic_store_relaxed(&p->flag, 1u);
	} else if (atomic_load_acquire(&p->flag)) {
		LITMUS_ASSERT(e, p->data == 42u, "the flag was seen, and not the message");
	}
}

/* A fence orders what a relaxed access beside it doesn't. */
static void fence_store_run(struct litmus_env *e, unsigned cpu)
{
	struct passing *p = e->state;

	if (cpu == 0) {
		p->data = 42;
		if (e->good)
			atomic_fence_seq_cst();
		atomic_store_relaxed(&p->flag, 1u);
	} else if (atomic_load_acquire(&p->flag)) {
		LITMUS_ASSERT(e, p->data == 42u, "the flag was seen, and not the message");
	}
}

static void fence_load_run(struct litmus_env *e, unsigned cpu)
{
	struct passing *p = e->state;

	if (cpu == 0) {
		p->data = 42;
		atomic_store_release(&p->flag, 1u);
	} else if (atomic_load_relaxed(&p->flag)) {
		if (e->good)
			atomic_fence_seq_cst();
		LITMUS_ASSERT(e, p->data == 42u, "the flag was seen, and not the message");
	}
}

/* A read-modify-write between a store and a load carries on what the store released. */
static void sequence_run(struct litmus_env *e, unsigned cpu)
{
	struct passing *p = e->state;

	if (cpu == 0) {
		p->data = 42;
		atomic_store_release(&p->flag, 1u);
	} else if (cpu == 1) {
		if (e->good)
			(void)atomic_add_relaxed(&p->flag, 1u);
		else if (atomic_load_relaxed(&p->flag) == 1u)
			atomic_store_relaxed(&p->flag, 2u);
	} else if (atomic_load_acquire(&p->flag) == 2u) {
		LITMUS_ASSERT(e, p->data == 42u, "the flag was seen, and not the message");
	}
}

/* ---- causality: a message passed on ---- */

static void causality_run(struct litmus_env *e, unsigned cpu)
{
	struct { uint32_t first, second; } *s = e->state;

	if (cpu == 0) {
		atomic_store_release(&s->first, 1u);
	} else if (cpu == 1) {
		if (!atomic_load_acquire(&s->first))
			return;
		if (e->good)
			atomic_store_release(&s->second, 1u);
		else
			atomic_store_relaxed(&s->second, 1u);
	} else if (atomic_load_acquire(&s->second)) {
		LITMUS_ASSERT(e, atomic_load_relaxed(&s->first),
			      "the second message was seen without the first, which led to it");
	}
}

/* ---- store buffering ---- */

struct buffering {
	uint32_t word[2], saw[2];
};

static void buffering_run(struct litmus_env *e, unsigned cpu)
{
	struct buffering *b = e->state;

	atomic_store_release(&b->word[cpu], 1u);
	if (e->good)
		atomic_fence_seq_cst();
	b->saw[cpu] = atomic_load_acquire(&b->word[1 - cpu]);
}

static const char *buffering_check(struct litmus_env *e)
{
	struct buffering *b = e->state;

	return b->saw[0] || b->saw[1] ? NULL : "neither CPU saw the other's store";
}

/* ---- two writers, two readers ---- */

struct independent {
	uint32_t x, y;
	uint32_t first[4], second[4];
};

static void independent_run(struct litmus_env *e, unsigned cpu)
{
	struct independent *s = e->state;

	if (cpu == 0) {
		atomic_store_release(&s->x, 1u);
	} else if (cpu == 1) {
		atomic_store_release(&s->y, 1u);
	} else {
		s->first[cpu] = atomic_load_acquire(cpu == 2 ? &s->x : &s->y);
		if (e->good)
			atomic_fence_seq_cst();
		s->second[cpu] = atomic_load_acquire(cpu == 2 ? &s->y : &s->x);
	}
}

static const char *independent_check(struct litmus_env *e)
{
	struct independent *s = e->state;
	bool x_first = s->first[2] && !s->second[2], y_first = s->first[3] && !s->second[3];

	return x_first && y_first ? "two readers saw two stores in different orders" : NULL;
}

/* ---- mutual exclusion without read-modify-writes ---- */

struct dekker {
	uint32_t wants[2], turn;
	uint32_t inside; /* plain: the section's */
};

static void dekker_run(struct litmus_env *e, unsigned cpu)
{
	struct dekker *d = e->state;

	atomic_store_relaxed(&d->wants[cpu], 1u);
	if (e->good)
		atomic_fence_seq_cst();
	if (!atomic_load_acquire(&d->wants[1 - cpu]))
		d->inside++;
	atomic_store_release(&d->wants[cpu], 0u);
}

/* The turn is given by an exchange: who gives it second sees that the first wants in. A
 * store orders nothing between the two, and no fence after it can make up for that. */
static void peterson_run(struct litmus_env *e, unsigned cpu)
{
	struct dekker *d = e->state;
	uint32_t other = 1 - cpu;

	atomic_store_relaxed(&d->wants[cpu], 1u);
	if (e->good) {
		(void)atomic_exchange_acq_rel(&d->turn, other);
	} else {
		atomic_store_release(&d->turn, other);
		atomic_fence_seq_cst();
	}
	while (atomic_load_acquire(&d->wants[other]) && atomic_load_acquire(&d->turn) == other)
		litmus_relax(e);
	d->inside++;
	atomic_store_release(&d->wants[cpu], 0u);
}

/* ---- sequence lock ---- */

struct seqlock {
	uint32_t sequence, low, high;
};

static void seqlock_write(struct seqlock *s, bool fence)
{
	atomic_store_relaxed(&s->sequence, 1u);
	if (fence)
		atomic_fence_seq_cst();
	atomic_store_relaxed(&s->low, 1u);
	atomic_store_relaxed(&s->high, 1u);
	atomic_store_release(&s->sequence, 2u);
}

static void seqlock_read(struct litmus_env *e, struct seqlock *s, bool fence)
{
	uint32_t before = atomic_load_acquire(&s->sequence);
	uint32_t low = atomic_load_relaxed(&s->low), high = atomic_load_relaxed(&s->high);

	if (fence)
		atomic_fence_seq_cst();
	if (before % 2 == 0 && atomic_load_relaxed(&s->sequence) == before)
		LITMUS_ASSERT(e, low == high, "one half from before, one from after");
}

static void seqlock_reader_run(struct litmus_env *e, unsigned cpu)
{
	if (cpu == 0)
		seqlock_write(e->state, true);
	else
		seqlock_read(e, e->state, e->good);
}

static void seqlock_writer_run(struct litmus_env *e, unsigned cpu)
{
	if (cpu == 0)
		seqlock_write(e->state, e->good);
	else
		seqlock_read(e, e->state, true);
}

/* ---- made once, by whoever comes first ---- */

struct once {
	uint32_t ready, taken;
	uint32_t value; /* plain */
};

static void once_make(struct litmus_env *e, struct once *o)
{
	while (atomic_exchange_acquire(&o->taken, 1u))
		while (atomic_load_relaxed(&o->taken))
			litmus_relax(e);
	if (!atomic_load_relaxed(&o->ready)) {
		o->value = 42;
		atomic_store_release(&o->ready, 1u);
	}
	atomic_store_release(&o->taken, 0u);
}

static void once_run(struct litmus_env *e, unsigned cpu)
{
	struct once *o = e->state;
	uint32_t ready = e->good ? atomic_load_acquire(&o->ready) :
				   atomic_load_relaxed(&o->ready);

	(void)cpu;
	if (!ready)
		once_make(e, o);
	LITMUS_ASSERT(e, o->value == 42u, "used before it was made");
}

const struct litmus litmus_order[] = {
	{ .name = "message_store", .good = "the flag is stored with release",
	  .bad = "the flag is stored relaxed",
	  .cpus_n = 2, .run = message_store_run,
	  .word = WORDS(WORD(struct passing, data), WORD(struct passing, flag)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 0, .needs_stale = 1, .all_max = 10, .random_max = 200,
	  .pct_max = 200, .depth = 1 },
	{ .name = "message_load", .good = "the flag is loaded with acquire",
	  .bad = "the flag is loaded relaxed",
	  .cpus_n = 2, .run = message_load_run,
	  .word = WORDS(WORD(struct passing, data), WORD(struct passing, flag)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 0, .needs_stale = 1, .all_max = 10, .random_max = 200,
	  .pct_max = 200, .depth = 1 },
	{ .name = "message_plain", .good = "plain data before a store with release",
	  .bad = "plain data before a relaxed store",
	  .cpus_n = 2, .run = message_plain_run,
	  .word = WORDS(WORD(struct passing, data), WORD(struct passing, flag)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 200,
	  .pct_max = 200, .depth = 1 },
	{ .name = "fence_store", .good = "a fence before a relaxed store of the flag",
	  .bad = "a relaxed store of the flag",
	  .cpus_n = 2, .run = fence_store_run,
	  .word = WORDS(WORD(struct passing, data), WORD(struct passing, flag)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 200,
	  .pct_max = 200, .depth = 1 },
	{ .name = "fence_load", .good = "a fence after a relaxed load of the flag",
	  .bad = "a relaxed load of the flag",
	  .cpus_n = 2, .run = fence_load_run,
	  .word = WORDS(WORD(struct passing, data), WORD(struct passing, flag)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 200,
	  .pct_max = 200, .depth = 1 },
	{ .name = "release_sequence", .good = "an addition carries on what was released",
	  .bad = "a relaxed store in between carries nothing",
	  .cpus_n = 3, .run = sequence_run,
	  .word = WORDS(WORD(struct passing, data), WORD(struct passing, flag)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = "causality", .good = "what led to a store is released by it",
	  .bad = "a relaxed store leaves behind what led to it",
	  .cpus_n = 3, .run = causality_run,
	  .word = WORDS({ "first", 0 }, { "second", 4 }),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 0, .needs_stale = 1, .all_max = 20, .random_max = 500,
	  .pct_max = 500, .depth = 1 },
	{ .name = "store_buffering", .good = "a full fence between store and load",
	  .bad = "release and acquire alone",
	  .cpus_n = 2, .run = buffering_run, .check = buffering_check,
	  .word = WORDS(WORD(struct buffering, word), WORD(struct buffering, saw)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 0, .needs_stale = 1, .all_max = 10, .random_max = 200,
	  .pct_max = 200, .depth = 1 },
	{ .name = "independent_reads", .good = "a full fence between a reader's loads",
	  .bad = "acquire loads alone",
	  .cpus_n = 4, .run = independent_run, .check = independent_check,
	  .word = WORDS(WORD(struct independent, x), WORD(struct independent, y)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 0, .needs_stale = 1, .all_max = 100, .random_max = 1000,
	  .pct_max = 2000, .depth = 1 },
	{ .name = "dekker", .good = "a full fence between saying and looking",
	  .bad = "no fence between saying and looking",
	  .cpus_n = 2, .run = dekker_run,
	  .word = WORDS(WORD(struct dekker, wants), WORD(struct dekker, turn),
			WORD(struct dekker, inside)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 1, .all_max = 20, .random_max = 200,
	  .pct_max = 200, .depth = 1 },
	{ .name = "peterson", .good = "the turn is given by an exchange",
	  .bad = "the turn is given by a store and a fence",
	  .cpus_n = 2, .run = peterson_run,
	  .word = WORDS(WORD(struct dekker, wants), WORD(struct dekker, turn),
			WORD(struct dekker, inside)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 2, .needs_stale = 1, .all_max = 100, .random_max = 2000,
	  .pct_max = 5000, .depth = 3 },
	{ .name = "seqlock_reader", .good = "the reader fences before it looks again",
	  .bad = "the reader's second look may be the older one",
	  .cpus_n = 2, .run = seqlock_reader_run,
	  .word = WORDS(WORD(struct seqlock, sequence), WORD(struct seqlock, low),
			WORD(struct seqlock, high)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 2, .all_max = 50, .random_max = 2000,
	  .pct_max = 5000, .depth = 2 },
	{ .name = "seqlock_writer", .good = "the writer fences before it writes",
	  .bad = "what is written may be seen before the odd sequence",
	  .cpus_n = 2, .run = seqlock_writer_run,
	  .word = WORDS(WORD(struct seqlock, sequence), WORD(struct seqlock, low),
			WORD(struct seqlock, high)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 2, .all_max = 50, .random_max = 2000,
	  .pct_max = 5000, .depth = 2 },
	{ .name = "made_once", .good = "the first look is an acquire",
	  .bad = "the first look is relaxed",
	  .cpus_n = 2, .run = once_run,
	  .word = WORDS(WORD(struct once, ready), WORD(struct once, taken),
			WORD(struct once, value)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 20, .random_max = 200,
	  .pct_max = 200, .depth = 1 },
	{ .name = NULL },
};
