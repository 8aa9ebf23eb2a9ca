"""The server goes away and comes back: a transaction waits and is committed once, or ends clearly and is not there."""

from __future__ import annotations

import threading
import time

import pytest
from ledger_rows import NOW, a_container, a_job, a_run, an_item, answers, fill

from onward import clock
from onward.errors import LedgerError
from onward.ledger import audit, journal
from onward.ledger.memory import MemoryLedger


def _soon(action, after_s=0.3):
    timer = threading.Timer(after_s, action)
    timer.start()
    return timer


@pytest.fixture
def prepared(opened):
    """A ledger, and a job with a container in it."""
    ledger = opened()
    job = ledger.create_job(a_job(), now=NOW)
    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(a_container(1, job.id))
    return ledger, job


@pytest.mark.parametrize("before", [True, False], ids=["the commit is lost", "its answer is lost"])
def test_a_commit_that_was_cut_off_is_there_exactly_once(opened, line, prepared, before):
    _, job = prepared
    ledger = opened(line.url)
    line.cut_at(b"COMMIT\0", before=before)

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(tx.allocate("item"), job.id, 1))

    assert line.cuts == 1
    assert ledger.head(job.id).seq == 3
    assert [known.item.id for known in ledger.known_all(job.id)] == [1]
    assert audit.problems(ledger, {}) == []


@pytest.mark.parametrize("before", [True, False], ids=["the commit is lost", "its answer is lost"])
def test_a_job_whose_creation_was_cut_off_is_there_exactly_once(opened, line, before):
    opened()
    ledger = opened(line.url)
    line.cut_at(b"COMMIT\0", before=before)

    job = ledger.create_job(a_job(), now=NOW)

    assert line.cuts == 1
    assert ledger.jobs() == [job]
    assert ledger.head(job.id).seq == 1


def test_a_commit_whose_answers_are_lost_again_and_again_is_there_once(opened, line, prepared):
    _, job = prepared
    ledger = opened(line.url)
    line.cut_at(b"COMMIT\0", before=False, times=1)
    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(1, job.id, 1))
    line.cut_at(b"COMMIT\0", before=True, times=4)

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(2, job.id, 1))
        tx.put_memo("a", b"1")

    assert line.cuts == 5
    assert ledger.head(job.id).seq == 4
    assert ledger.memo("a") == b"1"


def test_a_transaction_goes_on_when_the_line_was_cut_in_its_middle(opened, line, prepared):
    _, job = prepared
    ledger = opened(line.url)

    with ledger.transaction(job.id, now=NOW) as tx:
        first = tx.allocate("item")
        tx.put(an_item(first, job.id, 1))
        line.go_away()
        line.come_back()
        assert tx.job_by_id(job.id) is not None
        second = tx.allocate("item")
        tx.put(an_item(second, job.id, 1))
        tx.put(a_run(tx.allocate("run"), job.id))

    assert [known.item.id for known in ledger.known_all(job.id)] == [first, second] == [1, 2]
    assert ledger.head(job.id).seq == 3


def test_a_transaction_in_whose_outage_another_wrote_to_the_job_ends_and_writes_nothing(opened, line, prepared):
    direct, job = prepared
    ledger = opened(line.url)

    with (
        pytest.raises(LedgerError, match="another process has written meanwhile"),
        ledger.transaction(job.id, now=NOW) as tx,
    ):
        tx.put(an_item(1, job.id, 1))
        line.go_away()
        with direct.transaction(job.id, now=NOW) as other:
            other.put(a_container(2, job.id))
        line.come_back()

    assert list(direct.known_all(job.id)) == []
    assert direct.head(job.id).seq == 3


def test_ids_that_another_job_took_in_the_outage_are_not_given_twice(opened, line, prepared):
    direct, job = prepared
    other_job = direct.create_job(a_job("other"), now=NOW)
    with direct.transaction(other_job.id, now=NOW) as tx:
        tx.put(a_container(2, other_job.id))
    ledger = opened(line.url)

    with (
        pytest.raises(LedgerError, match="another process has written meanwhile"),
        ledger.transaction(job.id, now=NOW) as tx,
    ):
        tx.put(an_item(tx.allocate("item"), job.id, 1, note="mine"))
        line.go_away()
        with direct.transaction(other_job.id, now=NOW) as other:
            other.put(an_item(other.allocate("item"), other_job.id, 2, note="theirs"))
        line.come_back()

    assert [known.item.note for known in direct.known_all(other_job.id)] == ["theirs"]
    assert list(direct.known_all(job.id)) == []


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_work_goes_on_when_the_server_ends_and_starts_again(opened, postgres, end):
    ledger, memory = opened(), MemoryLedger()
    memory.uuid = ledger.uuid
    fill(ledger, 30)
    fill(memory, 30)

    getattr(postgres, end)()
    timer = _soon(postgres.start)
    fill(ledger, 30, name="second")
    timer.join()

    fill(memory, 30, name="second")
    assert answers(ledger) == answers(memory)
    assert audit.problems(ledger, {}) == []


def test_what_was_committed_when_the_server_was_killed_is_there_and_what_was_not_is_not(opened, postgres, prepared):
    ledger, job = prepared
    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(1, job.id, 1))
    tx = ledger.transaction(job.id, now=NOW)
    one = tx.__enter__()
    one.put(an_item(2, job.id, 1))

    postgres.kill()
    postgres.start()

    fresh = opened()
    assert [known.item.id for known in fresh.known_all(job.id)] == [1]
    tx.__exit__(None, None, None)
    assert [known.item.id for known in fresh.known_all(job.id)] == [1, 2]


def test_an_outage_that_lasts_ends_with_what_to_do_and_without_the_password(opened, postgres, monkeypatch, prepared):
    _, job = prepared
    monkeypatch.setenv("ONWARD_LEDGER_WAIT_S", "0.5")
    ledger = opened(postgres.with_password())
    postgres.stop()
    began = clock.monotonic()

    with pytest.raises(LedgerError) as caught:
        ledger.jobs()
    with pytest.raises(LedgerError, match="nothing else was recorded"), ledger.transaction(job.id, now=NOW):
        pass

    assert 0.9 < clock.monotonic() - began < 20
    assert "was not to be had for" in str(caught.value)
    assert "Run the same command again" in str(caught.value)
    assert postgres.server.password not in "".join(_whole_text(caught.value))
    postgres.start()
    assert [job.name for job in ledger.jobs()] == ["filings"]


def _whole_text(error):
    while error is not None:
        yield f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_a_commit_of_which_nothing_is_known_says_so_and_the_journal_knows(opened, line, monkeypatch, prepared):
    direct, job = prepared
    monkeypatch.setenv("ONWARD_LEDGER_WAIT_S", "0.3")
    ledger = opened(line.url)
    line.cut_at(b"COMMIT\0", before=False)

    with pytest.raises(LedgerError, match="was not to be had"), ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(1, job.id, 1))
        line._is_away = True  # the line that is open still carries the commit

    assert direct.head(job.id).seq == 3
    assert direct.item(1) == an_item(1, job.id, 1)


def test_an_answer_that_is_cut_off_in_its_middle_is_an_error_and_never_a_short_answer(opened, line, prepared):
    direct, job = prepared
    with direct.transaction(job.id, now=NOW) as tx:
        for number in range(1, 2501):
            tx.put(an_item(number, job.id, 1))
    ledger = opened(line.url)

    seen = 0
    with pytest.raises(LedgerError, match="was lost while it was read"):
        for _ in ledger.known_all(job.id):
            seen += 1
            if seen == 10:
                line.go_away()

    assert 10 <= seen < 2500


def test_an_answer_that_nobody_reads_to_its_end_gives_its_connection_back(opened, prepared):
    ledger, job = prepared
    with ledger.transaction(job.id, now=NOW) as tx:
        for number in range(1, 1501):
            tx.put(an_item(number, job.id, 1))

    for _ in range(30):
        rows = ledger.known_all(job.id)
        next(rows)
        rows.close()

    assert len(ledger.server._idle) <= 4
    assert len(list(ledger.known_all(job.id))) == 1500


def test_a_writer_that_froze_in_its_transaction_is_ended_by_the_server(opened, postgres, prepared):
    """Half a minute is the server's limit; here it is lowered for the one connection, so that nobody waits for it."""
    ledger, job = prepared
    other = opened()

    with (
        pytest.raises(LedgerError, match="another process has written meanwhile"),
        ledger.transaction(job.id, now=NOW) as tx,
    ):
        tx.put(an_item(1, job.id, 1))
        tx._db.execute("SET LOCAL idle_in_transaction_session_timeout = '200ms'")
        with other.transaction(job.id, now=NOW) as theirs:
            theirs.put(an_item(1, job.id, 1, note="theirs"))

    assert other.item(1).note == "theirs"


def test_the_chain_holds_over_many_cuts(opened, line, prepared):
    _, job = prepared
    ledger = opened(line.url)
    cuts = 0
    for number in range(1, 21):
        if number % 3:
            line.cut_at(b"COMMIT\0", before=bool(number % 2))
            cuts += 1
        with ledger.transaction(job.id, now=NOW + number) as tx:
            tx.put(an_item(tx.allocate("item"), job.id, 1))

    assert line.cuts == cuts
    assert [known.item.id for known in ledger.known_all(job.id)] == sorted(range(1, 21), key=lambda n: f"item-{n}.html")
    steps = list(journal.follow(ledger.uuid, job.id, ledger.journal(job.id)))
    assert [step.seq for step in steps] == list(range(1, 23))


def test_a_server_that_is_not_there_is_named_at_once_when_the_waiting_time_is_none(opened, postgres, monkeypatch):
    monkeypatch.setenv("ONWARD_LEDGER_WAIT_S", "0")
    began = time.monotonic()

    with pytest.raises(LedgerError, match="was not to be had for 0 s"):
        opened("postgresql://onward@127.0.0.1:1/none")

    assert time.monotonic() - began < 5
