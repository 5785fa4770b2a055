/// Strategies: what one did is repeated by rows; all schedules are all, and each once;
/// PCT finds what its bound promises. How many schedules there are is counted by hand or
/// by brute force.
#include "sched_fixture.h"

/* ---- replay ---- */

static const struct step busy_handler[] = {
	{ LOAD, 6, 0 }, { ADD, 6, 1 }, { WALK, 0, 3 }, { END, 0, 0 },
};
static const struct step busy_code[3][12] = {
	{ { LOAD, 0, 0 }, { STALE, 0, 3 }, { ADD, 0, 1 }, { SEND, 1, 0 }, { SEND, 3, 0 },
	  { WALK, 0, 4 }, { WALK, 0, 4 }, { WAIT, 1, 5 }, { STORE, 2, 1 } },
	{ { SEND, 0, 0 }, { LOAD, 0, 0 }, { OFF, 0, 0 }, { ADD, 0, 2 }, { STALE, 0, 2 },
	  { ON, 0, 0 }, { SEND, 2, 0 }, { STORE, 1, 5 }, { WAIT2, 2, 1 } },
	{ { LOAD, 0, 0 }, { SEND, 3, 0 }, { ADD, 4, 1 }, { LOAD, 4, 0 }, { ADD, 4, 1 },
	  { SEND, 0, 0 }, { STALE, 0, 2 }, { WAIT2, 1, 5 }, { STORE, 5, 1 } },
};
#define BUSY CODE(busy_code[0], busy_code[1], busy_code[2])

static void assert_keys_differ(const struct sched_choice *choice, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < i; j++)
			assert_memory_not_equal(&choice[i].key, &choice[j].key,
						sizeof(choice->key));
}

static void assert_rows_repeat(struct sched_strategy *strategy)
{
	static struct sched_choice choice[SCHED_CHOICES_MAX];
	static struct sched_rows rows;
	enum sched_end end = play(4, 7, BUSY, busy_handler, strategy);
	struct world was = w;
	uint32_t n = s.choices_n;

	assert_int_equal(end, SCHED_DONE);
	assert_false(s.overflow);
	memcpy(choice, s.choice, n * sizeof(*choice));
	assert_keys_differ(choice, n);
	sched_rows_init(&rows, choice, n);
	assert_int_equal(play(4, 7, BUSY, busy_handler, &rows.strategy), end);
	assert_memory_equal(&w, &was, sizeof(w));
	assert_int_equal(s.choices_n, n);
	assert_memory_equal(s.choice, choice, n * sizeof(*choice));
}

static void sched_rows_repeat_what_random_and_pct_did(void **state)
{
	uint64_t digests[2] = { 0, 0 };

	(void)state;
	for (uint64_t seed = 0; seed < 500; seed++) {
		struct sched_random r;
		struct sched_pct p;

		sched_random_init(&r, seed);
		assert_rows_repeat(&r.strategy);
		digests[seed & 1u] = w.digest;
		sched_pct_init(&p, seed, 1u + (unsigned)seed % 5u, 40);
		assert_rows_repeat(&p.strategy);
	}
	assert_int_not_equal(digests[0], digests[1]); /* seeds do differ */
}

static void sched_rows_that_fit_nowhere_are_nothing(void **state)
{
	struct sched_choice choice[] = {
		{ { 0, SCHED_SWITCH, 10, 9 }, 1 },  /* no such point */
		{ { 0, SCHED_SWITCH, 11, 1 }, 1 },  /* no such operation */
		{ { 0, SCHED_SWITCH, 10, 1 }, 3 },  /* no such CPU */
		{ { 0, SCHED_SWITCH, 10, 2 }, 1 },  /* this one counts */
		{ { 0, SCHED_SWITCH, 10, 2 }, 0 },  /* its key again */
		{ { 0, SCHED_STALE, 10, 3 }, 1 },   /* no choice of the kind there */
	};
	const struct step *three = LIST({ LOAD, 0, 0 }, { LOAD, 0, 0 }, { LOAD, 0, 0 });
	static struct sched_rows rows;

	(void)state;
	sched_rows_init(&rows, choice, 6);
	assert_int_equal(play(2, 3, CODE(three, three), NULL, &rows.strategy), SCHED_DONE);
	assert_int_equal(w.access_n, 6);
	assert_memory_equal(w.access, ((uint8_t[]){ 0, 1, 1, 1, 0, 0 }), 6);
	assert_int_equal(s.choices_n, 1);
	assert_memory_equal(s.choice, &choice[3], sizeof(*choice));
}

static void sched_rows_of_other_operations_are_nothing(void **state)
{
	static struct sched_choice choice[SCHED_CHOICES_MAX];
	static struct sched_rows rows;
	const struct step *two = LIST({ LOAD, 0, 0 }, { LOAD, 0, 0 });

	(void)state;
	for (unsigned i = 0; i < SCHED_CHOICES_MAX; i++)
		choice[i] = (struct sched_choice){
			{ 0, SCHED_SWITCH, (uint16_t)(100u + i / 2u), (uint16_t)(1u + i % 2u) }, 1
		};
	sched_rows_init(&rows, choice, SCHED_CHOICES_MAX + 1u);
	assert_int_equal(rows.n, SCHED_CHOICES_MAX);
	assert_int_equal(play(2, 3, CODE(two, two), NULL, &rows.strategy), SCHED_DONE);
	assert_int_equal(s.choices_n, 0);
	assert_memory_equal(w.access, ((uint8_t[]){ 0, 0, 1, 1 }), 4);
}

static void sched_points_past_the_last_number_have_no_choice(void **state)
{
	const struct step *many = LIST({ MANY, 0, 70000 });
	static struct sched_rows rows;

	(void)state;
	for (unsigned point = 65534; point <= 65535; point++) {
		struct sched_choice c = { { 0, SCHED_SWITCH, 10, (uint16_t)point }, 1 };

		sched_rows_init(&rows, &c, 1);
		assert_int_equal(play(2, 3, CODE(many, many), NULL, &rows.strategy), SCHED_DONE);
		assert_int_equal(s.choices_n, point == 65534);
	}
}

static void sched_choices_beyond_the_list_are_told(void **state)
{
	const struct step *many = LIST({ MANY, 0, 60000 });
	struct sched_random r;

	(void)state;
	sched_random_init(&r, 3);
	assert_int_equal(play(2, 3, CODE(many, many), NULL, &r.strategy), SCHED_DONE);
	assert_true(s.overflow);
	assert_int_equal(s.choices_n, SCHED_CHOICES_MAX);
}

/* ---- exhaustive ---- */

static uint64_t factorial(unsigned n)
{
	return n < 2 ? 1 : n * factorial(n - 1);
}

static int compare_orders(const void *a, const void *b)
{
	return memcmp(a, b, ORDER_MAX);
}

/// Sorts rows of ORDER_MAX bytes. Returns: how many different ones there are
static unsigned distinct(uint8_t (*row)[ORDER_MAX], unsigned n)
{
	unsigned different = n > 0;

	qsort(row, n, sizeof(*row), compare_orders);
	for (unsigned i = 1; i < n; i++)
		different += memcmp(row[i - 1], row[i], ORDER_MAX) != 0;
	return different;
}

/// Orders of the parts that CPUs have left, the one that ran last being `last`, with
/// at most `preemptions` switches away from one that has more.
static uint64_t orders(unsigned *left, unsigned cpus_n, unsigned last, unsigned preemptions)
{
	uint64_t n = 0;
	bool over = true;

	for (unsigned i = 0; i < cpus_n; i++) {
		bool away = i != last && left[last] > 0;

		if (left[i] == 0)
			continue;
		over = false;
		if (away && preemptions == 0)
			continue;
		left[i]--;
		n += orders(left, cpus_n, i, preemptions - (away && preemptions != ~0u));
		left[i]++;
	}
	return over ? 1 : n;
}

/// All schedules of CPUs with that many points each, and all different.
static void assert_all(const unsigned *points, unsigned cpus_n, unsigned preemptions)
{
	static uint8_t order[20000][ORDER_MAX], access[20000][ORDER_MAX];
	static const struct step loads[] = { { LOAD, 0, 0 }, { LOAD, 0, 0 }, { LOAD, 0, 0 },
					     { LOAD, 0, 0 }, { LOAD, 0, 0 }, { END, 0, 0 } };
	const struct step *code[3];
	unsigned left[3], n = 0, all = 0;
	uint64_t accesses;
	struct sched_all a;

	for (unsigned i = 0; i < cpus_n; i++) {
		code[i] = &loads[5 - points[i]];
		left[i] = points[i] + (i > 0); /* CPU 0's first part comes first */
		all += points[i];
	}
	sched_all_init(&a, preemptions, 0);
	do {
		assert_true(n < 20000);
		assert_int_equal(play(cpus_n, (1u << cpus_n) - 1u, code, NULL, &a.strategy),
				 SCHED_DONE);
		memcpy(order[n], w.order, ORDER_MAX);
		memcpy(access[n++], w.access, ORDER_MAX);
	} while (sched_all_next(&a));
	assert_false(a.truncated);
	assert_int_equal(a.runs_n, n);
	assert_int_equal(n, orders(left, cpus_n, 0, preemptions));
	assert_int_equal(distinct(order, n), n);
	accesses = factorial(all);
	for (unsigned i = 0; i < cpus_n; i++)
		accesses /= factorial(points[i]);
	if (preemptions == ~0u)
		assert_int_equal(distinct(access, n), accesses);
	sched_all_free(&a);
}

static void sched_all_is_every_order_once(void **state)
{
	(void)state;
	for (unsigned n = 0; n <= 5; n++)
		for (unsigned m = 0; m <= 5; m++) {
			unsigned left[] = { n, m + 1 };

			/* The brute force against the closed form. */
			assert_int_equal(orders(left, 2, 0, ~0u),
					 factorial(n + m + 1) / factorial(n) / factorial(m + 1));
			assert_all((unsigned[]){ n, m }, 2, ~0u);
			for (unsigned bound = 0; bound <= 3; bound++)
				assert_all((unsigned[]){ n, m }, 2, bound);
		}
	assert_all((unsigned[]){ 2, 2, 2 }, 3, ~0u);
	assert_all((unsigned[]){ 3, 1, 3 }, 3, ~0u);
	for (unsigned bound = 0; bound <= 3; bound++)
		assert_all((unsigned[]){ 3, 2, 4 }, 3, bound);
}

static unsigned runs_of_all(const struct step *code, unsigned stale_max)
{
	struct sched_all a;
	unsigned n = 0;

	sched_all_init(&a, ~0u, stale_max);
	do {
		play(1, 1, CODE(code), NULL, &a.strategy);
		n++;
	} while (sched_all_next(&a));
	sched_all_free(&a);
	return n;
}

static void sched_all_bounds_stale_reads_and_walks_all(void **state)
{
	const struct step *stale = LIST({ STALE, 0, 3 }, { STALE, 0, 3 }, { STALE, 0, 3 });

	(void)state;
	assert_int_equal(runs_of_all(stale, 0), 1);
	assert_int_equal(runs_of_all(stale, 1), 1 + 3 * 2);
	assert_int_equal(runs_of_all(stale, 2), 1 + 3 * 2 + 3 * 4);
	assert_int_equal(runs_of_all(stale, ~0u), 27);
	assert_int_equal(runs_of_all(LIST({ WALK, 0, 2 }, { WALK, 0, 5 }), 0), 10);
}

static void sched_all_tells_a_client_that_differs(void **state)
{
	const struct step *two = LIST({ WALK, 0, 3 }, { WALK, 0, 3 });
	const struct step *other[] = {
		LIST({ WALK, 0, 3 }),                  /* ends early */
		LIST({ WALK, 0, 2 }, { WALK, 0, 3 }),  /* other options */
		LIST({ STALE, 0, 3 }, { WALK, 0, 3 }), /* another kind */
	};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct sched_all a;

		sched_all_init(&a, ~0u, ~0u);
		play(1, 1, CODE(two), NULL, &a.strategy);
		assert_true(sched_all_next(&a));
		assert_false(a.truncated);
		play(1, 1, CODE(other[i]), NULL, &a.strategy);
		sched_all_next(&a);
		assert_true(a.truncated);
		sched_all_free(&a);
	}
}

/* ---- PCT ---- */

/// Runs where `word` ends as `value`, of so many by PCT.
static unsigned pct_finds(const struct step *const *code, unsigned depth, unsigned points,
			  uint32_t word, uint32_t value, unsigned runs_n)
{
	struct sched_pct p;
	unsigned found = 0;

	sched_pct_init(&p, 7, depth, points);
	for (unsigned i = 0; i < runs_n; i++) {
		assert_int_equal(play(3, 7, code, NULL, &p.strategy), SCHED_DONE);
		assert_true(s.steps <= points);
		found += w.word[word] == value;
	}
	return found;
}

static void assert_pct_finds(const struct step *const *code, unsigned depth, unsigned points,
			     uint32_t word, uint32_t value)
{
	unsigned found = pct_finds(code, depth, points, word, value, 20000);

	assert_true(found >= sched_pct_bound(3, points, depth) * 20000);
	if (depth > 1)
		assert_int_equal(pct_finds(code, depth - 1, points, word, value, 20000), 0);
}

static void sched_pct_keeps_its_bound(void **state)
{
	const struct step *padding = LIST({ MANY, 7, 3 });
	const struct step *increments = LIST({ LOAD, 0, 0 }, { ADD, 0, 1 });

	(void)state;
	/* 1: the reader comes before the writer, and copies 0 + 1. */
	assert_pct_finds(CODE(LIST({ STORE, 0, 5 }), LIST({ LOAD, 0, 0 }, { ADD, 1, 1 }), padding),
			 1, 6, 1, 1);
	/* 2: an increment is lost between the load and the store of another. */
	assert_pct_finds(CODE(increments, increments, padding), 2, 7, 0, 1);
	/* 3: 1 is seen, then 2: two CPUs must each fall between two steps. */
	assert_pct_finds(CODE(LIST({ STORE, 0, 1 }, { STORE, 0, 2 }),
			      LIST({ LOAD, 0, 0 }, { SKIP, 0, 0 }, { SKIP, 0, 2 }, { LOAD, 0, 0 },
				   { SKIP, 0, 1 }, { STORE, 1, 9 }),
			      padding),
			 3, 8, 1, 9);
	assert_true(sched_pct_bound(4, 100, 3) > 0.00001249);
	assert_true(sched_pct_bound(4, 100, 3) < 0.00001251);
}

static void sched_pct_fallen_go_on_in_either_order(void **state)
{
	/* The writer falls after its first store, then the reader between its two looks
	   at word 1; the reader must go on before the writer does. */
	const struct step *writer = LIST({ STORE, 0, 1 }, { STORE, 0, 2 });
	const struct step *reader = LIST({ LOAD, 0, 0 }, { SKIP, 0, 0 }, { LOAD, 1, 0 },
					 { SKIP, 0, 1 }, { LOAD, 1, 0 }, { SKIP, 0, 0 },
					 { LOAD, 0, 0 }, { SKIP, 0, 2 }, { STORE, 2, 9 });

	(void)state;
	assert_int_not_equal(
		pct_finds(CODE(writer, reader, LIST({ STORE, 1, 1 })), 3, 8, 2, 9, 20000), 0);
}

static void sched_pct_spinner_lets_others_go_on(void **state)
{
	const struct step *const code[] = { LIST({ WAIT, 0, 1 }),
					    LIST({ WAIT, 1, 1 }, { STORE, 0, 1 }),
					    LIST({ LOAD, 2, 0 }, { STORE, 1, 1 }) };
	struct sched_pct p;

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		sched_pct_init(&p, seed, 3, 30);
		assert_int_equal(play(3, 7, code, NULL, &p.strategy), SCHED_DONE);
		assert_true(s.steps < 100);
	}
}

static void sched_pct_spinner_falls_below_all(void **state)
{
	struct sched_pct p;
	unsigned spun = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++) {
		sched_pct_init(&p, seed, 1, 10);
		assert_int_equal(play(2, 3,
				      CODE(LIST({ WAIT, 0, 1 }),
					   LIST({ STORE, 0, 1 }, { LOAD, 1, 0 }, { LOAD, 1, 0 })),
				      NULL, &p.strategy),
				 SCHED_DONE);
		if (w.access[0] != 0)
			continue;
		spun++;
		assert_int_equal(w.access_n, 5);
		assert_memory_equal(w.access, ((uint8_t[]){ 0, 1, 1, 1, 0 }), 5);
	}
	assert_true(spun > 0 && spun < 50);
}

static void sched_pct_falls_at_every_spin(void **state)
{
	static const uint16_t option[3][2] = { { 1, 2 }, { 0, 2 }, { 0, 1 } };
	static const unsigned spins[] = { 0, 1, 0, 2, 0 };
	struct sched_key key = { 0, SCHED_SWITCH, 1, 1 };
	static struct sched looks;
	struct sched_pct p;

	(void)state;
	sched_pct_init(&p, 3, 1, 10);
	looks.cpus_n = 3;
	p.strategy.begin(&p.strategy, 3);
	for (unsigned i = 0; i < sizeof(spins) / sizeof(*spins); i++) {
		unsigned me = spins[i];

		looks.now = me;
		looks.cpu[me].state = SCHED_SPINS;
		p.strategy.choose(&p.strategy, &looks, &key, SCHED_AT_RELAX, option[me], 2);
		for (unsigned j = 0; j < 3; j++)
			assert_true(j == me || p.priority[me] < p.priority[j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sched_rows_repeat_what_random_and_pct_did),
		cmocka_unit_test(sched_rows_that_fit_nowhere_are_nothing),
		cmocka_unit_test(sched_rows_of_other_operations_are_nothing),
		cmocka_unit_test(sched_points_past_the_last_number_have_no_choice),
		cmocka_unit_test(sched_choices_beyond_the_list_are_told),
		cmocka_unit_test(sched_all_is_every_order_once),
		cmocka_unit_test(sched_all_bounds_stale_reads_and_walks_all),
		cmocka_unit_test(sched_all_tells_a_client_that_differs),
		cmocka_unit_test(sched_pct_keeps_its_bound),
		cmocka_unit_test(sched_pct_fallen_go_on_in_either_order),
		cmocka_unit_test(sched_pct_spinner_lets_others_go_on),
		cmocka_unit_test(sched_pct_spinner_falls_below_all),
		cmocka_unit_test(sched_pct_falls_at_every_spin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
#if __has_feature(thread_sanitizer)
#pragma clang attribute pop
#endif
