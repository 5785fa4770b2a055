/// The result store: results/pagemill.db, an SQLite database.
#ifndef STORE_H
#define STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_APPLICATION_ID 0x50474d4c /* "PGML" */
#define STORE_VERSION 2
#define STORE_ERROR_BYTES 512

struct store {
	sqlite3 *db;
	int64_t session;
	char path[256];
	char error[STORE_ERROR_BYTES]; /* one line, after a call returned false */
};

enum store_mode {
	STORE_READ,  /* must exist */
	STORE_WRITE, /* made if missing, migrated if old */
};

/// Opens the store. Fails with one line if the file is unreadable, damaged,
/// another program's database or made by a newer version.
bool store_open(struct store *s, const char *path, enum store_mode mode);
void store_close(struct store *s);

/// Begins a session: what follows belongs to it and to this machine, toolchain
/// and revision.
bool store_session(struct store *s, const char *kind);

/// Goes on with the newest session of that kind of the revision that is checked out; begins
/// one if there is none.
bool store_session_resume(struct store *s, const char *kind);

bool store_begin(struct store *s);
bool store_commit(struct store *s);

/// One run of a series. status: "ok", "failed", "skipped". *run = its id.
bool store_run(struct store *s, const char *figure, const char *unit, const char *variant,
	       const char *body, uint64_t seed, const char *status, const char *note,
	       int64_t *run);
bool store_sample(struct store *s, int64_t run, unsigned i, double value);
bool store_bin(struct store *s, int64_t run, double low, double high, uint64_t n);

bool store_verdict(struct store *s, const char *subject, const char *body, bool ok,
		   const char *note);

struct store_finding {
	const char *engine, *fault, *variant; /* variant: a preset, "" = each run its own */
	uint64_t seed;
	bool found;
	double seconds;
	uint64_t execs;
	const char *oracle;
	unsigned ops_n;
	const char *trace;
};
bool store_finding(struct store *s, const struct store_finding *f);

/// Prepares and binds text parameters ("" for missing); NULL with s->error set on
/// failure. The caller steps and finalises.
sqlite3_stmt *store_query(struct store *s, const char *sql, unsigned n, const char *const *arg);

#endif
