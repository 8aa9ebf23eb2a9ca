-- What is asked of PostgreSQL's catalogue and of its transactions, statement by statement. What is put together from
-- names of tables and columns is made in database.py and condition.py.

-- name: session
-- Texts that do not depend on where the server stands, and no end to a transaction that waits for a worker.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'iso_8601';
SET bytea_output = 'hex';
SET extra_float_digits = 3;
SET standard_conforming_strings = on;
SET default_transaction_read_only = on;
SELECT pg_catalog.set_config(name, '0', false)
  FROM pg_catalog.pg_settings
 WHERE name IN ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout');

-- name: begin
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: export_snapshot
SELECT pg_catalog.pg_export_snapshot();

-- name: own_snapshot
SELECT pg_catalog.txid_current_snapshot()::text;

-- name: version
SELECT pg_catalog.version();

-- name: list_tables
SELECT n.nspname, c.relname,
       CASE c.relkind
            WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
            ELSE CASE WHEN c.relispartition THEN 'partition' ELSE 'table' END
       END
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND (%(schema)s::text IS NULL OR n.nspname = %(schema)s)
   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
   AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
 ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C";

-- name: columns
-- One row a column, in order. A key part's number counts from 1; NULL where the column is no part of the key.
-- From PostgreSQL 18 a NOT NULL may be promised for new rows only, and is then not valid.
SELECT c.oid::bigint, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid::bigint, a.atttypmod,
       NOT a.attnotnull OR EXISTS (
           SELECT FROM pg_catalog.pg_constraint p
            WHERE p.conrelid = c.oid AND p.contype = 'n' AND NOT p.convalidated AND a.attnum = ANY (p.conkey)
       ),
       pg_catalog.array_position(i.indkey::int2[], a.attnum)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary
 WHERE n.nspname = %(schema)s AND c.relname = %(table)s
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
   AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
 ORDER BY a.attnum;

-- name: types
-- The types of a table's columns, with what those are made of: a domain's base type, an array's elements.
WITH RECURSIVE needed (oid) AS (
    SELECT a.atttypid FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = %(relation)s::oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END
      FROM pg_catalog.pg_type t JOIN needed ON t.oid = needed.oid
     WHERE t.typtype = 'd' OR t.typinput = 'pg_catalog.array_in'::regproc
)
SELECT t.oid::bigint,
       CASE WHEN n.nspname = 'pg_catalog' THEN t.typname ELSE n.nspname || '.' || t.typname END,
       CASE WHEN t.typtype = 'd' THEN t.typbasetype::bigint END,
       t.typtypmod,
       t.typdelim::text,
       CASE WHEN t.typtype <> 'd' AND t.typinput = 'pg_catalog.array_in'::regproc THEN t.typelem::bigint END
  FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 WHERE t.oid IN (SELECT oid FROM needed);

-- name: money_scale
SELECT pg_catalog.scale(0::money::numeric);

-- name: rewritten
-- Whether a table's rows were thrown away or written anew since our snapshot was taken. What a SELECT reads in the
-- catalogue is as old as the snapshot; what the function says is as of now.
WITH RECURSIVE parts (oid) AS (
    SELECT %(relation)s::oid
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN parts ON i.inhparent = parts.oid
)
SELECT EXISTS (
    SELECT FROM parts JOIN pg_catalog.pg_class c ON c.oid = parts.oid
     WHERE c.relkind = 'r' AND c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)
);
