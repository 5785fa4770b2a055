/// Atomics as points and accesses of the run's memory.
///
/// The point comes before the access: whatever other CPUs do there is done when the
/// access takes place, and nothing comes between its choice of a store and its effect.
///
/// An atomic is reported to the race detector too: it races with plain accesses to the
/// same bytes, though never with another atomic.
#include "sched/atomics.h"

#include "sched/race.h"
#include "sched/word.h"

_Thread_local struct memory *memory_on;

/// The place in the code under test.
#define CALLER() __builtin_extract_return_addr(__builtin_return_address(0))

static void judge(const volatile void *at, unsigned bytes, bool write, const void *pc)
{
	if (race_on)
		race_atomic(race_on, at, bytes, write, pc);
}

uint64_t sched_atomic_load(const volatile void *at, unsigned bytes, int order)
{
	sched_point(sched_on, "load", at, 0, false, CALLER());
	judge(at, bytes, false, CALLER());
	return memory_load(memory_on, sched_on->now, at, bytes, order);
}

void sched_atomic_store(volatile void *at, unsigned bytes, uint64_t value, int order)
{
	sched_point(sched_on, "store", at, value, true, CALLER());
	judge(at, bytes, true, CALLER());
	memory_store(memory_on, sched_on->now, at, bytes, value, order);
}

uint64_t sched_atomic_load_eight(const uint8_t *at)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8u; i++)
		value |= sched_atomic_load(at + i, 1, __ATOMIC_RELAXED) << 8 * i;
	return value;
}

void sched_atomic_store_eight(uint8_t *at, uint64_t value)
{
	for (unsigned i = 0; i < 8u; i++)
		sched_atomic_store(at + i, 1, value >> 8 * i & 0xffu, __ATOMIC_RELAXED);
}

uint64_t sched_atomic_update(volatile void *at, unsigned bytes, enum memory_rmw what,
			     uint64_t operand, int order)
{
	static const char *const text[] = { "exchange", "add", "sub", "or", "and" };

	sched_point(sched_on, text[what], at, operand, true, CALLER());
	judge(at, bytes, true, CALLER());
	return memory_update(memory_on, sched_on->now, at, bytes, what, operand, order);
}

bool sched_atomic_cas(volatile void *at, unsigned bytes, uint64_t *expected, uint64_t value)
{
	sched_point(sched_on, "cas", at, value, true, CALLER());
	/* One that fails is a load (C11 7.17.7.4p2); both see the newest store. */
	judge(at, bytes, word_peek(at, bytes) == *expected, CALLER());
	return memory_cas(memory_on, sched_on->now, at, bytes, expected, value);
}

void sched_atomic_fence(void)
{
	if (!sched_on) {
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		return;
	}
	sched_point(sched_on, "fence", NULL, 0, false, CALLER());
	memory_fence(memory_on, sched_on->now);
}

void sched_counter_add(volatile void *at, unsigned bytes, uint64_t by)
{
	word_poke(at, bytes, word_peek(at, bytes) + by);
}

uint64_t sched_counter_read(const volatile void *at, unsigned bytes)
{
	return word_peek(at, bytes);
}
