/// The race detector's ears in code that clang compiles with
///     -fsanitize-coverage=func,trace-loads,trace-stores
///     -finstrument-functions-after-inlining
/// beside ASan and UBSan, which leave no room for -fsanitize=thread. Loads and stores are
/// told as they are in the final code: one of 16 bytes may be several of the source.
///
/// Atomic instructions are told like plain ones. Code that is compiled so must therefore
/// use the atomics of mm/base alone, which the harness performs out of line.
#include <stdint.h>

#include "sched/stack.h"

/// The compiler calls these without a declaration.
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#define CALLER() __builtin_extract_return_addr(__builtin_return_address(0))

#define TOLD(name, type, bytes, write)                                        \
	void name(const type *at)                                             \
	{                                                                     \
		if (race_on && sched_on)                                      \
			race_plain(race_on, at, bytes, write, CALLER());      \
	}
TOLD(__sanitizer_cov_load1, uint8_t, 1, false)
TOLD(__sanitizer_cov_load2, uint16_t, 2, false)
TOLD(__sanitizer_cov_load4, uint32_t, 4, false)
TOLD(__sanitizer_cov_load8, uint64_t, 8, false)
TOLD(__sanitizer_cov_load16, void, 16, false)
TOLD(__sanitizer_cov_store1, uint8_t, 1, true)
TOLD(__sanitizer_cov_store2, uint16_t, 2, true)
TOLD(__sanitizer_cov_store4, uint32_t, 4, true)
TOLD(__sanitizer_cov_store8, uint64_t, 8, true)
TOLD(__sanitizer_cov_store16, void, 16, true)

void __cyg_profile_func_enter(void *function, void *caller)
{
	(void)function;
	calls_enter(caller, (uintptr_t)__builtin_frame_address(0));
}

void __cyg_profile_func_exit(void *function, void *caller)
{
	(void)function;
	(void)caller;
	calls_leave();
}
