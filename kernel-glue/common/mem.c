/// The four functions that compilers call by themselves, and what else string.h names.
/// Built with -fno-tree-loop-distribute-patterns, or these loops would become calls to
/// themselves. Words where both sides allow it; whole pages go by arch hooks.
#include "string.h"

#include "arch.h"

typedef uint64_t __attribute__((may_alias)) word;

static bool words_fit(const void *a, const void *b)
{
	return (((uintptr_t)a | (uintptr_t)b) & 7) == 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	char *t = to;
	const char *f = from;

	if (words_fit(to, from))
		for (; bytes >= 8; bytes -= 8, t += 8, f += 8)
			*(word *)(void *)t = *(const word *)(const void *)f;
	for (; bytes; bytes--)
		*t++ = *f++;
	return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	char *t = to;
	const char *f = from;

	if (t <= f || t >= f + bytes) {
		for (; bytes; bytes--)
			*t++ = *f++;
		return to;
	}
	while (bytes--)
		t[bytes] = f[bytes];
	return to;
}

void *memset(void *to, int byte, size_t bytes)
{
	uint64_t fill = 0x0101010101010101ull * (unsigned char)byte;
	char *t = to;

	for (; bytes && ((uintptr_t)t & 7); bytes--)
		*t++ = (char)byte;
	for (; bytes >= 8; bytes -= 8, t += 8)
		*(word *)(void *)t = fill;
	for (; bytes; bytes--)
		*t++ = (char)byte;
	return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const unsigned char *x = a, *y = b;

	for (; bytes; bytes--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

int strncmp(const char *a, const char *b, size_t bytes)
{
	for (; bytes; bytes--, a++, b++)
		if (*a != *b || !*a)
			return (unsigned char)*a - (unsigned char)*b;
	return 0;
}
