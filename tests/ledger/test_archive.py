"""`ledger archive`: the beginning of a journal in files, which audits and rebuilds go on to read."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import zlib
from pathlib import Path

import ledger_rows as rows
import pytest

from onward.errors import LedgerDamaged, LedgerError, NotFound
from onward.ledger import audit
from onward.ledger.archive import archive
from onward.ledger.archive_file import spans
from onward.ledger.base import Entry, Head
from onward.ledger.care import copy, describe
from onward.ledger.head_file import HeadFile
from onward.ledger.rebuild import rebuild
from onward.ledger.sqlite import SqliteLedger


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A ledger with two jobs, of which the first had three runs."""
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    rows.fill(ledger, 60)
    rows.fill(ledger, 10, name="other")
    job = ledger.job("filings")
    assert job is not None
    for _ in range(2):
        with ledger.transaction(job.id, now=rows.NOW) as tx:
            run = rows.a_run(tx.allocate("run"), job.id)
            tx.put(run)
            tx.put(job._replace(run_id=run.id))
        with ledger.transaction(job.id, now=rows.NOW, fence=run.id) as tx:
            tx.put(run._replace(status="completed", finished_at=rows.NOW + 1))
    ledger.close()
    return path


def journal_of(path: str, name: str = "filings") -> list[Entry]:
    ledger = SqliteLedger(path, writes=False)
    try:
        job = ledger.job(name)
        assert job is not None
        return list(ledger.journal(job.id))
    finally:
        ledger.close()


def answers(path: str) -> dict[str, object]:
    ledger = SqliteLedger(path, writes=False)
    try:
        told = rows.answers(ledger)
        for one in told.values():
            if isinstance(one, dict):
                one.pop("archives")
                one.pop("written_last")  # reaches as far back as the ledger itself
        return told
    finally:
        ledger.close()


def newest(path: str) -> str:
    ledger = SqliteLedger(path, writes=False)
    try:
        return ledger.runs(1)[0].name
    finally:
        ledger.close()


def the_file(path: str) -> Path:
    (file,) = (Path(path).parent / "archive").iterdir()
    return file


def test_every_answer_is_as_before_and_the_journal_too(path: str) -> None:
    before = answers(path)

    told = archive(path, "filings")

    assert told["entries"] == told["last"] == len(journal_of(path)) - 2
    assert answers(path) == before
    assert describe(path)["chain_errors"] == []
    ledger = SqliteLedger(path)
    try:
        assert ledger.first_entry(1) == int(str(told["last"])) + 1
        assert ledger.first_entry(2) == 1, "another job's entries stay"
        rows.fill(ledger, 3, name="third")
    finally:
        ledger.close()
    assert describe(path)["chain_errors"] == []


def test_the_ledger_is_smaller_by_what_left(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    job = rows.fill(ledger, 3000, group=100)
    with ledger.transaction(job.id, now=rows.NOW) as tx:
        tx.put(rows.a_run(tx.allocate("run"), job.id))
    in_journal = sum(len(zlib.compress(entry.payload, 1)) for entry in ledger.journal(job.id))
    ledger.close()

    told = archive(path, "filings")

    assert int(str(told["size_before_bytes"])) - int(str(told["size_bytes"])) > 0.8 * in_journal


def test_the_file_can_be_read_without_onward(path: str) -> None:
    journal = journal_of(path)
    archive(path, "filings")

    lines = gzip.decompress(the_file(path).read_bytes()).splitlines()
    head, *entries, end = (json.loads(line) for line in lines)

    assert (head["schema"], head["first"], head["last"]) == ("onward.archive/1", 1, len(journal) - 2)
    assert [(seq, at, bytes.fromhex(digest), payload.encode()) for seq, at, digest, payload in entries] == [
        (entry.seq, entry.recorded_at, entry.hash, entry.payload) for entry in journal[:-2]
    ]
    assert set(end) == {"sha256"}


def test_before_names_the_run_whose_entries_stay(path: str) -> None:
    journal = journal_of(path)
    ledger = SqliteLedger(path, writes=False)
    second, first = ledger.runs(1)[1:]
    ledger.close()

    one = archive(path, "filings", before=first.name)
    two = archive(path, "filings", before=second.name)
    three = archive(path, "filings")
    nothing = archive(path, "filings")
    earlier = archive(path, "filings", before=first.name)

    assert [told["first"] for told in (one, two, three)] == [1, 2, len(journal) - 3]
    assert (nothing["file"], earlier["file"]) == (None, None)
    assert len(spans(str(Path(path).parent))) == 3
    assert journal_of(path) == journal
    assert describe(path)["chain_errors"] == []


def test_a_rebuild_works_with_the_files_in_place(path: str) -> None:
    ledger = SqliteLedger(path, writes=False)
    second = ledger.runs(1)[1]
    ledger.close()
    archive(path, "filings", before=second.name)
    archive(path, "filings")
    archive(path, "other")
    before = answers(path)

    rebuild(path)

    assert answers(path) == before
    assert describe(path)["chain_errors"] == []
    ledger = SqliteLedger(path, writes=False)
    assert len(ledger.archives(1)) == 2
    ledger.close()


def test_timelines_are_rebuilt_from_what_was_archived_and_what_was_not(path: str) -> None:
    ledger = SqliteLedger(path)
    rows_of_timelines = []
    for at in range(6):
        run = rows.a_run(10 + at, 1)
        with ledger.transaction(1, now=rows.NOW) as tx:
            tx.put(run)
            tx.put(rows.a_document(1 + at % 2, 1))
            tx.put(row := rows.a_validity(1 + at % 2, rows.NOW - at, 7, content=None if at == 3 else b"c" * 32))
        rows_of_timelines.append(row)
    ledger.close()
    archive(path, "filings", before="run_13")
    before = answers(path)
    ledger = SqliteLedger(path)
    ledger._db.execute("DELETE FROM validity")
    ledger._db.execute("DELETE FROM document")
    ledger.close()
    assert answers(path) != before

    rebuild(path)

    assert answers(path) == before
    ledger = SqliteLedger(path, writes=False)
    assert sorted(ledger.rows_of("validity")) == sorted(rows_of_timelines)
    ledger.close()


def test_a_file_that_is_missing_is_named(path: str) -> None:
    archive(path, "filings")
    file = the_file(path)
    file.unlink()

    with pytest.raises(LedgerDamaged, match=str(file)):
        describe(path)
    with pytest.raises(LedgerDamaged, match="archive"):
        rebuild(path)
    ledger = SqliteLedger(path)  # work goes on all the same
    ledger.close()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
@pytest.mark.parametrize("damage", ["flip", "cut", "twice"])
def test_a_file_that_is_damaged_is_named(damage: str, share: float, path: str) -> None:
    archive(path, "filings")
    file = the_file(path)
    data = file.read_bytes()
    at = int(share * len(data))
    match damage:
        case "flip":
            file.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        case "cut":
            file.write_bytes(data[:at])
        case _:
            file.write_bytes(data[:at] + data[at // 2 : at] + data[at:])
    if damage == "twice" and at < 2:
        return  # nothing was inserted

    if damage == "flip" and is_still_whole(file, data):
        return  # the header of a gzip file has bytes that mean nothing: time, system
    for look in (describe, rebuild):
        with pytest.raises(LedgerDamaged, match=file.name):
            look(path)


def is_still_whole(file: Path, data: bytes) -> bool:
    try:
        return gzip.decompress(file.read_bytes()) == gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return False


def test_an_edited_file_with_its_checksums_made_to_fit_breaks_the_chain(path: str) -> None:
    from hashlib import sha256

    archive(path, "filings")
    file = the_file(path)
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)[:-1]
    lines[3] = lines[3].replace(b"filings-1.html", b"filings-X.html")
    text = b"".join(lines)
    file.write_bytes(gzip.compress(text + json.dumps({"sha256": sha256(text).hexdigest()}).encode() + b"\n"))

    errors = describe(path)["chain_errors"]
    assert isinstance(errors, list)
    assert "entry 3" in errors[0]
    with pytest.raises(LedgerDamaged, match="entry 3"):
        rebuild(path)


def test_the_file_of_another_ledger_is_refused(path: str, tmp_path: Path) -> None:
    archive(path, "filings")
    other = tmp_path / "other"
    other.mkdir()
    ledger = SqliteLedger(str(other / "ledger.db"))
    job = rows.fill(ledger, 60)
    with ledger.transaction(job.id, now=rows.NOW) as tx:
        tx.put(rows.a_run(tx.allocate("run"), job.id))
    ledger.close()
    archive(str(other / "ledger.db"), "filings")
    shutil.copy(the_file(str(other / "ledger.db")), the_file(path))

    with pytest.raises(LedgerDamaged, match="not of job 1 of this ledger"):
        describe(path)


def test_a_head_file_that_lags_behind_does_not_call_an_archive_altered(path: str) -> None:
    """The head file is written without a sync; after a power cut it may be old, but never older than an archive."""
    noted = HeadFile(path + ".head").read()[1]

    archive(path, "filings")

    assert HeadFile(path + ".head").read()[1].seq >= noted.seq
    SqliteLedger(path).close()


def test_damage_in_the_entries_is_found_before_they_leave(path: str) -> None:
    ledger = SqliteLedger(path)
    ledger._db.execute("UPDATE journal SET recorded_at = recorded_at + 1 WHERE job_id = 1 AND seq = 2")
    ledger.close()

    with pytest.raises(LedgerDamaged, match="entry 2"):
        archive(path, "filings")

    ledger = SqliteLedger(path, writes=False)
    assert ledger.archives(1) == []
    assert ledger.first_entry(1) == 1
    ledger.close()


def test_a_disk_that_is_full_moves_nothing(path: str) -> None:
    (Path(path).parent / "archive").write_bytes(b"a file where the folder should be")

    with pytest.raises((OSError, LedgerError)):
        archive(path, "filings")

    assert describe(path)["chain_errors"] == []


def test_an_unknown_job_or_run_is_refused(path: str) -> None:
    with pytest.raises(NotFound):
        archive(path, "nobody")
    with pytest.raises(NotFound):
        archive(path, "filings", before="nobody")


def test_a_backup_has_the_archives_that_belong_to_it(path: str, tmp_path: Path) -> None:
    archive(path, "filings")
    (tmp_path / "elsewhere").mkdir()
    target = str(tmp_path / "elsewhere" / "ledger.db")

    told = copy(path, target)
    again = copy(path, str(tmp_path / "elsewhere" / "another.db"))
    beside = copy(path, str(Path(path).parent / "beside.db"))

    (file,) = told["archives"]  # type: ignore[misc]  # a list of names
    assert told["archives"] == again["archives"] == beside["archives"]
    assert (tmp_path / "elsewhere" / file).read_bytes() == (Path(path).parent / file).read_bytes()
    assert journal_of(target) == journal_of(path)
    assert describe(target)["chain_errors"] == []


@pytest.mark.parametrize("fault", ["missing", "of another ledger", "nowhere to go"])
def test_a_backup_that_cannot_have_its_archives_is_none(fault: str, path: str, tmp_path: Path) -> None:
    archive(path, "filings")
    (file,) = [span.file for span in spans(os.path.dirname(path))]
    target = tmp_path / "elsewhere" / "ledger.db"
    target.parent.mkdir()
    if fault == "missing":
        (Path(path).parent / file).unlink()
    elif fault == "of another ledger":
        (target.parent / "archive").mkdir()
        (target.parent / file).write_bytes(b"another")
    else:
        (target.parent / "archive").write_bytes(b"a file where the folder should be")
    before = {found for found in target.parent.rglob("*") if found.is_file()}

    with pytest.raises((LedgerError, OSError)):
        copy(path, str(target))

    assert {found for found in target.parent.rglob("*") if found.is_file()} == before


def test_anchors_within_an_archive_are_still_checked(path: str) -> None:
    journal = journal_of(path)
    archive(path, "filings")
    ledger = SqliteLedger(path, writes=False)
    try:
        assert audit.problems(ledger, {1: Head(3, journal[2].hash)}) == []
        assert audit.problems(ledger, {1: Head(3, journal[1].hash)}) != []
    finally:
        ledger.close()
