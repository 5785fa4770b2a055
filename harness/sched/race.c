/// The race detector.
///
/// Theory. Two accesses race if neither happens before the other, they share a byte,
/// one writes, and one is plain. memory.c keeps the clocks that say what happens before
/// what: an access of CPU c in its epoch e happens before the current one exactly if the
/// current CPU's hb.of[c] >= e. So it is enough to remember, for each byte and CPU, the
/// epoch of its last access of each kind (FastTrack).
///
/// Shadow. Each 8 bytes of a region have a cell per CPU: a word for each kind of access
/// (plain or atomic, read or write). A word is the epoch, a mask of bytes, and the number
/// of the call stack (stack.c), which tells the operation too. The cells of one CPU lie
/// together (a plane), so that planes of CPUs that don't exist cost no memory. Each page of
/// a region has a summary: per CPU the newest epoch of all its words, which answers for
/// most accesses without a look at other CPUs' cells; and two words for plain accesses to the
/// page as a whole, which are what zeroing and copying pages does, and cost as little
/// as one access.
///
/// I1  page.last[c] >= the epoch of every word of c for that page
/// I2  epochs of a CPU only grow while the shadow lives; race_begin checks it, and drops
///     the shadow otherwise (another struct memory, or one that starts over before
///     its 32 bits wrap). Words of earlier runs are therefore never races, and aren't
///     cleared.
/// I3  a word is left alone if the same CPU has one of the same epoch that covers it and is
///     at least as strong (a write for a read, plain for atomic): whatever races with
///     the newer access races with the kept one as well.
///
/// Limits. A cell keeps one word a kind: plain accesses to different bytes of the same 8,
/// in different epochs, leave the later one, and a race with the earlier is
/// missed. Never the reverse: what is reported is a race of the memory order.
/// Accesses outside the regions (stacks, constants) are ignored, as is everything while
/// sched_on is NULL.
///
/// Source: Flanagan & Freund, FastTrack, PLDI 2009. Shadow words with byte masks are an idea
/// of ThreadSanitizer's (Serebryany & Iskhodzhanov, WBIA 2009).
#include "sched/race.h"

#include <string.h>
#include <sys/mman.h>

#include "sched/stack.h"

_Thread_local struct race *race_on;

#define PAGE_LG2 12u
#define PAGE_BYTES (1ull << PAGE_LG2)
#define CELL_LG2 3u
#define CELLS_A_PAGE (PAGE_BYTES >> CELL_LG2)

/// Kinds of access: bit 0 a write, bit 1 atomic.
enum { PLAIN_READ, PLAIN_WRITE, ATOMIC_READ, ATOMIC_WRITE, KINDS_N };

/// epoch << 32 | stack << 8 | mask of bytes; 0: none, since epochs begin at 1.
typedef uint64_t word;

struct cell {
	word of[KINDS_N];
};

struct page {
	uint32_t last[SCHED_CPUS_MAX];
	word whole[SCHED_CPUS_MAX][2]; /* by PLAIN_READ, PLAIN_WRITE */
};

/// An access of the current CPU, within one region.
struct access {
	struct race *race;
	struct race_region *region;
	const struct clock *hb;
	const void *pc;
	unsigned cpu, kind;
	uint32_t id; /* 0: not asked for yet */
};

static inline uint32_t word_epoch(word w)
{
	return (uint32_t)(w >> 32);
}

static inline bool word_covers(word w, uint32_t epoch, unsigned mask)
{
	return word_epoch(w) == epoch && (mask & ~(unsigned)w & 0xffu) == 0;
}

/// A bit for each kind that races with `kind`.
static inline unsigned rivals_of(unsigned kind)
{
	static const uint8_t rivals[KINDS_N] = {
		[PLAIN_READ] = 1u << PLAIN_WRITE | 1u << ATOMIC_WRITE,
		[PLAIN_WRITE] = 1u << PLAIN_READ | 1u << PLAIN_WRITE | 1u << ATOMIC_READ |
				1u << ATOMIC_WRITE,
		[ATOMIC_READ] = 1u << PLAIN_WRITE,
		[ATOMIC_WRITE] = 1u << PLAIN_READ | 1u << PLAIN_WRITE,
	};

	return rivals[kind];
}

/* ---- regions ---- */

static uintptr_t region_base(const struct race_region *g)
{
	return g->at & ~(uintptr_t)(PAGE_BYTES - 1u);
}

static uint64_t shadow_bytes(uint64_t room)
{
	return (room >> PAGE_LG2) * (sizeof(struct page) +
				     SCHED_CPUS_MAX * CELLS_A_PAGE * sizeof(struct cell));
}

static inline struct page *page_of(const struct race_region *g, uint64_t cell)
{
	return (struct page *)g->shadow + cell / CELLS_A_PAGE;
}

static inline struct cell *cell_of(const struct race_region *g, unsigned cpu, uint64_t cell)
{
	struct cell *plane = (struct cell *)((struct page *)g->shadow + (g->room >> PAGE_LG2));

	return plane + (cpu * (g->room >> CELL_LG2) + cell);
}

static void region_drop(struct race_region *g)
{
	if (g->shadow)
		munmap(g->shadow, shadow_bytes(g->room));
	*g = (struct race_region){ 0 };
}

bool race_watch(struct race *r, unsigned i, const void *at, uint64_t bytes)
{
	struct race_region *g = &r->region[i];
	uintptr_t first = (uintptr_t)at, base = first & ~(uintptr_t)(PAGE_BYTES - 1u);
	uint64_t room = (first + bytes - base + PAGE_BYTES - 1u) & ~(PAGE_BYTES - 1u);
	void *shadow;

	if (!r->calls && !(r->calls = calls_make()))
		return false;
	if (g->shadow && region_base(g) == base && room <= g->room) {
		g->at = first;
		g->bytes = bytes;
		return true;
	}
	region_drop(g);
	shadow = mmap(NULL, shadow_bytes(room), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (shadow == MAP_FAILED)
		return false;
	/* Planes are touched here and there: huge pages would make them real memory. */
	madvise(shadow, shadow_bytes(room), MADV_NOHUGEPAGE);
	*g = (struct race_region){ first, bytes, room, shadow };
	return true;
}

void race_free(struct race *r)
{
	for (unsigned i = 0; i < RACE_REGIONS; i++)
		region_drop(&r->region[i]);
	calls_free(r->calls);
	r->calls = NULL;
}

void race_begin(struct race *r)
{
	bool older = r->begun == r->memory;

	for (unsigned c = 0; c < SCHED_CPUS_MAX; c++) {
		uint32_t now = r->memory->cpu[c].hb.of[c];

		older = older && r->epoch[c] < now;
		r->epoch[c] = now;
	}
	r->begun = r->memory;
	for (unsigned i = 0; !older && i < RACE_REGIONS; i++)
		if (r->region[i].shadow)
			madvise(r->region[i].shadow, shadow_bytes(r->region[i].room),
				MADV_DONTNEED);
	calls_begin(r->calls);
	r->found = false;
}

/* ---- judging ---- */

/// `first` of CPU `cpu` races with a, at byte `at`.
static void found(const struct access *a, uintptr_t at, unsigned bytes, unsigned cpu,
		  unsigned kind, word first)
{
	struct race *r = a->race;
	struct race_report *p = &r->report;
	unsigned shared = (unsigned)__builtin_popcount((unsigned)first & 0xffu);

	if (r->found)
		return;
	r->found = true;
	*p = (struct race_report){
		.at = at,
		.region = (unsigned)(a->region - r->region),
		.offset = at - a->region->at,
		.first = { .cpu = cpu, .write = kind & 1u, .atomic = kind >> 1,
			   .bytes = shared ? shared : (unsigned)PAGE_BYTES },
		.second = { .cpu = a->cpu, .op = sched_on->cpu[a->cpu].op, .write = a->kind & 1u,
			    .atomic = a->kind >> 1, .bytes = bytes },
	};
	calls_stack(r->calls, (uint32_t)first >> 8, &p->first.stack, &p->first.op);
	race_stack_here(&p->second.stack, a->pc);
	if (r->on_race)
		r->on_race(r->ctx, p);
}

static inline word word_make(struct access *a, unsigned mask)
{
	if (!a->id)
		a->id = calls_id(a->race->calls, a->cpu, sched_on->cpu[a->cpu].op, a->pc);
	return (word)a->hb->of[a->cpu] << 32 | (word)a->id << 8 | mask;
}

/// The first byte of a mask.
static inline uintptr_t byte_at(const struct access *a, uint64_t cell, unsigned mask)
{
	return region_base(a->region) + (cell << CELL_LG2) + (unsigned)__builtin_ctz(mask);
}

/// CPU c's words of one page that no edge orders before the access.
static void judge_cell(const struct access *a, unsigned c, uint64_t cell, unsigned mask)
{
	const struct page *page = page_of(a->region, cell);
	const struct cell *theirs = cell_of(a->region, c, cell);
	unsigned rivals = rivals_of(a->kind), bytes = (unsigned)__builtin_popcount(mask);
	uint32_t known = a->hb->of[c];

	for (unsigned k = 0; k < KINDS_N; k++) {
		word w = theirs->of[k];

		if (!(rivals >> k & 1u))
			continue;
		if (word_epoch(w) > known && (w & mask))
			found(a, byte_at(a, cell, (unsigned)w & mask), bytes, c, k, w);
		if (k <= PLAIN_WRITE && word_epoch(page->whole[c][k]) > known)
			found(a, byte_at(a, cell, mask), bytes, c, k, page->whole[c][k]);
	}
}

/// The CPU has done as much in this epoch already (I3).
static inline bool covered(const struct access *a, const struct page *page, const struct cell *own,
			   unsigned mask)
{
	uint32_t epoch = a->hb->of[a->cpu];

	if (word_covers(own->of[PLAIN_WRITE], epoch, mask) ||
	    word_epoch(page->whole[a->cpu][PLAIN_WRITE]) == epoch ||
	    word_covers(own->of[a->kind], epoch, mask))
		return true;
	return !(a->kind & 1u) && (word_covers(own->of[PLAIN_READ], epoch, mask) ||
				   word_epoch(page->whole[a->cpu][PLAIN_READ]) == epoch);
}

static inline void access_cell(struct access *a, uint64_t cell, unsigned mask)
{
	struct page *page = page_of(a->region, cell);
	struct cell *own = cell_of(a->region, a->cpu, cell);
	uint32_t epoch = a->hb->of[a->cpu];
	word old = own->of[a->kind];

	if (covered(a, page, own, mask))
		return;
	for (unsigned c = 0; c < a->race->memory->cpus_n; c++)
		if (page->last[c] > a->hb->of[c] && c != a->cpu)
			judge_cell(a, c, cell, mask);
	if (word_epoch(old) == epoch)
		mask |= (unsigned)old & 0xffu;
	own->of[a->kind] = word_make(a, mask);
	page->last[a->cpu] = epoch;
}

/// A plain access to all of a page.
static void access_page(struct access *a, uint64_t cell)
{
	struct page *page = page_of(a->region, cell);
	uint32_t epoch = a->hb->of[a->cpu];

	for (unsigned c = 0; c < a->race->memory->cpus_n; c++) {
		if (page->last[c] <= a->hb->of[c] || c == a->cpu)
			continue;
		for (uint64_t i = 0; i < CELLS_A_PAGE; i++)
			judge_cell(a, c, cell + i, 0xffu);
	}
	page->whole[a->cpu][a->kind] = word_make(a, 0);
	page->last[a->cpu] = epoch;
}

static void access_range(struct access *a, uintptr_t at, uint64_t bytes)
{
	uint64_t from = at - region_base(a->region), end = from + bytes;

	while (from < end) {
		uint64_t cell = from >> CELL_LG2, in = from & 7u, n = 8u - in;

		if (a->kind <= PLAIN_WRITE && from % PAGE_BYTES == 0 && end - from >= PAGE_BYTES) {
			access_page(a, cell);
			from += PAGE_BYTES;
			continue;
		}
		if (n > end - from)
			n = end - from;
		access_cell(a, cell, ((1u << n) - 1u) << in);
		from += n;
	}
}

static inline struct race_region *find(struct race *r, uintptr_t at)
{
	for (unsigned i = 0; i < RACE_REGIONS; i++)
		if (at - r->region[i].at < r->region[i].bytes)
			return &r->region[i];
	return NULL;
}

static inline void record(struct race *r, const volatile void *p, uint64_t bytes, unsigned kind,
			  const void *pc)
{
	uintptr_t at = (uintptr_t)p;
	struct race_region *g;
	struct access a;

	if (!sched_on || !r || !(g = find(r, at)))
		return;
	if (bytes > g->at + g->bytes - at)
		bytes = g->at + g->bytes - at;
	a = (struct access){ .race = r, .region = g, .hb = &r->memory->cpu[sched_on->now].hb,
			     .pc = pc, .cpu = sched_on->now, .kind = kind };
	access_range(&a, at, bytes);
}

void race_plain(struct race *r, const volatile void *at, size_t bytes, bool write, const void *pc)
{
	record(r, at, bytes, write ? PLAIN_WRITE : PLAIN_READ, pc);
}

void race_atomic(struct race *r, const volatile void *at, size_t bytes, bool write, const void *pc)
{
	record(r, at, bytes, write ? ATOMIC_WRITE : ATOMIC_READ, pc);
}

/* ---- forgetting ---- */

/// Whether a word of c's in the page may still be a race to somebody.
static bool matters(const struct race *r, const struct page *page, unsigned c)
{
	for (unsigned d = 0; d < r->memory->cpus_n; d++)
		if (d != c && r->memory->cpu[d].hb.of[c] < page->last[c])
			return true;
	return false;
}

/// Puts CPU c's accesses to the whole page into its cells.
static void spread(const struct race_region *g, struct page *page, unsigned c, uint64_t first)
{
	for (unsigned k = PLAIN_READ; k <= PLAIN_WRITE; k++) {
		word w = page->whole[c][k];

		for (uint64_t i = 0; w && i < CELLS_A_PAGE; i++) {
			struct cell *cell = cell_of(g, c, first + i);

			if (word_epoch(cell->of[k]) <= word_epoch(w))
				cell->of[k] = w | 0xffu;
		}
		page->whole[c][k] = 0;
	}
}

/// Cells [first, end) of one page; bytes of a cell that is forgotten in part count on.
static void forget(const struct race *r, const struct race_region *g, uint64_t first, uint64_t end)
{
	struct page *page = page_of(g, first);
	bool all = end - first == CELLS_A_PAGE;

	for (unsigned c = 0; c < SCHED_CPUS_MAX; c++) {
		if (!page->last[c])
			continue;
		if (all)
			memset(page->whole[c], 0, sizeof(page->whole[c]));
		else
			spread(g, page, c, first / CELLS_A_PAGE * CELLS_A_PAGE);
		/* Words that are no race to anybody now will never be one. */
		if (matters(r, page, c))
			memset(cell_of(g, c, first), 0, (end - first) * sizeof(struct cell));
		if (all)
			page->last[c] = 0;
	}
}

void race_forget(struct race *r, const void *at, uint64_t bytes)
{
	struct race_region *g = find(r, (uintptr_t)at);
	uint64_t from, end;

	if (!g || !r->memory)
		return;
	if (bytes > g->at + g->bytes - (uintptr_t)at)
		bytes = g->at + g->bytes - (uintptr_t)at;
	from = (uintptr_t)at - region_base(g);
	end = (from + bytes) >> CELL_LG2;
	from = (from + 7u) >> CELL_LG2;
	while (from < end) {
		uint64_t next = (from / CELLS_A_PAGE + 1u) * CELLS_A_PAGE;

		forget(r, g, from, next < end ? next : end);
		from = next;
	}
}
