"""`onward audit`: what it says, where its anchors come from, and what an auditor gets to read."""

from __future__ import annotations

import csv
import io
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import apsw
import pytest

from farm import Farm
from onward.engine.questions import audit_trail
from onward.engine.questions.anchors import given
from onward.errors import NotFound, UsageError
from onward.ledger.journal import chain, pack
from onward.ledger.sqlite import SqliteLedger
from onward.ledger.sqlite_file import register_vfs
from onward.model.record import Document, Validity

HOSTILE = "=HYPERLINK('x') <script>alert(1)<!script> &amp;.txt"


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Farm:
    """A workspace after three runs: new items, a change and a failure with a hostile name, and nothing."""
    farm = Farm.plant(tmp_path_factory.mktemp("audit") / "farm", {"a.txt": "one two", "b.txt": "three four"})
    farm.run().ok()
    farm.write("b.txt", "five six seven")
    farm.write(HOSTILE, "!raise\n")
    assert farm.run().code == 1
    farm.write("c.txt", "eight")
    farm.run()
    return farm


@pytest.fixture
def farm(worked: Farm, tmp_path: Path) -> Farm:
    return worked.copy(tmp_path / "farm")


def tamper(farm: Farm, *statements: str, keeps_head: bool = False) -> None:
    register_vfs()
    db = apsw.Connection(str(farm.state / "ledger.db"), vfs="cksmvfs")
    for statement in statements:
        db.execute(statement)
    db.close()
    if not keeps_head:
        (farm.state / "ledger.db.head").unlink()


def rewrite_hashes(farm: Farm) -> None:
    """Make every hash fit what the entries say now."""
    register_vfs()
    db = apsw.Connection(str(farm.state / "ledger.db"), vfs="cksmvfs")
    uuid = db.execute("SELECT uuid FROM identity").get
    db.close()
    ledger = SqliteLedger(str(farm.state / "ledger.db"), writes=False, believes_end=True)
    entries = list(ledger.journal(1))
    ledger.close()
    before, statements = b"", []
    for entry in entries:
        before = chain(uuid, 1, before, entry.seq, entry.recorded_at, entry.payload)
        statements.append(f"UPDATE journal SET hash = x'{before.hex()}' WHERE seq = {entry.seq}")
    tamper(farm, *statements)


def edit_entry(farm: Farm, seq: int, old: bytes, new: bytes) -> None:
    ledger = SqliteLedger(str(farm.state / "ledger.db"), writes=False)
    entry = ledger.entry(1, seq)
    ledger.close()
    assert entry is not None
    assert old in entry.payload
    payload = pack(entry.payload.replace(old, new))
    tamper(farm, f"UPDATE journal SET payload = x'{payload.hex()}' WHERE seq = {seq}")


def reports(farm: Farm) -> list[Path]:
    return sorted((farm.out / ".runs").glob("*/report.json"))


# -- verify


@pytest.mark.contract("S0-048")
def test_a_record_that_nobody_touched_is_whole_and_every_report_is_an_anchor(farm):
    said = farm.onward("audit", "verify").ok()
    told = farm.onward("audit", "verify", "--json").ok().document

    (job,) = told["jobs"]
    assert "the record is what was written" in said.stdout
    assert (told["is_whole"], told["findings"], told["unreadable"], job["broken_at"]) == (True, [], [], None)
    assert job["anchors"] == 1 + len(reports(farm)) == 4
    assert f"anchor {job['seq']}:{job['head']}" in said.stdout
    assert farm.onward("audit", "verify", job["job"]).ok().stdout == said.stdout


def test_an_edit_is_said_with_job_entry_time_and_kind(farm):
    edit_entry(farm, 4, b'"succeeded"', b'"failed"')
    ledger = SqliteLedger(str(farm.state / "ledger.db"), writes=False)
    name = ledger.jobs()[0].name
    ledger.close()

    said = farm.onward("audit", "verify")
    told = farm.onward("audit", "verify", "--json")

    first = told.document["findings"][0]
    assert (said.code, told.code) == (1, 1)
    assert (first["job"], first["kind"], first["seq"]) == (name, "edited", 4)
    assert f"edited       job {name}, entry 4, recorded {first['recorded_at']}: entry 4 does not match" in said.stdout
    assert "the record is NOT what was written." in said.stdout


def test_a_rewritten_history_is_found_by_the_reports_and_by_nothing_else(farm, tmp_path):
    tamper(farm, "UPDATE journal SET recorded_at = recorded_at - 3600000000 WHERE seq = 4", keeps_head=True)
    rewrite_hashes(farm)

    found = farm.onward("audit", "verify", "--json")
    shutil.move(farm.out / ".runs", tmp_path / "runs")
    without = farm.onward("audit", "verify", "--json")

    (only,) = found.document["findings"]
    assert (found.code, only["kind"]) == (1, "rewritten")
    assert only["seq"] <= 4 <= only["last_seq"]
    assert (without.code, without.document["findings"]) == (0, [])


def test_an_anchor_can_be_a_report_a_text_or_an_earlier_answer(farm, tmp_path):
    report = tmp_path / "kept.json"
    shutil.copyfile(reports(farm)[-1], report)
    earlier = farm.onward("audit", "verify", "--json").ok()
    answer = tmp_path / "answer.json"
    answer.write_text(earlier.stdout)
    (job,) = earlier.document["jobs"]
    text = f"{job['seq']}:{job['head']}"
    wrong = f"{job['seq']}:{'0' * 64}"
    further = f"{job['job']}:{job['seq'] + 2}:{job['head']}"

    three = ("--anchor", str(report), "--anchor", text, "--anchor", str(answer))
    agreed = farm.onward("audit", "verify", *three, "--json")
    differs = farm.onward("audit", "verify", "--anchor", wrong, "--json")
    cut = farm.onward("audit", "verify", "--anchor", further, "--json")

    assert agreed.ok().document["jobs"][0]["anchors"] == job["anchors"] + 3
    assert [(one["kind"], one["last_seq"]) for one in differs.document["findings"]] == [("rewritten", job["seq"])]
    assert [(one["kind"], one["seq"], one["last_seq"]) for one in cut.document["findings"]] == [
        ("cut", job["seq"] + 1, job["seq"] + 2)
    ]


@pytest.mark.parametrize(
    ("anchor", "says"),
    [
        ("nowhere.json", "is neither a file nor SEQ:HASH"),
        ("12:abc", "is neither a file nor SEQ:HASH"),
        ("toy.py", "is not JSON"),
        ("empty.json", "holds no anchor"),
        ("list.json", "is not JSON: it is not an object"),
        ("deep.json", "is not JSON"),
        ("in", "cannot be read: Is a directory"),
        ("nobody:1:" + "0" * 64, "There is no job 'nobody'"),
    ],
)
def test_an_anchor_that_is_none_is_refused_by_name(farm, anchor, says):
    (farm.root / "empty.json").write_text('{"anchor": {"seq": null, "hash": null}}')
    (farm.root / "list.json").write_text("[]")
    (farm.root / "deep.json").write_text("[" * 100_000)

    said = farm.onward("audit", "verify", "--anchor", anchor)

    assert said.code == 2
    assert says in said.stderr
    assert said.stderr.count("\n") == 1


def test_a_report_that_cannot_be_read_is_said_and_is_no_silence(farm):
    reports(farm)[0].write_bytes(b'{"job": "\xff')

    said = farm.onward("audit", "verify")

    assert said.code == 1
    assert "report.json" in said.stdout
    assert "it may have held an anchor" in said.stdout


def test_a_report_left_from_another_ledger_is_found(farm):
    shutil.rmtree(farm.state)
    farm.state.mkdir()
    farm.run()

    said = farm.onward("audit", "verify", "--json")

    assert said.code == 1
    assert {one["kind"] for one in said.document["findings"]} <= {"rewritten", "cut", "other-ledger"}


def test_a_job_or_a_ledger_that_is_not_there_is_said(farm, tmp_path):
    nobody = farm.onward("audit", "verify", "nobody")
    empty = farm.onward("audit", "verify", "--state", str(tmp_path / "nowhere"))

    assert (nobody.code, empty.code) == (2, 2)
    assert "There is no job 'nobody'. Known: toy-in-" in nobody.stderr
    assert "There is no ledger in" in empty.stderr


def test_a_damaged_page_is_refused_by_name(farm):
    path = farm.state / "ledger.db"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = b"damage! " * 8
    path.write_bytes(data)

    said = farm.onward("audit", "verify")

    assert said.code == 1
    assert "ledger.db' is damaged" in said.stderr


def test_archived_entries_stay_part_of_the_chain_and_their_file_is_checked(farm):
    job = farm.onward("audit", "verify", "--json").ok().document["jobs"][0]
    farm.onward("ledger", "archive", job["job"]).ok()
    (file,) = (path for path in (farm.state / "archive").rglob("*") if path.is_file())

    whole = farm.onward("audit", "verify", "--json").ok().document["jobs"][0]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    damaged = farm.onward("audit", "verify")
    file.unlink()
    missing = farm.onward("audit", "verify")

    assert (whole["seq"], whole["anchors"], whole["broken_at"]) == (job["seq"], 4, None)
    assert (damaged.code, missing.code) == (1, 1)
    assert f"{file.name}' is damaged" in damaged.stderr
    assert f"{file.name}' is missing" in missing.stderr


# -- export


def exported(farm: Farm, form: str) -> str:
    done = farm.onward("audit", "export", "--format", form)
    assert done.code == 0, done.stderr
    return done.stdout


@pytest.mark.contract("S0-048", "X-25")
def test_the_trail_holds_every_row_of_every_entry_in_order(farm):
    told = json.loads(exported(farm, "json"))
    with farm.ledger() as ledger:
        job = ledger.jobs()[0]
        entries = list(ledger.journal(job.id))
        rows = [(entry.seq, len(json.loads(entry.payload))) for entry in entries]

    lines = told["lines"]
    assert told["schema"] == "onward.audit-trail/1"
    assert [(seq, sum(1 for line in lines if line["seq"] == seq)) for seq, _ in rows] == rows
    assert [line["seq"] for line in lines] == sorted(line["seq"] for line in lines)
    assert {line["chain"] for line in lines} == {"whole"}


@pytest.mark.contract("X-25")
def test_an_old_value_stays_in_sight_beside_the_new_one(farm):
    lines = json.loads(exported(farm, "json"))["lines"]

    results = [line for line in lines if line["event"] == "result-recorded" and line["subject"] == "b.txt"]
    states = [line["event"] for line in lines if line["subject"] == "b.txt" and line["event"].startswith("item-")]

    assert [one["values"]["number"] for one in results] == [1, 2]
    assert len({one["values"]["digest"] for one in results}) == 2
    assert states == ["item-pending", "item-succeeded", "item-succeeded"]


def test_who_when_and_why_are_told(farm):
    lines = json.loads(exported(farm, "json"))["lines"]
    with farm.ledger() as ledger:
        runs = {run.name: run for run in ledger.runs(1)}

    started = [line for line in lines if line["event"] == "run-started"]
    failed = [line for line in lines if line["event"] == "attempt-failed"]
    tries = {(line["subject"], line["why"]) for line in lines if line["event"] == "attempt-started"}

    assert [line["run"] for line in started] == sorted(runs)
    for line in started:
        run = runs[line["run"]]
        assert line["who"] == json.loads(run.environment)["researcher"]
        assert line["where"] == f"{run.host}:{run.pid}"
    assert failed[0]["what"].startswith("ValueError: ")
    assert ("b.txt", "content-changed") in tries
    assert ("a.txt", "new") in tries
    assert all(line["who"] for line in lines if line["event"] != "job-created")


def test_what_is_said_of_a_document_and_since_when_is_told(farm):
    ledger = SqliteLedger(str(farm.state / "ledger.db"))
    item = next(ledger.known_all(1)).item
    with ledger.transaction(1, now=1) as tx:
        tx.put(Document(1, 1, "guide.md"))
        tx.put(Validity(1, 1_000_000, 3, 1, 1, item.id, 1, b"\xab" * 32))
        tx.put(Validity(1, 2_000_000, 0, 2, 1, item.id, None, None))
    ledger.close()

    *_, document, made, ended = json.loads(exported(farm, "json"))["lines"]

    assert (document["event"], document["subject"]) == ("document-recorded", "guide.md")
    assert (made["event"], made["subject"]) == ("timeline-recorded", item.key)
    assert made["what"] == (
        f"document 1 is sha256:{'ab' * 32} from 1970-01-01T00:00:01.000000+00:00 on (sequence 3, serial 1)"
    )
    assert ended["what"] == "document 1 is no more from 1970-01-01T00:00:02.000000+00:00 on (sequence 0, serial 2)"
    assert made["values"]["valid_from"] == "1970-01-01T00:00:01.000000+00:00"


def test_a_broken_chain_marks_every_line_from_there_on(farm):
    edit_entry(farm, 4, b'"succeeded"', b'"failed"')

    done = farm.onward("audit", "export", "--format", "json")

    told = json.loads(done.stdout)
    assert done.code == 1
    assert told["findings"][0]["seq"] == 4
    assert {line["chain"] for line in told["lines"] if line["seq"] < 4} == {"whole"}
    assert {line["chain"] for line in told["lines"] if line["seq"] >= 4} == {"broken"}


def test_no_cell_of_the_csv_is_a_formula(farm):
    text = exported(farm, "csv")

    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0][:4] == ["job", "seq", "recorded_at", "event"]
    assert {len(row) for row in rows} == {12}
    assert not [cell for row in rows for cell in row if cell.lstrip()[:1] in ("=", "+", "-", "@")]
    assert any(row[7] == f"'{HOSTILE}" for row in rows)
    assert len(rows) - 1 == len(json.loads(exported(farm, "json"))["lines"])


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_html_needs_nothing_from_outside_and_nothing_in_it_runs(farm):
    text = exported(farm, "html")

    page = Tags()
    page.feed(text)
    names = {name for _, attrs in page.seen for name, _ in attrs}
    assert {tag for tag, _ in page.seen}.isdisjoint({"script", "img", "link", "iframe", "object", "b", "a", "form"})
    assert names <= {"lang", "charset", "http-equiv", "content", "class", "colspan"}
    assert "default-src 'none'" in text
    assert HOSTILE in page.text  # escaped, and so there to be read
    assert "Every journal is whole" in page.text


def test_a_file_is_replaced_whole_and_its_ending_says_the_form(farm):
    target = farm.root / "trail.csv"
    target.write_text("old")

    done = farm.onward("audit", "export", "--out", "trail.csv").ok()

    assert done.stdout == ""
    assert target.read_text().startswith('"job","seq","recorded_at"')
    assert [path.name for path in farm.root.glob(".onward-*")] == []


def test_the_library_gives_the_same_facts(farm):
    told = farm.onward("audit", "verify", "--json").ok().document

    with audit_trail.trail(state=str(farm.state)) as found:
        lines = list(found.lines)

    assert found.verified.document() == told
    assert len(lines) == len(json.loads(exported(farm, "json"))["lines"])


def test_an_anchor_in_a_document_takes_its_job_and_ledger_from_what_is_around_it(tmp_path):
    digest = "ab" * 32
    document = {
        "ledger": "l1", "jobs": [{"job": "x", "seq": 3, "head": digest}],
        "anchors": [{"job": "y", "seq": 4, "hash": "sha256:" + digest, "ledger": "l2"}],
    }
    file = tmp_path / "a.json"
    file.write_text(json.dumps(document))

    found = given(str(file))

    assert {job: [(one.seq, one.ledger) for one in anchors] for job, anchors in found.items()} == {
        "x": [(3, "l1")], "y": [(4, "l2")],
    }
    with pytest.raises(UsageError):
        given(str(tmp_path))
    with pytest.raises(NotFound):
        given("0:" + digest)
