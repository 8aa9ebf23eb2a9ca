"""`BatchConfig`: what a `BatchIngestService` may take at once, how often it tries, and how often it tells.

Every value is checked when it is set, at birth or while a batch runs, so that no other code has to. How documents are
cut and embedded is not here: those are settings of the pipeline.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from onward.errors import SettingInvalid
from onward.pipelines.documents.folder import SUFFIXES

__all__ = ["BatchConfig"]

_MB = 1 << 20
_SUFFIX = re.compile(r"\.[\w.+-]{1,32}")
_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_MOST = 1 << 50

_BOUNDS: Mapping[str, tuple[int, int]] = {
    "max_file_size": (1, _MOST),
    "chunk_processing_size": (1, 1_000_000),
    "max_retry_attempts": (1, 1000),
    "memory_threshold_mb": (1, _MOST // _MB),
    "temporal_query_limit": (1, 1_000_000_000),
    "max_batch_size": (1, 1_000_000_000),
    "progress_interval": (1, 1_000_000_000),
}
_VARIABLES: Mapping[str, str] = {
    "BATCH_MAX_FILE_SIZE": "max_file_size",
    "BATCH_MAX_BATCH_SIZE": "max_batch_size",
    "BATCH_CHUNK_SIZE": "chunk_processing_size",
    "BATCH_MEMORY_THRESHOLD_MB": "memory_threshold_mb",
    "BATCH_PROGRESS_INTERVAL": "progress_interval",
    "BATCH_MAX_RETRIES": "max_retry_attempts",
    "TEMPORAL_QUERY_LIMIT": "temporal_query_limit",
}


@dataclass(slots=True)
class BatchConfig:
    """What a batch of documents may take; may be changed while it runs, and holds from the next file on.

    Attributes:
        max_file_size: Bytes; a larger file is an error of validation, and is not read.
        chunk_processing_size: Files between two looks at the memory; fewer while there is too little of it.
        max_retry_attempts: Tries that one file has.
        supported_extensions: Which files of a folder are documents, in lower case, each with its dot.
        memory_threshold_mb: MB (2^20 bytes) of this process from which on a batch warns and takes smaller chunks.
        temporal_query_limit: Versions in one page of a file's history. No answer as of an instant depends on it.
        max_batch_size: Files in one run; a larger batch is several runs, and others may come in between.
        progress_interval: Files between two records of progress.

    Raises:
        SettingInvalid: A value is of the wrong kind or out of bounds; what was set before stays.

    Contract: S4-001 to S4-007, X-35.
    """

    max_file_size: int = 50 * 1024 * 1024
    chunk_processing_size: int = 100
    max_retry_attempts: int = 3
    supported_extensions: tuple[str, ...] = SUFFIXES
    memory_threshold_mb: int = 1024
    temporal_query_limit: int = 1000
    max_batch_size: int = 1000
    progress_interval: int = 10

    def __setattr__(self, name: str, value: object) -> None:
        """Set a field, once it is checked."""
        if name == "supported_extensions":
            value = _suffixes(value)
        elif name in _BOUNDS:
            value = _whole(name, value)
        object.__setattr__(self, name, value)

    @classmethod
    def from_environment(cls) -> Self:
        """Return the defaults, with those that the environment says otherwise; an empty variable says nothing.

        Raises:
            SettingInvalid: A variable is no whole number, or out of bounds; the message names it.

        Contract: S4-007 to S4-014.
        """
        config = cls()
        for variable, name in _VARIABLES.items():
            text = os.environ.get(variable, "").strip()
            if not text:
                continue
            if not _WHOLE.fullmatch(text) or len(text) > 20:
                msg = f"The variable {variable} is {text[:40]!r}, which is no whole number."
                raise SettingInvalid(msg)
            try:
                setattr(config, name, int(text))
            except SettingInvalid as error:
                msg = f"The variable {variable} does not do: {error}"
                raise SettingInvalid(msg) from error
        return config

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, as JSON holds them."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**values, "supported_extensions": list(self.supported_extensions)}


def _whole(name: str, value: object) -> int:
    least, most = _BOUNDS[name]
    if isinstance(value, bool) or not isinstance(value, int):
        msg = f"BatchConfig.{name} is {str(value)[:40]!r}; it must be a whole number."
        raise SettingInvalid(msg)
    if not least <= value <= most:
        msg = f"BatchConfig.{name} is {value if abs(value) < 10**20 else 'far out'}; it must be from {least} to {most}."
        raise SettingInvalid(msg)
    return value


def _suffixes(value: object) -> tuple[str, ...]:
    """Return suffixes in lower case, each once."""
    given = list(value) if isinstance(value, list | tuple | set | frozenset) else []
    found = [one.strip().lower() for one in given if isinstance(one, str)]
    if not given or len(found) != len(given) or not all(_SUFFIX.fullmatch(one) for one in found):
        msg = f"BatchConfig.supported_extensions is {str(value)[:80]!r}; write suffixes, e.g. ('.md', '.rst')."
        raise SettingInvalid(msg)
    return tuple(dict.fromkeys(sorted(found) if isinstance(value, set | frozenset) else found))
