/* The reference model.
 *
 * State: for each living space an array of pages by window; which slots are taken
 * stands in the names that every call brings. An operation has one expected outcome
 * (expect_*), given enough memory; it is applied by apply_* only if it came true.
 *
 * Out of memory is allowed instead of success where a failure was injected, or where
 * the frames that could be in use at the very most (I1) may leave no free block of the
 * order needed (I2). A preset's declared limits are exact: no tolerance there.
 *
 * I1  model_frames_bound >= frames in use in any correct body: each page touched in
 *     each space counts as a frame of its own, though forks share them; each space
 *     has TABLES frames for tables and its own record; each region, object and cached
 *     frame counts in full.
 * I2  With u frames in use, scattered at worst, a free block of 2^o frames must exist
 *     while u * 2^o < frames.
 * I3  After an error other than a refused read or write nothing has changed. A write
 *     that was refused at a page has written those before it.
 */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmm/preset.h>

#include "model/space.h"

#define TABLES 56u       /* tables of 12 windows on two lines each, root, record */
#define OBJECT_ORDER 3u  /* largest block behind an object, region or space record */
#define SLACK 96u        /* per instance: slabs of the unit's own, zero frame, metadata */

struct body {
	struct model_space *space[OPS_SPACES]; /* NULL: dead */
	const struct kmm_preset *preset;
	uint64_t frames_n, cpus_n;
	uint64_t slot_frames;   /* frames in frame slots */
	uint64_t object_frames; /* the most that objects ever held: slabs may stay */
	uint64_t object_now;
};

static const char *model_start(struct body **out, const struct body_options *o)
{
	const struct kmm_preset *preset = kmm_preset_find(o->preset ? o->preset : "pagemill");
	struct body *m = calloc(1, sizeof(*m));

	if (!m || !preset) {
		free(m);
		return preset ? "model: out of memory" : "model: unknown preset";
	}
	m->preset = preset;
	m->frames_n = o->frames_n ? o->frames_n : 4096;
	m->cpus_n = o->cpus_n ? o->cpus_n : 2;
	m->space[0] = calloc(1, sizeof(*m->space[0]));
	if (!m->space[0]) {
		free(m);
		return "model: out of memory";
	}
	*out = m;
	return NULL;
}

/* ---- expectation ---- */

static bool joins(const struct body *m, unsigned window)
{
	return m->preset->region_merges || window == OPS_HEAP_WINDOW;
}

static unsigned space_regions(const struct model_space *s)
{
	unsigned n = 0;

	for (unsigned w = 0; w < OPS_WINDOWS; w++)
		n += model_regions(&s->window[w]);
	return n;
}

/* Changes a window as the operation says; the caller knows that it may. */
static void change(const struct body *m, struct model_window *w, unsigned window,
		   const struct op *op, unsigned pages, unsigned break_pages)
{
	unsigned page = op->arg[2];

	switch (op->code) {
	case OP_MAP:
		model_map(w, page, pages, model_prot(op->arg[4]), joins(m, window));
		break;
	case OP_PLACE:
		model_map(w, 0, pages, model_prot(op->arg[3]), joins(m, window));
		break;
	case OP_UNMAP:
		model_unmap(w, page, pages);
		break;
	case OP_PROTECT:
		model_protect(w, page, pages, model_prot(op->arg[4]), joins(m, window));
		break;
	case OP_BREAK:
		if (op->arg[1] > break_pages)
			model_map(w, break_pages, op->arg[1] - break_pages, model_prot(3), true);
		else
			model_unmap(w, op->arg[1], break_pages - op->arg[1]);
		break;
	default:
		break;
	}
}

static unsigned window_of(const struct op *op)
{
	return op->code == OP_BREAK ? OPS_HEAP_WINDOW :
	       op->code == OP_PLACE ? OPS_FIXED_WINDOWS + op->arg[1] : op->arg[1];
}

static enum op_result expect_change(const struct body *m, const struct op *op,
				    const struct ops_names *n)
{
	const struct model_space *s = m->space[op->arg[0]];
	unsigned window = window_of(op), pages = ops_range_pages(n, op);
	unsigned prot = op->code == OP_PLACE ? op->arg[3] :
			op->code == OP_MAP || op->code == OP_PROTECT ? op->arg[4] : 0;
	struct model_window w = s->window[window];

	if ((prot & 6) == 6)
		return RESULT_ACCES;
	if (op->code == OP_PROTECT && !model_mapped(&w, op->arg[2], pages))
		return RESULT_NOMEM;
	if (!m->preset->region_max)
		return RESULT_OK;
	change(m, &w, window, op, pages, s->break_pages);
	if (space_regions(s) - model_regions(&s->window[window]) + model_regions(&w) >
	    m->preset->region_max)
		return RESULT_LIMIT;
	return RESULT_OK;
}

/* The outcome of a read or write that is refused at page `stop`, or at the first page
 * that the model refuses, whichever comes first. */
static void expect_access(const struct body *m, const struct op *op, const struct ops_names *n,
			  unsigned stop, struct op_outcome *out)
{
	const struct model_window *w = &m->space[op->arg[0]]->window[op->arg[1]];
	unsigned page = op->arg[2], end = page + ops_range_pages(n, op);
	bool write = op->code == OP_WRITE;
	uint64_t digest = OPS_DIGEST_START;

	for (; page < end && page != stop; page++) {
		if (!model_may(&w->page[page], write))
			break;
		digest = model_page_fold(digest, &w->page[page], op->arg[1], page);
	}
	out->result = page == end ? RESULT_OK : RESULT_SEGV;
	if (write)
		out->value = page == end ? 0 : page;
	else
		out->value = page == end ? digest : ops_refused_read(digest, page);
}

static uint64_t space_digest(const struct body *m, const struct ops_names *n, unsigned space)
{
	uint64_t digest = OPS_DIGEST_START;

	for (unsigned w = 0; w < OPS_WINDOWS; w++)
		for (unsigned i = 0; i < ops_window_pages(n, space, w); i++) {
			const struct model_page *p = &m->space[space]->window[w].page[i];

			digest = model_may(p, false) ? model_page_fold(digest, p, w, i)
						     : ops_fold(digest, OPS_UNREADABLE);
		}
	return digest;
}

static uint64_t contents(const struct body *m, const struct ops_names *n)
{
	uint64_t digest = OPS_DIGEST_START;

	for (unsigned s = 0; s < OPS_SPACES; s++)
		if (m->space[s]) {
			digest = ops_fold(digest, s);
			digest = ops_fold(digest, space_digest(m, n, s));
		}
	return digest;
}

void model_expect(const struct body *m, const struct op *op, const struct ops_names *n,
		  struct op_outcome *out)
{
	*out = (struct op_outcome){ .result = RESULT_OK };
	if (ops_table[op->code].side == OP_USER && !m->preset->has_user) {
		out->result = RESULT_UNSUPPORTED;
		return;
	}
	switch (op->code) {
	case OP_MAP:
	case OP_PLACE:
	case OP_UNMAP:
	case OP_PROTECT:
	case OP_BREAK:
		out->result = expect_change(m, op, n);
		break;
	case OP_READ:
	case OP_WRITE:
		expect_access(m, op, n, OPS_WINDOW_PAGES, out);
		break;
	case OP_CHECKPOINT:
		out->value = contents(m, n);
		break;
	default:
		break;
	}
}

/* ---- allowance ---- */

uint64_t model_frames_bound(const struct body *m)
{
	uint64_t n = SLACK + m->frames_n / 64 + m->slot_frames + m->object_frames;

	if (!m->preset->frame_cache_drains)
		n += m->cpus_n * m->preset->frame_cache_n;
	if (!m->preset->object_reclaims)
		n += m->cpus_n * m->preset->object_magazine_n;
	for (unsigned s = 0; s < OPS_SPACES; s++) {
		if (!m->space[s])
			continue;
		n += TABLES + space_regions(m->space[s]) / 8;
		for (unsigned w = 0; w < OPS_WINDOWS; w++)
			for (unsigned i = 0; i < OPS_WINDOW_PAGES; i++)
				n += m->space[s]->window[w].page[i].touched;
	}
	return n;
}

/* Frames that this operation itself may take before it fails, and in what order. */
static uint64_t frames_wanted(const struct body *m, const struct op *op,
			      const struct ops_names *n, unsigned *order)
{
	*order = OBJECT_ORDER;
	switch (op->code) {
	case OP_FRAME_ALLOC:
		*order = op->arg[1];
		return 0;
	case OP_READ:
	case OP_WRITE:
		*order = 0;
		return ops_range_pages(n, op);
	case OP_CHECKPOINT:
		*order = 0;
		return 0;
	case OP_FORK:
		return TABLES + space_regions(m->space[op->arg[0]]) / 8;
	default:
		return 0;
	}
}

static bool may_lack_memory(const struct body *m, const struct op *op, const struct ops_names *n)
{
	unsigned order;
	uint64_t used = frames_wanted(m, op, n, &order) + model_frames_bound(m);

	return used << order >= m->frames_n;
}

static bool needs_no_memory(const struct op *op)
{
	return op->code == OP_FRAME_FREE || op->code == OP_OBJECT_FREE || op->code == OP_EXIT ||
	       op->code == OP_CPU || op->code == OP_FAIL;
}

static bool same(const struct op_outcome *a, const struct op_outcome *b)
{
	return a->result == b->result && a->value == b->value;
}

static bool disagree(const struct op_outcome *want, const struct op_outcome *got, char *why,
		     size_t why_bytes)
{
	const char *name = got->result < RESULT_N ? ops_result_text[got->result] : "?";

	if (got->result == want->result)
		snprintf(why, why_bytes, "%s with value %016llx, the model says %016llx", name,
			 (unsigned long long)got->value, (unsigned long long)want->value);
	else
		snprintf(why, why_bytes, "%s (%016llx), the model says %s (%016llx)", name,
			 (unsigned long long)got->value, ops_result_text[want->result],
			 (unsigned long long)want->value);
	return false;
}

/* A read or write out of memory at some page must have done what lies before it. */
static bool partial_agrees(const struct body *m, const struct op *op, const struct ops_names *n,
			   const struct op_outcome *got)
{
	unsigned stop = got->value & 0xff;
	struct op_outcome part;

	if (stop < op->arg[2] || stop >= op->arg[2] + ops_range_pages(n, op))
		return false;
	if (!model_may(&m->space[op->arg[0]]->window[op->arg[1]].page[stop], op->code == OP_WRITE))
		return false;
	expect_access(m, op, n, stop, &part);
	return part.value == got->value;
}

bool model_allows(const struct body *m, const struct op *op, const struct ops_names *n,
		  const struct op_outcome *got, bool injected, char *why, size_t why_bytes)
{
	bool access = op->code == OP_READ || op->code == OP_WRITE;
	struct op_outcome want;

	model_expect(m, op, n, &want);
	if (same(&want, got))
		return true;
	if (got->result != RESULT_NOMEM || want.result == RESULT_UNSUPPORTED ||
	    want.result == RESULT_ACCES || want.result == RESULT_LIMIT || needs_no_memory(op))
		return disagree(&want, got, why, why_bytes);
	if (!injected && !may_lack_memory(m, op, n)) {
		snprintf(why, why_bytes,
			 "nomem, though at most %llu of %llu frames can be in use",
			 (unsigned long long)model_frames_bound(m),
			 (unsigned long long)m->frames_n);
		return false;
	}
	if (access ? partial_agrees(m, op, n, got) : got->value == 0)
		return true;
	return disagree(&want, got, why, why_bytes);
}

/* ---- following ---- */

static void follow_access(struct body *m, const struct op *op, const struct ops_names *n,
			  const struct op_outcome *got)
{
	struct model_window *w = &m->space[op->arg[0]]->window[op->arg[1]];
	unsigned end = op->arg[2] + ops_range_pages(n, op);

	if (got->result != RESULT_OK)
		end = got->value & 0xff;
	for (unsigned i = op->arg[2]; i < end; i++) {
		w->page[i].touched = true;
		if (op->code == OP_WRITE)
			w->page[i].content = (uint16_t)(1 + op->arg[4]);
	}
}

/* A checkpoint may fault in whatever it looks at. */
static void touch_readable(struct body *m)
{
	for (unsigned s = 0; s < OPS_SPACES; s++)
		for (unsigned w = 0; m->space[s] && w < OPS_WINDOWS; w++)
			for (unsigned i = 0; i < OPS_WINDOW_PAGES; i++) {
				struct model_page *p = &m->space[s]->window[w].page[i];

				p->touched |= model_may(p, false);
			}
}

static uint64_t object_frames(unsigned bytes)
{
	return (bytes + 4095) / 4096 + 1;
}

static void follow_slot(struct body *m, const struct op *op, const struct ops_names *n)
{
	unsigned slot = op->arg[0];

	switch (op->code) {
	case OP_FRAME_ALLOC:
		m->slot_frames += 1ull << op->arg[1];
		break;
	case OP_FRAME_FREE:
		m->slot_frames -= 1ull << n->frame_order[slot];
		break;
	case OP_OBJECT_ALLOC:
		m->object_now += object_frames(op->arg[1]);
		if (m->object_now > m->object_frames)
			m->object_frames = m->object_now;
		break;
	case OP_OBJECT_FREE:
		m->object_now -= object_frames(n->object_bytes[slot]);
		break;
	default:
		break;
	}
}

static void follow_space(struct body *m, const struct op *op, const struct ops_names *n)
{
	struct model_space *s = m->space[op->arg[0]];
	unsigned window = window_of(op);

	if (op->code == OP_FORK) {
		struct model_space *child = malloc(sizeof(*child));

		if (!child)
			abort();
		*child = *s;
		m->space[op->arg[1]] = child;
	} else if (op->code == OP_EXIT) {
		free(s);
		m->space[op->arg[0]] = NULL;
	} else {
		change(m, &s->window[window], window, op, ops_range_pages(n, op),
		       s->break_pages);
		if (op->code == OP_BREAK)
			s->break_pages = op->arg[1];
	}
}

void model_follow(struct body *m, const struct op *op, const struct ops_names *n,
		  const struct op_outcome *got)
{
	bool touched = got->result == RESULT_OK || got->result == RESULT_SEGV ||
		       got->result == RESULT_NOMEM;

	if (op->code == OP_READ || op->code == OP_WRITE) {
		if (touched)
			follow_access(m, op, n, got);
	} else if (got->result != RESULT_OK) {
		return;
	} else if (op->code == OP_CHECKPOINT) {
		touch_readable(m);
	} else if (ops_table[op->code].side == OP_USER) {
		follow_space(m, op, n);
	} else {
		follow_slot(m, op, n);
	}
}

/* ---- the model as a body ---- */

static void model_perform(struct body *m, const struct op *op, const struct ops_names *n,
			  struct op_outcome *out)
{
	model_expect(m, op, n, out);
	model_follow(m, op, n, out);
}

static void model_verify(struct body *m, bool thorough, bool failed, struct finding *f)
{
	(void)m;
	(void)thorough;
	(void)failed;
	f->oracle = ORACLE_NONE;
}

static bool model_injected(struct body *m)
{
	(void)m;
	return false;
}

static void model_finish(struct body *m, struct finding *f)
{
	for (unsigned s = 0; s < OPS_SPACES; s++)
		free(m->space[s]);
	free(m);
	f->oracle = ORACLE_NONE;
}

static bool model_flip(struct body *m, enum body_flip what, uint64_t nth)
{
	struct model_page *readable[OPS_WINDOWS * OPS_WINDOW_PAGES];

	for (unsigned s = 0; what == FLIP_CONTENTS && s < OPS_SPACES; s++) {
		unsigned n = 0;

		for (unsigned w = 0; m->space[s] && w < OPS_WINDOWS; w++)
			for (unsigned i = 0; i < OPS_WINDOW_PAGES; i++)
				if (model_may(&m->space[s]->window[w].page[i], false))
					readable[n++] = &m->space[s]->window[w].page[i];
		if (n) {
			readable[nth % n]->content ^= 1;
			return true;
		}
	}
	return false;
}

const struct body_class body_model = {
	.name = "model",
	.start = model_start,
	.perform = model_perform,
	.verify = model_verify,
	.injected = model_injected,
	.finish = model_finish,
	.flip = model_flip,
};
