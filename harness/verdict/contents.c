/// Contents: zeroed frames are zero, whoever had them before and whatever is remembered of
/// them. And wrong frees are refused with the right word, and change nothing.
#include "verdict/program.h"

#define FRAMES_N 256u

static bool is_zero(struct verdict *v, struct kmm_pfn pfn, unsigned order)
{
	const uint64_t *word = kmm_frame_virt(v->k, pfn);

	for (uint64_t i = 0; i < (KMM_PAGE_BYTES / sizeof(*word)) << order; i++)
		if (word[i] != 0)
			return false;
	return true;
}

static void dirty(struct verdict *v, struct kmm_pfn pfn, unsigned order)
{
	uint64_t *word = kmm_frame_virt(v->k, pfn);

	for (uint64_t i = 0; i < (KMM_PAGE_BYTES / sizeof(*word)) << order; i++)
		word[i] = ~pfn.n - i;
}

static void clear(struct verdict *v, struct kmm_pfn pfn, unsigned order)
{
	uint64_t *word = kmm_frame_virt(v->k, pfn);

	for (uint64_t i = 0; i < (KMM_PAGE_BYTES / sizeof(*word)) << order; i++)
		word[i] = 0;
}

/// Zeroed blocks, all held at once, are zero. They are left dirty. Returns: how many
static unsigned zeroed_blocks(struct verdict *v, unsigned order, unsigned n)
{
	struct chain held = { 0 };
	struct kmm_pfn pfn;

	for (unsigned i = 0; i < n && verdict_alloc(v, order, KMM_FRAME_ZERO, &pfn); i++) {
		VERDICT_EXPECT(v, is_zero(v, pfn, order), "frame 0x%llx of order %u isn't zero",
			       (unsigned long long)pfn.n, order);
		dirty(v, pfn, order);
		chain_push(v->k, &held, pfn, order);
	}
	n = (unsigned)held.blocks_n;
	chain_give_back(v, &held);
	return n;
}

void verdict_zeroing(struct verdict *v)
{
	unsigned blocks_n = 0;

	for (unsigned round = 0; round < 2u; round++) {
		blocks_n += zeroed_blocks(v, 0, FRAMES_N);
		blocks_n += zeroed_blocks(v, 3, FRAMES_N / 8u);
		blocks_n += zeroed_blocks(v, 9, 1);
	}
	VERDICT_SAY(v, "%u blocks of orders 0, 3 and 9, used before and zero again", blocks_n);
}

/// Blocks that go back zero, said to be so, and come again. Their neighbours go back dirty.
static void freed_zeroed(struct verdict *v, unsigned order)
{
	struct kmm_pfn pfn[32];
	unsigned n = 0;

	while (n < 32u && verdict_alloc(v, order, 0, &pfn[n]))
		n++;
	for (unsigned i = 0; i < n; i++) {
		enum kmm_error e;

		if (i % 2u)
			dirty(v, pfn[i], order);
		else
			clear(v, pfn[i], order);
		e = i % 2u ? kmm_frame_free(v->k, pfn[i], order) :
			     kmm_frame_free_zeroed(v->k, pfn[i], order);
		VERDICT_EXPECT(v, e == KMM_OK, "a free: %s", kmm_error_name(e));
	}
	/* The second time round what was remembered must be forgotten. */
	zeroed_blocks(v, order, 32);
	zeroed_blocks(v, order, 32);
}

void verdict_known_zero(struct verdict *v)
{
	uint64_t idle_n = 0, more;

	freed_zeroed(v, 0);
	freed_zeroed(v, 2);
	kmm_frame_drain(v->k);
	freed_zeroed(v, 0);
	while (idle_n < FRAMES_N && (more = kmm_frame_zero_idle(v->k, FRAMES_N - idle_n)) != 0)
		idle_n += more;
	VERDICT_EXPECT(v, idle_n <= FRAMES_N, "%llu frames zeroed, %u asked for",
		       (unsigned long long)idle_n, FRAMES_N);
	VERDICT_EXPECT(v, idle_n != 0, "no free frame was zeroed ahead");
	zeroed_blocks(v, 0, FRAMES_N);
	VERDICT_SAY(v, "64 blocks freed as zero, %llu frames zeroed ahead; all came back zero",
		    (unsigned long long)idle_n);
}

/* ---- wrong frees ---- */

static void refused(struct verdict *v, struct kmm_pfn pfn, unsigned order, enum kmm_error want,
		    const char *what)
{
	uint64_t before = verdict_free_n(v);
	enum kmm_error e = kmm_frame_free(v->k, pfn, order);

	VERDICT_EXPECT(v, e == want, "%s: %s", what, kmm_error_name(e));
	VERDICT_EXPECT(v, verdict_free_n(v) == before, "%s: free frames changed", what);
}

/// One block freed wrongly in all ways, then rightly, then again.
static void wrong_free(struct verdict *v, unsigned order)
{
	struct kmm_pfn pfn, inside, batch[2];
	unsigned done = ~0u;

	if (!verdict_alloc(v, order, 0, &pfn))
		return;
	inside.n = pfn.n + 1u;
	refused(v, pfn, order + 1u, KMM_EWRONGORDER, "freed with a larger order");
	if (order != 0) {
		refused(v, pfn, order - 1u, KMM_EWRONGORDER, "freed with a smaller order");
		refused(v, inside, 0, KMM_EDOUBLEFREE, "freed from its second frame");
	}
	refused(v, pfn, KMM_ORDER_MAX + 1u, KMM_EINVAL, "freed with no order");
	batch[0] = batch[1] = pfn;
	VERDICT_EXPECT(v, kmm_frame_free_batch(v->k, order, 2, batch, &done) == KMM_EDOUBLEFREE &&
				  done == 1,
		       "freed twice in one batch: %u were", done);
	refused(v, pfn, order, KMM_EDOUBLEFREE, "freed twice");
	kmm_frame_drain(v->k);
	refused(v, pfn, order, KMM_EDOUBLEFREE, "freed twice, after a drain");
}

void verdict_wrong_free(struct verdict *v)
{
	static const unsigned order[] = { 0, 1, 3, 4, 9 };
	struct kmm_pfn nowhere = { ~0ull >> KMM_PAGE_LG2 }, pfn;

	for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		wrong_free(v, order[i]);
	refused(v, nowhere, 0, KMM_EINVAL, "freed outside of memory");
	for (unsigned o = 0; o < 4u && verdict_alloc(v, o, 0, &pfn); o++) {
		verdict_free(v, pfn, o);
		refused(v, pfn, o, KMM_EDOUBLEFREE, "freed twice, while cached");
	}
	VERDICT_SAY(v, "doubled, wrong order, second frame, outside: refused, nothing changed");
}
