"""The code part of a pipeline, remembered as long as no source file that it was read from has moved.

Walking the syntax trees costs a tenth of a second or more; comparing a few stats costs nothing. The memo is a cache in
the ledger, written by the first run that had to compute it anew.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, NamedTuple

from onward.engine.pipeline import Pipeline, step_name
from onward.ledger.base import Reader

if TYPE_CHECKING:
    from onward.engine.code.version import CodeReader, CodeVersion


_LIBRARIES = "depends="
"""Under this name the versions of libraries are remembered, as long as no folder that Python imports from has moved,
nor a file that tells of one of them: an installer makes a folder there, or rewrites the one of a library in the works.
"""

_in_use: dict[tuple[str, ...], Mapping[str, str]] = {}
"""The versions that this process went by first: what is loaded stays loaded, whatever is installed meanwhile."""


Remembered = tuple[str, str, list[tuple[str, int, int, int]]]
"""What besides files decides an answer, the answer, and each file that it was read from, as it was then."""


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


def code_part(pipeline: Pipeline, ledger: Reader, *, validates: bool = True) -> CodePart:
    """Return the code part of a pipeline, reading source files only where one has moved.

    Args:
        pipeline: Whose steps and checks.
        ledger: Where the memo is.
        validates: Checks are run; a result that was never checked was made another way, and is made anew when they are.

    Raises:
        PipelineInvalid: A declared library is not installed.
    """
    reader: CodeReader | None = None
    name = f"code:{pipeline.name}"
    remembered = _recall(ledger.memo(name))
    steps: dict[str, str] = {}
    fresh: dict[str, object] = {}
    for part, step in _named(pipeline, with_checks=validates).items():
        key = pipeline.version or _plain_key(step, pipeline.file)
        if key is None:
            reader = reader or _reader(pipeline)
            key = reader.key(step)
        known = remembered.get(part)
        # Without a file to watch nothing would ever tell that the memo has aged.
        if known is not None and known[0] == key and known[2] and all(_is_unchanged(*file) for file in known[2]):
            steps[part] = known[1]
        else:
            reader = reader or _reader(pipeline)
            version = reader.version(step, version=pipeline.version)
            steps[part] = version.digest
            fresh[part] = (key, version.digest, version.files_reached)
    libraries, looked_up = _libraries(pipeline.depends, remembered.get(_LIBRARIES))
    if looked_up is not None:
        fresh[_LIBRARIES] = looked_up
    memo = (name, json.dumps({**remembered, **fresh}).encode()) if fresh else None
    return CodePart(steps, libraries, memo)


def _plain_key(step: object, file: str | None) -> str | None:
    """Return what besides files decides the version of a plain function; None for anything that holds values.

    Most steps are plain, and then nothing of the code reader need be imported.
    """
    if not isinstance(step, FunctionType) or step.__closure__ or hasattr(step, "__wrapped__"):
        return None
    is_global = step.__globals__.get(step.__name__) is step
    if not is_global:
        return None
    return f"{file}|{step.__code__.co_filename}|{step.__module__}|{step.__qualname__}"


def _is_unchanged(path: str, size_bytes: int, mtime_ns: int, ctime_ns: int) -> bool:
    """Say whether a file or folder is as it was; a size of -1 says that it was not there."""
    return _seen(path) == (path, size_bytes, mtime_ns, ctime_ns)


def _seen(path: str) -> tuple[str, int, int, int]:
    try:
        st = os.stat(path)
    except OSError:
        return path, -1, 0, 0
    return path, st.st_size, st.st_mtime_ns, st.st_ctime_ns


def _libraries(
    names: Sequence[str], known: Remembered | None
) -> tuple[Mapping[str, str], Remembered | None]:
    """Return the versions of libraries, and what to remember of them where they had to be looked up."""
    if not names:
        return {}, None
    if tuple(names) in _in_use:
        return _in_use[tuple(names)], None
    folders = [os.fsdecode(at) or "." for at in sys.path if isinstance(at, str | bytes | os.PathLike)]
    key = json.dumps([*names, *folders])
    if known is not None and known[0] == key and known[2] and all(_is_unchanged(*file) for file in known[2]):
        _in_use[tuple(names)] = json.loads(known[1])
        return _in_use[tuple(names)], None
    from onward.engine.code.dependencies import dependency_versions, tellers

    seen = [_seen(place) for place in [*folders, *tellers(names)]]
    found = _in_use[tuple(names)] = dependency_versions(names)
    return found, (key, json.dumps(found), seen)


def code_versions(pipeline: Pipeline) -> Mapping[str, CodeVersion]:
    """Return the code version of each step and check, read anew, under the names that reasons use."""
    reader = _reader(pipeline)
    return {name: reader.version(step, version=pipeline.version) for name, step in _named(pipeline).items()}


def _reader(pipeline: Pipeline) -> CodeReader:
    from onward.engine.code.version import CodeReader

    return CodeReader([] if pipeline.file is None else [os.path.dirname(pipeline.file)])


def _named(pipeline: Pipeline, *, with_checks: bool = True) -> dict[str, object]:
    """Return steps and checks by name; of two with one name the second gets a prime."""
    found: dict[str, object] = {}
    for part in (*pipeline.steps, *(pipeline.checks if with_checks else ())):
        name = step_name(part)
        while name in found:
            name += "'"
        found[name] = part
    return found


def _recall(value: bytes | None) -> dict[str, Remembered]:
    if value is None:
        return {}
    return {name: (key, digest, [tuple(f) for f in files]) for name, (key, digest, files) in json.loads(value).items()}
