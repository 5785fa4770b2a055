/// Tests of frame policies through frame/policy.h, against a map that says of each frame
/// who owns it. A host is an instance of kmm that has nothing but CPUs, a log and a frame
/// table; several policies may work on its table, each in a world of its own.
#ifndef POLICY_FIXTURE_H
#define POLICY_FIXTURE_H

#include "frame_fixture.h"

#include "frame/policy.h"

/// Every policy, and what is special about it.
struct policy_case {
	const struct frame_policy *policy;
	unsigned order_max; /* of its blocks */
	bool locks;         /* it takes any */
	bool groups;        /* it keeps groups apart */
	bool halves;        /* no block lies across preset.frame_boundary */
	bool back_links;    /* its lists are linked both ways */
	bool map;           /* says elsewhere than in tags what is free: check compares */
	bool forgets;       /* FRAME_ZEROED may be lost, though never made up */
};

static const struct policy_case policy_cases[] = {
	{ &frame_policy_buddy, KMM_ORDER_MAX, .locks = true, .back_links = true },
	{ &frame_policy_buddy_scan, 9, .locks = true },
	{ &frame_policy_bitmap, KMM_ORDER_MAX, .groups = true, .map = true },
	{ &frame_policy_bitmap_first_fit, KMM_ORDER_MAX, .locks = true, .map = true },
	{ &frame_policy_hybrid, KMM_ORDER_MAX, .locks = true, .back_links = true, .forgets = true },
	{ &frame_policy_split, KMM_ORDER_MAX, .locks = true, .back_links = true, .halves = true },
	{ &frame_policy_split_slow, 9, .locks = true, .halves = true },
	{ &frame_policy_tree, KMM_ORDER_MAX, .groups = true },
};

#define EACH_POLICY(c)                                                                     \
	for (const struct policy_case *c = policy_cases;                                   \
	     c < policy_cases + sizeof(policy_cases) / sizeof(policy_cases[0]); c++)

struct policy_host {
	struct threads_machine m;
	struct kmm k;
	struct kmm_preset preset;
	uint8_t *tag;
};

/// Zeroed memory of exactly so many bytes, so that AddressSanitizer sees one byte more.
static inline void *zeroed_lines(uint64_t bytes)
{
	void *p = NULL;

	assert_int_equal(posix_memalign(&p, 64, bytes), 0);
	return p == NULL ? NULL : memset(p, 0, bytes);
}

/// A host for the frames [base, base + n); the calling thread is its CPU 0, interrupts
/// off. `cut` is where policies of halves are cut.
static inline void host_start(struct policy_host *h, uint64_t base, uint64_t n, uint64_t cut,
			      unsigned cpus_n)
{
	memset(h, 0, sizeof(*h));
	h->preset = *kmm_preset_find("pagemill");
	h->preset.frame_boundary = cut << KMM_PAGE_LG2;
	h->m.kmm = &h->k;
	h->m.cpus_n = cpus_n;
	h->m.quiet = true;
	h->k.port = &h->m;
	h->k.preset = &h->preset;
	h->k.cpus = zeroed_lines(cpus_n * sizeof(struct kmm_cpu));
	h->k.cpus_n = cpus_n;
	for (unsigned i = 0; i < cpus_n; i++) {
		pthread_mutex_init(&h->m.cpu[i].turn, NULL);
		h->k.cpus[i].kmm = &h->k;
		h->k.cpus[i].id = i;
	}
	h->tag = calloc(n, sizeof(*h->tag));
	h->k.tags = (uintptr_t)h->tag - base;
	h->k.entry = calloc(n, sizeof(*h->k.entry));
	h->k.entry_base = base;
	h->k.entry_end = base + n;
	threads_enter(&h->m, 0);
	threads_self.irq_off = true;
}

static inline void host_stop(struct policy_host *h)
{
	threads_leave(&h->m, 0);
	for (unsigned i = 0; i < h->m.cpus_n; i++)
		pthread_mutex_destroy(&h->m.cpu[i].turn);
	free(h->k.cpus);
	free(h->tag);
	free(h->k.entry);
}

#define HOLE 0u
#define FREE 1u
#define FIRST_OWNER 2u
#define CLAIM_MAX 64u

struct block {
	uint64_t pfn;
	unsigned order;
	enum frame_group group;
	uint8_t tag; /* that its owner gave the head */
};

struct world {
	struct policy_host *h;
	struct kmm *k;
	const struct policy_case *c;
	const struct frame_policy *policy;
	void *state, *meta;
	uint64_t base, n, cut;
	uint32_t *owner;     /* [n] */
	uint8_t *zeroed;     /* [n]; FRAME_ZEROED where the last owner left it */
	uint32_t owners_n;
	struct block *block; /* [n] */
	uint64_t blocks_n, free_n, seed;
};

/// An assertion that says whose policy it is about.
static inline void expect_equal(const struct world *w, const char *what, uint64_t is,
				uint64_t should)
{
	if (is != should)
		fail_msg("%s: %s is 0x%jx, not 0x%jx", w->policy->name, what, (uintmax_t)is,
			 (uintmax_t)should);
}

static inline uint64_t draw(struct world *w)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed;
}

/// A policy's instance for [base, base + n) on the host's table.
static inline void world_start(struct world *w, struct policy_host *h, const struct policy_case *c,
			       uint64_t base, uint64_t n)
{
	memset(w, 0, sizeof(*w));
	w->h = h;
	w->k = &h->k;
	w->c = c;
	w->policy = c->policy;
	w->base = base;
	w->n = n;
	w->cut = h->preset.frame_boundary >> KMM_PAGE_LG2;
	w->seed = 0x9e3779b97f4a7c15ull ^ base << 20 ^ n;
	w->owners_n = FIRST_OWNER;
	w->owner = calloc(n, sizeof(*w->owner));
	w->zeroed = calloc(n, sizeof(*w->zeroed));
	w->block = calloc(n, sizeof(*w->block));
	w->meta = zeroed_lines(c->policy->meta_bytes(n, h->k.cpus_n));
	w->state = c->policy->init(w->k, w->meta, base, n);
}

static inline void world_stop(struct world *w)
{
	free(w->meta);
	free(w->owner);
	free(w->zeroed);
	free(w->block);
}

/// Host and one world on all of its frames, cut in the middle.
static inline void world_alone(struct world *w, struct policy_host *h, const struct policy_case *c,
			       uint64_t base, uint64_t n)
{
	host_start(h, base, n, base + n / 2u, 1);
	world_start(w, h, c, base, n);
}

static inline void world_alone_stop(struct world *w)
{
	world_stop(w);
	host_stop(w->h);
}

static inline void world_add(struct world *w, uint64_t at, uint64_t n)
{
	struct kmm_pfn pfn = { w->base + at };

	w->policy->add_range(w->k, w->state, pfn, n);
	for (uint64_t i = 0; i < n; i++)
		w->owner[at + i] = FREE;
	w->free_n += n;
}

/// Brute force: the places for a block of this order that are wholly free, up to `max`.
static inline uint64_t map_count(const struct world *w, unsigned order, uint64_t max)
{
	uint64_t size = 1ull << order, n = 0;
	uint64_t first = bits_align_up(w->base, size) - w->base;

	for (uint64_t at = first; at + size <= w->n && n < max; at += size) {
		uint64_t i = 0, pfn = w->base + at;

		if (w->c->halves && pfn < w->cut && pfn + size > w->cut)
			continue;
		while (i < size && w->owner[at + i] == FREE)
			i++;
		n += i == size;
	}
	return n;
}

/// What the map says of each frame of a block must be `from`; it becomes `to`.
static inline void map_mark(struct world *w, uint64_t pfn, unsigned order, uint32_t from,
			    uint32_t to)
{
	uint64_t size = 1ull << order, at = pfn - w->base;

	if (pfn < w->base || at + size > w->n)
		fail_msg("%s: frame 0x%jx is outside", w->policy->name, (uintmax_t)pfn);
	for (uint64_t i = 0; i < size; i++, at++) {
		if (w->owner[at] != from)
			fail_msg("%s: frame 0x%jx is %u's, not %u's", w->policy->name,
				 (uintmax_t)(w->base + at), w->owner[at], from);
		w->owner[at] = to;
	}
}

static inline struct block *block_add(struct world *w, uint64_t pfn, unsigned order,
				      enum frame_group group, unsigned tag)
{
	struct block *b = &w->block[w->blocks_n++];
	struct kmm_pfn head = { pfn };

	*b = (struct block){ pfn, order, group, (uint8_t)tag };
	frame_tag_set(w->k, head, tag);
	/* The owner's from now on: a policy that still writes here is found at release. */
	frame_entry(w->k, head)->index = (uint32_t)pfn;
	return b;
}

/// A block that was just claimed.
static inline void block_claimed(struct world *w, struct kmm_pfn pfn, unsigned order,
				 enum frame_group group)
{
	expect_equal(w, "a block's place in its size", pfn.n & ((1ull << order) - 1u), 0);
	map_mark(w, pfn.n, order, FREE, w->owners_n++);
	for (uint64_t i = 0; i < 1ull << order; i++) {
		struct kmm_pfn at = { pfn.n + i };
		uint8_t tag = frame_tag(w->k, at);

		if (w->c->forgets && tag == FRAME_NONE)
			w->zeroed[at.n - w->base] = FRAME_NONE;
		if (tag != w->zeroed[at.n - w->base])
			fail_msg("%s: tag 0x%x of claimed frame 0x%jx", w->policy->name,
				 tag, (uintmax_t)at.n);
	}
	block_add(w, pfn.n, order, group, FRAME_USED + order);
}

static inline unsigned world_claim(struct world *w, unsigned order, enum frame_group group,
				   unsigned n)
{
	struct kmm_pfn out[CLAIM_MAX + 1u];
	unsigned got;

	out[n].n = ~0ull;
	got = w->policy->claim(w->k, w->state, order, group, n, out);
	if (got > n || out[n].n != ~0ull)
		fail_msg("%s: %u blocks claimed, %u returned", w->policy->name, n, got);
	for (unsigned i = 0; i < got; i++)
		block_claimed(w, out[i], order, group);
	w->free_n -= (uint64_t)got << order;
	if (got < n && map_count(w, order, 1) != 0)
		fail_msg("%s: order %u isn't found", w->policy->name, order);
	return got;
}

/// Takes block i off the list and makes its frames ready to be released, each perhaps
/// with a remark that it is zeroed.
static inline struct block block_leave(struct world *w, uint64_t i)
{
	struct block b = w->block[i];
	struct kmm_pfn at = { b.pfn };

	if (frame_tag(w->k, at) != b.tag || frame_entry(w->k, at)->index != (uint32_t)b.pfn)
		fail_msg("%s: owned frame 0x%jx was written", w->policy->name, (uintmax_t)b.pfn);
	w->block[i] = w->block[--w->blocks_n];
	map_mark(w, b.pfn, b.order, w->owner[b.pfn - w->base], FREE);
	w->free_n += 1ull << b.order;
	frame_tag_set(w->k, at, w->zeroed[b.pfn - w->base]);
	for (; b.order <= 6 && at.n < b.pfn + (1ull << b.order); at.n++) {
		uint8_t tag = draw(w) % 4u == 0 ? FRAME_NONE | FRAME_ZEROED : FRAME_NONE;

		frame_tag_set(w->k, at, tag);
		w->zeroed[at.n - w->base] = tag;
	}
	return b;
}

static inline void world_release(struct world *w, uint64_t i)
{
	struct block b = block_leave(w, i);
	struct kmm_pfn pfn = { b.pfn };

	w->policy->release(w->k, w->state, b.order, 1, &pfn);
}

/// Block i comes back in smaller blocks, in an order of their own.
static inline void world_release_parts(struct world *w, uint64_t i)
{
	struct block b = block_leave(w, i);
	unsigned order = (unsigned)(draw(w) % (b.order + 1u)), n;
	struct kmm_pfn part[CLAIM_MAX];

	if (b.order - order > 6u)
		order = b.order - 6u;
	n = 1u << (b.order - order);
	for (unsigned at = 0; at < n; at++)
		part[at].n = b.pfn + ((uint64_t)(at * 5u % n) << order);
	for (unsigned at = 0; at < n;) {
		unsigned some = 1u + (unsigned)(draw(w) % (n - at));

		w->policy->release(w->k, w->state, order, some, part + at);
		at += some;
	}
}

/// Block i comes back, as one with its buddy if that is there to come back too.
static inline void world_release_joined(struct world *w, uint64_t i)
{
	struct block b = w->block[i];
	uint64_t buddy = b.pfn ^ 1ull << b.order, j = 0;
	struct kmm_pfn pfn = { b.pfn & buddy };

	while (j < w->blocks_n && (w->block[j].pfn != buddy || w->block[j].order != b.order))
		j++;
	if (j == w->blocks_n || b.order >= w->c->order_max ||
	    (w->c->halves && pfn.n < w->cut && pfn.n + (2ull << b.order) > w->cut)) {
		world_release(w, i);
		return;
	}
	/* The higher one first, since the last block moves into its place. */
	block_leave(w, i > j ? i : j);
	block_leave(w, i > j ? j : i);
	w->policy->release(w->k, w->state, b.order + 1u, 1, &pfn);
}

static inline void world_release_all(struct world *w)
{
	while (w->blocks_n != 0)
		world_release(w, draw(w) % w->blocks_n);
}

/// Takes what is free of a range; each frame of it becomes a block.
static inline void world_claim_range(struct world *w, uint64_t at, uint64_t n)
{
	struct kmm_pfn pfn = { w->base + at };
	uint64_t taken = w->policy->claim_range(w->k, w->state, pfn, n);

	for (uint64_t i = at; i < at + n; i++) {
		struct kmm_pfn f = { w->base + i };

		if (w->owner[i] != FREE)
			continue;
		if (frame_tag(w->k, f) != FRAME_ISOLATED)
			fail_msg("%s: frame 0x%jx isn't isolated", w->policy->name, (uintmax_t)f.n);
		w->owner[i] = w->owners_n++;
		block_add(w, f.n, 0, FRAME_GROUP_PINNED, FRAME_ISOLATED);
		taken--;
		w->free_n--;
	}
	expect_equal(w, "taken by range, less what is isolated,", taken, 0);
}

/// next_run against the map, over [from, to).
static inline void runs_compare(const struct world *w, uint64_t from, uint64_t to)
{
	struct frame_run run;
	uint64_t i = from, start;

	while (i < to) {
		while (i < to && w->owner[i] != FREE)
			i++;
		start = i;
		while (i < to && w->owner[i] == FREE)
			i++;
		if (!w->policy->next_run(w->k, w->state, w->base + from, w->base + to, &run)) {
			expect_equal(w, "the end of all runs", start, to);
			return;
		}
		expect_equal(w, "a run's begin", run.pfn - w->base, start);
		expect_equal(w, "a run's length", run.n, i - start);
		from = i;
	}
	expect_equal(w, "a run of nothing",
		     w->policy->next_run(w->k, w->state, w->base + to, w->base + to, &run), false);
}

/// All that can be asked, against the map.
static inline void world_compare(struct world *w)
{
	uint64_t free_n = ~0ull;

	expect_equal(w, "check", w->policy->check(w->k, w->state, &free_n), KMM_OK);
	expect_equal(w, "the number of free frames", free_n, w->free_n);
	runs_compare(w, 0, w->n);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t from = draw(w) % w->n;

		runs_compare(w, from, from + draw(w) % (w->n - from + 1u));
	}
}

/// Small orders are the common ones.
static inline unsigned draw_order(struct world *w, unsigned max)
{
	uint64_t x = draw(w);
	unsigned order = x % 4u == 0 ? (unsigned)(x >> 8) % (max + 1u) :
				       bits_lowest(x >> 8 | 1ull << 32);

	return order < max ? order : max;
}

static inline void world_step(struct world *w, unsigned order_min, unsigned order_max)
{
	unsigned what = (unsigned)(draw(w) % 100u);
	uint64_t i = w->blocks_n == 0 ? 0 : draw(w) % w->blocks_n;

	if (what < 50 || w->blocks_n == 0)
		world_claim(w, order_min + draw_order(w, order_max - order_min),
			    (enum frame_group)(draw(w) % FRAME_GROUPS_N),
			    1u + (unsigned)(draw(w) % (what < 5 ? CLAIM_MAX : 9u)));
	else if (what < 52)
		world_claim_range(w, i, 1u + draw(w) % (w->n - i) % 200u);
	else if (what < 64)
		world_release_parts(w, i);
	else if (what < 76)
		world_release_joined(w, i);
	else
		world_release(w, i);
}

/// Random steps; the world is looked at each `often` of them.
static inline void world_steps(struct world *w, unsigned steps, unsigned order_min,
			       unsigned order_max, unsigned often)
{
	if (order_max > w->c->order_max)
		order_max = w->c->order_max;
	for (unsigned i = 0; i < steps; i++) {
		world_step(w, order_min, order_max);
		if (i % often == 0)
			world_compare(w);
	}
	world_compare(w);
}

#endif
