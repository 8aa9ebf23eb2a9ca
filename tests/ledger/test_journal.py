"""The journal: what is written reads back, and an edit, a deletion, an insertion and a swap show, with their place."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_rows import NOW, answers, fill

from onward.errors import LedgerDamaged
from onward.ledger import audit, journal
from onward.ledger.base import Entry, Head
from onward.ledger.care import describe, rebuild
from onward.ledger.sqlite import SqliteLedger
from onward.model.record import NAMES, TABLES

_INTEGERS = st.integers(-(2**63), 2**63 - 1)
_VALUES = {
    int: _INTEGERS,
    str: st.text(),
    bytes: st.binary(),
    int | None: st.none() | _INTEGERS,
    str | None: st.none() | st.text(),
    bytes | None: st.none() | st.binary(),
}


def _rows_of(row):
    return st.tuples(*(_VALUES[kind] for kind in row.__annotations__.values())).map(row._make)


ROWS = st.one_of([_rows_of(row) for row in TABLES.values()])


@given(st.lists(ROWS), st.lists(_INTEGERS))
def test_what_is_encoded_decodes_to_the_same(rows, dropped):
    changes = [(NAMES[type(row)], journal.identity_of(NAMES[type(row)], row), row) for row in rows]
    changes += [("publish", (item_id,), None) for item_id in dropped]

    payload = journal.encode(changes)

    assert list(journal.decode(payload)) == changes
    assert journal.unpack(journal.pack(payload)) == payload


@given(st.binary())
def test_a_payload_of_anything_is_read_or_refused(payload):
    entry = Entry(1, 1, NOW, payload, b"")
    try:
        assert isinstance(journal.changes_of(entry), list)
    except LedgerDamaged as error:
        refused = error
        assert "entry 1 cannot be read" in str(refused)


@given(st.binary(max_size=64), st.binary(max_size=64), st.integers(1, 99), st.integers(1, 99))
def test_hashes_differ_where_any_part_differs(one, other, seq, at):
    base = journal.chain("ledger", 1, b"h" * 32, seq, at, one)

    assert (base == journal.chain("ledger", 1, b"h" * 32, seq, at, other)) == (one == other)
    assert base != journal.chain("another", 1, b"h" * 32, seq, at, one)
    assert base != journal.chain("ledger", 2, b"h" * 32, seq, at, one)
    assert base != journal.chain("ledger", 1, b"i" * 32, seq, at, one)
    assert base != journal.chain("ledger", 1, b"h" * 32, seq + 1, at, one)
    assert base != journal.chain("ledger", 1, b"h" * 32, seq, at + 1, one)


@pytest.fixture
def filled(tmp_path):
    """A closed ledger with a journal of eight entries."""
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    fill(ledger, 30)
    ledger.close()
    return path


def _tamper(path: str, *statements: str) -> None:
    """Change rows as somebody with the right tools would: the page checksums agree afterwards."""
    db = apsw.Connection(path, vfs="cksmvfs")
    for statement in statements:
        db.execute(statement)
    db.close()


def _break(path: str) -> journal.Break | None:
    ledger = SqliteLedger(path, writes=False)
    try:
        steps = list(journal.follow(ledger.uuid, 1, ledger.journal(1)))
        return next((step for step in steps if isinstance(step, journal.Break)), None)
    finally:
        ledger.close()


@pytest.mark.parametrize(
    ("statements", "seq", "what"),
    [
        (["UPDATE journal SET payload = '[]' || '' WHERE seq = 3"], 3, None),
        (["UPDATE journal SET payload = CAST('[]' AS BLOB) WHERE seq = 3"], 3, "does not match its hash"),
        (["UPDATE journal SET payload = CAST('x' AS BLOB) WHERE seq = 3"], 3, "does not match its hash"),
        (["UPDATE journal SET recorded_at = recorded_at + 1 WHERE seq = 5"], 5, "does not match its hash"),
        (["UPDATE journal SET hash = zeroblob(32) WHERE seq = 2"], 2, "does not match its hash"),
        (["DELETE FROM journal WHERE seq = 4"], 4, "entry 4 is missing; the next one found is 5"),
        (["DELETE FROM journal WHERE seq <= 2"], 1, "entry 1 is missing; the next one found is 3"),
        (
            ["UPDATE journal SET seq = 99 WHERE seq = 3", "UPDATE journal SET seq = 3 WHERE seq = 4",
             "UPDATE journal SET seq = 4 WHERE seq = 99"], 3, "does not match its hash",
        ),
        (
            ["DELETE FROM journal WHERE seq = 4", "UPDATE journal SET seq = seq - 1 WHERE seq > 4"], 4,
            "does not match its hash",
        ),
        (["INSERT INTO journal SELECT job_id, seq + 1, 1, payload, hash FROM journal WHERE seq = 8"], 9, "not match"),
    ],
    ids=["type", "edit", "junk", "time", "hash", "delete", "behead", "swap", "close the gap", "insert"],
)
def test_a_tampered_journal_is_found_at_its_first_wrong_entry(filled, statements, seq, what):
    if what is None:
        with pytest.raises(apsw.ConstraintError):
            _tamper(filled, *statements)
        return
    _tamper(filled, *statements)

    found = _break_or_refusal(filled)

    assert found is not None
    assert (found.job_id, found.seq) == (1, seq)
    assert what in found.what


def _break_or_refusal(path: str) -> journal.Break | None:
    # What changes the last entry is refused at the door, by the head file; behind it the chain says the same.
    import os

    os.unlink(path + ".head")
    return _break(path)


def test_the_head_file_notices_a_changed_last_entry_at_the_door(filled):
    _tamper(filled, "UPDATE journal SET hash = zeroblob(32) WHERE seq = 8")

    with pytest.raises(LedgerDamaged, match="entry 8 is not the one"):
        SqliteLedger(filled)


def test_a_cut_tail_is_found_against_an_anchor(filled):
    _tamper(filled, "DELETE FROM journal WHERE seq > 6")
    ledger = SqliteLedger.__new__(SqliteLedger)
    anchor = Head(8, b"")

    steps = list(journal.follow("?", 1, [], anchor))

    assert steps == [journal.Break(1, 1, "entries 1 to 8 are missing at the end")]
    with pytest.raises(LedgerDamaged, match="does not agree with itself"):
        ledger.__init__(filled)


def test_an_anchor_in_the_middle_must_be_passed(filled):
    ledger = SqliteLedger(filled, writes=False)
    entries = list(ledger.journal(1))

    good = list(journal.follow(ledger.uuid, 1, entries, Head(4, entries[3].hash)))
    bad = list(journal.follow(ledger.uuid, 1, entries, Head(4, b"x" * 32)))

    assert good == entries
    assert bad[-1] == journal.Break(1, 4, "entry 4 is not the one that was anchored")
    ledger.close()


def test_the_journal_of_another_ledger_or_job_does_not_fit(filled):
    ledger = SqliteLedger(filled, writes=False)
    entries = list(ledger.journal(1))

    assert isinstance(next(journal.follow("another", 1, entries)), journal.Break)
    assert isinstance(next(journal.follow(ledger.uuid, 2, entries)), journal.Break)
    ledger.close()


def test_rebuild_refuses_a_broken_journal_and_names_the_place(filled):
    _tamper(filled, "UPDATE journal SET recorded_at = 1 WHERE seq = 5")

    with pytest.raises(LedgerDamaged, match=r"ledger\.db' is broken: job 1, entry 5 does not match its hash"):
        rebuild(filled)


def test_describe_names_the_place_of_a_broken_journal(filled):
    _tamper(filled, "DELETE FROM journal WHERE seq = 5")

    assert describe(filled)["chain_errors"][0] == "journal of job 1: entry 5 is missing; the next one found is 6"


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE item SET state = 'failed' WHERE id = 7", "table item: row 7 is not what the journal says"),
        ("DELETE FROM version WHERE item_id = 3", "table version: row 3/1 is missing"),
        ("INSERT INTO container VALUES (77, 1, 'forged')", "table container: row 77 is not what the journal says"),
    ],
)
def test_a_row_that_the_journal_does_not_know_is_found_and_rebuilt(filled, statement, what):
    ledger = SqliteLedger(filled, writes=False)
    told = answers(ledger)
    ledger.close()
    _tamper(filled, statement)

    (found,) = describe(filled)["chain_errors"]
    assert found.startswith(what)
    rebuild(filled)

    ledger = SqliteLedger(filled, writes=False)
    assert answers(ledger) == told
    assert audit.problems(ledger, {}) == []
    ledger.close()
