/* The tree policy itself, on a memory of a few blocks: each room has the policy as it is
 * compiled for the simulated machine, and beside it a copy in which one atomic is weaker,
 * or not one. */
#include <string.h>

#include "litmus/client.h"

#include "frame/policy.h"

/* ---- the copy ---- */

/// What is wrong with it.
enum fault {
	FAULT_NONE,
	FAULT_ACQ_REL, /* nothing is sequentially consistent */
	FAULT_RELAXED, /* a release of frames isn't one */
	FAULT_STEPS,   /* taking bits is a load, and then a store */
	FAULT_KEEPS,   /* who took some of several words doesn't give them back */
};
static _Thread_local enum fault fault;

#define frame_policy_tree faulty_policy_tree
#define frame_tree_give faulty_give
#define frame_tree_release faulty_release
#define frame_tree_block_take faulty_block_take
#define frame_tree_find_dense faulty_find_dense
#define frame_tree_hand_file faulty_hand_file
#define frame_tree_find_any faulty_find_any
#define frame_tree_find_sparse faulty_find_sparse
#define frame_tree_file faulty_file
#define frame_tree_scan faulty_scan
#define frame_tree_all_empty faulty_all_empty
#define frame_tree_steal faulty_steal
#define frame_tree_whole_plenty faulty_whole_plenty
#define frame_tree_open faulty_open
#define frame_tree_claim_whole faulty_claim_whole
#define frame_tree_release_whole faulty_release_whole
#define frame_tree_add_range faulty_add_range
#define frame_tree_next_run faulty_next_run
#define frame_tree_claim_range faulty_claim_range
#define shelf_shape_make faulty_shape_make
#define shelf_raise faulty_raise
#define shelf_seek faulty_seek
#define shelf_seek_round faulty_seek_round
#define shelf_take faulty_take
#define shelf_take_bits faulty_take_bits
#define shelf_check faulty_check

extern const struct frame_policy faulty_policy_tree;

static uint64_t faulty_or(uint64_t *p, uint64_t v)
{
	if (fault == FAULT_KEEPS && v == ~0ull)
		return KMM_ATOMIC_LOAD(p, __ATOMIC_SEQ_CST);
	if (fault == FAULT_RELAXED)
		return KMM_ATOMIC_FETCH(or, p, v, __ATOMIC_RELAXED);
	return fault == FAULT_ACQ_REL ? KMM_ATOMIC_FETCH(or, p, v, __ATOMIC_ACQ_REL) :
					KMM_ATOMIC_FETCH(or, p, v, __ATOMIC_SEQ_CST);
}

static uint64_t faulty_and(uint64_t *p, uint64_t v)
{
	uint64_t was;

	if (fault == FAULT_STEPS) {
		was = KMM_ATOMIC_LOAD(p, __ATOMIC_ACQUIRE);
		KMM_ATOMIC_STORE(p, was & v, __ATOMIC_RELEASE);
		return was;
	}
	return fault == FAULT_ACQ_REL ? KMM_ATOMIC_FETCH(and, p, v, __ATOMIC_ACQ_REL) :
					KMM_ATOMIC_FETCH(and, p, v, __ATOMIC_SEQ_CST);
}

static bool faulty_cas(uint64_t *p, uint64_t *expected, uint64_t v)
{
	uint64_t is;

	if (fault != FAULT_STEPS)
		return KMM_ATOMIC_CAS(p, expected, v);
	is = KMM_ATOMIC_LOAD(p, __ATOMIC_ACQUIRE);
	if (is == *expected) {
		KMM_ATOMIC_STORE(p, v, __ATOMIC_RELEASE);
		return true;
	}
	*expected = is;
	return false;
}

static uint64_t faulty_load(const uint64_t *p)
{
	return fault == FAULT_ACQ_REL ? KMM_ATOMIC_LOAD(p, __ATOMIC_ACQUIRE) :
					KMM_ATOMIC_LOAD(p, __ATOMIC_SEQ_CST);
}

#undef atomic_or_seq_cst
#undef atomic_and_seq_cst
#undef atomic_cas_acq_rel
#undef atomic_load_seq_cst
#define atomic_or_seq_cst(p, v) faulty_or(p, v)
#define atomic_and_seq_cst(p, v) faulty_and(p, v)
#define atomic_cas_acq_rel(p, expected, v) faulty_cas(p, expected, v)
#define atomic_load_seq_cst(p) faulty_load(p)
#undef KMM_ASSERT
#define KMM_ASSERT(k, cond, invariant) ((void)(k), (void)sizeof(!(cond)))

#include "frame/shelf.c"
#include "frame/tree.c"
#include "frame/tree_find.c"
#include "frame/tree_give.c"
#include "frame/tree_range.c"
#include "frame/tree_whole.c"

#undef frame_policy_tree

/* ---- a small memory ---- */

#define CPUS_MAX 3u
#define OWNERS 8u /* frames, or blocks, that a client tells apart */

struct small {
	uint32_t owner[OWNERS];    /* atomic */
	uint32_t contents[OWNERS]; /* plain: who owns it writes there */
	uint32_t got[CPUS_MAX];    /* plain, each of its CPU: blocks that it has in the end */
};

/// What doesn't fit into a client's state. Races on it aren't looked for.
struct small_host {
	struct machine_port port;
	struct kmm k;
	struct kmm_cpu cpu[CPUS_MAX];
	uint8_t tag[1024];
	_Alignas(64) unsigned char meta[16384];
};
static _Thread_local struct small_host host;
static _Thread_local void *tree;
static _Thread_local const struct frame_policy *policy;

static struct kmm_pfn at(uint64_t pfn)
{
	return (struct kmm_pfn){ pfn };
}

/// Frames [0, n), of which [from, to) are handed over.
static void start(struct litmus_env *e, enum fault f, uint64_t n, uint64_t from, uint64_t to)
{
	memset(&host, 0, sizeof(host));
	host.k.port = &host.port;
	host.k.cpus = host.cpu;
	host.k.cpus_n = 2;
	host.k.tags = (uintptr_t)host.tag;
	for (unsigned i = 0; i < CPUS_MAX; i++) {
		host.cpu[i].kmm = &host.k;
		host.cpu[i].id = i;
		host.port.block[i] = &host.cpu[i];
		host.port.irq_off[i] = true;
	}
	fault = FAULT_NONE;
	policy = e->good ? &frame_policy_tree : &faulty_policy_tree;
	tree = policy->init(&host.k, host.meta, 0, n);
	policy->add_range(&host.k, tree, at(from), to - from);
	fault = f;
}

static unsigned claim_some(unsigned order, unsigned n, struct kmm_pfn *out)
{
	return policy->claim(&host.k, tree, order, FRAME_GROUP_PINNED, n, out);
}

static void give(unsigned order, uint64_t pfn)
{
	struct kmm_pfn in = at(pfn);

	policy->release(&host.k, tree, order, 1, &in);
}

/// The calling CPU owns number i from now on.
static void own_it(struct litmus_env *e, unsigned i)
{
	struct small *s = e->state;

	LITMUS_ASSERT(e, i < OWNERS, "a frame that isn't there");
	LITMUS_ASSERT(e, atomic_exchange_acq_rel(&s->owner[i], 1u) == 0, "it has two owners");
	s->contents[i]++;
}

/// Nothing runs: how many blocks of an order are to be had? At most 256
static unsigned there_are(unsigned order)
{
	struct kmm_pfn out[256];
	unsigned n = 0, more;

	do
		more = claim_some(order, 1, out + n);
	while (more != 0 && ++n < 256u);
	return n;
}

/* ---- the last frame ---- */

static void last_setup(struct litmus_env *e)
{
	start(e, FAULT_STEPS, 64, 5, 6);
}

static void last_run(struct litmus_env *e, unsigned cpu)
{
	struct small *s = e->state;
	struct kmm_pfn out;

	s->got[cpu] = claim_some(0, 1, &out);
	if (s->got[cpu] != 0)
		own_it(e, (unsigned)out.n - 5u);
}

static const char *last_check(struct litmus_env *e)
{
	struct small *s = e->state;

	return s->got[0] + s->got[1] + there_are(0) == 1 ? NULL : "a frame is lost";
}

/* ---- a release, and a search that has just looked ---- */

static void dirty_setup(struct litmus_env *e)
{
	start(e, FAULT_ACQ_REL, 64, 5, 6);
	(void)policy->claim_range(&host.k, tree, at(5), 1); /* it stays dirty */
}

static void dirty_run(struct litmus_env *e, unsigned cpu)
{
	struct small *s = e->state;
	struct kmm_pfn out;

	if (cpu == 0)
		give(0, 5);
	else
		s->got[1] = claim_some(0, 1, &out);
}

/* ---- what a frame's last owner wrote ---- */

static void contents_setup(struct litmus_env *e)
{
	start(e, FAULT_RELAXED, 64, 5, 6);
	(void)policy->claim_range(&host.k, tree, at(5), 1);
}

static void contents_run(struct litmus_env *e, unsigned cpu)
{
	struct small *s = e->state;
	struct kmm_pfn out;

	if (cpu == 0) {
		s->contents[0]++;
		give(0, 5);
	} else {
		s->got[1] = claim_some(0, 1, &out);
		if (s->got[1] != 0)
			own_it(e, 0);
	}
}

/* ---- a release, and a claim that has its block in hand ---- */

/// Six frames are free in each of three blocks.
static void hand_setup(struct litmus_env *e)
{
	start(e, FAULT_ACQ_REL, 1536, 440, 1030);
	(void)policy->claim_range(&host.k, tree, at(440), 66);
	(void)policy->claim_range(&host.k, tree, at(518), 506);
}

/// One gives a frame of the first block back, in a word that has no other. The other empties
/// that block, goes on to the second, and doesn't need the third.
static void hand_run(struct litmus_env *e, unsigned cpu)
{
	struct small *s = e->state;
	struct kmm_pfn out[7];

	if (cpu == 1)
		give(0, 440);
	else
		s->got[0] = claim_some(0, 7, out);
}

static const char *hand_check(struct litmus_env *e)
{
	struct small *s = e->state;

	return s->got[0] == 7 && there_are(0) == 12 ? NULL : "a frame is lost";
}

/* ---- closing ---- */

/// A block of which all but its first frames of two words are free.
static void close_start(struct litmus_env *e, enum fault f)
{
	struct kmm_pfn all;

	start(e, f, 512, 0, 512);
	(void)claim_some(9, 1, &all);
	for (unsigned w = 0; w < 8; w++)
		for (unsigned i = 0; i < 64; i++)
			if (i != 0 || w > 1)
				give(0, w * 64u + i);
}

static void close_setup(struct litmus_env *e)
{
	close_start(e, FAULT_ACQ_REL);
}

/// Each gives the last frame of a word back.
static void close_run(struct litmus_env *e, unsigned cpu)
{
	(void)e;
	give(0, cpu * 64u);
}

static const char *close_check(struct litmus_env *e)
{
	(void)e;
	return there_are(9) == 1 ? NULL : "the block isn't whole";
}

static void close_claim_setup(struct litmus_env *e)
{
	struct kmm_pfn out;

	close_start(e, FAULT_KEEPS);
	host.port.cpu = 1; /* which holds the block from now on */
	(void)claim_some(0, 1, &out);
	host.port.cpu = 0;
	give(0, out.n);
	give(0, 64);
}

/// One gives the last frame back. The other takes frames that complete other words, and
/// gives them back.
static void close_claim_run(struct litmus_env *e, unsigned cpu)
{
	struct kmm_pfn out;

	(void)e;
	if (cpu == 0)
		give(0, 0);
	else if (claim_some(0, 1, &out) != 0)
		give(0, out.n);
}

/* ---- opening a block, and wanting it whole ---- */

static void open_setup(struct litmus_env *e)
{
	start(e, FAULT_STEPS, 512, 0, 512);
}

static void open_run(struct litmus_env *e, unsigned cpu)
{
	struct small *s = e->state;
	struct kmm_pfn out;

	s->got[cpu] = claim_some(cpu == 0 ? 0 : 9, 1, &out);
	if (s->got[cpu] != 0)
		own_it(e, 0); /* frame 0 is the first to go */
}

static const char *open_check(struct litmus_env *e)
{
	struct small *s = e->state;

	if (s->got[0] + s->got[1] != 1)
		return "nobody has got what was there";
	return there_are(8) == s->got[0] ? NULL : "frames are lost";
}

/* ---- larger orders ---- */

static void large_setup(struct litmus_env *e)
{
	start(e, FAULT_KEEPS, 1u << 16, 0, 1u << 16);
}

/// Both words of whole blocks, and a block of the second.
static void large_run(struct litmus_env *e, unsigned cpu)
{
	struct small *s = e->state;
	struct kmm_pfn out;

	s->got[cpu] = claim_some(cpu == 0 ? 16 : 9, 1, &out);
}

static const char *large_check(struct litmus_env *e)
{
	struct small *s = e->state;

	return there_are(9) == 128u - 128u * s->got[0] - s->got[1] ? NULL : "blocks are lost";
}

/* ---- by range ---- */

static void range_setup(struct litmus_env *e)
{
	start(e, FAULT_STEPS, 64, 4, 6);
}

static void range_run(struct litmus_env *e, unsigned cpu)
{
	struct small *s = e->state;
	struct kmm_pfn out;

	if (cpu == 0) {
		s->got[0] = claim_some(0, 1, &out);
		if (s->got[0] != 0)
			own_it(e, (unsigned)out.n - 4u);
		return;
	}
	s->got[1] = (uint32_t)policy->claim_range(&host.k, tree, at(4), 1);
	if (s->got[1] != 0)
		own_it(e, 0);
}

static const char *range_check(struct litmus_env *e)
{
	struct small *s = e->state;

	return s->got[0] + s->got[1] + there_are(0) == 2 ? NULL : "a frame is lost";
}

#define SMALL_WORDS \
	WORDS(WORD(struct small, owner), WORD(struct small, contents), WORD(struct small, got))

const struct litmus litmus_tree[] = {
	{ .name = "tree_last", .good = "two want the last frame; a bit is taken at once",
	  .bad = "two want the last frame; its bit is taken in two steps",
	  .cpus_n = 2, .setup = last_setup, .run = last_run, .check = last_check,
	  .word = SMALL_WORDS,
	  .preemptions = 2, .stale = 1, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 1000, .depth = 2 },
	{ .name = "tree_dirty", .good = "a release marks its block while a search looks at it",
	  .bad = "the same, with acquire and release only",
	  .cpus_n = 2, .setup = dirty_setup, .run = dirty_run, .check = last_check,
	  .word = SMALL_WORDS,
	  .preemptions = 4, .stale = 1, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 0, .needs_stale = 1, .all_max = 50, .random_max = 200,
	  .pct_max = 1000, .depth = 2 },
	{ .name = "tree_contents", .good = "a frame changes hands; its release releases",
	  .bad = "a frame changes hands; its release is relaxed",
	  .cpus_n = 2, .setup = contents_setup, .run = contents_run, .check = last_check,
	  .word = SMALL_WORDS,
	  .preemptions = 4, .stale = 1, .fails = LITMUS_RACE,
	  .needs_preemptions = 0, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 1000, .depth = 1 },
	{ .name = "tree_hand", .good = "a release into one of the blocks that a claim has in hand",
	  .bad = "the same, with acquire and release only",
	  .cpus_n = 2, .setup = hand_setup, .run = hand_run, .check = hand_check,
	  .word = SMALL_WORDS,
	  .preemptions = 4, .stale = 1, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 0, .needs_stale = 1, .all_max = 50, .random_max = 200,
	  .pct_max = 1000, .depth = 2 },
	{ .name = "tree_close", .good = "two releases complete a block; one closes it",
	  .bad = "the same, with acquire and release only",
	  .cpus_n = 2, .setup = close_setup, .run = close_run, .check = close_check,
	  .word = SMALL_WORDS,
	  .preemptions = 4, .stale = 1, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 0, .needs_stale = 1, .all_max = 50, .random_max = 200,
	  .pct_max = 1000, .depth = 2 },
	{ .name = "tree_close_fails", .good = "a block is closed while a frame goes out and in",
	  .bad = "the same, and who fails to close keeps what it has taken",
	  .cpus_n = 2, .setup = close_claim_setup, .run = close_claim_run, .check = close_check,
	  .word = SMALL_WORDS,
	  .preemptions = 2, .stale = 1, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 2, .needs_stale = 0, .all_max = 500, .random_max = 1000,
	  .pct_max = 10000, .depth = 3 },
	{ .name = "tree_open", .good = "a block is opened, or taken whole; in one step",
	  .bad = "a block is opened, or taken whole; in two steps",
	  .cpus_n = 2, .setup = open_setup, .run = open_run, .check = open_check,
	  .word = SMALL_WORDS,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 1000, .depth = 2 },
	{ .name = "tree_large", .good = "256 MiB are wanted, and 2 MiB of them",
	  .bad = "the same, and who gets one half only keeps it",
	  .cpus_n = 2, .setup = large_setup, .run = large_run, .check = large_check,
	  .word = SMALL_WORDS,
	  .preemptions = LITMUS_ALL, .stale = LITMUS_ALL, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 1000, .depth = 2 },
	{ .name = "tree_range", .good = "a frame is wanted by number, and by who wants any",
	  .bad = "the same, and bits are taken in two steps",
	  .cpus_n = 2, .setup = range_setup, .run = range_run, .check = range_check,
	  .word = SMALL_WORDS,
	  .preemptions = 3, .stale = 1, .fails = LITMUS_ASSERTION,
	  .needs_preemptions = 1, .needs_stale = 0, .all_max = 50, .random_max = 200,
	  .pct_max = 1000, .depth = 2 },
	{ .name = NULL },
};
