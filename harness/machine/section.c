/// Several CPUs perform operations at once.
///
/// Each CPU with operations performs them in order, on its fiber (crew.c); those marked
/// `interrupt` are performed by interrupt handlers of their CPU, one an interrupt, which
/// are pending from the start, so that the strategy says when they come in. A handler's
/// points count for its own operation; the one that it interrupts goes on afterwards with
/// the numbers it had.
///
/// What is checked operation by operation elsewhere can't be where others change the
/// state meanwhile: that a failed operation changed nothing, that a second free is
/// refused, that a failed allocation had nothing to find, that a page which a write brought in
/// kept its rest. Instead everything is written down with the time it began and ended: whole
/// operations, and within reads and writes each word, the kernel's own accesses too. After
/// the last CPU came to its end every word that the section may have written is read once
/// more, and kmm is asked which of these pages are mapped.
///
/// A failure armed for an operation may fire in a handler that interrupts it: both
/// count as injected then. An operation that interrupts one with a failure armed doesn't
/// get its own.
///
/// Limits: walkers look at the first and last page of each operation's range only.
#include "run/section.h"

#include "machine/body_sim.h"
#include "port/port.h"
#include "run/history.h"

/// A CPU's two levels: its operations in order, and its interrupts'.
struct section_cpu {
	struct perform_turn turn[2];
	const struct perform_turn *now; /* NULL: it idles */
	unsigned op;                    /* the one it performs */
	unsigned interrupts_at;         /* where to look for the next one to interrupt */
};

struct sim_section {
	struct body *b;
	const struct section *s;
	struct ops_names *names;
	struct sched *run;
	struct sched_strategy *strategy;
	struct history *h;
	uint32_t time;
	struct section_cpu cpu[MACHINE_CPUS_MAX];
	uint64_t named[OPS_SPACES][OPS_WINDOWS]; /* pages, a bit each */
};

/* ---- history ---- */

/// Ends an event that began at e->begin.
static void happened(struct sim_section *x, struct history_event *e)
{
	struct history *h = x->h;

	e->end = x->time++;
	if (h->n == HISTORY_EVENTS_MAX)
		h->overflow = true;
	else
		h->event[h->n++] = *e;
}

static uint8_t stamp_of(uint64_t va)
{
	uint8_t i = 0;

	while (i < OPS_STAMPS - 1u && ops_stamp_offset[i] != va % KMM_PAGE_BYTES)
		i++;
	return i;
}

/// An event of one word, which begins now.
static struct history_event word_event(struct sim_section *x, unsigned cpu, uint64_t va, bool write)
{
	const struct section_cpu *c = &x->cpu[cpu];
	const struct op *op = &x->s->op[c->op].op;
	uint64_t base = perform_window(&x->b->p, op->arg[0], op->arg[1]);

	return (struct history_event){
		.begin = x->time++,
		.kind = write ? HISTORY_WRITE : HISTORY_READ,
		.cpu = (uint8_t)cpu,
		.op = (uint16_t)c->op,
		.space = (uint8_t)op->arg[0],
		.window = (uint8_t)op->arg[1],
		.page = (uint8_t)((va - base) >> KMM_PAGE_LG2),
		.stamp = stamp_of(va),
	};
}

enum op_result sim_section_access(struct sim_section *x, struct kmm_space *s, uint64_t va,
				  enum kmm_access access, uint64_t *word)
{
	unsigned cpu = machine_cpu(&x->b->m.port);
	bool write = access == KMM_ACCESS_WRITE;
	struct history_event e = word_event(x, cpu, va, write);
	enum op_result r = RESULT_OK;

	if (!write || !sim_kernel_writes(x->b, x->cpu[cpu].now->fail_armed, s, va, word))
		r = machine_access(&x->b->m, s, va, access, word);
	e.out = (struct op_outcome){ r, r == RESULT_OK ? *word : 0 };
	happened(x, &e);
	if (write || r != RESULT_OK || !sim_kernel_reads_here(va))
		return r;
	e = word_event(x, cpu, va, false);
	/* A refusal doesn't say why: it tells nothing. */
	if (sim_kernel_reads(x->b, s, va, &e.out.value)) {
		e.out.result = RESULT_OK;
		happened(x, &e);
	}
	return r;
}

/* ---- performing ---- */

/// What happened on this CPU since event `first` happened under an injected failure.
static void mark_injected(struct sim_section *x, unsigned cpu, uint32_t first)
{
	for (uint32_t i = first; i < x->h->n; i++)
		if (x->h->event[i].cpu == cpu && x->h->event[i].kind == HISTORY_OP)
			x->h->event[i].injected = true;
}

static void perform_op(struct sim_section *x, unsigned cpu, unsigned i, bool may_arm)
{
	const struct section_op *so = &x->s->op[i];
	struct section_cpu *c = &x->cpu[cpu], was = *c;
	struct perform_turn *turn = &c->turn[so->interrupt];
	struct history_event e = { .begin = x->time++, .kind = HISTORY_OP, .cpu = (uint8_t)cpu,
				   .op = (uint16_t)i, .out = { RESULT_SKIP, 0 } };
	uint32_t first = x->h->n;

	sched_op(sched_on, (uint16_t)i);
	c->now = turn;
	c->op = i;
	turn->injected = false;
	if (!so->skip && !ops_names_skip(x->names, &so->op)) {
		turn->fail_next = so->fails && may_arm;
		turn->fail_class = (enum kmm_fail_class)so->fail_class;
		turn->fail_kth = so->fail_kth;
		perform_turn(&x->b->p, turn, &so->op, x->names, &e.out);
		ops_names_follow(x->names, &so->op, (enum op_result)e.out.result);
	}
	c->now = was.now;
	c->op = was.op;
	e.injected = turn->injected;
	if (turn->injected)
		mark_injected(x, cpu, first);
	happened(x, &e);
}

static void work(void *ctx, unsigned cpu)
{
	struct sim_section *x = ctx;

	for (unsigned i = 0; i < x->s->n; i++)
		if (x->s->op[i].cpu == cpu && !x->s->op[i].interrupt)
			perform_op(x, cpu, i, true);
}

static bool interrupts(void *ctx, unsigned cpu)
{
	struct sim_section *x = ctx;
	unsigned *i = &x->cpu[cpu].interrupts_at;

	while (*i < x->s->n && (x->s->op[*i].cpu != cpu || !x->s->op[*i].interrupt))
		++*i;
	return *i < x->s->n;
}

static void interrupt(void *ctx, unsigned cpu)
{
	struct sim_section *x = ctx;
	struct section_cpu *c = &x->cpu[cpu];
	struct sched_cpu *s = &sched_on->cpu[cpu], was = *s;

	perform_op(x, cpu, c->interrupts_at++, !c->now || !c->now->fail_armed);
	s->op = was.op;
	s->point = was.point;
	s->chosen = was.chosen;
}

/* ---- pages that the section names ---- */

/// The pages that an operation's range may have: first and end. Empty: none.
static void range_of(const struct ops_names *n, const struct op *op, unsigned *window,
		     unsigned *first, unsigned *end)
{
	*window = op->arg[1];
	*first = op->arg[2];
	switch (op->code) {
	case OP_MAP:
	case OP_UNMAP:
	case OP_PROTECT:
	case OP_READ:
	case OP_WRITE:
		*end = *first + ops_range_pages(n, op);
		break;
	case OP_PLACE:
		*window = OPS_FIXED_WINDOWS + op->arg[1];
		*first = 0;
		*end = op->arg[2];
		break;
	case OP_BREAK: /* whatever the break was before */
		*window = OPS_HEAP_WINDOW;
		*first = 0;
		*end = OPS_WINDOW_PAGES;
		break;
	default:
		*first = *end = 0;
		break;
	}
}

static void name_pages(struct sim_section *x, const struct op *op)
{
	unsigned window, first, end;

	range_of(x->names, op, &window, &first, &end);
	for (unsigned page = first; page < end; page++)
		x->named[op->arg[0]][window] |= 1ull << page;
}

/// A child has its parent's pages, whichever of them were there when it was made.
static void name_inherited(struct sim_section *x, const struct op *op)
{
	if (op->code != OP_FORK)
		return;
	for (unsigned w = 0; w < OPS_WINDOWS; w++)
		x->named[op->arg[1]][w] |= x->named[op->arg[0]][w];
}

static void name_targets(struct sim_section *x, const struct op *op)
{
	unsigned window, first, end;
	uint64_t base;

	range_of(x->names, op, &window, &first, &end);
	base = first < end ? perform_window(&x->b->p, op->arg[0], window) : 0;
	if (base == 0)
		return;
	(void)crew_target(&x->b->m.crew, base + first * KMM_PAGE_BYTES);
	(void)crew_target(&x->b->m.crew, base + (end - 1u) * KMM_PAGE_BYTES);
}

static void each_user_op(struct sim_section *x,
			 void (*fn)(struct sim_section *x, const struct op *op))
{
	for (unsigned i = 0; i < x->s->n; i++)
		if (!x->s->op[i].skip && ops_table[x->s->op[i].op.code].side == OP_USER)
			fn(x, &x->s->op[i].op);
}

/* ---- afterwards ---- */

struct region_search {
	uint64_t va;
	struct history_page *page;
};

static bool in_region(void *ctx, struct kmm_va start, struct kmm_va end, unsigned prot)
{
	struct region_search *r = ctx;

	if (r->va < start.a || r->va >= end.a)
		return true;
	r->page->mapped = true;
	r->page->head = start.a == r->va;
	r->page->prot = (uint8_t)prot;
	return false;
}

static void list_page(struct sim_section *x, const struct history_page *name, uint64_t va)
{
	struct history *h = x->h;
	struct region_search r = { va, &h->page[h->pages_n] };

	if (h->pages_n == sizeof(h->page) / sizeof(*h->page)) {
		h->overflow = true;
		return;
	}
	*r.page = *name;
	kmm_space_regions(x->b->p.space[name->space], in_region, &r);
	h->pages_n++;
}

static void read_page(struct sim_section *x, const struct history_page *name, uint64_t va)
{
	for (uint8_t i = 0; i < OPS_STAMPS; i++) {
		struct history_event e = { .begin = x->time++, .kind = HISTORY_READ,
					   .cpu = HISTORY_NOBODY, .op = SECTION_IDLE,
					   .space = name->space, .window = name->window,
					   .page = name->page, .stamp = i };
		uint64_t word = 0;

		e.out.result = machine_access(&x->b->m, x->b->p.space[name->space],
					      va + ops_stamp_offset[i], KMM_ACCESS_READ, &word);
		e.out.value = e.out.result == RESULT_OK ? word : 0;
		happened(x, &e);
	}
}

static void look_at_window(struct sim_section *x, unsigned space, unsigned window)
{
	uint64_t base = perform_window(&x->b->p, space, window);
	unsigned pages = base ? ops_window_pages(x->names, space, window) : 0;

	for (unsigned page = 0; page < pages; page++) {
		struct history_page name = { .space = (uint8_t)space, .window = (uint8_t)window,
					     .page = (uint8_t)page };

		if (!(x->named[space][window] >> page & 1u))
			continue;
		list_page(x, &name, base + page * KMM_PAGE_BYTES);
		read_page(x, &name, base + page * KMM_PAGE_BYTES);
	}
}

/// What there is now, seen by CPU 0.
static void look_afterwards(struct sim_section *x)
{
	machine_switch(&x->b->m, 0);
	each_user_op(x, name_pages); /* placed windows that are bound now */
	for (unsigned i = 0; i < OPS_SPACES; i++) /* of children's children too */
		each_user_op(x, name_inherited);
	for (unsigned space = 0; space < OPS_SPACES; space++) {
		if (!(x->names->spaces >> space & 1u) || !x->b->p.space[space])
			continue;
		kmm_space_activate(x->b->m.kmm, x->b->p.space[space]);
		for (unsigned window = 0; window < OPS_WINDOWS; window++)
			look_at_window(x, space, window);
	}
}

static void together(void *ctx)
{
	struct sim_section *x = ctx;
	struct body *b = x->b;
	const struct crew_work crew = { x, work, interrupts, interrupt };

	each_user_op(x, name_pages);
	each_user_op(x, name_targets);
	b->section = x;
	b->p.together = true;
	crew_run(&b->m, x->run, x->s->busy, x->strategy, &crew);
	b->section = NULL;
	b->p.together = false;
	if (!b->m.dead)
		look_afterwards(x);
}

void sim_together(struct body *b, const struct section *s, struct ops_names *names,
		  struct sched *run, struct sched_strategy *strategy, struct history *h)
{
	struct sim_section x = { .b = b, .s = s, .names = names, .run = run,
				 .strategy = strategy, .h = h };

	h->n = h->pages_n = 0;
	h->overflow = false;
	h->heads = true;
	run->choices_n = 0;
	run->overflow = false;
	(void)machine_guard(&b->m, together, &x);
	b->section = NULL;
	b->p.together = false;
	b->digest_valid = false;
	b->p.turn.last_code = OP_N;
	names->cpu = s->cpu_last;
	if (!b->m.dead)
		machine_switch(&b->m, s->cpu_last % b->m.o.cpus_n);
}
