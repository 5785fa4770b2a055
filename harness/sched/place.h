/// Histories of atomically stored memory, by address: what memory.c chooses from.
/// A table with generations, so that forgetting all costs nothing.
#ifndef SCHED_PLACE_H
#define SCHED_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/clock.h"

#define PLACE_STORES 8u       /* the newest included */
#define PLACES_MAX 65535u     /* in one run */

/// What one CPU hands to another: two clocks in two units.
struct memory_view {
	struct clock hb;
	struct clock seen;
};

/// A store, for as long as somebody may read it. A CPU's ticks count its stores and its
/// reads of what it hadn't known, so that "knows this store" is a comparison.
struct memory_store {
	uint64_t value;
	struct clock since;         /* tick of each CPU that first knew of it; UINT32_MAX: never */
	struct memory_view carries; /* what an acquiring load of it brings */
	uint8_t heads;              /* CPUs with a release in the release sequences it is in */
};

/// One address: a ring of stores, in modification order.
struct memory_place {
	uint8_t newest, n;
	struct memory_store store[PLACE_STORES];
};

_Static_assert(SCHED_CPUS_MAX <= 8, "a store's heads are a bit each");

struct place_slot {
	uintptr_t at;
	uint32_t generation; /* another than the table's: empty */
	uint16_t place;
	uint8_t bytes;       /* 0: dropped; taken up again by the next that comes this way */
};

/// Open addressing by aligned 8-byte word, at most half full.
struct memory_places {
	struct place_slot *slot;
	struct memory_place *place;
	uint32_t generation;
	uint32_t n, room;    /* slots in use (dropped ones too), places there are */
	unsigned slots_lg2;
};

static inline uint32_t place_slot_first(const struct memory_places *t, uintptr_t at)
{
	return (uint32_t)((uint64_t)(at >> 3) * 0x9E3779B97F4A7C15ull >> (64 - t->slots_lg2));
}

/// The first slot from *i on whose bytes overlap [at, at + bytes), which lies in one
/// aligned word; *i moves on past it. NULL: no more.
static inline struct place_slot *place_next(const struct memory_places *t, uintptr_t at,
					    unsigned bytes, uint32_t *i)
{
	uint32_t mask = (1u << t->slots_lg2) - 1u;

	for (;;) {
		struct place_slot *s = &t->slot[*i];

		if (s->generation != t->generation)
			return NULL;
		*i = (*i + 1u) & mask;
		if (s->at < at + bytes && at < s->at + s->bytes && s->bytes)
			return s;
	}
}

/// The store `older` steps before the newest; older < n.
static inline struct memory_store *place_store(struct memory_place *p, unsigned older)
{
	return &p->store[(p->newest - older) % PLACE_STORES];
}

/// A history of [at, at + bytes), naturally aligned, that begins with `value`, known to
/// all and releasing nothing.
/// Pre:    no place overlaps it
/// Errors: NULL: PLACES_MAX, or no memory
struct memory_place *place_make(struct memory_places *t, uintptr_t at, unsigned bytes,
				uint64_t value);

/// Drops all that overlap [at, at + bytes).
void places_drop(struct memory_places *t, uintptr_t at, uint64_t bytes);

/// Drops all. O(1)
void places_clear(struct memory_places *t);
void places_free(struct memory_places *t);

#endif
