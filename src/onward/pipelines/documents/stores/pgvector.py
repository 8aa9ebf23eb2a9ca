"""PostgreSQL with the extension pgvector, which is what Supabase runs: reached by its connection string.

Several jobs may share a database: each has a collection of its own, and `?schema=` names the schema, `documents` by
default. There is no index of vectors on purpose: one answers before it filters, and so misses what was true then. No
statement is prepared and nothing is set on the session, so that a pooler may stand in between. A text may hold
anything but NUL, which the parser takes out.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, LiteralString, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from onward import clock
from onward.errors import OutputRefused, OutputUnavailable
from onward.ledger.postgres_connection import is_passing
from onward.ledger.statements import load
from onward.model.secret import without_password
from onward.pipelines.documents.stores.port import Origin, StoredChunk, digest_of, origin_of, refuse_other

__all__ = ["SCHEMA", "PgVectorStore"]

SCHEMA = "documents"
WAIT_VARIABLE = "ONWARD_STORE_WAIT_S"
_WAIT_S = 60.0
_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_AT_ONCE = 1_000
_SQL = load(os.path.join(os.path.dirname(__file__), "pgvector.sql"))
_COLUMNS = {"chunk": {"collection", "id", "heading", "text", "vector"}, "note": {"collection", "name", "value"}}
_GONE = ("42P01", "3F000", "42703")
_DEFAULTS = {"application_name": "onward", "connect_timeout": "5", "keepalives_idle": "10", "keepalives_interval": "5"}

T = TypeVar("T")


class PgVectorStore:
    """See the module.

    Args:
        url: `postgresql://...`, with `?schema=NAME` for another schema.
        collection: Tells the chunks of one job from those of another.

    Raises:
        OutputRefused: The URL is none, or its schema is no name for one.
    """

    def __init__(self, url: str, collection: str) -> None:
        self._url, self._schema = _split(url)
        self._collection = collection
        self._shown = without_password(self._url)
        self._vector = "public"
        self._db: psycopg.Connection[tuple[Any, ...]] | None = None

    def open(self, *, writes: bool) -> bool:
        """Connect, and make the tables where they are not and `writes` is set."""
        try:
            was_there = self._open(writes=writes)
        except BaseException:
            self.close()
            raise
        if not was_there and not writes:
            self.close()
        return was_there

    def _open(self, *, writes: bool) -> bool:
        if writes:
            self._do(self._make)
        there = self._do(lambda db: db.execute(_SQL["tables"].encode(), {"schema": self._schema}).fetchone())
        if there is None or there[0] < 2:
            return False
        found = self._do(lambda db: db.execute(_SQL["where_extension"].encode()).fetchone())
        self._vector = str(found[0]) if found is not None else "public"
        has_any = self._ask("has_any")
        return bool(has_any[0][0])

    def _make(self, db: psycopg.Connection[tuple[Any, ...]]) -> None:
        db.execute(_SQL["only_one_makes"].encode(), {"schema": self._schema})
        for table, columns in db.execute(_SQL["columns"].encode(), {"schema": self._schema}).fetchall():
            if set(columns) != _COLUMNS[table]:
                msg = (
                    f"The schema '{self._schema}' of '{self._shown}' has a table '{table}' that is not ours. Name "
                    "another schema: ?schema=NAME."
                )
                raise OutputRefused(msg)
        if db.execute(_SQL["where_extension"].encode()).fetchone() is None:
            db.execute(_SQL["extension"].encode())
        found = db.execute(_SQL["where_extension"].encode()).fetchone()
        assert found is not None, "it was just made"
        self._vector = str(found[0])
        counted = db.execute(_SQL["tables"].encode(), {"schema": self._schema}).fetchone()
        if counted is None or counted[0] < 2:
            db.execute(self._statement("schema"))

    def agree(self, origin: Origin) -> None:
        """Remember who fills it, or see that it is the same."""
        known = self.origin()
        if known is None:
            names, values = zip(*origin._asdict().items(), strict=True)
            self._ask("put_notes", names=list(names), values=[str(value) for value in values])
        else:
            refuse_other(f"{self._shown} ({self._collection})", known, origin)

    def origin(self) -> Origin | None:
        """Return who fills it."""
        return origin_of({str(name): value for name, value in self._ask("notes")})

    def count(self) -> int:
        """Return how many chunks there are."""
        return int(self._ask("count")[0][0])

    def upsert(self, chunks: Sequence[StoredChunk]) -> None:
        """Hold these chunks."""
        for start in range(0, len(chunks), _AT_ONCE):
            some = {chunk.id: chunk for chunk in chunks[start : start + _AT_ONCE]}.values()
            self._ask(
                "put_chunks", ids=[chunk.id for chunk in some], headings=[chunk.heading for chunk in some],
                texts=[chunk.text for chunk in some], vectors=[_spelled(chunk.vector) for chunk in some],
            )

    def delete(self, ids: Sequence[str]) -> None:
        """Hold these chunks no more."""
        for start in range(0, len(ids), _AT_ONCE):
            self._ask("drop_chunks", ids=list(ids[start : start + _AT_ONCE]))

    def digests(self) -> Iterator[tuple[str, bytes]]:
        """Return id and digest of every chunk, by id."""
        after = ""
        while rows := self._ask("chunks", after=after, limit=_AT_ONCE):
            for one, heading, text, vector in rows:
                yield str(one), digest_of(StoredChunk(str(one), str(heading), str(text), _native(bytes(vector))))
            after = str(rows[-1][0])

    def mark(self) -> bytes:
        """Return how many statements have written to the schema, and how many chunks there are."""
        (found,) = self._ask("mark", table=f'"{self._schema}".chunk')
        return " ".join(str(one) for one in found if one is not None).encode()

    def nearest(self, vector: bytes, among: Collection[str] | None, limit: int) -> list[tuple[str, float]]:
        """Have the server compare with every chunk that counts."""
        spelled = _spelled(vector)
        if among is None:
            rows = self._ask("nearest", vector=spelled, limit=limit)
        else:
            rows = self._ask("nearest_among", vector=spelled, limit=limit, ids=list(among))
        # A vector of zeros, which none of ours is, has no direction.
        return [(str(one), float(cosine)) for one, cosine in rows if not math.isnan(cosine)]

    def close(self) -> None:
        """Let go of the connection."""
        if self._db is not None:
            self._db.close()
        self._db = None

    # -- one transaction each

    def _statement(self, name: str) -> sql.Composed:
        text: LiteralString = _SQL[name]
        return sql.SQL(text).format(schema=sql.Identifier(self._schema), vector=sql.Identifier(self._vector))

    def _ask(self, name: str, /, **values: object) -> list[tuple[Any, ...]]:
        statement = self._statement(name)

        def work(db: psycopg.Connection[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
            cursor = db.execute(statement, {"collection": self._collection, **values})
            return cursor.fetchall() if cursor.description is not None else []

        return self._do(work)

    def _do(self, work: Callable[[psycopg.Connection[tuple[Any, ...]]], T]) -> T:
        """Do something in a transaction of its own; when the server is away, wait for it and do it again."""
        began = clock.monotonic()
        tried = 0
        while True:
            try:
                if self._db is None or self._db.closed:
                    self._db = psycopg.connect(self._url, prepare_threshold=None, **_DEFAULTS)  # type: ignore[arg-type]
                with self._db.transaction():
                    return work(self._db)
            except psycopg.OperationalError as error:
                self.close()
                waited = clock.monotonic() - began
                if not is_passing(error):
                    raise self._refused(error) from None
                if waited > _wait_s():
                    msg = (
                        f"The store '{self._shown}' was not to be had for {waited:.0f} s ({self._said(error)}). What "
                        "was committed is delivered by the next run."
                    )
                    raise OutputUnavailable(msg) from None
            except (psycopg.InterfaceError, psycopg.InternalError) as error:
                self.close()
                if clock.monotonic() - began > _wait_s():
                    raise OutputUnavailable(f"The store '{self._shown}' failed: {self._said(error)}.") from None
            except psycopg.Error as error:
                raise self._refused(error) from None
            time.sleep(_PAUSES_S[min(tried, len(_PAUSES_S) - 1)])
            tried += 1

    def _refused(self, error: psycopg.Error) -> OutputRefused | OutputUnavailable:
        said = self._said(error)
        if (error.sqlstate or "")[:2] in ("53", "58"):
            return OutputUnavailable(f"The store '{self._shown}' cannot take more: {said}.")
        if "vector" in said and ("extension" in said or "type" in said or (error.sqlstate or "") == "58P01"):
            return OutputRefused(
                f"The database '{self._shown}' has no extension 'vector' ({said}). Install pgvector on its server and "
                "have its owner say CREATE EXTENSION vector."
            )
        if error.sqlstate in _GONE:
            return OutputUnavailable(
                f"The tables in schema '{self._schema}' of '{self._shown}' are not what they were ({said}). Run again: "
                "what is missing is made and filled anew."
            )
        if isinstance(error, psycopg.DataError):
            return OutputRefused(f"The database '{self._shown}' cannot hold what it was given: {said}.")
        return OutputRefused(f"The database '{self._shown}' refuses: {said}. See user, password, database and rights.")

    def _said(self, error: Exception) -> str:
        lines = [line.strip() for line in without_password(str(error)).splitlines() if line.strip()]
        return (lines[0] if lines else type(error).__name__).rstrip(".")


def _wait_s() -> float:
    try:
        return float(os.environ.get(WAIT_VARIABLE, _WAIT_S))
    except ValueError:
        return _WAIT_S


def _spelled(vector: bytes) -> str:
    import numpy as np

    # The shortest decimal that reads back as the same float32.
    return "[" + ",".join(map(str, np.frombuffer(vector, dtype="<f4"))) + "]"


def _native(sent: bytes) -> bytes:
    """Return a vector as we have it: the server sends its length, and big-endian numbers."""
    import numpy as np

    return np.frombuffer(sent, dtype=">f4", offset=4).astype("<f4").tobytes()


def _split(url: str) -> tuple[str, str]:
    """Return a URL as the driver takes it, and the schema."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")  # its message may hold the password
    if parts.scheme not in ("postgresql", "postgres"):
        shown = without_password(url)
        msg = f"The output '{shown}' is no PostgreSQL database. Write postgresql://USER@HOST:PORT/DATABASE."
        raise OutputRefused(msg)
    pieces = parts.query.split("&") if parts.query else []
    named = [unquote(piece.partition("=")[2]) for piece in pieces if piece.startswith("schema=")]
    schema = named[-1] if named else SCHEMA
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema) or schema.startswith("pg_"):
        msg = f"'{schema}' is no name for a schema: write small letters, digits and '_', 63 at most: ?schema=docs."
        raise OutputRefused(msg)
    rest = "&".join(piece for piece in pieces if not piece.startswith("schema="))
    return urlunsplit(parts._replace(query=rest)), schema
