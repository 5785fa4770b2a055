/// The result store: identity of files, immutability, medians.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store.h"

static char path[] = "/tmp/pagemill-test-store-XXXXXX";

static int make_path(void **state)
{
	(void)state;
	strcpy(path + strlen(path) - 6, "XXXXXX");
	close(mkstemp(path));
	unlink(path);
	return 0;
}

static int drop_path(void **state)
{
	char side[64];

	(void)state;
	unlink(path);
	snprintf(side, sizeof(side), "%s-wal", path);
	unlink(side);
	snprintf(side, sizeof(side), "%s-shm", path);
	unlink(side);
	return 0;
}

static double latest(struct store *s, const char *figure)
{
	sqlite3_stmt *st = store_query(s, "SELECT value FROM latest WHERE figure = ?1", 1, &figure);
	double value = -1;

	assert_non_null(st);
	if (sqlite3_step(st) == SQLITE_ROW)
		value = sqlite3_column_double(st, 0);
	sqlite3_finalize(st);
	return value;
}

static void put(struct store *s, const char *figure, const double *value, unsigned n)
{
	int64_t run;

	assert_true(store_run(s, figure, "ns", "v", "host", 1, "ok", "", &run));
	for (unsigned i = 0; i < n; i++)
		assert_true(store_sample(s, run, i, value[i]));
}

static void store_samples_written_medians_read(void **state)
{
	const double odd[] = { 9, 1, 5 }, even[] = { 4, 1, 2, 9 };
	struct store s;

	(void)state;
	assert_true(store_open(&s, path, STORE_WRITE));
	assert_true(store_session(&s, "bench"));
	put(&s, "odd", odd, 3);
	put(&s, "even", even, 4);
	assert_true(latest(&s, "odd") == 5.0);
	assert_true(latest(&s, "even") == 3.0);
	put(&s, "odd", even, 1);
	assert_true(latest(&s, "odd") == 4.0);
	store_close(&s);
}

/// What another revision did isn't this one's, though it be of the same day.
static void store_session_goes_on_with_its_revision_only(void **state)
{
	struct store s;
	int64_t first;

	(void)state;
	assert_true(store_open(&s, path, STORE_WRITE));
	assert_true(store_session_resume(&s, "fuzz"));
	first = s.session;
	assert_true(store_session_resume(&s, "night"));
	assert_true(s.session != first);
	assert_true(store_session_resume(&s, "fuzz"));
	assert_true(s.session == first);
	assert_int_equal(sqlite3_exec(s.db, "UPDATE revision SET hash = 'older'", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_true(store_session_resume(&s, "fuzz"));
	assert_true(s.session > first);
	store_close(&s);
}

static void store_sample_changed_is_refused(void **state)
{
	const double one[] = { 1 };
	struct store s;

	(void)state;
	assert_true(store_open(&s, path, STORE_WRITE));
	assert_true(store_session(&s, "bench"));
	put(&s, "a", one, 1);
	assert_int_not_equal(sqlite3_exec(s.db, "UPDATE sample SET value = 2", 0, 0, 0), SQLITE_OK);
	assert_int_not_equal(sqlite3_exec(s.db, "DELETE FROM sample", 0, 0, 0), SQLITE_OK);
	assert_true(latest(&s, "a") == 1.0);
	store_close(&s);
}

static void store_unit_unknown_is_refused(void **state)
{
	struct store s;
	int64_t run;

	(void)state;
	assert_true(store_open(&s, path, STORE_WRITE));
	assert_true(store_session(&s, "bench"));
	assert_false(store_run(&s, "a", "furlongs", "v", "host", 1, "ok", "", &run));
	store_close(&s);
}

static bool make_foreign(const char *at)
{
	sqlite3 *db;
	bool ok = sqlite3_open(at, &db) == SQLITE_OK &&
		  sqlite3_exec(db, "CREATE TABLE cats (name TEXT)", 0, 0, 0) == SQLITE_OK;

	sqlite3_close(db);
	return ok;
}

static void store_foreign_database_is_left_alone(void **state)
{
	struct store s;

	(void)state;
	assert_true(make_foreign(path));
	assert_false(store_open(&s, path, STORE_WRITE));
	assert_non_null(strstr(s.error, "another program"));
}

static void store_newer_schema_is_refused(void **state)
{
	struct store s;

	(void)state;
	assert_true(store_open(&s, path, STORE_WRITE));
	assert_int_equal(sqlite3_exec(s.db, "PRAGMA user_version = 99", 0, 0, 0), SQLITE_OK);
	store_close(&s);
	assert_false(store_open(&s, path, STORE_READ));
	assert_non_null(strstr(s.error, "newer"));
}

/// What version 1 had, and a row of it.
static void make_old(void)
{
	struct store s;

	assert_true(store_open(&s, path, STORE_WRITE));
	assert_int_equal(sqlite3_exec(s.db, "ALTER TABLE finding DROP COLUMN variant; PRAGMA "
				      "user_version = 1", 0, 0, 0), SQLITE_OK);
	store_close(&s);
}

static void store_older_schema_is_migrated(void **state)
{
	const struct store_finding f = { .engine = "afl", .fault = "", .variant = "pagemill+buddy",
					 .oracle = "", .trace = "" };
	struct store s;
	sqlite3_stmt *st;

	(void)state;
	make_old();
	assert_false(store_open(&s, path, STORE_READ));
	assert_non_null(strstr(s.error, "older"));
	assert_true(store_open(&s, path, STORE_WRITE));
	assert_true(store_session(&s, "fuzz"));
	assert_true(store_finding(&s, &f));
	store_close(&s);
	assert_true(store_open(&s, path, STORE_READ));
	st = store_query(&s, "SELECT count(*) FROM finding WHERE variant = 'pagemill+buddy'", 0, NULL);
	assert_non_null(st);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(st, 0), 1);
	sqlite3_finalize(st);
	store_close(&s);
}

static void store_text_file_is_refused(void **state)
{
	struct store s;
	FILE *f = fopen(path, "w");

	(void)state;
	fputs("not a database, but long enough to be mistaken for one at first sight\n", f);
	fclose(f);
	assert_false(store_open(&s, path, STORE_WRITE));
	assert_non_null(strstr(s.error, path));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_path, drop_path)

/// `--make-foreign FILE` makes another program's database, for scripts/test.d/store.
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(store_samples_written_medians_read),
		CASE(store_session_goes_on_with_its_revision_only),
		CASE(store_sample_changed_is_refused),
		CASE(store_unit_unknown_is_refused),
		CASE(store_foreign_database_is_left_alone),
		CASE(store_newer_schema_is_refused),
		CASE(store_older_schema_is_migrated),
		CASE(store_text_file_is_refused),
	};

	if (argc == 3 && strcmp(argv[1], "--make-foreign") == 0)
		return make_foreign(argv[2]) ? 0 : 1;
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
