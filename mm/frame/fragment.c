/// How scattered free memory is, told from the runs of free frames that each policy can
/// name (policy.h, next_run). Caches and the reserve count as in use.
///
/// A run is cut into the largest aligned blocks, as a buddy allocator would hold it;
/// from their numbers follows what no block of an order can use, which is the measure of
/// external fragmentation that Gorman and Whitcroft use for Linux (The What, The Why and
/// the Where To of Anti-Fragmentation, OLS 2006).
#include <kmm/zone.h>

#include "frame/zone.h"

#define WHOLE_LG2 9u

static void count_run(struct kmm_fragmentation *f, struct frame_run r)
{
	f->free_n += r.n;
	f->runs_n++;
	if (r.n > f->largest_run_n)
		f->largest_run_n = r.n;
	while (r.n != 0) {
		unsigned order = zone_front_order(r.pfn, r.n);

		f->blocks_n[order]++;
		if (order >= WHOLE_LG2)
			f->whole_n += 1ull << (order - WHOLE_LG2);
		r.pfn += 1ull << order;
		r.n -= 1ull << order;
	}
}

enum kmm_error kmm_zone_fragmentation(struct kmm *k, unsigned i, struct kmm_fragmentation *f)
{
	struct frame_run r = { 0, 0 };
	const struct zone *z;
	uint64_t small_n = 0;

	if (i >= k->frame->zones_n)
		return KMM_EINVAL;
	z = &k->frame->zone[i];
	*f = (struct kmm_fragmentation){ 0 };
	for (uint64_t at = z->base; z->policy->next_run(k, z->state, at, z->end, &r);
	     at = r.pfn + r.n)
		count_run(f, r);
	for (unsigned order = 0; order <= KMM_ORDER_MAX && f->free_n != 0; order++) {
		f->unusable[order] = (uint16_t)(small_n * 1000u / f->free_n);
		small_n += f->blocks_n[order] << order;
	}
	return KMM_OK;
}

unsigned kmm_frame_largest_order(struct kmm *k)
{
	struct kmm_fragmentation f;
	unsigned best = 0;

	for (unsigned i = 0; kmm_zone_fragmentation(k, i, &f) == KMM_OK; i++)
		for (unsigned order = best; order <= KMM_ORDER_MAX; order++)
			if (f.blocks_n[order] != 0)
				best = order + 1u;
	return best;
}
