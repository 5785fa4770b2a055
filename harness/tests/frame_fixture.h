/// Tests of frames: an instance on host threads over a memory map of one's own,
/// holes included (threads_start knows one range only).
#ifndef FRAME_FIXTURE_H
#define FRAME_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "threads.h"

#include "base/instance.h"
#include "frame/entry.h"
#include "frame/unit.h"

/// Frames as a test names them: [start, start + n), usable or not.
struct fixture_range {
	uint64_t start, n;
	enum kmm_mem_kind kind;
};

static inline void *fixture_map(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/// Machine and instance; the calling thread is CPU 0. threads_stop ends it.
static inline struct kmm *fixture_start(struct threads_machine *m, const char *preset,
					unsigned cpus_n, const struct fixture_range *r,
					unsigned ranges_n)
{
	struct kmm_config c = { .preset = &m->preset, .memmap = &m->memmap,
				.cpus_n = cpus_n, .port = m, .format = &kmm_pt_format_x86_64 };
	uint64_t start = ~0ull, end = 0;

	memset(m, 0, sizeof(*m));
	assert_true(kmm_preset_parse(preset, &m->preset));
	for (unsigned i = 0; i < ranges_n; i++) {
		struct kmm_pa a = { r[i].start << 12 }, b = { (r[i].start + r[i].n) << 12 };

		assert_int_equal(kmm_memmap_add(&m->memmap, a, b, r[i].kind, "test"), KMM_OK);
		start = r[i].start < start ? r[i].start : start;
		end = r[i].start + r[i].n > end ? r[i].start + r[i].n : end;
	}
	m->cpus_n = cpus_n;
	m->quiet = true;
	m->port.arena_base = start << 12;
	m->port.arena_bytes = (end - start) << 12;
	m->port.arena = fixture_map(m->port.arena_bytes);
	m->meta_bytes = kmm_meta_bytes(&c);
	assert_true(m->meta_bytes != 0);
	m->meta = fixture_map(m->meta_bytes);
	for (unsigned i = 0; i < cpus_n; i++)
		pthread_mutex_init(&m->cpu[i].turn, NULL);
	pthread_mutex_lock(&m->cpu[0].turn);
	__atomic_store_n(&m->cpu[0].online, true, __ATOMIC_SEQ_CST);
	threads_self.pending = &m->cpu[0].ipi;
	assert_int_equal(kmm_init(&c, m->meta, &m->kmm), KMM_OK);
	return m->kmm;
}

/// Checks every invariant of frames, then ends the machine: nothing may be left.
static inline void fixture_stop(struct threads_machine *m)
{
	assert_int_equal(kmm_frame_check(m->kmm), KMM_OK);
	assert_int_equal(threads_stop(m), 0);
}

static inline struct kmm_frame_stats fixture_stats(struct kmm *k)
{
	struct kmm_frame_stats s;

	kmm_frame_stats(k, &s);
	return s;
}

#endif
