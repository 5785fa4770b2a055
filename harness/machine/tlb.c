/// A TLB as an adversary wants it: it forgets nothing.
///
/// A dense array of entries, and hash chains of indices into it.
///   I1  e[0..n) are live; each is in exactly the chain of its hash.
///   I2  at most one entry for each (page, level, table).
///   I3  of_level[l] counts the leaf entries of level l.
/// Clearing undoes the chains entry by entry, so that its cost follows what is in
/// use. 1024 entries are more than a trace can reach in one space (12 windows of
/// 64 pages and their tables); beyond that one is evicted, as any TLB may.
#include "machine/tlb.h"

#include <stddef.h>

static unsigned hash(uint64_t page, unsigned level, bool table)
{
	uint64_t h = (page << 4 | level << 1 | table) * 0x9e3779b97f4a7c15ull;

	return (unsigned)(h >> 54) & (TLB_BUCKETS - 1u);
}

static unsigned hash_of(const struct tlb_entry *e)
{
	return hash(e->page, e->level, e->table);
}

struct tlb_entry *tlb_find(struct tlb *t, uint64_t va, unsigned level, bool table)
{
	uint64_t page = tlb_page(va, level);

	for (unsigned i = t->head[hash(page, level, table)]; i != 0; i = t->e[i - 1u].next) {
		struct tlb_entry *e = &t->e[i - 1u];

		if (e->page == page && e->level == level && e->table == table)
			return e;
	}
	return NULL;
}

struct tlb_entry *tlb_find_leaf(struct tlb *t, uint64_t va)
{
	for (unsigned level = 0; level < 3; level++) {
		struct tlb_entry *e = t->of_level[level] ? tlb_find(t, va, level, false) : NULL;

		if (e)
			return e;
	}
	return NULL;
}

/// The link (head or next) that holds index i.
static uint16_t *link_to(struct tlb *t, unsigned i)
{
	uint16_t *link = &t->head[hash_of(&t->e[i])];

	while (*link != i + 1u)
		link = &t->e[*link - 1u].next;
	return link;
}

void tlb_remove(struct tlb *t, unsigned i)
{
	unsigned last = t->n - 1u;

	*link_to(t, i) = t->e[i].next;
	if (!t->e[i].table)
		t->of_level[t->e[i].level]--;
	if (i != last) {
		*link_to(t, last) = (uint16_t)(i + 1u);
		t->e[i] = t->e[last];
	}
	t->n = last;
}

void tlb_insert(struct tlb *t, const struct tlb_entry *e, uint64_t victim)
{
	struct tlb_entry *old = tlb_find(t, e->page << (12u + 9u * e->level), e->level, e->table);
	unsigned bucket = hash_of(e);

	if (old) {
		uint16_t next = old->next;

		*old = *e;
		old->next = next;
		return;
	}
	if (t->n == TLB_ENTRIES)
		tlb_remove(t, (unsigned)(victim % TLB_ENTRIES));
	t->e[t->n] = *e;
	t->e[t->n].next = t->head[bucket];
	t->n++;
	t->head[bucket] = (uint16_t)t->n;
	if (!e->table)
		t->of_level[e->level]++;
}

void tlb_clear(struct tlb *t)
{
	for (unsigned i = 0; i < t->n; i++)
		t->head[hash_of(&t->e[i])] = 0;
	for (unsigned level = 0; level < 8; level++)
		t->of_level[level] = 0;
	t->n = 0;
}

bool tlb_valid(const struct tlb *t)
{
	unsigned chained = 0, leaves = 0, counted = 0;

	for (unsigned b = 0; b < TLB_BUCKETS; b++) {
		for (unsigned i = t->head[b]; i != 0; i = t->e[i - 1u].next, chained++) {
			if (i > t->n || hash_of(&t->e[i - 1u]) != b || chained > t->n)
				return false;
		}
	}
	for (unsigned i = 0; i < t->n; i++)
		leaves += !t->e[i].table;
	for (unsigned level = 0; level < 8; level++)
		counted += t->of_level[level];
	return chained == t->n && leaves == counted;
}
