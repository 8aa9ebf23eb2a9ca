"""The services are what they say: real, on loopback, new for each test, and they come back after every end."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest


def _ask(url: str, sql: str) -> object:
    with psycopg.connect(url) as db:
        row = db.execute(sql.encode()).fetchone()
        assert row is not None
        return row[0]


def test_each_test_has_an_empty_database_and_may_have_more(postgres):
    with psycopg.connect(postgres.url) as db:
        db.execute("CREATE TABLE mine (a int)")

    other = postgres.new_database()

    assert _ask(postgres.url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 1
    assert _ask(other, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_committed_is_there_after_the_server_ended(postgres, end):
    with psycopg.connect(postgres.url) as db:
        db.execute("CREATE TABLE kept AS SELECT 7 AS a")

    getattr(postgres, end)()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.url)
    postgres.start()

    assert _ask(postgres.url, "SELECT a FROM kept") == 7


def test_the_role_keeper_needs_its_password(postgres):
    assert _ask(postgres.with_password(), "SELECT current_user") == "keeper"
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.with_password().replace(postgres.server.password, "wrong"))


def test_a_restarted_or_flushed_redis_is_empty(redis):
    from redis import Redis

    with Redis.from_url(redis.url) as one:
        one.set("a", 1)
        redis.flush()
        assert one.get("a") is None

        one.set("a", 1)
        redis.restart()
        assert one.get("a") is None


def _ask_mariadb(url: str, sql: str) -> object:
    parts = urlsplit(url)
    with pymysql.connect(
        host=parts.hostname, port=parts.port or 0, user=parts.username, password=parts.password or "",
        database=parts.path[1:],
    ) as db, db.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
        assert row is not None
        return row[0]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_committed_is_there_after_mariadb_ended(mariadb, end):
    mariadb.execute("CREATE TABLE kept AS SELECT 7 AS a")
    other = mariadb.new_database()

    getattr(mariadb, end)()
    with pytest.raises(pymysql.err.OperationalError):
        _ask_mariadb(mariadb.url, "SELECT 1")
    mariadb.start()

    assert _ask_mariadb(mariadb.url, "SELECT a FROM kept") == 7
    assert _ask_mariadb(other, "SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()") == 0


def test_the_keeper_of_mariadb_needs_its_password(mariadb):
    assert str(_ask_mariadb(mariadb.with_password(), "SELECT CURRENT_USER()")).startswith("keeper@")
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        _ask_mariadb(mariadb.with_password().replace(mariadb.server.password, "wrong"), "SELECT 1")
