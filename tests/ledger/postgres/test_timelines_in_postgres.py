"""A timeline in PostgreSQL is read page by page, the first one small, and always as of one moment."""

from __future__ import annotations

from ledger_rows import NOW, a_container, a_document, a_job, a_run, a_validity, an_item


def test_a_timeline_is_as_of_one_moment_however_slowly_it_is_read(opened):
    ledger = opened()
    job = ledger.create_job(a_job(), now=NOW)
    rows = [a_validity(1, NOW + at, 1) for at in range(1_500)]
    with ledger.transaction(job.id, now=NOW) as tx:
        for row in (a_run(1, job.id), a_container(1, job.id), an_item(1, job.id, 1), a_document(1, job.id), *rows):
            tx.put(row)

    with ledger.one_moment():
        slow = ledger.validities(1)
        begun = [next(slow)]
        with opened().transaction(job.id, now=NOW) as tx:
            tx.put(a_validity(1, NOW - 1, 1))
            tx.put(a_validity(1, NOW + 700, 1, serial=2))
            tx.put(a_validity(1, NOW + 9_999, 1))
        inside = (ledger.validity_at(1, NOW + 99_999), [*begun, *slow], len(list(ledger.tree_at(job.id, NOW - 1))))

    assert inside == (rows[-1], rows[::-1], 0)
    assert ledger.validity_at(1, NOW + 99_999).valid_from == NOW + 9_999
    assert len(list(ledger.validities(1))) == 1_503
