/// The scheduler: fibers that give way at points.
///
/// Exactly one fiber runs. What it does between two points is atomic to the others;
/// what a point announces happens at once after it, so that no choice lies between a
/// point's end and its access.
///
/// Who can go on:
///   READY        always;
///   SPINS        once something has changed that it doesn't know of, or an interrupt
///                that it would take is pending;
///   IDLE, ENDED  for such an interrupt only: it is taken on the CPU's own fiber,
///                which then goes back to where it was.
///
///   I1  s->cpu[s->now] is the CPU whose fiber runs; it is READY, except while it
///       gives way.
///   I2  A CPU's `spins_at` equals `changes` only if no other CPU has announced a
///       change since the loop it is in began its turn: since sched_op, or the last
///       sched_relax returned. A CPU's own changes are no news to it; what its
///       interrupt handler did is. So nobody sleeps through a change, also where a turn
///       of the loop reads several words and the change came between the reads. Its
///       price is that a CPU may go once more round its loop than it needs to.
///   I3  For each CPU, operation, point and kind there is at most one choice: a second
///       one gets a new number. A handler goes on with the numbers of the point that it
///       interrupts, and that point with the handler's.
///   I4  Nothing here depends on an address or on time: the same choices give the same
///       run.
///
/// When nobody can go on, the client lets arrive what is under way (a store that some
/// CPU hasn't seen), and those who spin look once more. If there is nothing, the run is
/// over: all came to their end, or it is a deadlock.
///
/// Limits: a number beyond 16 bits for a point has no choices, everything there goes by
/// default. A loop that announces a change at each turn (a bare compare-and-swap) keeps
/// others that spin awake: with all of them at it, a deadlock is called a livelock.
#include "sched/sched.h"

#include <stdio.h>
#include <stdlib.h>

#include "sched/fiber.h"

#define POINT_LAST UINT16_MAX

_Thread_local struct sched *sched_on;

static struct sched_cpu *current(struct sched *s)
{
	return &s->cpu[s->now];
}

/* ---- choices ---- */

static void keep(struct sched *s, struct sched_key key, uint16_t value)
{
	if (s->choices_n == SCHED_CHOICES_MAX) {
		s->overflow = true;
		return;
	}
	s->choice[s->choices_n++] = (struct sched_choice){ key, value };
}

/// A number that no choice has had yet.
static void next_number(struct sched_cpu *c)
{
	if (c->point < POINT_LAST)
		c->point++;
	c->chosen = 0;
}

static uint16_t ask(struct sched *s, enum sched_kind kind, enum sched_why why,
		    const uint16_t *option, unsigned n)
{
	struct sched_cpu *c = current(s);
	struct sched_key key;
	unsigned i;

	if (n < 2)
		return option[0];
	if (c->chosen & 1u << kind)
		next_number(c);
	if (c->point == POINT_LAST)
		return option[0];
	c->chosen |= (uint8_t)(1u << kind);
	key = (struct sched_key){ (uint8_t)s->now, (uint8_t)kind, c->op, c->point };
	i = s->strategy->choose(s->strategy, s, &key, why, option, n);
	if (i == 0 || i >= n)
		return option[0];
	keep(s, key, option[i]);
	return option[i];
}

uint16_t sched_choose(struct sched *s, enum sched_kind kind, const uint16_t *option, unsigned n)
{
	return ask(s, kind, SCHED_AT_POINT, option, n);
}

/* ---- looking on ---- */

static void report(struct sched *s, const char *what, const volatile void *at, uint64_t value,
		   const void *pc)
{
	const struct sched_cpu *c = current(s);
	struct sched_event e = { s->steps, { (uint8_t)s->now, 0, c->op, c->point },
				 what, at, value, pc };

	s->on_event(s->event_ctx, &e);
}

static _Noreturn void finish(struct sched *s, enum sched_end end)
{
	s->end = end;
	s->stopping = true;
	fiber_switch(current(s)->fiber, s->home);
	__builtin_trap(); /* nobody goes on after the end */
}

static void count(struct sched *s, const char *what, const volatile void *at, uint64_t value,
		  const void *pc)
{
	if (s->steps >= SCHED_POINTS_MAX)
		finish(s, SCHED_LIVELOCK);
	s->steps++;
	next_number(current(s));
	if (s->on_event)
		report(s, what, at, value, pc);
}

/* ---- who goes on ---- */

static bool interrupted(const struct sched *s, unsigned cpu)
{
	return s->cpu[cpu].pending && s->client->interruptible(s->client->ctx, cpu);
}

static bool runnable(const struct sched *s, unsigned cpu)
{
	const struct sched_cpu *c = &s->cpu[cpu];

	if (c->state == SCHED_READY || (c->state == SCHED_SPINS && c->spins_at != s->changes))
		return true;
	return interrupted(s, cpu);
}

/// Appends the other CPUs that can go on, the next one first. Returns: how many now
static unsigned others(const struct sched *s, uint16_t *option, unsigned n)
{
	for (unsigned i = s->now + 1u; i < s->cpus_n; i++)
		if (runnable(s, i))
			option[n++] = (uint16_t)i;
	for (unsigned i = 0; i < s->now; i++)
		if (runnable(s, i))
			option[n++] = (uint16_t)i;
	return n;
}

/// CPU `to` goes on. Returns when the current one does again.
static void go(struct sched *s, unsigned to)
{
	struct sched_cpu *c = current(s);

	if (to == s->now)
		return;
	if (s->on_event)
		report(s, "switch", NULL, to, NULL);
	s->now = to;
	fiber_switch(c->fiber, s->cpu[to].fiber);
}

static bool anyone_spins(const struct sched *s)
{
	for (unsigned i = 0; i < s->cpus_n; i++)
		if (s->cpu[i].state == SCHED_SPINS)
			return true;
	return false;
}

/// The current CPU has nothing to do: others first, itself if it alone can go on.
static void give_way(struct sched *s, enum sched_why why)
{
	uint16_t option[SCHED_CPUS_MAX];
	unsigned n = others(s, option, 0);

	if (n == 0 && runnable(s, s->now))
		return;
	while (n == 0) {
		if (!anyone_spins(s))
			finish(s, SCHED_DONE);
		if (!s->client->settle || !s->client->settle(s->client->ctx))
			finish(s, SCHED_DEADLOCK);
		count(s, "settle", NULL, 0, NULL);
		s->changes++;
		n = others(s, option, 0);
		if (runnable(s, s->now))
			option[n++] = (uint16_t)s->now;
	}
	go(s, ask(s, SCHED_SWITCH, why, option, n));
}

/* ---- interrupts ---- */

/// Takes what is pending, on the current CPU.
static void take(struct sched *s)
{
	struct sched_cpu *c = current(s), was = *c;

	c->pending = false;
	c->state = SCHED_READY;
	if (s->on_event)
		report(s, "interrupt", NULL, 0, NULL);
	s->client->interrupt(s->client->ctx, s->now);
	s->changes++;
	c->last_what = was.last_what;
	c->last_at = was.last_at;
	c->last_pc = was.last_pc;
}

/// A pending interrupt may be taken here.
static void deliver(struct sched *s)
{
	static const uint16_t option[2] = { 0, 1 };

	if (interrupted(s, s->now) && ask(s, SCHED_DEFER, SCHED_AT_POINT, option, 2) == 0)
		take(s);
}

void sched_interrupt(struct sched *s, unsigned cpu)
{
	s->cpu[cpu].pending = true;
	s->changes++;
	current(s)->spins_at++;
}

void sched_interrupts_on(struct sched *s, const void *pc)
{
	count(s, "irq-on", NULL, 0, pc);
	if (current(s)->pending)
		deliver(s);
}

/* ---- a CPU's life ---- */

void sched_op(struct sched *s, uint16_t op)
{
	struct sched_cpu *c = current(s);

	c->op = op;
	c->point = 0;
	c->chosen = 0;
	c->spins_at = s->changes;
}

void sched_point(struct sched *s, const char *what, const volatile void *at, uint64_t value,
		 bool changed, const void *pc)
{
	struct sched_cpu *c = current(s);
	uint16_t option[SCHED_CPUS_MAX];
	unsigned n;

	c->last_what = what;
	c->last_at = at;
	c->last_pc = pc;
	count(s, what, at, value, pc);
	if (c->pending)
		deliver(s);
	option[0] = (uint16_t)s->now;
	n = others(s, option, 1);
	if (n > 1)
		go(s, ask(s, SCHED_SWITCH, SCHED_AT_POINT, option, n));
	if (changed) {
		s->changes++;
		c->spins_at++;
	}
}

void sched_relax(struct sched *s, const void *pc)
{
	struct sched_cpu *c = current(s);

	c->last_pc = pc;
	count(s, "relax", c->last_at, 0, pc);
	c->state = SCHED_SPINS;
	if (!interrupted(s, s->now))
		give_way(s, SCHED_AT_RELAX);
	c->state = SCHED_READY;
	if (interrupted(s, s->now))
		take(s);
	c->spins_at = s->changes;
}

/// A CPU's fiber, from its first instruction on. It is never left by returning.
static void cpu_main(void *ctx)
{
	struct sched *s = ctx;
	struct sched_cpu *c = current(s);
	enum sched_state after = c->state == SCHED_READY ? SCHED_ENDED : SCHED_IDLE;

	if (c->state == SCHED_READY)
		s->client->run(s->client->ctx, s->now);
	else
		take(s);
	for (;;) {
		c->state = after;
		next_number(c);
		give_way(s, SCHED_AT_END);
		take(s);
	}
}

/* ---- a run ---- */

static struct fiber *cpu_fiber(struct sched *s, unsigned cpu)
{
	struct fiber *f = fiber_make(cpu_main, s);

	if (!f) {
		fprintf(stderr, "sched: no memory for the stack of CPU %u\n", cpu);
		abort();
	}
	return f;
}

static void reset(struct sched *s, unsigned cpus_n, uint32_t busy,
		  const struct sched_client *client, struct sched_strategy *strategy)
{
	for (unsigned i = 0; i < cpus_n; i++)
		s->cpu[i] = (struct sched_cpu){
			.state = busy >> i & 1u ? SCHED_READY : SCHED_IDLE,
			.fiber = cpu_fiber(s, i),
		};
	s->cpus_n = cpus_n;
	s->steps = 0;
	s->changes = 0;
	s->client = client;
	s->strategy = strategy;
	s->home = fiber_here();
	s->end = SCHED_DONE;
	s->stopping = false;
	s->choices_n = 0;
	s->overflow = false;
}

enum sched_end sched_run(struct sched *s, unsigned cpus_n, uint32_t busy,
			 const struct sched_client *client, struct sched_strategy *strategy)
{
	struct sched *outer = sched_on;

	if (cpus_n == 0 || cpus_n > SCHED_CPUS_MAX || busy >> cpus_n) {
		fprintf(stderr, "sched_run: %u CPUs, busy %#x; there may be 1 to %u\n", cpus_n,
			(unsigned)busy, SCHED_CPUS_MAX);
		abort();
	}
	reset(s, cpus_n, busy, client, strategy);
	strategy->begin(strategy, cpus_n);
	if (busy != 0) {
		s->now = (unsigned)__builtin_ctz(busy);
		sched_on = s;
		fiber_switch(s->home, current(s)->fiber);
		sched_on = outer;
	}
	for (unsigned i = cpus_n; i-- > 0;) {
		fiber_free(s->cpu[i].fiber);
		s->cpu[i].fiber = NULL;
	}
	return s->end;
}

_Noreturn void sched_stop(struct sched *s)
{
	finish(s, SCHED_STOPPED);
}

/* ---- a report ---- */

static int describe_cpu(const struct sched_cpu *c, char *out, size_t bytes)
{
	static const char *const text[] = { "idle", "waits at", "spins at", "ended" };
	const char *pending = c->pending ? ", an interrupt pending" : "";

	if (c->state == SCHED_IDLE || c->state == SCHED_ENDED || !c->last_what)
		return snprintf(out, bytes, "%s%s",
				c->state == SCHED_READY ? "waits" :
				c->state == SCHED_SPINS ? "spins" :
							  text[c->state],
				pending);
	if (!c->last_at)
		return snprintf(out, bytes, "%s %s in op %u%s", text[c->state], c->last_what,
				c->op, pending);
	return snprintf(out, bytes, "%s %s of %p in op %u%s", text[c->state], c->last_what,
			(void *)(uintptr_t)c->last_at, c->op, pending);
}

void sched_describe(const struct sched *s, char *out, unsigned bytes)
{
	unsigned used = 0;

	if (bytes == 0)
		return;
	out[0] = 0;
	for (unsigned i = 0; i < s->cpus_n && used < bytes; i++) {
		int n = snprintf(out + used, bytes - used, "%sCPU %u ", i ? "; " : "", i);

		used += (unsigned)n;
		if (used < bytes)
			used += (unsigned)describe_cpu(&s->cpu[i], out + used, bytes - used);
	}
}
