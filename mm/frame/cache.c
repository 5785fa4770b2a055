/// Per-CPU caches of single frames, above whatever policy is in use.
///
/// A cache is a stack. A hit takes or adds the youngest frame with interrupts
/// off: no lock, no atomic read-modify-write, no indirection. An empty one
/// fetches half its capacity from the policy in one call; a full one gives its
/// oldest half back, which is the colder one. So a burst around either end costs a
/// policy call each half capacity, not each frame.
///
/// Invariants
///   I1  slot[0..n) are distinct frames of the policy's, kind FRAME_CACHED, and no
///       others have that kind; their entries are those of a fresh single frame
///       (refs 1, all else 0), so that a hit stores the kind and nothing more;
///   I2  n <= capacity;
///   I3  a frame in a cache is not free in the policy.
///
/// Taking frames back. Only the owner touches a cache, so a drain asks each CPU
/// that holds frames to empty its own (CALL_DRAIN) and waits. LOCK_DRAIN keeps it
/// to one drain at a time. Its holder waits for the other CPUs' interrupts,
/// therefore nobody may spin on it with interrupts off: it is tried, and between
/// attempts interrupts come on, so that a second drainer answers the first.
///
/// For the same reason an allocation that finds the policy empty may drain the
/// others only where interrupts were on when it was called; a lock holder has
/// them off, so no lock is held then. Under a lock or in an interrupt handler it
/// fails instead, although frames lie in caches: waiting there for a CPU that
/// spins, interrupts off, on what we hold would never end. The vm unit can drop
/// its lock, call kmm_frame_drain and try again.
///
/// Limits: frames stay in caches whose preset never drains. A second CPU may
/// refill from what a drain returned before the drainer gets to it: it tries
/// once, then fails.
///
/// Sources: Bonwick & Adams, Magazines and Vmem (USENIX 2001), for the batches.
#include "frame/cache.h"

/// Takes the kind off and hands n frames back.
static void give_back(struct kmm *k, struct frame_cpu *fc, unsigned n, const struct kmm_pfn *in)
{
	for (unsigned i = 0; i < n; i++)
		frame_kind_set(frame_entry(k, in[i]), FRAME_NONE);
	policy_release(k, 0, n, in);
	counter_add(&fc->drain_n, 1u);
}

bool cache_refill(struct kmm *k, struct frame_cpu *fc)
{
	unsigned got;

	KMM_ASSERT(k, fc->n == 0, "only an empty cache is refilled");
	got = policy_claim(k, 0, fc->batch, fc->slot);
	for (unsigned i = 0; i < got; i++)
		cache_mark(k, fc->slot[i]);
	atomic_store_relaxed(&fc->n, got);
	counter_add(&fc->refill_n, 1u);
	return got != 0;
}

void cache_spill(struct kmm *k, struct frame_cpu *fc)
{
	unsigned rest = fc->n - fc->batch;

	KMM_ASSERT(k, fc->n == fc->capacity, "only a full cache spills");
	give_back(k, fc, fc->batch, fc->slot);
	for (unsigned i = 0; i < rest; i++)
		fc->slot[i] = fc->slot[fc->batch + i];
	atomic_store_relaxed(&fc->n, rest);
}

void cache_drain(struct kmm *k, struct frame_cpu *fc)
{
	if (fc->n == 0)
		return;
	give_back(k, fc, fc->n, fc->slot);
	atomic_store_relaxed(&fc->n, 0u);
}

void cache_drain_self(struct kmm *k)
{
	cache_drain(k, kmm_port_cpu(k)->frame);
}

/// CPUs other than this one whose caches hold something.
static kmm_cpumask holders(struct kmm *k)
{
	kmm_cpumask set = 0;

	for (unsigned i = 0; i < k->cpus_n; i++)
		if (atomic_load_relaxed(&k->cpus[i].frame->n) != 0)
			set |= 1ull << i;
	return set & ~(1ull << kmm_port_cpu(k)->id);
}

bool cache_others_hold(struct kmm *k)
{
	return holders(k) != 0;
}

void cache_drain_all(struct kmm *k)
{
	unsigned long was;

	while (!lock_try_acquire(k, &k->frame->drain, &was))
		kmm_port_relax(k);
	KMM_ASSERT(k, KMM_IRQ_MAY_HAVE_BEEN_ON(was), "a drain waits with interrupts on");
	cache_drain_self(k);
	call_cpus(k, holders(k), CALL_DRAIN);
	lock_release(k, &k->frame->drain, was);
}

void cache_drain_quiet(struct kmm *k)
{
	for (unsigned i = 0; i < k->cpus_n; i++)
		cache_drain(k, k->cpus[i].frame);
}

uint64_t cache_frames_n(struct kmm *k)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < k->cpus_n; i++)
		n += atomic_load_relaxed(&k->cpus[i].frame->n);
	return n;
}
