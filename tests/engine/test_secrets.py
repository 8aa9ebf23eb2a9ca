"""Nothing secret reaches what is stored or shown: a canary in a variable, in a URL and in an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from onward.ledger.sqlite import SqliteLedger

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


# Each secret is made of pieces that all hold `zq7`, so that a half of one is found as well, and names where it was put.
SECRETS = {
    name: f"zq7{name}-zq7{name}/zq7"
    for name in (
        "set", "seturl", "list", "conninfo", "file", "table", "variable", "environ", "url", "print", "why", "git",
        "place",
    )
}
PART = "zq7"

SECOND = '''
import os
from onward import Pipeline, files, json_files
from onward.model.validation import Check, Status

def work(item, config):
    key = item.key[0]
    secret = config["db.password"]
    if key == "a":
        raise RuntimeError(f"cannot log in with {secret} at {config['dsn']} or {config['urls']} or {config['conn']}")
    if key == "b":
        print("logging in with", config["print.token"], flush=True)
        os.write(2, config["print.token"].encode())
        os._exit(3)
    if key == "c":
        return {"says": secret}
    if key == "d":
        try:
            {}[os.environ["SERVICE_API_KEY"]]
        except KeyError as error:
            raise ValueError(f"no answer from {os.environ['DATABASE_URL']} with {secret!r}") from error
    if key == "e":
        error = ConnectionError("x" * 1995 + secret)
        error.add_note("tried " + config["smtp.password"] + " and " + config["api_key"])
        raise error
    if key == "f":
        print("y" * 3000 + config["print.token"] + "z" * (4096 - len(config["print.token"]) // 2), flush=True)
        raise OSError(5, config["credentials.key"], "/mnt/" + secret)
    return {"n": len(secret)}

def says_nothing(result):
    if "says" in result:
        return Check("says_nothing", Status.FAIL, f"it says {result['says']}")
    return True

p = Pipeline("second", source=files("*.txt"), steps=[work], checks=[says_nothing], sink=json_files())
typed = Pipeline("typed", source=files("*.txt"), steps=[work], sink=json_files(), settings={"db.password": 1})
'''


@pytest.mark.contract("S0-048")
def test_no_secret_is_in_any_byte_that_was_written_nor_in_any_answer(tmp_path):
    """Put secrets wherever one can be, do all that there is to do, and look at every byte."""
    home, work = tmp_path / "home", tmp_path / "work"
    for folder in (home, work / "in", work / ".git", tmp_path / "tmp"):
        folder.mkdir(parents=True)
    (work / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (work / ".git" / "config").write_text(f'[remote "origin"]\n\turl = https://me:{SECRETS["git"]}@git.example/x.git\n')
    for key in "abcdefgh":
        (work / "in" / f"{key}.txt").write_text(key)
    (work / "p.py").write_text(SECOND)
    (work / "onward.toml").write_text(
        f'[second]\napi_key = "{SECRETS["file"]}"\n[second.credentials]\nkey = "{SECRETS["table"]}"\n'
        f'[typed]\n'
    )
    given_away = {work / "p.py", work / "onward.toml", work / ".git" / "config"}
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(tmp_path / "tmp"), "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ONWARD_SMTP__PASSWORD": SECRETS["variable"],
        "ONWARD_PRINT__TOKEN": SECRETS["print"],
        "SERVICE_API_KEY": SECRETS["environ"],
        "DATABASE_URL": f"postgresql://me:{SECRETS['url'].replace('/', '%2F')}@host/db",
    }
    said: dict[str, str] = {}

    def onward(*words: str, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "onward", *words], cwd=work, env={**environment, **more}, capture_output=True,
            text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
        )
        assert "/onward/cli/main.py" not in done.stderr, done.stderr  # no command fell over
        # What a step prints is its own affair, and goes to the terminal as it is.
        said[" ".join(words)[:60]] = done.stdout + done.stderr.replace(SECRETS["print"], "")
        return done.stdout

    settings = [
        "--set", f"db.password={SECRETS['set']}", "--set", f"dsn=postgresql://me:{SECRETS['seturl']}@host/db",
        "--set", f'urls=["amqp://me:{SECRETS["list"]}@host", "plain"]',
        "--set", f"conn=host=db user=me password={SECRETS['conninfo']} dbname=x",
    ]
    batch = ["p.py:p", "in", "--out", "out", "--job", "j", *settings]
    onward("plan", *batch, "--json")
    onward("run", *batch, ONWARD_FAULT="committed:2:kill")
    leftover = _bytes_with_a_secret(tmp_path, given_away)
    onward("run", *batch)
    onward("run", *batch, "--full", "--json")
    run_id = json.loads(onward("history", "j", "--json"))["runs"][0]["run_id"]
    for words in (
        ["explain", "j", "a.txt"], ["history", "--run", run_id, "--json"], ["status", "j", "--json"],
        ["lineage", "g.txt"], ["doctor", "p.py:p", "--json"], ["quarantine", "list"],
        ["quarantine", "show", "j", "a.txt"], ["verify", "--json"],
        ["report", run_id], ["check", run_id], ["pause", "j", "--why", f"password={SECRETS['why']}"],
        ["status", "j"], ["resume", "j", "--no-run"], ["retry", "j"], ["audit", "verify"],
        ["audit", "export", "--out", "trail.html"], ["audit", "export", "--out", "trail.csv"],
        ["audit", "export", "--format", "json"], ["ledger", "info"], ["ledger", "backup", "copy.db"],
        ["rollback", "j", "--to", run_id, "--dry-run"], ["reproduce", run_id],
        ["run", "p.py:p", f"postgresql://me:{SECRETS['place']}@host/db", "--out", "out2"],
        ["run", "p.py:p", "in", "--out", f"postgresql://me:{SECRETS['place']}@host/db"],
        ["run", "p.py:p", f"in?password={SECRETS['place']}", "--out", "out2"],
        ["status", "--state", f"postgresql://me:{SECRETS['place']}@host/db"],
        ["run", "p.py:typed", "in", "--out", "out3", "--set", f"db.password={SECRETS['set']}"],
        ["run", "p.py:p", "in", "--out", "out3", "--set", f"password:{SECRETS['set']}"],
        ["stop", "j", "--why", f"see https://me:{SECRETS['why']}@host"], ["status", "j", "--json"],
    ):
        onward(*words)

    evidence = {path.name: path.read_text() for path in (work / "out" / "quarantine").glob("*_FAILED.json")}
    assert {name[0] for name in evidence} == set("abcdef")
    assert all("***" in text for text in evidence.values()), "each of them had a secret to say"
    assert [name for name, text in said.items() if PART in text] == []
    assert leftover == []
    assert _bytes_with_a_secret(tmp_path, given_away) == []
    assert _journal_with_a_secret(work / ".onward" / "ledger.db") == []


def _bytes_with_a_secret(folder: Path, given_away: set[Path]) -> list[str]:
    """Return the files below a folder that hold a piece of a secret, in their bytes or in their name."""
    found = []
    for path in folder.rglob("*"):
        if path in given_away or not path.is_file():
            continue
        data = path.read_bytes()
        for form in (data, _inflated(data)):
            at = form.find(PART.encode())
            if at >= 0 or PART in path.name:
                found.append(f"{path.relative_to(folder)}: {form[max(0, at - 60) : at + 60]!r}")
    return found


def _inflated(data: bytes) -> bytes:
    """Return every deflated stream in a file, wherever it begins; small windows, as the journal's are."""
    found = b""
    for head in (b"\x78\x01", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b"):
        at = data.find(head)
        while at >= 0:
            try:
                found += zlib.decompressobj(wbits=47).decompress(data[at : at + 1_000_000])
            except zlib.error:
                pass
            at = data.find(head, at + 1)
    return found


def _journal_with_a_secret(path: Path) -> list[int]:
    ledger = SqliteLedger(str(path), writes=False)
    try:
        entries = [entry for job in ledger.jobs() for entry in ledger.journal(job.id)]
        assert len(entries) > 10
        return [entry.seq for entry in entries if PART.encode() in entry.payload]
    finally:
        ledger.close()
