"""Several workers at once on one machine: each a process of its own, started again when it dies.

The one that starts them does no work and holds nothing; when it is gone they leave by themselves.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from types import FrameType

_AGAIN_S = 1.0
_LOOK_S = 0.1
FLEET_VARIABLE = "ONWARD_FLEET"


def keep_running(commands: Sequence[Sequence[str]], *, tell: Callable[[str], None]) -> int:
    """Run every command until a signal comes, which each of them gets; return the exit code.

    Args:
        commands: One a process.
        tell: Told when one has died.
    """
    count = 0

    def take(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        for process in running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    running: dict[int, subprocess.Popen[bytes]] = {}
    due_at = dict.fromkeys(range(len(commands)), 0.0)
    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while True:
            for number, process in list(running.items()):
                code = process.poll()
                if code is not None:
                    del running[number]
                    due_at[number] = time.monotonic() + _AGAIN_S
                    if not count:
                        if code == os.EX_USAGE or code == 2:
                            return code  # it said why; to start it again would say the same
                        tell(f"a worker ended with {code}; it is started again")
            if count and not running:
                return 0
            for number, at in due_at.items():
                if not count and number not in running and time.monotonic() >= at:
                    # A session of its own: a Ctrl-C reaches it once, through this process.
                    running[number] = subprocess.Popen(  # noqa: S603  # our own command
                        commands[number], env={**os.environ, FLEET_VARIABLE: str(os.getpid())}, start_new_session=True,
                    )
            time.sleep(_LOOK_S)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for process in running.values():
            process.terminate()
