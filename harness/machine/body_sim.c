/// kmm on the simulated machine: operations one by one. (Several at once: section.c.
/// How user memory is reached: ways.c.)
///
/// An operation runs under machine_guard: a panic, a failed assertion or an endless
/// wait becomes a finding, and the instance is dead from then on. After each user
/// operation every CPU with a root loaded looks at a few pages, as speculation
/// would, so that CPUs which only lazily keep a root hold entries too. An exit leaves
/// such CPUs to kmm.
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
	if (perform_start(&b->p, b->m.kmm, &sim_ways, b, c->o->cpus_n) != KMM_OK)
		c->error = "sim: no memory for the first address space";
	b->p.memmap = &b->m.memmap;
	if (!c->error && !ledger_start(&b->l, &b->m, &b->p))
		c->error = "sim: no memory for the ledger";
}

/// *preset is where m->preset will point.
static const char *resolve_options(const struct body_options *o, struct machine_options *m,
				   struct kmm_preset *preset)
{
	m->preset = kmm_preset_parse(o->preset ? o->preset : "pagemill", preset) ? preset : NULL;
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
	struct kmm_preset preset;
	const char *error = resolve_options(o, &mo, &preset);
	struct start_call c = { spare ? spare : calloc(1, sizeof(struct body)), &mo, NULL };

	spare = NULL;
	if (!c.b)
		return "sim: out of memory";
	c.b->m.dead = c.b->digest_valid = c.b->was_thorough = false;
	c.b->m.finding = (struct finding){ 0 };
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
	/* Who hears of a level, or gives back what is in the stash, may fill caches again. */
	if (b->m.o.preset->frame_cache_drains && f.cached_n != 0 && !b->p.stash.listens)
		machine_find(&b->m, ORACLE_MODEL, "frame-alloc fails, though %llu frames lie in "
			     "caches", (unsigned long long)f.cached_n);
}

static void perform_guarded(void *ctx)
{
	struct perform_call *c = ctx;

	perform(&c->b->p, c->op, c->names, c->out);
	if (c->op->code == OP_FRAME_ALLOC && c->out->result == RESULT_NOMEM &&
	    !c->b->p.turn.injected)
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
	if (c->failed && perform_is_atomic(b->p.turn.last_code)) {
		perform_verify_unchanged(&b->p);
		if (c->thorough && b->digest_valid && ledger_digest(&b->l) != b->digest)
			machine_find(&b->m, ORACLE_UNCHANGED, "%s failed, but regions or pages "
				     "changed", ops_table[b->p.turn.last_code].text);
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
	return b->p.turn.injected;
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
	.together = sim_together,
	.injected = sim_injected,
	.finish = sim_finish,
	.flip = sim_flip,
};
