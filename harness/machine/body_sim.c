/// kmm on the simulated machine.
///
/// An operation runs under machine_guard: a panic, a failed assertion or an endless
/// wait becomes a finding, and the instance is dead from then on. After each user
/// operation every CPU with a root loaded looks at a few pages, as speculation
/// would, so that CPUs which only lazily keep a root hold entries too. An exit leaves
/// such CPUs to kmm.
///
/// On every KERNEL_EVERY-th page the kernel's way into user memory takes part: it writes
/// the first stamp in the user's place, and reads after the user has read.
///
/// A write that brings in another frame (a first touch, a copy) must leave the rest of
/// the page as it was: looked at word by word, right after the fault.
///
/// A failed operation must leave the visible state as it was (ORACLE_UNCHANGED):
/// always checked are the numbers of frames in use, spaces, regions and live
/// objects; on thorough runs, where the operations before were verified so too, also
/// the digest of all regions and leaves. Reads and writes are left out: what they
/// touched before they were refused stays touched.
///
/// The machine and the ledger are kept between runs (one spare for each thread), since
/// mapping and clearing memory would cost more than a short trace.
#include "machine/body_sim.h"

#include <stdlib.h>
#include <string.h>

#define LOOKS_N 3u
#define KERNEL_EVERY 4u /* pages of which the kernel accesses one too */

struct body {
	struct machine m;
	struct performer p;
	struct ledger l;
	uint64_t digest;
	bool digest_valid; /* it is of the state before the last operation */
	bool was_thorough; /* the last verification */
};

static _Thread_local struct body *spare;

struct machine *sim_machine(struct body *b)
{
	return &b->m;
}

struct performer *sim_performer(struct body *b)
{
	return &b->p;
}

struct ledger *sim_ledger(struct body *b)
{
	return &b->l;
}

/* ---- ways ---- */

/// The kernel writes where the user was about to, as a system call would. False:
/// not this time, or it was refused, and the user's own access tells why.
static bool kernel_writes(const struct body *b, struct kmm_space *s, uint64_t va,
			  const uint64_t *word)
{
	struct kmm_va at = { va };
	bool first = va % KMM_PAGE_BYTES == ops_stamp_offset[0];

	/* An injected failure that the kernel met would be gone for the user. */
	return !b->p.fail_armed && first && (va >> KMM_PAGE_LG2) % KERNEL_EVERY == 0 &&
	       kmm_space_write(s, at, word, sizeof(*word)) == sizeof(*word);
}

/// The kernel reads what the user has just read.
static void kernel_reads(struct machine *m, struct kmm_space *s, uint64_t va, uint64_t word)
{
	struct kmm_va at = { va };
	uint64_t seen = 0;

	if ((va >> KMM_PAGE_LG2) % KERNEL_EVERY != 0 || va % KMM_PAGE_BYTES != ops_stamp_offset[1])
		return;
	if (kmm_space_read(s, at, &seen, sizeof(seen)) != sizeof(seen) || seen != word)
		machine_find(m, ORACLE_CONTENTS, "at %#llx the kernel reads %#llx, the user %#llx",
			     (unsigned long long)va, (unsigned long long)seen,
			     (unsigned long long)word);
}

/// The frame that the tables name for va now; 0: none.
static uint64_t frame_behind(const struct machine *m, uint64_t va)
{
	struct mmu_from from = { m->cpu[m->port.cpu].root, MMU_LEVELS - 1u, MMU_RWX };
	struct mmu_walk w;

	mmu_walk(&m->mem, &from, va, &w);
	return w.status == MMU_OK && w.level == 0 ? w.pfn : 0;
}

/// [from, to) of a page equals the old page's, or is zero if there was none.
static bool range_kept(const char *page, const char *old, uint64_t from, uint64_t to)
{
	static const char zeros[KMM_PAGE_BYTES];

	return memcmp(page + from, (old ? old : zeros) + from, to - from) == 0;
}

void sim_verify_copied(struct machine *m, uint64_t va, uint64_t was)
{
	uint64_t now = frame_behind(m, va), at = va % KMM_PAGE_BYTES;
	const char *page = (const char *)mmu_table(&m->mem, now);
	const char *old = was ? (const char *)mmu_table(&m->mem, was) : NULL;

	if (now == was || !page)
		return;
	if (!range_kept(page, old, 0, at) || !range_kept(page, old, at + 8u, KMM_PAGE_BYTES))
		machine_find(m, ORACLE_CONTENTS, "a write at %#llx brought in frame %#llx, which "
			     "isn't what was there before%s", (unsigned long long)va,
			     (unsigned long long)now, was ? "" : ": zeros");
}

static enum op_result way_access(void *ctx, struct kmm_space *s, uint64_t va,
				 enum kmm_access access, uint64_t *word)
{
	struct body *b = ctx;
	bool write = access == KMM_ACCESS_WRITE;
	uint64_t was = write ? frame_behind(&b->m, va) : 0;
	enum op_result r = RESULT_OK;

	if (!write || !kernel_writes(b, s, va, word))
		r = machine_access(&b->m, s, va, access, word);
	if (r == RESULT_OK && write)
		sim_verify_copied(&b->m, va, was);
	else if (r == RESULT_OK)
		kernel_reads(&b->m, s, va, *word);
	return r;
}

static void way_touch(void *ctx, const void *at, uint64_t bytes)
{
	struct body *b = ctx;

	machine_touch(&b->m, at, bytes);
}

static void way_leave(void *ctx, struct kmm_space *s)
{
	(void)ctx;
	(void)s; /* between operations a CPU only has it loaded, and kmm must see to that */
}

static void way_cpu(void *ctx, unsigned cpu)
{
	struct body *b = ctx;

	machine_switch(&b->m, cpu);
}

static void way_complain(void *ctx, enum oracle oracle, const char *text)
{
	struct body *b = ctx;

	machine_find(&b->m, oracle, "%s", text);
}

static const struct perform_ways ways = { way_access, way_touch, way_leave, way_cpu,
					  way_complain };

/* ---- start ---- */

/// The map gave out exactly that many frames; roundings and overlaps are kmm's.
static void verify_managed(struct machine *m)
{
	struct kmm_frame_stats f;

	kmm_frame_stats(m->kmm, &f);
	if (f.managed_n != m->o.frames_n)
		machine_find(m, ORACLE_LEDGER, "the map has %llu usable frames, kmm manages %llu",
			     (unsigned long long)m->o.frames_n, (unsigned long long)f.managed_n);
}

struct start_call {
	struct body *b;
	const struct machine_options *o;
	const char *error;
};

static void start_guarded(void *ctx)
{
	struct start_call *c = ctx;
	struct body *b = c->b;

	c->error = machine_start(&b->m, c->o);
	b->m.armed = true; /* machine_start cleared it */
	if (c->error)
		return;
	verify_managed(&b->m);
	if (perform_start(&b->p, b->m.kmm, &ways, b, c->o->cpus_n) != KMM_OK)
		c->error = "sim: no memory for the first address space";
	else if (!ledger_start(&b->l, &b->m, &b->p))
		c->error = "sim: no memory for the ledger";
}

static const char *resolve_options(const struct body_options *o, struct machine_options *m)
{
	m->preset = kmm_preset_find(o->preset ? o->preset : "pagemill");
	m->format = kmm_pt_format_find(o->format ? o->format : "x86_64");
	m->cpus_n = o->cpus_n ? o->cpus_n : 2;
	m->frames_n = o->frames_n ? o->frames_n : 4096;
	m->seed = o->seed;
	if (!m->preset)
		return "sim: no such preset";
	if (!m->format)
		return "sim: no such page-table format";
	return NULL;
}

static void body_release(struct body *b)
{
	if (!spare) {
		spare = b;
		return;
	}
	ledger_free(&b->l);
	machine_free(&b->m);
	free(b);
}

static const char *sim_start(struct body **out, const struct body_options *o)
{
	struct machine_options mo;
	const char *error = resolve_options(o, &mo);
	struct start_call c = { spare ? spare : calloc(1, sizeof(struct body)), &mo, NULL };

	spare = NULL;
	if (!c.b)
		return "sim: out of memory";
	c.b->m.dead = c.b->digest_valid = c.b->was_thorough = false;
	c.b->m.finding.oracle = ORACLE_NONE;
	/* A panic here is a finding like any other, and so is a machine that kmm doesn't
	 * take: the body starts, and is dead. */
	if (!error && machine_guard(&c.b->m, start_guarded, &c)) {
		error = c.error;
		c.b->m.dead = error && c.b->m.finding.oracle != ORACLE_NONE;
	}
	if (c.b->m.dead)
		error = NULL;
	if (error) {
		body_release(c.b);
		return error;
	}
	*out = c.b;
	return NULL;
}

/* ---- perform ---- */

/// Pages near the operation's own, and anywhere.
static void speculate(struct body *b, const struct op *op)
{
	unsigned space = op->arg[0];

	for (unsigned i = 0; i < LOOKS_N; i++) {
		uint64_t r = machine_choose(&b->m);
		unsigned window = r & 1u ? op->arg[1] : (unsigned)(r >> 8);
		unsigned page = r & 2u ? op->arg[2] + (unsigned)(r >> 16) % 4u :
					 (unsigned)(r >> 16);
		uint64_t base = perform_window(&b->p, space, window % OPS_WINDOWS);

		if (base)
			machine_speculate(&b->m, base + page % OPS_WINDOW_PAGES * KMM_PAGE_BYTES);
	}
}

struct perform_call {
	struct body *b;
	const struct op *op;
	const struct ops_names *names;
	struct op_outcome *out;
};

/// Every CPU answers here: a frame-alloc that fails has called back all cached frames,
/// where the preset's caches drain.
static void verify_drained(struct body *b)
{
	struct kmm_frame_stats f;

	kmm_frame_stats(b->m.kmm, &f);
	if (b->m.o.preset->frame_cache_drains && f.cached_n != 0)
		machine_find(&b->m, ORACLE_MODEL, "frame-alloc fails, though %llu frames lie in "
			     "caches", (unsigned long long)f.cached_n);
}

static void perform_guarded(void *ctx)
{
	struct perform_call *c = ctx;

	perform(&c->b->p, c->op, c->names, c->out);
	if (c->op->code == OP_FRAME_ALLOC && c->out->result == RESULT_NOMEM && !c->b->p.injected)
		verify_drained(c->b);
	if (ops_table[c->op->code].side == OP_USER && c->b->p.space[0])
		speculate(c->b, c->op);
}

static void sim_perform(struct body *b, const struct op *op, const struct ops_names *n,
			struct op_outcome *out)
{
	struct perform_call c = { b, op, n, out };

	if (!machine_guard(&b->m, perform_guarded, &c))
		*out = (struct op_outcome){ RESULT_ERROR, 0 };
}

/* ---- verify ---- */

/// Every loaded root belongs to a live space, or is the kernel's.
static void verify_roots(struct body *b)
{
	uint64_t kernel = kmm_pt_kernel(b->m.kmm)->root.n;

	for (unsigned cpu = 0; cpu < b->m.o.cpus_n; cpu++) {
		uint64_t root = b->m.cpu[cpu].root;
		bool live = !b->m.cpu[cpu].loaded || root == kernel;

		for (unsigned i = 0; i < OPS_SPACES && !live; i++)
			live = b->p.space[i] && kmm_space_pt(b->p.space[i])->root.n == root;
		if (!live)
			machine_find(&b->m, ORACLE_TLB, "CPU %u translates by the root of no live "
				     "space", cpu);
	}
}

struct verify_call {
	struct body *b;
	bool thorough, failed;
};

static void verify_guarded(void *ctx)
{
	struct verify_call *c = ctx;
	struct body *b = c->b;

	machine_verify_tlbs(&b->m);
	verify_roots(b);
	if (c->failed && perform_is_atomic(b->p.last_code)) {
		perform_verify_unchanged(&b->p);
		if (c->thorough && b->digest_valid && ledger_digest(&b->l) != b->digest)
			machine_find(&b->m, ORACLE_UNCHANGED, "%s failed, but regions or pages "
				     "changed", ops_table[b->p.last_code].text);
	}
	if (!c->thorough)
		return;
	machine_verify_gaps(&b->m);
	perform_verify_blocks(&b->p);
	ledger_verify(&b->l);
	perform_verify_invariants(&b->p);
	/* Worth having only where every operation is verified so. */
	if (b->was_thorough)
		b->digest = ledger_digest(&b->l);
}

static void sim_verify(struct body *b, bool thorough, bool failed, struct finding *f)
{
	struct verify_call c = { b, thorough, failed };

	if (b->m.finding.oracle == ORACLE_NONE && !b->m.dead) {
		(void)machine_guard(&b->m, verify_guarded, &c);
		b->digest_valid = thorough && b->was_thorough;
		b->was_thorough = thorough;
	}
	*f = b->m.finding;
}

static bool sim_injected(struct body *b)
{
	return b->p.injected;
}

/* ---- finish ---- */

static void finish_guarded(void *ctx)
{
	struct body *b = ctx;
	uint64_t leaked;

	perform_finish(&b->p);
	machine_verify_tlbs(&b->m);
	machine_verify_gaps(&b->m);
	machine_switch(&b->m, 0);
	leaked = kmm_teardown(b->m.kmm);
	if (leaked != 0)
		machine_find(&b->m, ORACLE_LEAK, "%llu frames are left after teardown",
			     (unsigned long long)leaked);
}

static void sim_finish(struct body *b, struct finding *f)
{
	/* After a finding the state can't be trusted to come down in good order. */
	if (b->m.finding.oracle == ORACLE_NONE)
		(void)machine_guard(&b->m, finish_guarded, b);
	*f = b->m.finding;
	body_release(b);
}

const struct body_class body_sim = {
	.name = "sim",
	.start = sim_start,
	.perform = sim_perform,
	.verify = sim_verify,
	.injected = sim_injected,
	.finish = sim_finish,
	.flip = sim_flip,
};
