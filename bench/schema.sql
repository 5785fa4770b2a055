-- Schema version 2 of results/pagemill.db.
--
-- Names are interned once (machine … series); what was measured is immutable
-- (session, run, sample, histogram, finding); what was concluded can be
-- recomputed (verdict). A run that failed is a row too: status and note say why.

CREATE TABLE machine (
	id INTEGER PRIMARY KEY,
	cpu TEXT NOT NULL, cores INTEGER NOT NULL, memory_bytes INTEGER NOT NULL, kernel TEXT NOT NULL,
	UNIQUE (cpu, cores, memory_bytes, kernel)
) STRICT;

CREATE TABLE toolchain (
	id INTEGER PRIMARY KEY,
	compiler TEXT NOT NULL, flags TEXT NOT NULL, qemu TEXT NOT NULL, valgrind TEXT NOT NULL,
	UNIQUE (compiler, flags, qemu, valgrind)
) STRICT;

CREATE TABLE revision (
	id INTEGER PRIMARY KEY,
	hash TEXT NOT NULL, dirty INTEGER NOT NULL CHECK (dirty IN (0, 1)),
	UNIQUE (hash, dirty)
) STRICT;

CREATE TABLE variant (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE metric (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	unit TEXT NOT NULL CHECK (unit IN ('ns', 'insn', 'count', 'bytes', 'ratio')),
	UNIQUE (name, unit)
) STRICT;

CREATE TABLE series (
	id INTEGER PRIMARY KEY,
	metric_id INTEGER NOT NULL REFERENCES metric (id),
	variant_id INTEGER NOT NULL REFERENCES variant (id),
	body TEXT NOT NULL,
	UNIQUE (metric_id, variant_id, body)
) STRICT;

CREATE TABLE session (
	id INTEGER PRIMARY KEY,
	started TEXT NOT NULL, -- UTC, ISO 8601
	kind TEXT NOT NULL,    -- night, bench, fuzz, stress, replay
	machine_id INTEGER NOT NULL REFERENCES machine (id),
	toolchain_id INTEGER NOT NULL REFERENCES toolchain (id),
	revision_id INTEGER NOT NULL REFERENCES revision (id)
) STRICT;

CREATE TABLE run (
	id INTEGER PRIMARY KEY,
	session_id INTEGER NOT NULL REFERENCES session (id),
	series_id INTEGER NOT NULL REFERENCES series (id),
	seed INTEGER NOT NULL,
	status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'skipped')),
	note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX run_series ON run (series_id, id);

CREATE TABLE sample (
	run_id INTEGER NOT NULL REFERENCES run (id),
	i INTEGER NOT NULL,
	value REAL NOT NULL,
	PRIMARY KEY (run_id, i)
) STRICT, WITHOUT ROWID;

-- Log-linear bins, mergeable over runs: value in [low, high), n times.
CREATE TABLE histogram (
	run_id INTEGER NOT NULL REFERENCES run (id),
	low REAL NOT NULL, high REAL NOT NULL, n INTEGER NOT NULL,
	PRIMARY KEY (run_id, low)
) STRICT, WITHOUT ROWID;

-- One fuzz run for a fault or a plain campaign: found or not, per seed.
CREATE TABLE finding (
	id INTEGER PRIMARY KEY,
	session_id INTEGER NOT NULL REFERENCES session (id),
	engine TEXT NOT NULL, fault TEXT NOT NULL, -- fault '' = unmodified tree
	seed INTEGER NOT NULL,
	found INTEGER NOT NULL CHECK (found IN (0, 1)),
	seconds REAL NOT NULL, execs INTEGER NOT NULL,
	oracle TEXT NOT NULL DEFAULT '', ops_n INTEGER NOT NULL DEFAULT 0,
	trace TEXT NOT NULL DEFAULT '',
	variant TEXT NOT NULL DEFAULT '' -- the preset fuzzed; '' = each input names its own
) STRICT;

CREATE TABLE verdict (
	id INTEGER PRIMARY KEY,
	session_id INTEGER NOT NULL REFERENCES session (id),
	subject TEXT NOT NULL, body TEXT NOT NULL,
	ok INTEGER NOT NULL CHECK (ok IN (0, 1)),
	note TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TRIGGER sample_is_immutable BEFORE UPDATE ON sample
BEGIN SELECT RAISE (ABORT, 'samples are never changed'); END;
CREATE TRIGGER sample_is_kept BEFORE DELETE ON sample
BEGIN SELECT RAISE (ABORT, 'samples are never deleted'); END;
CREATE TRIGGER histogram_is_immutable BEFORE UPDATE ON histogram
BEGIN SELECT RAISE (ABORT, 'histograms are never changed'); END;
CREATE TRIGGER histogram_is_kept BEFORE DELETE ON histogram
BEGIN SELECT RAISE (ABORT, 'histograms are never deleted'); END;

CREATE VIEW median AS
SELECT run_id, avg(value) AS value, n AS samples
FROM (SELECT run_id, value,
		row_number() OVER (PARTITION BY run_id ORDER BY value) AS i,
		count(*) OVER (PARTITION BY run_id) AS n
	FROM sample)
WHERE i IN ((n + 1) / 2, (n + 2) / 2)
GROUP BY run_id;

-- The newest run of each series, with its median.
CREATE VIEW latest AS
SELECT metric.name AS figure, variant.name AS variant, series.body AS body,
	run.status AS status, run.id AS run_id, metric.unit AS unit,
	median.samples AS samples, median.value AS value
FROM series
JOIN metric ON metric.id = series.metric_id
JOIN variant ON variant.id = series.variant_id
JOIN run ON run.id = (SELECT max(r.id) FROM run AS r WHERE r.series_id = series.id)
LEFT JOIN median ON median.run_id = run.id;
