/// The judge of concurrent sections, on random ones that have an order because they were
/// made by one.
#include "linear_fixture.h"

#include "ops/rng.h"

/* ---- random sections ----
 *
 * CPUs go on by single steps in a random order: a range operation takes the space's lock,
 * changes the regions (those of the model), then what each page allows, page by page, and
 * gives the lock back; a word is accessed at one step between its begin and its end,
 * without the lock. So each history has an order. */

#define CPUS 3u
#define OPS_EACH 3u
#define SCOPE_PAGES 3u
#define UNWRITTEN 250u /* no write has this pattern */

struct actor {
	unsigned op, ops_n, step, page; /* of the operation: which, of how many, how far */
	unsigned pages, word;
	uint32_t word_began;
	uint32_t event; /* of the operation */
	enum { IDLE, BEGUN, WORDS, LOCKED } state;
	unsigned was_break;
};

struct world {
	struct trial t;
	struct ops_rng rng;
	struct body *regions;         /* as the locks' holders have it */
	struct ops_names names;
	struct model_space *seen[OPS_SPACES];
	struct op op[CPUS][OPS_EACH];
	struct actor cpu[CPUS];
	int lock;                     /* the CPU that holds it; one for all spaces */
	uint32_t clock;
};

static uint32_t below(struct world *w, uint32_t n)
{
	return ops_rng_below(&w->rng, n);
}

static struct op random_op(struct world *w, unsigned cpu)
{
	static const uint8_t code[] = { OP_MAP, OP_UNMAP, OP_PROTECT, OP_BREAK, OP_READ, OP_WRITE,
					OP_READ, OP_WRITE, OP_FORK };
	static const uint8_t prot[] = { 3, 3, 1, 0 };
	struct op op = { .code = code[below(w, sizeof(code))] };
	unsigned page = below(w, SCOPE_PAGES), pages = 1 + below(w, SCOPE_PAGES - page);
	unsigned window = below(w, 4) ? 1 : OPS_HEAP_WINDOW;

	if (cpu == 0 && below(w, 3) == 0)
		op.arg[0] = 5; /* its own child, once it is forked */
	switch (op.code) {
	case OP_FORK:
		op.arg[0] = 0;
		op.arg[1] = 5 + (uint16_t)cpu;
		break;
	case OP_BREAK:
		op.arg[1] = (uint16_t)below(w, SCOPE_PAGES + 1);
		break;
	default:
		op.arg[1] = op.code == OP_MAP ? 1 : (uint16_t)window;
		op.arg[2] = (uint16_t)page;
		op.arg[3] = (uint16_t)pages;
		if (op.code == OP_WRITE)
			op.arg[4] = (uint16_t)below(w, 4);
		else if (op.code == OP_MAP || op.code == OP_PROTECT)
			op.arg[4] = prot[below(w, 4)];
	}
	return op;
}

static void begin_random(struct world *w, struct actor *a, unsigned cpu)
{
	struct trial *t = &w->t;
	struct op *op = &w->op[cpu][a->op];
	unsigned i = t->s.n++;
	bool skip = ops_names_skip(&w->names, op);

	t->s.op[i] = (struct section_op){ .op = *op, .index = i, .cpu = (uint8_t)cpu };
	a->event = t->h->n;
	*event(t) = (struct history_event){
		.begin = w->clock, .kind = HISTORY_OP, .cpu = (uint8_t)cpu, .op = (uint16_t)i,
		.out.result = skip ? RESULT_SKIP : RESULT_OK };
	a->pages = ops_range_pages(&w->names, op);
	a->page = op->arg[2];
	a->word = a->step = 0;
	a->state = BEGUN;
}

static void end_random(struct world *w, struct actor *a, unsigned cpu)
{
	struct history_event *e = &w->t.h->event[a->event];

	e->end = w->clock;
	ops_names_follow(&w->names, &w->op[cpu][a->op], (enum op_result)e->out.result);
	a->op++;
	a->state = IDLE;
}

static void step_word(struct world *w, struct actor *a, unsigned cpu)
{
	const struct op *op = &w->op[cpu][a->op];
	bool write = op->code == OP_WRITE;
	struct history_event *whole = &w->t.h->event[a->event], *e;
	struct model_page *p = &w->seen[op->arg[0]]->window[op->arg[1]].page[a->page];

	if (a->step == 0) {
		a->word_began = w->clock;
	} else if (a->step == 1) {
		e = event(&w->t);
		*e = (struct history_event){
			.begin = a->word_began, .kind = write ? HISTORY_WRITE : HISTORY_READ,
			.cpu = (uint8_t)cpu, .op = whole->op, .space = (uint8_t)op->arg[0],
			.window = (uint8_t)op->arg[1], .page = (uint8_t)a->page,
			.stamp = (uint8_t)a->word };
		a->word_began = w->t.h->n - 1;
		if (!model_may(p, write)) {
			e->out.result = whole->out.result = RESULT_SEGV;
		} else {
			if (write)
				p->content[a->word] = (uint16_t)(1 + op->arg[4]);
			e->out.value = model_stamp(p->content[a->word], op->arg[1], a->page,
						   a->word);
		}
	} else {
		w->t.h->event[a->word_began].end = w->clock;
		a->step = 0;
		if (++a->word == OPS_STAMPS) {
			a->word = 0;
			a->page++;
		}
		if (whole->out.result != RESULT_OK || a->page == op->arg[2] + a->pages)
			end_random(w, a, cpu);
		return;
	}
	a->step++;
}

/* Brings one page to what the regions say, as the operation does it. */
static void show_page(struct world *w, const struct op *op, unsigned was_break, unsigned page)
{
	unsigned window = model_window_of(op);
	struct model_page *to = &w->seen[op->arg[0]]->window[window].page[page];
	const struct model_page *from = &w->regions->space[op->arg[0]]->window[window].page[page];
	struct model_page old = *to;

	if (op->code == OP_BREAK && (page < was_break) == (page < op->arg[1]))
		return;
	*to = *from;
	memset(to->content, 0, sizeof(to->content));
	if (op->code == OP_PROTECT)
		memcpy(to->content, old.content, sizeof(old.content));
}

static void step_locked(struct world *w, struct actor *a, unsigned cpu)
{
	const struct op *op = &w->op[cpu][a->op];
	struct history_event *e = &w->t.h->event[a->event];
	unsigned pages = op->code == OP_BREAK ? SCOPE_PAGES : a->pages;
	unsigned first = op->code == OP_BREAK ? 0 : op->arg[2];

	if (op->code == OP_FORK)
		pages = 2 * SCOPE_PAGES;
	if (e->out.result != RESULT_OK || a->step == pages) {
		w->lock = -1;
		end_random(w, a, cpu);
		return;
	}
	if (op->code == OP_FORK) {
		unsigned window = a->step < SCOPE_PAGES ? 1 : OPS_HEAP_WINDOW;
		unsigned page = a->step % SCOPE_PAGES;

		w->seen[op->arg[1]]->window[window].page[page] =
			w->seen[op->arg[0]]->window[window].page[page];
	} else {
		show_page(w, op, a->was_break, first + a->step);
	}
	a->step++;
}

static bool step_cpu(struct world *w, unsigned cpu)
{
	struct actor *a = &w->cpu[cpu];
	const struct op *op = &w->op[cpu][a->op];
	struct op_outcome out;

	switch (a->state) {
	case IDLE:
		if (a->op == OPS_EACH)
			return false;
		begin_random(w, a, cpu);
		return true;
	case BEGUN:
		if (w->t.h->event[a->event].out.result == RESULT_SKIP) {
			end_random(w, a, cpu);
			return true;
		}
		if (op->code == OP_READ || op->code == OP_WRITE) {
			a->state = WORDS;
			return true;
		}
		if (w->lock >= 0)
			return false;
		w->lock = (int)cpu;
		a->was_break = w->regions->space[op->arg[0]]->break_pages;
		body_model.perform(w->regions, op, &w->names, &out);
		w->t.h->event[a->event].out = out;
		if (op->code == OP_FORK)
			w->seen[op->arg[1]] = calloc(1, sizeof(struct model_space));
		a->state = LOCKED;
		return true;
	case WORDS:
		step_word(w, a, cpu);
		return true;
	default:
		step_locked(w, a, cpu);
		return true;
	}
}

static void look_at_all(struct world *w)
{
	struct trial *t = &w->t;

	t->clock = w->clock + 1;
	for (unsigned s = 0; s < OPS_SPACES; s++)
		for (unsigned i = 0; w->regions->space[s] && i < 2 * SCOPE_PAGES; i++) {
			unsigned window = i < SCOPE_PAGES ? 1 : OPS_HEAP_WINDOW;
			unsigned p = i % SCOPE_PAGES;
			const struct model_page *at = &w->seen[s]->window[window].page[p];

			listed(t, s, window, p, at->mapped ? at->prot : UNMAPPED);
			look(t, s, window, p, ZERO);
			for (unsigned k = 0; k < OPS_STAMPS; k++) {
				struct history_event *e = &t->h->event[t->h->n - OPS_STAMPS + k];

				if (model_may(at, false))
					e->out.value = model_stamp(at->content[k], window, p, k);
				else
					e->out.result = RESULT_SEGV;
			}
		}
}

#define RANDOM_START "map s0 w1 p0 +2 rw; write s0 w1 p0 +1 v9; brk s0 =2; write s0 w11 p0 +2 v9"

static void begin_world(struct world *w, uint64_t seed)
{
	struct trial twin = begin(NULL, 0, RANDOM_START);

	memset(w, 0, sizeof(*w));
	w->t = begin(NULL, 0, RANDOM_START);
	w->names = w->t.names;
	w->regions = twin.m;
	free(twin.h);
	w->seen[0] = malloc(sizeof(struct model_space));
	*w->seen[0] = *w->regions->space[0];
	w->lock = -1;
	w->rng.state = seed;
	for (unsigned cpu = 0; cpu < CPUS; cpu++)
		for (unsigned i = 0; i < OPS_EACH; i++)
			w->op[cpu][i] = random_op(w, cpu);
	for (unsigned idle = 0; idle < 200; idle++) {
		w->clock++;
		if (step_cpu(w, below(w, CPUS)))
			idle = 0;
	}
	look_at_all(w);
}

static void end_world(struct world *w)
{
	struct finding f;

	for (unsigned s = 0; s < OPS_SPACES; s++)
		free(w->seen[s]);
	body_model.finish(w->regions, &f);
	end(&w->t);
}

static void want_same_pages(const struct world *w, uint64_t seed)
{
	for (unsigned s = 0; s < OPS_SPACES; s++) {
		assert_int_equal(w->t.m->space[s] != NULL, w->regions->space[s] != NULL);
		for (unsigned i = 0; w->regions->space[s] && i < 2 * SCOPE_PAGES; i++) {
			unsigned window = i < SCOPE_PAGES ? 1 : OPS_HEAP_WINDOW;
			unsigned p = i % SCOPE_PAGES;
			const struct model_page *a = page_of(&w->t, s, window, p);
			const struct model_page *b = &w->seen[s]->window[window].page[p];
			bool same = a->mapped == b->mapped && a->prot == b->prot;

			for (unsigned k = 0; k < OPS_STAMPS; k++)
				same &= a->content[k] == b->content[k] ||
					(a->content[k] == MODEL_UNSURE && !model_may(b, false));
			if (!same)
				fail_msg("seed %llu: s%u w%u p%u differs",
					 (unsigned long long)seed, s, window, p);
		}
	}
}

#define SEEDS 4000u

static void linear_random_section_is_explained(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		begin_world(&w, seed);
		if (!judge(&w.t))
			fail_msg("seed %llu: %s", (unsigned long long)seed, w.t.why);
		want_same_pages(&w, seed);
		end_world(&w);
	}
}

static void linear_random_section_with_a_foreign_value_is_refused(void **state)
{
	unsigned tried = 0;

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;
		struct history_event *e;

		begin_world(&w, seed);
		e = &w.t.h->event[below(&w, w.t.h->n)];
		if (e->kind == HISTORY_READ && e->out.result == RESULT_OK) {
			e->out.value = ops_stamp(UNWRITTEN, e->window, e->page, e->stamp);
			if (judge(&w.t))
				fail_msg("seed %llu: explained", (unsigned long long)seed);
			tried++;
		}
		end_world(&w);
	}
	assert_true(tried > SEEDS / 8);
}

static void linear_random_section_with_a_wrong_page_is_refused(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;
		struct history_page *p;

		begin_world(&w, seed);
		p = &w.t.h->page[below(&w, w.t.h->pages_n)];
		p->mapped = true;
		p->prot = 5; /* that nobody asked for */
		if (judge(&w.t))
			fail_msg("seed %llu: explained", (unsigned long long)seed);
		end_world(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linear_random_section_is_explained),
		cmocka_unit_test(linear_random_section_with_a_foreign_value_is_refused),
		cmocka_unit_test(linear_random_section_with_a_wrong_page_is_refused),
	};

	return cmocka_run_group_tests_name("linear_random", tests, NULL, NULL);
}
