"""Pages are fresh, links lead somewhere, words and errors have their place."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import generate
import pytest
from pages import PAGES, ROOT, anchors, links, name_of, prose

from onward import errors
from onward.model.record import TABLES

HAND_WRITTEN = [page for page in PAGES if name_of(page).removeprefix("docs/") not in generate.PAGES]


def test_generated_pages_are_what_the_code_says() -> None:
    assert generate.stale() == [], "run `make docs`"


def test_a_stale_page_is_named_and_ends_with_exit_code_1(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs" / "reference", tmp_path / "reference")
    (tmp_path / "reference" / "states.md").write_text("old\n")
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--folder", str(tmp_path)]

    found = subprocess.run([*command, "--check"], capture_output=True, text=True)
    subprocess.run(command, check=True, capture_output=True)
    again = subprocess.run([*command, "--check"], capture_output=True, text=True)

    assert (found.returncode, again.returncode) == (1, 0)
    assert "states.md" in found.stderr
    assert "cli.md" not in found.stderr


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name_of(page)} links to '{target}'"
        if anchor:
            assert anchor in anchors(there), f"{name_of(page)} links to '{target}'"


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in links(page)]
    assert {name_of(page) for page in PAGES} <= {name_of(page) for page in seen}


def test_every_slug_of_an_error_has_a_section() -> None:
    slugs = {kind.slug for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert slugs <= anchors(ROOT / "docs" / "reference" / "errors.md")


def test_every_table_of_the_ledger_has_a_section() -> None:
    found = anchors(ROOT / "docs" / "reference" / "schema.md")
    assert {*TABLES, "journal", "signature", "memo", "migration", "identity"} <= found


def test_the_glossary_has_the_words_of_the_tables_states_and_steps() -> None:
    words = {*TABLES, "signature", "memo", "migration", "journal", "head", "quarantine", "lost", "tombstone"}
    words |= {"fingerprint", "recipe", "staged", "evidence", "wish", "request", "entry", "claim", "lineage", "outcome"}
    words |= {"scan", "plan", "process", "commit", "recover", "state", "key", "source", "sink", "step", "pipeline"}
    told = re.findall(r"^- \*\*(.+?)\*\*:", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert words <= {word for entry in told for word in entry.split(", ")}


def test_no_word_stands_twice_in_the_glossary() -> None:
    told = re.findall(r"^- \*\*(.+?)\*\*:", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    words = [word for entry in told for word in entry.split(", ")]
    assert sorted(words) == sorted(set(words))


@pytest.mark.parametrize("page", [p for p in HAND_WRITTEN if name_of(p).startswith("docs/")], ids=name_of)
def test_a_line_holds_one_sentence(page: Path) -> None:
    for line in re.sub(r"`[^`]*`", "x", prose(page)).splitlines():
        if not line.startswith(("|", "- **", "#")):
            text = re.sub(r"\b(e\.g|i\.e)\.|^\d+\.", "", line)
            assert not re.search(r"\w[.?!] +[A-Z]", text), f"{name_of(page)}: {line}"


def test_every_file_that_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    where = ""
    for line in text.splitlines():
        heading = re.match(r"### `(\w+)/`", line)
        if line.startswith("#"):
            where = heading[1] if heading else ""
        for named in re.findall(r"`([\w/]+\.(?:py|sql)|[\w/]+/)`", line):
            places = [ROOT / "src/onward" / named, ROOT / "src/onward" / where / named, ROOT / named]
            assert any(place.exists() for place in [*places, ROOT / "src/onward" / where / "sql" / named]), line
