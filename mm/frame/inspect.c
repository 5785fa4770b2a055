/// The frame unit looked at from outside: statistics and the walk that checks
/// the invariants of frame.c, cache.c, zone.c, range.c, plug.c and reserve.h.
///
/// Statistics take no lock and may be asked for at any time after init, each number by
/// itself. The check expects that no other CPU uses the instance. It tags what lies in
/// caches and in the reserve FRAME_CACHED while it walks: so a frame that is there twice,
/// or free in a policy as well, or allocated, is seen at once.
#include "frame/cache.h"
#include "frame/plug.h"
#include "frame/unit.h"
#include "frame/zone.h"

void kmm_frame_stats(struct kmm *k, struct kmm_frame_stats *out)
{
	const struct frame_state *s = k->frame;
	struct kmm_frame_stats sum = { 0 };

	*out = sum;
	if (s == NULL)
		return; /* asked before frames exist */
	for (unsigned i = 0; i < k->cpus_n; i++) {
		const struct frame_cpu *fc = k->cpus[i].frame;

		for (unsigned j = 0; j < MAGAZINES_N; j++) {
			const struct magazine *m = &fc->magazine[j];
			uint64_t popped_n = counter_read(&m->alloc_n);

			sum.alloc_n += popped_n;
			sum.free_calls_n += popped_n + magazine_count(m) -
					    counter_read(&m->moved_n);
		}
		sum.alloc_n += counter_read(&fc->direct_alloc_n);
		sum.free_calls_n += counter_read(&fc->direct_free_n);
		sum.refill_n += counter_read(&fc->refill_n);
		sum.drain_n += counter_read(&fc->drain_n);
		sum.fail_n += counter_read(&fc->fail_n);
	}
	for (unsigned i = 0; i < s->zones_n; i++) {
		const struct zone *z = &s->zone[i];

		sum.managed_n += atomic_load_relaxed(&z->managed_n);
		sum.free_n += atomic_load_relaxed(&z->free_n);
		sum.lock_n += z->policy->lock_n(z->state);
	}
	sum.cached_n = cache_frames_n(k);
	sum.free_n += sum.cached_n;
	sum.reserve_n = atomic_load_relaxed(&s->reserve.n);
	sum.meta_bytes = s->meta_bytes;
	*out = sum;
}

const char *kmm_frame_policy_name(struct kmm *k)
{
	return k->frame->zone[0].policy->name;
}

const char *kmm_zone_kind_name(enum kmm_zone_kind kind)
{
	static const char *const name[] = { "dma", "dma32", "normal", "high", "device" };

	return kind < KMM_ZONE_KINDS_N ? name[kind] : "none";
}

unsigned kmm_zones_n(struct kmm *k)
{
	return k->frame->zones_n;
}

enum kmm_error kmm_zone_info(struct kmm *k, unsigned i, struct kmm_zone_info *out)
{
	const struct zone *z;

	if (i >= k->frame->zones_n)
		return KMM_EINVAL;
	z = &k->frame->zone[i];
	*out = (struct kmm_zone_info){
		.kind = (enum kmm_zone_kind)z->kind,
		.name = kmm_zone_kind_name((enum kmm_zone_kind)z->kind),
		.policy = z->policy->name,
		.node = z->node, .tier = z->tier,
		.base = { z->base }, .end = { z->end },
		.managed_n = atomic_load_relaxed(&z->managed_n),
		.free_n = atomic_load_relaxed(&z->free_n),
		.fail_n = atomic_load_relaxed(&z->fail_n),
		.level = (enum kmm_level)atomic_load_relaxed(&z->level),
	};
	for (unsigned c = 0; c < k->cpus_n; c++) {
		out->claim_n += counter_read(&k->cpus[c].frame->claim_n[i]);
		out->release_n += counter_read(&k->cpus[c].frame->release_n[i]);
	}
	for (unsigned level = KMM_LEVEL_LOW; level < KMM_LEVELS_N; level++)
		out->mark[level] = atomic_load_relaxed(&z->mark[level]);
	return KMM_OK;
}

unsigned kmm_node_of(struct kmm *k, struct kmm_pfn pfn)
{
	const struct zone *z = zone_of(k, pfn);

	return z ? z->node : 0;
}

bool kmm_frame_is_allocated(struct kmm *k, struct kmm_pfn pfn)
{
	if (!frame_in_table(k, pfn))
		return false;
	if (frame_kind(k, pfn) == FRAME_TAIL)
		return true;
	/* A block's head is where the frame number, cleared below the order, says. */
	for (unsigned order = 0; order <= KMM_ORDER_MAX; order++) {
		struct kmm_pfn head = { bits_align_down(pfn.n, 1ull << order) };

		if (!frame_in_table(k, head))
			return false;
		if (frame_kind_allocated(frame_kind(k, head)) &&
		    pfn.n - head.n < frame_block_n(k, head))
			return true;
	}
	return false;
}

/// I1 and I2 of one allocated block. *n = its frames
static enum kmm_error check_block(struct kmm *k, struct kmm_pfn head, uint64_t *n)
{
	const struct frame_entry *e = frame_entry(k, head);
	uint8_t tag = frame_tag(k, head);

	if (tag < FRAME_USED && tag != FRAME_RUN) {
		if (e->order > KMM_ORDER_MAX)
			return frame_broken(k, "I1: no such order", head.n);
		if (atomic_load_relaxed(&e->refs) == 0)
			return frame_broken(k, "I2: allocated without a reference", head.n);
	}
	*n = frame_block_n(k, head);
	if (*n == 0 || head.n + *n > k->entry_end ||
	    (tag != FRAME_RUN && !bits_aligned(head.n, *n)))
		return frame_broken(k, "I1: order doesn't fit its frame", head.n);
	if (tag == FRAME_RUN && head.n + *n > zone_of(k, head)->end)
		return frame_broken(k, "range I1: leaves its zone", head.n);
	for (uint64_t i = 1; i < *n; i++) {
		struct kmm_pfn at = { head.n + i };
		uint8_t tail = frame_tag(k, at);

		if (tail != FRAME_TAIL && (tail != FRAME_NONE || tag == FRAME_RUN))
			return frame_broken(k, "I1: tagged inside an allocated block", at.n);
		if (tail == FRAME_TAIL && frame_entry(k, at)->index != head.n - k->entry_base)
			return frame_broken(k, "I1: tail of another block", at.n);
	}
	return KMM_OK;
}

/// Frames that are in no policy.
struct census {
	uint64_t used_n, cached_n, isolated_n, absent_n;
};

/// One tag. *n = frames to step over
static enum kmm_error check_tag(struct kmm *k, struct kmm_pfn at, struct census *c, uint64_t *n)
{
	uint8_t tag = frame_tag(k, at);
	enum frame_tag kind = frame_tag_kind(tag);
	enum kmm_error e;

	*n = 1;
	if (kind == FRAME_TAIL)
		return frame_broken(k, "I1: tail without a block", at.n);
	if (kind > FRAME_RUN && kind < FRAME_USED)
		return frame_broken(k, "I1: no such tag", at.n);
	if (kind >= FRAME_USED && (tag & FRAME_TAG_ORDER) > KMM_ORDER_MAX)
		return frame_broken(k, "I1: no such order", at.n);
	c->cached_n += kind == FRAME_CACHED;
	c->isolated_n += kind == FRAME_ISOLATED;
	c->absent_n += kind == FRAME_ABSENT;
	if (!frame_kind_allocated(kind))
		return KMM_OK;
	e = check_block(k, at, n);
	c->used_n += *n;
	return e;
}

/// Tags the frames of cached blocks, or takes the tags off again. Stops at one that isn't
/// what cache I1 says.
static enum kmm_error tag_blocks(struct kmm *k, const struct kmm_pfn *pfn, uint32_t n,
				 unsigned order, bool on)
{
	for (uint32_t i = 0; i < n; i++) {
		for (uint64_t j = 0; j < 1ull << order; j++) {
			struct kmm_pfn at = { pfn[i].n + j };
			uint8_t tag;

			if (!frame_in_table(k, at))
				return frame_broken(k, "cache I1: not a frame", at.n);
			tag = frame_tag(k, at);
			if (on && frame_tag_kind(tag) == FRAME_CACHED)
				return frame_broken(k, "cache I1: twice in caches", at.n);
			if (on && frame_tag_kind(tag) != FRAME_NONE)
				return frame_broken(k, "cache I1: cached frame is tagged", at.n);
			if (on || frame_tag_kind(tag) == FRAME_CACHED)
				frame_tag_set(k, at, (tag & FRAME_ZEROED) +
							     (on ? FRAME_CACHED : FRAME_NONE));
		}
	}
	return KMM_OK;
}

/// All caches and the reserve.
static enum kmm_error tag_caches(struct kmm *k, bool on)
{
	const struct reserve *r = &k->frame->reserve;
	enum kmm_error e = tag_blocks(k, r->slot, r->n, 0, on);

	for (unsigned c = 0; c < k->cpus_n && e == KMM_OK; c++) {
		const struct frame_cpu *fc = k->cpus[c].frame;

		e = tag_blocks(k, fc->back, fc->back_n, 0, on);
		for (unsigned i = 0; i < MAGAZINES_N && e == KMM_OK; i++) {
			const struct magazine *m = &fc->magazine[i];

			const struct kmm_pfn young = { m->young };

			if (magazine_count(m) > m->size || m->size > m->max ||
			    (m->size != 0 && m->room >= m->size))
				return frame_broken(k, "cache I2: too many", m->n);
			if ((fc->live >> i & 1u) == 0 && (magazine_count(m) | m->span_n) != 0)
				return frame_broken(k, "cache I4: not live", i);
			e = tag_blocks(k, m->slot, m->n, m->order, on);
			if (e == KMM_OK && young.n < YOUNG_NONE)
				e = tag_blocks(k, &young, 1, m->order, on);
		}
	}
	return e;
}

static enum kmm_error check_zones(struct kmm *k, uint64_t *free_n, uint64_t *managed_n)
{
	const struct frame_state *s = k->frame;

	for (unsigned i = 0; i < s->zones_n; i++) {
		const struct zone *z = &s->zone[i];
		uint64_t n = 0;
		enum kmm_error e = z->policy->check(k, z->state, &n);

		if (e != KMM_OK)
			return e;
		if (n != z->free_n)
			return frame_broken(k, "zone I1: free count", z->base);
		if (i != 0 && z->base < s->zone[i - 1u].end)
			return frame_broken(k, "zone I2: zones overlap", z->base);
		*free_n += n;
		*managed_n += z->managed_n;
	}
	return KMM_OK;
}

enum kmm_error frame_check(struct kmm *k)
{
	struct census c = { 0, 0, 0, 0 };
	uint64_t free_n = 0, managed_n = 0, step;
	enum kmm_error e = tag_caches(k, true), undone;

	if (e == KMM_OK)
		e = check_zones(k, &free_n, &managed_n);
	for (struct kmm_pfn at = { k->entry_base }; at.n < k->entry_end && e == KMM_OK; at.n += step)
		e = check_tag(k, at, &c, &step);
	if (e == KMM_OK && c.used_n + c.cached_n + c.isolated_n + free_n != managed_n)
		e = frame_broken(k, "I3: frames lost or doubled", k->entry_base);
	if (e == KMM_OK && managed_n + c.absent_n != plug_memory_n(k))
		e = frame_broken(k, "plug I3: memory there and absent", k->entry_base);
	undone = tag_caches(k, false);
	return e == KMM_OK ? undone : e;
}

enum kmm_error kmm_frame_check(struct kmm *k)
{
	return frame_check(k);
}
