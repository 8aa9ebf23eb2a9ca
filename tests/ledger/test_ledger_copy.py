"""Copying a ledger between a file and a database, both ways: the same record, or nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from ledger_rows import NOW, a_document, a_job, a_validity, answers, fill

from farm import Farm
from onward.errors import JobBusy, LedgerDamaged, LedgerError, NotFound
from onward.ledger import audit
from onward.ledger.archive import archive
from onward.ledger.base import open_audit, open_ledger
from onward.ledger.copy import copy_ledger
from onward.ledger.sqlite import SqliteLedger
from onward.model.record import TABLES
from services.proxy import Proxy


def _everything(where: str) -> dict[str, object]:
    """Return what a ledger tells of itself, caches left out: they are not copied."""
    with closing(open_ledger(where, writes=False)) as ledger:
        told = answers(ledger)
        for value in told.values():
            if isinstance(value, dict):
                value.pop("signature")
                value.pop("archives")
                value.pop("written_last")  # reaches as far back as no archive does
        told.pop("memo")
        return {"uuid": ledger.uuid, "rows": {name: list(ledger.rows_of(name)) for name in TABLES}, **told}


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A ledger in a file with two jobs, one of them archived in part."""
    path = str(tmp_path / "source" / "ledger.db")
    os.mkdir(os.path.dirname(path))
    with closing(SqliteLedger(path)) as ledger:
        fill(ledger, 45)
        job = fill(ledger, 5, name="\0\x01 second")
        with ledger.transaction(job.id, now=NOW) as tx:
            tx.put_memo("a", b"cache")
            for document_id in (1, 2):
                tx.put(a_document(document_id, job.id))
                for at in (3, 1, 2):
                    tx.put(a_validity(document_id, NOW + at, 46, sequence=-at, serial=at))
    archive(path, "filings")
    return path


def test_a_copy_there_and_back_is_the_same_record(file, postgres, tmp_path):
    there = copy_ledger(file, postgres.url)
    back = copy_ledger(postgres.url, str(tmp_path / "back" / "ledger.db"))
    across = copy_ledger(postgres.url, other := postgres.new_database())

    places = [file, postgres.url, str(tmp_path / "back" / "ledger.db"), other]
    assert _everything(places[0]) == _everything(places[1]) == _everything(places[2]) == _everything(places[3])
    assert there["is_new"] is back["is_new"] is across["is_new"] is True
    assert there["journal_entries"] == back["journal_entries"] == 17
    for place in places:
        with open_audit(place) as auditor:
            assert auditor.audit(None, {}).findings == []
    with closing(open_ledger(places[2], writes=False)) as ledger:
        assert ledger.lost == {}


def test_both_go_on_from_the_copied_head(file, postgres):
    copy_ledger(file, postgres.url)

    for where in (file, postgres.url):
        with closing(open_ledger(where)) as ledger:
            fill(ledger, 7, name="after")
            assert audit.problems(ledger, {}) == []

    assert _everything(file)["rows"] == _everything(postgres.url)["rows"]


def test_a_copy_that_is_there_already_is_left_as_it_is(file, postgres, tmp_path):
    target = str(tmp_path / "target.db")
    for place in (postgres.url, target):
        assert copy_ledger(file, place)["is_new"] is True
        assert copy_ledger(file, place)["is_new"] is False


def test_a_target_that_holds_anything_else_is_refused_and_left_alone(file, postgres, tmp_path):
    target = str(tmp_path / "target.db")
    for place in (postgres.url, target):
        with closing(open_ledger(place)) as ledger:
            ledger.create_job(a_job("mine"), now=NOW)
        before = _everything(place)

        with pytest.raises(LedgerError, match="A copy never overwrites"):
            copy_ledger(file, place)

        assert _everything(place) == before


def test_a_source_that_is_not_there_or_not_sound_makes_nothing(file, postgres, tmp_path):
    with pytest.raises(NotFound):
        copy_ledger(str(tmp_path / "none.db"), postgres.url)
    copy_ledger(file, postgres.url)
    with closing(open_ledger(postgres.url)) as ledger:
        ledger.server.ask("UPDATE onward.item SET note = 'forged' WHERE id = 3")

    with pytest.raises(LedgerDamaged, match="item: row 3 is not what the journal says"):
        copy_ledger(postgres.url, str(tmp_path / "target.db"))

    assert not (tmp_path / "target.db").exists()


def test_a_copy_into_a_database_that_was_cut_off_at_its_commit_left_nothing_and_may_be_repeated(file, postgres):
    line = Proxy(postgres.server.port)
    url = postgres.url.replace(f":{postgres.server.port}/", f":{line.port}/")
    line.cut_at(b"COMMIT\0", before=True)
    with pytest.raises(LedgerError):
        copy_ledger(file, url)
    line.close()

    assert line.cuts == 1
    assert copy_ledger(file, postgres.url)["is_new"] is True
    assert _everything(file) == _everything(postgres.url)


@pytest.mark.parametrize("to", ["file", "database"])
def test_a_copy_that_was_killed_may_be_repeated(postgres, tmp_path, to):
    source = str(tmp_path / "source.db")
    with closing(SqliteLedger(source)) as ledger:
        fill(ledger, 400)
    target = str(tmp_path / "target" / "ledger.db") if to == "file" else postgres.url
    code = "import sys; from onward.ledger.copy import copy_ledger; copy_ledger(*sys.argv[1:])"
    killed = 0
    for after_s in (0.1, 0.15, 0.2, 0.25, 0.4, 0.6):
        process = subprocess.Popen([sys.executable, "-c", code, source, target])
        time.sleep(after_s)
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()

    copy_ledger(source, target)

    assert killed >= 1
    assert _everything(source) == _everything(target)
    assert [name for name in os.listdir(tmp_path) if name.endswith(".new")] == []


def test_a_copied_job_goes_on_with_nothing_to_do_in_either_kind_of_state(plant, postgres):
    farm: Farm = plant({"a.txt": "some words\n", "b.txt": "more words\n"})
    farm.run().ok()
    executed = farm.executions()

    farm.onward("ledger", "copy", ".onward", postgres.url).ok()
    in_database = farm.run("--state", postgres.url).ok()
    farm.write("c.txt", "a third\n")
    assert farm.run("--state", postgres.url).ok().counts["processed"] == 1
    farm.onward("ledger", "copy", postgres.url, "back").ok()
    in_folder = farm.run("--state", "back").ok()

    assert in_database.counts["skipped"] == 2
    assert in_folder.counts["skipped"] == 3
    assert farm.executions() == {**executed, "c.txt": 1}
    farm.onward("audit", "verify", "--state", "back").ok()
    assert farm.onward("ledger", "copy", "back", "back").code == 2


def test_a_ledger_is_not_copied_while_a_process_is_at_work_on_it(plant, postgres):
    from onward.engine.batch import held_job
    from onward.engine.commands.copy_ledger import copy_ledger as copy_state

    farm: Farm = plant({"a.txt": "some words\n"})
    farm.run().ok()
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()

    with held_job(farm.workspace, job), pytest.raises(JobBusy):
        copy_state(str(farm.state), postgres.url)

    assert copy_state(str(farm.state), postgres.url)["is_new"] is True
