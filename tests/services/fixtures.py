"""The fixtures: `postgres`, `mariadb` and `redis` (to be switched on and off), `postgres_url` and `redis_url`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from services.mariadb import Mariadb, MariadbServer
from services.postgres import Postgres, PostgresServer
from services.process import Unavailable
from services.redis import RedisServer

__all__ = [
    "mariadb", "mariadb_server", "postgres", "postgres_server", "postgres_url", "redis", "redis_server", "redis_url",
]


def _not_to_be_had(what: str, why: Exception) -> None:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"NOT RUN: {what} cannot be had: {why}")
    pytest.skip(f"NOT RUN: {what} cannot be had: {why}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL server of this process of pytest."""
    try:
        import psycopg  # noqa: F401  # the extra `postgres`

        server = PostgresServer()
    except (Unavailable, ImportError) as why:
        _not_to_be_had("PostgreSQL", why)
    else:
        yield server
        server.close()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[Postgres]:
    """A running PostgreSQL with a new, empty database at `postgres.url`."""
    postgres_server.start()
    one = Postgres(postgres_server)
    yield one
    one.clean()


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """The URL of a new, empty database."""
    return postgres.url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariadbServer]:
    """The MariaDB server of this process of pytest."""
    try:
        import pymysql  # noqa: F401  # the extra `mariadb`

        server = MariadbServer()
    except (Unavailable, ImportError) as why:
        _not_to_be_had("MariaDB", why)
    else:
        yield server
        server.close()


@pytest.fixture
def mariadb(mariadb_server: MariadbServer) -> Iterator[Mariadb]:
    """A running MariaDB with a new, empty database at `mariadb.url`."""
    mariadb_server.start()
    one = Mariadb(mariadb_server)
    yield one
    one.clean()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The Redis server of this process of pytest."""
    try:
        import redis  # noqa: F401  # the extra `celery`

        server = RedisServer()
    except (Unavailable, ImportError) as why:
        _not_to_be_had("Redis", why)
    else:
        yield server
        server.close()


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[RedisServer]:
    """A running, empty Redis; `flush`, `stop`, `start`, `restart` and `kill` as the test likes."""
    redis_server.start()
    redis_server.flush()
    yield redis_server
    redis_server.start()


@pytest.fixture
def redis_url(redis: RedisServer) -> str:
    """The URL of an empty Redis."""
    return redis.url
