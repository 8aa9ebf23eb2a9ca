"""`onward as-of` and `onward search`: what is printed, to whom, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from documents_farm import BEGAN_S, DocumentsFarm, documents

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

    assert (early.code, early.stdout) == (1, "")
    assert "'guide.md' was not there at 2001-01-0" in early.stderr
    assert (unknown.code, unknown.document["exists"]) == (1, False)


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


@pytest.mark.parametrize("words", [
    ("yesterday",), ("2024-13-01",), ("",), ("now", "--known-at", "x"),
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
