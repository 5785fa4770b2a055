/// Measuring one frame load: a slice that warms up, slices that are samples, and a run
/// in which each get is timed on its own. With two threads it is counted, too, how often a
/// thread had to wait for a lock: in all samples' slices together, since a median over them
/// would hide what is rare.
#include "frame_meter.h"

#include <string.h>
#include <sys/mman.h>

#include "frame/entry.h"

#define FRAME_FIELDS_BYTES ((double)sizeof(struct frame_entry) + sizeof(uint8_t)) /* and tag */

/// Larger memories don't fit beside each other.
#define TURNS_FRAMES (FRAMES_4GIB * 16u)
#define SHORT_NS 5000000u /* slices of less begin with one that is no sample */

enum { LATENCY_N = 1000000, BOOT_SAMPLES = 10, BOOT_SAMPLES_LARGE = 3, WAITS_PER = 1000 };

void frame_size_text(char *text, size_t bytes, uint64_t frames_n)
{
	static const char unit[] = "mgt";
	uint64_t n = frames_n >> (20u - KMM_PAGE_LG2);
	unsigned i = 0;

	for (; i < 2 && n >= 1024 && n % 1024u == 0; i++)
		n /= 1024u;
	snprintf(text, bytes, "%llu%c", (unsigned long long)n, unit[i]);
}

void frame_figure(char *name, size_t bytes, const struct frame_options *o, const char *load)
{
	char size[24] = "";

	if (o->frames_n != FRAMES_4GIB) {
		size[0] = '.';
		frame_size_text(size + 1, sizeof(size) - 1, o->frames_n);
	}
	snprintf(name, bytes, "frame.%s%s%s", load, size, o->threads_n > 1 ? ".t2" : "");
}

struct samples {
	double value[FRAME_PARTS_MAX][FRAME_SLICES_MAX];
	uint64_t waits_n, done_n; /* locks found taken, in so many operations */
	unsigned n;
	bool cut;
};

static const char *variant_name(const struct frame_options *o)
{
	return o->variant ? o->variant->name : o->back->name;
}

static void report_samples(const struct frame_options *o, const char *name, struct samples *s)
{
	double pair[FRAME_SLICES_MAX];
	char full[128];
	double waits;

	for (unsigned i = 0; i < s->n; i++)
		pair[i] = s->value[0][i] + s->value[1][i];
	for (unsigned p = 0; p < FRAME_PARTS_MAX && o->load->part[p]; p++) {
		snprintf(full, sizeof(full), "%s%s%s", name, o->load->part[p][0] ? "." : "",
			 o->load->part[p]);
		report(full, o->load->unit, variant_name(o), o->seed, s->value[p], s->n, s->cut);
	}
	if (o->load->part[1])
		report(name, o->load->unit, variant_name(o), o->seed, pair, s->n, s->cut);
	if (o->threads_n == 1 || s->done_n == 0)
		return;
	/* Where gets and puts are parts of their own, an operation is a pair, as in the figure. */
	waits = (double)s->waits_n * WAITS_PER / (double)s->done_n * (o->load->part[1] ? 2 : 1);
	snprintf(full, sizeof(full), "%s.waits", name);
	report(full, "count", variant_name(o), o->seed, &waits, 1, s->cut);
}

/// How often a lock of kmm's was found taken so far, whatever it guards.
static uint64_t waits_of(const struct frame_run *r)
{
	struct kmm_lock_stats s;
	uint64_t n = 0;

	for (unsigned i = 0; r->has_machine && i < kmm_lock_ranks_n(); i++)
		if (kmm_lock_stats(r->machine.kmm, i, ~(kmm_cpumask)0, &s) == KMM_OK)
			n += s.contended_n;
	return n;
}

static void latencies(const struct frame_options *o, const char *name, struct frame_run *r)
{
	static struct hist h;

	(void)frame_phase(r, r->back->churn_timed, LATENCY_N);
	memset(&h, 0, sizeof(h));
	for (unsigned i = 0; i < r->threads_n; i++)
		hist_merge(&h, &r->thread[i].hist);
	if (!frame_run_failed(r))
		report_hist(name, variant_name(o), o->seed, &h);
}

static void say_misses(const struct frame_run *r, const char *name)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < r->threads_n; i++)
		n += r->thread[i].misses_n;
	if (n)
		fprintf(stderr, "pagemill-bench: %s: %llu larger blocks weren't to be had\n", name,
			(unsigned long long)n);
}

/// A load that is being measured.
struct meter {
	const struct frame_options *o;
	char name[96];
	struct frame_run *r;  /* NULL: it didn't begin */
	const char *wrong;    /* why there is no figure */
	double value[FRAME_PARTS_MAX];
	bool is_short;        /* its slices: what another left in the caches would show */
	struct samples s;
};

static void meter_make(struct meter *m, const struct frame_options *o, const char *name)
{
	memset(m, 0, sizeof(*m));
	m->o = o;
	if (name)
		snprintf(m->name, sizeof(m->name), "%s", name);
	else
		frame_figure(m->name, sizeof(m->name), o, o->load->name);
}

static void meter_begin(struct meter *m, const struct frame_options *o)
{
	m->r = frame_run_start(o, &m->wrong);
}

/// Performs slice i of a run, the first `warm` of which are no samples.
static void meter_slice(struct meter *m, unsigned i, unsigned warm)
{
	struct frame_run *r = m->r;
	struct samples *s = &m->s;
	uint64_t waits_n, done_n;

	if (!r || frame_run_failed(r) || r->spent)
		return;
	waits_n = waits_of(r);
	done_n = r->done_n;
	if (i == warm)
		r->cut_n = 0;
	m->o->load->slice(r, m->value);
	if (i < warm && !r->spent)
		return;
	for (unsigned p = 0; p < FRAME_PARTS_MAX; p++)
		s->value[p][s->n] = m->value[p];
	s->waits_n += waits_of(r) - waits_n;
	s->done_n += r->done_n - done_n;
	s->n++;
}

static void meter_end(struct meter *m)
{
	const char *wrong;

	if (!m->r)
		return;
	m->s.cut = m->s.cut || m->r->cut_n != 0 || m->r->short_fill;
	if (m->o->load->latency && !frame_run_failed(m->r))
		latencies(m->o, m->name, m->r);
	say_misses(m->r, m->name);
	wrong = frame_run_stop(m->r);
	m->wrong = wrong ? wrong : m->wrong;
	m->r = NULL;
}

static void meter_report(struct meter *m)
{
	if (m->wrong == frame_too_slow || m->wrong == frame_too_small)
		report_failed(m->name, variant_name(m->o), m->wrong);
	else if (m->wrong)
		report_wrong(m->name, variant_name(m->o), m->wrong);
	else
		report_samples(m->o, m->name, &m->s);
}

/// A load that a run performs once: as many runs as there are to be samples.
static void measure_once_each(struct meter *m)
{
	struct frame_options each = *m->o;

	for (unsigned i = 0; i < m->o->load->slices_n && !m->wrong; i++) {
		each.seed = m->o->seed + 2u * i;
		meter_begin(m, &each);
		meter_slice(m, 0, 0);
		meter_end(m);
	}
}

/// Runs of one load side by side; each goes first in turn.
static void measure_in_turns(struct meter *m, unsigned n)
{
	unsigned slices_n = m->o->load->slices_n;

	for (unsigned v = 0; v < n; v++)
		meter_begin(&m[v], m[v].o);
	for (unsigned v = 0; v < n; v++) {
		uint64_t begin = measure_ns();

		meter_slice(&m[v], 0, 1);
		m[v].is_short = n > 1 && measure_ns() - begin < SHORT_NS;
	}
	for (unsigned i = 1; i <= slices_n; i++)
		for (unsigned v = 0; v < n; v++) {
			struct meter *now = &m[(v + i) % n];

			if (now->is_short)
				meter_slice(now, 0, 1);
			meter_slice(now, i, 1);
		}
	for (unsigned v = 0; v < n; v++)
		meter_end(&m[v]);
}

void frame_measure(const struct frame_options *o, const char *name)
{
	static struct meter m;

	meter_make(&m, o, name);
	if (o->load->once)
		measure_once_each(&m);
	else
		measure_in_turns(&m, 1);
	meter_report(&m);
}

void frame_measure_turns(const struct frame_options o[], unsigned n)
{
	static struct meter m[VARIANTS_MAX];
	bool turns = n > 1 && !o->load->once && o->threads_n == 1 && o->frames_n <= TURNS_FRAMES;

	for (unsigned v = 0; v < n && !turns; v++)
		frame_measure(&o[v], NULL);
	if (!turns)
		return;
	for (unsigned v = 0; v < n; v++)
		meter_make(&m[v], &o[v], NULL);
	measure_in_turns(m, n);
	for (unsigned v = 0; v < n; v++)
		meter_report(&m[v]);
}

/// kmm_init on its own, on metadata memory that is `warm` (touched before) or not.
/// Returns: ns, or a negative number
static double init_once(const struct frame_options *o, bool warm)
{
	static struct threads_machine m;
	struct kmm_config c = { .preset = &o->variant->row, .memmap = &m.memmap, .cpus_n = 1,
				.port = &m, .format = &kmm_pt_format_x86_64 };
	struct kmm_pa start = { FRAME_BASE }, end = { FRAME_BASE + (o->frames_n << KMM_PAGE_LG2) };
	uint64_t bytes, t;
	double ns = -1;
	void *meta;

	memset(&m, 0, sizeof(m));
	if (kmm_memmap_add(&m.memmap, start, end, KMM_MEM_USABLE, "arena") != KMM_OK)
		return -1;
	bytes = kmm_meta_bytes(&c);
	meta = bytes ? frame_reserve(bytes) : NULL;
	m.port = (struct threads_port){ frame_reserve(end.a - start.a), start.a, end.a - start.a };
	m.cpus_n = 1;
	if (meta && m.port.arena) {
		/* The few frames that init writes to shall cost a small page each, no huge one. */
		madvise(m.port.arena, end.a - start.a, MADV_NOHUGEPAGE);
		if (warm)
			memset(meta, 0, bytes);
		pthread_mutex_init(&m.cpu[0].turn, NULL);
		pthread_mutex_lock(&m.cpu[0].turn);
		threads_self.pending = &m.cpu[0].ipi;
		t = measure_thread_ns();
		if (kmm_init(&c, meta, &m.kmm) == KMM_OK)
			ns = (double)(measure_thread_ns() - t);
		threads_leave(&m, 0);
		pthread_mutex_destroy(&m.cpu[0].turn);
	}
	if (meta)
		munmap(meta, bytes);
	if (m.port.arena)
		munmap(m.port.arena, end.a - start.a);
	return ns;
}

static void measure_init(const struct frame_options *o, const char *what, bool warm)
{
	unsigned n = o->frames_n > FRAMES_4GIB * 16u ? BOOT_SAMPLES_LARGE : BOOT_SAMPLES;
	double value[BOOT_SAMPLES];
	char name[96];

	frame_figure(name, sizeof(name), o, what);
	for (unsigned i = 0; i < n; i++) {
		value[i] = init_once(o, warm);
		if (value[i] < 0) {
			report_wrong(name, o->variant->name, "kmm_init");
			return;
		}
	}
	report(name, "ns", o->variant->name, o->seed, value, n, false);
}

/// Of the frame unit: everything, and what isn't the table of per-frame fields.
static void measure_meta(const struct frame_options *o)
{
	static const struct frame_load nothing = { .name = "meta", .slices_n = 1 };
	struct frame_options empty = *o;
	struct kmm_frame_stats s;
	const char *error;
	struct frame_run *r;
	double all, own;
	char name[96];

	empty.load = &nothing;
	frame_figure(name, sizeof(name), o, "meta.all");
	r = frame_run_start(&empty, &error);
	if (!r) {
		report_wrong(name, o->variant->name, error);
		return;
	}
	kmm_frame_stats(r->machine.kmm, &s);
	all = (double)s.meta_bytes / (double)o->frames_n;
	own = all - FRAME_FIELDS_BYTES;
	report(name, "bytes", o->variant->name, o->seed, &all, 1, false);
	frame_figure(name, sizeof(name), o, "meta.policy");
	report(name, "bytes", o->variant->name, o->seed, &own, 1, false);
	(void)frame_run_stop(r);
}

void frame_measure_boot(const struct frame_options *o)
{
	measure_meta(o);
	measure_init(o, "init.cold", false);
	if (o->frames_n <= FRAMES_4GIB * 16u) /* beyond, only to touch it takes seconds */
		measure_init(o, "init", true);
}

/// A locked instruction on a line of its own, which stays in this processor's cache.
static void locked(uint64_t *at, bool cas)
{
	uint64_t was = __atomic_load_n(at, __ATOMIC_RELAXED);

	if (cas)
		(void)__atomic_compare_exchange_n(at, &was, was + 1u, false, __ATOMIC_ACQ_REL,
						  __ATOMIC_RELAXED);
	else
		(void)__atomic_fetch_add(at, 1u, __ATOMIC_ACQ_REL);
}

static void floor_of(const char *name, uint64_t seed, bool cas)
{
	enum { SAMPLES = 10, ROUNDS = 1000000 };
	static uint64_t line[16] __attribute__((aligned(128)));
	double value[SAMPLES];

	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t t = measure_thread_ns();

		for (unsigned j = 0; j < ROUNDS; j++)
			locked(line, cas);
		value[i] = (double)(measure_thread_ns() - t) / ROUNDS;
	}
	report(name, "ns", "host", seed, value, SAMPLES, false);
}

void frame_measure_floor(uint64_t seed)
{
	double timer = measure_timer_ns();

	report("timer.pair", "ns", "host", seed, &timer, 1, false);
	floor_of("floor.cas", seed, true);
	floor_of("floor.add", seed, false);
}
