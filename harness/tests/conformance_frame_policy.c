/// One suite that every frame policy runs through frame/policy.h on one CPU, against a
/// map that says of each frame who owns it.
#include "policy_fixture.h"

static void policy_random_orders_match_owner_map(void **state)
{
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c) {
		world_alone(&w, &h, c, 1ull << 20, 2048);
		world_add(&w, 0, 2048);
		world_steps(&w, 1500, 0, 11, 16);
		world_release_all(&w);
		world_compare(&w);
		/* All has joined again. */
		world_claim(&w, c->order_max < 10 ? c->order_max : 10u, FRAME_GROUP_PINNED, 2);
		expect_equal(&w, "the number of blocks", w.blocks_n, 2);
		world_alone_stop(&w);
	}
}

static void policy_unaligned_bases_stay_aligned(void **state)
{
	static const uint64_t base[] = { 1, 3, 63, 65, 100, 0x7ffff, 0xfffff, 0x100001 };
	static const uint64_t n[] = { 1, 2, 63, 64, 65, 200, 777 };
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c)
		for (unsigned b = 0; b < sizeof(base) / sizeof(base[0]); b++)
			for (unsigned i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
				world_alone(&w, &h, c, base[b], n[i]);
				world_compare(&w);
				world_add(&w, 0, n[i]);
				world_compare(&w);
				world_steps(&w, 100, 0, 8, 4);
				world_release_all(&w);
				world_compare(&w);
				world_alone_stop(&w);
			}
}

static void policy_holes_are_never_handed_out(void **state)
{
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c) {
		world_alone(&w, &h, c, 0x1234, 900);
		world_add(&w, 0, 100);
		world_add(&w, 101, 27); /* one frame of hole */
		world_add(&w, 300, 1);
		world_add(&w, 400, 400);
		world_add(&w, 800, 99); /* touches its neighbour; the last frame is a hole */
		world_compare(&w);
		world_steps(&w, 1500, 0, 9, 16);
		while (world_claim(&w, 0, FRAME_GROUP_MOVABLE, CLAIM_MAX) != 0)
			;
		expect_equal(&w, "the rest", w.free_n, 0);
		for (uint64_t i = 0; i < w.n; i++)
			assert_true(w.owner[i] != FREE);
		assert_int_equal(w.owner[100], HOLE);
		assert_int_equal(w.owner[899], HOLE);
		world_claim_range(&w, 0, w.n);
		world_compare(&w);
		world_release_all(&w);
		world_claim_range(&w, 0, w.n); /* holes aren't taken by range either */
		expect_equal(&w, "the rest", w.free_n, 0);
		world_release_all(&w);
		world_compare(&w);
		world_alone_stop(&w);
	}
}

/// Claims until dry, in calls of 64.
static void fill(struct world *w, unsigned order, enum frame_group group)
{
	uint64_t there = map_count(w, order, ~0ull), got = 0;
	unsigned more;

	while ((more = world_claim(w, order, group, CLAIM_MAX)) != 0)
		got += more;
	expect_equal(w, "the number of blocks", got, there); /* the last block too */
}

static void policy_full_memory_every_order_fills_it(void **state)
{
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c)
		for (unsigned order = 0; order <= 11 && order <= c->order_max; order++) {
			enum frame_group group = (enum frame_group)(order % FRAME_GROUPS_N);

			world_alone(&w, &h, c, 0x40000, 2048);
			world_add(&w, 0, 2048);
			if (w.policy->whole_n != NULL)
				assert_int_equal(w.policy->whole_n(w.state), 4);
			fill(&w, order, group);
			fill(&w, 0, group);
			expect_equal(&w, "the rest", w.free_n, 0);
			if (w.policy->whole_n != NULL)
				assert_int_equal(w.policy->whole_n(w.state), 0);
			world_compare(&w);
			world_release_all(&w);
			world_compare(&w);
			fill(&w, order, FRAME_GROUP_MOVABLE);
			world_release_all(&w);
			world_alone_stop(&w);
		}
}

/// More than 4 GiB of frames between unaligned edges; metadata is all there is of them.
static void policy_large_orders_match_owner_map(void **state)
{
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c) {
		host_start(&h, (1ull << 20) - 5u, (2ull << 20) + 12u, 2ull << 20, 1);
		world_start(&w, &h, c, (1ull << 20) - 5u, (2ull << 20) + 12u);
		world_add(&w, 0, w.n);
		fill(&w, c->order_max, FRAME_GROUP_PINNED);
		expect_equal(&w, "the rest", w.free_n, 12);
		assert_int_equal(world_claim(&w, 3, FRAME_GROUP_PINNED, 1), 0);
		world_compare(&w);
		world_release_parts(&w, w.blocks_n - 1u);
		world_release_parts(&w, 0);
		while (w.blocks_n != 0)
			world_release(&w, w.blocks_n - 1u);
		world_steps(&w, 100, 7, KMM_ORDER_MAX, 50);
		while (w.blocks_n != 0)
			world_release(&w, w.blocks_n - 1u);
		fill(&w, c->order_max, FRAME_GROUP_MOVABLE); /* all has joined again */
		expect_equal(&w, "the rest", w.free_n, 12);
		world_alone_stop(&w);
	}
}

static void policy_block_returns_in_parts(void **state)
{
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c)
		for (unsigned order = 1; order <= 9; order++) {
			world_alone(&w, &h, c, 0x1000, 1024);
			world_add(&w, 0, 1024);
			for (unsigned i = 0; i < 30; i++) {
				assert_int_equal(world_claim(&w, order, FRAME_GROUP_PINNED, 2), 2);
				world_release_parts(&w, 1);
				world_release_parts(&w, 0);
				world_compare(&w);
			}
			fill(&w, 9, FRAME_GROUP_PINNED); /* the parts have joined */
			world_alone_stop(&w);
		}
}

static void policy_freed_block_of_full_memory_is_found(void **state)
{
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c)
		for (unsigned order = 0; order <= 8; order++)
			for (unsigned group = 0; group < FRAME_GROUPS_N; group++) {
				world_alone(&w, &h, c, 0x1000, 512);
				world_add(&w, 0, 512);
				fill(&w, order, (enum frame_group)group);
				for (unsigned i = 0; i < 40; i++) {
					world_release(&w, draw(&w) % w.blocks_n);
					world_compare(&w);
					fill(&w, order, (enum frame_group)(i % FRAME_GROUPS_N));
				}
				expect_equal(&w, "the rest", w.free_n, 0);
				world_alone_stop(&w);
			}
}

/// A few free frames in each of many 2 MiB blocks: a small claim that comes by several of
/// them leaves those it doesn't need where others find them.
static void policy_scattered_frames_stay_findable(void **state)
{
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c)
		for (unsigned group = 0; group < FRAME_GROUPS_N; group++) {
			uint64_t got = 0;
			unsigned more;

			world_alone(&w, &h, c, 0x80000, 32u * 512u);
			world_add(&w, 0, 32u * 512u);
			fill(&w, 0, (enum frame_group)group);
			for (unsigned i = 0; i < 32u * 10u; i++)
				world_release(&w, draw(&w) % w.blocks_n);
			for (unsigned i = 0; (more = world_claim(&w, 0, (enum frame_group)(i / 8u % 2u),
								 1u + i % 9u)) != 0; i++) {
				got += more;
				if (i % 4u == 0)
					world_compare(&w);
			}
			expect_equal(&w, "the frames claimed", got, 32u * 10u);
			world_alone_stop(&w);
		}
}

/// Frames that were taken by range and come back late join what is there.
static void policy_range_is_taken_and_returned(void **state)
{
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c) {
		world_alone(&w, &h, c, 0x1000, 1024);
		world_add(&w, 0, 1024);
		for (uint64_t at = 0; at < 1024; at += 61) {
			world_claim_range(&w, at, 61 < 1024 - at ? 61 : 1024 - at);
			world_compare(&w);
		}
		expect_equal(&w, "the rest", w.free_n, 0);
		assert_int_equal(world_claim(&w, 0, FRAME_GROUP_MOVABLE, 1), 0);
		world_release_all(&w);
		world_compare(&w);
		fill(&w, 9, FRAME_GROUP_MOVABLE);
		expect_equal(&w, "the number of blocks", w.blocks_n, 2);
		world_claim_range(&w, 0, 1024); /* nothing is free */
		expect_equal(&w, "the number of blocks", w.blocks_n, 2);
		world_release(&w, 0);
		world_claim_range(&w, 100, 800); /* half of it is */
		world_compare(&w);
		world_alone_stop(&w);
	}
}

static void policy_two_instances_stay_apart(void **state)
{
	struct policy_host h;
	struct world a, b;

	(void)state;
	EACH_POLICY(c)
		EACH_POLICY(d) {
			/* 128 is where a buddy of order 7 would join them. */
			host_start(&h, 0x1000, 256, 0x1040, 1);
			world_start(&a, &h, c, 0x1000, 128);
			h.preset.frame_boundary = 0x10c0ull << KMM_PAGE_LG2;
			world_start(&b, &h, d, 0x1080, 128);
			world_add(&a, 0, 128);
			world_add(&b, 0, 128);
			assert_int_equal(world_claim(&a, 8, FRAME_GROUP_PINNED, 1), 0);
			for (unsigned i = 0; i < 200; i++) {
				world_step(&a, 0, 8);
				world_step(&b, 0, 8);
			}
			fill(&a, 0, FRAME_GROUP_PINNED);
			fill(&b, 0, FRAME_GROUP_MOVABLE);
			world_compare(&a);
			world_compare(&b);
			world_release_all(&b);
			world_release_all(&a);
			world_compare(&a);
			world_compare(&b);
			world_stop(&a);
			world_stop(&b);
			host_stop(&h);
		}
}

/// Locks are counted, and a policy without locks has none to count.
static void policy_lock_count_grows_or_stays_zero(void **state)
{
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c) {
		uint64_t before, after;

		world_alone(&w, &h, c, 0x1000, 512);
		world_add(&w, 0, 512);
		before = w.policy->lock_n(w.state);
		fill(&w, 0, FRAME_GROUP_PINNED);
		world_release_all(&w);
		after = w.policy->lock_n(w.state);
		expect_equal(&w, "its taking locks", c->locks ? after > before : after == 0, true);
		world_alone_stop(&w);
	}
}

/// The whole 2 MiB blocks that are left once all movable frames are freed, after a life
/// in which frames of both kinds came and went. `apart`: the policy is told which is which.
static uint64_t whole_blocks_after_churn(const struct policy_case *c, bool apart)
{
	struct policy_host h;
	struct world w;
	uint64_t n = 64u << 9, whole;

	world_alone(&w, &h, c, 0x80000, n);
	world_add(&w, 0, n);
	for (uint64_t i = 0; i < 3u * n; i++) {
		bool movable = draw(&w) % 2u != 0;

		if (w.free_n < n / 4u)
			world_release(&w, draw(&w) % w.blocks_n);
		world_claim(&w, 0, movable && apart ? FRAME_GROUP_MOVABLE : FRAME_GROUP_PINNED, 1);
		w.block[w.blocks_n - 1u].group = (enum frame_group)movable;
	}
	for (uint64_t i = w.blocks_n; i-- != 0;)
		if (w.block[i].group == FRAME_GROUP_MOVABLE)
			world_release(&w, i);
	whole = map_count(&w, 9, ~0ull);
	world_compare(&w);
	world_alone_stop(&w);
	return whole;
}

static void policy_groups_leave_whole_blocks(void **state)
{
	(void)state;
	EACH_POLICY(c) {
		uint64_t apart, mixed;

		if (!c->groups)
			continue;
		apart = whole_blocks_after_churn(c, true);
		mixed = whole_blocks_after_churn(c, false);
		if (apart < mixed + 16u)
			fail_msg("%s: %ju whole blocks of 64, %ju ungrouped", c->policy->name,
				 (uintmax_t)apart, (uintmax_t)mixed);
	}
}

static void expect_corrupt(struct world *w, const char *what, uint64_t pfn)
{
	uint64_t free_n;

	if (w->policy->check(w->k, w->state, &free_n) != KMM_ECORRUPT)
		fail_msg("%s: %s at frame 0x%jx isn't found", w->policy->name, what,
			 (uintmax_t)pfn);
}

/// A world with something in it.
static void lived_in(struct world *w, struct policy_host *h, const struct policy_case *c)
{
	world_alone(w, h, c, 0x1000, 512);
	world_add(w, 0, 512);
	for (unsigned i = 0; i < 4; i++)
		world_claim(w, i, FRAME_GROUP_PINNED, 3);
	world_compare(w);
}

static void policy_check_finds_free_frames_tagged_otherwise(void **state)
{
	static const uint8_t planted[] = {
		FRAME_NONE, FRAME_CACHED, FRAME_ISOLATED, FRAME_TAIL, FRAME_ANON, FRAME_USED,
		FRAME_MOVABLE + 2, FRAME_FREE, FRAME_FREE + 1, FRAME_FREE + KMM_ORDER_MAX + 1,
	};
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c) {
		lived_in(&w, &h, c);
		for (uint64_t i = 0; i < 512u * sizeof(planted); i++) {
			struct kmm_pfn pfn = { w.base + i / sizeof(planted) };
			uint8_t is = frame_tag(w.k, pfn), other = planted[i % sizeof(planted)];

			if (w.owner[pfn.n - w.base] != FREE || (is & ~FRAME_ZEROED) == other)
				continue;
			frame_tag_set(w.k, pfn, other);
			expect_corrupt(&w, "a tag", pfn.n);
			frame_tag_set(w.k, pfn, is);
		}
		world_compare(&w);
		world_alone_stop(&w);
	}
}

/// Where free blocks are linked by their heads' entries.
static void policy_check_finds_damaged_links(void **state)
{
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c) {
		struct kmm_pfn pfn = { 0x1000 };

		lived_in(&w, &h, c);
		for (; pfn.n < 0x1200; pfn.n++) {
			struct frame_entry was = *frame_entry(w.k, pfn);

			if (frame_kind(w.k, pfn) != FRAME_FREE)
				continue;
			frame_entry(w.k, pfn)->next ^= 1u;
			expect_corrupt(&w, "a link", pfn.n);
			*frame_entry(w.k, pfn) = was;
			frame_entry(w.k, pfn)->prev ^= 1u;
			if (c->back_links)
				expect_corrupt(&w, "a link back", pfn.n);
			*frame_entry(w.k, pfn) = was;
		}
		world_compare(&w);
		world_alone_stop(&w);
	}
}

/// What is owned by its tag and free by the map, or owned beyond the end.
static void policy_check_finds_owned_frames_free(void **state)
{
	struct policy_host h;
	struct world w;

	(void)state;
	EACH_POLICY(c) {
		if (!c->map)
			continue;
		lived_in(&w, &h, c);
		for (uint64_t i = 0; i < w.blocks_n; i++) {
			struct kmm_pfn pfn = { w.block[i].pfn };

			frame_tag_set(w.k, pfn, FRAME_USED + 9);
			expect_corrupt(&w, "an owned block over free ones", pfn.n);
			frame_tag_set(w.k, pfn, FRAME_USED + KMM_ORDER_MAX);
			expect_corrupt(&w, "an owned block over the end", pfn.n);
			frame_tag_set(w.k, pfn, FRAME_USED + FRAME_TAG_ORDER);
			expect_corrupt(&w, "an order that can't be", pfn.n);
			frame_tag_set(w.k, pfn, w.block[i].tag);
		}
		world_compare(&w);
		world_alone_stop(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policy_random_orders_match_owner_map),
		cmocka_unit_test(policy_unaligned_bases_stay_aligned),
		cmocka_unit_test(policy_holes_are_never_handed_out),
		cmocka_unit_test(policy_full_memory_every_order_fills_it),
		cmocka_unit_test(policy_large_orders_match_owner_map),
		cmocka_unit_test(policy_block_returns_in_parts),
		cmocka_unit_test(policy_freed_block_of_full_memory_is_found),
		cmocka_unit_test(policy_scattered_frames_stay_findable),
		cmocka_unit_test(policy_range_is_taken_and_returned),
		cmocka_unit_test(policy_two_instances_stay_apart),
		cmocka_unit_test(policy_lock_count_grows_or_stays_zero),
		cmocka_unit_test(policy_groups_leave_whole_blocks),
		cmocka_unit_test(policy_check_finds_free_frames_tagged_otherwise),
		cmocka_unit_test(policy_check_finds_damaged_links),
		cmocka_unit_test(policy_check_finds_owned_frames_free),
	};

	return cmocka_run_group_tests_name("conformance_frame_policy", tests, NULL, NULL);
}
