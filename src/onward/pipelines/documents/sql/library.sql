-- The library of one documents job: what its versions are made of. Which version is true when is the ledger's.
-- Digests are 32-byte blobs. Rows are only added: a version that was true once can be asked for as long as there is a
-- ledger. Only `standing` and `note` are ever changed.

-- name: schema
CREATE TABLE IF NOT EXISTS note (            -- which embedder, and what the store looked like when it was last left
    name   TEXT PRIMARY KEY,
    value  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO note VALUES ('id', randomblob(16));  -- one that was lost and made anew has another
CREATE TABLE IF NOT EXISTS content (         -- the bytes of every version of every document
    digest  BLOB    NOT NULL UNIQUE,         -- sha256 of the bytes
    size    INTEGER NOT NULL,                -- how many they are
    data    BLOB    NOT NULL                 -- deflated where that is shorter: then it has fewer bytes than `size`
) STRICT;
CREATE TABLE IF NOT EXISTS chunk (           -- one row per text that was ever embedded
    number   INTEGER PRIMARY KEY,
    id       TEXT    NOT NULL UNIQUE,        -- digest of heading and text
    heading  TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    words    INTEGER NOT NULL,               -- terms in heading and text, as the index below counts them
    vector   BLOB    NOT NULL,               -- float32, little-endian
    sum      BLOB    NOT NULL                -- sha256 of the vector; heading and text are told by `id`
) STRICT;
CREATE TABLE IF NOT EXISTS outline (         -- one row per result: the chunks of a version, in order
    digest   BLOB NOT NULL UNIQUE,           -- of the record; the ledger's version has it
    record   TEXT NOT NULL,                  -- the result as it was staged
    chunks   BLOB NOT NULL                   -- numbers of its chunks, four bytes each, little-endian
) STRICT;
CREATE TABLE IF NOT EXISTS standing (        -- the current result of each item
    output  TEXT PRIMARY KEY,
    digest  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS word USING fts5(
    heading, text, content='chunk', content_rowid='number', tokenize="unicode61 remove_diacritics 2"
);
CREATE VIRTUAL TABLE IF NOT EXISTS posting USING fts5vocab(word, 'instance');

-- name: note
SELECT value FROM note WHERE name = ?

-- name: put_note
INSERT INTO note (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: content
SELECT size, data FROM content WHERE digest = ?

-- name: put_content
INSERT INTO content (digest, size, data) VALUES (?, ?, ?)
ON CONFLICT (digest) DO UPDATE SET size = excluded.size, data = excluded.data

-- name: tables
SELECT name FROM sqlite_schema WHERE type = 'table'

-- name: chunk_number
SELECT number FROM chunk WHERE id = ?

-- name: put_chunk
INSERT INTO chunk (id, heading, text, words, vector, sum) VALUES (?, ?, ?, ?, ?, ?)

-- name: mend_chunk
UPDATE chunk SET heading = ?, text = ?, words = ?, vector = ?, sum = ? WHERE number = ?

-- name: put_words
INSERT INTO word (rowid, heading, text) VALUES (?, ?, ?)

-- name: chunk
SELECT id, heading, text, vector, sum FROM chunk WHERE id = ?

-- name: length
SELECT words FROM chunk WHERE id = ?

-- name: chunks
SELECT id, heading, text, vector, sum FROM chunk ORDER BY id

-- name: ids
SELECT number, id FROM chunk

-- name: chunks_after
SELECT number, id, words FROM chunk WHERE number > ? ORDER BY number

-- name: outline
SELECT chunks FROM outline WHERE digest = ?

-- name: record
SELECT record, chunks FROM outline WHERE digest = ?

-- name: outlines
SELECT record, chunks FROM outline ORDER BY rowid DESC

-- name: put_outline
INSERT INTO outline (digest, record, chunks) VALUES (?, ?, ?)
ON CONFLICT (digest) DO UPDATE SET record = excluded.record, chunks = excluded.chunks

-- name: standing
SELECT digest FROM standing WHERE output = ?

-- name: all_standing
SELECT output FROM standing ORDER BY output

-- name: put_standing
INSERT INTO standing (output, digest) VALUES (?, ?) ON CONFLICT (output) DO UPDATE SET digest = excluded.digest

-- name: drop_standing
DELETE FROM standing WHERE output = ?

-- name: postings
SELECT chunk.id, count(*) FROM posting JOIN chunk ON chunk.number = posting.doc WHERE posting.term = ? GROUP BY chunk.number
