/// Memory that comes and goes: frames are added to their zone's policy, taken out of it for
/// good, or taken out for a while.
///
/// Which frames are memory never changes: it is what the memory map called so, there at
/// boot or not (KMM_MEM_PLUGGABLE). For all of it there are tags, entries, a zone and the
/// policy's metadata from the start. What is there now is told from the tags: a frame of
/// memory that isn't there is FRAME_ABSENT. So what was unplugged can be plugged in again,
/// boot memory too.
///
///     FRAME_ABSENT --plug--> free in the policy --claim_range--> FRAME_ISOLATED
///     FRAME_ISOLATED --unplug--> FRAME_ABSENT, --unisolate--> free in the policy
///
/// To empty a range that is in use: isolate it, move away what is in use, isolate it again
/// (what was freed meanwhile went back to the policy and may have found new owners), and so
/// on until nothing is busy; then unplug it.
///
/// Invariants
///   I1  FRAME_ABSENT frames are memory, in no policy, and not managed;
///   I2  while LOCK_PLUG is free, FRAME_ISOLATED frames are those that isolate took;
///   I3  managed_n of all zones = frames of memory that aren't FRAME_ABSENT.
///
/// Locking: LOCK_PLUG, over the whole of each step, so that FRAME_ISOLATED and FRAME_ABSENT
/// change under it alone, and each call knows which of them are its own. Caches are
/// emptied before it is taken: who waits for other CPUs may hold nothing.
///
/// Failure. Unplugging first turns what was isolated before into FRAME_ABSENT, then takes
/// what is free. If that isn't all, what is FRAME_ISOLATED now was taken by this call and
/// goes back, and what is FRAME_ABSENT becomes FRAME_ISOLATED again. For that instant other
/// allocations don't find these frames. Where caches can't be emptied (interrupts off, or
/// a preset that never drains), frames in them are in use, and so are those of the
/// reserve, always.
///
/// Limits: interrupts are off for O(n), and as long as the policy takes. Caches and the
/// reserve keep the sizes that suited the memory at boot; a zone's marks follow its size
/// unless somebody set them.
///
/// Sources: Hansen, Kravetz, Christiansen, Tolentino: Hotplug Memory and the Linux VM (OLS
/// 2004); Linux's page isolation, for the loop above.
#include "frame/plug.h"

#include "frame/cache.h"
#include "frame/zone.h"

void plug_init(struct kmm *k, const struct kmm_memmap *m)
{
	struct frame_state *s = k->frame;

	for (unsigned i = 0; i < m->n; i++) {
		const struct kmm_mem_range *r = &m->range[i];
		uint64_t start = kmm_pa_to_pfn(r->start).n, end = kmm_pa_to_pfn(r->end).n;

		if (r->kind >= KMM_MEM_RESERVED)
			continue;
		if (s->memory_n != 0 && s->memory[s->memory_n - 1u].end == start)
			s->memory[s->memory_n - 1u].end = end;
		else
			s->memory[s->memory_n++] = (struct memory_range){ start, end };
		if (r->kind != KMM_MEM_PLUGGABLE)
			continue;
		for (struct kmm_pfn at = { start }; at.n < end; at.n++)
			frame_tag_set(k, at, FRAME_ABSENT);
	}
}

/// How many frames of [from, to) are memory.
static uint64_t memory_within(const struct frame_state *s, uint64_t from, uint64_t to)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < s->memory_n; i++) {
		uint64_t a = s->memory[i].start > from ? s->memory[i].start : from;
		uint64_t b = s->memory[i].end < to ? s->memory[i].end : to;

		n += a < b ? b - a : 0;
	}
	return n;
}

uint64_t plug_memory_n(struct kmm *k)
{
	return memory_within(k->frame, 0, ~0ull);
}

/// A range that isn't empty, inside the table.
static bool range_valid(const struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	return frame_in_table(k, pfn) && n != 0 && n <= k->entry_end - pfn.n;
}

/// The same, and all of it memory.
static bool range_is_memory(struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	return range_valid(k, pfn, n) && memory_within(k->frame, pfn.n, pfn.n + n) == n;
}

static uint64_t tags_count(const struct kmm *k, struct kmm_pfn pfn, uint64_t n, enum frame_tag kind)
{
	uint64_t found = 0;

	for (; n != 0; n--, pfn.n++)
		found += frame_kind(k, pfn) == kind;
	return found;
}

/// Returns: how many were changed
static uint64_t tags_change(struct kmm *k, struct kmm_pfn pfn, uint64_t n, enum frame_tag from,
			    enum frame_tag to)
{
	uint64_t changed = 0;

	for (; n != 0; n--, pfn.n++) {
		if (frame_kind(k, pfn) == from) {
			frame_tag_set(k, pfn, to);
			changed++;
		}
	}
	return changed;
}

/// The part of a range that is the zone's. Returns: its frames
static uint64_t zone_part(const struct zone *z, struct kmm_pfn pfn, uint64_t n,
			  struct kmm_pfn *part)
{
	uint64_t end = pfn.n + n < z->end ? pfn.n + n : z->end;

	part->n = pfn.n > z->base ? pfn.n : z->base;
	return part->n < end ? end - part->n : 0;
}

#define EACH_PART(k, z, pfn, n, part, part_n)                                                \
	for (struct zone *z = (k)->frame->zone; z < (k)->frame->zone + (k)->frame->zones_n; z++) \
		if ((part_n = zone_part(z, pfn, n, &part)) != 0)

/// A zone has `more` frames more than it had; its marks follow. LOCK_PLUG
static void managed_add_locked(struct zone *z, uint64_t more)
{
	uint64_t was = atomic_load_relaxed(&z->managed_n);
	bool suit = zone_marks_suit(z, was);

	atomic_store_relaxed(&z->managed_n, was + more);
	if (suit)
		zone_marks_set(z, was + more);
}

/// Looks at the levels of a range's zones. Pre: no lock held
static void levels_look(struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	struct kmm_pfn part;
	uint64_t part_n;

	EACH_PART(k, z, pfn, n, part, part_n)
		zone_look(k, z);
	zone_tell(k);
}

static void plug_locked(struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	struct kmm_pfn part;
	uint64_t part_n;

	(void)tags_change(k, pfn, n, FRAME_ABSENT, FRAME_NONE);
	EACH_PART(k, z, pfn, n, part, part_n) {
		/* The count first: zone I1. */
		(void)atomic_add_acq_rel(&z->free_n, part_n);
		z->policy->add_range(k, z->state, part, part_n);
		managed_add_locked(z, part_n);
	}
}

enum kmm_error kmm_frame_plug(struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	enum kmm_error e = KMM_OK;
	unsigned long was;

	if (!range_is_memory(k, pfn, n))
		return KMM_EINVAL;
	was = lock_acquire(k, &k->frame->plug);
	if (tags_count(k, pfn, n, FRAME_ABSENT) != n)
		e = KMM_EBUSY;
	else
		plug_locked(k, pfn, n);
	lock_release(k, &k->frame->plug, was);
	levels_look(k, pfn, n);
	return e;
}

/// Empties all caches, if that may be waited for. Pre: no lock held
static void caches_empty(struct kmm *k)
{
	unsigned long was = kmm_port_irq_save(k);

	kmm_port_irq_restore(k, was);
	if (k->frame->drains && KMM_IRQ_WAS_ON(was))
		cache_drain_all(k);
}

/// Takes what is free of a range. Returns: how many
static uint64_t claim_locked(struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	struct kmm_pfn part;
	uint64_t part_n, got = 0;

	EACH_PART(k, z, pfn, n, part, part_n)
		got += zone_claim_range(k, z, part, part_n);
	return got;
}

/// Gives back what is FRAME_ISOLATED of a range.
static void release_locked(struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	struct kmm_pfn part;
	uint64_t part_n;

	EACH_PART(k, z, pfn, n, part, part_n)
		(void)zone_release_isolated(k, z, part, part_n, 0);
}

static enum kmm_error unplug_locked(struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	struct kmm_pfn part;
	uint64_t part_n, got;

	if (tags_count(k, pfn, n, FRAME_ABSENT) != 0)
		return KMM_EINVAL;
	got = tags_change(k, pfn, n, FRAME_ISOLATED, FRAME_ABSENT);
	got += claim_locked(k, pfn, n);
	if (got != n) {
		release_locked(k, pfn, n);
		(void)tags_change(k, pfn, n, FRAME_ABSENT, FRAME_ISOLATED);
		return KMM_EBUSY;
	}
	(void)tags_change(k, pfn, n, FRAME_ISOLATED, FRAME_ABSENT);
	EACH_PART(k, z, pfn, n, part, part_n)
		managed_add_locked(z, 0u - part_n);
	return KMM_OK;
}

enum kmm_error kmm_frame_unplug(struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	enum kmm_error e;
	unsigned long was;

	if (!range_is_memory(k, pfn, n))
		return KMM_EINVAL;
	caches_empty(k);
	was = lock_acquire(k, &k->frame->plug);
	e = unplug_locked(k, pfn, n);
	lock_release(k, &k->frame->plug, was);
	levels_look(k, pfn, n);
	return e;
}

enum kmm_error kmm_frame_isolate(struct kmm *k, struct kmm_pfn pfn, uint64_t n, uint64_t *busy_n)
{
	unsigned long was;

	if (!range_valid(k, pfn, n))
		return KMM_EINVAL;
	caches_empty(k);
	was = lock_acquire(k, &k->frame->plug);
	(void)claim_locked(k, pfn, n);
	*busy_n = memory_within(k->frame, pfn.n, pfn.n + n) - tags_count(k, pfn, n, FRAME_ABSENT) -
		  tags_count(k, pfn, n, FRAME_ISOLATED);
	lock_release(k, &k->frame->plug, was);
	zone_tell(k);
	return KMM_OK;
}

enum kmm_error kmm_frame_unisolate(struct kmm *k, struct kmm_pfn pfn, uint64_t n)
{
	unsigned long was;

	if (!range_valid(k, pfn, n))
		return KMM_EINVAL;
	was = lock_acquire(k, &k->frame->plug);
	release_locked(k, pfn, n);
	lock_release(k, &k->frame->plug, was);
	zone_tell(k);
	return KMM_OK;
}
