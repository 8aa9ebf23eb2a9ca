"""`onward as-of` and `onward search`: what is printed, to whom, and with which exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import apsw
import pytest

from documents_farm import BEGAN_S, DocumentsFarm, documents
from farm import LENGTHS, TOY, WORDS
from onward import clock
from onward.ledger.sqlite import SqliteLedger

FIRST = datetime.fromtimestamp(BEGAN_S + 60, UTC).isoformat()
ZONE = {"TZ": "Asia/Tokyo"}


@pytest.fixture
def farm(tmp_path: Path) -> DocumentsFarm:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    farm.write("guide.md", documents("And now something else.")["guide.md"])
    farm.run().ok()
    return farm


def test_a_document_is_printed_byte_for_byte_as_it_was(farm: DocumentsFarm) -> None:
    then, now = farm.onward("as-of", FIRST, "guide.md").ok(), farm.onward("as-of", "now", "guide.md").ok()

    assert then.stdout == documents()["guide.md"]
    assert now.stdout == documents("And now something else.")["guide.md"]


def test_a_key_that_was_not_there_then_is_exit_code_1(farm: DocumentsFarm) -> None:
    early, unknown = farm.onward("as-of", "2001-01-01", "guide.md"), farm.onward("as-of", "now", "none.md", "--json")
    versions = [farm.onward("as-of", "now", "none.md", "--history", *words) for words in ((), ("--json",))]
    too_early = farm.onward("as-of", "2001-01-01", "guide.md", "--history")

    assert (early.code, early.stdout) == (1, "")
    assert "'guide.md' was not there at 2001-01-0" in early.stderr
    assert (unknown.code, unknown.document["exists"]) == (1, False)
    assert [ran.code for ran in (*versions, too_early)] == [1, 1, 1]
    assert (versions[0].stdout, len(versions[0].stderr.splitlines())) == ("", 1)
    assert "'none.md' was never there until " in versions[0].stderr
    assert versions[1].document["versions"] == []
    assert "'guide.md' was never there until 2001-01-0" in too_early.stderr


def test_what_there_was_is_listed_and_told_to_programs_with_the_same_facts(farm: DocumentsFarm) -> None:
    text, found = farm.onward("as-of", "now").ok(), farm.onward("as-of", "now", "--json").ok().document

    keys = ["guide.md", "notes.txt", "tables/windows.html", "tables/zones.rst"]
    assert [line.split()[-1] for line in text.stdout.splitlines()] == keys
    assert [one["key"] for one in found["documents"]] == keys
    assert [one["sha256"][:12] for one in found["documents"]] == [line.split()[1] for line in text.stdout.splitlines()]
    assert found["schema"] == "onward.as-of/1"
    assert farm.onward("as-of", FIRST).ok().stdout.split()[-1] == "guide.md"


def test_a_document_with_its_facts_is_one_json_document(farm: DocumentsFarm) -> None:
    found = farm.onward("as-of", FIRST, "guide.md", "--json").ok().document

    assert found["content"] == documents()["guide.md"]
    assert datetime.fromisoformat(found["valid_from"]) == datetime.fromtimestamp(BEGAN_S + 60, UTC)
    assert found["known_at"] is None


def test_history_difference_and_restored_folder(farm: DocumentsFarm) -> None:
    history = farm.onward("as-of", "now", "guide.md", "--history", "--json").ok().document["versions"]
    differs = farm.onward("as-of", FIRST, "--diff", "now", "--json").ok().document
    farm.onward("as-of", FIRST, "--out", "then").ok()

    assert [datetime.fromisoformat(one["valid_from"]).timestamp() for one in history] == [BEGAN_S + 60, BEGAN_S + 300]
    assert (differs["removed"], differs["changed"], len(differs["added"])) == ([], ["guide.md"], 3)
    restored = farm.out.parent / "then"
    assert [path.name for path in restored.iterdir()] == ["guide.md"]
    assert (restored / "guide.md").read_text() == documents()["guide.md"]
    again = farm.onward("as-of", FIRST, "--out", "then")
    assert (again.code, again.stdout) == (2, "")
    assert "is not an empty folder" in again.stderr


def test_what_was_known_then_is_asked_with_known_at(farm: DocumentsFarm) -> None:
    assert farm.onward("as-of", "now", "guide.md", "--known-at", "2001-01-01").code == 1
    assert farm.onward("as-of", "now", "guide.md", "--known-at", "now").code == 0


def test_a_time_without_an_offset_is_local_and_a_day_means_its_end(farm: DocumentsFarm) -> None:
    def at(time: str) -> object:
        return farm.onward("as-of", time, "--json", env=ZONE).ok().document["at"]

    assert at("2024-03-03") == "2024-03-03T14:59:59.999999+00:00"
    assert at("2024-03-03T10:00") == "2024-03-03T01:00:00.000000+00:00"
    assert at("2024-03-03T10:00+01:00") == "2024-03-03T09:00:00.000000+00:00"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_the_ends_of_the_calendar_are_times_like_any_other(zone: str, farm: DocumentsFarm) -> None:
    for time in ("9999-12-31", "9999-12-31T23:59:59", "9999-12-31T23:59:59-05:00"):
        ran = farm.onward("as-of", time, "--json", env={"TZ": zone}).ok()
        assert len(ran.document["documents"]) == 4, time
    for time in ("0001-01-01", "0001-01-01T00:00", "0001-01-01T00:00+14:00"):
        ran = farm.onward("as-of", time, env={"TZ": zone}).ok()
        assert " 0 documents at 000" in ran.stderr, time


def test_a_job_that_is_not_one_of_documents_is_refused_by_its_name_and_by_its_folder(farm: DocumentsFarm) -> None:
    farm.code("toy.py", TOY)
    farm.code("words.py", WORDS)
    farm.code("lengths.py", LENGTHS)
    farm.onward("run", "toy.py:toy", "in", "--out", "elsewhere").ok()
    with farm.ledger() as ledger:
        (name,) = [job.name for job in ledger.jobs() if job.pipeline != "documents"]

    for job in (name, "./elsewhere", "elsewhere"):
        for words in (("as-of", "now"), ("as-of", "now", "guide.md"), ("search", "install")):
            ran = farm.onward(*words, "--job", job)
            assert (ran.code, ran.stdout) == (2, ""), (job, words)
            assert f"The job '{name}' is one of " in ran.stderr


@pytest.mark.parametrize("words", [
    ("yesterday",), ("10000-01-01",), ("9999-13-31",), ("2024-13-01",), ("",), ("now", "--known-at", "x"),
    ("now", "--diff", "x"), ("now", "--history"), ("now", "guide.md", "--out", "x"),
    ("now", "--out", "x", "--diff", "now"), ("now", "--job", "none"),
])
def test_what_cannot_be_asked_is_one_line_and_exit_code_2(words: tuple[str, ...], farm: DocumentsFarm) -> None:
    ran = farm.onward("as-of", *words)

    assert (ran.code, ran.stdout) == (2, ""), ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_search_shows_file_heading_version_and_validity(farm: DocumentsFarm) -> None:
    text = farm.onward("search", "fresh environment", "--limit", "1").ok().stdout.splitlines()
    found = farm.onward("search", "fresh environment", "--limit", "1", "--as-of", FIRST, "--json").ok().document

    (hit,) = found["hits"]
    assert text[0].split() == ["1.", "guide.md", "Guide", ">", "Install"]
    assert "since 2023-" in text[1]
    assert (hit["key"], hit["heading"], hit["rank"], hit["also_in"]) == ("guide.md", "Guide > Install", 1, [])
    assert datetime.fromisoformat(hit["valid_to"]).timestamp() == BEGAN_S + 300
    assert hit["version"] == farm.onward("as-of", FIRST, "guide.md", "--json").document["sha256"]
    assert found["schema"] == "onward.search/1"


def test_what_nothing_answers_is_said_on_stderr(farm: DocumentsFarm) -> None:
    ran = farm.onward("search", "install", "--as-of", "2001-01-01").ok()

    assert ran.stdout == ""
    assert "nothing answers" in ran.stderr


@pytest.mark.parametrize("text", ["", "   ", "?!", "..."])
def test_a_text_without_a_word_is_told(text: str, farm: DocumentsFarm) -> None:
    ran = farm.onward("search", "--", text).ok()

    assert ran.stdout == ""
    assert "has no word to look for" in ran.stderr


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_a_limit_is_at_least_one(limit: str, farm: DocumentsFarm) -> None:
    ran = farm.onward("search", "install", "--limit", limit)

    assert (ran.code, ran.stdout) == (2, "")
    assert "--limit" in ran.stderr


def test_a_store_that_is_gone_is_told_in_one_line(farm: DocumentsFarm) -> None:
    shutil.rmtree(farm.out)

    ran = farm.onward("search", "install", "--job", "out")

    assert (ran.code, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)
    assert "The next run fills it again" in ran.stderr


def test_check_reads_what_a_run_made_and_asks_its_checks_again(farm: DocumentsFarm) -> None:
    with farm.ledger() as ledger:
        last, first = (run.name for run in ledger.runs(ledger.jobs()[0].id))

    for words in ((), ("--validate",)):
        made = farm.onward("check", first, "--json", *words).ok().document["items"]
        again = farm.onward("check", last, "--json", *words).ok().document["items"]
        assert {item["key"]: item["finding"] for item in made} == {
            "guide.md": "superseded", "notes.txt": "ok", "tables/windows.html": "ok", "tables/zones.rst": "ok",
        }
        assert [(item["key"], item["finding"]) for item in again] == [("guide.md", "ok")]
    assert "all as they were made" in farm.onward("check", "--validate").ok().stdout


def spoil(farm: DocumentsFarm, statement: str, *values: object) -> None:
    db = apsw.Connection(farm.library_file)
    db.execute(statement, values)
    db.close()


@pytest.mark.parametrize("statement", [
    "DELETE FROM content", "UPDATE chunk SET text = 'something else'", "UPDATE outline SET chunks = x''",
    "UPDATE outline SET chunks = substr(chunks, 1, 4)",
])  # fmt: skip
def test_check_fails_where_the_library_does_not_make_up_the_document(statement: str, farm: DocumentsFarm) -> None:
    farm.onward("check", "--validate").ok()
    spoil(farm, statement)

    ran = farm.onward("check", "--validate", "--json")

    assert ran.code == 1
    assert [item["finding"] for item in ran.document["items"]] == ["output-missing"]


def test_check_fails_where_the_chunks_have_lost_words_of_the_document(farm: DocumentsFarm) -> None:
    """Library, record and ledger agree with each other, and only the document tells."""
    db = apsw.Connection(farm.library_file)
    ((record, digest, packed),) = db.execute(
        "SELECT record, digest, chunks FROM outline JOIN standing USING (digest) WHERE output = 'guide.md'"
    )
    whole = json.loads(record)
    short = json.dumps({**whole, "chunks": whole["chunks"][:1]}, sort_keys=True)
    ours = sha256(short.encode()).digest()
    assert len(whole["chunks"]) > 1
    db.execute("UPDATE outline SET record = ?, digest = ?, chunks = ? WHERE digest = ?", (
        short, ours, packed[:4], digest,
    ))
    db.execute("UPDATE standing SET digest = ? WHERE digest = ?", (ours, digest))
    db.close()
    ledger = SqliteLedger(farm.workspace.ledger)
    known = ledger.known(1, "guide.md")
    assert known is not None
    assert known.version is not None
    with ledger.transaction(1, now=clock.now()) as tx:
        tx.put(known.version._replace(digest=ours))
    ledger.close()

    ran = farm.onward("check", "--validate", "--json")

    assert ran.code == 1
    (item,) = ran.document["items"]
    assert item["finding"] == "check-failed"
    assert "different words of 'guide.md' are in none of its chunks" in item["detail"]


def test_verify_names_the_document_of_a_chunk_that_differs(farm: DocumentsFarm) -> None:
    db = apsw.Connection(str(next(farm.out.glob("*.sqlite"))))
    one = db.execute("DELETE FROM chunk WHERE text LIKE '%fresh environment%' RETURNING id").get
    db.close()

    ran = farm.onward("verify")

    assert ran.code == 1
    problem, rest = ran.stdout.splitlines()[0].split(maxsplit=1)
    assert problem == "output-missing"
    assert rest.startswith(f"{one}: a part of 'guide.md'")


def test_a_document_that_would_be_obeyed_by_a_terminal_is_named_harmlessly(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a\x1b[31m.md": "# Red\x1b[31m\n\nalpha \x1b[2J\n"})
    farm.run().ok()

    for words in (("as-of", "now"), ("search", "alpha"), ("as-of", "now", "--diff", "2001-01-01")):
        assert "\x1b" not in farm.onward(*words).ok().stdout, words


def test_asking_as_of_loads_neither_vectors_nor_stores(farm: DocumentsFarm) -> None:
    script = (
        "import json, sys; from onward import open_documents\n"
        "with open_documents() as found: assert found.get('guide.md', 1 << 60)\n"
        "print(json.dumps([sorted({'numpy', 'chromadb', 'psycopg', 'lxml', 'onnxruntime'} & set(sys.modules)),\n"
        "    int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=farm.out.parent, env=farm.env, capture_output=True, text=True, check=True
    )

    loaded, peak_kb = json.loads(ran.stdout)
    assert loaded == []
    assert peak_kb <= 40 * 1024
