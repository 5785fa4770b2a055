/// A formatter small enough for a kernel: no buffer of its own, no allocation,
/// output cut to fit and always terminated.
#include "base/format.h"

#include <kmm/log.h>

struct sink {
	char *out;
	size_t n, room; /* room excludes the terminator */
};

static void sink_char(struct sink *s, char c)
{
	if (s->n < s->room)
		s->out[s->n++] = c;
}

static void sink_text(struct sink *s, const char *text, unsigned width)
{
	unsigned n = 0;

	for (text = text ? text : "(null)"; *text; text++, n++)
		sink_char(s, *text);
	for (; n < width; n++)
		sink_char(s, ' ');
}

static void sink_number(struct sink *s, uint64_t value, unsigned base, unsigned width, char pad,
			bool negative)
{
	char digits[24];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	if (negative && pad == '0')
		sink_char(s, '-');
	for (unsigned i = n + negative; i < width; i++)
		sink_char(s, pad);
	if (negative && pad != '0')
		sink_char(s, '-');
	while (n != 0)
		sink_char(s, digits[--n]);
}

struct spec {
	unsigned width, longs;
	char pad;
};

static const char *spec_parse(const char *fmt, struct spec *sp)
{
	*sp = (struct spec){ 0, 0, ' ' };
	if (*fmt == '0') {
		sp->pad = '0';
		fmt++;
	}
	for (; *fmt >= '0' && *fmt <= '9'; fmt++)
		sp->width = sp->width * 10u + (unsigned)(*fmt - '0');
	for (; *fmt == 'l' || *fmt == 'z'; fmt++)
		sp->longs++;
	return fmt;
}

size_t format_va(char *out, size_t bytes, const char *fmt, va_list ap)
{
	struct sink s = { out, 0, bytes ? bytes - 1u : 0 };
	struct spec sp;

	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			sink_char(&s, *fmt);
			continue;
		}
		fmt = spec_parse(fmt + 1, &sp);
		if (*fmt == 's') {
			sink_text(&s, va_arg(ap, const char *), sp.width);
		} else if (*fmt == 'c') {
			sink_char(&s, (char)va_arg(ap, int));
		} else if (*fmt == 'd') {
			int64_t v = sp.longs ? va_arg(ap, long) : va_arg(ap, int);

			sink_number(&s, v < 0 ? 0u - (uint64_t)v : (uint64_t)v, 10, sp.width, sp.pad,
				    v < 0);
		} else if (*fmt == 'u' || *fmt == 'x') {
			uint64_t v = sp.longs ? va_arg(ap, unsigned long) : va_arg(ap, unsigned);

			sink_number(&s, v, *fmt == 'x' ? 16 : 10, sp.width, sp.pad, false);
		} else if (*fmt == 'p') {
			sink_number(&s, (uintptr_t)va_arg(ap, void *), 16, 16, '0', false);
		} else if (*fmt == '\0') {
			break;
		} else {
			sink_char(&s, *fmt);
		}
	}
	if (bytes)
		out[s.n] = '\0';
	return s.n;
}

size_t kmm_format(char *out, size_t bytes, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	n = format_va(out, bytes, fmt, ap);
	va_end(ap);
	return n;
}
