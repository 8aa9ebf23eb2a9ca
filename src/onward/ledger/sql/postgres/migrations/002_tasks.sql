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
