-- Requests of people to jobs, outputs that are taken away, and where old journal entries went.

-- SQLite cannot change a CHECK: the rows move to a table that allows one kind more.
ALTER TABLE publish RENAME TO publish_001;

-- One row per item whose result is committed and not yet confirmed at its destination. Dropped when it is.
CREATE TABLE publish (
    item_id  INTEGER PRIMARY KEY REFERENCES item (id),
    kind     TEXT    NOT NULL CHECK (kind IN ('output', 'quarantine', 'retract')),
    version  INTEGER,                        -- the version to deliver; NULL for evidence and where an output is to go
    staged   TEXT    NOT NULL,               -- name in the staging folder; '' where an output is to go
    output   TEXT    NOT NULL,               -- where it goes, or what is taken away; relative to the output folder
    digest   BLOB    NOT NULL                -- of what is delivered, or of what is expected where it is taken away
) STRICT;

INSERT INTO publish SELECT item_id, kind, version, staged, output, digest FROM publish_001;
DROP TABLE publish_001;

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

-- One row per prefix of a job's journal that was moved to a file. Not journaled: the journal goes on from its hash.
CREATE TABLE archive (
    job_id       INTEGER NOT NULL REFERENCES job (id),
    seq          INTEGER NOT NULL CHECK (seq >= 1),      -- the last entry in the file
    hash         BLOB    NOT NULL,           -- of that entry: the new start of the chain
    file         TEXT    NOT NULL,           -- relative to the state folder
    archived_at  INTEGER NOT NULL,
    PRIMARY KEY (job_id, seq)
) STRICT;
