-- When which version of a document holds: an as-of index over versions that were recorded in any order.

-- One row per thing that several versions are versions of, e.g. a file by its path. Never goes, also when it is deleted.
CREATE TABLE onward.document (
    id      BIGINT PRIMARY KEY,
    job_id  BIGINT NOT NULL REFERENCES onward.job (id),
    key     TEXT COLLATE "C" NOT NULL                -- under which people ask for it, NFC
);
CREATE UNIQUE INDEX document_by_key ON onward.document (job_id, left(key, 512), hashtextextended(key, 0));

-- One row per instant from which on a document is something else. Never changed: what was said of a slot (document,
-- instant, sequence) before stays for whoever asks what was known then. As of an instant holds the greatest key.
CREATE TABLE onward.validity (
    document_id  BIGINT NOT NULL REFERENCES onward.document (id),
    valid_from   BIGINT NOT NULL,                    -- since when it is true in the world
    sequence     BIGINT NOT NULL,                    -- of equal instants the greater one holds
    serial       BIGINT NOT NULL CHECK (serial >= 1),  -- rises when the same slot is recorded again
    recorded_at  BIGINT NOT NULL,                    -- when the ledger learned it
    item_id      BIGINT NOT NULL REFERENCES onward.item (id),  -- whose version says so, or that is gone
    number       BIGINT,                             -- of that version; NULL where the item is gone
    -- digest of the document's bytes; NULL: there is no such document any more
    content      BYTEA,
    PRIMARY KEY (document_id, valid_from, sequence, serial)
);

-- What every run asks first, of however many runs there were.
CREATE INDEX run_open ON onward.run (job_id) WHERE finished_at IS NULL;
