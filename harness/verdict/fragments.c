/// Fragmentation: its figures are true of a memory that is scattered on purpose, and
/// memory that was churned for long becomes whole again once all is given back.
#include "verdict/program.h"

#define SCATTER_N 2048u  /* frames, of which every other goes back */
#define CHURN_N 16384u   /* frames that come and go */
#define CHURN_ROUNDS 4u
#define WHOLE_LG2 9u
#define SLOTS_ORDER 4u   /* CHURN_N frame numbers of 4 bytes */

/// Sums over zones that give frames without asking; the largest run is of all.
static void measure(struct verdict *v, struct kmm_fragmentation *sum)
{
	struct kmm_fragmentation f;
	struct kmm_zone_info z;

	kmm_frame_drain(v->k);
	*sum = (struct kmm_fragmentation){ .free_n = 0 };
	for (unsigned i = 0; kmm_zone_info(v->k, i, &z) == KMM_OK; i++) {
		uint64_t blocks = 0;
		unsigned least = 0;

		if (z.kind > VERDICT_PLAIN_KIND)
			continue;
		if (!VERDICT_EXPECT(v, kmm_zone_fragmentation(v->k, i, &f) == KMM_OK,
				    "zone %u isn't measured", i))
			return;
		for (unsigned order = 0; order <= KMM_ORDER_MAX; order++) {
			blocks += f.blocks_n[order] << order;
			VERDICT_EXPECT(v, f.unusable[order] <= 1000u && f.unusable[order] >= least,
				       "zone %u: %u of 1000 unusable for order %u", i,
				       f.unusable[order], order);
			least = f.unusable[order];
		}
		VERDICT_EXPECT(v, f.free_n == z.free_n && blocks == z.free_n &&
					  f.unusable[0] == 0 && f.largest_run_n <= f.free_n,
			       "zone %u: %llu free, %llu in runs, %llu in blocks", i,
			       (unsigned long long)z.free_n, (unsigned long long)f.free_n,
			       (unsigned long long)blocks);
		sum->free_n += f.free_n;
		sum->runs_n += f.runs_n;
		sum->whole_n += f.whole_n;
		if (f.largest_run_n > sum->largest_run_n)
			sum->largest_run_n = f.largest_run_n;
	}
}

/// Of many single frames those with even numbers go back: holes beside held frames.
void verdict_fragmentation(struct verdict *v)
{
	struct kmm_fragmentation before, holes, after;
	struct chain kept = { 0 }, given = { 0 };
	struct kmm_pfn pfn;

	measure(v, &before);
	for (unsigned i = 0; i < SCATTER_N && verdict_alloc(v, 0, 0, &pfn); i++)
		chain_push(v->k, pfn.n & 1u ? &kept : &given, pfn, 0);
	chain_give_back(v, &given);
	measure(v, &holes);
	VERDICT_EXPECT(v, holes.runs_n > before.runs_n && holes.whole_n <= before.whole_n,
		       "%llu runs and %llu whole blocks when scattered, %llu and %llu before",
		       (unsigned long long)holes.runs_n, (unsigned long long)holes.whole_n,
		       (unsigned long long)before.runs_n, (unsigned long long)before.whole_n);
	chain_give_back(v, &kept);
	measure(v, &after);
	VERDICT_EXPECT(v, kmm_frame_largest_order(v->k) != 0, "no largest block is known");
	VERDICT_SAY(v, "runs and whole 2 MiB blocks: %llu and %llu; scattered %llu and %llu; then "
		    "%llu and %llu; longest run %llu frames",
		    (unsigned long long)before.runs_n, (unsigned long long)before.whole_n,
		    (unsigned long long)holes.runs_n, (unsigned long long)holes.whole_n,
		    (unsigned long long)after.runs_n, (unsigned long long)after.whole_n,
		    (unsigned long long)after.largest_run_n);
}

/* ---- over time ---- */

struct churn {
	struct kmm_pfn slots; /* a block that holds slot[] */
	uint32_t *slot;       /* frame numbers; memory ends far below 2^44 */
	unsigned n;
	uint64_t random;
};

static bool churn_begin(struct verdict *v, struct churn *c, struct chain *rest)
{
	struct kmm_pfn pfn;

	*c = (struct churn){ .random = 88172645463325252ull };
	if (!verdict_alloc(v, SLOTS_ORDER, 0, &c->slots))
		return false;
	c->slot = kmm_frame_virt(v->k, c->slots);
	/* What is churned shall be most of what is there. */
	while (verdict_free_in_zones(v, VERDICT_PLAIN_KIND) > CHURN_N + CHURN_N / 4u &&
	       kmm_frame_alloc(v->k, WHOLE_LG2, 0, &pfn) == KMM_OK)
		chain_push(v->k, rest, pfn, WHOLE_LG2);
	while (c->n < CHURN_N && kmm_frame_alloc(v->k, 0, 0, &pfn) == KMM_OK)
		c->slot[c->n++] = (uint32_t)pfn.n;
	return true;
}

/// Frees the frame of a slot at random; the slot is free then.
static uint32_t *churn_free_one(struct verdict *v, struct churn *c)
{
	uint32_t *slot = &c->slot[verdict_random(&c->random) % c->n];
	struct kmm_pfn pfn = { *slot };

	verdict_free(v, pfn, 0);
	return slot;
}

static void churn_free_n(struct verdict *v, struct churn *c, unsigned n)
{
	for (; n != 0; n--, c->n--)
		*churn_free_one(v, c) = c->slot[c->n - 1u];
}

static unsigned churn(struct verdict *v, struct churn *c)
{
	unsigned times = 0;

	for (; c->n != 0 && times < CHURN_ROUNDS * CHURN_N; times++) {
		uint32_t *slot = churn_free_one(v, c);
		struct kmm_pfn pfn;

		if (!verdict_alloc(v, 0, 0, &pfn)) {
			*slot = c->slot[--c->n];
			break;
		}
		*slot = (uint32_t)pfn.n;
	}
	return times;
}

/// How many blocks of 2 MiB can really be had.
static uint64_t whole_to_be_had(struct verdict *v)
{
	struct chain whole = { 0 };
	struct kmm_pfn pfn;
	uint64_t n;

	while (kmm_frame_alloc(v->k, WHOLE_LG2, 0, &pfn) == KMM_OK)
		chain_push(v->k, &whole, pfn, WHOLE_LG2);
	n = whole.blocks_n;
	chain_give_back(v, &whole);
	return n;
}

void verdict_over_time(struct verdict *v)
{
	struct kmm_fragmentation before, half, after;
	struct kmm_frame_stats s;
	struct chain rest = { 0 };
	struct churn c;
	unsigned times, n;
	uint64_t whole_n;

	measure(v, &before);
	if (!churn_begin(v, &c, &rest))
		return;
	n = c.n;
	times = churn(v, &c);
	churn_free_n(v, &c, c.n / 2u);
	measure(v, &half);
	whole_n = whole_to_be_had(v);
	churn_free_n(v, &c, c.n);
	verdict_free(v, c.slots, SLOTS_ORDER);
	chain_give_back(v, &rest);
	measure(v, &after);
	kmm_frame_stats(v->k, &s);
	/* What caches keep for good may be in as many blocks. */
	VERDICT_EXPECT(v, after.whole_n + s.cached_n >= before.whole_n,
		       "%llu whole blocks of 2 MiB before, %llu when all is free again",
		       (unsigned long long)before.whole_n, (unsigned long long)after.whole_n);
	VERDICT_SAY(v, "%u of %u frames replaced; half freed: %llu of %llu possible 2 MiB blocks; "
		    "all freed: %llu of %llu", times, n, (unsigned long long)whole_n,
		    (unsigned long long)(half.free_n >> WHOLE_LG2),
		    (unsigned long long)after.whole_n, (unsigned long long)before.whole_n);
}
