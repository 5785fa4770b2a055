/// Memory as a whole: parts of it go out of use and come back, and someone listens to
/// pressure.
///
/// A spot is a sixteenth of the span of all zones, so that a name means a place in every
/// body. Isolating one is all or nothing here: if frames of it are in use, what was taken
/// goes back, and the answer is RESULT_NOMEM, as for a spot that can't be unplugged. What
/// is out of use must never be handed out.
///
/// The listener owns a stash of single frames, and gives half of it back each time that it
/// is asked. It is there while the last `listen` named more than zero.
#include "machine/blocks.h"

static void span(const struct performer *p, unsigned spot, struct kmm_pfn *pfn, uint64_t *n)
{
	struct kmm_zone_info first, last;
	uint64_t all;

	pfn->n = *n = 0;
	if (kmm_zone_info(p->k, 0, &first) != KMM_OK ||
	    kmm_zone_info(p->k, kmm_zones_n(p->k) - 1u, &last) != KMM_OK)
		return;
	all = last.end.n - first.base.n;
	pfn->n = first.base.n + all * spot / OPS_SPOTS;
	*n = first.base.n + all * (spot + 1u) / OPS_SPOTS - pfn->n;
}

static void set(uint16_t *spots, unsigned spot, bool on)
{
	*spots = (uint16_t)(on ? *spots | 1u << spot : *spots & ~(1u << spot));
}

enum op_result spot_isolate(struct performer *p, bool on, unsigned spot)
{
	struct kmm_pfn pfn;
	uint64_t n, busy_n = 0;
	enum kmm_error e;

	span(p, spot, &pfn, &n);
	if (!on) {
		set(&p->isolated, spot, false);
		return perform_result(kmm_frame_unisolate(p->k, pfn, n));
	}
	e = kmm_frame_isolate(p->k, pfn, n, &busy_n);
	if (e == KMM_OK && busy_n != 0) {
		e = kmm_frame_unisolate(p->k, pfn, n);
		return e == KMM_OK ? RESULT_NOMEM : perform_result(e);
	}
	if (e == KMM_OK)
		set(&p->isolated, spot, true);
	return perform_result(e);
}

/// A spot that holds more than memory is refused for good.
enum op_result spot_plug(struct performer *p, bool on, unsigned spot)
{
	struct kmm_pfn pfn;
	uint64_t n;
	enum kmm_error e;

	span(p, spot, &pfn, &n);
	if (on) {
		set(&p->absent, spot, false);
		return perform_result(kmm_frame_plug(p->k, pfn, n));
	}
	e = kmm_frame_unplug(p->k, pfn, n);
	if (e == KMM_EBUSY || e == KMM_EINVAL)
		return RESULT_NOMEM;
	if (e == KMM_OK) {
		set(&p->isolated, spot, false);
		set(&p->absent, spot, true);
	}
	return perform_result(e);
}

void spot_verify_use(struct performer *p, struct kmm_pfn pfn, uint64_t n)
{
	for (unsigned i = 0; i < OPS_SPOTS; i++) {
		struct kmm_pfn at;
		uint64_t frames_n;

		if (!((p->isolated | p->absent) >> i & 1u))
			continue;
		span(p, i, &at, &frames_n);
		if (pfn.n < at.n + frames_n && at.n < pfn.n + n)
			p->ways->complain(p->ctx, ORACLE_LEDGER,
					  "frames are handed out that were taken out of use");
	}
}

/* ---- pressure ---- */

static void on_level(struct kmm *k, void *ctx, unsigned zone, enum kmm_level level)
{
	struct performer *p = ctx;

	if (zone >= kmm_zones_n(k) || level >= KMM_LEVELS_N)
		p->ways->complain(p->ctx, ORACLE_MODEL, "the listener hears of no such level");
}

/// Each frame leaves the stash before it is freed: others may come in meanwhile.
static uint64_t on_reclaim(struct kmm *k, void *ctx, unsigned order)
{
	struct performer *p = ctx;
	uint64_t done = 0;

	(void)order;
	for (unsigned want = (p->stash.n + 1u) / 2u; want != 0 && p->stash.n != 0; want--) {
		struct kmm_pfn pfn = p->stash.pfn[--p->stash.n];

		if (kmm_frame_free(k, pfn, 0) != KMM_OK)
			p->ways->complain(p->ctx, ORACLE_MODEL, "the listener can't free a frame");
		done++;
	}
	return done;
}

/// 1/2, 1/4 and 1/8 of each zone, so that levels change often; or what suits it.
static enum kmm_error marks(struct kmm *k, bool early)
{
	unsigned share_lg2 = early ? 1u : 6u;
	struct kmm_zone_info z;
	enum kmm_error e = KMM_OK;

	for (unsigned i = 0; e == KMM_OK && kmm_zone_info(k, i, &z) == KMM_OK; i++)
		e = kmm_zone_set_marks(k, i, z.managed_n >> share_lg2,
				       z.managed_n >> (share_lg2 + 1u),
				       z.managed_n >> (share_lg2 + 2u));
	return e;
}

static void stash_empty(struct performer *p)
{
	unsigned done = 0, n = p->stash.n;

	p->stash.n = 0;
	if (kmm_frame_free_batch(p->k, 0, n, p->stash.pfn, &done) != KMM_OK || done != n)
		p->ways->complain(p->ctx, ORACLE_MODEL, "a batch of frames can't be freed");
}

enum op_result spot_listen(struct performer *p, unsigned frames_n)
{
	struct perform_stash *s = &p->stash;
	enum kmm_error e;

	kmm_pressure_listen(p->k, NULL);
	stash_empty(p);
	s->listens = frames_n != 0;
	e = marks(p->k, s->listens);
	if (e != KMM_OK || !s->listens)
		return perform_result(e);
	s->n = kmm_frame_alloc_batch(p->k, 0, KMM_FRAME_MOVABLE, frames_n, s->pfn);
	for (unsigned i = 0; i < s->n; i++)
		spot_verify_use(p, s->pfn[i], 1);
	s->listener = (struct kmm_pressure){ .ctx = p, .level = on_level,
					     .reclaim = on_reclaim };
	kmm_pressure_listen(p->k, &s->listener);
	return RESULT_OK;
}

void spot_finish(struct performer *p)
{
	if (p->stash.listens)
		(void)spot_listen(p, 0);
	for (unsigned i = 0; i < OPS_SPOTS; i++) {
		bool fine = true;

		if (p->absent >> i & 1u)
			fine = spot_plug(p, true, i) == RESULT_OK;
		else if (p->isolated >> i & 1u)
			fine = spot_isolate(p, false, i) == RESULT_OK;
		if (!fine)
			p->ways->complain(p->ctx, ORACLE_MODEL, "a spot doesn't come back into use");
	}
}

/// Frames of a spot that are memory.
static uint64_t memory_n(const struct performer *p, unsigned spot)
{
	struct kmm_pfn pfn;
	uint64_t n, sum = 0;

	span(p, spot, &pfn, &n);
	for (unsigned i = 0; p->memmap && i < p->memmap->n; i++) {
		const struct kmm_mem_range *r = &p->memmap->range[i];
		uint64_t start = kmm_pa_to_pfn(r->start).n, end = kmm_pa_to_pfn(r->end).n;

		start = start > pfn.n ? start : pfn.n;
		end = end < pfn.n + n ? end : pfn.n + n;
		if (r->kind < KMM_MEM_RESERVED && start < end)
			sum += end - start;
	}
	return sum;
}

uint64_t spot_idle_n(const struct performer *p)
{
	uint64_t n = p->stash.n;

	for (unsigned i = 0; i < OPS_SPOTS; i++)
		if (p->isolated >> i & 1u)
			n += memory_n(p, i);
	return n;
}
