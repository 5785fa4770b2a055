/// What the tests of page tables share: an instance on host threads, frames with
/// a reference count, and a reader of raw tables that knows the manuals' bit
/// positions and nothing of kmm's formats.
#ifndef TESTS_PT_FIXTURE_H
#define TESTS_PT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <kmm/kmm.h>

#include "frame/entry.h"
#include "threads/threads.h"

#define R KMM_PROT_R
#define RW (KMM_PROT_R | KMM_PROT_W)
#define RX (KMM_PROT_R | KMM_PROT_X)
#define PAGE KMM_PAGE_BYTES
#define LARGE (512u * PAGE)
#define HUGE (512ull * LARGE)
#define DEVICE_PFN 0x4000000ull /* no memory there: mapped, but not counted */

struct fixture {
	struct threads_machine m;
	struct kmm_preset preset;
	struct kmm *k;
	struct kmm_pt pt;
	uint64_t free_n; /* before pt was made */
};

static inline struct kmm_va va_at(uint64_t a)
{
	struct kmm_va v = { a };
	return v;
}

static inline struct kmm_pfn pfn_at(uint64_t n)
{
	struct kmm_pfn p = { n };
	return p;
}

static inline uint64_t free_frames(struct kmm *k)
{
	struct kmm_frame_stats s;

	kmm_frame_stats(k, &s);
	return s.free_n;
}

static inline void fixture_start(struct fixture *f, const struct kmm_pt_format *format,
				 bool table_frees, unsigned cpus_n)
{
	struct threads_options o = { .preset = &f->preset, .format = format, .bytes = 16u << 20,
				     .base = 0x1000000, .cpus_n = cpus_n };
	const char *error;

	memset(f, 0, sizeof(*f));
	f->preset = *kmm_preset_find("pagemill");
	f->preset.table_frees = table_frees;
	error = threads_start(&f->m, &o);
	if (error)
		fail_msg("%s", error);
	f->m.quiet = true;
	f->k = f->m.kmm;
	f->free_n = free_frames(f->k);
	assert_int_equal(kmm_pt_init(f->k, &f->pt, NULL), KMM_OK);
}

/// The tree must be empty by now; nothing may be lost.
static inline void fixture_stop(struct fixture *f)
{
	assert_int_equal(kmm_pt_check(&f->pt), KMM_OK);
	kmm_pt_destroy(&f->pt);
	assert_int_equal(free_frames(f->k), f->free_n);
	assert_int_equal(kmm_check(f->k), KMM_OK);
	assert_int_equal(threads_stop(&f->m), 0);
}

static inline struct kmm_pfn anon(struct kmm *k)
{
	struct kmm_pfn pfn;

	assert_int_equal(frame_alloc_kind(k, 0, 0, FRAME_ANON, &pfn), KMM_OK);
	return pfn;
}

static inline enum kmm_error map_n(struct kmm_pt *pt, uint64_t va, struct kmm_pfn pfn,
				   uint64_t pages, unsigned prot, unsigned level_max)
{
	return kmm_pt_map(pt, va_at(va), pfn, pages, prot, level_max);
}

static inline enum kmm_error unmap_n(struct kmm_pt *pt, uint64_t va, uint64_t pages)
{
	struct kmm_tlb_batch b;
	enum kmm_error e;

	kmm_tlb_batch_init(&b, pt);
	e = kmm_pt_unmap(pt, va_at(va), va_at(va + pages * PAGE), &b);
	kmm_tlb_batch_flush(&b);
	return e;
}

static inline enum kmm_error protect_n(struct kmm_pt *pt, uint64_t va, uint64_t pages,
				       unsigned prot, bool keep_ro)
{
	struct kmm_tlb_batch b;
	enum kmm_error e;

	kmm_tlb_batch_init(&b, pt);
	e = kmm_pt_protect(pt, va_at(va), va_at(va + pages * PAGE), prot, keep_ro, &b);
	kmm_tlb_batch_flush(&b);
	return e;
}

static inline void replace(struct kmm_pt *pt, uint64_t va, struct kmm_pfn pfn, unsigned prot)
{
	struct kmm_tlb_batch b;

	kmm_tlb_batch_init(&b, pt);
	kmm_pt_replace(pt, va_at(va), pfn, prot, &b);
	kmm_tlb_batch_flush(&b);
}

static inline enum kmm_error share_n(struct kmm_pt *dst, struct kmm_pt *src, uint64_t va,
				     uint64_t pages)
{
	struct kmm_tlb_batch b;
	enum kmm_error e;

	kmm_tlb_batch_init(&b, src);
	e = kmm_pt_share(dst, src, va_at(va), va_at(va + pages * PAGE), &b);
	kmm_tlb_batch_flush(&b);
	return e;
}

/* ---- the independent reader ---- */

struct seen {
	bool mapped;          /* the hardware would translate */
	uint64_t pa;
	bool write, user, user_exec, kernel_exec;
	unsigned size_lg2;
	bool wrong;           /* a bit that must not, or must, be there */
};

#define RAW(n) (1ull << (n))

/// Intel SDM vol. 3, 4.5: rights are the AND over all levels (4.6.1).
static inline struct seen read_x86_64(struct kmm *k, uint64_t table, uint64_t va)
{
	struct seen s = { .write = true, .user = true };
	bool exec = true;

	for (unsigned shift = 39;; shift -= 9) {
		const uint64_t *t = kmm_frame_virt(k, pfn_at(table >> 12));
		uint64_t e = t[va >> shift & 511u];

		if (!(e & RAW(0)))
			return s;
		s.write &= !!(e & RAW(1));
		s.user &= !!(e & RAW(2));
		exec &= !(e & RAW(63));
		s.wrong |= (e & (RAW(3) | RAW(4) | RAW(8) | 0x7ff0000000000e00ull)) != 0;
		table = e & 0x000ffffffffff000ull;
		if (shift == 12 || (shift < 39 && (e & RAW(7)))) {
			s.wrong |= shift == 12 && (e & RAW(7));
			s.wrong |= (table & (RAW(shift) - 1u)) != 0;
			s.size_lg2 = shift;
			break;
		}
		s.wrong |= (e & RAW(7)) != 0;
	}
	s.mapped = true;
	s.user_exec = exec && s.user;
	s.kernel_exec = exec && !s.user; /* SMEP */
	s.pa = table + (va & (RAW(s.size_lg2) - 1u));
	return s;
}

/// Arm ARM D8.3, 4 KiB granule: 11 is a table, or a page at the last level; 01
/// a block, at lookup levels 1 and 2.
static inline struct seen read_aarch64(struct kmm *k, uint64_t table, uint64_t va)
{
	struct seen s = { 0 };
	uint64_t e;

	for (unsigned shift = 39;; shift -= 9) {
		const uint64_t *t = kmm_frame_virt(k, pfn_at(table >> 12));

		e = t[va >> shift & 511u];
		if (!(e & RAW(0)))
			return s;
		table = e & 0x0000fffffffff000ull;
		s.size_lg2 = shift;
		if (shift == 12 || !(e & RAW(1))) {
			s.wrong |= shift == 39 || (shift == 12) != !!(e & RAW(1));
			break;
		}
		s.wrong |= (e & ~0x0000fffffffff000ull) != 3u; /* no APTable, no XNTable */
	}
	s.mapped = true;
	s.user = e & RAW(6);
	s.write = !(e & RAW(7));
	s.user_exec = !(e & RAW(54)) && s.user;
	s.kernel_exec = !(e & RAW(53));
	s.wrong |= (e & 0x1cu) != 0;                     /* AttrIndx 0 */
	s.wrong |= (e >> 8 & 3u) != 3u || !(e & RAW(10)); /* inner shareable, AF */
	s.wrong |= !!(e & RAW(11)) != s.user;            /* nG: user pages */
	s.wrong |= (e & (RAW(5) | 0xff9f000000000000ull)) != 0;
	s.wrong |= (table & (RAW(s.size_lg2) - 1u)) != 0;
	s.pa = table + (va & (RAW(s.size_lg2) - 1u));
	return s;
}

static inline struct seen read_raw(const struct kmm_pt *pt, uint64_t va)
{
	uint64_t root = kmm_pfn_to_pa(pt->root).a;

	if (pt->kmm->format == &kmm_pt_format_x86_64)
		return read_x86_64(pt->kmm, root, va);
	return read_aarch64(pt->kmm, root, va);
}

#endif
