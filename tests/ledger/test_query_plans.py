"""What every run asks at its start costs nothing for items that are settled, however many there are."""

from __future__ import annotations

import pytest

from onward.ledger.sqlite import SqliteLedger


@pytest.mark.parametrize(("name", "leads"), [("attempts_in_flight", "a"), ("publishes_of_job", "p")])
def test_a_question_about_what_is_open_begins_with_what_is_open_and_not_with_the_items_of_the_job(
    tmp_path, name, leads
):
    ledger = SqliteLedger(str(tmp_path / "ledger.db"))
    try:
        plan = [str(row[3]) for row in ledger._db.execute("EXPLAIN QUERY PLAN " + ledger._sql[name], (1,))]
    finally:
        ledger.close()

    looked_into = [line.split()[1] for line in plan if line.split()[0] in ("SCAN", "SEARCH")]
    assert looked_into[0] == leads, plan
