/// run=stress: storms of frames and of objects on all CPUs at once. Every block is
/// stamped by its owner and looked at before it is freed; a part of them is handed
/// to whichever CPU comes next, so that frees are remote. A block that two owners
/// hold, or that anybody wrote into, shows as a damaged stamp. After them the verdict
/// programs run.
#include "ops/ops.h"
#include "crew.h"

#define HELD 64u
#define SHARED 64u
#define FRAME_ROUNDS 20000u
#define OBJECT_ROUNDS 40000u
#define FRAME_ORDER_MAX 4u
#define OBJECT_BYTES_MAX 3000u

struct block {
	void *at;       /* NULL: none */
	uint64_t bytes;
	uint64_t key;
	struct kmm_pfn pfn;
	unsigned order;
};

struct storm {
	const char *name;
	bool (*make)(struct block *b, uint64_t random);
	enum kmm_error (*drop)(const struct block *b);
	unsigned rounds;
};

static struct block shared[SHARED]; /* shared_lock */
static struct spin shared_lock;
static const struct storm *storm;   /* constant while workers run */
static uint32_t damaged, refused;   /* atomic */
static struct block held[GLUE_CPUS_MAX][HELD];

static bool frame_make(struct block *b, uint64_t random)
{
	b->order = random % 8 ? 0 : (unsigned)(random >> 8) % (FRAME_ORDER_MAX + 1);
	if (kmm_frame_alloc(glue_kmm, b->order, 0, &b->pfn) != KMM_OK)
		return false;
	b->at = kmm_frame_virt(glue_kmm, b->pfn);
	b->bytes = KMM_PAGE_BYTES << b->order;
	return true;
}

static enum kmm_error frame_drop(const struct block *b)
{
	return kmm_frame_free(glue_kmm, b->pfn, b->order);
}

static bool object_make(struct block *b, uint64_t random)
{
	b->bytes = 1 + random % OBJECT_BYTES_MAX;
	b->at = kmm_alloc(glue_kmm, b->bytes);
	return b->at != NULL;
}

static enum kmm_error object_drop(const struct block *b)
{
	return kmm_free(glue_kmm, b->at);
}

static const struct storm storms[] = {
	{ "stress.frame", frame_make, frame_drop, FRAME_ROUNDS },
	{ "stress.object", object_make, object_drop, OBJECT_ROUNDS },
};

static void make(struct block *b, uint64_t random)
{
	*b = (struct block){ .key = random };
	if (!storm->make(b, random)) {
		b->at = NULL;
		__atomic_fetch_add(&refused, 1u, __ATOMIC_RELAXED);
		return;
	}
	ops_block_fill(b->at, b->bytes, b->key);
}

static void drop(struct block *b)
{
	if (!b->at)
		return;
	if (!ops_block_intact(b->at, b->bytes, b->key) || storm->drop(b) != KMM_OK)
		__atomic_fetch_add(&damaged, 1u, __ATOMIC_RELAXED);
	b->at = NULL;
}

/// Leaves this block for others and takes what was left there.
static void swap(struct block *b, unsigned place)
{
	unsigned long was = spin_lock(&shared_lock);
	struct block theirs = shared[place];

	shared[place] = *b;
	*b = theirs;
	spin_unlock(&shared_lock, was);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void work(void *ctx, unsigned cpu)
{
	uint64_t state = 88172645463325252ull + cpu;

	(void)ctx;
	for (unsigned i = 0; i < storm->rounds; i++) {
		uint64_t random = next_random(&state);
		struct block *b = &held[cpu][random >> 32 & (HELD - 1)];

		if (random >> 48 & 3) {
			drop(b);
			make(b, random);
		} else {
			swap(b, random >> 40 & (SHARED - 1));
		}
	}
	for (unsigned i = 0; i < HELD; i++)
		drop(&held[cpu][i]);
}

static int run_storm(const struct storm *s)
{
	bool ok;

	storm = s;
	damaged = refused = 0;
	crew_run(work, NULL);
	for (unsigned i = 0; i < SHARED; i++)
		drop(&shared[i]);
	ok = damaged == 0 && kmm_check(glue_kmm) == KMM_OK;
	if (ok)
		glue_print("@verdict %s ok\n", s->name);
	else
		glue_print("@verdict %s failed %u damaged or not freed\n", s->name, damaged);
	if (refused)
		glue_print("%s: %u allocations refused\n", s->name, refused);
	return ok ? 0 : 1;
}

int stress_run(void)
{
	int status = 0;

	for (unsigned i = 0; i < sizeof(storms) / sizeof(*storms); i++)
		status |= run_storm(&storms[i]);
	return status | verdicts_run();
}
