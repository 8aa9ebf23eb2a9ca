"""A process is killed before, in or after every call that changes the disk: nothing acknowledged is lost.

A fork runs a day's work with a manifest and says after each record that it was acknowledged; it ends without a word at
the n-th call of `os.pwrite`, `os.write`, `os.fsync`, `os.fdatasync`, `os.replace`, `os.link`, `os.unlink` or
`os.ftruncate`. Half of a write stands when it dies in one.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from shelf import RUN, Shelf, facts

from onward import StateManifest
from onward.disk.hashing import compute_file_hash
from onward.ledger.manifest import store

CALLS = ("pwrite", "write", "fsync", "fdatasync", "replace", "link", "unlink", "ftruncate")
NAMES = [f"{letter}.html" for letter in "abcdef"]


def a_days_work(shelf: Shelf, say: Callable[[str], None]) -> None:
    manifest = shelf.manifest()
    for name in NAMES[:2]:
        shelf.process(manifest, name)
        say(f"done {name}")
    manifest.save()
    shelf.process(manifest, NAMES[2])
    say(f"done {NAMES[2]}")
    manifest.record_failure(shelf.folder / NAMES[3], RUN, "boom")
    say(f"failed {NAMES[3]}")
    manifest.save()
    other = shelf.manifest()
    shelf.process(other, NAMES[4])
    say(f"done {NAMES[4]}")
    other.update_run(RUN, {"processed": 4, "failed": 1})
    shelf.process(manifest, NAMES[5])
    say(f"done {NAMES[5]}")
    manifest.save()


def in_a_fork(work: Callable[[], None], *, dies_at: int, how: str, say_to: int) -> int:
    """Run `work` in a fork that dies at a call; return its exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 9
    try:
        count = 0

        def patched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                if name == "write" and args[0] == say_to:
                    return real(*args, **kwargs)
                count += 1
                if count == dies_at:
                    if how == "within" and name in ("pwrite", "write"):
                        real(args[0], bytes(args[1])[: len(args[1]) // 2], *args[2:])
                    elif how == "after":
                        with suppress(OSError):
                            real(*args, **kwargs)
                    os._exit(137)
                return real(*args, **kwargs)

            return call

        for name in CALLS:
            setattr(os, name, patched(name, getattr(os, name)))
        work()
        code = 0
    finally:
        os._exit(code)


Work = Callable[[Shelf, Callable[[str], None]], None]


def killed(shelf: Shelf, work: Work, at: int, how: str) -> tuple[int, list[str]]:
    """Return the exit code of a killed worker, and what it had acknowledged."""
    reads, writes = os.pipe()
    code = in_a_fork(
        lambda: work(shelf, lambda text: void(os.write(writes, text.encode() + b"\n"))),
        dies_at=at, how=how, say_to=writes,
    )
    os.close(writes)
    with open(reads, encoding="utf-8") as told:
        return code, told.read().splitlines()


def void(_: object) -> None:
    return None


def check(shelf: Shelf, manifest: StateManifest, acknowledged: list[str]) -> None:
    known = facts(manifest)
    for word, name in (line.split() for line in acknowledged):
        assert known[name][0] == {"done": "success", "failed": "failed"}[word], (name, acknowledged)
        if word == "done":
            assert known[name][1] == compute_file_hash(shelf.folder / name)
            assert known[name][2] == compute_file_hash(shelf.output(name))
            assert not manifest.should_process(shelf.folder / name)
    # At most the one in flight beyond what was acknowledged.
    assert len(known) <= len(acknowledged) + 1


@pytest.mark.contract("S0-008", "S0-041", "X-05")
@pytest.mark.parametrize(
    ("how", "kind"), [("before", "json"), ("within", "json"), ("after", "json"), ("within", "gz"), ("before", "db")]
)
def test_a_kill_at_any_call_loses_nothing_acknowledged(
    how: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "db":
        monkeypatch.setattr(store, "MOVE_BYTES", 3000)
    at = 0
    while True:
        at += 1
        shelf = Shelf.build(tmp_path / str(at), NAMES)
        if kind == "gz":
            StateManifest.load(f"{shelf.path}.gz").save()

        code, acknowledged = killed(shelf, a_days_work, at, how)

        if code == 0:
            break
        assert code == 137
        manifest = shelf.manifest()
        check(shelf, manifest, acknowledged)
        manifest.save()
        again = shelf.manifest()
        check(shelf, again, acknowledged)
        assert again.told == ()
        a_days_work(shelf, lambda _: None)
        assert (shelf.folder / ".manifest.db").exists() is (kind == "db")
        assert {fact[0] for fact in facts(shelf.manifest()).values()} == {"success", "failed"}
        leftovers = [name for name in os.listdir(shelf.folder) if name.endswith(".part")]
        assert len(leftovers) <= 1
    assert at > 60, "the worker is expected to change the disk often"
    print(f"{kind}: killed {how} {at - 1} calls, nothing lost")


def test_a_killed_recovery_loses_nothing_either(tmp_path: Path) -> None:
    for at in range(1, 40):
        shelf = Shelf.build(tmp_path / str(at), NAMES)
        a_days_work(shelf, lambda _: None)
        before = facts(shelf.manifest())
        shelf.path.write_text('{"files": {')

        code, _ = killed(shelf, lambda shelf, _: shelf.manifest().save(), at, "within")

        assert facts(shelf.manifest()) == before
        if code == 0:
            break
    assert at > 5


@pytest.mark.contract("S0-008", "S0-041")
def test_every_file_is_synced_before_it_gets_its_name_and_every_name_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power loss keeps only what was synced; no test can cut the power, so the order of the calls is looked at."""
    shelf = Shelf.build(tmp_path / "x", NAMES)
    unsynced: set[str] = set()
    unnamed: set[str] = set()

    def path_of(fd: int) -> str:
        return os.readlink(f"/proc/self/fd/{fd}")

    def spy(name: str, note: Callable[..., None]) -> None:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            note(*args)
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    def on_write(fd: int, *_: object) -> None:
        if not path_of(fd).endswith(".lock"):
            unsynced.add(path_of(fd))

    def on_sync(fd: int) -> None:
        unsynced.discard(path_of(fd))
        unnamed.difference_update({name for name in unnamed if os.path.dirname(name) == path_of(fd)})

    def on_replace(source: str, target: str) -> None:
        assert source not in unsynced, f"{source} is renamed to {target} before it is synced"
        unnamed.add(target)
        unsynced.discard(target)  # what stood there is nobody's any more

    for name in ("write", "pwrite"):
        spy(name, on_write)
    for name in ("fsync", "fdatasync"):
        spy(name, on_sync)
    spy("replace", on_replace)
    manifest = shelf.manifest()
    # The journal's second line, which says how far it was acknowledged, goes with the next sync.
    late = {str(shelf.journal)}

    for name in NAMES:
        output = shelf.output(name)
        output.write_text(name)
        manifest.record_success(shelf.folder / name, output, RUN)
        assert (unsynced - late, unnamed) == (set(), set())
        manifest.save()
        assert (unsynced, unnamed) == (set(), set())


@pytest.mark.parametrize("kind", ["json", "db"])
def test_a_kill_at_a_random_moment_loses_nothing_acknowledged(kind: str, tmp_path: Path) -> None:
    shelf = Shelf.build(tmp_path / "x", [])
    script = (
        "import sys\nfrom pathlib import Path\nfrom onward import StateManifest\n"
        "import onward.ledger.manifest.store as store\n"
        f"store.MOVE_BYTES = {2000 if kind == 'db' else 1 << 30}\n"
        "folder, first = Path(sys.argv[1]), int(sys.argv[2])\n"
        "manifest = StateManifest.load(folder / '.manifest.json')\n"
        "for number in range(first, first + 100_000):\n"
        "    path = folder / f'{number}.html'; path.write_text(str(number))\n"
        "    manifest.should_process(path); manifest.record_success(path, path, 'run')\n"
        "    print(path.name, flush=True)\n"
        "    if number % 3 == 0: manifest.save()\n"
    )
    chance = random.Random(f"onward {kind}")
    acknowledged: set[str] = set()
    for turn in range(12):
        words = [sys.executable, "-c", script, str(shelf.folder), str(turn * 100_000)]
        worker = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None
        for _ in range(chance.randrange(1, 12)):
            acknowledged.add(worker.stdout.readline().strip())
        worker.kill()
        acknowledged |= {line.strip() for line in worker.stdout if line.endswith("\n")}
        worker.wait()
        worker.stdout.close()

        known = facts(shelf.manifest())

        assert acknowledged <= set(known)
        assert len(known) <= len(acknowledged) + turn + 1
    print(f"{kind}: 12 kills, {len(acknowledged)} records acknowledged, 0 lost")
