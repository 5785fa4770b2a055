/// Call stacks of the virtual CPUs.
///
/// Theory. The compiler tells of each function of mm/ that is entered and left, so that a
/// CPU's stack is known without unwinding: an array of return addresses. An interrupt
/// nests, since it runs on its CPU's fiber. Functions of the harness aren't told of, and
/// are missing but for the outermost call's place.
///
/// Depot. An access is remembered with the number of its stack. Numbers are nodes of a
/// tree: a root for each operation, and a child for each return address. Each call under
/// way keeps its node once somebody asked, so that an access costs one look into a
/// hash table, for the last step. Nodes outlive a run, since the next one mostly calls the
/// same; when there are many, all go at the beginning of a run, when no word that
/// names them can be a race any more (race.c, I2).
///
/// Names come from addr2line, which is asked for a whole stack at once. Without it, or
/// without debug information, a frame is its offset in the executable, which addr2line
/// understands elsewhere.
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "sched/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEPOT_ROOM 4096u        /* nodes at first */
#define DEPOT_TIDY (1u << 16)   /* so many are dropped before a run */
#define DEPOT_MAX (1u << 20)

/* ---- depot ---- */

static uint32_t *slot_of(const struct calls *c, uint32_t parent, const void *pc)
{
	uint64_t h = ((uint64_t)(uintptr_t)pc + parent * 0x9e3779b97f4a7c15ull) *
		     0xd6e8feb86659fd93ull;
	uint32_t mask = c->room * 2u - 1u, i = (uint32_t)(h >> 32) & mask;

	while (c->slot[i] && (c->node[c->slot[i]].pc != pc || c->node[c->slot[i]].parent != parent))
		i = (i + 1u) & mask;
	return &c->slot[i];
}

static bool depot_grow(struct calls *c, uint32_t room)
{
	struct calls_node *node;
	uint32_t *slot;

	if (room > DEPOT_MAX)
		return false;
	node = realloc(c->node, room * sizeof(*node));
	if (!node)
		return false;
	c->node = node;
	slot = calloc(room * 2u, sizeof(*slot));
	if (!slot)
		return false;
	free(c->slot);
	c->slot = slot;
	c->room = room;
	for (uint32_t i = 1; i < c->n; i++)
		*slot_of(c, node[i].parent, node[i].pc) = i;
	return true;
}

static uint32_t node_of(struct calls *c, uint32_t parent, const void *pc)
{
	uint32_t *slot = slot_of(c, parent, pc);

	if (*slot)
		return *slot;
	if (c->n == c->room) {
		if (!depot_grow(c, c->room * 2u))
			return 0;
		slot = slot_of(c, parent, pc);
	}
	c->node[c->n] = (struct calls_node){ pc, parent };
	*slot = c->n;
	return c->n++;
}

struct calls *calls_make(void)
{
	struct calls *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->n = 1;
	if (!depot_grow(c, DEPOT_ROOM)) {
		calls_free(c);
		return NULL;
	}
	return c;
}

void calls_free(struct calls *c)
{
	if (!c)
		return;
	free(c->node);
	free(c->slot);
	free(c);
}

void calls_begin(struct calls *c)
{
	if (c->n > DEPOT_TIDY) {
		c->n = 1;
		memset(c->slot, 0, c->room * 2u * sizeof(*c->slot));
	}
	for (unsigned i = 0; i < SCHED_CPUS_MAX; i++) {
		c->cpu[i].n = 0;
		c->cpu[i].root = 0;
	}
}

/// The node of the innermost call under way.
static uint32_t here(struct calls *c, struct calls_cpu *s, uint16_t op)
{
	unsigned n = s->n < CALLS_DEPTH ? s->n : CALLS_DEPTH, known = n;
	uint32_t node;

	if (!s->root || s->op != op) {
		for (unsigned i = 0; i < n; i++)
			s->call[i].node = 0;
		s->op = op;
		s->root = node_of(c, 0, (const void *)(uintptr_t)op);
	}
	while (known > 0 && !s->call[known - 1].node)
		known--;
	node = known > 0 ? s->call[known - 1].node : s->root;
	for (; known < n && node; known++)
		node = s->call[known].node = node_of(c, node, s->call[known].pc);
	return node;
}

uint32_t calls_id(struct calls *c, unsigned cpu, uint16_t op, const void *pc)
{
	uint32_t node = here(c, &c->cpu[cpu], op);

	return node ? node_of(c, node, pc) : 0;
}

void calls_stack(const struct calls *c, uint32_t id, struct race_stack *out, uint16_t *op)
{
	*out = (struct race_stack){ 0 };
	*op = 0;
	if (!id || id >= c->n)
		return;
	for (; c->node[id].parent; id = c->node[id].parent)
		if (out->n < RACE_STACK_MAX)
			out->pc[out->n++] = c->node[id].pc;
	*op = (uint16_t)(uintptr_t)c->node[id].pc;
}

void race_stack_here(struct race_stack *out, const void *pc)
{
	const struct calls_cpu *s;

	*out = (struct race_stack){ .n = 1, .pc = { pc } };
	if (!race_on || !race_on->calls || !sched_on)
		return;
	s = &race_on->calls->cpu[sched_on->now];
	for (unsigned i = s->n < CALLS_DEPTH ? s->n : CALLS_DEPTH; i-- > 0;)
		if (out->n < RACE_STACK_MAX)
			out->pc[out->n++] = s->call[i].pc;
}

/* ---- names ---- */

#define FRAMES_MAX 48u /* with inlined functions, several for an address */
#define ASKED_MAX RACE_STACK_MAX
#define HALF (ASKED_MAX / 2u) /* of two stacks at once, so many calls each */
#define ANSWER_BYTES 16384u

/// A function of a stack, inlined ones each on their own; innermost first.
struct frame {
	char function[48];
	char place[40]; /* "dir/file.c:12"; empty: not known */
	unsigned of;    /* index of its address */
	bool mm;        /* of the code under test */
};

static int main_program(struct dl_phdr_info *info, size_t bytes, void *base)
{
	(void)bytes;
	*(uintptr_t *)base = info->dlpi_addr;
	return 1; /* the first is the executable */
}

/// Where the call is, seen from the executable's start: the byte before the return.
static uintptr_t call_of(const void *pc)
{
	uintptr_t base = 0;

	dl_iterate_phdr(main_program, &base);
	return (uintptr_t)pc - base - 1u;
}

/// Runs addr2line; its standard output is *fd.
static pid_t addr2line(const struct race_stack *s, int *fd)
{
	char exe[32], text[ASKED_MAX][20];
	char *argv[ASKED_MAX + 7] = { "addr2line", "-a", "-f", "-i", "-e", exe };
	posix_spawn_file_actions_t actions;
	int ends[2];
	pid_t pid;
	bool begun;

	snprintf(exe, sizeof(exe), "/proc/%ld/exe", (long)getpid());
	for (unsigned i = 0; i < s->n; i++) {
		snprintf(text[i], sizeof(text[i]), "0x%llx", (unsigned long long)call_of(s->pc[i]));
		argv[6 + i] = text[i];
	}
	argv[6 + s->n] = NULL;
	if (pipe(ends))
		return -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
	posix_spawn_file_actions_addclose(&actions, ends[0]);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	begun = posix_spawnp(&pid, "addr2line", &actions, NULL, argv, environ) == 0;
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	*fd = ends[0];
	if (begun)
		return pid;
	close(ends[0]);
	return -1;
}

/// What addr2line says, as a string; empty if it can't be asked.
static void ask(const struct race_stack *s, char *answer, size_t bytes)
{
	size_t n = 0;
	ssize_t got;
	int fd;
	pid_t pid = addr2line(s, &fd);

	if (pid < 0)
		return;
	while (n < bytes - 1u && (got = read(fd, answer + n, bytes - 1u - n)) != 0) {
		if (got < 0 && errno != EINTR) /* engines have timers */
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	answer[n] = '\0';
	close(fd);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/// The file in the directory it is in: the rest of a path is the build's.
static const char *short_path(const char *path)
{
	const char *from = path;

	for (const char *p = path, *dir = NULL; (p = strchr(p, '/')) != NULL; p++) {
		from = dir ? dir + 1 : path;
		dir = p;
	}
	return from;
}

static void frame_set(struct frame *f, const char *function, char *place)
{
	char *end = strchr(place, ' '); /* " (discriminator 3)" */

	if (end)
		*end = '\0';
	f->mm = strstr(place, "/mm/") || strncmp(place, "mm/", 3) == 0;
	snprintf(f->function, sizeof(f->function), "%.47s", function);
	f->place[0] = '\0';
	if (place[0] != '?')
		snprintf(f->place, sizeof(f->place), "%.39s", short_path(place));
}

/// One line of the answer; NULL at its end.
static char *line_of(char **rest)
{
	char *line = *rest, *end = strchr(line, '\n');

	if (!end)
		return NULL;
	*end = '\0';
	*rest = end + 1;
	return line;
}

static void frame_unknown(struct frame *f, const struct race_stack *s, unsigned i)
{
	snprintf(f->function, sizeof(f->function), "+0x%llx",
		 (unsigned long long)call_of(s->pc[i]));
	f->of = i;
}

/// addr2line -a answers with a line for each address, then two for each function there.
static unsigned frames_of(const struct race_stack *s, struct frame *f)
{
	char answer[ANSWER_BYTES], *rest = answer, *line, *place;
	unsigned n = 0, asked = 0;

	answer[0] = '\0';
	if (s->n)
		ask(s, answer, sizeof(answer));
	while (n < FRAMES_MAX && (line = line_of(&rest)) != NULL) {
		if (strncmp(line, "0x", 2) == 0) {
			asked++;
			continue;
		}
		place = line_of(&rest);
		if (!place || asked == 0 || asked > s->n)
			break;
		frame_set(&f[n], line, place);
		f[n].of = asked - 1u;
		if (strcmp(line, "??") == 0)
			frame_unknown(&f[n], s, asked - 1u);
		n++;
	}
	for (; n < s->n && asked == 0; n++)
		frame_unknown(&f[n], s, n);
	return n;
}

/// Appends; what doesn't fit isn't begun. Returns whether it did fit.
static bool append(char *out, size_t bytes, const char *before, const struct frame *f,
		   bool with_place)
{
	char text[128];
	size_t used = strlen(out);
	int n;

	if (with_place && f->place[0])
		n = snprintf(text, sizeof(text), "%s%s (%s)", before, f->function, f->place);
	else
		n = snprintf(text, sizeof(text), "%s%s", before, f->function);
	if (n < 0 || used + (size_t)n >= bytes)
		return false;
	memcpy(out + used, text, (size_t)n + 1u);
	return true;
}

void race_stack_print(char *out, size_t bytes, const struct race_stack *s)
{
	struct frame f[FRAMES_MAX] = { 0 };
	unsigned n = frames_of(s, f);

	if (!bytes)
		return;
	out[0] = '\0';
	for (unsigned i = 0; i < n; i++)
		if (!append(out, bytes, i ? " < " : "", &f[i], true))
			break;
	if (!n)
		snprintf(out, bytes, "an unknown place");
}

/// Of n functions, the innermost of the code under test, and its caller as far as it fits.
static void innermost(char *out, size_t bytes, const struct frame *f, unsigned n)
{
	unsigned i = 0;

	while (i < n && !f[i].mm)
		i++;
	if (i == n)
		i = 0;
	out[0] = '\0';
	if (!n)
		snprintf(out, bytes, "an unknown place");
	else if (append(out, bytes, "", &f[i], true) || append(out, bytes, "", &f[i], false))
		if (i + 1u < n && !append(out, bytes, " < ", &f[i + 1u], true))
			append(out, bytes, " < ", &f[i + 1u], false);
}

/// Appends the inner half of a stack.
static void take(struct race_stack *to, const struct race_stack *from)
{
	for (unsigned i = 0; i < from->n && i < HALF; i++)
		to->pc[to->n++] = from->pc[i];
}

static void half(char *out, size_t bytes, const struct race_access *a, const struct frame *f,
		 unsigned n)
{
	int used = snprintf(out, bytes, "%s%s by CPU %u in ", a->atomic ? "atomic " : "",
			    a->write ? "write" : "read", a->cpu);

	if (used > 0 && (size_t)used < bytes)
		innermost(out + used, bytes - (size_t)used, f, n);
}

void race_print(char *out, size_t bytes, const struct race_report *r)
{
	struct frame f[FRAMES_MAX] = { 0 };
	struct race_stack both = { 0 };
	char first[200], second[200];
	size_t each = bytes > 40u ? (bytes - 40u) / 2u : 1; /* so that both have room */
	unsigned n, split, inner;

	if (each > sizeof(first))
		each = sizeof(first);
	take(&both, &r->second.stack);
	inner = both.n;
	take(&both, &r->first.stack);
	n = frames_of(&both, f);
	for (split = 0; split < n && f[split].of < inner; split++)
		;
	half(second, each, &r->second, f, split);
	half(first, each, &r->first, f + split, n - split);
	snprintf(out, bytes, "data race on %u:+0x%llx: %s against %s", r->region,
		 (unsigned long long)r->offset, second, first);
}
