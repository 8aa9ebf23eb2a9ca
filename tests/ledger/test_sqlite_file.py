"""How the file of a SQLite ledger is made, opened, copied, and shared by processes."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import apsw
import pytest
from ledger_rows import (
    NOW,
    a_container,
    a_control,
    a_document,
    a_publish,
    a_validity,
    a_version,
    answers,
    fill,
    first,
)

from onward.disk.lock import FileLock
from onward.errors import LedgerDamaged, LedgerError, LedgerTooNew, OutputTaken
from onward.ledger import migrate, statements
from onward.ledger.audit import check
from onward.ledger.base import Finding
from onward.ledger.care import copy, describe, rebuild, upgrade
from onward.ledger.memory import MemoryLedger
from onward.ledger.sqlite import SqliteLedger
from onward.model.states import ItemState, Outcome, Request, RunStatus
from onward.model.validation import Status

HERE = str(Path(__file__).parent)


def start(script: str, *args: object) -> subprocess.Popen[str]:
    """Run a script in a process of its own; it may import `ledger_rows`."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, args)],
        env={**os.environ, "PYTHONPATH": HERE}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL), err
    return out


def test_every_commit_is_synced_and_the_journal_mode_is_wal(opened):
    ledger = opened()

    assert ledger._db.pragma("journal_mode") == "wal"
    assert ledger._db.pragma("synchronous") == 2
    assert ledger._db.pragma("foreign_keys") == 1
    assert ledger._db.pragma("checksum_verification") == "1"
    assert ledger._db.reserve_bytes("main") == 8


def test_the_checksumming_vfs_is_not_forced_on_other_databases_of_the_process(opened, tmp_path):
    opened()

    other = apsw.Connection(str(tmp_path / "other.db"))

    assert other.open_vfs == "unix"
    other.close()


def test_a_file_that_lost_its_wal_mode_is_refused(tmp_path):
    path = str(tmp_path / "ledger.db")
    SqliteLedger(path).close()
    db = apsw.Connection(path, vfs="cksmvfs")
    db.pragma("journal_mode", "delete")
    db.close()

    with pytest.raises(LedgerDamaged, match="journal_mode"):
        SqliteLedger(path)


def test_what_was_written_is_there_when_the_ledger_is_opened_again(opened):
    ledger = opened()
    fill(ledger, 10)
    told = answers(ledger)
    ledger.close()

    assert answers(opened()) == told
    assert answers(opened(writes=False)) == told


def test_the_uuid_lasts(opened):
    assert opened().uuid == opened().uuid == opened(writes=False).uuid


def test_a_reader_writes_nothing(opened):
    fill(opened(), 3)
    reader = opened(writes=False)

    with pytest.raises(LedgerError), reader.transaction(1, now=NOW) as tx:
        tx.put(a_container(9, 1))


def test_a_ledger_is_made_whole_or_not_at_all(tmp_path):
    """A child that is killed at any step of making leaves nothing at the ledger's name, or a ledger that works."""
    path = str(tmp_path / "ledger.db")
    for step in ("pragma", "reserve_bytes", "execute", "wal_checkpoint"):
        finish(start(
            """
            import os, signal, sys
            import apsw
            class Killed(apsw.Connection):
                def __getattribute__(self, name):
                    if name == sys.argv[2]:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return super().__getattribute__(name)
            import onward.ledger.sqlite_file as file
            file.register_vfs()
            file.apsw.Connection = Killed
            file._make_current(sys.argv[1])
            """, path, step,
        ))
        assert not os.path.exists(path), step

    ledger = SqliteLedger(path)
    fill(ledger, 1)
    ledger.close()
    assert sorted(os.listdir(tmp_path)) == ["ledger.db", "ledger.db.head", "ledger.db.lock"]


def test_two_processes_that_make_the_same_ledger_at_once_both_get_it(tmp_path):
    path = tmp_path / "ledger.db"
    script = """
        import sys, time
        from ledger_rows import a_job, NOW
        from onward.ledger.sqlite import SqliteLedger
        while time.time() < float(sys.argv[3]):
            pass
        ledger = SqliteLedger(sys.argv[1])
        ledger.create_job(a_job(sys.argv[2]), now=NOW)
        print(ledger.uuid)
        time.sleep(0.2)
        ledger.close()
    """
    begin = time.time() + 1.0
    uuids = {finish(process).strip() for process in [start(script, path, name, begin) for name in "abcd"]}

    assert len(uuids) == 1
    ledger = SqliteLedger(str(path))
    assert {job.name for job in ledger.jobs()} == set("abcd")
    ledger.close()


def test_one_of_two_processes_that_take_the_same_output_is_refused(opened):
    one, two = opened(), opened()
    fill(one, 1)

    with pytest.raises(OutputTaken):
        fill(two, 1)


def test_two_processes_that_write_at_once_lose_nothing(tmp_path):
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    job = fill(ledger, 1)
    script = """
        import sys
        from ledger_rows import NOW, an_item
        from onward.ledger.sqlite import SqliteLedger
        ledger = SqliteLedger(sys.argv[1])
        for number in range(200):
            with ledger.transaction(1, now=NOW) as tx:
                tx.put(an_item(tx.allocate("item"), 1, 1, key=f"{sys.argv[2]}-{number:03}"))
        ledger.close()
    """

    for process in [start(script, path, name) for name in ("left", "right")]:
        finish(process)

    keys = {known.item.key for known in ledger.known_all(job.id)}
    assert keys >= {f"{name}-{number:03}" for name in ("left", "right") for number in range(200)}
    assert len(keys) == 401
    assert ledger.head(job.id).seq == 5 + 400
    ledger.close()
    assert describe(path)["chain_errors"] == []
    assert SqliteLedger(path, writes=False).lost == {}


def test_entries_that_went_with_a_lost_wal_are_counted(tmp_path):
    path = tmp_path / "ledger.db"
    script = """
        import os, signal, sys
        from ledger_rows import fill, NOW, a_container
        from onward.ledger.sqlite import SqliteLedger
        ledger = SqliteLedger(sys.argv[1])
        fill(ledger, 20)
        ledger.close()
        ledger = SqliteLedger(sys.argv[1])
        for number in range(7):
            with ledger.transaction(1, now=NOW) as tx:
                tx.put(a_container(tx.allocate("container"), 1))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    finish(start(script, path))
    os.unlink(f"{path}-wal")

    assert describe(str(path))["lost_entries"] == 7
    reader = SqliteLedger(str(path), writes=False)
    writer = SqliteLedger(str(path))

    assert reader.lost == writer.lost == {1: 7}
    assert len(writer.containers(1)) == 1
    writer.close()
    again = SqliteLedger(str(path))
    assert again.lost == {1: 7}, "until something is written, everybody who opens it is told"
    with again.transaction(1, now=NOW) as tx:
        tx.put(a_container(2, 1))
    again.close()
    reader.close()
    assert SqliteLedger(str(path), writes=False).lost == {}


def test_a_killed_process_loses_nothing_when_its_wal_stands(tmp_path):
    path = tmp_path / "ledger.db"
    finish(start(
        """
        import os, signal, sys
        from ledger_rows import fill
        from onward.ledger.sqlite import SqliteLedger
        ledger = SqliteLedger(sys.argv[1])
        fill(ledger, 50)
        os.kill(os.getpid(), signal.SIGKILL)
        """, path,
    ))

    ledger = SqliteLedger(str(path))

    assert ledger.lost == {}
    assert ledger.count_states(1) == {"succeeded": 50}
    ledger.close()


@pytest.mark.parametrize("damage", ["cut", "flip", "garbage", "empty"])
def test_a_damaged_wal_loses_a_tail_and_says_so(tmp_path, damage):
    path = tmp_path / "ledger.db"
    finish(start(
        """
        import os, signal, sys
        from ledger_rows import fill
        from onward.ledger.sqlite import SqliteLedger
        ledger = SqliteLedger(sys.argv[1])
        fill(ledger, 60)
        os.kill(os.getpid(), signal.SIGKILL)
        """, path,
    ))
    wal = Path(f"{path}-wal")
    data = bytearray(wal.read_bytes())
    half = len(data) // 2
    match damage:
        case "cut":
            data = data[:half]
        case "flip":
            data[half] ^= 0x40
        case "garbage":
            data[half:] = os.urandom(len(data) - half)
        case "empty":
            data = bytearray()
    wal.write_bytes(data)

    ledger = SqliteLedger(str(path))

    assert sum(ledger.lost.values()) > 0
    ledger.close()
    assert describe(str(path))["chain_errors"] == []


def test_pages_of_different_ages_are_refused_and_rebuilt(tmp_path):
    """A WAL that is lost while it was half checkpointed leaves old and new pages side by side, each of them whole."""
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    fill(ledger, 60)
    ledger.close()
    old = Path(path).read_bytes()
    ledger = SqliteLedger(path)
    root = next(iter(ledger._db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'item'")))[0]
    last = ledger._db.execute("SELECT max(seq) FROM journal").get
    with ledger.transaction(1, now=NOW) as tx:
        for known in list(ledger.known_all(1)):
            tx.put(known.item._replace(note="newer"))
    told = first(ledger, 1, 99)
    ledger.close()
    new = Path(path).read_bytes()
    pages = [at for at in range(0, len(old), 4096) if old[at : at + 4096] != new[at : at + 4096] and at]
    kind = {page: new[page] for page in pages}
    mixed = bytearray(old)
    for page in pages:
        if kind[page] == 13 and b"newer" in new[page : page + 4096] and b'"newer"' not in new[page : page + 4096]:
            mixed[page : page + 4096] = new[page : page + 4096]
    assert mixed != bytearray(old), f"root {root}"
    Path(path).write_bytes(mixed)

    with pytest.raises(LedgerDamaged, match="does not agree with itself"):
        SqliteLedger(path)
    facts = rebuild(path)

    assert facts["lost_entries"] == 1
    assert facts["journal_entries"] == last
    ledger = SqliteLedger(path)
    assert first(ledger, 1, 99) == told
    assert {known.item.note for known in ledger.known_all(1)} == {None}
    ledger.close()


def test_schema_sql_is_all_migrations_replayed():
    replayed, written = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    for _, _, sql in statements.migrations():
        replayed.execute(sql)
    written.execute(statements.read("schema.sql"))

    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
    assert list(replayed.execute(query)) == list(written.execute(query))
    replayed.close()
    written.close()


def test_migrations_are_numbered_without_gaps():
    assert [number for number, _, _ in statements.migrations()] == list(range(1, migrate.latest() + 1))


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        ("item", "state", ItemState), ("attempt", "outcome", Outcome), ("job", "status", RunStatus),
        ("run", "status", RunStatus), ("version", "validation", Status), ("control", "request", Request),
        ("publish", "kind", ("output", "quarantine", "retract")),
    ],
)
def test_the_words_that_sql_checks_are_those_of_the_model(table, column, words):
    schema = statements.read("schema.sql")
    (body,) = re.findall(rf"CREATE TABLE {table} \((.*?)\n\)", schema, re.DOTALL)
    (checked,) = re.findall(rf"{column} IN\s*\((.*?)\)", body, re.DOTALL)

    assert re.findall(r"'([^']*)'", checked) == list(words)


@pytest.fixture
def newer(tmp_path):
    """A ledger that a newer onward wrote, with records in its WAL."""
    path = tmp_path / "ledger.db"
    finish(start(
        """
        import os, signal, sys
        from ledger_rows import fill, NOW
        from onward.ledger.sqlite import SqliteLedger
        ledger = SqliteLedger(sys.argv[1])
        fill(ledger, 5)
        ledger._db.execute("INSERT INTO migration SELECT max(number) + 1, 'future', 1 FROM migration")
        os.kill(os.getpid(), signal.SIGKILL)
        """, path,
    ))
    return path


@pytest.mark.parametrize("use", [SqliteLedger, lambda p: SqliteLedger(p, writes=False), describe, upgrade, rebuild])
def test_a_newer_ledger_is_refused_and_not_touched(newer, use):
    before = {name: (newer.parent / name).read_bytes() for name in ("ledger.db", "ledger.db-wal", "ledger.db.head")}

    with pytest.raises(LedgerTooNew, match=r"has schema \d+; onward .* knows schemas up to .* not touched"):
        use(str(newer))

    assert {name: (newer.parent / name).read_bytes() for name in before} == before


_SECOND = "CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT;\nALTER TABLE memo ADD COLUMN later TEXT;"


@pytest.fixture
def second_migration(monkeypatch):
    """This onward has one migration more than the ledgers made before."""
    known = statements.migrations()
    number = known[-1][0] + 1
    return lambda: monkeypatch.setattr(statements, "migrations", lambda: [*known, (number, "later", _SECOND)])


def test_a_migration_that_is_killed_in_the_middle_completes_at_the_next_open(tmp_path, second_migration):
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    fill(ledger, 20)
    told = answers(ledger)
    ledger.close()
    finish(start(
        f"""
        import os, signal, sys
        from onward.ledger import statements
        from onward.ledger.sqlite import SqliteLedger
        known = statements.migrations()
        sql = {_SECOND!r} + "SELECT kill();"
        statements.migrations = lambda: [*known, (known[-1][0] + 1, "later", sql)]
        import onward.ledger.sqlite_file as file
        before = file.connect
        def connect(path, *, writes):
            db = before(path, writes=writes)
            db.create_scalar_function("kill", lambda: os.kill(os.getpid(), signal.SIGKILL))
            return db
        file.connect = connect
        SqliteLedger(sys.argv[1])
        """, path,
    ))
    reader = SqliteLedger(path, writes=False)
    assert answers(reader) == told
    reader.close()

    second_migration()
    assert upgrade(path) == [f"{migrate.latest():03}"]

    ledger = SqliteLedger(path)
    assert answers(ledger) == told
    assert list(ledger._db.execute("SELECT count(*) FROM later")) == [(0,)]
    ledger.close()
    assert upgrade(path) == []


def test_an_older_ledger_is_not_read_as_if_it_were_new(tmp_path, second_migration):
    path = str(tmp_path / "ledger.db")
    SqliteLedger(path).close()
    before = Path(path).read_bytes()

    second_migration()
    with pytest.raises(LedgerError, match="onward ledger migrate"):
        SqliteLedger(path, writes=False)

    assert Path(path).read_bytes() == before


@pytest.fixture
def first_schema(tmp_path):
    """A ledger that an onward with schema 1 wrote (`fill` with 30 items, and two rows to publish), and what it held."""
    path = tmp_path / "ledger.db"
    old = Path(__file__).parent / "old"
    path.write_bytes(lzma.decompress((old / "schema_1.db.xz").read_bytes()))
    shutil.copy(old / "schema_1.db.head", f"{path}.head")
    same = MemoryLedger()
    same.uuid = "ed8ba529-c396-4e35-bfb4-17d468ab4b24"
    job = fill(same, 30)
    with same.transaction(job.id, now=NOW) as tx:
        tx.put(a_publish(7, None, kind="quarantine", staged="s", output="o"))
        tx.put(a_publish(9, 2))
    return str(path), same


def without_bytes(ledger):
    """Rows had a column less when they were written, so the bytes of their entries, and the hashes, are others."""
    told = answers(ledger, with_hashes=False)
    for one in told.values():
        if isinstance(one, dict):
            one["journal"] = [entry[:-1] for entry in one["journal"]]
    return told


def test_a_ledger_of_the_first_schema_is_brought_up_to_date_with_every_row(first_schema):
    path, same = first_schema

    assert upgrade(path) == [f"{number:03}" for number in range(2, migrate.latest() + 1)]

    ledger = SqliteLedger(path)
    assert without_bytes(ledger) == without_bytes(same)
    with ledger.transaction(1, now=NOW) as tx:
        tx.put(a_publish(9, 2, kind="retract"))
        tx.put(a_control(1, 1))
        tx.put(a_version(1, 9, 1, facts='{"rows": 3}'))
        tx.put(a_document(1, 1))
        tx.put(a_validity(1, NOW, 1))
    assert [row for _, row in ledger.tree_at(1, NOW)] == [a_validity(1, NOW, 1)]
    assert [row.kind for row in ledger.publishes(1)] == ["quarantine", "retract"]
    ledger.close()
    reader = SqliteLedger(path, writes=False)
    assert [one for one in check(reader, [1], {}) if isinstance(one, Finding)] == []
    reader.close()


def test_a_ledger_of_the_first_schema_with_a_damaged_table_is_rebuilt_from_its_journal(first_schema):
    path, same = first_schema

    assert rebuild(path)["lost_entries"] == 0

    ledger = SqliteLedger(path)
    assert without_bytes(ledger) == without_bytes(same)
    ledger.close()


def test_a_migration_waits_for_those_who_have_the_older_ledger_open(tmp_path, second_migration, monkeypatch):
    path = str(tmp_path / "ledger.db")
    old = SqliteLedger(path)
    monkeypatch.setattr("onward.ledger.sqlite_file._BUSY_MS", 100)

    second_migration()
    with pytest.raises(LedgerError, match="in use"):
        SqliteLedger(path)

    old.close()
    SqliteLedger(path).close()


def test_a_backup_while_another_process_writes_is_whole(tmp_path):
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    fill(ledger, 200)
    writer = start(
        """
        import sys
        from ledger_rows import NOW, an_item
        from onward.ledger.sqlite import SqliteLedger
        ledger = SqliteLedger(sys.argv[1])
        print("go", flush=True)
        for number in range(300):
            with ledger.transaction(1, now=NOW) as tx:
                tx.put(an_item(tx.allocate("item"), 1, 1, key=f"while-{number:03}"))
        ledger.close()
        """, path,
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    for number in range(3):
        facts = copy(path, str(tmp_path / f"backup-{number}.db"))
        assert facts["size_bytes"] == os.path.getsize(str(facts["file"]))
    finish(writer)

    for number in range(3):
        found = describe(str(tmp_path / f"backup-{number}.db"))
        assert found["page_errors"] == found["chain_errors"] == []
        backup = SqliteLedger(str(tmp_path / f"backup-{number}.db"), writes=False)
        known, whole = first(backup, 1, 999), first(ledger, 1, 999)
        assert known == [key for key in whole if key in set(known)]
        assert backup.head(1).seq == len(known) - 200 + 2 + 30
        backup.close()
    ledger.close()


def test_a_backup_has_page_checksums_of_its_own(tmp_path):
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    fill(ledger, 50)
    ledger.close()
    copy(path, str(tmp_path / "backup.db"))
    size = os.path.getsize(tmp_path / "backup.db")

    for at in range(4096 + 300, size, 4096 * 3):
        shutil.copyfile(tmp_path / "backup.db", tmp_path / "flipped.db")
        with open(tmp_path / "flipped.db", "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 4]))
        with pytest.raises(LedgerDamaged):
            describe(str(tmp_path / "flipped.db"))


def test_a_backup_never_overwrites(opened, tmp_path):
    (tmp_path / "precious").write_text("mine")

    with pytest.raises(LedgerError, match="never overwrites"):
        opened().backup(str(tmp_path / "precious"))

    assert (tmp_path / "precious").read_text() == "mine"


def test_a_backup_that_cannot_be_written_names_its_target(opened, tmp_path):
    with pytest.raises(LedgerError, match="nowhere/backup"):
        opened().backup(str(tmp_path / "nowhere" / "backup"))


def test_rebuild_is_refused_while_another_has_the_ledger_open(tmp_path):
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    fill(ledger, 2)

    with pytest.raises(LedgerError, match="in use"):
        rebuild(path)

    ledger.close()
    rebuild(path)


def test_a_ledger_is_not_opened_while_it_is_being_replaced(tmp_path, monkeypatch):
    path = str(tmp_path / "ledger.db")
    SqliteLedger(path).close()
    monkeypatch.setattr("onward.ledger.sqlite_file._BUSY_MS", 50)

    with FileLock(path + ".lock"):
        for writes in (True, False):
            with pytest.raises(LedgerError, match=rf"in use by process {os.getpid()} on "):
                SqliteLedger(path, writes=writes)

    SqliteLedger(path).close()


@pytest.mark.parametrize("step", ["link", "unlink", "replace", "fsync"])
def test_a_rebuild_that_is_killed_leaves_a_whole_ledger(tmp_path, step):
    """The WAL of the old file holds records when the rebuild begins; no step may lose them."""
    path = tmp_path / "ledger.db"
    finish(start(
        """
        import os, signal, sys
        from ledger_rows import fill
        from onward.ledger.sqlite import SqliteLedger
        ledger = SqliteLedger(sys.argv[1])
        fill(ledger, 30)
        os.kill(os.getpid(), signal.SIGKILL)
        """, path,
    ))
    for count in (1, 2, 3):
        finish(start(
            """
            import os, signal, sys
            from onward.ledger.care import rebuild
            left = int(sys.argv[3])
            real = getattr(os, sys.argv[2])
            def killed(*args, **options):
                global left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **options)
            setattr(os, sys.argv[2], killed)
            rebuild(sys.argv[1])
            """, path, step, count,
        ))
        ledger = SqliteLedger(str(path))
        assert ledger.lost == {}
        assert ledger.count_states(1) == {"succeeded": 30}
        ledger.close()
        assert describe(str(path))["chain_errors"] == []


def test_rebuild_answers_with_what_it_did(tmp_path):
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    fill(ledger, 30)
    told = answers(ledger)
    ledger.close()

    facts = rebuild(path)

    assert facts == {"file": path, "old_file": facts["old_file"], "jobs": 1, "journal_entries": 8, "lost_entries": 0}
    ledger = SqliteLedger(path)
    assert answers(ledger) == told
    fill(ledger, 3, name="next")
    ledger.close()
    old = SqliteLedger(str(facts["old_file"]), writes=False)
    assert answers(old) == told
    old.close()


def test_a_full_or_read_only_head_file_does_not_undo_a_commit(opened, monkeypatch):
    ledger = opened()
    fill(ledger, 1)
    real = os.pwrite

    def full(fd, data, at):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with ledger.transaction(1, now=NOW) as tx:
        tx.put(a_container(2, 1))
    monkeypatch.setattr(os, "pwrite", real)
    ledger.close()

    again = opened()
    assert again.lost == {}
    assert len(again.containers(1)) == 2
