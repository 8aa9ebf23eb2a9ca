-- Tasks and leases of runs that are shared out, by name. `?` is a parameter. Time is the server's.
-- A lease lasts one length after the server started, too: who could not renew it meanwhile is not to blame.

-- name: drop_ended_tasks
DELETE FROM onward.task AS t USING onward.run AS r WHERE r.id = t.run_id AND r.status <> 'running'

-- name: drop_ended_distributions
DELETE FROM onward.distribution AS d USING onward.run AS r WHERE r.id = d.run_id AND r.status <> 'running'

-- name: begin_distribution
INSERT INTO onward.distribution (run_id, job_id, executor, recipe, counts, aside, ending, lease, sweeper, sweeps_until)
SELECT ?, ?, ?, ?, NULL, NULL, NULL, (SELECT token FROM onward.job_lease WHERE job_id = ? AND share = ''), '', '-infinity'

-- name: take_job_lease
INSERT INTO onward.job_lease AS l (job_id, share, token, host, pid, process, until)
SELECT d.job_id, '', 1, ?, ?, '', clock_timestamp() + interval '1 second' * ? FROM onward.distribution AS d
WHERE d.run_id = ?
ON CONFLICT (job_id, share) DO UPDATE SET token = l.token + 1, host = excluded.host, pid = excluded.pid, process = '',
    until = excluded.until
RETURNING token

-- name: planned_out
UPDATE onward.distribution SET counts = ?, aside = ?, lease = ? WHERE run_id = ?

-- name: run_holds_job
-- Whoever takes the job from a run that nobody seems to look after takes its lease first: from then on the run's workers
-- write nothing.
SELECT l.token FROM onward.job_lease AS l JOIN onward.distribution AS d ON l.job_id = d.job_id AND l.token = d.lease
WHERE d.run_id = ? AND l.share = '' FOR SHARE OF l

-- name: keep_job_lease
UPDATE onward.job_lease AS l SET until = clock_timestamp() + interval '1 second' * ? FROM onward.distribution AS d
WHERE d.run_id = ? AND l.job_id = d.job_id AND l.share = '' AND l.token = d.lease

-- name: release_job_lease
UPDATE onward.job_lease AS l SET until = '-infinity' FROM onward.distribution AS d
WHERE d.run_id = ? AND l.job_id = d.job_id AND l.share = '' AND l.token = d.lease

-- name: add_tasks
INSERT INTO onward.task (run_id, item_id, place, state, token, locator, signature, action, reason, owns_output,
    is_alone, tried, holder, until, claimed_at, due_at, sent_at)
SELECT n.run_id, n.item_id, n.place, 'waiting', n.token, n.locator, n.signature, n.action, n.reason, n.owns_output,
    n.is_alone, 0, '', '-infinity', '-infinity', clock_timestamp() + interval '1 second' * n.wait_s, NULL
FROM unnest(?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bytea[], ?::bytea[], ?::text[], ?::text[],
    ?::boolean[], ?::boolean[], ?::double precision[])
    AS n (run_id, item_id, place, token, locator, signature, action, reason, owns_output, is_alone, wait_s)

-- name: open_distributions
SELECT d.run_id, d.job_id, d.executor, d.recipe, d.counts, d.aside, d.ending
FROM onward.distribution AS d JOIN onward.run AS r ON r.id = d.run_id JOIN onward.job AS j ON j.run_id = d.run_id
WHERE r.status = 'running' ORDER BY d.run_id

-- name: find_task
SELECT run_id, item_id, place, state, token, locator, signature, action, reason, owns_output, is_alone, tried
FROM onward.task WHERE run_id = ? AND item_id = ?

-- name: claim_task
UPDATE onward.task AS t SET state = 'held', token = t.token + 1, tried = t.tried + 1, holder = ?,
    claimed_at = clock_timestamp(), until = clock_timestamp() + interval '1 second' * ?
FROM (
    SELECT run_id, item_id FROM onward.task
    WHERE run_id = ? AND item_id = ? AND token = ? AND state = 'waiting' AND due_at <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
) AS free, onward.item AS i, onward.distribution AS d
WHERE t.run_id = free.run_id AND t.item_id = free.item_id AND i.id = t.item_id AND i.serial = ?
    AND d.run_id = t.run_id AND d.ending IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM onward.task AS o
        WHERE o.run_id = t.run_id AND o.item_id <> t.item_id AND o.state IN ('held', 'delivering')
            AND (t.is_alone OR o.is_alone)
    )
RETURNING t.token

-- name: verify_task
SELECT token FROM onward.task
WHERE run_id = ? AND item_id = ? AND token = ? AND state IN ('held', 'delivering')
    AND greatest(until, pg_postmaster_start_time() + interval '1 second' * ?) > clock_timestamp()
FOR UPDATE

-- name: renew_task
UPDATE onward.task SET until = clock_timestamp() + interval '1 second' * ?
WHERE run_id = ? AND item_id = ? AND token = ? AND state IN ('held', 'delivering')
    AND greatest(until, pg_postmaster_start_time() + interval '1 second' * ?) > clock_timestamp()
RETURNING token

-- name: wait_task
UPDATE onward.task SET state = 'waiting', holder = '', until = '-infinity', sent_at = NULL,
    due_at = clock_timestamp() + interval '1 second' * ?
WHERE run_id = ? AND item_id = ?

-- name: deliver_task
UPDATE onward.task SET state = 'delivering' WHERE run_id = ? AND item_id = ?

-- name: end_task
UPDATE onward.task SET state = 'ended', holder = '', until = '-infinity' WHERE run_id = ? AND item_id = ?

-- name: take_expired
UPDATE onward.task AS t SET token = t.token + 1, holder = ?, until = clock_timestamp() + interval '1 second' * ?
FROM (
    SELECT run_id, item_id FROM onward.task
    WHERE run_id = ? AND state IN ('held', 'delivering')
        AND greatest(until, pg_postmaster_start_time() + interval '1 second' * ?) <= clock_timestamp()
    ORDER BY place LIMIT ? FOR UPDATE SKIP LOCKED
) AS dead
WHERE t.run_id = dead.run_id AND t.item_id = dead.item_id
RETURNING t.run_id, t.item_id, t.place, t.state, t.token, t.locator, t.signature, t.action, t.reason, t.owns_output,
    t.is_alone, t.tried

-- name: sweep
UPDATE onward.distribution SET sweeper = ?, sweeps_until = clock_timestamp() + interval '1 second' * ?
WHERE run_id = ? AND (sweeper = ? OR sweeps_until <= clock_timestamp())
RETURNING run_id

-- name: unsent_tasks
UPDATE onward.task AS t SET sent_at = clock_timestamp()
FROM (
    SELECT run_id, item_id FROM onward.task AS w
    WHERE run_id = ? AND state = 'waiting' AND due_at <= clock_timestamp() AND sent_at IS NULL
        AND (NOT is_alone OR NOT EXISTS (
            SELECT 1 FROM onward.task AS o WHERE o.run_id = w.run_id AND o.state <> 'ended'
                AND (NOT o.is_alone OR o.place < w.place)
        ))
    ORDER BY place LIMIT ? FOR UPDATE SKIP LOCKED
) AS due, onward.item AS i
WHERE t.run_id = due.run_id AND t.item_id = due.item_id AND i.id = t.item_id
RETURNING t.place, i.key, t.token

-- name: count_sent
SELECT count(*) FROM onward.task WHERE run_id = ? AND state = 'waiting' AND sent_at IS NOT NULL

-- name: unheard_tasks
UPDATE onward.task AS t SET sent_at = clock_timestamp()
FROM (
    SELECT run_id, item_id FROM onward.task
    WHERE run_id = ? AND state = 'waiting' AND sent_at <= clock_timestamp() - interval '1 second' * ?
    ORDER BY sent_at, place LIMIT ? FOR UPDATE SKIP LOCKED
) AS due, onward.item AS i
WHERE t.run_id = due.run_id AND t.item_id = due.item_id AND i.id = t.item_id
RETURNING t.place, i.key, t.token

-- name: count_tasks
SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'held'),
    count(*) FILTER (WHERE state = 'delivering'), count(*) FILTER (WHERE state = 'ended'),
    count(*) FILTER (WHERE state = 'held' AND claimed_at > clock_timestamp() - interval '1 second'),
    count(*) FILTER (WHERE state IN ('held', 'delivering')
        AND greatest(until, pg_postmaster_start_time() + interval '1 second' * ?) <= clock_timestamp())
FROM onward.task WHERE run_id = ?

-- name: left_tasks
SELECT i.key, t.action, t.reason FROM onward.task AS t JOIN onward.item AS i ON i.id = t.item_id
WHERE t.run_id = ? AND t.state = 'waiting' AND t.tried = 0 ORDER BY t.place

-- name: interrupt
UPDATE onward.distribution SET ending = 'interrupted' WHERE run_id = ?

-- name: drop_tasks
DELETE FROM onward.task WHERE run_id = ?

-- name: drop_distribution
DELETE FROM onward.distribution WHERE run_id = ?
