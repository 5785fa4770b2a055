/// Units as types. A frame number, a physical and a virtual address are
/// one-field structs, so that the compiler refuses to mix them.
#ifndef KMM_TYPES_H
#define KMM_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KMM_PAGE_LG2 12u
#define KMM_PAGE_BYTES (1ull << KMM_PAGE_LG2)
#define KMM_ORDER_MAX 20u /* 2^20 frames = 4 GiB */
#define KMM_CPUS_MAX 64u  /* one bit each in a kmm_cpumask */

#define KMM_MUST_CHECK __attribute__((warn_unused_result))

struct kmm;       /* one memory manager instance */
struct kmm_cpu;   /* its block for one CPU */
struct kmm_space; /* one address space */
struct kmm_cache; /* one slab cache */

/// Physical frame number: physical address / KMM_PAGE_BYTES.
struct kmm_pfn {
	uint64_t n;
};

/// Physical address, in bytes.
struct kmm_pa {
	uint64_t a;
};

/// Virtual address, in bytes, canonical form.
struct kmm_va {
	uint64_t a;
};

/// A set of CPUs, one bit a CPU.
typedef uint64_t kmm_cpumask;

static inline struct kmm_pa kmm_pfn_to_pa(struct kmm_pfn f)
{
	struct kmm_pa p = { f.n << KMM_PAGE_LG2 };
	return p;
}

static inline struct kmm_pfn kmm_pa_to_pfn(struct kmm_pa p)
{
	struct kmm_pfn f = { p.a >> KMM_PAGE_LG2 };
	return f;
}

/// What a mapping allows. Write and execute imply read; both together are
/// refused everywhere (W^X). Zero keeps the page and allows nothing.
enum kmm_prot {
	KMM_PROT_NONE = 0,
	KMM_PROT_R = 1,
	KMM_PROT_W = 2,
	KMM_PROT_X = 4,
};

/// What an access wants.
enum kmm_access {
	KMM_ACCESS_READ,
	KMM_ACCESS_WRITE,
	KMM_ACCESS_FETCH,
};

#ifdef __cplusplus
}
#endif
#endif
