from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from ledger_rows import NOW, a_container, a_job, a_recipe, a_run

from onward.ledger.base import Ledger, open_ledger
from onward.ledger.memory import MemoryLedger
from onward.ledger.sqlite import SqliteLedger
from onward.model.record import Job


def _memory(_: pytest.FixtureRequest) -> Ledger:
    return MemoryLedger()


def _sqlite(request: pytest.FixtureRequest) -> Ledger:
    return SqliteLedger(str(request.getfixturevalue("tmp_path") / "ledger.db"))


def _postgres(request: pytest.FixtureRequest) -> Ledger:
    return open_ledger(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=[_memory, _sqlite, _postgres], ids=["memory", "sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """A ledger of each kind; every test of this folder runs on all of them."""
    one = request.param(request)
    yield one
    one.close()


@pytest.fixture
def job(ledger: Ledger) -> Job:
    """A job with id 1, and in it a run, a recipe and a container with id 1."""
    created = ledger.create_job(a_job(), now=NOW)
    with ledger.transaction(created.id, now=NOW) as tx:
        tx.put(a_run(1, created.id))
        tx.put(a_recipe(1, created.id))
        tx.put(a_container(1, created.id))
        tx.put(created._replace(run_id=1))
    return created._replace(run_id=1)


@pytest.fixture
def put(ledger: Ledger, job: Job) -> Callable[..., None]:
    """Write rows in one transaction of the job."""

    def write(*rows: object) -> None:
        with ledger.transaction(job.id, now=NOW) as tx:
            for row in rows:
                tx.put(row)

    return write
