"""Nothing secret reaches what is stored or shown: a canary in a variable, in a URL and in an error."""

from __future__ import annotations

import os
import subprocess
import sys

CANARY = "hunter2-canary"

PIPELINE = """
from onward import Pipeline, files, json_files
def work(item, config):
    raise RuntimeError(f"cannot log in with {config['db.password']} at {config['dsn']}")
pipeline = Pipeline("secret", source=files("*.txt"), steps=[work], sink=json_files())
"""


def test_a_secret_in_a_variable_a_url_or_an_error_is_nowhere_afterwards(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    (tmp_path / "p.py").write_text(PIPELINE)
    environment = {**os.environ, "ONWARD_DB__PASSWORD": CANARY, "ONWARD_DSN": f"postgresql://me:{CANARY}@host/db"}
    said = ""
    for words in (
        ["run", "p.py:pipeline", "in", "--out", "out"],
        ["run", "p.py:pipeline", "in", "--out", "out", "--json"],
        ["history", "--json"],
        ["status", "--json"],
        ["doctor", "p.py:pipeline", "--json"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "onward", *words], cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=False,
        )
        said += done.stdout + done.stderr

    found = [str(path) for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]

    assert "RuntimeError" in (tmp_path / "out" / "quarantine" / "a_FAILED.json").read_text()
    assert found == []
    assert CANARY not in said
