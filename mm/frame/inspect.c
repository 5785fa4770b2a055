/// The frame unit looked at from outside: statistics and the walk that checks
/// the invariants of frame.c and cache.c.
///
/// Statistics take no lock and may be asked for at any time after init, each
/// number by itself. The check expects that no other CPU uses the instance. It
/// proves that caches hold distinct frames by numbering them in the entries'
/// `index`, which a cached frame doesn't use, and finding each number again.
#include "frame/cache.h"
#include "frame/unit.h"

void kmm_frame_stats(struct kmm *k, struct kmm_frame_stats *out)
{
	const struct frame_state *s = k->frame;
	struct kmm_frame_stats sum = { 0 };

	for (unsigned i = 0; i < k->cpus_n; i++) {
		const struct frame_cpu *fc = k->cpus[i].frame;

		sum.alloc_n += counter_read(&fc->alloc_n);
		sum.free_calls_n += counter_read(&fc->free_n);
		sum.refill_n += counter_read(&fc->refill_n);
		sum.drain_n += counter_read(&fc->drain_n);
		sum.fail_n += counter_read(&fc->fail_n);
	}
	sum.managed_n = s->managed_n;
	sum.cached_n = cache_frames_n(k);
	sum.free_n = s->policy->free_n(s->policy_state) + sum.cached_n;
	sum.lock_n = s->policy->lock_n(s->policy_state);
	sum.meta_bytes = s->meta_bytes;
	sum.largest_order = s->policy->largest_order(s->policy_state);
	if (sum.largest_order == 0 && sum.cached_n != 0)
		sum.largest_order = 1;
	*out = sum;
}

const char *kmm_frame_policy_name(struct kmm *k)
{
	return k->frame->policy->name;
}

bool kmm_frame_is_allocated(struct kmm *k, struct kmm_pfn pfn)
{
	if (!frame_in_table(k, pfn))
		return false;
	/* A block's head is where the frame number, cleared below the order, says. */
	for (unsigned order = 0; order <= KMM_ORDER_MAX; order++) {
		struct kmm_pfn head = { bits_align_down(pfn.n, 1ull << order) };
		const struct frame_entry *e;

		if (!frame_in_table(k, head))
			return false;
		e = frame_entry(k, head);
		if (frame_kind_allocated(frame_kind_get(e)) && e->order >= order)
			return true;
	}
	return false;
}

/// I1 of one allocated block's head.
static enum kmm_error check_head(struct kmm *k, uint64_t pfn, const struct frame_entry *e)
{
	uint64_t size = 1ull << e->order;

	if (e->order > KMM_ORDER_MAX || !bits_aligned(pfn, size) || pfn + size > k->entry_end)
		return frame_broken(k, "I1: order doesn't fit its frame", pfn);
	if (atomic_load_relaxed(&e->refs) == 0)
		return frame_broken(k, "I1: allocated without a reference", pfn);
	for (uint64_t i = 1; i < size; i++) {
		struct kmm_pfn at = { pfn + i };
		const struct frame_entry *tail = frame_entry(k, at);
		enum frame_kind kind = frame_kind_get(tail);

		if (kind != FRAME_NONE && kind != FRAME_TAIL)
			return frame_broken(k, "I1: a head inside an allocated block", at.n);
		if (kind == FRAME_TAIL && tail->index != pfn - k->entry_base)
			return frame_broken(k, "I1: tail of another block", at.n);
	}
	return KMM_OK;
}

struct census {
	uint64_t used_n, cached_n; /* frames */
};

/// One entry. *n = frames to step over
static enum kmm_error check_entry(struct kmm *k, uint64_t pfn, struct census *c, uint64_t *n)
{
	struct kmm_pfn at = { pfn };
	const struct frame_entry *e = frame_entry(k, at);
	enum frame_kind kind = frame_kind_get(e);

	*n = 1;
	if (kind > FRAME_TAIL)
		return frame_broken(k, "I1: no such kind", pfn);
	if (kind == FRAME_TAIL)
		return frame_broken(k, "I1: tail without a block", pfn);
	if ((kind == FRAME_CACHED || kind == FRAME_NONE) && e->order != 0)
		return frame_broken(k, "I1: order without a block", pfn);
	c->cached_n += kind == FRAME_CACHED;
	if (kind == FRAME_USED && (e->index != 0 || e->flags != 0 || e->owner != 0 ||
				   atomic_load_relaxed(&e->refs) != 1u))
		return frame_broken(k, "I2: fields of a plain block in use", pfn);
	if (frame_kind_allocated(kind)) {
		enum kmm_error err = check_head(k, pfn, e);

		if (err != KMM_OK)
			return err;
		*n = 1ull << e->order;
		c->used_n += *n;
	}
	return KMM_OK;
}

/// Cache I1 and I2, one CPU; *number counts up over all.
static enum kmm_error number_cached(struct kmm *k, const struct frame_cpu *fc, uint32_t *number)
{
	if (fc->n > fc->capacity)
		return frame_broken(k, "cache I2: too many", fc->n);
	for (unsigned i = 0; i < fc->n; i++) {
		struct frame_entry *e;

		if (!frame_in_table(k, fc->slot[i]))
			return frame_broken(k, "cache I1: not a frame", fc->slot[i].n);
		e = frame_entry(k, fc->slot[i]);
		if (frame_kind_get(e) != FRAME_CACHED || e->flags != 0 || e->owner != 0 ||
		    atomic_load_relaxed(&e->refs) != 1u)
			return frame_broken(k, "cache I1: entry isn't a cached frame's", fc->slot[i].n);
		e->index = ++*number;
	}
	return KMM_OK;
}

/// Restores cache I1 after the numbering.
static void clear_numbers(struct kmm *k)
{
	for (unsigned c = 0; c < k->cpus_n; c++) {
		const struct frame_cpu *fc = k->cpus[c].frame;

		for (unsigned i = 0; i < fc->n; i++)
			frame_entry(k, fc->slot[i])->index = 0;
	}
}

static enum kmm_error check_caches(struct kmm *k, uint64_t cached_n)
{
	uint32_t number = 0, again = 0;

	for (unsigned c = 0; c < k->cpus_n; c++) {
		enum kmm_error err = number_cached(k, k->cpus[c].frame, &number);

		if (err != KMM_OK)
			return err;
	}
	for (unsigned c = 0; c < k->cpus_n; c++) {
		const struct frame_cpu *fc = k->cpus[c].frame;

		for (unsigned i = 0; i < fc->n; i++)
			if (frame_entry(k, fc->slot[i])->index != ++again)
				return frame_broken(k, "cache I1: twice in caches", fc->slot[i].n);
	}
	clear_numbers(k);
	return number == cached_n ? KMM_OK :
				    frame_broken(k, "cache I1: cached but in no cache", number);
}

enum kmm_error frame_check(struct kmm *k)
{
	const struct frame_state *s = k->frame;
	struct census c = { 0, 0 };
	enum kmm_error e = s->policy->check(k, s->policy_state);
	uint64_t step;

	for (uint64_t pfn = k->entry_base; pfn < k->entry_end && e == KMM_OK; pfn += step)
		e = check_entry(k, pfn, &c, &step);
	if (e == KMM_OK)
		e = check_caches(k, c.cached_n);
	if (e == KMM_OK &&
	    c.used_n + c.cached_n + s->policy->free_n(s->policy_state) != s->managed_n)
		e = frame_broken(k, "I3: frames lost or doubled", k->entry_base);
	return e;
}

enum kmm_error kmm_frame_check(struct kmm *k)
{
	return frame_check(k);
}
