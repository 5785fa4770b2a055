/// Frames and objects of slots: every door, and the probes around each free.
#include "sim_fixture.h"

#include <stdio.h>

#include "machine/blocks.h"

static void blocks_wrong_free_that_is_accepted_is_a_model_finding(void **state)
{
	struct sim s = sim_open("x86_64");
	struct performer *p = sim_performer(s.body);

	(void)state;
	/* Two wrong beliefs turn a probe into the right free. */
	sim_all(&s, "frame-alloc @1 o0", NULL);
	p->frame[1].order = 1;
	assert_int_equal(sim_do(&s, "frame-free @1").result, RESULT_ERROR);
	sim_expect(&s, ORACLE_MODEL, "another order is answered KMM_OK");
	(void)sim_close(&s);

	s = sim_open("x86_64");
	p = sim_performer(s.body);
	sim_all(&s, "object-alloc @0 b64", NULL);
	p->object[0].at = (char *)p->object[0].at - 8;
	assert_int_equal(sim_do(&s, "object-free @0").result, RESULT_ERROR);
	sim_expect(&s, ORACLE_MODEL, "from its inside is answered KMM_OK");
	(void)sim_close(&s);
}

static void blocks_objects_of_every_door_come_and_go(void **state)
{
	struct sim s = sim_open("x86_64");
	static const unsigned sizes[] = { 1, 8, 16, 17, 64, 96, 4096, 16384, 16385, 20000 };
	char line[64];

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (unsigned slot = 0; slot < 8; slot++) {
			snprintf(line, sizeof(line), "object-alloc @%u b%u", slot, sizes[i]);
			sim_all(&s, line, NULL);
		}
		sim_expect_clean(&s);
		for (unsigned slot = 0; slot < 8; slot++) {
			snprintf(line, sizeof(line), "object-free @%u", slot);
			sim_all(&s, line, NULL);
		}
	}
	for (unsigned kth = 1; kth <= 2; kth++) { /* the alloc, then the realloc */
		snprintf(line, sizeof(line), "fail object k%u", kth);
		sim_all(&s, line, NULL);
		assert_int_equal(sim_do(&s, "object-alloc @7 b100").result, RESULT_NOMEM);
		sim_expect_clean(&s);
	}
	sim_close_clean(&s);
}

static void blocks_refusal_with_a_free_block_is_a_model_finding(void **state)
{
	struct op large = { .code = OP_FRAME_ALLOC, .arg = { 0, KMM_ORDER_MAX } };
	struct op small = { .code = OP_FRAME_ALLOC, .arg = { 0, 3 } };
	struct op range = { .code = OP_RANGE_ALLOC, .arg = { 0, 5 } };
	struct sim s = sim_open("x86_64");

	(void)state;
	block_verify_nomem(sim_performer(s.body), &large);
	sim_expect_clean(&s); /* there is none so large in 512 frames */
	block_verify_nomem(sim_performer(s.body), &small);
	sim_expect(&s, ORACLE_MODEL, "frame-alloc of 3 fails, though normal of node 0");
	(void)sim_close(&s);
	s = sim_open("x86_64");
	block_verify_nomem(sim_performer(s.body), &range);
	sim_expect(&s, ORACLE_MODEL, "range-alloc of 5 fails");
	(void)sim_close(&s);
}

static void blocks_flags_and_ranges_are_answered(void **state)
{
	struct sim s = sim_open("x86_64");

	(void)state;
	sim_all(&s, "frame-alloc-on @0 o2 f1 n0", "frame-free-zeroed @0",
		"frame-alloc-on @0 o2 f3 n0", "frame-alloc-on @1 o0 f8 n5",
		"frame-alloc-on @2 o1 f4 n9", "range-alloc @3 +5 o0 f1 anywhere",
		"range-alloc @4 +7 o3 f2 low", "range-alloc @5 +1 o0 f0 high",
		"range-alloc @6 +33 o0 f1 middle", "zero-idle k20", NULL);
	sim_expect_clean(&s);
	assert_int_equal(sim_do(&s, "frame-alloc-on @9 o0 f16 n0").result, RESULT_INVAL);
	assert_int_equal(sim_do(&s, "frame-alloc-on @9 o0 f224 n0").result, RESULT_INVAL);
	assert_int_equal(sim_do(&s, "frame-alloc-on @9 o0 f0 n1").result, RESULT_NOMEM);
	assert_int_equal(sim_do(&s, "frame-alloc-on @9 o0 f176 n0").result, RESULT_NOMEM);
	assert_int_equal(sim_do(&s, "range-alloc @9 +3 o0 f0 turned").result, RESULT_INVAL);
	assert_int_equal(sim_do(&s, "range-alloc @9 +1024 o0 f0 anywhere").result, RESULT_NOMEM);
	assert_int_equal(sim_do(&s, "range-alloc @9 +1024 o0 f0 low").result, RESULT_NOMEM);
	sim_all(&s, "frame-free @0", "frame-free @3", "frame-free @4", "frame-free @5",
		"frame-free @6", "frame-free-zeroed @1", "frame-free @2", NULL);
	sim_expect_clean(&s);
	sim_close_clean(&s);
}

/// How many spots that go out of use; each comes back, and none is handed out meanwhile.
static unsigned spots_out(struct sim *s, const char *out, const char *in)
{
	char line[64];
	unsigned n = 0;

	for (unsigned spot = 0; spot < OPS_SPOTS; spot++) {
		snprintf(line, sizeof(line), "%s %%%u", out, spot);
		if (sim_do(s, line).result != RESULT_OK)
			continue;
		n++;
		for (unsigned slot = 0; slot < 8; slot++) {
			snprintf(line, sizeof(line), "frame-alloc @%u o5", slot);
			assert_int_equal(sim_do(s, line).result, RESULT_OK);
		}
		for (unsigned slot = 0; slot < 8; slot++) {
			snprintf(line, sizeof(line), "frame-free @%u", slot);
			sim_all(s, line, NULL);
		}
		snprintf(line, sizeof(line), "%s %%%u", in, spot);
		sim_all(s, line, NULL);
		sim_expect_clean(s);
	}
	return n;
}

static void blocks_spots_go_out_of_use_and_come_back(void **state)
{
	struct sim s = sim_open("x86_64");

	(void)state;
	assert_true(spots_out(&s, "isolate on", "isolate off") >= 8);
	assert_true(spots_out(&s, "plug off", "plug on") >= 6);
	sim_close_clean(&s);
}

static void blocks_frames_out_of_use_are_a_ledger_finding(void **state)
{
	struct sim s = sim_open("x86_64");

	(void)state;
	sim_performer(s.body)->isolated = 0xffff; /* kmm knows of none */
	assert_int_equal(sim_do(&s, "frame-alloc @0 o0").result, RESULT_OK);
	sim_expect(&s, ORACLE_LEDGER, "taken out of use");
	(void)sim_close(&s);
}

static void blocks_listener_gives_its_stash(void **state)
{
	struct sim s = sim_open("x86_64");
	struct performer *p = sim_performer(s.body);
	char line[64];

	(void)state;
	sim_all(&s, "listen =64", NULL);
	assert_int_equal(p->stash.n, 64);
	for (unsigned slot = 0; slot < OPS_SLOTS && p->stash.n == 64; slot++) {
		snprintf(line, sizeof(line), "frame-alloc @%u o4", slot);
		(void)sim_do(&s, line);
	}
	assert_true(p->stash.n < 64);
	sim_expect_clean(&s);
	sim_all(&s, "listen =0", NULL);
	assert_int_equal(p->stash.n, 0);
	sim_close_clean(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_wrong_free_that_is_accepted_is_a_model_finding),
		cmocka_unit_test(blocks_objects_of_every_door_come_and_go),
		cmocka_unit_test(blocks_flags_and_ranges_are_answered),
		cmocka_unit_test(blocks_spots_go_out_of_use_and_come_back),
		cmocka_unit_test(blocks_frames_out_of_use_are_a_ledger_finding),
		cmocka_unit_test(blocks_listener_gives_its_stash),
		cmocka_unit_test(blocks_refusal_with_a_free_block_is_a_model_finding),
	};

	return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
