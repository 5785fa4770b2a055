/* The reference model.
 *
 * State: for each living space an array of pages by window; which slots are taken
 * stands in the names that every call brings. An operation has one expected outcome
 * (expect_*), given enough memory; it is applied (follow_*, model_apply) only if it
 * came true. What else is allowed when memory may be short is in allow.c.
 *
 * I1  After an error other than a refused read or write nothing has changed. A write
 *     that was refused at a page has written those before it.
 * I2  Only the judge of a concurrent section (run/linear.c) makes a stamp unsure; the
 *     next write of its page, or the next look at it in a section, ends that.
 */
#include <stdlib.h>
#include <string.h>

#include "model/state.h"

static const char *model_start(struct body **out, const struct body_options *o)
{
	struct body *m = calloc(1, sizeof(*m));

	if (!m)
		return "model: out of memory";
	if (!kmm_preset_parse(o->preset ? o->preset : "pagemill", &m->own_preset)) {
		free(m);
		return "model: unknown preset";
	}
	m->preset = &m->own_preset;
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

unsigned model_space_regions(const struct model_space *s)
{
	unsigned n = 0;

	for (unsigned w = 0; w < OPS_WINDOWS; w++)
		n += model_regions(&s->window[w]);
	return n;
}

unsigned model_window_of(const struct op *op)
{
	return op->code == OP_BREAK ? OPS_HEAP_WINDOW :
	       op->code == OP_PLACE ? OPS_FIXED_WINDOWS + op->arg[1] : op->arg[1];
}

void model_change(const struct body *m, struct model_window *w, const struct op *op,
		  unsigned pages, unsigned break_pages)
{
	unsigned page = op->arg[2], window = model_window_of(op);

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

enum op_result model_expect_change(const struct body *m, const struct model_window *w,
				   unsigned break_pages, unsigned regions_n,
				   const struct op *op, unsigned pages)
{
	unsigned prot = op->code == OP_PLACE ? op->arg[3] :
			op->code == OP_MAP || op->code == OP_PROTECT ? op->arg[4] : 0;
	struct model_window after;

	if ((prot & 6) == 6)
		return RESULT_ACCES;
	if (op->code == OP_PROTECT && !model_mapped(w, op->arg[2], pages))
		return RESULT_NOMEM;
	if (!m->preset->region_max)
		return RESULT_OK;
	after = *w;
	model_change(m, &after, op, pages, break_pages);
	if (regions_n - model_regions(w) + model_regions(&after) > m->preset->region_max)
		return RESULT_LIMIT;
	return RESULT_OK;
}

static enum op_result expect_change(const struct body *m, const struct op *op,
				    const struct ops_names *n)
{
	const struct model_space *s = m->space[op->arg[0]];

	return model_expect_change(m, &s->window[model_window_of(op)], s->break_pages,
				   m->preset->region_max ? model_space_regions(s) : 0, op,
				   ops_range_pages(n, op));
}

void model_expect_access(const struct body *m, const struct op *op, const struct ops_names *n,
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

enum op_result model_expect_kernel(const struct op *op)
{
	bool turned = op->code == OP_RANGE_ALLOC && op->arg[4] == OPS_LIMITS_TURNED;
	unsigned flags = op->code == OP_FRAME_ALLOC_ON ? op->arg[2] :
			 op->code == OP_RANGE_ALLOC ? op->arg[3] : 0;

	return turned || !ops_flags_valid(flags) ? RESULT_INVAL : RESULT_OK;
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
		model_expect_access(m, op, n, OPS_WINDOW_PAGES, out);
		break;
	case OP_CHECKPOINT:
		out->value = contents(m, n);
		break;
	default:
		if (ops_table[op->code].side == OP_KERNEL)
			out->result = model_expect_kernel(op);
		break;
	}
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
			model_page_fill(&w->page[i], op->arg[4]);
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

uint64_t model_object_frames(unsigned bytes)
{
	return (bytes + 4095) / 4096 + 1;
}

static void follow_spot(struct body *m, const struct op *op, const struct ops_names *n)
{
	bool idle = (n->isolated | n->absent) >> op->arg[1] & 1u;
	bool away = op->code == OP_ISOLATE ? op->arg[0] != 0 : op->arg[0] == 0;

	if (idle != away)
		m->idle_frames += away ? model_spot_frames(m) : 0 - model_spot_frames(m);
}

static void follow_slot(struct body *m, const struct op *op, const struct ops_names *n)
{
	unsigned slot = op->arg[0];

	switch (op->code) {
	case OP_FRAME_ALLOC:
	case OP_FRAME_ALLOC_ON:
		m->slot_frames += 1ull << op->arg[1];
		break;
	case OP_FRAME_FREE:
	case OP_FRAME_FREE_ZEROED:
		m->slot_frames -= n->frame_n[slot] ? n->frame_n[slot] :
						     1ull << n->frame_order[slot];
		break;
	case OP_RANGE_ALLOC:
		m->slot_frames += op->arg[1];
		break;
	case OP_ISOLATE:
	case OP_PLUG:
		follow_spot(m, op, n);
		break;
	case OP_LISTEN:
		m->idle_frames += op->arg[0] - m->stash;
		m->stash = op->arg[0];
		break;
	case OP_OBJECT_ALLOC:
		m->object_now += model_object_frames(op->arg[1]);
		if (m->object_now > m->object_frames)
			m->object_frames = m->object_now;
		break;
	case OP_OBJECT_FREE:
		m->object_now -= model_object_frames(n->object_bytes[slot]);
		break;
	default:
		break;
	}
}

void model_apply(struct body *m, const struct op *op, unsigned pages)
{
	struct model_space *s = m->space[op->arg[0]];

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
		model_change(m, &s->window[model_window_of(op)], op, pages, s->break_pages);
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
		model_apply(m, op, ops_range_pages(n, op));
	} else {
		follow_slot(m, op, n);
	}
}

void *model_scratch(struct body *m, unsigned which, size_t bytes)
{
	size_t was = m->scratch_bytes[which];

	if (bytes > was) {
		m->scratch[which] = realloc(m->scratch[which], bytes);
		if (!m->scratch[which])
			abort();
		memset((char *)m->scratch[which] + was, 0, bytes - was);
		m->scratch_bytes[which] = bytes;
	}
	return m->scratch[which];
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
	for (unsigned i = 0; i < MODEL_SCRATCH_N; i++)
		free(m->scratch[i]);
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
			readable[nth % n]->content[nth / n % OPS_STAMPS] ^= 1;
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
