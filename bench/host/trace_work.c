/// A trace is read whole, ids are renamed to slots, and what lives at its end gets a free
/// of its own: so a replay may begin again where it ended. Each thread plays its own copy.
#include "trace_work.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, TRACES_MAX = 16, EVENTS_MIN = 1000000, LINE_MAX_BYTES = 256 };

struct event {
	uint32_t slot;
	uint8_t order;
	bool frees;
};

struct live {
	uint64_t id;
	uint32_t slot;
	uint8_t order;
	bool used;
};

struct trace {
	struct frame_load load; /* first: a load's trace is where the load is */
	char name[64];
	struct event *event;
	uint64_t events_n, room;
	struct live *live; /* hash by id, open addressing; only while it is read */
	uint64_t live_n, live_room;
	uint32_t *slot_free, slots_n;
	uint64_t slots_free_n;
};

static _Noreturn void refuse(const char *path, unsigned line, const char *why)
{
	if (line)
		fprintf(stderr, "pagemill-bench: %s:%u: %s\n", path, line, why);
	else
		fprintf(stderr, "pagemill-bench: %s: %s\n", path, why);
	exit(EXIT_USAGE);
}

static void *grown(void *p, uint64_t n, size_t bytes)
{
	p = realloc(p, n * bytes);
	if (!p)
		work_failed("no memory for a trace");
	return p;
}

static void event_add(struct trace *t, uint32_t slot, uint8_t order, bool frees)
{
	if (t->events_n == t->room) {
		t->room = t->room * 2u + 1024u;
		t->event = grown(t->event, t->room, sizeof(*t->event));
	}
	t->event[t->events_n++] = (struct event){ slot, order, frees };
}

/// Where the id is, or would be.
static struct live *live_at(struct trace *t, uint64_t id)
{
	uint64_t i = id * 0x9e3779b97f4a7c15ull & (t->live_room - 1u);

	while (t->live[i].used && t->live[i].id != id)
		i = (i + 1u) & (t->live_room - 1u);
	return &t->live[i];
}

static void live_grow(struct trace *t)
{
	struct live *was = t->live;
	uint64_t room = t->live_room;

	t->live_room = room ? room * 2u : 1024u;
	t->live = calloc(t->live_room, sizeof(*t->live));
	if (!t->live)
		work_failed("no memory for a trace");
	for (uint64_t i = 0; i < room; i++)
		if (was[i].used)
			*live_at(t, was[i].id) = was[i];
	free(was);
	t->slot_free = grown(t->slot_free, t->live_room, sizeof(*t->slot_free));
}

/// Takes one out; those behind it close up (Knuth, algorithm R).
static void live_remove(struct trace *t, struct live *l)
{
	uint64_t mask = t->live_room - 1u, hole = (uint64_t)(l - t->live), i = hole;

	for (;;) {
		uint64_t home;

		i = (i + 1u) & mask;
		if (!t->live[i].used)
			break;
		home = t->live[i].id * 0x9e3779b97f4a7c15ull & mask;
		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		t->live[hole] = t->live[i];
		hole = i;
	}
	t->live[hole].used = false;
	t->live_n--;
}

static const char *take_alloc(struct trace *t, uint64_t id, uint64_t order)
{
	struct live *l;

	if (order > KMM_ORDER_MAX)
		return "no such order";
	if (2u * t->live_n >= t->live_room)
		live_grow(t);
	l = live_at(t, id);
	if (l->used)
		return "a block of this id lives already";
	*l = (struct live){ id, t->slots_free_n ? t->slot_free[--t->slots_free_n] : t->slots_n++,
			    (uint8_t)order, true };
	t->live_n++;
	event_add(t, l->slot, l->order, false);
	return NULL;
}

static const char *take_free(struct trace *t, uint64_t id)
{
	struct live *l = t->live_room ? live_at(t, id) : NULL;

	if (!l || !l->used)
		return "no block of this id lives";
	event_add(t, l->slot, l->order, true);
	t->slot_free[t->slots_free_n++] = l->slot;
	live_remove(t, l);
	return NULL;
}

/// A decimal number; *at moves behind it.
static bool number(const char **at, uint64_t *out)
{
	char *end;

	while (**at == ' ' || **at == '\t')
		(*at)++;
	if (!isdigit((unsigned char)**at))
		return false;
	errno = 0;
	*out = strtoull(*at, &end, 10);
	*at = end;
	return errno == 0;
}

/// Returns: NULL, or what is wrong with the line
static const char *take_line(struct trace *t, const char *line)
{
	const char *at = line + strspn(line, " \t");
	uint64_t id, order = 0;
	char sign = *at;

	if (sign == '#' || sign == '\0')
		return NULL;
	if (sign != '+' && sign != '-')
		return "a line is \"+ ID ORDER\", \"- ID\" or a comment after #";
	at++;
	if (!number(&at, &id))
		return "an id is a decimal number";
	if (sign == '+' && !number(&at, &order))
		return "behind + and an id comes the order, a decimal number";
	at += strspn(at, " \t");
	if (*at != '\0' && *at != '#')
		return "something stands behind what the line says";
	return sign == '+' ? take_alloc(t, id, order) : take_free(t, id);
}

static void close_open(struct trace *t)
{
	for (uint64_t i = 0; i < t->live_room; i++)
		if (t->live[i].used)
			event_add(t, t->live[i].slot, t->live[i].order, true);
	free(t->live);
	free(t->slot_free);
}

static void read_all(struct trace *t, const char *path)
{
	char line[LINE_MAX_BYTES];
	FILE *f = fopen(path, "r");
	const char *wrong = NULL;
	unsigned n = 0;

	if (!f)
		refuse(path, 0, strerror(errno));
	while (!wrong && fgets(line, sizeof(line), f)) {
		size_t end = strcspn(line, "\r\n");

		n++;
		if (line[end] == '\0' && end + 1u == sizeof(line))
			wrong = "the line is too long";
		line[end] = '\0';
		if (!wrong)
			wrong = take_line(t, line);
	}
	if (!wrong && ferror(f))
		refuse(path, 0, strerror(errno));
	fclose(f);
	if (wrong)
		refuse(path, n, wrong);
	if (t->events_n == 0)
		refuse(path, 0, "there is no event in it");
	close_open(t);
}

static uint64_t step_replay(struct frame_thread *t, uint64_t n)
{
	const struct trace *trace = (const struct trace *)t->run->load;
	uint64_t at = t->cursor, i = 0;

	for (; i < n && !t->failed; i++) {
		const struct event *e = &trace->event[at];

		if (e->frees) {
			struct kmm_pfn f = { t->held[e->slot] };

			if (kmm_frame_free(t->k, f, e->order) != KMM_OK)
				t->failed = "put of a trace's block";
			t->frames_held -= 1ull << e->order;
		} else {
			struct kmm_pfn f = { 0 };

			if (kmm_frame_alloc(t->k, e->order, 0, &f) != KMM_OK)
				t->failed = "get of a trace's block";
			t->held[e->slot] = (uint32_t)f.n;
			t->frames_held += 1ull << e->order;
		}
		at = at + 1u == trace->events_n ? 0 : at + 1u;
	}
	t->cursor = at;
	return i;
}

static void slice_replay(struct frame_run *r, double *value)
{
	value[0] = frame_phase(r, step_replay, r->slice_n);
}

const struct frame_load *trace_load(const char *path)
{
	struct trace *t = calloc(1, sizeof(*t));
	const char *name = strrchr(path, '/');

	if (!t)
		work_failed("no memory for a trace");
	read_all(t, path);
	if (t->slots_n > FRAMES_4GIB)
		refuse(path, 0, "more blocks live at once than 4 GiB has frames");
	name = name ? name + 1 : path;
	snprintf(t->name, sizeof(t->name), "trace.%.*s", (int)strcspn(name, "."), name);
	t->load = (struct frame_load){ .name = t->name, .slices_n = 10, .count_n = t->events_n,
				       .threads_min = 1, .part = { "" }, .unit = "ns",
				       .slice = slice_replay };
	/* Whole replays, as many as make a slice long enough for the clock. */
	t->load.n = t->events_n * (EVENTS_MIN / t->events_n + 1u);
	return &t->load;
}

const struct frame_load *trace_corpus(unsigned i)
{
	static const struct frame_load *load[TRACES_MAX];
	static unsigned n;
	static bool read;
	glob_t found;

	if (!read && glob("corpus/alloc/*.txt", 0, NULL, &found) == 0) {
		for (size_t j = 0; j < found.gl_pathc && n < TRACES_MAX; j++)
			load[n++] = trace_load(found.gl_pathv[j]);
		globfree(&found);
	}
	read = true;
	return i < n ? load[i] : NULL;
}

int trace_record(const struct frame_options *o, uint64_t n, const char *path)
{
	struct frame_options recorded = *o;
	double value[FRAME_PARTS_MAX];
	const char *error;
	struct frame_run *r;
	FILE *f = fopen(path, "w");

	if (!f)
		refuse(path, 0, strerror(errno));
	fprintf(f, "# What frame.%s asks for on %llu frames, in one slice of %llu operations\n"
		   "# behind its filling; seed %llu. \"+ ID ORDER\" allocates, \"- ID\" frees.\n",
		o->load->name, (unsigned long long)o->frames_n, (unsigned long long)n,
		(unsigned long long)o->seed);
	recorded.back = &frame_recorded;
	recorded.record = f;
	recorded.threads_n = 1;
	recorded.limit_ns = 0;
	r = frame_run_start(&recorded, &error);
	if (r) {
		r->slice_n = n;
		o->load->slice(r, value);
		error = frame_run_stop(r);
	}
	if ((ferror(f) | fclose(f)) != 0 && !error)
		error = "the trace can't be written";
	if (!error)
		return 0;
	remove(path);
	fprintf(stderr, "pagemill-bench: recording frame.%s: %s\n", o->load->name, error);
	return 1;
}
