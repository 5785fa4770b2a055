/// Pressure: marks, who is told of them, and what an allocation does before it fails.
///
/// A zone has three marks, in frames. While fewer are free than a mark says, its level is
/// at least that bad; zone.c notes crossings where it counts, and tells the listener
/// outside of all locks. New marks may mean another level at once, so setting them looks.
///
/// An allocation that found too little, with interrupts on and allowed to wait, empties
/// the caches of all CPUs, then asks the listener to free something, as long as that says
/// it did. After each step the allocation tries again. The order is by cost: a drain
/// loses nothing but the caches' warmth.
///
/// Invariants
///   I1  mark[LOW] >= mark[MIN] >= mark[CRITICAL] when nothing runs.
///
/// Locking: none. Marks are single words; a look between two of the three stores of
/// kmm_zone_set_marks may see a level that is neither the old nor the new one, and the look
/// after the last store corrects it. The listener's struct is published by a release and
/// read by an acquire; it is the embedder's, and constant while it is in place.
///
/// Failure: marks that aren't in order are refused. A listener that says it freed
/// something when it didn't keeps an allocation waiting.
///
/// Sources: Gorman, Understanding the Linux Virtual Memory Manager, 2.2.1 (watermarks);
/// Bonwick, The Slab Allocator (USENIX 1994), for the reclaim callback.
#include "frame/pressure.h"

#include "frame/cache.h"
#include "frame/zone.h"

enum kmm_error kmm_zone_set_marks(struct kmm *k, unsigned i, uint64_t low, uint64_t min,
				  uint64_t critical)
{
	struct zone *z;

	if (i >= k->frame->zones_n || low < min || min < critical)
		return KMM_EINVAL;
	z = &k->frame->zone[i];
	atomic_store_relaxed(&z->mark[KMM_LEVEL_LOW], low);
	atomic_store_relaxed(&z->mark[KMM_LEVEL_MIN], min);
	atomic_store_relaxed(&z->mark[KMM_LEVEL_CRITICAL], critical);
	zone_look(k, z);
	zone_tell(k);
	return KMM_OK;
}

void kmm_pressure_listen(struct kmm *k, const struct kmm_pressure *p)
{
	atomic_store_release(&k->frame->pressure, p);
}

bool pressure_relievable(struct kmm *k)
{
	const struct kmm_pressure *p = atomic_load_acquire(&k->frame->pressure);

	return (p && p->reclaim) || (k->frame->drains && cache_others_hold(k));
}

void pressure_relieve(struct kmm *k, unsigned order, bool (*again)(struct kmm *k, void *ctx),
		      void *ctx)
{
	const struct kmm_pressure *p = atomic_load_acquire(&k->frame->pressure);

	if (k->frame->drains) {
		cache_drain_all(k);
		if (again(k, ctx))
			return;
	}
	while (p && p->reclaim && p->reclaim(k, p->ctx, order) != 0)
		if (again(k, ctx))
			return;
}

void pressure_failed(struct kmm *k)
{
	unsigned long was = kmm_port_irq_save(k);

	counter_add(&kmm_port_cpu(k)->frame->fail_n, 1u);
	kmm_port_irq_restore(k, was);
}
