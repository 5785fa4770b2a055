/// 200 cycles of mmap, touch, verify, munmap in mixed sizes; every fourth mapping is
/// kept until four later, so that holes arise and are found again.
#include "sys.h"

#define CYCLES 200u
#define KEPT 4u
#define PAGES_MAX 256u

struct mapping {
	char *at;
	unsigned pages;
	uint64_t seed;
};

static unsigned pages_of(unsigned cycle)
{
	return 1 + cycle * 97u % PAGES_MAX;
}

static const char *make(struct mapping *m, unsigned cycle)
{
	int64_t at = sys_mmap(NULL, pages_of(cycle) * PAGE_BYTES, PROT_RW);

	if (at < 0)
		return "mmap was refused";
	*m = (struct mapping){ (char *)(uintptr_t)at, pages_of(cycle), cycle };
	for (unsigned i = 0; i < m->pages; i++) {
		if (*(volatile uint64_t *)(void *)(m->at + i * PAGE_BYTES))
			return "fresh memory isn't zero";
		page_fill(m->at + i * PAGE_BYTES, m->seed, i);
	}
	return NULL;
}

static const char *drop(struct mapping *m)
{
	for (unsigned i = 0; i < m->pages; i++)
		if (!page_holds(m->at + i * PAGE_BYTES, m->seed, i))
			return "a page lost its contents";
	if (sys_munmap(m->at, m->pages * PAGE_BYTES) != 0)
		return "munmap was refused";
	m->at = NULL;
	return NULL;
}

int main(int argc, char **argv)
{
	struct mapping kept[KEPT] = { { NULL, 0, 0 } }, now;
	const char *why = NULL;

	(void)argc;
	(void)argv;
	for (unsigned c = 0; c < CYCLES && !why; c++) {
		struct mapping *m = c % 4 == 3 ? &kept[c / 4 % KEPT] : &now;

		if (m != &now && m->at)
			why = drop(m);
		if (!why)
			why = make(m, c);
		if (!why && m == &now)
			why = drop(m);
	}
	for (unsigned i = 0; i < KEPT && !why; i++)
		if (kept[i].at)
			why = drop(&kept[i]);
	return verdict("mapcycle", why);
}
