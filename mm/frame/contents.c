/// Contents of free frames (theory in contents.h).
#include "frame/contents.h"

#include "frame/zone.h"

#define POISON_BYTE 0x5au
#define POISON_WORD 0x5a5a5a5a5a5a5a5aull
#define IDLE_BATCH 16u /* pages zeroed with interrupts off */

static char *page_of(struct kmm *k, struct kmm_pfn pfn)
{
	return kmm_port_virt(k, kmm_pfn_to_pa(pfn));
}

#if KMM_CONFIG_POISON

/// A page that begins with the poison has all of it: what is still as a free left it, or
/// was written to.
static void poison_check(struct kmm *k, struct kmm_pfn pfn)
{
	const uint64_t *word = (const uint64_t *)(const void *)page_of(k, pfn);

	if (word[0] != POISON_WORD && word[KMM_PAGE_BYTES / 8u - 1u] != POISON_WORD)
		return; /* never poisoned, or beyond telling */
	for (unsigned i = 0; i < KMM_PAGE_BYTES / 8u; i++)
		KMM_REQUIRE(k, word[i] == POISON_WORD, "a free frame was written to");
}

#endif

void contents_prepare(struct kmm *k, struct kmm_pfn pfn, unsigned order, unsigned flags)
{
	for (uint64_t i = 0; i < 1ull << order; i++) {
		struct kmm_pfn at = { pfn.n + i };
		bool zero = frame_tag(k, at) & FRAME_ZEROED;

		if (zero)
			frame_tag_set(k, at, FRAME_NONE);
#if KMM_CONFIG_POISON
		else
			poison_check(k, at);
#endif
		if ((flags & KMM_FRAME_ZERO) && !zero)
			kmm_port_zero_page(page_of(k, at));
	}
}

void contents_leave(struct kmm *k, struct kmm_pfn pfn, unsigned order, unsigned zeroed)
{
	if (zeroed)
		atomic_store_relaxed(&k->frame->zeroed_some, 1u);
	for (uint64_t i = 0; i < 1ull << order; i++) {
		struct kmm_pfn at = { pfn.n + i };

		if (zeroed)
			frame_tag_set(k, at, FRAME_NONE + FRAME_ZEROED);
		else if (KMM_CONFIG_POISON)
			kmm_port_fill(page_of(k, at), POISON_BYTE, KMM_PAGE_BYTES);
	}
}

/// The first frames of [from, to) that aren't known to be zero, a batch at most. They may
/// change meanwhile.
static struct frame_run not_zeroed(struct kmm *k, uint64_t from, uint64_t to)
{
	struct frame_run r = { from, 0 };

	while (r.pfn < to && frame_tag(k, (struct kmm_pfn){ r.pfn }) & FRAME_ZEROED)
		r.pfn++;
	while (r.n < IDLE_BATCH && r.pfn + r.n < to &&
	       !(frame_tag(k, (struct kmm_pfn){ r.pfn + r.n }) & FRAME_ZEROED))
		r.n++;
	return r;
}

/// Zeroes those frames of a batch that are free. Returns: how many
static uint64_t zero_batch(struct kmm *k, struct zone *z, struct frame_run r)
{
	unsigned long was = lock_acquire(k, &k->frame->plug);
	uint64_t got = 0;

	/* Free at this look and isolated after the claim: isolated by it (range.c). */
	if (z->policy->next_run(k, z->state, r.pfn, r.pfn + r.n, &r)) {
		got = zone_claim_range(k, z, (struct kmm_pfn){ r.pfn }, r.n);
		for (struct kmm_pfn at = { r.pfn }; at.n < r.pfn + r.n; at.n++)
			if (frame_kind(k, at) == FRAME_ISOLATED)
				kmm_port_zero_page(page_of(k, at));
		(void)zone_release_isolated(k, z, (struct kmm_pfn){ r.pfn }, r.n, FRAME_ZEROED);
	}
	lock_release(k, &k->frame->plug, was);
	return got;
}

/// Zeroes up to n free frames of [from, to), which lies in a zone. Returns: how many
static uint64_t zero_span(struct kmm *k, struct zone *z, uint64_t from, uint64_t to, uint64_t n)
{
	struct frame_run run, r;
	uint64_t done = 0;

	for (; done < n && z->policy->next_run(k, z->state, from, to, &run);
	     from = run.pfn + run.n) {
		for (uint64_t at = run.pfn; done < n; at = r.pfn + r.n) {
			r = not_zeroed(k, at, run.pfn + run.n);
			if (r.n == 0)
				break;
			r.n = r.n < n - done ? r.n : n - done;
			done += zero_batch(k, z, r);
			atomic_store_relaxed(&z->zero_at, r.pfn + r.n);
		}
	}
	return done;
}

uint64_t kmm_frame_zero_idle(struct kmm *k, uint64_t n)
{
	uint64_t done = 0;

	atomic_store_relaxed(&k->frame->zeroed_some, 1u);
	for (unsigned i = 0; i < k->frame->zones_n && done < n; i++) {
		struct zone *z = &k->frame->zone[i];
		uint64_t at = atomic_load_relaxed(&z->zero_at);

		if (z->kind == KMM_ZONE_DEVICE || z->kind == KMM_ZONE_HIGH)
			continue; /* not ours to touch, or not reached */
		at = at > z->base ? at : z->base;
		done += zero_span(k, z, at, z->end, n - done);
		done += zero_span(k, z, z->base, at, n - done);
	}
	zone_tell(k);
	return done;
}
