"""What every ledger does when it is written: all or nothing, fenced, the last put wins, one entry a transaction."""

from __future__ import annotations

import json

import pytest
from ledger_rows import (
    NOW,
    a_container,
    a_control,
    a_job,
    a_publish,
    a_run,
    a_version,
    an_attempt,
    an_item,
    answers,
)

from onward.errors import LeaseLost, OutputTaken
from onward.ledger import journal
from onward.ledger.base import Archive, Head, SignatureRow


class Interrupted(Exception):
    pass


def test_a_transaction_that_ends_is_there_whole(ledger, job):
    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(1, job.id, 1))
        tx.put(an_attempt(1, 1, 1))

    assert ledger.known(job.id, "item-1.html").item == an_item(1, job.id, 1)
    assert ledger.attempts(1) == [an_attempt(1, 1, 1)]


@pytest.mark.parametrize("error", [Interrupted, KeyboardInterrupt, SystemExit])
def test_a_transaction_that_raises_leaves_no_trace(ledger, job, error):
    before = answers(ledger)

    with pytest.raises(error), ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(1, job.id, 1))
        tx.put(job._replace(status="failed"))
        tx.put_signature(SignatureRow(1, b"i", b"o", "[]", "[]"))
        tx.put_memo("a", b"1")
        tx.put(a_control(1, job.id))
        tx.put_archive(Archive(job.id, 1, b"h", "f", NOW))
        tx.drop_signature()
        raise error

    assert answers(ledger) == before


def test_after_a_failed_transaction_the_next_one_works(ledger, job):
    with pytest.raises(Interrupted), ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(1, job.id, 1))
        raise Interrupted

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(1, job.id, 1, note="second"))

    assert ledger.item(1).note == "second"


def test_questions_inside_a_transaction_see_what_was_committed_before_it(ledger, job, put):
    put(an_item(1, job.id, 1))

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(1, job.id, 1, note="changed"))
        tx.put(an_item(2, job.id, 1))
        inside = [known.item for known in tx.known_all(job.id)]

    assert inside == [an_item(1, job.id, 1)]
    assert ledger.item(1).note == "changed"


def test_a_run_that_lost_its_job_writes_nothing(ledger, job, put):
    put(a_run(2, job.id), job._replace(run_id=2))
    before = answers(ledger)

    with pytest.raises(LeaseLost, match="has taken over"), ledger.transaction(job.id, now=NOW, fence=1) as tx:
        tx.put(an_item(1, job.id, 1))

    assert answers(ledger) == before


def test_the_run_that_holds_the_job_may_write(ledger, job):
    with ledger.transaction(job.id, now=NOW, fence=1) as tx:
        tx.put(an_item(1, job.id, 1))

    assert ledger.item(1).id == 1


def test_a_fence_on_a_job_that_does_not_exist_does_not_hold(ledger):
    with pytest.raises(LeaseLost), ledger.transaction(99, now=NOW, fence=1) as tx:
        tx.put(a_container(1, 99))


def test_the_last_put_of_an_identity_wins(ledger, job, put):
    put(an_item(1, job.id, 1, note="first"), an_item(1, job.id, 1, note="last"))

    assert ledger.item(1).note == "last"
    *_, entry = ledger.journal(job.id)
    assert [row[11 - 1] for _, row in json.loads(entry.payload)] == ["last"]


def test_a_row_put_again_is_replaced_whole(ledger, job, put):
    put(an_item(1, job.id, 1, note="why", retry_at=5, content=b"c" * 32, recipe_id=1))

    put(an_item(1, job.id, 1))

    assert ledger.item(1) == an_item(1, job.id, 1)


def test_every_column_of_every_row_comes_back_as_it_was_put(ledger, job, put):
    run = a_run(2, job.id, status="failed", finished_at=NOW, counts='{"a":1}', folder=".runs/x", label="l \u2028 'q'")
    item = an_item(1, job.id, 1, key="ä/日本\n\"'\x01.html", state="succeeded", version=3, serial=3, tries=2, lost=1,
                   retry_at=9, note="n", content=b"\0" * 32, recipe_id=1)
    attempt = an_attempt(1, 3, 2, number=2, finished_at=NOW, outcome="failed", content=b"c", recipe_id=1, error="{}")
    version = a_version(1, 3, 1, valid_from=-5, input_mtime_ns=-(2**63), mtime_ns=2**63 - 1, validation="WARN")
    publish = a_publish(1, None, kind="quarantine")
    control = a_control(3, job.id, "stop", who="Ädä", why="l \u2028 'q'", obeyed_at=NOW)

    put(run, item, attempt, version, publish, control)

    assert ledger.run_by_id(2) == run
    assert ledger.item(1) == item
    assert ledger.attempts(1) == [attempt]
    assert ledger.versions(1) == [version]
    assert ledger.publishes(job.id) == [publish]
    assert ledger.controls(job.id) == [control]


def test_drop_publish_takes_the_row_and_the_journal_says_so(ledger, job, put):
    put(an_item(1, job.id, 1), an_item(2, job.id, 1), a_publish(1), a_publish(2))

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.drop_publish(1)

    assert ledger.publishes(job.id) == [a_publish(2)]
    *_, entry = ledger.journal(job.id)
    assert json.loads(entry.payload) == [["-publish", [1]]]
    assert journal.fold(ledger.journal(job.id))["publish"] == {(2,): a_publish(2)}


def test_a_publish_dropped_and_put_again_in_one_transaction_stands(ledger, job, put):
    put(an_item(1, job.id, 1), a_publish(1))

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.drop_publish(1)
        tx.put(a_publish(1, staged="next"))

    assert ledger.publishes(job.id) == [a_publish(1, staged="next")]


def test_a_publish_put_and_dropped_in_one_transaction_is_gone(ledger, job, put):
    put(an_item(1, job.id, 1))

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(a_publish(1))
        tx.drop_publish(1)

    assert ledger.publishes(job.id) == []


def test_dropping_a_publish_that_is_not_there_may_be_repeated(ledger, job, put):
    put(an_item(1, job.id, 1))

    for _ in range(2):
        with ledger.transaction(job.id, now=NOW) as tx:
            tx.drop_publish(1)

    assert ledger.publishes(job.id) == []


@pytest.mark.parametrize("table", ["job", "run", "recipe", "container", "item"])
def test_allocate_never_repeats_within_a_transaction(ledger, job, table):
    with ledger.transaction(job.id, now=NOW) as tx:
        ids = [tx.allocate(table) for _ in range(5)]

    assert len(set(ids)) == 5


def test_allocate_never_gives_the_id_of_a_row(ledger, job, put):
    put(an_item(7, job.id, 1))

    with ledger.transaction(job.id, now=NOW) as tx:
        first = tx.allocate("item")
        tx.put(an_item(first + 1, job.id, 1))
        second = tx.allocate("item")

    assert {7, first + 1}.isdisjoint({first, second})
    assert first != second


def test_ids_of_one_table_do_not_depend_on_another(ledger, job):
    with ledger.transaction(job.id, now=NOW) as tx:
        assert tx.allocate("item") == 1
        assert tx.allocate("container") == 2


def test_a_job_gets_an_id_of_its_own(ledger):
    one = ledger.create_job(a_job("one"), now=NOW)
    two = ledger.create_job(a_job("two", id=one.id), now=NOW)

    assert one.id != two.id
    assert ledger.jobs() == [one, two]


def test_a_job_with_a_taken_name_is_refused(ledger, job):
    before = answers(ledger)

    with pytest.raises(OutputTaken, match="'filings'"):
        ledger.create_job(a_job(out="elsewhere"), now=NOW)

    assert answers(ledger) == before


def test_a_job_with_a_taken_output_is_refused(ledger, job):
    before = answers(ledger)

    with pytest.raises(OutputTaken, match="out/filings"):
        ledger.create_job(a_job("another", out=job.out), now=NOW)

    assert answers(ledger) == before


def test_creating_a_job_is_the_first_entry_of_its_journal(ledger):
    job = ledger.create_job(a_job(), now=NOW + 5)

    (entry,) = ledger.journal(job.id)

    assert (entry.job_id, entry.seq, entry.recorded_at) == (job.id, 1, NOW + 5)
    assert json.loads(entry.payload) == [["job", list(job)]]


def test_each_transaction_is_one_entry_and_entries_have_no_gaps(ledger, job, put):
    for number in range(1, 6):
        put(an_item(number, job.id, 1), an_attempt(number, 1, 1))

    assert [entry.seq for entry in ledger.journal(job.id)] == list(range(1, 8))
    assert ledger.head(job.id).seq == 7


def test_a_transaction_that_changes_nothing_leaves_no_entry(ledger, job):
    before = ledger.head(job.id)

    with ledger.transaction(job.id, now=NOW):
        pass

    assert ledger.head(job.id) == before


def test_a_failed_transaction_leaves_no_gap(ledger, job, put):
    with pytest.raises(Interrupted), ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(1, job.id, 1))
        raise Interrupted
    put(an_item(1, job.id, 1))

    assert [entry.seq for entry in ledger.journal(job.id)] == [1, 2, 3]


def test_the_head_is_the_last_entry(ledger, job, put):
    put(an_item(1, job.id, 1))

    *_, last = ledger.journal(job.id)

    assert ledger.head(job.id) == Head(last.seq, last.hash)


def test_a_job_without_entries_has_an_empty_head(ledger):
    assert ledger.head(99) == Head(0, b"")
    assert list(ledger.journal(99)) == []


def test_the_chain_holds_from_the_first_entry_to_the_head(ledger, job, put):
    for number in range(1, 30):
        put(an_item(number, job.id, 1, note="x" * number * 20))

    steps = list(journal.follow(ledger.uuid, job.id, ledger.journal(job.id), ledger.head(job.id)))

    assert not [step for step in steps if isinstance(step, journal.Break)]
    assert len(steps) == 31


def test_each_job_has_a_chain_of_its_own(ledger, job):
    other = ledger.create_job(a_job("other"), now=NOW)

    with ledger.transaction(other.id, now=NOW) as tx:
        tx.put(a_container(tx.allocate("container"), other.id))

    assert ledger.head(job.id).seq == 2
    assert ledger.head(other.id).seq == 2
    assert {entry.job_id for entry in ledger.journal(other.id)} == {other.id}


def test_the_journal_records_the_instant_it_was_told(ledger, job):
    with ledger.transaction(job.id, now=12345) as tx:
        tx.put(a_container(2, job.id))

    *_, last = ledger.journal(job.id)
    assert last.recorded_at == 12345


def test_signatures_and_memos_are_kept_and_not_journaled(ledger, job):
    before = ledger.head(job.id)

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put_signature(SignatureRow(1, b"in", b"out", '["a"]', "[1]"))
        tx.put_memo("a", b"\0value")

    assert ledger.signature(1) == SignatureRow(1, b"in", b"out", '["a"]', "[1]")
    assert ledger.memo("a") == b"\0value"
    assert ledger.head(job.id) == before


def test_a_memo_and_a_signature_are_replaced(ledger, job):
    for value in (b"1", b"2"):
        with ledger.transaction(job.id, now=NOW) as tx:
            tx.put_memo("a", value)
            tx.put_signature(SignatureRow(1, value, b"", "[]", "[]"))

    assert ledger.memo("a") == b"2"
    assert ledger.signature(1).inputs == b"2"


def test_what_was_never_cached_is_none(ledger, job):
    assert ledger.memo("never") is None
    assert ledger.signature(1) is None


def test_one_signature_is_forgotten(ledger, job, put):
    put(a_container(2, job.id))
    with ledger.transaction(job.id, now=NOW) as tx:
        for container_id in (1, 2):
            tx.put_signature(SignatureRow(container_id, b"", b"", "[]", "[]"))

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.drop_signature(1)

    assert ledger.signature(1) is None
    assert ledger.signature(2) is not None


def test_all_signatures_of_this_job_are_forgotten_and_no_others(ledger, job, put):
    other = ledger.create_job(a_job("other"), now=NOW)
    with ledger.transaction(other.id, now=NOW) as tx:
        tx.put(a_container(2, other.id))
        tx.put_signature(SignatureRow(2, b"", b"", "[]", "[]"))
    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put_signature(SignatureRow(1, b"", b"", "[]", "[]"))

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.drop_signature()

    assert ledger.signature(1) is None
    assert ledger.signature(2) is not None


def test_a_signature_put_after_all_were_forgotten_stands(ledger, job, put):
    put(a_container(2, job.id))
    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put_signature(SignatureRow(2, b"", b"", "[]", "[]"))

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put_signature(SignatureRow(2, b"before", b"", "[]", "[]"))
        tx.drop_signature()
        tx.put_signature(SignatureRow(1, b"after", b"", "[]", "[]"))

    assert ledger.signature(1).inputs == b"after"
    assert ledger.signature(2) is None
