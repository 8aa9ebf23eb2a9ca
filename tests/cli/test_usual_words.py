"""`onward run` in its usual words is read twice: without click, to start at once, and by click. Both read the same."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Any

import click
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farm import ONWARD, Farm
from onward.cli import foreground, usual
from onward.cli.group import cli
from onward.engine.options import Options

Plant = Callable[..., Farm]

_OPTIONS = sorted({*usual._TEXTS, *usual._NUMBERS, *usual._FLAGS})
WORDS = st.one_of(
    st.sampled_from([*_OPTIONS, "--out=there", "--job=", "--workers", "--help", "-h", "--", "-", "--no-validate"]),
    st.text(max_size=3),
)
LINES = st.lists(WORDS, max_size=8).map(lambda words: ["run", *words])

PLAIN = ["run", "toy.py:toy", "in", "--out", "out"]


def by_click(words: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the command hands on when click reads these words."""
    seen: dict[str, Any] = {}

    def prepare(pipeline: str, place: str, out: str, assignments: tuple[str, ...] = (), **options: Any) -> None:
        assert assignments == ()
        days = {name: options.pop(name) for name in foreground.DAYS}
        assert not any(days.values())
        seen.update(pipeline=pipeline, place=place, out=out, options=options)

    def perform(_: None, *, as_json: bool) -> int:
        seen["as_json"] = as_json
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(foreground, "prepare", prepare)
        patch.setattr(foreground, "perform", perform)
        cli.main(words, standalone_mode=False)
    return seen


def in_full(read: dict[str, Any]) -> dict[str, Any]:
    """Return what was read without click, with every option that was not typed as `Options` has it."""
    places = {name: read.pop(name) for name in ("pipeline", "place", "out")}
    as_json = read.pop("as_json", False)
    every = Options(**read)._asdict()
    return {**places, "as_json": as_json, "options": {n: v for n, v in every.items() if n not in ("settings", "spec")}}


@settings(max_examples=300, deadline=None)
@given(words=LINES)
@example(words=PLAIN)
@example(words=[*PLAIN, "--json", "--full"])
@example(words=["run", "--out=a=b", "toy", "--rehash", "in", "--state", "s", "--config", "c", "--job", "j"])
@example(words=[*PLAIN, "--run-name", "a label"])
@example(words=[*PLAIN, "--workers", "2"])
@example(words=[*PLAIN, "--workers=07"])
def test_law_what_is_read_without_click_is_what_click_reads(words: list[str]) -> None:
    read = usual.read(words)

    if read is not None:
        assert in_full(read) == by_click(words, pytest.MonkeyPatch())


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["plan", "toy.py:toy", "in", "--out", "out"],
        ["run", "toy.py:toy", "in"],
        ["run", "toy.py:toy", "--out", "out"],
        [*PLAIN, "more"],
        [*PLAIN, "--out", "again"],
        [*PLAIN, "--job"],
        [*PLAIN, "--job", "--json"],
        [*PLAIN, "--job="],
        [*PLAIN, "--jobs", "x"],
        [*PLAIN, "--help"],
        [*PLAIN, "--", "x"],
        [*PLAIN, "--workers", "-1"],
        [*PLAIN, "--workers", "٢"],
        [*PLAIN, "--workers", "9" * 10],
        [*PLAIN, "--workers", "1", "--workers", "2"],
        [*PLAIN, "--no-validate"],
        ["run", "", "in", "--out", "out"],
    ],
)
def test_what_is_not_usual_is_left_to_click(words: list[str]) -> None:
    assert usual.read(words) is None


def test_where_click_expands_patterns_it_reads_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usual.read(PLAIN) is not None

    monkeypatch.setattr(os, "name", "nt")

    assert usual.read(PLAIN) is None


def test_a_mistake_is_told_the_same_whether_click_was_asked_or_not(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})

    short = farm.onward("run", farm.pipeline, "nowhere", "--out", "out")
    long = farm.onward("run", farm.pipeline, "nowhere", "--out", "out", "--validate")

    assert (short.code, short.stdout, short.stderr) == (long.code, long.stdout, long.stderr)
    assert short.code == 2
    assert "does not exist" in short.stderr


def test_a_stream_that_is_not_utf_8_still_gets_its_lines(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})

    ran = farm.onward("run", farm.pipeline, "in", "--out", "out", env={"PYTHONIOENCODING": "ascii"})

    assert ran.code == 0
    assert "→" in ran.stderr
    assert "1 processed" in ran.stdout


@pytest.mark.parametrize("more", [(), ("--validate",)], ids=["usual", "click"])
def test_a_reader_that_has_seen_enough_is_no_failed_item(more: tuple[str, ...], plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [*ONWARD, "run", farm.pipeline, "in", "--out", "out", *more], cwd=farm.root, env=farm.environment(),
            stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
        )
    finally:
        os.close(writer)

    assert ended.returncode == 141
    assert "Traceback" not in ended.stderr


def test_a_command_that_click_knows_has_every_usual_option() -> None:
    context = click.Context(cli)
    command = cli.get_command(context, "run")
    assert command is not None
    known = {spelling: one.name for one in command.params for spelling in one.opts}

    assert {**usual._TEXTS, **usual._FLAGS}.items() <= known.items()
