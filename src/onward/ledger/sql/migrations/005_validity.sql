-- When which version of a document holds: an as-of index over versions that were recorded in any order.

-- One row per thing that several versions are versions of, e.g. a file by its path. Never goes, also when it is deleted.
CREATE TABLE document (
    id      INTEGER PRIMARY KEY,
    job_id  INTEGER NOT NULL REFERENCES job (id),
    key     TEXT    NOT NULL,                -- under which people ask for it, NFC
    UNIQUE (job_id, key)
) STRICT;

-- One row per instant from which on a document is something else. Never changed: what was said of a slot (document,
-- instant, sequence) before stays for whoever asks what was known then. As of an instant holds the greatest key.
CREATE TABLE validity (
    document_id  INTEGER NOT NULL REFERENCES document (id),
    valid_from   INTEGER NOT NULL,           -- since when it is true in the world
    sequence     INTEGER NOT NULL,           -- of equal instants the greater one holds
    serial       INTEGER NOT NULL CHECK (serial >= 1),   -- rises when the same slot is recorded again
    recorded_at  INTEGER NOT NULL,           -- when the ledger learned it
    item_id      INTEGER NOT NULL REFERENCES item (id),  -- whose version says so, or that is gone
    number       INTEGER,                    -- of that version; NULL where the item is gone
    content      BLOB,                       -- digest of the document's bytes; NULL: there is no such document any more
    PRIMARY KEY (document_id, valid_from, sequence, serial)
) STRICT, WITHOUT ROWID;

-- What every run asks first, of however many runs there were.
CREATE INDEX run_open ON run (job_id) WHERE finished_at IS NULL;
