"""Several real processes on one manifest: each record of each stays, whoever saves, and whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from shelf import RUN, Shelf, facts

from onward import StateManifest
from onward.disk.lock import FileLock
from onward.errors import LedgerError
from onward.ledger.manifest import store

WORKER = """
import sys
from pathlib import Path
from onward import StateManifest
folder, who, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
manifest = StateManifest.load(folder / ".manifest.json")
print("ready", flush=True); sys.stdin.readline()
for number in range(count):
    path = folder / f"{who}-{number}.html"
    path.write_text(f"{who} {number}")
    assert manifest.should_process(path)
    out = folder.parent / "processed" / f"{who}-{number}.json"
    out.write_text("{}")
    manifest.record_success(path, out, f"run-{who}")
    print(path.name, flush=True)
    if number % 5 == 4:
        manifest.save()
"""


def start(shelf: Shelf, who: str, count: int) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(shelf.folder), who, str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def go(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()


@pytest.mark.contract("S0-044", "X-06")
def test_no_process_overwrites_what_another_recorded(shelf: Shelf) -> None:
    workers = [start(shelf, who, 12) for who in "xyz"]
    for worker in workers:
        go(worker)

    for worker in workers:
        worker.communicate(timeout=120)
        assert worker.returncode == 0

    manifest = shelf.manifest()
    assert manifest.get_statistics() == {"total": 36, "success": 36, "failed": 0}
    assert sorted(manifest.data["runs"]) == ["run-x", "run-y", "run-z"]
    manifest.save()
    assert len(json.loads(shelf.path.read_text())["files"]) == 36
    assert manifest.told == ()


@pytest.mark.contract("S0-044")
def test_a_killed_process_frees_the_lock_and_keeps_what_it_acknowledged(shelf: Shelf) -> None:
    victim, other = start(shelf, "v", 1000), start(shelf, "o", 10)
    go(victim)
    assert victim.stdout is not None
    acknowledged = [victim.stdout.readline().strip() for _ in range(8)]
    os.kill(victim.pid, signal.SIGKILL)
    go(other)
    acknowledged += victim.communicate(timeout=60)[0].split()

    other.communicate(timeout=120)

    assert other.returncode == 0
    known = facts(shelf.manifest())
    assert set(acknowledged) <= set(known)
    assert sum(key.startswith("o-") for key in known) == 10


@pytest.mark.contract("X-06")
def test_a_manifest_that_is_locked_for_long_names_its_holder(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_WAIT_S", 0.1)
    manifest = shelf.manifest()
    with FileLock(str(shelf.path) + ".lock"), pytest.raises(LedgerError, match=f"locked by process {os.getpid()}"):
        manifest.record_failure(shelf.folder / "a.html", RUN, "boom")

    manifest.record_failure(shelf.folder / "a.html", RUN, "boom")


@pytest.mark.contract("X-06")
def test_two_objects_see_each_others_records_before_they_add_their_own(shelf: Shelf) -> None:
    one, two = shelf.manifest(), shelf.manifest()
    shelf.process(one, "a.html")
    shelf.process(two, "b.html")
    one.save()
    shelf.process(two, "c.html")
    two.save()
    shelf.process(one, "sub/a.html")

    assert set(facts(one)) == {"a.html", "b.html", "c.html", "sub/a.html"}
    two.save()
    assert facts(shelf.manifest()) == facts(one) == facts(two)


def test_a_document_that_git_replaced_is_merged_with_what_was_not_saved(shelf: Shelf) -> None:
    mine = shelf.manifest()
    shelf.process(mine, "a.html")
    mine.save()
    old = shelf.path.read_bytes()
    shelf.process(mine, "b.html")
    mine.save()
    shelf.process(mine, "c.html")
    shelf.path.unlink()
    shelf.path.write_bytes(old)

    mine.record_failure(shelf.folder / "sub" / "a.html", RUN, "boom")

    # b.html belongs to the state that was checked out away; c.html was never in any document, and may not be lost.
    assert set(facts(mine)) == {"a.html", "c.html", "sub/a.html"}
    assert facts(shelf.manifest()) == facts(mine)


def test_threads_may_share_one_manifest(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    errors: list[BaseException] = []

    def work(who: int) -> None:
        try:
            for number in range(10):
                name = f"{who}-{number}.txt"
                shelf.put(name, name)
                shelf.process(manifest, name)
        except BaseException as error:  # noqa: BLE001 - reported by the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert shelf.manifest().get_statistics()["total"] == 40


def test_a_fork_may_use_its_parents_manifest(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOVE_BYTES", 10)
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    manifest.save()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert not manifest.should_process(shelf.folder / "a.html")
            shelf.process(manifest, "b.html")
            code = 0
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    shelf.process(manifest, "c.html")
    assert set(facts(manifest)) == {"a.html", "b.html", "c.html"}


@pytest.mark.contract("S0-046")
def test_a_manifest_means_the_same_at_another_place(shelf: Shelf, tmp_path: Path) -> None:
    manifest = shelf.manifest()
    for name in ("a.html", "sub/a.html"):
        shelf.process(manifest, name)
    manifest.save()
    assert str(tmp_path) not in shelf.path.read_text()
    elsewhere = tmp_path / "another" / "checkout"
    elsewhere.parent.mkdir()
    shelf.folder.parent.rename(elsewhere)
    moved = Shelf(elsewhere / "raw", elsewhere / "processed")
    moved.forget_side_files()

    manifest = StateManifest.load(moved.path)

    assert not manifest.should_process(moved.folder / "a.html")
    assert not manifest.should_process(moved.folder / "sub" / "a.html")
    assert manifest.should_process(moved.folder / "b.html")
    lineage = manifest.get_lineage("sub/a.html")
    assert lineage is not None
    assert lineage.output_path == moved.output("sub/a.html")
