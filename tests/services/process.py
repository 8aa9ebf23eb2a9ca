"""One server process in a folder of its own: started, ended in every way a server can end, started again."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

START_S = 60.0
_PR_SET_PDEATHSIG = 1


class Unavailable(Exception):
    """The service cannot be had on this machine; the message says why."""


class Server:
    """A program that listens on one loopback port, with a folder that outlives its process."""

    def __init__(self, name: str, *, account: str | None = None) -> None:
        """Make the folder.

        Args:
            name: What the folder's name begins with.
            account: Who runs the program when we are root.
        """
        self.user = account if account is not None and os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix=f"onward-{name}-"))
        self.give(self.folder)
        self.port = free_port()
        self.log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def give(self, path: Path) -> None:
        """Give a path to the account that runs the program."""
        if self.user is not None:
            found = pwd.getpwnam(self.user)
            os.chown(path, found.pw_uid, found.pw_gid)

    def call(self, command: list[str]) -> None:
        """Run a program of the service to its end."""
        done = subprocess.run(command, capture_output=True, **self._as_account(), check=False)
        if done.returncode:
            raise Unavailable(f"{command[0]} ended with {done.returncode}: {done.stderr.decode()[-500:]}")

    def begin(self, command: list[str]) -> None:
        """Start the server's process, which does not outlive ours."""
        with self.log.open("ab") as log:
            # A child asks to die with the thread that started it: so it is one that lasts.
            self._process = _STARTER.submit(
                subprocess.Popen, command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=_die_with_parent, **self._as_account(),
            ).result()

    def wait_for(self, answers: object) -> None:
        """Wait until `answers()` is true.

        Raises:
            Unavailable: The process ended, or a minute has passed.
        """
        assert callable(answers)
        deadline = time.monotonic() + START_S
        while not answers():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"it did not start: {self.log.read_text(errors='replace')[-1000:]}")
            time.sleep(0.01)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def end(self, sign: int) -> None:
        """Send a signal and wait until the process is gone."""
        if self._process is not None and self.is_running:
            self._process.send_signal(sign)
            self._process.wait(START_S)

    def kill(self) -> None:
        """End the server and all of its processes at once, as a power cut does (what was written stays written)."""
        if self._process is None or not self.is_running:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            parent.suspend()
            children = parent.children(recursive=True)
            for one in (*children, parent):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            self._process.wait(START_S)
            deadline = time.monotonic() + START_S
            while any(_lives(one) for one in children) and time.monotonic() < deadline:
                time.sleep(0.01)
        self._process.wait(START_S)

    def freeze(self) -> None:
        """Stop every process of the server where it stands; clients get no answer, and no error either."""
        parent = psutil.Process(self.pid)
        for one in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend()

    def thaw(self) -> None:
        """Let every process go on."""
        parent = psutil.Process(self.pid)
        for one in (*parent.children(recursive=True), parent):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _as_account(self) -> dict[str, object]:
        if self.user is None:
            return {}
        found = pwd.getpwnam(self.user)
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": [], "cwd": "/"}


_STARTER = ThreadPoolExecutor(max_workers=1)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def account(*names: str) -> str:
    """Return the first of these accounts that this machine has."""
    for name in names:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise Unavailable(f"none of the accounts {', '.join(names)} exists, and root may not run it")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
