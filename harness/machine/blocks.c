/// Frames and objects of slots.
///
/// A slot's owner fills its block with a pattern of its own key (ops_block_fill) and
/// finds it unchanged when it frees the block. The key comes from the slot and its
/// kind, so that two slots never agree.
///
/// Wrong frees are no operations of a trace: each free is surrounded by them, so that
/// every trace asks for all. Before it: another order, an address inside the
/// block. After it: the same block once more. kmm promises to refuse them, and with
/// which error (frame.h, object.h); one that it accepts is a finding.
///
/// Objects come through three doors, chosen by their slot: kmm_alloc; kmm_calloc,
/// which must hand out zeros and refuse a product that overflows; and kmm_realloc
/// of something smaller, which must keep what that held, and leave it alone when it
/// fails. What the model says of an object is the same for all.
#include "machine/blocks.h"

#include <string.h>

enum door { DOOR_ALLOC, DOOR_CLEARED, DOOR_GROWN };

static enum door door_of(unsigned slot)
{
	static const uint8_t door[4] = { DOOR_ALLOC, DOOR_CLEARED, DOOR_ALLOC, DOOR_GROWN };

	return door[slot % 4u];
}

static uint64_t frame_key(unsigned slot)
{
	return 0xf0000u + slot;
}

static uint64_t object_key(unsigned slot)
{
	return 0x0b0000u + slot;
}

/// `got` is the answer to a free that must be refused with `want`.
/// Returns: false if it was accepted, and the block is gone
static bool refused(struct performer *p, enum kmm_error got, enum kmm_error want,
		    const char *what)
{
	char text[FINDING_TEXT_BYTES];

	if (got != want) {
		kmm_format(text, sizeof(text), "%s is answered %s, and must be refused with %s",
			   what, kmm_error_name(got), kmm_error_name(want));
		p->ways->complain(p->ctx, ORACLE_MODEL, text);
	}
	return got != KMM_OK;
}

/* ---- frames ---- */

enum op_result block_frame_alloc(struct performer *p, const struct op *op)
{
	unsigned slot = op->arg[0];
	struct perform_block *b = &p->frame[slot];
	enum kmm_error e = kmm_frame_alloc(p->k, op->arg[1], 0, &b->pfn);

	if (e != KMM_OK)
		return perform_result(e);
	b->order = (uint8_t)op->arg[1];
	b->bytes = KMM_PAGE_BYTES << b->order;
	b->at = kmm_frame_virt(p->k, b->pfn);
	p->frames |= 1ull << slot;
	if (b->pfn.n & ((1ull << b->order) - 1u))
		p->ways->complain(p->ctx, ORACLE_LEDGER, "a block isn't aligned to its size");
	p->ways->touch(p->ctx, b->at, b->bytes);
	ops_block_fill(b->at, b->bytes, frame_key(slot));
	return RESULT_OK;
}

static bool frame_misfrees_refused(struct performer *p, const struct perform_block *b)
{
	struct kmm_pfn inside = { b->pfn.n + 1u };

	if (!refused(p, kmm_frame_free(p->k, b->pfn, b->order ^ 1u), KMM_EWRONGORDER,
		     "freeing a block with another order"))
		return false;
	return b->order == 0 || refused(p, kmm_frame_free(p->k, inside, 0), KMM_EDOUBLEFREE,
					"freeing the second frame of a block");
}

enum op_result block_frame_free(struct performer *p, unsigned slot)
{
	struct perform_block *b = &p->frame[slot];
	bool intact = ops_block_intact(b->at, b->bytes, frame_key(slot));
	bool sound = frame_misfrees_refused(p, b);
	enum kmm_error e = sound ? kmm_frame_free(p->k, b->pfn, b->order) : KMM_OK;

	if (e != KMM_OK)
		return perform_result(e);
	p->frames &= ~(1ull << slot);
	if (sound && p->together) /* by now it may be someone else's */
		return intact ? RESULT_OK : RESULT_CORRUPT;
	if (!sound || !refused(p, kmm_frame_free(p->k, b->pfn, b->order), KMM_EDOUBLEFREE,
			       "freeing a block twice"))
		return RESULT_ERROR;
	return intact ? RESULT_OK : RESULT_CORRUPT;
}

void block_verify_nomem(struct performer *p, unsigned order)
{
	struct kmm_frame_stats f;
	char text[FINDING_TEXT_BYTES];

	kmm_frame_stats(p->k, &f);
	/* Frames in other CPUs' caches may be out of reach; the policy's never are. */
	if (f.free_n == f.cached_n || f.largest_order <= order)
		return;
	kmm_format(text, sizeof(text), "frame-alloc of order %u fails, though a block of order %u "
		   "is free", order, f.largest_order - 1u);
	p->ways->complain(p->ctx, ORACLE_MODEL, text);
}

/* ---- objects ---- */

static void *object_cleared(struct performer *p, size_t bytes)
{
	char *at = kmm_calloc(p->k, bytes, 1);

	if (at == NULL)
		return NULL;
	if (at[0] != 0 || memcmp(at, at + 1, bytes - 1u) != 0)
		p->ways->complain(p->ctx, ORACLE_CONTENTS, "calloc hands out what isn't zero");
	if (kmm_calloc(p->k, SIZE_MAX / 2u + 2u, 2) != NULL) /* 2, modulo 2^64 */
		p->ways->complain(p->ctx, ORACLE_MODEL, "calloc's product overflows unnoticed");
	return at;
}

/// By a few bytes, which crosses the end of a size class now and then, or to a
/// multiple.
static size_t bytes_before(unsigned slot, size_t bytes)
{
	if (slot % 8u == 7u)
		return bytes / 3u + 1u;
	return bytes > slot ? bytes - slot : bytes;
}

static void *object_grown(struct performer *p, unsigned slot, size_t bytes)
{
	size_t less = bytes_before(slot, bytes);
	void *at = kmm_alloc(p->k, less), *grown;

	if (at == NULL)
		return NULL;
	p->ways->touch(p->ctx, at, less);
	ops_block_fill(at, less, object_key(slot));
	grown = kmm_realloc(p->k, at, bytes);
	if (!ops_block_intact(grown ? grown : at, less, object_key(slot)))
		p->ways->complain(p->ctx, ORACLE_CONTENTS, "realloc lost what its block held");
	if (grown == NULL && kmm_free(p->k, at) != KMM_OK)
		p->ways->complain(p->ctx, ORACLE_MODEL, "a realloc that failed took its block");
	return grown;
}

static void *object_make(struct performer *p, unsigned slot, size_t bytes)
{
	switch (door_of(slot)) {
	case DOOR_CLEARED:
		return object_cleared(p, bytes);
	case DOOR_GROWN:
		return object_grown(p, slot, bytes);
	default:
		return kmm_alloc(p->k, bytes);
	}
}

enum op_result block_object_alloc(struct performer *p, const struct op *op)
{
	unsigned slot = op->arg[0];
	struct perform_block *b = &p->object[slot];
	void *at = object_make(p, slot, op->arg[1]);

	if (at == NULL)
		return RESULT_NOMEM;
	b->at = at;
	b->bytes = op->arg[1];
	p->objects |= 1ull << slot;
	if (((uintptr_t)at & 15u) != 0)
		p->ways->complain(p->ctx, ORACLE_LEDGER, "an object isn't 16-byte aligned");
	if (kmm_usable_bytes(p->k, at) < b->bytes)
		p->ways->complain(p->ctx, ORACLE_LEDGER, "an object is smaller than asked for");
	p->ways->touch(p->ctx, at, b->bytes);
	ops_block_fill(at, b->bytes, object_key(slot));
	return RESULT_OK;
}

enum op_result block_object_free(struct performer *p, unsigned slot)
{
	struct perform_block *b = &p->object[slot];
	bool intact = ops_block_intact(b->at, b->bytes, object_key(slot));
	bool sound = refused(p, kmm_free(p->k, (char *)b->at + 8), KMM_EINVAL,
			     "freeing an object from its inside");
	enum kmm_error e = sound ? kmm_free(p->k, b->at) : KMM_OK;

	if (e != KMM_OK)
		return perform_result(e);
	p->objects &= ~(1ull << slot);
	if (sound && p->together)
		return intact ? RESULT_OK : RESULT_CORRUPT;
	if (!sound || !refused(p, kmm_free(p->k, b->at), KMM_EDOUBLEFREE,
			       "freeing an object twice"))
		return RESULT_ERROR;
	return intact ? RESULT_OK : RESULT_CORRUPT;
}

/* ---- all of them ---- */

void perform_verify_blocks(struct performer *p)
{
	for (unsigned i = 0; i < OPS_SLOTS; i++) {
		const struct perform_block *f = &p->frame[i], *o = &p->object[i];

		if ((p->frames >> i & 1u) && !ops_block_intact(f->at, f->bytes, frame_key(i)))
			p->ways->complain(p->ctx, ORACLE_CONTENTS,
					  "a frame block holds what its owner never wrote");
		if ((p->objects >> i & 1u) && !ops_block_intact(o->at, o->bytes, object_key(i)))
			p->ways->complain(p->ctx, ORACLE_CONTENTS,
					  "an object holds what its owner never wrote");
	}
}
