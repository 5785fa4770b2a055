/// Reads the flattened device tree: memory, reservations, CPUs, nodes and their distances,
/// PSCI, the interrupt controller, the console, and what the boot loader chose.
///
/// One pass over the structure block. A node's few interesting properties are
/// remembered while it is open and judged when it closes, since properties come in
/// any order but before child nodes. Everything is bounded by the header's sizes;
/// a malformed tree is a panic, as nothing can be started without it.
///
/// Limits: depth 8; addresses and sizes of at most 64 bits; 8 CPUs, the boot CPU
/// first, further ones ignored. Nodes beyond KMM_NODES_MAX count as node 0.
/// Sources: Devicetree Specification v0.4, chapters 2, 3 and 5; Linux
/// Documentation/devicetree/bindings/numa.txt.
#include "platform.h"

#define FDT_MAGIC 0xd00dfeedu
#define FDT_BEGIN_NODE 1u
#define FDT_END_NODE 2u
#define FDT_PROP 3u
#define FDT_NOP 4u
#define FDT_END 9u
#define DEPTH_MAX 8u

#define MPIDR_AFFINITY 0xff00ffffffull

/// Header fields, as 32-bit big-endian words.
enum { H_MAGIC, H_TOTAL, H_STRUCTS, H_STRINGS, H_RESERVED, H_VERSION, H_LAST_COMPATIBLE,
       H_BOOT_CPU, H_STRINGS_BYTES, H_STRUCTS_BYTES, H_WORDS };

struct property {
	const uint8_t *data; /* NULL: not there */
	uint32_t bytes;
};

struct node {
	const char *name;
	uint32_t address_cells, size_cells; /* of its children */
	struct property reg, compatible, status, method, numa, distances;
};

struct reader {
	const uint8_t *at, *end;
	const char *strings;
	uint32_t strings_bytes;
	struct node node[DEPTH_MAX];
	unsigned depth; /* open nodes; node[depth - 1] is the innermost */
	struct boot_info *b;
	uint64_t initrd_start, initrd_end;
};

extern char _head[], __image_end[];

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t cells(const uint8_t *p, uint32_t n)
{
	uint64_t value = 0;

	for (; n != 0; n--, p += 4)
		value = value << 32 | be32(p);
	return value;
}

static bool equal(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/// Is the node called `base`, or `base@` and a unit address?
static bool named(const struct node *n, const char *base)
{
	const char *name = n->name;

	while (*base != '\0' && *name == *base) {
		name++;
		base++;
	}
	return *base == '\0' && (*name == '\0' || *name == '@');
}

/// Is `text` one of the property's strings?
static bool lists(const struct property *p, const char *text)
{
	uint32_t start = 0;

	for (uint32_t i = 0; p->data != NULL && i < p->bytes; i++) {
		if (p->data[i] != '\0')
			continue;
		if (equal((const char *)p->data + start, text))
			return true;
		start = i + 1;
	}
	return false;
}

static void map_add(struct boot_info *b, uint64_t start, uint64_t end, enum kmm_mem_kind kind,
		    const char *name)
{
	enum kmm_error e;

	if (start == end)
		return;
	e = kmm_memmap_add(&b->memmap, (struct kmm_pa){ start }, (struct kmm_pa){ end }, kind,
			   name);
	if (e != KMM_OK)
		glue_panic("memory map: %s %lx-%lx: %s", name, start, end, kmm_error_text(e));
}

/* ---- memory nodes and CPUs, and which are near each other ---- */

/// The numa-node-id of a device tree node, 0 if it has none that is known.
static uint8_t numa_node(struct kmm_topology *t, const struct node *n)
{
	uint32_t id = n->numa.data != NULL && n->numa.bytes == 4 ? be32(n->numa.data) : 0;

	if (n->numa.data == NULL || id >= KMM_NODES_MAX)
		return 0;
	if (t->nodes_n <= id)
		t->nodes_n = id + 1;
	return (uint8_t)id;
}

/// Triples: from, to, distance. What is said of one direction holds for the other, unless
/// that is said too.
static void distance_map(struct kmm_topology *t, const struct property *p)
{
	for (uint32_t at = 0; p->data != NULL && at + 12u <= p->bytes; at += 12u) {
		uint32_t from = be32(p->data + at), to = be32(p->data + at + 4u);
		uint8_t distance = (uint8_t)be32(p->data + at + 8u);

		if (from >= KMM_NODES_MAX || to >= KMM_NODES_MAX)
			continue;
		t->distance[from][to] = distance;
		if (t->distance[to][from] == 0)
			t->distance[to][from] = distance;
	}
}

/* ---- nodes ---- */

/// The i-th (address, size) of a node's reg. Returns false past the last.
static bool reg_entry(const struct node *parent, const struct node *n, unsigned i, uint64_t *start,
		      uint64_t *bytes)
{
	uint32_t a = parent->address_cells, s = parent->size_cells;
	uint32_t at = i * (a + s) * 4u;

	if (n->reg.data == NULL || a + s == 0 || at + (a + s) * 4u > n->reg.bytes)
		return false;
	*start = cells(n->reg.data + at, a);
	*bytes = cells(n->reg.data + at + a * 4u, s);
	return true;
}

static void memory_node(struct reader *r, const struct node *parent, const struct node *n)
{
	struct kmm_topology *t = &r->b->topology;
	uint8_t node = numa_node(t, n);
	uint64_t start, bytes;

	for (unsigned i = 0; reg_entry(parent, n, i, &start, &bytes); i++) {
		map_add(r->b, start, start + bytes, KMM_MEM_USABLE, "ram");
		if (t->ranges_n < KMM_NODE_RANGES_MAX) {
			t->range[t->ranges_n].start.a = start;
			t->range[t->ranges_n].end.a = start + bytes;
			t->range[t->ranges_n++].node = node;
		}
		if (platform.ram_n == PLATFORM_RAM_MAX)
			glue_panic("device tree: more than %u memory ranges", PLATFORM_RAM_MAX);
		platform.ram[platform.ram_n].start = start;
		platform.ram[platform.ram_n].end = start + bytes;
		platform.ram_n++;
	}
}

static void cpu_node(struct reader *r, const struct node *parent, const struct node *n)
{
	struct boot_info *b = r->b;
	uint64_t id, unused, boot;

	if (!reg_entry(parent, n, 0, &id, &unused))
		return;
	__asm__("mrs %0, mpidr_el1" : "=r"(boot));
	if (id == (boot & MPIDR_AFFINITY)) { /* has its place already */
		b->topology.cpu_node[0] = numa_node(&b->topology, n);
	} else if (b->cpus_n < GLUE_CPUS_MAX) {
		b->topology.cpu_node[b->cpus_n] = numa_node(&b->topology, n);
		b->cpu_hw_id[b->cpus_n++] = id;
	}
}

static void controller_node(const struct node *parent, const struct node *n)
{
	uint64_t bytes;

	platform.gic_found = reg_entry(parent, n, 0, &platform.gic_dist, &bytes) &&
			     reg_entry(parent, n, 1, &platform.gic_cpu, &bytes);
}

static void node_done(struct reader *r)
{
	const struct node *n = &r->node[r->depth - 1], *parent = n - 1;
	uint64_t start, bytes;

	if (r->depth < 2)
		return; /* the root */
	if (n->status.data != NULL && !lists(&n->status, "okay") && !lists(&n->status, "ok"))
		return;
	if (r->depth == 2 && named(n, "memory"))
		memory_node(r, parent, n);
	else if (r->depth == 3 && named(parent, "cpus") && named(n, "cpu"))
		cpu_node(r, parent, n);
	else if (lists(&n->compatible, "numa-distance-map-v1"))
		distance_map(&r->b->topology, &n->distances);
	else if (r->depth == 3 && named(parent, "reserved-memory"))
		for (unsigned i = 0; reg_entry(parent, n, i, &start, &bytes); i++)
			map_add(r->b, start, start + bytes, KMM_MEM_RESERVED, n->name);
	else if (lists(&n->compatible, "arm,cortex-a15-gic") || lists(&n->compatible, "arm,gic-400"))
		controller_node(parent, n);
	else if (lists(&n->compatible, "arm,pl011") && reg_entry(parent, n, 0, &start, &bytes))
		platform.uart = start;
	else if (r->depth == 2 && named(n, "psci")) {
		platform.psci_found = true;
		platform.psci_smc = lists(&n->method, "smc");
	}
}

/* ---- properties ---- */

static void chosen_property(struct reader *r, const char *name, const struct property *p)
{
	if (equal(name, "bootargs")) {
		uint32_t n = 0;

		for (; n < p->bytes && n + 1 < sizeof(r->b->command) && p->data[n] != '\0'; n++)
			r->b->command[n] = (char)p->data[n];
		r->b->command[n] = '\0';
	} else if (p->bytes == 4 || p->bytes == 8) {
		if (equal(name, "linux,initrd-start"))
			r->initrd_start = cells(p->data, p->bytes / 4u);
		else if (equal(name, "linux,initrd-end"))
			r->initrd_end = cells(p->data, p->bytes / 4u);
	}
}

static void property_note(struct reader *r, const char *name, const struct property *p)
{
	struct node *n = &r->node[r->depth - 1];

	if (equal(name, "reg"))
		n->reg = *p;
	else if (equal(name, "compatible"))
		n->compatible = *p;
	else if (equal(name, "status"))
		n->status = *p;
	else if (equal(name, "method"))
		n->method = *p;
	else if (equal(name, "numa-node-id"))
		n->numa = *p;
	else if (equal(name, "distance-matrix"))
		n->distances = *p;
	else if (equal(name, "#address-cells") && p->bytes == 4)
		n->address_cells = be32(p->data);
	else if (equal(name, "#size-cells") && p->bytes == 4)
		n->size_cells = be32(p->data);
	else if (r->depth == 2 && named(n, "chosen"))
		chosen_property(r, name, p);
}

/* ---- tokens ---- */

static uint32_t next_word(struct reader *r)
{
	uint32_t w;

	if (r->end - r->at < 4)
		glue_panic("device tree: ends within a token");
	w = be32(r->at);
	r->at += 4;
	return w;
}

/// Steps over `bytes` and the padding behind them.
static const uint8_t *next_bytes(struct reader *r, uint32_t bytes)
{
	const uint8_t *p = r->at;
	uint64_t padded = ((uint64_t)bytes + 3u) & ~3ull;

	if ((uint64_t)(r->end - r->at) < padded)
		glue_panic("device tree: ends within data");
	r->at += padded;
	return p;
}

static void begin_node(struct reader *r)
{
	uint32_t bytes = 0;
	struct node *n;

	while (r->at + bytes < r->end && r->at[bytes] != '\0')
		bytes++;
	if (r->depth == DEPTH_MAX)
		glue_panic("device tree: deeper than %u", DEPTH_MAX);
	n = &r->node[r->depth++];
	*n = (struct node){ .address_cells = 2, .size_cells = 1 };
	n->name = (const char *)next_bytes(r, bytes + 1);
}

static void property(struct reader *r)
{
	struct property p;
	uint32_t name;

	p.bytes = next_word(r);
	name = next_word(r);
	p.data = next_bytes(r, p.bytes);
	if (name >= r->strings_bytes || r->depth == 0)
		glue_panic("device tree: malformed property");
	property_note(r, r->strings + name, &p);
}

static void read_structs(struct reader *r)
{
	for (;;) {
		switch (next_word(r)) {
		case FDT_BEGIN_NODE:
			begin_node(r);
			break;
		case FDT_END_NODE:
			if (r->depth == 0)
				glue_panic("device tree: closes a node that isn't open");
			node_done(r);
			r->depth--;
			break;
		case FDT_PROP:
			property(r);
			break;
		case FDT_NOP:
			break;
		case FDT_END:
			return;
		default:
			glue_panic("device tree: unknown token");
		}
	}
}

static void read_reserved(struct boot_info *b, const uint8_t *p, const uint8_t *end)
{
	for (; end - p >= 16; p += 16) {
		uint64_t start = cells(p, 2), bytes = cells(p + 8, 2);

		if (start == 0 && bytes == 0)
			return;
		map_add(b, start, start + bytes, KMM_MEM_RESERVED, "fdt reserved");
	}
}

void fdt_read(const void *fdt, struct boot_info *b)
{
	static struct reader r; /* the boot CPU only */
	const uint8_t *base = fdt;
	uint32_t h[H_WORDS];
	uint64_t boot, image = mmu_image_pa(_head);

	for (unsigned i = 0; i < H_WORDS; i++)
		h[i] = be32(base + i * 4u);
	if (h[H_MAGIC] != FDT_MAGIC || h[H_LAST_COMPATIBLE] > 17)
		glue_panic("no device tree");
	r.at = base + h[H_STRUCTS];
	r.end = r.at + h[H_STRUCTS_BYTES];
	r.strings = (const char *)base + h[H_STRINGS];
	r.strings_bytes = h[H_STRINGS_BYTES];
	if (r.end > base + h[H_TOTAL] || h[H_STRINGS] + r.strings_bytes > h[H_TOTAL])
		glue_panic("device tree: sizes disagree");
	r.b = b;
	__asm__("mrs %0, mpidr_el1" : "=r"(boot));
	b->cpu_hw_id[0] = boot & MPIDR_AFFINITY;
	b->cpus_n = 1;

	read_structs(&r);
	read_reserved(b, base + h[H_RESERVED], base + h[H_TOTAL]);
	map_add(b, image, image + (uint64_t)(__image_end - _head), KMM_MEM_KERNEL, "kernel");
	if (r.initrd_end > r.initrd_start) {
		map_add(b, r.initrd_start, r.initrd_end, KMM_MEM_KERNEL, "initrd");
		b->initrd = direct_map(r.initrd_start);
		b->initrd_bytes = r.initrd_end - r.initrd_start;
	}
}
