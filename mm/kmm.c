/// The instance: puts the units together, in floor order.
///
/// Boot order: log and failure state (all-zero is valid), per-CPU blocks,
/// frames, objects, page tables, address spaces. Teardown runs backwards.
#include "base/instance.h"
#include "frame/unit.h"
#include "object/unit.h"
#include "pt/unit.h"
#include "vm/unit.h"

#define CPU_BLOCK_ALIGN 64u

static bool config_valid(const struct kmm_config *c)
{
	return c && c->preset && c->memmap && c->format && c->cpus_n >= 1 &&
	       c->cpus_n <= KMM_CPUS_MAX && kmm_memmap_bytes(c->memmap, KMM_MEM_USABLE) > 0;
}

uint64_t kmm_meta_bytes(const struct kmm_config *c)
{
	uint64_t total = 0;

	if (!config_valid(c))
		return 0;
	total = meta_add(total, sizeof(struct kmm), CPU_BLOCK_ALIGN);
	total = meta_add(total, c->cpus_n * sizeof(struct kmm_cpu), CPU_BLOCK_ALIGN);
	total = frame_meta_bytes(c, total);
	total = object_meta_bytes(c, total);
	total = pt_meta_bytes(c, total);
	total = vm_meta_bytes(c, total);
	return bits_align_up(total, CPU_BLOCK_ALIGN);
}

static enum kmm_error units_init(struct kmm *k, const struct kmm_config *c, struct meta *m)
{
	enum kmm_error e = frame_init(k, c, m);

	if (e == KMM_OK)
		e = object_init(k, c, m);
	if (e == KMM_OK)
		e = pt_init(k, c, m);
	if (e == KMM_OK)
		e = vm_init(k, c, m);
	return e;
}

enum kmm_error kmm_init(const struct kmm_config *c, void *meta, struct kmm **out)
{
	uint64_t bytes = kmm_meta_bytes(c);
	struct meta m = { meta, (char *)meta + bytes };
	struct kmm *k = meta;

	if (bytes == 0 || meta == NULL || !bits_aligned((uintptr_t)meta, CPU_BLOCK_ALIGN))
		return KMM_EINVAL;
	k = meta_take(k, &m, sizeof(*k), CPU_BLOCK_ALIGN);
	k->port = c->port;
	k->preset = c->preset;
	k->format = c->format;
	k->cpus_n = c->cpus_n;
	k->cpus = meta_take(k, &m, c->cpus_n * sizeof(*k->cpus), CPU_BLOCK_ALIGN);
	for (unsigned i = 0; i < c->cpus_n; i++) {
		k->cpus[i].kmm = k;
		k->cpus[i].id = i;
	}
	*out = k;
	kmm_port_cpu_bind(k, &k->cpus[0]);
	return units_init(k, c, &m);
}

struct kmm_cpu *kmm_cpu_at(struct kmm *k, unsigned i)
{
	KMM_REQUIRE(k, i < k->cpus_n, "a CPU of this instance");
	return &k->cpus[i];
}

enum kmm_error kmm_check(struct kmm *k)
{
	enum kmm_error e = frame_check(k);

	if (e == KMM_OK)
		e = object_check(k);
	if (e == KMM_OK)
		e = pt_check(k);
	if (e == KMM_OK)
		e = vm_check(k);
	return e;
}

uint64_t kmm_teardown(struct kmm *k)
{
	struct kmm_frame_stats s;

	vm_teardown(k);
	pt_teardown(k);
	object_teardown(k);
	frame_teardown(k);
	kmm_frame_stats(k, &s);
	return s.managed_n - s.free_n;
}
