/// The threads body: physical memory is one anonymous mapping, CPUs are threads.
///
/// An IPI to a CPU with a thread in it is a flag which that thread polls where
/// interrupts come on again, or while it spins. A CPU without a thread is not
/// online: kmm asks nothing of it, and what it cached stays with it until a
/// thread enters again.
#include "threads.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "port/port.h"

static volatile uint32_t nobody_waits;
_Thread_local struct threads_self threads_self = { NULL, false, &nobody_waits };

static struct threads_machine *machine(struct kmm *k)
{
	return kmm_port_ctx(k);
}

#define LARGE_BYTES (2ull << 20)
#define CONTENTS_MIN (16ull << 30)

/// Address space that begins where a large page may.
static char *reserve(uint64_t bytes)
{
	uint64_t pages = (bytes + 4095u) & ~4095ull;
	char *p = mmap(NULL, pages + LARGE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t lead;

	if (p == MAP_FAILED)
		return NULL;
	lead = (0u - (uintptr_t)p) & (LARGE_BYTES - 1u);
	if (lead != 0)
		munmap(p, lead);
	if (lead != LARGE_BYTES)
		munmap(p + lead + pages, LARGE_BYTES - lead);
	/* A kernel's direct map has large leaves; so has this, where Linux can. */
	madvise(p + lead, bytes, MADV_HUGEPAGE);
	return p + lead;
}

/// Contents, or as much of them as there is address space for: under Valgrind it ends at
/// 128 GiB. Memory beyond CONTENTS_MIN is for loads that don't touch what lies in frames;
/// kmm's own frames are the lowest, and who touches others faults.
static char *reserve_contents(struct threads_machine *m, uint64_t bytes)
{
	char *p = reserve(bytes);

	for (; !p && bytes > CONTENTS_MIN; p = reserve(bytes))
		bytes = bytes > 2 * CONTENTS_MIN ? bytes / 2u : CONTENTS_MIN;
	m->contents_bytes = bytes;
	return p;
}

static const char *allocate(struct threads_machine *m, const struct threads_options *o,
			    const struct kmm_config *c)
{
	m->meta_bytes = kmm_meta_bytes(c);
	if (m->meta_bytes == 0)
		return "threads: kmm refuses this configuration";
	m->meta = reserve(m->meta_bytes);
	m->port.arena = reserve_contents(m, o->bytes);
	if (!m->meta || !m->port.arena)
		return "threads: not enough address space";
	return NULL;
}

const char *threads_start(struct threads_machine *m, const struct threads_options *o)
{
	struct kmm_config c = { .preset = &m->preset, .memmap = &m->memmap, .cpus_n = o->cpus_n,
				.port = m, .format = o->format };
	struct kmm_pa start = { o->base }, end = { o->base + o->bytes };
	const char *error;

	memset(m, 0, sizeof(*m));
	m->preset = *o->preset;
	if (!c.format)
		c.format = &kmm_pt_format_x86_64;
	if (kmm_memmap_add(&m->memmap, start, end, KMM_MEM_USABLE, "arena") != KMM_OK)
		return "threads: the arena is no valid memory range";
	m->cpus_n = o->cpus_n;
	m->port = (struct threads_port){ NULL, o->base, o->bytes };
	error = allocate(m, o, &c);
	if (error)
		return error;
	for (unsigned i = 0; i < m->cpus_n; i++)
		pthread_mutex_init(&m->cpu[i].turn, NULL);
	pthread_mutex_lock(&m->cpu[0].turn);
	__atomic_store_n(&m->cpu[0].online, true, __ATOMIC_SEQ_CST);
	threads_self.pending = &m->cpu[0].ipi;
	if (kmm_init(&c, m->meta, &m->kmm) != KMM_OK)
		return "threads: kmm_init failed";
	return NULL;
}

uint64_t threads_stop(struct threads_machine *m)
{
	uint64_t leaked = kmm_teardown(m->kmm);

	threads_leave(m, 0);
	for (unsigned i = 0; i < m->cpus_n; i++)
		pthread_mutex_destroy(&m->cpu[i].turn);
	munmap(m->port.arena, m->contents_bytes);
	munmap(m->meta, m->meta_bytes);
	return leaked;
}

void threads_enter(struct threads_machine *m, unsigned i)
{
	pthread_mutex_lock(&m->cpu[i].turn);
	kmm_port_cpu_bind(m->kmm, kmm_cpu_at(m->kmm, i));
	threads_self.pending = &m->cpu[i].ipi;
	__atomic_store_n(&m->cpu[i].online, true, __ATOMIC_SEQ_CST);
}

void threads_leave(struct threads_machine *m, unsigned i)
{
	__atomic_store_n(&m->cpu[i].online, false, __ATOMIC_SEQ_CST);
	/* A caller that saw this CPU online waits for its answer. */
	threads_self.irq_off = true;
	kmm_ipi_handle(m->kmm);
	threads_self.irq_off = false;
	threads_self.pending = &nobody_waits;
	threads_self.cpu = NULL;
	pthread_mutex_unlock(&m->cpu[i].turn);
}

void threads_take_ipi(struct kmm *k)
{
	bool was = threads_self.irq_off;

	threads_self.irq_off = true;
	__atomic_store_n((uint32_t *)threads_self.pending, 0, __ATOMIC_SEQ_CST);
	kmm_ipi_handle(k);
	threads_self.irq_off = was;
}

/// The same at the end of a stretch that was pinned only.
void threads_take_ipi_unless_off(struct kmm *k)
{
	if (!threads_self.irq_off)
		threads_take_ipi(k);
}

void kmm_port_cpu_bind(struct kmm *k, struct kmm_cpu *cpu)
{
	(void)k;
	threads_self.cpu = cpu;
}

void kmm_port_ipi(struct kmm *k, kmm_cpumask cpus)
{
	struct threads_machine *m = machine(k);

	for (unsigned i = 0; i < m->cpus_n; i++)
		if (cpus >> i & 1u)
			__atomic_store_n(&m->cpu[i].ipi, 1, __ATOMIC_SEQ_CST);
}

kmm_cpumask kmm_port_online(struct kmm *k)
{
	struct threads_machine *m = machine(k);
	kmm_cpumask cpus = 0;

	for (unsigned i = 0; i < m->cpus_n; i++)
		if (__atomic_load_n(&m->cpu[i].online, __ATOMIC_SEQ_CST))
			cpus |= 1ull << i;
	return cpus;
}

uint64_t kmm_port_random(struct kmm *k)
{
	static _Thread_local uint64_t state = 0x9e3779b97f4a7c15ull;

	(void)k;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

void kmm_port_log(struct kmm *k, int level, const char *line)
{
	if (!machine(k)->quiet && level <= KMM_LOG_WARN)
		fprintf(stderr, "kmm: %s\n", line);
}

_Noreturn void kmm_port_panic(struct kmm *k, const char *why)
{
	(void)k;
	fprintf(stderr, "kmm panic: %s\n", why);
	abort();
}

unsigned kmm_port_backtrace(struct kmm *k, void **out, unsigned n)
{
	(void)k;
	return (unsigned)backtrace(out, (int)n);
}

void kmm_port_copy(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}

void kmm_port_fill(void *to, unsigned char byte, size_t bytes)
{
	memset(to, byte, bytes);
}

void kmm_port_zero_page(void *page)
{
	memset(page, 0, KMM_PAGE_BYTES);
}

void kmm_port_copy_page(void *to, const void *from)
{
	memcpy(to, from, KMM_PAGE_BYTES);
}
