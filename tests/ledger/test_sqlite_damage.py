"""A damaged ledger file is refused with an error that names it, or it answers as before; never a wrong answer."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from ledger_rows import answers, fill

from onward.errors import LedgerDamaged, NotFound, OnwardError
from onward.ledger.care import describe, rebuild, upgrade
from onward.ledger.rebuild import rebuild as rebuild_file
from onward.ledger.sqlite import SqliteLedger


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A closed ledger of two jobs, and what it answers."""
    folder = tmp_path_factory.mktemp("whole")
    path = str(folder / "ledger.db")
    ledger = SqliteLedger(path)
    fill(ledger, 120)
    fill(ledger, 30, name="other")
    ledger.close()
    ledger = SqliteLedger(path, writes=False)
    told = answers(ledger)
    ledger.close()
    return path, told


def _copy(path: str, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    for name in os.listdir(folder):
        os.unlink(folder / name)
    for suffix in ("", ".head", ".lock"):
        shutil.copyfile(path + suffix, folder / ("ledger.db" + suffix))
    return str(folder / "ledger.db")


def _all_answers(path: str) -> dict[str, object]:
    ledger = SqliteLedger(path, writes=False)
    try:
        return answers(ledger)
    finally:
        ledger.close()


def _flip(path: str, at: int, mask: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        old = file.read(1)[0]
        file.seek(at)
        file.write(bytes([old ^ mask]))


def _flips(count: int, size: int) -> list[tuple[int, int]]:
    chance = random.Random(20251228)
    anywhere = [(chance.randrange(size), 1 << chance.randrange(8)) for _ in range(count)]
    header = [(at, mask) for at in range(100) for mask in (0x01, 0xFF)]
    return anywhere + (header if count > 1000 else header[:60])


def _outcome(question):
    """Return the answer, or the error; any error but `LedgerDamaged` with the file's name is a bug."""
    try:
        return question(), None
    except LedgerDamaged as error:
        named = "ledger.db" in str(error)
        found = error
    assert named, found
    return None, found


def _check_flips(whole, folder: Path, count: int) -> None:
    path, told = whole
    ends: Counter[str] = Counter()
    for at, mask in _flips(count, os.path.getsize(path)):
        copy = _copy(path, folder)
        _flip(copy, at, mask)
        place = f"{mask:#x} at {at}"
        end, error = _outcome(lambda copy=copy: _all_answers(copy))
        assert error is not None or end == told, f"a wrong answer after {place}"
        ends["refused when asked" if error else "answers unchanged"] += 1
        facts, error = _outcome(lambda copy=copy: describe(copy))
        if error is None:
            assert facts["chain_errors"] == [], place
            ends["sound, says describe"] += 1
            continue
        before = Path(copy).read_bytes()
        _, error = _outcome(lambda copy=copy: rebuild(copy))
        if error is None:
            assert _all_answers(copy) == told, f"a wrong answer after rebuilding {place}"
            ends["rebuilt without loss"] += 1
        else:
            assert "backup" in str(error)
            assert Path(copy).read_bytes() == before
            ends["not to be rebuilt: backup"] += 1
    print(f"\n{sum(ends.values())} ends of flips in {os.path.getsize(path)} bytes: {dict(ends)}")
    assert ends["rebuilt without loss"] > 0
    assert ends["not to be rebuilt: backup"] > 0


def test_a_flipped_byte_is_found_or_changes_no_answer(whole, tmp_path):
    _check_flips(whole, tmp_path / "copy", 120)


@pytest.mark.long
def test_thousands_of_flipped_bytes_are_found_or_change_no_answer(whole, tmp_path):
    _check_flips(whole, tmp_path / "copy", 4000)


def test_a_damaged_page_of_every_table_but_the_journal_is_rebuilt_without_loss(whole, tmp_path):
    path, told = whole
    for table, page in _first_pages(path).items():
        copy = _copy(path, tmp_path / "copy")
        _flip(copy, (page - 1) * 4096 + 2000, 0xFF)

        with pytest.raises(LedgerDamaged):
            describe(copy)
        if table in ("journal", "sqlite_schema"):
            with pytest.raises(LedgerDamaged, match="backup"):
                rebuild(copy)
            continue
        facts = rebuild(copy)

        assert _all_answers(copy) == told, table
        assert describe(copy)["chain_errors"] == []
        assert os.path.exists(str(facts["old_file"]))


def _first_pages(path: str) -> dict[str, int]:
    db = sqlite3.connect(path)
    pages = dict(db.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage IS NOT NULL"))
    db.close()
    return {"sqlite_schema": 1, **pages}


def test_the_index_of_the_journal_is_not_needed_to_rebuild(whole, tmp_path):
    path, told = whole
    pages = _first_pages(path)
    copy = _copy(path, tmp_path / "copy")
    _flip(copy, (pages["sqlite_autoindex_journal_1"] - 1) * 4096 + 4000, 0x10)

    rebuild(copy)

    assert _all_answers(copy) == told


def test_without_identity_and_without_head_file_rebuild_says_what_is_missing(whole, tmp_path):
    path, _ = whole
    copy = _copy(path, tmp_path / "copy")
    _flip(copy, (_first_pages(path)["identity"] - 1) * 4096 + 4000, 0x10)
    os.unlink(copy + ".head")

    with pytest.raises(LedgerDamaged, match=r"neither the file nor its '.head'"):
        rebuild(copy)


def test_a_truncated_ledger_is_refused(whole, tmp_path):
    path, told = whole
    size = os.path.getsize(path)
    for length in (1, 50, 100, 511, 512, 4095, 4096, 4097, 8192, size // 2, size - 4096, size - 3000, size - 1):
        copy = _copy(path, tmp_path / "copy")
        os.truncate(copy, length)

        end, error = _outcome(lambda copy=copy: _all_answers(copy))
        assert error is not None or end == told, f"cut to {length}"
        facts, error = _outcome(lambda copy=copy: describe(copy))
        assert error is not None or (facts["chain_errors"] == [] and end == told), f"cut to {length}"
        _, error = _outcome(lambda copy=copy: rebuild(copy))
        assert error is not None or _all_answers(copy) == told, f"rebuilt after a cut to {length}"


@pytest.mark.parametrize("writes", [True, False], ids=["run", "status"])
@pytest.mark.parametrize("kind", ["empty", "folder", "pipe", "text", "garbage", "png", "loop"])
def test_what_is_not_a_ledger_is_refused_and_left_alone(tmp_path, kind, writes):
    path = tmp_path / "ledger.db"
    match kind:
        case "empty":
            path.touch()
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path)
        case "text":
            path.write_text("hello\n" * 1000)
        case "garbage":
            path.write_bytes(random.Random(1).randbytes(8192))
        case "png":
            path.write_bytes(b"\x89PNG\r\n\x1a\n")
    before = path.read_bytes() if path.is_file() else None

    with pytest.raises(LedgerDamaged, match=r"ledger\.db") as refused:
        SqliteLedger(str(path), writes=writes)

    assert any(word in str(refused.value) for word in ("backup", "Name another", "Move it"))
    assert (path.read_bytes() if path.is_file() else None) == before
    for care in (describe, upgrade, rebuild_file):
        with pytest.raises(OnwardError, match=r"ledger\.db"):
            care(str(path))


@pytest.mark.parametrize("writes", [True, False], ids=["run", "status"])
@pytest.mark.parametrize("tables", [["job"], ["migration"], ["migration", "identity"], ["identity", "journal"]])
def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path, tables, writes):
    path = tmp_path / "ledger.db"
    db = sqlite3.connect(path)
    for table in tables:
        db.execute(f"CREATE TABLE {table} (id INTEGER, number INTEGER)")
        db.execute(f"INSERT INTO {table} VALUES (1, 99)")
    db.commit()
    db.close()
    before = path.read_bytes()

    with pytest.raises(LedgerDamaged, match="not a ledger of onward"):
        SqliteLedger(str(path), writes=writes)

    assert path.read_bytes() == before


@pytest.mark.parametrize("writes", [True, False], ids=["run", "status"])
def test_a_ledger_that_is_gone_while_its_head_file_stands_is_refused(whole, tmp_path, writes):
    copy = _copy(whole[0], tmp_path / "copy")
    os.unlink(copy)

    with pytest.raises(LedgerDamaged, match=r"is missing.*Restore it from a backup"):
        SqliteLedger(copy, writes=writes)


def test_a_wal_without_its_ledger_is_refused(tmp_path):
    (tmp_path / "ledger.db-wal").write_bytes(b"x" * 5000)

    with pytest.raises(LedgerDamaged, match="is missing"):
        SqliteLedger(str(tmp_path / "ledger.db"))


def test_asking_where_there_is_no_ledger_makes_nothing(tmp_path):
    with pytest.raises(NotFound, match="There is no ledger"):
        SqliteLedger(str(tmp_path / "ledger.db"), writes=False)

    assert not (tmp_path / "ledger.db").exists()


@pytest.mark.parametrize("damage", ["folder", "pipe"])
def test_a_head_file_that_is_no_file_is_refused(whole, tmp_path, damage):
    copy = _copy(whole[0], tmp_path / "copy")
    os.unlink(copy + ".head")
    os.mkdir(copy + ".head") if damage == "folder" else os.mkfifo(copy + ".head")

    with pytest.raises(LedgerDamaged, match=r"\.head"):
        SqliteLedger(copy)


def test_a_head_file_of_garbage_says_nothing(whole, tmp_path):
    path, told = whole
    for junk in (b"", b"x", random.Random(2).randbytes(5000), bytes(520)):
        copy = _copy(path, tmp_path / "copy")
        Path(copy + ".head").write_bytes(junk)

        assert _all_answers(copy) == told


def test_the_head_file_of_another_ledger_is_noticed(whole, tmp_path):
    copy = _copy(whole[0], tmp_path / "copy")
    other = SqliteLedger(str(tmp_path / "other.db"))
    fill(other, 1)
    other.close()
    shutil.copyfile(tmp_path / "other.db.head", copy + ".head")

    with pytest.raises(LedgerDamaged, match="belongs to another ledger"):
        SqliteLedger(copy)


def test_a_ledger_without_page_checksums_is_refused_and_rebuilt_by_its_chain(whole, tmp_path):
    path, told = whole
    copy = _copy(path, tmp_path / "copy")
    _flip(copy, 20, 8)  # byte 20 says how many bytes of each page hold a checksum

    with pytest.raises(LedgerDamaged):
        SqliteLedger(copy)
    rebuild(copy)

    assert _all_answers(copy) == told
