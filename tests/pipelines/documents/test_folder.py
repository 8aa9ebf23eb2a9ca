"""A folder of documents as a source: which files are documents, since when they are true, and which are too large."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from documents_farm import BEGAN_S, DocumentsFarm
from onward.engine.source import Entry, ScanProblem, TellsValidity
from onward.errors import InputRefused, SettingInvalid
from onward.pipelines.documents.folder import DocumentFolder, suffixes_of

SETTINGS: Mapping[str, object] = {"extensions": "", "max_file_mb": 50}
MB = 1 << 20


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def entries(folder: Path, **settings: object) -> list[Entry]:
    found: list[Entry] = []
    for listing in DocumentFolder({**SETTINGS, **settings}).scan(str(folder), leave_out=()):
        assert not isinstance(listing, ScanProblem), listing
        found += listing.entries()
    return found


def keys(folder: Path, **settings: object) -> list[str]:
    return [entry.key for entry in entries(folder, **settings)]


def test_documents_are_the_files_with_a_document_s_suffix_in_all_folders(tmp_path: Path) -> None:
    for name in ("a.md", "b.markdown", "c.html", "d.htm", "e.rst", "f.txt", "G.MD", "h.py", "README", ".i.md"):
        write(tmp_path, **{name: "x"})
    write(tmp_path, **{"deep__er__a.md": "x", ".git__a.md": "x"})

    assert keys(tmp_path) == ["G.MD", "a.md", "b.markdown", "c.html", "d.htm", "e.rst", "f.txt", "deep/er/a.md"]


@pytest.mark.parametrize(
    ("given", "suffixes"),
    [("adoc", (".adoc",)), (".MD, rst", (".md", ".rst")), ("md rst", (".md", ".rst")), ("x.y", (".x.y",)), ("*", ("",))]
)
def test_a_setting_says_which_suffixes_documents_have(given: str, suffixes: tuple[str, ...]) -> None:
    assert suffixes_of({"extensions": given}) == suffixes


def test_every_file_may_be_a_document(tmp_path: Path) -> None:
    write(tmp_path, **{"README": "x", "a.md": "x", ".hidden": "x"})

    assert keys(tmp_path, extensions="*") == ["README", "a.md"]


@pytest.mark.parametrize("given", ["*.md", "../x", "a/b", "md, *", "m?", "[x]", "a\x1bb"])
def test_what_is_no_suffix_is_refused_in_one_line(given: str) -> None:
    with pytest.raises(SettingInvalid, match="extensions") as caught:
        DocumentFolder({**SETTINGS, "extensions": given})

    assert str(caught.value).isprintable()


def test_a_document_is_true_since_it_was_modified(tmp_path: Path) -> None:
    write(tmp_path, **{"docs__a.md": "one"})
    os.utime(tmp_path / "docs" / "a.md", ns=(0, 1_600_000_000_123_456_789))
    (entry,) = entries(tmp_path)

    reading = DocumentFolder(SETTINGS).open(str(tmp_path), entry.key, entry.locator)

    assert isinstance(reading, TellsValidity)
    assert reading.read_bytes() == b"one"
    assert reading.valid_from == 1_600_000_000_123_456
    assert (reading.document, reading.sequence, reading.is_deletion) == ("docs/a.md", None, False)
    assert reading.sha256 == "sha256:" + sha256(b"one").hexdigest()
    reading.noted["chunks"] = 3
    assert reading.facts == {"document": "docs/a.md", "chunks": 3}


def test_a_file_over_the_bound_has_a_problem_and_its_neighbours_have_none(tmp_path: Path) -> None:
    write(tmp_path, **{"a.md": "small", "b.md": "x" * (MB + 1), "c.md": "x" * MB})

    problems = {entry.key: entry.problem for entry in entries(tmp_path, max_file_mb=1)}

    assert problems["a.md"] is problems["c.md"] is None
    assert problems["b.md"] is not None
    assert "max_file_mb" in problems["b.md"]


def test_a_file_that_grew_over_the_bound_since_it_was_listed_is_refused_and_not_read(tmp_path: Path) -> None:
    write(tmp_path, **{"a.md": "small"})
    source = DocumentFolder({**SETTINGS, "max_file_mb": 1})
    reading = source.open(str(tmp_path), "a.md", b"a.md")
    write(tmp_path, **{"a.md": "x" * (MB + 1)})

    with pytest.raises(InputRefused, match=r"'a\.md' has 1\.0 MB"):
        reading.read_bytes()
    assert reading.content is None


def test_a_listing_tells_what_moved_where_nothing_is_too_large(tmp_path: Path) -> None:
    write(tmp_path, **{f"{n}.md": "x" for n in range(8)})
    source = DocumentFolder({**SETTINGS, "max_file_mb": 1})
    (before,) = source.scan(str(tmp_path), leave_out=())
    write(tmp_path, **{"0.md": "longer"})
    (after,) = source.scan(str(tmp_path), leave_out=())
    write(tmp_path, **{"1.md": "x" * (MB + 1)})
    (large,) = source.scan(str(tmp_path), leave_out=())
    assert not isinstance(before, ScanProblem)
    assert not isinstance(after, ScanProblem)
    assert not isinstance(large, ScanProblem)

    moved = after.moved_since(before.packed)

    assert moved is not None
    assert [entry.key for entry, _ in moved[0]] == ["0.md"]
    assert large.moved_since(before.packed) is None
    assert large.has_problems
    assert large.count == 8


# -- runs


def test_a_file_that_is_too_large_waits_until_it_may_be_read(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a.md": "# A\n\nsmall", "big.md": "word " * 250_000}, max_file_mb=1)

    first, again = farm.run(), farm.run()
    farm.settings = {**farm.settings, "max_file_mb": 2}
    raised = farm.run().ok()

    assert (first.counts["processed"], first.counts["quarantined"]) == (1, 1)
    assert again.counts["processed"] == 0
    assert raised.counts["processed"] == 1
    assert farm.timelines()["big.md"][0][0] == (BEGAN_S + 120) * 1_000_000
    assert farm.run().ok().counts["skipped"] == 2


def test_a_file_that_grows_too_large_keeps_its_last_version(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a.md": "# A\n\nsmall", "b.md": "b"}, max_file_mb=1)
    farm.run().ok()
    farm.write("a.md", "word " * 250_000)

    ran = farm.run()

    assert ran.counts["quarantined"] == 1
    assert len(farm.timelines()["a.md"]) == 1


def test_links_that_leave_the_folder_and_pipes_are_quarantined_and_harm_nobody(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a.md": "# A\n\nsmall"})
    os.symlink("/etc/passwd", farm.path("out.md"))
    os.symlink("a.md", farm.path("in.md"))
    os.mkfifo(farm.path("pipe.md"))

    ran = farm.run()

    assert (ran.counts["processed"], ran.counts["quarantined"]) == (2, 2)
    assert set(farm.timelines()) == {"a.md", "in.md"}
