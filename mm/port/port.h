/// The port: all that an embedder supplies. The inline half stands in the
/// embedder's own <port/local.h>, so that hot ones cost an instruction or two;
/// this header declares the rest and is what mm/ includes.
///
/// <port/local.h> defines, as static inline functions or macros:
///
///   struct kmm_cpu *kmm_port_cpu(struct kmm *k)
///       this CPU's block; stable while interrupts are off
///   unsigned long kmm_port_irq_save(struct kmm *k)
///   void kmm_port_irq_restore(struct kmm *k, unsigned long was)
///   void *kmm_port_virt(struct kmm *k, struct kmm_pa pa)
///       direct map; any managed frame and any table
///   struct kmm_pa kmm_port_phys(struct kmm *k, const void *p)
///       its inverse; anything outside the direct map gives ~0
///   void kmm_port_relax(struct kmm *k)
///       a spin-wait hint
///   uint64_t kmm_port_cycles(struct kmm *k)
///
/// page tables and TLB:
///
///   void kmm_port_pt_store(struct kmm *k, uint64_t *entry, uint64_t value)
///       one whole, single-copy atomic store with release order
///   uint64_t kmm_port_pt_load(struct kmm *k, const uint64_t *entry)
///   void kmm_port_pt_sync(struct kmm *k)
///       new valid entries are visible to every walker before the next access
///       (Arm: DSB ISHST, ISB; x86: nothing)
///   void kmm_port_tlb_page(struct kmm *k, uint64_t va, bool tables)
///       drops va's translation, and with `tables` the walk caches that lead
///       to it; on this CPU, or on all where the hardware broadcasts
///   void kmm_port_tlb_all(struct kmm *k)
///       drops all non-global translations, same reach
///   void kmm_port_tlb_sync(struct kmm *k)
///       waits until the invalidations above are complete (Arm: DSB ISH, ISB).
///       A DSB that orders the entry's store before the first invalidation is
///       kmm_port_tlb_begin's
///   void kmm_port_tlb_begin(struct kmm *k)
///   void kmm_port_root_load(struct kmm *k, struct kmm_pa root)
///       this CPU translates by `root`; drops all non-global translations
///
/// and may define KMM_PIN(k) and KMM_UNPIN(k, pinned), for stretches of a dozen instructions
/// that call nothing: between them this CPU's block stays the same, and no interrupt handler
/// of this CPU runs code of kmm's. Without them they are irq_save and irq_restore.
///
/// and KMM_TRACE_FRAME(k, taken, pfn, order), a statement that sees each block that the frame
/// unit hands out (taken) and takes back; ranges it doesn't see. Interrupts may be on.
///
/// It may define KMM_CONFIG_FAIL, KMM_CONFIG_POISON (0 or 1), KMM_CONFIG_ASSERT (0..2), the atomics
/// themselves (base/atomic.h), and KMM_IRQ_WAS_ON(was), which says of what
/// kmm_port_irq_save returned whether interrupts were on; without it an allocation
/// never waits for other CPUs.
#ifndef KMM_PORT_PORT_H
#define KMM_PORT_PORT_H

#include <kmm/types.h>
#include <port/local.h>

#ifndef KMM_CONFIG_FAIL
#define KMM_CONFIG_FAIL 0
#endif
#ifndef KMM_PIN
#define KMM_PIN(k) kmm_port_irq_save(k)
#define KMM_UNPIN(k, pinned) kmm_port_irq_restore((k), (pinned))
#endif
#ifndef KMM_TRACE_FRAME
#define KMM_TRACE_FRAME(k, taken, pfn, order) ((void)0)
#endif
#ifndef KMM_CONFIG_POISON
#define KMM_CONFIG_POISON 0
#endif
#ifndef KMM_CONFIG_ASSERT
#define KMM_CONFIG_ASSERT 1
#endif
/* Could interrupts have been on, as far as the port tells? */
#ifdef KMM_IRQ_WAS_ON
#define KMM_IRQ_MAY_HAVE_BEEN_ON(was) KMM_IRQ_WAS_ON(was)
#else
#define KMM_IRQ_MAY_HAVE_BEEN_ON(was) true
#define KMM_IRQ_WAS_ON(was) false
#endif

/// From now on the calling CPU's block is `cpu`; kmm_init calls it for CPU 0
/// before it uses kmm_port_cpu, the embedder for each CPU it brings up.
void kmm_port_cpu_bind(struct kmm *k, struct kmm_cpu *cpu);

/// Interrupts each CPU of the set (never this one) so that it calls
/// kmm_ipi_handle soon. Does not wait. CPUs that never started are not in it.
void kmm_port_ipi(struct kmm *k, kmm_cpumask cpus);

/// CPUs that run and can answer an IPI.
kmm_cpumask kmm_port_online(struct kmm *k);

/// A random number; need not be secret yet.
uint64_t kmm_port_random(struct kmm *k);

/// One finished log line, no newline. Any context.
void kmm_port_log(struct kmm *k, int level, const char *line);

/// Says why, and does not return.
_Noreturn void kmm_port_panic(struct kmm *k, const char *why);

/// Fills at most n return addresses. Returns how many; 0 where it can't.
unsigned kmm_port_backtrace(struct kmm *k, void **out, unsigned n);

/// As memcpy, memset; regions disjoint.
void kmm_port_copy(void *to, const void *from, size_t bytes);
void kmm_port_fill(void *to, unsigned char byte, size_t bytes);
/// Zeroes / copies one page; page-aligned.
void kmm_port_zero_page(void *page);
void kmm_port_copy_page(void *to, const void *from);

#endif
