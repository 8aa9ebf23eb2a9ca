"""What every ledger answers about documents as of an instant: which version held, and which one was known."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_rows import NOW, a_container, a_document, a_job, a_run, a_validity, an_item, digest

from onward.ledger.memory import MemoryLedger
from onward.ledger.sqlite import SqliteLedger
from onward.model.record import Validity


@pytest.fixture
def document(put, job):
    """A document with id 1, and the item with id 1 whose versions tell of it."""
    put(an_item(1, job.id, 1), a_document(1, job.id, "guide/install.md"))
    return a_document(1, job.id, "guide/install.md")


def _first(rows):
    return next(iter(rows), None)


def test_a_document_is_found_by_its_key_in_its_job_and_comes_by_key(ledger, job, put, document):
    other = ledger.create_job(a_job("other"), now=NOW)
    put(a_document(3, job.id, "a\0b.md"), a_document(2, job.id, "ä" * 2000 + ".md"))
    with ledger.transaction(other.id, now=NOW) as tx:
        tx.put(a_document(4, other.id, document.key))

    assert ledger.document(job.id, document.key) == document
    assert ledger.document(other.id, document.key).id == 4
    assert ledger.document(job.id, "ä" * 2000 + ".md").id == 2
    assert ledger.document(job.id, "ä" * 1999 + ".md") is None
    assert [row.id for row in ledger.documents(job.id)] == [3, 1, 2]
    assert list(ledger.documents(99)) == []


def test_ids_of_documents_are_given_out_like_any_other(ledger, job, put, document):
    with ledger.transaction(job.id, now=NOW) as tx:
        assert [tx.allocate("document"), tx.allocate("document")] == [2, 3]


def test_a_version_holds_from_its_instant_on_until_the_next_begins(ledger, put, document):
    early, late = a_validity(1, NOW, 1), a_validity(1, NOW + 10, 1, number=2)
    put(late, early)

    asked = [NOW - 1, NOW, NOW + 9, NOW + 10, NOW + 99]
    assert [ledger.validity_at(1, at) for at in asked] == [None, early, early, late, late]
    assert list(ledger.validities(1)) == [late, early]


def test_of_equal_instants_the_greater_sequence_holds_and_of_equal_slots_the_one_recorded_later(ledger, put, document):
    rows = [
        a_validity(1, NOW, 1, sequence=2, serial=1), a_validity(1, NOW, 1, sequence=2, serial=10, number=9),
        a_validity(1, NOW, 1, sequence=10), a_validity(1, NOW, 1, sequence=-1),
    ]
    put(*rows)

    assert list(ledger.validities(1)) == [rows[2], rows[1], rows[0], rows[3]]
    assert ledger.last_in_slot(1, NOW, 2) == rows[1]
    assert ledger.last_in_slot(1, NOW, 3) is None
    assert ledger.last_in_slot(1, NOW + 1, 2) is None


def test_what_was_recorded_later_is_left_out_of_what_was_known(ledger, job, put, document):
    first = a_validity(1, NOW, 1, recorded_at=NOW + 5)
    corrected = a_validity(1, NOW, 1, serial=2, recorded_at=NOW + 7, content=digest("better"))
    put(first)
    put(corrected)

    asked = [NOW + 4, NOW + 5, NOW + 6, NOW + 7, None]
    assert [ledger.validity_at(1, NOW, at) for at in asked] == [
        None, first, first, corrected, corrected,
    ]
    assert [[row for _, row in ledger.tree_at(job.id, NOW, at)] for at in asked] == [
        [], [first], [first], [corrected], [corrected],
    ]


def test_a_document_that_was_deleted_is_in_no_tree_from_then_on_and_may_come_back(ledger, job, put, document):
    put(a_validity(1, NOW, 1), a_validity(1, NOW + 1, 1, number=None, content=None), a_validity(1, NOW + 2, 1))

    trees = [[key for key, _ in ledger.tree_at(job.id, at)] for at in (NOW - 1, NOW, NOW + 1, NOW + 2)]
    assert trees == [[], [document.key], [], [document.key]]
    assert ledger.validity_at(1, NOW + 1) == a_validity(1, NOW + 1, 1, number=None, content=None)


def test_a_tree_holds_the_documents_of_its_job_by_key_each_with_its_own_row(ledger, job, put, document):
    other = ledger.create_job(a_job("other"), now=NOW)
    keys = ["z", "ü", "a/b", "a.b"]
    put(*(a_document(at, job.id, key) for at, key in enumerate(keys, 2)))
    put(*(a_validity(at, NOW + at, 1) for at in range(1, 6)))
    with ledger.transaction(other.id, now=NOW) as tx:
        tx.put(a_container(2, other.id))
        tx.put(an_item(2, other.id, 2))
        tx.put(a_document(9, other.id, "elsewhere"))
        tx.put(a_validity(9, NOW, 2))

    found = list(ledger.tree_at(job.id, NOW + 4))
    assert found == [
        ("a/b", a_validity(4, NOW + 4, 1)), (document.key, a_validity(1, NOW + 1, 1)), ("z", a_validity(2, NOW + 2, 1)),
        ("ü", a_validity(3, NOW + 3, 1)),
    ]


def test_instants_before_1970_and_far_ahead_are_instants(ledger, job, put, document):
    put(a_validity(1, -(2**62), 1), a_validity(1, 2**62, 1, content=None))

    assert ledger.validity_at(1, -(2**62) - 1) is None
    assert [key for key, _ in ledger.tree_at(job.id, 0)] == [document.key]
    assert _first(ledger.validities(1)).valid_from == 2**62
    assert list(ledger.tree_at(job.id, 2**62)) == []


@pytest.mark.contract("X-18")
def test_a_timeline_of_thousands_of_versions_comes_whole_and_in_order(ledger, put, document):
    rows = [a_validity(1, NOW + at, 1, number=at) for at in range(1, 2_205)]
    put(*rows)

    assert list(ledger.validities(1)) == rows[::-1]
    assert list(ledger.validities(1, until=NOW + 1001)) == rows[1000::-1]


def test_a_timeline_that_is_not_read_to_its_end_does_not_lock_out_a_writer(ledger, put, document):
    put(*(a_validity(1, NOW + at, 1) for at in range(50)))
    answer = ledger.validities(1)
    next(answer)

    put(a_validity(1, NOW + 99, 1))

    assert _first(ledger.validities(1)) == a_validity(1, NOW + 99, 1)


def test_inside_a_transaction_a_timeline_is_what_was_committed_before_it(ledger, job, put, document):
    put(a_validity(1, NOW, 1))

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(a_document(2, job.id))
        tx.put(a_validity(1, NOW + 1, 1))
        seen = (list(tx.validities(1)), tx.last_in_slot(1, NOW + 1, 0), len(list(tx.tree_at(job.id, NOW + 5))))
        documents = list(tx.documents(job.id))

    assert seen == ([a_validity(1, NOW, 1)], None, 1)
    assert documents == [document]
    assert len(list(ledger.validities(1))) == 2


def test_rows_of_a_timeline_are_identified_by_document_instant_sequence_and_serial(ledger, put, document):
    put(a_validity(1, NOW, 1))

    put(a_validity(1, NOW, 1, number=7, content=None))

    assert list(ledger.validities(1)) == [a_validity(1, NOW, 1, number=7, content=None)]


_INSTANTS = st.integers(-2, 3)
_TOLD = st.tuples(st.integers(1, 3), _INSTANTS, st.integers(0, 1), st.booleans())
"""A document, since when, in which place, and whether it is a deletion; recorded one after the other."""


def _believed(told, document, at, known):
    """The answer by the words of the promise: go through all that was known, the latest word on the latest slot."""
    best = None
    for recorded, (about, valid_from, sequence, is_deletion) in enumerate(told):
        counts = about == document and valid_from <= at and recorded <= known
        if counts and (best is None or (valid_from, sequence) >= best[:2]):
            best = (valid_from, sequence, recorded, is_deletion)
    return best


@pytest.mark.contract("S4-030")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told=st.lists(_TOLD, max_size=25), at=_INSTANTS, known=st.integers(-1, 25))
def test_law_an_answer_as_of_two_instants_is_that_of_a_brute_force_search(tmp_path_factory, told, at, known):
    path = str(tmp_path_factory.mktemp("law") / "ledger.db")
    for ledger in (MemoryLedger(), SqliteLedger(path)):
        job = ledger.create_job(a_job(), now=NOW)
        with ledger.transaction(job.id, now=NOW) as tx:
            for row in (a_run(1, job.id), a_container(1, job.id), an_item(1, job.id, 1)):
                tx.put(row)
            for document_id in (1, 2, 3):
                tx.put(a_document(document_id, job.id))
            serials = count(1)
            for recorded, (document_id, valid_from, sequence, is_deletion) in enumerate(told):
                content = None if is_deletion else digest(recorded)
                tx.put(Validity(document_id, valid_from, sequence, next(serials), recorded, 1, 1, content))

        expected = {document_id: _believed(told, document_id, at, known) for document_id in (1, 2, 3)}
        for document_id, best in expected.items():
            row = ledger.validity_at(document_id, at, known)
            assert row == _first(ledger.validities(document_id, until=at, known_at=known))
            assert (best is None) == (row is None)
            if row is not None:
                assert (row.valid_from, row.sequence, row.recorded_at, row.content is None) == best
        live = [f"doc-{one}.md" for one, best in expected.items() if best is not None and not best[3]]
        assert [key for key, _ in ledger.tree_at(job.id, at, known)] == live
        ledger.close()
