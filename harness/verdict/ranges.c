/// Ranges: any number of frames, between address limits, aligned; and memory that comes
/// and goes.
#include "verdict/program.h"

struct range {
	struct kmm_pfn pfn;
	uint64_t n;
};

/// A range by this request, checked against it.
static bool take(struct verdict *v, const struct kmm_frame_request *r, struct range *out)
{
	enum kmm_error e = kmm_frame_alloc_range(v->k, r, &out->pfn);
	uint64_t start, end;

	out->n = r->n;
	if (!VERDICT_EXPECT(v, e == KMM_OK, "%llu frames, aligned to %llu, below 0x%llx: %s",
			    (unsigned long long)r->n, (unsigned long long)r->align_n,
			    (unsigned long long)r->hi.a, kmm_error_name(e)))
		return false;
	start = kmm_pfn_to_pa(out->pfn).a;
	end = start + (r->n << KMM_PAGE_LG2);
	VERDICT_EXPECT(v, start >= r->lo.a && (r->hi.a == 0 || end <= r->hi.a),
		       "0x%llx-0x%llx isn't between 0x%llx and 0x%llx", (unsigned long long)start,
		       (unsigned long long)end, (unsigned long long)r->lo.a,
		       (unsigned long long)r->hi.a);
	VERDICT_EXPECT(v, r->align_n == 0 || (out->pfn.n & (r->align_n - 1u)) == 0,
		       "0x%llx isn't aligned to %llu frames", (unsigned long long)start,
		       (unsigned long long)r->align_n);
	return true;
}

static void give(struct verdict *v, const struct range *r)
{
	enum kmm_error e = kmm_frame_free_range(v->k, r->pfn, r->n);

	VERDICT_EXPECT(v, e == KMM_OK, "a range of %llu frames isn't freed: %s",
		       (unsigned long long)r->n, kmm_error_name(e));
}

static void expect_error(struct verdict *v, const struct kmm_frame_request *r,
			 enum kmm_error want, const char *what)
{
	struct kmm_pfn pfn;
	enum kmm_error e = kmm_frame_alloc_range(v->k, r, &pfn);

	VERDICT_EXPECT(v, e == want, "%s: %s", what, kmm_error_name(e));
	if (e == KMM_OK)
		give(v, &(struct range){ pfn, r->n });
}

/* ---- limits ---- */

/// The largest zone of those that are given without asking.
static struct kmm_zone_info largest(struct verdict *v)
{
	struct kmm_zone_info z, best = { .managed_n = 0 };

	for (unsigned i = 0; kmm_zone_info(v->k, i, &z) == KMM_OK; i++)
		if (z.kind <= VERDICT_PLAIN_KIND && z.managed_n > best.managed_n)
			best = z;
	return best;
}

/// A range of one kind alone is of that kind, or there is no such memory.
static void of_each_kind(struct verdict *v)
{
	struct kmm_zone_info z;
	struct range got;

	for (unsigned kind = 0; kind < KMM_ZONE_KINDS_N; kind++) {
		struct kmm_frame_request r = {
			.n = 3, .flags = KMM_FRAME_ZONE(kind) | KMM_FRAME_ONLY
		};
		bool is_there = false;

		for (unsigned i = 0; kmm_zone_info(v->k, i, &z) == KMM_OK; i++)
			is_there |= z.kind == kind && z.managed_n != 0;
		if (!is_there) {
			expect_error(v, &r, KMM_ENOMEM, "a range of a kind that isn't there");
		} else if (take(v, &r, &got)) {
			verdict_zone_of(v, got.pfn, &z);
			VERDICT_EXPECT(v, z.kind == kind, "a range of %s alone is of %s",
				       kmm_zone_kind_name((enum kmm_zone_kind)kind), z.name);
			give(v, &got);
		}
	}
}

void verdict_limits(struct verdict *v)
{
	struct kmm_zone_info z = largest(v);
	struct kmm_pa lo = kmm_pfn_to_pa(z.base), hi = kmm_pfn_to_pa(z.end);
	struct kmm_pa middle = { (lo.a + hi.a) / 2u & ~(KMM_PAGE_BYTES - 1u) };
	const struct kmm_frame_request want[] = {
		{ .n = 37, .hi = middle },
		{ .n = 37, .lo = middle },
		{ .n = 37, .align_n = 64, .lo = middle },
		{ .n = 512, .align_n = 512, .hi = middle },
		{ .n = 1, .align_n = 1024, .lo = lo, .hi = hi },
		{ .n = 100, .align_n = 16, .lo = { middle.a - (1ull << 20) },
		  .hi = { middle.a + (1ull << 20) } },
		{ .n = 3, .lo = { middle.a + (8ull << 20) }, .hi = { middle.a + (9ull << 20) },
		  .flags = KMM_FRAME_ZERO },
	};
	struct range got[sizeof(want) / sizeof(want[0])];
	unsigned n = 0;

	for (; n < sizeof(want) / sizeof(want[0]); n++)
		if (!take(v, &want[n], &got[n]))
			break;
	expect_error(v, &(struct kmm_frame_request){ .n = 0 }, KMM_EINVAL, "no frames");
	expect_error(v, &(struct kmm_frame_request){ .n = 1, .align_n = 3 }, KMM_EINVAL,
		     "aligned to 3 frames");
	expect_error(v, &(struct kmm_frame_request){ .n = 1, .lo = hi, .hi = lo }, KMM_EINVAL,
		     "limits the wrong way round");
	expect_error(v, &(struct kmm_frame_request){ .n = z.end.n - z.base.n + 1u, .lo = lo,
						     .hi = hi },
		     KMM_EINVAL, "more frames than lie between the limits");
	if (n > 1u) {
		/* All of it is held. */
		lo = kmm_pfn_to_pa(got[1].pfn);
		hi.a = lo.a + (got[1].n << KMM_PAGE_LG2);
		expect_error(v, &(struct kmm_frame_request){ .n = 1, .lo = lo, .hi = hi },
			     KMM_ENOMEM, "a frame where none is free");
	}
	VERDICT_EXPECT(v, n == 0 || kmm_frame_free_range(v->k, got[0].pfn, 36) == KMM_EWRONGORDER,
		       "a range was freed with another count");
	for (unsigned i = 0; i < n; i++)
		give(v, &got[i]);
	of_each_kind(v);
	VERDICT_SAY(v, "%u ranges within their limits and aligned, 6 wrong requests refused", n);
}

/* ---- counts ---- */

/// Every frame of a range says whose it is.
static uint64_t *stamp(struct verdict *v, const struct range *r, uint64_t i)
{
	struct kmm_pfn at = { r->pfn.n + i };

	return kmm_frame_virt(v->k, at);
}

void verdict_counts(struct verdict *v)
{
	static const uint16_t count[] = { 1,  2,   3,	5,   7,   31,	63,
					  65, 100, 511, 512, 513, 1000, 1025 };
	struct range held[sizeof(count) / sizeof(count[0])];
	uint64_t before, sum = 0;
	unsigned n = 0;

	kmm_frame_drain(v->k);
	before = verdict_free_n(v);
	for (; n < sizeof(count) / sizeof(count[0]); n++) {
		if (!take(v, &(struct kmm_frame_request){ .n = count[n] }, &held[n]))
			break;
		sum += count[n];
		for (uint64_t i = 0; i < held[n].n; i++)
			*stamp(v, &held[n], i) = held[n].pfn.n + i * 7u + n;
	}
	kmm_frame_drain(v->k);
	VERDICT_EXPECT(v, before - verdict_free_n(v) == sum, "%llu frames asked for cost %llu",
		       (unsigned long long)sum, (unsigned long long)(before - verdict_free_n(v)));
	for (unsigned j = 0; j < n; j++)
		for (uint64_t i = 0; i < held[j].n; i++)
			VERDICT_EXPECT(v, *stamp(v, &held[j], i) == held[j].pfn.n + i * 7u + j,
				       "a range of %u frames shares frame %u of it", count[j],
				       (unsigned)i);
	for (unsigned i = 0; i < n; i++)
		give(v, &held[i]);
	VERDICT_SAY(v, "%u counts from 1 to 1025, %llu frames at once, none to spare", n,
		    (unsigned long long)sum);
}

/* ---- memory that comes and goes ---- */

static bool pluggable(struct verdict *v, struct range *out)
{
	const struct kmm_memmap *m = v->body->memmap;

	for (unsigned i = 0; i < m->n; i++) {
		if (m->range[i].kind != KMM_MEM_PLUGGABLE)
			continue;
		out->pfn = kmm_pa_to_pfn(m->range[i].start);
		out->n = kmm_pa_to_pfn(m->range[i].end).n - out->pfn.n;
		return true;
	}
	return false;
}

static void expect_is(struct verdict *v, enum kmm_error e, enum kmm_error want, const char *what)
{
	VERDICT_EXPECT(v, e == want, "%s: %s", what, kmm_error_name(e));
}

/// Half of the range in use by somebody: isolated, it gives no more; unplugged it can't be.
static void in_use(struct verdict *v, const struct range *r)
{
	struct kmm_frame_request inside = { .n = r->n / 2u, .lo = kmm_pfn_to_pa(r->pfn) };
	struct kmm_zone_info z = { .kind = VERDICT_PLAIN_KIND };
	struct range held;
	uint64_t busy_n = ~0ull;

	verdict_zone_of(v, r->pfn, &z);
	inside.flags = KMM_FRAME_ZONE(z.kind);
	inside.hi.a = inside.lo.a + (r->n << KMM_PAGE_LG2);
	if (!take(v, &inside, &held))
		return;
	expect_is(v, kmm_frame_unplug(v->k, r->pfn, r->n), KMM_EBUSY, "unplugged while in use");
	expect_is(v, kmm_frame_isolate(v->k, r->pfn, r->n, &busy_n), KMM_OK, "isolated");
	VERDICT_EXPECT(v, busy_n == held.n, "%llu frames busy, %llu held",
		       (unsigned long long)busy_n, (unsigned long long)held.n);
	inside.n = 1;
	expect_error(v, &inside, KMM_ENOMEM, "a frame of an isolated range");
	expect_is(v, kmm_frame_unisolate(v->k, r->pfn, r->n), KMM_OK, "unisolated");
	give(v, &held);
}

void verdict_hotplug(struct verdict *v)
{
	struct range r = { .n = 0 };
	struct kmm_frame_stats before, after;
	const struct kmm_pfn beyond = { 1ull << 36 };

	if (!pluggable(v, &r)) {
		VERDICT_SAY(v, "no pluggable memory");
		return;
	}
	kmm_frame_stats(v->k, &before);
	expect_is(v, kmm_frame_plug(v->k, beyond, 1), KMM_EINVAL, "plugged beyond all memory");
	expect_is(v, kmm_frame_plug(v->k, r.pfn, r.n), KMM_OK, "plugged");
	expect_is(v, kmm_frame_plug(v->k, r.pfn, 1), KMM_EBUSY, "plugged twice");
	kmm_frame_stats(v->k, &after);
	VERDICT_EXPECT(v, after.managed_n == before.managed_n + r.n &&
				  after.free_n == before.free_n + r.n,
		       "%llu frames plugged, %llu more managed, %llu more free",
		       (unsigned long long)r.n,
		       (unsigned long long)(after.managed_n - before.managed_n),
		       (unsigned long long)(after.free_n - before.free_n));
	in_use(v, &r);
	VERDICT_EXPECT(v, kmm_frame_check(v->k) == KMM_OK, "kmm_frame_check finds damage");
	expect_is(v, kmm_frame_unplug(v->k, r.pfn, r.n), KMM_OK, "unplugged");
	VERDICT_SAY(v, "%llu frames plugged, half of them used, isolated, and unplugged",
		    (unsigned long long)r.n);
}
