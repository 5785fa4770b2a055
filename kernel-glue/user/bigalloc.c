/// 50 MiB in one mapping: zero before, every page touched, verified, unmapped.
#include "sys.h"

#define BYTES (50ull << 20)

static const char *touch(char *base)
{
	for (uint64_t i = 0; i < BYTES / PAGE_BYTES; i++) {
		const volatile uint64_t *w = (const volatile uint64_t *)(base + i * PAGE_BYTES);

		if (w[0] || w[PAGE_BYTES / 16])
			return "fresh memory isn't zero";
		page_fill(base + i * PAGE_BYTES, 7, i);
	}
	for (uint64_t i = 0; i < BYTES / PAGE_BYTES; i++)
		if (!page_holds(base + i * PAGE_BYTES, 7, i))
			return "a page lost its contents";
	return NULL;
}

int main(int argc, char **argv)
{
	int64_t at = sys_mmap(NULL, BYTES, PROT_RW);
	const char *why;

	(void)argc;
	(void)argv;
	if (at < 0)
		return verdict("bigalloc", "mmap was refused");
	why = touch((char *)(uintptr_t)at);
	if (sys_munmap((void *)(uintptr_t)at, BYTES) != 0)
		why = "munmap was refused";
	return verdict("bigalloc", why);
}
