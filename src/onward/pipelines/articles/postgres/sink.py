"""Articles as rows of PostgreSQL: each document whole or not there, and an old one replaced whole.

A worker puts its result into `onward_staged` under its token, which makes it durable; when the ledger has it, one
transaction moves it into the tables. Several jobs may write to the same tables, from many machines: every row says
whose it is, and a row gives way to a later attempt only. How results become rows is `rows.py`, how the server
is talked to `database.py`.

What a look at the outputs sees at once: whatever was written to the tables by anybody else, through marks that triggers
leave, and that the database was emptied. What only `verify` sees: a restored backup, and what was done with triggers
switched off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

from onward.engine.sink import Staged
from onward.errors import OutputUnavailable, UsageError
from onward.model.item import is_evidence, printable
from onward.model.secret import without_password
from onward.pipelines.articles.postgres import rows
from onward.pipelines.articles.postgres.url import parsed, split_schema

if TYPE_CHECKING:
    from onward.pipelines.articles.postgres.database import Ask, Database

__all__ = ["PostgresArticles", "postgres_articles"]

SCHEMES = ("postgresql", "postgres")
_AS_LEFT = b"as-left"
_TOUCHED = b"touched"
_AT_ONCE = 10_000
_READ_AT_ONCE = 64


def postgres_articles() -> PostgresArticles:
    """Return a sink that writes articles into the tables of a database, named by `--out postgresql://...`.

    `?schema=NAME` chooses the schema, `articles` by default; it and its tables are made when they are missing.
    A result that is no object, or holds what PostgreSQL or JSON has no word for, fails its item: `result-invalid`.
    """
    return PostgresArticles()


class PostgresArticles:
    """See `postgres_articles`; many processes may write at the same time."""

    names_by_stem = False
    has_one_writer = False

    def __init__(self) -> None:
        self._job = ""
        self._database: Database | None = None
        self._may_write = False
        self._is_there = False
        self._moves: dict[str, str | None] = {}
        self._clusters: Mapping[str, str] | None = None

    # -- where

    def check(self, out: str) -> None:
        """Raise `UsageError` when `out` is no URL of a PostgreSQL database, or the driver is not installed."""
        if parsed(out).scheme not in SCHEMES:
            msg = (
                f"The output '{printable(without_password(out))}' is no PostgreSQL database. "
                "Write postgresql://USER@HOST:PORT/DATABASE, or name a file that ends in '.jsonl'."
            )
            raise UsageError(msg)
        if find_spec("psycopg") is None:
            msg = "Results in PostgreSQL need 'psycopg': pip install 'onward[postgres]'."
            raise UsageError(msg)
        split_schema(out)

    def belongs_to(self, job: str) -> None:
        """Be told whose results these are."""
        self._job = job

    def prepare(self, out: str) -> None:
        """Make the tables, or bring them up to date.

        Raises:
            OutputRefused: The server does not let us in, or something that is not ours is in the way.
            OutputUnavailable: It is not to be had.
        """
        database = self._connect(out)
        database.make_tables()
        database.transaction(lambda ask: ask("add_job", job=self._job))
        self._may_write = self._is_there = True

    def attach(self, out: str) -> None:
        """Look at the tables, making none."""
        self._is_there = self._connect(out).has_tables()

    def _connect(self, out: str) -> Database:
        from onward.pipelines.articles.postgres.database import Database

        self.close()
        self._database = Database(out)
        return self._database

    @property
    def database(self) -> Database:
        """Where the tables are, once prepared."""
        assert self._database is not None, "prepare or attach comes first"
        return self._database

    def close(self) -> None:
        """Let go of the connections."""
        if self._database is not None:
            self._database.close()
        self._database = None
        self._may_write = self._is_there = False
        self._moves = {}

    def output_of(self, key: str) -> str:
        """Return the key, by which the rows are found."""
        return key

    def collision_form(self, output: str) -> str:
        """Return the output: rows of different keys never meet."""
        return output

    # -- staging

    def stage(self, name: str, value: object, *, key: str) -> Staged:
        """Keep a result under its token; durable when this returns."""
        result = rows.normal(value)
        return self._stage(name, rows.canonical(result), rows.stored(result))

    def stage_evidence(self, name: str, document: Mapping[str, object]) -> Staged:
        """Keep the evidence of a quarantined item under its token."""
        spelled = rows.spelled(document)
        return self._stage(name, rows.canonical(spelled), rows.escaped(spelled))

    def _stage(self, name: str, data: bytes, document: str) -> Staged:
        digest = rows.digest_of(data)
        self._write(lambda ask: ask("stage", job=self._job, token=name, digest=digest, document=document))
        return Staged(digest, len(data), 0)

    def sync(self, names: Sequence[str]) -> None:
        """Make sure that staged results are still there; each was committed when it was staged.

        Raises:
            OutputUnavailable: Some are not: the database was emptied or put back.
        """
        if not names:
            return
        found = self._read(lambda ask: ask("staged", job=self._job, tokens=list(names)))
        if len(found) < len(set(names)):
            missing = len(set(names)) - len(found)
            raise OutputUnavailable(
                f"{missing} results that were put into '{self.database.shown}' are not there any more: it was emptied, "
                "or put back to an earlier state. Run again; they are made anew."
            )

    def has_staged(self, name: str, digest: str) -> bool:
        """Say whether a staged result is there with this digest."""
        found = self._read(lambda ask: ask("staged_digest", job=self._job, token=name))
        return bool(found) and found[0][0] == digest

    def drop(self, names: Sequence[str]) -> None:
        """Remove staged results that will not be published."""
        if names:
            self._write(lambda ask: ask("drop_staged", job=self._job, tokens=list(names)))

    def discard(self, wanted: set[str]) -> list[str]:
        """Remove the staged results of this job that nothing wants."""
        found = self._write(lambda ask: ask("discard_staged", job=self._job, wanted=sorted(wanted)))
        return [str(token) for (token,) in found]

    # -- publishing

    def keep_old(self, output: str, recorded: tuple[str, int, int] | None) -> None:
        """Do nothing: what was replaced is not kept."""

    def publish(self, name: str, output: str) -> None:
        """Have a staged result moved to its place by the next `sync_published`."""
        self._moves[output] = name

    def published_before(self, output: str) -> None:
        """Do nothing: what is in its place was committed there."""

    def retract(self, output: str) -> None:
        """Have an output, or evidence, taken away by the next `sync_published`."""
        self._moves[output] = None

    def sync_published(self) -> None:
        """Move and take away everything since the last call, in one transaction.

        Raises:
            OutputUnavailable: The server is away, or a staged result is gone. What was committed stays pending.
        """
        moves, self._moves = self._moves, {}
        if moves:
            self._write(lambda ask: self._move(ask, moves))

    def _move(self, ask: Ask, moves: Mapping[str, str | None]) -> None:
        job = self._job
        gone = [output for output, token in moves.items() if token is None]
        articles = {output: token for output, token in moves.items() if token is not None and not is_evidence(output)}
        evidence = {output: token for output, token in moves.items() if token is not None and is_evidence(output)}
        if gone:
            ask("drop_articles", job=job, keys=sorted(key for key in gone if not is_evidence(key)))
            ask("drop_evidence", job=job, outputs=sorted(output for output in gone if is_evidence(output)))
        done: dict[str, str] = {}
        if articles:
            put = ask("put_articles", job=job, tokens=list(articles.values()), outputs=list(articles))
            done = {str(key): str(token) for key, token in put}
            keys, tokens = list(done), list(done.values())
            ask("drop_entities", job=job, keys=keys)
            ask("drop_events", job=job, keys=keys)
            ask("put_entities", job=job, tokens=tokens, keys=keys)
            ask("put_events", job=job, tokens=tokens, keys=keys)
        if evidence:
            put = ask("put_evidence", job=job, tokens=list(evidence.values()), outputs=list(evidence))
            done.update({str(output): str(token) for output, token in put})
        self._make_sure(ask, {output: token for output, token in (articles | evidence).items() if output not in done})
        ask("drop_touched", job=job, keys=sorted({*gone, *done}))
        ask("drop_staged", job=job, tokens=[token for token in moves.values() if token is not None])
        if articles or gone:
            ask("set_finished", job=job, is_finished=False)

    def _make_sure(self, ask: Ask, left: Mapping[str, str]) -> None:
        """See that what was not moved was moved before, or has given way to a later attempt."""
        if not left:
            return
        found = ask("standing", job=self._job, outputs=list(left))
        standing = {str(output): (token, int(str(serial))) for output, token, serial in found}
        for output, token in left.items():
            there, serial = standing.get(output, ("", -1))
            if there != token and serial <= _serial(token):
                raise OutputUnavailable(
                    f"The result for '{printable(output)}' is not in '{self.database.shown}' any more: it was emptied, "
                    "or put back to an earlier state. Run again; it is made anew."
                )

    def fill_clusters(self, clusters: Mapping[str, str]) -> None:
        """Have the next `finish` say of every event which cluster it is in.

        Args:
            clusters: Id of an event → cluster; an event that is not named is in none.
        """
        self._clusters = clusters

    def finish(self, order: Callable[[], Iterable[str]]) -> None:
        """Take away the rows of keys that have left the job, and fill in the clusters, in one transaction."""
        is_finished = self._read(lambda ask: bool(ask("is_finished", job=self._job)[0][0]))
        if is_finished and self._clusters is None:
            return

        def work(ask: Ask) -> None:
            if not is_finished:
                ask("make_live")
                keys = iter(order())
                while some := list(islice(keys, _AT_ONCE)):
                    ask("add_live", keys=some)
                ask("drop_not_live", job=self._job)
            if self._clusters is not None:
                ask("make_clusters")
                pairs = iter(self._clusters.items())
                while several := list(islice(pairs, _AT_ONCE)):
                    ids, clusters = zip(*several, strict=True)
                    ask("add_clusters", ids=list(ids), clusters=list(clusters))
                ask("fill_clusters", job=self._job)
            ask("set_finished", job=self._job, is_finished=True)

        self._write(work)

    # -- what is there

    def is_taken(self, output: str) -> bool:
        """Say no: a row that stands there is replaced."""
        return False

    def has_published(self, output: str, digest: str) -> bool:
        """Say whether an output is there with this digest; if so, whoever touched it has changed nothing."""
        if self.digests([output]) != [digest]:
            return False
        if self._may_write:
            self._write(lambda ask: ask("drop_touched", job=self._job, keys=[output]))
        return True

    def look_ahead(self, containers: Sequence[str], close_in_child: Callable[[], None]) -> None:
        """Do nothing: one look tells of all containers."""

    def look(self, container: str) -> bytes:
        """Say whether anybody else has written to the rows of this job."""
        if not self._is_there:
            return _TOUCHED
        return _TOUCHED if self._read(lambda ask: ask("is_touched", job=self._job))[0][0] else _AS_LEFT

    def unpack(self, look: bytes, container: str) -> dict[str, bytes]:
        """Return what is there: the same for every key while nobody else has written, else every row of the job."""
        if look == _AS_LEFT:
            return _AllAsLeft()
        if not self._is_there:
            return {}
        found = self._read(lambda ask: ask("keys", job=self._job))
        return {str(key): _TOUCHED if is_touched else _AS_LEFT for key, is_touched in found}

    def pack(self, outputs: Mapping[str, bytes], container: str) -> bytes:
        """Return the look that rows give to which nobody else has written."""
        return _AS_LEFT

    def packed(self, size_bytes: int, mtime_ns: int) -> bytes:
        """Return what a look tells of a row to which nobody else has written."""
        return _AS_LEFT

    def outputs(self) -> Iterator[str]:
        """Return the key of every article of this job."""
        if not self._is_there:
            return iter(())
        return (str(key) for key, _ in self._read(lambda ask: ask("keys", job=self._job)))

    def digests(self, outputs: Sequence[str]) -> list[str | None]:
        """Return the digest of what the rows of each output say now, None where there are none."""
        found: dict[str, str] = {}
        for start in range(0, len(outputs), _READ_AT_ONCE):
            for output, data in self._data(outputs[start : start + _READ_AT_ONCE]).items():
                found[output] = rows.digest_of(data)
        return [found.get(output) for output in outputs]

    def read(self, output: str) -> bytes | None:
        """Return an output in its canonical form, as it was staged: no event has a cluster."""
        return self._data([output]).get(output)

    def _data(self, outputs: Sequence[str]) -> dict[str, bytes]:
        if not self._is_there:
            return {}
        keys = [output for output in outputs if not is_evidence(output)]
        evidence = [output for output in outputs if is_evidence(output)]

        def ask_for(ask: Ask) -> tuple[list[Any], list[Any]]:
            return (
                ask("articles", job=self._job, keys=keys) if keys else [],
                ask("evidence", job=self._job, outputs=evidence) if evidence else [],
            )

        articles, evidences = self._read(ask_for)
        return {
            **{key: rows.canonical(rows.unstored(text)) for key, text in articles},
            **{output: rows.canonical(rows.unescaped(text)) for output, text in evidences},
        }

    # -- one transaction each

    def _read(self, work: Callable[[Ask], Any]) -> Any:
        return self.database.transaction(work, writes=False)

    def _write(self, work: Callable[[Ask], Any]) -> Any:
        return self.database.transaction(work)


class _AllAsLeft(dict[str, bytes]):
    """Says of whatever key that its rows are as they were left."""

    def __missing__(self, key: str) -> bytes:
        return _AS_LEFT

    def get(self, key: str, default: object = None) -> bytes:
        """Return the one answer."""
        return _AS_LEFT


def _serial(token: str) -> int:
    return int(token.split(".")[2])
