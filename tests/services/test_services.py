"""The services are what they say: real, on loopback, new for each test, and they come back after every end."""

from __future__ import annotations

import psycopg
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
