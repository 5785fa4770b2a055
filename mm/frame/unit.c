/// The frame unit as a whole: its memory, its start and end, and what concerns all CPUs.
/// Nodes come first, since zones lie on them; caches and the reserve are sized when it is
/// known how much memory there is.
#include "frame/unit.h"

#include "frame/cache.h"
#include "frame/reserve.h"
#include "frame/zone.h"

#define SPAN_MAX 0xfffffffeull

void kmm_frame_drain(struct kmm *k)
{
	if (!k->frame->drains)
		return;
	cache_drain_all(k);
	zone_tell(k);
}

void kmm_frame_retire_cpu(struct kmm *k, unsigned i)
{
	KMM_REQUIRE(k, i < k->cpus_n && !(kmm_port_online(k) >> i & 1u),
		    "only a CPU that went offline is retired");
	cache_drain_of(k, k->cpus[i].frame);
	zone_tell(k);
}

void *kmm_frame_virt(struct kmm *k, struct kmm_pfn pfn)
{
	return kmm_port_virt(k, kmm_pfn_to_pa(pfn));
}

/// Tags before the first frame's, so that those of 64 frames that are aligned are a cache line.
static uint64_t tags_lead(uint64_t base)
{
	return base & 63u;
}

uint64_t frame_meta_bytes(const struct kmm_config *c, uint64_t total)
{
	uint64_t base, n = zone_span(c->memmap, &base);

	total = meta_add(total, sizeof(struct frame_state), 64);
	for (unsigned i = 0; i < c->cpus_n; i++)
		total = cache_meta_bytes(c->preset, total);
	total = meta_add(total, c->preset->frame_reserve_n * sizeof(struct kmm_pfn), 64);
	total = meta_add(total, tags_lead(base) + n, 64);
	total = meta_add(total, n * sizeof(struct frame_entry), 64);
	return zone_meta_bytes(c, total);
}

enum kmm_error frame_init(struct kmm *k, const struct kmm_config *c, struct meta *m)
{
	uint64_t base, n = zone_span(c->memmap, &base), managed_n = 0;
	const char *start = m->at;
	struct frame_state *s;
	enum kmm_error e;

	if (frame_policy_of(c->preset->frame_policy) == NULL || n == 0 || n > SPAN_MAX)
		return KMM_EINVAL;
	s = meta_take(k, m, sizeof(*s), 64);
	for (unsigned i = 0; i < c->cpus_n; i++)
		cache_init_cpu(k, c, &k->cpus[i], m);
	s->reserve.slot = meta_take(k, m, c->preset->frame_reserve_n * sizeof(struct kmm_pfn), 64);
	k->tags = (uintptr_t)meta_take(k, m, tags_lead(base) + n, 64) + tags_lead(base) - base;
	k->entry = meta_take(k, m, n * sizeof(struct frame_entry), 64);
	k->entry_base = base;
	k->entry_end = base + n;
	k->frame = s;
	lock_init(&s->drain, LOCK_DRAIN);
	lock_init(&s->plug, LOCK_PLUG);
	e = node_init(k, c);
	if (e == KMM_OK)
		e = zone_init(k, c, m);
	if (e != KMM_OK)
		return e;
	for (unsigned i = 0; i < s->zones_n; i++)
		managed_n += s->zone[i].managed_n;
	s->meta_bytes = (uint64_t)(m->at - start);
	cache_init_sizes(k, managed_n);
	reserve_init(k, managed_n);
	k->call[CALL_DRAIN] = cache_drain_self;
	return KMM_OK;
}

void frame_teardown(struct kmm *k)
{
	cache_drain_quiet(k); /* cached frames are free in every preset's books */
	reserve_end(k);
}
