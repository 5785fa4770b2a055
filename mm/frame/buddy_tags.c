/// What the tags alone tell of the free blocks of a buddy policy (buddy_tags.h).
///
/// A block is found from any of its frames: its head is the frame's number with the
/// bits below the order cleared, so that one look an order suffices. From head to head
/// a walk steps over whole blocks, free ones and plain allocated ones; elsewhere it goes
/// frame by frame. All tags are single bytes, read in one piece; a walk may be led
/// astray by blocks that change beside it, but stays inside the span.
#include "frame/buddy_tags.h"

/// The code of the free block that `pfn` heads or, 0 if it doesn't.
static uint64_t headed_by(const struct kmm *k, uint64_t pfn)
{
	struct kmm_pfn at = { pfn };
	uint8_t tag = frame_tag(k, at);

	return frame_tag_kind(tag) == FRAME_FREE ? buddy_code(pfn, tag & FRAME_TAG_ORDER) : 0;
}

static uint64_t code_end(uint64_t code)
{
	return buddy_code_pfn(code) + (1ull << buddy_code_order(code));
}

/// The code of the free block that begins before `pfn` and holds it, or 0.
static uint64_t held_by(const struct kmm *k, struct buddy_span s, uint64_t pfn)
{
	for (unsigned order = 1; order <= KMM_ORDER_MAX; order++) {
		uint64_t head = bits_align_down(pfn, 1ull << order), code;

		if (head < s.base)
			break;
		code = head == pfn ? 0 : headed_by(k, head);
		if (code != 0 && code_end(code) > pfn)
			return code;
	}
	return 0;
}

uint64_t buddy_next_block(struct kmm *k, struct buddy_span s, uint64_t from, uint64_t to)
{
	uint64_t code;

	from = from < s.base ? s.base : from;
	to = to > s.end ? s.end : to;
	if (from >= to)
		return 0;
	code = held_by(k, s, from);
	for (uint64_t pfn = from; pfn < to && code == 0;) {
		struct kmm_pfn at = { pfn };
		uint8_t tag = frame_tag(k, at) & (uint8_t)~FRAME_ZEROED;

		code = headed_by(k, pfn);
		pfn += tag >= FRAME_USED && tag < FRAME_FREE ? 1ull << (tag & FRAME_TAG_ORDER) : 1u;
	}
	return code;
}

bool buddy_run(struct kmm *k, struct buddy_span s, uint64_t from, uint64_t to,
	       struct frame_run *run)
{
	uint64_t code = buddy_next_block(k, s, from, to), end;

	if (code == 0)
		return false;
	to = to > s.end ? s.end : to;
	from = from < s.base ? s.base : from;
	run->pfn = buddy_code_pfn(code) < from ? from : buddy_code_pfn(code);
	for (end = code_end(code); end < to; end = code_end(code)) {
		code = headed_by(k, end);
		if (code == 0)
			break;
	}
	run->n = (end > to ? to : end) - run->pfn;
	return true;
}

uint64_t buddy_isolate(struct kmm *k, uint64_t code, uint64_t from, uint64_t to)
{
	struct kmm_pfn at = { buddy_code_pfn(code) };

	to = code_end(code) < to ? code_end(code) : to;
	from = at.n < from ? from : at.n;
	for (at.n = from; at.n < to; at.n++)
		frame_tag_set(k, at, FRAME_ISOLATED);
	return to - from;
}

/// I2 and I3 of one listed block.
static enum kmm_error check_block(struct kmm *k, struct buddy_span s, uint64_t pfn,
				  const struct buddy_list *l)
{
	uint64_t size = 1ull << l->order, other = pfn ^ size;

	if (pfn < s.base || pfn + size > s.end || !bits_aligned(pfn, size))
		return frame_broken(k, "buddy I2: block outside or unaligned", pfn);
	for (uint64_t i = 1; i < size; i++) {
		struct kmm_pfn at = { pfn + i };

		if (frame_kind(k, at) != FRAME_NONE)
			return frame_broken(k, "buddy I2: marked inside a free block", at.n);
	}
	if (l->order < l->max_order && other >= s.base && other + size <= s.end &&
	    buddy_is_free(k, other, l->order))
		return frame_broken(k, "buddy I3: buddies both free", pfn);
	return KMM_OK;
}

enum kmm_error buddy_check_list(struct kmm *k, struct buddy_span s, const struct buddy_list *l,
				struct buddy_census *c)
{
	uint32_t prev = 0;

	for (uint32_t at = l->head; at != 0; at = k->entry[at - 1u].next) {
		uint64_t pfn = k->entry_base + at - 1u;
		const struct frame_entry *e = &k->entry[at - 1u];
		enum kmm_error err;

		if (at > k->entry_end - k->entry_base || ++c->blocks_n > s.end - s.base)
			return frame_broken(k, "buddy I1: list runs away", pfn);
		if (!buddy_is_free(k, pfn, l->order) ||
		    (l->both_ways && (e->prev != prev || e->flags != l->list)))
			return frame_broken(k, "buddy I1: entry doesn't fit its list", pfn);
		err = check_block(k, s, pfn, l);
		if (err != KMM_OK)
			return err;
		prev = at;
		c->frames_n += 1ull << l->order;
	}
	return KMM_OK;
}

enum kmm_error buddy_check_heads(struct kmm *k, struct buddy_span s, const struct buddy_census *c)
{
	uint64_t blocks_n = c->blocks_n;

	for (uint64_t pfn = s.base; pfn < s.end;) {
		uint64_t code = headed_by(k, pfn);

		/* What lies inside a listed block was looked at with it. */
		blocks_n -= code != 0;
		pfn = code == 0 ? pfn + 1u : code_end(code);
	}
	return blocks_n == 0 ? KMM_OK : frame_broken(k, "buddy I1: free but unlisted", s.base);
}
