/* Trace files.
 *
 * Text: the line "pagemill trace 1", then one operation a line; '#' begins a
 * comment, empty lines are nothing, comments may stand before the first line.
 * Binary: struct ops_header, then ops_n operations, and nothing after them.
 *
 * A file is refused with its first fault; a text line is counted from 1, a binary
 * operation from 0, as the player counts. A file is written beside its place and
 * moved there, so that a full disk leaves the old one.
 */
#include "ops/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/text.h"

#define HEADER_LINE "pagemill trace 1"

struct loader {
	const char *name;
	const char *bytes;
	size_t bytes_n;
	struct ops_trace *t;
	uint32_t room_n;
	char *why;
	size_t why_bytes;
};

static const char *refuse_line(struct loader *l, unsigned line, const char *what)
{
	snprintf(l->why, l->why_bytes, "%s:%u: %s", l->name, line, what);
	return l->why;
}

static const char *refuse(struct loader *l, const char *what)
{
	snprintf(l->why, l->why_bytes, "%s: %s", l->name, what);
	return l->why;
}

static const char *append(struct loader *l, const struct op *op)
{
	struct ops_trace *t = l->t;

	if (t->ops_n == OPS_FILE_MAX)
		return "too many operations";
	if (t->ops_n == l->room_n) {
		uint32_t room = l->room_n ? l->room_n * 2 : 256;
		struct op *ops = realloc(t->ops, room * sizeof(*ops));

		if (!ops)
			return "out of memory";
		t->ops = ops;
		l->room_n = room;
	}
	t->ops[t->ops_n++] = *op;
	return NULL;
}

static const char *load_binary(struct loader *l)
{
	struct ops_header h;
	char what[96];

	if (l->bytes_n < sizeof(h))
		return refuse(l, "truncated: the binary header is cut off");
	memcpy(&h, l->bytes, sizeof(h));
	if (h.version != OPS_VERSION) {
		snprintf(what, sizeof(what), "binary version %u, not %u", h.version, OPS_VERSION);
		return refuse(l, what);
	}
	if (l->bytes_n - sizeof(h) != (uint64_t)h.ops_n * sizeof(struct op)) {
		snprintf(what, sizeof(what), "%s: %u operations announced, bytes for %zu",
			 l->bytes_n - sizeof(h) < (uint64_t)h.ops_n * sizeof(struct op) ?
				 "truncated" : "malformed",
			 h.ops_n, (l->bytes_n - sizeof(h)) / sizeof(struct op));
		return refuse(l, what);
	}
	for (uint32_t i = 0; i < h.ops_n; i++) {
		struct op op;
		const char *fault;

		memcpy(&op, l->bytes + sizeof(h) + i * sizeof(op), sizeof(op));
		fault = ops_fault(&op);
		if (!fault)
			fault = append(l, &op);
		if (fault) {
			snprintf(what, sizeof(what), "operation %u: %s", i, fault);
			return refuse(l, what);
		}
	}
	return NULL;
}

static bool is_header(const char *line)
{
	size_t n = strlen(HEADER_LINE);

	line += strspn(line, " \t");
	return !strncmp(line, HEADER_LINE, n) && ops_line_blank(line + n);
}

static const char *load_text(struct loader *l)
{
	const char *at = l->bytes, *stop = l->bytes + l->bytes_n;
	bool begun = false;
	char line[256], buf[160];

	for (unsigned number = 1; at < stop; number++) {
		const char *nl = memchr(at, '\n', (size_t)(stop - at)), *fault;
		size_t n = (size_t)((nl ? nl : stop) - at);
		struct op op;

		if (n >= sizeof(line) && at[strspn(at, " \t")] != '#')
			return refuse_line(l, number, "the line is too long");
		if (n >= sizeof(line))
			n = sizeof(line) - 1;
		memcpy(line, at, n);
		line[n] = 0;
		at = nl ? nl + 1 : stop;
		if (strlen(line) != n)
			return refuse_line(l, number, "a zero byte: not a text file");
		if (ops_line_blank(line))
			continue;
		if (!begun && !is_header(line))
			return refuse_line(l, number, "not a trace: '" HEADER_LINE "' is missing");
		if (!begun) {
			begun = true;
			continue;
		}
		fault = ops_parse(line, &op, buf, sizeof(buf));
		if (!fault)
			fault = append(l, &op);
		if (fault)
			return refuse_line(l, number, fault);
	}
	return begun ? NULL : refuse(l, "not a trace: '" HEADER_LINE "' is missing");
}

const char *ops_load_bytes(const char *name, const void *bytes, size_t bytes_n,
			   struct ops_trace *t, char *why, size_t why_bytes)
{
	struct loader l = { .name = name, .bytes = bytes, .bytes_n = bytes_n, .t = t,
			    .why = why, .why_bytes = why_bytes };
	bool binary = bytes_n >= 8 && !memcmp(bytes, OPS_MAGIC, 8);
	const char *fault;

	*t = (struct ops_trace){ 0 };
	fault = binary ? load_binary(&l) : load_text(&l);
	if (fault) {
		free(t->ops);
		*t = (struct ops_trace){ 0 };
	}
	return fault;
}

/* Reads to the end, with one zero byte after it for the text scanner. */
static char *read_all(FILE *f, size_t *bytes_n)
{
	size_t room = 1 << 16, n = 0, got;
	char *bytes = malloc(room);

	while (bytes && (got = fread(bytes + n, 1, room - 1 - n, f)) > 0) {
		n += got;
		if (n == room - 1) {
			char *more = realloc(bytes, room *= 2);

			if (!more)
				free(bytes);
			bytes = more;
		}
	}
	if (bytes)
		bytes[n] = 0;
	*bytes_n = n;
	return bytes;
}

const char *ops_load(const char *path, struct ops_trace *t, char *why, size_t why_bytes)
{
	bool std = !strcmp(path, "-");
	FILE *f = std ? stdin : fopen(path, "rb");
	size_t bytes_n = 0;
	const char *fault = NULL;
	char *bytes = NULL;

	*t = (struct ops_trace){ 0 };
	if (f) {
		errno = 0;
		bytes = read_all(f, &bytes_n);
	}
	if (!f || !bytes || ferror(f)) {
		snprintf(why, why_bytes, "%s: %s", path, strerror(errno ? errno : EIO));
		fault = why;
	}
	if (f && !std)
		fclose(f);
	if (!fault)
		fault = ops_load_bytes(std ? "standard input" : path, bytes, bytes_n, t, why,
				       why_bytes);
	free(bytes);
	return fault;
}

static void write_text(FILE *f, const struct op *ops, uint32_t ops_n, const char *comment)
{
	while (comment && *comment) {
		size_t n = strcspn(comment, "\n");

		fprintf(f, "# %.*s\n", (int)n, comment);
		comment += n + (comment[n] == '\n');
	}
	fprintf(f, "%s\n", HEADER_LINE);
	for (uint32_t i = 0; i < ops_n; i++) {
		char line[OPS_LINE_BYTES];

		ops_print(line, &ops[i]);
		fprintf(f, "%s\n", line);
	}
}

static void write_binary(FILE *f, const struct op *ops, uint32_t ops_n)
{
	struct ops_header h = { .version = OPS_VERSION, .ops_n = ops_n };

	memcpy(h.magic, OPS_MAGIC, sizeof(h.magic));
	fwrite(&h, sizeof(h), 1, f);
	fwrite(ops, sizeof(*ops), ops_n, f);
}

/// A file is written beside its place and moved there when whole, so that an old
/// one survives a full disk. Devices and pipes are written to as they are.
static bool written_beside(const char *path)
{
	struct stat st;

	return stat(path, &st) != 0 || S_ISREG(st.st_mode);
}

static bool write_form(FILE *f, const struct op *ops, uint32_t ops_n, enum ops_form form,
		       const char *comment)
{
	if (form == OPS_BINARY)
		write_binary(f, ops, ops_n);
	else
		write_text(f, ops, ops_n, comment);
	return fflush(f) == 0 && !ferror(f);
}

const char *ops_save(const char *path, const struct op *ops, uint32_t ops_n,
		     enum ops_form form, const char *comment, char *why, size_t why_bytes)
{
	bool std = !strcmp(path, "-"), beside = !std && written_beside(path), good = false;
	char part[4096];
	FILE *f = stdout;

	errno = 0;
	if (snprintf(part, sizeof(part), "%s.part%ld", path, (long)getpid()) >=
	    (int)sizeof(part))
		errno = ENAMETOOLONG;
	if (!std)
		f = errno ? NULL : fopen(beside ? part : path, "wb");
	if (f) {
		good = write_form(f, ops, ops_n, form, comment);
		good = (std || fclose(f) == 0) && good;
		good = good && (!beside || rename(part, path) == 0);
		if (!good && beside)
			unlink(part);
	}
	if (good)
		return NULL;
	snprintf(why, why_bytes, "%s: %s", path, strerror(errno ? errno : EIO));
	return why;
}
