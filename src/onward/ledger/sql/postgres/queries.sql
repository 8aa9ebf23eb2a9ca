-- What PostgreSQL needs beside ../queries.sql, or says in another way. `?` is a parameter here, too; see postgres_sql.py.

-- name: begin_write
-- Nothing here outlasts the transaction, so that a pooler in between does no harm. A commit is on the disk when it is
-- answered, also where the server's default is less. A writer that froze in the middle is ended by the server after
-- half a minute, and lets the others in; one that waits for another gives up, and looks after its connection.
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL idle_in_transaction_session_timeout = '30s';
SET LOCAL lock_timeout = '40s';
SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'

-- name: begin_read
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: declare
DECLARE cursor_name NO SCROLL CURSOR FOR
-- name: fetch
FETCH FORWARD page_rows IN cursor_name

-- name: commit
COMMIT

-- name: rollback
ROLLBACK

-- name: lock_job
SELECT name, run_id FROM job WHERE id = ? FOR UPDATE

-- name: lock_allocation
-- Held to the end of the transaction by whoever takes new ids or names a run: the number is 'onward' in ASCII.
SELECT pg_advisory_xact_lock(122520239960676)

-- name: lock_migration
SELECT pg_advisory_xact_lock(122520239960677)

-- name: known_by_key
SELECT i.*, v.* FROM (SELECT ?::bigint AS job_id, ?::text COLLATE "C" AS key) AS asked
JOIN item AS i ON i.job_id = asked.job_id AND left(i.key, 512) = left(asked.key, 512)
    AND hashtextextended(i.key, 0) = hashtextextended(asked.key, 0) AND i.key = asked.key
LEFT JOIN version AS v ON v.item_id = i.id AND v.number = i.version

-- name: document_by_key
SELECT d.* FROM (SELECT ?::bigint AS job_id, ?::text COLLATE "C" AS key) AS asked
JOIN document AS d ON d.job_id = asked.job_id AND left(d.key, 512) = left(asked.key, 512)
    AND hashtextextended(d.key, 0) = hashtextextended(asked.key, 0) AND d.key = asked.key

-- name: tree_at
SELECT d.key, v.* FROM document AS d CROSS JOIN LATERAL (
    SELECT * FROM validity WHERE document_id = d.id AND valid_from <= ? AND recorded_at <= ?
    ORDER BY valid_from DESC, sequence DESC, serial DESC LIMIT 1) AS v
WHERE d.job_id = ? AND v.content IS NOT NULL ORDER BY d.key

-- name: tables
SELECT tablename FROM pg_tables WHERE schemaname = 'onward'

-- name: encoding
SELECT current_setting('server_encoding'), pg_is_in_recovery(), current_setting('server_version')

-- name: size
SELECT coalesce(sum(pg_total_relation_size(format('%I.%I', schemaname, tablename)::regclass)), 0)
FROM pg_tables WHERE schemaname = 'onward'

-- name: lock_out_writers
-- Every transaction of a job begins with the lock of its row, and waits here; reading goes on.
LOCK TABLE onward.job IN EXCLUSIVE MODE

-- name: put_aside
ALTER SCHEMA onward RENAME TO aside_name

-- name: journal_page
SELECT job_id, seq, recorded_at, payload, hash FROM journal WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT 1000

-- name: all_live_leases
SELECT host, pid FROM job_lease WHERE until > clock_timestamp()

-- name: take_lease
-- The lease of a job, when nobody has it, when its end has passed, or when its holder is known to be dead (token ?).
INSERT INTO job_lease AS l (job_id, share, token, host, pid, process, until)
VALUES (?, ?, 1, ?, ?, ?, clock_timestamp() + interval '1 second' * ?)
ON CONFLICT (job_id, share) DO UPDATE SET token = l.token + 1, host = excluded.host, pid = excluded.pid,
    process = excluded.process, until = excluded.until
WHERE l.until <= clock_timestamp() OR l.token = ?
RETURNING token

-- name: holder_of_lease
SELECT token, host, pid, process, until > clock_timestamp() FROM job_lease WHERE job_id = ? AND share = ?

-- name: live_leases
SELECT share, token, host, pid, process FROM job_lease WHERE job_id = ? AND until > clock_timestamp()

-- name: renew_lease
UPDATE onward.job_lease SET until = clock_timestamp() + interval '1 second' * ?
WHERE job_id = ? AND share = ? AND token = ?

-- name: release_lease
UPDATE onward.job_lease SET until = '-infinity' WHERE job_id = ? AND share = ? AND token = ?

-- name: drop_share
DELETE FROM job_lease WHERE job_id = ? AND share = ? AND token = ?

-- name: drop_dead_shares
DELETE FROM job_lease WHERE job_id = ? AND share <> '' AND until <= clock_timestamp()

-- name: lease_holds
SELECT token FROM job_lease WHERE job_id = ? AND share = '' FOR SHARE

-- name: take_turn
INSERT INTO turn AS t (digest, holder, until) VALUES (?, ?, clock_timestamp() + interval '1 second' * ?)
ON CONFLICT (digest) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE t.until <= clock_timestamp() OR t.holder = excluded.holder
RETURNING 1

-- name: give_turn_back
DELETE FROM turn WHERE digest = ? AND holder = ?

-- name: server_now
SELECT (extract(epoch from clock_timestamp()) * 1000000)::bigint
