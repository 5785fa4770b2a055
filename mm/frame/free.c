/// Physical frames given back (frame.c has the unit's theory and invariants).
///
/// A wrong free is told from the tag, in every build, before anything changes: outside
/// the span, or an order that doesn't exist, is KMM_EINVAL; a head that isn't allocated
/// (free, cached, inside a block, a hole, reserved) is KMM_EDOUBLEFREE; another order than
/// allocated KMM_EWRONGORDER; a block with more than one reference, or of a kind that
/// another unit owns, KMM_EBUSY. What the tag can't tell: a block freed and allocated again
/// with the same order meanwhile, through a pointer that outlived the first free.
///
/// Two CPUs that free one block at the same instant break the contract, and may both
/// succeed: catching that would cost each free a locked instruction.
#include "frame/cache.h"
#include "frame/contents.h"
#include "frame/reserve.h"
#include "frame/run.h"
#include "frame/zone.h"

#define CHUNK 64u /* blocks a batch call handles at once */

/// May a block whose head is tagged so be freed with this order, by whoever may free all
/// kinds?
static enum kmm_error free_allowed(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	uint8_t tag;

	if (!frame_in_table(k, pfn) || order > KMM_ORDER_MAX)
		return KMM_EINVAL;
	tag = frame_tag(k, pfn);
	if (!frame_kind_allocated(frame_tag_kind(tag)))
		return KMM_EDOUBLEFREE;
	if (tag == FRAME_RUN || frame_block_n(k, pfn) != 1ull << order)
		return KMM_EWRONGORDER;
	if (tag >= FRAME_USED)
		return KMM_OK;
	return atomic_load_relaxed(&frame_entry(k, pfn)->refs) > 1u ? KMM_EBUSY : KMM_OK;
}

/// The same for a caller outside: only blocks that no unit has made its own.
static enum kmm_error free_allowed_public(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	enum kmm_error e = free_allowed(k, pfn, order);

	return e == KMM_OK && frame_tag(k, pfn) < FRAME_USED ? KMM_EBUSY : e;
}

/// Frees a block that may be freed. zeroed: FRAME_ZEROED or 0
static void free_block(struct kmm *k, struct kmm_pfn pfn, unsigned order, enum frame_group group,
		       unsigned zeroed)
{
	unsigned long was;
	struct frame_cpu *fc;
	struct magazine *m;
	bool tell;

	KMM_TRACE_FRAME(k, false, pfn, order);
	contents_end(k, pfn, order, zeroed);
	was = kmm_port_irq_save(k);
	fc = kmm_port_cpu(k)->frame;
	m = magazine_for(fc, order, group);
	frame_tag_set(k, pfn, FRAME_NONE + zeroed);
	if (m != NULL && (magazine_takes(m, pfn) || cache_adopt(k, fc, m, pfn))) {
		if (!magazine_push(m, pfn))
			cache_push_slow(k, fc, m, pfn);
	} else if (!reserve_gives(k, order, pfn)) {
		zone_release(k, zone_of(k, pfn), order, 1, &pfn);
		counter_add(&fc->direct_free_n, 1u);
	}
	tell = fc->told != 0;
	kmm_port_irq_restore(k, was);
	if (__builtin_expect(tell, 0))
		zone_tell(k);
}

static inline enum frame_group group_of_tag(uint8_t tag)
{
	return (tag >= FRAME_MOVABLE && tag < FRAME_FREE) || tag == FRAME_ANON ?
		       FRAME_GROUP_MOVABLE : FRAME_GROUP_PINNED;
}

static __attribute__((noinline)) enum kmm_error free_slow(struct kmm *k, struct kmm_pfn pfn,
							  unsigned order, unsigned zeroed)
{
	enum kmm_error e = free_allowed_public(k, pfn, order);

	if (e == KMM_OK)
		free_block(k, pfn, order, group_of_tag(frame_tag(k, pfn)), zeroed);
	return e;
}

static __attribute__((noinline)) enum kmm_error free_missed(struct kmm *k, struct kmm_pfn pfn,
							    unsigned order, unsigned long pinned)
{
	KMM_UNPIN(k, pinned);
	return free_slow(k, pfn, order, 0);
}

/// The same of a block that may be freed, and fits into no magazine as it is.
static __attribute__((noinline)) enum kmm_error free_full(struct kmm *k, struct kmm_pfn pfn,
							  unsigned order, unsigned long pinned)
{
	struct frame_cpu *fc = kmm_port_cpu(k)->frame;

	if (order == 0 && cache_back_push(fc, &fc->magazine[MAGAZINE_PINNED], pfn)) {
		frame_tag_set(k, pfn, FRAME_NONE);
		KMM_TRACE_FRAME(k, false, pfn, order);
		KMM_UNPIN(k, pinned);
		return KMM_OK;
	}
	KMM_UNPIN(k, pinned);
	free_block(k, pfn, order, FRAME_GROUP_PINNED, 0);
	return KMM_OK;
}

/// A plain pinned block, into this CPU's cache i if it is that and fits.
static inline enum kmm_error free_hit(struct kmm *k, unsigned i, struct kmm_pfn pfn,
				      unsigned order)
{
	unsigned long pinned = KMM_PIN(k);
	struct magazine *m = &kmm_port_cpu(k)->frame->magazine[i];

	if (__builtin_expect(!magazine_takes(m, pfn) ||
			     frame_tag(k, pfn) != FRAME_USED + order, 0))
		return free_missed(k, pfn, order, pinned);
	if (__builtin_expect(!magazine_push(m, pfn), 0))
		return free_full(k, pfn, order, pinned);
	frame_tag_set(k, pfn, FRAME_NONE);
	KMM_TRACE_FRAME(k, false, pfn, order);
	KMM_UNPIN(k, pinned);
	return KMM_OK;
}

/// The hit of a larger block.
static __attribute__((noinline)) enum kmm_error free_larger(struct kmm *k, struct kmm_pfn pfn,
							    unsigned order)
{
	unsigned i = order <= KMM_ORDER_MAX ? magazine_of_order[order] : MAGAZINE_NONE;

	return i != MAGAZINE_NONE && !KMM_CONFIG_POISON ? free_hit(k, i, pfn, order) :
							  free_slow(k, pfn, order, 0);
}

enum kmm_error kmm_frame_free(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	if (order != 0)
		return free_larger(k, pfn, order);
	return KMM_CONFIG_POISON ? free_slow(k, pfn, 0, 0) : free_hit(k, MAGAZINE_PINNED, pfn, 0);
}

enum kmm_error kmm_frame_free_zeroed(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	return free_slow(k, pfn, order, FRAME_ZEROED);
}

/// Sets the tags of the first blocks of a run to FRAME_NONE, up to the first that may not be
/// freed. len: 1 if order != 0. Returns: how many
static unsigned free_run_tags(struct kmm *k, unsigned order, struct kmm_pfn pfn, unsigned len)
{
	uint64_t left = frame_in_table(k, pfn) ? k->entry_end - pfn.n : 0;

	if (order == 0)
		return run_tags_free(k->tags, pfn, len < left ? len : (unsigned)left);
	if (left == 0 || (frame_tag(k, pfn) != FRAME_USED + order &&
			  frame_tag(k, pfn) != FRAME_MOVABLE + order))
		return 0;
	frame_tag_set(k, pfn, FRAME_NONE);
	return 1;
}

/// The same for blocks anywhere. At once: a block that stands here twice is caught. *e says
/// why it stopped, if it did. Returns: how many
static unsigned free_tags(struct kmm *k, unsigned order, unsigned n, const struct kmm_pfn *pfn,
			  enum kmm_error *e)
{
	unsigned done = 0;

	while (done < n) {
		unsigned len = order == 0 ? run_length(pfn + done, n - done, 1u) : 1u;
		unsigned freed = free_run_tags(k, order, pfn[done], len);

		done += freed;
		if (freed < len) {
			*e = free_allowed_public(k, pfn[done], order);
			KMM_ASSERT(k, *e != KMM_OK, "I1: two rules for one thing");
			break;
		}
	}
	return done;
}

/// Up to CHUNK blocks that bypass the caches. Returns: how many were freed
static unsigned free_chunk(struct kmm *k, unsigned order, unsigned n, const struct kmm_pfn *pfn,
			   enum kmm_error *e)
{
	unsigned done = free_tags(k, order, n, pfn, e), kept = 0;
	unsigned long was;
	bool tell;

	for (unsigned i = 0; i < done; i++) {
		KMM_TRACE_FRAME(k, false, pfn[i], order);
		contents_end(k, pfn[i], order, 0);
	}
	was = kmm_port_irq_save(k);
	while (kept < done && reserve_gives(k, order, pfn[kept]))
		kept++;
	if (kept != done)
		zone_release_mixed(k, order, done - kept, pfn + kept);
	counter_add(&kmm_port_cpu(k)->frame->direct_free_n, done);
	tell = kmm_port_cpu(k)->frame->told != 0;
	kmm_port_irq_restore(k, was);
	if (tell)
		zone_tell(k);
	return done;
}

enum kmm_error kmm_frame_free_batch(struct kmm *k, unsigned order, unsigned n,
				    const struct kmm_pfn *pfn, unsigned *done)
{
	enum kmm_error e = order <= KMM_ORDER_MAX ? KMM_OK : KMM_EINVAL;
	unsigned i = 0;

	while (i < n && e == KMM_OK)
		i += free_chunk(k, order, n - i < CHUNK ? n - i : CHUNK, pfn + i, &e);
	if (done)
		*done = i;
	return e;
}

void frame_ref_put(struct kmm *k, struct kmm_pfn pfn)
{
	struct frame_entry *e;
	uint32_t was;

	if (!frame_in_table(k, pfn) || frame_tag(k, pfn) != FRAME_ANON)
		return;
	e = frame_entry(k, pfn);
	/* The only reference is ours to drop, and only a holder can add one: no
	 * locked instruction is needed. */
	if (atomic_load_acquire(&e->refs) != 1u) {
		was = atomic_sub_acq_rel(&e->refs, 1u);
		KMM_ASSERT(k, was != 0, "frame I2: a reference to drop");
		if (was != 1u)
			return;
	}
	free_block(k, pfn, 0, FRAME_GROUP_MOVABLE, 0);
}

void frame_free_own(struct kmm *k, struct kmm_pfn pfn, unsigned order)
{
	enum kmm_error e = free_allowed(k, pfn, order);

	KMM_REQUIRE(k, e == KMM_OK, kmm_error_name(e));
	free_block(k, pfn, order, group_of_tag(frame_tag(k, pfn)), 0);
}
