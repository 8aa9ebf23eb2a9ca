"""The code part of a pipeline, remembered as long as no source file that it was read from has moved.

Walking the syntax trees costs a tenth of a second or more; comparing a few stats costs nothing. The memo is a cache in
the ledger, written by the first run that had to compute it anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import NamedTuple

from onward.engine.code_version import CodeReader, CodeVersion, dependency_versions, files_are_unchanged
from onward.engine.pipeline import Pipeline, step_name
from onward.ledger.base import Reader


class CodePart(NamedTuple):
    """The code part of today.

    Attributes:
        steps: Name → digest of each step and check, in order.
        depends: Declared library → installed version.
        memo: Name and value to remember, or None when what is remembered still holds.
    """

    steps: Mapping[str, str]
    depends: Mapping[str, str]
    memo: tuple[str, bytes] | None


def code_part(pipeline: Pipeline, ledger: Reader) -> CodePart:
    """Return the code part of a pipeline, reading source files only where one has moved.

    Raises:
        PipelineInvalid: A declared library is not installed.
    """
    reader = _reader(pipeline)
    name = f"code:{pipeline.name}"
    remembered = _recall(ledger.memo(name))
    steps: dict[str, str] = {}
    fresh: dict[str, object] = {}
    for part, step in _named(pipeline).items():
        key = pipeline.version or reader.key(step)
        known = remembered.get(part)
        if known is not None and known[0] == key and files_are_unchanged(known[2]):
            steps[part] = known[1]
        else:
            version = reader.version(step, version=pipeline.version)
            steps[part] = version.digest
            fresh[part] = (key, version.digest, version.files_reached)
    memo = (name, json.dumps({**remembered, **fresh}).encode()) if fresh else None
    return CodePart(steps, dependency_versions(pipeline.depends), memo)


def code_versions(pipeline: Pipeline) -> Mapping[str, CodeVersion]:
    """Return the code version of each step and check, read anew, under the names that reasons use."""
    reader = _reader(pipeline)
    return {name: reader.version(step, version=pipeline.version) for name, step in _named(pipeline).items()}


def _reader(pipeline: Pipeline) -> CodeReader:
    return CodeReader([] if pipeline.file is None else [os.path.dirname(pipeline.file)])


def _named(pipeline: Pipeline) -> dict[str, object]:
    """Return steps and checks by name; of two with one name the second gets a prime."""
    found: dict[str, object] = {}
    for part in (*pipeline.steps, *pipeline.checks):
        name = step_name(part)
        while name in found:
            name += "'"
        found[name] = part
    return found


def _recall(value: bytes | None) -> dict[str, tuple[str, str, list[tuple[str, int, int, int]]]]:
    if value is None:
        return {}
    return {name: (key, digest, [tuple(f) for f in files]) for name, (key, digest, files) in json.loads(value).items()}
