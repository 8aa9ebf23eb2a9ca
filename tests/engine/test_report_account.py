"""What is counted for a report, against the plain way to count it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.engine.questions.account import Slowest, over_time
from onward.engine.questions.pace import Measured, measured, memo_after
from onward.engine.reports.report_plot import size, span
from onward.ledger.memory import MemoryLedger
from onward.model.record import Attempt, Container, Item, Job, Run
from onward.runs.memory import MemoryRecord, resident_bytes

NOW = 1_766_932_222_000_000
SECONDS = st.floats(0, 1e6, allow_nan=False)
ENDS = st.lists(st.tuples(st.integers(NOW - 10_000_000, NOW + 10**13), st.booleans()), max_size=200)


@given(ENDS)
def test_every_end_is_counted_once_and_the_steps_stay_few_laws(ends):
    steps, step_s = over_time(ends, NOW)

    assert sum(step.processed for step in steps) == sum(is_good for _, is_good in ends)
    assert sum(step.failed for step in steps) == sum(not is_good for _, is_good in ends)
    assert len(steps) <= 61
    assert [step.at_s for step in steps] == pytest.approx([n * step_s for n in range(len(steps))])


def test_an_end_is_counted_where_it_was():
    steps, step_s = over_time([(NOW + 500_000, True), (NOW + 9_400_000, True), (NOW + 9_600_000, False)], NOW)

    assert step_s == 1
    assert [(s.at_s, s.processed, s.failed) for s in steps if s.processed or s.failed] == [(0, 1, 0), (9, 1, 1)]


@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), SECONDS), max_size=300))
def test_the_slowest_are_those_of_all_sorted_laws(attempts):
    found = Slowest()
    for key, elapsed_s in attempts:
        found.add(key, elapsed_s)

    longest: dict[str, float] = {}
    for key, elapsed_s in attempts:
        longest[key] = max(elapsed_s, longest.get(key, 0.0))
    wanted = sorted((elapsed_s for elapsed_s in longest.values() if elapsed_s > 0), reverse=True)[:10]
    assert [one.elapsed_s for one in found.items()] == wanted
    assert all(longest[one.key] == one.elapsed_s for one in found.items())


@given(st.lists(st.tuples(SECONDS, st.integers(1, 10**12)), min_size=1, max_size=300))
def test_the_record_of_memory_stays_small_and_keeps_the_peak_laws(looks):
    record = MemoryRecord(stretches_max=20)
    for at_s, size_bytes in sorted(looks):
        record.add(at_s, size_bytes)

    samples = record.samples()
    assert 1 <= len(samples) <= 20
    assert record.peak_bytes == max(size_bytes for _, size_bytes in looks)
    assert max(one.size_bytes for one in samples) == record.peak_bytes
    assert [one.at_s for one in samples] == sorted({one.at_s for one in samples})
    assert all(one.at_s <= max(at_s for at_s, _ in looks) for one in samples)


def test_memory_of_a_child_counts():
    import subprocess
    import sys

    before = resident_bytes()
    script = "import sys; big = bytearray(b'x') * 50_000_000; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        during = resident_bytes()
        child.communicate()

    assert during - before > 50_000_000


# -- how long an item takes


def ledger_of(runs: list[list[tuple[str, int, int]]]) -> MemoryLedger:
    """Return a ledger with one job; each run has attempts (outcome, start, end in microseconds)."""
    ledger = MemoryLedger()
    job = ledger.create_job(Job(0, "j", "p", "in", "out", "pending", NOW, None, "{}"), now=NOW)
    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(Container(1, job.id, ""))
        item = 0
        for number, attempts in enumerate(runs, 1):
            tx.put(Run(number, job.id, f"r{number}", "", "completed", NOW, NOW, 1, "h", "{}", "{}", "{}", None))
            for outcome, began, ended in attempts:
                item += 1
                tx.put(Item(item, job.id, 1, f"k{item}", "pending", None, 1, 0, 0, None, None, None, None))
                reason = "rolled-back" if outcome == "rolled-back" else "new"
                outcome_ = "succeeded" if outcome == "rolled-back" else outcome
                tx.put(Attempt(item, 1, number, 1, NOW + began, NOW + ended, outcome_, None, None, None, reason))
    return ledger


RUNS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["succeeded", "failed", "rolled-back"]), st.integers(0, 1000), st.integers(1000, 9999)
        ),
        max_size=5,
    ),
    min_size=1, max_size=5,
)


@given(RUNS)
def test_the_remembered_pace_is_that_of_all_attempts_laws(runs):
    ledger = ledger_of(runs)
    total = Measured()
    for attempts in runs:
        made = [(began, ended) for outcome, began, ended in attempts if outcome == "succeeded"]
        if made:
            span_us = max(ended for _, ended in made) - min(began for began, _ in made)
            total = Measured(total.items + len(made), total.runs + 1, total.span_us + span_us)

    assert measured(ledger, 1, len(runs)) == total
    for run_id in range(1, len(runs) + 1):
        with ledger.transaction(1, now=NOW, fence=None) as tx:
            tx.put_memo(*memo_after(tx, 1, run_id))
    assert measured(ledger, 1, len(runs)) == total
    assert measured(ledger, 1, 1) == total


def test_a_memo_that_cannot_be_read_is_added_up_anew():
    ledger = ledger_of([[("succeeded", 0, 2000), ("succeeded", 1000, 4000)]])
    for text in (b"", b"[1", b"{}", b"[1,2]", b'["a","b","c","d"]', b"\xff", b"null"):
        with ledger.transaction(1, now=NOW) as tx:
            tx.put_memo("pace/1", text)

        assert measured(ledger, 1, 1) == Measured(2, 1, 4000)


def test_what_was_never_measured_saves_nothing():
    assert Measured().saved_s(1000) == 0.0
    assert Measured().item_s is None


# -- words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.0001, "0 s"), (0.0669, "0.067 s"), (0.5, "0.5 s"), (2.34, "2.3 s"), (59.6, "60 s"),
        (119, "119 s"), (120, "2 min"), (200, "3 min 20 s"), (7200, "2 h"), (7500, "2 h 05 min"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_a_span_is_spelled_for_people(seconds, text):
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (999_999, "1 MB"), (246_800_000, "247 MB"),
        (5 * 10**12, "5,000 GB"),
    ],
)
def test_a_size_is_spelled_for_people(size_bytes, text):
    assert size(size_bytes) == text
