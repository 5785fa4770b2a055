/// Weak memory, operationally.
///
/// What it is. Stores take effect in memory when they are executed: each address's
/// modification order is the order of execution. What is weak are loads: a load may read
/// an older store as long as nothing that C11 calls an order forbids it. That is the
/// view-based reading of C11 without its out-of-thin-air values; with sequentially
/// consistent fences it is that of RC11.
///
/// Structures. Each CPU has a clock of ticks, `seen`: its own component grows with each
/// of its stores, and with each read of a store that it hadn't known. A store keeps, for
/// each CPU, the tick at which that CPU came to know it: the writer by writing, others by
/// reading. CPU d *knows* store s if, for some CPU c, d has seen the tick at which c came
/// to know s. Whoever synchronises hands `seen` on, so knowledge spreads along
/// happens-before; and "the newest store known to d" is all that coherence needs.
/// `hb` is the clock of happens-before by which plain accesses are judged. It counts
/// releases: accesses before one have a smaller epoch than those after it. The two go
/// together from CPU to CPU, as a memory_view; but sequentially consistent fences, and
/// memory_settle, add to `seen` alone, as they order no plain access.
///
/// I1  A load reads the newest store that its CPU knows, or a later one. As a CPU knows
///     what it wrote, what it read, and what those knew that it synchronised with, these
///     are C11's coherence rules (5.1.2.4p15-18: CoWW by execution, CoRR, CoRW, CoWR).
/// I2  Memory holds the newest store. If it holds another value, someone wrote around
///     this file (a plain initialisation): that becomes the newest, with no older ones.
///     Without a data race the rewritten store happened before that write, hence before
///     whoever may read it: so nothing is lost, and if the value is the same by chance, and
///     the write stays unnoticed, nothing is won.
/// I3  A store carries what a load that acquires it receives: its CPU's view if it
///     releases, else the view at its last fence (C11 7.17.4p2-4). A read-modify-write
///     carries on what the store before it carried, and so does a plain store by a CPU
///     with a release in that sequence (5.1.2.4p10; C++20 has dropped the latter); if
///     relaxed, it carries on what others released there as well, which is stronger.
/// I4  A relaxed load keeps what its store carried in `acquired`; a fence takes it in.
/// I5  A sequentially consistent fence takes in `sc` and leaves its CPU's `seen` there.
///     So, of two such fences, what was known before the first is known after the
///     second: store buffering and IRIW with fences between show no weak outcome.
/// I6  No CPU has an epoch or tick of another that this one hasn't reached.
/// I7  Epochs of hb grow through all runs, save for a new life every 2^31 (`lives`).
///     Ticks begin anew in each run, as no history outlives it.
///
/// Stronger than C11, where that is simpler or what machines do anyway:
/// - Modification order and the order of fences are that of execution, and loads are
///   executed in program order: no load buffering (r = x; y = 1 both ways), no 2+2W
///   (x = 1; y = 2 against y = 1; x = 2 ends with 1, 1) and their like.
/// - Fences are as in RC11 and C++20, stronger than C11's (7.17.3p9-11) in IRIW; and what
///   a fence took from `sc` is handed on by later releases.
/// - A sequentially consistent access is a fence before and after it. C11 orders such
///   accesses among themselves only; x86's locked instructions, and the ports' barriers,
///   do what is said here.
/// - A compare-exchange that fails reads the newest store, and acquires it.
/// - An interrupt orders its sender's past before its receiver's future (as the ports
///   see to).
/// - Ranges that overlap histories of other bounds, which C11 doesn't know: what these
///   carried is acquired, or carried on, and nothing older is read there.
/// - Of PLACE_STORES stores the older ones are out of reach; where there is no room for a
///   history, only the newest is read, and it carries what all such stores carried.
///
/// A page-table walker reads like a relaxed load of its CPU, but leaves no trace: the next
/// walk may read an older store again, as walks on behalf of different accesses needn't be
/// in order. It can't miss what its CPU knows. That is what x86 promises (stores reach
/// other CPUs late, though in order); that a walker may miss its own CPU's stores before
/// a barrier, as on Arm, is the machine's to add.
///
/// Sources: Lahav, Vafeiadis, Kang, Hur, Dreyer: Repairing Sequential Consistency in
/// C/C++11, PLDI 2017 (RC11). Kang, Hur, Lahav, Vafeiadis, Dreyer: A Promising Semantics
/// for Relaxed-Memory Concurrency, POPL 2017 (views; here without promises).
#include "sched/memory.h"

#include <string.h>

#include "sched/word.h"

#define LIFE_EPOCHS (1u << 31)
#define HEADS_ALL UINT8_MAX /* whatever is stored next carries on */

/* ---- views ---- */

static bool acquires(int order)
{
	return order != __ATOMIC_RELAXED && order != __ATOMIC_RELEASE;
}

static bool releases(int order)
{
	return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static void view_join(struct memory_view *to, const struct memory_view *from)
{
	clock_join(&to->hb, &from->hb);
	clock_join(&to->seen, &from->seen);
}

static struct memory_view view_of(const struct memory_cpu *c)
{
	return (struct memory_view){ c->hb, c->seen };
}

static void take_in(struct memory_cpu *c, const struct memory_view *v)
{
	clock_join(&c->hb, &v->hb);
	clock_join(&c->seen, &v->seen);
}

/// What follows is no longer part of what this CPU has released.
static void next_epoch(struct memory *m, unsigned cpu)
{
	m->cpu[cpu].hb.of[cpu]++;
}

static bool knows(const struct memory_cpu *c, const struct memory_store *s)
{
	unsigned any = 0;

	for (unsigned i = 0; i < SCHED_CPUS_MAX; i++)
		any |= s->since.of[i] <= c->seen.of[i];
	return any;
}

/// The CPU has read the store: I1 from now on, I3, I4.
static void have_read(struct memory *m, unsigned cpu, struct memory_store *s, int order)
{
	struct memory_cpu *c = &m->cpu[cpu];

	if (acquires(order))
		take_in(c, &s->carries);
	else
		view_join(&c->acquired, &s->carries);
	if (!knows(c, s))
		s->since.of[cpu] = ++c->seen.of[cpu];
}

/* ---- histories ---- */

/// The history of exactly these bytes, brought up to date (I2). NULL: none; *mixed is
/// then whether one of other bounds overlaps them.
static struct memory_place *find(struct memory *m, const volatile void *at, unsigned bytes,
				 uint64_t content, bool *mixed)
{
	struct memory_places *t = &m->places;
	struct memory_place *p;
	struct place_slot *s;
	uint32_t i;

	*mixed = false;
	if (!t->n)
		return NULL;
	i = place_slot_first(t, (uintptr_t)at);
	s = place_next(t, (uintptr_t)at, bytes, &i);
	if (!s)
		return NULL;
	if (s->at != (uintptr_t)at || s->bytes != bytes) {
		*mixed = true;
		return NULL;
	}
	p = &t->place[s->place];
	if (place_store(p, 0)->value != content) {
		place_store(p, 0)->value = content;
		p->n = 1;
	}
	return p;
}

/// The CPU reads the newest of all histories that overlap the bytes.
static void read_mixed(struct memory *m, unsigned cpu, const volatile void *at, unsigned bytes,
		       int order)
{
	uint32_t i = place_slot_first(&m->places, (uintptr_t)at);
	struct place_slot *s;

	while ((s = place_next(&m->places, (uintptr_t)at, bytes, &i)))
		have_read(m, cpu, place_store(&m->places.place[s->place], 0), order);
}

static void read_placeless(struct memory *m, unsigned cpu, int order)
{
	if (acquires(order))
		take_in(&m->cpu[cpu], &m->lost_view);
	else
		view_join(&m->cpu[cpu].acquired, &m->lost_view);
}

/// A history for bytes that have none. What overlapped histories carried is carried on
/// by whatever is stored next. NULL: no room.
static struct memory_place *begin_history(struct memory *m, const volatile void *at,
					  unsigned bytes, uint64_t content, bool mixed)
{
	struct memory_view carried = { 0 };
	struct memory_place *p;
	struct place_slot *s;

	if (mixed) {
		uint32_t i = place_slot_first(&m->places, (uintptr_t)at);

		while ((s = place_next(&m->places, (uintptr_t)at, bytes, &i)))
			view_join(&carried, &place_store(&m->places.place[s->place], 0)->carries);
		places_drop(&m->places, (uintptr_t)at, bytes);
	}
	p = place_make(&m->places, (uintptr_t)at, bytes, content);
	if (p && (mixed || m->lost)) {
		view_join(&carried, &m->lost_view);
		p->store[0].carries = carried;
		p->store[0].heads = HEADS_ALL;
	}
	if (!p) {
		view_join(&m->lost_view, &carried);
		m->lost = true;
	}
	return p;
}

/// How many stores the CPU may read, counted from the newest (I1).
static unsigned readable(const struct memory *m, unsigned cpu, struct memory_place *p)
{
	unsigned n = 1;

	while (n < p->n && !knows(&m->cpu[cpu], place_store(p, n - 1u)))
		n++;
	return n;
}

/// How much older than the newest the store is that the CPU reads now. (Where memory isn't
/// weak, histories have one store.)
static unsigned choose(const struct memory *m, unsigned cpu, struct memory_place *p)
{
	static const uint16_t option[PLACE_STORES] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	unsigned n;

	if (!sched_on || p->n == 1)
		return 0;
	n = readable(m, cpu, p);
	return n > 1 ? sched_choose(sched_on, SCHED_STALE, option, n) : 0;
}

/// Writes, and remembers (I3). `p`: the bytes' history, or NULL; `update`: the store is
/// that of a read-modify-write.
static void put(struct memory *m, unsigned cpu, struct memory_place *p, volatile void *at,
		unsigned bytes, uint64_t value, int order, bool update)
{
	struct memory_cpu *c = &m->cpu[cpu];
	uint8_t self = (uint8_t)(1u << cpu);
	const struct memory_store *before;
	struct memory_view carries;
	struct memory_store *s;
	uint32_t tick = ++c->seen.of[cpu];

	word_poke(at, bytes, value);
	if (releases(order)) {
		carries = view_of(c);
		next_epoch(m, cpu);
	} else {
		carries = c->fenced;
	}
	if (!p) {
		view_join(&m->lost_view, &carries);
		return;
	}
	before = place_store(p, 0);
	p->newest = (p->newest + 1u) % PLACE_STORES;
	p->n = !m->weak ? 1 : p->n < PLACE_STORES ? p->n + 1u : PLACE_STORES;
	s = place_store(p, 0);
	s->value = word_truncated(value, bytes);
	memset(&s->since, 0xff, sizeof(s->since));
	s->since.of[cpu] = tick;
	s->carries = carries;
	s->heads = releases(order) ? self : 0;
	if (update || before->heads == HEADS_ALL ||
	    (before->heads & self && !releases(order) /* else its own carried less */)) {
		view_join(&s->carries, &before->carries);
		s->heads |= update ? before->heads : self;
	}
}

/* ---- a run ---- */

/// All so far happens before all that comes; no history is left (I7).
static void order_all(struct memory *m)
{
	struct clock past;

	for (unsigned i = 0; i < SCHED_CPUS_MAX; i++)
		past.of[i] = m->cpu[i].hb.of[i];
	for (unsigned i = 0; i < SCHED_CPUS_MAX; i++)
		if (past.of[i] >= LIFE_EPOCHS) {
			memset(&past, 0, sizeof(past));
			m->lives++;
		}
	memset(m->cpu, 0, sizeof(m->cpu));
	for (unsigned i = 0; i < SCHED_CPUS_MAX; i++) {
		m->cpu[i].hb = past;
		m->cpu[i].hb.of[i]++;
	}
	memset(&m->sc, 0, sizeof(m->sc));
	m->lost = false;
	memset(&m->lost_view, 0, sizeof(m->lost_view));
	places_clear(&m->places);
}

void memory_begin(struct memory *m, unsigned cpus_n, bool weak)
{
	order_all(m);
	m->cpus_n = cpus_n;
	m->weak = weak;
}

void memory_end(struct memory *m)
{
	order_all(m);
}

void memory_free(struct memory *m)
{
	places_free(&m->places);
}

/* ---- accesses ---- */

uint64_t memory_load(struct memory *m, unsigned cpu, const volatile void *at, unsigned bytes,
		     int order)
{
	uint64_t value = word_peek(at, bytes);
	struct memory_place *p;
	bool mixed;

	if (order == __ATOMIC_SEQ_CST)
		memory_fence(m, cpu);
	p = find(m, at, bytes, value, &mixed);
	if (p) {
		struct memory_store *s = place_store(p, choose(m, cpu, p));

		value = s->value;
		have_read(m, cpu, s, order);
	} else {
		if (mixed)
			read_mixed(m, cpu, at, bytes, order);
		if (m->lost)
			read_placeless(m, cpu, order);
	}
	if (order == __ATOMIC_SEQ_CST)
		memory_fence(m, cpu);
	return value;
}

void memory_store(struct memory *m, unsigned cpu, volatile void *at, unsigned bytes,
		  uint64_t value, int order)
{
	uint64_t content = word_peek(at, bytes);
	struct memory_place *p;
	bool mixed;

	if (order == __ATOMIC_SEQ_CST)
		memory_fence(m, cpu);
	p = find(m, at, bytes, content, &mixed);
	if (!p)
		p = begin_history(m, at, bytes, content, mixed);
	put(m, cpu, p, at, bytes, value, order, false);
	if (order == __ATOMIC_SEQ_CST)
		memory_fence(m, cpu);
}

/// The history that a read-modify-write reads and goes on with; it has read it.
static struct memory_place *read_to_update(struct memory *m, unsigned cpu,
					   const volatile void *at, unsigned bytes,
					   uint64_t content, int order)
{
	struct memory_place *p;
	bool mixed;

	p = find(m, at, bytes, content, &mixed);
	if (!p)
		p = begin_history(m, at, bytes, content, mixed);
	if (p)
		have_read(m, cpu, place_store(p, 0), order);
	else
		read_placeless(m, cpu, order);
	return p;
}

static uint64_t updated(uint64_t before, enum memory_rmw what, uint64_t operand)
{
	switch (what) {
	case MEMORY_ADD:
		return before + operand;
	case MEMORY_SUB:
		return before - operand;
	case MEMORY_OR:
		return before | operand;
	case MEMORY_AND:
		return before & operand;
	default:
		return operand;
	}
}

uint64_t memory_update(struct memory *m, unsigned cpu, volatile void *at, unsigned bytes,
		       enum memory_rmw what, uint64_t operand, int order)
{
	uint64_t before = word_peek(at, bytes);
	struct memory_place *p;

	if (order == __ATOMIC_SEQ_CST)
		memory_fence(m, cpu);
	p = read_to_update(m, cpu, at, bytes, before, order);
	put(m, cpu, p, at, bytes, updated(before, what, operand), order, true);
	if (order == __ATOMIC_SEQ_CST)
		memory_fence(m, cpu);
	return before;
}

bool memory_cas(struct memory *m, unsigned cpu, volatile void *at, unsigned bytes,
		uint64_t *expected, uint64_t value)
{
	uint64_t before = word_peek(at, bytes);
	struct memory_place *p = read_to_update(m, cpu, at, bytes, before, __ATOMIC_ACQ_REL);

	if (before != word_truncated(*expected, bytes)) {
		*expected = before;
		return false;
	}
	put(m, cpu, p, at, bytes, value, __ATOMIC_ACQ_REL, true);
	return true;
}

void memory_fence(struct memory *m, unsigned cpu)
{
	struct memory_cpu *c = &m->cpu[cpu];

	take_in(c, &c->acquired);
	clock_join(&c->seen, &m->sc);
	m->sc = c->seen;
	c->fenced = view_of(c);
	next_epoch(m, cpu);
}

/* ---- beside the atomics ---- */

void memory_send(struct memory *m, unsigned cpu, unsigned to)
{
	struct memory_view v = view_of(&m->cpu[cpu]);

	view_join(&m->cpu[to].sent, &v);
	next_epoch(m, cpu);
}

void memory_receive(struct memory *m, unsigned cpu)
{
	take_in(&m->cpu[cpu], &m->cpu[cpu].sent);
}

uint64_t memory_walk(struct memory *m, unsigned cpu, const volatile uint64_t *entry, bool newest)
{
	uint64_t content = word_peek(entry, sizeof(*entry));
	struct memory_place *p;
	bool mixed;

	if (newest)
		return content;
	p = find(m, entry, sizeof(*entry), content, &mixed);
	return p ? place_store(p, choose(m, cpu, p))->value : content;
}

bool memory_may_miss(struct memory *m, unsigned cpu, const volatile uint64_t *entry)
{
	bool mixed;
	struct memory_place *p = find(m, entry, sizeof(*entry), word_peek(entry, sizeof(*entry)),
				      &mixed);

	return p && readable(m, cpu, p) > 1;
}

/// Some CPU may still read a store older than the newest.
static bool unsettled(const struct memory *m)
{
	const struct memory_places *t = &m->places;

	for (uint32_t i = 0; t->n && i >> t->slots_lg2 == 0; i++) {
		struct memory_place *p = &t->place[t->slot[i].place];

		if (t->slot[i].generation != t->generation || !t->slot[i].bytes)
			continue;
		for (unsigned cpu = 0; cpu < m->cpus_n; cpu++)
			if (readable(m, cpu, p) > 1)
				return true;
	}
	return false;
}

bool memory_settle(struct memory *m)
{
	bool changed = unsettled(m);

	for (unsigned i = 0; i < SCHED_CPUS_MAX; i++)
		for (unsigned j = 0; j < SCHED_CPUS_MAX; j++)
			m->cpu[i].seen.of[j] = m->cpu[j].seen.of[j];
	return changed;
}

void memory_forget(struct memory *m, const volatile void *at, uint64_t bytes)
{
	places_drop(&m->places, (uintptr_t)at, bytes);
}
