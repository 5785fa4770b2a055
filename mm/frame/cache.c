/// Per-CPU caches of blocks, above whatever policy is in use.
///
/// A magazine is a stack of blocks of one order and group, all from one zone, with a place
/// for one more before it (`young`). A hit takes or adds the youngest with interrupts off: no
/// lock, no atomic read-modify-write, no indirection but the slot. An empty one fetches a
/// batch in one call, from the first zone of this CPU's list that has any, and is that
/// zone's from then on. A full one gives its oldest batch back, which is the coldest, so a
/// burst around either end costs a policy call each batch, not each frame. Blocks of other
/// zones than the magazine's go straight home, unless it is empty and the zone is near: then
/// it is that zone's from then on.
///
/// Invariants
///   I1  young and slot[0..n) are distinct blocks of the magazine's order in its zone,
///       tagged FRAME_NONE (with FRAME_ZEROED or without); so are back[0..back_n) of
///       back_zone;
///   I2  their number <= size <= max; room < size;
///   I3  a frame in a cache is not free in the policy;
///   I4  a magazine that isn't live has no zone: it holds nothing, and no free fits it.
///
/// Size. A cache that adapts begins small, doubles with each refill or spill that finds
/// the zone above its low mark, and is back to small when it is drained for others. In
/// any case all caches together hold at most 1 / CACHED_SHARE of memory, so that small
/// memories stay usable under locks, where nothing is called back.
///
/// Batches. Where a CPU only allocates, or only frees, transfers move more and more at once,
/// up to half of the cache, so that it seldom touches what it shares with others. The first
/// one after anything else is of the usual size again.
///
/// Scattered memory. Reusing the youngest frame leaves every hole where it is. So when
/// much is free but little of it as whole 2 MiB blocks, single frames take another way:
/// frees gather in back[] and return to the policy, which serves the next refill from its
/// densest blocks; the sparse ones drain. The switch is looked at on refills and spills,
/// goes on below 7/8 of free memory in whole blocks and off above 63/64, and is the
/// preset's to allow (frame_cache_adapts). It needs the policy to count whole blocks.
///
/// The owner-drains protocol. Only the owner touches a cache, which is what lets a hit do
/// without atomics. Who wants frames back asks each CPU that holds some to empty its own
/// (CALL_DRAIN) and waits. LOCK_DRAIN keeps it to one drain at a time. Its holder waits
/// for the other CPUs' interrupts, therefore nobody may spin on it with interrupts off:
/// it is tried, and between attempts interrupts come on, so that a second drainer answers
/// the first. The caches of a CPU that went offline have no owner; whoever took it down
/// empties them (kmm_frame_retire_cpu).
///
/// For the same reason an allocation that finds the policies empty may drain the others
/// only where interrupts were on when it was called; a lock holder has them off, so no
/// lock is held then. Under a lock or in an interrupt handler it fails instead, although
/// frames lie in caches: waiting there for a CPU that spins, interrupts off, on what we
/// hold would never end. The vm unit can drop its lock, call kmm_frame_drain and try again.
///
/// Limits: frames stay in caches whose preset never drains. A second CPU may refill from
/// what a drain returned before the drainer gets to it: it tries once, then fails.
///
/// Sources: Bonwick & Adams, Magazines and Vmem (USENIX 2001), for the batches and the
/// growing size.
#include "frame/cache.h"

#include "frame/reserve.h"
#include "frame/zone.h"

#define CACHED_SHARE 8u
#define BATCH 64u     /* blocks moved at once, at first */
#define WAY_LG2 2u    /* 2^this transfers one way double what they move */
#define WAY_MOST (4u << WAY_LG2) /* that is 16 times a batch */
#define SMALL 64u     /* single frames a cache that adapts begins with */
#define WHOLE_LG2 9u  /* frames of a whole block: order 9 */

const uint8_t magazine_of_order[KMM_ORDER_MAX + 1u] = {
	MAGAZINE_PINNED, MAGAZINE_ORDER_1, MAGAZINE_ORDER_2, MAGAZINE_ORDER_3,
	MAGAZINE_NONE, MAGAZINE_NONE, MAGAZINE_NONE, MAGAZINE_NONE, MAGAZINE_NONE,
	MAGAZINE_HUGE,
	MAGAZINE_NONE, MAGAZINE_NONE, MAGAZINE_NONE, MAGAZINE_NONE, MAGAZINE_NONE,
	MAGAZINE_NONE, MAGAZINE_NONE, MAGAZINE_NONE, MAGAZINE_NONE, MAGAZINE_NONE,
	MAGAZINE_NONE,
};

static const uint8_t magazine_order[MAGAZINES_N] = { 0, 0, 1, 2, 3, 9 };

/// Slots of each magazine, before memory's size is known.
static uint32_t slots_n(const struct kmm_preset *p, unsigned magazine)
{
	static const uint8_t share_lg2[MAGAZINES_N] = { 0, 0, 2, 3, 4, 5 };

	if (magazine <= MAGAZINE_MOVABLE)
		return p->frame_cache_n;
	return p->frame_cache_orders ? p->frame_cache_n >> share_lg2[magazine] : 0;
}

uint64_t cache_meta_bytes(const struct kmm_preset *p, uint64_t total)
{
	total = meta_add(total, sizeof(struct frame_cpu), 64);
	for (unsigned i = 0; i < MAGAZINES_N; i++)
		total = meta_add(total, slots_n(p, i) * sizeof(struct kmm_pfn), 64);
	return meta_add(total, p->frame_cache_adapts ? BACK_N * sizeof(struct kmm_pfn) : 0, 64);
}

void cache_init_cpu(struct kmm *k, const struct kmm_config *c, struct kmm_cpu *cpu,
		    struct meta *m)
{
	struct frame_cpu *fc = meta_take(k, m, sizeof(*fc), 64);
	const struct kmm_preset *p = c->preset;

	cpu->frame = fc;
	for (unsigned i = 0; i < MAGAZINES_N; i++) {
		fc->magazine[i].slot = meta_take(k, m, slots_n(p, i) * sizeof(struct kmm_pfn), 64);
		fc->magazine[i].order = magazine_order[i];
		fc->magazine[i].group = i == MAGAZINE_MOVABLE ? FRAME_GROUP_MOVABLE :
								 FRAME_GROUP_PINNED;
	}
	fc->back = meta_take(k, m, p->frame_cache_adapts ? BACK_N * sizeof(struct kmm_pfn) : 0, 64);
}

/// Half of a small cache; of a large one so much that a call of the policy costs little a
/// block, and a burst not much larger than the cache passes it not much more than it must.
static uint32_t batch_of(uint32_t size)
{
	uint32_t half = (size + 1u) / 2u;

	return half < BATCH ? half : BATCH;
}

/// How much to move this way now. may_grow: the zone isn't short of frames
static uint32_t way_batch(struct magazine *m, unsigned way, bool may_grow)
{
	uint32_t most = m->size / 2u, batch, popped = (uint32_t)(m->alloc_n - m->way_alloc_n);
	bool same = m->way == way && popped == (way == WAY_REFILL ? m->way_moved : 0);

	if (way == WAY_REFILL && most < BATCH) /* a small one may be filled */
		most = m->room < BATCH ? m->room : BATCH;
	if (most <= m->batch)
		return m->batch;
	m->way = (uint8_t)way;
	m->way_n = same ? m->way_n + (m->way_n < WAY_MOST) : 0;
	m->way_alloc_n = m->alloc_n;
	if (!may_grow)
		return m->batch;
	batch = m->batch << (m->way_n >> WAY_LG2);
	return batch < most ? batch : most;
}

/// Puts the block before the stack onto it: as room < size, there is a slot.
static void young_settle(struct magazine *m)
{
	if (m->young >= YOUNG_NONE)
		return;
	m->slot[m->n].n = m->young;
	atomic_store_relaxed(&m->young, YOUNG_NONE);
	atomic_store_relaxed(&m->n, m->n + 1u);
}

/// A new size, and all that follows from it.
static void resize(struct frame_cpu *fc, struct magazine *m, uint32_t size)
{
	m->size = size;
	m->batch = batch_of(size);
	if (fc->scattered && m->order == 0) {
		young_settle(m);
		m->room = 0;
		atomic_store_relaxed(&m->young, YOUNG_SHUT);
	} else {
		m->room = size - 1u;
		if (m->young == YOUNG_SHUT)
			atomic_store_relaxed(&m->young, YOUNG_NONE);
	}
}

/// What a cache begins with, and is back to after a drain.
static uint32_t small_size(struct kmm *k, const struct magazine *m)
{
	uint32_t small = SMALL >> m->order;

	if (!k->preset->frame_cache_adapts)
		return m->max;
	small = small != 0 ? small : 1u;
	return small < m->max ? small : m->max;
}

void cache_init_sizes(struct kmm *k, uint64_t managed_n)
{
	/* Each of the orders may take an equal part of a CPU's share. */
	unsigned kinds_n = k->preset->frame_cache_orders ? MAGAZINES_N : MAGAZINE_MOVABLE + 1u;
	uint64_t share = managed_n / CACHED_SHARE / k->cpus_n / kinds_n;
	bool drains = k->preset->frame_cache_drains;

	for (unsigned c = 0; c < k->cpus_n; c++) {
		struct frame_cpu *fc = k->cpus[c].frame;

		for (unsigned i = 0; i < MAGAZINES_N; i++) {
			struct magazine *m = &fc->magazine[i];
			uint64_t most = share >> m->order;

			m->young = YOUNG_SHUT;
			m->max = slots_n(k->preset, i);
			if (drains && most < m->max)
				m->max = (uint32_t)most;
			if (m->max != 0)
				resize(fc, m, small_size(k, m));
			k->frame->caches |= m->max != 0;
		}
	}
	k->frame->drains = drains && k->frame->caches;
}

static bool plenty(const struct zone *z)
{
	return atomic_load_relaxed(&z->free_n) > atomic_load_relaxed(&z->mark[KMM_LEVEL_LOW]);
}

/// Doubles the size, as long as the zone has plenty.
static void grow(struct kmm *k, struct frame_cpu *fc, struct magazine *m, const struct zone *z)
{
	if (m->size < m->max && k->preset->frame_cache_adapts && plenty(z))
		resize(fc, m, m->size * 2u < m->max ? m->size * 2u : m->max);
}

static void back_flush(struct kmm *k, struct frame_cpu *fc)
{
	if (fc->back_n == 0)
		return;
	zone_release(k, fc->back_zone, 0, fc->back_n, fc->back);
	atomic_store_relaxed(&fc->back_n, 0u);
	counter_add(&fc->drain_n, 1u);
}

/// Is free memory scattered? Looks at the zone and flips the switch.
static void scatter_look(struct kmm *k, struct frame_cpu *fc, const struct zone *z)
{
	uint64_t free_n, whole_n;
	bool now;

	if (!k->preset->frame_cache_adapts || z->policy->whole_n == NULL)
		return;
	free_n = atomic_load_relaxed(&z->free_n);
	whole_n = z->policy->whole_n(z->state) << WHOLE_LG2;
	/* A block's worth of loose frames is no scatter. */
	now = fc->scattered ? whole_n < free_n - (free_n >> 6) :
			      whole_n + (2ull << WHOLE_LG2) < free_n - (free_n >> 3);
	if (now == fc->scattered)
		return;
	fc->scattered = now;
	for (unsigned i = MAGAZINE_PINNED; i <= MAGAZINE_MOVABLE; i++)
		resize(fc, &fc->magazine[i], fc->magazine[i].size);
	if (!now)
		back_flush(k, fc);
}

static void set_zone(struct frame_cpu *fc, struct magazine *m, struct zone *z)
{
	m->zone = z;
	m->base = z->base;
	m->span_n = z->end - z->base;
	atomic_store_relaxed(&fc->live, fc->live | 1u << (m - fc->magazine));
}

bool cache_adopt(struct kmm *k, struct frame_cpu *fc, struct magazine *m, struct kmm_pfn pfn)
{
	const struct zone_list *l = zone_list_here(k, KMM_ZONE_NORMAL);
	struct zone *z = zone_of(k, pfn);

	/* What old devices need isn't mixed with the rest, where there is a rest. */
	if (magazine_count(m) != 0 || z->node != fc->node ||
	    (z->kind == KMM_ZONE_DMA && l->zone[0] != z->index))
		return false;
	for (unsigned i = 0; i < l->n; i++) {
		if (l->zone[i] == z->index) {
			set_zone(fc, m, z);
			return true;
		}
	}
	return false;
}

bool cache_refill(struct kmm *k, struct frame_cpu *fc, struct magazine *m)
{
	const struct zone_list *l = zone_list_here(k, KMM_ZONE_NORMAL);

	KMM_ASSERT(k, magazine_count(m) == 0, "only an empty cache is refilled");
	for (unsigned i = 0; i < l->n; i++) {
		struct zone *z = &k->frame->zone[l->zone[i]];
		unsigned got;

		if (atomic_load_relaxed(&z->free_n) >> m->order == 0)
			continue;
		got = zone_claim(k, z, m->order, (enum frame_group)m->group,
				 way_batch(m, WAY_REFILL, k->preset->frame_cache_adapts &&
							  !fc->scattered && plenty(z)),
				 m->slot);
		if (got == 0)
			continue;
		set_zone(fc, m, z);
		m->way_moved = got;
		atomic_store_relaxed(&m->n, got);
		counter_add(&m->moved_n, got);
		counter_add(&fc->refill_n, 1u);
		if (m->order == 0)
			scatter_look(k, fc, z);
		grow(k, fc, m, z);
		return true;
	}
	return false;
}

/// Gives the oldest batch of a full magazine back, a quarter if that is more: the others
/// move down for it.
static void spill(struct kmm *k, struct frame_cpu *fc, struct magazine *m)
{
	uint32_t quarter = m->n / 4u, rest;
	uint32_t batch = way_batch(m, WAY_SPILL, k->preset->frame_cache_adapts);

	batch = quarter > batch ? quarter : batch;
	batch = batch < m->n ? batch : m->n;
	rest = m->n - batch;
	zone_release(k, m->zone, m->order, batch, m->slot);
	for (uint32_t i = 0; i < rest; i += batch) /* pieces that don't overlap */
		kmm_port_copy(m->slot + i, m->slot + i + batch,
			      (rest - i < batch ? rest - i : batch) * sizeof(*m->slot));
	atomic_store_relaxed(&m->n, rest);
	counter_add(&m->moved_n, 0ull - batch);
	counter_add(&fc->drain_n, 1u);
	if (m->order == 0)
		scatter_look(k, fc, m->zone);
}

/// A single frame on its way back while memory is scattered.
static void back_push(struct kmm *k, struct frame_cpu *fc, struct zone *z, struct kmm_pfn pfn)
{
	if (fc->back_n == BACK_N || (fc->back_n != 0 && fc->back_zone != z)) {
		back_flush(k, fc);
		scatter_look(k, fc, z);
	}
	fc->back_zone = z;
	fc->back[fc->back_n] = pfn;
	atomic_store_relaxed(&fc->back_n, fc->back_n + 1u);
	counter_add(&fc->direct_free_n, 1u);
}

void cache_push_slow(struct kmm *k, struct frame_cpu *fc, struct magazine *m, struct kmm_pfn pfn)
{
	if (reserve_gives(k, m->order, pfn))
		return;
	if (m->young != YOUNG_SHUT) {
		KMM_ASSERT(k, m->n >= m->room, "only a full cache spills");
		if (m->size < m->max)
			grow(k, fc, m, m->zone);
		if (m->n >= m->room && m->n != 0)
			spill(k, fc, m);
		if (magazine_push(m, pfn))
			return;
	}
	if (m->young == YOUNG_SHUT) { /* perhaps only since the spill looked */
		back_push(k, fc, m->zone, pfn);
	} else { /* a size of 1, and that is there */
		zone_release(k, m->zone, m->order, 1, &pfn);
		counter_add(&fc->direct_free_n, 1u);
	}
}

void cache_drain(struct kmm *k, struct frame_cpu *fc)
{
	back_flush(k, fc);
	for (uint32_t live = fc->live; live != 0; live &= live - 1u) {
		struct magazine *m = &fc->magazine[bits_lowest(live)];

		young_settle(m);
		m->span_n = 0; /* I4 */
		m->way = WAY_NONE;
		if (m->n == 0)
			continue;
		zone_release(k, m->zone, m->order, m->n, m->slot);
		counter_add(&m->moved_n, 0ull - m->n);
		atomic_store_relaxed(&m->n, 0u);
		counter_add(&fc->drain_n, 1u);
	}
	atomic_store_relaxed(&fc->live, 0u);
}

void cache_drain_self(struct kmm *k)
{
	struct frame_cpu *fc = kmm_port_cpu(k)->frame;

	cache_drain(k, fc);
	for (unsigned i = 0; i < MAGAZINES_N; i++)
		if (fc->magazine[i].max != 0)
			resize(fc, &fc->magazine[i], small_size(k, &fc->magazine[i]));
}

bool cache_cpu_empty(const struct frame_cpu *fc)
{
	uint64_t held = atomic_load_relaxed(&fc->back_n);

	for (uint32_t live = atomic_load_relaxed(&fc->live); live != 0; live &= live - 1u) {
		const struct magazine *m = &fc->magazine[bits_lowest(live)];

		/* The two values of young that are no frame become 0. */
		held |= atomic_load_relaxed(&m->n) | (atomic_load_relaxed(&m->young) + 2u) >> 1;
	}
	return held == 0;
}

uint64_t cache_cpu_frames_n(const struct frame_cpu *fc)
{
	uint64_t n = atomic_load_relaxed(&fc->back_n);

	for (unsigned i = 0; i < MAGAZINES_N; i++)
		n += (uint64_t)magazine_count(&fc->magazine[i]) << fc->magazine[i].order;
	return n;
}

/// CPUs other than this one whose caches hold something.
static kmm_cpumask holders(struct kmm *k)
{
	unsigned here = kmm_port_cpu(k)->id;
	kmm_cpumask set = 0;

	for (unsigned i = 0; i < k->cpus_n; i++)
		if (i != here && !cache_cpu_empty(k->cpus[i].frame))
			set |= 1ull << i;
	return set;
}

bool cache_others_hold(struct kmm *k)
{
	return holders(k) != 0;
}

void cache_drain_all(struct kmm *k)
{
	unsigned long was;

	while (!lock_try_acquire(k, &k->frame->drain, &was))
		kmm_port_relax(k);
	KMM_ASSERT(k, KMM_IRQ_MAY_HAVE_BEEN_ON(was), "a drain waits with interrupts on");
	cache_drain_self(k);
	call_cpus(k, holders(k), CALL_DRAIN);
	lock_release(k, &k->frame->drain, was);
}

void cache_drain_of(struct kmm *k, struct frame_cpu *fc)
{
	unsigned long was = kmm_port_irq_save(k);

	cache_drain(k, fc);
	kmm_port_irq_restore(k, was);
}

void cache_drain_quiet(struct kmm *k)
{
	for (unsigned i = 0; i < k->cpus_n; i++)
		cache_drain_of(k, k->cpus[i].frame);
}

uint64_t cache_frames_n(struct kmm *k)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < k->cpus_n; i++)
		n += cache_cpu_frames_n(k->cpus[i].frame);
	return n;
}
