/// The table of histories.
///
/// Structures. `slot` is the hash table proper, small and hot; `place` holds the
/// histories, some 1 KB each, of which a load touches the newest store. A slot names
/// its place by index for as long as the generation lasts, and keeps it when dropped,
/// so that no list of free places is needed.
///
/// I1  No two live slots of one generation overlap: whoever finds a slot with exactly
///     its bytes needn't look further.
/// I2  A range of an aligned word hashes by that word, so all that may overlap it lie on
///     one probe sequence.
/// I3  At most half of the slots are in use, so that probing ends.
/// I4  Nothing here reaches a choice: the order of slots, which depends on addresses of
///     the host, is seen only by those who visit all and count.
///
/// Limits. PLACES_MAX histories a run; memory.c gets along without (and is stronger).
#include "sched/place.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 64u

static void visit_live(const struct memory_places *t,
		       void (*visit)(void *ctx, struct place_slot *s), void *ctx)
{
	if (!t->n)
		return;
	for (uint32_t i = 0; i >> t->slots_lg2 == 0; i++)
		if (t->slot[i].generation == t->generation && t->slot[i].bytes)
			visit(ctx, &t->slot[i]);
}

static void count_live(void *ctx, struct place_slot *s)
{
	(void)s;
	++*(uint32_t *)ctx;
}

/// A slot on the word's probe sequence to take: dropped, or empty.
static struct place_slot *free_slot(struct memory_places *t, uintptr_t at)
{
	uint32_t mask = (1u << t->slots_lg2) - 1u;
	uint32_t i = place_slot_first(t, at);

	while (t->slot[i].generation == t->generation && t->slot[i].bytes)
		i = (i + 1u) & mask;
	if (t->slot[i].generation != t->generation) {
		t->slot[i].generation = t->generation;
		t->slot[i].place = (uint16_t)t->n++;
	}
	return &t->slot[i];
}

struct move {
	struct memory_places *to;
	const struct memory_places *from;
};

static void move_one(void *ctx, struct place_slot *s)
{
	struct move *m = ctx;
	struct place_slot *to = free_slot(m->to, s->at);

	to->at = s->at;
	to->bytes = s->bytes;
	m->to->place[to->place] = m->from->place[s->place];
}

/// A fresh table without what was dropped; larger if that is less than half.
static bool rebuild(struct memory_places *t)
{
	struct memory_places to = { .generation = t->generation ? t->generation : 1u };
	struct move move = { &to, t };
	uint32_t live = 0;

	visit_live(t, count_live, &live);
	to.room = !t->room ? ROOM_FIRST : live > t->room / 2u ? t->room * 2u : t->room;
	if (to.room > PLACES_MAX)
		to.room = PLACES_MAX;
	if (live > to.room - to.room / 8u) /* else it would be rebuilt again at once */
		return false;
	for (to.slots_lg2 = 1; 1u << to.slots_lg2 < to.room * 2u;)
		to.slots_lg2++;
	to.slot = calloc((size_t)1 << to.slots_lg2, sizeof(*to.slot));
	to.place = malloc(to.room * sizeof(*to.place));
	if (!to.slot || !to.place) {
		places_free(&to);
		return false;
	}
	visit_live(t, move_one, &move);
	places_free(t);
	*t = to;
	return true;
}

struct memory_place *place_make(struct memory_places *t, uintptr_t at, unsigned bytes,
				uint64_t value)
{
	struct memory_place *p;
	struct place_slot *s;

	assert(at % bytes == 0 && bytes <= 8);
	if (t->n == t->room && !rebuild(t))
		return NULL;
	s = free_slot(t, at);
	s->at = at;
	s->bytes = (uint8_t)bytes;
	p = &t->place[s->place];
	p->newest = 0;
	p->n = 1;
	memset(&p->store[0], 0, sizeof(p->store[0]));
	p->store[0].value = value;
	return p;
}

struct range {
	uintptr_t first, last;
};

static void drop_inside(void *ctx, struct place_slot *s)
{
	const struct range *r = ctx;

	if (s->at <= r->last && r->first <= s->at + s->bytes - 1u)
		s->bytes = 0;
}

void places_drop(struct memory_places *t, uintptr_t at, uint64_t bytes)
{
	struct range r = { at, at + bytes - 1u };
	uint64_t words = bytes ? (r.last >> 3) - (at >> 3) + 1u : 0;

	if (!t->n || !words)
		return;
	if (words >> t->slots_lg2 != 0) {
		visit_live(t, drop_inside, &r);
		return;
	}
	for (uintptr_t word = at >> 3; words--; word++) {
		uint32_t i = place_slot_first(t, word << 3);
		struct place_slot *s;

		while ((s = place_next(t, word << 3, 8, &i)))
			drop_inside(&r, s);
	}
}

void places_clear(struct memory_places *t)
{
	t->n = 0;
	if (++t->generation)
		return;
	t->generation = 1;
	if (t->slot)
		memset(t->slot, 0, sizeof(*t->slot) << t->slots_lg2);
}

void places_free(struct memory_places *t)
{
	free(t->slot);
	free(t->place);
	*t = (struct memory_places){ .generation = t->generation };
}
