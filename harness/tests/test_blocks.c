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
	struct sim s = sim_open("x86_64");

	(void)state;
	block_verify_nomem(sim_performer(s.body), KMM_ORDER_MAX);
	sim_expect_clean(&s); /* there is none so large in 512 frames */
	block_verify_nomem(sim_performer(s.body), 3);
	sim_expect(&s, ORACLE_MODEL, "order 3 fails, though a block");
	(void)sim_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_wrong_free_that_is_accepted_is_a_model_finding),
		cmocka_unit_test(blocks_objects_of_every_door_come_and_go),
		cmocka_unit_test(blocks_refusal_with_a_free_block_is_a_model_finding),
	};

	return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
