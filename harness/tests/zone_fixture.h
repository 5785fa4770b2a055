/// Tests of zones, nodes, ranges and what else kmm/zone.h offers: an instance on host
/// threads with a memory map, limits and a topology of one's own, under several policies.
/// Everything goes through the public API.
#ifndef ZONE_FIXTURE_H
#define ZONE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "threads.h"

#include "port/port.h"

/// The presets that every test runs under.
static const char *const zone_presets[] = {
	"pagemill", "pagemill+buddy", "pagemill+bitmap", "pagemill+hybrid",
	"pagemill+bitmap-first-fit", "pagemill+buddy-scan", "pagemill+split", "pagemill+split-slow",
};

#define ZONE_PRESETS_N (sizeof(zone_presets) / sizeof(zone_presets[0]))
#define EACH_PRESET(p) for (unsigned p = 0; p < ZONE_PRESETS_N; p++)

/// Frames as a test names them: [start, start + n).
struct zone_range {
	uint64_t start, n;
	enum kmm_mem_kind kind;
};

/// What a test wants; all-zero but the ranges is an answer.
struct zone_setup {
	unsigned cpus_n; /* 0 = 1 */
	struct zone_range range[8];
	uint64_t dma_end, dma32_end, high_start; /* frames */
	const struct kmm_topology *topology;
	int reserve_n; /* the preset's frame_reserve_n; < 0: as it is */
	int cache_n;   /* the preset's frame_cache_n; < 0: as it is */
};

struct zone_machine {
	struct threads_machine m;
	struct kmm_preset preset;
	unsigned cpu; /* that this thread is */
};

static inline void *zone_map(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static inline struct kmm_pa frame_pa(uint64_t n)
{
	return kmm_pfn_to_pa((struct kmm_pfn){ n });
}

/// Machine and instance; the calling thread is CPU 0. zone_stop ends it.
static inline struct kmm *zone_start(struct zone_machine *z, const char *preset,
				     const struct zone_setup *s)
{
	struct threads_machine *m = &z->m;
	struct kmm_config c = {
		.preset = &z->preset, .memmap = &m->memmap, .port = m,
		.cpus_n = s->cpus_n != 0 ? s->cpus_n : 1u, .format = &kmm_pt_format_x86_64,
		.topology = s->topology, .dma_end = frame_pa(s->dma_end),
		.dma32_end = frame_pa(s->dma32_end), .high_start = frame_pa(s->high_start),
	};
	uint64_t start = ~0ull, end = 0;

	memset(z, 0, sizeof(*z));
	assert_true(kmm_preset_parse(preset, &z->preset));
	if (s->reserve_n >= 0)
		z->preset.frame_reserve_n = (uint16_t)s->reserve_n;
	if (s->cache_n >= 0)
		z->preset.frame_cache_n = (uint16_t)s->cache_n;
	for (const struct zone_range *r = s->range; r < s->range + 8 && r->n != 0; r++) {
		assert_int_equal(kmm_memmap_add(&m->memmap, frame_pa(r->start),
						frame_pa(r->start + r->n), r->kind, "test"),
				 KMM_OK);
		start = r->start < start ? r->start : start;
		end = r->start + r->n > end ? r->start + r->n : end;
	}
	m->cpus_n = c.cpus_n;
	m->quiet = true;
	m->port.arena_base = start << KMM_PAGE_LG2;
	m->port.arena_bytes = (end - start) << KMM_PAGE_LG2;
	m->port.arena = zone_map(m->port.arena_bytes);
	m->meta_bytes = kmm_meta_bytes(&c);
	assert_true(m->meta_bytes != 0);
	m->meta = zone_map(m->meta_bytes);
	for (unsigned i = 0; i < m->cpus_n; i++)
		pthread_mutex_init(&m->cpu[i].turn, NULL);
	pthread_mutex_lock(&m->cpu[0].turn);
	__atomic_store_n(&m->cpu[0].online, true, __ATOMIC_SEQ_CST);
	threads_self.pending = &m->cpu[0].ipi;
	assert_int_equal(kmm_init(&c, m->meta, &m->kmm), KMM_OK);
	return m->kmm;
}

static inline void zone_check(struct kmm *k)
{
	assert_int_equal(kmm_frame_check(k), KMM_OK);
}

/// This thread stops being one CPU and becomes another.
static inline void zone_cpu(struct zone_machine *z, unsigned cpu)
{
	threads_leave(&z->m, z->cpu);
	threads_enter(&z->m, cpu);
	z->cpu = cpu;
}

/// Nothing may be left allocated.
static inline void zone_stop(struct zone_machine *z)
{
	if (z->cpu != 0)
		zone_cpu(z, 0);
	zone_check(z->m.kmm);
	assert_int_equal(threads_stop(&z->m), 0);
}

static inline struct kmm_frame_stats zone_stats(struct kmm *k)
{
	struct kmm_frame_stats s;

	kmm_frame_stats(k, &s);
	return s;
}

static inline struct kmm_zone_info zone_info(struct kmm *k, unsigned i)
{
	struct kmm_zone_info info;

	assert_int_equal(kmm_zone_info(k, i, &info), KMM_OK);
	return info;
}

/// Index of the zone that holds a frame.
static inline unsigned zone_at(struct kmm *k, uint64_t pfn)
{
	for (unsigned i = 0; i < kmm_zones_n(k); i++)
		if (pfn >= zone_info(k, i).base.n && pfn < zone_info(k, i).end.n)
			return i;
	fail_msg("frame 0x%jx is in no zone", (uintmax_t)pfn);
	return 0;
}

/// What has to be the same before and after something that changed nothing.
struct zone_books {
	uint64_t managed_n, free_n, reserve_n, zone_managed_n[KMM_ZONES_MAX];
};

static inline struct zone_books zone_books(struct kmm *k)
{
	struct kmm_frame_stats s = zone_stats(k);
	struct zone_books b;

	memset(&b, 0, sizeof(b));
	b.managed_n = s.managed_n;
	b.free_n = s.free_n;
	b.reserve_n = s.reserve_n;
	for (unsigned i = 0; i < kmm_zones_n(k); i++)
		b.zone_managed_n[i] = zone_info(k, i).managed_n;
	return b;
}

#define assert_books(k, before)                                                   \
	do {                                                                      \
		struct zone_books now_ = zone_books(k);                           \
		assert_memory_equal(&now_, &(before), sizeof(now_));              \
		zone_check(k);                                                    \
	} while (0)

/// Blocks that a test holds.
struct zone_held {
	uint64_t n;
	struct { struct kmm_pfn pfn; unsigned order; } block[16384];
};

/// Allocates a block that has to be there.
static inline struct kmm_pfn zone_get(struct kmm *k, unsigned order, unsigned flags)
{
	struct kmm_pfn pfn = { 0 };

	assert_int_equal(kmm_frame_alloc(k, order, flags, &pfn), KMM_OK);
	return pfn;
}

static inline void zone_put(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	assert_int_equal(kmm_frame_free(k, pfn, order), KMM_OK);
}

/// Allocates until there is no more. Returns: how many blocks
static inline uint64_t zone_take_all(struct kmm *k, struct zone_held *h, unsigned order,
				     unsigned flags)
{
	uint64_t was = h->n;
	struct kmm_pfn pfn;

	while (h->n < 16384u && kmm_frame_alloc(k, order, flags, &pfn) == KMM_OK) {
		h->block[h->n].pfn = pfn;
		h->block[h->n++].order = order;
	}
	return h->n - was;
}

static inline void zone_give_all(struct kmm *k, struct zone_held *h)
{
	while (h->n != 0) {
		h->n--;
		zone_put(k, h->block[h->n].pfn, h->block[h->n].order);
	}
}

/// A random number; the seed is the caller's, and not 0.
static inline uint64_t zone_draw(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

#endif
