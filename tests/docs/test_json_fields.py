"""The fields that docs/reference/json.md lists are those of real documents, no fewer and no more."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT

PIPELINE = '''
from onward import Paid, Pipeline, files, json_files

def read(item, config, receipts):
    receipts.once({"text": item.read_text()}, lambda: Paid("yes", tokens_in=1, tokens_out=2, cost=0.1))
    return {"text": item.read_text(), "size": config["size"], "more": getattr(item, config["name"])}

def is_full(result):
    return bool(result["text"])

words = Pipeline("words", source=files("*.txt"), steps=[read], checks=[is_full], sink=json_files(), depends=["click"],
                 settings={"size": 1, "name": "key"})
'''


def documented() -> dict[str, set[str]]:
    """Return the fields of each document, by its schema."""
    text = (ROOT / "docs" / "reference" / "json.md").read_text()
    sections = re.split(r"^## (onward\.[\w/-]+)$", text, flags=re.MULTILINE)
    return {
        schema: set(re.findall(r"^\| `([^`]+)` \|", body, re.MULTILINE))
        for schema, body in zip(sections[1::2], sections[2::2], strict=True)
    }


def fields(value: Any, path: str = "") -> Iterator[str]:
    """Return the paths of a document, spelled as on the page; empty lists and objects give nothing."""
    if isinstance(value, dict):
        for name, below in value.items():
            if name == "evidence_document":
                yield name  # a document of its own, with a section of its own
                continue
            yield from fields(below, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for below in value:
            yield from fields(below, f"{path}[]")
    else:
        yield path


def as_documented(field: str, wanted: set[str]) -> str:
    """Return the field under its documented name, where `<name>` stands for any."""
    for one in wanted:
        if "<name>" in one and re.fullmatch(re.escape(one).replace("<name>", "[^.]+"), field):
            return one
    return field


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return the fields of real documents by their schema, from a small job in which much happens."""
    folder = tmp_path_factory.mktemp("json")
    (folder / "words.py").write_text(PIPELINE)
    (folder / "in" / "closed").mkdir(parents=True)
    for name, text in {"a": "one", "b": "two", "empty": "", "gone": "three"}.items():
        (folder / "in" / f"{name}.txt").write_text(text)
    seen: dict[str, set[str]] = {}

    def note(text: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(text)
        seen.setdefault(document["schema"], set()).update(fields(document))
        return document

    def onward(*words: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "onward", *words, "--json"]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
        assert ran.stdout, ran.stderr
        return note(ran.stdout)

    onward("plan", "words.py:words", "in", "--out", "out")
    first = onward("run", "words.py:words", "in", "--out", "out")
    (folder / "in" / "gone.txt").unlink()
    (folder / "in" / "b.txt").write_text("two and more")
    onward("plan", "words.py:words", "in", "--out", "out")
    onward("run", "words.py:words", "in", "--out", "out")
    onward("explain", first["job"], "a.txt")
    onward("status", first["job"])
    onward("pause", first["job"])
    onward("status", first["job"])
    onward("resume", first["job"], "--no-run")
    onward("history", first["job"])
    onward("history", "--run", first["run_id"])
    onward("history", first["job"], "--item", "b.txt")
    onward("history", first["job"], "--item", "empty.txt")
    onward("lineage", "b.txt")
    onward("reproduce", first["run_id"])
    onward("rollback", first["job"], "--to", first["run_id"])
    onward("ledger", "archive", first["job"])
    (folder / "out" / "a.json").write_text("edited")
    onward("verify")
    onward("ledger", "info")
    onward("ledger", "migrate")
    onward("ledger", "backup", "copy.db")
    onward("ledger", "rebuild")
    onward("doctor", "words.py:words")
    note((folder / "out" / "quarantine" / "empty_FAILED.json").read_text())
    onward("quarantine", "list")
    onward("quarantine", "show", first["job"], "empty.txt")
    onward("quarantine", "release", first["job"], "empty.txt")
    onward("report", first["run_id"])
    onward("check", first["run_id"])
    note((folder / first["report"]).read_text())
    note((Path(first["report"]).parent / "metrics.json").read_text())
    assert set(json.loads((folder / first["report"]).read_text())) >= set(first)
    (folder / "out" / ".runs" / "torn").mkdir()
    (folder / "out" / ".runs" / "torn" / "report.json").write_text("{")
    onward("audit", "verify", "--anchor", "999:" + "0" * 64)
    audit = [sys.executable, "-m", "onward", "audit", "export", "--format", "json", "--anchor", "999:" + "0" * 64]
    note(subprocess.run(audit, cwd=folder, capture_output=True, text=True, timeout=60).stdout)
    onward("run", "words.py:words", "in", "--out", "out", "--manifest")
    onward("check")
    onward("manifest", "check", "in/.manifest.json")
    onward("ledger", "export", "in/.manifest.json", "shared.json")
    onward("ledger", "import", "in/.manifest.json", "shared.json")
    onward("manifest", "repair", "in/.manifest.json")
    onward("init", "another")
    copied = tables_with_a_gap_and_a_failure(folder, onward)
    onward("windows", copied)
    onward("validate", copied)
    onward("test-connection", "tables.toml")
    onward("list-tables", "tables.toml")
    # Last, since it drops what the first run left.
    onward("prune", first["job"], "--outputs", "--keep-runs", "1")
    return seen


def tables_with_a_gap_and_a_failure(folder: Path, onward: Callable[..., dict[str, Any]]) -> str:
    """Copy two days of a table that are not side by side; the second one after its columns changed. Return the job."""
    (folder / "tables.toml").write_text(
        '[sources.shop]\nurl = "sqlite:///shop.db"\n'
        '[[tables]]\nsource = "shop"\nschema = "main"\ntable = "sale"\nwindow_column = "at"\n'
    )
    command = ("run", "tables", "tables.toml", "--out", "copied", "--date")
    with closing(sqlite3.connect(folder / "shop.db")) as db, db:
        db.execute("CREATE TABLE sale (id INTEGER PRIMARY KEY, at DATETIME)")
    onward(*command, "2025-01-02")
    with closing(sqlite3.connect(folder / "shop.db")) as db, db:
        db.execute("ALTER TABLE sale ADD COLUMN note TEXT")
    return str(onward(*command, "2025-01-05")["job"])


# What a small job has none of: a folder that cannot be read, errors in a ledger, a migration to apply.
RARE = {"holder.pid", "holder.host",
    # a run of a job of Databricks: tests/cli/test_platform_status.py has them all
    "platform", *(f"platform.{name}" for name in (
        "name", "job_id", "run_id", "cluster_id", "runtime", "life_cycle_state", "result_state", "message", "page",
        "started_at", "ended_at", "problem",
    )),
    # columns that differ, under a policy that lets them; and a look that names an instant
    "tables[].days[].drift[]",
    # a column of a type that cannot be copied
    "sources[].tables[].refused[]",
    # a budget that is used up
    "paused_because",
    # outputs that changed their name between two runs, and code that did
    "left[]", "differences[].kind", "differences[].name", "differences[].then", "differences[].now",
    # a clone of git, a damaged manifest, and outputs that two people made differently
    "changed[]", "told[]", "manifest.differs[]", *(f"nondeterminism[].{name}" for name in (
        "key", "input_hash", "output_hash", "run_id", "other_output_hash", "other_run_id",
    )),
    "problems[].place", "problems[].error", "page_errors[]", "chain_errors[]", "applied[]",
}


@pytest.mark.parametrize("schema", sorted(documented()))
def test_the_fields_of_a_document_are_those_on_the_page(schema: str, found: dict[str, set[str]]) -> None:
    wanted = documented()[schema]

    real = {as_documented(field, wanted) for field in found[schema]}

    assert real - wanted == set(), "not on the page"
    assert wanted - real - RARE == set(), "not in a real document"


def test_every_document_has_a_section(found: dict[str, set[str]]) -> None:
    assert set(found) == set(documented())
