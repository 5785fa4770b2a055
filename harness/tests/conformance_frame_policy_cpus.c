/// Every frame policy with four CPUs in it at once. A map of atomics says of each frame
/// which block it is part of, so that a frame handed out twice is found by whoever comes
/// second. What owners write into `contents` is plain memory: where a policy fails to
/// order one owner after another, ThreadSanitizer sees a race on it. Nothing else here
/// orders CPUs, but a mailbox through which blocks change hands.
#include "policy_fixture.h"

#define CPUS_N 4u
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if __has_feature(thread_sanitizer)
#define STEPS 10000u /* it takes twenty times as long, and needs no luck to see a race */
#else
#define STEPS 60000u
#endif
#define HELD_MAX 400u
#define MAIL_N 16u

/* 16 whole 2 MiB blocks between unaligned edges. */
#define EDGE 37u
#define BASE (0x40000ull - EDGE)
#define FRAMES_N ((16u << 9) + 2u * EDGE)
#define CUT (0x40000ull + (8u << 9))

/// What CPUs fight for.
struct hammer_kind {
	unsigned whole_n;  /* whole 2 MiB blocks handed to the policy, between edges */
	unsigned held_max; /* blocks that each CPU keeps */
	unsigned large_in; /* so many claims, and one is for a large block */
};
static const struct hammer_kind full = { 16, HELD_MAX, 8 }, empty = { 2, 5, 2 };

struct hammer {
	struct policy_host h;
	const struct policy_case *c;
	void *state;
	struct hammer_kind kind;
	uint64_t frames_n;           /* handed to the policy */
	uint32_t owner[FRAMES_N];    /* atomic; head's index + 1, 0 = free */
	uint32_t contents[FRAMES_N]; /* the owner's, plain: its head's index + 1 */
	uint64_t mail[MAIL_N];       /* atomic; pfn << 8 | order, 0 = empty */
	uint32_t faults_n;           /* atomic */
	const char *fault;           /* atomic; one of them */
	pthread_barrier_t start;
};

struct hammer_cpu {
	struct hammer *x;
	pthread_t thread;
	unsigned id;
	uint64_t seed;
	unsigned held_n;
	uint64_t held[HELD_MAX]; /* as mail */
};

static void fault(struct hammer *x, const char *what)
{
	__atomic_store_n(&x->fault, what, __ATOMIC_RELAXED);
	__atomic_fetch_add(&x->faults_n, 1, __ATOMIC_RELAXED);
}

static uint64_t roll(struct hammer_cpu *cpu, uint64_t n)
{
	cpu->seed ^= cpu->seed << 13;
	cpu->seed ^= cpu->seed >> 7;
	cpu->seed ^= cpu->seed << 17;
	return (cpu->seed >> 16) % n;
}

/// A block is this CPU's now.
static void take(struct hammer_cpu *cpu, struct kmm_pfn pfn, unsigned order, unsigned tag)
{
	struct hammer *x = cpu->x;
	uint64_t head = pfn.n - BASE, size = 1ull << order;

	if (pfn.n < BASE || head + size > FRAMES_N || !bits_aligned(pfn.n, size)) {
		fault(x, "a block outside or not aligned");
		return;
	}
	for (uint64_t i = head; i < head + size; i++) {
		struct kmm_pfn at = { BASE + i };

		if (__atomic_exchange_n(&x->owner[i], (uint32_t)head + 1u, __ATOMIC_RELAXED) != 0)
			fault(x, "a frame handed out twice");
		if (frame_tag(&x->h.k, at) != tag)
			fault(x, "a claimed frame's tag");
		x->contents[i] = (uint32_t)head + 1u;
	}
	frame_tag_set(&x->h.k, pfn, FRAME_USED + order);
	cpu->held[cpu->held_n++] = pfn.n << 8 | order;
}

/// A held block is nobody's, until it is released.
static struct kmm_pfn leave(struct hammer_cpu *cpu, uint64_t held)
{
	struct hammer *x = cpu->x;
	struct kmm_pfn pfn = { held >> 8 };
	unsigned order = held & 0xffu;
	uint64_t head = pfn.n - BASE;

	if (frame_tag(&x->h.k, pfn) != FRAME_USED + order)
		fault(x, "an owned frame's tag");
	frame_tag_set(&x->h.k, pfn, FRAME_NONE);
	for (uint64_t i = head; i < head + (1ull << order); i++) {
		if (x->contents[i] != head + 1u)
			fault(x, "contents of an owned frame");
		if (__atomic_exchange_n(&x->owner[i], 0, __ATOMIC_RELAXED) != head + 1u)
			fault(x, "a frame of another block");
	}
	return pfn;
}

static void claim_some(struct hammer_cpu *cpu)
{
	const struct policy_case *c = cpu->x->c;
	unsigned order = roll(cpu, cpu->x->kind.large_in) == 0 ?
				 3u + (unsigned)roll(cpu, 7) :
				 bits_lowest(roll(cpu, 1u << 16) | 1u << 7);
	unsigned n = 1u + (unsigned)roll(cpu, order == 0 ? CLAIM_MAX : 4u), got;
	struct kmm_pfn out[CLAIM_MAX];

	if (n > cpu->x->kind.held_max - cpu->held_n)
		n = cpu->x->kind.held_max - cpu->held_n;
	if (n == 0)
		return;
	got = c->policy->claim(&cpu->x->h.k, cpu->x->state, order,
			       (enum frame_group)roll(cpu, FRAME_GROUPS_N), n, out);
	for (unsigned i = 0; i < got; i++)
		take(cpu, out[i], order, FRAME_NONE);
}

/// Blocks of one order, in a batch; or one in parts.
static void release_some(struct hammer_cpu *cpu)
{
	struct hammer *x = cpu->x;
	unsigned order = cpu->held[cpu->held_n - 1u] & 0xffu, n = 0, most;
	struct kmm_pfn in[CLAIM_MAX];

	most = 1u + (unsigned)roll(cpu, CLAIM_MAX);
	if (order != 0 && order <= 6 && roll(cpu, 3) == 0) {
		in[0] = leave(cpu, cpu->held[--cpu->held_n]);
		for (n = 1; n < 1u << order; n++)
			in[n].n = in[0].n + n;
		order = 0;
	}
	while (n < most && cpu->held_n != 0 && (cpu->held[cpu->held_n - 1u] & 0xffu) == order)
		in[n++] = leave(cpu, cpu->held[--cpu->held_n]);
	x->c->policy->release(&x->h.k, x->state, order, n, in);
}

/// Puts a block into the mailbox and takes what is there.
static void exchange_mail(struct hammer_cpu *cpu)
{
	uint64_t *slot = &cpu->x->mail[roll(cpu, MAIL_N)];
	uint64_t had = __atomic_exchange_n(slot, cpu->held[cpu->held_n - 1u], __ATOMIC_ACQ_REL);

	cpu->held_n--;
	if (had != 0)
		cpu->held[cpu->held_n++] = had;
}

/// Of one CPU alone, so that what is tagged FRAME_ISOLATED is its own.
static void isolate_some(struct hammer_cpu *cpu)
{
	struct hammer *x = cpu->x;
	uint64_t room = x->kind.held_max - cpu->held_n, n, taken;
	struct kmm_pfn pfn;

	if (room == 0)
		return;
	n = 1u + roll(cpu, room < 100u ? room : 100u);
	pfn.n = BASE + roll(cpu, x->frames_n - n);
	taken = x->c->policy->claim_range(&x->h.k, x->state, pfn, n);
	for (; n != 0; n--, pfn.n++) {
		if (frame_tag(&x->h.k, pfn) != FRAME_ISOLATED)
			continue;
		take(cpu, pfn, 0, FRAME_ISOLATED);
		taken--;
	}
	if (taken != 0)
		fault(x, "more taken by range than isolated, or less");
}

static void look_at_runs(struct hammer_cpu *cpu)
{
	struct hammer *x = cpu->x;
	uint64_t from = BASE + roll(cpu, FRAMES_N), to = from + roll(cpu, BASE + FRAMES_N - from);
	struct frame_run run;

	while (x->c->policy->next_run(&x->h.k, x->state, from, to, &run)) {
		if (run.pfn < from || run.n == 0 || run.pfn + run.n > to) {
			fault(x, "a run outside what was asked");
			return;
		}
		from = run.pfn + run.n;
	}
}

static void shuffle_last(struct hammer_cpu *cpu)
{
	unsigned i = (unsigned)roll(cpu, cpu->held_n);
	uint64_t last = cpu->held[cpu->held_n - 1u];

	cpu->held[cpu->held_n - 1u] = cpu->held[i];
	cpu->held[i] = last;
}

static void hammer_steps(struct hammer_cpu *cpu)
{
	pthread_barrier_wait(&cpu->x->start);
	for (unsigned i = 0; i < STEPS; i++) {
		unsigned what = (unsigned)roll(cpu, 100);

		if (cpu->held_n != 0 && roll(cpu, 2) == 0)
			shuffle_last(cpu);
		if (what < 5 && cpu->id == 0)
			isolate_some(cpu);
		else if (what < 47 || cpu->held_n == 0)
			claim_some(cpu);
		else if (what < 48)
			look_at_runs(cpu);
		else if (what < 56)
			exchange_mail(cpu);
		else
			release_some(cpu);
	}
}

static void *hammer_thread(void *ctx)
{
	struct hammer_cpu *cpu = ctx;

	threads_enter(&cpu->x->h.m, cpu->id);
	threads_self.irq_off = true;
	hammer_steps(cpu);
	threads_leave(&cpu->x->h.m, cpu->id);
	return NULL;
}

static void give_back_all(struct hammer_cpu *cpu)
{
	struct hammer *x = cpu->x;

	for (unsigned i = 0; i < MAIL_N; i++) {
		struct kmm_pfn pfn;

		if (x->mail[i] == 0)
			continue;
		pfn = leave(cpu, x->mail[i]);
		x->c->policy->release(&x->h.k, x->state, x->mail[i] & 0xffu, 1, &pfn);
		x->mail[i] = 0;
	}
	for (unsigned i = 0; i < CPUS_N; i++)
		while (cpu[i].held_n != 0)
			release_some(&cpu[i]);
}

static void expect_equal_n(const struct hammer *x, const char *what, uint64_t is, uint64_t should)
{
	if (is != should)
		fail_msg("%s: %ju %s, not %ju", x->c->policy->name, (uintmax_t)is, what,
			 (uintmax_t)should);
}

/// Nothing runs: `there` frames are free, and no invariant is broken.
static void expect_free(struct hammer *x, uint64_t there)
{
	uint64_t free_n = ~0ull;

	expect_equal_n(x, "by check", x->c->policy->check(&x->h.k, x->state, &free_n), KMM_OK);
	expect_equal_n(x, "frames free", free_n, there);
}

/// How many blocks there are to be had. They come back.
static unsigned claim_all(struct hammer *x, unsigned order, enum frame_group group,
			  struct kmm_pfn out[FRAMES_N])
{
	const struct frame_policy *p = x->c->policy;
	unsigned got = 0, more;

	do {
		more = p->claim(&x->h.k, x->state, order, group,
				FRAMES_N - got < 100u ? FRAMES_N - got : 100u, out + got);
		got += more;
	} while (more != 0 && got < FRAMES_N);
	p->release(&x->h.k, x->state, order, got, out);
	return got;
}

/// After all CPUs have stopped: nothing is lost, and all of it can be claimed.
static void hammer_judge(struct hammer *x, struct hammer_cpu *cpu, struct kmm_pfn out[FRAMES_N])
{
	uint64_t held_n = 0;

	for (unsigned i = 0; i < FRAMES_N; i++)
		held_n += x->owner[i] != 0;
	if (x->faults_n != 0)
		fail_msg("%s: %s, of %u", x->c->policy->name, x->fault, x->faults_n);
	expect_free(x, x->frames_n - held_n);
	for (unsigned group = 0; group < FRAME_GROUPS_N; group++)
		expect_equal_n(x, "frames beside those held",
			       claim_all(x, 0, (enum frame_group)group, out),
			       x->frames_n - held_n);
	give_back_all(cpu);
	expect_equal_n(x, "faults", x->faults_n, 0);
	expect_free(x, x->frames_n);
	for (unsigned group = 0; group < FRAME_GROUPS_N; group++)
		expect_equal_n(x, "whole 2 MiB blocks",
			       claim_all(x, 9, (enum frame_group)group, out), x->kind.whole_n);
	expect_free(x, x->frames_n);
}

static void hammer(struct hammer *x, const struct policy_case *c,
		   const struct hammer_kind *kind, struct kmm_pfn out[FRAMES_N])
{
	struct hammer_cpu *cpu = calloc(CPUS_N, sizeof(*cpu));
	void *meta;

	memset(x, 0, sizeof(*x));
	host_start(&x->h, BASE, FRAMES_N, CUT, CPUS_N);
	x->c = c;
	x->kind = *kind;
	x->frames_n = (kind->whole_n << 9) + 2u * EDGE;
	meta = zeroed_lines(c->policy->meta_bytes(FRAMES_N, CPUS_N));
	x->state = c->policy->init(&x->h.k, meta, BASE, FRAMES_N);
	c->policy->add_range(&x->h.k, x->state, (struct kmm_pfn){ BASE }, x->frames_n);
	pthread_barrier_init(&x->start, NULL, CPUS_N);
	for (unsigned i = 0; i < CPUS_N; i++) {
		cpu[i].x = x;
		cpu[i].id = i;
		cpu[i].seed = 0x9e3779b97f4a7c15ull * (i + 1u);
	}
	for (unsigned i = 1; i < CPUS_N; i++)
		assert_int_equal(pthread_create(&cpu[i].thread, NULL, hammer_thread, &cpu[i]), 0);
	hammer_steps(&cpu[0]);
	for (unsigned i = 1; i < CPUS_N; i++)
		pthread_join(cpu[i].thread, NULL);
	pthread_barrier_destroy(&x->start);
	hammer_judge(x, cpu, out);
	host_stop(&x->h);
	free(meta);
	free(cpu);
}

static void each_policy(const struct hammer_kind *kind)
{
	struct hammer *x = calloc(1, sizeof(*x));
	struct kmm_pfn *out = calloc(FRAMES_N, sizeof(*out));

	EACH_POLICY(c)
		hammer(x, c, kind, out);
	free(x);
	free(out);
}

/// CPUs take what others have just left, and often find too little.
static void policy_four_cpus_share_full_memory(void **state)
{
	(void)state;
	each_policy(&full);
}

/// Most is free, and CPUs that want large blocks meet those that want single frames.
static void policy_four_cpus_share_empty_memory(void **state)
{
	(void)state;
	each_policy(&empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policy_four_cpus_share_full_memory),
		cmocka_unit_test(policy_four_cpus_share_empty_memory),
	};

	return cmocka_run_group_tests_name("conformance_frame_policy_cpus", tests, NULL, NULL);
}
