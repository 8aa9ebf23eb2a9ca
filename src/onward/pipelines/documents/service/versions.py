"""The promised names for one version of one file: record it, end it, ask what it was.

`store` says where: a path or URL as `--out`, or a `BatchIngestService`; by default `index`. Which version holds at an
instant is in the ledger, whatever store has the vectors, and no number of versions makes an answer another one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from onward import clock
from onward.engine.commands.command_run import settings_of
from onward.errors import UsageError
from onward.pipelines.documents.service.index import Index, instant_of

if TYPE_CHECKING:
    from onward.pipelines.documents.reading import FileVersion
    from onward.pipelines.documents.service.service import BatchIngestService

__all__ = ["delete_file_version", "get_file_at_time", "store_file_version"]

Path = str | os.PathLike[str]
Instant = datetime | str | int
_OUT = "index"
_OURS = ("valid_from", "files_collection", "sequence", "seq")
_COLLECTION = "documents"


def store_file_version(
    file_path: Path,
    content: str | bytes | bytearray | memoryview,
    valid_from: Instant | None = None,
    *,
    metadata: Mapping[str, object] | None = None,
    store: Path | BatchIngestService | None = None,
) -> bool:
    """Record what a file was from an instant on; late, out of order, twice or as a correction.

    Args:
        file_path: The document's key, or the path of the file, which may be anywhere and need not be there.
        content: Its text, or its bytes.
        valid_from: Since when, as ISO text with an offset or an aware datetime; by default what `metadata` says under
            that name, else now.
        metadata: Kept with the version. `sequence` (or `seq`) in it is the version's place among those of the same
            instant, of which the greatest holds; by default it comes after all of them.
        store: Where: a path or URL as `--out`, or a service; `index` by default.

    Returns:
        Whether it was new; the same bytes in the same place again change nothing. When this returns the version is
        durable. What a crash leaves half done is finished or undone by whoever writes to the store next.

    Raises:
        VersionRefused: It cannot be cut or embedded; nothing is recorded of it but that.
        OutputUnavailable: The store is not to be had. What is recorded already gets there with the next version or run.
        JobBusy: Another process has been writing to the store for a minute.
        JobPaused: A person has paused the job of the store; nothing is recorded.
        UsageError: An argument is wrong.

    Contract: S4-031, S4-032, X-20, X-35.
    """
    told = dict(metadata or {})
    since = valid_from if valid_from is not None else told.get("valid_from")
    sequence = _sequence(told)
    kept = {name: value for name, value in told.items() if name not in _OURS}
    try:
        kept = json.loads(json.dumps(kept, allow_nan=False))
        data = _bytes_of(content)
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"This version cannot be kept: content is text or bytes, and metadata what JSON can hold; {error}."
        raise UsageError(msg) from error
    at = clock.now() if since is None else instant_of(since)  # type: ignore[arg-type]  # it says so if it is none
    return _index_of(store).put_path(file_path, data, at, sequence, kept)


def delete_file_version(
    file_path: Path, valid_from: Instant, *, store: Path | BatchIngestService | None = None
) -> bool:
    """Record that there is no such file from an instant on; what it was before stays, to be asked for.

    Args:
        file_path: As in `store_file_version`.
        valid_from: Likewise.
        store: Likewise.

    Returns:
        Whether that was new.

    Raises:
        OutputUnavailable: As in `store_file_version`; so are JobBusy and UsageError.

    Contract: X-35.
    """
    at = instant_of(valid_from)
    return _index_of(store).put_path(file_path, None, at, None, {})


def get_file_at_time(
    file_path: Path,
    timestamp: Instant,
    *,
    known_at: Instant | None = None,
    store: Path | BatchIngestService | None = None,
) -> FileVersion | None:
    """Return what a file was at an instant: the version with the greatest `valid_from` that is not later.

    Args:
        file_path: The document's key, or the path of the file.
        timestamp: ISO text with an offset, or an aware datetime.
        known_at: Go by what was recorded until then; by default by all that is.
        store: As in `store_file_version`.

    Returns:
        The version with its `content` (bytes) and `metadata`, in which `valid_from` is ISO text; None where there was
        no such file then. One look into an index, however many versions there are.

    Raises:
        VersionDropped: Its bytes are not in the state any more.
        UsageError: An instant has no zone, or is none.

    Contract: S4-030, S4-032, X-18, X-19, X-35.
    """
    at, known = instant_of(timestamp), None if known_at is None else instant_of(known_at)
    index = _index_of(store)
    with index.documents() as documents:
        if documents is None:
            return None
        found = documents.get(os.fspath(file_path), at, known_at=known)
        return None if found is None else with_metadata(found, index)


def with_metadata(version: FileVersion, index: Index) -> FileVersion:
    """Return a version with the metadata that was promised of every one."""
    with index.ledger() as found:
        settings = {} if found is None else settings_of(found[1])
    collection = settings.get("collection", _COLLECTION)
    ours = {"valid_from": clock.text(version.valid_from), "files_collection": collection}
    return version._replace(metadata={**version.metadata, **ours})


def _index_of(store: Path | BatchIngestService | None) -> Index:
    if store is None or isinstance(store, str | os.PathLike):
        return Index(_OUT if store is None else store)
    return store.index


def _bytes_of(content: object) -> bytes:
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, bytes | bytearray | memoryview):  # `bytes(5)` would be five zeros
        return bytes(content)
    msg = f"it is of the type {type(content).__name__}"
    raise TypeError(msg)


def _sequence(metadata: Mapping[str, object]) -> int | None:
    value = metadata.get("sequence", metadata.get("seq"))
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62):
        return value
    msg = f"The sequence of a version is {str(value)[:40]!r}; it must be a whole number."
    raise UsageError(msg)
