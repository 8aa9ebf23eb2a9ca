"""The command line: exit codes, one document on stdout, help."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from farm import Farm, holding, let_go
from onward.cli.group import COMMANDS
from onward.version import __version__

Plant = Callable[..., Farm]


def test_version(plant: Plant) -> None:
    assert plant().onward("--version").ok().stdout == f"onward, version {__version__}\n"


def test_help_lists_every_command_and_exit_code(plant: Plant) -> None:
    text = plant().onward("--help").ok().stdout

    for name in COMMANDS:
        assert f"\n  {name} " in text
    for code in ("0  done", "1  finished", "2  wrong", "3  paused", "4  another", "130/143"):
        assert code in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, plant: Plant) -> None:
    text = plant().onward(name, "--help").ok().stdout

    assert text.startswith("Usage: ")


def test_a_typing_error_gets_the_nearest_name(plant: Plant) -> None:
    ran = plant().onward("statsu")

    assert ran.code == 2
    assert "Did you mean 'status'?" in ran.stderr


def test_exit_codes_of_a_run(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})

    assert farm.run().code == 0
    farm.write("m.txt", "!raise\n")
    assert farm.run().code == 1
    assert farm.run().code == 1, "what is held is told again"
    farm.remove("m.txt")
    assert farm.run().code == 0
    assert farm.run("--workers", "-3").code == 2


def test_results_go_to_stdout_and_progress_to_stderr(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})

    ran = farm.run().ok()
    text = farm.onward("run", farm.pipeline, "in", "--out", "out").ok()

    assert json.loads(ran.stdout)["counts"]["processed"] == 1
    assert ran.stderr.startswith("job toy-in-")
    assert "1 skipped (unchanged)" in text.stdout


def test_the_documents_are_one_document_also_when_nothing_is_there(plant: Plant) -> None:
    farm = plant()

    assert farm.run().ok().document["items"] == []
    assert farm.plan().ok().document["items"] == []


@pytest.mark.parametrize("args", [("status",), ("verify",), ("history",), ("lineage", "a.txt"), ("explain", "j", "k")])
def test_questions_before_the_first_run_are_told_how_to_begin(args: tuple[str, ...], plant: Plant) -> None:
    farm = plant()

    ran = farm.onward(*args)

    assert ran.code == 2
    assert len(ran.stderr.strip().splitlines()) == 1
    assert not (farm.state / "ledger.db").exists()


@pytest.mark.parametrize("args", [("status", "nojob"), ("lineage", "nokey"), ("history", "--run", "norun")])
def test_questions_about_what_is_not_known_exit_2(args: tuple[str, ...], plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.run().ok()

    ran = farm.onward(*args)

    assert ran.code == 2
    assert len(ran.stderr.strip().splitlines()) == 1


def test_explain_of_an_unknown_key_exits_2(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    job = farm.run().ok().document["job"]

    assert farm.onward("explain", job, "nothing.txt").code == 2
    assert farm.onward("explain", job, "a.txt").code == 0


def test_questions_are_answered_while_the_job_is_run(plant: Plant) -> None:
    farm = plant({"a.txt": "!hold\n", "b.txt": "words\n"})
    process = holding(farm)

    status = farm.onward("status", "--json").ok().document
    for args in (("history",), ("plan", farm.pipeline, "in", "--out", "out"), ("verify",)):
        assert farm.onward(*args).code == 0, args
    let_go(farm)
    process.communicate(timeout=30)

    assert status["status"] == "running"
    assert process.returncode == 0


def test_a_closed_pipe_is_no_error_message(plant: Plant) -> None:
    farm = plant({f"f{i}.txt": "words\n" for i in range(50)})
    farm.run().ok()
    command = " ".join([*farm.command("plan", "--full", "--json"), "| head -c 1"])

    ran = subprocess.run(
        command, shell=True, cwd=farm.root, env=farm.environment(), capture_output=True, text=True, check=False
    )

    assert ran.stderr == ""
