"""A real redis-server in a temporary folder, on loopback only, in memory only: a restart forgets everything."""

from __future__ import annotations

import os
import shutil
import signal

from services.process import Server, Unavailable, account


class RedisServer:
    """The server of a session.

    Attributes:
        url: Of its database 0.
    """

    def __init__(self) -> None:
        """Start it."""
        program = shutil.which("redis-server")
        if program is None:
            msg = "the program redis-server is not there (Debian: apt-get install redis-server)"
            raise Unavailable(msg)
        self._program = program
        self._server = Server("redis", account=account("redis", "nobody") if os.geteuid() == 0 else None)
        self.port = self._server.port
        self.url = f"redis://127.0.0.1:{self.port}/0"
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start the server, unless it runs; returns when it takes connections."""
        if not self._server.is_running:
            self._server.begin([
                self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                "--dir", str(self._server.folder), "--daemonize", "no",
            ])
            self._server.wait_for(self._answers)

    def stop(self) -> None:
        """Stop the server; what it held is gone."""
        self._server.end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._server.kill()

    def restart(self) -> None:
        """Stop it and start it, empty."""
        self.stop()
        self.start()

    def flush(self) -> None:
        """Forget everything, while it runs."""
        import redis

        with redis.Redis(port=self.port) as one:
            one.flushall()

    def close(self) -> None:
        """Stop it and remove its folder."""
        self._server.kill()
        self._server.remove()

    def _answers(self) -> bool:
        import redis

        try:
            with redis.Redis(port=self.port, socket_timeout=2) as one:
                return bool(one.ping())
        except redis.RedisError:
            return False
