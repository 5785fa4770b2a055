/// The memory map: named ranges of physical memory, as firmware or a boot
/// loader tells them, sorted and made disjoint.
#ifndef KMM_MEMMAP_H
#define KMM_MEMMAP_H

#include <kmm/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KMM_MEMMAP_MAX 64u
#define KMM_MEMMAP_NAME_BYTES 16u

enum kmm_mem_kind {
	KMM_MEM_USABLE,
	KMM_MEM_DEVICE,    /* memory on a device: frames of KMM_ZONE_DEVICE */
	KMM_MEM_PLUGGABLE, /* nothing there yet; kmm_frame_plug may add it */
	KMM_MEM_RESERVED,  /* firmware, MMIO, ACPI */
	KMM_MEM_KERNEL,    /* image, boot allocations */
};

/// [start, end) in bytes. Overlaps resolve to the higher kind.
struct kmm_mem_range {
	struct kmm_pa start, end;
	enum kmm_mem_kind kind;
	char name[KMM_MEMMAP_NAME_BYTES];
};

struct kmm_memmap {
	unsigned n;
	struct kmm_mem_range range[KMM_MEMMAP_MAX];
};

/// Adds a range, keeping the map sorted and disjoint. Usable ranges shrink to
/// whole pages, others grow to whole pages. `name` is cut to fit.
/// Errors: KMM_EINVAL (empty or wrapping), KMM_ELIMIT (map full)
/// Cost:   O(n)
KMM_MUST_CHECK enum kmm_error kmm_memmap_add(struct kmm_memmap *m, struct kmm_pa start,
					     struct kmm_pa end, enum kmm_mem_kind kind,
					     const char *name);

/// Takes `bytes` (rounded up to pages) from the top of the largest usable
/// range, ranges counted up to `below` only; marks them KMM_MEM_KERNEL as `name`.
/// Errors: KMM_ENOMEM, KMM_ELIMIT
KMM_MUST_CHECK enum kmm_error kmm_memmap_carve(struct kmm_memmap *m, uint64_t bytes,
					       struct kmm_pa below, const char *name,
					       struct kmm_pa *out);

/// Bytes of a kind.
uint64_t kmm_memmap_bytes(const struct kmm_memmap *m, enum kmm_mem_kind kind);

#ifdef __cplusplus
}
#endif
#endif
