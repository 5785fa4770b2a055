/// The vm unit's invariants, walked. The tables are read here by the format's
/// data alone, not by the walker that wrote them.
#include "frame/entry.h"
#include "pt/state.h"
#include "vm/space.h"
#include "vm/unit.h"

struct leaf_walk {
	struct kmm_space *s;
	struct region *region; /* first one that ends beyond the last leaf seen */
	uint64_t leaves_n;
	const char *broken;    /* what failed first, NULL = nothing */
	uint64_t broken_at;
	void (*leaf)(struct leaf_walk *w, uint64_t va, uint64_t entry, unsigned level);
	uint32_t count;        /* for the reference count */
};

static void walk_table(struct leaf_walk *w, uint64_t table_pa, uint64_t va, unsigned level);

static void walk_entry(struct leaf_walk *w, uint64_t entry, uint64_t va, unsigned level)
{
	const struct kmm_pt_format *f = w->s->kmm->format;
	bool hidden = (entry & f->hidden) && !(entry & f->valid);
	bool leaf = hidden || ((f->leaf_levels >> level & 1u) &&
			       (entry & f->leaf_test[level]) == f->leaf_is[level]);

	if (leaf) {
		w->leaves_n++;
		w->leaf(w, va, entry, level);
	} else if (level > 0) {
		walk_table(w, entry & f->addr_mask, va, level - 1u);
	}
}

static void walk_table(struct leaf_walk *w, uint64_t table_pa, uint64_t va, unsigned level)
{
	struct kmm *k = w->s->kmm;
	struct kmm_pa pa = { table_pa };
	const uint64_t *table = kmm_port_virt(k, pa);
	unsigned index_lg2 = k->format->index_lg2;

	for (uint64_t i = 0; i < 1ull << index_lg2 && w->broken == NULL; i++) {
		uint64_t at = va + (i << (KMM_PAGE_LG2 + level * index_lg2));
		uint64_t entry;

		if (at >= w->s->pt.user_end)
			return;
		entry = kmm_port_pt_load(k, &table[i]);
		if (entry != 0)
			walk_entry(w, entry, at, level);
	}
}

static void walk_space(struct leaf_walk *w)
{
	w->region = region_first(w->s, 0);
	w->leaves_n = 0;
	w->broken = NULL;
	walk_table(w, kmm_pfn_to_pa(w->s->pt.root).a, 0, w->s->kmm->format->levels - 1u);
}

static struct kmm_pfn entry_pfn(const struct kmm *k, uint64_t entry)
{
	struct kmm_pa pa = { entry & k->format->addr_mask };

	return kmm_pa_to_pfn(pa);
}

static void broken(struct leaf_walk *w, uint64_t va, const char *what)
{
	w->broken = what;
	w->broken_at = va;
}

static bool entry_writable(const struct kmm_pt_format *f, uint64_t entry)
{
	return (entry & f->write_set) == f->write_set && (entry & f->write_clear) == 0;
}

/// I3 and I4 of one leaf.
static void check_frame(struct leaf_walk *w, uint64_t va, struct kmm_pfn pfn, bool writable)
{
	struct kmm *k = w->s->kmm;

	if (pfn.n == k->vm->zero.n) {
		if (writable)
			broken(w, va, "I4: the zero frame is never writable");
	} else if (!frame_in_table(k, pfn) || frame_tag(k, pfn) != FRAME_ANON) {
		broken(w, va, "I4: a leaf names an anonymous frame");
	} else if (frame_ref_count(k, pfn) == 0) {
		broken(w, va, "I4: a mapped frame has a reference");
	} else if (writable && frame_ref_count(k, pfn) != 1) {
		broken(w, va, "I3: a writable leaf is its frame's only one");
	}
}

static void check_leaf(struct leaf_walk *w, uint64_t va, uint64_t entry, unsigned level)
{
	const struct kmm_pt_format *f = w->s->kmm->format;
	bool present = (entry & f->valid) != 0;
	bool writable = present && entry_writable(f, entry);

	while (w->region->end <= va && w->region != &w->s->sentinel)
		w->region = region_next(w->region);
	if (va < region_start(w->region))
		broken(w, va, "I1: a leaf lies inside a region");
	else if (level != 0)
		broken(w, va, "I1: a leaf is 4 KiB");
	else if (present && (entry & f->user_set) != f->user_set)
		broken(w, va, "I1: a leaf is a user page");
	else if (present != (w->region->prot != 0))
		broken(w, va, "I2: hidden exactly where the region allows nothing");
	else if (writable && !(w->region->prot & KMM_PROT_W))
		broken(w, va, "I2: writable only where the region is");
	else if (present && !(entry & f->exec_clear_user) && !(w->region->prot & KMM_PROT_X))
		broken(w, va, "I2: executable only where the region is");
	else
		check_frame(w, va, entry_pfn(w->s->kmm, entry), writable);
}

static const char *check_region(const struct kmm_space *s, struct region *r,
				const struct region *below)
{
	uint64_t floor = below ? below->end : KMM_USER_MIN;

	if (region_start(r) < floor || r->node.weight != region_start(r) - floor)
		return "I1, I2 of regions: order and gaps";
	if (r == &s->sentinel)
		return NULL;
	if (r->end <= region_start(r) || r->end > s->pt.user_end ||
	    !bits_aligned(region_start(r) | r->end, KMM_PAGE_BYTES))
		return "I1 of regions: aligned, not empty, in the user half";
	if (below && below->end == region_start(r) && region_alike(s, below, r))
		return "I3 of regions: neighbours differ";
	if (r->prot && (!(r->prot & KMM_PROT_R) || (r->prot & 6u) == 6u))
		return "I4 of regions: normalised";
	return NULL;
}

static const char *check_regions(struct kmm_space *s, uint64_t *at)
{
	struct region *below = NULL;
	const char *what = NULL;
	uint64_t n = 0;
	bool hit_seen = s->hit == NULL;

	*at = 0;
	if (!tree_valid(&s->regions))
		return "the region tree's own invariants";
	for (struct region *r = region_of(tree_first(&s->regions)); r && !what; n++) {
		*at = region_start(r);
		what = check_region(s, r, below);
		hit_seen |= r == s->hit && r != &s->sentinel;
		below = r;
		r = region_next(r);
	}
	if (what == NULL && !hit_seen)
		what = "I5 of regions: the last hit is in the tree";
	if (what == NULL && (below != &s->sentinel || n != s->regions_n + 1u))
		what = "I6 of regions: their number";
	if (what == NULL && s->kmm->preset->region_max &&
	    s->regions_n > s->kmm->preset->region_max)
		what = "I6 of regions: the limit";
	return what;
}

static enum kmm_error space_check_locked(struct kmm_space *s)
{
	struct leaf_walk w = { .s = s, .leaf = check_leaf };

	w.broken = check_regions(s, &w.broken_at);
	if (w.broken == NULL)
		walk_space(&w);
	if (w.broken == NULL && w.leaves_n != s->pt.leaves_n)
		broken(&w, 0, "the tables' own count of leaves");
	if (w.broken == NULL)
		return KMM_OK;
	kmm_log(s->kmm, KMM_LOG_ERROR, "vm: %s (at %llx)", w.broken,
		(unsigned long long)w.broken_at);
	return KMM_ECORRUPT;
}

enum kmm_error kmm_space_check(struct kmm_space *s)
{
	unsigned long was = lock_acquire(s->kmm, &s->lock);
	enum kmm_error e = space_check_locked(s);

	if (e == KMM_OK)
		e = kmm_pt_check(&s->pt);
	lock_release(s->kmm, &s->lock, was);
	return e;
}

static void count_leaf(struct leaf_walk *w, uint64_t va, uint64_t entry, unsigned level)
{
	struct kmm *k = w->s->kmm;
	struct kmm_pfn pfn = entry_pfn(k, entry);
	struct frame_entry *fe;

	(void)level;
	if (pfn.n == k->vm->zero.n)
		return;
	fe = frame_entry(k, pfn);
	if (w->count != 0)
		fe->index += w->count;
	else if (fe->index != 0 && fe->index != frame_ref_count(k, pfn))
		broken(w, va, "I4: references are the leaves that name the frame");
	else
		fe->index = 0; /* seen; further leaves of the frame find 0 */
}

/// Adds `by` to the frame entry's `index` of each anonymous leaf, or with by 0
/// compares it with the references and resets it. Pre: nothing else runs
static enum kmm_error space_count_refs(struct kmm_space *s, uint32_t by)
{
	struct leaf_walk w = { .s = s, .leaf = count_leaf, .count = by };

	walk_space(&w);
	if (w.broken == NULL)
		return KMM_OK;
	kmm_log(s->kmm, KMM_LOG_ERROR, "vm: %s (at %llx)", w.broken,
		(unsigned long long)w.broken_at);
	return KMM_ECORRUPT;
}

/// Is it NULL, or a living space whose tables the CPU has loaded? Pre: LOCK_SPACES
static bool cpu_space_valid(struct kmm *k, const struct kmm_cpu *cpu)
{
	if (cpu->space == NULL)
		return true;
	LIST_EACH(s, &k->vm->spaces, struct kmm_space, link) {
		if (s == cpu->space)
			return atomic_load_relaxed(&cpu->pt->current) == &s->pt;
	}
	return false;
}

static enum kmm_error cpus_check(struct kmm *k)
{
	for (unsigned i = 0; i < k->cpus_n; i++) {
		if (cpu_space_valid(k, &k->cpus[i]))
			continue;
		kmm_log(k, KMM_LOG_ERROR, "vm: I5: CPU %u's space is the one it has loaded", i);
		return KMM_ECORRUPT;
	}
	return KMM_OK;
}

/// Nothing else may run: reference counts are compared across all spaces.
enum kmm_error vm_check(struct kmm *k)
{
	unsigned long was = lock_acquire(k, &k->vm->lock);
	enum kmm_error e = cpus_check(k);

	LIST_EACH(s, &k->vm->spaces, struct kmm_space, link) {
		if (e == KMM_OK)
			e = kmm_space_check(s);
	}
	for (uint32_t by = 2; e == KMM_OK && by-- > 0;) {
		LIST_EACH(s, &k->vm->spaces, struct kmm_space, link) {
			if (e == KMM_OK)
				e = space_count_refs(s, by);
		}
	}
	lock_release(k, &k->vm->lock, was);
	return e;
}
