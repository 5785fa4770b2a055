/// The end, wanted or not.
///
/// A backtrace needs no frame pointers: it lists the words on the stack that point
/// into kernel text. It names too many functions rather than too few.
#include <stdarg.h>

#include "base/format.h"
#include "port/port.h"
#include "sched.h"

#define PANIC_STATUS 2
#define STATUS_MAX 127 /* what a machine can tell; @end tells all */
#define BACKTRACE_WORDS 512u

extern char text_start[], text_end[];

static uint32_t panicking; /* atomic; the CPU's number + 1 */

static bool is_text(uint64_t word)
{
	return word >= (uint64_t)text_start && word < (uint64_t)text_end;
}

/// Return addresses from `sp` up, at most n; never past the stack's end.
static unsigned backtrace(uint64_t sp, void **out, unsigned n)
{
	uint64_t end = sched_stack_end(sp);
	unsigned found = 0;

	for (sp &= ~7ull; sp + 8 <= end && found < n; sp += 8) {
		uint64_t word = *(const uint64_t *)sp;
		bool own = sp >= (uint64_t)out && sp < (uint64_t)(out + n);

		if (!own && is_text(word)) /* `out` may lie on this stack */
			out[found++] = (void *)word;
	}
	return found;
}

unsigned kmm_port_backtrace(struct kmm *k, void **out, unsigned n)
{
	(void)k;
	return backtrace((uint64_t)__builtin_frame_address(0), out, n);
}

static void print_backtrace(void)
{
	void *at[24];
	unsigned n = backtrace((uint64_t)__builtin_frame_address(0), at, 24);

	for (unsigned i = 0; i < n; i++)
		glue_print("  [%p]\n", at[i]);
}

/// One CPU panics; others stop here. A panic within the panic ends at once.
static void panic_alone(void)
{
	uint32_t nobody = 0, self = arch_cpu_id() + 1;

	if (__atomic_compare_exchange_n(&panicking, &nobody, self, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return;
	if (nobody == self)
		arch_exit(PANIC_STATUS);
	for (;;)
		arch_relax();
}

_Noreturn void glue_panic(const char *fmt, ...)
{
	char why[256];
	va_list args;

	arch_irq_save();
	panic_alone();
	console_break_lock();
	va_start(args, fmt);
	format_va(why, sizeof(why), fmt, args);
	va_end(args);
	glue_print("\n@panic %s\n", why);
	print_backtrace();
	glue_end(PANIC_STATUS);
}

_Noreturn void kmm_port_panic(struct kmm *k, const char *why)
{
	(void)k;
	glue_panic("%s", why);
}

_Noreturn void glue_end(int status)
{
	glue_print("@end %d\n", status);
	arch_exit(status > STATUS_MAX ? STATUS_MAX : status);
}
