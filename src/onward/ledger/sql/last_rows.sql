-- Statements of a private, temporary database: what a journal says of each row, while an audit lasts.

-- name: make
CREATE TABLE last_row (
    tbl     INTEGER NOT NULL,                -- place of the table in model/record.py
    a       INTEGER NOT NULL,                -- first column of the row's identity
    b       INTEGER NOT NULL,                -- second one, 0 where there is none
    job_id  INTEGER NOT NULL,                -- whose journal says it
    seq     INTEGER NOT NULL,                -- the entry that wrote the row last
    digest  BLOB    NOT NULL,                -- of the row, 16 bytes
    PRIMARY KEY (tbl, a, b)
) STRICT, WITHOUT ROWID;

-- name: put
INSERT INTO last_row VALUES (?,?,?,?,?,?)
ON CONFLICT (tbl, a, b) DO UPDATE SET job_id=excluded.job_id, seq=excluded.seq, digest=excluded.digest;

-- name: drop
DELETE FROM last_row WHERE tbl = ? AND a = ? AND b = ?;

-- name: of_table
SELECT a, b, job_id, seq, digest FROM last_row WHERE tbl = ? ORDER BY a, b;
