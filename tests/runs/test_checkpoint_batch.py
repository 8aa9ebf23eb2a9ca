"""The checkpoint in the ledger: a batch with a name, worked through by somebody else's program."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from onward import BatchCheckpoint, CheckpointManager, CheckpointStatus
from onward.errors import NotFound, OutputTaken, UsageError
from onward.ledger.base import open_ledger

DOCS = [f"doc_{n:03}" for n in range(253)]


@pytest.fixture
def manager(tmp_path: Path) -> CheckpointManager:
    return CheckpointManager(state=tmp_path / ".onward")


def again(manager: CheckpointManager, tmp_path: Path) -> CheckpointManager:
    """Return what another process would have in its hands."""
    manager.close()
    return CheckpointManager(state=tmp_path / ".onward")


@pytest.mark.contract("S2-005", "S2-007", "S2-026", "S2-028", "S2-036", "X-10")
def test_a_batch_that_died_at_136_of_253_goes_on_with_137(manager, tmp_path):
    manager.create_checkpoint("batch-7", DOCS)
    for doc in DOCS[:136]:
        manager.update_checkpoint(job_id="batch-7", processed_doc_id=doc)

    resubmitted = again(manager, tmp_path)
    found = resubmitted.create_checkpoint("batch-7", DOCS)

    assert resubmitted.get_remaining_documents("batch-7", DOCS) == DOCS[136:]
    assert (len(found.processed), found.total, found.restarts) == (136, 253, 1)


@pytest.mark.contract("S2-001", "S2-004", "X-36")
def test_without_arguments_the_ledger_is_found_as_by_every_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CheckpointManager().create_checkpoint("here", ["a"])
    monkeypatch.setenv("ONWARD_STATE", str(tmp_path / "elsewhere"))
    CheckpointManager().create_checkpoint("there", ["a"])

    assert CheckpointManager(state=tmp_path / ".onward").load_checkpoint("here")
    assert CheckpointManager(state=tmp_path / "elsewhere").load_checkpoint("there")


@pytest.mark.contract("S2-002")
def test_the_status_of_a_batch_is_an_enum_with_the_promised_names():
    assert issubclass(CheckpointStatus, Enum)
    assert {"RUNNING", "PAUSED", "STOPPED", "COMPLETED", "FAILED"} <= set(CheckpointStatus.__members__)


@pytest.mark.contract("S2-003", "S2-006")
def test_a_checkpoint_is_loaded_as_a_value_and_none_is_falsy(manager):
    assert not manager.load_checkpoint("batch-7")
    manager.create_checkpoint("batch-7", ["a", "b", "c"], metadata={"file": "docs.jsonl"})
    manager.update_checkpoint("batch-7", processed_doc_id="b")
    manager.update_checkpoint("batch-7", failed_doc_id="c", reason="Timeout")

    found = manager.load_checkpoint("batch-7")

    assert isinstance(found, BatchCheckpoint)
    assert (found.job_id, found.status) == ("batch-7", CheckpointStatus.RUNNING)
    assert (found.processed, found.failed, found.remaining) == (("b",), {"c": "Timeout"}, ("a",))
    assert found.metadata == {"file": "docs.jsonl"}
    assert found.total == 3


def test_the_documents_of_another_batch_are_none_of_ours(manager):
    manager.create_checkpoint("one", ["a", "b"])
    manager.create_checkpoint("two", ["a", "b"])

    manager.update_checkpoint("one", processed_doc_id="a")

    assert manager.get_remaining_documents("two", ["a", "b"]) == ["a", "b"]


@pytest.mark.contract("S2-007")
def test_documents_remain_in_their_own_order_and_as_they_were_given(manager):
    documents = [{"id": 3, "text": "z"}, {"doc_id": "b"}, {"document_id": "a", "id": 7}, Path("x/y.txt"), 12]
    manager.create_checkpoint("batch-7", documents)

    manager.update_checkpoint("batch-7", processed_doc_id="b")
    manager.update_checkpoint("batch-7", processed_doc_id={"document_id": "a"})

    assert manager.get_remaining_documents("batch-7", documents) == [documents[0], documents[3], documents[4]]
    assert manager.get_remaining_documents("nobody", documents) == documents


@pytest.mark.parametrize("document", ["", None, {}, {"text": "x"}, {"id": None}, True, 1.5, ["a"]])
def test_a_document_without_an_id_is_refused_and_nothing_is_begun(manager, document):
    with pytest.raises(UsageError, match="document_id"):
        manager.create_checkpoint("batch-7", ["a", document])

    assert manager.load_checkpoint("batch-7") is None


NAMES = ["a\nb", "caf\u00e9", "x" * 3000, "'; DROP TABLE job; --", "\u202egnp.exe", os.fsdecode(b"caf\xe9"), "\ud800"]


@pytest.mark.parametrize("name", NAMES)
def test_any_text_may_be_the_id_of_a_document(manager, name):
    manager.create_checkpoint("batch-7", [name, "other"])

    manager.update_checkpoint("batch-7", processed_doc_id=name)

    assert manager.get_remaining_documents("batch-7", [name, "other"]) == ["other"]


@pytest.mark.contract("S2-008")
def test_the_three_uses_of_update_checkpoint(manager):
    manager.create_checkpoint("batch-7", ["a", "b", "c"])

    manager.update_checkpoint(job_id="batch-7", processed_doc_id="a")
    manager.update_checkpoint(job_id="batch-7", failed_doc_id="b")
    manager.update_checkpoint("batch-7", status=CheckpointStatus.FAILED)

    found = manager.load_checkpoint("batch-7")
    assert (found.processed, found.failed, found.remaining) == (("a",), {"b": "failed"}, ("c",))
    assert found.status is CheckpointStatus.FAILED


def test_an_update_that_says_nothing_or_of_an_unknown_batch_is_refused(manager):
    with pytest.raises(NotFound, match="create_checkpoint"):
        manager.update_checkpoint("batch-7", processed_doc_id="a")
    manager.create_checkpoint("batch-7", ["a"])
    with pytest.raises(UsageError, match="processed_doc_id"):
        manager.update_checkpoint("batch-7")
    with pytest.raises(UsageError, match="RUNNING"):
        manager.update_checkpoint("batch-7", status="gone")


@pytest.mark.contract("X-13", "S2-027")
def test_a_failed_document_is_held_with_its_reason_until_somebody_reopens_it(manager, tmp_path):
    manager.create_checkpoint("batch-7", ["a", "b"])
    manager.update_checkpoint("batch-7", failed_doc_id="a", error=ValueError("no such page"))

    resubmitted = again(manager, tmp_path)
    resubmitted.create_checkpoint("batch-7", ["a", "b"])

    assert resubmitted.get_remaining_documents("batch-7", ["a", "b"]) == ["b"]
    assert resubmitted.load_checkpoint("batch-7").failed == {"a": "ValueError"}
    assert resubmitted.retry_failed("batch-7") == 1
    assert resubmitted.get_remaining_documents("batch-7", ["a", "b"]) == ["a", "b"]


@pytest.mark.contract("X-13")
def test_a_document_that_failed_for_the_moment_remains_until_its_third_attempt(manager):
    manager.create_checkpoint("batch-7", ["a"])
    left = []

    for _ in range(3):
        manager.update_checkpoint("batch-7", failed_doc_id="a", reason="Timeout", transient=True)
        left.append(manager.get_remaining_documents("batch-7", ["a"]))

    assert left == [["a"], ["a"], []]


def test_what_was_processed_stays_so_whatever_comes_later(manager):
    manager.create_checkpoint("batch-7", ["a"])

    manager.update_checkpoint("batch-7", processed_doc_id="a")
    manager.update_checkpoint("batch-7", processed_doc_id="a")
    manager.update_checkpoint("batch-7", failed_doc_id="a")

    assert manager.load_checkpoint("batch-7").processed == ("a",)
    assert [e["event"] for e in manager.get_history("batch-7") if "document" in e] == ["succeeded"]


def test_a_document_that_nobody_announced_becomes_part_of_the_batch(manager):
    manager.create_checkpoint("batch-7", ["a"])

    manager.update_checkpoint("batch-7", processed_doc_id="b")

    assert manager.load_checkpoint("batch-7").processed == ("b",)
    assert manager.load_checkpoint("batch-7").total == 2


@pytest.mark.contract("S2-009", "S2-012", "S2-020", "S2-021")
def test_a_pause_stands_until_it_is_lifted_and_lets_the_document_in_hand_finish(manager, tmp_path):
    manager.create_checkpoint("batch-7", ["a", "b"])
    CheckpointManager(state=tmp_path / ".onward").pause("batch-7", why="lunch")

    assert manager.is_paused("batch-7")
    manager.update_checkpoint("batch-7", processed_doc_id="a")
    resubmitted = again(manager, tmp_path)
    assert resubmitted.create_checkpoint("batch-7", ["a", "b"]).status is CheckpointStatus.PAUSED
    assert resubmitted.is_paused("batch-7")
    resubmitted.resume("batch-7")

    assert not resubmitted.is_paused("batch-7")
    assert resubmitted.load_checkpoint("batch-7").status is CheckpointStatus.RUNNING
    assert resubmitted.get_remaining_documents("batch-7", ["a", "b"]) == ["b"]


@pytest.mark.contract("S2-009", "S2-012", "S2-022", "X-15")
def test_a_stopped_batch_refuses_with_its_reason_unless_it_is_begun_anew(manager):
    manager.create_checkpoint("batch-7", ["a", "b"])
    manager.update_checkpoint("batch-7", processed_doc_id="a")
    manager.stop("batch-7", why="wrong model")

    assert manager.is_stopped("batch-7")
    for attempt in (
        lambda: manager.create_checkpoint("batch-7", ["a", "b"]),
        lambda: manager.resume("batch-7"),
        lambda: manager.pause("batch-7"),
        lambda: manager.update_checkpoint("batch-7", status=CheckpointStatus.RUNNING),
    ):
        with pytest.raises(UsageError, match="wrong model"):
            attempt()
    found = manager.create_checkpoint("batch-7", ["a", "b"], new=True)

    assert found.status is CheckpointStatus.RUNNING
    assert not manager.is_stopped("batch-7")
    assert manager.get_remaining_documents("batch-7", ["a", "b"]) == ["b"]


@pytest.mark.contract("X-14", "S2-012")
def test_a_text_that_speaks_of_a_pause_pauses_nothing(manager):
    manager.create_checkpoint("batch-7", ["Batch processing paused by user"], metadata={"note": "paused by user"})

    manager.update_checkpoint("batch-7", failed_doc_id="Batch processing paused by user", reason="stopped by user")

    assert not manager.is_paused("batch-7")
    assert not manager.is_stopped("batch-7")


@pytest.mark.contract("S2-012")
def test_asking_twice_is_asking_once(manager):
    manager.create_checkpoint("batch-7", ["a"])

    for request in ("resume", "pause", "pause", "resume", "resume", "stop", "stop"):
        getattr(manager, request)("batch-7")

    asked = [entry["event"] for entry in manager.get_history("batch-7") if "asked" in str(entry["event"])]
    assert asked == ["asked to pause", "asked to resume", "asked to stop"]


def test_the_status_can_also_be_used_to_ask(manager):
    manager.create_checkpoint("batch-7", ["a"])

    manager.update_checkpoint("batch-7", status=CheckpointStatus.PAUSED)
    was_paused = manager.is_paused("batch-7")
    manager.update_checkpoint("batch-7", status=CheckpointStatus.RUNNING)

    assert was_paused
    assert not manager.is_paused("batch-7")


@pytest.mark.contract("S2-010")
def test_a_completed_batch_says_so_and_takes_further_documents(manager):
    manager.create_checkpoint("batch-7", ["a"])
    manager.update_checkpoint("batch-7", processed_doc_id="a")
    manager.complete("batch-7")
    completed = manager.load_checkpoint("batch-7").status

    manager.create_checkpoint("batch-7", ["a", "b"])

    assert completed is CheckpointStatus.COMPLETED
    assert manager.load_checkpoint("batch-7").status is CheckpointStatus.RUNNING
    assert manager.get_remaining_documents("batch-7", ["a", "b"]) == ["b"]


@pytest.mark.contract("S2-011", "S2-023")
def test_progress_is_plain_json_with_counts_recent_and_failed_documents(manager):
    assert manager.get_progress("batch-7") is None
    manager.create_checkpoint("batch-7", DOCS)
    for doc in DOCS[:124]:
        manager.update_checkpoint("batch-7", processed_doc_id=doc)
    for doc in DOCS[124:136]:
        manager.update_checkpoint("batch-7", failed_doc_id=doc, reason="Timeout")

    found = manager.get_progress("batch-7")

    assert json.loads(json.dumps(found)) == found
    names = ("job_id", "status", "total", "processed", "failed", "remaining", "percent")
    assert {name: found[name] for name in names} == {
        "job_id": "batch-7", "status": "running", "total": 253, "processed": 124, "failed": 12, "remaining": 117,
        "percent": 49.0,
    }
    assert [entry["document"] for entry in found["recent"]] == DOCS[135:130:-1]
    assert {"document": "doc_124", "reason": "Timeout"} in found["failed_documents"]
    assert found["rate_per_min"] > 0


@pytest.mark.contract("S2-035")
def test_the_history_tells_everything_that_happened_and_who_asked_for_it(manager):
    manager.create_checkpoint("batch-7", ["a", "b"])
    manager.update_checkpoint("batch-7", processed_doc_id="a")
    manager.pause("batch-7", why="lunch")
    assert manager.is_paused("batch-7")
    manager.resume("batch-7")
    manager.create_checkpoint("batch-7", ["a", "b"])
    manager.update_checkpoint("batch-7", failed_doc_id="b", reason="Timeout")
    manager.complete("batch-7")

    told = manager.get_history("batch-7")

    assert [entry["event"] for entry in told] == [
        "created", "begun", "succeeded", "asked to pause", "paused", "asked to resume", "begun", "failed", "completed",
    ]
    pause = told[3]
    assert (pause["why"], pause["pid"], pause["host"]) == ("lunch", os.getpid(), os.uname().nodename)
    assert sorted(entry["at"] for entry in told) == [entry["at"] for entry in told]
    assert json.loads(json.dumps(told)) == told


def test_the_counts_of_its_runs_add_up_under_the_names_that_every_run_has(manager, tmp_path):
    manager.create_checkpoint("batch-7", ["a", "b", "c", "d"])
    manager.update_checkpoint("batch-7", processed_doc_id="a")
    manager.update_checkpoint("batch-7", failed_doc_id="b")
    manager.create_checkpoint("batch-7", ["a", "b", "c", "d"])
    manager.update_checkpoint("batch-7", processed_doc_id="c")
    manager.update_checkpoint("batch-7", failed_doc_id="d", transient=True)
    manager.complete("batch-7")

    command = [sys.executable, "-m", "onward", "history", "--json"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    last, first = [run["counts"] for run in json.loads(done.stdout)["runs"]]

    ends = ("processed", "skipped", "failed", "quarantined", "held", "remaining")
    assert [first[name] for name in ends] == [1, 0, 0, 1, 0, 2]
    assert [last[name] for name in ends] == [1, 1, 1, 0, 1, 0]
    assert sum(last[name] for name in ends) == last["total"] == 4


@pytest.mark.contract("S2-035")
def test_every_change_is_in_the_chain_of_the_journal(manager, tmp_path):
    manager.create_checkpoint("batch-7", ["a", "b"])
    manager.update_checkpoint("batch-7", processed_doc_id="a")
    manager.pause("batch-7")
    manager.close()

    ledger = open_ledger(str(tmp_path / ".onward" / "ledger.db"), writes=False)
    tables = [{table for table, _ in json.loads(entry.payload)} for entry in ledger.journal(1)]
    ledger.close()

    assert tables == [{"job"}, {"job", "run", "container", "item"}, {"item", "attempt"}, {"control"}]


def test_a_batch_cannot_have_the_name_of_a_job_of_a_pipeline(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "own.py").write_text(
        "from onward import Pipeline, files, json_files\n"
        "def read(item): return item.key\n"
        "own = Pipeline('own', source=files('*.txt'), steps=[read], sink=json_files())\n"
    )
    command = [sys.executable, "-m", "onward", "run", "own.py:own", "in", "--out", "out", "--job", "mine"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    manager = CheckpointManager(state=tmp_path / ".onward")

    with pytest.raises(OutputTaken, match="mine"):
        manager.create_checkpoint("mine", ["a"])
    assert manager.get_progress("mine")["status"] == "completed"


@pytest.mark.contract("S2-023")
def test_the_command_line_knows_the_batch_too(manager, tmp_path):
    manager.create_checkpoint("batch-7", ["a", "doc_105"])
    manager.update_checkpoint("batch-7", failed_doc_id="doc_105", reason="Timeout")

    command = [sys.executable, "-m", "onward", "status", "batch-7"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert "Failed Documents (1):" in said
    assert "✗ doc_105 (Timeout)" in said


def test_secrets_in_metadata_and_messages_are_not_stored(manager, tmp_path):
    url = "postgresql://me:hunter2@host/db"
    manager.create_checkpoint("batch-7", ["a"], metadata={"api_key": "canary", "deep": [{"url": url}]})
    manager.update_checkpoint("batch-7", failed_doc_id="a", error=RuntimeError(f"cannot reach {url}"))
    manager.pause("batch-7", why=f"moving {url}")
    manager.close()

    stored = b"".join(path.read_bytes() for path in (tmp_path / ".onward").rglob("*") if path.is_file())

    assert b"canary" not in stored
    assert b"hunter2" not in stored


# -- many at once


@pytest.mark.contract("S2-004")
def test_many_threads_of_one_manager_record_every_document_once(manager):
    manager.create_checkpoint("batch-7", DOCS)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda doc: manager.update_checkpoint("batch-7", processed_doc_id=doc), DOCS * 2))

    assert manager.load_checkpoint("batch-7").processed == tuple(DOCS)
    assert sum(entry["event"] == "succeeded" for entry in manager.get_history("batch-7")) == len(DOCS)


def work(state: str, docs: list[str]) -> None:
    manager = CheckpointManager(state=state)
    for doc in docs:
        manager.update_checkpoint("batch-7", processed_doc_id=doc)
    manager.close()


@pytest.mark.contract("S2-004")
def test_many_processes_record_every_document_once(manager, tmp_path):
    manager.create_checkpoint("batch-7", DOCS)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(str(tmp_path / ".onward"), DOCS[n * 40 :])) for n in range(4)]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [worker.exitcode for worker in workers] == [0] * 4
    assert manager.load_checkpoint("batch-7").processed == tuple(DOCS)
    assert sum(entry["event"] == "succeeded" for entry in manager.get_history("batch-7")) == len(DOCS)


def test_a_manager_that_crossed_a_fork_works_on_both_sides(tmp_path):
    script = (
        "import os, sys; from onward import CheckpointManager\n"
        "manager = CheckpointManager(state='.onward'); manager.create_checkpoint('batch-7', ['a', 'b'])\n"
        "child = os.fork()\n"
        "manager.update_checkpoint('batch-7', processed_doc_id='a' if child else 'b')\n"
        "if child: assert os.waitpid(child, 0)[1] == 0\n"
        "if child: print(manager.load_checkpoint('batch-7').processed)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True)

    assert done.stdout == "('a', 'b')\n"


@pytest.mark.contract("S2-026", "S2-028")
def test_what_was_reported_survives_a_kill_at_any_moment(tmp_path):
    script = (
        "from onward import CheckpointManager; manager = CheckpointManager(state='.onward')\n"
        "docs = [f'doc_{n}' for n in range(400)]; manager.create_checkpoint('batch-7', docs)\n"
        "for doc in manager.get_remaining_documents('batch-7', docs):\n"
        "    manager.update_checkpoint('batch-7', processed_doc_id=doc); print(doc, flush=True)\n"
    )
    chance = random.Random(11)
    said: list[str] = []

    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            said += [run.stdout.readline().strip() for _ in range(chance.randrange(1, 30))]
            run.kill()
            said += run.stdout.read().split()

    found = CheckpointManager(state=tmp_path / ".onward").load_checkpoint("batch-7")
    assert len(said) == len(set(said)), "a document that was reported done was done again"
    assert set(said) <= set(found.processed)
    assert len(found.processed) - len(said) <= 10
    assert found.restarts == 9


def test_a_stop_from_another_thread_is_seen_between_documents(manager, tmp_path):
    manager.create_checkpoint("batch-7", DOCS)
    done: list[str] = []
    begun = threading.Event()

    def process() -> None:
        for doc in manager.get_remaining_documents("batch-7", DOCS):
            if manager.is_stopped("batch-7"):
                return
            manager.update_checkpoint("batch-7", processed_doc_id=doc)
            done.append(doc)
            begun.set()

    worker = threading.Thread(target=process)
    worker.start()
    begun.wait()
    CheckpointManager(state=tmp_path / ".onward").stop("batch-7")
    at_stop = len(done)
    worker.join()

    assert len(done) <= at_stop + 1
    assert manager.load_checkpoint("batch-7").status is CheckpointStatus.STOPPED


# -- as others see it

WORKER = """
import sys
from onward import CheckpointManager
manager = CheckpointManager(state=".onward")
manager.create_checkpoint("batch-7", ["a", "b", "c"])
print("begun", flush=True)
for line in sys.stdin:
    if CheckpointManager(state=".onward").is_paused("batch-7"):  # by another manager than the one that began it
        print("told", flush=True)
        break
    manager.update_checkpoint("batch-7", processed_doc_id=line.strip())
    print("done", flush=True)
sys.stdin.read()
"""


@contextmanager
def worker(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a program of somebody's that does a document for each line it is given."""
    command = [sys.executable, "-c", WORKER]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert said(process) == "begun"
        yield process
        process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return said(process)


def status(folder: Path) -> str:
    command = [sys.executable, "-m", "onward", "status", "batch-7", "--json"]
    found = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return str(json.loads(found)["status"])


@pytest.mark.contract("S2-023")
def test_status_tells_a_batch_at_work_from_one_that_died(tmp_path):
    manager = CheckpointManager(state=tmp_path / ".onward")
    with worker(tmp_path) as process:
        assert tell(process, "a") == "done"
        at_work = status(tmp_path), manager.get_progress("batch-7")["status"]
    died = status(tmp_path), manager.get_progress("batch-7")["status"]

    assert at_work == ("running", "running")
    assert died == ("interrupted", "interrupted")


@pytest.mark.contract("S2-012", "S2-020")
def test_a_pause_is_answered_when_the_program_at_work_was_told(tmp_path):
    def answered() -> bool:
        ledger = open_ledger(str(tmp_path / ".onward" / "ledger.db"), writes=False)
        row = ledger.control(1)
        ledger.close()
        return row is not None and row.obeyed_at is not None

    with worker(tmp_path) as process:
        assert tell(process, "a") == "done"
        CheckpointManager(state=tmp_path / ".onward").pause("batch-7")
        before = answered()
        assert tell(process, "b") == "told"
        after = answered()

    assert (before, after) == (False, True)
    assert status(tmp_path) == "paused"


@pytest.mark.contract("S2-021")
def test_resume_on_the_command_line_lifts_the_pause_and_leaves_the_work_to_its_own_program(manager, tmp_path):
    manager.create_checkpoint("batch-7", ["a", "b"])
    manager.pause("batch-7")
    assert manager.is_paused("batch-7")

    resumed = subprocess.run([sys.executable, "-m", "onward", "resume"], cwd=tmp_path, capture_output=True, text=True)
    planned = subprocess.run(
        [sys.executable, "-m", "onward", "explain", "batch-7", "a"], cwd=tmp_path, capture_output=True, text=True
    )

    assert resumed.returncode == 0, resumed.stderr
    assert not manager.is_paused("batch-7")
    assert "its own program" in planned.stderr


def test_a_pause_of_a_batch_whose_program_died_is_answered_at_once(tmp_path):
    manager = CheckpointManager(state=tmp_path / ".onward")
    with worker(tmp_path) as process:
        assert tell(process, "a") == "done"

    manager.pause("batch-7")
    manager.resume("batch-7")
    found = manager.create_checkpoint("batch-7", ["a", "b", "c"])

    assert (found.status, found.restarts, found.remaining) == (CheckpointStatus.RUNNING, 1, ("b", "c"))
    told = [entry["event"] for entry in manager.get_history("batch-7") if "run" in entry and "document" not in entry]
    assert told == ["begun", "failed", "begun"]


# -- the law


class Batch(RuleBasedStateMachine):
    """A batch beside a model of it: whatever is said in whatever order, both agree, also after a restart."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.manager = CheckpointManager(state=self.folder.name)
        self.documents: list[str] = []
        self.processed: set[str] = set()
        self.failed: set[str] = set()
        self.request: str | None = None

    @initialize(documents=st.lists(st.sampled_from("abcdef"), unique=True))
    def begin(self, documents: list[str]) -> None:
        self.manager.create_checkpoint("b", documents)
        self.documents = documents

    @rule(documents=st.lists(st.sampled_from("abcdef"), unique=True))
    def resubmit(self, documents: list[str]) -> None:
        if self.request != "stop":
            self.manager.create_checkpoint("b", documents)
            self.documents += [doc for doc in documents if doc not in self.documents]

    @rule(doc=st.sampled_from("abcdef"))
    def succeed(self, doc: str) -> None:
        self.manager.update_checkpoint("b", processed_doc_id=doc)
        self.documents += [doc] if doc not in self.documents else []
        self.processed.add(doc)
        self.failed.discard(doc)

    @rule(doc=st.sampled_from("abcdef"))
    def fail(self, doc: str) -> None:
        self.manager.update_checkpoint("b", failed_doc_id=doc)
        self.documents += [doc] if doc not in self.documents else []
        if doc not in self.processed:
            self.failed.add(doc)

    @rule(request=st.sampled_from(["pause", "resume"]))
    def ask(self, request: str) -> None:
        if self.request != "stop":
            getattr(self.manager, request)("b")
            self.request = "pause" if request == "pause" else None

    @rule()
    def stop(self) -> None:
        self.manager.stop("b")
        self.request = "stop"

    @rule()
    def begin_anew(self) -> None:
        if self.request == "stop":
            self.manager.create_checkpoint("b", [], new=True)
            self.request = None

    @rule()
    def retry(self) -> None:
        assert self.manager.retry_failed("b") == len(self.failed)
        self.failed.clear()

    @rule()
    def restart(self) -> None:
        self.manager.close()
        self.manager = CheckpointManager(state=self.folder.name)

    @invariant()
    def both_agree(self) -> None:
        found = self.manager.load_checkpoint("b")
        if found is None:
            assert self.documents == []
            return
        assert set(found.processed) == self.processed
        assert set(found.failed) == self.failed
        remaining = set(self.documents) - self.processed - self.failed
        assert set(found.remaining) == remaining
        assert self.manager.get_remaining_documents("b", sorted(self.documents)) == sorted(remaining)
        assert self.manager.is_paused("b") == (self.request == "pause")
        assert self.manager.is_stopped("b") == (self.request == "stop")

    def teardown(self) -> None:
        self.manager.close()
        self.folder.cleanup()


Batch.TestCase.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_any_order_of_calls_ends_where_its_model_ends = Batch.TestCase
