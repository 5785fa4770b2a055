/// Virtual memory as a user program sees it, in ticks (counted instructions under
/// -icount), one "@figure" line each. A window is measured warm, in one process, on
/// one CPU, system call entry and loop included.
#include "sys.h"

#define MIB (1ull << 20)
#define FAULT_BYTES (16 * MIB)
#define BIG_BYTES (64 * MIB)
#define ROUNDS 1000u
#define FORKS 100u

static const char *failure; /* the first thing that went wrong */

static void figure(const char *name, uint64_t ticks, uint64_t samples)
{
	struct line l = { .n = 0 };

	line_text(&l, "@figure ");
	line_text(&l, name);
	line_text(&l, " insn ");
	line_ratio(&l, ticks, samples);
	line_text(&l, " ");
	line_number(&l, samples);
	line_end(&l);
}

static void expect(bool good, const char *why)
{
	if (!good && !failure)
		failure = why;
}

static char *map(uint64_t bytes)
{
	int64_t at = sys_mmap(NULL, bytes, PROT_RW);

	if (at < 0) {
		verdict("bench", "mmap was refused");
		sys_exit(1);
	}
	return (char *)(uintptr_t)at;
}

static void unmap(char *at, uint64_t bytes)
{
	expect(sys_munmap(at, bytes) == 0, "munmap was refused");
}

static void write_pages(char *at, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += PAGE_BYTES)
		*(volatile char *)(at + i) = 1;
}

static void read_pages(const char *at, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += PAGE_BYTES)
		(void)*(const volatile char *)(at + i);
}

static void await(int64_t pid)
{
	int status = -1;

	expect(sys_wait(pid, &status) > 0 && status == 0, "a child failed");
}

static int64_t fork_exit(void)
{
	int64_t pid = sys_fork();

	if (pid == 0)
		sys_exit(0);
	expect(pid > 0, "fork was refused");
	return pid;
}

static void bench_calls(void)
{
	uint64_t start;

	sys_getpid();
	start = sys_ticks();
	for (unsigned i = 0; i < ROUNDS; i++)
		sys_getpid();
	figure("sys.getpid", sys_ticks() - start, ROUNDS);
}

static void bench_faults(void)
{
	char *at = map(BIG_BYTES);
	uint64_t start;

	write_pages(at, BIG_BYTES); /* warms tables and caches */
	unmap(at, BIG_BYTES);
	at = map(FAULT_BYTES);
	start = sys_ticks();
	write_pages(at, FAULT_BYTES);
	figure("vm.fault.anon_write", sys_ticks() - start, FAULT_BYTES / PAGE_BYTES);
	unmap(at, FAULT_BYTES);
	at = map(FAULT_BYTES);
	start = sys_ticks();
	read_pages(at, FAULT_BYTES);
	figure("vm.fault.anon_read", sys_ticks() - start, FAULT_BYTES / PAGE_BYTES);
	unmap(at, FAULT_BYTES);
	at = map(BIG_BYTES);
	write_pages(at, BIG_BYTES);
	start = sys_ticks();
	unmap(at, BIG_BYTES);
	figure("vm.munmap.page", sys_ticks() - start, BIG_BYTES / PAGE_BYTES);
}

static void bench_maps(void)
{
	uint64_t start = sys_ticks(), ticks = 0;
	char *at;

	for (unsigned i = 0; i < ROUNDS; i++)
		unmap(map(PAGE_BYTES), PAGE_BYTES);
	figure("vm.mmap_munmap.untouched", sys_ticks() - start, ROUNDS);
	start = sys_ticks();
	for (unsigned i = 0; i < ROUNDS; i++) {
		at = map(PAGE_BYTES);
		*(volatile char *)at = 1;
		unmap(at, PAGE_BYTES);
	}
	figure("vm.mmap_munmap.touched", sys_ticks() - start, ROUNDS);
	at = map(PAGE_BYTES);
	for (unsigned i = 0; i < ROUNDS; i++) {
		expect(sys_mprotect(at, PAGE_BYTES, PROT_RW) == 0, "mprotect was refused");
		*(volatile char *)at = 1;
		start = sys_ticks();
		expect(sys_mprotect(at, PAGE_BYTES, PROT_READ) == 0, "mprotect was refused");
		ticks += sys_ticks() - start;
	}
	figure("vm.mprotect.rw_r", ticks, ROUNDS);
	unmap(at, PAGE_BYTES);
}

static void bench_forks(void)
{
	static int64_t pid[FORKS];
	uint64_t start;
	char *at;

	await(fork_exit());
	start = sys_ticks();
	for (unsigned i = 0; i < FORKS; i++)
		await(fork_exit());
	figure("vm.fork.empty", sys_ticks() - start, FORKS);
	start = sys_ticks();
	for (unsigned i = 0; i < FORKS; i++)
		pid[i] = fork_exit();
	for (unsigned i = 0; i < FORKS; i++)
		await(pid[i]);
	figure("vm.fork.100", sys_ticks() - start, FORKS);
	at = map(BIG_BYTES);
	write_pages(at, BIG_BYTES);
	start = sys_ticks();
	await(fork_exit());
	figure("vm.fork.64m.page", sys_ticks() - start, BIG_BYTES / PAGE_BYTES);
	unmap(at, BIG_BYTES);
}

/// The child breaks the sharing; after its end the parent is the last owner.
static void bench_cow(void)
{
	char *at = map(FAULT_BYTES);
	uint64_t start;
	int64_t pid;

	write_pages(at, FAULT_BYTES);
	pid = sys_fork();
	if (pid == 0) {
		start = sys_ticks();
		write_pages(at, FAULT_BYTES);
		figure("vm.cow.break", sys_ticks() - start, FAULT_BYTES / PAGE_BYTES);
		sys_exit(0);
	}
	await(pid);
	start = sys_ticks();
	write_pages(at, FAULT_BYTES);
	figure("vm.cow.last_owner", sys_ticks() - start, FAULT_BYTES / PAGE_BYTES);
	unmap(at, FAULT_BYTES);
}

static void bench_bulk(void)
{
	uint64_t start = sys_ticks();
	char *at = map(50 * MIB);

	write_pages(at, 50 * MIB);
	figure("vm.bigalloc.50m", sys_ticks() - start, 1);
	unmap(at, 50 * MIB);
	start = sys_ticks();
	for (unsigned i = 0; i < 200; i++) {
		uint64_t bytes = (1 + i * 97 % 253) * PAGE_BYTES;

		at = map(bytes);
		write_pages(at, bytes);
		unmap(at, bytes);
	}
	figure("vm.cycles.200", sys_ticks() - start, 200);
}

int main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	bench_calls();
	bench_faults();
	bench_maps();
	bench_forks();
	bench_cow();
	bench_bulk();
	return verdict("bench", failure);
}
