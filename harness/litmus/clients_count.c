/* Words that several CPUs change without a lock: bits, references, a stack. */
#include "litmus/client.h"

/* ---- bits of one word ---- */

struct bits {
	uint32_t word;
};

static void bits_plain_run(struct litmus_env *e, unsigned cpu)
{
	struct bits *b = e->state;

	if (e->good)
		(void)atomic_or_acq_rel(&b->word, 1u << cpu);
	else
		b->word |= 1u << cpu;
}

static void bits_steps_run(struct litmus_env *e, unsigned cpu)
{
	struct bits *b = e->state;

	if (e->good)
		(void)atomic_or_acq_rel(&b->word, 1u << cpu);
	else
		atomic_store_release(&b->word, atomic_load_acquire(&b->word) | 1u << cpu);
}

static const char *bits_check(struct litmus_env *e)
{
	struct bits *b = e->state;

	return b->word == 3 ? NULL : "a bit is lost";
}

/* ---- references ---- */

struct counted {
	uint32_t refs, freed;
	uint32_t value; /* plain */
};

static void counted_setup(struct litmus_env *e)
{
	struct counted *c = e->state;

	c->refs = 1;
}

static void counted_put(struct counted *c)
{
	if (atomic_sub_acq_rel(&c->refs, 1u) == 1)
		(void)atomic_add_relaxed(&c->freed, 1u);
}

static bool counted_get(struct counted *c, bool unless_zero)
{
	uint32_t was = atomic_load_relaxed(&c->refs);

	if (!unless_zero) {
		(void)atomic_add_relaxed(&c->refs, 1u);
		return true;
	}
	while (was != 0)
		if (atomic_cas_acq_rel(&c->refs, &was, was + 1u))
			return true;
	return false;
}

static void from_zero_run(struct litmus_env *e, unsigned cpu)
{
	struct counted *c = e->state;

	if (cpu == 1) {
		if (!counted_get(c, e->good))
			return;
		LITMUS_ASSERT(e, !atomic_load_relaxed(&c->freed), "used after it was freed");
	}
	counted_put(c);
}

static const char *from_zero_check(struct litmus_env *e)
{
	struct counted *c = e->state;

	return c->freed == 1 ? NULL : c->freed ? "freed twice" : "never freed";
}

static void free_order_setup(struct litmus_env *e)
{
	struct counted *c = e->state;

	c->refs = 2;
	c->value = 42;
}

static void free_order_run(struct litmus_env *e, unsigned cpu)
{
	struct counted *c = e->state;
	uint32_t was;

	(void)cpu;
	LITMUS_ASSERT(e, c->value == 42u, "used after it was freed");
	was = e->good ? atomic_sub_acq_rel(&c->refs, 1u) : sub_relaxed(&c->refs, 1u);
	if (was == 1)
		c->value = 0xdead; /* whoever has it next writes there */
}

/* ---- a stack: node i + 1 on top, next[i] below it ---- */

#define NODES 2u

struct stack {
	uint64_t head; /* low half: the node on top; high half: the tag */
	uint32_t next[NODES];
	uint32_t held[NODES][2]; /* by node and CPU */
};

static void stack_setup(struct litmus_env *e)
{
	struct stack *s = e->state;

	s->head = 1;
	s->next[0] = 2;
}

static uint64_t stack_word(const struct litmus_env *e, uint64_t was, uint32_t node)
{
	return e->good ? ((was >> 32) + 1u) << 32 | node : node;
}

static uint32_t stack_pop(struct litmus_env *e, unsigned cpu)
{
	struct stack *s = e->state;
	uint64_t was = atomic_load_acquire(&s->head);

	for (;;) {
		uint32_t node = (uint32_t)was, below;

		if (node == 0)
			return 0;
		below = atomic_load_relaxed(&s->next[node - 1]);
		if (atomic_cas_acq_rel(&s->head, &was, stack_word(e, was, below))) {
			s->held[node - 1][cpu] = 1;
			return node;
		}
	}
}

static void stack_push(struct litmus_env *e, unsigned cpu, uint32_t node)
{
	struct stack *s = e->state;
	uint64_t was = atomic_load_relaxed(&s->head);

	s->held[node - 1][cpu] = 0;
	do
		atomic_store_relaxed(&s->next[node - 1], (uint32_t)was);
	while (!atomic_cas_acq_rel(&s->head, &was, stack_word(e, was, node)));
}

static void stack_run(struct litmus_env *e, unsigned cpu)
{
	uint32_t first;

	first = stack_pop(e, cpu);
	if (cpu == 0 || !first)
		return;
	(void)stack_pop(e, cpu);
	stack_push(e, cpu, first);
}

static const char *stack_check(struct litmus_env *e)
{
	struct stack *s = e->state;
	unsigned places[NODES] = { 0 }, steps = 0;

	for (uint32_t node = (uint32_t)s->head; node && steps <= NODES; steps++) {
		places[node - 1]++;
		node = s->next[node - 1];
	}
	for (unsigned i = 0; i < NODES; i++)
		if (places[i] + s->held[i][0] + s->held[i][1] != 1)
			return "a node is on the stack and held, or lost";
	return NULL;
}

static const struct litmus_word counted_words[] = { WORD(struct counted, refs),
						    WORD(struct counted, freed),
						    WORD(struct counted, value),
						    { NULL, 0 } };

const struct litmus litmus_count[] = {
	{ .name = "bits_plain", .good = "a bit is set by an atomic",
	  .bad = "a bit is set by plain accesses",
	  .cpus_n = 2, .run = bits_plain_run, .check = bits_check,
	  .word = WORDS(WORD(struct bits, word)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 1, .random_max = 1,
	  .pct_max = 1, .depth = 1 },
	{ .name = "bits_steps", .good = "a bit is set in one step",
	  .bad = "a bit is set by a load and a store",
	  .cpus_n = 2, .run = bits_steps_run, .check = bits_check,
	  .word = WORDS(WORD(struct bits, word)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 10, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = "get_from_zero", .good = "a reference is taken unless there is none left",
	  .bad = "a reference is taken even where none is left",
	  .cpus_n = 2, .setup = counted_setup, .run = from_zero_run, .check = from_zero_check,
	  .word = counted_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 100,
	  .pct_max = 100, .depth = 1 },
	{ .name = "put_order", .good = "a reference is given back with acquire and release",
	  .bad = "a reference is given back relaxed",
	  .cpus_n = 2, .setup = free_order_setup, .run = free_order_run,
	  .word = counted_words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 10, .random_max = 100,
	  .pct_max = 100, .depth = 1 },
	{ .name = "stack_aba", .good = "the top carries a tag that always changes",
	  .bad = "the top is compared by its node alone",
	  .cpus_n = 2, .setup = stack_setup, .run = stack_run, .check = stack_check,
	  .word = WORDS(WORD(struct stack, head), WORD(struct stack, next),
			WORD(struct stack, held)),
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 50, .random_max = 2000,
	  .pct_max = 500, .depth = 2 },
	{ .name = NULL },
};
