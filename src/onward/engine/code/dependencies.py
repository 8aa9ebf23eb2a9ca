"""The libraries that a pipeline declares with `depends=`, and what of them is installed."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable

from onward.engine.code.spelling import Spelling, digest
from onward.errors import PipelineInvalid

_FILES = ":files"
_RECORDS = ("METADATA", "RECORD", "PKG-INFO")


def dependency_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each library in `names`, sorted by name.

    Args:
        names: Names of distributions (`beautifulsoup4`) or of what they provide (`bs4`), as declared with `depends=`.
            `name:files` counts the digests of its files too, as the installer recorded them: for a library that is
            data, such as a model, whose version says little.

    Raises:
        PipelineInvalid: One of them is not installed.
    """
    return {name: _dependency_version(name) for name in sorted(set(names))}


def tellers(names: Iterable[str]) -> list[str]:
    """Return the files that tell the version and the files of libraries; some of them may not be there."""
    found = []
    for name in names:
        name = name.removesuffix(_FILES)
        try:
            given = [importlib.metadata.distribution(name)]
        except (importlib.metadata.PackageNotFoundError, ValueError):
            providers = importlib.metadata.packages_distributions().get(name, ())
            given = [importlib.metadata.distribution(provider) for provider in sorted(set(providers))]
        # Where a distribution's own record stands is told by no public name.
        folders = [os.fspath(path) for one in given if isinstance(path := getattr(one, "_path", None), os.PathLike)]
        found += [os.path.join(folder, file) for folder in folders for file in ("", *_RECORDS)]
    return found


def _dependency_version(name: str) -> str:
    if name.endswith(_FILES):
        name = name.removesuffix(_FILES)
        return f"{_dependency_version(name)} {_files_digest(name)}"
    try:
        return importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        pass
    providers = sorted(set(importlib.metadata.packages_distributions().get(name, ())))
    if not providers:
        raise PipelineInvalid(
            f"The library '{name}', declared with depends=, is not installed. Install it in this environment, "
            f"or take it out of depends= if no step needs it."
        )
    return " ".join(f"{provider}=={importlib.metadata.version(provider)}" for provider in providers)


def _files_digest(name: str) -> str:
    """Return one digest of the files that a distribution installed; what the installer adds of its own is left out."""
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        providers = sorted(set(importlib.metadata.packages_distributions().get(name, ())))
        files = [file for provider in providers for file in importlib.metadata.files(provider) or []]
    recorded: list[Spelling] = [
        [file.as_posix(), f"{file.hash.mode}={file.hash.value}"]
        for file in sorted(files)
        if file.hash is not None and not file.parts[0].endswith(".dist-info")
    ]
    return digest(["onward.files/1", recorded])
