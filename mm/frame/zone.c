/// Zones: spans of memory of one kind on one node, each with a policy of its own.
///
/// The memory map is cut wherever kind or node change; pieces of the same kind and node
/// that follow each other become one zone, holes and reserved ranges inside included,
/// since those are simply never handed to the policy. A preset without zones has one for
/// all memory but the devices'. Zones are numbered by rising address.
///
/// Who is asked. For each node and each first kind there is a list, made at init: local
/// zones first, then other nodes' by tier and distance; on a node the kind asked for and
/// then lower ones. What only old devices can use (KMM_ZONE_DMA) comes after all nodes'
/// other zones. KMM_ZONE_DEVICE is on no list but its own.
///
/// Invariants
///   I1  free_n >= frames free in the policy, at any time; equal when nothing runs;
///   I2  zones are disjoint and sorted; each managed frame is in exactly one;
///   I3  managed_n = the frames that the policy was given, less those taken out again.
///
/// free_n is what the policies need not count: added to before a release, subtracted from
/// after a claim, hence I1. It answers a claim of an empty zone at once. A claim of single
/// frames that came back empty although free_n isn't 0 met another CPU between two steps
/// and asks again, so that no allocation fails while there is a frame; larger blocks may
/// be missed so.
///
/// Locking: none here; policies bring theirs, LOCK_PLUG guards managed_n. The counts share
/// a line of their own, and are touched once a batch, not once a frame.
///
/// Levels. A claim or release that sees free_n cross a mark sets the zone's bit in its
/// CPU's `told`; once the caller has left its critical part, zone_tell calls the
/// listener. Between two calls a level may have come and gone: the listener hears the
/// newest.
///
/// Limits: KMM_ZONES_MAX zones.
///
/// Sources: Gorman, Understanding the Linux Virtual Memory Manager, ch. 2 (zones,
/// watermarks); ACPI 6.5, 5.2.16-17 (affinity and distances).
#include "frame/zone.h"

#include "frame/plug.h"

#define DMA_END (16ull << 20)
#define DMA32_END (4ull << 30)
/* Times a claim of single frames asks again. The other CPU has interrupts off and a few
 * steps to go; a virtual CPU may be put aside meanwhile. */
#define RETRIES 1000u

static bool kind_is_memory(enum kmm_mem_kind kind)
{
	return kind < KMM_MEM_RESERVED;
}

uint64_t zone_span(const struct kmm_memmap *m, uint64_t *base)
{
	uint64_t start = ~0ull, end = 0;

	for (unsigned i = 0; i < m->n; i++) {
		const struct kmm_mem_range *r = &m->range[i];

		if (!kind_is_memory(r->kind))
			continue;
		start = kmm_pa_to_pfn(r->start).n < start ? kmm_pa_to_pfn(r->start).n : start;
		end = kmm_pa_to_pfn(r->end).n > end ? kmm_pa_to_pfn(r->end).n : end;
	}
	*base = start;
	return start < end ? end - start : 0;
}

/// The kind of zone at an address, and where it ends.
static enum kmm_zone_kind kind_at(const struct kmm_config *c, struct kmm_pa pa, struct kmm_pa *end)
{
	const uint64_t limit[] = { c->dma_end.a ? c->dma_end.a : DMA_END,
				   c->dma32_end.a ? c->dma32_end.a : DMA32_END,
				   c->high_start.a ? c->high_start.a : ~0ull };

	end->a = ~0ull;
	for (unsigned kind = 0; c->preset->frame_zones && kind < 3u; kind++) {
		if (pa.a < limit[kind]) {
			end->a = bits_align_down(limit[kind], KMM_PAGE_BYTES);
			return (enum kmm_zone_kind)kind;
		}
	}
	return c->preset->frame_zones ? KMM_ZONE_HIGH : KMM_ZONE_NORMAL;
}

/// Zones as the map asks for them. Returns: how many, KMM_ZONES_MAX + 1 if too many
static unsigned zones_plan(const struct kmm_config *c, struct zone zone[])
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->memmap->n; i++) {
		const struct kmm_mem_range *r = &c->memmap->range[i];
		struct kmm_pa at = r->start, kind_end, node_end;

		while (kind_is_memory(r->kind) && at.a < r->end.a) {
			unsigned kind = kind_at(c, at, &kind_end);
			unsigned node = node_at(c, at, &node_end);
			uint64_t end = kind_end.a < node_end.a ? kind_end.a : node_end.a;

			end = end < r->end.a ? end : r->end.a;
			kind = r->kind == KMM_MEM_DEVICE ? KMM_ZONE_DEVICE : kind;
			if (n == 0 || zone[n - 1u].kind != kind || zone[n - 1u].node != node) {
				if (n == KMM_ZONES_MAX)
					return n + 1u;
				zone[n].base = kmm_pa_to_pfn(at).n;
				zone[n].kind = (uint8_t)kind;
				zone[n].node = (uint8_t)node;
				zone[n].index = (uint8_t)n;
				n++;
			}
			at.a = end;
			zone[n - 1u].end = kmm_pa_to_pfn(at).n;
		}
	}
	return n;
}

uint64_t zone_meta_bytes(const struct kmm_config *c, uint64_t total)
{
	const struct frame_policy *policy = frame_policy_of(c->preset->frame_policy);
	struct zone zone[KMM_ZONES_MAX];
	unsigned n = zones_plan(c, zone);

	for (unsigned i = 0; i < n && n <= KMM_ZONES_MAX && policy != NULL; i++)
		total = meta_add(total, policy->meta_bytes(zone[i].end - zone[i].base, c->cpus_n),
				 64);
	return total;
}

/// Hands the usable ranges to their zones.
static void add_ranges(struct kmm *k, const struct kmm_memmap *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct kmm_mem_range *r = &m->range[i];
		struct kmm_pfn at = kmm_pa_to_pfn(r->start);
		uint64_t end = kmm_pa_to_pfn(r->end).n;

		while (at.n < end && (r->kind == KMM_MEM_USABLE || r->kind == KMM_MEM_DEVICE)) {
			struct zone *z = zone_of(k, at);
			uint64_t n = (end < z->end ? end : z->end) - at.n;

			z->free_n += n;
			z->managed_n += n;
			z->policy->add_range(k, z->state, at, n);
			at.n += n;
		}
	}
}

/// Marks that suit a zone's size: 1/64, 1/128 and 1/256 of it.
static uint64_t mark_of(uint64_t managed_n, unsigned level)
{
	return managed_n >> (5u + level);
}

void zone_marks_set(struct zone *z, uint64_t managed_n)
{
	for (unsigned level = KMM_LEVEL_LOW; level < KMM_LEVELS_N; level++)
		atomic_store_relaxed(&z->mark[level], mark_of(managed_n, level));
}

bool zone_marks_suit(const struct zone *z, uint64_t managed_n)
{
	for (unsigned level = KMM_LEVEL_LOW; level < KMM_LEVELS_N; level++)
		if (atomic_load_relaxed(&z->mark[level]) != mark_of(managed_n, level))
			return false;
	return true;
}

enum kmm_error zone_init(struct kmm *k, const struct kmm_config *c, struct meta *m)
{
	const struct frame_policy *policy = frame_policy_of(c->preset->frame_policy);
	struct frame_state *s = k->frame;
	unsigned n = zones_plan(c, s->zone);

	if (n > KMM_ZONES_MAX)
		return KMM_ELIMIT;
	s->zones_n = n;
	for (unsigned i = 0; i < n; i++) {
		struct zone *z = &s->zone[i];
		uint64_t frames_n = z->end - z->base;
		void *meta = meta_take(k, m, policy->meta_bytes(frames_n, c->cpus_n), 64);

		z->tier = s->tier[z->node];
		z->policy = policy;
		z->state = policy->init(k, meta, z->base, frames_n);
	}
	plug_init(k, c->memmap);
	add_ranges(k, c->memmap);
	for (unsigned i = 0; i < n; i++)
		zone_marks_set(&s->zone[i], s->zone[i].managed_n);
	node_lists_init(k);
	return KMM_OK;
}

struct zone *zone_of(struct kmm *k, struct kmm_pfn pfn)
{
	struct frame_state *s = k->frame;

	for (unsigned i = 0; i < s->zones_n; i++)
		if (pfn.n - s->zone[i].base < s->zone[i].end - s->zone[i].base)
			return &s->zone[i];
	return NULL;
}

/// The level that so many free frames mean.
static enum kmm_level level_of(const struct zone *z, uint64_t free_n)
{
	unsigned level = KMM_LEVEL_OK;

	while (level + 1u < KMM_LEVELS_N && free_n < atomic_load_relaxed(&z->mark[level + 1u]))
		level++;
	return (enum kmm_level)level;
}

/// Notes that the listener should hear of this zone. Pre: interrupts off
static inline void level_look(struct kmm *k, struct zone *z, uint64_t free_n)
{
	uint32_t level = atomic_load_relaxed(&z->level);
	struct frame_cpu *fc;

	if (__builtin_expect(level == KMM_LEVEL_OK &&
			     free_n >= atomic_load_relaxed(&z->mark[KMM_LEVEL_LOW]), 1))
		return;
	if (level_of(z, free_n) == level)
		return;
	fc = kmm_port_cpu(k)->frame;
	atomic_store_relaxed(&fc->told, fc->told | 1u << z->index);
}

void zone_look(struct kmm *k, struct zone *z)
{
	unsigned long was = kmm_port_irq_save(k);

	level_look(k, z, atomic_load_relaxed(&z->free_n));
	kmm_port_irq_restore(k, was);
}

void zone_tell(struct kmm *k)
{
	struct frame_state *s = k->frame;
	unsigned long was = kmm_port_irq_save(k);
	struct frame_cpu *fc = kmm_port_cpu(k)->frame;
	uint32_t told = fc->told;

	atomic_store_relaxed(&fc->told, 0u);
	kmm_port_irq_restore(k, was);
	for (; told != 0; told &= told - 1u) {
		struct zone *z = &s->zone[bits_lowest(told)];
		enum kmm_level level = level_of(z, atomic_load_relaxed(&z->free_n));
		const struct kmm_pressure *p = atomic_load_acquire(&s->pressure);

		if (atomic_exchange_acq_rel(&z->level, (uint32_t)level) != level && p && p->level)
			p->level(k, p->ctx, z->index, level);
	}
}

unsigned zone_claim(struct kmm *k, struct zone *z, unsigned order, enum frame_group group,
		    unsigned n, struct kmm_pfn *out)
{
	uint64_t free_n = atomic_load_relaxed(&z->free_n);
	unsigned got = 0;

	if (free_n >> order == 0)
		return 0;
	for (unsigned i = 0; i < RETRIES; i++) {
		got = z->policy->claim(k, z->state, order, group, n, out);
		if (__builtin_expect(got != 0, 1) || order != 0 ||
		    atomic_load_acquire(&z->free_n) == 0)
			break;
		kmm_port_relax(k);
	}
	if (got == 0) {
		(void)atomic_add_relaxed(&z->fail_n, 1ull);
		return 0;
	}
	free_n = atomic_sub_acq_rel(&z->free_n, (uint64_t)got << order) - ((uint64_t)got << order);
	counter_add(&kmm_port_cpu(k)->frame->claim_n[z->index], 1u);
	level_look(k, z, free_n);
	return got;
}

void zone_release(struct kmm *k, struct zone *z, unsigned order, unsigned n,
		  const struct kmm_pfn *in)
{
	uint64_t frames_n = (uint64_t)n << order;
	uint64_t free_n = atomic_add_acq_rel(&z->free_n, frames_n) + frames_n;

	z->policy->release(k, z->state, order, n, in);
	counter_add(&kmm_port_cpu(k)->frame->release_n[z->index], 1u);
	level_look(k, z, free_n);
}

void zone_release_mixed(struct kmm *k, unsigned order, unsigned n, const struct kmm_pfn *in)
{
	if (k->frame->zones_n == 1u) {
		zone_release(k, &k->frame->zone[0], order, n, in);
		return;
	}
	for (unsigned i = 0; i < n;) {
		struct zone *z = zone_of(k, in[i]);
		unsigned same = 1;

		while (i + same < n && in[i + same].n - z->base < z->end - z->base)
			same++;
		zone_release(k, z, order, same, in + i);
		i += same;
	}
}

uint64_t zone_claim_range(struct kmm *k, struct zone *z, struct kmm_pfn pfn, uint64_t n)
{
	unsigned long was = kmm_port_irq_save(k);
	uint64_t got = z->policy->claim_range(k, z->state, pfn, n);

	level_look(k, z, atomic_sub_acq_rel(&z->free_n, got) - got);
	counter_add(&kmm_port_cpu(k)->frame->claim_n[z->index], 1u);
	kmm_port_irq_restore(k, was);
	return got;
}

void zone_release_run(struct kmm *k, struct zone *z, struct kmm_pfn pfn, uint64_t n)
{
	while (n != 0) {
		unsigned order = zone_front_order(pfn.n, n);
		unsigned long was = kmm_port_irq_save(k);

		zone_release(k, z, order, 1, &pfn);
		kmm_port_irq_restore(k, was);
		pfn.n += 1ull << order;
		n -= 1ull << order;
	}
}

uint64_t zone_release_isolated(struct kmm *k, struct zone *z, struct kmm_pfn pfn, uint64_t n,
			       unsigned zeroed)
{
	uint64_t done = 0;

	while (n != 0) {
		struct kmm_pfn at = pfn;
		uint64_t run = 0;

		for (; run < n && frame_kind(k, at) == FRAME_ISOLATED; run++, at.n++)
			frame_tag_set(k, at, FRAME_NONE + zeroed);
		zone_release_run(k, z, pfn, run);
		done += run;
		run += run < n; /* the one that isn't isolated */
		pfn.n += run;
		n -= run;
	}
	return done;
}

/// The kind of zone that a want begins with.
static unsigned want_kind(const struct frame_want *w)
{
	return w->flags >> 8 ? (w->flags >> 8) - 1u : (unsigned)KMM_ZONE_NORMAL;
}

bool zone_allowed(const struct frame_want *w, const struct zone *z)
{
	unsigned kind = want_kind(w);

	if (z->kind != kind &&
	    (z->kind > kind || kind == KMM_ZONE_DEVICE || (w->flags & KMM_FRAME_ONLY)))
		return false;
	return node_round(w->nodes, z->node, z->node) != NODE_ROUNDS;
}

void zone_walk_begin(struct kmm *k, const struct frame_want *w, struct zone_walk *walk)
{
	unsigned node = node_first(k, w->nodes);

	*walk = (struct zone_walk){ w, &k->frame->list[node][want_kind(w)], node, 0, 0 };
}

struct zone *zone_walk_next(struct kmm *k, struct zone_walk *walk)
{
	const struct frame_want *w = walk->want;

	for (; walk->round < NODE_ROUNDS; walk->round++, walk->at = 0) {
		while (walk->at < walk->list->n) {
			struct zone *z = &k->frame->zone[walk->list->zone[walk->at++]];

			if ((w->flags & KMM_FRAME_ONLY) && z->kind != want_kind(w))
				continue;
			if (node_round(w->nodes, z->node, walk->node) == walk->round)
				return z;
		}
	}
	return NULL;
}

/// zones_claim for a want that leaves all to the list: no nodes, no zone alone.
static unsigned list_claim(struct kmm *k, const struct frame_want *w, unsigned n,
			   struct kmm_pfn *out)
{
	const struct zone_list *l = zone_list_here(k, want_kind(w));
	unsigned got = 0;

	for (unsigned i = 0; got < n && i < l->n; i++)
		got += zone_claim(k, &k->frame->zone[l->zone[i]], w->order, w->group, n - got,
				  out + got);
	return got;
}

unsigned zones_claim(struct kmm *k, const struct frame_want *w, unsigned n, struct kmm_pfn *out)
{
	struct zone_walk walk;
	struct zone *z;
	unsigned got = 0;

	if (w->nodes == NULL && !(w->flags & KMM_FRAME_ONLY))
		return list_claim(k, w, n, out);
	zone_walk_begin(k, w, &walk);
	while (got < n && (z = zone_walk_next(k, &walk)) != NULL)
		got += zone_claim(k, z, w->order, w->group, n - got, out + got);
	return got;
}
