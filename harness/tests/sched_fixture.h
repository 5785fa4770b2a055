/// A client of the scheduler for tests: CPUs that run lists of steps on shared words.
#ifndef SCHED_FIXTURE_H
#define SCHED_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/sched.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
enum what {
	END,
	LOAD,   /* a = word */
	ADD,    /* word = a + b, of the last load */
	STORE,  /* word = b */
	WAIT,   /* spins until word == b */
	WAIT2,  /* spins until word == b or the next word == b */
	POLL,   /* spins until an interrupt is pending, seen without an access */
	SKIP,   /* ends here if what was last loaded is b */
	SEND,   /* interrupts CPU a */
	OFF, ON,
	STALE, WALK, /* chooses among b */
	MANY,   /* b loads of the word */
	EVER,   /* stores and spins for ever */
	STOP,
	PLAIN, PUBLISH, CONSUME, /* watched by TSan: word += 1, release, acquire */
};

#if __has_feature(thread_sanitizer)
static unsigned reports_n;

void __tsan_on_report(void *report);
void __tsan_on_report(void *report)
{
	(void)report;
	reports_n++;
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "exitcode=0"; /* the cases count reports */
}
#endif

/// What TSan watches.
static void watched(enum what what, uint32_t *word)
{
	if (what == PLAIN)
		++*word;
	else if (what == PUBLISH)
		__atomic_store_n(word, 1u, __ATOMIC_RELEASE);
	else
		(void)__atomic_load_n(word, __ATOMIC_ACQUIRE);
}

#if __has_feature(thread_sanitizer)
/* TSan sees CPUs as unordered, but for atomics; here all is plain. */
#pragma clang attribute push(__attribute__((no_sanitize("thread"))), apply_to = function)
#endif

#define WORDS 8u
#define ORDER_MAX 64u

struct step {
	enum what what;
	uint32_t a, b;
};

/// The world of one run.
struct world {
	const struct step *code[SCHED_CPUS_MAX], *handler;
	uint32_t word[WORDS], loaded[SCHED_CPUS_MAX];
	bool off[SCHED_CPUS_MAX];
	unsigned taken_n[SCHED_CPUS_MAX];
	uint16_t taken_at[SCHED_CPUS_MAX]; /* the point */
	bool taken_off;       /* an interrupt came while they were off */
	unsigned order_n, access_n;
	uint8_t order[ORDER_MAX];   /* who ran each part between two points */
	uint8_t access[ORDER_MAX];  /* who made each access */
	uint64_t digest;
};
static struct world w;
static struct sched s;

static void note(uint8_t *list, unsigned *n, unsigned cpu)
{
	if (*n < ORDER_MAX)
		list[(*n)++] = (uint8_t)cpu;
}

static void point(const char *what, uint32_t word, uint32_t value, bool changed)
{
	note(w.order, &w.order_n, s.now);
	sched_point(&s, what, &w.word[word], value, changed, NULL);
	note(w.access, &w.access_n, s.now);
}

static uint32_t load(uint32_t word)
{
	point("load", word, 0, false);
	return w.word[word];
}

static void store(uint32_t word, uint32_t value)
{
	point("store", word, value, true);
	w.word[word] = value;
}

static void choose(enum sched_kind kind, uint32_t n)
{
	uint16_t option[SCHED_OPTIONS_MAX];

	for (uint16_t i = 0; i < n; i++)
		option[i] = i;
	w.loaded[s.now] = sched_choose(&s, kind, option, n);
	w.digest = w.digest * 31u + w.loaded[s.now];
}

static void wait_for(const struct step *at)
{
	while (load(at->a) != at->b && (at->what != WAIT2 || load(at->a + 1u) != at->b))
		sched_relax(&s, NULL);
}

static void perform(const struct step *at)
{
	unsigned me = s.now;

	for (; at->what != END; at++) {
		switch (at->what) {
		case LOAD: w.loaded[me] = load(at->a); break;
		case ADD: store(at->a, w.loaded[me] + at->b); break;
		case STORE: store(at->a, at->b); break;
		case WAIT:
		case WAIT2: wait_for(at); break;
		case POLL:
			while (!s.cpu[me].pending)
				sched_relax(&s, NULL);
			break;
		case SKIP:
			if (w.loaded[me] == at->b)
				return;
			break;
		case SEND: sched_interrupt(&s, at->a); break;
		case OFF: w.off[me] = true; break;
		case ON:
			w.off[me] = false;
			sched_interrupts_on(&s, NULL);
			break;
		case MANY:
			for (uint32_t i = 0; i < at->b; i++)
				load(at->a);
			break;
		case STALE: choose(SCHED_STALE, at->b); break;
		case WALK: choose(SCHED_WALK, at->b); break;
		case EVER:
			for (;;) {
				store(at->a, at->b);
				sched_relax(&s, NULL);
			}
		case STOP: sched_stop(&s);
		case PLAIN:
		case PUBLISH:
		case CONSUME: watched(at->what, &w.word[at->a]); break;
		default: abort();
		}
	}
}

static void run(void *ctx, unsigned cpu)
{
	(void)ctx;
	sched_op(&s, (uint16_t)(10u + cpu));
	perform(w.code[cpu]);
	note(w.order, &w.order_n, cpu);
}

static bool interruptible(void *ctx, unsigned cpu)
{
	(void)ctx;
	return !w.off[cpu];
}

static void interrupt(void *ctx, unsigned cpu)
{
	(void)ctx;
	w.taken_off |= w.off[cpu] || cpu != s.now;
	w.taken_n[cpu]++;
	w.taken_at[cpu] = s.cpu[cpu].point;
	if (w.handler) {
		uint32_t loaded = w.loaded[cpu];

		w.off[cpu] = true;
		perform(w.handler);
		w.off[cpu] = false;
		w.loaded[cpu] = loaded;
	}
}

static const struct sched_client client = {
	.run = run, .interruptible = interruptible, .interrupt = interrupt,
};

static void digest(void *ctx, const struct sched_event *e)
{
	const volatile uint32_t *at = e->at;
	uint64_t part[] = { e->step, e->key.cpu, e->key.op, e->key.point, (uint8_t)e->what[0],
			    at ? (uint64_t)(at - w.word) : 99, e->value };

	(void)ctx;
	for (unsigned i = 0; i < sizeof(part) / sizeof(*part); i++)
		w.digest = (w.digest ^ part[i]) * 0x100000001b3ull;
}

/// Runs one list of steps for each of the first CPUs of `code`.
static inline enum sched_end play(unsigned cpus_n, uint32_t busy, const struct step *const *code,
			   const struct step *handler, struct sched_strategy *strategy)
{
	w = (struct world){ .handler = handler };
	for (unsigned i = 0; i < cpus_n; i++)
		w.code[i] = busy >> i & 1u ? code[i] : NULL;
	s.on_event = digest;
	return sched_run(&s, cpus_n, busy, &client, strategy);
}

static inline enum sched_end play_default(unsigned cpus_n, uint32_t busy,
				   const struct step *const *code, const struct step *handler)
{
	static struct sched_rows r;

	sched_rows_init(&r, NULL, 0);
	return play(cpus_n, busy, code, handler, &r.strategy);
}

/// Runs all schedules. Returns: a bit for each way that a run ended (enum sched_end)
static inline unsigned ends_of_all(unsigned cpus_n, const struct step *const *code,
			    const struct step *handler)
{
	struct sched_all a;
	unsigned ends = 0;

	sched_all_init(&a, ~0u, ~0u);
	do
		ends |= 1u << play(cpus_n, (1u << cpus_n) - 1u, code, handler, &a.strategy);
	while (sched_all_next(&a));
	assert_false(a.truncated);
	sched_all_free(&a);
	return ends;
}

#define LIST(...) ((const struct step[]){ __VA_ARGS__, { END, 0, 0 } })
#define CODE(...) ((const struct step *const[]){ __VA_ARGS__ })

#endif
