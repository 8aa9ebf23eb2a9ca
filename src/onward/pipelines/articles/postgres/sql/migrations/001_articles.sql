-- The tables of articles: what was found in each document, as rows that a person can ask about.
-- `{schema}` is the schema that `--out` names, `articles` by default. Several jobs may share it: `job` tells them apart.
-- Text that holds U+0000, which PostgreSQL has no place for, is escaped: U+0001 U+0001 stands for U+0000,
-- U+0001 U+0002 for U+0001, and U+0001 U+0003 with four hex digits for half of a surrogate pair.

-- One row per job that ever wrote here.
CREATE TABLE {schema}.onward_job (
    job         text    PRIMARY KEY,             -- <name of the job>@<first digits of its ledger's id>; '' for single saves
    is_finished boolean NOT NULL DEFAULT false,  -- nothing was written since a run brought the rows into their last form
    is_trusted  boolean NOT NULL DEFAULT false   -- a run has ended since this row was made; before, rows may be missing
);

-- One row per document that is done: what its source says of it, and its syntax.
CREATE TABLE {schema}.article (
    job          text        NOT NULL REFERENCES {schema}.onward_job (job) ON DELETE CASCADE,
    key          text        NOT NULL,           -- lasting identity in the job; a text id as it is, a number with '#'
    doc_id       jsonb,                          -- the id as it was given, of its own type
    title        text,                           -- NULL where the document has none
    published_at text,                           -- as the document spells it
    sentences    jsonb       NOT NULL,           -- [{start, end, tokens: [{text, lemma, pos, head, dep, start, end}]}]
    timings_s    jsonb,                          -- seconds each step took
    llm          jsonb,                          -- model, tokens and cost, where one was asked
    more         jsonb       NOT NULL,           -- every other field of the result
    token        text        NOT NULL,           -- the attempt that made it: <run>.<item>.<serial>.staged
    serial       bigint      NOT NULL,           -- number of that attempt; a row gives way to a later one only
    saved_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job, key)
);
CREATE INDEX article_key ON {schema}.article (key);

-- One row per entity. Offsets are characters of the document's text, end exclusive.
CREATE TABLE {schema}.entity (
    job        text   NOT NULL,
    key        text   NOT NULL,
    number     int    NOT NULL,                  -- from 0, in the order of the text
    text       text,
    label      text,                             -- PERSON, ORG, GPE, ...
    start_char bigint,
    end_char   bigint,
    more       jsonb  NOT NULL,                  -- every other field
    PRIMARY KEY (job, key, number),
    FOREIGN KEY (job, key) REFERENCES {schema}.article (job, key) ON DELETE CASCADE
);
-- A word may be kilobytes long, and an index row may not; `left(text, 200)` finds through it.
CREATE INDEX entity_text ON {schema}.entity (label, left(text, 200));

-- One row per event. Who, what, whom, where and when are words of the text, NULL where it does not say.
CREATE TABLE {schema}.event (
    job        text             NOT NULL,
    key        text             NOT NULL,
    number     int              NOT NULL,        -- from 0, in the order of the text
    id         text,                             -- <key>:<n>
    type       text,
    trigger    text,
    lemma      text,                             -- of the trigger
    who        text,
    what       text,
    whom       text,
    "where"    text,
    "when"     text,
    sentence   bigint,                           -- index into the article's sentences, from 0
    method     text,                             -- rules or llm
    confidence double precision,                 -- 0 to 1
    spans      jsonb,                            -- [start, end] of each of them, characters of the text
    cluster    text,                             -- events of one happening share it; NULL until events are linked
    more       jsonb            NOT NULL,        -- every other field
    PRIMARY KEY (job, key, number),
    FOREIGN KEY (job, key) REFERENCES {schema}.article (job, key) ON DELETE CASCADE
);
CREATE INDEX event_id ON {schema}.event (job, id);
CREATE INDEX event_cluster ON {schema}.event (cluster) WHERE cluster IS NOT NULL;
CREATE INDEX event_lemma ON {schema}.event (left(lemma, 200));

-- One row per document that failed for good and waits for a person: the evidence.
CREATE TABLE {schema}.quarantine (
    job      text        NOT NULL REFERENCES {schema}.onward_job (job) ON DELETE CASCADE,
    output   text        NOT NULL,               -- the name that the ledger has for it
    evidence jsonb       NOT NULL,               -- key, reason, error, attempts
    token    text        NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job, output)
);

-- One row per result between the moment a worker has made it and the moment the ledger has it. Empty when nothing runs.
CREATE TABLE {schema}.onward_staged (
    job       text        NOT NULL REFERENCES {schema}.onward_job (job) ON DELETE CASCADE,
    token     text        NOT NULL,
    digest    text        NOT NULL,              -- sha256:<hex> of the result in its canonical form
    document  jsonb       NOT NULL,
    staged_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job, token)
);

-- One row per article that anybody but onward has written to since onward did. The next run compares it with its digest.
CREATE TABLE {schema}.onward_touched (
    job text NOT NULL,
    key text NOT NULL,
    PRIMARY KEY (job, key)
);

-- One row per token of every sentence, for whoever would rather not open `sentences`.
CREATE VIEW {schema}.token AS
SELECT
    a.job,
    a.key,
    s.number - 1                          AS sentence,
    t.number - 1                          AS number,
    t.value ->> 'text'                    AS text,
    t.value ->> 'lemma'                   AS lemma,
    t.value ->> 'pos'                     AS pos,
    (t.value ->> 'head')::bigint          AS head,
    t.value ->> 'dep'                     AS dep,
    (t.value ->> 'start')::bigint         AS start_char,
    (t.value ->> 'end')::bigint           AS end_char
FROM {schema}.article AS a
CROSS JOIN LATERAL jsonb_array_elements(a.sentences) WITH ORDINALITY AS s (value, number)
CROSS JOIN LATERAL jsonb_array_elements(
    CASE WHEN jsonb_typeof(s.value -> 'tokens') = 'array' THEN s.value -> 'tokens' ELSE '[]' END
) WITH ORDINALITY AS t (value, number);

-- Whatever is written by others leaves a mark. A statement of ours says so first, in `onward.writes`.
CREATE FUNCTION {schema}.onward_mark_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO {schema}.onward_touched (job, key) VALUES (OLD.job, OLD.key) ON CONFLICT DO NOTHING;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO {schema}.onward_touched (job, key) VALUES (NEW.job, NEW.key) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION {schema}.onward_mark_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.onward_touched (job, key) SELECT job, key FROM {schema}.article ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER article_touched AFTER INSERT OR UPDATE OR DELETE ON {schema}.article FOR EACH ROW
    WHEN (current_setting('onward.writes', true) IS DISTINCT FROM 'yes') EXECUTE FUNCTION {schema}.onward_mark_row();
CREATE TRIGGER entity_touched AFTER INSERT OR UPDATE OR DELETE ON {schema}.entity FOR EACH ROW
    WHEN (current_setting('onward.writes', true) IS DISTINCT FROM 'yes') EXECUTE FUNCTION {schema}.onward_mark_row();
CREATE TRIGGER event_touched AFTER INSERT OR UPDATE OR DELETE ON {schema}.event FOR EACH ROW
    WHEN (current_setting('onward.writes', true) IS DISTINCT FROM 'yes') EXECUTE FUNCTION {schema}.onward_mark_row();
CREATE TRIGGER article_emptied BEFORE TRUNCATE ON {schema}.article EXECUTE FUNCTION {schema}.onward_mark_all();
CREATE TRIGGER entity_emptied BEFORE TRUNCATE ON {schema}.entity EXECUTE FUNCTION {schema}.onward_mark_all();
CREATE TRIGGER event_emptied BEFORE TRUNCATE ON {schema}.event EXECUTE FUNCTION {schema}.onward_mark_all();
