-- The ledger of onward: what was done, from what, with what, and what is still to be delivered.
--
-- Every row of job .. validity is also in the journal, whole, as it was written; the tables can be rebuilt from it.
-- signature and memo are caches: not journaled, and may be thrown away at any time. archive says where entries went.
-- Instants are INTEGER microseconds since 1970-01-01T00:00:00Z; file times are nanoseconds; sizes are bytes.
-- Digests are 32-byte blobs here, `sha256:<hex>` at the edge. Column order is the order of fields in model/record.py.

-- One row per migration that was applied, in the same transaction as its changes.
CREATE TABLE migration (
    number      INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL,
    applied_at  INTEGER NOT NULL
) STRICT;

-- The one row that names this ledger; part of the domain of every journal hash, so that chains cannot be swapped.
CREATE TABLE identity (
    uuid        TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

-- One row per batch that a person names.
CREATE TABLE job (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    pipeline    TEXT    NOT NULL,            -- as given to `onward run`: a room, module:name or file.py:name
    source      TEXT    NOT NULL,            -- input, relative to the parent of the state folder; no password
    out         TEXT    NOT NULL UNIQUE,     -- output, likewise; an output belongs to one job
    status      TEXT    NOT NULL CHECK (status IN
                    ('pending', 'running', 'completed', 'paused', 'stopped', 'interrupted', 'failed')),
    created_at  INTEGER NOT NULL,
    run_id      INTEGER,                     -- the run that may write now, or wrote last; the fence of every commit
    options     TEXT    NOT NULL             -- JSON: what a later run needs to do the same
) STRICT;

-- One row per execution of a job by one process.
CREATE TABLE run (
    id           INTEGER PRIMARY KEY,
    job_id       INTEGER NOT NULL REFERENCES job (id),
    name         TEXT    NOT NULL UNIQUE,    -- the run id a person sees: 20251228_143022, local time
    label        TEXT    NOT NULL,           -- --run-name, or ''
    status       TEXT    NOT NULL CHECK (status IN
                    ('pending', 'running', 'completed', 'paused', 'stopped', 'interrupted', 'failed')),
    started_at   INTEGER NOT NULL,
    finished_at  INTEGER,                    -- NULL while it runs; recovery closes it
    pid          INTEGER NOT NULL,
    host         TEXT    NOT NULL,
    environment  TEXT    NOT NULL,           -- JSON: git commit and branch, researcher, python, platform
    config       TEXT    NOT NULL,           -- JSON: every setting in force; secrets redacted
    counts       TEXT,                       -- JSON, NULL while it runs
    folder       TEXT,                       -- its artifacts, relative to the output folder; NULL when it left none
    CHECK ((finished_at IS NULL) = (status = 'running'))
) STRICT;
CREATE INDEX run_by_job ON run (job_id);
CREATE INDEX run_open ON run (job_id) WHERE finished_at IS NULL;

-- One row per way of making outputs: the code part and the config part of a fingerprint.
CREATE TABLE recipe (
    id      INTEGER PRIMARY KEY,
    job_id  INTEGER NOT NULL REFERENCES job (id),
    code    BLOB    NOT NULL,                -- digest of steps and declared libraries
    config  BLOB    NOT NULL,                -- digest of the settings that were read
    parts   TEXT    NOT NULL,                -- JSON: steps, depends, config; so that a difference can be named
    UNIQUE (job_id, code, config)
) STRICT;

-- One row per place that holds items and is skipped whole when nothing in it moved.
CREATE TABLE container (
    id      INTEGER PRIMARY KEY,
    job_id  INTEGER NOT NULL REFERENCES job (id),
    key     TEXT    NOT NULL,                -- a folder relative to the input, '' for the input itself
    UNIQUE (job_id, key)
) STRICT;

-- One row per item that a source ever offered.
CREATE TABLE item (
    id            INTEGER PRIMARY KEY,
    job_id        INTEGER NOT NULL REFERENCES job (id),
    container_id  INTEGER NOT NULL REFERENCES container (id),
    key           TEXT    NOT NULL,          -- lasting identity within the job, NFC
    state         TEXT    NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed', 'quarantined', 'gone')),
    version       INTEGER,                   -- number of its current version; NULL before the first success
    serial        INTEGER NOT NULL,          -- attempts ever made; the number of the last one
    tries         INTEGER NOT NULL,          -- attempts spent on the fingerprint that is being tried
    lost          INTEGER NOT NULL,          -- runs in a row that died while it was in flight
    retry_at      INTEGER,                   -- a failed item is not tried before; NULL: at once
    note          TEXT,                      -- why it failed, waits, or was reopened; NULL when all is well
    content       BLOB,                      -- what was last tried, where that is not the current version
    recipe_id     INTEGER REFERENCES recipe (id),  -- likewise
    UNIQUE (job_id, key)
) STRICT;
CREATE INDEX item_by_container ON item (container_id);
CREATE INDEX item_unsettled ON item (job_id, state) WHERE state <> 'succeeded';

-- One row per try at one item. Rows are closed once and never deleted. Without outcome it is in flight.
CREATE TABLE attempt (
    item_id      INTEGER NOT NULL REFERENCES item (id),
    serial       INTEGER NOT NULL CHECK (serial >= 1),   -- counted over all runs and fingerprints
    run_id       INTEGER NOT NULL REFERENCES run (id),
    number       INTEGER NOT NULL CHECK (number >= 1),   -- 1 = first try at this fingerprint
    started_at   INTEGER NOT NULL,           -- when the right to try was given
    finished_at  INTEGER,                    -- NULL while in flight; recovery closes it as lost
    outcome      TEXT CHECK (outcome IN ('succeeded', 'failed', 'interrupted', 'lost')),
    content      BLOB,                       -- bytes that were read; NULL: none, or see the version it made
    recipe_id    INTEGER REFERENCES recipe (id),  -- NULL while in flight and where no step ran
    error        TEXT,                       -- JSON: type, slug, message, transient, traceback
    reason       TEXT    NOT NULL,           -- why it was made: new, content-changed, code-changed:<step>, ...
    PRIMARY KEY (item_id, serial),
    CHECK ((finished_at IS NULL) = (outcome IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_in_flight ON attempt (item_id) WHERE outcome IS NULL;
CREATE INDEX attempt_by_run ON attempt (run_id);

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

-- One row per item whose result is committed and not yet confirmed at its destination. Dropped when it is.
CREATE TABLE publish (
    item_id  INTEGER PRIMARY KEY REFERENCES item (id),
    kind     TEXT    NOT NULL CHECK (kind IN ('output', 'quarantine', 'retract')),
    version  INTEGER,                        -- the version to deliver; NULL for evidence and where an output is to go
    staged   TEXT    NOT NULL,               -- name in the staging folder; '' where an output is to go
    output   TEXT    NOT NULL,               -- where it goes, or what is taken away; relative to the output folder
    digest   BLOB    NOT NULL                -- of what is delivered, or of what is expected where it is taken away
) STRICT;

-- One row per request of a person to a job. The last one stands; a stop yields to new only.
CREATE TABLE control (
    id            INTEGER PRIMARY KEY,       -- rises in the order the requests were recorded
    job_id        INTEGER NOT NULL REFERENCES job (id),
    request       TEXT    NOT NULL CHECK (request IN ('pause', 'resume', 'stop', 'new')),
    who           TEXT    NOT NULL,          -- as in a run's environment: name and address, or the login
    host          TEXT    NOT NULL,          -- where it was asked
    pid           INTEGER NOT NULL,          -- the process that asked
    why           TEXT    NOT NULL,          -- in the person's words; '' when none were given
    requested_at  INTEGER NOT NULL,
    obeyed_at     INTEGER                    -- since when nothing new can start, or may again; NULL: not yet answered
) STRICT;
CREATE INDEX control_by_job ON control (job_id);

-- One row per question that an outside service answered for a price. Never changed; every job may use the answer.
CREATE TABLE receipt (
    id           INTEGER PRIMARY KEY,        -- rises in the order they were recorded
    job_id       INTEGER NOT NULL REFERENCES job (id),
    item_id      INTEGER NOT NULL REFERENCES item (id),  -- for which it was asked first
    run_id       INTEGER NOT NULL REFERENCES run (id),
    digest       BLOB    NOT NULL,           -- of the whole question; equal questions share one answer
    question     TEXT    NOT NULL,           -- JSON, as the step asked it: model, version, digests; no secrets
    answer       TEXT    NOT NULL,           -- JSON, as it is given to the step again
    tokens_in    INTEGER NOT NULL CHECK (tokens_in >= 0),
    tokens_out   INTEGER NOT NULL CHECK (tokens_out >= 0),
    cost_micro   INTEGER NOT NULL CHECK (cost_micro >= 0),  -- millionths of a currency unit
    recorded_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX receipt_by_digest ON receipt (digest);
CREATE INDEX receipt_by_item ON receipt (item_id);
CREATE INDEX receipt_by_job ON receipt (job_id, tokens_in, tokens_out, cost_micro);
CREATE INDEX receipt_by_run ON receipt (run_id);

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

-- One row per transaction of a job: every row it wrote, in order. Append-only; each hash covers all before it.
CREATE TABLE journal (
    job_id       INTEGER NOT NULL,
    seq          INTEGER NOT NULL CHECK (seq >= 1),      -- gapless within the job
    recorded_at  INTEGER NOT NULL,
    payload      BLOB    NOT NULL,           -- JSON [[table, row], ...]; deflated when longer than 512 bytes
    hash         BLOB    NOT NULL,           -- sha256(domain, previous hash, seq, recorded_at, JSON)
    PRIMARY KEY (job_id, seq)
) STRICT;

-- One row per prefix of a job's journal that was moved to a file. Not journaled: the journal goes on from its hash.
CREATE TABLE archive (
    job_id       INTEGER NOT NULL REFERENCES job (id),
    seq          INTEGER NOT NULL CHECK (seq >= 1),      -- the last entry in the file
    hash         BLOB    NOT NULL,           -- of that entry: the new start of the chain
    file         TEXT    NOT NULL,           -- relative to the state folder
    archived_at  INTEGER NOT NULL,
    PRIMARY KEY (job_id, seq)
) STRICT;

-- Cache: what a container looked like when all was settled in it.
CREATE TABLE signature (
    container_id  INTEGER PRIMARY KEY,
    mark          BLOB    NOT NULL,          -- digest of inputs and outputs: equal marks need no further reading
    unsettled     TEXT    NOT NULL,          -- JSON: keys that must be looked up all the same
    recipes       TEXT    NOT NULL,          -- JSON: ids of the recipes used in it
    gone          TEXT    NOT NULL,          -- JSON: keys that are known and were not there
    inputs        BLOB    NOT NULL,          -- disk/walk.py: name and packed stat of every file
    outputs       BLOB    NOT NULL           -- likewise: name and packed size and mtime of every output
) STRICT;

-- Cache: anything that is dear to compute and cheap to check.
CREATE TABLE memo (
    name   TEXT PRIMARY KEY,
    value  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
