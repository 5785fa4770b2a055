/// The player and the minimiser: bodies that are broken on purpose, each in one way,
/// prove that each oracle fires; kmm on the simulated machine proves that none fires
/// without cause.
#include "play_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/model.h"
#include "ops/generate.h"
#include "run/minimise.h"

/* ---- a body that is the model, but for one fault ---- */

enum fault {
	SOUND,
	WRONG_RESULT,   /* protect to none says ok and does nothing */
	LOST_WRITE,     /* a write of one page is dropped */
	WRONG_VALUE,    /* reads of window 5 see one bit more */
	FALSE_NOMEM,    /* the third map fails without cause */
	INJECTED_NOMEM, /* the same, but says that it was injected */
	HALF_WRITE,     /* an injected failure in a write that reports one page too many */
	LEAKS,          /* a frame is left at the end */
	SAYS_INVARIANT, /* its own check fails after the first fork */
	CHANGES,        /* a failed operation changed state, it says */
	ERROR_RESULT,   /* answers "error", with no finding of its own */
	ENDLESS,        /* exit never ends */
	CRASHES,        /* exit crashes */
	EXITS,          /* exit ends the process, as a sanitizer would */
};

struct body {
	struct body *inner;
	enum fault fault;
	unsigned maps_n;
	bool injected, failed_check, unchanged_check;
};

static enum fault planted;

static const char *broken_start(struct body **out, const struct body_options *o)
{
	struct body *b = calloc(1, sizeof(*b));
	const char *why = body_model.start(&b->inner, o);

	if (why) {
		free(b);
		return why;
	}
	b->fault = planted;
	*out = b;
	return NULL;
}

static bool break_before(struct body *b, const struct op *op, const struct ops_names *n,
			 struct op_outcome *out)
{
	*out = (struct op_outcome){ RESULT_OK, 0 };
	switch (b->fault) {
	case WRONG_RESULT:
		return op->code == OP_PROTECT && op->arg[4] == 0;
	case LOST_WRITE:
		model_expect(b->inner, op, n, out);
		return op->code == OP_WRITE && op->arg[3] == 1 && out->result == RESULT_OK;
	case FALSE_NOMEM:
	case INJECTED_NOMEM:
		b->injected = b->fault == INJECTED_NOMEM && op->code == OP_MAP && b->maps_n == 2;
		out->result = RESULT_NOMEM;
		return op->code == OP_MAP && b->maps_n++ == 2;
	case HALF_WRITE:
		b->injected = op->code == OP_WRITE;
		*out = (struct op_outcome){ RESULT_NOMEM, op->arg[2] + 2u };
		return op->code == OP_WRITE; /* nothing was written, two pages are claimed */
	case ERROR_RESULT:
		out->result = RESULT_ERROR;
		return op->code == OP_FORK;
	case ENDLESS:
		while (op->code == OP_EXIT)
			pause();
		return false;
	case CRASHES:
		if (op->code == OP_EXIT) {
			signal(SIGSEGV, SIG_DFL); /* the test library catches it */
			kill(getpid(), SIGSEGV);
		}
		return false;
	case EXITS:
		if (op->code == OP_EXIT)
			_exit(1);
		return false;
	default:
		return false;
	}
}

static void broken_perform(struct body *b, const struct op *op, const struct ops_names *n,
			   struct op_outcome *out)
{
	if (break_before(b, op, n, out))
		return;
	body_model.perform(b->inner, op, n, out);
	if (b->fault == WRONG_VALUE && op->code == OP_READ && op->arg[1] == 5)
		out->value ^= 1ull << 40;
	b->failed_check = b->fault == SAYS_INVARIANT && op->code == OP_FORK;
	b->unchanged_check = b->fault == CHANGES;
}

static void broken_verify(struct body *b, bool thorough, bool failed, struct finding *f)
{
	(void)thorough;
	f->oracle = ORACLE_NONE;
	if (b->failed_check || (b->unchanged_check && failed)) {
		f->oracle = b->failed_check ? ORACLE_INVARIANT : ORACLE_UNCHANGED;
		snprintf(f->text, sizeof(f->text), "it says so itself");
	}
}

static bool broken_injected(struct body *b)
{
	return b->injected;
}

static void broken_finish(struct body *b, struct finding *f)
{
	bool leaks = b->fault == LEAKS;

	body_model.finish(b->inner, f);
	if (leaks) {
		f->oracle = ORACLE_LEAK;
		snprintf(f->text, sizeof(f->text), "1 frame is left");
	}
	free(b);
}

static const struct body_class body_broken = {
	.name = "broken", .start = broken_start, .perform = broken_perform,
	.verify = broken_verify, .injected = broken_injected, .finish = broken_finish,
};

static const char story[] =
	"map s0 w5 p0 +16 rw; write s0 w5 p7 +1 v1; fork s0 s1; write s1 w5 p7 +1 v2\n"
	"protect s1 w5 p0 +1 -; map s1 w0 p0 +4 rw; write s1 w0 p0 +4 v3; read s1 w0 p0 +4\n"
	"map s0 w1 p0 +1 wx; protect s0 w9 p0 +1 r; protect s0 w1 p0 +2 r; cpu c1\n"
	"map s1 w2 p0 +4 rw; read s1 w5 p0 +4; read s0 w5 p0 +8; exit s1; checkpoint";

static struct player_result play_with(enum fault fault, const char *text, bool isolated)
{
	struct player_options o = { .body = &body_broken };
	struct ops_trace t = parse_trace(text);
	struct player_result r;

	planted = fault;
	if (isolated)
		assert_true(player_run_isolated(t.ops, t.ops_n, &o, 1, &r));
	else
		player_run(t.ops, t.ops_n, &o, &r);
	free(t.ops);
	return r;
}

static void assert_finds(enum fault fault, enum oracle oracle, uint32_t index)
{
	struct player_result r = play_with(fault, story, fault >= ENDLESS);

	if (r.finding.oracle != oracle || r.finding.op_index != index)
		fail_msg("%s at %u (%s), not %s at %u", oracle_text[r.finding.oracle],
			 r.finding.op_index, r.finding.text, oracle_text[oracle], index);
	assert_int_not_equal(strlen(r.finding.text), 0);
}

static void player_sound_body_agrees(void **state)
{
	struct player_result r = play_with(SOUND, story, false), again;

	(void)state;
	assert_int_equal(r.finding.oracle, ORACLE_NONE);
	assert_int_equal(r.ops_done, 17);
	assert_int_equal(r.skipped_n, 1);
	assert_int_equal(r.checkpoints_n, 1);
	assert_int_equal(r.followed_n, 0);
	again = play_with(SOUND, story, true);
	assert_int_equal(r.digest, again.digest);
}

static void player_wrong_result_is_found(void **state)
{
	(void)state;
	assert_finds(WRONG_RESULT, ORACLE_MODEL, 13);
}

static void player_lost_write_is_found(void **state)
{
	struct player_result r;

	(void)state;
	assert_finds(LOST_WRITE, ORACLE_MODEL, 14); /* a read sees it */
	r = play_with(LOST_WRITE, "map s0 w5 p0 +16 rw; write s0 w5 p7 +1 v1; cpu c1", false);
	assert_int_equal(r.finding.oracle, ORACLE_CONTENTS); /* no read, no checkpoint */
	r = play_with(LOST_WRITE, "map s0 w5 p0 +16 rw; write s0 w5 p7 +1 v1; checkpoint; cpu c0",
		      false);
	assert_int_equal(r.finding.oracle, ORACLE_CONTENTS);
	assert_int_equal(r.finding.op_index, 2);
}

static void player_wrong_value_is_found(void **state)
{
	(void)state;
	assert_finds(WRONG_VALUE, ORACLE_MODEL, 13);
}

static void player_false_nomem_is_found(void **state)
{
	(void)state;
	assert_finds(FALSE_NOMEM, ORACLE_MODEL, 8);
}

static void player_injected_nomem_is_followed(void **state)
{
	struct player_result r;

	(void)state;
	/* The third map asks for W and X: nomem is no answer to that. */
	assert_finds(INJECTED_NOMEM, ORACLE_MODEL, 8);
	r = play_with(INJECTED_NOMEM, "map s0 w0 p0 +1 rw; map s0 w1 p0 +1 rw; map s0 w2 p0 +1 rw\n"
		      "read s0 w2 p0 +1; write s0 w0 p0 +1 v1; checkpoint", false);
	assert_int_equal(r.finding.oracle, ORACLE_NONE);
	assert_int_equal(r.followed_n, 1);
}

static void player_half_done_write_is_checked(void **state)
{
	struct player_result r;

	(void)state;
	r = play_with(HALF_WRITE, "map s0 w0 p0 +4 rw; write s0 w0 p0 +4 v1; read s0 w0 p0 +2",
		      false);
	assert_int_equal(r.finding.oracle, ORACLE_MODEL);
	assert_int_equal(r.finding.op_index, 2);
}

static void player_leak_is_found_at_the_end(void **state)
{
	(void)state;
	assert_finds(LEAKS, ORACLE_LEAK, 17);
}

static void player_body_that_finds_itself_broken_is_believed(void **state)
{
	(void)state;
	assert_finds(SAYS_INVARIANT, ORACLE_INVARIANT, 2);
	assert_finds(CHANGES, ORACLE_UNCHANGED, 8);
}

static void player_error_result_is_found(void **state)
{
	(void)state;
	assert_finds(ERROR_RESULT, ORACLE_MODEL, 2);
}

static void player_endless_operation_is_a_hang(void **state)
{
	(void)state;
	assert_finds(ENDLESS, ORACLE_HANG, 15);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

static void player_crash_is_found(void **state)
{
	(void)state;
	assert_finds(CRASHES, ORACLE_SANITIZER, 15);
	assert_finds(EXITS, ORACLE_SANITIZER, 15);
}

static void player_unknown_preset_is_refused(void **state)
{
	struct player_options o = { .body = &body_broken, .start.preset = "atlantis" };
	struct player_result r;

	(void)state;
	player_run(NULL, 0, &o, &r);
	assert_string_equal(r.refused, "model: unknown preset");
}

/* ---- kmm ---- */

static struct player_result play_generated(const struct player_options *o, uint64_t seed,
					   bool fails)
{
	struct generate_options g = { .seed = seed, .ops_n = 600, .fails = fails };
	static struct op ops[600];
	struct player_result r;

	ops_generate(ops, &g);
	player_run(ops, 600, o, &r);
	assert_string_equal(r.refused, "");
	return r;
}

static void sim_generated_traces_give_one_digest(void **state)
{
	struct player_options model = { .body = &body_model },
			      x86 = { .body = &body_sim, .start.frames_n = 32768 }, arm = x86;

	(void)state;
	arm.start.format = "aarch64";
	for (uint64_t seed = 900; seed < 906; seed++) {
		struct player_result m = play_generated(&model, seed, false);
		struct player_result a = play_generated(&x86, seed, false);
		struct player_result b = play_generated(&arm, seed, false);

		assert_int_equal(m.finding.oracle, ORACLE_NONE);
		assert_string_equal(a.finding.text, "");
		assert_string_equal(b.finding.text, "");
		assert_int_equal(a.followed_n, 0);
		assert_int_equal(a.digest, m.digest);
		assert_int_equal(b.digest, m.digest);
	}
}

static void sim_scarce_memory_and_failures_are_followed(void **state)
{
	static const char *const presets[] = { "pagemill", "veridian", "viperdos", "neo" };
	uint32_t followed = 0;

	(void)state;
	for (uint64_t seed = 40; seed < 48; seed++) {
		struct player_options o = { .body = &body_sim, .start.frames_n = 128 + seed * 3,
					    .start.preset = presets[seed % 4] };
		struct player_result r = play_generated(&o, seed, true);

		assert_string_equal(r.finding.text, "");
		followed += r.followed_n;
	}
	assert_true(followed > 10);
}

static void sim_each_flipped_bit_is_noticed(void **state)
{
	static const enum player_flip flips[] = { FLIP_BODY_TABLE, FLIP_BODY_CONTENTS, FLIP_MODEL };

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		struct player_options o = { .body = &body_sim, .start.frames_n = 32768,
					    .flip = flips[i % 3], .flip_after = 50 + 45 * i,
					    .start.seed = 1000003u * i };
		struct player_result r;

		o.start.format = i % 2 ? "aarch64" : "x86_64";
		r = play_generated(&o, 950 + i, false);
		assert_true(r.flipped);
		assert_int_not_equal(r.finding.oracle, ORACLE_NONE);
	}
}

/* ---- minimising ---- */

static uint32_t minimise_generated(enum fault fault, struct op *ops, uint32_t n, bool isolated,
				   struct minimise_result *r)
{
	struct generate_options g = { .seed = 77, .ops_n = n };
	struct minimise_options o = { .play.body = &body_broken, .isolated = isolated,
				      .timeout_s = 1, .seconds_max = 20 };

	planted = fault;
	ops_generate(ops, &g);
	return minimise(ops, n, &o, r);
}

static void minimise_lost_write_ends_with_three_operations(void **state)
{
	static struct op ops[400];
	struct minimise_result r;
	uint32_t n = minimise_generated(LOST_WRITE, ops, 400, false, &r);
	struct player_options o = { .body = &body_broken };
	struct player_result again;

	(void)state;
	assert_true(r.whole);
	assert_true(n >= 2 && n <= 3); /* map, write, perhaps a look */
	assert_int_equal(r.last.finding.oracle, r.first.finding.oracle);
	player_run(ops, n, &o, &again);
	assert_int_equal(again.finding.oracle, r.first.finding.oracle);
}

static void minimise_keeps_the_oracle(void **state)
{
	static struct op ops[300];
	struct minimise_result r;

	(void)state;
	assert_int_equal(minimise_generated(SAYS_INVARIANT, ops, 300, false, &r), 1);
	assert_int_equal(ops[0].code, OP_FORK);
	assert_int_equal(r.last.finding.oracle, ORACLE_INVARIANT);
	assert_int_equal(ops[0].arg[1], 1); /* the simplest child */
}

static void minimise_crash_needs_isolation_and_gets_it(void **state)
{
	static struct op ops[120];
	struct minimise_result r;
	uint32_t n = minimise_generated(CRASHES, ops, 120, true, &r);

	(void)state;
	assert_int_equal(n, 2); /* fork, exit */
	assert_int_equal(ops[0].code, OP_FORK);
	assert_int_equal(ops[1].code, OP_EXIT);
	assert_int_equal(r.last.finding.oracle, ORACLE_SANITIZER);
}

static void minimise_sound_trace_stays(void **state)
{
	static struct op ops[100];
	struct minimise_result r;

	(void)state;
	assert_int_equal(minimise_generated(SOUND, ops, 100, false, &r), 100);
	assert_int_equal(r.first.finding.oracle, ORACLE_NONE);
	assert_int_equal(r.runs_n, 1);
}

static void minimise_budget_is_kept(void **state)
{
	static struct op ops[400];
	struct generate_options g = { .seed = 77, .ops_n = 400 };
	struct minimise_options o = { .play.body = &body_broken, .runs_max = 10 };
	struct minimise_result r;

	(void)state;
	planted = LOST_WRITE;
	ops_generate(ops, &g);
	assert_true(minimise(ops, 400, &o, &r) < 400);
	assert_true(r.runs_n <= 10);
	assert_false(r.whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(player_sound_body_agrees),
		cmocka_unit_test(player_wrong_result_is_found),
		cmocka_unit_test(player_lost_write_is_found),
		cmocka_unit_test(player_wrong_value_is_found),
		cmocka_unit_test(player_false_nomem_is_found),
		cmocka_unit_test(player_injected_nomem_is_followed),
		cmocka_unit_test(player_half_done_write_is_checked),
		cmocka_unit_test(player_leak_is_found_at_the_end),
		cmocka_unit_test(player_body_that_finds_itself_broken_is_believed),
		cmocka_unit_test(player_error_result_is_found),
		cmocka_unit_test(player_endless_operation_is_a_hang),
		cmocka_unit_test(player_crash_is_found),
		cmocka_unit_test(player_unknown_preset_is_refused),
		cmocka_unit_test(sim_generated_traces_give_one_digest),
		cmocka_unit_test(sim_scarce_memory_and_failures_are_followed),
		cmocka_unit_test(sim_each_flipped_bit_is_noticed),
		cmocka_unit_test(minimise_lost_write_ends_with_three_operations),
		cmocka_unit_test(minimise_keeps_the_oracle),
		cmocka_unit_test(minimise_crash_needs_isolation_and_gets_it),
		cmocka_unit_test(minimise_sound_trace_stays),
		cmocka_unit_test(minimise_budget_is_kept),
	};

	return cmocka_run_group_tests_name("player", tests, NULL, NULL);
}
