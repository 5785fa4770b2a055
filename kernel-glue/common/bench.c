/// run=bench: the memory manager from inside the kernel, in ticks of arch_cycles,
/// which are counted instructions under -icount. Windows are warm, with the timer
/// off and no CPU idle in them; the loop around a pair is part of the figure.
#include "sched.h"

#define PAIRS 10000u
#define BATCH 64u
#define PT_ROUNDS 1000u
#define SHOOTDOWN_ROUNDS 200u
#define PT_VA 0x4000000000ull

static void figure(const char *name, const char *unit, uint64_t total, uint64_t samples)
{
	uint64_t hundredths = total % samples * 100 / samples;

	glue_print("@figure %s %s %llu.%02llu %llu\n", name, unit,
		   (unsigned long long)(total / samples), (unsigned long long)hundredths,
		   (unsigned long long)samples);
}

static void must(enum kmm_error e, const char *what)
{
	if (e != KMM_OK)
		glue_panic("bench: %s: %s", what, kmm_error_text(e));
}

/* ---- pairs ---- */

static void frame_pairs(unsigned order, unsigned n)
{
	struct kmm_pfn pfn;

	for (unsigned i = 0; i < n; i++) {
		must(kmm_frame_alloc(glue_kmm, order, 0, &pfn), "frame");
		must(kmm_frame_free(glue_kmm, pfn, order), "frame");
	}
}

static void bench_frames(const char *name, unsigned order)
{
	uint64_t start;

	frame_pairs(order, 16);
	start = arch_cycles();
	frame_pairs(order, PAIRS);
	figure(name, "insn", arch_cycles() - start, PAIRS);
}

/// Past the CPU's caches: a named zone asks the policy, and a free by batch answers it.
/// The zone is that of a frame given without asking.
static unsigned policy_flags(void)
{
	struct kmm_zone_info z = { .kind = KMM_ZONE_NORMAL };
	struct kmm_pfn pfn;

	must(kmm_frame_alloc(glue_kmm, 0, 0, &pfn), "frame");
	for (unsigned i = 0; kmm_zone_info(glue_kmm, i, &z) == KMM_OK; i++)
		if (pfn.n >= z.base.n && pfn.n < z.end.n)
			break;
	must(kmm_frame_free(glue_kmm, pfn, 0), "frame");
	return KMM_FRAME_ZONE(z.kind);
}

static void policy_pairs(unsigned order, unsigned flags, unsigned n)
{
	struct kmm_pfn pfn;

	for (unsigned i = 0; i < n; i++) {
		must(kmm_frame_alloc(glue_kmm, order, flags, &pfn), "frame");
		must(kmm_frame_free_batch(glue_kmm, order, 1, &pfn, NULL), "frame");
	}
}

static void bench_policy(const char *name, unsigned order)
{
	unsigned flags = policy_flags();
	uint64_t start;

	policy_pairs(order, flags, 16);
	start = arch_cycles();
	policy_pairs(order, flags, PAIRS);
	figure(name, "insn", arch_cycles() - start, PAIRS);
}

static void batches(unsigned n)
{
	static struct kmm_pfn pfn[BATCH];

	for (unsigned i = 0; i < n; i++) {
		if (kmm_frame_alloc_batch(glue_kmm, 0, 0, BATCH, pfn) != BATCH)
			glue_panic("bench: batch: out of memory");
		must(kmm_frame_free_batch(glue_kmm, 0, BATCH, pfn, NULL), "batch");
	}
}

/// Alloc and free of one frame in batches of 64.
static void bench_batch(void)
{
	uint64_t start;

	batches(4);
	start = arch_cycles();
	batches(PAIRS / BATCH);
	figure("frame.batch64.o0", "insn", arch_cycles() - start, PAIRS / BATCH * BATCH);
}

static void zeroed_pairs(unsigned n)
{
	struct kmm_pfn pfn;

	for (unsigned i = 0; i < n; i++) {
		must(kmm_frame_alloc(glue_kmm, 0, KMM_FRAME_ZERO, &pfn), "frame");
		must(kmm_frame_free_zeroed(glue_kmm, pfn, 0), "frame");
	}
}

/// Of frames that are known to be zero.
static void bench_zeroed(void)
{
	uint64_t start;

	zeroed_pairs(16);
	start = arch_cycles();
	zeroed_pairs(PAIRS);
	figure("frame.zeroed.o0", "insn", arch_cycles() - start, PAIRS);
}

static void ranges(unsigned n)
{
	const struct kmm_frame_request r = { .n = 100, .align_n = 4 };
	struct kmm_pfn pfn;

	for (unsigned i = 0; i < n; i++) {
		must(kmm_frame_alloc_range(glue_kmm, &r, &pfn), "range");
		must(kmm_frame_free_range(glue_kmm, pfn, r.n), "range");
	}
}

static void bench_ranges(void)
{
	uint64_t start;

	ranges(4);
	start = arch_cycles();
	ranges(PT_ROUNDS);
	figure("frame.range.n100", "insn", arch_cycles() - start, PT_ROUNDS);
}

static void cache_pairs(struct kmm_cache *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		void *p = kmm_cache_alloc(c);

		if (!p)
			glue_panic("bench: object: out of memory");
		*(volatile char *)p = 1;
		must(kmm_cache_free(c, p), "object");
	}
}

static void bench_cache(void)
{
	struct kmm_cache *c;
	uint64_t start;
	enum kmm_error e = kmm_cache_create(glue_kmm, "bench", 64, 0, NULL, &c);

	if (e == KMM_ELIMIT)
		return; /* this preset's caches are all taken */
	must(e, "cache");
	cache_pairs(c, 16);
	start = arch_cycles();
	cache_pairs(c, PAIRS);
	figure("object.tight.64", "insn", arch_cycles() - start, PAIRS);
	must(kmm_cache_destroy(c), "cache");
}

static void kmalloc_pairs(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		void *p = kmm_alloc(glue_kmm, 128);

		if (!p)
			glue_panic("bench: kmalloc: out of memory");
		*(volatile char *)p = 1;
		must(kmm_free(glue_kmm, p), "kmalloc");
	}
}

static void bench_kmalloc(void)
{
	uint64_t start;

	kmalloc_pairs(16);
	start = arch_cycles();
	kmalloc_pairs(PAIRS);
	figure("object.kmalloc.128", "insn", arch_cycles() - start, PAIRS);
}

/* ---- page tables ---- */

/// The frame is a plain block, which no leaf counts: it stays ours.
static void map_unmap(struct kmm_pt *pt, uint64_t at, struct kmm_pfn pfn, unsigned n)
{
	struct kmm_va va = { at }, end = { at + KMM_PAGE_BYTES };
	struct kmm_tlb_batch batch;

	for (unsigned i = 0; i < n; i++) {
		kmm_tlb_batch_init(&batch, pt);
		must(kmm_pt_map(pt, va, pfn, 1, KMM_PROT_R | KMM_PROT_W, 0), "map");
		must(kmm_pt_unmap(pt, va, end, &batch), "unmap");
		kmm_tlb_batch_flush(&batch);
	}
}

/// Interrupts are off as under the lock that a tree's owner would hold. A second
/// page keeps the tables.
static void bench_tables(void)
{
	struct kmm_va next = { PT_VA + KMM_PAGE_BYTES }, end = { PT_VA + 2 * KMM_PAGE_BYTES };
	unsigned long was = arch_irq_save();
	struct kmm_tlb_batch batch;
	struct kmm_pfn pfn;
	struct kmm_pt pt;
	uint64_t start;

	must(kmm_pt_init(glue_kmm, &pt, NULL), "tree");
	must(kmm_frame_alloc(glue_kmm, 0, 0, &pfn), "frame");
	must(kmm_pt_map(&pt, next, pfn, 1, KMM_PROT_R, 0), "map");
	map_unmap(&pt, PT_VA, pfn, 16);
	start = arch_cycles();
	map_unmap(&pt, PT_VA, pfn, PT_ROUNDS);
	figure("pt.map_unmap", "insn", arch_cycles() - start, PT_ROUNDS);
	kmm_tlb_batch_init(&batch, &pt);
	must(kmm_pt_unmap(&pt, next, end, &batch), "unmap");
	kmm_tlb_batch_flush(&batch);
	kmm_pt_destroy(&pt);
	must(kmm_frame_free(glue_kmm, pfn, 0), "frame");
	arch_irq_restore(was);
}

/* ---- shootdown ---- */

static struct kmm_space *shared_space; /* constant while others run */
static unsigned ready_n, stop;         /* atomic */
static struct thread others[GLUE_CPUS_MAX];

static void other_cpu(void *arg)
{
	(void)arg;
	kmm_space_activate(glue_kmm, shared_space);
	__atomic_fetch_add(&ready_n, 1u, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE))
		arch_relax();
	kmm_space_activate(glue_kmm, NULL);
	__atomic_fetch_sub(&ready_n, 1u, __ATOMIC_RELEASE);
}

static void await_ready(unsigned n)
{
	while (__atomic_load_n(&ready_n, __ATOMIC_ACQUIRE) != n)
		arch_relax();
}

static uint64_t unmap_touched(unsigned n)
{
	struct kmm_va at = { 0 };
	uint64_t ticks = 0;

	for (unsigned i = 0; i < n; i++) {
		char byte = 1;
		uint64_t start;

		must(kmm_space_map(shared_space, &at, KMM_PAGE_BYTES, KMM_PROT_R | KMM_PROT_W, 0),
		     "map");
		if (kmm_space_write(shared_space, at, &byte, 1) != 1)
			glue_panic("bench: a mapped page can't be written");
		start = arch_cycles();
		must(kmm_space_unmap(shared_space, at, KMM_PAGE_BYTES), "unmap");
		ticks += arch_cycles() - start;
	}
	return ticks;
}

static void bench_shootdown(unsigned cpus, const char *name, const char *name_ipis)
{
	struct kmm_pt_stats before, after;
	uint64_t ticks;

	if (glue_boot->cpus_n < cpus || kmm_space_create(glue_kmm, &shared_space) != KMM_OK)
		return;
	kmm_space_activate(glue_kmm, shared_space);
	__atomic_store_n(&stop, 0u, __ATOMIC_RELEASE);
	for (unsigned i = 1; i < cpus; i++) {
		must(thread_stack_new(&others[i]), "stack");
		thread_start(&others[i], i, other_cpu, NULL);
	}
	await_ready(cpus - 1);
	unmap_touched(4);
	kmm_pt_stats(glue_kmm, &before);
	ticks = unmap_touched(SHOOTDOWN_ROUNDS);
	kmm_pt_stats(glue_kmm, &after);
	figure(name, "insn", ticks, SHOOTDOWN_ROUNDS);
	figure(name_ipis, "count", after.ipis_n - before.ipis_n, SHOOTDOWN_ROUNDS);
	__atomic_store_n(&stop, 1u, __ATOMIC_RELEASE);
	await_ready(0);
	for (unsigned i = 1; i < cpus; i++)
		while (__atomic_load_n(&others[i].on_cpu, __ATOMIC_ACQUIRE))
			arch_relax();
	kmm_space_activate(glue_kmm, NULL);
	kmm_space_destroy(shared_space);
}

int bench_run(void)
{
	bench_frames("frame.repeat.o0", 0);
	bench_frames("frame.repeat.o9", 9);
	bench_policy("frame.policy.o0", 0);
	bench_policy("frame.policy.o9", 9);
	bench_batch();
	bench_zeroed();
	bench_ranges();
	bench_cache();
	bench_kmalloc();
	bench_tables();
	bench_shootdown(1, "pt.shootdown.cpus1", "pt.shootdown.cpus1.ipis");
	bench_shootdown(2, "pt.shootdown.cpus2", "pt.shootdown.cpus2.ipis");
	bench_shootdown(4, "pt.shootdown.cpus4", "pt.shootdown.cpus4.ipis");
	return 0;
}
