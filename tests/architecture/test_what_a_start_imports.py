"""A run that finds nothing to do is mostly its start: these are the modules that it must not import.

Each of them was once imported by it, and cost what could be measured. A fact about modules, and not about time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ONLY_WITH_WORK = {
    "onward.engine.commit", "onward.engine.evidence", "onward.engine.executor", "onward.engine.publish",
    "onward.engine.reports.recording", "onward.engine.reports.report_html", "onward.workers.local",
    "onward.model.validation",
}
ONLY_FOR_ITS_COMMAND = {
    "onward.engine.commands.quarantine", "onward.engine.tombstone", "onward.ledger.audit", "onward.ledger.archive_file",
    "onward.ledger.diagnosis", "onward.ledger.memory", "onward.engine.code.version", "onward.cli.group",
    "onward.engine.code.dependencies",
}
HEAVY = {
    "dataclasses", "pathlib", "urllib.parse", "traceback", "subprocess", "gzip", "rich", "msgspec", "psutil", "random",
    "tomllib", "click", "inspect", "threading", "datetime", "uuid", "platform", "gettext", "heapq",
    "importlib.metadata",
}

_RUN = """
import sys
from onward.cli.main import main
sys.argv = ["onward", "run", "toy.py:toy", "in", "--out", "out"]
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
print(*sorted(sys.modules), sep="\\n", file=sys.stderr)
"""

_TOY = """
from onward import Pipeline, files, text_files

def read(item):
    return item.read_text()

toy = Pipeline("toy", source=files("*.txt"), steps=[read], sink=text_files(), depends=["apsw"])
"""


def _modules_of_a_run(folder: Path) -> set[str]:
    ended = subprocess.run(
        [sys.executable, "-c", _RUN], cwd=folder, env={**os.environ}, capture_output=True, text=True, check=True
    )
    return set(ended.stderr.split())


@pytest.fixture
def settled(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("one")
    (tmp_path / "in" / "b.txt").write_text("two")
    (tmp_path / "toy.py").write_text(_TOY)
    _modules_of_a_run(tmp_path)
    _modules_of_a_run(tmp_path)  # the first run may have come too soon after the files to trust their times
    return tmp_path


def test_a_run_that_finds_nothing_to_do_imports_nothing_that_only_work_needs(settled):
    assert _modules_of_a_run(settled) & (ONLY_WITH_WORK | ONLY_FOR_ITS_COMMAND | HEAVY) == set()


def test_a_run_with_work_imports_what_the_other_did_not(settled):
    (settled / "in" / "a.txt").write_text("three")

    assert _modules_of_a_run(settled) >= ONLY_WITH_WORK - {"onward.model.validation"}
