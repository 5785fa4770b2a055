/// Taking stock of all frames.
///
/// Walks the tables of every live space with the machine's own decoder, adds the
/// frames that slots hold, and compares:
///   L1  every table, leaf and slot frame is usable memory and allocated;
///   L2  a frame has one kind of owner: a slot (one of them), a table (one place),
///       or mappings;
///   L3  a frame that is mapped writable anywhere is mapped once in all; the shared
///       zero frame never is;
///   L4  frames allocated = frames owned + those of objects + what kmm held when
///       the run began: nothing is lost;
///   C1  a mapped page holds zeros wherever no stamp lies: it was zeroed or copied whole
///       (ORACLE_CONTENTS);
///   W1  a leaf lies in a region and grants no more than it; a region that allows
///       nothing has no valid leaf;
///   W2  user leaves aren't global, are normal coherent memory, and no code to the
///       kernel where the format can say so; no entry has reserved bits.
/// L and W rules are findings of ORACLE_LEDGER and ORACLE_WALK. kmm is asked for three
/// things only: is this frame allocated, which regions exist, and how many frames
/// objects hold. The zero frame is whatever a first read shows and an unmap
/// doesn't free; it counts as held from the beginning.
#include "machine/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "machine/blocks.h"

#define REGIONS_MAX 4096u

static unsigned long long ull(uint64_t x)
{
	return x;
}

/* ---- the walk ---- */

struct walk {
	struct ledger *l;
	unsigned space;
	bool (*table)(struct ledger *l, uint64_t pfn); /* NULL; false: don't enter */
	bool (*leaf)(void *ctx, const struct ledger_leaf *leaf);
	void *ctx;
	bool stop;
};

/// Most of a table is empty: eight entries at a time.
static bool eight_empty(const uint64_t *e)
{
	return (e[0] | e[1] | e[2] | e[3] | e[4] | e[5] | e[6] | e[7]) == 0;
}

static void walk_table(struct walk *w, uint64_t table, unsigned level, uint64_t va, uint8_t perms)
{
	struct machine *m = w->l->m;
	uint64_t *slots = mmu_table(&m->mem, table);
	unsigned n = level == MMU_LEVELS - 1u ? mmu_user_slots(m->mem.arch) : MMU_ENTRIES;

	if ((w->table && !w->table(w->l, table)) || !slots)
		return;
	for (unsigned i = 0; i < n && !w->stop; i++) {
		uint64_t at = va + ((uint64_t)i << (12u + 9u * level));
		struct ledger_leaf leaf;

		if (i % 8u == 0 && eight_empty(&slots[i]))
			i += 7u;
		if (slots[i] == 0)
			continue;
		leaf = (struct ledger_leaf){ .space = w->space, .level = level, .va = at,
					     .entry = &slots[i] };
		leaf.e = mmu_decode(m->mem.arch, level, slots[i]);
		leaf.perms = perms & leaf.e.perms;
		if (leaf.e.kind == MMU_TABLE)
			walk_table(w, leaf.e.pfn, level - 1u, at, leaf.perms);
		else if (leaf.e.kind == MMU_RESERVED)
			machine_find(m, ORACLE_WALK, "space %u: reserved bits in the entry for "
				     "%#llx at level %u", w->space, ull(at), level); /* W2 */
		else
			w->stop = !w->leaf(w->ctx, &leaf);
	}
}

static void walk_all(struct walk *w)
{
	struct performer *p = w->l->p;

	for (w->space = 0; w->space < OPS_SPACES && !w->stop; w->space++)
		if (p->space[w->space])
			walk_table(w, kmm_space_pt(p->space[w->space])->root.n, MMU_LEVELS - 1u,
				   0, MMU_RWX);
}

void ledger_leaves(struct ledger *l, bool (*fn)(void *ctx, const struct ledger_leaf *leaf),
		   void *ctx)
{
	struct walk w = { .l = l, .leaf = fn, .ctx = ctx };

	walk_all(&w);
}

/* ---- owners ---- */

/// L1. Returns the frame's line, or NULL.
static struct ledger_frame *line_of(struct ledger *l, uint64_t pfn, const char *what)
{
	struct kmm_pfn f = { pfn };

	if (!machine_usable(l->m, pfn)) {
		machine_find(l->m, ORACLE_LEDGER, "a %s is frame %#llx, which isn't usable memory",
			     what, ull(pfn));
		return NULL;
	}
	if (!kmm_frame_is_allocated(l->m->kmm, f))
		machine_find(l->m, ORACLE_LEDGER, "a %s is frame %#llx, which is free", what,
			     ull(pfn));
	spot_verify_use(l->p, f, 1);
	return &l->frame[pfn - l->m->mem.first_pfn];
}

static const char *const owner_text[] = { "nobody", "a slot", "a page table", "mappings" };

/// L2
static bool own(struct ledger *l, uint64_t pfn, enum ledger_owner owner, const char *what)
{
	struct ledger_frame *f = line_of(l, pfn, what);

	if (!f)
		return false;
	if (f->owner == LEDGER_NOBODY)
		l->owned_n += pfn != l->zero_pfn;
	else if (f->owner != owner || owner != LEDGER_MAPPED)
		machine_find(l->m, ORACLE_LEDGER, "frame %#llx belongs to %s and to %s at once",
			     ull(pfn), owner_text[f->owner], owner_text[owner]);
	if (f->owner == LEDGER_TABLE && owner == LEDGER_TABLE)
		return false; /* entered already */
	f->owner = (uint8_t)owner;
	return true;
}

static bool own_table(struct ledger *l, uint64_t pfn)
{
	return own(l, pfn, LEDGER_TABLE, "page table");
}

static void own_slots(struct ledger *l)
{
	for (unsigned i = 0; i < OPS_SLOTS; i++) {
		const struct perform_block *b = &l->p->frame[i];

		for (uint64_t f = 0; (l->p->frames >> i & 1u) && f < b->bytes >> KMM_PAGE_LG2; f++)
			(void)own(l, b->pfn.n + f, LEDGER_SLOT, "slot's block");
	}
}

/* ---- leaves against regions ---- */

struct region_line {
	uint64_t start, end;
	unsigned prot;
};

struct stock {
	struct ledger *l;
	unsigned space; /* whose regions are loaded; OPS_SPACES: none */
	unsigned regions_n, at;
	struct region_line region[REGIONS_MAX];
};

static bool take_region(void *ctx, struct kmm_va start, struct kmm_va end, unsigned prot)
{
	struct stock *s = ctx;

	if (s->regions_n == REGIONS_MAX)
		return false;
	s->region[s->regions_n++] = (struct region_line){ start.a, end.a, prot };
	return true;
}

static void load_regions(struct stock *s, unsigned space)
{
	s->space = space;
	s->regions_n = s->at = 0;
	kmm_space_regions(s->l->p->space[space], take_region, s);
}

static uint8_t perms_of_prot(unsigned prot)
{
	return (uint8_t)((prot ? MMU_R : 0) | (prot & KMM_PROT_W ? MMU_W : 0) |
			 (prot & KMM_PROT_X ? MMU_X : 0));
}

/// W1, W2. Leaves come in address order.
static void check_rights(struct stock *s, const struct ledger_leaf *leaf)
{
	struct machine *m = s->l->m;
	const struct region_line *r;

	while (s->at < s->regions_n && s->region[s->at].end <= leaf->va)
		s->at++;
	r = s->at < s->regions_n && s->region[s->at].start <= leaf->va ? &s->region[s->at] : NULL;
	if (!r) {
		machine_find(m, ORACLE_WALK, "space %u: a leaf at %#llx, where no region is",
			     leaf->space, ull(leaf->va));
		return;
	}
	if (leaf->e.kind != MMU_LEAF)
		return;
	if (leaf->perms & ~perms_of_prot(r->prot))
		machine_find(m, ORACLE_WALK, "space %u: the leaf at %#llx grants more (%#x) than "
			     "its region (%#x)", leaf->space, ull(leaf->va), leaf->perms,
			     perms_of_prot(r->prot));
	if (leaf->e.global)
		machine_find(m, ORACLE_WALK, "space %u: the leaf at %#llx is global", leaf->space,
			     ull(leaf->va));
	if (leaf->e.odd)
		machine_find(m, ORACLE_WALK, "space %u: the leaf at %#llx has attributes that no "
			     "user page may have: %#llx", leaf->space, ull(leaf->va),
			     ull(*leaf->entry));
}

/// C1. User code writes stamps only.
static void check_rest(struct machine *m, const struct ledger_leaf *leaf, uint64_t pfn)
{
	const char *page = (const char *)mmu_table(&m->mem, pfn);
	unsigned at = 0;

	for (unsigned i = 0; i <= OPS_STAMPS; i++) {
		unsigned stop = i < OPS_STAMPS ? ops_stamp_offset[i] : (unsigned)KMM_PAGE_BYTES;

		/* All zero: the first byte is, and each equals the one before it. */
		if (at < stop &&
		    (page[at] != 0 || memcmp(page + at, page + at + 1, stop - at - 1u) != 0))
			machine_find(m, ORACLE_CONTENTS, "space %u: the page at %#llx holds what "
				     "nobody wrote, between bytes %u and %u", leaf->space,
				     ull(leaf->va), at, stop);
		at = stop + 8u;
	}
}

static bool stock_leaf(void *ctx, const struct ledger_leaf *leaf)
{
	struct stock *s = ctx;

	if (leaf->space != s->space)
		load_regions(s, leaf->space);
	check_rights(s, leaf);
	for (uint64_t i = 0; i < 1ull << (9u * leaf->level); i++) {
		struct ledger_frame *f;

		if (!own(s->l, leaf->e.pfn + i, LEDGER_MAPPED, "mapped page"))
			return true;
		f = &s->l->frame[leaf->e.pfn + i - s->l->m->mem.first_pfn];
		if (f->mapped_n++ == 0)
			check_rest(s->l->m, leaf, leaf->e.pfn + i);
		if (leaf->e.kind == MMU_LEAF && (leaf->perms & MMU_W) && f->writable_n < 255)
			f->writable_n++;
	}
	return true;
}

static void check_writable(struct ledger *l)
{
	for (uint64_t i = 0; i < l->m->mem.frames_n; i++) {
		const struct ledger_frame *f = &l->frame[i];

		bool zero = l->m->mem.first_pfn + i == l->zero_pfn;

		if (f->writable_n != 0 && (f->mapped_n > 1 || zero))
			machine_find(l->m, ORACLE_LEDGER, "frame %#llx is mapped %u times, %u of "
				     "them writable", ull(l->m->mem.first_pfn + i), f->mapped_n,
				     f->writable_n); /* L3 */
	}
}

/// Allocated frames that the walk can't account for.
static uint64_t unaccounted(struct ledger *l)
{
	struct kmm_object_stats o;

	kmm_object_stats(l->m->kmm, &o);
	return perform_used(l->p) - o.frames_n - l->owned_n;
}

static void take_stock(struct ledger *l)
{
	static _Thread_local struct stock s; /* too large for a stack */
	struct walk w = { .l = l, .table = own_table, .leaf = stock_leaf, .ctx = &s };

	s.l = l;
	s.space = OPS_SPACES;
	memset(l->frame, 0, l->m->mem.frames_n * sizeof(*l->frame));
	l->owned_n = 0;
	own_slots(l);
	walk_all(&w);
}

/// Reads one fresh page of space 0 and looks at what backs it.
static void find_zero_frame(struct ledger *l)
{
	struct kmm_space *s = l->p->space[0];
	struct kmm_va va = { KMM_USER_MIN };
	struct kmm_pt_leaf leaf;
	char byte;

	l->zero_pfn = 0;
	if (!s || kmm_space_map(s, &va, KMM_PAGE_BYTES, KMM_PROT_R, KMM_MAP_FIXED) != KMM_OK)
		return;
	if (kmm_space_read(s, va, &byte, 1) == 1 &&
	    kmm_pt_lookup(kmm_space_pt(s), va, &leaf) == KMM_OK)
		l->zero_pfn = leaf.pfn.n;
	if (kmm_space_unmap(s, va, KMM_PAGE_BYTES) != KMM_OK ||
	    machine_frame_free(l->m, l->zero_pfn))
		l->zero_pfn = 0;
}

bool ledger_start(struct ledger *l, struct machine *m, struct performer *p)
{
	l->m = m;
	l->p = p;
	if (l->room_n < m->mem.frames_n) {
		free(l->frame);
		l->frame = malloc(m->mem.frames_n * sizeof(*l->frame));
		l->room_n = l->frame ? m->mem.frames_n : 0;
		if (!l->frame)
			return false;
	}
	find_zero_frame(l);
	take_stock(l);
	l->base_n = unaccounted(l);
	return true;
}

void ledger_free(struct ledger *l)
{
	free(l->frame);
	memset(l, 0, sizeof(*l));
}

void ledger_verify(struct ledger *l)
{
	uint64_t lost;

	take_stock(l);
	check_writable(l);
	lost = unaccounted(l);
	if (lost != l->base_n)
		machine_find(l->m, ORACLE_LEDGER, "%lld frames are allocated but nobody's (%llu at "
			     "the start)", (long long)lost, ull(l->base_n)); /* L4 */
}

/* ---- digest ---- */

static bool fold_leaf(void *ctx, const struct ledger_leaf *leaf)
{
	uint64_t *digest = ctx;

	*digest = ops_fold(*digest, leaf->va ^ (uint64_t)leaf->space << 56 ^
				    (uint64_t)leaf->level << 52);
	*digest = ops_fold(*digest, leaf->e.pfn);
	return true;
}

static bool fold_region(void *ctx, struct kmm_va start, struct kmm_va end, unsigned prot)
{
	uint64_t *digest = ctx;

	*digest = ops_fold(ops_fold(ops_fold(*digest, start.a), end.a), prot);
	return true;
}

uint64_t ledger_digest(struct ledger *l)
{
	uint64_t digest = OPS_DIGEST_START;

	for (unsigned i = 0; i < OPS_SPACES; i++) {
		digest = ops_fold(digest, l->p->space[i] != NULL);
		if (l->p->space[i])
			kmm_space_regions(l->p->space[i], fold_region, &digest);
	}
	ledger_leaves(l, fold_leaf, &digest);
	return digest;
}
