/// The simulated machine: memory, CPUs, start and reset.
///
/// What it is for: kmm runs here unmodified, and everything it does to page tables
/// and TLBs passes one stream of events. So the machine can play hardware at its
/// most hostile within the manuals, and say precisely when kmm relied on luck.
///
///   machine.c  memory map, reset, CPUs, panics       mmu.c   the table walker
///   port.c     what kmm calls                        tlb.c   a TLB's storage
///   tlbs.c     invalidations, and their rules        access.c  translating, and its rules
///   crew.c     CPUs that run at once                 ledger.c  who owns each frame
///
/// Memory: one arena at a fixed address, so that two runs of a trace see the same
/// pointers. Its physical base is neither zero nor aligned, the map has a hole and
/// a reserved range with unaligned ends, and every byte starts as junk. By two bits of
/// the seed, its first eighth is a zone of its own, and from 3/8 on it is of another node.
///   I1  a group of frames whose `touched` byte is 0 holds junk only; so a reset
///       costs what was used.
///   I2  one CPU runs at a time; the others are between operations, interrupts on. Only
///       in a run (crew.c) may they stand anywhere.
///   I3  the first finding is kept, later ones follow from it.
///   I4  after a panic nothing calls into the instance: start resets it.
/// Limits: MACHINE_CPUS_MAX CPUs.
#include "machine/machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "port/port.h"

#define ARENA_FIRST_PFN 0x143213ull
#define GROUP_BYTES (KMM_PAGE_BYTES << MACHINE_GROUP_LG2)
#define HOLE_FRAMES 3u
#define RESERVED_FRAMES 2u
#define GAP_FRAMES (HOLE_FRAMES + RESERVED_FRAMES)
#define JUNK 0xa5

_Thread_local struct machine *machine_current;

/// Where the arena may lie; the first place suits ASan and MSan, the second
/// Valgrind, and the last is anywhere.
static void *map_at_first_fit(uint64_t bytes)
{
	static const uintptr_t wish[] = { 0x510000000000u, 0x1800000000u };
	void *p;

	for (unsigned i = 0; i < 2 * 16; i++) {
		uintptr_t at = wish[i / 16] + (i % 16) * 0x400000000u;

		p = mmap((void *)at, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
		if (p == (void *)at)
			return p;
		if (p != MAP_FAILED)
			munmap(p, bytes);
	}
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		 -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

/// Makes sure that a mapping of at least `bytes` is there.
static bool room(char **at, uint64_t *have, uint64_t bytes)
{
	if (*have >= bytes)
		return true;
	if (*at)
		munmap(*at, *have);
	*at = map_at_first_fit(bytes);
	*have = *at ? bytes : 0;
	return *at != NULL;
}

static struct kmm_pa pa_of(uint64_t pfn)
{
	struct kmm_pa pa = { pfn << KMM_PAGE_LG2 };

	return pa;
}

/// kmm refuses what it must take: a finding.
static const char *refused(struct machine *m, const char *text)
{
	machine_find(m, ORACLE_MODEL, "%s", text);
	return text;
}

/// usable A | hole | usable B, with a reserved range inside B.
static const char *build_map(struct machine *m)
{
	uint64_t first = ARENA_FIRST_PFN, n = m->o.frames_n;
	uint64_t hole = first + n / 2u + 1u, reserved = hole + HOLE_FRAMES + n / 4u;
	uint64_t end = first + n + GAP_FRAMES;
	struct kmm_pa from = { (reserved << KMM_PAGE_LG2) + 0x123 };
	struct kmm_pa to = { ((reserved + RESERVED_FRAMES - 1u) << KMM_PAGE_LG2) + 0x45 };

	memset(&m->memmap, 0, sizeof(m->memmap));
	m->gap[0] = (struct machine_gap){ hole, hole + HOLE_FRAMES };
	m->gap[1] = (struct machine_gap){ reserved, reserved + RESERVED_FRAMES };
	m->mem.first_pfn = first;
	m->mem.frames_n = end - first;
	if (kmm_memmap_add(&m->memmap, pa_of(first), pa_of(hole), KMM_MEM_USABLE, "low") ||
	    kmm_memmap_add(&m->memmap, pa_of(hole + HOLE_FRAMES), pa_of(end), KMM_MEM_USABLE,
			   "high") ||
	    kmm_memmap_add(&m->memmap, from, to, KMM_MEM_RESERVED, "firmware"))
		return refused(m, "sim: the memory map was refused");
	return NULL;
}

/// Node 1 is slower to reach; its memory is the larger part.
static const struct kmm_topology *build_nodes(struct machine *m)
{
	struct kmm_topology *t = &m->topology;

	if (!(m->o.seed & MACHINE_NODES))
		return NULL;
	*t = (struct kmm_topology){ .nodes_n = 2, .ranges_n = 2 };
	t->range[0].start = pa_of(m->mem.first_pfn);
	t->range[0].end = t->range[1].start = pa_of(m->mem.first_pfn + m->o.frames_n * 3u / 8u);
	t->range[1].end = pa_of(m->mem.first_pfn + m->mem.frames_n);
	t->range[1].node = 1;
	for (unsigned i = 0; i < m->o.cpus_n; i++)
		t->cpu_node[i] = i % 2u;
	return t;
}

/// I1: junk wherever someone may have written.
static void restore_junk(struct machine *m)
{
	uint64_t groups = m->port.touched ? m->arena_room / GROUP_BYTES : 0;

	for (uint64_t g = 0; g < groups; g++) {
		if (m->port.touched[g]) {
			memset(m->port.arena + g * GROUP_BYTES, JUNK, GROUP_BYTES);
			m->port.touched[g] = 0;
		}
	}
}

static const char *build_memory(struct machine *m)
{
	uint64_t bytes = m->mem.frames_n * KMM_PAGE_BYTES;
	uint64_t arena = (bytes + GROUP_BYTES - 1u) & ~(GROUP_BYTES - 1u);
	bool fresh = m->arena_room < arena;
	uint64_t touched_had = m->arena_room / GROUP_BYTES;

	if (!room(&m->port.arena, &m->arena_room, arena))
		return "sim: not enough address space";
	if (fresh) {
		if (m->port.touched)
			munmap(m->port.touched, touched_had);
		m->port.touched = mmap(NULL, arena / GROUP_BYTES, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (m->port.touched == MAP_FAILED)
			return "sim: not enough address space";
		memset(m->port.touched, 1, arena / GROUP_BYTES);
	}
	restore_junk(m);
	m->port.arena_base = ARENA_FIRST_PFN << KMM_PAGE_LG2;
	m->port.arena_bytes = bytes;
	m->mem.bytes = m->port.arena;
	return NULL;
}

static const char *build_kmm(struct machine *m)
{
	struct kmm_config c = { .preset = m->o.preset, .memmap = &m->memmap,
				.format = m->o.format, .cpus_n = m->o.cpus_n, .port = m };
	uint64_t used = m->meta_bytes;
	struct kmm *k;

	c.topology = build_nodes(m);
	if (m->o.seed & MACHINE_DMA)
		c.dma_end = pa_of(m->mem.first_pfn + m->o.frames_n / 8u);
	m->meta_bytes = kmm_meta_bytes(&c);
	if (m->meta_bytes == 0)
		return refused(m, "sim: kmm refuses this configuration");
	if (m->meta)
		memset(m->meta, 0, used < m->meta_room ? used : m->meta_room);
	if (!room(&m->meta, &m->meta_room, m->meta_bytes))
		return "sim: not enough address space";
	if (kmm_init(&c, m->meta, &k) != KMM_OK)
		return refused(m, "sim: kmm_init failed");
	m->kmm = k;
	for (unsigned i = 1; i < m->o.cpus_n; i++) {
		m->port.cpu = i;
		kmm_port_cpu_bind(k, kmm_cpu_at(k, i));
	}
	m->port.cpu = 0;
	return NULL;
}

static void reset_cpus(struct machine *m)
{
	for (unsigned i = 0; i < MACHINE_CPUS_MAX; i++) {
		struct machine_cpu *cpu = &m->cpu[i];

		m->port.irq_off[i] = false;
		m->port.block[i] = NULL;
		cpu->loaded = false;
		cpu->root = 0;
		tlb_clear(&cpu->tlb);
		cpu->queue_n = cpu->unsynced_n = 0;
		cpu->store_unordered = false;
	}
	m->port.cpu = 0;
	m->port.cycles = 0;
}

const char *machine_start(struct machine *m, const struct machine_options *o)
{
	const char *error;

	if (o->cpus_n < 1 || o->cpus_n > MACHINE_CPUS_MAX)
		return "sim: between 1 and 8 CPUs";
	if (o->frames_n < MACHINE_FRAMES_MIN)
		return "sim: at least 64 frames";
	m->preset = *o->preset;
	m->o = *o;
	m->o.preset = &m->preset;
	m->mem.arch = o->format == &kmm_pt_format_aarch64 ? MMU_AARCH64 : MMU_X86_64;
	m->kmm = NULL;
	m->dead = m->armed = false;
	m->finding.oracle = ORACLE_NONE;
	m->finding.text[0] = m->finding.more[0] = '\0';
	m->random = o->seed * 2u + 1u;
	m->adversary = o->seed ^ 0x9e3779b97f4a7c15ull;
	m->stats = (struct machine_stats){ 0 };
	m->spins = 0;
	reset_cpus(m);
	machine_current = m;
	error = build_map(m);
	if (!error)
		error = build_memory(m);
	return error ? error : build_kmm(m);
}

void machine_free(struct machine *m)
{
	if (m->port.touched)
		munmap(m->port.touched, m->arena_room / GROUP_BYTES);
	if (m->port.arena)
		munmap(m->port.arena, m->arena_room);
	if (m->meta)
		munmap(m->meta, m->meta_room);
	crew_free(&m->crew);
	memset(m, 0, sizeof(*m));
	if (machine_current == m)
		machine_current = NULL;
}

void machine_switch(struct machine *m, unsigned cpu)
{
	m->port.cpu = cpu;
}

/// Out of a run nothing is jumped over: its fibers are left as they are.
_Noreturn void machine_escape(struct machine *m)
{
	if (m->crew.sched) {
		sched_on = m->crew.sched;
		sched_stop(sched_on);
	}
	if (m->armed)
		longjmp(m->escape, 1);
	fprintf(stderr, "sim: %s\n", m->finding.text);
	__builtin_trap();
}

bool machine_guard(struct machine *m, void (*fn)(void *ctx), void *ctx)
{
	machine_current = m;
	m->spins = 0;
	if (m->dead)
		return false;
	if (setjmp(m->escape) != 0) {
		m->armed = false;
		m->dead = true;
		return false;
	}
	m->armed = true;
	fn(ctx);
	m->armed = false;
	return true;
}

void machine_find(struct machine *m, enum oracle oracle, const char *fmt, ...)
{
	va_list ap;

	if (m->finding.oracle != ORACLE_NONE)
		return; /* I3 */
	m->finding.oracle = oracle;
	va_start(ap, fmt);
	vsnprintf(m->finding.text, sizeof(m->finding.text), fmt, ap);
	va_end(ap);
	if (m->crew.sched)
		machine_escape(m);
}

void machine_touch(struct machine *m, const void *at, uint64_t bytes)
{
	uint64_t first = (uint64_t)((const char *)at - m->port.arena);

	if (bytes == 0 || first >= m->port.arena_bytes || bytes > m->port.arena_bytes - first)
		return;
	for (uint64_t g = first / GROUP_BYTES; g <= (first + bytes - 1u) / GROUP_BYTES; g++)
		m->port.touched[g] = 1;
}

bool machine_usable(const struct machine *m, uint64_t pfn)
{
	for (unsigned i = 0; i < MACHINE_GAPS; i++)
		if (pfn >= m->gap[i].first_pfn && pfn < m->gap[i].end_pfn)
			return false;
	return pfn - m->mem.first_pfn < m->mem.frames_n;
}

bool machine_frame_free(struct machine *m, uint64_t pfn)
{
	struct kmm_pfn f = { pfn };
	struct crew_look l;
	bool allocated;

	if (!machine_usable(m, pfn))
		return true;
	if (!SCHED_RUNS())
		return !kmm_frame_is_allocated(m->kmm, f);
	l = crew_look_begin(m);
	allocated = kmm_frame_is_allocated(m->kmm, f);
	crew_look_end(l);
	return !allocated;
}

static bool junk_only(const char *at, uint64_t bytes)
{
	/* Each byte equals its neighbour, and the first is junk. */
	return (unsigned char)at[0] == JUNK && memcmp(at, at + 1, bytes - 1u) == 0;
}

void machine_verify_gaps(struct machine *m)
{
	for (unsigned i = 0; i < MACHINE_GAPS; i++) {
		uint64_t first = m->gap[i].first_pfn - m->mem.first_pfn;
		uint64_t n = m->gap[i].end_pfn - m->gap[i].first_pfn;

		if (!junk_only(m->port.arena + first * KMM_PAGE_BYTES, n * KMM_PAGE_BYTES))
			machine_find(m, ORACLE_LEDGER, "memory outside the usable map was written "
				     "(frames %#llx..%#llx)",
				     (unsigned long long)m->gap[i].first_pfn,
				     (unsigned long long)m->gap[i].end_pfn - 1u);
	}
}

uint64_t machine_choose(struct machine *m)
{
	uint64_t x = m->adversary += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}
