"""Whether what a progress file says of files is so: the ledger is asked, and the library.

What the file says is `progress_file.py`. Nothing is written here.
"""

from __future__ import annotations

import os

from onward import clock
from onward.disk.hashing import hash_bytes
from onward.errors import UsageError
from onward.model.record import to_digest
from onward.pipelines.documents.service.index import Index
from onward.pipelines.documents.service.ingest import done_of, stat_of
from onward.pipelines.documents.service.progress_file import Done, Recovered

__all__ = ["completed_of", "verified"]


def completed_of(index: Index, recovered: Recovered) -> set[str]:
    """Return the files that have not moved since they were done, where the ledger has the same bytes for them."""
    completed: set[str] = set()
    with index.ledger() as found:
        if found is None:
            return completed
        for done in recovered.done.values():
            if stat_of(done.file) != (done.size_bytes, done.mtime_ns):
                continue
            try:
                newest = index.newest(*found, index.key_of(done.file))
            except UsageError:
                continue  # not of this index
            if newest is not None and newest.content is not None and to_digest(newest.content) == done.content:
                completed.add(done.file)
    return completed


def verified(index: Index, name: str) -> Done | None:
    """Return what a file is of which only the name is known, where its output is there, made of the bytes it has now.

    Args:
        index: Where the output would be.
        name: As it was found in damaged text.
    """
    try:
        file = os.path.realpath(name)
        done, key = done_of(file), index.key_of(file)
    except (UsageError, ValueError, OSError):
        return None
    if done is None:
        return None
    with index.documents() as documents:
        version = None if documents is None else documents.get(key, clock.now())
    if version is None or version.content is None or hash_bytes(version.content) != done.content:
        return None
    return done
