-- A manifest that has outgrown JSON: `.manifest.db`, read and written by the SQLite of the standard library.
-- Rollback journal, synchronous=FULL. One row is one line of the JSON form, which stays the only spelling of an item.

-- name: create_item
CREATE TABLE item (
    section TEXT NOT NULL,     -- files, tombstones, runs, run_files, run_configs, recipes
    run     TEXT NOT NULL,     -- of run_files: the run; else empty
    key     TEXT NOT NULL,
    line    BLOB NOT NULL,     -- the line, with its own checksum
    name    TEXT,              -- of files: the last part of the key
    output  TEXT,              -- of files and run_files: the output path
    status  TEXT,              -- of files: success or failed
    PRIMARY KEY (section, run, key)
) WITHOUT ROWID;

-- name: create_item_name
CREATE INDEX item_name ON item (name) WHERE name IS NOT NULL;

-- name: create_item_output
CREATE INDEX item_output ON item (output) WHERE output IS NOT NULL;

-- name: create_fact
CREATE TABLE fact (
    grp   TEXT NOT NULL,       -- '' and metadata, extra: as in the JSON; own: of this file alone
    name  TEXT NOT NULL,
    value BLOB NOT NULL,       -- JSON
    PRIMARY KEY (grp, name)
) WITHOUT ROWID;

-- name: get_line
SELECT line FROM item WHERE section = ? AND run = ? AND key = ?;

-- name: table_lines
SELECT key, line FROM item WHERE section = ? AND run = ?;

-- name: all_items
SELECT section, run, key, line, name, output, status FROM item;

-- name: sections
SELECT DISTINCT section, run FROM item;

-- name: runs_with_files
SELECT DISTINCT run FROM item WHERE section = 'run_files';

-- name: keys_named
SELECT key FROM item WHERE name = ? ORDER BY key LIMIT 3;

-- name: made
SELECT section, run, key FROM item WHERE output = ?;

-- name: counts
SELECT status, count(*) FROM item WHERE section = 'files' GROUP BY status;

-- name: facts
SELECT grp, name, value FROM fact;

-- name: put_item
INSERT OR REPLACE INTO item (section, run, key, line, name, output, status) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: delete_item
DELETE FROM item WHERE section = ? AND run = ? AND key = ?;

-- name: run_items
SELECT section, run, key, line FROM item WHERE (section = 'run_files' AND run = ?1) OR (section = 'runs' AND key = ?1);

-- name: put_fact
INSERT OR REPLACE INTO fact (grp, name, value) VALUES (?, ?, ?);
