/// Threads that run loads: each is pinned to a processor of its own and is one of kmm's
/// CPUs. Phases begin and end at a barrier; thread 0 is the caller, so that the usual
/// run of one thread starts none. A thread that waits answers interrupts: the other may
/// be draining caches.
///
/// Each thread's phase is timed by itself, by the thread's own CPU time: it never sleeps
/// in a phase, and what others do with the processor meanwhile isn't its cost. The wall
/// clock is looked at between chunks of growing size: a phase that would take longer than
/// its limit ends early and says so.
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "frame_work.h"
#include "port/port.h"

enum { CHUNK_MIN = 256, CHUNK_MAX = 65536, SPINS_MAX = 4000, YIELDS_MAX = 400, ROOM_SPARE = 8192,
       WHOLE_TIMES = 4 /* filling may take so much longer than all slices */ };

const char frame_too_slow[] = "filling or emptying memory within the time allowed";
const char frame_too_small[] = "filling memory as far as asked";

void *frame_reserve(uint64_t bytes)
{
	void *p = mmap(NULL, bytes + (2u << 20), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t at = ((uintptr_t)p + (2u << 20) - 1u) & ~(uintptr_t)((2u << 20) - 1u);

	if (p == MAP_FAILED)
		return NULL;
	/* What lies before the boundary goes, so that munmap needs no more than `bytes`. */
	if (at != (uintptr_t)p)
		munmap(p, at - (uintptr_t)p);
	munmap((void *)(at + bytes), (uintptr_t)p + (2u << 20) - at);
	madvise((void *)at, bytes, MADV_HUGEPAGE);
	return (void *)at;
}

static cpu_set_t allowed; /* to this process before the first pinning */
static bool allowed_known;

/// The calling thread runs on the i-th processor that this process may use.
static bool pin(unsigned i)
{
	cpu_set_t one;

	if (!allowed_known && sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return false;
	allowed_known = true;
	for (int c = 0; c < CPU_SETSIZE; c++) {
		if (!CPU_ISSET(c, &allowed) || i-- != 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(c, &one);
		return pthread_setaffinity_np(pthread_self(), sizeof(one), &one) == 0;
	}
	return false;
}

static void unpin(void)
{
	if (allowed_known)
		(void)pthread_setaffinity_np(pthread_self(), sizeof(allowed), &allowed);
}

/// Several runs may exist, each with a machine of its own, and the caller is CPU 0 of all.
static void enter(struct frame_run *r)
{
	if (r->has_machine)
		threads_self = r->self;
}

static void meet(struct frame_run *r)
{
	static const struct timespec nap = { 0, 100000 };
	uint32_t phase = __atomic_load_n(&r->phase, __ATOMIC_ACQUIRE);
	unsigned spins = 0;

	if (r->threads_n == 1)
		return;
	if (__atomic_add_fetch(&r->waiting, 1, __ATOMIC_ACQ_REL) == r->threads_n) {
		__atomic_store_n(&r->waiting, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&r->phase, phase + 1u, __ATOMIC_RELEASE);
		return;
	}
	while (__atomic_load_n(&r->phase, __ATOMIC_ACQUIRE) == phase) {
		if (r->has_machine)
			kmm_port_irq_restore(r->machine.kmm, kmm_port_irq_save(r->machine.kmm));
		if (++spins > SPINS_MAX + YIELDS_MAX)
			nanosleep(&nap, NULL); /* another run may have its turn for long */
		else if (spins > SPINS_MAX)
			sched_yield();
	}
}

static void region_of_step(void *arg, uint64_t n)
{
	struct frame_thread *t = arg;

	t->done_n += t->step(t, n);
}

/// The step in growing chunks, until it is done, memory is full or time is up.
static void perform_chunks(struct frame_thread *t)
{
	uint64_t limit = t->run->limit_ns, begin = measure_ns(), done;
	uint64_t chunk = limit == UINT64_MAX ? UINT64_MAX : CHUNK_MIN;

	while (t->done_n < t->n && !t->failed && !t->full) {
		done = t->step(t, t->n - t->done_n < chunk ? t->n - t->done_n : chunk);
		t->done_n += done;
		if (done == 0)
			return;
		t->cut = measure_ns() - begin > limit && t->done_n < t->n;
		if (t->cut)
			return;
		chunk = chunk < CHUNK_MAX ? chunk * 2u : chunk;
	}
}

static void perform(struct frame_thread *t)
{
	uint64_t begin = measure_thread_ns();

	t->done_n = 0;
	t->cut = false;
	if (t->step && t->run->counted)
		bench_region(region_of_step, t, t->n);
	else if (t->step)
		perform_chunks(t);
	t->ns = measure_thread_ns() - begin;
}

static void *other_thread(void *arg)
{
	struct frame_thread *t = arg;
	struct frame_run *r = t->run;

	if (!pin(t->id))
		t->failed = "a processor of its own for each thread";
	if (r->has_machine)
		threads_enter(&r->machine, t->id);
	for (;;) {
		meet(r);
		if (r->ends)
			break;
		perform(t);
		meet(r);
	}
	if (r->has_machine)
		threads_leave(&r->machine, t->id);
	return NULL;
}

void frame_phase_apart(struct frame_run *r, frame_step *first, frame_step *second, uint64_t n)
{
	enter(r);
	for (unsigned i = 0; i < r->threads_n; i++) {
		r->thread[i].step = i == 0 ? first : second;
		r->thread[i].n = n;
	}
	meet(r);
	perform(&r->thread[0]);
	meet(r);
	for (unsigned i = 0; i < r->threads_n; i++) {
		r->cut_n += r->thread[i].cut;
		r->done_n += r->thread[i].done_n;
	}
}

double frame_phase(struct frame_run *r, frame_step *step, uint64_t n)
{
	double sum = 0;

	frame_phase_apart(r, step, step, n);
	for (unsigned i = 0; i < r->threads_n; i++)
		if (r->thread[i].done_n)
			sum += (double)r->thread[i].ns / (double)r->thread[i].done_n;
	return sum / r->threads_n;
}

double frame_phase_whole(struct frame_run *r, frame_step *step, uint64_t n)
{
	uint64_t limit = r->limit_ns;
	double value;

	r->limit_ns = r->whole_limit_ns;
	value = frame_phase(r, step, n);
	r->limit_ns = limit;
	for (unsigned i = 0; i < r->threads_n; i++)
		if (r->thread[i].cut && !r->thread[i].failed)
			r->thread[i].failed = frame_too_slow;
	return value;
}

const char *frame_run_failed(const struct frame_run *r)
{
	for (unsigned i = 0; i < r->threads_n; i++)
		if (r->thread[i].failed)
			return r->thread[i].failed;
	return NULL;
}

void frame_shuffle(struct frame_run *r, bool all)
{
	struct frame_thread *a = &r->thread[0], *b = &r->thread[r->threads_n - 1u];
	uint64_t a_from = all ? 0 : a->base_n, b_from = all ? 0 : b->base_n;
	uint64_t a_n = a->held_n - a_from, b_n = a == b ? 0 : b->held_n - b_from;

	for (uint64_t i = a_n + b_n; i > 1; i--) {
		uint64_t j = random_below(&r->seed, i);
		uint32_t *x = i - 1u < a_n ? a->held + a_from + i - 1u :
					     b->held + b_from + (i - 1u - a_n);
		uint32_t *y = j < a_n ? a->held + a_from + j : b->held + b_from + (j - a_n);
		uint32_t was = *x;

		*x = *y;
		*y = was;
	}
}

uint64_t frame_blocks_free(const struct frame_run *r)
{
	uint64_t base = FRAME_BASE >> KMM_PAGE_LG2, blocks_n = r->frames_n >> BLOCK_LG2, n = 0;
	uint8_t *used = calloc(blocks_n, 1);

	if (!used)
		work_failed("no memory for a map of blocks");
	for (unsigned i = 0; i < r->threads_n; i++) {
		const struct frame_thread *t = &r->thread[i];

		for (uint64_t j = 0; j < t->held_n; j++)
			used[(t->held[j] - base) >> BLOCK_LG2] = 1;
		for (uint64_t j = 0; j < t->block_n; j++)
			used[(t->block[j] - base) >> BLOCK_LG2] = 1;
	}
	for (uint64_t i = 0; i < blocks_n; i++)
		n += !used[i];
	free(used);
	return n;
}

/// Single frames that the driver may hold a thread.
static uint64_t hold_max(const struct frame_run *r)
{
	return (r->frames_n < HOLD_MAX ? r->frames_n : HOLD_MAX) / r->threads_n;
}

/// Single frames; a policy that is too slow for that has the rest held in 2 MiB blocks,
/// and its figure is marked.
static void fill_single(struct frame_run *r, uint64_t n)
{
	uint64_t limit = r->limit_ns, left;

	r->limit_ns = limit == UINT64_MAX ? limit : r->whole_limit_ns / WHOLE_TIMES;
	(void)frame_phase(r, r->back->gets, n);
	r->limit_ns = limit;
	for (unsigned i = 0; i < r->threads_n; i++)
		r->short_fill = r->short_fill || r->thread[i].cut;
	left = n - r->thread[0].held_n;
	if (r->short_fill && r->has_machine)
		(void)frame_phase_whole(r, r->back->blocks, left >> BLOCK_LG2);
}

static const char *fill(struct frame_run *r)
{
	unsigned order = r->load->order;
	uint64_t share = r->frames_n / r->threads_n * r->fill / 1000u;
	uint64_t single = order || share < hold_max(r) ? share : hold_max(r);

	if (single < r->load->held_min)
		single = r->load->held_min;
	if (share < single)
		share = single;
	if (r->has_machine) /* bare back ends have single frames only */
		(void)frame_phase_whole(r, r->back->blocks, (share - single) >> BLOCK_LG2);
	if (order == 0 && !r->load->once)
		fill_single(r, single);
	else
		(void)frame_phase_whole(r, r->back->gets, single >> order);
	if (r->fill == 1000) { /* whatever is left, wherever a thread may take it from */
		for (unsigned i = 0; i < r->threads_n; i++)
			r->thread[i].full = false; /* of whole blocks */
		(void)frame_phase_whole(r, r->back->gets, UINT64_MAX);
	}
	for (unsigned i = 0; i < r->threads_n; i++) {
		struct frame_thread *t = &r->thread[i];

		if (!t->failed && r->fill < 1000 && t->full)
			t->failed = frame_too_small;
		t->full = false;
		t->base_n = t->held_n;
	}
	return frame_run_failed(r);
}

/// Operations of a slice, from the load's row or from what memory has.
static uint64_t slice_n(const struct frame_run *r)
{
	uint64_t share = r->frames_n / r->threads_n, n = share / 2u;
	uint64_t spare = (share - share * r->fill / 1000u) / 2u;

	if (r->load->n)
		return r->load->n;
	if (r->fill != 0 && n > spare)
		n = spare;
	if (r->load->order == 0 && n > hold_max(r))
		n = hold_max(r);
	return n >> r->load->order;
}

static const char *prepare_thread(struct frame_run *r, unsigned i)
{
	struct frame_thread *t = &r->thread[i];
	uint64_t room = (r->frames_n < HOLD_MAX ? r->frames_n : HOLD_MAX) + ROOM_SPARE;

	t->run = r;
	t->id = i;
	t->order = r->load->order;
	t->k = r->machine.kmm;
	t->seed = (r->seed + i * 0x9e3779b97f4a7c15ull) | 1u;
	t->room = room;
	t->pfn = frame_reserve(room * sizeof(*t->pfn));
	t->block = frame_reserve((r->frames_n >> BLOCK_LG2) * sizeof(*t->block) + KMM_PAGE_BYTES);
	if (!t->pfn || !t->block)
		return "no memory for the frames held";
	t->held = (uint32_t *)t->pfn;
	if (r->has_machine)
		return NULL;
	t->stack = frame_reserve(room * sizeof(*t->stack));
	if (!t->stack)
		return "no memory for the stack";
	for (; t->stack_n < hold_max(r); t->stack_n++)
		t->stack[t->stack_n] = (uint32_t)((FRAME_BASE >> KMM_PAGE_LG2) +
						  (i + 1u) * hold_max(r) - 1u - t->stack_n);
	return NULL;
}

static const char *start_machine(struct frame_run *r)
{
	struct threads_options o = { .preset = &r->variant->row, .base = FRAME_BASE,
				     .bytes = r->frames_n << KMM_PAGE_LG2,
				     .cpus_n = r->threads_n };
	const char *error = threads_start(&r->machine, &o);

	r->has_machine = error == NULL;
	r->self = threads_self;
	r->machine.quiet = true;
	return error;
}

static const char *start(struct frame_run *r, const struct frame_options *o)
{
	const char *error = NULL;

	if (o->back == &frame_kmm || o->back == &frame_recorded)
		error = start_machine(r);
	else if (o->back == &frame_lines && !(r->line = frame_reserve(r->frames_n)))
		error = "no memory for the lines touched";
	if (!pin(0))
		error = "cannot pin a thread to a processor";
	for (unsigned i = 0; i < r->threads_n && !error; i++)
		error = prepare_thread(r, i);
	if (!error && r->threads_n > 1 &&
	    pthread_create(&r->other, NULL, other_thread, &r->thread[1]) != 0)
		error = "no thread for the other CPU";
	if (error) {
		r->threads_n = 1; /* nobody to be waited for */
		return error;
	}
	error = fill(r);
	if (!error && r->load->prepare)
		r->load->prepare(r);
	return error ? error : frame_run_failed(r);
}

/// Of one phase. What is measured once shall be whole, if it can.
static uint64_t slice_limit(const struct frame_options *o)
{
	if (o->limit_ns == 0)
		return UINT64_MAX;
	return o->load->once ? o->limit_ns : o->limit_ns / (o->load->slices_n * FRAME_PARTS_MAX);
}

struct frame_run *frame_run_start(const struct frame_options *o, const char **error)
{
	struct frame_run *r;

	if (posix_memalign((void **)&r, 128, sizeof(*r)) != 0)
		work_failed("no memory");
	memset(r, 0, sizeof(*r));
	r->load = o->load;
	r->variant = o->variant;
	r->back = o->back;
	r->threads_n = o->threads_n;
	r->frames_n = o->frames_n;
	r->fill = o->fill == FILL_OF_LOAD ? o->load->fill : o->fill;
	r->seed = o->seed | 1u;
	r->record = o->record;
	r->limit_ns = slice_limit(o);
	r->whole_limit_ns = o->limit_ns ? o->limit_ns * WHOLE_TIMES : UINT64_MAX;
	r->slice_n = slice_n(r);
	*error = start(r, o);
	if (!*error)
		return r;
	(void)frame_run_stop(r);
	return NULL;
}

/// Frames that the driver holds.
static uint64_t held_frames(const struct frame_run *r)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < r->threads_n; i++) {
		const struct frame_thread *t = &r->thread[i];

		n += t->frames_held ? t->frames_held : t->held_n << t->order;
		n += t->block_n << BLOCK_LG2;
	}
	return n;
}

const char *frame_run_stop(struct frame_run *r)
{
	const char *wrong = frame_run_failed(r);
	uint64_t held = held_frames(r), left = held;

	enter(r);
	if (r->threads_n > 1) {
		r->ends = true;
		meet(r);
		pthread_join(r->other, NULL);
	}
	if (r->has_machine)
		left = threads_stop(&r->machine);
	if (!wrong && left != held)
		wrong = "kmm and the driver disagree on how many frames are allocated";
	for (unsigned i = 0; i < FRAME_THREADS_MAX; i++) {
		struct frame_thread *t = &r->thread[i];

		if (t->pfn)
			munmap(t->pfn, t->room * sizeof(*t->pfn));
		if (t->block)
			munmap(t->block, (r->frames_n >> BLOCK_LG2) * sizeof(*t->block) +
						 KMM_PAGE_BYTES);
		if (t->stack)
			munmap(t->stack, t->room * sizeof(*t->stack));
	}
	if (r->line)
		munmap(r->line, r->frames_n);
	unpin();
	free(r);
	return wrong;
}
