/// All schedules, one run after the other.
///
/// The path is the list of choices of the current run, in order: how many options there
/// were, and which was taken. A run takes what the path says, and the first option
/// beyond its end, where the path grows. The next path steps its last choice that has
/// an option left, and forgets what came after. Since the same choices give the same
/// run, this goes once through the leaves of the tree of all choices, depth first, and
/// keeps no more than one path.
///   I1  node[0..at) is what the current run chose; a choice with one option allowed
///       isn't in it.
///   I2  preemptions, stale, defers and walks are what node[0..at) spent.
///
/// Bounds take options away: beyond them only the default is left. What they bound is
/// what makes a schedule unlikely to be thought of: switches away from a CPU that could
/// go on, loads that read an older store, interrupts put off, and walks. Switches where
/// a CPU spins or ends are free.
///
/// No partial-order reduction: two schedules that differ in the order of independent
/// accesses are both run. For CPUs with n and m points (a CPU begins without one) there
/// are (n + m + 1 over n): the parts between the points of two CPUs in all orders, the
/// first CPU's first part first.
///
/// Limits: a loop that wakes another that spins at each turn, and is woken by it, has
/// runs without end; the depth bound cuts them off, the number of runs is then large.
/// Source: Godefroid, Model Checking for Programming Languages using VeriSoft, POPL
/// 1997; Musuvathi & Qadeer, Iterative Context Bounding, PLDI 2007.
#include <stdio.h>
#include <stdlib.h>

#include "sched/sched.h"

#define DEPTH_MAX (1u << 20)

struct sched_all_node {
	uint8_t kind, n, index; /* option `index` of n */
	bool costs;             /* other options than the first spend preemptions or stale */
};

static void all_begin(struct sched_strategy *self, unsigned cpus_n)
{
	struct sched_all *a = (struct sched_all *)self;

	(void)cpus_n;
	a->runs_n++;
	a->at = 0;
	a->preemptions = a->stale = a->defers = a->walks = 0;
}

/// What another option than the first spends here. NULL: nothing
static unsigned *purse(struct sched_all *a, unsigned kind, enum sched_why why, unsigned *max)
{
	if (kind == SCHED_SWITCH && why == SCHED_AT_POINT) {
		*max = a->preemptions_max;
		return &a->preemptions;
	}
	switch (kind) {
	case SCHED_STALE:
		*max = a->stale_max;
		return &a->stale;
	case SCHED_DEFER:
		*max = a->defers_max;
		return &a->defers;
	case SCHED_WALK:
		*max = a->walks_max;
		return &a->walks;
	default:
		return NULL;
	}
}

static bool path_room(struct sched_all *a)
{
	uint32_t room = a->room ? 2u * a->room : 64u;

	if (a->depth < a->room)
		return true;
	if (room > DEPTH_MAX)
		return false;
	a->node = realloc(a->node, room * sizeof(*a->node));
	if (!a->node) {
		fprintf(stderr, "sched_all: no memory for a path of %u choices\n", room);
		abort();
	}
	a->room = room;
	return true;
}

static unsigned all_choose(struct sched_strategy *self, const struct sched *s,
			   const struct sched_key *key, enum sched_why why,
			   const uint16_t *option, unsigned n)
{
	struct sched_all *a = (struct sched_all *)self;
	unsigned max = 0, *spent = purse(a, key->kind, why, &max);
	struct sched_all_node *node;

	(void)s;
	(void)option;
	if (spent && *spent >= max)
		return 0;
	if (a->at == a->depth) {
		if (!path_room(a)) {
			a->truncated = true;
			return 0;
		}
		a->node[a->depth++] =
			(struct sched_all_node){ key->kind, (uint8_t)n, 0, spent != NULL };
	}
	node = &a->node[a->at++];
	if (node->kind != key->kind || node->n != n || node->costs != (spent != NULL)) {
		a->truncated = true; /* the client did something else this time */
		return 0;
	}
	if (spent && node->index != 0)
		++*spent;
	return node->index;
}

void sched_all_init(struct sched_all *a, unsigned preemptions_max, unsigned stale_max)
{
	*a = (struct sched_all){
		.strategy = { all_begin, all_choose },
		.preemptions_max = preemptions_max,
		.stale_max = stale_max,
		.defers_max = ~0u,
		.walks_max = ~0u,
	};
}

bool sched_all_next(struct sched_all *a)
{
	if (a->at < a->depth)
		a->truncated = true; /* this run ended before its path did */
	for (; a->depth > 0; a->depth--) {
		struct sched_all_node *node = &a->node[a->depth - 1u];

		if (node->index + 1u < node->n) {
			node->index++;
			return true;
		}
	}
	return false;
}

void sched_all_free(struct sched_all *a)
{
	free(a->node);
	a->node = NULL;
	a->depth = a->room = 0;
}
