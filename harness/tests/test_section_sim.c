/* Concurrent sections on the simulated machine: the same choices give the same history;
 * interrupts, shootdowns and drains among CPUs that run at once; and what a run must
 * notice by itself: stale translations, races, waits without end. */
#include <stdlib.h>

#include "play_fixture.h"
#include "sim_fixture.h"

#include "base/atomic.h"
#include "run/history.h"
#include "run/section.h"

#define SEEDS 150u

static struct section section;
static struct section_chooser chooser;
static struct sched run;
static struct history history;

/* ---- playing ---- */

static struct sched_strategy *as_the_section_says(void)
{
	return section_strategy(&chooser, &section);
}

/* Sequential operations before, then one section: both in text. Leaves the section read,
 * not yet performed. */
static struct sim open_at(const char *format, const char *before, const char *text)
{
	struct sim s = sim_open(format);
	struct ops_trace t = parse_trace(before);

	for (uint32_t i = 0; i < t.ops_n; i++) {
		struct op_outcome out;

		assert_false(ops_names_skip(&s.names, &t.ops[i]));
		body_sim.perform(s.body, &t.ops[i], &s.names, &out);
		assert_int_equal(out.result, RESULT_OK);
		ops_names_follow(&s.names, &t.ops[i], RESULT_OK);
	}
	free(t.ops);
	t = parse_trace(text);
	section_read(&section, t.ops, t.ops_n, 0, &s.names, s.m->o.cpus_n);
	assert_int_equal(section.trace_n, t.ops_n);
	free(t.ops);
	return s;
}

static void perform_section(struct sim *s, struct sched_strategy *strategy)
{
	body_sim.together(s->body, &section, &s->names, &run, strategy, &history);
}

static void set_strategy(enum section_strategy strategy, uint16_t seed)
{
	section.strategy = strategy;
	section.seed = seed;
}

static void open_and_perform(struct sim *s, const char *format, const char *before,
			     const char *text, uint16_t seed)
{
	*s = open_at(format, before, text);
	set_strategy(SECTION_RANDOM, seed);
	perform_section(s, as_the_section_says());
}

static void close_clean(struct sim *s)
{
	sim_expect_clean(s);
	sim_all(s, "checkpoint", NULL);
	sim_expect_clean(s);
	sim_close_clean(s);
}

static const struct history_event *event_of(unsigned op)
{
	for (uint32_t i = 0; i < history.n; i++)
		if (history.event[i].kind == HISTORY_OP && history.event[i].op == op)
			return &history.event[i];
	fail_msg("operation %u left no event", op);
	return NULL;
}

static unsigned choices_of(enum sched_kind kind)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < run.choices_n; i++)
		n += run.choice[i].key.kind == kind;
	return n;
}

static const char *const frames = "together rows x0;cpu c0;frame-alloc @0 o0;frame-alloc @1 o2;"
				  "frame-free @0;cpu c1;frame-alloc @2 o0;frame-free @2;"
				  "frame-alloc @3 o3;join";
static const char *const pages_before = "map s0 w0 p0 +8 rw;write s0 w0 p0 +4 v3;cpu c1;"
					"read s0 w0 p0 +8";
static const char *const pages = "together rows x0;cpu c0;unmap s0 w0 p0 +2;cpu c1;"
				 "read s0 w0 p0 +2;write s0 w0 p4 +2 v9;join";

/* ---- determinism ---- */

static bool same_event(const struct history_event *a, const struct history_event *b)
{
	return a->begin == b->begin && a->end == b->end && a->kind == b->kind &&
	       a->cpu == b->cpu && a->op == b->op && a->space == b->space &&
	       a->window == b->window && a->page == b->page && a->stamp == b->stamp &&
	       a->injected == b->injected && a->out.result == b->out.result &&
	       a->out.value == b->out.value;
}

static void replays_equal(const char *format, const char *before, const char *text, uint16_t seed)
{
	static struct history first;
	static struct sched_choice choice[SCHED_CHOICES_MAX];
	struct sched_rows rows;
	struct sim s;
	uint64_t steps;
	uint32_t n;

	open_and_perform(&s, format, before, text, seed);
	close_clean(&s);
	first = history;
	n = run.choices_n;
	steps = run.steps;
	memcpy(choice, run.choice, n * sizeof(*choice));
	s = open_at(format, before, text);
	sched_rows_init(&rows, choice, n);
	perform_section(&s, &rows.strategy);
	close_clean(&s);
	assert_int_equal(run.choices_n, n);
	assert_int_equal(run.steps, steps);
	assert_memory_equal(run.choice, choice, n * sizeof(*choice));
	assert_int_equal(history.n, first.n);
	for (uint32_t i = 0; i < first.n; i++)
		assert_true(same_event(&history.event[i], &first.event[i]));
	assert_int_equal(history.pages_n, first.pages_n);
}

static void section_sim_same_choices_same_history(void **state)
{
	(void)state;
	for (uint16_t seed = 0; seed < SEEDS / 5u; seed++) {
		replays_equal("x86_64", "cpu c0", frames, seed);
		SIM_EACH_FORMAT(format)
			replays_equal(*format, pages_before, pages, seed);
	}
}

static void section_sim_a_switch_row_changes_who_comes_first(void **state)
{
	struct sim s = open_at("x86_64", "cpu c0", frames);
	unsigned last = 0;

	(void)state;
	perform_section(&s, as_the_section_says());
	assert_int_equal(run.choices_n, 0);
	for (unsigned i = 0; i < 6; i++) { /* by default one CPU after the other */
		const struct history_event *e = event_of(i);

		assert_int_equal(e->out.result, RESULT_OK);
		assert_true(i == 0 || e->begin > last);
		last = e->end;
	}
	close_clean(&s);
	s = open_at("x86_64", "cpu c0",
		    "together rows x0;cpu c0;switch k2 c1;frame-alloc @0 o0;cpu c1;"
		    "frame-alloc @2 o0;frame-free @2;join");
	perform_section(&s, as_the_section_says());
	assert_int_equal(choices_of(SCHED_SWITCH), 1);
	assert_true(event_of(0)->begin < event_of(1)->begin);
	assert_true(event_of(2)->end < event_of(0)->end);
	close_clean(&s);
}

/* ---- operations among each other ---- */

static void section_sim_names_of_another_cpu_are_skipped(void **state)
{
	struct sim s = open_at("x86_64", "cpu c0", "together rows x0;cpu c0;frame-alloc @0 o0;"
						   "cpu c1;frame-free @0;frame-free @5;join");

	(void)state;
	perform_section(&s, as_the_section_says());
	assert_int_equal(event_of(0)->out.result, RESULT_OK);
	assert_int_equal(event_of(1)->out.result, RESULT_SKIP); /* marked */
	assert_int_equal(event_of(2)->out.result, RESULT_SKIP); /* an empty slot */
	assert_int_equal(s.names.frame_slots, 1);
	assert_int_equal(s.names.cpu, 1);
	assert_int_equal(s.m->port.cpu, 1);
	close_clean(&s);
}

/* Each word is what stood there or a refusal, and both are seen. */
static void section_sim_reads_beside_an_unmap_see_old_words_or_none(void **state)
{
	unsigned refused = 0, seen = 0;
	struct sim s;

	(void)state;
	for (uint16_t seed = 0; seed < SEEDS; seed++) {
		SIM_EACH_FORMAT(format) {
			open_and_perform(&s, *format, pages_before, pages, seed);
			for (uint32_t i = 0; i < history.n; i++) {
				const struct history_event *e = &history.event[i];

				if (e->kind != HISTORY_READ || e->op != 1)
					continue;
				if (e->out.result == RESULT_OK)
					assert_int_equal(e->out.value,
							 ops_stamp(3, 0, e->page, e->stamp));
				else
					assert_int_equal(e->out.result, RESULT_SEGV);
				refused += e->out.result == RESULT_SEGV;
				seen += e->out.result == RESULT_OK;
			}
			close_clean(&s);
		}
	}
	assert_true(refused > 0 && seen > 0);
}

static void section_sim_looks_at_all_named_pages_afterwards(void **state)
{
	unsigned finals = 0;
	struct sim s;

	(void)state;
	open_and_perform(&s, "x86_64", pages_before, pages, 1);
	assert_int_equal(history.pages_n, 4); /* 0, 1, 4, 5 */
	for (uint32_t i = 0; i < history.pages_n; i++) {
		const struct history_page *p = &history.page[i];

		assert_int_equal(p->mapped, p->page >= 4);
		assert_int_equal(p->prot, p->mapped ? KMM_PROT_R | KMM_PROT_W : 0);
	}
	for (uint32_t i = 0; i < history.n; i++) {
		const struct history_event *e = &history.event[i];

		if (e->cpu != HISTORY_NOBODY)
			continue;
		finals++;
		assert_int_equal(e->out.result, e->page >= 4 ? RESULT_OK : RESULT_SEGV);
		if (e->page >= 4)
			assert_int_equal(e->out.value, ops_stamp(9, 0, e->page, e->stamp));
	}
	assert_int_equal(finals, 4 * OPS_STAMPS);
	close_clean(&s);
}

static void section_sim_a_shootdown_waits_for_a_deferred_interrupt(void **state)
{
	unsigned deferred = 0;
	struct sim s;

	(void)state;
	for (uint16_t seed = 0; seed < SEEDS; seed++) {
		open_and_perform(&s, "x86_64", pages_before, pages, seed);
		deferred += choices_of(SCHED_DEFER) != 0;
		assert_int_equal(event_of(0)->out.result, RESULT_OK);
		close_clean(&s);
	}
	assert_true(deferred > 0);
}

static void section_sim_a_drain_beside_allocations_takes_nothing_away(void **state)
{
	struct sim s;

	(void)state;
	for (uint16_t seed = 0; seed < SEEDS / 3u; seed++) {
		open_and_perform(&s, "x86_64", "frame-alloc @9 o0;cpu c1;frame-alloc @8 o0",
				 "together rows x0;cpu c0;drain;frame-free @9;drain;cpu c1;"
				 "frame-alloc @1 o0;frame-free @8;drain;frame-alloc @2 o3;join",
				 seed);
		for (unsigned i = 0; i < section.n; i++)
			assert_int_equal(event_of(i)->out.result, RESULT_OK);
		close_clean(&s);
	}
}

static void section_sim_interrupts_come_in_amid_operations(void **state)
{
	unsigned inside = 0;
	struct sim s;

	(void)state;
	for (uint16_t seed = 0; seed < SEEDS; seed++) {
		open_and_perform(&s, "x86_64", "cpu c0",
				 "together rows x0;cpu c0;frame-alloc @0 o0;interrupt;"
				 "frame-alloc @1 o0;interrupt;frame-free @1;object-alloc @0 b100;"
				 "cpu c1;interrupt;object-alloc @1 b100;join", seed);
		for (unsigned i = 0; i < section.n; i++) {
			const struct history_event *e = event_of(i), *o = event_of(0);

			assert_int_equal(e->out.result, RESULT_OK);
			inside += e->op == 1 && e->begin > o->begin && e->end < o->end;
		}
		close_clean(&s);
	}
	assert_true(inside > 0 && inside < SEEDS);
}

static void section_sim_a_failure_hits_its_own_cpu_alone(void **state)
{
	struct sim s;

	(void)state;
	for (uint16_t seed = 0; seed < SEEDS / 3u; seed++) {
		open_and_perform(&s, "x86_64", "cpu c0",
				 "together rows x0;cpu c0;fail frame k1;frame-alloc @0 o0;"
				 "frame-alloc @1 o0;cpu c1;frame-alloc @2 o0;frame-alloc @3 o1;"
				 "join", seed);
		for (unsigned i = 0; i < section.n; i++) {
			const struct history_event *e = event_of(i);

			assert_int_equal(e->injected, i == 0);
			assert_int_equal(e->out.result, i == 0 ? RESULT_NOMEM : RESULT_OK);
		}
		close_clean(&s);
	}
}

static void section_sim_forks_and_exits_beside_writes_stay_sound(void **state)
{
	unsigned walks = 0;
	struct sim s;

	(void)state;
	for (uint16_t seed = 0; seed < SEEDS; seed++) {
		SIM_EACH_FORMAT(format) {
			open_and_perform(&s, *format, pages_before,
					 "together rows x0;cpu c0;fork s0 s1;write s1 w0 p0 +2 v8;"
					 "exit s1;brk s0 =3;cpu c1;write s0 w0 p0 +4 v9;"
					 "protect s0 w0 p2 +3 r;write s0 w11 p0 +2 v1;join", seed);
			walks += choices_of(SCHED_WALK);
			close_clean(&s);
		}
	}
	assert_true(walks > 0);
}

/* ---- what a run notices by itself ---- */

struct hand_made {
	struct sim s;
	void (*work)(struct hand_made *h, unsigned cpu);
	uint64_t *entry;
	uint64_t word, plain;
	uint32_t flag;
	bool honest;
};

static void hand_work(void *ctx, unsigned cpu)
{
	struct hand_made *h = ctx;

	h->work(h, cpu);
}

static bool no_interrupts(void *ctx, unsigned cpu)
{
	(void)ctx;
	(void)cpu;
	return false;
}

static void run_guarded(void *ctx)
{
	struct hand_made *h = ctx;
	const struct crew_work work = { h, hand_work, no_interrupts, NULL };
	struct sched_rows rows;

	sched_rows_init(&rows, NULL, 0);
	crew_run(h->s.m, &run, 3, &rows.strategy, &work);
}

/* Two CPUs do `work`, CPU 0 first, switched where one waits only. */
static struct finding hand_run(struct hand_made *h, void (*work)(struct hand_made *h, unsigned cpu))
{
	struct finding f;

	h->work = work;
	(void)machine_guard(h->s.m, run_guarded, h);
	body_sim.verify(h->s.body, false, false, &f);
	return f;
}

static struct kmm *kmm_of(struct hand_made *h)
{
	return h->s.m->kmm;
}

static void wait_for(struct hand_made *h, uint32_t value)
{
	while (atomic_load_acquire(&h->flag) != value)
		kmm_port_relax(kmm_of(h));
}

/* CPU 0 takes a page away and tells nobody; CPU 1 uses it meanwhile. */
static void stale_use(struct hand_made *h, unsigned cpu)
{
	struct kmm_space *space = sim_performer(h->s.body)->space[0];
	uint64_t was, va = perform_window(sim_performer(h->s.body), 0, 0);

	if (cpu == 1) {
		wait_for(h, 1);
		assert_int_equal(machine_access(h->s.m, space, va, KMM_ACCESS_READ, &h->word),
				 RESULT_OK);
		atomic_store_release(&h->flag, 2u);
		return;
	}
	crew_call_begin(h->s.m);
	was = kmm_port_pt_load(kmm_of(h), h->entry);
	kmm_port_pt_store(kmm_of(h), h->entry, 0);
	atomic_store_release(&h->flag, 1u);
	wait_for(h, 2);
	if (h->honest)
		kmm_port_pt_store(kmm_of(h), h->entry, was);
	crew_call_end(h->s.m);
}

static struct finding stale(bool honest, uint64_t *word)
{
	struct hand_made h = { .honest = honest };
	struct finding f;

	h.s = sim_open("x86_64");
	sim_all(&h.s, "map s0 w0 p0 +1 rw", "write s0 w0 p0 +1 v5", "cpu c1", "read s0 w0 p0 +1",
		NULL);
	h.entry = sim_leaf(&h.s, 0, 0, 0).entry;
	f = hand_run(&h, stale_use);
	*word = h.word;
	sim_close(&h.s);
	return f;
}

static void section_sim_a_stale_use_is_legal_until_the_call_ends(void **state)
{
	struct finding f;
	uint64_t word;

	(void)state;
	f = stale(true, &word);
	assert_int_equal(f.oracle, ORACLE_NONE);
	assert_int_equal(word, ops_stamp(5, 0, 0, 0));
	f = stale(false, &word);
	assert_int_equal(f.oracle, ORACLE_TLB);
	assert_non_null(strstr(f.text, "was taken away"));
	assert_int_equal(word, ops_stamp(5, 0, 0, 0)); /* not before */
}

static void plain_accesses(struct hand_made *h, unsigned cpu)
{
	const char *at = h->s.m->port.arena;

	if (cpu == 1 && h->honest)
		wait_for(h, 1);
	crew_plain(at, 8, true, NULL);
	if (cpu == 0)
		atomic_store_release(&h->flag, 1u);
}

static void section_sim_unordered_plain_writes_are_a_race(void **state)
{
	struct hand_made h = { .honest = true };

	(void)state;
	h.s = sim_open("x86_64");
	assert_int_equal(hand_run(&h, plain_accesses).oracle, ORACLE_NONE);
	sim_close_clean(&h.s);
	h = (struct hand_made){ .honest = false };
	h.s = sim_open("x86_64");
	assert_int_equal(hand_run(&h, plain_accesses).oracle, ORACLE_RACE);
	sim_close(&h.s);
}

static void waits_in_vain(struct hand_made *h, unsigned cpu)
{
	if (cpu == 1)
		wait_for(h, 7);
}

static void section_sim_a_wait_in_vain_is_a_hang(void **state)
{
	struct hand_made h = { 0 };
	struct finding f;

	(void)state;
	h.s = sim_open("x86_64");
	f = hand_run(&h, waits_in_vain);
	assert_int_equal(f.oracle, ORACLE_HANG);
	assert_non_null(strstr(f.text, "CPU 1"));
	sim_close(&h.s);
}

static void panics(struct hand_made *h, unsigned cpu)
{
	if (cpu == 1)
		kmm_port_panic(kmm_of(h), "no way on");
	wait_for(h, 7);
}

static void section_sim_a_panic_ends_the_run_and_the_instance(void **state)
{
	struct hand_made h = { 0 };
	struct finding f;

	(void)state;
	h.s = sim_open("x86_64");
	f = hand_run(&h, panics);
	assert_int_equal(f.oracle, ORACLE_PANIC);
	assert_string_equal(f.text, "no way on");
	assert_true(h.s.m->dead);
	sim_close(&h.s);
	h.s = sim_open("x86_64"); /* the next one is sound */
	sim_all(&h.s, "frame-alloc @0 o0", NULL);
	sim_close_clean(&h.s);
}

static void asks_for_its_block(struct hand_made *h, unsigned cpu)
{
	unsigned long was = kmm_port_irq_save(kmm_of(h));

	assert_ptr_equal(kmm_port_cpu(kmm_of(h)), kmm_cpu_at(kmm_of(h), cpu));
	kmm_port_irq_restore(kmm_of(h), was);
	if (!h->honest)
		(void)kmm_port_cpu(kmm_of(h));
}

static void section_sim_a_cpu_block_with_interrupts_on_is_a_finding(void **state)
{
	struct hand_made h = { .honest = true };

	(void)state;
	h.s = sim_open("x86_64");
	assert_int_equal(hand_run(&h, asks_for_its_block).oracle, ORACLE_NONE);
	sim_close_clean(&h.s);
	h = (struct hand_made){ .honest = false };
	h.s = sim_open("x86_64");
	assert_int_equal(hand_run(&h, asks_for_its_block).oracle, ORACLE_CONTEXT);
	sim_close(&h.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(section_sim_same_choices_same_history),
		cmocka_unit_test(section_sim_a_switch_row_changes_who_comes_first),
		cmocka_unit_test(section_sim_names_of_another_cpu_are_skipped),
		cmocka_unit_test(section_sim_reads_beside_an_unmap_see_old_words_or_none),
		cmocka_unit_test(section_sim_looks_at_all_named_pages_afterwards),
		cmocka_unit_test(section_sim_a_shootdown_waits_for_a_deferred_interrupt),
		cmocka_unit_test(section_sim_a_drain_beside_allocations_takes_nothing_away),
		cmocka_unit_test(section_sim_interrupts_come_in_amid_operations),
		cmocka_unit_test(section_sim_a_failure_hits_its_own_cpu_alone),
		cmocka_unit_test(section_sim_forks_and_exits_beside_writes_stay_sound),
		cmocka_unit_test(section_sim_a_stale_use_is_legal_until_the_call_ends),
		cmocka_unit_test(section_sim_unordered_plain_writes_are_a_race),
		cmocka_unit_test(section_sim_a_wait_in_vain_is_a_hang),
		cmocka_unit_test(section_sim_a_panic_ends_the_run_and_the_instance),
		cmocka_unit_test(section_sim_a_cpu_block_with_interrupts_on_is_a_finding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
