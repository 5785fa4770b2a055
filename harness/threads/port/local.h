/// The inline half of the port for host threads. Physical memory is one arena;
/// a CPU is a thread that has entered; interrupts are a flag, and what would
/// interrupt is polled where they come on again.
#ifndef PORT_LOCAL_H
#define PORT_LOCAL_H

#include <kmm/types.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/// What this port needs of an instance; the struct threads_machine begins so.
struct threads_port {
	char *arena;    /* physical address arena_base is arena[0] */
	uint64_t arena_base, arena_bytes;
};

/// This thread's identity. Set by threads_enter (harness/threads/threads.h).
struct threads_self {
	struct kmm_cpu *cpu;
	bool irq_off;
	volatile uint32_t *pending; /* non-zero: an IPI waits */
};
extern _Thread_local struct threads_self threads_self
	__attribute__((tls_model("initial-exec")));

void threads_take_ipi(struct kmm *k);
void threads_take_ipi_unless_off(struct kmm *k);

static inline struct threads_port *threads_port(struct kmm *k)
{
	return *(struct threads_port **)(void *)k;
}

static inline struct kmm_cpu *kmm_port_cpu(struct kmm *k)
{
	(void)k;
	return threads_self.cpu;
}

static inline unsigned long kmm_port_irq_save(struct kmm *k)
{
	bool was = threads_self.irq_off;

	(void)k;
	threads_self.irq_off = true;
	return was;
}

static inline void kmm_port_irq_restore(struct kmm *k, unsigned long was)
{
	threads_self.irq_off = was;
	if (!was && __builtin_expect(
			    __atomic_load_n(threads_self.pending, __ATOMIC_RELAXED) != 0, 0))
		threads_take_ipi(k);
}

#define KMM_IRQ_WAS_ON(was) ((was) == 0)

/* What would interrupt is polled, so a stretch without a poll is safe as it is. Only its
 * end asks whether something waits. */
#define KMM_PIN(k) 0ul
#define KMM_UNPIN(k, pinned)                                                                 \
	do {                                                                                 \
		(void)(pinned);                                                              \
		if (__builtin_expect(__atomic_load_n(threads_self.pending, __ATOMIC_RELAXED) != 0, \
				     0))                                                     \
			threads_take_ipi_unless_off(k);                                      \
	} while (0)

static inline void *kmm_port_virt(struct kmm *k, struct kmm_pa pa)
{
	struct threads_port *p = threads_port(k);

	return p->arena + (pa.a - p->arena_base);
}

static inline struct kmm_pa kmm_port_phys(struct kmm *k, const void *ptr)
{
	struct threads_port *p = threads_port(k);
	uint64_t offset = (uint64_t)((const char *)ptr - p->arena);
	struct kmm_pa pa = { offset < p->arena_bytes ? p->arena_base + offset : ~0ull };

	return pa;
}

static inline void kmm_port_relax(struct kmm *k)
{
	(void)k;
#if defined(__x86_64__)
	_mm_pause();
#else
	__asm__ volatile("yield");
#endif
}

static inline uint64_t kmm_port_cycles(struct kmm *k)
{
	(void)k;
#if defined(__x86_64__)
	return __rdtsc();
#else
	uint64_t t;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
	return t;
#endif
}

static inline void kmm_port_pt_store(struct kmm *k, uint64_t *entry, uint64_t value)
{
	(void)k;
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

static inline uint64_t kmm_port_pt_load(struct kmm *k, const uint64_t *entry)
{
	(void)k;
	return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

/* No MMU reads these tables: there is nothing to invalidate. */
static inline void kmm_port_pt_sync(struct kmm *k) { (void)k; }
static inline void kmm_port_tlb_begin(struct kmm *k) { (void)k; }
static inline void kmm_port_tlb_sync(struct kmm *k) { (void)k; }
static inline void kmm_port_tlb_all(struct kmm *k) { (void)k; }

static inline void kmm_port_tlb_page(struct kmm *k, uint64_t va, bool tables)
{
	(void)k;
	(void)va;
	(void)tables;
}

static inline void kmm_port_root_load(struct kmm *k, struct kmm_pa root)
{
	(void)k;
	(void)root;
}

#endif
