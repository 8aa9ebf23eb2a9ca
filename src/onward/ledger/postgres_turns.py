"""Turns to ask an outside service, where many processes share one PostgreSQL ledger; see `ledger.base.Turns`.

A row with an end by the server's clock, and no lock of a session: a pooler may stand in between.
"""

from __future__ import annotations

import os
from contextlib import suppress

import psycopg

from onward.ledger import postgres_sql
from onward.ledger.postgres_connection import Server

_TURN_S = 60.0


class PostgresTurns:
    """The turns of one process."""

    def __init__(self, server: Server, *, turn_s: float = _TURN_S) -> None:
        self._server = server
        self._turn_s = turn_s
        self._me = f"{os.uname().nodename}/{os.getpid()}/{os.urandom(8).hex()}"
        self._sql = postgres_sql.load()

    def take(self, digest: bytes) -> bool:
        """Take or keep the turn to ask a question; False while another process has it."""
        return bool(self._server.ask(self._sql["take_turn"], (digest, self._me, self._turn_s)))

    def give_back(self, digest: bytes) -> None:
        """Let others ask."""
        # Where the server is away, the turn ends by itself.
        with suppress(psycopg.Error), self._server.lent() as db:
            db.execute(self._sql["give_turn_back"].encode(), (digest, self._me))
