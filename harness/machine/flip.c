/// Planting faults: one bit turned over in what the machine holds, to prove that a
/// run then ends in a finding or in another digest.
///
/// In a leaf entry only bits are turned that must be noticed: the frame's address
/// (the ledger misses the frame, and finds another twice or free), the user bit (an
/// access faults for ever), and no-execute where it is set (more than the region
/// grants). Clearing a write bit, say, is healed by the next fault and proves nothing.
#include "machine/body_sim.h"

struct pick {
	struct machine *m;
	bool contents;   /* only leaves that user code can read through */
	uint64_t at, nth; /* leaves seen; the one wanted */
	struct ledger_leaf found;
};

static bool pick_leaf(void *ctx, const struct ledger_leaf *leaf)
{
	struct pick *p = ctx;

	if (p->contents && (leaf->e.kind != MMU_LEAF || leaf->level != 0 || !(leaf->perms & MMU_R)))
		return true;
	if (p->at == p->nth)
		p->found = *leaf;
	return p->at++ != p->nth;
}

/// The nth leaf, modulo their number, which divides *nth. False: there is none.
static bool pick(struct body *b, bool contents, uint64_t *nth, struct ledger_leaf *out)
{
	struct pick p = { .m = sim_machine(b), .contents = contents, .nth = ~0ull };
	uint64_t n;

	ledger_leaves(sim_ledger(b), pick_leaf, &p);
	n = p.at;
	if (n == 0)
		return false;
	p.nth = *nth % n;
	p.at = 0;
	ledger_leaves(sim_ledger(b), pick_leaf, &p);
	*nth /= n;
	*out = p.found;
	return true;
}

static bool flip_table(struct body *b, uint64_t nth)
{
	bool x86 = sim_machine(b)->mem.arch == MMU_X86_64;
	struct ledger_leaf leaf;
	uint8_t bit[16];
	unsigned n = 0;

	if (!pick(b, false, &nth, &leaf))
		return false;
	for (uint8_t i = 0; i < 12; i++)
		bit[n++] = (uint8_t)(KMM_PAGE_LG2 + i);
	if (leaf.e.kind == MMU_LEAF) {
		bit[n++] = x86 ? 2 : 6;
		if (!(leaf.e.perms & MMU_X))
			bit[n++] = x86 ? 63 : 54;
	}
	*leaf.entry ^= 1ull << bit[nth % n];
	return true;
}

static bool flip_contents(struct body *b, uint64_t nth)
{
	struct machine *m = sim_machine(b);
	struct ledger_leaf leaf;
	char *page;

	if (!pick(b, true, &nth, &leaf))
		return false;
	page = (char *)mmu_table(&m->mem, leaf.e.pfn);
	if (!page)
		return false;
	page[ops_stamp_offset[nth % OPS_STAMPS]] ^= (char)(1u << (nth / OPS_STAMPS % 8u));
	return true;
}

bool sim_flip(struct body *b, enum body_flip what, uint64_t nth)
{
	if (sim_machine(b)->dead)
		return false;
	return what == FLIP_TABLE ? flip_table(b, nth) : flip_contents(b, nth);
}
