/* Words: for each stamp of a page that was read, written or looked at, the steps that
 * could change it or see it, and what it holds in the end.
 *
 * A range takes effect page by page, so each word chooses a moment of its own for it,
 * within its interval; a fork copies the word at such a moment.
 *
 * I1  If no look pins what a page holds at the end, and several orders with different
 *     contents explain the rest, then the model's stamp becomes unsure. (Two writes at
 *     the same time, and then nobody may read the page.)
 * I2  A word without any event has a result only where a fork may have copied it before
 *     or after a change; elsewhere the order of regions says what it holds.
 *
 * Limit: a word is a partition of its own, so two words of a page that agree each on
 * another order of two overlapping ranges are not found. Their regions are judged whole.
 */
#include <string.h>

#include "run/linear_word.h"

/* ---- gathering ---- */

static uint16_t first_content(const struct linear_word *w)
{
	const struct model_space *s = w->l->m->space[w->family];

	return s->window[w->window].page[w->page].content[w->stamp];
}

/* The content that this value is, if anybody can have written it: a look-up among what
 * the page held and what its steps write, and, if that is unsure, among all. */
static uint16_t content_of(const struct linear_word *w, uint64_t value)
{
	uint16_t first = first_content(w);

	if (value == 0)
		return MODEL_ZERO;
	if (first != MODEL_UNSURE && first != MODEL_ZERO &&
	    value == model_stamp(first, w->window, w->page, w->stamp))
		return first;
	for (unsigned i = 0; i < w->n; i++)
		if (w->step[i].kind == LINEAR_WRITE &&
		    value == model_stamp(w->step[i].content, w->window, w->page, w->stamp))
			return w->step[i].content;
	for (unsigned c = 1; first == MODEL_UNSURE && c <= 256; c++)
		if (value == model_stamp(c, w->window, w->page, w->stamp))
			return (uint16_t)c;
	return LINEAR_NO_CONTENT;
}

/* Room for a step in the order of ends, in which they come nearly already. */
static struct linear_step *add_step(struct linear_word *w, uint32_t begin, uint32_t end)
{
	unsigned i = w->n++;

	for (; i > 0 && w->step[i - 1].end > end; i--)
		w->step[i] = w->step[i - 1];
	w->step[i].begin = begin;
	w->step[i].end = end;
	w->step[i].content = MODEL_ZERO;
	return &w->step[i];
}

static bool room(struct linear_word *w)
{
	return w->n < LINEAR_STEPS_MAX;
}

static void gather_accesses(struct linear_word *w, unsigned first)
{
	struct linear *l = w->l;

	for (unsigned c = first; c && room(w); c = l->chain[c - 1]) {
		const struct history_event *e = &l->h->event[c - 1];
		const struct linear_op *o;
		struct linear_step *s;

		if (e->cpu == HISTORY_NOBODY)
			continue;
		o = &l->op[e->op];
		s = add_step(w, e->begin, e->end);
		s->access = e;
		s->op = o->op;
		s->index = (uint8_t)e->op;
		s->result = (uint8_t)e->out.result;
		s->life = l->life[o->life].rank;
		s->kind = e->kind == HISTORY_WRITE ? LINEAR_WRITE : LINEAR_READ;
		if (s->kind == LINEAR_WRITE)
			s->content = (uint16_t)(1 + o->op->arg[4]);
		w->looked |= 1u << s->life;
	}
	for (unsigned i = 0; i < w->n; i++)
		if (w->step[i].kind == LINEAR_READ && w->step[i].result == RESULT_OK)
			w->step[i].content = content_of(w, w->step[i].access->out.value);
}

static void gather_ranges(struct linear_word *w)
{
	struct linear *l = w->l;
	uint32_t ops = l->cover[w->window][w->page] | w->f->forks;

	for (unsigned i = 0; ops && room(w); i++, ops >>= 1) {
		const struct linear_op *o = &l->op[i];
		struct linear_step *s;

		if (!(ops & 1))
			continue;
		s = add_step(w, o->end->begin, o->end->end);
		s->access = NULL;
		s->op = o->op;
		s->index = (uint8_t)i;
		s->result = RESULT_OK;
		s->life = l->life[o->life].rank;
		s->kind = LINEAR_RANGE;
		if (o->op->code == OP_FORK) {
			s->kind = LINEAR_FORK;
			s->child = l->life[o->child].rank;
		}
	}
}

static void gather_looks(struct linear_word *w, unsigned first)
{
	struct linear *l = w->l;

	for (unsigned c = first; c; c = l->chain[c - 1]) {
		const struct history_event *e = &l->h->event[c - 1];
		unsigned rank = l->life[l->last_life[e->space]].rank;

		if (e->cpu != HISTORY_NOBODY)
			continue;
		if (e->out.result == RESULT_OK) {
			w->pin[rank] = content_of(w, e->out.value);
			w->looked |= 1u << rank;
		} else if (e->out.result == RESULT_SEGV) {
			w->pin[rank] = LINEAR_PIN_REFUSED;
		}
	}
}

/* ---- results ---- */

static void keep(struct linear_word *w, unsigned rank, uint16_t content)
{
	struct linear *l = w->l;
	const struct linear_life *v = &l->life[w->f->life[rank]];

	if (l->results_n == l->results_room) {
		l->results_room = l->results_room ? 2 * l->results_room : 1024;
		l->result = model_scratch(l->m, 2, l->results_room * sizeof(*l->result));
	}
	l->result[l->results_n++] = (struct linear_result){
		.content = content, .space = v->space, .window = (uint8_t)w->window,
		.page = (uint8_t)w->page, .stamp = (uint8_t)w->stamp,
		.touched = w->looked != 0 };
}

/* Is there an explanation that leaves another content than the one found (I2)? */
static bool another(struct linear_word *w, unsigned rank, uint16_t found)
{
	bool is = false, searched;

	for (unsigned i = 0; i < w->n + 2 && !is; i++) {
		uint16_t c = i == w->n ? MODEL_ZERO : first_content(w);

		if (i < w->n)
			c = w->step[i].kind == LINEAR_WRITE ? w->step[i].content : found;
		if (c == found || c == MODEL_UNSURE)
			continue;
		w->pin[rank] = c;
		is = linear_explain(w, &searched);
	}
	w->pin[rank] = LINEAR_NO_PIN;
	return is;
}

static void keep_all(struct linear_word *w, bool searched)
{
	struct linear_cell end[SECTION_OPS_MAX + 1];
	const struct linear *l = w->l;

	memcpy(end, w->cell, w->f->lives_n * sizeof(end[0]));
	for (unsigned k = 0; k < w->f->lives_n; k++) {
		unsigned life = w->f->life[k], space = l->life[life].space;
		uint16_t content = end[k].content;

		if (!(l->alive >> space & 1) || l->last_life[space] != life || !end[k].mapped)
			continue;
		if (searched && w->pin[k] >= LINEAR_PIN_REFUSED && content != MODEL_UNSURE) {
			bool refused = w->pin[k] == LINEAR_PIN_REFUSED;

			if (another(w, k, content))
				content = MODEL_UNSURE;
			w->pin[k] = refused ? LINEAR_PIN_REFUSED : LINEAR_NO_PIN;
		}
		keep(w, k, content);
	}
}

/* The search was given up: what was looked at is known, the rest unsure. */
static void keep_looks(struct linear_word *w)
{
	for (unsigned k = 0; k < w->f->lives_n; k++) {
		unsigned life = w->f->life[k], space = w->l->life[life].space;

		if ((w->l->alive >> space & 1) && w->l->last_life[space] == life)
			keep(w, k, w->pin[k] < LINEAR_PIN_REFUSED ? w->pin[k] : MODEL_UNSURE);
	}
}

static bool judge(struct linear_word *w, unsigned first)
{
	bool searched;

	w->n = 0;
	w->looked = 0;
	for (unsigned k = 0; k < w->f->lives_n; k++)
		w->pin[k] = LINEAR_NO_PIN;
	gather_accesses(w, first);
	gather_ranges(w);
	gather_looks(w, first);
	if (linear_explain(w, &searched))
		keep_all(w, searched);
	else if (w->nodes < LINEAR_BUDGET && room(w))
		return linear_unexplained(w, first);
	else
		keep_looks(w);
	return true;
}

/* ---- all words ---- */

static void cover_pages(struct linear *l, const struct linear_family *f)
{
	memset(l->cover, 0, sizeof(l->cover));
	for (unsigned i = 0; i < l->n; i++) {
		const struct linear_op *o = &l->op[i];
		unsigned window, first, pages;

		if (!(f->effects >> i & 1) || o->op->code == OP_FORK || o->op->code == OP_EXIT)
			continue;
		window = model_window_of(o->op);
		first = o->op->code == OP_PLACE || o->op->code == OP_BREAK ? 0 : o->op->arg[2];
		pages = o->op->code == OP_BREAK ? OPS_WINDOW_PAGES : o->pages;
		for (unsigned p = first; p < first + pages; p++)
			l->cover[window][p] |= 1u << i;
	}
}

/* Pages that changed and that nobody looked at: a fork may have copied them before or
 * after. */
static bool judge_unseen(struct linear *l, struct linear_word *w)
{
	for (unsigned window = 0; window < OPS_WINDOWS; window++)
		for (unsigned p = 0; (w->f->windows >> window & 1) && p < OPS_WINDOW_PAGES; p++)
			for (unsigned i = 0; l->cover[window][p] && i < OPS_STAMPS; i++) {
				unsigned key = (window * OPS_WINDOW_PAGES + p) * OPS_STAMPS + i;

				if (l->head[w->family][key])
					continue;
				w->window = window;
				w->page = p;
				w->stamp = i;
				if (!judge(w, 0))
					return false;
			}
	return true;
}

bool linear_words(struct linear *l)
{
	struct linear_word w;
	int family = -1;
	bool ok = true;

	w.l = l;
	for (unsigned i = l->words_n; i-- > 0 && ok;) {
		unsigned key = l->word[i] % LINEAR_SPACE_WORDS;

		w.family = l->word[i] / LINEAR_SPACE_WORDS;
		w.f = &l->family[w.family];
		if ((int)w.family != family)
			cover_pages(l, w.f);
		family = (int)w.family;
		w.stamp = key % OPS_STAMPS;
		w.page = key / OPS_STAMPS % OPS_WINDOW_PAGES;
		w.window = key / OPS_STAMPS / OPS_WINDOW_PAGES;
		ok = judge(&w, l->head[w.family][key]);
	}
	for (unsigned f = 0; f < OPS_SPACES && ok; f++) {
		w.family = f;
		w.f = &l->family[f];
		if (!w.f->forks || !(w.f->effects & ~w.f->forks))
			continue;
		cover_pages(l, w.f);
		ok = judge_unseen(l, &w);
	}
	return ok;
}
