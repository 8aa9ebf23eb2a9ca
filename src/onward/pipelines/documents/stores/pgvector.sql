-- The store in PostgreSQL: one row a chunk of each collection. {schema} is replaced by the name of the schema.
-- A sequence counts every statement that writes, whoever sends it.

-- name: schema
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.note (
    collection  text NOT NULL,
    name        text NOT NULL,
    value       text NOT NULL,
    PRIMARY KEY (collection, name)
);
CREATE TABLE IF NOT EXISTS {schema}.chunk (
    collection  text NOT NULL,
    id          text NOT NULL COLLATE "C",   -- digest of heading and text
    heading     text NOT NULL,
    text        text NOT NULL,
    vector      {vector}.vector NOT NULL,    -- of unit length
    PRIMARY KEY (collection, id)
);
CREATE SEQUENCE IF NOT EXISTS {schema}.change;
CREATE OR REPLACE FUNCTION {schema}.count_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM nextval(TG_TABLE_SCHEMA || '.change'); RETURN NULL; END $$;
CREATE OR REPLACE TRIGGER chunk_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}.chunk
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.count_change();

-- name: only_one_makes
SELECT pg_advisory_xact_lock(hashtextextended('onward.documents/' || %(schema)s, 0))

-- name: columns
SELECT table_name, array_agg(column_name::text ORDER BY column_name::text) FROM information_schema.columns
WHERE table_schema = %(schema)s AND table_name IN ('chunk', 'note') GROUP BY table_name

-- name: extension
CREATE EXTENSION IF NOT EXISTS vector

-- name: where_extension
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'

-- name: tables
SELECT count(*) FROM pg_tables WHERE schemaname = %(schema)s AND tablename IN ('chunk', 'note')

-- name: has_any
SELECT EXISTS (SELECT FROM {schema}.note WHERE collection = %(collection)s)
    OR EXISTS (SELECT FROM {schema}.chunk WHERE collection = %(collection)s)

-- name: notes
SELECT name, value FROM {schema}.note WHERE collection = %(collection)s

-- name: put_notes
INSERT INTO {schema}.note (collection, name, value)
SELECT %(collection)s, name, value FROM unnest(%(names)s::text[], %(values)s::text[]) AS t (name, value)
ON CONFLICT (collection, name) DO UPDATE SET value = excluded.value

-- name: count
SELECT count(*) FROM {schema}.chunk WHERE collection = %(collection)s

-- name: put_chunks
INSERT INTO {schema}.chunk (collection, id, heading, text, vector)
SELECT %(collection)s, id, heading, text, vector::{vector}.vector
FROM unnest(%(ids)s::text[], %(headings)s::text[], %(texts)s::text[], %(vectors)s::text[]) AS t (id, heading, text, vector)
ON CONFLICT (collection, id) DO UPDATE SET heading = excluded.heading, text = excluded.text, vector = excluded.vector

-- name: drop_chunks
DELETE FROM {schema}.chunk WHERE collection = %(collection)s AND id = ANY (%(ids)s::text[])

-- name: chunks
SELECT id, heading, text, {vector}.vector_send(vector) FROM {schema}.chunk
WHERE collection = %(collection)s AND id > %(after)s ORDER BY id LIMIT %(limit)s

-- name: mark
-- The number counts when a statement runs, not when it is committed: while another transaction has something to commit,
-- the instant is told, too, which is never the same again.
SELECT (SELECT last_value FROM {schema}.change),
    (SELECT count(*) FROM {schema}.chunk WHERE collection = %(collection)s),
    (SELECT max(clock_timestamp()::text) FROM pg_locks WHERE relation = to_regclass(%(table)s)
        AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))

-- name: nearest
SELECT id, 1 - (vector OPERATOR({vector}.<=>) %(vector)s::{vector}.vector) FROM {schema}.chunk
WHERE collection = %(collection)s
    AND {vector}.vector_dims(vector) = {vector}.vector_dims(%(vector)s::{vector}.vector)
ORDER BY vector OPERATOR({vector}.<=>) %(vector)s::{vector}.vector, id LIMIT %(limit)s

-- name: nearest_among
SELECT id, 1 - (vector OPERATOR({vector}.<=>) %(vector)s::{vector}.vector) FROM {schema}.chunk
WHERE collection = %(collection)s AND id = ANY (%(ids)s::text[])
    AND {vector}.vector_dims(vector) = {vector}.vector_dims(%(vector)s::{vector}.vector)
ORDER BY vector OPERATOR({vector}.<=>) %(vector)s::{vector}.vector, id LIMIT %(limit)s
