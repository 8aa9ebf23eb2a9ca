-- What the PostgreSQL sink asks and writes. `{schema}` is the schema that `--out` names.

-- name: schema_lock
SELECT pg_advisory_xact_lock(hashtextextended('onward.articles/' || %(schema)s, 0))

-- name: make_schema
CREATE SCHEMA IF NOT EXISTS {schema}

-- name: has_migrations
SELECT to_regclass(%(table)s) IS NOT NULL

-- name: make_migrations
CREATE TABLE IF NOT EXISTS {schema}.onward_migration (
    number     int         PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: last_migration
SELECT coalesce(max(number), 0) FROM {schema}.onward_migration

-- name: add_migration
INSERT INTO {schema}.onward_migration (number, name) VALUES (%(number)s, %(name)s)

-- name: ours
SELECT set_config('onward.writes', 'yes', true)

-- name: add_job
INSERT INTO {schema}.onward_job (job) VALUES (%(job)s) ON CONFLICT DO NOTHING

-- name: stage
INSERT INTO {schema}.onward_staged (job, token, digest, document)
VALUES (%(job)s, %(token)s, %(digest)s, %(document)s)
ON CONFLICT (job, token) DO UPDATE SET digest = excluded.digest, document = excluded.document

-- name: staged
SELECT token FROM {schema}.onward_staged WHERE job = %(job)s AND token = ANY (%(tokens)s::text[])

-- name: staged_digest
SELECT digest FROM {schema}.onward_staged WHERE job = %(job)s AND token = %(token)s

-- name: drop_staged
DELETE FROM {schema}.onward_staged WHERE job = %(job)s AND token = ANY (%(tokens)s::text[])

-- name: discard_staged
DELETE FROM {schema}.onward_staged WHERE job = %(job)s AND token <> ALL (%(wanted)s::text[]) RETURNING token

-- name: put_articles
-- A row gives way to a later attempt only: a process that slept through that one changes nothing.
INSERT INTO {schema}.article AS a (
    job, key, doc_id, title, published_at, sentences, timings_s, llm, more, token, serial
)
SELECT
    s.job,
    w.output,
    s.document -> 'doc_id',
    s.document ->> 'title',
    s.document ->> 'published_at',
    s.document -> 'sentences',
    s.document -> 'timings_s',
    s.document -> 'llm',
    s.document -> 'more',
    s.token,
    split_part(s.token, '.', 3)::bigint
FROM {schema}.onward_staged AS s
JOIN unnest(%(tokens)s::text[], %(outputs)s::text[]) AS w (token, output) ON w.token = s.token
WHERE s.job = %(job)s
ORDER BY w.output
ON CONFLICT (job, key) DO UPDATE SET
    doc_id = excluded.doc_id,
    title = excluded.title,
    published_at = excluded.published_at,
    sentences = excluded.sentences,
    timings_s = excluded.timings_s,
    llm = excluded.llm,
    more = excluded.more,
    token = excluded.token,
    serial = excluded.serial,
    saved_at = excluded.saved_at
WHERE a.serial <= excluded.serial
RETURNING key, token

-- name: drop_entities
DELETE FROM {schema}.entity WHERE job = %(job)s AND key = ANY (%(keys)s::text[])

-- name: put_entities
INSERT INTO {schema}.entity (job, key, number, text, label, start_char, end_char, more)
SELECT
    s.job,
    w.key,
    e.number - 1,
    e.value ->> 'text',
    e.value ->> 'label',
    (e.value ->> 'start')::bigint,
    (e.value ->> 'end')::bigint,
    e.value -> 'more'
FROM {schema}.onward_staged AS s
JOIN unnest(%(tokens)s::text[], %(keys)s::text[]) AS w (token, key) ON w.token = s.token
CROSS JOIN LATERAL jsonb_array_elements(s.document -> 'entities') WITH ORDINALITY AS e (value, number)
WHERE s.job = %(job)s

-- name: drop_events
DELETE FROM {schema}.event WHERE job = %(job)s AND key = ANY (%(keys)s::text[])

-- name: put_events
INSERT INTO {schema}.event (
    job, key, number, id, type, trigger, lemma, who, what, whom, "where", "when", sentence, method, confidence, spans,
    more
)
SELECT
    s.job,
    w.key,
    e.number - 1,
    e.value ->> 'id',
    e.value ->> 'type',
    e.value ->> 'trigger',
    e.value ->> 'lemma',
    e.value ->> 'who',
    e.value ->> 'what',
    e.value ->> 'whom',
    e.value ->> 'where',
    e.value ->> 'when',
    (e.value ->> 'sentence')::bigint,
    e.value ->> 'method',
    (e.value ->> 'confidence')::double precision,
    e.value -> 'spans',
    e.value -> 'more'
FROM {schema}.onward_staged AS s
JOIN unnest(%(tokens)s::text[], %(keys)s::text[]) AS w (token, key) ON w.token = s.token
CROSS JOIN LATERAL jsonb_array_elements(s.document -> 'events') WITH ORDINALITY AS e (value, number)
WHERE s.job = %(job)s

-- name: put_evidence
INSERT INTO {schema}.quarantine (job, output, evidence, token)
SELECT s.job, w.output, s.document, s.token
FROM {schema}.onward_staged AS s
JOIN unnest(%(tokens)s::text[], %(outputs)s::text[]) AS w (token, output) ON w.token = s.token
WHERE s.job = %(job)s
ORDER BY w.output
ON CONFLICT (job, output) DO UPDATE SET
    evidence = excluded.evidence, token = excluded.token, saved_at = excluded.saved_at
RETURNING output, token

-- name: standing
-- What stands at these outputs: the attempt that made it, and its number.
SELECT key, token, serial FROM {schema}.article WHERE job = %(job)s AND key = ANY (%(outputs)s::text[])
UNION ALL
SELECT output, token, 0 FROM {schema}.quarantine WHERE job = %(job)s AND output = ANY (%(outputs)s::text[])

-- name: drop_articles
DELETE FROM {schema}.article WHERE job = %(job)s AND key = ANY (%(keys)s::text[])

-- name: drop_evidence
DELETE FROM {schema}.quarantine WHERE job = %(job)s AND output = ANY (%(outputs)s::text[])

-- name: drop_touched
DELETE FROM {schema}.onward_touched WHERE job = %(job)s AND key = ANY (%(keys)s::text[])

-- name: set_finished
UPDATE {schema}.onward_job
SET is_finished = %(is_finished)s, is_trusted = is_trusted OR %(is_finished)s
WHERE job = %(job)s AND is_finished <> %(is_finished)s

-- name: is_finished
SELECT is_finished FROM {schema}.onward_job WHERE job = %(job)s

-- name: is_touched
-- A job whose row is new may have lost its rows with the database; until a run has ended they are looked at one by one.
SELECT
    EXISTS (SELECT FROM {schema}.onward_touched WHERE job = %(job)s)
    OR NOT EXISTS (SELECT FROM {schema}.onward_job WHERE job = %(job)s AND is_trusted)

-- name: keys
SELECT a.key, t.key IS NOT NULL AS is_touched
FROM {schema}.article AS a
LEFT JOIN {schema}.onward_touched AS t USING (job, key)
WHERE a.job = %(job)s
ORDER BY a.key

-- name: articles
SELECT
    a.key,
    jsonb_build_object(
        'doc_id', a.doc_id, 'title', a.title, 'published_at', a.published_at, 'sentences', a.sentences,
        'timings_s', a.timings_s, 'llm', a.llm, 'more', a.more, 'entities', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'text', e.text, 'label', e.label, 'start', e.start_char, 'end', e.end_char, 'more', e.more
            ) ORDER BY e.number), '[]')
            FROM {schema}.entity AS e
            WHERE e.job = a.job AND e.key = a.key
        ), 'events', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'id', e.id, 'type', e.type, 'trigger', e.trigger, 'lemma', e.lemma, 'who', e.who, 'what', e.what,
                'whom', e.whom, 'where', e."where", 'when', e."when", 'sentence', e.sentence, 'method', e.method,
                'confidence', e.confidence, 'spans', e.spans, 'more', e.more
            ) ORDER BY e.number), '[]')
            FROM {schema}.event AS e
            WHERE e.job = a.job AND e.key = a.key
        )
    )::text
FROM {schema}.article AS a
WHERE a.job = %(job)s AND a.key = ANY (%(keys)s::text[])

-- name: evidence
SELECT output, evidence::text FROM {schema}.quarantine WHERE job = %(job)s AND output = ANY (%(outputs)s::text[])

-- name: make_live
CREATE TEMPORARY TABLE live (key text PRIMARY KEY) ON COMMIT DROP

-- name: add_live
INSERT INTO live (key) SELECT unnest(%(keys)s::text[]) ON CONFLICT DO NOTHING

-- name: drop_not_live
-- What somebody else put there, or changed, is left to the person who asks for it by `verify`.
DELETE FROM {schema}.article AS a
WHERE
    a.job = %(job)s
    AND NOT EXISTS (SELECT FROM live WHERE live.key = a.key)
    AND NOT EXISTS (SELECT FROM {schema}.onward_touched AS t WHERE t.job = a.job AND t.key = a.key)

-- name: make_clusters
CREATE TEMPORARY TABLE linked (id text PRIMARY KEY, cluster text NOT NULL) ON COMMIT DROP

-- name: add_clusters
INSERT INTO linked (id, cluster)
SELECT * FROM unnest(%(ids)s::text[], %(clusters)s::text[]) AS new (id, cluster)
ON CONFLICT (id) DO UPDATE SET cluster = excluded.cluster

-- name: fill_clusters
UPDATE {schema}.event AS e
SET cluster = now.cluster
FROM (
    SELECT e.job, e.key, e.number, l.cluster
    FROM {schema}.event AS e
    LEFT JOIN linked AS l ON l.id = e.id
    WHERE e.job = %(job)s
) AS now
WHERE
    e.job = now.job AND e.key = now.key AND e.number = now.number AND e.cluster IS DISTINCT FROM now.cluster
