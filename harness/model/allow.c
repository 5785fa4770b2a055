/* What a body may answer besides what the model expects of it.
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
 * I3  At any moment of a concurrent section, frames in use are at most the bound before
 *     it, what its operations demand (model_demand; nothing that one of them frees is
 *     taken off), and model_in_flight: what caches hold, even caches that drain. Under
 *     a lock or in an interrupt handler nobody can be asked for it, and a CPU that
 *     refills or drains holds frames that are neither in its cache nor in the pool.
 *
 * Limit: a read or checkpoint over an unsure stamp is judged by its result alone; its
 * digest can't be taken apart.
 */
#include <stdio.h>

#include "model/state.h"

#define TABLES 56u       /* tables of 12 windows on two lines each, root, record */
#define OBJECT_ORDER 3u  /* largest block behind an object, region or space record */
#define CACHED_SHARE 8u  /* of memory, caches that drain hold this part at the most */
#define SLACK 96u        /* per instance: slabs of the unit's own, zero frame, metadata */
#define RESERVE_SHARE 256u
#define BACK 256u        /* frames that a CPU may be about to give back (frame/cache.c) */
#define BACK_FROM 1024u  /* only in a memory of more than so many */
#define IDLE_BATCH 16u   /* frames in the hands of zero-idle */

/* Blocks of 2^order frames that one CPU's caches may spoil. A cache holds at most its part
 * of `share` frames, if that is not 0. */
static uint64_t cache_room(const struct kmm_preset *p, unsigned order, uint64_t share)
{
	static const uint8_t of[] = { 0, 0, 1, 2, 3, 9 }, share_lg2[] = { 0, 0, 2, 3, 4, 6 };
	unsigned kinds_n = p->frame_cache_orders ? sizeof(of) : 2u;
	uint64_t n = 0;

	for (unsigned i = 0; i < kinds_n; i++) {
		uint64_t blocks = p->frame_cache_n >> share_lg2[i];

		if (share != 0 && blocks > share / kinds_n >> of[i])
			blocks = share / kinds_n >> of[i];
		n += of[i] > order ? blocks << (of[i] - order) : blocks;
	}
	return n;
}

static uint64_t reserve_frames(const struct body *m)
{
	uint64_t most = m->frames_n / RESERVE_SHARE;

	return most < m->preset->frame_reserve_n ? most : m->preset->frame_reserve_n;
}

uint64_t model_spot_frames(const struct body *m)
{
	return m->frames_n / OPS_SPOTS + 2u; /* holes make it larger */
}

uint64_t model_frames_bound(const struct body *m)
{
	uint64_t n = SLACK + m->frames_n / 64 + m->slot_frames + m->object_frames +
		     m->idle_frames + reserve_frames(m);

	if (!m->preset->frame_cache_drains)
		n += m->cpus_n * cache_room(m->preset, 0, 0);
	if (!m->preset->object_reclaims)
		n += m->cpus_n * m->preset->object_magazine_n;
	for (unsigned s = 0; s < OPS_SPACES; s++) {
		if (!m->space[s])
			continue;
		n += TABLES + model_space_regions(m->space[s]) / 8;
		for (unsigned w = 0; w < OPS_WINDOWS; w++)
			for (unsigned i = 0; i < OPS_WINDOW_PAGES; i++)
				n += m->space[s]->window[w].page[i].touched;
	}
	return n;
}

/* Of a block that would hold the range. */
static unsigned range_order(const struct op *op)
{
	unsigned order = op->arg[2];

	while (1u << order < op->arg[1])
		order++;
	return order;
}

/* May be refused whatever the model knows: where frames lie is no business of its. */
static bool is_particular(const struct op *op)
{
	switch (op->code) {
	case OP_FRAME_ALLOC_ON:
		return ops_restricts(op->arg[2], op->arg[3]);
	case OP_RANGE_ALLOC:
		return ops_restricts(op->arg[3], 0) || op->arg[4] != 0;
	case OP_ISOLATE:
	case OP_PLUG:
		return op->code == OP_ISOLATE ? op->arg[0] != 0 : op->arg[0] == 0;
	default:
		return false;
	}
}

/* Frames that this operation itself may take before it fails. */
static uint64_t frames_wanted(const struct body *m, const struct op *op,
			      const struct ops_names *n)
{
	switch (op->code) {
	case OP_FRAME_ALLOC_ON:
		return op->arg[2] & OPS_FLAG_NOWAIT ? model_in_flight(m, model_order(op)) : 0;
	case OP_RANGE_ALLOC:
		return op->arg[3] & OPS_FLAG_NOWAIT ? model_in_flight(m, model_order(op)) : 0;
	case OP_READ:
	case OP_WRITE:
		return ops_range_pages(n, op);
	case OP_FORK:
		return m->space[op->arg[0]] ?
			       TABLES + model_space_regions(m->space[op->arg[0]]) / 8 :
			       model_demand(m, op); /* of a child that the section made */
	default:
		return 0;
	}
}

bool model_may_lack(const struct body *m, const struct op *op, const struct ops_names *n,
		    uint64_t others)
{
	uint64_t used = frames_wanted(m, op, n) + model_frames_bound(m) + others;

	return is_particular(op) || used << model_order(op) >= m->frames_n;
}

bool model_needs_memory(const struct op *op)
{
	return op->code != OP_FRAME_FREE && op->code != OP_OBJECT_FREE && op->code != OP_EXIT &&
	       op->code != OP_DRAIN && op->code != OP_CPU && op->code != OP_FAIL &&
	       op->code != OP_FRAME_FREE_ZEROED && op->code != OP_ZERO_IDLE &&
	       op->code != OP_LISTEN;
}

uint64_t model_demand(const struct body *m, const struct op *op)
{
	switch (op->code) {
	case OP_FRAME_ALLOC:
		return 1ull << op->arg[1];
	case OP_FRAME_ALLOC_ON:
		return 1ull << op->arg[1];
	case OP_RANGE_ALLOC: /* a block is cut */
		return 1ull << range_order(op);
	case OP_ZERO_IDLE:
		return IDLE_BATCH;
	case OP_ISOLATE:
	case OP_PLUG: /* those that are free, until it shows that others aren't */
		return model_spot_frames(m);
	case OP_OBJECT_ALLOC:
		return model_object_frames(op->arg[1]) + (1u << OBJECT_ORDER);
	case OP_READ:
	case OP_WRITE:
		return op->arg[3];
	case OP_MAP:
	case OP_PLACE:
	case OP_UNMAP:
	case OP_PROTECT:
	case OP_BREAK:
		return 1u << OBJECT_ORDER; /* two more records of regions: one slab */
	case OP_FORK: /* every page a region, whatever the section made of the parent */
		return TABLES + OPS_WINDOWS * OPS_WINDOW_PAGES / 8 + (1u << OBJECT_ORDER);
	default:
		return 0;
	}
}

uint64_t model_in_flight(const struct body *m, unsigned order)
{
	uint64_t share = m->preset->frame_cache_drains ?
				 m->frames_n / CACHED_SHARE / m->cpus_n : 0;
	uint64_t n = cache_room(m->preset, order, share);

	if (m->preset->frame_cache_adapts && m->frames_n > BACK_FROM)
		n += BACK;
	return m->cpus_n * (n + m->preset->object_magazine_n);
}

unsigned model_order(const struct op *op)
{
	switch (op->code) {
	case OP_FRAME_ALLOC:
	case OP_FRAME_ALLOC_ON:
		return op->arg[1];
	case OP_RANGE_ALLOC:
		return range_order(op);
	case OP_READ:
	case OP_WRITE:
	case OP_CHECKPOINT:
		return 0;
	default:
		return OBJECT_ORDER;
	}
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

/* Does a value depend on what nobody knows? `end`: the page at which a read ends. */
static bool unsure(const struct body *m, const struct op *op, unsigned end)
{
	bool found = false;

	if (op->code == OP_READ)
		for (unsigned i = op->arg[2]; i < end; i++)
			found |= model_page_unsure(
				&m->space[op->arg[0]]->window[op->arg[1]].page[i]);
	for (unsigned s = 0; op->code == OP_CHECKPOINT && s < OPS_SPACES; s++)
		for (unsigned w = 0; m->space[s] && w < OPS_WINDOWS; w++)
			for (unsigned i = 0; i < OPS_WINDOW_PAGES; i++) {
				const struct model_page *p = &m->space[s]->window[w].page[i];

				found |= model_may(p, false) && model_page_unsure(p);
			}
	return found;
}

static bool same(const struct body *m, const struct op *op, const struct ops_names *n,
		 const struct op_outcome *want, const struct op_outcome *got)
{
	if (want->result != got->result)
		return false;
	if (want->value == got->value)
		return true;
	if (want->result == RESULT_OK)
		return unsure(m, op, op->arg[2] + ops_range_pages(n, op));
	return (want->value & 0xff) == (got->value & 0xff) && unsure(m, op, want->value & 0xff);
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
	model_expect_access(m, op, n, stop, &part);
	part.result = got->result;
	return same(m, op, n, &part, got);
}

bool model_allows(const struct body *m, const struct op *op, const struct ops_names *n,
		  const struct op_outcome *got, bool injected, char *why, size_t why_bytes)
{
	bool access = op->code == OP_READ || op->code == OP_WRITE;
	struct op_outcome want;

	model_expect(m, op, n, &want);
	if (same(m, op, n, &want, got))
		return true;
	if (got->result != RESULT_NOMEM || want.result == RESULT_UNSUPPORTED ||
	    want.result == RESULT_ACCES || want.result == RESULT_LIMIT || !model_needs_memory(op))
		return disagree(&want, got, why, why_bytes);
	if (!injected && !model_may_lack(m, op, n, 0)) {
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
