"""The folder where Spark's parts lie between its write and our reading: made, found whole, taken away.

Names carry machine and process, so that what a dead one left is told from what a living one needs, and a token, so that
no two meet. On a cluster the folder is one that the driver and every executor see under the same path.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from onward.errors import SparkUnavailable

_OURS = re.compile(r"onward-spark-(?P<machine>.+)-(?P<pid>[0-9]+)-(?P<token>[0-9a-f]{16})")
_tokens: set[str] = set()
"""Those of this process: an earlier one may have had its id."""


@contextlib.contextmanager
def scratch(root: str) -> Iterator[Path]:
    """Give a folder's name that nothing has yet, for Spark to make; whatever is there afterwards is removed.

    Args:
        root: Where; empty for this machine's folder for temporary files.

    Raises:
        SparkUnavailable: There is no such folder.
    """
    inside = Path(root or tempfile.gettempdir())
    if not inside.is_dir():
        msg = f"'{inside}', where Spark is to put its parts, is no folder: make it, or set `spark.scratch`."
        raise SparkUnavailable(msg)
    token = secrets.token_hex(8)
    folder = inside / f"onward-spark-{os.uname().nodename}-{os.getpid()}-{token}"
    _tokens.add(token)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _tokens.discard(token)


def sweep(root: str) -> list[str]:
    """Remove what processes of this machine left that are no more; return the names. May be repeated."""
    gone = []
    for folder in Path(root or tempfile.gettempdir()).glob("onward-spark-*"):
        name = _OURS.fullmatch(folder.name)
        if name is None or name["machine"] != os.uname().nodename:
            continue
        pid = int(name["pid"])
        if name["token"] not in _tokens if pid == os.getpid() else not psutil.pid_exists(pid):
            shutil.rmtree(folder, ignore_errors=True)
            gone.append(folder.name)
    return gone


def parts_of(folder: Path) -> list[Path]:
    """Return the parts of a write that was committed, in their order.

    Only then its marker is there: until the last task is committed, attempts write elsewhere, and of several attempts
    at one task the driver lets one commit. So neither a retried nor a speculated task is read twice.

    Raises:
        FileNotFoundError: The write was not committed.
    """
    os.stat(folder / "_SUCCESS")
    return sorted(folder.glob("part-*.parquet"))
