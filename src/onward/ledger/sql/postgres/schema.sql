-- The ledger of onward in PostgreSQL: the same tables and columns as in `../schema.sql`, in a schema of their own.
--
-- Every row of job .. validity is also in the journal, whole, as it was written; the tables can be rebuilt from it.
-- signature and memo are caches: not journaled, and may be thrown away at any time. archive stays empty here.
-- job_lease is no record either: it says who is at work now.
-- Instants are BIGINT microseconds since 1970-01-01T00:00:00Z; file times are nanoseconds; sizes are bytes.
-- Digests are 32 bytes here, `sha256:<hex>` at the edge. Column order is the order of fields in model/record.py.
-- Text is ordered by code point. U+0000, which PostgreSQL refuses, is stored as U+0001 U+0001, and U+0001 as
-- U+0001 U+0002, which keeps the order; see ledger/postgres_text.py. An index takes at most 2,704 bytes of a row, and
-- a path may have 4,096: so keys are unique by their first 512 characters and a hash of all of them.
CREATE SCHEMA IF NOT EXISTS onward;

-- One row per migration that was applied, in the same transaction as its changes.
CREATE TABLE onward.migration (
    number      BIGINT PRIMARY KEY,
    name        TEXT COLLATE "C" NOT NULL,
    applied_at  BIGINT NOT NULL
);

-- The one row that names this ledger; part of the domain of every journal hash, so that chains cannot be swapped.
CREATE TABLE onward.identity (
    uuid        TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL
);

-- One row per batch that a person names.
CREATE TABLE onward.job (
    id          BIGINT PRIMARY KEY,
    name        TEXT COLLATE "C" NOT NULL UNIQUE,
    pipeline    TEXT COLLATE "C" NOT NULL,           -- as given to `onward run`: a room, module:name or file.py:name
    source      TEXT COLLATE "C" NOT NULL,           -- input, relative to the parent of the state folder; no password
    out         TEXT COLLATE "C" NOT NULL,           -- output, likewise; an output belongs to one job
    status      TEXT COLLATE "C" NOT NULL CHECK (status IN
                    ('pending', 'running', 'completed', 'paused', 'stopped', 'interrupted', 'failed')),
    created_at  BIGINT NOT NULL,
    -- the run that may write now, or wrote last; the fence of every commit
    run_id      BIGINT,
    options     TEXT COLLATE "C" NOT NULL            -- JSON: what a later run needs to do the same
);
CREATE UNIQUE INDEX job_by_out ON onward.job (left(out, 512), hashtextextended(out, 0));

-- One row per execution of a job by one process.
CREATE TABLE onward.run (
    id           BIGINT PRIMARY KEY,
    job_id       BIGINT NOT NULL REFERENCES onward.job (id),
    name         TEXT COLLATE "C" NOT NULL UNIQUE,   -- the run id a person sees: 20251228_143022, local time
    label        TEXT COLLATE "C" NOT NULL,          -- --run-name, or ''
    status       TEXT COLLATE "C" NOT NULL CHECK (status IN
                    ('pending', 'running', 'completed', 'paused', 'stopped', 'interrupted', 'failed')),
    started_at   BIGINT NOT NULL,
    finished_at  BIGINT,                             -- NULL while it runs; recovery closes it
    pid          BIGINT NOT NULL,
    host         TEXT COLLATE "C" NOT NULL,
    environment  TEXT COLLATE "C" NOT NULL,          -- JSON: git commit and branch, researcher, python, platform
    config       TEXT COLLATE "C" NOT NULL,          -- JSON: every setting in force; secrets redacted
    counts       TEXT COLLATE "C",                   -- JSON, NULL while it runs
    -- its artifacts, relative to the output folder; NULL when it left none
    folder       TEXT COLLATE "C",
    CHECK ((finished_at IS NULL) = (status = 'running'))
);
CREATE INDEX run_by_job ON onward.run (job_id);
CREATE INDEX run_open ON onward.run (job_id) WHERE finished_at IS NULL;

-- One row per way of making outputs: the code part and the config part of a fingerprint.
CREATE TABLE onward.recipe (
    id      BIGINT PRIMARY KEY,
    job_id  BIGINT NOT NULL REFERENCES onward.job (id),
    code    BYTEA NOT NULL,                          -- digest of steps and declared libraries
    config  BYTEA NOT NULL,                          -- digest of the settings that were read
    parts   TEXT COLLATE "C" NOT NULL,               -- JSON: steps, depends, config; so that a difference can be named
    UNIQUE (job_id, code, config)
);

-- One row per place that holds items and is skipped whole when nothing in it moved.
CREATE TABLE onward.container (
    id      BIGINT PRIMARY KEY,
    job_id  BIGINT NOT NULL REFERENCES onward.job (id),
    key     TEXT COLLATE "C" NOT NULL                -- a folder relative to the input, '' for the input itself
);
CREATE UNIQUE INDEX container_by_key ON onward.container (job_id, left(key, 512), hashtextextended(key, 0));

-- One row per item that a source ever offered.
CREATE TABLE onward.item (
    id            BIGINT PRIMARY KEY,
    job_id        BIGINT NOT NULL REFERENCES onward.job (id),
    container_id  BIGINT NOT NULL REFERENCES onward.container (id),
    key           TEXT COLLATE "C" NOT NULL,         -- lasting identity within the job, NFC
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed', 'quarantined', 'gone')),
    version       BIGINT,                            -- number of its current version; NULL before the first success
    serial        BIGINT NOT NULL,                   -- attempts ever made; the number of the last one
    tries         BIGINT NOT NULL,                   -- attempts spent on the fingerprint that is being tried
    lost          BIGINT NOT NULL,                   -- runs in a row that died while it was in flight
    retry_at      BIGINT,                            -- a failed item is not tried before; NULL: at once
    note          TEXT COLLATE "C",                  -- why it failed, waits, or was reopened; NULL when all is well
    content       BYTEA,                             -- what was last tried, where that is not the current version
    recipe_id     BIGINT REFERENCES onward.recipe (id)      -- likewise
);
CREATE UNIQUE INDEX item_by_key ON onward.item (job_id, left(key, 512), hashtextextended(key, 0));
CREATE INDEX item_by_container ON onward.item (container_id);
CREATE INDEX item_unsettled ON onward.item (job_id, state) WHERE state <> 'succeeded';

-- One row per try at one item. Rows are closed once and never deleted. Without outcome it is in flight.
CREATE TABLE onward.attempt (
    item_id      BIGINT NOT NULL REFERENCES onward.item (id),
    serial       BIGINT NOT NULL CHECK (serial >= 1),  -- counted over all runs and fingerprints
    run_id       BIGINT NOT NULL REFERENCES onward.run (id),
    number       BIGINT NOT NULL CHECK (number >= 1),  -- 1 = first try at this fingerprint
    started_at   BIGINT NOT NULL,                    -- when the right to try was given
    finished_at  BIGINT,                             -- NULL while in flight; recovery closes it as lost
    outcome      TEXT COLLATE "C" CHECK (outcome IN ('succeeded', 'failed', 'interrupted', 'lost')),
    content      BYTEA,                              -- bytes that were read; NULL: none, or see the version it made
    recipe_id    BIGINT REFERENCES onward.recipe (id),      -- NULL while in flight and where no step ran
    error        TEXT COLLATE "C",                   -- JSON: type, slug, message, transient, traceback
    reason       TEXT COLLATE "C" NOT NULL,          -- why it was made: new, content-changed, code-changed:<step>, ...
    PRIMARY KEY (item_id, serial),
    CHECK ((finished_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX attempt_in_flight ON onward.attempt (item_id) WHERE outcome IS NULL;
CREATE INDEX attempt_by_run ON onward.attempt (run_id);

-- One row per committed result of one item.
CREATE TABLE onward.version (
    item_id         BIGINT NOT NULL REFERENCES onward.item (id),
    number          BIGINT NOT NULL CHECK (number >= 1),  -- serial of the attempt that made it: rises, with gaps
    recorded_at     BIGINT NOT NULL,                 -- when the ledger learned it
    -- since when it is true in the world; recorded_at where nothing says
    valid_from      BIGINT NOT NULL,
    content         BYTEA NOT NULL,                  -- digest of the input bytes as processed
    recipe_id       BIGINT NOT NULL REFERENCES onward.recipe (id),
    input_size      BIGINT NOT NULL,
    input_mtime_ns  BIGINT NOT NULL,
    output          TEXT COLLATE "C" NOT NULL,       -- path relative to the output folder
    digest          BYTEA NOT NULL,                  -- of the output's bytes
    size_bytes      BIGINT NOT NULL,
    mtime_ns        BIGINT NOT NULL,                 -- of the output file, kept by the rename that publishes it
    validation      TEXT COLLATE "C" NOT NULL CHECK (validation IN ('PASS', 'WARN', 'FAIL')),
    -- JSON: what the source says of it, e.g. rows and bounds of a window
    facts           TEXT COLLATE "C",
    PRIMARY KEY (item_id, number)
);

-- One row per item whose result is committed and not yet confirmed at its destination. Dropped when it is.
CREATE TABLE onward.publish (
    item_id  BIGINT PRIMARY KEY REFERENCES onward.item (id),
    kind     TEXT COLLATE "C" NOT NULL CHECK (kind IN ('output', 'quarantine', 'retract')),
    -- the version to deliver; NULL for evidence and where an output is to go
    version  BIGINT,
    staged   TEXT COLLATE "C" NOT NULL,              -- name in the staging folder; '' where an output is to go
    -- where it goes, or what is taken away; relative to the output folder
    output   TEXT COLLATE "C" NOT NULL,
    -- of what is delivered, or of what is expected where it is taken away
    digest   BYTEA NOT NULL
);

-- One row per request of a person to a job. The last one stands; a stop yields to new only.
CREATE TABLE onward.control (
    id            BIGINT PRIMARY KEY,                -- rises in the order the requests were recorded
    job_id        BIGINT NOT NULL REFERENCES onward.job (id),
    request       TEXT COLLATE "C" NOT NULL CHECK (request IN ('pause', 'resume', 'stop', 'new')),
    who           TEXT COLLATE "C" NOT NULL,         -- as in a run's environment: name and address, or the login
    host          TEXT COLLATE "C" NOT NULL,         -- where it was asked
    pid           BIGINT NOT NULL,                   -- the process that asked
    why           TEXT COLLATE "C" NOT NULL,         -- in the person's words; '' when none were given
    requested_at  BIGINT NOT NULL,
    -- since when nothing new can start, or may again; NULL: not yet answered
    obeyed_at     BIGINT
);
CREATE INDEX control_by_job ON onward.control (job_id);

-- One row per question that an outside service answered for a price. Never changed; every job may use the answer.
CREATE TABLE onward.receipt (
    id           BIGINT PRIMARY KEY,                 -- rises in the order they were recorded
    job_id       BIGINT NOT NULL REFERENCES onward.job (id),
    item_id      BIGINT NOT NULL REFERENCES onward.item (id),  -- for which it was asked first
    run_id       BIGINT NOT NULL REFERENCES onward.run (id),
    digest       BYTEA NOT NULL,                     -- of the whole question; equal questions share one answer
    -- JSON: what a person wants to know of it (model, version); no secrets
    question     TEXT COLLATE "C" NOT NULL,
    answer       TEXT COLLATE "C" NOT NULL,          -- JSON, as it is given to the step again
    tokens_in    BIGINT NOT NULL CHECK (tokens_in >= 0),
    tokens_out   BIGINT NOT NULL CHECK (tokens_out >= 0),
    cost_micro   BIGINT NOT NULL CHECK (cost_micro >= 0),  -- millionths of a currency unit
    recorded_at  BIGINT NOT NULL
);
CREATE INDEX receipt_by_digest ON onward.receipt (digest);
CREATE INDEX receipt_by_item ON onward.receipt (item_id);
CREATE INDEX receipt_by_job ON onward.receipt (job_id, tokens_in, tokens_out, cost_micro);
CREATE INDEX receipt_by_run ON onward.receipt (run_id);

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

-- One row per transaction of a job: every row it wrote, in order. Append-only; each hash covers all before it.
CREATE TABLE onward.journal (
    job_id       BIGINT NOT NULL,
    seq          BIGINT NOT NULL CHECK (seq >= 1),   -- gapless within the job
    recorded_at  BIGINT NOT NULL,
    payload      BYTEA NOT NULL,                     -- JSON [[table, row], ...]; deflated when longer than 512 bytes
    hash         BYTEA NOT NULL,                     -- sha256(domain, previous hash, seq, recorded_at, JSON)
    PRIMARY KEY (job_id, seq)
);

-- One row per prefix of a job's journal that was moved to a file. Not journaled: the journal goes on from its hash.
CREATE TABLE onward.archive (
    job_id       BIGINT NOT NULL REFERENCES onward.job (id),
    seq          BIGINT NOT NULL CHECK (seq >= 1),   -- the last entry in the file
    hash         BYTEA NOT NULL,                     -- of that entry: the new start of the chain
    file         TEXT COLLATE "C" NOT NULL,          -- relative to the state folder
    archived_at  BIGINT NOT NULL,
    PRIMARY KEY (job_id, seq)
);

-- Cache: what a container looked like when all was settled in it.
CREATE TABLE onward.signature (
    container_id  BIGINT PRIMARY KEY,
    -- digest of inputs and outputs: equal marks need no further reading
    mark          BYTEA NOT NULL,
    unsettled     TEXT COLLATE "C" NOT NULL,         -- JSON: keys that must be looked up all the same
    recipes       TEXT COLLATE "C" NOT NULL,         -- JSON: ids of the recipes used in it
    gone          TEXT COLLATE "C" NOT NULL,         -- JSON: keys that are known and were not there
    inputs        BYTEA NOT NULL,                    -- disk/walk.py: name and packed stat of every file
    outputs       BYTEA NOT NULL                     -- likewise: name and packed size and mtime of every output
);

-- Cache: anything that is dear to compute and cheap to check.
CREATE TABLE onward.memo (
    name   TEXT COLLATE "C" PRIMARY KEY,
    value  BYTEA NOT NULL
);

-- One row per process that is at work on a job: the one that runs it ('' in share), or those that share it. Not
-- journaled. Time is the server's. Whoever finds a lease past its end takes it with the next token.
CREATE TABLE onward.job_lease (
    job_id   BIGINT NOT NULL,
    share    TEXT COLLATE "C" NOT NULL,              -- '' for the one that excludes others; else a name of its own
    token    BIGINT NOT NULL CHECK (token >= 1),     -- rises with each holder; a commit under an older one is refused
    host     TEXT COLLATE "C" NOT NULL,
    pid      BIGINT NOT NULL,
    process  TEXT COLLATE "C" NOT NULL,              -- start of the machine, pid namespace, start of the process; or ''
    until    TIMESTAMPTZ NOT NULL,                   -- renewed well before
    PRIMARY KEY (job_id, share)
);

-- One row per run that is shared out to many processes. Not journaled: it says what goes on, not what was done.
CREATE TABLE onward.distribution (
    run_id        BIGINT PRIMARY KEY,
    job_id        BIGINT NOT NULL,
    executor      TEXT COLLATE "C" NOT NULL,         -- which one carries the hints
    -- JSON: the recipe that its items are made with, without secrets
    recipe        TEXT COLLATE "C" NOT NULL,
    counts        TEXT COLLATE "C",                  -- JSON: what the plan counted; NULL while it is being made
    aside         TEXT COLLATE "C",                  -- JSON: items that are not attempted, places not looked at
    ending        TEXT COLLATE "C" CHECK (ending IN ('interrupted')),
    lease         BIGINT,                            -- token of the job's lease that the run, or whoever plans it, holds
    sweeper       TEXT COLLATE "C" NOT NULL,         -- who looks after it now
    sweeps_until  TIMESTAMPTZ NOT NULL
);

-- One row per planned item of such a run: the right to work on it. Not journaled either.
CREATE TABLE onward.task (
    run_id       BIGINT NOT NULL,
    item_id      BIGINT NOT NULL,
    place        BIGINT NOT NULL,                    -- in the order of the plan
    state        TEXT COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'held', 'delivering', 'ended')),
    token        BIGINT NOT NULL CHECK (token >= 1), -- rises with each lease; a commit under an older one is refused
    locator      BYTEA NOT NULL,                     -- what the source needs to open the item
    signature    BYTEA NOT NULL,                     -- of its bytes when it was planned
    action       TEXT COLLATE "C" NOT NULL,          -- what the plan says, and why
    reason       TEXT COLLATE "C" NOT NULL,
    owns_output  BOOLEAN NOT NULL,
    is_alone     BOOLEAN NOT NULL,                   -- tried with no other item in flight
    tried        BIGINT NOT NULL,                    -- leases ever given
    holder       TEXT COLLATE "C" NOT NULL,          -- who has the lease; '' for nobody
    until        TIMESTAMPTZ NOT NULL,               -- end of the lease
    claimed_at   TIMESTAMPTZ NOT NULL,               -- its beginning
    due_at       TIMESTAMPTZ NOT NULL,               -- not to be claimed before
    sent_at      TIMESTAMPTZ,                        -- when a hint went out last; NULL: never since it began to wait
    PRIMARY KEY (run_id, item_id)
);
CREATE INDEX task_open ON onward.task (run_id, state, place) WHERE state <> 'ended';

-- One row per question that a process is asking an outside service just now, so that no other pays for the same. Not
-- journaled. A process that died leaves its turn to others when the time is over.
CREATE TABLE onward.turn (
    digest  BYTEA PRIMARY KEY,                       -- of the question, as in receipt
    holder  TEXT COLLATE "C" NOT NULL,               -- the process, by a name of its own
    until   TIMESTAMPTZ NOT NULL                     -- renewed well before
);
