/// Text and patterns for programs without a libc.
#include "sys.h"

void *memset(void *to, int byte, size_t bytes);
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);

void *memset(void *to, int byte, size_t bytes)
{
	for (volatile char *t = to; bytes; bytes--)
		*t++ = (char)byte;
	return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	volatile char *t = to;
	const char *f = from;

	for (; bytes; bytes--)
		*t++ = *f++;
	return to;
}

void line_text(struct line *l, const char *text)
{
	while (*text && l->n < sizeof(l->text) - 1)
		l->text[l->n++] = *text++;
}

void line_number(struct line *l, uint64_t number)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;

	digits[at] = 0;
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	line_text(l, digits + at);
}

void line_ratio(struct line *l, uint64_t value, uint64_t per)
{
	uint64_t hundredths = value % per * 100 / per;

	line_number(l, value / per);
	line_text(l, hundredths < 10 ? ".0" : ".");
	line_number(l, hundredths);
}

void line_end(struct line *l)
{
	l->text[l->n++] = '\n';
	sys_write(1, l->text, l->n);
	l->n = 0;
}

int verdict(const char *name, const char *why)
{
	struct line l = { .n = 0 };

	line_text(&l, "@verdict ");
	line_text(&l, name);
	line_text(&l, why ? " failed " : " ok");
	line_text(&l, why ? why : "");
	line_end(&l);
	return why ? 1 : 0;
}

static uint64_t word_of(uint64_t seed, uint64_t index)
{
	return (seed + 1) * 0x9e3779b97f4a7c15ull ^ (index + 1) * 0xbf58476d1ce4e5b9ull;
}

void page_fill(void *page, uint64_t seed, uint64_t index)
{
	volatile uint64_t *w = page;

	w[0] = word_of(seed, index);
	w[PAGE_BYTES / 8 - 1] = ~word_of(seed, index);
}

bool page_holds(const void *page, uint64_t seed, uint64_t index)
{
	const volatile uint64_t *w = page;

	return w[0] == word_of(seed, index) && w[PAGE_BYTES / 8 - 1] == ~word_of(seed, index);
}
