/* The model is brought to where the body is, once all is explained.
 *
 * Counts of frames and objects follow the kernel operations in the order of their ends;
 * objects' frames rise to what all allocations together hold, since frees may have come
 * after them. Regions follow the orders found, interleaved so that real time holds
 * between families too: a number of a space may pass from one to another. Then the
 * stamps become what the words' explanations leave.
 *
 * I1  A page's `touched` never falls too low: an access of the section touches it in all
 *     of its family, and a child's page may have what its parent's had.
 */
#include <stdio.h>

#include "run/linear_inner.h"

/* ---- kernel operations ---- */

static void commit_kernel(struct linear *l, const struct ops_names *names)
{
	struct ops_names n = *names;
	uint64_t most = l->m->object_now;

	for (unsigned k = 0; k < l->by_end_n; k++) {
		const struct linear_op *o = &l->op[l->by_end[k]];

		if (ops_table[o->op->code].side == OP_KERNEL)
			model_follow(l->m, o->op, &n, &o->end->out);
		if (o->op->code == OP_OBJECT_ALLOC && o->end->out.result == RESULT_OK)
			most += model_object_frames(o->op->arg[1]);
		ops_names_follow(&n, o->op, (enum op_result)o->end->out.result);
	}
	if (most > l->m->object_frames)
		l->m->object_frames = most;
}

/* ---- regions ---- */

static void commit_order(struct linear *l)
{
	uint32_t pending = 0;

	for (unsigned k = 0; k < l->order_n; k++)
		pending |= 1u << l->order[k];
	while (pending) {
		uint32_t blocked = 0; /* families with an operation that has to wait */

		for (unsigned k = 0; k < l->order_n; k++) {
			unsigned i = l->order[k], family = l->life[l->op[i].life].family;
			const struct linear_op *o = &l->op[i];

			if (!(pending >> i & 1) || (blocked >> family & 1))
				continue;
			if (o->before & pending) {
				blocked |= 1u << family;
				continue;
			}
			if (l->family[family].effects >> i & 1)
				model_apply(l->m, o->op, o->pages);
			pending &= ~(1u << i);
		}
	}
}

/* What the search did not decide is taken as it is listed. */
static void commit_listed(struct linear *l)
{
	bool heads = l->h->heads && l->m->preset->region_max;

	for (uint32_t i = 0; l->unordered && i < l->h->pages_n; i++) {
		const struct history_page *p = &l->h->page[i];
		struct model_space *s = l->m->space[p->space];
		struct model_page *mine;

		if (!s)
			continue;
		mine = &s->window[p->window].page[p->page];
		if (!p->mapped) {
			model_unmap(&s->window[p->window], p->page, 1);
			continue;
		}
		if (!mine->mapped)
			model_map(&s->window[p->window], p->page, 1, model_prot(p->prot), false);
		mine->prot = model_prot(p->prot);
		if (heads)
			mine->head = p->head;
	}
}

/* ---- pages ---- */

static void note_touched(const struct linear *l, uint64_t touched[OPS_SPACES][OPS_WINDOWS])
{
	for (unsigned f = 0; f < OPS_SPACES; f++)
		for (unsigned w = 0; l->family[f].forks && w < OPS_WINDOWS; w++) {
			touched[f][w] = 0;
			for (unsigned p = 0; p < OPS_WINDOW_PAGES; p++)
				touched[f][w] |= (uint64_t)l->m->space[f]->window[w].page[p].touched
						 << p;
		}
}

static void commit_touched(struct linear *l, uint64_t touched[OPS_SPACES][OPS_WINDOWS])
{
	for (unsigned s = 0; s < OPS_SPACES; s++) {
		unsigned f = l->life[l->last_life[s]].family;

		if (!(l->alive >> s & 1) || !l->family[f].forks)
			continue;
		for (unsigned w = 0; w < OPS_WINDOWS; w++)
			for (unsigned p = 0; p < OPS_WINDOW_PAGES; p++) {
				struct model_page *at = &l->m->space[s]->window[w].page[p];

				at->touched |= at->mapped && (touched[f][w] >> p & 1);
			}
	}
}

static void commit_words(struct linear *l)
{
	for (uint32_t i = 0; i < l->results_n; i++) {
		const struct linear_result *r = &l->result[i];
		struct model_page *p = &l->m->space[r->space]->window[r->window].page[r->page];

		if (!p->mapped)
			continue;
		p->content[r->stamp] = r->content;
		p->touched |= r->touched;
	}
}

/* ---- a history that left words out ---- */

/* Pages of a family whose contents the section may have changed, a bit each. */
static void find_disturbed(const struct linear *l, unsigned family, uint64_t pages[OPS_WINDOWS])
{
	for (unsigned w = 0; w < OPS_WINDOWS; w++)
		pages[w] = 0;
	for (unsigned i = 0; i < l->n; i++) {
		const struct linear_op *o = &l->op[i];
		unsigned window, first = 0, n = OPS_WINDOW_PAGES;

		if (!o->end || ops_table[o->op->code].side != OP_USER || !l->m->preset->has_user ||
		    o->op->code == OP_FORK || o->op->code == OP_EXIT ||
		    l->life[o->life].family != family)
			continue;
		window = model_window_of(o->op);
		if (o->op->code != OP_BREAK) {
			first = o->op->code == OP_PLACE ? 0 : o->op->arg[2];
			n = o->pages;
		}
		for (unsigned p = first; p < first + n; p++)
			pages[window] |= 1ull << p;
	}
}

static const struct history_event *find_look(const struct linear *l, unsigned space,
					     unsigned window, unsigned page, unsigned stamp)
{
	for (uint32_t i = l->h->n; i-- > 0;) {
		const struct history_event *e = &l->h->event[i];

		if (e->kind != HISTORY_OP && e->cpu == HISTORY_NOBODY && e->space == space &&
		    e->window == window && e->page == page && e->stamp == stamp)
			return e;
	}
	return NULL;
}

static bool take_look(struct linear *l, unsigned space, unsigned window, unsigned page,
		      unsigned stamp)
{
	const struct history_event *e = find_look(l, space, window, page, stamp);
	struct model_page *p = &l->m->space[space]->window[window].page[page];

	p->touched = true;
	p->content[stamp] = MODEL_UNSURE;
	if (!e && model_may(p, false)) {
		linear_say(l, "page p%u of w%u in s%u, stamp %u: the history left it out, and "
			   "nobody looked at it in the end", page, window, space, stamp);
		return false;
	}
	if (!e || e->out.result != RESULT_OK)
		return true;
	for (unsigned c = 0; c <= 256; c++)
		if (model_stamp(c, window, page, stamp) == e->out.value) {
			p->content[stamp] = (uint16_t)c;
			return true;
		}
	linear_say(l, "page p%u of w%u in s%u, stamp %u: holds %016llx at the end, which nobody "
		   "wrote", page, window, space, stamp, (unsigned long long)e->out.value);
	return false;
}

static bool commit_looks(struct linear *l)
{
	for (unsigned s = 0; s < OPS_SPACES; s++) {
		uint64_t pages[OPS_WINDOWS];

		if (!(l->alive >> s & 1) || !l->m->space[s])
			continue;
		find_disturbed(l, l->life[l->last_life[s]].family, pages);
		for (unsigned i = 0; i < OPS_WINDOWS * OPS_WINDOW_PAGES * OPS_STAMPS; i++) {
			unsigned stamp = i % OPS_STAMPS, page = i / OPS_STAMPS % OPS_WINDOW_PAGES,
				 w = i / OPS_STAMPS / OPS_WINDOW_PAGES;

			if ((pages[w] >> page & 1) && l->m->space[s]->window[w].page[page].mapped &&
			    !take_look(l, s, w, page, stamp))
				return false;
		}
	}
	return true;
}

bool linear_commit(struct linear *l, const struct ops_names *names)
{
	uint64_t touched[OPS_SPACES][OPS_WINDOWS];

	note_touched(l, touched);
	commit_kernel(l, names);
	commit_order(l);
	commit_listed(l);
	commit_touched(l, touched);
	commit_words(l);
	return !l->h->overflow || commit_looks(l);
}
