"""253 documents and a time limit: submitted again under its id, a batch goes on, and nothing is done twice."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from farm import finish, kill_all, wait_until
from lines_farm import LinesFarm


@pytest.mark.contract("S2-019", "S2-026", "S2-028", "S2-036", "X-10")
def test_a_batch_of_253_documents_that_ran_out_of_time_at_136_goes_on_with_137(tmp_path: Path) -> None:
    """The hour of the time limit is shortened to what 136 documents take; then all its processes are ended."""
    documents = [{"id": f"doc_{n:03}", "text": "!hold" if n == 137 else "words"} for n in range(1, 254)]
    farm = LinesFarm.of(tmp_path / "farm", documents)
    first = farm.start("--job", "nightly")
    wait_until(lambda: len(farm.confirmed()) == 136, what="136 documents", timeout_s=60)
    wait_until(Path(f"{farm.log}.holding").exists, what="document 137")

    os.killpg(first.pid, signal.SIGKILL)
    ended = finish(first)
    kill_all(farm.pids())
    status = farm.onward("status", "nightly", "--json").ok().document
    saved = farm.ids()
    Path(f"{farm.log}.go").touch()
    again = farm.run("--job", "nightly").ok()

    assert ended.code == -signal.SIGKILL
    assert status["counts"]["succeeded"] == 136
    assert saved == [f"doc_{n:03}" for n in range(1, 137)]
    assert again.counts["processed"] == 117
    assert again.counts["skipped"] == 136
    assert next(iter(again.reasons)) == "doc_137"
    executed = Counter(farm.executions())
    assert [key for key, count in executed.items() if count > 1] == ["doc_137"], "only what was in hand"
    assert farm.ids() == [f"doc_{n:03}" for n in range(1, 254)]
    assert max(farm.successes().values()) == 1


@pytest.mark.contract("S2-032")
def test_what_old_scripts_left_behind_stays_out_of_git() -> None:
    ignored = (Path(__file__).parents[2] / ".gitignore").read_text().splitlines()

    assert {"batch_error_*.json", "batch_results_*.json", "batch_analysis_*/"} <= set(ignored)
