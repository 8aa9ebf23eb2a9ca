-- What outside services answered and what it cost.

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
