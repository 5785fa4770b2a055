/* pagemill-verdict: the verdict programs on host threads, on a machine with all that a
 * board may have. Its memory begins at address 0:
 *
 *     0  MiB   reserved ("low"), 1 MiB
 *     1        DMA           node 0
 *    16        DMA32         node 0; 1 MiB of it reserved ("acpi")
 *    64        normal        nodes 0, 1, ... share it, and
 *              pluggable     the last 32 MiB of it
 *   448        high          last node
 *   512        device        last node
 *   528        end
 *
 * What a kernel's CPUs do all the time, threads do while they have entered: answer. So
 * the calling thread leaves CPU 0 while it waits for the others, and what they left in
 * caches is taken back, as for CPUs that went offline.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "port/port.h"
#include "threads.h"
#include "verdict/verdict.h"

#define MIB (1ull << 20)
#define MEMORY_END (528 * MIB)
#define NODES_MAX 4u

enum { EXIT_VERDICT = 3, EXIT_WRONG_USE = 2, EXIT_BROKEN = 1 };

static struct threads_machine machine;
static struct kmm_preset preset;
static struct kmm_topology topology;

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "pagemill-verdict: %s\n", what);
	exit(EXIT_BROKEN);
}

/* ---- the machine ---- */

static void add(uint64_t start_mib, uint64_t end_mib, enum kmm_mem_kind kind, const char *name)
{
	struct kmm_pa start = { start_mib * MIB }, end = { end_mib * MIB };

	if (kmm_memmap_add(&machine.memmap, start, end, kind, name) != KMM_OK)
		give_up("the memory map is full");
}

static void make_map(void)
{
	add(1, 512, KMM_MEM_USABLE, "ram");
	add(0, 1, KMM_MEM_RESERVED, "low");
	add(40, 41, KMM_MEM_RESERVED, "acpi");
	add(416, 448, KMM_MEM_PLUGGABLE, "pluggable");
	add(512, 528, KMM_MEM_DEVICE, "device");
}

/* Node 0 has all below 64 MiB. */
static void make_topology(unsigned nodes_n, unsigned cpus_n)
{
	uint64_t share = (448 - 64) / nodes_n;

	topology.nodes_n = nodes_n;
	for (unsigned i = 0; i < nodes_n; i++) {
		topology.range[i].start.a = i == 0 ? 0 : (64 + share * i) * MIB;
		topology.range[i].end.a = i + 1u < nodes_n ? (64 + share * (i + 1u)) * MIB :
							     MEMORY_END;
		topology.range[i].node = (uint8_t)i;
		for (unsigned to = 0; to < nodes_n; to++)
			topology.distance[i][to] =
				(uint8_t)(10u + 10u * (i > to ? i - to : to - i));
	}
	topology.ranges_n = nodes_n;
	for (unsigned cpu = 0; cpu < cpus_n; cpu++)
		topology.cpu_node[cpu] = (uint8_t)(cpu * nodes_n / cpus_n);
}

static void *reserve(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		give_up("not enough address space");
	return p;
}

/* What threads_start does, for this memory map. */
static void start(unsigned nodes_n, unsigned cpus_n)
{
	struct kmm_config c = { .preset = &preset, .memmap = &machine.memmap,
				.format = &kmm_pt_format_x86_64, .cpus_n = cpus_n,
				.port = &machine, .topology = nodes_n > 1 ? &topology : NULL,
				.dma32_end = { 64 * MIB }, .high_start = { 448 * MIB } };

	make_map();
	make_topology(nodes_n, cpus_n);
	machine.cpus_n = cpus_n;
	machine.port = (struct threads_port){ reserve(MEMORY_END), 0, MEMORY_END };
	machine.meta_bytes = kmm_meta_bytes(&c);
	if (machine.meta_bytes == 0)
		give_up("kmm refuses this configuration");
	machine.meta = reserve(machine.meta_bytes);
	for (unsigned i = 0; i < cpus_n; i++)
		pthread_mutex_init(&machine.cpu[i].turn, NULL);
	pthread_mutex_lock(&machine.cpu[0].turn);
	__atomic_store_n(&machine.cpu[0].online, true, __ATOMIC_SEQ_CST);
	threads_self.pending = &machine.cpu[0].ipi;
	if (kmm_init(&c, machine.meta, &machine.kmm) != KMM_OK)
		give_up("kmm_init failed");
}

/* ---- the body ---- */

struct job {
	void (*work)(void *ctx, unsigned cpu);
	void *ctx;
	unsigned cpu;
};

static void *run_job(void *arg)
{
	const struct job *j = arg;

	threads_enter(&machine, j->cpu);
	j->work(j->ctx, j->cpu);
	threads_leave(&machine, j->cpu);
	return NULL;
}

static void on_cpus(struct verdict_body *b, void (*work)(void *ctx, unsigned cpu), void *ctx)
{
	struct job job[VERDICT_CPUS_MAX];
	pthread_t thread[VERDICT_CPUS_MAX];

	for (unsigned i = 0; i < b->cpus_n; i++)
		job[i] = (struct job){ work, ctx, i };
	for (unsigned i = 1; i < b->cpus_n; i++)
		if (pthread_create(&thread[i], NULL, run_job, &job[i]))
			give_up("a thread can't be started");
	work(ctx, 0);
	threads_leave(&machine, 0);
	for (unsigned i = 1; i < b->cpus_n; i++)
		pthread_join(thread[i], NULL);
	threads_enter(&machine, 0);
	for (unsigned i = 1; i < b->cpus_n; i++)
		kmm_frame_retire_cpu(b->k, i);
}

static void line(const char *text)
{
	puts(text);
	fflush(stdout);
}

/* ---- the program ---- */

static unsigned number(const char *text, unsigned max)
{
	char *end;
	unsigned long n = text ? strtoul(text, &end, 10) : 0;

	if (n == 0 || n > max || *end) {
		fprintf(stderr, "pagemill-verdict: bad number '%s'\n", text ? text : "");
		exit(EXIT_WRONG_USE);
	}
	return (unsigned)n;
}

static void print_zones(void)
{
	struct kmm_zone_info z;

	for (unsigned i = 0; kmm_zone_info(machine.kmm, i, &z) == KMM_OK; i++)
		printf("@zone %u %s node=%u base=0x%llx end=0x%llx managed=%llu policy=%s\n", i,
		       z.name, z.node, (unsigned long long)kmm_pfn_to_pa(z.base).a,
		       (unsigned long long)kmm_pfn_to_pa(z.end).a,
		       (unsigned long long)z.managed_n, z.policy);
}

int main(int argc, char **argv)
{
	struct verdict_body b = { .cpus_n = 2, .preset = "pagemill", .line = line,
				  .on_cpus = on_cpus };
	unsigned nodes_n = 2, failed_n;

	for (int i = 1; i < argc; i += 2) {
		if (!strcmp(argv[i], "--preset") && argv[i + 1]) {
			b.preset = argv[i + 1];
		} else if (!strcmp(argv[i], "--cpus")) {
			b.cpus_n = number(argv[i + 1], VERDICT_CPUS_MAX);
		} else if (!strcmp(argv[i], "--nodes")) {
			nodes_n = number(argv[i + 1], NODES_MAX);
		} else {
			fprintf(stderr, "usage: pagemill-verdict [--preset NAME[+POLICY]] "
					"[--cpus N] [--nodes N]\n");
			return EXIT_WRONG_USE;
		}
	}
	if (!kmm_preset_parse(b.preset, &preset)) {
		fprintf(stderr, "pagemill-verdict: unknown preset '%s'\n", b.preset);
		return EXIT_WRONG_USE;
	}
	start(nodes_n, b.cpus_n);
	print_zones();
	b.k = machine.kmm;
	b.memmap = &machine.memmap;
	b.topology = nodes_n > 1 ? &topology : NULL;
	failed_n = verdict_run_all(&b);
	if (threads_stop(&machine) != 0)
		give_up("frames leaked");
	return failed_n ? EXIT_VERDICT : EXIT_SUCCESS;
}
