"""The schema in PostgreSQL: a document that equals its migrations, made whole or not at all, not touched when newer."""

from __future__ import annotations

import multiprocessing
import re
from contextlib import closing

import psycopg
import pytest
from ledger_rows import NOW, a_job, fill

from onward.errors import LedgerDamaged, LedgerError, LedgerTooNew, NotFound
from onward.ledger import postgres_schema, postgres_sql, statements
from onward.ledger.base import open_ledger
from onward.ledger.postgres_connection import Server
from onward.model.record import TABLES
from services.postgres import Postgres

_COLUMNS = """
SELECT table_name, column_name, data_type, collation_name, is_nullable FROM information_schema.columns
WHERE table_schema = 'onward' ORDER BY table_name, ordinal_position
"""
_RULES = """
SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'onward'::regnamespace ORDER BY 1, 2
"""
_INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'onward' ORDER BY 1"


def _shape(url: str) -> list[object]:
    with psycopg.connect(url) as db:
        return [db.execute(sql).fetchall() for sql in (_COLUMNS, _RULES, _INDEXES)]


def _run(url: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as db:
        cursor = db.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def test_the_document_equals_all_migrations_one_after_the_other(postgres: Postgres):
    documented = postgres.new_database()
    _run(documented, statements.read("postgres/schema.sql"))
    with psycopg.connect(postgres.url, autocommit=True) as db:
        for _, _, sql in postgres_sql.migrations():
            db.execute(sql.encode())

    assert _shape(documented) == _shape(postgres.url)
    assert _shape(postgres.url)[0]


def test_every_row_table_has_the_columns_of_its_rows_in_their_order(opened, postgres):
    opened()

    columns: dict[str, list[str]] = {}
    for table, column, *_ in _shape(postgres.url)[0]:
        columns.setdefault(table, []).append(column)

    assert {name: columns[name] for name in TABLES} == {name: list(row._fields) for name, row in TABLES.items()}


def test_the_tables_are_those_of_sqlite_and_text_is_ordered_by_code_point(opened, postgres):
    opened()

    found = _shape(postgres.url)[0]
    sqlite = set(re.findall(r"CREATE TABLE (\w+)", statements.read("schema.sql")))
    assert {table for table, *_ in found} == sqlite | {"job_lease", "distribution", "task", "turn"}
    assert {collation for _, _, kind, collation, _ in found if kind == "text"} == {"C"}


@pytest.mark.parametrize("step", range(1, 6))
def test_a_migration_that_was_killed_leaves_no_half_of_it(opened, postgres, step):
    """The session is ended after the step-th statement of the first migration, as the death of its process ends it."""
    parts = postgres_sql.migrations()[0][2].split(";\n")
    with psycopg.connect(postgres.url) as db:
        db.execute(";\n".join(parts[: step * 3]).encode())
        _run(postgres.url, f"SELECT pg_terminate_backend({db.info.backend_pid})")
        assert _run(postgres.url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'onward'") == [(0,)]
        db.close()

    ledger = opened()

    assert ledger.create_job(a_job(), now=NOW).id == 1


def test_a_migration_whose_server_was_killed_is_applied_by_the_next_who_opens_it(opened, postgres):
    with closing(Server(postgres.url)) as server:
        db = server.take()
        db.execute("BEGIN")
        postgres_schema.make_in(db, "0" * 32)
        postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            db.execute("COMMIT")
        server.give(db)
        postgres.start()

        assert postgres_schema.schema_number(server) == 0
    assert opened().jobs() == []


def _open_and_fill(url: str, name: str) -> None:
    ledger = open_ledger(url)
    fill(ledger, 3, name=name)
    ledger.close()


def test_processes_that_make_it_at_once_make_one(opened, postgres):
    context = multiprocessing.get_context("spawn")
    makers = [context.Process(target=_open_and_fill, args=(postgres.url, f"job-{n}")) for n in range(3)]
    for one in makers:
        one.start()
    for one in makers:
        one.join()

    assert [one.exitcode for one in makers] == [0, 0, 0]
    assert sorted(job.name for job in opened().jobs()) == ["job-0", "job-1", "job-2"]
    assert _run(postgres.url, "SELECT count(*) FROM onward.identity") == [(1,)]


@pytest.mark.parametrize("writes", [True, False])
def test_a_newer_ledger_is_refused_and_left_untouched(opened, postgres, writes):
    opened().close()
    _run(postgres.url, "INSERT INTO onward.migration VALUES (999, 'future', 0)")
    before = _shape(postgres.url)

    with pytest.raises(LedgerTooNew, match="schema 999"):
        opened(writes=writes)

    assert _shape(postgres.url) == before


def test_an_older_ledger_is_upgraded_by_a_writer_and_named_to_a_reader(opened, postgres):
    opened().close()
    _run(
        postgres.url,
        "DROP TABLE onward.validity, onward.document; DROP INDEX onward.run_open; "
        "ALTER TABLE onward.version DROP COLUMN facts; "
        "DELETE FROM onward.migration WHERE number >= 4",
    )

    with pytest.raises(LedgerError, match="onward ledger migrate"):
        opened(writes=False)
    opened()

    assert opened(writes=False).jobs() == []


def test_a_reader_makes_nothing(opened, postgres):
    with pytest.raises(NotFound, match="There is no ledger"):
        opened(writes=False)

    assert _run(postgres.url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'onward'") == [(0,)]


def test_a_schema_of_somebody_else_is_left_alone(opened, postgres):
    _run(postgres.url, "CREATE SCHEMA onward CREATE TABLE onward.theirs (a int)")

    with pytest.raises(LedgerDamaged, match="is not a ledger of onward"):
        opened()

    assert _run(postgres.url, "SELECT tablename FROM pg_tables WHERE schemaname = 'onward'") == [("theirs",)]


def test_a_database_that_cannot_hold_every_name_is_refused(opened, postgres):
    _run(postgres.url, "CREATE DATABASE narrow ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(LedgerError, match="createdb --encoding=UTF8"):
            opened(postgres.url.rpartition("/")[0] + "/narrow")
    finally:
        postgres.server.drop_database("narrow")


@pytest.mark.parametrize(("table", "what"), [("item", "is damaged"), ("migration", "is not a ledger of onward")])
def test_a_ledger_that_lacks_a_table_says_so(opened, postgres, table, what):
    ledger = opened()
    job = fill(ledger, 2)
    ledger.close()
    _run(postgres.url, f"DROP TABLE onward.{table} CASCADE")

    with pytest.raises(LedgerDamaged, match=what):
        list(opened().known_all(job.id))
