"""What every run asks at its start costs nothing for items that are settled, however many there are."""

from __future__ import annotations

import pytest

from onward.ledger.sqlite import SqliteLedger


def _plan(path, name):
    ledger = SqliteLedger(path)
    try:
        sql = ledger._sql[name]
        return [str(row[3]) for row in ledger._db.execute("EXPLAIN QUERY PLAN " + sql, (1,) * sql.count("?"))]
    finally:
        ledger.close()


@pytest.mark.parametrize("name", ["validities_of_document", "validity_at", "last_in_slot"])
def test_a_question_as_of_an_instant_is_one_search_with_nothing_scanned_or_sorted(tmp_path, name):
    plan = _plan(str(tmp_path / "ledger.db"), name)

    assert len(plan) == 1
    assert plan[0].startswith("SEARCH validity USING PRIMARY KEY (document_id=? AND valid_from"), plan


def test_a_tree_as_of_an_instant_goes_through_the_documents_and_seeks_one_row_for_each(tmp_path):
    plan = _plan(str(tmp_path / "ledger.db"), "tree_at")

    assert [line.split()[:2] for line in plan] == [
        ["SEARCH", "d"], ["SEARCH", "v"], ["CORRELATED", "SCALAR"], ["SEARCH", "validity"],
    ], plan


@pytest.mark.parametrize(("name", "index"), [
    ("open_runs", "run_open (job_id=?)"), ("last_counts", "run_by_job (job_id=?)"),
    ("runs_of_job", "run_by_job (job_id=? AND rowid>?)"),
])  # fmt: skip
def test_what_a_run_asks_of_earlier_runs_is_one_search_with_nothing_sorted(tmp_path, name, index):
    assert _plan(str(tmp_path / "ledger.db"), name) == [f"SEARCH run USING INDEX {index}"]


@pytest.mark.parametrize(("name", "leads"), [("attempts_in_flight", "a"), ("publishes_of_job", "p")])
def test_a_question_about_what_is_open_begins_with_what_is_open_and_not_with_the_items_of_the_job(
    tmp_path, name, leads
):
    plan = _plan(str(tmp_path / "ledger.db"), name)

    looked_into = [line.split()[1] for line in plan if line.split()[0] in ("SCAN", "SEARCH")]
    assert looked_into[0] == leads, plan
