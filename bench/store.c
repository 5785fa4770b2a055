/// The result store.
///
/// One writer at a time (WAL, five seconds of patience), any number of readers.
/// Names are interned by INSERT OR IGNORE and looked up again, so that two
/// writers that meet agree. The application id tells our databases from
/// others', user_version tells the schema; both are checked before anything is
/// written, so that a foreign file is never touched.
#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "environment.h"

extern const char store_schema[];

__attribute__((format(printf, 2, 3))) static bool fail(struct store *s, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(s->error, sizeof(s->error), "%s: ", s->path);

	va_start(ap, fmt);
	vsnprintf(s->error + n, sizeof(s->error) - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

static bool fail_sql(struct store *s, const char *doing)
{
	return fail(s, "%s: %s", doing, sqlite3_errmsg(s->db));
}

static bool execute(struct store *s, const char *sql, const char *doing)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK || fail_sql(s, doing);
}

static bool pragma(struct store *s, const char *name, int64_t *out)
{
	char sql[64];
	sqlite3_stmt *st;
	bool ok;

	snprintf(sql, sizeof(sql), "PRAGMA %s", name);
	ok = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK &&
	     sqlite3_step(st) == SQLITE_ROW;
	if (ok)
		*out = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return ok || fail_sql(s, "not a readable database");
}

static bool create_schema(struct store *s)
{
	char pragmas[96];

	snprintf(pragmas, sizeof(pragmas), "PRAGMA application_id = %d; PRAGMA user_version = %d",
		 STORE_APPLICATION_ID, STORE_VERSION);
	return execute(s, "BEGIN IMMEDIATE", "cannot create") &&
	       execute(s, store_schema, "cannot create") &&
	       execute(s, pragmas, "cannot create") && execute(s, "COMMIT", "cannot create");
}

/// Brings a database of an older version up to this one, whole or not at all.
static bool migrate(struct store *s)
{
	/* 1 to 2: a fuzz run has a variant. */
	return execute(s, "BEGIN IMMEDIATE", "cannot migrate") &&
	       execute(s, "ALTER TABLE finding ADD COLUMN variant TEXT NOT NULL DEFAULT ''",
		       "cannot migrate") &&
	       execute(s, "PRAGMA user_version = 2", "cannot migrate") &&
	       execute(s, "COMMIT", "cannot migrate");
}

static bool check_identity(struct store *s, bool fresh, enum store_mode mode)
{
	int64_t id, version;

	if (!pragma(s, "application_id", &id) || !pragma(s, "user_version", &version))
		return false;
	if (fresh && mode == STORE_WRITE)
		return create_schema(s);
	if (id != STORE_APPLICATION_ID)
		return fail(s, "is a database of another program; left untouched");
	if (version > STORE_VERSION)
		return fail(s, "schema version %lld is newer than this pagemill's %d",
			    (long long)version, STORE_VERSION);
	if (version == STORE_VERSION)
		return true;
	return mode == STORE_WRITE ?
		       migrate(s) :
		       fail(s, "schema version %lld is older than this pagemill's %d: recording "
			       "anything brings it up", (long long)version, STORE_VERSION);
}

/// Is there anything in the file yet? (An empty file is a fresh database.)
static bool is_fresh(struct store *s, bool *fresh)
{
	int64_t pages;

	if (!pragma(s, "page_count", &pages))
		return false;
	*fresh = pages == 0;
	return true;
}

bool store_open(struct store *s, const char *path, enum store_mode mode)
{
	int flags = mode == STORE_READ ? SQLITE_OPEN_READONLY :
					 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	bool fresh;

	memset(s, 0, sizeof(*s));
	snprintf(s->path, sizeof(s->path), "%s", path);
	if (mode == STORE_READ && access(path, F_OK) != 0)
		return fail(s, "no database there yet (run 'make nightly')");
	if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK) {
		fail_sql(s, "cannot open");
		store_close(s);
		return false;
	}
	sqlite3_busy_timeout(s->db, 5000);
	if (!is_fresh(s, &fresh) || !check_identity(s, fresh, mode) ||
	    !execute(s, "PRAGMA foreign_keys = ON", "cannot open") ||
	    (mode == STORE_WRITE && !execute(s, "PRAGMA journal_mode = WAL", "cannot open"))) {
		store_close(s);
		return false;
	}
	return true;
}

void store_close(struct store *s)
{
	sqlite3_close(s->db);
	s->db = NULL;
}

sqlite3_stmt *store_query(struct store *s, const char *sql, unsigned n, const char *const *arg)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK) {
		fail_sql(s, "query failed");
		return NULL;
	}
	for (unsigned i = 0; i < n; i++)
		sqlite3_bind_text(st, (int)i + 1, arg[i] ? arg[i] : "", -1, SQLITE_TRANSIENT);
	return st;
}

static bool finish(struct store *s, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_finalize(st);
	return rc == SQLITE_DONE || fail_sql(s, "cannot write");
}

/// Interns a row: inserts it unless it is there, then finds its id. SQLite turns
/// text into the column's type where the two agree.
static bool intern(struct store *s, const char *insert, const char *select, unsigned n,
		   const char *const *arg, int64_t *id)
{
	sqlite3_stmt *st = store_query(s, insert, n, arg);
	bool ok;

	if (!st || !finish(s, st))
		return false;
	st = store_query(s, select, n, arg);
	if (!st)
		return false;
	ok = sqlite3_step(st) == SQLITE_ROW;
	if (ok)
		*id = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return ok || fail_sql(s, "cannot find what was just written");
}

static const char *number(char buffer[24], int64_t value)
{
	snprintf(buffer, 24, "%lld", (long long)value);
	return buffer;
}

struct environment_ids {
	int64_t machine, toolchain, revision;
};

static bool intern_environment(struct store *s, struct environment_ids *ids)
{
	struct environment e;
	char cores[24], memory[24], dirty[24];

	environment_read(&e);
	return intern(s,
		      "INSERT OR IGNORE INTO machine (cpu, cores, memory_bytes, kernel) VALUES "
		      "(?1, CAST(?2 AS INTEGER), CAST(?3 AS INTEGER), ?4)",
		      "SELECT id FROM machine WHERE cpu = ?1 AND cores = CAST(?2 AS INTEGER) AND "
		      "memory_bytes = CAST(?3 AS INTEGER) AND kernel = ?4",
		      4,
		      (const char *[]){ e.cpu, number(cores, e.cores),
					number(memory, (int64_t)e.memory_bytes), e.kernel },
		      &ids->machine) &&
	       intern(s,
		      "INSERT OR IGNORE INTO toolchain (compiler, flags, qemu, valgrind) VALUES "
		      "(?1, ?2, ?3, ?4)",
		      "SELECT id FROM toolchain WHERE compiler = ?1 AND flags = ?2 AND qemu = ?3 "
		      "AND valgrind = ?4",
		      4, (const char *[]){ e.compiler, e.flags, e.qemu, e.valgrind },
		      &ids->toolchain) &&
	       intern(s,
		      "INSERT OR IGNORE INTO revision (hash, dirty) VALUES (?1, CAST(?2 AS INTEGER))",
		      "SELECT id FROM revision WHERE hash = ?1 AND dirty = CAST(?2 AS INTEGER)", 2,
		      (const char *[]){ e.revision, number(dirty, e.dirty) }, &ids->revision);
}

bool store_session(struct store *s, const char *kind)
{
	struct environment_ids ids;
	sqlite3_stmt *st;
	bool ok;

	if (!store_begin(s) || !intern_environment(s, &ids))
		return false;
	st = store_query(s,
			 "INSERT INTO session (started, kind, machine_id, toolchain_id, revision_id) "
			 "VALUES (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?1, ?2, ?3, ?4)",
			 1, &kind);
	if (!st)
		return false;
	sqlite3_bind_int64(st, 2, ids.machine);
	sqlite3_bind_int64(st, 3, ids.toolchain);
	sqlite3_bind_int64(st, 4, ids.revision);
	ok = finish(s, st);
	s->session = sqlite3_last_insert_rowid(s->db);
	return ok && store_commit(s);
}

bool store_session_resume(struct store *s, const char *kind)
{
	struct environment e;
	sqlite3_stmt *st;

	environment_read(&e);
	st = store_query(s, "SELECT max(session.id) FROM session JOIN revision ON "
			    "revision.id = revision_id WHERE kind = ?1 AND hash = ?2",
			 2, (const char *[]){ kind, e.revision });
	if (!st)
		return false;
	s->session = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_finalize(st);
	return s->session != 0 || store_session(s, kind);
}

bool store_begin(struct store *s)
{
	return execute(s, "BEGIN IMMEDIATE", "cannot write");
}

bool store_commit(struct store *s)
{
	return execute(s, "COMMIT", "cannot write");
}

static bool intern_series(struct store *s, const char *figure, const char *unit,
			  const char *variant, const char *body, int64_t *id)
{
	const char *metric[] = { figure, unit };
	char metric_id[24], variant_id[24];
	int64_t m, v;

	if (!intern(s, "INSERT OR IGNORE INTO metric (name, unit) VALUES (?1, ?2)",
		    "SELECT id FROM metric WHERE name = ?1 AND unit = ?2", 2, metric, &m) ||
	    !intern(s, "INSERT OR IGNORE INTO variant (name) VALUES (?1)",
		    "SELECT id FROM variant WHERE name = ?1", 1, &variant, &v))
		return false;
	return intern(s,
		      "INSERT OR IGNORE INTO series (metric_id, variant_id, body) VALUES "
		      "(CAST(?1 AS INTEGER), CAST(?2 AS INTEGER), ?3)",
		      "SELECT id FROM series WHERE metric_id = CAST(?1 AS INTEGER) AND "
		      "variant_id = CAST(?2 AS INTEGER) AND body = ?3",
		      3, (const char *[]){ number(metric_id, m), number(variant_id, v), body }, id);
}

bool store_run(struct store *s, const char *figure, const char *unit, const char *variant,
	       const char *body, uint64_t seed, const char *status, const char *note, int64_t *run)
{
	const char *arg[] = { status, note };
	sqlite3_stmt *st;
	int64_t series;

	if (!intern_series(s, figure, unit, variant, body, &series))
		return false;
	st = store_query(s,
			 "INSERT INTO run (status, note, session_id, series_id, seed) "
			 "VALUES (?1, ?2, ?3, ?4, ?5)",
			 2, arg);
	if (!st)
		return false;
	sqlite3_bind_int64(st, 3, s->session);
	sqlite3_bind_int64(st, 4, series);
	sqlite3_bind_int64(st, 5, (int64_t)seed);
	if (!finish(s, st))
		return false;
	*run = sqlite3_last_insert_rowid(s->db);
	return true;
}

bool store_sample(struct store *s, int64_t run, unsigned i, double value)
{
	sqlite3_stmt *st =
		store_query(s, "INSERT INTO sample (run_id, i, value) VALUES (?1, ?2, ?3)", 0, NULL);

	if (!st)
		return false;
	sqlite3_bind_int64(st, 1, run);
	sqlite3_bind_int64(st, 2, i);
	sqlite3_bind_double(st, 3, value);
	return finish(s, st);
}

bool store_bin(struct store *s, int64_t run, double low, double high, uint64_t n)
{
	sqlite3_stmt *st = store_query(
		s, "INSERT INTO histogram (run_id, low, high, n) VALUES (?1, ?2, ?3, ?4)", 0, NULL);

	if (!st)
		return false;
	sqlite3_bind_int64(st, 1, run);
	sqlite3_bind_double(st, 2, low);
	sqlite3_bind_double(st, 3, high);
	sqlite3_bind_int64(st, 4, (int64_t)n);
	return finish(s, st);
}

bool store_verdict(struct store *s, const char *subject, const char *body, bool ok,
		   const char *note)
{
	const char *arg[] = { subject, body, note };
	sqlite3_stmt *st = store_query(s,
				       "INSERT INTO verdict (subject, body, note, session_id, ok) "
				       "VALUES (?1, ?2, ?3, ?4, ?5)",
				       3, arg);

	if (!st)
		return false;
	sqlite3_bind_int64(st, 4, s->session);
	sqlite3_bind_int(st, 5, ok);
	return finish(s, st);
}

bool store_finding(struct store *s, const struct store_finding *f)
{
	const char *arg[] = { f->engine, f->fault, f->oracle, f->trace, f->variant };
	sqlite3_stmt *st = store_query(
		s,
		"INSERT INTO finding (engine, fault, oracle, trace, variant, session_id, seed, found, "
		"seconds, execs, ops_n) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
		5, arg);

	if (!st)
		return false;
	sqlite3_bind_int64(st, 6, s->session);
	sqlite3_bind_int64(st, 7, (int64_t)f->seed);
	sqlite3_bind_int(st, 8, f->found);
	sqlite3_bind_double(st, 9, f->seconds);
	sqlite3_bind_int64(st, 10, (int64_t)f->execs);
	sqlite3_bind_int(st, 11, (int)f->ops_n);
	return finish(s, st);
}
