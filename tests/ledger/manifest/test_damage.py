"""A thousand and more damages to every file of a manifest: the right answer or a refusal by name, never a wrong answer.

Bytes are flipped, cut off, doubled, swapped, zeroed and filled at random places of the document, its backup, its
journal and its database. Whoever opens it then is told exactly what was recorded, or gets an error of ours that names
the file. A backup may be damaged without anybody noticing: it is not asked while the document is whole.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from shelf import Shelf, facts

from onward import StateManifest
from onward.errors import LedgerError, LedgerTooNew, ManifestUnreadable
from onward.ledger.manifest import store
from onward.ledger.manifest.repair import repair

NAMES = [f"{number}.html" for number in range(6)]


def flip(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def double(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.sample(range(len(data) + 1), 2))
    return data[:end] + data[start:end] + data[end:]


def swap(data: bytes, chance: random.Random) -> bytes:
    a, b, c, d = sorted(chance.sample(range(len(data) + 1), 4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def lose(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.sample(range(len(data) + 1), 2))
    return data[:start] + data[end:]


def zero(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.sample(range(len(data) + 1), 2))
    return data[:start] + bytes(end - start) + data[end:]


def double_a_line(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    at = chance.randrange(len(lines))
    return b"".join([*lines[: at + 1], lines[at], *lines[at + 1 :]])


def lose_a_line(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def swap_lines(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    a, b = chance.sample(range(len(lines)), 2) if len(lines) > 1 else (0, 0)
    lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


HARM = [flip, flip, flip, cut, double, swap, lose, zero, double_a_line, lose_a_line, swap_lines]


def well_kept(at: Path) -> tuple[Shelf, dict[str, tuple[object, ...]]]:
    """Return a shelf with a document, a backup, and a journal with lines that are saved and one that is not."""
    shelf = Shelf.build(at, NAMES)
    manifest = shelf.manifest()
    for name in NAMES[:2]:
        shelf.process(manifest, name)
    manifest.save()
    for name in NAMES[2:4]:
        shelf.process(manifest, name)
    manifest.update_run_config({"git_commit": "ea45dd2"})
    manifest.save()
    shelf.process(manifest, NAMES[4])
    manifest.record_failure(shelf.folder / NAMES[5], "20260101_000000", "boom")
    return shelf, facts(manifest)


def answers(shelf: Shelf) -> dict[str, tuple[object, ...]]:
    manifest = shelf.manifest()
    assert set(manifest.data["run_configs"]) == {"20251228_143022"}
    return facts(manifest)


def outcome(shelf: Shelf, right: dict[str, tuple[object, ...]], path: Path, harm: object) -> str:
    """Return whether the right answer was given or the file refused; anything else is a failure."""
    refused: LedgerError | None = None
    told: object = None
    try:
        told = answers(shelf)
    except (ManifestUnreadable, LedgerTooNew) as error:  # one flip can also make the version a newer one
        refused = error
    if refused is None:
        assert told == right, harm
        return "right"
    assert str(path) in str(refused)
    assert "\n" not in str(refused)
    return "refused"


@pytest.mark.contract("S0-007", "S0-049")
@pytest.mark.parametrize("victim", ["document", "backup", "journal"])
def test_a_damaged_file_is_restored_or_refused_by_name(victim: str, tmp_path: Path) -> None:
    chance = random.Random(f"onward {victim}")
    original, right = well_kept(tmp_path / "original")
    seen: Counter[str] = Counter()
    for number in range(400):
        shelf = Shelf(tmp_path / "damaged" / "raw", tmp_path / "damaged" / "processed")
        shutil.copytree(original.folder.parent, shelf.folder.parent, dirs_exist_ok=True)
        path = {"document": shelf.path, "backup": shelf.backup, "journal": shelf.journal}[victim]
        harm = chance.choice(HARM)
        whole = path.read_bytes()
        path.write_bytes(harm(whole, chance))

        seen[outcome(shelf, right, path, (number, harm.__name__))] += 1
        shutil.rmtree(shelf.folder.parent)
    print(f"{victim}: {dict(seen)}, wrong answers 0")
    if victim != "journal":
        # Backup and journal together hold everything.
        assert seen["right"] >= 398


def test_a_damaged_journal_that_holds_nothing_of_its_own_is_begun_anew(tmp_path: Path) -> None:
    chance = random.Random("onward saved")
    original, right = well_kept(tmp_path / "original")
    StateManifest.load(original.path).save()
    seen: Counter[str] = Counter()
    for _ in range(100):
        shelf = Shelf(tmp_path / "damaged" / "raw", tmp_path / "damaged" / "processed")
        shutil.copytree(original.folder.parent, shelf.folder.parent, dirs_exist_ok=True)
        # The last line says that the document holds everything, so it has to be whole.
        whole = shelf.journal.read_bytes()
        head = whole[: whole[:-1].rindex(b"\n")]
        shelf.journal.write_bytes(flip(head, chance) + whole[len(head) :])

        assert answers(shelf) == right

        assert "journal" in shelf.manifest().told[0] if shelf.manifest().told else True
        seen["right"] += 1
        shutil.rmtree(shelf.folder.parent)
    assert seen["right"] == 100


def test_two_damaged_files_are_restored_or_refused(tmp_path: Path) -> None:
    chance = random.Random("onward twice")
    original, right = well_kept(tmp_path / "original")
    seen: Counter[str] = Counter()
    for _ in range(200):
        shelf = Shelf(tmp_path / "damaged" / "raw", tmp_path / "damaged" / "processed")
        shutil.copytree(original.folder.parent, shelf.folder.parent, dirs_exist_ok=True)
        for path in chance.sample([shelf.path, shelf.backup, shelf.journal], 2):
            path.write_bytes(chance.choice(HARM)(path.read_bytes(), chance))

        try:
            assert answers(shelf) == right
            seen["right"] += 1
        except ManifestUnreadable:
            seen["refused"] += 1
        shutil.rmtree(shelf.folder.parent)
    print(f"two files: {dict(seen)}, wrong answers 0")


def test_a_damaged_database_is_refused_by_name_or_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random("onward database")
    monkeypatch.setattr(store, "MOVE_BYTES", 3000)
    original, right = well_kept(tmp_path / "original")
    assert not original.path.exists()
    seen: Counter[str] = Counter()
    for number in range(400):
        shelf = Shelf(tmp_path / "damaged" / "raw", tmp_path / "damaged" / "processed")
        shutil.copytree(original.folder.parent, shelf.folder.parent, dirs_exist_ok=True)
        path = shelf.folder / ".manifest.db"
        harm = chance.choice(HARM[:8])
        path.write_bytes(harm(path.read_bytes(), chance))

        seen[outcome(shelf, right, path, (number, harm.__name__))] += 1
        shutil.rmtree(shelf.folder.parent)
    print(f"database: {dict(seen)}, wrong answers 0")


def test_a_repaired_manifest_holds_what_was_whole_and_names_what_was_not(tmp_path: Path) -> None:
    shelf, right = well_kept(tmp_path)
    shelf.backup.unlink()
    lines = shelf.path.read_bytes().splitlines(keepends=True)
    assert lines[3].startswith(b'"0.html"')
    lines[3] = lines[3].replace(b"success", b"failure")
    shelf.path.write_bytes(b"".join(lines))
    with pytest.raises(ManifestUnreadable, match="repair") as refused:
        shelf.manifest()
    assert refused.value.line == 4

    done = repair(shelf.path)

    assert done.damaged_lines == 1
    assert facts(shelf.manifest()) == {key: value for key, value in right.items() if key != "0.html"}
    assert os.path.exists(str(shelf.path) + ".damaged")
    assert shelf.manifest().told == ()


def test_restoring_keeps_the_damaged_document_for_a_look(tmp_path: Path) -> None:
    shelf, right = well_kept(tmp_path)
    shelf.path.write_text("{ not json")

    manifest = StateManifest.load(shelf.path)

    assert facts(manifest) == right
    assert "restored from its backup and its journal" in manifest.told[0]
    assert (shelf.folder / ".manifest.json.damaged").read_text() == "{ not json"
    assert StateManifest.load(shelf.path).told == ()
