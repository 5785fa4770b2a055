/* The judge of a concurrent section.
 *
 * What is asked: are there moments, one for each step between its begin and its end, at
 * which the steps, done one after the other by the model, answer as they did? What is
 * one step decides what is found, so:
 *
 *   An operation on a whole range (map, place, unmap, protect, brk, fork, exit) is one
 *   step for its answer and for the regions it leaves. linear_regions.c.
 *
 *   For contents and rights a word is a step: reads and writes are made of words, and a
 *   range operation reaches each word at a moment of its own. linear_words.c.
 *
 *   Frames and objects: each slot belongs to one CPU, so that there is nothing to order.
 *   That no frame is handed out twice is the ledger's and the blocks' own business.
 *
 * Each part is judged by itself. Linearizability is local: if each of several objects
 * has an order, then all together have one. So spaces that no fork of the section joins
 * are judged one by one, and the orders found are merged in the end (commit_order).
 *
 * Lack of memory: what others hold at the same time counts too. An operation may find no
 * memory where the model's bound before the section, all that the section's operations
 * demand and what caches hold in flight might leave no block (model/allow.c, I3).
 *
 * Names are replayed by the history's times: an operation's range is what the names meant
 * when it began. Each space has lives (linear_inner.h), since a number may be given to
 * another space within a section.
 *
 * I1  The model is changed only after everything is explained: on false it is as before
 *     (but where words were left out and not even a look at the end tells them).
 * I2  Afterwards its regions are those of an order that gives the pages listed, and
 *     its contents those looked at in the end.
 * I3  head[], chain and listed are back to empty when linear_judge returns.
 *
 * If words were left out of the history (overflow), answers and regions are judged all
 * the same; contents are taken from the looks at the end.
 *
 * Limit: a search that meets LINEAR_BUDGET sets is given up, and its part not judged;
 * three CPUs with ten operations each stay far below.
 * Sources: Herlihy & Wing 1990 (locality); Wing & Gong, Testing and verifying concurrent
 * objects, 1993, and Lowe 2017 (the search, and keeping what failed).
 */
#include "run/linear.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ops/text.h"
#include "run/body.h"
#include "run/linear_inner.h"

void linear_say(struct linear *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(l->why, l->why_bytes, format, args);
	va_end(args);
}

const char *linear_name(const struct linear *l, unsigned op, char *buf)
{
	char line[OPS_LINE_BYTES];

	ops_print(line, &l->s->op[op].op);
	snprintf(buf, LINEAR_OP_BYTES, "op %u on CPU %u (%.48s)", l->s->op[op].index,
		 l->s->op[op].cpu, line);
	return buf;
}

/* ---- sets of keys ---- */

static uint32_t memo_at(const struct linear_memo *m, uint64_t key)
{
	uint32_t i = (uint32_t)(key >> 20) % LINEAR_MEMO;

	while (m->key[i] && m->key[i] != key)
		i = (i + 1) % LINEAR_MEMO;
	return i;
}

bool linear_memo_has(struct linear *l, uint64_t key)
{
	return l->memo.n && l->memo.key[memo_at(&l->memo, key)] == key;
}

void linear_memo_add(struct linear *l, uint64_t key)
{
	struct linear_memo *m = &l->memo;
	uint32_t at;

	if (!m->key)
		m->key = model_scratch(l->m, 3, LINEAR_MEMO * sizeof(*m->key));
	if (m->n == LINEAR_MEMO / 2)
		linear_memo_clear(l);
	at = memo_at(m, key);
	if (m->key[at])
		return;
	m->key[at] = key;
	m->used[m->n++] = (uint16_t)at;
}

void linear_memo_clear(struct linear *l)
{
	while (l->memo.n)
		l->memo.key[l->memo.used[--l->memo.n]] = 0;
}

/* ---- what the history says of operations ---- */

static bool find_ends(struct linear *l)
{
	char name[LINEAR_OP_BYTES];
	uint32_t seen = 0;

	for (uint32_t i = 0; i < l->h->n; i++) {
		const struct history_event *e = &l->h->event[i];

		if (e->kind != HISTORY_OP || e->op >= l->n)
			continue;
		seen |= 1u << e->op;
		if (e->out.result != RESULT_SKIP)
			l->op[e->op].end = e;
	}
	for (unsigned i = 0; i < l->n; i++) {
		l->op[i].op = &l->s->op[i].op;
		if (!(seen >> i & 1) && !l->s->op[i].skip) {
			linear_say(l, "%s: the history doesn't say how it ended",
				   linear_name(l, i, name));
			return false;
		}
	}
	return true;
}

static void sort_by_end(struct linear *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		unsigned k = l->by_end_n;

		if (!l->op[i].end)
			continue;
		for (; k > 0 && l->op[l->by_end[k - 1]].end->end > l->op[i].end->end; k--)
			l->by_end[k] = l->by_end[k - 1];
		l->by_end[k] = (uint8_t)i;
		l->by_end_n++;
	}
	for (unsigned i = 0; i < l->n; i++)
		for (unsigned k = 0; l->op[i].end && k < l->by_end_n; k++) {
			unsigned other = l->by_end[k];

			if (l->op[other].end->end > l->op[i].end->begin)
				break;
			l->op[i].before |= 1u << other;
		}
}

/* ---- names and lives ---- */

static bool is_user(const struct linear_op *o)
{
	return ops_table[o->op->code].side == OP_USER;
}

static bool is_access(const struct linear_op *o)
{
	return o->op->code == OP_READ || o->op->code == OP_WRITE;
}

static bool is_ok(const struct linear_op *o)
{
	return o->end->out.result == RESULT_OK;
}

static uint64_t demand_of_others(const struct linear *l, unsigned op)
{
	uint64_t n = model_in_flight(l->m, model_order(l->op[op].op));

	for (unsigned i = 0; i < l->n; i++)
		if (l->op[i].end && i != op)
			n += model_demand(l->m, l->op[i].op);
	return n;
}

static bool begin_op(struct linear *l, unsigned i, const struct ops_names *n)
{
	struct linear_op *o = &l->op[i];
	char name[LINEAR_OP_BYTES];

	if (ops_names_skip(n, o->op)) {
		linear_say(l, "%s was done, though its names mean nothing",
			   linear_name(l, i, name));
		return false;
	}
	o->pages = ops_range_pages(n, o->op);
	if (is_user(o))
		o->life = l->last_life[o->op->arg[0]];
	if (o->end->out.result == RESULT_NOMEM && !o->end->injected)
		o->may_lack = model_may_lack(l->m, o->op, n, demand_of_others(l, i));
	return true;
}

static void end_op(struct linear *l, unsigned i, struct ops_names *n)
{
	struct linear_op *o = &l->op[i];

	if (o->op->code == OP_FORK && is_ok(o)) {
		unsigned child = l->lives_n++, family = l->life[o->life].family;
		struct linear_family *f = &l->family[family];

		l->life[child] = (struct linear_life){ (uint8_t)o->op->arg[1], (uint8_t)family,
						       (uint8_t)f->lives_n };
		f->life[f->lives_n++] = (uint8_t)child;
		f->forks |= 1u << i;
		l->last_life[o->op->arg[1]] = o->child = (uint8_t)child;
	}
	ops_names_follow(n, o->op, (enum op_result)o->end->out.result);
}

/* Goes through all begins and ends in the order of time. */
static bool replay(struct linear *l, const struct ops_names *names)
{
	struct ops_names n = *names;
	uint32_t begun = 0;
	unsigned ended = 0;

	for (unsigned i = 0; i < OPS_SPACES; i++) {
		l->life[i] = (struct linear_life){ (uint8_t)i, (uint8_t)i, 0 };
		l->last_life[i] = (uint8_t)i;
		l->family[i].lives_n = 1;
		l->family[i].life[0] = (uint8_t)i;
	}
	l->lives_n = OPS_SPACES;
	while (ended < l->by_end_n) {
		unsigned next = l->by_end[ended];
		uint32_t at = l->op[next].end->end;
		int begins = -1;

		for (unsigned i = 0; i < l->n; i++)
			if (l->op[i].end && !(begun >> i & 1) && l->op[i].end->begin < at) {
				begins = (int)i;
				at = l->op[i].end->begin;
			}
		if (begins >= 0) {
			begun |= 1u << begins;
			if (!begin_op(l, (unsigned)begins, &n))
				return false;
		} else {
			end_op(l, next, &n);
			ended++;
		}
	}
	l->alive = n.spaces;
	return true;
}

static void find_families(struct linear *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		const struct linear_op *o = &l->op[i];
		struct linear_family *f = &l->family[l->life[o->life].family];

		if (!o->end || !is_user(o) || is_access(o) || !l->m->preset->has_user)
			continue;
		f->ops |= 1u << i;
		if (is_ok(o))
			f->effects |= 1u << i;
		if (o->op->code != OP_FORK && o->op->code != OP_EXIT)
			f->windows |= 1u << model_window_of(o->op);
	}
}

/* ---- answers that need no order ---- */

static bool answer(struct linear *l, unsigned i)
{
	const struct linear_op *o = &l->op[i];
	enum op_result want = is_user(o) ? RESULT_OK : model_expect_kernel(o->op);
	uint32_t got = o->end->out.result;
	bool no_user = is_user(o) && !l->m->preset->has_user;
	char name[LINEAR_OP_BYTES];

	if (no_user)
		want = RESULT_UNSUPPORTED;
	else if (is_user(o) && !is_access(o))
		return true;
	if (got == want || (is_access(o) && !no_user && got == RESULT_SEGV))
		return true;
	if (want == RESULT_OK && got == RESULT_NOMEM && model_needs_memory(o->op)) {
		if (o->end->injected || o->may_lack)
			return true;
		linear_say(l, "%s: nomem, though at most %llu of %llu frames can be in use",
			   linear_name(l, i, name),
			   (unsigned long long)(model_frames_bound(l->m) +
						demand_of_others(l, i)),
			   (unsigned long long)l->m->frames_n);
		return false;
	}
	linear_say(l, "%s: %s, the model says %s", linear_name(l, i, name),
		   ops_result_text[got < RESULT_N ? got : RESULT_ERROR], ops_result_text[want]);
	return false;
}

static bool answers(struct linear *l)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->op[i].end && !answer(l, i))
			return false;
	return true;
}

/* ---- what it says of words ---- */

static void list_pages(struct linear *l, bool put)
{
	for (uint32_t i = 0; i < l->h->pages_n; i++) {
		const struct history_page *p = &l->h->page[i];

		l->listed[p->space][p->window][p->page] =
			put ? linear_listing(p->mapped, model_prot(p->prot)) : LINEAR_NOT_LISTED;
	}
}

/* A refusal or lack of memory is in the operation's answer too. A body may tell of a word
 * more than once, if it looks at it in more than one way. */
static bool count_words(struct linear *l, const uint32_t words[], const uint8_t worst[])
{
	char name[LINEAR_OP_BYTES];

	for (unsigned i = 0; i < l->n; i++) {
		const struct linear_op *o = &l->op[i];

		if (!o->end || !is_access(o) || o->end->out.result == RESULT_UNSUPPORTED ||
		    (worst[i] == o->end->out.result &&
		     (!is_ok(o) || words[i] >= o->pages * OPS_STAMPS)))
			continue;
		linear_say(l, "%s: %s, but of its %u words %u are told, the worst %s",
			   linear_name(l, i, name), ops_result_text[o->end->out.result],
			   o->pages * OPS_STAMPS, words[i], ops_result_text[worst[i]]);
		return false;
	}
	return true;
}

/* Chains each word's events, the first in front; so the last of l->word begins first. */
static bool index_words(struct linear *l)
{
	uint32_t words[SECTION_OPS_MAX] = { 0 };
	uint8_t worst[SECTION_OPS_MAX] = { 0 };

	for (uint32_t i = l->h->n; i-- > 0;) {
		const struct history_event *e = &l->h->event[i];
		unsigned family, key;

		if (e->kind == HISTORY_OP)
			continue;
		if (e->cpu != HISTORY_NOBODY) {
			if (e->op >= l->n || !l->op[e->op].end)
				continue;
			family = l->life[l->op[e->op].life].family;
			words[e->op]++;
			if (e->out.result > worst[e->op])
				worst[e->op] = (uint8_t)e->out.result;
		} else {
			if (!(l->alive >> e->space & 1))
				continue;
			family = l->life[l->last_life[e->space]].family;
		}
		key = (e->window * OPS_WINDOW_PAGES + e->page) * OPS_STAMPS + e->stamp;
		if (!l->head[family][key])
			l->word[l->words_n++] = family * LINEAR_SPACE_WORDS + key;
		l->chain[i] = l->head[family][key];
		l->head[family][key] = (uint16_t)(i + 1);
	}
	return count_words(l, words, worst);
}

static void forget_words(struct linear *l)
{
	for (unsigned i = 0; i < l->words_n; i++)
		l->head[l->word[i] / LINEAR_SPACE_WORDS][l->word[i] % LINEAR_SPACE_WORDS] = 0;
}

/* ---- the whole ---- */

static struct linear *begin(struct body *m, const struct section *s, const struct history *h,
			    char *why, size_t why_bytes)
{
	struct linear *l = model_scratch(m, 0, sizeof(*l));

	l->m = m;
	l->s = s;
	l->h = h;
	l->why = why;
	l->why_bytes = why_bytes;
	l->n = s->n;
	l->by_end_n = 0;
	l->order_n = 0;
	l->words_n = 0;
	l->results_n = 0;
	l->unordered = false;
	memset(l->op, 0, sizeof(l->op));
	memset(l->family, 0, sizeof(l->family));
	if (why_bytes)
		why[0] = 0;
	return l;
}

/* A page listed for a space that is dead by then. */
static bool list_is_alive(struct linear *l)
{
	for (uint32_t i = 0; i < l->h->pages_n; i++) {
		const struct history_page *p = &l->h->page[i];

		if (p->mapped && !(l->alive >> p->space & 1)) {
			linear_say(l, "s%u has exited, and page p%u of w%u is still listed",
				   p->space, p->page, p->window);
			return false;
		}
	}
	return true;
}

static bool judge_regions(struct linear *l)
{
	for (unsigned f = 0; f < OPS_SPACES; f++)
		if (l->m->space[f] && !linear_regions(l, f))
			return false;
	return true;
}

bool linear_judge(struct body *model, const struct section *s, const struct ops_names *names,
		  const struct history *h, char *why, size_t why_bytes)
{
	struct linear *l = begin(model, s, h, why, why_bytes);
	bool ok;

	if (!find_ends(l))
		return false;
	sort_by_end(l);
	if (!replay(l, names) || !answers(l))
		return false;
	find_families(l);
	list_pages(l, true);
	ok = (h->overflow || index_words(l)) && list_is_alive(l) && judge_regions(l) &&
	     (h->overflow || linear_words(l)) && linear_commit(l, names);
	forget_words(l);
	list_pages(l, false);
	return ok;
}
