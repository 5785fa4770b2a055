/// What the tests of address spaces share: an instance on host threads, short
/// words for the calls, and a sweep that fails each allocation in turn.
#ifndef TESTS_VM_FIXTURE_H
#define TESTS_VM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kmm/kmm.h>

#include "threads/threads.h"

#define RW (KMM_PROT_R | KMM_PROT_W)
#define RX (KMM_PROT_R | KMM_PROT_X)
#define PAGE KMM_PAGE_BYTES
#define BASE 0x40000000ull
#define NOT_MAPPED 0xffu

struct fixture {
	struct threads_machine m;
	struct kmm_preset preset;
	struct kmm *k;
	struct kmm_space *s;
};

static inline struct kmm_va va_at(uint64_t a)
{
	struct kmm_va v = { a };
	return v;
}

static inline void fixture_start(struct fixture *f, const struct kmm_preset *preset,
				 const struct kmm_pt_format *format, unsigned cpus_n)
{
	struct threads_options o = { .preset = &f->preset, .format = format, .bytes = 32u << 20,
				     .base = 0x1000000, .cpus_n = cpus_n };
	const char *error;

	f->preset = *preset;
	error = threads_start(&f->m, &o);
	if (error)
		fail_msg("%s", error);
	f->m.quiet = true;
	f->k = f->m.kmm;
	assert_int_equal(kmm_space_create(f->k, &f->s), KMM_OK);
}

static inline void fixture_start_plain(struct fixture *f)
{
	fixture_start(f, kmm_preset_find("pagemill"), NULL, 1);
}

/// Checks everything, ends the instance, and finds no frame lost.
static inline void fixture_stop(struct fixture *f)
{
	assert_int_equal(kmm_check(f->k), KMM_OK);
	assert_int_equal(threads_stop(&f->m), 0);
}

static inline enum kmm_error map_at(struct kmm_space *s, uint64_t a, uint64_t pages, unsigned prot)
{
	struct kmm_va v = { a };

	return kmm_space_map(s, &v, pages * PAGE, prot, KMM_MAP_FIXED);
}

static inline enum kmm_error unmap_at(struct kmm_space *s, uint64_t a, uint64_t pages)
{
	return kmm_space_unmap(s, va_at(a), pages * PAGE);
}

static inline enum kmm_error protect_at(struct kmm_space *s, uint64_t a, uint64_t pages,
					unsigned prot)
{
	return kmm_space_protect(s, va_at(a), pages * PAGE, prot);
}

static inline bool poke(struct kmm_space *s, uint64_t a, uint64_t value)
{
	return kmm_space_write(s, va_at(a), &value, sizeof(value)) == sizeof(value);
}

static inline bool peek(struct kmm_space *s, uint64_t a, uint64_t *value)
{
	return kmm_space_read(s, va_at(a), value, sizeof(*value)) == sizeof(*value);
}

#define assert_holds(s, a, expected)                               \
	do {                                                       \
		uint64_t seen_ = ~(uint64_t)(expected);            \
		assert_true(peek((s), (a), &seen_));               \
		assert_int_equal(seen_, (uint64_t)(expected));     \
	} while (0)

#define assert_refused(s, a)                          \
	do {                                          \
		uint64_t seen_;                       \
		assert_false(peek((s), (a), &seen_)); \
	} while (0)

struct region_row {
	uint64_t start, end;
	unsigned prot;
};

struct region_rows {
	unsigned n;
	struct region_row row[300];
};

static inline bool region_collect(void *ctx, struct kmm_va start, struct kmm_va end, unsigned prot)
{
	struct region_rows *rows = ctx;

	assert_true(rows->n < 300);
	rows->row[rows->n++] = (struct region_row){ start.a, end.a, prot };
	return true;
}

static inline struct region_rows regions_of(struct kmm_space *s)
{
	struct region_rows rows;

	memset(&rows, 0, sizeof(rows));
	kmm_space_regions(s, region_collect, &rows);
	return rows;
}

static inline void assert_regions(struct kmm_space *s, const struct region_row *want, unsigned n)
{
	struct region_rows rows = regions_of(s);

	assert_int_equal(rows.n, n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(rows.row[i].start, want[i].start);
		assert_int_equal(rows.row[i].end, want[i].end);
		assert_int_equal(rows.row[i].prot, want[i].prot);
	}
}

static inline uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/// Runs `op` with its k-th allocation of each class failing, for every k until
/// none is left to fail. `op` says whether it succeeded; `same` must then find
/// the state from before (failed) or after (succeeded); `undo` restores it.
struct sweep {
	bool (*op)(struct fixture *f);
	void (*same)(struct fixture *f, bool succeeded);
	void (*undo)(struct fixture *f);
};

static inline unsigned sweep_run(struct fixture *f, const struct sweep *w)
{
	unsigned failures = 0;

	for (unsigned c = 0; c < KMM_FAIL_CLASS_N; c++) {
		bool fired = true;

		for (unsigned nth = 1; fired; nth++) {
			bool ok;

			assert_int_equal(kmm_fail_arm(f->k, (enum kmm_fail_class)c, nth), KMM_OK);
			ok = w->op(f);
			fired = kmm_fail_disarm(f->k);
			assert_true(ok || fired);
			failures += !ok;
			assert_int_equal(kmm_check(f->k), KMM_OK);
			w->same(f, ok);
			if (ok)
				w->undo(f);
		}
	}
	return failures;
}

#endif
