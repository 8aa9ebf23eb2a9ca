"""The JSON documents: their field names are an interface."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from farm import Farm

Plant = Callable[..., Farm]

FIELDS: dict[str, set[str]] = {
    "onward.run/1": {
        "schema", "job", "run_id", "status", "counts", "elapsed_s", "saved_s", "out", "report", "failures", "problems",
        "items",
    },
    "onward.plan/1": {"schema", "job", "counts", "out", "problems", "items"},
    "onward.status/1": {
        "schema", "job", "status", "pipeline", "counts", "progress", "rate_per_min", "eta_s", "failed", "recent",
        "restarts", "run_id", "control", "holder", "in_flight",
    },
    "onward.explain/1": {"schema", "job", "key", "action", "reason", "state", "note", "tries", "parts", "unresolved"},
    "onward.history/1": {"schema", "job", "runs"},
    "onward.lineage/1": {"schema", "asked", "edges"},
    "onward.verify/1": {"schema", "job", "checked", "repaired", "elsewhere", "findings"},
}
RUN_COUNTS = {
    "total", "new", "changed", "retried", "processed", "skipped", "failed", "quarantined", "held", "discarded",
    "deleted", "remaining",
}
PLAN_COUNTS = {"total", "new", "changed", "retried", "skipped", "held", "deleted"}
STATES = {"pending", "succeeded", "failed", "quarantined", "gone"}
LINE = {"key", "action", "reason", "outcome"}
EDGE = {
    "key", "content", "fingerprint", "run", "attempt", "output", "digest", "size_bytes", "validation", "recorded_at",
    "is_current", "reason",
}
RUN_FACTS = {
    "run_id", "job", "label", "status", "started_at", "finished_at", "host", "pid", "environment", "config", "counts",
    "folder",
}


@pytest.fixture
def farm(plant: Plant) -> Farm:
    made = plant({"a.txt": "words\n", "b.txt": "words\n", "c/m.txt": "!fail\n"})
    assert made.run("--run-name", "first").code == 1
    return made


def document(farm: Farm, *args: str, code: int = 0) -> dict[str, Any]:
    """Return the one document on stdout, and check its fields."""
    ran = farm.onward(*args, "--json")
    assert ran.code == code, (ran.code, ran.stderr)
    found = json.loads(ran.stdout)
    assert set(found) == FIELDS[found["schema"]]
    return found  # type: ignore[no-any-return]


def test_the_run_document(farm: Farm) -> None:
    farm.write("a.txt", "other words\n")

    ran = document(farm, "run", farm.pipeline, "in", "--out", "out", code=1)

    assert set(ran["counts"]) == RUN_COUNTS
    assert {frozenset(line) for line in ran["items"]} == {frozenset(LINE)}
    assert [(line["key"], line["action"], line["reason"], line["outcome"]) for line in ran["items"]] == [
        ("a.txt", "process", "content-changed", "processed"), ("c/m.txt", "hold", "quarantined", "held"),
    ]
    assert ran["status"] == "completed"
    assert isinstance(ran["elapsed_s"], float)


def test_the_report_file_says_what_the_run_document_says(farm: Farm) -> None:
    ran = document(farm, "run", farm.pipeline, "in", "--out", "out", code=1)

    with open(ran["report"], encoding="utf-8") as file:
        told = json.load(file)
    assert told.pop("schema") == "onward.report/1"
    assert {name: told[name] for name in ran if name != "schema"} == {n: v for n, v in ran.items() if n != "schema"}


def test_the_plan_document(farm: Farm) -> None:
    planned = document(farm, "plan", farm.pipeline, "in", "--out", "out")
    dry = document(farm, "run", farm.pipeline, "in", "--out", "out", "--dry-run")

    assert planned == dry
    assert set(planned["counts"]) == PLAN_COUNTS
    assert planned["items"] == [{"key": "c/m.txt", "action": "hold", "reason": "quarantined", "outcome": None}]


def test_the_status_document(farm: Farm) -> None:
    status = document(farm, "status")

    assert set(status["counts"]) == STATES
    assert status["progress"] == {"done": 2, "total": 3, "percent": 66.7}
    assert status["failed"] == [{"key": "c/m.txt", "reason": "check-failed"}]
    assert {frozenset(one) for one in status["recent"]} == {frozenset({"key", "outcome", "finished_at"})}
    assert status["status"] == "completed"


def test_the_explain_document(farm: Farm) -> None:
    job = document(farm, "status")["job"]
    farm.write("a.txt", "other words\n")

    explained = document(farm, "explain", job, "a.txt")

    assert (explained["action"], explained["reason"]) == ("process", "content-changed")
    parts = explained["parts"]
    assert {frozenset(part) for part in parts} == {frozenset({"kind", "name", "before", "today", "differs"})}
    assert [part["name"] for part in parts if part["differs"]] == ["a.txt"]
    assert {part["kind"] for part in parts} == {"content", "step", "setting"}
    assert document(farm, "explain", job, "b.txt")["reason"] == "unchanged"
    assert document(farm, "explain", job, "c/m.txt")["reason"] == "quarantined"


def test_the_history_documents(farm: Farm) -> None:
    history = document(farm, "history")

    (run,) = history["runs"]
    assert set(run) == RUN_FACTS
    assert run["label"] == "first"
    assert set(run["counts"]) == RUN_COUNTS
    items = json.loads(farm.onward("history", "--run", run["run_id"], "--json").ok().stdout)
    assert set(items) == {"schema", "items"} | RUN_FACTS
    assert [item["key"] for item in items["items"]] == ["a.txt", "b.txt", "c/m.txt"]
    assert {frozenset(item) for item in items["items"]} == {
        frozenset({"key", "attempt", "reason", "outcome", "started_at", "elapsed_s", "error"})
    }
    assert items["items"][2]["error"] == {"reason": "check-failed", "message": "it says !fail"}


def test_lineage_is_found_by_key_input_path_and_output_path(farm: Farm) -> None:
    farm.write("a.txt", "other words\n")
    farm.run()

    by_key = document(farm, "lineage", "a.txt")["edges"]

    assert [edge["is_current"] for edge in by_key] == [False, True]
    assert {frozenset(edge) for edge in by_key} == {frozenset(EDGE)}
    for asked in ("in/a.txt", str(farm.input / "a.txt"), "out/a.json", str(farm.out / "a.json"), "a.json"):
        assert document(farm, "lineage", asked)["edges"] == by_key, asked


def test_the_verify_document(farm: Farm) -> None:
    (farm.out / "a.json").unlink()

    found = document(farm, "verify", code=1)

    assert [set(one) for one in found["findings"]] == [{"problem", "key", "output", "recorded", "found", "detail"}]
