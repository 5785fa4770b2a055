/// Many at once: cycles of allocation and free on all CPUs with mixed orders, each block
/// entered in a map of owners; storms in which all CPUs take all there is; and exhaustion
/// by one CPU. No frame has two owners, none is lost.
///
/// The map has a bit a frame. Who gets a block sets its bits, and finds one set already if
/// somebody else has the frame; who frees it clears them first.
#include "verdict/program.h"

#define CYCLES_N 10000u /* of each CPU */
#define HELD_N 32u
#define PLACES_N 64u /* where blocks wait for another CPU to free them */
#define WAVES_N 4u
#define BATCH_N 64u

struct owners {
	struct kmm_pfn at; /* a block that holds word[] */
	unsigned order;
	uint64_t base;  /* frame number of bit 0; a multiple of 64 */
	uint64_t *word; /* atomic */
};

static bool owners_begin(struct verdict *v, struct owners *o)
{
	struct kmm_zone_info z;
	uint64_t end = 0, words_n;

	*o = (struct owners){ .base = ~0ull };
	for (unsigned i = 0; kmm_zone_info(v->k, i, &z) == KMM_OK; i++) {
		o->base = z.base.n < o->base ? z.base.n : o->base;
		end = z.end.n > end ? z.end.n : end;
	}
	o->base &= ~63ull;
	words_n = (end - o->base + 63u) / 64u;
	while (KMM_PAGE_BYTES << o->order < words_n * sizeof(*o->word))
		o->order++;
	if (!verdict_alloc(v, o->order, KMM_FRAME_ZERO, &o->at))
		return false;
	o->word = kmm_frame_virt(v->k, o->at);
	return true;
}

/// The bits of a block within one word, which they fill from order 6 on.
static uint64_t bits_of(const struct owners *o, struct kmm_pfn pfn, unsigned order)
{
	return order >= 6u ? ~0ull : ((1ull << (1u << order)) - 1u) << ((pfn.n - o->base) % 64u);
}

/// Returns: whether nobody had any of the block's frames
static bool owners_take(struct owners *o, struct kmm_pfn pfn, unsigned order)
{
	uint64_t bits = bits_of(o, pfn, order), were = 0;
	uint64_t *word = &o->word[(pfn.n - o->base) / 64u];

	for (uint64_t i = 0; i < (order > 6u ? 1ull << (order - 6u) : 1u); i++)
		were |= __atomic_fetch_or(&word[i], bits, __ATOMIC_ACQ_REL) & bits;
	return were == 0;
}

/// Returns: whether all were taken
static bool owners_drop(struct owners *o, struct kmm_pfn pfn, unsigned order)
{
	uint64_t bits = bits_of(o, pfn, order), were = ~0ull;
	uint64_t *word = &o->word[(pfn.n - o->base) / 64u];

	for (uint64_t i = 0; i < (order > 6u ? 1ull << (order - 6u) : 1u); i++)
		were &= __atomic_fetch_and(&word[i], ~bits, __ATOMIC_ACQ_REL) | ~bits;
	return were == ~0ull;
}

/* ---- cycles ---- */

/// A block as one number: frame number << 8 | order + 1. 0 = none
static uint64_t block_pack(struct kmm_pfn pfn, unsigned order)
{
	return pfn.n << 8 | (order + 1u);
}

struct cycles {
	struct verdict *v;
	struct owners owners;
	uint64_t place[PLACES_N]; /* atomic; blocks */
	uint32_t doubled_n, lost_n, refused_n, remote_n; /* atomic */
};

static void note(uint32_t *counter)
{
	__atomic_fetch_add(counter, 1u, __ATOMIC_RELAXED);
}

static uint64_t cycle_take(struct cycles *c, uint64_t random)
{
	static const uint8_t orders[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 5, 7, 9 };
	unsigned order = orders[random >> 40 & 15u];
	unsigned flags = random >> 44 & 1u ? KMM_FRAME_MOVABLE : 0;
	struct kmm_pfn pfn;

	if (kmm_frame_alloc(c->v->k, order, flags, &pfn) != KMM_OK) {
		note(&c->refused_n);
		return 0;
	}
	if (!owners_take(&c->owners, pfn, order))
		note(&c->doubled_n);
	return block_pack(pfn, order);
}

static void cycle_drop(struct cycles *c, uint64_t block)
{
	struct kmm_pfn pfn = { block >> 8 };
	unsigned order = (unsigned)(block & 255u) - 1u;

	if (block == 0)
		return;
	if (!owners_drop(&c->owners, pfn, order) ||
	    kmm_frame_free(c->v->k, pfn, order) != KMM_OK)
		note(&c->lost_n);
}

/// Every fourth block goes to another CPU, or to this one later.
static void cycle_work(void *ctx, unsigned cpu)
{
	struct cycles *c = ctx;
	uint64_t held[HELD_N] = { 0 }, random = 88172645463325252ull + cpu;

	for (unsigned i = 0; i < CYCLES_N; i++) {
		uint64_t *mine = &held[verdict_random(&random) % HELD_N];

		if (random >> 32 & 3u) {
			cycle_drop(c, *mine);
		} else {
			uint64_t *place = &c->place[random >> 34 & (PLACES_N - 1u)];

			note(&c->remote_n);
			cycle_drop(c, __atomic_exchange_n(place, *mine, __ATOMIC_ACQ_REL));
		}
		*mine = cycle_take(c, random);
	}
	for (unsigned i = 0; i < HELD_N; i++)
		cycle_drop(c, held[i]);
}

void verdict_cycles(struct verdict *v)
{
	static struct cycles c; /* too large for a kernel's stack beside all else */

	c = (struct cycles){ .v = v };
	if (!owners_begin(v, &c.owners))
		return;
	v->body->on_cpus(v->body, cycle_work, &c);
	for (unsigned i = 0; i < PLACES_N; i++)
		cycle_drop(&c, c.place[i]);
	verdict_free(v, c.owners.at, c.owners.order);
	VERDICT_EXPECT(v, c.doubled_n == 0, "%u blocks were handed out twice", c.doubled_n);
	VERDICT_EXPECT(v, c.lost_n == 0, "%u blocks weren't ours any more, or weren't freed",
		       c.lost_n);
	VERDICT_SAY(v, "%u cycles on each of %u CPUs, orders 0 to 9, %u handed over, %u refused",
		    CYCLES_N, v->body->cpus_n, c.remote_n, c.refused_n);
}

/* ---- storms ---- */

struct storm {
	struct verdict *v;
	struct owners owners;
	struct chain held[VERDICT_CPUS_MAX]; /* each its CPU's */
	uint32_t doubled_n, lost_n; /* atomic */
};

static void storm_take(void *ctx, unsigned cpu)
{
	struct storm *s = ctx;
	struct kmm_pfn pfn[BATCH_N];
	unsigned got;

	while ((got = kmm_frame_alloc_batch(s->v->k, 0, 0, BATCH_N, pfn)) != 0) {
		for (unsigned i = 0; i < got; i++) {
			if (!owners_take(&s->owners, pfn[i], 0))
				note(&s->doubled_n);
			chain_push(s->v->k, &s->held[cpu], pfn[i], 0);
		}
	}
}

static void storm_give(void *ctx, unsigned cpu)
{
	struct storm *s = ctx;
	struct kmm_pfn pfn[BATCH_N] = { { 0 } };
	unsigned order = 0, n;

	do {
		for (n = 0; n < BATCH_N; n++) {
			if (!chain_pop(s->v->k, &s->held[cpu], &pfn[n], &order))
				break;
			if (!owners_drop(&s->owners, pfn[n], 0))
				note(&s->lost_n);
		}
		if (kmm_frame_free_batch(s->v->k, 0, n, pfn, NULL) != KMM_OK)
			note(&s->lost_n);
	} while (n == BATCH_N);
	if (s->held[cpu].head != 0)
		note(&s->lost_n);
}

/// Takes all that there is, by all CPUs, and gives it back. Returns: frames
static uint64_t wave(struct verdict *v, struct storm *s)
{
	uint64_t before = verdict_free_n(v), taken = 0, left;

	v->body->on_cpus(v->body, storm_take, s);
	for (unsigned i = 0; i < v->body->cpus_n; i++)
		taken += s->held[i].frames_n;
	left = verdict_free_n(v);
	VERDICT_EXPECT(v, taken + left == before,
		       "%llu frames were free, %llu taken, %llu are left",
		       (unsigned long long)before, (unsigned long long)taken,
		       (unsigned long long)left);
	left = verdict_free_in_zones(v, VERDICT_PLAIN_KIND);
	VERDICT_EXPECT(v, left == 0, "nothing more was given when %llu frames were free",
		       (unsigned long long)left);
	v->body->on_cpus(v->body, storm_give, s);
	return taken;
}

void verdict_storms(struct verdict *v)
{
	static struct storm s;
	uint64_t frames_n = 0;

	s = (struct storm){ .v = v };
	if (!owners_begin(v, &s.owners))
		return;
	for (unsigned i = 0; i < WAVES_N; i++)
		frames_n += wave(v, &s);
	verdict_free(v, s.owners.at, s.owners.order);
	VERDICT_EXPECT(v, s.doubled_n == 0, "%u frames were handed out twice", s.doubled_n);
	VERDICT_EXPECT(v, s.lost_n == 0, "%u frames were lost or written to", s.lost_n);
	VERDICT_SAY(v, "%u waves of %u CPUs until nothing was left, %llu frames in all", WAVES_N,
		    v->body->cpus_n, (unsigned long long)frames_n);
}

/* ---- exhaustion ---- */

void verdict_exhaustion(struct verdict *v)
{
	static const unsigned order_max[] = { 0, 9, KMM_ORDER_MAX };
	uint64_t before, left, taken[3] = { 0 };
	struct kmm_pfn pfn;

	kmm_frame_drain(v->k);
	before = verdict_free_n(v);
	for (unsigned i = 0; i < 3u; i++) {
		struct chain all = { 0 };

		chain_take_all(v, &all, order_max[i], 0, NULL);
		taken[i] = all.frames_n;
		left = verdict_free_n(v);
		VERDICT_EXPECT(v, taken[i] + left == before,
			       "%llu were free, %llu taken, %llu left", (unsigned long long)before,
			       (unsigned long long)taken[i], (unsigned long long)left);
		VERDICT_EXPECT(v, verdict_free_in_zones(v, VERDICT_PLAIN_KIND) == 0,
			       "refused although frames are free");
		VERDICT_EXPECT(v, kmm_frame_alloc(v->k, 0, 0, &pfn) == KMM_ENOMEM,
			       "an allocation succeeded when all was gone");
		chain_give_back(v, &all);
		VERDICT_EXPECT(v, verdict_free_n(v) == before, "%llu free, then %llu",
			       (unsigned long long)before, (unsigned long long)verdict_free_n(v));
	}
	VERDICT_SAY(v, "%llu frames taken by single frames, %llu by orders to 9, %llu by orders to "
		    "%u; all came back", (unsigned long long)taken[0],
		    (unsigned long long)taken[1], (unsigned long long)taken[2], KMM_ORDER_MAX);
}
