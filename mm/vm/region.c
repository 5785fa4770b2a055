/// Regions: the ranges of a space in which accesses are allowed.
///
/// What: an AVL tree by start address (base/tree.h). Each node's weight is the
/// free gap right below its region, so that 'where do n bytes fit' is one
/// descent. An empty sentinel at the end of the user half stands above all
/// others: the topmost gap is the sentinel's, and every region has a next one.
///
/// Invariants (lock: the space's)
///   I1  regions are page-aligned, not empty, disjoint, inside
///       [KMM_USER_MIN, user_end)
///   I2  weight = start - (end of the region below, or KMM_USER_MIN)
///   I3  two regions that touch differ (region_alike), so that the number of
///       regions depends on what is mapped, not on how it came to be
///   I4  prot is normalised: W implies R, X implies R, never W and X
///   I5  `hit` is NULL or a region in the tree, never the sentinel
///   I6  regions_n = regions in the tree less the sentinel <= the preset's limit
///
/// Changes come in pairs: region_plan_* computes what the tree will be, refuses
/// what breaks I6, and reserves the regions it takes; then region_carve, _put
/// and _colour can't fail. A split never changes a gap of anything but its new
/// region (0), and neither does a join, which is why they weigh nothing.
///
/// Locking: the space's lock. Failure: plans only. Limits: preset.region_max.
#include "vm/region.h"

#include "vm/space.h"

static bool is_sentinel(const struct kmm_space *s, const struct region *r)
{
	return r == &s->sentinel;
}

static uint64_t count_limit(const struct kmm_space *s)
{
	return s->kmm->preset->region_max ? s->kmm->preset->region_max : ~0ull;
}

static struct region *take(struct kmm_space *s, struct region_reserve *v)
{
	KMM_ASSERT(s->kmm, v->n > 0, "a plan reserves all that its change takes");
	return v->region[--v->n];
}

static void release(struct kmm_space *s, struct region *r)
{
	enum kmm_error e = kmm_cache_free(s->kmm->vm->region_cache, r);

	KMM_REQUIRE(s->kmm, e == KMM_OK, "a region is freed once");
}

static void enter(struct kmm_space *s, struct region *r, uint64_t start, uint64_t gap)
{
	r->node.key = start;
	r->node.weight = gap;
	tree_insert(&s->regions, &r->node);
	counter_add(&s->regions_n, 1u);
}

/// Takes r out and frees it. The region above gets its gap from the caller.
static void drop(struct kmm_space *s, struct region *r)
{
	if (s->hit == r)
		s->hit = NULL; /* I5 */
	tree_remove(&s->regions, &r->node);
	counter_add(&s->regions_n, ~0ull);
	release(s, r);
}

void regions_init(struct kmm_space *s)
{
	uint64_t end = s->pt.user_end;

	tree_init(&s->regions);
	s->hit = NULL;
	s->regions_n = 0;
	s->sentinel.end = end;
	s->sentinel.prot = 0;
	s->sentinel.flags = 0;
	s->sentinel.node.key = end;
	s->sentinel.node.weight = end - KMM_USER_MIN;
	tree_insert(&s->regions, &s->sentinel.node);
}

void regions_free(struct kmm_space *s)
{
	struct tree_node *next;

	for (struct tree_node *n = tree_postorder_first(&s->regions); n; n = next) {
		next = tree_postorder_next(n);
		if (!is_sentinel(s, region_of(n)))
			release(s, region_of(n));
	}
	tree_init(&s->regions);
	s->hit = NULL;
	s->regions_n = 0;
}

enum kmm_error regions_copy(struct kmm_space *to, struct kmm_space *from)
{
	struct region *r = region_of(tree_first(&from->regions));

	for (; !is_sentinel(from, r); r = region_next(r)) {
		struct region *copy = kmm_cache_alloc(to->kmm->vm->region_cache);

		if (copy == NULL)
			return KMM_ENOMEM;
		copy->end = r->end;
		copy->prot = r->prot;
		copy->flags = r->flags;
		enter(to, copy, region_start(r), r->node.weight);
	}
	tree_weigh(&to->sentinel.node, from->sentinel.node.weight);
	return KMM_OK;
}

struct region *region_find(struct kmm_space *s, uint64_t addr)
{
	struct region *r = s->hit;

	if (r && addr - region_start(r) < r->end - region_start(r))
		return r;
	r = region_of(tree_floor(&s->regions, addr));
	if (r == NULL || addr >= r->end) /* the sentinel is empty */
		return NULL;
	s->hit = r;
	return r;
}

struct region *region_first(struct kmm_space *s, uint64_t addr)
{
	struct region *r = region_of(tree_floor(&s->regions, addr));

	if (r == NULL)
		return region_of(tree_first(&s->regions));
	return r->end > addr || is_sentinel(s, r) ? r : region_next(r);
}

struct region *region_below_fits(struct kmm_space *s, uint64_t bytes)
{
	return region_of(tree_last_fit(&s->regions, bytes));
}

uint64_t region_gap_start(struct region *r)
{
	return region_start(r) - r->node.weight; /* I2 */
}

static void weigh(struct region *r, uint64_t gap_start)
{
	tree_weigh(&r->node, region_start(r) - gap_start);
}

bool region_alike(const struct kmm_space *s, const struct region *a, const struct region *b)
{
	return a->prot == b->prot && a->flags == b->flags &&
	       (s->kmm->preset->region_merges || (a->flags & REGION_HEAP));
}

/// Would `r`, which touches the wanted range, become one with it?
static bool joins(const struct kmm_space *s, const struct region *r,
		  const struct region_want *want)
{
	const struct region w = { .prot = want->prot, .flags = want->flags };

	return !is_sentinel(s, r) && region_alike(s, r, &w);
}

enum kmm_error region_reserve(struct kmm_space *s, unsigned n, struct region_reserve *v)
{
	for (v->n = 0; v->n < n; v->n++) {
		struct region *r = kmm_cache_alloc(s->kmm->vm->region_cache);

		if (r == NULL) {
			region_unreserve(s, v);
			return KMM_ENOMEM;
		}
		v->region[v->n] = r;
	}
	return KMM_OK;
}

void region_unreserve(struct kmm_space *s, struct region_reserve *v)
{
	while (v->n > 0)
		release(s, v->region[--v->n]);
}

/// Regions that lie wholly inside [start, end). *last = the first one that
/// reaches beyond end.
static uint64_t count_covered(struct region *first, uint64_t start, uint64_t end,
			      struct region **last)
{
	uint64_t n = 0;
	struct region *r = first;

	if (region_start(r) < start && r->end <= end)
		r = region_next(r);
	for (; region_start(r) >= start && r->end <= end && region_start(r) < end; n++)
		r = region_next(r);
	*last = r;
	return n;
}

/// Is [start, end) strictly inside r, so that carving makes two of it?
static bool splits(const struct region *r, uint64_t start, uint64_t end)
{
	return region_start(r) < start && end < r->end;
}

enum kmm_error region_plan_carve(struct kmm_space *s, struct region *first, uint64_t start,
				 uint64_t end, struct region_reserve *v)
{
	v->n = 0;
	if (!splits(first, start, end))
		return KMM_OK;
	if (s->regions_n + 1u > count_limit(s))
		return KMM_ELIMIT;
	return region_reserve(s, 1, v);
}

enum kmm_error region_plan_put(struct kmm_space *s, struct region *first,
			       const struct region_want *want, struct region_reserve *v)
{
	struct region *below = region_start(first) < want->start ? first : region_prev(first);
	struct region *above;
	uint64_t covered = count_covered(first, want->start, want->end, &above);
	bool split = splits(first, want->start, want->end);
	bool join_below = below && below->end >= want->start && joins(s, below, want);
	bool join_above = region_start(above) <= want->end && joins(s, above, want);

	v->n = 0;
	if (s->regions_n + split + 1u - join_below - join_above - covered > count_limit(s))
		return KMM_ELIMIT;
	return region_reserve(s, split + !(join_below || join_above), v);
}

struct region *region_carve(struct kmm_space *s, struct region *first, uint64_t start,
			    uint64_t end, struct region_reserve *v)
{
	struct region *r = first, *next;
	uint64_t gap_start;

	if (splits(r, start, end)) {
		struct region *tail = take(s, v);

		tail->end = r->end;
		tail->prot = r->prot;
		tail->flags = r->flags;
		r->end = start;
		enter(s, tail, end, end - start);
		return tail;
	}
	if (region_start(r) < start) {
		r->end = start;
		gap_start = start;
		r = region_next(r);
	} else {
		gap_start = region_gap_start(r);
	}
	for (; region_start(r) < end && r->end <= end; r = next) {
		next = region_next(r);
		drop(s, r);
	}
	if (region_start(r) < end)
		r->node.key = end; /* still above gap_start, below the next: order kept */
	weigh(r, gap_start);
	return r;
}

void region_put(struct kmm_space *s, struct region *next, const struct region_want *want,
		struct region_reserve *v)
{
	uint64_t gap_start = region_gap_start(next);
	struct region *below = gap_start == want->start ? region_prev(next) : NULL;
	bool join_below = below && joins(s, below, want);
	bool join_above = region_start(next) == want->end && joins(s, next, want);
	struct region *r;

	KMM_ASSERT(s->kmm, gap_start <= want->start && want->end <= region_start(next),
		   "I1: a region is put into a gap");
	if (join_below && join_above) {
		below->end = next->end;
		drop(s, next); /* the gap above it is the same */
	} else if (join_below) {
		below->end = want->end;
		weigh(next, want->end);
	} else if (join_above) {
		next->node.key = want->start;
		weigh(next, gap_start);
	} else {
		r = take(s, v);
		r->end = want->end;
		r->prot = want->prot;
		r->flags = want->flags;
		enter(s, r, want->start, want->start - gap_start);
		weigh(next, want->end);
	}
}

/// Walks the range for region_plan_colour: the net change in regions, and the
/// last region that overlaps it. *delta is untouched by a range without change.
static enum kmm_error survey(struct kmm_space *s, struct region *first,
			     const struct region_want *want, bool *changes, int64_t *delta,
			     struct region **last)
{
	struct region *r = first, *prev = NULL;
	uint64_t at = want->start;

	*changes = false;
	*delta = 0;
	for (; at < want->end; prev = r, at = r->end, r = region_next(r)) {
		struct region after = { .prot = want->prot, .flags = r->flags };

		if (region_start(r) > at || is_sentinel(s, r))
			return KMM_ENOMEM; /* a hole */
		*changes |= r->prot != want->prot;
		if (prev) {
			struct region before = { .prot = want->prot, .flags = prev->flags };

			*delta -= region_alike(s, &before, &after);
		}
		*last = r;
	}
	return KMM_OK;
}

enum kmm_error region_plan_colour(struct kmm_space *s, struct region *first,
				  const struct region_want *want, bool *changes,
				  struct region_reserve *v)
{
	struct region *last = first, *below, *above;
	struct region_want head = *want, tail = *want;
	int64_t delta;
	bool cut_head, cut_tail;
	enum kmm_error e = survey(s, first, want, changes, &delta, &last);

	v->n = 0;
	if (e != KMM_OK || !*changes)
		return e;
	cut_head = region_start(first) < want->start && first->prot != want->prot;
	cut_tail = last->end > want->end && last->prot != want->prot;
	head.flags = first->flags;
	tail.flags = last->flags;
	below = region_prev(first);
	above = region_next(last);
	delta += cut_head + cut_tail;
	if (region_start(first) == want->start && below && below->end == want->start)
		delta -= joins(s, below, &head);
	if (last->end == want->end && region_start(above) == want->end)
		delta -= joins(s, above, &tail);
	if (s->regions_n + (uint64_t)delta > count_limit(s))
		return KMM_ELIMIT;
	return region_reserve(s, cut_head + cut_tail, v);
}

/// Cuts r at `at`. Returns: the upper part
static struct region *split(struct kmm_space *s, struct region *r, uint64_t at,
			    struct region_reserve *v)
{
	struct region *upper = take(s, v);

	upper->end = r->end;
	upper->prot = r->prot;
	upper->flags = r->flags;
	r->end = at;
	enter(s, upper, at, 0);
	return upper;
}

/// Joins r with the region below if I3 asks for it. Returns: the one that holds r
static struct region *join_below(struct kmm_space *s, struct region *r)
{
	struct region *below = region_prev(r);

	if (below == NULL || below->end != region_start(r) || is_sentinel(s, r) ||
	    !region_alike(s, below, r))
		return r;
	below->end = r->end;
	drop(s, r);
	return below;
}

void region_colour(struct kmm_space *s, struct region *first, const struct region_want *want,
		   struct region_reserve *v)
{
	struct region *r = first;

	if (region_start(r) < want->start && r->prot != want->prot)
		r = split(s, r, want->start, v);
	for (; region_start(r) < want->end; r = region_next(r)) {
		if (r->prot != want->prot) {
			if (r->end > want->end)
				(void)split(s, r, want->end, v);
			r->prot = want->prot;
		}
		r = join_below(s, r);
	}
	(void)join_below(s, r); /* the region above the range */
}
