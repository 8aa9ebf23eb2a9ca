"""A test farm: a small real workspace on disk, worked by the real command line in child processes.

Beside the workspace, so that no tool under test can know of it, stands the effect log: every execution of the toy
pipeline's first step appends one line to it, so that a repeated execution can be counted. The toy pipeline's items do
what their first line says (`!exit`, `!loop`, ...), which makes bad weather easy to order.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onward.ledger.base import Ledger, open_ledger
from onward.model.record import Known, to_digest
from onward.runs.workspace import Workspace

ONWARD = [sys.executable, "-m", "onward"]

TOY = '''\
"""Counts words; obeys the first line of its input."""

import ctypes, errno, json, os, signal, subprocess, sys, time

from onward.engine.sinks.file_sink import json_files
from onward.engine.sources.file_source import files
from onward.engine.pipeline import Pipeline
from words import count_words


def note(item):
    line = json.dumps({"key": item.key, "content": item.sha256, "pid": os.getpid()}) + "\\n"
    fd = os.open(os.environ["TOY_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, line.encode())
    os.close(fd)


def executions(key):
    with open(os.environ["TOY_LOG"]) as log:
        return sum(json.loads(line)["key"] == key for line in log)


def read(item):
    note(item)
    return {"key": item.key, "path": getattr(item, "path", b""), "text": item.read_text(errors="replace")}


def act(value):
    first = value["text"].partition("\\n")[0].split()
    match first:
        case ["!exit"]:
            os._exit(7)
        case ["!segv"]:
            ctypes.string_at(0)
        case ["!loop"]:
            while True:
                pass
        case ["!child"]:
            start_child()
            while True:
                time.sleep(1)
        case ["!abandon"]:
            start_child()
            os._exit(7)
        case ["!fork-and-exit"]:
            child = os.fork()
            if child == 0:
                time.sleep(300)
            mark_child(child)
            os._exit(7)
        case ["!daemon"]:
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    mark_child(os.getpid())
                    time.sleep(300)
                os._exit(0)
            while True:
                time.sleep(1)
        case ["!raise"]:
            raise ValueError("this item is bad")
        case ["!transient", times]:
            if executions(value["key"]) <= int(times):
                raise ConnectionError("not now")
        case ["!hold"]:
            open(os.environ["TOY_LOG"] + ".holding", "a").close()
            while not os.path.exists(os.environ["TOY_LOG"] + ".go"):
                time.sleep(0.01)
        case ["!edit"]:
            if executions(value["key"]) == 1:
                append(value["path"])
        case ["!grow"]:
            append(value["path"])
        case ["!vanish"]:
            os.unlink(value["path"])
        case ["!print"]:
            print("a step prints", flush=True)
        case ["!enospc"]:
            if executions(value["key"]) == 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case ["!nan"]:
            value["text"] = float("nan")
        case ["!slow"]:
            time.sleep(0.05)
    return value


def start_child():
    script = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
    mark_child(subprocess.Popen([sys.executable, "-c", script]).pid)


def mark_child(pid):
    with open(os.environ["TOY_LOG"] + ".children", "a") as children:
        children.write(f"{pid}\\n")


def append(path):
    with open(path, "ab") as file:
        file.write(b"more\\n")


def count(value, config):
    text = value["text"]
    words = count_words(text) if isinstance(text, str) else text
    return {"key": value["key"], "words": words, "limit": config["limit"], "text": text}


def has_words(result):
    return "it says !fail" if str(result["text"]).startswith("!fail") else True


SETTINGS = {"limit": 3, "unread": 1, "name": "a", "ratio": 0.5, "flag": False}
toy = Pipeline(
    "toy", source=files("**/*"), steps=[read, act, count], sink=json_files(), checks=[has_words], settings=SETTINGS,
)


def plain(value):
    return {"key": value["key"], "text": value["text"]}


bare = Pipeline("bare", source=files("**/*"), steps=[read, plain], sink=json_files(), settings=SETTINGS)
'''

WORDS = '''\
from lengths import is_long_enough


def count_words(text):
    return sum(1 for word in text.split() if is_long_enough(word))
'''

LENGTHS = '''\
SHORTEST = 3


def is_long_enough(word):
    return len(word) >= SHORTEST
'''


def alive(pid: int) -> bool:
    """Say whether a process exists and is not merely waiting to be reaped."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def wait_until(condition: Any, *, timeout_s: float = 20.0, what: str = "it") -> None:
    """Wait for something another process does; fails when it does not come."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            msg = f"waited {timeout_s} s in vain for {what}"
            raise AssertionError(msg)
        time.sleep(0.005)


@dataclass
class Ran:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str
    elapsed_s: float

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        found = json.loads(self.stdout)
        assert isinstance(found, dict)
        return found

    @property
    def counts(self) -> dict[str, int]:
        counts = self.document["counts"]
        assert isinstance(counts, dict)
        return counts

    @property
    def reasons(self) -> dict[str, str]:
        """Key → reason of every item that was not skipped."""
        return {item["key"]: item["reason"] for item in self.document["items"]}

    @property
    def outcomes(self) -> dict[str, str]:
        return {item["key"]: item["outcome"] for item in self.document["items"]}

    def ok(self) -> Ran:
        """Return itself, or fail with what was said."""
        assert self.code == 0, (self.code, self.stdout[-2000:], self.stderr[-4000:])
        return self


@dataclass
class Farm:
    """A workspace and its effect log."""

    base: Path
    workers: int = 1
    pipeline: str = "toy.py:toy"
    env: dict[str, str] = field(default_factory=dict)
    prefix: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.base / "ws"

    @property
    def input(self) -> Path:
        return self.root / "in"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def state(self) -> Path:
        return self.root / ".onward"

    @property
    def log(self) -> Path:
        return self.base / "effects.log"

    @property
    def workspace(self) -> Workspace:
        return Workspace(str(self.state), "flag", self.env.get("ONWARD_STATE", ""))

    @classmethod
    def plant(cls, base: Path, files: Mapping[str, str | bytes] | None = None, *, workers: int = 1) -> Farm:
        """Make a workspace with the toy pipeline and these inputs."""
        farm = cls(base, workers)
        farm.input.mkdir(parents=True)
        farm.state.mkdir()
        farm.log.touch()
        farm.code("toy.py", TOY)
        farm.code("words.py", WORDS)
        farm.code("lengths.py", LENGTHS)
        for name, text in (files or {}).items():
            farm.write(name, text)
        return farm

    def copy(self, base: Path) -> Farm:
        """Return the same workspace elsewhere, times and all, with an effect log of its own."""
        shutil.copytree(self.base, base, symlinks=True)
        return Farm(base, self.workers, self.pipeline, dict(self.env))

    # -- what a person does

    def code(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def edit_code(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text, f"{old!r} is not in {name}"
        (self.root / name).write_text(text.replace(old, new))

    def path(self, name: str | bytes) -> bytes:
        return os.path.join(os.fsencode(self.input), os.fsencode(name))

    def path_of(self, name: str) -> Path:
        return self.input / name

    def write(self, name: str | bytes, text: str | bytes) -> None:
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)

    def remove(self, name: str | bytes) -> None:
        os.unlink(self.path(name))

    # -- what the machine does

    def environment(self, **more: str) -> dict[str, str]:
        names = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "TOY_LOG": str(self.log), **self.env, **more}

    def command(self, verb: str, *args: str) -> list[str]:
        return [*self.prefix, *ONWARD, verb, self.pipeline, "in", "--out", "out", *args]

    def start(self, *args: str, env: Mapping[str, str] | None = None, **popen: Any) -> subprocess.Popen[str]:
        """Start `onward run` in a process group of its own, not waiting for its end."""
        return subprocess.Popen(
            self.command("run", "--json", "--workers", str(self.workers), *args),
            cwd=self.root,
            env=self.environment(**(env or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **popen,
        )

    def run(
        self,
        *args: str,
        kill_at: str | None = None,
        n: int = 1,
        effect: str = "kill",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> Ran:
        """Run the pipeline to its end, or to its death at a fault point."""
        more = dict(env or {})
        if kill_at is not None:
            more["ONWARD_FAULT"] = f"{kill_at}:{n}:{effect}"
        began = time.monotonic()
        process = self.start(*args, env=more)
        return finish(process, began, timeout_s)

    def plan(self, *args: str) -> Ran:
        return self.onward("plan", self.pipeline, "in", "--out", "out", "--json", *args)

    def onward(self, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Ran:
        """Run any command in the workspace."""
        began = time.monotonic()
        return finish(self.popen(*args, cwd=cwd, env=env), began, 60.0)

    def popen(
        self, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start any command in the workspace, not waiting for its end."""
        return subprocess.Popen(
            [*ONWARD, *args], cwd=cwd or self.root, env=self.environment(**(env or {})), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )

    # -- what can be seen

    def effects(self) -> list[tuple[str, str]]:
        """Return (key, content) of every execution, in order."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines())
        return [(line["key"], line["content"]) for line in lines]

    def executions(self) -> Counter[str]:
        return Counter(key for key, _ in self.effects())

    def forget_effects(self) -> None:
        self.log.write_text("")

    def children(self) -> list[int]:
        """Return the processes that steps have started."""
        path = Path(f"{self.log}.children")
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def pids(self) -> list[int]:
        """Return the workers that ever executed a step."""
        return sorted({json.loads(line)["pid"] for line in self.log.read_text().splitlines()})

    def outputs(self) -> dict[str, bytes]:
        """Return path → bytes of everything published: evidence of quarantine too, run folders and our own not."""
        found = {}
        for folder, folders, names in os.walk(self.out):
            if Path(folder) == self.out:
                folders[:] = [name for name in folders if name not in (".onward", ".runs")]
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.out)] = file.read()
        return found

    def output(self, name: str) -> dict[str, Any]:
        found = json.loads((self.out / name).read_bytes())
        assert isinstance(found, dict)
        return found

    def leftovers(self) -> list[str]:
        """Return every unfinished file of ours below the workspace."""
        found = []
        for folder, _, names in os.walk(self.root):
            found += [os.path.join(folder, n) for n in names if n.endswith((".staged", ".part"))]
        return found

    def history(self) -> dict[str, bytes]:
        """Return digest → bytes of every old output that is kept."""
        folder = self.out / ".onward" / "history"
        return {f"sha256:{p.parent.name}{p.name}": p.read_bytes() for p in folder.glob("*/*")}

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        ledger = open_ledger(self.workspace.ledger, writes=False)
        try:
            yield ledger
        finally:
            ledger.close()

    def confirmed(self) -> dict[str, str]:
        """Return key → content of every item that the ledger calls done: succeeded, and nothing left to deliver."""
        if not self.workspace.exists():
            return {}
        with self.ledger() as ledger:
            found = {}
            for job in ledger.jobs():
                pending = {row.item_id for row in ledger.publishes(job.id)}
                for known in ledger.known_all(job.id):
                    if known.item.state == "succeeded" and known.item.id not in pending:
                        assert known.version is not None
                        found[known.item.key] = to_digest(known.version.content)
            return found

    def in_flight(self) -> list[str]:
        """Return the keys that were claimed and have no outcome."""
        if not self.workspace.exists():
            return []
        with self.ledger() as ledger:
            return [ledger.item(attempt.item_id).key for job in ledger.jobs() for attempt in ledger.in_flight(job.id)]

    def pending(self) -> list[str]:
        """Return the keys whose result is committed and not confirmed."""
        if not self.workspace.exists():
            return []
        with self.ledger() as ledger:
            return [ledger.item(row.item_id).key for job in ledger.jobs() for row in ledger.publishes(job.id)]

    def successes(self) -> Counter[tuple[str, str, str, str]]:
        """Count committed results by job, key, content and recipe."""
        with self.ledger() as ledger:
            found: Counter[tuple[str, str, str, str]] = Counter()
            for job in ledger.jobs():
                recipes = {row.id: (row.code + row.config).hex() for row in ledger.recipes(job.id)}
                for known in ledger.known_all(job.id):
                    for version in ledger.versions(known.item.id):
                        found[(job.name, known.item.key, version.content.hex(), recipes[version.recipe_id])] += 1
            return found

    def snapshot(self) -> dict[str, Any]:
        """Return what the ledger says, without times, run ids, serials and attempts that spent nothing."""
        with self.ledger() as ledger:
            return {
                job.name: {
                    "status": job.status,
                    "undelivered": len(ledger.publishes(job.id)),
                    "in_flight": len(ledger.in_flight(job.id)),
                    "items": {known.item.key: _item(ledger, known) for known in ledger.known_all(job.id)},
                }
                for job in ledger.jobs()
            }


def _item(ledger: Ledger, known: Known) -> dict[str, Any]:
    item, version = known
    recipes = {row.id: (row.code.hex(), row.config.hex()) for row in ledger.recipes(item.job_id)}
    return {
        "state": item.state,
        "note": item.note,
        "tries": item.tries,
        "version": None if version is None else _version(version, recipes),
        "versions": [_version(one, recipes) for one in ledger.versions(item.id)],
        "attempts": [
            (attempt.number, attempt.outcome, json.loads(attempt.error)["slug"] if attempt.error else None)
            for attempt in ledger.attempts(item.id)
            if attempt.outcome not in ("lost", "interrupted")
        ],
    }


def _version(version: Any, recipes: Mapping[int, tuple[str, str]]) -> tuple[Any, ...]:
    return (
        to_digest(version.content), recipes[version.recipe_id], version.output, to_digest(version.digest),
        version.size_bytes, version.validation,
    )


def finish(process: subprocess.Popen[str], began: float | None = None, timeout_s: float = 60.0) -> Ran:
    """Wait for a command's end; a command that hangs is ended and fails the test."""
    start = time.monotonic() if began is None else began
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate(timeout=10)
        msg = f"{process.args} did not end within {timeout_s} s.\n{stdout[-2000:]}\n{stderr[-2000:]}"
        raise AssertionError(msg) from None
    return Ran(process.returncode, stdout, stderr, time.monotonic() - start)


def holding(farm: Farm) -> subprocess.Popen[str]:
    """Start a run that is at work on an item which waits for `let_go`."""
    process = farm.start()
    wait_until(Path(f"{farm.log}.holding").exists, what="the item that holds")
    return process


def let_go(farm: Farm) -> None:
    Path(f"{farm.log}.go").touch()


def assert_counts_add_up(counts: Mapping[str, int]) -> None:
    """Every item ends in exactly one way."""
    parts = ("processed", "skipped", "failed", "quarantined", "held", "remaining")
    assert counts["total"] == sum(counts[name] for name in parts), counts
    assert min(counts.values()) >= 0, counts


def kill_all(pids: Iterable[int]) -> None:
    """End processes that a step of ours started."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
