-- The default store: one row a chunk. Triggers count every change, whoever makes it.

-- name: schema
CREATE TABLE IF NOT EXISTS note (
    name   TEXT PRIMARY KEY,
    value  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunk (
    id       TEXT PRIMARY KEY,               -- digest of heading and text
    heading  TEXT NOT NULL,
    text     TEXT NOT NULL,
    vector   BLOB NOT NULL                   -- float32, little-endian, of unit length
) STRICT;
CREATE TABLE IF NOT EXISTS change (          -- one row: how often a chunk was written or taken away
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    count  INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO change VALUES (1, 0);
CREATE TRIGGER IF NOT EXISTS chunk_added AFTER INSERT ON chunk BEGIN UPDATE change SET count = count + 1; END;
CREATE TRIGGER IF NOT EXISTS chunk_altered AFTER UPDATE ON chunk BEGIN UPDATE change SET count = count + 1; END;
CREATE TRIGGER IF NOT EXISTS chunk_dropped AFTER DELETE ON chunk BEGIN UPDATE change SET count = count + 1; END;

-- name: tables
SELECT name FROM sqlite_schema WHERE type = 'table'

-- name: notes
SELECT name, value FROM note

-- name: put_note
INSERT INTO note (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: put_chunk
INSERT INTO chunk (id, heading, text, vector) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET heading = excluded.heading, text = excluded.text, vector = excluded.vector

-- name: drop_chunk
DELETE FROM chunk WHERE id = ?

-- name: count
SELECT count(*) FROM chunk

-- name: chunks
SELECT id, CAST(heading AS BLOB), CAST(text AS BLOB), vector FROM chunk ORDER BY id

-- name: vectors
SELECT id, vector FROM chunk ORDER BY id

-- name: mark
SELECT (SELECT count FROM change), (SELECT count(*) FROM chunk)
