"""Real services for tests: PostgreSQL, MariaDB, Redis, started on a free loopback port and gone when the session ends.

`postgres.py`, `mariadb.py` and `redis.py` each find a server's program and run it; `fixtures.py` gives them to tests,
and `tests/conftest.py` imports those. One server a process of pytest (so also under xdist), one new database a test.
A service that cannot be had is a failure where `CI=true`, and elsewhere a skip that says NOT RUN.
"""
