from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from onward.ledger.sqlite import SqliteLedger


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., SqliteLedger]]:
    """Open SQLite ledgers that are closed when the test ends."""
    ledgers: list[SqliteLedger] = []

    def open_one(name: str = "ledger.db", **options: bool) -> SqliteLedger:
        ledgers.append(SqliteLedger(str(tmp_path / name), **options))
        return ledgers[-1]

    yield open_one
    for ledger in ledgers:
        ledger.close()
