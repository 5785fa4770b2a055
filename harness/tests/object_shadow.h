/// A brute-force reference for object allocators: it knows every live block, and
/// fills each with bytes of its own, so that a block given twice, moved badly or
/// overrun by a neighbour shows in the contents.
#ifndef OBJECT_SHADOW_H
#define OBJECT_SHADOW_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/instance.h"
#include "threads.h"

#define SHADOW_BLOCKS 400u

struct shadow_block {
	unsigned char *at; /* NULL: free place */
	size_t bytes;
	unsigned char seed;
};

struct shadow {
	struct shadow_block block[SHADOW_BLOCKS];
	unsigned live_n;
	uint64_t random;
};

static inline uint64_t shadow_random(struct shadow *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random;
}

static inline void shadow_init(struct shadow *s, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	s->random = seed * 0x9e3779b97f4a7c15ull + 1u;
}

static inline unsigned char shadow_byte(const struct shadow_block *b, size_t i)
{
	return (unsigned char)(b->seed + i * 7u + (i >> 8));
}

static inline void shadow_fill(struct shadow_block *b)
{
	for (size_t i = 0; i < b->bytes; i++)
		b->at[i] = shadow_byte(b, i);
}

static inline void shadow_verify(const struct shadow_block *b, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(b->at[i], shadow_byte(b, i));
}

/// Notes a new block; it must not overlap any live one.
static inline void shadow_add(struct shadow *s, unsigned i, void *at, size_t bytes)
{
	struct shadow_block *b = &s->block[i];
	uintptr_t start = (uintptr_t)at, end = start + bytes;

	for (unsigned j = 0; j < SHADOW_BLOCKS; j++) {
		uintptr_t other = (uintptr_t)s->block[j].at;

		if (other && j != i)
			assert_true(end <= other || start >= other + s->block[j].bytes);
	}
	b->at = at;
	b->bytes = bytes;
	b->seed = (unsigned char)shadow_random(s);
	shadow_fill(b);
	s->live_n++;
}

/// Verifies a block and forgets it. Returns: where it was
static inline void *shadow_take(struct shadow *s, unsigned i)
{
	struct shadow_block *b = &s->block[i];
	void *at = b->at;

	shadow_verify(b, b->bytes);
	b->at = NULL;
	s->live_n--;
	return at;
}

/// A machine to test on. Pre: m is not running
static inline struct kmm *shadow_machine(struct threads_machine *m, const char *preset,
					 uint64_t bytes, unsigned cpus_n)
{
	struct threads_options o = { .preset = kmm_preset_find(preset), .bytes = bytes,
				     .base = 16u << 20, .cpus_n = cpus_n };
	const char *error = threads_start(m, &o);

	if (error)
		fail_msg("%s", error);
	m->quiet = true;
	return m->kmm;
}

/// This thread leaves its CPU and becomes another.
static inline void shadow_move(struct threads_machine *m, unsigned cpu)
{
	threads_leave(m, (unsigned)(kmm_port_cpu(m->kmm) - kmm_cpu_at(m->kmm, 0)));
	threads_enter(m, cpu);
}

/// Everything is given back and the unit is sound: stop must find no leak.
static inline void shadow_stop(struct threads_machine *m)
{
	assert_int_equal(kmm_check(m->kmm), KMM_OK);
	assert_int_equal(threads_stop(m), 0);
}

#endif
