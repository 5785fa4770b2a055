/// The serial line, shared by the log, the protocol and user programs. A line is
/// written under one lock, so that lines of different CPUs don't mix.
#include <stdarg.h>

#include "base/format.h"
#include "glue.h"

#define LINE_BYTES 256u

static struct spin console_lock;
static bool console_unlocked; /* atomic; set by panic, never cleared */

static void put(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		arch_console_putc(text[i]);
}

void console_write(const char *text, size_t bytes)
{
	unsigned long was;

	if (__atomic_load_n(&console_unlocked, __ATOMIC_RELAXED)) {
		put(text, bytes);
		return;
	}
	was = spin_lock(&console_lock);
	put(text, bytes);
	spin_unlock(&console_lock, was);
}

void console_break_lock(void)
{
	__atomic_store_n(&console_unlocked, true, __ATOMIC_RELAXED);
}

void glue_print(const char *fmt, ...)
{
	char line[LINE_BYTES];
	va_list args;
	size_t n;

	va_start(args, fmt);
	n = format_va(line, sizeof(line), fmt, args);
	va_end(args);
	console_write(line, n);
}
