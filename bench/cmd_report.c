/// pagemill report: writes the page. It is always written whole: into a file
/// beside the target first, which replaces it only when finished.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "page.h"
#include "page_frames.h"

static bool copy_file(struct page *p, const char *name)
{
	char path[256], line[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", p->templates, name);
	f = fopen(path, "r");
	if (!f) {
		snprintf(p->error, sizeof(p->error), "%s: %s", path, strerror(errno));
		return false;
	}
	while (fgets(line, sizeof(line), f))
		fputs(line, p->out);
	fclose(f);
	return true;
}

/// The rival's figures become a table of this connection only.
static bool load_reference(struct page *p)
{
	char line[256], figure[96], variant[32], body[32], value[32];
	FILE *f = fopen(p->reference, "r");
	sqlite3_stmt *st;

	if (!f || sqlite3_exec(p->store->db,
			       "CREATE TEMP TABLE reference (figure TEXT, variant TEXT, body TEXT, "
			       "value REAL)", NULL, NULL, NULL) != SQLITE_OK) {
		snprintf(p->error, sizeof(p->error), "%s: cannot read", p->reference);
		return false;
	}
	while (fgets(line, sizeof(line), f)) {
		const char *arg[] = { figure, variant, body, value };

		if (sscanf(line, "%95[^\t]\t%31[^\t]\t%31[^\t]\t%31[0-9.]", figure, variant, body,
			   value) != 4 || line[0] == '#')
			continue;
		st = store_query(p->store, "INSERT INTO reference VALUES (?1, ?2, ?3, "
					   "CAST(?4 AS REAL))", 4, arg);
		sqlite3_step(st);
		sqlite3_finalize(st);
	}
	fclose(f);
	return true;
}

static void foot(struct page *p)
{
	char command[300], hash[80] = "unknown";
	FILE *f;

	snprintf(command, sizeof(command), "sha256sum '%s' 2>/dev/null", p->store->path);
	f = popen(command, "r");
	if (f && fscanf(f, "%64s", hash) != 1)
		snprintf(hash, sizeof(hash), "unknown");
	if (f)
		pclose(f);
	fputs("<p class=\"note\">Every figure can be recomputed from the database. SHA-256 of ",
	      p->out);
	page_text(p, p->store->path);
	fprintf(p->out, ": <code>%s</code></p>\n</main></body></html>\n", hash);
}

static bool write_page(struct page *p)
{
	static bool (*const section[])(struct page *) = {
		page_verdict, page_changes, page_variants, page_frames, page_kernels,
		page_latency, page_fuzz,    page_environment
	};

	fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width\">\n"
	      "<title>Pagemill: the night</title>\n<style>\n", p->out);
	if (!copy_file(p, "page.css"))
		return false;
	fputs("</style></head><body><main>\n<h1>Pagemill</h1>\n<p class=\"lead\">How fast and how "
	      "correct the memory manager is: on the host, on the simulated machine, and booted "
	      "in two kernels.</p>\n", p->out);
	for (unsigned i = 0; i < sizeof(section) / sizeof(section[0]); i++)
		if (!section[i](p))
			return false;
	foot(p);
	return true;
}

static int finish(struct page *p, bool ok, const char *part, const char *target)
{
	char command[128];

	if (p->out && (ferror(p->out) | fclose(p->out)) != 0 && ok) {
		snprintf(p->error, sizeof(p->error), "%s: %s", part, strerror(errno));
		ok = false;
	}
	if (ok && rename(part, target) != 0) {
		snprintf(p->error, sizeof(p->error), "%s: %s", target, strerror(errno));
		ok = false;
	}
	if (!ok)
		unlink(part);
	snprintf(command, sizeof(command), "rm -rf '%s'", p->work);
	if (system(command) != 0)
		fprintf(stderr, "pagemill report: %s stays behind\n", p->work);
	store_close(p->store);
	if (!ok)
		return cli_fail(EXIT_TOOL, "report: %s", p->error[0] ? p->error : p->store->error);
	fprintf(stderr, "pagemill report: %s\n", target);
	return EXIT_AGREE;
}

int cmd_report(const struct command *self, int argc, char **argv)
{
	const char *path = STORE_PATH, *target = "reports/index.html";
	struct store s;
	struct page p = { .store = &s, .templates = "reports",
			  .reference = "results/reference-linux.tsv",
			  .work = "/tmp/pagemill-page-XXXXXX" };
	const struct word_option options[] = { { "--db", &path },
					     { "--output", &target },
					     { "--templates", &p.templates },
					     { "--reference", &p.reference } };
	char part[300];

	if (!commands_parse(self, argc, argv, options, 4, NULL, 0, NULL))
		return EXIT_USAGE;
	if (!store_open(&s, path, STORE_READ))
		return cli_fail(EXIT_TOOL, "report: %s", s.error);
	snprintf(part, sizeof(part), "%s.part", target);
	if (!mkdtemp(p.work) || !(p.out = fopen(part, "w"))) {
		snprintf(p.error, sizeof(p.error), "%s: %s", part, strerror(errno));
		return finish(&p, false, part, target);
	}
	return finish(&p, load_reference(&p) && write_page(&p), part, target);
}
