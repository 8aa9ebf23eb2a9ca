"""Every promise that is due has a test that cites it, or a reason why none can."""

from __future__ import annotations

import re
from pathlib import Path

import contract
import pytest

ROWS = contract.read_rows()
MARKS = contract.read_marks()
IDS = {row.id for rows in ROWS.values() for row in rows}


def test_all_rows_of_the_sets_that_are_due_are_there_and_in_order() -> None:
    due = [*(f"S0-{n:03}" for n in range(1, 56)), *(f"S1-{n:03}" for n in range(1, 41))]
    due += [*(f"S2-{n:03}" for n in range(1, 37)), *(f"S3-{n:03}" for n in range(1, 31))]
    due += [f"S4-{n:03}" for n in range(1, 41)]

    assert [row.id for rows in ROWS.values() for row in rows if not row.id.startswith("X")] == due


def test_every_row_has_a_test_that_cites_it_or_a_reason_why_not() -> None:
    assert contract.unproved(ROWS, MARKS) == []


def test_no_row_has_both_a_test_and_a_reason_why_not() -> None:
    assert [row.id for rows in ROWS.values() for row in rows if row.untested and row.id in MARKS] == []


@pytest.mark.parametrize("name", sorted(MARKS))
def test_a_cited_id_is_one_of_the_contract(name: str) -> None:
    assert re.fullmatch(r"S[0-4]-\d{3}|X-\d{2}", name), MARKS[name]
    assert name in IDS, MARKS[name]


def test_marks_are_found_on_functions_classes_and_modules(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        "import pytest\n"
        "pytestmark = [pytest.mark.long, pytest.mark.contract('S0-001')]\n"
        "@pytest.mark.contract('S0-002', 'S0-003')\n"
        "def test_one(): ...\n"
        "@pytest.mark.contract('S0-004')\n"
        "class TestTwo:\n"
        "    def test_three(self): ...\n"
        "def helper(): ...\n"
    )

    found = contract.read_marks(tmp_path)

    assert found == {
        "S0-001": [("test_a.py", "test_one"), ("test_a.py", "TestTwo.test_three")],
        "S0-002": [("test_a.py", "test_one")],
        "S0-003": [("test_a.py", "test_one")],
        "S0-004": [("test_a.py", "TestTwo.test_three")],
    }


def test_a_row_without_test_and_reason_is_named() -> None:
    row = contract.Row("S0-001", "M", "name", "gist", here="here")
    ruling = contract.Row("X-01", "B", "name", "gist")

    assert contract.unproved({"": [row, ruling]}, {}) == ["S0-001"]
    assert contract.unproved({"": [row._replace(untested="because")]}, {}) == []
    assert contract.unproved({"": [row]}, {"S0-001": [contract.Shown("test_a.py", "test_b")]}) == []
