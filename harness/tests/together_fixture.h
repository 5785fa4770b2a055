/// A body whose CPUs are real fibers, but whose operations are the model's, each done at
/// once between two points. The test says in fake_one what an operation is.
#ifndef TOGETHER_FIXTURE_H
#define TOGETHER_FIXTURE_H

#include "play_fixture.h"

#include <stdio.h>

#include "model/model.h"
#include "run/history.h"
#include "run/section.h"

struct body {
	struct body *inner; /* the model performs */
	const struct section *section;
	struct ops_names *names;
	struct history *history;
	uint32_t time;
	unsigned allocating; /* a bit a CPU: it is between the two points of a frame-alloc */
	unsigned torn_n;     /* drains in the midst of another CPU's frame-alloc */
};

/// The i-th operation of the section, on the fiber of its CPU.
static void fake_one(struct body *b, unsigned i);

static const char *fake_start(struct body **out, const struct body_options *o)
{
	struct body *b = calloc(1, sizeof(*b));
	const char *why = body_model.start(&b->inner, o);

	if (why)
		free(b);
	else
		*out = b;
	return why;
}

static void fake_cpu(void *ctx, unsigned cpu)
{
	struct body *b = ctx;

	for (unsigned i = 0; i < b->section->n; i++)
		if (b->section->op[i].cpu == cpu)
			fake_one(b, i);
}

static bool fake_interruptible(void *ctx, unsigned cpu)
{
	(void)ctx;
	(void)cpu;
	return false;
}

static void fake_interrupt(void *ctx, unsigned cpu)
{
	(void)ctx;
	(void)cpu;
}

static void fake_together(struct body *b, const struct section *s, struct ops_names *names,
			  struct sched *run, struct sched_strategy *strategy, struct history *h)
{
	struct sched_client client = { .ctx = b, .run = fake_cpu,
				       .interruptible = fake_interruptible,
				       .interrupt = fake_interrupt };

	b->section = s;
	b->names = names;
	b->history = h;
	b->time = 1;
	assert_int_equal(sched_run(run, s->cpus_n, s->busy, &client, strategy), SCHED_DONE);
}

static bool fake_injected(struct body *b)
{
	(void)b;
	return false;
}

static void fake_finish(struct body *b, struct finding *f)
{
	body_model.finish(b->inner, f);
	free(b);
}

#endif
