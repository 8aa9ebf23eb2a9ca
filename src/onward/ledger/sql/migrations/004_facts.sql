-- What a source says of a result besides its bytes, e.g. how many rows a window has and from when to when it reaches.

ALTER TABLE version RENAME TO version_003;

-- One row per committed result of one item.
CREATE TABLE version (
    item_id         INTEGER NOT NULL REFERENCES item (id),
    number          INTEGER NOT NULL CHECK (number >= 1),  -- serial of the attempt that made it: rises, with gaps
    recorded_at     INTEGER NOT NULL,        -- when the ledger learned it
    valid_from      INTEGER NOT NULL,        -- since when it is true in the world; recorded_at where nothing says
    content         BLOB    NOT NULL,        -- digest of the input bytes as processed
    recipe_id       INTEGER NOT NULL REFERENCES recipe (id),
    input_size      INTEGER NOT NULL,
    input_mtime_ns  INTEGER NOT NULL,
    output          TEXT    NOT NULL,        -- path relative to the output folder
    digest          BLOB    NOT NULL,        -- of the output's bytes
    size_bytes      INTEGER NOT NULL,
    mtime_ns        INTEGER NOT NULL,        -- of the output file, kept by the rename that publishes it
    validation      TEXT    NOT NULL CHECK (validation IN ('PASS', 'WARN', 'FAIL')),
    facts           TEXT,                    -- JSON: what the source says of it, e.g. rows and bounds of a window
    PRIMARY KEY (item_id, number)
) STRICT, WITHOUT ROWID;
INSERT INTO version SELECT *, NULL FROM version_003;
DROP TABLE version_003;
