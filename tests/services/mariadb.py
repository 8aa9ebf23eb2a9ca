"""A real MariaDB: Debian's `mariadb-server`, its data in a temporary folder, on loopback only.

The role `onward` needs no password; the role `keeper` must tell one, made anew each session and in URLs only. Nothing
of the system's own service is read or started.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import signal
import subprocess

from services.process import Server, Unavailable, account

_SETTINGS = (
    "--no-defaults", "--skip-name-resolve", "--bind-address=127.0.0.1", "--skip-log-bin", "--skip-ssl",
    "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--innodb-flush-log-at-trx-commit=2",
    "--innodb-doublewrite=0", "--aria-pagecache-buffer-size=1M", "--key-buffer-size=1M", "--performance-schema=0",
    "--max-connections=60", "--max-allowed-packet=64M", "--character-set-server=utf8mb4",
    "--default-time-zone=+05:45",
)  # an odd time zone, so that whoever lets the server's zone into a result is found out


def find_programs() -> tuple[str, str]:
    """Return the server's program and the one that makes its folder.

    Raises:
        Unavailable: One is not there.
    """
    found = []
    for name in ("mariadbd", "mariadb-install-db"):
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin")
        if path is None:
            msg = f"the program {name} is not there (Debian: apt-get install mariadb-server)"
            raise Unavailable(msg)
        found.append(path)
    return found[0], found[1]


class MariadbServer:
    """The server of a session: a data folder that outlives its process."""

    def __init__(self) -> None:
        """Make the folder and start the server."""
        self._program, installer = find_programs()
        who = account("mysql", "nobody") if os.geteuid() == 0 else None
        self._server = Server("mariadb", account=who)
        self.password = secrets.token_hex(8)
        self.port = self._server.port
        self._numbers = itertools.count(1)
        self._data = self._server.folder / "data"
        try:
            self._server.call([
                installer, "--no-defaults", f"--datadir={self._data}", "--auth-root-authentication-method=normal",
                "--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=8M", "--innodb-doublewrite=0",
            ])
            first = self._server.folder / "roles.sql"
            first.write_text(
                "CREATE OR REPLACE USER onward@'127.0.0.1';\n"
                "GRANT ALL ON *.* TO onward@'127.0.0.1' WITH GRANT OPTION;\n"
                f"CREATE OR REPLACE USER keeper@'127.0.0.1' IDENTIFIED BY '{self.password}';\n"
                "GRANT ALL ON *.* TO keeper@'127.0.0.1' WITH GRANT OPTION;\n"
            )
            self._server.give(first)
            self.start(f"--init-file={first}")
        except BaseException:
            self.close()
            raise

    def url(self, database: str = "mysql") -> str:
        """Return the URL of a database."""
        return f"mariadb://onward@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "mysql") -> None:
        """Run statements."""
        import pymysql

        with pymysql.connect(
            host="127.0.0.1", port=self.port, user="onward", database=database, autocommit=True, charset="utf8mb4"
        ) as db, db.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database."""
        self.execute(f"DROP DATABASE IF EXISTS {name}")

    def start(self, *more: str) -> None:
        """Start the server, unless it runs; returns when it takes connections."""
        if not self._server.is_running:
            self._server.begin([
                self._program, *_SETTINGS, f"--datadir={self._data}", f"--port={self.port}",
                f"--socket={self._server.folder / 'socket'}", f"--pid-file={self._server.folder / 'pid'}", *more,
            ])
            self._server.wait_for(self._answers)

    def stop(self) -> None:
        """Stop the server cleanly; connections are ended."""
        self._server.end(signal.SIGTERM)

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
        import pymysql

        try:
            pymysql.connect(host="127.0.0.1", port=self.port, user="onward", connect_timeout=2).close()
        except pymysql.err.OperationalError:
            return False
        return True


class Mariadb:
    """What a test has of the server: a new database, and the server's switch."""

    def __init__(self, server: MariadbServer) -> None:
        """Make the database."""
        self.server = server
        self.start, self.stop, self.kill, self.restart = server.start, server.stop, server.kill, server.restart
        self.freeze, self.thaw = server.freeze, server.thaw
        self._databases: list[str] = []
        self.url = self.new_database()
        self.name = self._databases[0]

    def new_database(self) -> str:
        """Make another empty database and return its URL."""
        self._databases.append(self.server.new_database())
        return self.server.url(self._databases[-1])

    def with_password(self, url: str | None = None) -> str:
        """Return a URL that needs its password: the test's own, or another of this server."""
        return (url or self.url).replace("onward@", f"keeper:{self.server.password}@")

    def execute(self, *statements: str) -> None:
        """Run statements in the test's own database."""
        self.server.execute(*statements, database=self.name)

    def load(self, sql: bytes) -> None:
        """Feed a dump to the server, with the client that comes with it; the dump says itself into which database."""
        address = ["-h", "127.0.0.1", "-P", str(self.server.port), "-u", "onward"]
        subprocess.run(["mariadb", *address], input=sql, check=True, capture_output=True)

    def clean(self) -> None:
        """Start the server if it does not run, and remove the databases."""
        self.server.start()
        for name in self._databases:
            self.server.drop_database(name)
