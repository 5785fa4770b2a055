/* One word: an order of all that could change it or see it.
 *
 * The state is a cell for each life of the family: is the page mapped there, with which
 * protection, does the heap reach it, and what is the stamp. Steps are the accesses
 * of this word and the operations whose range covers its page. Most words have steps
 * that don't overlap: those are gone through in order. For the others a search as in
 * linear_regions.c: steps that only look are taken as soon as they are explained, others
 * in the order of their ends, and what failed is kept.
 *
 * I1  A step may come next only if all that ended before it began are done.
 * I2  Looks at the end come after all steps. One that read a word pins it, whatever the
 *     protection (a body may look beneath it); one that was refused says that nobody may
 *     read there; one without memory says nothing.
 * I3  An unsure stamp becomes what the first that reads it read.
 */
#include <stdio.h>
#include <string.h>

#include "run/linear_word.h"

/* The family's cells before the section; lives to be are all-zero. */
static void start_cells(struct linear_word *w)
{
	const struct model_space *s = w->l->m->space[w->family];
	const struct model_page *p = &s->window[w->window].page[w->page];

	memset(w->cell, 0, w->f->lives_n * sizeof(w->cell[0]));
	w->cell[0] = (struct linear_cell){ p->content[w->stamp], p->prot, p->mapped,
				    w->window == OPS_HEAP_WINDOW && w->page < s->break_pages };
	w->done = 0;
	w->failed_once = false;
	w->nodes = 0;
}

/* ---- steps ---- */

static bool may(const struct linear_cell *c, unsigned right)
{
	return c->mapped && (c->prot & right);
}

/* A change of the page. Returns whether it can happen now. */
static bool change(const struct linear_step *s, unsigned page, struct linear_cell *c)
{
	bool reaches;

	switch (s->op->code) {
	case OP_MAP:
	case OP_PLACE:
		c->content = MODEL_ZERO;
		c->mapped = true;
		c->prot = model_prot(s->op->arg[s->op->code == OP_MAP ? 4 : 3]);
		return true;
	case OP_UNMAP:
		*c = (struct linear_cell){ .in_heap = c->in_heap };
		return true;
	case OP_PROTECT:
		c->prot = model_prot(s->op->arg[4]);
		return c->mapped;
	default: /* OP_BREAK */
		reaches = page < s->op->arg[1];
		if (reaches != c->in_heap)
			*c = (struct linear_cell){ .in_heap = reaches, .mapped = reaches,
					    .prot = reaches ? model_prot(3) : 0 };
		return true;
	}
}

/* Does it look only, in this state, and is it explained? */
static bool looks(const struct linear_step *s, const struct linear_cell *c)
{
	unsigned right = s->kind == LINEAR_WRITE ? 2 : 1;

	if (s->kind > LINEAR_WRITE)
		return false;
	if (s->result == RESULT_SEGV)
		return !may(c, right);
	if (!may(c, right))
		return false;
	return s->result != RESULT_OK || (s->kind == LINEAR_READ && c->content == s->content);
}

/* Returns whether it can happen now, and does it. *changed: the cell that it changed. */
static bool act(struct linear_word *w, const struct linear_step *s, unsigned *changed)
{
	struct linear_cell *c = &w->cell[s->life];

	*changed = s->kind == LINEAR_FORK ? s->child : s->life;
	if (s->kind == LINEAR_FORK) {
		w->cell[s->child] = *c;
		return true;
	}
	if (s->kind == LINEAR_RANGE)
		return change(s, w->page, c);
	if (looks(s, c))
		return true;
	if (s->result != RESULT_OK || !may(c, s->kind == LINEAR_WRITE ? 2 : 1))
		return false;
	if (s->kind == LINEAR_READ &&
	    (c->content != MODEL_UNSURE || s->content == LINEAR_NO_CONTENT))
		return false;
	c->content = s->content;
	return true;
}

/* ---- the end ---- */

static bool end_fits(struct linear_word *w)
{
	struct linear *l = w->l;

	for (unsigned k = 0; k < w->f->lives_n; k++) {
		unsigned life = w->f->life[k], space = l->life[life].space;
		struct linear_cell *c = &w->cell[k];
		uint8_t listed;

		if (!(l->alive >> space & 1) || l->last_life[space] != life)
			continue;
		listed = l->listed[space][w->window][w->page];
		if (listed != LINEAR_NOT_LISTED && listed != linear_listing(c->mapped, c->prot))
			return false;
		if (w->pin[k] == LINEAR_NO_PIN)
			continue;
		if (w->pin[k] == LINEAR_PIN_REFUSED) {
			if (may(c, 1))
				return false;
			continue;
		}
		if (c->mapped && c->content == MODEL_UNSURE && w->pin[k] != LINEAR_NO_CONTENT)
			c->content = w->pin[k];
		if (!c->mapped || c->content != w->pin[k])
			return false;
	}
	return true;
}

/* ---- order ---- */

/* One after the other? Steps are in the order of their ends. */
static bool sequential(const struct linear_word *w)
{
	for (unsigned i = 1; i < w->n; i++)
		if (w->step[i].begin < w->step[i - 1].end)
			return false;
	return true;
}

static bool go_through(struct linear_word *w)
{
	unsigned changed;

	for (unsigned i = 0; i < w->n; i++)
		if (!act(w, &w->step[i], &changed))
			return false;
	return end_fits(w);
}

static void find_before(struct linear_word *w)
{
	for (unsigned i = 0; i < w->n; i++) {
		w->before[i] = 0;
		for (unsigned k = 0; k < w->n; k++)
			if (w->step[k].end < w->step[i].begin)
				w->before[i] |= 1ull << k;
	}
}

static uint64_t state_key(const struct linear_word *w)
{
	uint64_t d = ops_fold(OPS_DIGEST_START, w->done);

	for (unsigned k = 0; k < w->f->lives_n; k++)
		d = ops_fold(d, (uint64_t)w->cell[k].content << 16 | w->cell[k].prot << 8 |
					w->cell[k].mapped << 1 | w->cell[k].in_heap);
	return d | 1;
}

static uint64_t all_steps(const struct linear_word *w)
{
	return w->n == 64 ? ~0ull : (1ull << w->n) - 1;
}

static bool may_come(const struct linear_word *w, unsigned i)
{
	return !(w->done >> i & 1) && !(w->before[i] & ~w->done);
}

static void take_lookers(struct linear_word *w)
{
	bool more = true;

	while (more) {
		more = false;
		for (unsigned i = 0; i < w->n; i++)
			if (may_come(w, i) && looks(&w->step[i], &w->cell[w->step[i].life])) {
				w->done |= 1ull << i;
				more = true;
			}
	}
}

static bool search(struct linear_word *w);

static bool try_each(struct linear_word *w)
{
	for (unsigned i = 0; i < w->n; i++) {
		const struct linear_step *s = &w->step[i];
		unsigned changed = s->kind == LINEAR_FORK ? s->child : s->life;
		struct linear_cell was = w->cell[changed];
		uint64_t done = w->done;

		if (!may_come(w, i))
			continue;
		w->done |= 1ull << i;
		if (act(w, s, &changed) && search(w))
			return true;
		w->cell[changed] = was;
		w->done = done;
	}
	return false;
}

static bool search(struct linear_word *w)
{
	uint64_t done = w->done;
	uint64_t key;

	if (w->nodes++ >= LINEAR_BUDGET)
		return false;
	take_lookers(w);
	if (w->done == all_steps(w)) {
		struct linear_cell was[SECTION_OPS_MAX + 1];

		memcpy(was, w->cell, w->f->lives_n * sizeof(was[0]));
		if (end_fits(w))
			return true;
		memcpy(w->cell, was, w->f->lives_n * sizeof(was[0]));
	} else {
		key = w->failed_once ? state_key(w) : 0;
		if (!key || !linear_memo_has(w->l, key)) {
			if (try_each(w))
				return true;
			linear_memo_add(w->l, state_key(w));
		}
	}
	w->failed_once = true;
	w->done = done;
	return false;
}

bool linear_explain(struct linear_word *w, bool *searched)
{
	start_cells(w);
	*searched = !sequential(w);
	if (!*searched)
		return go_through(w);
	find_before(w);
	linear_memo_clear(w->l);
	return search(w);
}

/* ---- what is said ---- */

static unsigned say_value(char *at, size_t bytes, const struct linear_word *w, uint64_t value)
{
	if (value == 0)
		return (unsigned)snprintf(at, bytes, "zero");
	for (unsigned p = 0; p < 256; p++)
		if (value == ops_stamp(p, w->window, w->page, w->stamp))
			return (unsigned)snprintf(at, bytes, "v%u", p);
	return (unsigned)snprintf(at, bytes, "%016llx", (unsigned long long)value);
}

static unsigned say_step(char *at, size_t bytes, const struct linear_word *w,
			 const struct linear_step *s)
{
	const struct linear *l = w->l;
	unsigned n = (unsigned)snprintf(at, bytes, "op %u on CPU %u ", l->s->op[s->index].index,
					l->op[s->index].end->cpu);

	if (!s->access)
		return n + (unsigned)snprintf(at + n, bytes - n, "%s", ops_table[s->op->code].text);
	n += (unsigned)snprintf(at + n, bytes - n, "%s ",
				s->kind == LINEAR_WRITE ? "wrote" : "read");
	if (s->result != RESULT_OK)
		return n + (unsigned)snprintf(at + n, bytes - n, "%s", ops_result_text[s->result]);
	return n + say_value(at + n, bytes - n, w,
			     s->kind == LINEAR_WRITE ?
				     ops_stamp(s->op->arg[4], w->window, w->page, w->stamp) :
				     s->access->out.value);
}

static unsigned say_looks(char *at, size_t bytes, const struct linear_word *w, unsigned first)
{
	const struct linear *l = w->l;
	unsigned n = 0;

	for (unsigned c = first; c && n + 40 < bytes; c = l->chain[c - 1]) {
		const struct history_event *e = &l->h->event[c - 1];

		if (e->cpu != HISTORY_NOBODY)
			continue;
		n += (unsigned)snprintf(at + n, bytes - n, "; at the end s%u holds ", e->space);
		if (e->out.result == RESULT_OK)
			n += say_value(at + n, bytes - n, w, e->out.value);
		else
			n += (unsigned)snprintf(at + n, bytes - n, "nothing to read");
	}
	return n;
}

bool linear_unexplained(struct linear_word *w, unsigned first)
{
	char line[400];
	unsigned n = 0;

	line[0] = 0;
	for (unsigned i = 0; i < w->n && n + 60 < sizeof(line) - 120; i++) {
		n += (unsigned)snprintf(line + n, sizeof(line) - n, "%s", i ? "; " : "");
		n += say_step(line + n, sizeof(line) - n, w, &w->step[i]);
	}
	(void)say_looks(line + n, sizeof(line) - n, w, first);
	linear_say(w->l, "page p%u of w%u in s%u, stamp %u: no order explains: %s", w->page,
		   w->window, w->family, w->stamp, line[0] == ';' ? line + 2 : line);
	return false;
}
