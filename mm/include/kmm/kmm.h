/// kmm: one memory manager instance. An embedder reads this header, those of
/// the units it uses, and port/port.h for what it supplies.
#ifndef KMM_KMM_H
#define KMM_KMM_H

#include <kmm/error.h>
#include <kmm/fail.h>
#include <kmm/frame.h>
#include <kmm/lock.h>
#include <kmm/log.h>
#include <kmm/memmap.h>
#include <kmm/object.h>
#include <kmm/preset.h>
#include <kmm/pt.h>
#include <kmm/vm.h>
#include <kmm/zone.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kmm_config {
	const struct kmm_preset *preset;
	const struct kmm_memmap *memmap;      /* usable ranges are handed to the policy */
	const struct kmm_pt_format *format;
	unsigned cpus_n;                      /* 1..KMM_CPUS_MAX */
	void *port;                           /* handed back by kmm_port_ctx */
	struct kmm_pa kernel_root;            /* root table in use at boot; 0 = none */
	const struct kmm_topology *topology;  /* nodes; NULL = one. Read by kmm_init only */
	/* Limits of zones; 0 stands for 16 MiB, 4 GiB, and no high memory. */
	struct kmm_pa dma_end, dma32_end, high_start;
};

/// Bytes of metadata kmm_init needs for this configuration; 0 if it is invalid.
uint64_t kmm_meta_bytes(const struct kmm_config *c);

/// Builds an instance inside `meta`: zeroed memory of kmm_meta_bytes, 64-byte
/// aligned, not inside any usable range. Until it returns no other CPU may use
/// the instance; the calling CPU is CPU 0.
/// Owns:   the instance keeps `meta`; there is nothing else to free
/// Errors: KMM_EINVAL, KMM_ENOMEM
KMM_MUST_CHECK enum kmm_error kmm_init(const struct kmm_config *c, void *meta, struct kmm **out);

/// The block of CPU i, for the port to keep where it finds it fast.
struct kmm_cpu *kmm_cpu_at(struct kmm *k, unsigned i);

/// Work another CPU asked of this one; the port calls it from its IPI handler,
/// and the locks call it while they spin.
/// Pre: interrupts off
void kmm_ipi_handle(struct kmm *k);

/// Ends an instance: destroys what the units made for themselves and drains all
/// caches.
/// Returns: frames still allocated, which is 0 unless something leaked
uint64_t kmm_teardown(struct kmm *k);

/// All units' checks. Spaces are walked too.
KMM_MUST_CHECK enum kmm_error kmm_check(struct kmm *k);

/// What kmm_config.port was.
static inline void *kmm_port_ctx(const struct kmm *k)
{
	return *(void *const *)(const void *)k; /* the instance begins with it */
}

#ifdef __cplusplus
}
#endif
#endif
