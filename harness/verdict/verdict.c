/// The list of verdict programs, and what is the same for all of them: before and after
/// each one the caches are drained and free frames counted, and after it all structures
/// are walked. A program that broke something fails, whatever it says itself.
///
/// Chains. A program that takes all memory has no room for a list of what it took: the
/// blocks are chained through their own first words, which also tell whether anybody else
/// wrote there.
#include "verdict/program.h"

#define LINK_MARK 0x70616765u

struct link {
	uint64_t next; /* as chain.head */
	uint64_t order, mark;
};

static const struct {
	const char *name;
	void (*run)(struct verdict *v);
} programs[] = {
	{ "preset", verdict_preset },
	{ "zones", verdict_zones },
	{ "nodes", verdict_nodes },
	{ "reserve", verdict_reserve },
	{ "watermarks", verdict_watermarks },
	{ "reclaim", verdict_reclaim },
	{ "limits", verdict_limits },
	{ "counts", verdict_counts },
	{ "hotplug", verdict_hotplug },
	{ "zeroing", verdict_zeroing },
	{ "known-zero", verdict_known_zero },
	{ "wrong-free", verdict_wrong_free },
	{ "fail-each", verdict_fail_each },
	{ "fragmentation", verdict_fragmentation },
	{ "over-time", verdict_over_time },
	{ "exhaustion", verdict_exhaustion },
	{ "cycles", verdict_cycles },
	{ "storms", verdict_storms },
};

/* ---- chains ---- */

void chain_push(struct kmm *k, struct chain *c, struct kmm_pfn pfn, unsigned order)
{
	struct link *l = kmm_frame_virt(k, pfn);

	*l = (struct link){ .next = c->head, .order = order, .mark = pfn.n ^ LINK_MARK };
	c->head = pfn.n + 1u;
	c->blocks_n++;
	c->frames_n += 1ull << order;
}

bool chain_pop(struct kmm *k, struct chain *c, struct kmm_pfn *pfn, unsigned *order)
{
	const struct link *l;

	if (c->head == 0)
		return false;
	pfn->n = c->head - 1u;
	l = kmm_frame_virt(k, *pfn);
	if (l->mark != (pfn->n ^ LINK_MARK) || l->order > KMM_ORDER_MAX)
		return false;
	*order = (unsigned)l->order;
	c->head = l->next;
	c->blocks_n--;
	c->frames_n -= 1ull << *order;
	return true;
}

void chain_take_all(struct verdict *v, struct chain *c, unsigned order_max, unsigned flags,
		    struct kmm_node_policy *nodes)
{
	struct kmm_pfn pfn;

	for (unsigned order = order_max + 1u; order-- != 0;)
		while (kmm_frame_alloc_on(v->k, order, flags, nodes, &pfn) == KMM_OK)
			chain_push(v->k, c, pfn, order);
}

void chain_give_back(struct verdict *v, struct chain *c)
{
	struct kmm_pfn pfn = { 0 };
	unsigned order = 0;

	while (chain_pop(v->k, c, &pfn, &order))
		verdict_free(v, pfn, order);
	VERDICT_EXPECT(v, c->head == 0, "frame 0x%llx was written to by somebody else",
		       (unsigned long long)(c->head - 1u));
}

/* ---- small things ---- */

bool verdict_alloc(struct verdict *v, unsigned order, unsigned flags, struct kmm_pfn *out)
{
	enum kmm_error e = kmm_frame_alloc(v->k, order, flags, out);

	return VERDICT_EXPECT(v, e == KMM_OK, "order %u with flags 0x%x: %s", order, flags,
			      kmm_error_name(e));
}

void verdict_free(struct verdict *v, struct kmm_pfn pfn, unsigned order)
{
	enum kmm_error e = kmm_frame_free(v->k, pfn, order);

	VERDICT_EXPECT(v, e == KMM_OK, "frame 0x%llx of order %u isn't freed: %s",
		       (unsigned long long)pfn.n, order, kmm_error_name(e));
}

unsigned verdict_zone_of(struct verdict *v, struct kmm_pfn pfn, struct kmm_zone_info *out)
{
	for (unsigned i = 0; kmm_zone_info(v->k, i, out) == KMM_OK; i++)
		if (pfn.n >= out->base.n && pfn.n < out->end.n)
			return i;
	return KMM_ZONES_MAX;
}

uint64_t verdict_free_in_zones(struct verdict *v, enum kmm_zone_kind last)
{
	struct kmm_zone_info z;
	uint64_t n = 0;

	for (unsigned i = 0; kmm_zone_info(v->k, i, &z) == KMM_OK; i++)
		n += z.kind <= last ? z.free_n : 0;
	return n;
}

uint64_t verdict_free_n(struct verdict *v)
{
	struct kmm_frame_stats s;

	kmm_frame_stats(v->k, &s);
	return s.free_n;
}

/* ---- one after another ---- */

static void count(struct verdict *v, struct kmm_frame_stats *s)
{
	kmm_frame_drain(v->k);
	kmm_frame_stats(v->k, s);
}

static void expect_same(struct verdict *v, const char *what, uint64_t before, uint64_t after)
{
	VERDICT_EXPECT(v, before == after, "%s: %llu frames before, %llu after", what,
		       (unsigned long long)before, (unsigned long long)after);
}

static bool run(struct verdict_body *b, unsigned i)
{
	struct verdict v = { .body = b, .k = b->k };
	struct kmm_frame_stats before, after;
	char line[240];

	count(&v, &before);
	programs[i].run(&v);
	count(&v, &after);
	VERDICT_EXPECT(&v, kmm_frame_check(v.k) == KMM_OK, "kmm_frame_check finds damage");
	expect_same(&v, "managed", before.managed_n, after.managed_n);
	expect_same(&v, "free", before.free_n + before.reserve_n, after.free_n + after.reserve_n);
	expect_same(&v, "reserve", before.reserve_n, after.reserve_n);
	kmm_format(line, sizeof(line), "@verdict frame.%s %s %s", programs[i].name,
		   v.failed ? "failed" : "ok", v.text);
	b->line(line);
	return !v.failed;
}

unsigned verdict_run_all(struct verdict_body *b)
{
	unsigned failed_n = 0;

	for (unsigned i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		failed_n += !run(b, i);
	return failed_n;
}
