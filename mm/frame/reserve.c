/// The emergency reserve (theory in reserve.h).
#include "frame/reserve.h"

#include "frame/zone.h"

#define SHARE 256u /* at most 1 / SHARE of memory */

void reserve_init(struct kmm *k, uint64_t managed_n)
{
	struct reserve *r = &k->frame->reserve;
	const struct frame_want w = { 0, 0, FRAME_GROUP_PINNED, NULL };
	uint64_t most = managed_n / SHARE;
	unsigned long was = kmm_port_irq_save(k);

	lock_init(&r->lock, LOCK_RESERVE);
	r->want_n = most < k->preset->frame_reserve_n ? (uint32_t)most : k->preset->frame_reserve_n;
	if (r->want_n != 0)
		r->n = zones_claim(k, &w, r->want_n, r->slot);
	kmm_port_irq_restore(k, was);
}

void reserve_end(struct kmm *k)
{
	struct reserve *r = &k->frame->reserve;
	unsigned long was = kmm_port_irq_save(k);

	if (r->n != 0)
		zone_release_mixed(k, 0, r->n, r->slot);
	atomic_store_relaxed(&r->n, 0u);
	kmm_port_irq_restore(k, was);
}

unsigned reserve_take(struct kmm *k, const struct frame_want *w, unsigned n, struct kmm_pfn *out)
{
	struct reserve *r = &k->frame->reserve;
	unsigned long was = lock_acquire(k, &r->lock);
	unsigned got = 0;

	for (uint32_t i = r->n; i-- != 0 && got < n;) {
		if (!zone_allowed(w, zone_of(k, r->slot[i])))
			continue;
		out[got++] = r->slot[i];
		atomic_store_relaxed(&r->n, r->n - 1u);
		r->slot[i] = r->slot[r->n];
	}
	lock_release(k, &r->lock, was);
	return got;
}

bool reserve_give(struct kmm *k, struct kmm_pfn pfn)
{
	struct reserve *r = &k->frame->reserve;
	unsigned long was;
	bool kept;

	if (zone_of(k, pfn)->kind > KMM_ZONE_NORMAL)
		return false; /* not what an allocation without flags may get */
	was = lock_acquire(k, &r->lock);
	kept = r->n < r->want_n;
	if (kept) {
		r->slot[r->n] = pfn;
		atomic_store_relaxed(&r->n, r->n + 1u);
	}
	lock_release(k, &r->lock, was);
	return kept;
}
