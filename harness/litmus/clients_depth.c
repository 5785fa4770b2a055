/* Faults of known depth: so many orders between accesses of different CPUs must come
 * together, and no fewer, for the fault to show (Burckhardt et al., ASPLOS 2010, 2). */
#include "litmus/client.h"

struct depth {
	uint32_t word, other;
};

/* One order: what is used comes before what makes it. */
static void one_run(struct litmus_env *e, unsigned cpu)
{
	struct depth *d = e->state;
	uint32_t made;

	if (cpu == 0)
		atomic_store_release(&d->word, 1u);
	if (cpu != 1)
		return;
	made = atomic_load_acquire(&d->word);
	LITMUS_ASSERT(e, e->good || made, "it is used before it is made");
}

/* Two: another increment falls after this one's load, and before its store. */
static void two_run(struct litmus_env *e, unsigned cpu)
{
	struct depth *d = e->state;

	if (cpu == 2)
		(void)atomic_add_relaxed(&d->other, 1u);
	else if (e->good)
		(void)atomic_add_relaxed(&d->word, 1u);
	else
		atomic_store_release(&d->word, atomic_load_acquire(&d->word) + 1u);
}

static const char *two_check(struct litmus_env *e)
{
	struct depth *d = e->state;

	return d->word == 2 ? NULL : "an increment is lost";
}

/* Three: the first store before the first look, that before the second store, and this
 * before the second look. */
static void three_run(struct litmus_env *e, unsigned cpu)
{
	struct depth *d = e->state;
	uint32_t first, second;

	if (cpu == 2)
		(void)atomic_add_relaxed(&d->other, 1u);
	if (cpu == 0) {
		atomic_store_release(&d->word, 1u);
		atomic_store_release(&d->word, 2u);
	}
	if (cpu != 1)
		return;
	first = atomic_load_acquire(&d->word);
	second = e->good ? first : atomic_load_acquire(&d->word);
	LITMUS_ASSERT(e, first != 1 || second != 2, "two looks at one word differ");
}

static const struct litmus_word words[] = { WORD(struct depth, word), WORD(struct depth, other),
					    { NULL, 0 } };

const struct litmus litmus_depth[] = {
	{ .name = "depth_one", .good = "who uses it looks whether it was made",
	  .bad = "who uses it takes for granted that it was made",
	  .cpus_n = 3, .run = one_run, .word = words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 10, .random_max = 100,
	  .pct_max = 100, .depth = 1 },
	{ .name = "depth_two", .good = "two CPUs count in one step",
	  .bad = "two CPUs count by a load and a store",
	  .cpus_n = 3, .run = two_run, .check = two_check, .word = words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 200, .depth = 2 },
	{ .name = "depth_three", .good = "a word that changes is looked at once",
	  .bad = "a word that changes is looked at twice",
	  .cpus_n = 3, .run = three_run, .word = words,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 2, .needs_stale = 0, .all_max = 200, .random_max = 1000,
	  .pct_max = 1000, .depth = 3 },
	{ .name = NULL },
};
