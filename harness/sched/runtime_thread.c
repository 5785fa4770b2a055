/// The race detector's ears in code that is compiled with -fsanitize=thread and linked
/// without it: what gcc 12 and clang 14 call there, and what later ones call in place of
/// memcpy. Its atomics are the compiler's own and tell nobody, since those of the code
/// under test go through sched/atomics.h, which does.
///
/// A memory copy that the compiler makes of an assignment is told by gcc as a range, and by
/// clang 14 not at all, which calls memcpy; objcopy --redefine-sym makes it call ours.
///
/// Limit: 16-byte atomics are missing; the code under test has none.
/// Source: compiler-rt/lib/tsan/rtl/tsan_interface.h and tsan_interface_atomic.h for the
/// names and their arguments.
#include <stdint.h>
#include <string.h>

#include "sched/stack.h"

/// The compiler calls these without a declaration.
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#ifndef __clang__ /* gcc knows them, with void pointers */
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"
#endif

#define CALLER() __builtin_extract_return_addr(__builtin_return_address(0))

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
	calls_enter(caller, (uintptr_t)__builtin_frame_address(0));
}

void __tsan_func_exit(void)
{
	calls_leave();
}

/* ---- plain accesses ---- */

#define TOLD(name, bytes, write)                                              \
	void __tsan_##name(void *at)                                          \
	{                                                                     \
		if (race_on && sched_on)                                      \
			race_plain(race_on, at, bytes, write, CALLER());      \
	}
/* A write that reads first is a write: what races with the read races with it. */
#define TOLD_SIZE(bytes)                                  \
	TOLD(read##bytes, bytes, false)                   \
	TOLD(write##bytes, bytes, true)                   \
	TOLD(read_write##bytes, bytes, true)              \
	TOLD(volatile_read##bytes, bytes, false)          \
	TOLD(volatile_write##bytes, bytes, true)          \
	TOLD(unaligned_read##bytes, bytes, false)         \
	TOLD(unaligned_write##bytes, bytes, true)         \
	TOLD(unaligned_read_write##bytes, bytes, true)    \
	TOLD(unaligned_volatile_read##bytes, bytes, false) \
	TOLD(unaligned_volatile_write##bytes, bytes, true)
TOLD_SIZE(1)
TOLD_SIZE(2)
TOLD_SIZE(4)
TOLD_SIZE(8)
TOLD_SIZE(16)

void __tsan_read_range(void *at, unsigned long bytes)
{
	if (race_on && sched_on)
		race_plain(race_on, at, bytes, false, CALLER());
}

void __tsan_write_range(void *at, unsigned long bytes)
{
	if (race_on && sched_on)
		race_plain(race_on, at, bytes, true, CALLER());
}

static void copied(const void *to, const void *from, size_t bytes, const void *pc)
{
	if (!race_on || !sched_on)
		return;
	race_plain(race_on, from, bytes, false, pc);
	race_plain(race_on, to, bytes, true, pc);
}

void *__tsan_memcpy(void *to, const void *from, size_t bytes)
{
	copied(to, from, bytes, CALLER());
	return memcpy(to, from, bytes);
}

void *__tsan_memmove(void *to, const void *from, size_t bytes)
{
	copied(to, from, bytes, CALLER());
	return memmove(to, from, bytes);
}

void *__tsan_memset(void *to, int byte, size_t bytes)
{
	if (race_on && sched_on)
		race_plain(race_on, to, bytes, true, CALLER());
	return memset(to, byte, bytes);
}

/* ---- atomics ---- */

#define ATOMIC_FETCH(bits, name)                                                                   \
	uint##bits##_t __tsan_atomic##bits##_fetch_##name(volatile uint##bits##_t *at,             \
							  uint##bits##_t v, int order)             \
	{                                                                                          \
		(void)order;                                                                       \
		return __atomic_fetch_##name(at, v, __ATOMIC_SEQ_CST);                             \
	}
#define ATOMIC_CAS(bits, name)                                                                     \
	_Bool __tsan_atomic##bits##_compare_exchange_##name(volatile uint##bits##_t *at,           \
							    uint##bits##_t *expected,              \
							    uint##bits##_t v, int order,           \
							    int failed)                            \
	{                                                                                          \
		(void)order;                                                                       \
		(void)failed;                                                                      \
		return __atomic_compare_exchange_n(at, expected, v, 0, __ATOMIC_SEQ_CST,           \
						   __ATOMIC_SEQ_CST);                              \
	}
#define ATOMIC_SIZE(bits)                                                                          \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order)    \
	{                                                                                          \
		(void)order;                                                                       \
		return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                      \
	}                                                                                          \
	void __tsan_atomic##bits##_store(volatile uint##bits##_t *at, uint##bits##_t v, int order) \
	{                                                                                          \
		(void)order;                                                                       \
		__atomic_store_n(at, v, __ATOMIC_SEQ_CST);                                         \
	}                                                                                          \
	uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t *at,                 \
						      uint##bits##_t v, int order)                 \
	{                                                                                          \
		(void)order;                                                                       \
		return __atomic_exchange_n(at, v, __ATOMIC_SEQ_CST);                               \
	}                                                                                          \
	ATOMIC_FETCH(bits, add)                                                                    \
	ATOMIC_FETCH(bits, sub)                                                                    \
	ATOMIC_FETCH(bits, and)                                                                    \
	ATOMIC_FETCH(bits, or)                                                                     \
	ATOMIC_FETCH(bits, xor)                                                                    \
	ATOMIC_FETCH(bits, nand)                                                                   \
	ATOMIC_CAS(bits, strong)                                                                   \
	ATOMIC_CAS(bits, weak)                                                                     \
	uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                 \
		volatile uint##bits##_t *at, uint##bits##_t expected, uint##bits##_t v, int order, \
		int failed)                                                                        \
	{                                                                                          \
		(void)order;                                                                       \
		(void)failed;                                                                      \
		__atomic_compare_exchange_n(at, &expected, v, 0, __ATOMIC_SEQ_CST,                 \
					    __ATOMIC_SEQ_CST);                                     \
		return expected;                                                                   \
	}
ATOMIC_SIZE(8)
ATOMIC_SIZE(16)
ATOMIC_SIZE(32)
ATOMIC_SIZE(64)

void __tsan_atomic_thread_fence(int order)
{
	(void)order;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void __tsan_atomic_signal_fence(int order)
{
	(void)order;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}
