/// Nodes through the public API: whose memory is taken, near before far, fast before slow,
/// and what node policies make of that.
#include "zone_fixture.h"

#define NODES 3u
#define START 0x100u
#define SIZE 0x400u /* frames a node */

/// Node 2 is nearer to node 1 than node 0 is. CPU 0 is on node 0, CPU 1 on node 1.
static const struct kmm_topology topology = {
	.nodes_n = NODES, .ranges_n = NODES,
	.range = {
		{ { (START + 2 * SIZE) << 12 }, { (START + 3 * SIZE) << 12 }, 2 },
		{ { START << 12 }, { (START + SIZE) << 12 }, 0 },
		{ { (START + SIZE) << 12 }, { (START + 2 * SIZE) << 12 }, 1 },
	},
	.distance = { { 10, 20, 40 }, { 30, 10, 15 }, { 40, 15, 10 } },
	.cpu_node = { 0, 1 },
};

static struct zone_setup setup_of(const struct kmm_topology *t)
{
	struct zone_setup s = { .cpus_n = 2, .range = { { START, NODES * SIZE, KMM_MEM_USABLE } },
				.dma_end = 0x10, .dma32_end = 0x20, .topology = t, .reserve_n = 0,
				.cache_n = -1 };

	return s;
}

/// Allocates all there is; says in which order nodes came, as digits, and how many frames
/// in *n. Each allocation on its own, so that caches don't mix in unless they are used.
static void order_of(struct kmm *k, unsigned flags, struct kmm_node_policy *policy, char *order,
		     uint64_t *n)
{
	static struct zone_held held;
	struct zone_books before = zone_books(k);
	struct kmm_pfn pfn;
	unsigned len = 0;

	/* What other caches of this CPU hold would come at the very end. */
	kmm_frame_drain(k);
	held.n = 0;
	while ((policy ? kmm_frame_alloc_on(k, 0, flags, policy, &pfn) :
			 kmm_frame_alloc(k, 0, flags, &pfn)) == KMM_OK) {
		char c = (char)('0' + kmm_node_of(k, pfn));

		held.block[held.n].pfn = pfn;
		held.block[held.n++].order = 0;
		if (len < 15 && (len == 0 || order[len - 1] != c))
			order[len++] = c;
	}
	order[len] = '\0';
	*n = held.n;
	zone_give_all(k, &held);
	assert_books(k, before);
}

static void expect_order(struct kmm *k, unsigned flags, struct kmm_node_policy *policy,
			 const char *want)
{
	char order[16];
	uint64_t n, want_n = zone_stats(k).free_n;

	order_of(k, flags, policy, order, &n);
	assert_string_equal(order, want);
	if (strlen(want) == NODES)
		assert_int_equal(n, want_n);
}

static void nodes_are_zones_of_their_own(void **state)
{
	struct zone_setup s = setup_of(&topology);
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &s);

		assert_int_equal(kmm_zones_n(k), NODES);
		for (unsigned i = 0; i < NODES; i++) {
			assert_int_equal(zone_info(k, i).node, i);
			assert_int_equal(zone_info(k, i).base.n, START + i * SIZE);
			assert_int_equal(kmm_node_of(k, (struct kmm_pfn){ START + i * SIZE }), i);
			assert_int_equal(
				kmm_node_of(k, (struct kmm_pfn){ START + (i + 1) * SIZE - 1 }), i);
		}
		assert_int_equal(kmm_node_of(k, (struct kmm_pfn){ 1 }), 0);
		zone_stop(&z);
	}
}

static void memory_that_no_range_names_is_node_0s(void **state)
{
	struct kmm_topology t = topology;
	struct zone_setup s = setup_of(&t);
	struct zone_machine z;
	struct kmm *k;

	(void)state;
	/* The last third of node 1 isn't named, nor what lies beyond. */
	t.ranges_n = 1;
	t.range[0].start = frame_pa(START + SIZE);
	t.range[0].end = frame_pa(START + SIZE + 0x200);
	t.range[0].node = 1;
	k = zone_start(&z, "pagemill", &s);
	assert_int_equal(kmm_zones_n(k), 3);
	assert_int_equal(zone_info(k, 0).node, 0);
	assert_int_equal(zone_info(k, 1).node, 1);
	assert_int_equal(zone_info(k, 2).node, 0);
	assert_int_equal(zone_info(k, 2).base.n, START + SIZE + 0x200);
	zone_stop(&z);
	/* A preset that knows no nodes. */
	k = zone_start(&z, "neo", &s);
	assert_int_equal(kmm_zones_n(k), 1);
	zone_stop(&z);
}

static void cpus_take_their_own_node_first(void **state)
{
	struct zone_setup s = setup_of(&topology);
	struct zone_machine z;

	(void)state;
	for (int cached = -1; cached <= 0; cached++) {
		s.cache_n = cached;
		EACH_PRESET(p) {
			struct kmm *k = zone_start(&z, zone_presets[p], &s);
			struct kmm_node_policy local = { KMM_NODES_LOCAL, 0, 0 };

			for (unsigned movable = 0; movable <= KMM_FRAME_MOVABLE;
			     movable += KMM_FRAME_MOVABLE) {
				zone_cpu(&z, 0);
				expect_order(k, movable, NULL, "012");
				expect_order(k, movable, &local, "012");
				kmm_frame_drain(k);
				zone_cpu(&z, 1);
				expect_order(k, movable, NULL, "120");
				expect_order(k, movable, &local, "120");
				kmm_frame_drain(k);
			}
			zone_stop(&z);
		}
	}
}

static void slow_tiers_come_last(void **state)
{
	struct kmm_topology t = topology;
	struct zone_setup s = setup_of(&t);
	struct zone_machine z;

	(void)state;
	t.tier[2] = 1;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &s);

		assert_int_equal(zone_info(k, 2).tier, 1);
		expect_order(k, 0, NULL, "012");
		kmm_frame_drain(k);
		zone_cpu(&z, 1);
		expect_order(k, 0, NULL, "102");
		kmm_frame_drain(k);
		zone_stop(&z);
	}
}

/// What old devices need is left alone as long as any node has something else.
static void scarce_memory_comes_last_of_all_nodes(void **state)
{
	struct zone_setup s = setup_of(&topology);
	struct zone_machine z;

	(void)state;
	s.dma_end = START + 0x80;
	s.dma32_end = START + 0x81;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &s);

		assert_int_equal(zone_info(k, 0).kind, KMM_ZONE_DMA);
		expect_order(k, 0, NULL, "0120");
		expect_order(k, KMM_FRAME_ZONE(KMM_ZONE_DMA), NULL, "0");
		zone_stop(&z);
	}
}

static void distances_that_nobody_told(void **state)
{
	struct kmm_topology t = topology;
	struct zone_setup s = setup_of(&t);
	struct zone_machine z;
	struct kmm *k;

	(void)state;
	memset(t.distance, 0, sizeof(t.distance));
	k = zone_start(&z, "pagemill", &s);
	expect_order(k, 0, NULL, "012");
	kmm_frame_drain(k);
	zone_cpu(&z, 1);
	expect_order(k, 0, NULL, "102");
	kmm_frame_drain(k);
	zone_stop(&z);
}

static void bound_allocations_stay_in_their_set(void **state)
{
	struct zone_setup s = setup_of(&topology);
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &s);
		struct kmm_node_policy bind = { KMM_NODES_BIND, 1u << 2, 0 };

		expect_order(k, 0, &bind, "2");
		bind.set = 1u << 2 | 1u << 0;
		expect_order(k, 0, &bind, "02");
		bind.set = 0;
		expect_order(k, 0, &bind, "");
		bind.set = 1u << 31;
		expect_order(k, 0, &bind, "");
		zone_stop(&z);
	}
}

static void preferred_nodes_come_first(void **state)
{
	struct kmm_topology t = topology;
	struct zone_setup s = setup_of(&t);
	struct zone_machine z;

	(void)state;
	t.tier[2] = 1; /* slow, and preferred all the same */
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &s);
		struct kmm_node_policy prefer = { KMM_NODES_PREFER, 1u << 2, 0 };

		expect_order(k, 0, &prefer, "201");
		prefer.set = 1u << 1 | 1u << 2;
		expect_order(k, 0, &prefer, "120");
		prefer.set = 0;
		expect_order(k, 0, &prefer, "012");
		zone_stop(&z);
	}
}

static void interleaving_takes_turns(void **state)
{
	struct kmm_topology t = topology;
	struct zone_setup s = setup_of(&t);
	struct zone_machine z;

	(void)state;
	t.tier[2] = 1;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &s);
		struct kmm_node_policy in_turn = { KMM_NODES_INTERLEAVE, 7, 0 };

		expect_order(k, 0, &in_turn, "012012012012012");
		in_turn = (struct kmm_node_policy){ KMM_NODES_INTERLEAVE, 5, 0 };
		expect_order(k, 0, &in_turn, "020202020202020");
		in_turn = (struct kmm_node_policy){ KMM_NODES_INTERLEAVE, 2, 99 };
		expect_order(k, 0, &in_turn, "102");
		in_turn = (struct kmm_node_policy){ KMM_NODES_INTERLEAVE, 0, 0 };
		expect_order(k, 0, &in_turn, "012");
		zone_stop(&z);
	}
}

/// All turns were taken: whoever has some goes on until there is nothing anywhere.
static void interleaving_ends_with_all_of_memory(void **state)
{
	struct zone_setup s = setup_of(&topology);
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &s);
		struct kmm_node_policy in_turn = { KMM_NODES_INTERLEAVE, 3, 0 };
		uint64_t n, want_n = zone_stats(k).free_n;
		char order[16];

		order_of(k, 0, &in_turn, order, &n);
		assert_int_equal(n, want_n);
		zone_stop(&z);
	}
}

static void foreign_frames_go_home(void **state)
{
	struct zone_setup s = setup_of(&topology);
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &s);
		struct kmm_node_policy far = { KMM_NODES_BIND, 1u << 1, 0 };
		struct kmm_pfn near_one = zone_get(k, 0, 0), pfn;
		uint64_t free_n;

		assert_int_equal(kmm_frame_alloc_on(k, 0, 0, &far, &pfn), KMM_OK);
		assert_int_equal(kmm_node_of(k, near_one), 0);
		assert_int_equal(kmm_node_of(k, pfn), 1);
		free_n = zone_info(k, 1).free_n;
		zone_put(k, pfn, 0);
		assert_int_equal(zone_info(k, 1).free_n, free_n + 1);
		zone_put(k, near_one, 0);
		zone_stop(&z);
	}
}

static void ranges_know_nodes(void **state)
{
	struct zone_setup s = setup_of(&topology);
	struct zone_machine z;

	(void)state;
	EACH_PRESET(p) {
		struct kmm *k = zone_start(&z, zone_presets[p], &s);
		struct kmm_node_policy bind = { KMM_NODES_BIND, 1u << 2, 0 };
		struct kmm_frame_request r = { .n = 300 };
		struct kmm_pfn here, there, more;

		assert_int_equal(kmm_frame_alloc_range(k, &r, &here), KMM_OK);
		assert_int_equal(kmm_node_of(k, here), 0);
		r.nodes = &bind;
		assert_int_equal(kmm_frame_alloc_range(k, &r, &there), KMM_OK);
		assert_int_equal(kmm_node_of(k, there), 2);
		r.n = 800;
		assert_int_equal(kmm_frame_alloc_range(k, &r, &more), KMM_ENOMEM);
		assert_int_equal(kmm_frame_free_range(k, here, 300), KMM_OK);
		assert_int_equal(kmm_frame_free_range(k, there, 300), KMM_OK);
		zone_stop(&z);
	}
}

/// kmm_init with this topology.
static enum kmm_error init_with(const struct kmm_topology *t)
{
	struct kmm_memmap map = { 0 };
	struct kmm_config c = { .preset = kmm_preset_find("pagemill"), .memmap = &map, .cpus_n = 2,
				.format = &kmm_pt_format_x86_64, .topology = t };
	struct threads_machine m;
	struct kmm *k;
	void *meta;
	uint64_t bytes;
	enum kmm_error e;

	memset(&m, 0, sizeof(m));
	c.port = &m;
	m.quiet = true;
	assert_int_equal(kmm_memmap_add(&map, frame_pa(START), frame_pa(START + NODES * SIZE),
					KMM_MEM_USABLE, "test"), KMM_OK);
	bytes = kmm_meta_bytes(&c);
	if (bytes == 0)
		return KMM_EINVAL;
	meta = zone_map(bytes);
	e = kmm_init(&c, meta, &k);
	threads_self.cpu = NULL;
	munmap(meta, bytes);
	return e;
}

static void topologies_that_make_no_sense(void **state)
{
	struct kmm_topology t;

	(void)state;
	t = topology, t.nodes_n = 0;
	assert_int_equal(init_with(&t), KMM_EINVAL);
	t = topology, t.nodes_n = KMM_NODES_MAX + 1;
	assert_int_equal(init_with(&t), KMM_EINVAL);
	t = topology, t.ranges_n = KMM_NODE_RANGES_MAX + 1;
	assert_int_equal(init_with(&t), KMM_EINVAL);
	t = topology, t.range[1].node = NODES;
	assert_int_equal(init_with(&t), KMM_EINVAL);
	t = topology, t.range[1].node = 255;
	assert_int_equal(init_with(&t), KMM_EINVAL);
	t = topology, t.range[1].start = t.range[1].end;
	assert_int_equal(init_with(&t), KMM_EINVAL);
	t = topology, t.cpu_node[1] = NODES;
	assert_int_equal(init_with(&t), KMM_EINVAL);
	/* More pieces than there may be zones. */
	t = topology;
	t.ranges_n = KMM_NODE_RANGES_MAX;
	for (unsigned i = 0; i < KMM_NODE_RANGES_MAX; i++) {
		t.range[i].start = frame_pa(START + 16 * i);
		t.range[i].end = frame_pa(START + 16 * i + 8);
		t.range[i].node = 1;
	}
	assert_int_equal(init_with(&t), KMM_ELIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_are_zones_of_their_own),
		cmocka_unit_test(memory_that_no_range_names_is_node_0s),
		cmocka_unit_test(cpus_take_their_own_node_first),
		cmocka_unit_test(slow_tiers_come_last),
		cmocka_unit_test(scarce_memory_comes_last_of_all_nodes),
		cmocka_unit_test(distances_that_nobody_told),
		cmocka_unit_test(bound_allocations_stay_in_their_set),
		cmocka_unit_test(preferred_nodes_come_first),
		cmocka_unit_test(interleaving_takes_turns),
		cmocka_unit_test(interleaving_ends_with_all_of_memory),
		cmocka_unit_test(foreign_frames_go_home),
		cmocka_unit_test(ranges_know_nodes),
		cmocka_unit_test(topologies_that_make_no_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
