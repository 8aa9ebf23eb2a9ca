-- One row per question that a process is asking an outside service just now, so that no other pays for the same. Not
-- journaled. A process that died leaves its turn to others when the time is over.
CREATE TABLE onward.turn (
    digest  BYTEA PRIMARY KEY,                       -- of the question, as in receipt
    holder  TEXT COLLATE "C" NOT NULL,               -- the process, by a name of its own
    until   TIMESTAMPTZ NOT NULL                     -- renewed well before
);
