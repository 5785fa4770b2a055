/// Split policies: one policy below a boundary, another above it.
///
/// Small systems whose memory a framebuffer cuts in two run a bitmap below it and a
/// buddy above. The boundary is what the preset says in bytes, where that lies inside
/// the span; else the span's middle, rounded to 2 MiB if the span allows it. Each side
/// is an instance of its own with a span of its own, so no block crosses the boundary,
/// and neither side ever looks at a frame of the other.
///
/// A claim asks above first, where large blocks are, and below when that has no more
/// (as the systems this is taken from do); what is low in memory stays for last. A batch
/// may come from both. A release is sorted by the boundary, by runs of blocks on the same
/// side; a block put together from parts of both sides is halved until none crosses.
///
/// Invariants
///   I1  base <= boundary <= end; the parts' spans are [base, boundary) and [boundary, end).
///
/// Locking, failure: those of the parts.
///
/// Limits: a block across the boundary is never found, although free. Metadata is
/// reserved for each part as if it covered the whole span, as the boundary isn't known
/// when its size is asked for.
#include "frame/policy.h"

#define HUGE_N 512u /* frames of 2 MiB */

/// Two policies as one; constant.
struct split_kind {
	const struct frame_policy *below, *above;
};

struct split_part {
	const struct frame_policy *policy;
	void *state;
};

struct split {
	uint64_t base, end, boundary; /* I1; constant */
	struct split_part below, above;
};

static const struct split_kind split_fast = { &frame_policy_bitmap, &frame_policy_buddy };
static const struct split_kind split_slow = { &frame_policy_bitmap_first_fit,
					      &frame_policy_buddy_scan };

static uint64_t kind_meta_bytes(const struct split_kind *s, uint64_t n, unsigned cpus_n)
{
	uint64_t total = meta_add(0, sizeof(struct split), 64);

	total = meta_add(total, s->below->meta_bytes(n, cpus_n), 64);
	return meta_add(total, s->above->meta_bytes(n, cpus_n), 64);
}

static uint64_t fast_meta_bytes(uint64_t n, unsigned cpus_n)
{
	return kind_meta_bytes(&split_fast, n, cpus_n);
}

static uint64_t slow_meta_bytes(uint64_t n, unsigned cpus_n)
{
	return kind_meta_bytes(&split_slow, n, cpus_n);
}

static uint64_t boundary_of(const struct kmm *k, uint64_t base, uint64_t n)
{
	uint64_t at = k->preset->frame_boundary >> KMM_PAGE_LG2, middle = base + n / 2u;

	if (at > base && at < base + n)
		return at;
	at = bits_align_down(middle, HUGE_N);
	if (at <= base)
		at = bits_align_up(middle, HUGE_N);
	return at > base && at < base + n ? at : middle;
}

static struct split_part part_init(struct kmm *k, const struct frame_policy *policy,
				   struct meta *m, uint64_t base, uint64_t n)
{
	void *meta = meta_take(k, m, policy->meta_bytes(n, k->cpus_n), 64);
	struct split_part p = { policy, policy->init(k, meta, base, n) };

	return p;
}

static void *kind_init(struct kmm *k, const struct split_kind *kind, void *meta, uint64_t base,
		       uint64_t n)
{
	struct split *s = meta;
	struct meta m = { (char *)meta + sizeof(*s),
			  (char *)meta + kind_meta_bytes(kind, n, k->cpus_n) };

	s->base = base;
	s->end = base + n;
	s->boundary = boundary_of(k, base, n);
	s->below = part_init(k, kind->below, &m, base, s->boundary - base);
	s->above = part_init(k, kind->above, &m, s->boundary, s->end - s->boundary);
	return s;
}

static void *fast_init(struct kmm *k, void *meta, uint64_t base, uint64_t n)
{
	return kind_init(k, &split_fast, meta, base, n);
}

static void *slow_init(struct kmm *k, void *meta, uint64_t base, uint64_t n)
{
	return kind_init(k, &split_slow, meta, base, n);
}

/// Frames of [pfn, pfn + n) below the boundary.
static uint64_t below_n(const struct split *s, uint64_t pfn, uint64_t n)
{
	if (pfn >= s->boundary)
		return 0;
	return s->boundary - pfn < n ? s->boundary - pfn : n;
}

static void split_add_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct split *s = state;
	uint64_t low = below_n(s, pfn.n, n);

	if (low != 0)
		s->below.policy->add_range(k, s->below.state, pfn, low);
	pfn.n += low;
	if (low != n)
		s->above.policy->add_range(k, s->above.state, pfn, n - low);
}

static unsigned split_claim(struct kmm *k, void *state, unsigned order, enum frame_group group,
			    unsigned n, struct kmm_pfn *out)
{
	struct split *s = state;
	unsigned got = s->above.policy->claim(k, s->above.state, order, group, n, out);

	if (got < n)
		got += s->below.policy->claim(k, s->below.state, order, group, n - got, out + got);
	return got;
}

/// Releases a block that the boundary cuts, in its largest parts.
static void release_cut(struct kmm *k, struct split *s, unsigned order, struct kmm_pfn pfn)
{
	while (order-- != 0) {
		struct kmm_pfn half[2] = { pfn, { pfn.n + (1ull << order) } };
		bool cut_high = half[1].n < s->boundary;

		if (half[1].n <= s->boundary)
			s->below.policy->release(k, s->below.state, order, 1, &half[0]);
		if (half[1].n >= s->boundary)
			s->above.policy->release(k, s->above.state, order, 1, &half[1]);
		if (half[1].n == s->boundary)
			return;
		pfn = half[cut_high];
	}
}

static void split_release(struct kmm *k, void *state, unsigned order, unsigned n,
			  const struct kmm_pfn *in)
{
	struct split *s = state;
	uint64_t size = 1ull << order;

	for (unsigned i = 0, to; i < n; i = to) {
		uint64_t low = below_n(s, in[i].n, size);
		const struct split_part *p = low != 0 ? &s->below : &s->above;

		for (to = i + 1u; to < n && below_n(s, in[to].n, size) == low;)
			to++;
		if (low == 0 || low == size)
			p->policy->release(k, p->state, order, to - i, in + i);
		else
			release_cut(k, s, order, in[i]); /* there is one such block only */
	}
}

static bool split_next_run(struct kmm *k, const void *state, uint64_t from, uint64_t to,
			   struct frame_run *run)
{
	const struct split *s = state;
	struct frame_run rest;

	if (from >= s->boundary ||
	    !s->below.policy->next_run(k, s->below.state, from, to, run))
		return s->above.policy->next_run(k, s->above.state, from, to, run);
	if (run->pfn + run->n == s->boundary && to > s->boundary &&
	    s->above.policy->next_run(k, s->above.state, s->boundary, to, &rest) &&
	    rest.pfn == s->boundary)
		run->n += rest.n;
	return true;
}

static uint64_t split_claim_range(struct kmm *k, void *state, struct kmm_pfn pfn, uint64_t n)
{
	struct split *s = state;
	uint64_t low = below_n(s, pfn.n, n), taken = 0;

	if (low != 0)
		taken += s->below.policy->claim_range(k, s->below.state, pfn, low);
	pfn.n += low;
	if (low != n)
		taken += s->above.policy->claim_range(k, s->above.state, pfn, n - low);
	return taken;
}

static uint64_t split_lock_n(const void *state)
{
	const struct split *s = state;

	return s->below.policy->lock_n(s->below.state) + s->above.policy->lock_n(s->above.state);
}

static enum kmm_error split_check(struct kmm *k, void *state, uint64_t *free_n)
{
	struct split *s = state;
	uint64_t low = 0, high = 0;
	enum kmm_error e;

	if (s->boundary < s->base || s->boundary > s->end)
		return frame_broken(k, "split I1: boundary outside the span", s->boundary);
	e = s->below.policy->check(k, s->below.state, &low);
	if (e == KMM_OK)
		e = s->above.policy->check(k, s->above.state, &high);
	*free_n = low + high;
	return e;
}

const struct frame_policy frame_policy_split = {
	.name = "split",
	.meta_bytes = fast_meta_bytes,
	.init = fast_init,
	.add_range = split_add_range,
	.claim = split_claim,
	.release = split_release,
	.next_run = split_next_run,
	.claim_range = split_claim_range,
	.lock_n = split_lock_n,
	.check = split_check,
};

const struct frame_policy frame_policy_split_slow = {
	.name = "split-slow",
	.meta_bytes = slow_meta_bytes,
	.init = slow_init,
	.add_range = split_add_range,
	.claim = split_claim,
	.release = split_release,
	.next_run = split_next_run,
	.claim_range = split_claim_range,
	.lock_n = split_lock_n,
	.check = split_check,
};
