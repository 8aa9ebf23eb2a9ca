-- Every statement the SQLite ledger uses, by name. Parameters only; nothing is ever pasted into SQL.

-- name: put_job
INSERT INTO job VALUES (?,?,?,?,?,?,?,?,?)
ON CONFLICT (id) DO UPDATE SET name=excluded.name, pipeline=excluded.pipeline, source=excluded.source,
    out=excluded.out, status=excluded.status, created_at=excluded.created_at, run_id=excluded.run_id,
    options=excluded.options;

-- name: put_run
INSERT INTO run VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (id) DO UPDATE SET job_id=excluded.job_id, name=excluded.name, label=excluded.label,
    status=excluded.status, started_at=excluded.started_at, finished_at=excluded.finished_at, pid=excluded.pid,
    host=excluded.host, environment=excluded.environment, config=excluded.config, counts=excluded.counts,
    folder=excluded.folder;

-- name: put_recipe
INSERT INTO recipe VALUES (?,?,?,?,?)
ON CONFLICT (id) DO UPDATE SET job_id=excluded.job_id, code=excluded.code, config=excluded.config,
    parts=excluded.parts;

-- name: put_container
INSERT INTO container VALUES (?,?,?)
ON CONFLICT (id) DO UPDATE SET job_id=excluded.job_id, key=excluded.key;

-- name: put_item
INSERT INTO item VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (id) DO UPDATE SET container_id=excluded.container_id, key=excluded.key, state=excluded.state,
    version=excluded.version, serial=excluded.serial, tries=excluded.tries, lost=excluded.lost,
    retry_at=excluded.retry_at, note=excluded.note, content=excluded.content, recipe_id=excluded.recipe_id;

-- name: put_attempt
INSERT INTO attempt VALUES (?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (item_id, serial) DO UPDATE SET run_id=excluded.run_id, number=excluded.number,
    started_at=excluded.started_at, finished_at=excluded.finished_at, outcome=excluded.outcome,
    content=excluded.content, recipe_id=excluded.recipe_id, error=excluded.error,
    reason=excluded.reason;

-- name: put_version
INSERT INTO version VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (item_id, number) DO UPDATE SET recorded_at=excluded.recorded_at,
    valid_from=excluded.valid_from, content=excluded.content, recipe_id=excluded.recipe_id,
    input_size=excluded.input_size, input_mtime_ns=excluded.input_mtime_ns, output=excluded.output,
    digest=excluded.digest, size_bytes=excluded.size_bytes, mtime_ns=excluded.mtime_ns,
    validation=excluded.validation, facts=excluded.facts;

-- name: put_publish
INSERT INTO publish VALUES (?,?,?,?,?,?)
ON CONFLICT (item_id) DO UPDATE SET kind=excluded.kind, version=excluded.version, staged=excluded.staged,
    output=excluded.output, digest=excluded.digest;

-- name: put_control
INSERT INTO control VALUES (?,?,?,?,?,?,?,?,?)
ON CONFLICT (id) DO UPDATE SET job_id=excluded.job_id, request=excluded.request, who=excluded.who,
    host=excluded.host, pid=excluded.pid, why=excluded.why, requested_at=excluded.requested_at,
    obeyed_at=excluded.obeyed_at;

-- name: put_receipt
INSERT INTO receipt VALUES (?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (id) DO UPDATE SET job_id=excluded.job_id, item_id=excluded.item_id, run_id=excluded.run_id,
    digest=excluded.digest, question=excluded.question, answer=excluded.answer, tokens_in=excluded.tokens_in,
    tokens_out=excluded.tokens_out, cost_micro=excluded.cost_micro, recorded_at=excluded.recorded_at;

-- name: put_document
INSERT INTO document VALUES (?,?,?)
ON CONFLICT (id) DO UPDATE SET job_id=excluded.job_id, key=excluded.key;

-- name: put_validity
INSERT INTO validity VALUES (?,?,?,?,?,?,?,?)
ON CONFLICT (document_id, valid_from, sequence, serial) DO UPDATE SET recorded_at=excluded.recorded_at,
    item_id=excluded.item_id, number=excluded.number, content=excluded.content;

-- name: drop_publish
DELETE FROM publish WHERE item_id = ?;

-- name: max_job
SELECT coalesce(max(id), 0) FROM job;

-- name: max_run
SELECT coalesce(max(id), 0) FROM run;

-- name: max_recipe
SELECT coalesce(max(id), 0) FROM recipe;

-- name: max_container
SELECT coalesce(max(id), 0) FROM container;

-- name: max_item
SELECT coalesce(max(id), 0) FROM item;

-- name: max_control
SELECT coalesce(max(id), 0) FROM control;

-- name: max_receipt
SELECT coalesce(max(id), 0) FROM receipt;

-- name: max_document
SELECT coalesce(max(id), 0) FROM document;

-- name: append_journal
INSERT INTO journal VALUES (?,?,?,?,?);

-- name: journal_head
SELECT seq, hash FROM journal WHERE job_id = ? ORDER BY seq DESC LIMIT 1;

-- name: journal_first
SELECT coalesce(min(seq), 0) FROM journal WHERE job_id = ?;

-- name: journal_after
SELECT job_id, seq, recorded_at, payload, hash FROM journal WHERE job_id = ? AND seq > ? ORDER BY seq;

-- name: drop_archived
DELETE FROM journal WHERE job_id = ? AND seq <= ?;

-- name: journal_place
SELECT seq, hash FROM journal WHERE job_id = ? AND seq = ?;

-- name: journal_entry
SELECT job_id, seq, recorded_at, payload, hash FROM journal WHERE job_id = ? AND seq = ?;

-- name: journal_as_written
SELECT job_id, seq, recorded_at, payload, hash FROM journal NOT INDEXED ORDER BY rowid;

-- name: journal_backwards
SELECT job_id, seq, recorded_at, payload, hash FROM journal WHERE job_id = ? ORDER BY seq DESC;

-- name: journal_jobs
SELECT DISTINCT job_id FROM journal ORDER BY job_id;

-- name: job_by_name
SELECT * FROM job WHERE name = ?;

-- name: job_by_id
SELECT * FROM job WHERE id = ?;

-- name: job_by_out
SELECT * FROM job WHERE out = ?;

-- name: all_jobs
SELECT * FROM job ORDER BY id;

-- name: run_by_id
SELECT * FROM run WHERE id = ?;

-- name: run_by_name
SELECT * FROM run WHERE name = ?;

-- name: runs_of_job
SELECT * FROM run WHERE job_id = ? AND id > ? ORDER BY id DESC;

-- name: open_runs
SELECT * FROM run WHERE job_id = ? AND finished_at IS NULL ORDER BY id DESC;

-- name: last_counts
SELECT counts FROM run WHERE job_id = ? AND counts IS NOT NULL ORDER BY id DESC LIMIT 1;

-- name: recipes_of_job
SELECT * FROM recipe WHERE job_id = ? ORDER BY id;

-- name: containers_of_job
SELECT * FROM container WHERE job_id = ? ORDER BY key;

-- name: known_in_container
SELECT i.*, v.* FROM item AS i LEFT JOIN version AS v ON v.item_id = i.id AND v.number = i.version
WHERE i.container_id = ? ORDER BY i.key;

-- name: known_by_key
SELECT i.*, v.* FROM item AS i LEFT JOIN version AS v ON v.item_id = i.id AND v.number = i.version
WHERE i.job_id = ? AND i.key = ?;

-- name: known_of_job
SELECT i.*, v.* FROM item AS i LEFT JOIN version AS v ON v.item_id = i.id AND v.number = i.version
WHERE i.job_id = ? ORDER BY i.key;

-- name: known_unsettled
SELECT i.*, v.* FROM item AS i LEFT JOIN version AS v ON v.item_id = i.id AND v.number = i.version
WHERE i.job_id = ? AND i.state <> 'succeeded' ORDER BY i.key;

-- name: known_by_output
SELECT i.*, v.* FROM version AS v JOIN item AS i ON v.item_id = i.id
WHERE i.job_id = ? AND v.output = ? AND v.number = i.version ORDER BY i.key;

-- name: item_by_id
SELECT * FROM item WHERE id = ?;

-- name: count_in_container
SELECT count(*) FROM item WHERE container_id = ? AND state <> 'gone';

-- name: count_states
SELECT state, count(*) FROM item WHERE job_id = ? GROUP BY state;

-- name: count_attempts_of_run
SELECT outcome, count(*) FROM attempt WHERE run_id = ? GROUP BY outcome;

-- name: count_validations_of_run
SELECT v.validation, count(*) FROM attempt AS a JOIN version AS v ON v.item_id = a.item_id AND v.number = a.serial
WHERE a.run_id = ? AND a.outcome = 'succeeded' GROUP BY v.validation;

-- name: pace_of_run
SELECT count(*), coalesce(max(finished_at) - min(started_at), 0) FROM attempt
WHERE run_id = ? AND outcome = 'succeeded' AND reason NOT IN ('rolled-back', 'adopted');

-- name: attempts_of_item
SELECT * FROM attempt WHERE item_id = ? ORDER BY serial;

-- name: attempts_of_run
SELECT a.*, i.key FROM attempt AS a JOIN item AS i ON i.id = a.item_id WHERE a.run_id = ?
ORDER BY i.key, a.serial;

-- name: attempts_in_flight
-- CROSS JOIN, so that the few attempts lead: a plan that begins with the items of the job reads them all at every start.
SELECT a.* FROM attempt AS a CROSS JOIN item AS i WHERE i.id = a.item_id AND a.outcome IS NULL AND i.job_id = ?
ORDER BY a.item_id, a.serial;

-- name: versions_of_item
SELECT * FROM version WHERE item_id = ? ORDER BY number;

-- name: version_by_number
SELECT * FROM version WHERE item_id = ? AND number = ?;

-- name: publishes_of_job
-- CROSS JOIN for the same reason.
SELECT p.* FROM publish AS p CROSS JOIN item AS i WHERE i.id = p.item_id AND i.job_id = ? ORDER BY p.item_id;

-- name: control_of_job
SELECT * FROM control WHERE job_id = ? ORDER BY id DESC LIMIT 1;

-- name: controls_of_job
SELECT * FROM control WHERE job_id = ? ORDER BY id;

-- name: receipt_by_digest
SELECT * FROM receipt WHERE digest = ? ORDER BY id LIMIT 1;

-- name: receipts_of_item
SELECT * FROM receipt WHERE item_id = ? ORDER BY id;

-- name: spent_of_job
SELECT count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0), coalesce(sum(cost_micro), 0)
FROM receipt WHERE job_id = ?;

-- name: spent_of_run
SELECT count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0), coalesce(sum(cost_micro), 0)
FROM receipt WHERE run_id = ?;

-- name: spent_by_item
SELECT i.key, count(*), sum(r.tokens_in), sum(r.tokens_out), sum(r.cost_micro)
FROM receipt AS r JOIN item AS i ON i.id = r.item_id WHERE r.run_id = ? GROUP BY i.id ORDER BY i.key;

-- name: document_by_key
SELECT * FROM document WHERE job_id = ? AND key = ?;

-- name: documents_of_job
SELECT * FROM document WHERE job_id = ? ORDER BY key;

-- name: validities_of_document
SELECT * FROM validity WHERE document_id = ? AND valid_from <= ? AND recorded_at <= ?
ORDER BY valid_from DESC, sequence DESC, serial DESC;

-- name: validity_at
SELECT * FROM validity WHERE document_id = ? AND valid_from <= ? AND recorded_at <= ?
ORDER BY valid_from DESC, sequence DESC, serial DESC LIMIT 1;

-- name: last_in_slot
SELECT * FROM validity WHERE document_id = ? AND valid_from = ? AND sequence = ? ORDER BY serial DESC LIMIT 1;

-- name: tree_at
-- CROSS JOIN, so that the documents lead, in the order of their keys, and each one's row is sought by its whole key.
SELECT d.key, v.* FROM document AS d CROSS JOIN validity AS v
WHERE v.document_id = d.id AND (v.valid_from, v.sequence, v.serial) = (
    SELECT valid_from, sequence, serial FROM validity
    WHERE document_id = d.id AND valid_from <= ? AND recorded_at <= ?
    ORDER BY valid_from DESC, sequence DESC, serial DESC LIMIT 1)
AND v.content IS NOT NULL AND d.job_id = ? ORDER BY d.key;

-- name: archives_of_job
SELECT * FROM archive WHERE job_id = ? ORDER BY seq;

-- name: put_archive
INSERT INTO archive VALUES (?,?,?,?,?)
ON CONFLICT (job_id, seq) DO UPDATE SET hash=excluded.hash, file=excluded.file, archived_at=excluded.archived_at;

-- name: recent_attempts
SELECT a.*, i.key FROM attempt AS a JOIN item AS i ON i.id = a.item_id
WHERE a.run_id = ? AND a.outcome IS NOT NULL ORDER BY a.finished_at DESC, i.key, a.serial LIMIT ?;

-- name: signature_of_container
SELECT container_id, inputs, outputs, unsettled, recipes, gone, mark FROM signature WHERE container_id = ?;

-- name: mark_of_container
SELECT mark, unsettled, recipes, gone FROM signature WHERE container_id = ?;

-- name: put_signature
INSERT INTO signature (container_id, inputs, outputs, unsettled, recipes, gone, mark) VALUES (?,?,?,?,?,?,?)
ON CONFLICT (container_id) DO UPDATE SET inputs=excluded.inputs, outputs=excluded.outputs,
    unsettled=excluded.unsettled, recipes=excluded.recipes, gone=excluded.gone, mark=excluded.mark;

-- name: drop_signature
DELETE FROM signature WHERE container_id = ?;

-- name: drop_signatures
DELETE FROM signature WHERE container_id IN (SELECT id FROM container WHERE job_id = ?);

-- name: get_memo
SELECT value FROM memo WHERE name = ?;

-- name: put_memo
INSERT INTO memo VALUES (?,?) ON CONFLICT (name) DO UPDATE SET value=excluded.value;

-- name: get_identity
SELECT uuid FROM identity;

-- name: put_identity
INSERT INTO identity VALUES (?,?);

-- name: put_migration
INSERT INTO migration VALUES (?,?,?);

-- name: last_migration
SELECT coalesce(max(number), 0) FROM migration;

-- name: tables
SELECT name FROM sqlite_schema WHERE type = 'table';

-- name: rows_of_job
SELECT * FROM job ORDER BY id;

-- name: rows_of_run
SELECT * FROM run ORDER BY id;

-- name: rows_of_recipe
SELECT * FROM recipe ORDER BY id;

-- name: rows_of_container
SELECT * FROM container ORDER BY id;

-- name: rows_of_item
SELECT * FROM item ORDER BY id;

-- name: rows_of_attempt
SELECT * FROM attempt ORDER BY item_id, serial;

-- name: rows_of_version
SELECT * FROM version ORDER BY item_id, number;

-- name: rows_of_publish
SELECT * FROM publish ORDER BY item_id;

-- name: rows_of_control
SELECT * FROM control ORDER BY id;

-- name: rows_of_receipt
SELECT * FROM receipt ORDER BY id;

-- name: rows_of_document
SELECT * FROM document ORDER BY id;

-- name: rows_of_validity
SELECT * FROM validity ORDER BY document_id, valid_from, sequence, serial;
