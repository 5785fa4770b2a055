/// Strategies: rows, random, PCT.
///
/// Rows are found by a hash of their key: most points of a run have none, and that
/// must cost next to nothing. The hash is one of the key alone.
///
/// PCT: at each point the CPU with the highest priority goes on. A run has depth - 1
/// points, drawn from 1..points, where the running CPU falls. As in the paper, the
/// i-th that was drawn gives it the i-th of the low priorities, whichever comes first:
/// were each fall one below all, two CPUs that fell could never go on in the order of
/// their falls. Priorities, from the top:
///   first       one for each CPU, in random order
///   CHANGE + i  that of change point i
///   below       a CPU that spins, the latest lowest
/// A point with one CPU that can go on isn't asked about, so a fall there comes with
/// the next one that is; until then nobody could have gone on instead.
///
/// Sources: Burckhardt, Kothari, Musuvathi, Nagarakatte, A Randomized Scheduler with
/// Probabilistic Guarantees of Finding Bugs, ASPLOS 2010, section 3.
#include <stddef.h>

#include "ops/rng.h"
#include "sched/sched.h"

static uint64_t draw(uint64_t *state)
{
	struct ops_rng r = { *state };
	uint64_t x = ops_rng_next(&r);

	*state = r.state;
	return x;
}

/// 0..end-1
static unsigned draw_below(uint64_t *state, unsigned end)
{
	return (unsigned)((draw(state) >> 32) * end >> 32);
}

/// One of 1..n-1 with probability 1 in `in`; else 0.
static unsigned draw_other(uint64_t *state, unsigned in, unsigned n)
{
	return draw_below(state, in) == 0 ? 1u + draw_below(state, n - 1u) : 0;
}

/* ---- rows ---- */

static unsigned bucket(const struct sched_key *k)
{
	uint64_t x = (uint64_t)k->op << 32 | (uint64_t)k->point << 16 |
		     (uint64_t)k->cpu << 8 | k->kind;

	return (unsigned)(x * 0x9e3779b97f4a7c15ull >> 56) % SCHED_ROWS_BUCKETS;
}

static bool same_key(const struct sched_key *a, const struct sched_key *b)
{
	return a->cpu == b->cpu && a->kind == b->kind && a->op == b->op && a->point == b->point;
}

static void rows_begin(struct sched_strategy *self, unsigned cpus_n)
{
	(void)self;
	(void)cpus_n;
}

static unsigned rows_choose(struct sched_strategy *self, const struct sched *s,
			    const struct sched_key *key, enum sched_why why,
			    const uint16_t *option, unsigned n)
{
	const struct sched_rows *r = (const struct sched_rows *)self;
	unsigned at = r->head[bucket(key)];

	(void)s;
	(void)why;
	while (at != 0 && !same_key(&r->choice[at - 1u].key, key))
		at = r->next[at - 1u];
	if (at == 0)
		return 0;
	for (unsigned i = 1; i < n; i++)
		if (option[i] == r->choice[at - 1u].value)
			return i;
	return 0;
}

void sched_rows_init(struct sched_rows *r, const struct sched_choice *choice, uint32_t n)
{
	r->strategy = (struct sched_strategy){ rows_begin, rows_choose };
	r->choice = choice;
	r->n = n < SCHED_CHOICES_MAX ? n : SCHED_CHOICES_MAX;
	for (unsigned i = 0; i < SCHED_ROWS_BUCKETS; i++)
		r->head[i] = 0;
	for (uint32_t i = r->n; i-- > 0;) { /* backwards: the first of a key is met first */
		uint16_t *head = &r->head[bucket(&choice[i].key)];

		r->next[i] = *head;
		*head = (uint16_t)(i + 1u);
	}
}

/* ---- random ---- */

static void random_begin(struct sched_strategy *self, unsigned cpus_n)
{
	struct sched_random *r = (struct sched_random *)self;

	(void)cpus_n;
	r->odds = 4u << draw_below(&r->state, 8); /* the next run goes on with the sequence */
}

/// What random and PCT have in common: all but who goes on.
static unsigned random_other(uint64_t *state, enum sched_kind kind, unsigned n)
{
	return draw_other(state, kind == SCHED_DEFER ? 2 : 4, n);
}

static unsigned random_choose(struct sched_strategy *self, const struct sched *s,
			      const struct sched_key *key, enum sched_why why,
			      const uint16_t *option, unsigned n)
{
	struct sched_random *r = (struct sched_random *)self;

	(void)s;
	(void)option;
	if (key->kind != SCHED_SWITCH)
		return random_other(&r->state, (enum sched_kind)key->kind, n);
	if (why == SCHED_AT_POINT)
		return draw_other(&r->state, r->odds, n);
	return draw_below(&r->state, n);
}

void sched_random_init(struct sched_random *r, uint64_t seed)
{
	*r = (struct sched_random){ { random_begin, random_choose }, seed, 8 };
}

/* ---- PCT ---- */

#define CHANGES_MAX (sizeof(((struct sched_pct *)0)->change) / sizeof(uint64_t))
#define CHANGE 0x40000000u /* priority of change point 0 */
#define FIRST (CHANGE + (uint32_t)CHANGES_MAX)
#define NEVER UINT64_MAX

static unsigned pct_changes_n(const struct sched_pct *p)
{
	return p->depth - 1u;
}

static void pct_begin(struct sched_strategy *self, unsigned cpus_n)
{
	struct sched_pct *p = (struct sched_pct *)self;

	for (unsigned i = 0; i < cpus_n; i++) {
		unsigned j = draw_below(&p->state, i + 1u);

		p->priority[i] = p->priority[j];
		p->priority[j] = FIRST + i;
	}
	for (unsigned i = 0; i < pct_changes_n(p); i++)
		p->change[i] = 1u + draw_below(&p->state, p->points);
	p->lowest = CHANGE;
	p->fallen = 0;
	p->order_only = draw_below(&p->state, 2) == 0;
}

static void pct_fall(struct sched_pct *p, unsigned cpu)
{
	p->priority[cpu] = --p->lowest;
	p->fallen |= 1u << cpu;
}

/// Falls of those who spin: once each, also where they gave way without a choice.
static void pct_spins(struct sched_pct *p, const struct sched *s, enum sched_why why)
{
	if (why == SCHED_AT_RELAX)
		p->fallen &= ~(1u << s->now);
	for (unsigned i = 0; i < s->cpus_n; i++) {
		if (s->cpu[i].state != SCHED_SPINS)
			p->fallen &= ~(1u << i);
		else if (!(p->fallen & 1u << i))
			pct_fall(p, i);
	}
}

static unsigned pct_choose(struct sched_strategy *self, const struct sched *s,
			   const struct sched_key *key, enum sched_why why,
			   const uint16_t *option, unsigned n)
{
	struct sched_pct *p = (struct sched_pct *)self;
	unsigned best = 0;

	if (key->kind != SCHED_SWITCH)
		return p->order_only ? 0 : random_other(&p->state, (enum sched_kind)key->kind, n);
	pct_spins(p, s, why);
	for (unsigned i = 0; why == SCHED_AT_POINT && i < pct_changes_n(p); i++)
		if (p->change[i] <= s->steps) {
			p->priority[s->now] = CHANGE + i;
			p->change[i] = NEVER;
		}
	for (unsigned i = 1; i < n; i++)
		if (p->priority[option[i]] > p->priority[option[best]])
			best = i;
	return best;
}

void sched_pct_init(struct sched_pct *p, uint64_t seed, unsigned depth, unsigned points)
{
	*p = (struct sched_pct){ .strategy = { pct_begin, pct_choose }, .state = seed };
	p->depth = depth < 1 ? 1 : depth > CHANGES_MAX + 1 ? (unsigned)CHANGES_MAX + 1 : depth;
	p->points = points > 0 ? points : 1;
}

double sched_pct_bound(unsigned cpus_n, unsigned points, unsigned depth)
{
	double bound = 0.5 / cpus_n;

	for (unsigned i = 1; i < depth; i++)
		bound /= points;
	return bound;
}
