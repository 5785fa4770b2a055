/// Pressure: the emergency reserve, the marks of a zone and who hears of them, and the
/// callback that is asked to free something before an allocation fails.
#include "verdict/program.h"

#define HOARD_N 64u
#define REFILL_N 4096u /* single frames that overflow any cache */

/* ---- the reserve ---- */

static unsigned reserve_left(struct verdict *v)
{
	struct kmm_frame_stats s;

	kmm_frame_stats(v->k, &s);
	return (unsigned)s.reserve_n;
}

/// Frees what fills the reserve up again: single frames, more than caches hold.
static void refill(struct verdict *v)
{
	struct chain held = { 0 };
	struct kmm_pfn pfn;

	while (held.frames_n < REFILL_N && kmm_frame_alloc(v->k, 0, 0, &pfn) == KMM_OK)
		chain_push(v->k, &held, pfn, 0);
	chain_give_back(v, &held);
}

/// Entitled or not, who asks for a kind alone gets nothing else.
static void reserve_of_kinds(struct verdict *v, struct chain *saved)
{
	for (unsigned kind = 0; kind <= (unsigned)VERDICT_PLAIN_KIND; kind++) {
		unsigned flags = KMM_FRAME_RESERVE | KMM_FRAME_ONLY | KMM_FRAME_ZONE(kind);
		struct kmm_zone_info z = { .kind = KMM_ZONE_KINDS_N };
		struct kmm_pfn pfn;

		if (kmm_frame_alloc(v->k, 0, flags, &pfn) != KMM_OK)
			continue;
		chain_push(v->k, saved, pfn, 0);
		verdict_zone_of(v, pfn, &z);
		VERDICT_EXPECT(v, z.kind == kind, "the reserve gave %s where %s alone was asked",
			       z.name, kmm_zone_kind_name((enum kmm_zone_kind)kind));
	}
}

void verdict_reserve(struct verdict *v)
{
	unsigned want = reserve_left(v);
	uint64_t taken;
	struct chain all = { 0 }, saved = { 0 };
	struct kmm_pfn pfn;

	if (want == 0) {
		VERDICT_SAY(v, "this preset keeps no reserve");
		return;
	}
	chain_take_all(v, &all, 9, 0, NULL);
	taken = all.frames_n;
	VERDICT_EXPECT(v, reserve_left(v) == want, "ordinary allocations took of the reserve");
	reserve_of_kinds(v, &saved);
	while (kmm_frame_alloc(v->k, 0, KMM_FRAME_RESERVE, &pfn) == KMM_OK)
		chain_push(v->k, &saved, pfn, 0);
	VERDICT_EXPECT(v, saved.frames_n == want && reserve_left(v) == 0,
		       "%llu frames came of a reserve of %u", (unsigned long long)saved.frames_n,
		       want);
	VERDICT_EXPECT(v, kmm_frame_alloc(v->k, 0, 0, &pfn) == KMM_ENOMEM,
		       "an ordinary allocation succeeded when all was gone");
	chain_give_back(v, &saved);
	chain_give_back(v, &all);
	refill(v);
	VERDICT_EXPECT(v, reserve_left(v) == want, "%u of %u frames are back in the reserve",
		       reserve_left(v), want);
	VERDICT_SAY(v, "%u frames, given when %llu were taken, and filled up again", want,
		    (unsigned long long)taken);
}

/* ---- marks ---- */

/// What the listener heard.
struct heard {
	unsigned zone;             /* of which levels are noted */
	unsigned level[16], n;     /* in order */
	unsigned reclaims_n;
	struct verdict *v;
	struct chain *hoard;       /* what reclaim may free */
};

static void on_level(struct kmm *k, void *ctx, unsigned zone, enum kmm_level level)
{
	struct heard *h = ctx;

	(void)k;
	if (zone == h->zone && h->n < sizeof(h->level) / sizeof(h->level[0]))
		h->level[h->n++] = level;
}

static uint64_t on_reclaim(struct kmm *k, void *ctx, unsigned order)
{
	struct heard *h = ctx;
	struct kmm_pfn pfn = { 0 };
	unsigned block = 0;

	(void)order;
	h->reclaims_n++;
	if (!chain_pop(k, h->hoard, &pfn, &block))
		return 0;
	verdict_free(h->v, pfn, block);
	return 1ull << block;
}

/// Takes of a zone until its level is `level`, or nothing is left.
static void press(struct verdict *v, unsigned i, const struct kmm_zone_info *z,
		  struct kmm_node_policy *node, enum kmm_level level, struct chain *held)
{
	unsigned order = 0;
	struct kmm_zone_info now = *z;
	struct kmm_pfn pfn;

	while (order < 9u && z->managed_n >> (order + 8u) != 0)
		order++;
	while (kmm_zone_info(v->k, i, &now) == KMM_OK && now.level != level &&
	       kmm_frame_alloc_on(v->k, order, KMM_FRAME_ZONE(z->kind) | KMM_FRAME_ONLY, node,
				  &pfn) == KMM_OK)
		chain_push(v->k, held, pfn, order);
	VERDICT_EXPECT(v, now.level == level, "%llu frames are free, level %u instead of %u",
		       (unsigned long long)now.free_n, now.level, level);
}

void verdict_watermarks(struct verdict *v)
{
	struct heard h = { .v = v };
	const struct kmm_pressure listener = { .ctx = &h, .level = on_level };
	struct kmm_zone_info z = { 0 };
	struct kmm_node_policy node = { .kind = KMM_NODES_BIND };
	struct chain held = { 0 };
	struct kmm_pfn pfn;
	unsigned i;

	if (!verdict_alloc(v, 4, 0, &pfn))
		return;
	i = h.zone = verdict_zone_of(v, pfn, &z);
	verdict_free(v, pfn, 4);
	node.set = 1u << z.node;
	VERDICT_EXPECT(v, kmm_zone_set_marks(v->k, i, 1, 2, 3) == KMM_EINVAL,
		       "marks that rise are taken");
	VERDICT_EXPECT(v, kmm_zone_set_marks(v->k, i, z.managed_n / 2, z.managed_n / 4,
					     z.managed_n / 8) == KMM_OK,
		       "marks aren't taken");
	kmm_pressure_listen(v->k, &listener);
	for (unsigned level = KMM_LEVEL_LOW; level < KMM_LEVELS_N; level++)
		press(v, i, &z, &node, (enum kmm_level)level, &held);
	VERDICT_EXPECT(v, h.n == 3u && h.level[0] == KMM_LEVEL_LOW &&
				  h.level[1] == KMM_LEVEL_MIN && h.level[2] == KMM_LEVEL_CRITICAL,
		       "on the way down %u levels were heard, the first %u", h.n, h.level[0]);
	chain_give_back(v, &held);
	kmm_frame_drain(v->k);
	VERDICT_EXPECT(v, h.n >= 4u && h.level[h.n - 1u] == KMM_LEVEL_OK,
		       "on the way up %u levels were heard", h.n - 3u);
	kmm_pressure_listen(v->k, NULL);
	VERDICT_EXPECT(v, kmm_zone_set_marks(v->k, i, z.mark[KMM_LEVEL_LOW], z.mark[KMM_LEVEL_MIN],
					     z.mark[KMM_LEVEL_CRITICAL]) == KMM_OK,
		       "the old marks aren't taken");
	VERDICT_SAY(v, "%s zone: 3 levels down, %u up, marks %llu %llu %llu", z.name, h.n - 3u,
		    (unsigned long long)z.managed_n / 2, (unsigned long long)z.managed_n / 4,
		    (unsigned long long)z.managed_n / 8);
}

/* ---- reclaim ---- */

void verdict_reclaim(struct verdict *v)
{
	struct chain all = { 0 }, hoard = { 0 }, got = { 0 };
	struct heard h = { .v = v, .hoard = &hoard, .zone = KMM_ZONES_MAX };
	const struct kmm_pressure listener = { .ctx = &h, .reclaim = on_reclaim };
	struct kmm_pfn pfn;

	while (hoard.frames_n < HOARD_N && verdict_alloc(v, 0, 0, &pfn))
		chain_push(v->k, &hoard, pfn, 0);
	chain_take_all(v, &all, 9, 0, NULL);
	kmm_pressure_listen(v->k, &listener);
	VERDICT_EXPECT(v, kmm_frame_alloc(v->k, 0, KMM_FRAME_NOWAIT, &pfn) == KMM_ENOMEM &&
				  h.reclaims_n == 0,
		       "an allocation that may not wait had memory reclaimed");
	while (kmm_frame_alloc(v->k, 0, 0, &pfn) == KMM_OK)
		chain_push(v->k, &got, pfn, 0);
	VERDICT_EXPECT(v, got.frames_n == HOARD_N && hoard.frames_n == 0,
		       "%llu frames of %u came by reclaim", (unsigned long long)got.frames_n,
		       HOARD_N);
	VERDICT_EXPECT(v, h.reclaims_n > HOARD_N, "asked %u times for %u frames", h.reclaims_n,
		       HOARD_N);
	kmm_pressure_listen(v->k, NULL);
	chain_give_back(v, &got);
	chain_give_back(v, &hoard);
	chain_give_back(v, &all);
	VERDICT_SAY(v, "%u frames reclaimed when none was free, in %u callbacks", HOARD_N,
		    h.reclaims_n);
}
