from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from onward.ledger.postgres import PostgresLedger
from services.postgres import Postgres
from services.proxy import Proxy


@pytest.fixture
def opened(postgres: Postgres) -> Iterator[Callable[..., PostgresLedger]]:
    """Open ledgers in the test's database, or by another URL; they are closed when the test ends."""
    ledgers: list[PostgresLedger] = []

    def open_one(url: str = "", **options: bool) -> PostgresLedger:
        ledgers.append(PostgresLedger(url or postgres.url, **options))
        return ledgers[-1]

    yield open_one
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def line(postgres: Postgres) -> Iterator[Proxy]:
    """A line to the server that can be cut; `line.url` leads through it to the test's database."""
    one = Proxy(postgres.server.port)
    one.url = postgres.url.replace(f":{postgres.server.port}/", f":{one.port}/")
    yield one
    one.close()
