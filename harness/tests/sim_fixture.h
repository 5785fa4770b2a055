/// A sim body driven by operations in text form, for tests that then tamper with it.
#ifndef SIM_FIXTURE_H
#define SIM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "machine/body_sim.h"
#include "ops/text.h"
#include "port/port.h"

struct sim {
	struct body *body;
	struct ops_names names;
	struct machine *m;
};

static inline struct sim sim_open_with(const char *format, const char *preset, uint64_t frames_n)
{
	struct body_options o = { .format = format, .preset = preset, .frames_n = frames_n };
	struct sim s = { 0 };

	assert_null(body_sim.start(&s.body, &o));
	ops_names_start(&s.names);
	s.m = sim_machine(s.body);
	return s;
}

static inline struct sim sim_open(const char *format)
{
	return sim_open_with(format, NULL, 512);
}

/// Performs one operation; it must not be one that is skipped.
static inline struct op_outcome sim_do(struct sim *s, const char *line)
{
	struct op_outcome out;
	char why[128];
	struct op op;
	const char *error = ops_parse(line, &op, why, sizeof(why));

	if (error)
		fail_msg("%s: %s", line, error);
	if (ops_names_skip(&s->names, &op))
		fail_msg("%s: skipped", line);
	body_sim.perform(s->body, &op, &s->names, &out);
	ops_names_follow(&s->names, &op, (enum op_result)out.result);
	return out;
}

/// Performs operations that must succeed; the list ends with NULL.
static inline void sim_all(struct sim *s, ...)
{
	const char *line;
	va_list ap;

	va_start(ap, s);
	while ((line = va_arg(ap, const char *)) != NULL) {
		struct op_outcome out = sim_do(s, line);

		if (out.result != RESULT_OK)
			fail_msg("%s: %s", line, ops_result_text[out.result]);
	}
	va_end(ap);
}

static inline struct finding sim_verdict(struct sim *s, bool thorough)
{
	struct finding f;

	body_sim.verify(s->body, thorough, false, &f);
	return f;
}

/// Verifies, and expects this oracle with this piece of text in it.
static inline void sim_expect(struct sim *s, enum oracle oracle, const char *piece)
{
	struct finding f = sim_verdict(s, true);

	if (f.oracle != oracle || (piece && !strstr(f.text, piece)))
		fail_msg("wanted %s \"%s\", got %s \"%s\"", oracle_text[oracle],
			 piece ? piece : "", oracle_text[f.oracle], f.text);
}

static inline void sim_expect_clean(struct sim *s)
{
	sim_expect(s, ORACLE_NONE, NULL);
}

static inline struct finding sim_close(struct sim *s)
{
	struct finding f;

	body_sim.finish(s->body, &f);
	return f;
}

static inline void sim_close_clean(struct sim *s)
{
	struct finding f = sim_close(s);

	if (f.oracle != ORACLE_NONE)
		fail_msg("%s: %s", oracle_text[f.oracle], f.text);
}

struct sim_search {
	unsigned space;
	uint64_t va;
	struct ledger_leaf leaf;
};

static inline bool sim_search_leaf(void *ctx, const struct ledger_leaf *leaf)
{
	struct sim_search *s = ctx;

	if (leaf->space != s->space || leaf->va != s->va)
		return true;
	s->leaf = *leaf;
	return false;
}

/// The leaf of a page, which must be there.
static inline struct ledger_leaf sim_leaf(struct sim *s, unsigned space, unsigned window,
					  unsigned page)
{
	struct sim_search f = { .space = space };

	f.va = perform_window(sim_performer(s->body), space, window) + page * KMM_PAGE_BYTES;
	ledger_leaves(sim_ledger(s->body), sim_search_leaf, &f);
	assert_non_null(f.leaf.entry);
	return f.leaf;
}

/// The same entry with the right to write, or without it, in the machine's format.
static inline uint64_t sim_writable(const struct sim *s, uint64_t raw, bool writable)
{
	uint64_t bit = s->m->mem.arch == MMU_X86_64 ? 1ull << 1 : 1ull << 7;
	bool set = writable == (s->m->mem.arch == MMU_X86_64);

	return set ? raw | bit : raw & ~bit;
}

static const char *const sim_formats[] = { "x86_64", "aarch64" };

#define SIM_EACH_FORMAT(name) \
	for (const char *const *name = sim_formats; name < sim_formats + 2; name++)

#endif
