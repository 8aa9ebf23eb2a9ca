-- Statements of a private, temporary database: what a journal says of each row, while an audit lasts.

-- name: make
CREATE TABLE last_row (
    tbl     INTEGER NOT NULL,                -- place of the table in model/record.py
    a       INTEGER NOT NULL,                -- first column of the row's identity
    b       INTEGER NOT NULL,                -- second one, 0 where there is none; c and d likewise
    c       INTEGER NOT NULL,
    d       INTEGER NOT NULL,
    job_id  INTEGER NOT NULL,                -- whose journal says it
    seq     INTEGER NOT NULL,                -- the entry that wrote the row last
    digest  BLOB    NOT NULL,                -- of the row, 16 bytes
    PRIMARY KEY (tbl, a, b, c, d)
) STRICT, WITHOUT ROWID;

-- name: put
INSERT INTO last_row VALUES (?,?,?,?,?,?,?,?)
ON CONFLICT (tbl, a, b, c, d) DO UPDATE SET job_id=excluded.job_id, seq=excluded.seq, digest=excluded.digest;

-- name: drop
DELETE FROM last_row WHERE tbl = ? AND a = ? AND b = ? AND c = ? AND d = ?;

-- name: of_table
SELECT a, b, c, d, job_id, seq, digest FROM last_row WHERE tbl = ? ORDER BY a, b, c, d;
