/// Contents of frames through the public API: what is known to be zero isn't zeroed again,
/// and what isn't known is, whatever became of a frame meanwhile.
///
/// Whether a frame was zeroed is told by lies: a frame that was freed as zero, but isn't,
/// comes back as it was left if nobody touched it.
#include "zone_fixture.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define START 0x1003u
#define FRAMES 4096u
#define LIE 0xabu

static const struct zone_setup plain = {
	.range = { { START, FRAMES, KMM_MEM_USABLE } }, .reserve_n = 0, .cache_n = -1,
};

static void fill(struct kmm *k, struct kmm_pfn pfn, unsigned order, int byte)
{
	memset(kmm_frame_virt(k, pfn), byte, KMM_PAGE_BYTES << order);
}

/// Is it this byte, first to last?
static bool is_all(struct kmm *k, struct kmm_pfn pfn, unsigned order, unsigned char byte)
{
	const unsigned char *at = kmm_frame_virt(k, pfn);

	return at[0] == byte && memcmp(at, at + 1, (KMM_PAGE_BYTES << order) - 1) == 0;
}

static void zero_means_zero(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &plain);

		for (unsigned order = 0; order <= 9; order++) {
			struct kmm_pfn pfn = zone_get(k, order, 0);

			fill(k, pfn, order, 0x77);
			zone_put(k, pfn, order);
			pfn = zone_get(k, order, KMM_FRAME_ZERO |
					      (order & 1 ? KMM_FRAME_MOVABLE : 0));
			assert_true(is_all(k, pfn, order, 0));
			zone_put(k, pfn, order);
		}
		zone_stop(&z);
	}
}

static void known_zero_costs_nothing(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &plain);

		/* Order 4 passes the caches by; for the others they are emptied, or not. */
		for (unsigned order = 0; order <= 5; order++) {
			struct kmm_pfn pfn = zone_get(k, order, 0), again;

			fill(k, pfn, order, LIE);
			assert_int_equal(kmm_frame_free_zeroed(k, pfn, order), KMM_OK);
			again = zone_get(k, order, KMM_FRAME_ZERO);
			if (again.n == pfn.n)
				assert_true(is_all(k, again, order, LIE));
			else
				assert_true(order > 3);
			/* It is known once. */
			fill(k, again, order, 0x11);
			zone_put(k, again, order);
			pfn = zone_get(k, order, KMM_FRAME_ZERO);
			assert_true(is_all(k, pfn, order, 0));
			zone_put(k, pfn, order);
			assert_int_equal(kmm_frame_free_zeroed(k, pfn, order), KMM_EDOUBLEFREE);
		}
		zone_stop(&z);
	}
}

/// Blocks known zero are cut up and joined; each frame is remembered by itself.
static void remarks_are_each_frames_own(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &plain);
		struct kmm_pfn block = zone_get(k, 6, 0);
		unsigned lies = 0, zeros = 0;

		held.n = 0;
		zone_take_all(k, &held, 0, 0);
		for (uint64_t i = 0; i < held.n; i++)
			fill(k, held.block[i].pfn, 0, 0x11);
		fill(k, block, 6, LIE);
		assert_int_equal(kmm_frame_free_zeroed(k, block, 6), KMM_OK);
		/* In halves of halves, and back. */
		for (unsigned i = 0; i < 64; i++) {
			struct kmm_pfn pfn = zone_get(k, 0, KMM_FRAME_ZERO);

			assert_true(is_all(k, pfn, 0, LIE));
			lies++;
			if (i % 2) {
				assert_int_equal(kmm_frame_free_zeroed(k, pfn, 0), KMM_OK);
				pfn = zone_get(k, 0, KMM_FRAME_ZERO);
				assert_true(is_all(k, pfn, 0, LIE));
			}
			held.block[held.n].pfn = pfn;
			held.block[held.n++].order = 0;
		}
		/* Every other one is freed as zero, and all are joined again. */
		for (unsigned i = 0; i < 64; i++) {
			struct kmm_pfn pfn = { block.n + i };

			assert_int_equal(i % 2 ? kmm_frame_free(k, pfn, 0) :
						 kmm_frame_free_zeroed(k, pfn, 0), KMM_OK);
		}
		held.n -= 64;
		kmm_frame_drain(k);
		block = zone_get(k, 6, KMM_FRAME_ZERO);
		for (unsigned i = 0; i < 64; i++) {
			zeros += is_all(k, (struct kmm_pfn){ block.n + i }, 0, 0);
			lies += is_all(k, (struct kmm_pfn){ block.n + i }, 0, LIE);
		}
		assert_int_equal(zeros, 32);
		assert_int_equal(lies, 64 + 32);
		zone_put(k, block, 6);
		zone_give_all(k, &held);
		zone_stop(&z);
	}
}

static void idle_cpus_zero_ahead(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &plain);
		struct zone_books before = zone_books(k);
		uint64_t some, rest;

		assert_int_equal(kmm_frame_zero_idle(k, 0), 0);
		kmm_frame_drain(k);
		held.n = 0;
		zone_take_all(k, &held, 0, 0);
		for (uint64_t i = 0; i < held.n; i++)
			fill(k, held.block[i].pfn, 0, 0x11);
		zone_give_all(k, &held);
		kmm_frame_drain(k);
		some = kmm_frame_zero_idle(k, 100);
		assert_int_equal(some, 100);
		rest = kmm_frame_zero_idle(k, ~0ull);
		assert_int_equal(rest, before.free_n - 100);
		assert_int_equal(kmm_frame_zero_idle(k, ~0ull), 0);
		assert_books(k, before);
		/* All are zero now, and known to be: nobody looks any more. */
		for (uint64_t pfn = START; pfn < START + FRAMES; pfn++)
			if (!kmm_frame_is_allocated(k, (struct kmm_pfn){ pfn })) {
				assert_true(is_all(k, (struct kmm_pfn){ pfn }, 0, 0));
				fill(k, (struct kmm_pfn){ pfn }, 0, LIE);
			}
		assert_int_equal(zone_take_all(k, &held, 0, KMM_FRAME_ZERO), before.free_n);
		for (uint64_t i = 0; i < held.n; i++)
			assert_true(is_all(k, held.block[i].pfn, 0, LIE));
		zone_give_all(k, &held);
		zone_stop(&z);
	}
}

/// Frames of devices and beyond the direct map are left alone.
static void idle_cpus_leave_strange_memory_alone(void **state)
{
	struct zone_setup s = { .range = { { 0x100, 0x100, KMM_MEM_USABLE },
					   { 0x200, 0x100, KMM_MEM_DEVICE } },
				.dma_end = 0x10, .dma32_end = 0x20, .high_start = 0x180,
				.reserve_n = 0, .cache_n = -1 };
	struct zone_machine z;
	struct kmm *k = zone_start(&z, "pagemill", &s);

	(void)state;
	memset(z.m.port.arena + (0x80 << 12), 0x11, 0x180 << 12);
	assert_true(kmm_frame_zero_idle(k, ~0ull) <= 0x80);
	for (uint64_t i = 0x180; i < 0x300; i++)
		assert_true(is_all(k, (struct kmm_pfn){ i }, 0, 0x11));
	zone_stop(&z);
}

/// Blocks of all orders, freed as zero or not, zeroed ahead, in ranges, isolated: whoever
/// asks for zero gets it.
static void stale_remarks_never_survive_use(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		static struct zone_held held;
		struct kmm *k = zone_start(&z, zone_presets[p], &plain);
		uint64_t seed = 17 + p, busy;

		held.n = 0;
		for (unsigned step = 0; step < 6000; step++) {
			uint64_t x = zone_draw(&seed), i = held.n ? (x >> 32) % held.n : 0;
			unsigned order = (unsigned)(x >> 8) % 6;
			struct kmm_pfn pfn = { START + (x >> 16) % (FRAMES - 64) };

			if (x % 100 < 52) {
				unsigned flags = (x >> 20 & 1 ? KMM_FRAME_ZERO : 0) |
						 (x >> 21 & 1 ? KMM_FRAME_MOVABLE : 0);

				if (kmm_frame_alloc(k, order, flags, &pfn) != KMM_OK)
					continue;
				if (flags & KMM_FRAME_ZERO)
					assert_true(is_all(k, pfn, order, 0));
				fill(k, pfn, order, (int)(x >> 24 & 0x7f) + 1);
				held.block[held.n].pfn = pfn;
				held.block[held.n++].order = order;
			} else if (x % 100 < 97 && held.n != 0) {
				pfn = held.block[i].pfn;
				order = held.block[i].order;
				held.block[i] = held.block[--held.n];
				if (x >> 40 & 1) {
					fill(k, pfn, order, 0);
					assert_int_equal(kmm_frame_free_zeroed(k, pfn, order),
							 KMM_OK);
				} else {
					zone_put(k, pfn, order);
				}
			} else if (x % 100 == 97) {
				kmm_frame_zero_idle(k, 40);
			} else if (x % 100 == 98) {
				struct kmm_frame_request r = { .n = 1 + (x >> 40) % 50,
							       .lo = { x >> 50 & 1 ? 1 : 0 },
							       .flags = KMM_FRAME_ZERO };

				if (kmm_frame_alloc_range(k, &r, &pfn) != KMM_OK)
					continue;
				for (uint64_t j = 0; j < r.n; j++) {
					assert_true(is_all(k, (struct kmm_pfn){ pfn.n + j }, 0, 0));
					fill(k, (struct kmm_pfn){ pfn.n + j }, 0, 0x42);
				}
				assert_int_equal(kmm_frame_free_range(k, pfn, r.n), KMM_OK);
			} else if (x % 100 == 99) {
				assert_int_equal(kmm_frame_isolate(k, pfn, 64, &busy), KMM_OK);
				assert_int_equal(kmm_frame_unisolate(k, pfn, 64), KMM_OK);
			}
			if (step % 1000 == 0)
				zone_check(k);
		}
		zone_give_all(k, &held);
		zone_stop(&z);
	}
}

#if KMM_CONFIG_POISON

/// Does it end in a panic?
static bool panics(void (*what)(struct kmm *k, struct kmm_pfn pfn), struct kmm *k,
		   struct kmm_pfn pfn)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct kmm_pfn out;

		/* What the panic says is expected. */
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(2);
		what(k, pfn);
		for (unsigned i = 0; i < FRAMES; i++)
			if (kmm_frame_alloc(k, 0, 0, &out) != KMM_OK)
				break;
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status);
}

static void write_first(struct kmm *k, struct kmm_pfn pfn)
{
	*(unsigned char *)kmm_frame_virt(k, pfn) = 1;
}

static void write_inside(struct kmm *k, struct kmm_pfn pfn)
{
	((unsigned char *)kmm_frame_virt(k, pfn))[1234] = 1;
}

static void write_last(struct kmm *k, struct kmm_pfn pfn)
{
	((unsigned char *)kmm_frame_virt(k, pfn))[KMM_PAGE_BYTES - 1] = 1;
}

static void write_nothing(struct kmm *k, struct kmm_pfn pfn)
{
	(void)k;
	(void)pfn;
}

static void poison_tells_of_writes_to_free_frames(void **state)
{
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &plain);
		struct kmm_frame_request r = { .n = 3 };
		struct kmm_pfn pfn = zone_get(k, 2, 0), range;

		zone_put(k, pfn, 2);
		assert_true(is_all(k, pfn, 2, 0x5a));
		assert_false(panics(write_nothing, k, pfn));
		for (unsigned i = 0; i < 4; i++) {
			struct kmm_pfn at = { pfn.n + i };

			assert_true(panics(write_first, k, at));
			assert_true(panics(write_inside, k, at));
			assert_true(panics(write_last, k, at));
		}
		assert_int_equal(kmm_frame_alloc_range(k, &r, &range), KMM_OK);
		assert_int_equal(kmm_frame_free_range(k, range, 3), KMM_OK);
		range.n += 2;
		assert_true(is_all(k, range, 0, 0x5a));
		assert_true(panics(write_inside, k, range));
		zone_stop(&z);
	}
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_means_zero),
		cmocka_unit_test(known_zero_costs_nothing),
		cmocka_unit_test(remarks_are_each_frames_own),
		cmocka_unit_test(idle_cpus_zero_ahead),
		cmocka_unit_test(idle_cpus_leave_strange_memory_alone),
		cmocka_unit_test(stale_remarks_never_survive_use),
#if KMM_CONFIG_POISON
		cmocka_unit_test(poison_tells_of_writes_to_free_frames),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
