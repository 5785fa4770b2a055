/// 100 children at once, each of which must see its parent's pages, write its own
/// into all of them and see those; then five levels of two children each. The
/// parent's pages must be as before.
#include "sys.h"

#define CHILDREN 100
#define PAGES 16u
#define DEPTH 5u

static char *base;

static void fill(uint64_t seed)
{
	for (unsigned i = 0; i < PAGES; i++)
		page_fill(base + i * PAGE_BYTES, seed, i);
}

static bool holds(uint64_t seed)
{
	for (unsigned i = 0; i < PAGES; i++)
		if (!page_holds(base + i * PAGE_BYTES, seed, i))
			return false;
	return true;
}

static int child(uint64_t parent_seed, uint64_t seed)
{
	if (!holds(parent_seed))
		return 2;
	fill(seed);
	return holds(seed) ? 0 : 3;
}

static const char *await(int children)
{
	for (int i = 0; i < children; i++) {
		int status = -1;

		if (sys_wait(-1, &status) <= 0)
			return "a child is missing";
		if (status != 0)
			return status >> 8 == 2 ? "a child saw other pages than its parent's"
						: "a child failed";
	}
	return NULL;
}

static const char *storm(void)
{
	int started = 0;
	const char *why;

	fill(0);
	for (; started < CHILDREN; started++) {
		int64_t pid = sys_fork();

		if (pid == 0)
			sys_exit(child(0, (uint64_t)started + 1));
		if (pid < 0)
			break;
	}
	why = await(started);
	if (!why && started < CHILDREN)
		why = "fork was refused";
	return why ? why : holds(0) ? NULL : "the parent's pages changed";
}

/// Each level writes its own pages before its children are made.
static int nest(unsigned depth, uint64_t parent_seed, uint64_t seed)
{
	if (child(parent_seed, seed) != 0)
		return 2;
	for (unsigned i = 0; depth > 0 && i < 2; i++) {
		int64_t pid = sys_fork();

		if (pid == 0)
			sys_exit(nest(depth - 1, seed, seed * 2 + i));
		if (pid < 0)
			return 4;
	}
	if (depth > 0 && await(2))
		return 5;
	return holds(seed) ? 0 : 3;
}

int main(int argc, char **argv)
{
	int64_t at = sys_mmap(NULL, PAGES * PAGE_BYTES, PROT_RW);
	const char *why;

	(void)argc;
	(void)argv;
	if (at < 0)
		return verdict("forkstorm", "mmap was refused");
	base = (char *)(uintptr_t)at;
	why = storm();
	if (!why && nest(DEPTH, 0, 1) != 0)
		why = "nested forks went wrong";
	return verdict("forkstorm", why);
}
