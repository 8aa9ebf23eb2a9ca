"""Law: whatever a person changes, a plan says what the run does, the run does what is needed and no more, a second
run does nothing, and what stands at the end is what a fresh workspace would make.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm import Farm, assert_counts_add_up
from onward.disk.early_looks import EarlyLooks
from onward.engine.batch import Batch
from onward.engine.options import Options
from onward.pipelines import find_pipeline

# Workers are forked from a test process that may have threads of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

NAMES = ("a.txt", "b.md", "d/a.txt", "d/c.txt", "d/e/f.txt", "ü/ß.txt")
TEXTS = ("some words\n", "a longer text of more words\n", "!fail\n", "", "other\n")

CHANGES = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(NAMES), st.sampled_from(TEXTS)),
    st.tuples(st.just("touch"), st.sampled_from(NAMES)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("helper"), st.sampled_from((3, 4, 5))),
    st.tuples(st.just("comment"), st.sampled_from(("words.py", "lengths.py", "toy.py"))),
    st.tuples(st.just("limit"), st.sampled_from((3, 4))),
    st.tuples(st.just("unread"), st.sampled_from((1, 2))),
    st.tuples(st.just("lose output"), st.sampled_from(NAMES)),
    st.tuples(st.just("edit output"), st.sampled_from(NAMES)),
    st.tuples(st.just("touch output"), st.sampled_from(NAMES)),
)


class Field:
    """A farm worked inside this process, and what should come of it."""

    def __init__(self, base: Path) -> None:
        self.farm = Farm.plant(base)
        self.texts: dict[str, str] = {}
        self.settings: dict[str, object] = {}
        self.shortest = 3
        self.tried: dict[str, tuple[object, ...]] = {}
        self.failing: set[str] = set()
        self.broken: set[str] = set()
        self.comments = 0

    def change(self, what: str, *args: Any) -> None:
        match what, *args:
            case "write", name, text:
                self.farm.write(name, text)
                self.texts[name] = text
            case "touch", name if name in self.texts:
                os.utime(self.farm.path(name))
            case "remove", name if name in self.texts:
                self.farm.remove(name)
                del self.texts[name]
            case "rename", old, new if old in self.texts and new not in self.texts:
                self.farm.path_of(new).parent.mkdir(parents=True, exist_ok=True)
                os.rename(self.farm.path(old), self.farm.path(new))
                self.texts[new] = self.texts.pop(old)
            case "helper", shortest:
                self.farm.edit_code("lengths.py", f"SHORTEST = {self.shortest}", f"SHORTEST = {shortest}")
                self.shortest = shortest
            case "comment", file:
                self.comments += 1
                path = self.farm.root / file
                path.write_text(path.read_text() + f"\n# remark {self.comments}\n")
            case ("limit" | "unread") as name, value:
                self.settings[name] = value
            case ("lose output" | "edit output" | "touch output") as how, name:
                path = self.farm.out / output(name)
                if path.exists():
                    damage(path, how)
                    if how != "touch output":
                        self.broken.add(name)

    def fingerprint(self, name: str) -> tuple[object, ...]:
        return (self.texts[name], self.shortest, self.settings.get("limit", 3))

    def due(self) -> set[str]:
        """Return the items that a run has reason to process."""
        return {
            name for name in self.texts
            if self.tried.get(name) != self.fingerprint(name) or (name in self.broken and name not in self.failing)
        }

    def done(self, names: set[str]) -> None:
        for name in names:
            self.tried[name] = self.fingerprint(name)
            if self.texts[name].startswith("!fail"):
                self.failing.add(name)
            else:
                self.failing.discard(name)
                self.broken.discard(name)

    def batch(self) -> Batch:
        with fresh_imports():
            pipeline = find_pipeline(f"{self.farm.root}/toy.py:toy")
        options = Options(state=str(self.farm.state), workers=2, settings=self.settings, spec="toy.py:toy")
        return Batch.prepare(pipeline, str(self.farm.input), str(self.farm.out), options)

    def plan(self) -> dict[str, Any]:
        return self.batch().plan().document()

    def run(self, early: EarlyLooks | None = None) -> dict[str, Any]:
        os.environ["TOY_LOG"] = str(self.farm.log)
        self.farm.forget_effects()
        with self.batch().run(early=early) as outcome:
            return outcome.document()

    def seen_early(self) -> EarlyLooks:
        """Look at everything as it is now."""
        early = EarlyLooks(str(self.farm.input), str(self.farm.out))
        early.look_at_inputs()
        if early._pid:
            os.waitid(os.P_PID, early._pid, os.WEXITED | os.WNOWAIT)
        return early


def damage(path: Path, how: str) -> None:
    if how == "lose output":
        path.unlink()
    elif how == "edit output":
        path.write_bytes(path.read_bytes() + b"edited\n")
    else:
        os.utime(path, (1_500_000_000, 1_500_000_000))


def output(name: str) -> str:
    return name.rpartition(".")[0] + ".json"


@contextmanager
def fresh_imports() -> Iterator[None]:
    """Import the pipeline's file as a new process would."""
    path, writes = list(sys.path), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # edits of one second apart, which byte code cannot tell from each other
    for name in ("toy", "words", "lengths"):
        sys.modules.pop(name, None)
    try:
        yield
    finally:
        sys.path[:] = path
        sys.dont_write_bytecode = writes


def decisions(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(item["key"], item["action"], item["reason"]) for item in document["items"]]


def results(field: Field) -> dict[str, bytes]:
    """Return the outputs of the items that are there and succeeded."""
    wanted = {output(name) for name in field.texts if not field.texts[name].startswith("!fail")}
    return {name: data for name, data in field.farm.outputs().items() if name in wanted}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(rounds=st.lists(st.lists(CHANGES, min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_plan_is_what_the_run_does_and_the_run_does_what_is_needed(rounds: list[list[Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        field = Field(Path(folder) / "farm")
        for changes in rounds:
            for change in changes:
                field.change(*change)
            check_round(field)
        check_against_fresh(field, Path(folder) / "fresh")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(rounds=st.lists(st.tuples(*[st.lists(CHANGES, max_size=4)] * 2), min_size=1, max_size=4))
def test_a_run_that_looked_early_does_what_is_needed_of_what_was_changed_by_then(rounds: list[Any]) -> None:
    """Another run ends between the look and the run, and changes come in between, which may be left to the next."""
    with tempfile.TemporaryDirectory() as folder:
        field = Field(Path(folder) / "farm")
        field.run()
        for before, between in rounds:
            for change in before:
                field.change(*change)
            with field.seen_early() as early:
                check_round(field, early)
            with field.seen_early() as stale:
                for change in between:
                    field.change(*change)
                field.done(field.due())
                field.run()
                for change in before:
                    field.change(*change)
                due = field.due()
                field.run(stale)
                assert set(field.farm.executions()) <= due
                assert set(field.farm.executions().values()) <= {1}
                field.done(set(field.farm.executions()))
            check_round(field)
        check_against_fresh(field, Path(folder) / "fresh")


@pytest.mark.long
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(rounds=st.lists(st.tuples(*[st.lists(CHANGES, max_size=4)] * 2), min_size=1, max_size=6))
def test_the_law_of_early_looks_at_length(rounds: list[Any]) -> None:
    test_a_run_that_looked_early_does_what_is_needed_of_what_was_changed_by_then.hypothesis.inner_test(rounds)


@pytest.mark.long
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(rounds=st.lists(st.lists(CHANGES, min_size=1, max_size=8), min_size=1, max_size=8))
def test_the_law_of_change_at_length(rounds: list[list[Any]]) -> None:
    test_a_plan_is_what_the_run_does_and_the_run_does_what_is_needed.hypothesis.inner_test(rounds)


def check_round(field: Field, early: EarlyLooks | None = None) -> None:
    due = field.due()
    before = {name: (field.farm.out / output(name)).exists() for name in field.texts}

    planned = field.plan()
    ran = field.run(early)

    assert decisions(planned) == decisions(ran)
    assert {key for key, action, _ in decisions(ran) if action in ("process", "retry")} == due
    assert set(field.farm.executions()) == due
    assert set(field.farm.executions().values()) <= {1}
    field.done(due)
    assert {key for key, action, _ in decisions(ran) if action == "hold"} == (field.failing & set(field.texts)) - due
    assert_counts_add_up(ran["counts"])
    assert ran["counts"]["total"] == len(field.texts)
    assert field.farm.leftovers() == []
    again = field.run()
    assert again["counts"]["processed"] == 0
    assert field.farm.effects() == []
    assert {key for key, had in before.items() if had} <= {
        name for name in field.texts if (field.farm.out / output(name)).exists()
    } | field.failing


def check_against_fresh(field: Field, base: Path) -> None:
    fresh = Field(base)
    fresh.settings = dict(field.settings)
    fresh.change("helper", field.shortest)
    for name, text in field.texts.items():
        fresh.change("write", name, text)
    fresh.run()
    assert results(field) == results(fresh)
    assert len(results(fresh)) == sum(not text.startswith("!fail") for text in field.texts.values())


def test_the_same_law_by_the_command_line(tmp_path: Path) -> None:
    field = Field(tmp_path / "farm")
    farm = field.farm
    rounds: list[list[tuple[Any, ...]]] = [
        [("write", "a.txt", "some words\n"), ("write", "d/c.txt", "!fail\n"), ("write", "ü/ß.txt", "")],
        [("helper", 5), ("touch", "a.txt"), ("write", "d/c.txt", "mended words\n")],
        [("rename", "a.txt", "d/a.txt"), ("edit output", "d/c.txt"), ("comment", "toy.py")],
    ]
    for changes in rounds:
        for change in changes:
            field.change(*change)
        due = field.due()
        farm.forget_effects()

        planned, ran = farm.plan(), farm.run()

        assert decisions(planned.document) == decisions(ran.document)
        assert set(farm.executions()) == due
        field.done(due)
        farm.forget_effects()
        assert farm.run().counts["processed"] == 0
        assert farm.effects() == []
