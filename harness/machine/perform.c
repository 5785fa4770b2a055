/// From operations to calls of kmm.
///
/// Frames and objects of slots are in blocks.c.
///
/// Failure: OP_FAIL arms nothing by itself. The next kernel or user operation runs with
/// the failure armed and disarms it, whether it fired or not; checkpoints come and go
/// with the player's settings and must not use it up.
#include "machine/perform.h"

#include <string.h>

#include "machine/blocks.h"
#include "ops/ops.h"

static unsigned long long ull(uint64_t x)
{
	return x;
}

enum op_result perform_result(enum kmm_error e)
{
	switch (e) {
	case KMM_OK:
		return RESULT_OK;
	case KMM_ENOMEM:
		return RESULT_NOMEM;
	case KMM_EINVAL:
		return RESULT_INVAL;
	case KMM_EACCES:
		return RESULT_ACCES;
	case KMM_ELIMIT:
		return RESULT_LIMIT;
	case KMM_EUNSUPPORTED:
		return RESULT_UNSUPPORTED;
	default:
		return RESULT_ERROR;
	}
}

uint64_t perform_window(const struct performer *p, unsigned space, unsigned window)
{
	if (window >= OPS_FIXED_WINDOWS && window < OPS_HEAP_WINDOW)
		return p->placed[space][window - OPS_FIXED_WINDOWS];
	return ops_window_base(window);
}

static struct kmm_va page_va(const struct performer *p, unsigned space, unsigned window,
			     unsigned page)
{
	struct kmm_va va = { perform_window(p, space, window) + page * KMM_PAGE_BYTES };

	return va;
}

static void enter(struct performer *p, bool begin)
{
	if (p->ways->call)
		p->ways->call(p->ctx, begin);
}

/* ---- address spaces ---- */

static void activate(struct performer *p, unsigned space)
{
	enter(p, true);
	kmm_space_activate(p->k, p->space[space]);
	enter(p, false);
}

static enum op_result map(struct performer *p, const struct op *op)
{
	struct kmm_va va = page_va(p, op->arg[0], op->arg[1], op->arg[2]);

	return perform_result(kmm_space_map(p->space[op->arg[0]], &va, op->arg[3] * KMM_PAGE_BYTES,
				       op->arg[4], KMM_MAP_FIXED));
}

static enum op_result place(struct performer *p, const struct op *op)
{
	struct kmm_va va = { 0 };
	enum kmm_error e = kmm_space_map(p->space[op->arg[0]], &va, op->arg[2] * KMM_PAGE_BYTES,
					 op->arg[3], 0);

	if (e == KMM_OK)
		p->placed[op->arg[0]][op->arg[1]] = va.a;
	return perform_result(e);
}

static enum op_result unmap(struct performer *p, const struct op *op, unsigned pages)
{
	struct kmm_va va = page_va(p, op->arg[0], op->arg[1], op->arg[2]);

	return perform_result(kmm_space_unmap(p->space[op->arg[0]], va, pages * KMM_PAGE_BYTES));
}

static enum op_result protect(struct performer *p, const struct op *op, unsigned pages)
{
	struct kmm_va va = page_va(p, op->arg[0], op->arg[1], op->arg[2]);

	return perform_result(kmm_space_protect(p->space[op->arg[0]], va, pages * KMM_PAGE_BYTES,
					   op->arg[4]));
}

static enum op_result set_break(struct performer *p, const struct op *op)
{
	struct kmm_va va = page_va(p, op->arg[0], OPS_HEAP_WINDOW, op->arg[1]), now;
	enum kmm_error e = kmm_space_brk(p->space[op->arg[0]], va, &now);

	if (e == KMM_OK && now.a != va.a)
		p->ways->complain(p->ctx, ORACLE_MODEL, "brk reports another end than asked for");
	return perform_result(e);
}

static enum op_result fork_space(struct performer *p, unsigned parent, unsigned child)
{
	struct kmm_space *s;
	enum kmm_error e = kmm_space_fork(p->space[parent], &s);

	if (e != KMM_OK)
		return perform_result(e);
	p->space[child] = s;
	memcpy(p->placed[child], p->placed[parent], sizeof(p->placed[child]));
	return RESULT_OK;
}

static enum op_result exit_space(struct performer *p, unsigned space)
{
	struct kmm_space *s = p->space[space];

	p->ways->leave(p->ctx, s);
	kmm_space_destroy(s);
	p->space[space] = NULL;
	return RESULT_OK;
}

/// Folds one page's stamps into *digest; leaves it alone if an access is refused.
static enum op_result read_page(struct performer *p, struct kmm_space *s, uint64_t va,
				uint64_t *digest)
{
	uint64_t folded = *digest;

	for (unsigned i = 0; i < OPS_STAMPS; i++) {
		uint64_t word;
		enum op_result r = p->ways->access(p->ctx, s, va + ops_stamp_offset[i],
						   KMM_ACCESS_READ, &word);

		if (r != RESULT_OK)
			return r;
		folded = ops_fold(folded, word);
	}
	*digest = folded;
	return RESULT_OK;
}

static void read_range(struct performer *p, const struct op *op, unsigned pages,
		       struct op_outcome *out)
{
	unsigned space = op->arg[0], first = op->arg[2];
	uint64_t digest = OPS_DIGEST_START;

	for (unsigned page = first; page < first + pages; page++) {
		uint64_t va = page_va(p, space, op->arg[1], page).a;

		out->result = read_page(p, p->space[space], va, &digest);
		if (out->result != RESULT_OK) {
			out->value = ops_refused_read(digest, page);
			return;
		}
	}
	out->value = digest;
}

static enum op_result write_page(struct performer *p, const struct op *op, unsigned page)
{
	uint64_t va = page_va(p, op->arg[0], op->arg[1], page).a;

	for (unsigned i = 0; i < OPS_STAMPS; i++) {
		uint64_t word = ops_stamp(op->arg[4], op->arg[1], page, i);
		enum op_result r = p->ways->access(p->ctx, p->space[op->arg[0]],
						   va + ops_stamp_offset[i], KMM_ACCESS_WRITE,
						   &word);

		if (r != RESULT_OK)
			return r;
	}
	return RESULT_OK;
}

static void write_range(struct performer *p, const struct op *op, unsigned pages,
			struct op_outcome *out)
{
	unsigned first = op->arg[2];

	for (unsigned page = first; page < first + pages; page++) {
		out->result = write_page(p, op, page);
		if (out->result != RESULT_OK) {
			out->value = page;
			return;
		}
	}
}

static enum op_result change_space(struct performer *p, const struct op *op, unsigned pages)
{
	switch (op->code) {
	case OP_MAP:
		return map(p, op);
	case OP_PLACE:
		return place(p, op);
	case OP_UNMAP:
		return unmap(p, op, pages);
	case OP_PROTECT:
		return protect(p, op, pages);
	case OP_BREAK:
		return set_break(p, op);
	case OP_FORK:
		return fork_space(p, op->arg[0], op->arg[1]);
	default:
		return exit_space(p, op->arg[0]);
	}
}

static void perform_user(struct performer *p, const struct op *op, const struct ops_names *n,
			 struct op_outcome *out)
{
	unsigned pages = ops_range_pages(n, op);

	if (p->space[op->arg[0]] == NULL) {
		out->result = RESULT_UNSUPPORTED;
		return;
	}
	activate(p, op->arg[0]);
	if (op->code == OP_READ) {
		read_range(p, op, pages, out);
	} else if (op->code == OP_WRITE) {
		write_range(p, op, pages, out);
	} else {
		enter(p, true);
		out->result = change_space(p, op, pages);
		enter(p, false);
	}
}

/* ---- judging ---- */

uint64_t perform_used(const struct performer *p)
{
	struct kmm_frame_stats f;

	kmm_frame_stats(p->k, &f);
	return f.managed_n - f.free_n - f.reserve_n - spot_idle_n(p);
}

static void take_snapshot(const struct performer *p, struct perform_snapshot *s)
{
	struct kmm_object_stats o;
	struct kmm_vm_stats v;

	kmm_object_stats(p->k, &o);
	kmm_vm_stats(p->k, &v);
	*s = (struct perform_snapshot){ perform_used(p) - o.frames_n, v.spaces_n, v.regions_n,
					o.live_n };
}

bool perform_is_atomic(uint8_t code)
{
	return code < OP_N && code != OP_READ && code != OP_WRITE &&
	       ops_table[code].side != OP_PLAYER;
}

void perform_verify_unchanged(struct performer *p)
{
	const struct perform_snapshot *was = &p->turn.before;
	struct perform_snapshot now;
	char text[FINDING_TEXT_BYTES];

	take_snapshot(p, &now);
	if (memcmp(&now, was, sizeof(now)) == 0)
		return;
	kmm_format(text, sizeof(text),
		   "%s failed, but frames in use went from %llu to %llu, spaces %llu to %llu, "
		   "regions %llu to %llu, objects %llu to %llu", ops_table[p->turn.last_code].text,
		   ull(was->used_n), ull(now.used_n), ull(was->spaces_n), ull(now.spaces_n),
		   ull(was->regions_n), ull(now.regions_n), ull(was->live_n), ull(now.live_n));
	p->ways->complain(p->ctx, ORACLE_UNCHANGED, text);
}

void perform_verify_invariants(struct performer *p)
{
	char line[KMM_LOG_LINE_BYTES];

	if (kmm_check(p->k) == KMM_OK)
		return;
	if (!kmm_log_line(p->k, 0, line))
		strcpy(line, "kmm_check failed");
	p->ways->complain(p->ctx, ORACLE_INVARIANT, line);
}

/* ---- the whole ---- */

/// A space's pages in regions, by kmm's own account: a bit each.
struct listing {
	const struct performer *p;
	unsigned space;
	uint64_t page[OPS_WINDOWS];
};

static bool list_region(void *ctx, struct kmm_va start, struct kmm_va end, unsigned prot)
{
	struct listing *l = ctx;

	(void)prot;
	for (unsigned window = 0; window < OPS_WINDOWS; window++) {
		uint64_t base = perform_window(l->p, l->space, window);
		uint64_t stop = base + OPS_WINDOW_PAGES * KMM_PAGE_BYTES;
		uint64_t from = start.a > base ? start.a : base, to = end.a < stop ? end.a : stop;

		for (; base && from < to; from += KMM_PAGE_BYTES)
			l->page[window] |= 1ull << ((from - base) >> KMM_PAGE_LG2);
	}
	return true;
}

/// Where access is tried: pages in regions, those next to them, and a window's ends. The
/// rest would fault, each at the price of a walk through kmm; that no leaf is there is
/// kmm_check's and the ledger's to say.
static uint64_t worth_a_look(uint64_t listed)
{
	return listed | listed << 1 | listed >> 1 | 1u | 1ull << (OPS_WINDOW_PAGES - 1u);
}

/// *result becomes RESULT_NOMEM if a page could not be faulted in.
static uint64_t space_digest(struct performer *p, const struct ops_names *n, unsigned space,
			     uint32_t *result)
{
	struct listing l = { .p = p, .space = space };
	uint64_t digest = OPS_DIGEST_START;

	if (p->space[space])
		kmm_space_regions(p->space[space], list_region, &l);
	for (unsigned window = 0; window < OPS_WINDOWS; window++) {
		unsigned pages = ops_window_pages(n, space, window);
		uint64_t look = worth_a_look(l.page[window]);

		for (unsigned page = 0; page < pages; page++) {
			uint64_t va = page_va(p, space, window, page).a;
			enum op_result r = RESULT_SEGV;

			if (p->space[space] && look >> page & 1u)
				r = read_page(p, p->space[space], va, &digest);
			if (r != RESULT_OK)
				digest = ops_fold(digest, OPS_UNREADABLE);
			if (r == RESULT_NOMEM)
				*result = r;
		}
	}
	return digest;
}

static void checkpoint(struct performer *p, const struct ops_names *n, struct op_outcome *out)
{
	out->value = OPS_DIGEST_START;
	for (unsigned space = 0; space < OPS_SPACES; space++) {
		if (!(n->spaces >> space & 1u))
			continue;
		if (p->space[space]) /* NULL: a preset without user space */
			activate(p, space);
		out->value = ops_fold(out->value, space);
		out->value = ops_fold(out->value, space_digest(p, n, space, &out->result));
	}
	if (out->result != RESULT_OK)
		out->value = 0;
}

static void perform_one(struct performer *p, const struct op *op, const struct ops_names *n,
			struct op_outcome *out)
{
	switch (ops_table[op->code].side) {
	case OP_KERNEL:
		enter(p, true);
		out->result = kernel_op_perform(p, op);
		enter(p, false);
		break;
	case OP_USER:
		perform_user(p, op, n, out);
		break;
	default:
		if (op->code == OP_CPU)
			p->ways->cpu(p->ctx, op->arg[0] % p->cpus_n);
		else if (op->code == OP_CHECKPOINT)
			checkpoint(p, n, out);
		break;
	}
}

void perform_turn(struct performer *p, struct perform_turn *t, const struct op *op,
		  const struct ops_names *n, struct op_outcome *out)
{
	bool arm = t->fail_next && ops_table[op->code].side != OP_PLAYER;

	*out = (struct op_outcome){ RESULT_OK, 0 };
	t->fail_next &= !arm;
	t->injected = false;
	t->last_code = op->code;
	if (perform_is_atomic(op->code) && !p->together)
		take_snapshot(p, &t->before);
	t->fail_armed = arm && kmm_fail_arm(p->k, t->fail_class, t->fail_kth) == KMM_OK;
	perform_one(p, op, n, out);
	if (t->fail_armed)
		t->injected = kmm_fail_disarm(p->k);
	t->fail_armed = false;
	if (kernel_op_allocates(op->code) && out->result == RESULT_NOMEM && !t->injected &&
	    !p->together)
		block_verify_nomem(p, op);
	if (op->code == OP_FAIL) {
		t->fail_next = true;
		t->fail_class = (enum kmm_fail_class)op->arg[0];
		t->fail_kth = op->arg[1];
	}
}

void perform(struct performer *p, const struct op *op, const struct ops_names *n,
	     struct op_outcome *out)
{
	perform_turn(p, &p->turn, op, n, out);
}

enum kmm_error perform_start(struct performer *p, struct kmm *k, const struct perform_ways *ways,
			     void *ctx, unsigned cpus_n)
{
	struct kmm_va heap = { ops_window_base(OPS_HEAP_WINDOW) };
	enum kmm_error e;

	memset(p, 0, sizeof(*p));
	p->k = k;
	p->ways = ways;
	p->ctx = ctx;
	p->cpus_n = cpus_n;
	p->turn.last_code = OP_N;
	e = kmm_space_create(k, &p->space[0]);
	if (e == KMM_EUNSUPPORTED) {
		p->space[0] = NULL;
		return KMM_OK;
	}
	return e == KMM_OK ? kmm_space_brk_init(p->space[0], heap) : e;
}

void perform_finish(struct performer *p)
{
	for (unsigned i = 0; i < OPS_SPACES; i++)
		if (p->space[i])
			(void)exit_space(p, i);
	spot_finish(p);
	for (unsigned i = 0; i < OPS_SLOTS; i++) {
		enum op_result r = RESULT_OK;

		if (p->frames >> i & 1u)
			r = block_frame_free(p, i);
		if (r == RESULT_OK && (p->objects >> i & 1u))
			r = block_object_free(p, i);
		if (r == RESULT_CORRUPT)
			p->ways->complain(p->ctx, ORACLE_CONTENTS,
					  "a block held what its owner never wrote");
		else if (r != RESULT_OK)
			p->ways->complain(p->ctx, ORACLE_LEDGER, "a live block can't be freed");
	}
}
