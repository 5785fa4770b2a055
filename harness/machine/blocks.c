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

/// Where frames come from and what may be in them, by the operation.
struct frame_wish {
	unsigned flags; /* OPERAND_FLAGS */
	unsigned kind;  /* zone to begin with */
	struct kmm_node_policy nodes;
	bool named;     /* nodes says something */
};

static struct frame_wish wish_of(unsigned flags, unsigned nodes)
{
	static const enum kmm_node_policy_kind kind[] = { KMM_NODES_LOCAL, KMM_NODES_BIND,
							  KMM_NODES_PREFER, KMM_NODES_INTERLEAVE };
	unsigned zone = flags >> OPS_FLAG_ZONE_LG2;
	struct frame_wish w = { .flags = flags, .named = nodes != 0 };

	w.kind = zone ? zone - 1u : (unsigned)KMM_ZONE_NORMAL;
	w.nodes.kind = kind[ops_nodes_kind(nodes)];
	w.nodes.set = ops_nodes_set(nodes);
	return w;
}

static unsigned kmm_flags(unsigned flags)
{
	return (flags & OPS_FLAG_BITS) | flags >> OPS_FLAG_ZONE_LG2 << 8;
}

/// May frames of this zone be handed out for the wish?
static bool zone_serves(const struct frame_wish *w, const struct kmm_zone_info *z)
{
	if ((w->flags & OPS_FLAG_ONLY) || w->kind == KMM_ZONE_DEVICE) {
		if (z->kind != w->kind)
			return false;
	} else if (z->kind > w->kind) {
		return false;
	}
	return !w->named || w->nodes.kind != KMM_NODES_BIND || (w->nodes.set >> z->node & 1u);
}

/// The block lies where it was asked for.
static void verify_place(struct performer *p, const struct frame_wish *w, struct kmm_pfn pfn,
			 uint64_t n)
{
	struct kmm_zone_info z;

	spot_verify_use(p, pfn, n);
	for (unsigned i = 0; kmm_zone_info(p->k, i, &z) == KMM_OK; i++)
		if (pfn.n >= z.base.n && pfn.n + n <= z.end.n && zone_serves(w, &z))
			return;
	p->ways->complain(p->ctx, ORACLE_LEDGER, "frames come from a zone that was not asked for");
}

/// A slot gets frames: they are looked at, and filled by their owner.
static enum op_result frame_take(struct performer *p, unsigned slot, const struct frame_wish *w)
{
	struct perform_block *b = &p->frame[slot];
	const char *at;

	b->bytes = b->n ? b->n * KMM_PAGE_BYTES : KMM_PAGE_BYTES << b->order;
	b->at = kmm_frame_virt(p->k, b->pfn);
	at = b->at;
	p->frames |= 1ull << slot;
	verify_place(p, w, b->pfn, b->bytes / KMM_PAGE_BYTES);
	p->ways->touch(p->ctx, b->at, b->bytes);
	if ((w->flags & OPS_FLAG_ZERO) && (at[0] != 0 || memcmp(at, at + 1, b->bytes - 1u) != 0))
		p->ways->complain(p->ctx, ORACLE_CONTENTS, "zeroed frames aren't zero");
	ops_block_fill(b->at, b->bytes, frame_key(slot));
	return RESULT_OK;
}

static enum op_result block_take(struct performer *p, unsigned slot, unsigned order,
				 const struct frame_wish *w)
{
	struct perform_block *b = &p->frame[slot];

	b->order = (uint8_t)order;
	b->n = 0;
	if (b->pfn.n & ((1u << order) - 1u))
		p->ways->complain(p->ctx, ORACLE_LEDGER, "a block isn't aligned to its size");
	return frame_take(p, slot, w);
}

enum op_result block_frame_alloc(struct performer *p, const struct op *op)
{
	struct frame_wish w = wish_of(0, 0);
	enum kmm_error e = kmm_frame_alloc(p->k, op->arg[1], 0, &p->frame[op->arg[0]].pfn);

	return e == KMM_OK ? block_take(p, op->arg[0], op->arg[1], &w) : perform_result(e);
}

enum op_result block_frame_alloc_on(struct performer *p, const struct op *op)
{
	struct frame_wish w = wish_of(op->arg[2], op->arg[3]);
	enum kmm_error e = kmm_frame_alloc_on(p->k, op->arg[1], kmm_flags(op->arg[2]),
					      w.named ? &w.nodes : NULL,
					      &p->frame[op->arg[0]].pfn);

	return e == KMM_OK ? block_take(p, op->arg[0], op->arg[1], &w) : perform_result(e);
}

/// The limits that the word means, over the span of all zones.
static void limit(struct performer *p, unsigned word, struct kmm_frame_request *r)
{
	struct kmm_zone_info first, last;
	uint64_t base, n;

	if (word == 0 || kmm_zone_info(p->k, 0, &first) != KMM_OK ||
	    kmm_zone_info(p->k, kmm_zones_n(p->k) - 1u, &last) != KMM_OK)
		return;
	base = first.base.n;
	n = last.end.n - base;
	if (word == 2u || word == OPS_LIMITS_TURNED)
		r->lo = kmm_pfn_to_pa((struct kmm_pfn){ base + n / 2u });
	if (word == 3u)
		r->lo.a = kmm_pfn_to_pa((struct kmm_pfn){ base + n / 4u }).a + 1u;
	if (word == 1u || word == OPS_LIMITS_TURNED)
		r->hi = kmm_pfn_to_pa((struct kmm_pfn){ base + n / 2u });
	if (word == 3u)
		r->hi.a = kmm_pfn_to_pa((struct kmm_pfn){ base + n - n / 4u }).a - 1u;
}

static bool within(const struct kmm_frame_request *r, struct kmm_pfn pfn)
{
	uint64_t start = kmm_pfn_to_pa(pfn).a, end = start + r->n * KMM_PAGE_BYTES;

	return start >= r->lo.a && (r->hi.a == 0 || end <= r->hi.a) &&
	       (pfn.n & (r->align_n - 1u)) == 0;
}

enum op_result block_range_alloc(struct performer *p, const struct op *op)
{
	struct frame_wish w = wish_of(op->arg[3], 0);
	struct perform_block *b = &p->frame[op->arg[0]];
	struct kmm_frame_request r = { .n = op->arg[1], .align_n = 1ull << op->arg[2],
				       .flags = kmm_flags(op->arg[3]) };
	enum kmm_error e;

	limit(p, op->arg[4], &r);
	e = kmm_frame_alloc_range(p->k, &r, &b->pfn);
	if (e == KMM_EINVAL && ops_flags_valid(op->arg[3]) && r.hi.a > r.lo.a &&
	    (r.n + 1u) * KMM_PAGE_BYTES > r.hi.a - r.lo.a)
		return RESULT_NOMEM; /* more than lies between the limits of this memory */
	if (e != KMM_OK)
		return perform_result(e);
	b->order = 0;
	b->n = r.n;
	if (!within(&r, b->pfn))
		p->ways->complain(p->ctx, ORACLE_LEDGER, "a range isn't where it was asked for");
	return frame_take(p, op->arg[0], &w);
}

static bool range_misfrees_refused(struct performer *p, const struct perform_block *b)
{
	struct kmm_pfn inside = { b->pfn.n + 1u };

	if (!refused(p, kmm_frame_free(p->k, b->pfn, 0), KMM_EWRONGORDER,
		     "freeing a range as a block"))
		return false;
	if (b->n == 1)
		return true;
	return refused(p, kmm_frame_free_range(p->k, b->pfn, b->n - 1u), KMM_EWRONGORDER,
		       "freeing a range with another count") &&
	       refused(p, kmm_frame_free_range(p->k, inside, b->n - 1u), KMM_EDOUBLEFREE,
		       "freeing the second frame of a range");
}

static bool block_misfrees_refused(struct performer *p, const struct perform_block *b)
{
	struct kmm_pfn inside = { b->pfn.n + 1u };

	if (!refused(p, kmm_frame_free(p->k, b->pfn, b->order ^ 1u), KMM_EWRONGORDER,
		     "freeing a block with another order") ||
	    !refused(p, kmm_frame_free_range(p->k, b->pfn, 1ull << b->order), KMM_EWRONGORDER,
		     "freeing a block as a range"))
		return false;
	return b->order == 0 || refused(p, kmm_frame_free(p->k, inside, 0), KMM_EDOUBLEFREE,
					"freeing the second frame of a block");
}

static enum kmm_error give_back(struct performer *p, const struct perform_block *b, bool zeroed)
{
	if (b->n != 0)
		return kmm_frame_free_range(p->k, b->pfn, b->n);
	return zeroed ? kmm_frame_free_zeroed(p->k, b->pfn, b->order) :
			kmm_frame_free(p->k, b->pfn, b->order);
}

static enum op_result frame_free(struct performer *p, unsigned slot, bool zeroed)
{
	struct perform_block *b = &p->frame[slot];
	bool intact = ops_block_intact(b->at, b->bytes, frame_key(slot));
	bool sound = b->n ? range_misfrees_refused(p, b) : block_misfrees_refused(p, b);
	enum kmm_error e;

	if (zeroed) {
		p->ways->touch(p->ctx, b->at, b->bytes);
		memset(b->at, 0, b->bytes);
	}
	e = sound ? give_back(p, b, zeroed) : KMM_OK;
	if (e != KMM_OK)
		return perform_result(e);
	p->frames &= ~(1ull << slot);
	if (sound && p->together) /* by now it may be someone else's */
		return intact ? RESULT_OK : RESULT_CORRUPT;
	if (!sound || !refused(p, give_back(p, b, zeroed), KMM_EDOUBLEFREE,
			       "freeing a block twice"))
		return RESULT_ERROR;
	return intact ? RESULT_OK : RESULT_CORRUPT;
}

enum op_result block_frame_free(struct performer *p, unsigned slot)
{
	return frame_free(p, slot, false);
}

enum op_result block_frame_free_zeroed(struct performer *p, unsigned slot)
{
	return frame_free(p, slot, true);
}

/// Does this zone hold what the operation wanted? Frames in other CPUs' caches may be out
/// of reach; the policy's never are.
static bool zone_holds(struct performer *p, unsigned zone, const struct kmm_zone_info *z,
		       const struct op *op)
{
	struct kmm_fragmentation f;
	bool split = strncmp(z->policy, "split", 5) == 0;

	if (kmm_zone_fragmentation(p->k, zone, &f) != KMM_OK)
		return false;
	if (op->code == OP_RANGE_ALLOC)
		return op->arg[2] == 0 && op->arg[4] == 0 && f.largest_run_n >= op->arg[1];
	if (split && op->arg[1] != 0)
		return false; /* of a block across the boundary it need know nothing */
	for (unsigned order = op->arg[1]; order <= KMM_ORDER_MAX; order++)
		if (f.blocks_n[order] != 0)
			return true;
	return false;
}

void block_verify_nomem(struct performer *p, const struct op *op)
{
	bool plain = op->code == OP_FRAME_ALLOC, range = op->code == OP_RANGE_ALLOC;
	struct frame_wish w = wish_of(plain ? 0 : op->arg[range ? 3 : 2],
				      plain || range ? 0 : op->arg[3]);
	struct kmm_zone_info z;
	char text[FINDING_TEXT_BYTES];

	for (unsigned i = 0; kmm_zone_info(p->k, i, &z) == KMM_OK; i++) {
		if (!zone_serves(&w, &z) || !zone_holds(p, i, &z, op))
			continue;
		kmm_format(text, sizeof(text), "%s of %u fails, though %s of node %u has it free",
			   ops_table[op->code].text, op->arg[1], z.name, z.node);
		p->ways->complain(p->ctx, ORACLE_MODEL, text);
	}
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
