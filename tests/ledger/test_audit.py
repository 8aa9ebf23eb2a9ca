"""An audit finds every edit, deletion, insertion and change of order, and says where and what; nothing else is found.

Whoever tampers here has the right tools: the file's page checksums agree afterwards, and where a test says so the
hashes of the journal do as well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_rows import NOW, a_control, a_document, a_validity, fill

from onward.errors import LedgerDamaged
from onward.ledger import journal
from onward.ledger.auditor import opened
from onward.ledger.base import Anchor, Audit, Entry, Finding
from onward.ledger.journal import chain, pack, unpack
from onward.ledger.sqlite import SqliteLedger
from onward.ledger.sqlite_file import register_vfs
from onward.model.record import TABLES, Publish

ITEMS = 60
ENTRIES = 2 + 3 * 6


def a_ledger(folder: Path, name: str = "ledger.db") -> str:
    path = str(folder / name)
    ledger = SqliteLedger(path)
    fill(ledger, ITEMS, group=10)
    ledger.close()
    return path


@pytest.fixture
def filled(tmp_path: Path) -> str:
    """A closed ledger; its one job has twenty journal entries."""
    return a_ledger(tmp_path)


def tamper(path: str, *statements: str, keeps_head: bool = False) -> None:
    """Change rows so that the page checksums agree; without the head file, which would tell of the last entry."""
    register_vfs()
    db = apsw.Connection(path, vfs="cksmvfs")
    db.pragma("foreign_keys", 0)
    for statement in statements:
        db.execute(statement)
    db.close()
    if not keeps_head:
        os.unlink(path + ".head")


def audited(path: str, job_id: int | None = None, anchors: dict[int, list[Anchor]] | None = None) -> Audit:
    with opened(path) as auditor:
        return auditor.audit(job_id, anchors or {})


def of_journal(audit: Audit) -> list[Finding]:
    return [finding for finding in audit.findings if not finding.kind.startswith("row-")]


def entries_of(path: str) -> list[Entry]:
    ledger = SqliteLedger(path, writes=False, believes_end=True)
    entries = list(ledger.journal(1))
    ledger.close()
    return entries


def anchor(path: str, seq: int, where: str = "the test") -> Anchor:
    return Anchor(seq, entries_of(path)[seq - 1].hash, where)


def rewrite(path: str, entries: list[Entry]) -> None:
    """Put these entries in the place of the journal, renumbered, with all their hashes made to fit."""
    register_vfs()
    db = apsw.Connection(path, vfs="cksmvfs")
    uuid = db.execute("SELECT uuid FROM identity").get
    db.execute("DELETE FROM journal")
    before = b""
    for seq, entry in enumerate(entries, start=1):
        before = chain(uuid, 1, before, seq, entry.recorded_at, entry.payload)
        db.execute("INSERT INTO journal VALUES (?,?,?,?,?)", (1, seq, entry.recorded_at, pack(entry.payload), before))
    db.close()
    os.unlink(path + ".head")


# -- nothing is found where nothing was done


def test_a_ledger_that_nobody_touched_is_whole(filled):
    found = audited(filled)

    (job,) = found.jobs
    assert found.findings == []
    assert found.total == 0
    assert (job.name, job.head.seq, job.broken_at) == ("filings", ENTRIES, None)
    assert job.recorded_at == entries_of(filled)[-1].recorded_at


def test_every_anchor_that_agrees_is_counted(filled):
    anchors = [anchor(filled, seq) for seq in (3, 9, 9, ENTRIES)]

    found = audited(filled, anchors={1: anchors})

    assert found.findings == []
    assert found.jobs[0].anchors == 5  # and the head file


def test_two_jobs_are_followed_each_for_itself(tmp_path):
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    fill(ledger, 10)
    fill(ledger, 10, name="articles")
    ledger.close()
    tamper(path, "DELETE FROM journal WHERE job_id = 2 AND seq = 3", "UPDATE item SET note = 'x' WHERE id = 15")

    both, first, second = audited(path), audited(path, 1), audited(path, 2)

    assert [(job.name, job.broken_at) for job in both.jobs] == [("filings", None), ("articles", 3)]
    assert first.findings == []
    assert (second.findings[0].job_id, second.findings[0].kind) == (2, "deleted")
    assert any("row 15 " in finding.what for finding in second.findings)


def test_an_audit_sees_one_moment_while_others_write(filled):
    with opened(filled) as auditor:
        seen = auditor.names()
        writer = SqliteLedger(filled)
        job = writer.jobs()[0]
        with writer.transaction(job.id, now=NOW) as tx:
            tx.put(a_control(tx.allocate("control"), job.id))
        writer.close()

        found = auditor.audit(None, {})

    assert seen == {1: "filings"}
    # The head file, which is no part of that moment, is one entry further on.
    assert [(one.kind, one.seq) for one in found.findings] in ([], [("cut", ENTRIES + 1)])
    assert found.jobs[0].head.seq == ENTRIES
    assert audited(filled).findings == []


# -- the journal


EMPTY = "CAST('[]' AS BLOB)"


def make_room(seq: int) -> list[str]:
    return [
        f"UPDATE journal SET seq = seq + 10001 WHERE seq >= {seq}",
        "UPDATE journal SET seq = seq - 10000 WHERE seq > 10000",
    ]


def swap(one: int, other: int) -> list[str]:
    return [
        f"UPDATE journal SET seq = 999 WHERE seq = {one}", f"UPDATE journal SET seq = {one} WHERE seq = {other}",
        f"UPDATE journal SET seq = {other} WHERE seq = 999",
    ]


@pytest.mark.contract("S0-048", "X-25")
@pytest.mark.parametrize(
    ("statements", "kind", "seq", "last_seq", "what"),
    [
        ([f"UPDATE journal SET payload = {EMPTY} WHERE seq = 4"], "edited", 4, 4, "entry 4 does not match its hash"),
        (["UPDATE journal SET payload = x'00ff' WHERE seq = 4"], "edited", 4, 4, "entry 4 does not match its hash"),
        (["UPDATE journal SET recorded_at = 1 WHERE seq = 7"], "edited", 7, 7, "entry 7 does not match its hash"),
        (["UPDATE journal SET hash = zeroblob(32) WHERE seq = 20"], "edited", 20, 20, "entry 20 does not match"),
        ([f"UPDATE journal SET payload = {EMPTY} WHERE seq = 1"], "edited", 1, 1, "entry 1 does not match its hash"),
        (["DELETE FROM journal WHERE seq = 5"], "deleted", 5, 5, "entry 5 is missing; the next one found is 6"),
        (["DELETE FROM journal WHERE seq BETWEEN 5 AND 8"], "deleted", 5, 8, "entries 5 to 8 are missing"),
        (["DELETE FROM journal WHERE seq < 3"], "deleted", 1, 2, "entries 1 to 2 are missing; the next one found is 3"),
        (
            ["DELETE FROM journal WHERE seq = 5", "UPDATE journal SET seq = seq - 1 WHERE seq > 5"], "deleted", 5, 5,
            "1 entry was deleted before entry 5, and the later ones numbered anew",
        ),
        (
            ["DELETE FROM journal WHERE seq IN (5, 6, 7)", "UPDATE journal SET seq = seq - 3 WHERE seq > 7"],
            "deleted", 5, 5, "3 entries were deleted before entry 5, and the later ones numbered anew",
        ),
        (
            [*make_room(6), f"INSERT INTO journal VALUES (1, 6, 1, {EMPTY}, zeroblob(32))"],
            "inserted", 6, 6, "entry 6 was inserted",
        ),
        (swap(6, 7), "reordered", 6, 7, "entries 6 to 7 are not in the order in which they were written"),
        (swap(3, 12), "reordered", 3, 12, "entries 3 to 12 are not in the order in which they were written"),
        (["UPDATE journal SET seq = 25 WHERE seq = 20"], "reordered", 25, 25, "entry 20 has the number 25"),
        ([f"INSERT INTO journal VALUES (1, 21, 1, {EMPTY}, zeroblob(32))"], "edited", 21, 21,
         "entry 21 does not match its hash: it was edited or added, or entry 20 was replaced"),
    ],
    ids=[
        "edit", "junk", "time", "hash of the last", "edit the first", "delete", "delete four", "behead",
        "delete, close the gap", "delete three, close the gap", "insert", "swap", "swap far apart", "renumber",
        "append",
    ],
)
def test_what_was_done_to_the_journal_is_found_and_named(filled, statements, kind, seq, last_seq, what):
    recorded = {entry.seq: entry.recorded_at for entry in entries_of(filled)}
    tamper(filled, *statements)

    found = of_journal(audited(filled))

    assert [(one.kind, one.seq, one.last_seq) for one in found] == [(kind, seq, last_seq)]
    assert found[0].what.startswith(what)
    assert found[0].recorded_at in {1, *recorded.values()}
    assert audited(filled).jobs[0].broken_at == seq


def test_an_inserted_entry_whose_hash_fits_is_found_by_the_one_it_pushed_aside(filled):
    entries = entries_of(filled)
    with opened(filled) as auditor:
        uuid = auditor.uuid
    forged = chain(uuid, 1, entries[4].hash, 6, NOW, b"[]")
    tamper(filled, *make_room(6), f"INSERT INTO journal VALUES (1, 6, {NOW}, {EMPTY}, x'{forged.hex()}')")

    (found,) = of_journal(audited(filled))

    assert (found.kind, found.seq, found.last_seq, found.what) == ("inserted", 6, 6, "entry 6 was inserted")


def test_an_entry_that_was_replaced_with_its_hash_is_found_at_the_next_one(filled):
    entries = entries_of(filled)
    with opened(filled) as auditor:
        uuid = auditor.uuid
    forged = chain(uuid, 1, entries[4].hash, 6, NOW, b"[]")
    tamper(filled, f"UPDATE journal SET recorded_at = {NOW}, payload = {EMPTY}, hash = x'{forged.hex()}' WHERE seq = 6")

    (found,) = of_journal(audited(filled))

    assert found.kind == "edited"
    assert found.what == "entry 7 does not match its hash: it was edited, or entry 6 was replaced"


def test_several_breaks_are_found_each_at_its_place(filled):
    tamper(
        filled, "UPDATE journal SET recorded_at = 1 WHERE seq = 3", "DELETE FROM journal WHERE seq = 9",
        *swap(14, 15),
    )

    found = of_journal(audited(filled))

    assert [(one.kind, one.seq) for one in found] == [("edited", 3), ("deleted", 9), ("reordered", 14)]


def test_an_edit_shows_which_rows_it_was_about(filled):
    entry = entries_of(filled)[-1]
    ledger = SqliteLedger(filled)
    with ledger.transaction(1, now=NOW) as tx:
        tx.put(ledger.item(7)._replace(state="quarantined", note="check-failed"))
    ledger.close()
    payload = entries_of(filled)[-1].payload.replace(b"quarantined", b"succeeded").replace(b'"check-failed"', b"null")
    tamper(filled, f"UPDATE journal SET payload = x'{payload.hex()}' WHERE seq = {entry.seq + 1}")

    found = audited(filled).findings

    assert [one.kind for one in found] == ["edited", "row-altered"]
    assert found[1].what.endswith(
        "state is 'quarantined', entry 21 says 'succeeded'; note is 'check-failed', entry 21 says None"
    )


# -- against anchors


def test_a_cut_tail_is_found_by_the_head_file(filled):
    tamper(filled, "DELETE FROM journal WHERE seq > 17", keeps_head=True)

    found = of_journal(audited(filled))

    assert [(one.kind, one.seq, one.last_seq) for one in found] == [("cut", 18, 20)]
    assert found[0].what == f"entries 18 to 20 are missing at the end, as '{filled}.head' says"


def test_a_tail_cut_with_its_rows_and_the_head_file_is_found_only_by_an_anchor(filled):
    kept = anchor(filled, ENTRIES, "the report of run 7")
    # The last entry of this ledger confirms ten results; before it they were still to be delivered.
    pending = [row for _, _, row in journal.changes_of(entries_of(filled)[-2]) if isinstance(row, Publish)]
    assert len(pending) == 10
    values = ",".join(
        f"({row.item_id}, '{row.kind}', {row.version}, '{row.staged}', '{row.output}', x'{row.digest.hex()}')"
        for row in pending
    )
    tamper(filled, f"DELETE FROM journal WHERE seq = {ENTRIES}", f"INSERT INTO publish VALUES {values}")

    without, with_one = audited(filled), audited(filled, anchors={1: [kept]})

    assert without.findings == []
    assert [(one.kind, one.seq, one.last_seq) for one in with_one.findings] == [("cut", ENTRIES, ENTRIES)]
    assert with_one.findings[0].what == "entry 20 is missing at the end, as the report of run 7 says"


@pytest.mark.contract("S0-048")
def test_a_history_rewritten_with_all_its_hashes_is_found_and_placed_by_anchors_alone(filled):
    anchors = [anchor(filled, 6, "report 1"), anchor(filled, 13, "report 2"), anchor(filled, 20, "report 3")]
    entries = entries_of(filled)
    entries[8] = entries[8]._replace(recorded_at=entries[8].recorded_at - 3_600_000_000)
    rewrite(filled, entries)

    without, with_three = audited(filled), audited(filled, anchors={1: anchors})

    assert without.findings == []  # nobody can see it from inside
    (found,) = with_three.findings
    assert (found.kind, found.seq, found.last_seq) == ("rewritten", 7, 13)
    assert "as report 2 says" in found.what
    assert (with_three.jobs[0].anchors, with_three.jobs[0].broken_at) == (1, 7)


def test_a_rewritten_history_is_refused_by_the_head_file_as_well(filled):
    head = Path(filled + ".head").read_bytes()
    entries = entries_of(filled)
    entries[8] = entries[8]._replace(recorded_at=1)
    rewrite(filled, entries)
    Path(filled + ".head").write_bytes(head)

    found = audited(filled)

    assert [(one.kind, one.seq, one.last_seq) for one in found.findings] == [("rewritten", 1, 20)]


def test_an_entry_removed_with_all_hashes_made_anew_is_found_by_any_later_anchor(filled):
    kept = anchor(filled, 12)
    entries = entries_of(filled)
    del entries[3]
    rewrite(filled, entries)

    found = of_journal(audited(filled, anchors={1: [kept]}))

    assert [(one.kind, one.seq, one.last_seq) for one in found] == [("rewritten", 1, 12)]


def test_an_anchor_of_another_ledger_is_found(filled):
    kept = anchor(filled, 12)._replace(ledger="a1b2", where="the report of run 9")

    (found,) = audited(filled, anchors={1: [kept]}).findings

    assert found.kind == "other-ledger"
    assert found.what.startswith("the report of run 9 was written by another ledger (a1b2)")


def test_an_anchor_of_a_job_without_any_entry_is_a_cut(filled):
    kept = Anchor(3, b"h" * 32, "the report of run 9")
    tamper(filled, "DELETE FROM journal")

    found = of_journal(audited(filled, anchors={1: [kept]}))

    assert [(one.kind, one.seq, one.last_seq) for one in found] == [("cut", 1, 3)]


# -- the tables


TABLE_EDITS = {
    "job": ("UPDATE job SET status = 'completed'", "row-altered", "status is 'completed', entry 2 says 'running'"),
    "run": ("UPDATE run SET host = 'elsewhere'", "row-altered", "host is 'elsewhere', entry 2 says 'host'"),
    "recipe": ("UPDATE recipe SET parts = '{}'", "row-altered", "parts is '{}'"),
    "container": ("UPDATE container SET key = 'x'", "row-altered", "key is 'x'"),
    "item": ("DELETE FROM item WHERE id = 33", "row-missing", "row 33 is missing; entry 13 wrote it"),
    "attempt": ("UPDATE attempt SET started_at = 5 WHERE item_id = 9", "row-altered", "started_at is 5"),
    "version": (
        "UPDATE version SET digest = zeroblob(32) WHERE item_id = 41", "row-altered",
        "row 41/1 is not what the journal says: digest is 0000",
    ),
    "publish": (
        "INSERT INTO publish VALUES (3, 'output', 1, 's', 'o', zeroblob(32))", "row-added", "no entry wrote it",
    ),
    "control": (
        "INSERT INTO control VALUES (1, 1, 'stop', 'Eve', 'host', 1, '', 1, NULL)", "row-added", "no entry wrote it",
    ),
    "document": (
        "INSERT INTO document VALUES (1, 1, 'a.md')", "row-added", "no entry wrote it",
    ),
    "validity": (
        "INSERT INTO validity VALUES (1, 5, 0, 1, 6, 1, 1, zeroblob(32))", "row-added",
        "row 1/5/0/1 is not what the journal says: no entry wrote it",
    ),
    "receipt": (
        "INSERT INTO receipt VALUES (1, 1, 1, 1, zeroblob(32), '{}', '{}', 0, 0, 0, 1)", "row-added",
        "no entry wrote it",
    ),
}


@pytest.mark.parametrize("table", TABLES)
def test_a_row_that_was_changed_beside_the_journal_is_found_in_every_table(filled, table):
    statement, kind, what = TABLE_EDITS[table]
    tamper(filled, statement, keeps_head=True)

    (found,) = audited(filled).findings

    assert found.kind == kind
    assert found.what.startswith(f"table {table}: row ")
    assert what in found.what
    assert audited(filled).jobs[0].broken_at is None


def test_every_row_of_a_timeline_is_told_apart_by_all_four_columns_of_its_key(tmp_path):
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    fill(ledger, 10)
    fill(ledger, 10, name="articles")
    for job_id, document_id, item_id in ((1, 1, 1), (2, 2, 11)):
        with ledger.transaction(job_id, now=NOW) as tx:
            tx.put(a_document(document_id, job_id))
            for at in range(8):
                slot = {"sequence": at // 2 % 2, "serial": 1 + at % 2}
                tx.put(a_validity(document_id, NOW + at // 4, item_id, **slot))
    ledger.close()
    assert audited(path).findings == []
    tamper(
        path,
        f"DELETE FROM validity WHERE document_id = 1 AND valid_from = {NOW} AND sequence = 1 AND serial = 2",
        f"UPDATE validity SET number = 5 WHERE document_id = 2 AND valid_from > {NOW} AND sequence + serial = 1",
        f"INSERT INTO validity VALUES (1, {NOW}, 1, 9, {NOW}, 1, 1, NULL)",
        keeps_head=True,
    )

    found = [(one.kind, one.what.partition(" is ")[0].rpartition(" ")[2]) for one in audited(path).findings]
    mine = [one.kind for one in audited(path, 1).findings]

    assert found == [
        ("row-missing", f"1/{NOW}/1/2"), ("row-added", f"1/{NOW}/1/9"), ("row-altered", f"2/{NOW + 1}/0/1"),
    ]
    assert mine == ["row-missing", "row-added"]


def test_a_table_that_was_emptied_is_found_row_by_row_and_counted(filled):
    tamper(filled, "DELETE FROM attempt", "DELETE FROM version")

    found = audited(filled)

    assert found.total == 2 * ITEMS
    assert len(found.findings) == 100
    assert {one.kind for one in found.findings} == {"row-missing"}


def test_rows_of_another_job_do_not_matter_where_one_job_is_asked_about(tmp_path):
    path = str(tmp_path / "ledger.db")
    ledger = SqliteLedger(path)
    fill(ledger, 10)
    fill(ledger, 10, name="articles")
    ledger.close()
    tamper(path, "UPDATE version SET size_bytes = 1 WHERE item_id = 12", "UPDATE job SET pipeline = 'x' WHERE id = 2")

    assert audited(path, 1).findings == []
    assert [one.kind for one in audited(path, 2).findings] == ["row-altered"] * 2


# -- any damage at all


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_law_no_change_of_the_journal_goes_unseen(tmp_path_factory, data):
    """Draw any edit of any entry, any deletion, any move and any forged entry; the table or the chain tells."""
    folder = tmp_path_factory.mktemp("law", numbered=True)
    path = _template(folder)
    register_vfs()
    db = apsw.Connection(path, vfs="cksmvfs")
    before = list(db.execute("SELECT * FROM journal ORDER BY seq"))
    seq = data.draw(st.integers(1, ENTRIES))
    match data.draw(st.sampled_from(["byte", "time", "hash", "delete", "move", "forge"])):
        case "byte":
            payload = bytearray(unpack(before[seq - 1][3]))
            payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
            stored = bytes(payload) if payload[:1] == b"[" else pack(bytes(payload).ljust(600))
            db.execute("UPDATE journal SET payload = ? WHERE seq = ?", (stored, seq))
        case "time":
            away = data.draw(st.integers(-(2**40), 2**40))
            db.execute("UPDATE journal SET recorded_at = recorded_at + ? WHERE seq = ?", (away, seq))
        case "hash":
            digest = data.draw(st.binary(min_size=32, max_size=32))
            db.execute("UPDATE journal SET hash = ? WHERE seq = ?", (digest, seq))
        case "delete":
            last = data.draw(st.integers(seq, ENTRIES))
            db.execute("DELETE FROM journal WHERE seq BETWEEN ? AND ?", (seq, last))
            if data.draw(st.booleans()):
                db.execute("UPDATE journal SET seq = seq - ? WHERE seq > ?", (last - seq + 1, last))
        case "move":
            to = data.draw(st.integers(1, 2 * ENTRIES))
            order = [row for row in before if row[1] != seq]
            order.insert(min(to - 1, len(order)), before[seq - 1])
            db.execute("DELETE FROM journal")
            for number, row in enumerate(order, start=1):
                db.execute("INSERT INTO journal VALUES (?,?,?,?,?)", (1, number, *row[2:]))
        case _:
            for statement in make_room(seq):
                db.execute(statement)
            forged = data.draw(st.sampled_from(before))
            db.execute("INSERT INTO journal VALUES (?,?,?,?,?)", (1, seq, *forged[2:]))
    is_changed = list(db.execute("SELECT * FROM journal ORDER BY seq")) != before
    db.close()

    found = audited(path)

    assert bool(found.findings) == is_changed
    shutil.rmtree(folder)


_TEMPLATE: list[Path] = []


def _template(folder: Path) -> str:
    if not _TEMPLATE:
        home = folder.parent / "template"
        home.mkdir()
        _TEMPLATE.append(Path(a_ledger(home)))
    for suffix in ("", ".head"):
        shutil.copyfile(str(_TEMPLATE[0]) + suffix, str(folder / "ledger.db") + suffix)
    return str(folder / "ledger.db")


def test_a_page_that_does_not_match_its_checksum_is_refused_by_name(filled):
    with open(filled, "r+b") as file:
        file.seek(os.path.getsize(filled) - 2000)
        file.write(b"damage" * 20)

    with pytest.raises(LedgerDamaged, match=r"ledger\.db' is damaged"):
        audited(filled)


def test_memory_does_not_grow_with_the_journal(tmp_path):
    script = (
        "import resource, sys\n"
        "from onward.ledger.auditor import opened\n"
        "with opened(sys.argv[1]) as auditor:\n"
        "    found = auditor.audit(None, {})\n"
        "    assert not found.findings, found.findings[0]\n"
        "    print(found.jobs[0].head.seq, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    seen = []
    for entries in (2_000, 60_000):
        path = str(tmp_path / f"{entries}.db")
        long_ledger(path, entries)
        ran = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
        seen.append([int(word) for word in ran.stdout.split()])

    (few, small_kb), (many, large_kb) = seen
    assert (few, many) == (2_002, 60_002)
    # 58,000 entries more; as objects of Python they alone would take over 60 MB.
    assert large_kb - small_kb < 30_000


def long_ledger(path: str, entries: int) -> None:
    """Write a journal of one item an entry, and the rows it tells of, in one transaction."""
    from ledger_rows import a_container, a_job, a_recipe, a_run, a_version, an_attempt, an_item

    ledger = SqliteLedger(path)
    job = ledger.create_job(a_job(), now=NOW)
    with ledger.transaction(job.id, now=NOW) as tx:
        for row in (a_run(1, job.id), a_recipe(1, job.id), a_container(1, job.id)):
            tx.put(row)
    head, uuid = ledger.head(job.id), ledger.uuid
    sql = ledger._sql
    ledger.close()
    os.unlink(path + ".head")
    db = apsw.Connection(path, vfs="cksmvfs")
    with db:
        for item_id in range(1, entries + 1):
            rows = [
                ("item", an_item(item_id, job.id, 1, state="succeeded", version=1, serial=1)),
                ("attempt", an_attempt(item_id, 1, 1, finished_at=NOW, outcome="succeeded")),
                ("version", a_version(item_id, 1, 1)),
            ]
            payload = journal.encode([(name, journal.identity_of(name, row), row) for name, row in rows])
            digest = chain(uuid, job.id, head.hash, head.seq + 1, NOW, payload)
            head = head._replace(seq=head.seq + 1, hash=digest)
            for name, row in rows:
                db.execute(sql[f"put_{name}"], row)
            db.execute(sql["append_journal"], (job.id, head.seq, NOW, pack(payload), digest))
    db.close()
