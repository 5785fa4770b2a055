/// What the loader and firmware tell: PVH's start_info (memory map, command line,
/// initrd) and ACPI's MADT (CPUs), SRAT (whose memory and which CPUs a node has) and SLIT
/// (distances). Read while the boot tables still map the first 4 GiB at the direct map;
/// nothing of it is used later but the initrd.
///
/// A proximity domain's number is the node's. Memory that SRAT calls non-volatile puts its
/// node into tier 1.
///
/// Limits: KMM_NODES_MAX nodes, KMM_NODE_RANGES_MAX ranges; what is beyond counts as
/// node 0's. Memory that may be added later isn't in the firmware's map and is left out.
/// Sources: Xen public/arch-x86/hvm/start_info.h; ACPI 6.4, 5.2.5-5.2.12, 5.2.16-5.2.17.
#include "arch.h"
#include "percpu.h"

#define START_MAGIC 0x336ec578u
#define E820_RAM 1u
#define BOOT_MAP_END (4ull << 30)
#define LOW_RESERVED_END 0x100000ull /* real-mode area, trampoline, firmware */

struct start_info {
	uint32_t magic, version, flags, modules_n;
	uint64_t modules, command, rsdp;
	uint64_t memmap;
	uint32_t memmap_n, reserved;
};

struct start_module {
	uint64_t start, bytes, command, reserved;
};

struct start_range {
	uint64_t start, bytes;
	uint32_t type, reserved;
};

struct acpi_header {
	char signature[4];
	uint32_t bytes;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
} __attribute__((packed));

struct madt_entry {
	uint8_t type, bytes, processor, apic_id;
	uint32_t flags;
} __attribute__((packed));

#define SRAT_FIXED 12u /* bytes between the header and the first entry */
#define SRAT_CPU 0u
#define SRAT_MEMORY 1u
#define SRAT_CPU_X2APIC 2u
#define SRAT_ENABLED 1u
#define SRAT_NON_VOLATILE 4u

struct srat_cpu {
	uint8_t type, bytes, domain_low, apic_id;
	uint32_t flags;
	uint8_t sapic_eid, domain_high[3];
	uint32_t clock;
} __attribute__((packed));

struct srat_memory {
	uint8_t type, bytes;
	uint32_t domain;
	uint16_t reserved0;
	uint64_t start, length;
	uint32_t reserved1, flags;
	uint64_t reserved2;
} __attribute__((packed));

struct srat_x2apic {
	uint8_t type, bytes;
	uint16_t reserved0;
	uint32_t domain, apic_id, flags, clock, reserved1;
} __attribute__((packed));

struct slit {
	struct acpi_header header;
	uint64_t n;
	uint8_t distance[]; /* [n][n] */
} __attribute__((packed));

extern char kernel_start[], kernel_end[];

static const void *boot_virt(uint64_t pa)
{
	if (pa == 0 || pa >= BOOT_MAP_END)
		glue_panic("firmware names 0x%llx, outside the boot map", (unsigned long long)pa);
	return (const void *)(pa + GLUE_DIRECT_MAP);
}

static void add(struct boot_info *b, uint64_t start, uint64_t end, enum kmm_mem_kind kind,
		const char *name)
{
	struct kmm_pa s = { start }, e = { end };

	if (kmm_memmap_add(&b->memmap, s, e, kind, name) != KMM_OK)
		glue_panic("memory map: can't add %s", name);
}

static void read_memory(const struct start_info *si, struct boot_info *b)
{
	const struct start_range *r = boot_virt(si->memmap);

	for (uint32_t i = 0; i < si->memmap_n; i++)
		if (r[i].type == E820_RAM)
			add(b, r[i].start, r[i].start + r[i].bytes, KMM_MEM_USABLE, "ram");
		else
			add(b, r[i].start, r[i].start + r[i].bytes, KMM_MEM_RESERVED, "firmware");
	add(b, 0, LOW_RESERVED_END, KMM_MEM_RESERVED, "low");
	add(b, (uint64_t)kernel_start - KERNEL_VMA, (uint64_t)kernel_end - KERNEL_VMA,
	    KMM_MEM_KERNEL, "kernel");
}

static void read_command(const struct start_info *si, struct boot_info *b)
{
	const char *from;
	size_t i = 0;

	if (!si->command)
		return;
	from = boot_virt(si->command);
	for (; i < sizeof(b->command) - 1 && from[i]; i++)
		b->command[i] = from[i];
	b->command[i] = 0;
}

static void read_initrd(const struct start_info *si, struct boot_info *b)
{
	const struct start_module *m;

	if (si->modules_n == 0)
		return;
	m = boot_virt(si->modules);
	b->initrd = boot_virt(m->start);
	b->initrd_bytes = m->bytes;
	if (m->bytes)
		add(b, m->start, m->start + m->bytes, KMM_MEM_KERNEL, "initrd");
}

static bool signature_is(const char *a, const char *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

static void read_madt(const struct acpi_header *madt, struct boot_info *b)
{
	const char *at = (const char *)madt + sizeof(*madt) + 8;
	const char *end = (const char *)madt + madt->bytes;

	while (at + sizeof(struct madt_entry) <= end) {
		const struct madt_entry *e = (const struct madt_entry *)at;

		if (e->bytes < 2)
			break;
		if (e->type == 0 && (e->flags & 1) && b->cpus_n < GLUE_CPUS_MAX)
			b->cpu_hw_id[b->cpus_n++] = e->apic_id;
		at += e->bytes;
	}
}

/* ---- nodes ---- */

static bool node_known(struct kmm_topology *t, uint32_t domain)
{
	if (domain >= KMM_NODES_MAX)
		return false;
	if (t->nodes_n <= domain)
		t->nodes_n = domain + 1;
	return true;
}

static void srat_cpu(struct boot_info *b, uint32_t apic_id, uint32_t domain)
{
	for (unsigned i = 0; i < b->cpus_n; i++)
		if (b->cpu_hw_id[i] == apic_id && node_known(&b->topology, domain))
			b->topology.cpu_node[i] = (uint8_t)domain;
}

static void srat_memory(struct boot_info *b, const struct srat_memory *m)
{
	struct kmm_topology *t = &b->topology;

	if (m->length == 0 || t->ranges_n == KMM_NODE_RANGES_MAX || !node_known(t, m->domain))
		return;
	t->range[t->ranges_n].start.a = m->start;
	t->range[t->ranges_n].end.a = m->start + m->length;
	t->range[t->ranges_n].node = (uint8_t)m->domain;
	t->ranges_n++;
	if (m->flags & SRAT_NON_VOLATILE)
		t->tier[m->domain] = 1;
}

static void srat_entry(struct boot_info *b, const char *at, uint8_t bytes)
{
	const struct srat_cpu *c = (const struct srat_cpu *)at;
	const struct srat_memory *m = (const struct srat_memory *)at;
	const struct srat_x2apic *x = (const struct srat_x2apic *)at;

	if (c->type == SRAT_CPU && bytes >= sizeof(*c) && c->flags & SRAT_ENABLED)
		srat_cpu(b, c->apic_id,
			 c->domain_low | (uint32_t)c->domain_high[0] << 8 |
				 (uint32_t)c->domain_high[1] << 16 |
				 (uint32_t)c->domain_high[2] << 24);
	else if (c->type == SRAT_MEMORY && bytes >= sizeof(*m) && m->flags & SRAT_ENABLED)
		srat_memory(b, m);
	else if (c->type == SRAT_CPU_X2APIC && bytes >= sizeof(*x) && x->flags & SRAT_ENABLED)
		srat_cpu(b, x->apic_id, x->domain);
}

static void read_srat(const struct acpi_header *srat, struct boot_info *b)
{
	const char *at = (const char *)(srat + 1) + SRAT_FIXED;
	const char *end = (const char *)srat + srat->bytes;

	while (at + 2 <= end) {
		uint8_t bytes = (uint8_t)at[1];

		if (bytes < 2 || at + bytes > end)
			break;
		srat_entry(b, at, bytes);
		at += bytes;
	}
}

static void read_slit(const struct slit *s, struct boot_info *b)
{
	struct kmm_topology *t = &b->topology;

	if (s->header.bytes < sizeof(*s) + s->n * s->n)
		return;
	for (unsigned from = 0; from < t->nodes_n && from < s->n; from++)
		for (unsigned to = 0; to < t->nodes_n && to < s->n; to++)
			t->distance[from][to] = s->distance[from * s->n + to];
}

/* ---- tables ---- */

/// The first table of that signature, or NULL.
static const struct acpi_header *table_find(const struct acpi_header *rsdt, const char *signature)
{
	const uint32_t *table = (const uint32_t *)(const void *)(rsdt + 1);

	for (uint32_t i = 0; i < (rsdt->bytes - sizeof(*rsdt)) / 4; i++) {
		const struct acpi_header *h = boot_virt(table[i]);

		if (signature_is(h->signature, signature))
			return h;
	}
	return NULL;
}

/// CPUs first: SRAT names them by what MADT says.
static void read_acpi(const struct start_info *si, struct boot_info *b)
{
	const struct acpi_rsdp *rsdp = si->rsdp ? boot_virt(si->rsdp) : NULL;
	const struct acpi_header *rsdt, *madt, *srat, *slit;

	if (!rsdp || !rsdp->rsdt)
		return;
	rsdt = boot_virt(rsdp->rsdt);
	madt = table_find(rsdt, "APIC");
	srat = table_find(rsdt, "SRAT");
	slit = table_find(rsdt, "SLIT");
	if (madt)
		read_madt(madt, b);
	if (srat)
		read_srat(srat, b);
	if (slit)
		read_slit((const struct slit *)slit, b);
}

void firmware_read(uint64_t start_info, struct boot_info *b)
{
	const struct start_info *si = boot_virt(start_info);

	if (si->magic != START_MAGIC || si->version < 1)
		glue_panic("not started by PVH with a memory map");
	read_memory(si, b);
	read_command(si, b);
	read_initrd(si, b);
	read_acpi(si, b);
	if (b->cpus_n == 0)
		b->cpus_n = 1; /* no MADT: the one that runs */
	for (unsigned i = 0; i < b->cpus_n; i++)
		percpu[i].apic_id = (uint32_t)b->cpu_hw_id[i];
}
