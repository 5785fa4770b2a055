/// What the frame unit hands out and takes back, in the order in which it did, since kmm
/// started: printed at the end as "@frame + PFN ORDER" and "@frame - PFN". Without the
/// mark that is an allocation trace, which pagemill-bench replays.
///
/// Only the checked kernel has it, and only `record=N` turns it on: the first N events.
#include "glue.h"

#if GLUE_RECORDS

#define EVENTS_MAX (1u << 17)
#define TAKEN (1ull << 63)
#define ORDER_SHIFT 56u

void record_frame(bool taken, uint64_t pfn, unsigned order);

static uint64_t event[EVENTS_MAX];
static uint32_t events_n; /* atomic; counts on past the room */
static uint32_t room;     /* 0 = off */

void record_start(void)
{
	uint64_t wanted = command_number("record", 0);

	room = wanted < EVENTS_MAX ? (uint32_t)wanted : EVENTS_MAX;
}

void record_frame(bool taken, uint64_t pfn, unsigned order)
{
	uint32_t i;

	if (room == 0)
		return;
	i = __atomic_fetch_add(&events_n, 1u, __ATOMIC_ACQ_REL);
	if (i < room)
		event[i] = (taken ? TAKEN : 0) | (uint64_t)order << ORDER_SHIFT | pfn;
	else
		__atomic_store_n(&events_n, room, __ATOMIC_RELAXED);
}

void record_print(void)
{
	uint32_t n = events_n < room ? events_n : room;

	room = 0;
	for (uint32_t i = 0; i < n; i++) {
		unsigned long long pfn = event[i] & ((1ull << ORDER_SHIFT) - 1u);

		if (event[i] & TAKEN)
			glue_print("@frame + %llu %u\n", pfn,
				   (unsigned)(event[i] >> ORDER_SHIFT) & 31u);
		else
			glue_print("@frame - %llu\n", pfn);
	}
}

#else

void record_start(void)
{
}

void record_print(void)
{
}

#endif
