/* Regions: an order of the operations on whole ranges of one family of spaces.
 *
 * A depth-first search over sets of operations done, in copies of the windows that they
 * change. An operation may come next if all that ended before it began are done. One
 * that answers as the state has it and changes nothing is taken at once: whatever
 * order explains the rest still does with it in front, since it constrains nobody.
 * Others are tried in the order of their ends, which is the right one in nearly all
 * runs. What was tried in vain is kept as (set, state) and not tried again.
 *
 * I1  window[] is what the model says after the operations of `done`.
 * I2  Lives that no fork of `done` has made are all-zero and take part in no digest.
 */
#include <stdio.h>
#include <string.h>

#include "ops/text.h"
#include "run/linear_inner.h"

struct regions {
	struct linear *l;
	const struct linear_family *f;
	unsigned family;
	struct model_window *window; /* by rank of life, then by rank of window */
	uint8_t rank[OPS_WINDOWS];
	unsigned windows_n;
	unsigned breaks[SECTION_OPS_MAX + 1], regions[SECTION_OPS_MAX + 1]; /* by rank of life */
	uint32_t done, born;         /* operations; lives by rank */
	uint8_t order[SECTION_OPS_MAX];
	unsigned order_n, nodes;
	bool failed_once;
	/* Of the longest attempt: what could not come next, or what the end lacks. */
	int best;
	char best_why[160];
};

struct undo {
	unsigned life, breaks, regions;
	struct model_window *at; /* NULL: it was a fork of this life */
	struct model_window was;
};

static struct model_window *window_at(struct regions *r, unsigned life_rank, unsigned window)
{
	return &r->window[life_rank * r->windows_n + r->rank[window]];
}

static void start(struct regions *r, struct linear *l, unsigned family)
{
	const struct linear_family *f = &l->family[family];
	const struct model_space *s = l->m->space[family];

	*r = (struct regions){ .l = l, .f = f, .family = family, .born = 1, .best = -1 };
	for (unsigned w = 0; w < OPS_WINDOWS; w++)
		if (f->windows >> w & 1)
			r->rank[w] = (uint8_t)r->windows_n++;
	r->window = model_scratch(l->m, 1, (f->lives_n * r->windows_n + 1u) * sizeof(*r->window));
	for (unsigned w = 0; w < OPS_WINDOWS; w++)
		if (f->windows >> w & 1)
			*window_at(r, 0, w) = s->window[w];
	r->breaks[0] = s->break_pages;
	if (l->m->preset->region_max)
		r->regions[0] = model_space_regions(s);
}

static uint64_t state_key(const struct regions *r)
{
	uint64_t d = ops_fold(OPS_DIGEST_START, r->done);

	for (unsigned k = 0; k < r->f->lives_n; k++) {
		if (!(r->born >> k & 1))
			continue;
		d = ops_fold(d, (uint64_t)k << 32 | r->breaks[k]);
		for (unsigned w = 0; w < r->windows_n; w++) {
			const struct model_page *p = r->window[k * r->windows_n + w].page;

			for (unsigned i = 0; i < OPS_WINDOW_PAGES; i++)
				d = ops_fold(d, (uint64_t)p[i].mapped << 9 | p[i].head << 8 |
							p[i].prot);
		}
	}
	return d | 1;
}

/* ---- one operation ---- */

static enum op_result expected(struct regions *r, const struct linear_op *o)
{
	unsigned k = r->l->life[o->life].rank;

	if (o->op->code == OP_FORK || o->op->code == OP_EXIT)
		return RESULT_OK;
	return model_expect_change(r->l->m, window_at(r, k, model_window_of(o->op)), r->breaks[k],
				   r->regions[k], o->op, o->pages);
}

/* Does the answer agree with the state at hand? */
static bool explained(struct regions *r, const struct linear_op *o)
{
	const struct op_outcome *got = &o->end->out;
	enum op_result want = expected(r, o);

	if (got->value != 0)
		return false;
	if (got->result == want)
		return true;
	return got->result == RESULT_NOMEM && want == RESULT_OK && model_needs_memory(o->op) &&
	       (o->end->injected || o->may_lack);
}

static void act(struct regions *r, const struct linear_op *o, struct undo *u)
{
	unsigned k = r->l->life[o->life].rank, child;
	const struct body *m = r->l->m;

	if (o->op->code == OP_FORK) {
		child = r->l->life[o->child].rank;
		memcpy(&r->window[child * r->windows_n], &r->window[k * r->windows_n],
		       r->windows_n * sizeof(*r->window));
		r->breaks[child] = r->breaks[k];
		r->regions[child] = r->regions[k];
		r->born |= 1u << child;
		*u = (struct undo){ .life = child };
		return;
	}
	*u = (struct undo){ .life = k, .breaks = r->breaks[k], .regions = r->regions[k],
			    .at = window_at(r, k, model_window_of(o->op)) };
	u->was = *u->at;
	if (m->preset->region_max)
		r->regions[k] -= model_regions(u->at);
	model_change(m, u->at, o->op, o->pages, r->breaks[k]);
	if (m->preset->region_max)
		r->regions[k] += model_regions(u->at);
	if (o->op->code == OP_BREAK)
		r->breaks[k] = o->op->arg[1];
}

static void take_back(struct regions *r, const struct undo *u)
{
	if (!u->at) {
		r->born &= ~(1u << u->life);
		return;
	}
	*u->at = u->was;
	r->breaks[u->life] = u->breaks;
	r->regions[u->life] = u->regions;
}

/* ---- the end ---- */

static void tell(struct regions *r, unsigned done, const char *what)
{
	if ((int)done <= r->best)
		return;
	r->best = (int)done;
	snprintf(r->best_why, sizeof(r->best_why), "%s", what);
}

static const char *prot_text(bool mapped, unsigned prot)
{
	static const char *const text[8] = { "-", "r", "w", "rw", "x", "rx", "wx", "rwx" };

	return mapped ? text[prot & 7] : "unmapped";
}

static const struct model_page *page_at(struct regions *r, unsigned life, unsigned window,
					unsigned page)
{
	const struct linear_life *v = &r->l->life[life];

	if (r->f->windows >> window & 1)
		return &window_at(r, v->rank, window)->page[page];
	return &r->l->m->space[r->family]->window[window].page[page];
}

static bool page_fits(struct regions *r, const struct history_page *p)
{
	unsigned life = r->l->last_life[p->space];
	const struct model_page *want = page_at(r, life, p->window, p->page);
	bool heads = r->l->h->heads && r->l->m->preset->region_max;
	char line[120];

	if (want->mapped == p->mapped && (!p->mapped || want->prot == model_prot(p->prot)) &&
	    (!heads || !p->mapped || want->head == p->head))
		return true;
	snprintf(line, sizeof(line), "page p%u of w%u in s%u is %s%s, not %s%s", p->page,
		 p->window, p->space, prot_text(p->mapped, p->prot),
		 heads && p->mapped && p->head ? " from here" : "",
		 prot_text(want->mapped, want->prot), heads && want->head ? " from here" : "");
	tell(r, r->order_n, line);
	return false;
}

static bool end_fits(struct regions *r)
{
	const struct history *h = r->l->h;
	const struct linear *l = r->l;

	for (uint32_t i = 0; i < h->pages_n; i++) {
		const struct history_page *p = &h->page[i];

		if ((l->alive >> p->space & 1) &&
		    l->life[l->last_life[p->space]].family == r->family && !page_fits(r, p))
			return false;
	}
	return true;
}

/* ---- the search ---- */

static void tell_refused(struct regions *r, unsigned i)
{
	const struct linear_op *o = &r->l->op[i];
	enum op_result want = expected(r, o);
	char name[LINEAR_OP_BYTES], line[160];
	uint32_t got = o->end->out.result;

	if ((int)r->order_n <= r->best)
		return;
	snprintf(line, sizeof(line), "%s is %s, but the model says %s after %u of the others",
		 linear_name(r->l, i, name), ops_result_text[got < RESULT_N ? got : RESULT_ERROR],
		 ops_result_text[want], r->order_n);
	tell(r, r->order_n, line);
}

static bool may_come(const struct regions *r, unsigned i)
{
	return !(r->done >> i & 1) && (r->f->ops >> i & 1) &&
	       !(r->l->op[i].before & r->f->ops & ~r->done);
}

static void take(struct regions *r, unsigned i)
{
	r->done |= 1u << i;
	r->order[r->order_n++] = (uint8_t)i;
}

/* Takes what changes nothing and is explained, until there is no more. */
static void take_lookers(struct regions *r)
{
	bool more = true;

	while (more) {
		more = false;
		for (unsigned k = 0; k < r->l->by_end_n; k++) {
			unsigned i = r->l->by_end[k];

			if (!(r->f->effects >> i & 1) && may_come(r, i) &&
			    explained(r, &r->l->op[i])) {
				take(r, i);
				more = true;
			}
		}
	}
}

static bool search(struct regions *r);

/* Each operation that may come next, in turn. */
static bool try_each(struct regions *r)
{
	struct linear *l = r->l;
	struct undo u;

	for (unsigned k = 0; k < l->by_end_n; k++) {
		unsigned i = l->by_end[k];
		struct linear_op *o = &l->op[i];

		if (!may_come(r, i))
			continue;
		if (!explained(r, o) || !(r->f->effects >> i & 1)) {
			tell_refused(r, i);
			continue;
		}
		act(r, o, &u);
		take(r, i);
		if (search(r))
			return true;
		r->order_n--;
		r->done &= ~(1u << i);
		take_back(r, &u);
	}
	return false;
}

static bool search(struct regions *r)
{
	uint32_t done = r->done;
	unsigned order_n = r->order_n;
	uint64_t key;

	if (r->nodes++ >= LINEAR_BUDGET)
		return false;
	take_lookers(r);
	if (r->done == r->f->ops) {
		if (end_fits(r))
			return true;
	} else {
		key = r->failed_once ? state_key(r) : 0;
		if (!key || !linear_memo_has(r->l, key)) {
			if (try_each(r))
				return true;
			linear_memo_add(r->l, state_key(r));
		}
	}
	r->failed_once = true;
	r->done = done;
	r->order_n = order_n;
	return false;
}

static bool conflict(const struct regions *r)
{
	char list[80];
	unsigned at = 0;

	list[0] = 0;
	for (unsigned i = 0; i < r->l->n && at + 6 < sizeof(list); i++)
		if (r->f->ops >> i & 1)
			at += (unsigned)snprintf(list + at, sizeof(list) - at, " %u",
						 r->l->s->op[i].index);
	if (!r->f->ops)
		linear_say(r->l, "nothing changed s%u's regions, but at the end %s", r->family,
			   r->best_why);
	else
		linear_say(r->l, "no order of ops%s explains: %s", list, r->best_why);
	return false;
}

bool linear_regions(struct linear *l, unsigned family)
{
	struct regions r;

	start(&r, l, family);
	linear_memo_clear(l);
	if (!search(&r)) {
		if (r.nodes < LINEAR_BUDGET)
			return conflict(&r);
		l->unordered = true;
		for (unsigned k = 0; k < l->by_end_n; k++)
			if (r.f->ops >> l->by_end[k] & 1)
				l->order[l->order_n++] = l->by_end[k];
		return true;
	}
	memcpy(l->order + l->order_n, r.order, r.order_n);
	l->order_n += r.order_n;
	return true;
}
