"""onward: a durable, incremental batch engine. Work is never done twice and never lost.

Everything a user needs is importable from here, and each name is loaded when it is first asked for, so that
`import onward` itself needs only the standard library and a few milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from onward.version import __version__

if TYPE_CHECKING:
    from onward.disk.hashing import compute_file_hash
    from onward.engine.file_sink import json_files, text_files
    from onward.engine.file_source import files
    from onward.engine.pipeline import Pipeline
    from onward.model.validation import Check, Status, Validation
    from onward.runs.context import RunContext, settings
    from onward.runs.metadata import RunMetadata

_HOMES = {
    "Check": "onward.model.validation",
    "Pipeline": "onward.engine.pipeline",
    "RunContext": "onward.runs.context",
    "RunMetadata": "onward.runs.metadata",
    "Status": "onward.model.validation",
    "Validation": "onward.model.validation",
    "compute_file_hash": "onward.disk.hashing",
    "files": "onward.engine.file_source",
    "json_files": "onward.engine.file_sink",
    "settings": "onward.runs.context",
    "text_files": "onward.engine.file_sink",
}

__all__ = [
    "Check",
    "Pipeline",
    "RunContext",
    "RunMetadata",
    "Status",
    "Validation",
    "__version__",
    "compute_file_hash",
    "files",
    "json_files",
    "settings",
    "text_files",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        msg = f"module 'onward' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
